SELECT
    i.order_id,
    i.line_number,
    i.product_id,
    i.quantity,
    i.unit_price,
    o.ordered_at,
    o.ordered_on,
    o.is_sale,
    o.is_business_currency
FROM {{ source('raw', 'order_items') }} AS i
INNER JOIN {{ ref('stg_orders') }} AS o ON i.order_id = o.order_id
WHERE i.organization_id = {{ organization() }}
