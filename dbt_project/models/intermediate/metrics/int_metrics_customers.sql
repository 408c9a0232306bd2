-- Customers by what they bought in the days before. Every customer's days are cut into pieces that do not overlap,
-- so a running sum of their beginnings and ends counts each customer once a day.

WITH purchases AS (
    SELECT
        customer_id,
        ordered_on,
        sum(total_amount) FILTER (WHERE is_business_currency) AS amount
    FROM {{ ref('stg_orders') }}
    WHERE is_sale AND customer_id IS NOT NULL
    GROUP BY customer_id, ordered_on
),

visits AS (
    SELECT
        customer_id,
        ordered_on,
        coalesce(amount, 0) AS amount,
        coalesce(lead(ordered_on) OVER (PARTITION BY customer_id ORDER BY ordered_on), 'infinity') AS next_on
    FROM purchases
),

-- active: bought in the last 30 days. base: bought 90 to 179 days ago. lost: did so, and not since.
pieces AS (
    SELECT
        'active' AS kind,
        ordered_on AS from_day,
        least(ordered_on + 30, next_on) AS to_day
    FROM visits
    UNION ALL
    SELECT
        'base',
        ordered_on + 90,
        least(ordered_on + 180, CASE WHEN next_on < 'infinity' THEN next_on + 90 END)
    FROM visits
    UNION ALL
    SELECT
        'lost',
        ordered_on + 90,
        least(ordered_on + 180, next_on)
    FROM visits
    WHERE next_on > ordered_on + 90
),

-- What the top tenth of customers spent in the 90 days before a month is the bar of that month.
months AS (
    SELECT DISTINCT date_trunc('month', metric_date)::date AS month
    FROM {{ days_due('high_value_customers') }} AS d
),

spent AS (
    SELECT
        m.month,
        p.customer_id,
        sum(p.amount) AS amount
    FROM months AS m
    INNER JOIN visits AS p ON p.ordered_on BETWEEN m.month - 90 AND m.month - 1
    GROUP BY m.month, p.customer_id
),

bars AS (
    SELECT
        month,
        (month + interval '1 month')::date AS next_month,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY amount) AS bar
    FROM spent
    GROUP BY month
    HAVING count(*) >= {{ var('min_high_value_customers') }}
),

spending_changes AS (
    SELECT
        customer_id,
        ordered_on AS day,
        amount AS change
    FROM visits
    UNION ALL
    SELECT
        customer_id,
        ordered_on + 90,
        -amount
    FROM visits
),

spending AS (
    SELECT
        customer_id,
        day AS from_day,
        sum(sum(change)) OVER (PARTITION BY customer_id ORDER BY day) AS amount,
        lead(day) OVER (PARTITION BY customer_id ORDER BY day) AS to_day
    FROM spending_changes
    GROUP BY customer_id, day
),

high_value AS (
    SELECT
        greatest(s.from_day, b.month) AS from_day,
        least(s.to_day, b.next_month) AS to_day
    FROM spending AS s
    INNER JOIN bars AS b ON s.from_day < b.next_month AND s.to_day > b.month
    WHERE s.amount >= b.bar AND s.amount > 0
),

changes AS (
    SELECT
        kind,
        from_day AS day,
        1 AS change
    FROM pieces
    UNION ALL
    SELECT
        kind,
        to_day,
        -1
    FROM pieces
    UNION ALL
    SELECT
        'high_value',
        from_day,
        1
    FROM high_value
    UNION ALL
    SELECT
        'high_value',
        to_day,
        -1
    FROM high_value
    UNION ALL
    SELECT
        kind,
        due.metric_date,
        0
    FROM (VALUES ('active'), ('base'), ('lost'), ('high_value')) AS kinds (kind)
    CROSS JOIN (
        SELECT DISTINCT metric_date FROM {{ ref('int_days_due') }}
        WHERE family IN ('active_customers', 'high_value_customers', 'churn')
    ) AS due
),

counts AS (
    SELECT
        kind,
        day,
        sum(sum(change)) OVER (PARTITION BY kind ORDER BY day) AS customers
    FROM changes
    GROUP BY kind, day
),

metrics AS (
    SELECT
        d.metric_date,
        'active_customers' AS metric_name,
        c.customers::numeric AS current_value,
        c.customers AS sample_size
    FROM {{ days_due('active_customers') }} AS d
    INNER JOIN counts AS c ON d.metric_date = c.day AND c.kind = 'active'
    UNION ALL
    SELECT
        d.metric_date,
        'high_value_customers',
        CASE WHEN b.bar IS NOT NULL THEN c.customers END,
        c.customers
    FROM {{ days_due('high_value_customers') }} AS d
    INNER JOIN counts AS c ON d.metric_date = c.day AND c.kind = 'high_value'
    LEFT JOIN bars AS b ON d.metric_date >= b.month AND d.metric_date < b.next_month
    UNION ALL
    SELECT
        d.metric_date,
        'customer_churn_rate',
        CASE WHEN base.customers >= {{ var('min_churn_customers') }} THEN lost.customers::numeric / base.customers END,
        base.customers
    FROM {{ days_due('churn') }} AS d
    INNER JOIN counts AS base ON d.metric_date = base.day AND base.kind = 'base'
    INNER JOIN counts AS lost ON d.metric_date = lost.day AND lost.kind = 'lost'
)

SELECT
    metric_name,
    'all' AS dimension,
    '' AS dimension_label,
    metric_date,
    round(current_value, 4)::numeric(18, 4) AS current_value,
    sample_size
FROM metrics
