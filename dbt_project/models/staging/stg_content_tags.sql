-- Only tags that live: a merged or retired one has left its contents.
SELECT
    ct.content_id,
    ct.tag_id,
    t.name AS tag_name,
    {{ business_day('c.created_at') }} AS created_on
FROM {{ source('tagging', 'content_tags') }} AS ct
INNER JOIN {{ source('tagging', 'contents') }} AS c ON ct.content_id = c.id
INNER JOIN {{ source('tagging', 'tags') }} AS t ON ct.tag_id = t.id
WHERE ct.organization_id = {{ organization() }} AND c.deleted_at IS NULL AND t.status = 'active'
