{{ config(indexes=[{'columns': ['organization_id', 'insight_id'], 'unique': true}]) }}

WITH matched AS (
    SELECT DISTINCT ON (s.looks_at, s.metric_name, s.dimension, s.tone)
        s.*,
        r.rule_id,
        r.rank,
        r.insight_type,
        r.impact_level AS rule_impact,
        r.confidence AS rule_confidence,
        r.title_en,
        r.title_zh,
        r.description_en,
        r.description_zh,
        r.action_items_en,
        r.action_items_zh
    FROM {{ ref('int_rule_subjects') }} AS s
    INNER JOIN {{ ref('insight_rules') }} AS r ON {{ rule_fits() }}
    ORDER BY s.looks_at, s.metric_name, s.dimension, s.tone, r.rank, r.rule_id
)

SELECT
    {{ organization() }}::text AS organization_id,
    md5(concat_ws('|', rule_id, metric_name, dimension, tone))::text AS insight_id,
    insight_type::varchar(50) AS insight_type,
    category::varchar(50) AS category,
    left({{ fill('title_en', 'en') }}, 200)::varchar(200) AS title,
    (trim({{ fill('description_en', 'en') }}) || {{ tags_sentence('en') }})::text AS description,
    {{ rule_impact() }} AS impact_level,
    {{ rule_confidence() }} AS confidence_score,
    jsonb_strip_nulls(jsonb_build_object(
        'metric_name', metric_name,
        'dimension', dimension,
        'dimension_label', dimension_label,
        'severity', severity,
        'tone', tone,
        'is_open', is_open,
        'since', since,
        'until', until,
        'current_value', trim_scale(value),
        'reference_value', trim_scale(reference),
        'change_pct', trim_scale(change_pct),
        'currency', '{{ var("currency") }}',
        'source_alert_id', alert_id,
        'top_tags', tags
    )) AS business_context,
    string_to_array(action_items_en, '|')::text[] AS action_items,
    left({{ fill('title_zh', 'zh-Hant') }}, 200)::text AS title_zh,
    (trim({{ fill('description_zh', 'zh-Hant') }}) || {{ tags_sentence('zh-Hant') }})::text AS description_zh,
    string_to_array(action_items_zh, '|')::text[] AS action_items_zh,
    rule_id::text AS rule_id,
    {{ rests_on() }} AS rests_on
FROM matched
