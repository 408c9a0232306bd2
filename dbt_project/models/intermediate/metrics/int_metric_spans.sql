{{ config(materialized='table') }}

{%- for family in metric_families() %}
SELECT
    '{{ family.name }}' AS family,
    m.metric_name,
    ({{ family.first_day }}) + {{ family.starts }} AS first_day
FROM unnest(ARRAY['{{ family.metrics | join("', '") }}']) AS m (metric_name)
{%- if not loop.last %}
UNION ALL
{%- endif %}
{%- endfor %}
