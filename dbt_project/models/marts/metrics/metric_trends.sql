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
    post_hook=[
        "DELETE FROM {{ this }} AS t WHERE NOT EXISTS (SELECT FROM {{ ref('fct_business_metrics_daily') }} AS f "
        "WHERE f.organization_id = t.organization_id AND f.metric_name = t.metric_name "
        "AND f.dimension = t.dimension AND f.metric_date = t.metric_date)",
    ],
) }}

WITH
{%- if is_incremental() %}
changed AS (
    SELECT
        metric_name,
        dimension,
        min(metric_date) AS first_day,
        max(metric_date) + 59 AS last_day
    FROM {{ ref('fct_business_metrics_daily') }}
    WHERE
        organization_id = {{ organization() }}
        AND computed_at > (SELECT coalesce(max(computed_at), '-infinity') FROM {{ this }})
    GROUP BY metric_name, dimension
),
{%- endif %}

series AS (
    SELECT
        f.metric_name,
        f.dimension,
        f.metric_date,
        f.current_value,
        f.computed_at,
        lag(f.current_value, 7) OVER (PARTITION BY f.metric_name, f.dimension ORDER BY f.metric_date) AS week_ago
        {%- if is_incremental() %},
        f.metric_date BETWEEN c.first_day AND c.last_day AS is_due
        {%- else %},
        true AS is_due
        {%- endif %}
    FROM {{ ref('fct_business_metrics_daily') }} AS f
    {%- if is_incremental() %}
    INNER JOIN changed AS c
        ON
            f.metric_name = c.metric_name
            AND f.dimension = c.dimension
            AND f.metric_date BETWEEN c.first_day - 67 AND c.last_day
    {%- endif %}
    WHERE
        f.organization_id = {{ organization() }}
        AND f.metric_name NOT IN (
            'customer_trend_pct', 'revenue_trend_pct', 'efficiency_trend_pct', 'volatility', 'tag_share', 'tag_lift'
        )
),

windows AS (
    SELECT
        *,
        {%- for name, first, last in [
            ('week', 6, 0), ('week_before', 13, 7), ('month', 29, 0), ('month_before', 59, 30),
        ] %}
        avg(current_value) OVER {{ name }} AS {{ name }},
        count(current_value) OVER {{ name }} AS {{ name }}_days,
        {%- endfor %}
        avg(current_value) OVER four_weeks AS level,
        stddev_samp(current_value - week_ago) OVER four_weeks AS spread,
        count(current_value - week_ago) OVER four_weeks AS spread_days
    FROM series
    WINDOW
        week AS (
            PARTITION BY metric_name, dimension ORDER BY metric_date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW
        ),
        week_before AS (
            PARTITION BY metric_name, dimension ORDER BY metric_date ROWS BETWEEN 13 PRECEDING AND 7 PRECEDING
        ),
        month AS (
            PARTITION BY metric_name, dimension ORDER BY metric_date ROWS BETWEEN 29 PRECEDING AND CURRENT ROW
        ),
        month_before AS (
            PARTITION BY metric_name, dimension ORDER BY metric_date ROWS BETWEEN 59 PRECEDING AND 30 PRECEDING
        ),
        four_weeks AS (
            PARTITION BY metric_name, dimension ORDER BY metric_date ROWS BETWEEN 27 PRECEDING AND CURRENT ROW
        )
),

trends AS (
    SELECT
        metric_name,
        dimension,
        metric_date,
        CASE WHEN least(week_days, week_before_days) >= 4 THEN {{ pct_change('week', 'week_before') }} END AS trend_7d_pct,
        CASE
            WHEN least(month_days, month_before_days) >= 15 THEN {{ pct_change('month', 'month_before') }}
        END AS trend_30d_pct,
        CASE
            WHEN spread_days >= 14 THEN round(100 * spread / nullif(sqrt(2)::numeric * abs(level), 0), 4)
        END AS volatility_index
    FROM windows
    WHERE is_due
)

SELECT
    {{ organization() }}::text AS organization_id,
    metric_name::varchar(100) AS metric_name,
    dimension::text AS dimension,
    metric_date::date AS metric_date,
    trend_7d_pct::numeric(18, 4) AS trend_7d_pct,
    trend_30d_pct::numeric(18, 4) AS trend_30d_pct,
    volatility_index::numeric(18, 4) AS volatility_index,
    CASE
        WHEN trend_7d_pct >= 5 THEN 'rising' WHEN trend_7d_pct <= -5 THEN 'falling' ELSE 'stable'
    END::text AS trend_direction,
    clock_timestamp() AS computed_at
FROM trends
