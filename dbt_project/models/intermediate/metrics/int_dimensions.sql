{{ config(
    materialized='incremental',
    incremental_strategy='append',
    post_hook="{{ forget_dimensions() }}",
) }}
-- Once judged, a product, category, region or tag stays while there is any fact of it: series must not come and go at
-- the edge of a top list.

WITH candidates AS (
    SELECT
        'product' AS kind,
        i.product_id AS key,
        coalesce(p.name, i.product_id) AS label,
        count(*) AS uses,
        row_number() OVER (ORDER BY count(*) DESC, i.product_id) AS place
    FROM {{ ref('stg_order_items') }} AS i
    LEFT JOIN {{ ref('stg_products') }} AS p ON i.product_id = p.product_id
    GROUP BY i.product_id, p.name
    HAVING count(*) >= {{ var('min_product_lines') }}
    UNION ALL
    SELECT
        'category',
        p.category,
        p.category,
        count(*),
        row_number() OVER (ORDER BY count(*) DESC, p.category)
    FROM {{ ref('stg_order_items') }} AS i
    INNER JOIN {{ ref('stg_products') }} AS p ON i.product_id = p.product_id
    WHERE p.category IS NOT NULL
    GROUP BY p.category
    HAVING count(*) >= {{ var('min_product_lines') }}
    UNION ALL
    SELECT
        'region',
        c.region,
        c.region,
        count(*),
        row_number() OVER (ORDER BY count(*) DESC, c.region)
    FROM {{ ref('stg_orders') }} AS o
    INNER JOIN {{ ref('stg_customers') }} AS c ON o.customer_id = c.customer_id
    WHERE c.region IS NOT NULL
    GROUP BY c.region
    HAVING count(*) >= {{ var('min_product_lines') }}
    UNION ALL
    SELECT
        'tag',
        tag_id::text,
        tag_name,
        count(*),
        row_number() OVER (ORDER BY count(*) DESC, tag_id)
    FROM {{ ref('stg_content_tags') }}
    WHERE created_on <= {{ as_of() }}
    GROUP BY tag_id, tag_name
    HAVING count(*) >= {{ var('min_tag_contents') }}
)

SELECT
    kind || ':' || key AS dimension,
    kind,
    key,
    label
FROM candidates
WHERE
    place <= CASE kind
        WHEN 'product' THEN {{ var('max_products') }}
        WHEN 'category' THEN {{ var('max_categories') }}
        WHEN 'region' THEN {{ var('max_regions') }}
        ELSE {{ var('max_tags') }}
    END
    {%- if is_incremental() %}
    AND kind || ':' || key NOT IN (SELECT dimension FROM {{ this }})
    {%- endif %}
