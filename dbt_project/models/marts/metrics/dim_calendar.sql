{{ config(indexes=[{'columns': ['organization_id', 'day'], 'unique': true}]) }}

WITH profile AS (
    SELECT coalesce(
        (
            SELECT open_weekdays FROM {{ source('analytics', 'business_profile') }}
            WHERE organization_id = {{ organization() }}
        ),
        '{1,2,3,4,5}'::smallint[]
    ) AS open_weekdays
),

days AS (
    SELECT d.day::date AS day
    FROM (
        SELECT least(min(metric_date), {{ as_of() }} - 365) AS first_day
        FROM {{ source('analytics', 'computed_days') }}
        WHERE organization_id = {{ organization() }}
    ) AS s
    CROSS JOIN LATERAL generate_series(s.first_day, {{ as_of() }} + 365, interval '1 day') AS d (day)
),

events AS (
    SELECT
        day,
        bool_or(event_type IN ('holiday', 'closed')) AS is_holiday,
        bool_or(event_type = 'promotion') AS is_promotion,
        array_agg(name ORDER BY event_type, name) AS names,
        array_agg(coalesce(name_zh, name) ORDER BY event_type, name) AS names_zh
    FROM {{ ref('stg_calendar') }}
    GROUP BY day
),

revenue AS (
    SELECT
        metric_date,
        avg(current_value) OVER (ORDER BY metric_date ROWS BETWEEN 27 PRECEDING AND CURRENT ROW) AS four_weeks,
        CASE WHEN count(*) OVER year >= 180 THEN avg(current_value) OVER year END AS year
    FROM {{ ref('fct_business_metrics_daily') }}
    WHERE organization_id = {{ organization() }} AND metric_name = 'daily_revenue' AND dimension = 'all'
    WINDOW year AS (ORDER BY metric_date ROWS BETWEEN 364 PRECEDING AND CURRENT ROW)
)

SELECT
    {{ organization() }}::text AS organization_id,
    d.day,
    extract(DOW FROM d.day)::integer AS day_of_week,
    lower(trim(to_char(d.day, 'day')))::text AS day_name,
    (extract(DOW FROM d.day) = ANY (p.open_weekdays) AND NOT coalesce(e.is_holiday, false)) AS is_business_day,
    coalesce(e.is_holiday, false) AS is_holiday,
    coalesce(e.is_promotion, false) AS is_promotion,
    {{ get_seasonal_factor('e.is_holiday', 'e.is_promotion', 'r.four_weeks', 'r.year') }}::text AS season_factor,
    coalesce(e.names, '{}')::text[] AS event_names,
    coalesce(e.names_zh, '{}')::text[] AS event_names_zh
FROM days AS d
CROSS JOIN profile AS p
LEFT JOIN events AS e ON d.day = e.day
LEFT JOIN revenue AS r ON d.day = r.metric_date
