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


{# Parts of the business of which no fact is left. #}
{% macro forget_dimensions() -%}
    DELETE FROM {{ this }}
    WHERE dimension NOT IN (
        SELECT d.dimension
        FROM {{ ref('stg_order_items') }} AS i
        LEFT JOIN {{ ref('stg_products') }} AS p ON i.product_id = p.product_id
        CROSS JOIN LATERAL (VALUES ('product:' || i.product_id), ('category:' || p.category)) AS d (dimension)
        WHERE d.dimension IS NOT NULL
        UNION
        SELECT 'region:' || c.region
        FROM {{ ref('stg_orders') }} AS o
        INNER JOIN {{ ref('stg_customers') }} AS c ON o.customer_id = c.customer_id
        WHERE c.region IS NOT NULL
        UNION
        SELECT 'tag:' || tag_id FROM {{ ref('stg_content_tags') }}
    )
{%- endmacro %}


{# Days before a metric begins or after the last day, and series that are judged no more: facts may be taken away, as
   those of the demo are. #}
{% macro forget_days() -%}
    {%- if is_incremental() %}
    DELETE FROM {{ this }} AS f
    WHERE
        f.organization_id = {{ organization() }}
        AND (
            f.metric_date > {{ as_of() }}
            OR (f.dimension <> 'all' AND f.dimension NOT IN (SELECT dimension FROM {{ ref('int_dimensions') }}))
            OR EXISTS (
                SELECT FROM {{ ref('int_metric_spans') }} AS s
                WHERE s.metric_name = f.metric_name AND f.metric_date < coalesce(s.first_day, 'infinity')
            )
        );
    {%- endif %}
    DELETE FROM {{ source('analytics', 'computed_days') }} AS c
    WHERE
        c.organization_id = {{ organization() }}
        AND NOT EXISTS (
            SELECT FROM {{ ref('int_metric_spans') }} AS s
            WHERE s.family = c.family AND c.metric_date BETWEEN s.first_day AND {{ as_of() }}
        )
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
