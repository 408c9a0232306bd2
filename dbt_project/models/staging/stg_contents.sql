SELECT
    id AS content_id,
    {{ business_day('created_at') }} AS created_on
FROM {{ source('tagging', 'contents') }}
WHERE organization_id = {{ organization() }} AND deleted_at IS NULL
