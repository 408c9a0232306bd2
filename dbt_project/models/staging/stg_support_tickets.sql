SELECT
    ticket_id,
    customer_id,
    order_id,
    product_id,
    created_at,
    first_response_at,
    resolved_at,
    {{ business_day('created_at') }} AS created_on,
    {{ business_day('first_response_at') }} AS answered_on
FROM {{ source('raw', 'support_tickets') }}
WHERE organization_id = {{ organization() }}
