{{ config(materialized='table', indexes=[{'columns': ['family', 'metric_date'], 'unique': true}]) }}
-- The days of each family of metrics that are due: new ones, those with changed facts in reach, and all of them when
-- a definition changed. Facts are read after this table was written, so a change in between is due again next time.

{%- set families = metric_families() -%}
{%- set facts = adapter.get_relation(database=target.database, schema='analytics', identifier='fct_business_metrics_daily') %}
{%- set everything = flags.FULL_REFRESH or (execute and facts is none) %}

WITH spans AS (
    SELECT DISTINCT
        family,
        first_day
    FROM {{ ref('int_metric_spans') }}
),

{%- set reads = [] %}
{%- for family in families %}{% for read in family.reads %}
{%- do reads.append("('%s', '%s', %s, %s)" | format(family.name, read.source, read.from, read.to)) %}
{%- endfor %}{% endfor %}

reads (family, source, from_days, to_days) AS (
    VALUES
    {{ reads | join(",\n    ") }}
),

days AS (
    SELECT
        s.family,
        d.day::date AS metric_date
    FROM spans AS s
    CROSS JOIN LATERAL generate_series(s.first_day, {{ as_of() }}, interval '1 day') AS d (day)
),

-- A sum, because it grows with every change, whichever transaction commits first; a maximum would not.
facts_state AS (
    SELECT
        r.family,
        t.day + reach.days AS metric_date,
        sum(extract(EPOCH FROM t.touched_at)) AS facts_state
    FROM reads AS r
    INNER JOIN {{ source('raw', 'touched_days') }} AS t
        ON r.source = t.source AND t.organization_id = {{ organization() }}
    CROSS JOIN LATERAL generate_series(r.from_days, r.to_days) AS reach (days)
    GROUP BY r.family, t.day + reach.days
),

dimensions AS (
    SELECT md5(coalesce(string_agg(dimension || label, ',' ORDER BY dimension), '')) AS signature
    FROM {{ ref('int_dimensions') }}
    WHERE kind <> 'tag'
),

state AS (
    SELECT
        d.family,
        d.metric_date,
        coalesce(f.facts_state, 0) AS facts_state,
        '{{ metric_signature() }}'
        || CASE WHEN d.family IN ('items', 'prices', 'reviews') THEN x.signature ELSE '' END AS definition
    FROM days AS d
    CROSS JOIN dimensions AS x
    LEFT JOIN facts_state AS f ON d.family = f.family AND d.metric_date = f.metric_date
)

SELECT
    s.family,
    s.metric_date,
    s.facts_state,
    s.definition
FROM state AS s
{%- if not everything %}
LEFT JOIN {{ source('analytics', 'computed_days') }} AS c
    ON c.organization_id = {{ organization() }} AND s.family = c.family AND s.metric_date = c.metric_date
WHERE c.facts_state IS DISTINCT FROM s.facts_state OR c.definition IS DISTINCT FROM s.definition
{%- endif %}
