{{ config(indexes=[{'columns': ['organization_id', 'metric_name', 'dimension'], 'unique': true}]) }}

WITH latest AS (
    SELECT DISTINCT ON (metric_name, dimension)
        *
    FROM {{ ref('fct_business_metrics_daily') }}
    WHERE
        organization_id = {{ organization() }}
        AND current_value IS NOT NULL
        AND metric_date <= {{ as_of() }}
    ORDER BY metric_name, dimension, metric_date DESC
)

SELECT
    l.organization_id,
    l.metric_name,
    l.dimension,
    l.dimension_label,
    l.metric_date,
    l.current_value,
    w.current_value AS previous_value,
    t.category::varchar(50) AS category,
    t.display_name::text AS display_name,
    t.display_name_zh::text AS display_name_zh,
    coalesce(t.unit, '')::varchar(20) AS unit,
    l.sample_size
FROM latest AS l
INNER JOIN {{ ref('metric_thresholds') }} AS t ON l.metric_name = t.metric_name
LEFT JOIN {{ ref('fct_business_metrics_daily') }} AS w
    ON
        l.organization_id = w.organization_id
        AND l.metric_name = w.metric_name
        AND l.dimension = w.dimension
        AND l.metric_date - 7 = w.metric_date
