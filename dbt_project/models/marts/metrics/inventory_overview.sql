{{ config(indexes=[{'columns': ['organization_id', 'product_id'], 'unique': true}]) }}

WITH latest AS (
    SELECT DISTINCT ON (product_id)
        product_id,
        day,
        on_hand,
        reorder_point
    FROM {{ ref('stg_inventory') }}
    WHERE day <= {{ as_of() }}
    ORDER BY product_id, day DESC
),

sold AS (
    SELECT
        product_id,
        sum(quantity) AS units
    FROM {{ ref('stg_order_items') }}
    WHERE is_sale AND ordered_on BETWEEN {{ as_of() }} - 27 AND {{ as_of() }}
    GROUP BY product_id
),

covered AS (
    SELECT
        l.*,
        coalesce(p.name, l.product_id) AS name,
        p.category,
        coalesce(s.units, 0) AS units_28d,
        round(l.on_hand * 28.0 / nullif(s.units, 0), 1) AS days_of_cover
    FROM latest AS l
    LEFT JOIN {{ ref('stg_products') }} AS p ON l.product_id = p.product_id
    LEFT JOIN sold AS s ON l.product_id = s.product_id
)

SELECT
    {{ organization() }}::text AS organization_id,
    product_id,
    name::text AS name,
    category,
    day AS stock_date,
    on_hand,
    reorder_point,
    units_28d::bigint AS units_28d,
    days_of_cover::numeric(18, 1) AS days_of_cover,
    round(units_28d::numeric / nullif(units_28d + on_hand, 0), 4)::numeric(18, 4) AS sell_through,
    CASE
        WHEN on_hand = 0 THEN 'out'
        WHEN on_hand <= reorder_point OR days_of_cover < 7 THEN 'low'
        WHEN units_28d = 0 OR days_of_cover > 180 THEN 'slow'
        ELSE 'ok'
    END::text AS status
FROM covered
