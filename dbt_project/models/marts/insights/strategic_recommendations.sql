{{ config(indexes=[{'columns': ['organization_id', 'recommendation_id'], 'unique': true}]) }}

WITH matched AS (
    SELECT DISTINCT ON (s.looks_at, s.metric_name, s.dimension, s.tone)
        s.*,
        r.rule_id,
        r.rank,
        r.recommendation_type,
        r.impact_level AS rule_impact,
        r.effort_level,
        r.priority,
        r.confidence AS rule_confidence,
        r.title_en,
        r.title_zh,
        r.description_en,
        r.description_zh,
        r.estimated_timeline_en,
        r.estimated_timeline_zh
    FROM {{ ref('int_rule_subjects') }} AS s
    INNER JOIN {{ ref('recommendation_rules') }} AS r ON {{ rule_fits() }}
    ORDER BY s.looks_at, s.metric_name, s.dimension, s.tone, r.rank, r.rule_id
),

-- What speaks for doing it now: how bad it is, that it lasts, and that money is at stake.
scored AS (
    SELECT
        *,
        least(
            100,
            priority
            + CASE severity WHEN 'critical' THEN 10 WHEN 'warning' THEN 5 ELSE 0 END
            + CASE WHEN is_open THEN 5 ELSE 0 END
            + CASE WHEN revenue_impact > 0 THEN 5 ELSE 0 END
        ) AS priority_score
    FROM matched
),

-- One advice is given once, for the subject that needs it most.
advised AS (
    SELECT DISTINCT ON (rule_id, dimension)
        *
    FROM scored
    ORDER BY rule_id, dimension, priority_score DESC, until DESC, metric_name
)

SELECT
    {{ organization() }}::text AS organization_id,
    md5(concat_ws('|', rule_id, dimension))::text AS recommendation_id,
    recommendation_type::varchar(50) AS recommendation_type,
    category::varchar(50) AS category,
    left({{ fill('title_en', 'en') }}, 200)::varchar(200) AS title,
    (trim({{ fill('description_en', 'en') }}) || {{ tags_sentence('en') }})::text AS description,
    {{ rule_impact() }} AS impact_level,
    effort_level::varchar(20) AS effort_level,
    priority_score::integer AS priority_score,
    {{ rule_confidence() }} AS confidence_score,
    jsonb_strip_nulls(jsonb_build_object(
        'source_alert_id', alert_id,
        'metric_name', metric_name,
        'dimension', dimension,
        'dimension_label', dimension_label,
        'severity', severity,
        'is_open', is_open,
        'since', since,
        'until', until,
        'currency', '{{ var("currency") }}',
        'potential_cost_saving', {{ format_value('revenue_impact', "'money'", 'en') }} || '/day',
        'potential_cost_saving_zh', {{ format_value('revenue_impact', "'money'", 'zh-Hant') }} || '/日',
        'top_tags', tags
    )) AS business_context,
    estimated_timeline_en::varchar(50) AS estimated_timeline,
    left({{ fill('title_zh', 'zh-Hant') }}, 200)::text AS title_zh,
    (trim({{ fill('description_zh', 'zh-Hant') }}) || {{ tags_sentence('zh-Hant') }})::text AS description_zh,
    estimated_timeline_zh::text AS estimated_timeline_zh,
    rule_id::text AS rule_id,
    {{ rests_on() }} AS rests_on
FROM advised
