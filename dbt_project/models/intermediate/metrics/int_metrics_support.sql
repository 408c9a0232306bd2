-- Tickets, and how long people wait for the first answer.

-- Those answered on the day, and those that have waited over a day and still do: a silent desk must show.
WITH waits AS (
    SELECT
        answered_on AS metric_date,
        extract(EPOCH FROM first_response_at - created_at) / 60 AS minutes
    FROM {{ ref('stg_support_tickets') }}
    WHERE answered_on IN {{ days_due('tickets') }}
    UNION ALL
    SELECT
        d.metric_date,
        extract(EPOCH FROM {{ day_end('d.metric_date') }} - t.created_at) / 60
    FROM {{ ref('stg_support_tickets') }} AS t
    INNER JOIN {{ days_due('tickets') }} AS d
        ON
            d.metric_date > t.created_on
            AND d.metric_date <= t.created_on + {{ var('ticket_days') }}
            AND (t.answered_on IS NULL OR d.metric_date < t.answered_on)
    WHERE
        (t.first_response_at IS NULL OR t.answered_on > t.created_on + 1)
        AND {{ day_end('d.metric_date') }} > t.created_at + interval '1 day'
        AND {{ not_before_due('t.created_at', 'tickets', var('ticket_days') + 1) }}
),

waited AS (
    SELECT
        metric_date,
        avg(minutes) AS minutes,
        count(*) AS tickets
    FROM waits
    GROUP BY metric_date
),

opened AS (
    SELECT
        d.metric_date,
        count(t.ticket_id) AS tickets
    FROM {{ days_due('tickets') }} AS d
    LEFT JOIN {{ ref('stg_support_tickets') }} AS t
        ON d.metric_date = t.created_on AND {{ not_before_due('t.created_at', 'tickets') }}
    GROUP BY d.metric_date
)

SELECT
    m.metric_name,
    'all' AS dimension,
    '' AS dimension_label,
    o.metric_date,
    round(m.current_value, 4)::numeric(18, 4) AS current_value,
    m.sample_size
FROM opened AS o
LEFT JOIN waited AS w ON o.metric_date = w.metric_date
CROSS JOIN LATERAL (
    VALUES
    ('ticket_volume', o.tickets::numeric, o.tickets),
    ('avg_response_time', w.minutes, coalesce(w.tickets, 0))
) AS m (metric_name, current_value, sample_size)
