-- What was sold of a product or category, and how far prices are from what they were.

WITH sold AS (
    SELECT
        i.ordered_on,
        i.product_id,
        p.category,
        c.region,
        i.quantity,
        CASE WHEN i.is_business_currency THEN i.quantity * i.unit_price ELSE 0 END AS amount
    FROM {{ ref('stg_order_items') }} AS i
    LEFT JOIN {{ ref('stg_products') }} AS p ON i.product_id = p.product_id
    LEFT JOIN {{ ref('stg_orders') }} AS o ON i.order_id = o.order_id
    LEFT JOIN {{ ref('stg_customers') }} AS c ON o.customer_id = c.customer_id
    WHERE
        i.is_sale
        AND i.ordered_on IN {{ days_due('items') }}
        AND {{ not_before_due('i.ordered_at', 'items') }}
),

sold_in AS (
    SELECT
        ordered_on,
        kind || ':' || key AS dimension,
        sum(quantity) AS units,
        sum(amount) AS revenue,
        count(*) AS lines
    FROM sold
    CROSS JOIN LATERAL (
        VALUES ('product', product_id), ('category', category), ('region', region)
    ) AS d (kind, key)
    GROUP BY ordered_on, kind, key
),

priced AS (
    SELECT
        i.product_id,
        i.ordered_on,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY i.unit_price)::numeric AS price,
        count(*) AS lines
    FROM {{ ref('stg_order_items') }} AS i
    WHERE i.is_business_currency AND {{ not_before_due('i.ordered_at', 'prices', 28) }}
    GROUP BY i.product_id, i.ordered_on
),

price_history AS (
    SELECT
        product_id,
        ordered_on,
        price,
        lines,
        array_agg(price) OVER (
            PARTITION BY product_id ORDER BY ordered_on
            RANGE BETWEEN interval '28 days' PRECEDING AND interval '1 day' PRECEDING
        ) AS earlier_prices
    FROM priced
),

-- Usual are the prices between the lowest and the highest day of the last 28, or the list price of a product that
-- hardly sold. A wholesaler's prices step with the quantity: the middle one alone would make most days unusual.
deviations AS (
    SELECT
        h.product_id,
        h.ordered_on,
        h.lines,
        abs(
            h.price / nullif(
                least(
                    greatest(h.price, coalesce(usual.lowest, p.list_price)), coalesce(usual.highest, p.list_price)
                ),
                0
            ) - 1
        ) AS deviation
    FROM price_history AS h
    LEFT JOIN {{ ref('stg_products') }} AS p ON h.product_id = p.product_id
    LEFT JOIN LATERAL (
        SELECT min(e.price) AS lowest, max(e.price) AS highest
        FROM unnest(h.earlier_prices) AS e (price)
        HAVING count(*) >= 3
    ) AS usual ON true
    WHERE h.lines >= {{ var('min_price_lines') }} AND h.ordered_on IN {{ days_due('prices') }}
),

metrics AS (
    SELECT
        'units_sold' AS metric_name,
        x.dimension,
        x.label AS dimension_label,
        d.metric_date,
        coalesce(s.units, 0)::numeric AS current_value,
        coalesce(s.lines, 0) AS sample_size
    FROM {{ days_due('items') }} AS d
    CROSS JOIN {{ ref('int_dimensions') }} AS x
    LEFT JOIN sold_in AS s ON d.metric_date = s.ordered_on AND x.dimension = s.dimension
    WHERE x.kind = 'product'
    UNION ALL
    SELECT
        'daily_revenue',
        x.dimension,
        x.label,
        d.metric_date,
        coalesce(s.revenue, 0),
        coalesce(s.lines, 0)
    FROM {{ days_due('items') }} AS d
    CROSS JOIN {{ ref('int_dimensions') }} AS x
    LEFT JOIN sold_in AS s ON d.metric_date = s.ordered_on AND x.dimension = s.dimension
    WHERE x.kind IN ('category', 'region')
    UNION ALL
    SELECT
        'price_deviation',
        'all',
        '',
        d.metric_date,
        max(v.deviation),
        count(v.deviation)
    FROM {{ days_due('prices') }} AS d
    LEFT JOIN deviations AS v ON d.metric_date = v.ordered_on
    GROUP BY d.metric_date
    UNION ALL
    SELECT
        'price_deviation',
        x.dimension,
        x.label,
        d.metric_date,
        v.deviation,
        coalesce(v.lines, 0)
    FROM {{ days_due('prices') }} AS d
    CROSS JOIN {{ ref('int_dimensions') }} AS x
    LEFT JOIN deviations AS v ON d.metric_date = v.ordered_on AND x.key = v.product_id
    WHERE x.kind = 'product'
)

SELECT
    metric_name,
    dimension,
    dimension_label,
    metric_date,
    round(current_value, 4)::numeric(18, 4) AS current_value,
    sample_size
FROM metrics
