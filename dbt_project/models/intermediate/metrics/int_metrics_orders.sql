-- Revenue, orders and returns of the orders placed on a day; deliveries of a day.

WITH placed AS (
    SELECT
        d.metric_date,
        count(o.order_id) AS orders,
        count(*) FILTER (WHERE o.is_sale AND o.is_business_currency) AS sales,
        coalesce(sum(o.total_amount) FILTER (WHERE o.is_sale AND o.is_business_currency), 0) AS revenue,
        count(*) FILTER (WHERE NOT o.is_business_currency) AS foreign_orders,
        count(*) FILTER (WHERE o.is_sale) AS all_sales,
        count(*) FILTER (WHERE o.is_sale AND o.is_returned) AS returned
    FROM {{ days_due('orders') }} AS d
    LEFT JOIN {{ ref('stg_orders') }} AS o
        ON d.metric_date = o.ordered_on AND {{ not_before_due('o.ordered_at', 'orders') }}
    GROUP BY d.metric_date
),

paid AS (
    SELECT
        d.metric_date,
        count(*) FILTER (WHERE o.payment_status IN ('paid', 'failed', 'refunded')) AS payments,
        count(*) FILTER (WHERE o.payment_status = 'failed') AS failed
    FROM {{ days_due('payments') }} AS d
    LEFT JOIN {{ ref('stg_orders') }} AS o
        ON d.metric_date = o.ordered_on AND {{ not_before_due('o.ordered_at', 'payments') }}
    GROUP BY d.metric_date
),

delivered AS (
    SELECT
        d.metric_date,
        count(o.order_id) AS deliveries,
        avg(extract(EPOCH FROM o.delivered_at - o.ordered_at) / 86400) AS days_taken
    FROM {{ days_due('deliveries') }} AS d
    LEFT JOIN {{ ref('stg_orders') }} AS o
        ON
            d.metric_date = o.delivered_on
            AND o.delivered_at >= o.ordered_at
            AND {{ not_before_due('o.delivered_at', 'deliveries') }}
    GROUP BY d.metric_date
),

-- An order is judged once: on the day it arrives in time, or on the day after the promise broke.
promised AS (
    SELECT
        d.metric_date,
        count(o.order_id) AS judged,
        count(*) FILTER (WHERE o.delivered_on IS NULL OR o.delivered_on > o.promised_on) AS late
    FROM {{ days_due('promises') }} AS d
    LEFT JOIN {{ ref('stg_orders') }} AS o
        ON
            d.metric_date = least(o.delivered_on, o.promised_on + 1)
            AND o.promised_on <= o.ordered_on + {{ var('promise_days') }}
            AND o.is_sale
            AND {{ not_before_due('o.ordered_at', 'promises', var('promise_days') + 1) }}
    GROUP BY d.metric_date
),

-- An order's outcome is known when it is delivered, cancelled or not paid, at the latest when it took too long.
outcomes AS (
    SELECT
        CASE
            WHEN NOT is_sale THEN ordered_on
            ELSE least(
                coalesce(delivered_on, CASE WHEN status IN ('delivered', 'returned') THEN ordered_on END),
                ordered_on + {{ var('completion_days') }}
            )
        END AS settled_on,
        count(*) AS settled,
        count(*) FILTER (
            WHERE is_sale
            AND status <> 'returned'
            AND coalesce(delivered_on, CASE WHEN status = 'delivered' THEN ordered_on END)
            <= ordered_on + {{ var('completion_days') }}
        ) AS completed
    FROM {{ ref('stg_orders') }}
    WHERE {{ not_before_due('ordered_at', 'completion', var('completion_days') + 6) }}
    GROUP BY settled_on
),

-- Seven days: where nothing is delivered at weekends, only what failed is settled then.
settled AS (
    SELECT
        d.metric_date,
        coalesce(sum(o.settled), 0) AS settled,
        coalesce(sum(o.completed), 0) AS completed
    FROM {{ days_due('completion') }} AS d
    LEFT JOIN outcomes AS o ON o.settled_on BETWEEN d.metric_date - 6 AND d.metric_date
    GROUP BY d.metric_date
),

-- Open from the day of the order until the day before it is delivered, or has taken too long.
open_changes AS (
    SELECT
        ordered_on AS day,
        1 AS change
    FROM {{ ref('stg_orders') }}
    WHERE
        is_sale
        AND (delivered_on > ordered_on OR (delivered_on IS NULL AND status NOT IN ('delivered', 'returned')))
        AND {{ not_before_due('ordered_at', 'open_orders', var('completion_days') + 1) }}
    UNION ALL
    SELECT
        least(delivered_on, ordered_on + {{ var('completion_days') }} + 1),
        -1
    FROM {{ ref('stg_orders') }}
    WHERE
        is_sale
        AND (delivered_on > ordered_on OR (delivered_on IS NULL AND status NOT IN ('delivered', 'returned')))
        AND {{ not_before_due('ordered_at', 'open_orders', var('completion_days') + 1) }}
    UNION ALL
    SELECT
        metric_date,
        0
    FROM {{ days_due('open_orders') }} AS d
),

open_orders AS (
    SELECT
        day,
        sum(sum(change)) OVER (ORDER BY day) AS waiting
    FROM open_changes
    GROUP BY day
),

metrics AS (
    SELECT
        metric_date,
        m.*
    FROM placed
    CROSS JOIN LATERAL (
        VALUES
        ('daily_revenue', revenue, sales),
        ('daily_orders', orders, orders),
        ('average_order_value', revenue / nullif(sales, 0), sales),
        ('return_rate', returned::numeric / nullif(all_sales, 0), all_sales),
        ('foreign_currency_orders', foreign_orders, orders)
    ) AS m (metric_name, current_value, sample_size)
    UNION ALL
    SELECT
        metric_date,
        'payment_failure_rate',
        failed::numeric / nullif(payments, 0),
        payments
    FROM paid
    UNION ALL
    SELECT
        metric_date,
        'average_delivery_days',
        days_taken,
        deliveries
    FROM delivered
    UNION ALL
    SELECT
        metric_date,
        'late_delivery_rate',
        late::numeric / nullif(judged, 0),
        judged
    FROM promised
    UNION ALL
    SELECT
        metric_date,
        'order_completion_rate',
        completed::numeric / nullif(settled, 0),
        settled
    FROM settled
    UNION ALL
    SELECT
        d.metric_date,
        'pending_orders',
        o.waiting,
        o.waiting
    FROM {{ days_due('open_orders') }} AS d
    INNER JOIN open_orders AS o ON d.metric_date = o.day
)

SELECT
    metric_name,
    'all' AS dimension,
    '' AS dimension_label,
    metric_date,
    round(current_value, 4)::numeric(18, 4) AS current_value,
    sample_size
FROM metrics
