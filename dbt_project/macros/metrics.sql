{# Metrics made of metrics: how customers, revenue and efficiency changed in 7 days, and how unsteady revenue is. #}
{% macro trend_metrics(bases) -%}
    WITH windows AS (
        SELECT
            metric_name,
            metric_date,
            avg(current_value) OVER (
                PARTITION BY metric_name ORDER BY metric_date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW
            ) AS last_week,
            avg(current_value) OVER (
                PARTITION BY metric_name ORDER BY metric_date ROWS BETWEEN 13 PRECEDING AND 7 PRECEDING
            ) AS week_before,
            row_number() OVER (PARTITION BY metric_name ORDER BY metric_date) AS day_number,
            avg(current_value) OVER (
                PARTITION BY metric_name ORDER BY metric_date ROWS BETWEEN 27 PRECEDING AND CURRENT ROW
            ) AS level,
            current_value,
            lag(current_value, 7) OVER (PARTITION BY metric_name ORDER BY metric_date) AS week_ago
        FROM {{ bases }}
        WHERE metric_name IN (
            'daily_revenue', 'active_customers', 'order_completion_rate', 'average_delivery_days', 'avg_response_time'
        )
    ),
    changes AS (
        SELECT
            metric_name,
            metric_date,
            day_number,
            {{ pct_change('last_week', 'week_before') }} AS change_pct,
            100 * stddev_samp(current_value - week_ago) OVER (
                PARTITION BY metric_name ORDER BY metric_date ROWS BETWEEN 27 PRECEDING AND CURRENT ROW
            ) / nullif(sqrt(2)::numeric * level, 0) AS unsteadiness
        FROM windows
    )
    SELECT
        CASE metric_name
            WHEN 'active_customers' THEN 'customer_trend_pct' ELSE 'revenue_trend_pct'
        END AS metric_name,
        metric_date,
        change_pct AS current_value,
        14 AS sample_size
    FROM changes
    WHERE metric_name IN ('active_customers', 'daily_revenue') AND day_number >= 14
    UNION ALL
    SELECT
        'efficiency_trend_pct',
        metric_date,
        avg(greatest(-100, least(100, CASE WHEN metric_name = 'order_completion_rate' THEN change_pct ELSE -change_pct END))),
        14
    FROM changes
    WHERE
        metric_name IN ('order_completion_rate', 'average_delivery_days', 'avg_response_time') AND day_number >= 14
    GROUP BY metric_date
    UNION ALL
    SELECT
        'volatility',
        metric_date,
        unsteadiness,
        28
    FROM changes
    WHERE metric_name = 'daily_revenue' AND day_number >= 35
{%- endmacro %}


{# In the transaction of the metrics: which state of the facts they were computed from. #}
{% macro remember_computed_days() -%}
    INSERT INTO {{ source('analytics', 'computed_days') }} (
        organization_id, family, metric_date, facts_state, definition
    )
    SELECT {{ organization() }}, family, metric_date, facts_state, definition
    FROM {{ ref('int_days_due') }}
    ON CONFLICT (organization_id, family, metric_date) DO UPDATE
    SET facts_state = excluded.facts_state, definition = excluded.definition, computed_at = clock_timestamp()
{%- endmacro %}


{# The seed becomes the table that the pipeline reads. A metric taken from the seed is switched off, not deleted:
   alerts refer to it. #}
{% macro publish_thresholds() -%}
    {%- set columns = [
        "display_name", "display_name_zh", "category", "is_higher_better", "comparison", "warning_threshold",
        "critical_threshold", "unit", "trend_limit_pct", "seasonality", "value_kind", "min_history_days",
        "false_alarms_per_30_days", "detect", "enabled", "owner", "description",
    ] -%}
    WITH switched_off AS (
        UPDATE analytics.metric_thresholds AS t
        SET enabled = false
        WHERE NOT EXISTS (SELECT FROM {{ this }} AS s WHERE s.metric_name = t.metric_name)
    )
    INSERT INTO analytics.metric_thresholds (metric_name, {{ columns | join(", ") }})
    SELECT
        metric_name, display_name, display_name_zh, category, is_higher_better, comparison, warning_threshold,
        critical_threshold, coalesce(unit, ''), trend_limit_pct, seasonality, value_kind, min_history_days,
        false_alarms_per_30_days, detect, enabled, owner, coalesce(description, '')
    FROM {{ this }}
    ON CONFLICT (metric_name) DO UPDATE SET
    {%- for column in columns %}
        {{ column }} = excluded.{{ column }}{{ "" if loop.last else "," }}
    {%- endfor %}
{%- endmacro %}


{# When a row is computed. A macro, so that unit tests can stop the clock. #}
{% macro computing_moment() -%}
    clock_timestamp()
{%- endmacro %}
