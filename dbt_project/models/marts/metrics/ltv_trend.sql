{{ config(indexes=[{'columns': ['organization_id', 'cohort_month'], 'unique': true}]) }}
-- A cohort is compared with the one before by what customers spent in their first 30 days, once all have had them.

WITH sales AS (
    SELECT
        customer_id,
        ordered_on,
        total_amount,
        min(ordered_on) OVER (PARTITION BY customer_id) AS first_on
    FROM {{ ref('stg_orders') }}
    WHERE is_sale AND is_business_currency AND customer_id IS NOT NULL AND ordered_on <= {{ as_of() }}
),

cohorts AS (
    SELECT
        date_trunc('month', first_on)::date AS cohort_month,
        count(DISTINCT customer_id) AS customers,
        sum(total_amount) AS revenue,
        sum(total_amount) FILTER (WHERE ordered_on < first_on + 30) AS revenue_30d,
        sum(total_amount) FILTER (WHERE ordered_on < first_on + 90) AS revenue_90d
    FROM sales
    GROUP BY 1
),

valued AS (
    SELECT
        cohort_month,
        customers,
        revenue / customers AS ltv,
        CASE WHEN cohort_month + interval '1 month 29 days' <= {{ as_of() }} THEN revenue_30d / customers END AS ltv_30d,
        CASE WHEN cohort_month + interval '1 month 89 days' <= {{ as_of() }} THEN revenue_90d / customers END AS ltv_90d
    FROM cohorts
),

compared AS (
    SELECT
        *,
        {{ pct_change('ltv_30d', 'lag(ltv_30d) OVER (ORDER BY cohort_month)') }} AS change_pct
    FROM valued
)

SELECT
    {{ organization() }}::text AS organization_id,
    cohort_month,
    customers::bigint AS customers,
    round(ltv, 4)::numeric(18, 4) AS ltv,
    round(ltv_30d, 4)::numeric(18, 4) AS ltv_30d,
    round(ltv_90d, 4)::numeric(18, 4) AS ltv_90d,
    change_pct::numeric(18, 4) AS change_pct,
    CASE
        WHEN change_pct >= 5 THEN 'rising' WHEN change_pct <= -5 THEN 'falling' WHEN change_pct IS NOT NULL THEN 'stable'
    END::text AS trend,
    '{{ var("currency") }}'::text AS currency
FROM compared
