-- Visits, what becomes of them, and how fast the site answers; products out of stock.

WITH visited AS (
    SELECT
        started_on,
        sum(visits) AS visits,
        sum(api_response_ms * coalesce(api_requests, 1)) / nullif(
            sum(coalesce(api_requests, 1)) FILTER (WHERE api_response_ms IS NOT NULL), 0
        ) AS response_ms,
        coalesce(sum(coalesce(api_requests, 1)) FILTER (WHERE api_response_ms IS NOT NULL), 0) AS requests
    FROM {{ ref('stg_sessions') }}
    WHERE started_on IN (
        SELECT metric_date FROM {{ ref('int_days_due') }} WHERE family IN ('visits', 'conversion', 'api')
    )
    GROUP BY started_on
),

sales AS (
    SELECT
        ordered_on,
        count(*) AS sales
    FROM {{ ref('stg_orders') }}
    WHERE
        is_sale
        AND ordered_on IN {{ days_due('conversion') }}
        AND {{ not_before_due('ordered_at', 'conversion') }}
    GROUP BY ordered_on
),

stock AS (
    SELECT
        day,
        count(*) AS products,
        count(*) FILTER (WHERE on_hand = 0) AS sold_out
    FROM {{ ref('stg_inventory') }}
    WHERE day IN {{ days_due('inventory') }}
    GROUP BY day
),

metrics AS (
    SELECT
        d.metric_date,
        'visits' AS metric_name,
        coalesce(v.visits, 0)::numeric AS current_value,
        coalesce(v.visits, 0) AS sample_size
    FROM {{ days_due('visits') }} AS d
    LEFT JOIN visited AS v ON d.metric_date = v.started_on
    UNION ALL
    SELECT
        d.metric_date,
        'conversion_rate',
        coalesce(s.sales, 0)::numeric / nullif(v.visits, 0),
        coalesce(v.visits, 0)
    FROM {{ days_due('conversion') }} AS d
    LEFT JOIN visited AS v ON d.metric_date = v.started_on
    LEFT JOIN sales AS s ON d.metric_date = s.ordered_on
    UNION ALL
    SELECT
        d.metric_date,
        'api_response_time',
        v.response_ms,
        coalesce(v.requests, 0)
    FROM {{ days_due('api') }} AS d
    LEFT JOIN visited AS v ON d.metric_date = v.started_on
    UNION ALL
    SELECT
        d.metric_date,
        'stockouts',
        s.sold_out,
        coalesce(s.products, 0)
    FROM {{ days_due('inventory') }} AS d
    LEFT JOIN stock AS s ON d.metric_date = s.day
)

SELECT
    metric_name,
    'all' AS dimension,
    '' AS dimension_label,
    metric_date,
    round(current_value, 4)::numeric(18, 4) AS current_value,
    sample_size
FROM metrics
