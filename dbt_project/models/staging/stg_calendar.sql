-- The loaded calendar beside the one people edit; the same event in both is one.
SELECT
    day,
    event_type,
    name,
    name_zh
FROM {{ source('raw', 'calendar') }}
WHERE organization_id = {{ organization() }}
UNION
SELECT
    day,
    event_type,
    name,
    name_zh
FROM {{ ref('calendar') }} AS edited
WHERE NOT EXISTS (
    SELECT FROM {{ source('raw', 'calendar') }} AS loaded
    WHERE
        loaded.organization_id = {{ organization() }}
        AND loaded.day = edited.day
        AND loaded.event_type = edited.event_type
        AND loaded.name = edited.name
)
