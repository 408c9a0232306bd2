{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['organization_id', 'metric_name', 'dimension', 'metric_date'],
    on_schema_change='fail',
    indexes=[
        {'columns': ['organization_id', 'metric_name', 'dimension', 'metric_date'], 'unique': true},
        {'columns': ['organization_id', 'metric_date']},
        {'columns': ['computed_at']},
    ],
    pre_hook="{{ forget_days() }}",
    post_hook="{{ remember_computed_days() }}",
) }}
-- depends_on: {{ ref('int_dimensions') }}
-- Days that are due are computed again; of what is derived from metrics and tags, only the values that changed.

WITH due AS (
    {%- for family in ['orders', 'customers', 'items', 'support', 'reviews', 'traffic'] %}
    SELECT * FROM {{ ref('int_metrics_' ~ family) }}
    {%- if not loop.last %}
    UNION ALL
    {%- endif %}
    {%- endfor %}
),

bases AS (
    SELECT metric_name, metric_date, current_value
    FROM due
    WHERE dimension = 'all'
    {%- if is_incremental() %}
    UNION ALL
    SELECT k.metric_name, k.metric_date, k.current_value
    FROM {{ this }} AS k
    WHERE
        k.organization_id = {{ organization() }}
        AND k.dimension = 'all'
        AND k.metric_name IN (
            'daily_revenue', 'active_customers', 'order_completion_rate', 'average_delivery_days', 'avg_response_time'
        )
        AND NOT EXISTS (
            SELECT FROM due AS d
            WHERE d.metric_name = k.metric_name AND d.dimension = 'all' AND d.metric_date = k.metric_date
        )
    {%- endif %}
),

derived AS (
    SELECT metric_name, 'all' AS dimension, '' AS dimension_label, metric_date, current_value, sample_size
    FROM ({{ trend_metrics('bases') }}) AS trends
    UNION ALL
    SELECT
        m.metric_name,
        'tag:' || t.tag_id,
        t.tag_name,
        t.metric_date,
        m.current_value,
        t.total_contents
    FROM {{ ref('fct_tag_metrics_daily') }} AS t
    CROSS JOIN LATERAL (
        VALUES ('tag_volume', t.contents::numeric), ('tag_share', t.share), ('tag_lift', t.lift)
    ) AS m (metric_name, current_value)
),

changed AS (
    SELECT * FROM due
    UNION ALL
    SELECT d.*
    FROM derived AS d
    {%- if is_incremental() %}
    WHERE NOT EXISTS (
        SELECT FROM {{ this }} AS k
        WHERE
            k.organization_id = {{ organization() }}
            AND k.metric_name = d.metric_name
            AND k.dimension = d.dimension
            AND k.metric_date = d.metric_date
            AND k.dimension_label = d.dimension_label
            AND k.sample_size = d.sample_size
            AND k.current_value IS NOT DISTINCT FROM round(d.current_value, 4)
    )
    {%- endif %}
)

SELECT
    {{ organization() }}::text AS organization_id,
    metric_name::varchar(100) AS metric_name,
    dimension::text AS dimension,
    dimension_label::text AS dimension_label,
    metric_date::date AS metric_date,
    round(current_value, 4)::numeric(18, 4) AS current_value,
    sample_size::bigint AS sample_size,
    {{ computing_moment() }} AS computed_at
FROM changed
