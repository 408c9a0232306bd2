{{ config(indexes=[{'columns': ['organization_id', 'metric_name', 'dimension', 'metric_date'], 'unique': true}]) }}
-- Facts that are not known are left out of the document: nothing in it is invented.

WITH candidates AS (
    SELECT * FROM {{ ref('alerts_threshold') }}
    UNION ALL
    SELECT * FROM {{ ref('alerts_trend_anomaly') }}
),

-- The worst candidate of a series and day speaks for it.
worst AS (
    SELECT DISTINCT ON (metric_name, dimension, metric_date)
        metric_name,
        dimension,
        metric_date,
        current_value,
        threshold_value,
        expected_value,
        severity
    FROM candidates
    ORDER BY
        metric_name,
        dimension,
        metric_date,
        array_position(ARRAY['critical', 'warning', 'info'], severity::text),
        alert_type DESC
),

subjects AS (
    SELECT * FROM worst
    UNION ALL
    SELECT
        c.metric_name,
        c.dimension,
        c.metric_date,
        c.current_value,
        t.warning_threshold,
        NULL,
        'none'
    FROM {{ ref('metrics_current') }} AS c
    INNER JOIN {{ ref('metric_thresholds') }} AS t ON c.metric_name = t.metric_name
    WHERE
        c.organization_id = {{ organization() }}
        AND c.dimension = 'all'
        AND NOT EXISTS (
            SELECT FROM worst AS w
            WHERE w.metric_name = c.metric_name AND w.dimension = 'all' AND w.metric_date = c.metric_date
        )
),

whole_business AS (
    SELECT
        metric_date,
        jsonb_object_agg(metric_name, trim_scale(current_value)) FILTER (WHERE metric_name IN (
            'active_customers', 'high_value_customers', 'daily_revenue', 'order_completion_rate', 'pending_orders'
        )) AS indicators,
        jsonb_object_agg(metric_name, trim_scale(current_value)) FILTER (WHERE metric_name IN (
            'customer_trend_pct', 'revenue_trend_pct', 'efficiency_trend_pct'
        )) AS trends,
        avg(max(current_value) FILTER (WHERE metric_name = 'average_order_value')) OVER (
            ORDER BY metric_date ROWS BETWEEN 27 PRECEDING AND CURRENT ROW
        ) AS order_value
    FROM {{ ref('fct_business_metrics_daily') }}
    WHERE organization_id = {{ organization() }} AND dimension = 'all' AND current_value IS NOT NULL
    GROUP BY metric_date
),

related AS (
    SELECT
        s.metric_name,
        s.dimension,
        s.metric_date,
        jsonb_agg(
            jsonb_build_object('metric', r.metric_name, 'severity', r.severity, 'detected_hours_ago', r.hours_ago)
            ORDER BY array_position(ARRAY['critical', 'warning', 'info'], r.severity), r.hours_ago, r.metric_name
        ) AS alerts
    FROM subjects AS s
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (c.metric_name)
            c.metric_name,
            c.severity::text AS severity,
            24 * (s.metric_date - c.metric_date) AS hours_ago
        FROM candidates AS c
        WHERE c.metric_date BETWEEN s.metric_date - 1 AND s.metric_date AND c.metric_name <> s.metric_name
        ORDER BY c.metric_name, array_position(ARRAY['critical', 'warning', 'info'], c.severity::text), c.metric_date DESC
    ) AS r
    GROUP BY s.metric_name, s.dimension, s.metric_date
),

events AS (
    SELECT
        d.day,
        jsonb_agg(e.name ORDER BY r.day DESC, e.name) AS names
    FROM {{ ref('dim_calendar') }} AS d
    INNER JOIN {{ ref('dim_calendar') }} AS r ON r.day BETWEEN d.day - 6 AND d.day
    CROSS JOIN LATERAL unnest(r.event_names) AS e (name)
    GROUP BY d.day
),

facts AS (
    SELECT
        s.*,
        f.sample_size,
        t.category,
        {{ day_end('s.metric_date') }} AS snapshot_at,
        {{ estimate_affected_customers('s.metric_name', 's.current_value', 'f.sample_size') }} AS affected_customers,
        {{ estimate_revenue_impact(
            's.metric_name', 's.current_value', 'f.sample_size', 's.expected_value', 'w.order_value'
        ) }} AS revenue_impact,
        w.indicators,
        w.trends,
        m.trend_7d_pct,
        m.trend_30d_pct,
        m.volatility_index,
        m.trend_direction,
        k.day_of_week,
        k.day_name,
        k.season_factor,
        e.names AS event_names,
        r.alerts AS related_alerts
    FROM subjects AS s
    INNER JOIN {{ ref('metric_thresholds') }} AS t ON s.metric_name = t.metric_name
    LEFT JOIN {{ ref('fct_business_metrics_daily') }} AS f
        ON
            f.organization_id = {{ organization() }}
            AND s.metric_name = f.metric_name
            AND s.dimension = f.dimension
            AND s.metric_date = f.metric_date
    LEFT JOIN whole_business AS w ON s.metric_date = w.metric_date
    LEFT JOIN {{ ref('metric_trends') }} AS m
        ON
            m.organization_id = {{ organization() }}
            AND s.metric_name = m.metric_name
            AND s.dimension = m.dimension
            AND s.metric_date = m.metric_date
    LEFT JOIN {{ ref('dim_calendar') }} AS k ON s.metric_date = k.day
    LEFT JOIN events AS e ON s.metric_date = e.day
    LEFT JOIN related AS r
        ON s.metric_name = r.metric_name AND s.dimension = r.dimension AND s.metric_date = r.metric_date
)

SELECT
    {{ organization() }}::text AS organization_id,
    metric_name,
    dimension,
    metric_date,
    jsonb_strip_nulls(jsonb_build_object(
        'schema_version', 1,
        'snapshot_timestamp', to_char(snapshot_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'metric_category', category,
        'current_business_hours', {{ is_business_hours("snapshot_at - interval '1 second'") }},
        'day_of_week', extract(DOW FROM metric_date)::integer,
        'season_factor', season_factor,
        'currency', '{{ var("currency") }}',
        'triggering_metrics', jsonb_build_object(
            'primary_metric', metric_name,
            'dimension', dimension,
            'current_value', trim_scale(current_value),
            'threshold_value', trim_scale(threshold_value),
            'expected_value', trim_scale(expected_value),
            'breach_severity', severity
        ),
        'business_indicators', coalesce(indicators, '{}'),
        'trend_analysis', coalesce(trends, '{}') || jsonb_build_object(
            'trend_period', '7_days',
            'trend_7d', trim_scale(trend_7d_pct),
            'trend_30d', trim_scale(trend_30d_pct),
            'volatility', trim_scale(volatility_index),
            'trend_direction', trend_direction
        ),
        'contextual_factors', jsonb_build_object(
            'time_of_day', 'end_of_day',
            'day_of_week', lower(trim(to_char(metric_date, 'day'))),
            'seasonal_factor', season_factor,
            'recent_events', coalesce(event_names, '[]')
        ),
        'related_alerts', coalesce(related_alerts, '[]'),
        'business_impact', jsonb_build_object(
            'affected_customers', affected_customers,
            'revenue_impact', CASE WHEN revenue_impact IS NOT NULL THEN jsonb_build_object(
                'amount', revenue_impact,
                'currency', '{{ var("currency") }}',
                'per', 'day',
                'text', {{ format_value('revenue_impact', "'money'", 'en') }} || '/day'
            ) END,
            'operational_impact', {{ get_operational_impact_level('severity') }}
        ),
        'evidence', '{}'::jsonb
    )) AS business_context
FROM facts
