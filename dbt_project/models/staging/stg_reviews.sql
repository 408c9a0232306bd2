SELECT
    review_id,
    customer_id,
    order_id,
    product_id,
    rating,
    created_at,
    {{ business_day('created_at') }} AS created_on
FROM {{ source('raw', 'reviews') }}
WHERE organization_id = {{ organization() }}
