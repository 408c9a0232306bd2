{{ config(indexes=[{'columns': ['organization_id', 'tag_id', 'metric_date'], 'unique': true},
                   {'columns': ['organization_id', 'metric_date']}]) }}

WITH days AS (
    SELECT d.day::date AS metric_date
    FROM (
        SELECT greatest(min(created_on), {{ as_of() }} - {{ var('tag_history_days') }}) AS first_day
        FROM {{ ref('stg_contents') }}
    ) AS s
    CROSS JOIN LATERAL generate_series(s.first_day, {{ as_of() }}, interval '1 day') AS d (day)
),

totals AS (
    SELECT
        created_on,
        count(*) AS contents
    FROM {{ ref('stg_contents') }}
    GROUP BY created_on
),

tagged AS (
    SELECT
        tag_id,
        created_on,
        count(*) AS contents
    FROM {{ ref('stg_content_tags') }}
    GROUP BY tag_id, created_on
),

series AS (
    SELECT
        d.metric_date,
        t.id AS tag_id,
        t.name AS tag_name,
        coalesce(g.contents, 0) AS contents,
        coalesce(a.contents, 0) AS total_contents
    FROM days AS d
    CROSS JOIN {{ ref('int_dimensions') }} AS x
    INNER JOIN {{ source('tagging', 'tags') }} AS t ON x.kind = 'tag' AND x.key = t.id::text AND t.status = 'active'
    LEFT JOIN tagged AS g ON t.id = g.tag_id AND d.metric_date = g.created_on
    LEFT JOIN totals AS a ON d.metric_date = a.created_on
),

compared AS (
    SELECT
        *,
        sum(contents) OVER before_the_day AS contents_before,
        sum(total_contents) OVER before_the_day AS total_before
    FROM series
    WINDOW before_the_day AS (
        PARTITION BY tag_id ORDER BY metric_date ROWS BETWEEN {{ var('tag_baseline_days') }} PRECEDING AND 1 PRECEDING
    )
)

SELECT
    {{ organization() }}::text AS organization_id,
    metric_date,
    tag_id,
    tag_name,
    contents::bigint AS contents,
    total_contents::bigint AS total_contents,
    round(contents::numeric / nullif(total_contents, 0), 4)::numeric(18, 4) AS share,
    round(contents_before / nullif(total_before, 0), 4)::numeric(18, 4) AS baseline_share,
    round(
        (contents::numeric / nullif(total_contents, 0)) / nullif(contents_before / nullif(total_before, 0), 0), 4
    )::numeric(18, 4) AS lift
FROM compared
