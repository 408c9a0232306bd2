SELECT
    product_id,
    day,
    on_hand,
    reorder_point
FROM {{ source('raw', 'inventory') }}
WHERE organization_id = {{ organization() }}
