-- What customers say in stars: good is 4 and more, bad is 2 and less.

WITH rated AS (
    SELECT
        r.created_on,
        d.dimension,
        count(*) AS ratings,
        count(*) FILTER (WHERE r.rating >= 4) AS good,
        count(*) FILTER (WHERE r.rating <= 2) AS bad
    FROM {{ ref('stg_reviews') }} AS r
    CROSS JOIN LATERAL (VALUES ('all'), ('product:' || r.product_id)) AS d (dimension)
    WHERE
        r.created_on IN {{ days_due('reviews') }}
        AND {{ not_before_due('r.created_at', 'reviews') }}
        AND d.dimension IS NOT NULL
    GROUP BY r.created_on, d.dimension
),

wanted AS (
    SELECT
        'all' AS dimension,
        '' AS label
    UNION ALL
    SELECT
        dimension,
        label
    FROM {{ ref('int_dimensions') }}
    WHERE kind = 'product'
)

SELECT
    m.metric_name,
    x.dimension,
    x.label AS dimension_label,
    d.metric_date,
    round(m.current_value, 4)::numeric(18, 4) AS current_value,
    coalesce(r.ratings, 0) AS sample_size
FROM {{ days_due('reviews') }} AS d
CROSS JOIN wanted AS x
LEFT JOIN rated AS r ON d.metric_date = r.created_on AND x.dimension = r.dimension
CROSS JOIN LATERAL (
    VALUES
    ('bad_reviews', coalesce(r.bad, 0)::numeric),
    ('review_volume', coalesce(r.ratings, 0)),
    ('customer_satisfaction_rate', r.good::numeric / nullif(r.ratings, 0))
) AS m (metric_name, current_value)
WHERE x.dimension = 'all' OR m.metric_name = 'bad_reviews'
