SELECT
    order_id,
    customer_id,
    status,
    payment_status,
    currency,
    currency = '{{ var("currency") }}' AS is_business_currency,
    total_amount,
    channel,
    ordered_at,
    delivered_at,
    promised_at,
    {{ business_day('ordered_at') }} AS ordered_on,
    {{ business_day('delivered_at') }} AS delivered_on,
    {{ business_day('promised_at') }} AS promised_on,
    status NOT IN ('cancelled', 'unavailable') AND payment_status IS DISTINCT FROM 'failed' AS is_sale,
    status = 'returned' OR payment_status = 'refunded' AS is_returned
FROM {{ source('raw', 'orders') }}
WHERE organization_id = {{ organization() }}
