SELECT
    started_at,
    {{ business_day('started_at') }} AS started_on,
    channel,
    visits,
    checkouts,
    api_requests,
    api_response_ms
FROM {{ source('raw', 'sessions') }}
WHERE organization_id = {{ organization() }}
