SELECT
    product_id,
    name,
    category,
    CASE WHEN coalesce(currency, '{{ var("currency") }}') = '{{ var("currency") }}' THEN list_price END AS list_price
FROM {{ source('raw', 'products') }}
WHERE organization_id = {{ organization() }}
