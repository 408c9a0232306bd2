SELECT
    customer_id,
    {{ business_day('created_at') }} AS created_on,
    segment,
    region
FROM {{ source('raw', 'customers') }}
WHERE organization_id = {{ organization() }}
