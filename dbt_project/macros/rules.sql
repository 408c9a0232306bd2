{# Whether a rule (r) is about a subject (s): every condition it states fits the whole value; none fits all. #}
{% macro rule_fits() -%}
    r.enabled
    {%- for condition, value in [
        ("looks_at", "s.looks_at"), ("metric", "s.metric_name"), ("dimension", "s.dimension_kind"),
        ("tone", "s.tone"), ("severity", "s.severity"), ("subtype", "coalesce(s.subtype, '')"),
    ] %}
    AND (r.when_{{ condition }} IS NULL OR {{ value }} ~ ('^(' || r.when_{{ condition }} || ')$'))
    {%- endfor %}
{%- endmacro %}


{# A rule's text about a subject; what is not known leaves an empty place. #}
{% macro fill(text, locale) -%}
    {%- set suffix = "zh" if locale == "zh-Hant" else "en" -%}
    {%- set places = {
        "{metric}": "name_" ~ suffix, "{label}": "dimension_label", "{value}": "value_" ~ suffix,
        "{reference}": "reference_" ~ suffix, "{change}": "change", "{items}": "items_" ~ suffix,
        "{since}": "since::text", "{until}": "until::text", "{message}": "message_" ~ suffix,
    } -%}
    {%- set filled = namespace(sql=text) -%}
    {%- for place, column in places.items() -%}
        {%- set filled.sql = "replace(" ~ filled.sql ~ ", '" ~ place ~ "', coalesce(" ~ column ~ ", ''))" -%}
    {%- endfor -%}
    {{ filled.sql }}
{%- endmacro %}


{# The tags on top of the evidence, as a sentence of its own. #}
{% macro tags_sentence(locale) -%}
    {%- if locale == "en" -%}
    coalesce(
        ' Contents of these days stand out by ' || (
            SELECT string_agg('“' || (e.tag ->> 'tag') || '”', ', ' ORDER BY e.place)
            FROM jsonb_array_elements(tags) WITH ORDINALITY AS e (tag, place)
        ) || '.', ''
    )
    {%- else -%}
    coalesce(
        '這段期間的內容特別常提到' || (
            SELECT string_agg('「' || (e.tag ->> 'tag') || '」', '、' ORDER BY e.place)
            FROM jsonb_array_elements(tags) WITH ORDINALITY AS e (tag, place)
        ) || '。', ''
    )
    {%- endif -%}
{%- endmacro %}


{# How sure: what the rule says, more when tags explain it and when it is critical. #}
{% macro rule_confidence() -%}
    least(
        0.95,
        rule_confidence + CASE WHEN tags IS NOT NULL THEN 0.05 ELSE 0 END
        + CASE WHEN severity = 'critical' THEN 0.05 ELSE 0 END
    )::numeric(3, 2)
{%- endmacro %}


{# What the text rests on: alerts, metrics, tags, rows. #}
{% macro rests_on() -%}
    (rests_on || CASE WHEN tags IS NULL THEN '{}' ELSE jsonb_build_object(
        'tags', (SELECT jsonb_agg((e.tag ->> 'tag_id')::bigint) FROM jsonb_array_elements(tags) AS e (tag))
    ) END)
{%- endmacro %}


{# Impact by the rule, else by how bad it is. #}
{% macro rule_impact() -%}
    coalesce(
        rule_impact, CASE severity WHEN 'critical' THEN 'high' WHEN 'warning' THEN 'medium' ELSE 'low' END
    )::varchar(20)
{%- endmacro %}
