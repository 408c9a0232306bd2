{{ config(indexes=[{'columns': ['organization_id', 'metric_date']}]) }}
-- Every day beyond a limit is a candidate; how alerts live from them is the business of the alert engine.

WITH limits AS (
    SELECT *
    FROM {{ ref('metric_thresholds') }}
    WHERE enabled AND warning_threshold IS NOT NULL OR enabled AND critical_threshold IS NOT NULL
),

-- A share of few cases says little: its interval must be beyond the limit, not just the share.
measured AS (
    SELECT
        f.*,
        t.display_name,
        t.display_name_zh,
        t.unit,
        t.comparison,
        t.warning_threshold,
        t.critical_threshold,
        CASE
            WHEN t.value_kind <> 'share' OR f.sample_size = 0 OR f.metric_name = 'price_deviation' THEN f.current_value
            WHEN t.comparison = 'gt' THEN {{ share_bound('f.current_value', 'f.sample_size', 'lower') }}
            ELSE {{ share_bound('f.current_value', 'f.sample_size', 'upper') }}
        END AS certain_value
    FROM {{ ref('fct_business_metrics_daily') }} AS f
    INNER JOIN limits AS t ON f.metric_name = t.metric_name
    WHERE f.organization_id = {{ organization() }} AND f.current_value IS NOT NULL
),

breaches AS (
    SELECT
        *,
        CASE
            WHEN (comparison = 'gt' AND certain_value > critical_threshold)
                OR (comparison = 'lt' AND certain_value < critical_threshold) THEN 'critical'
            WHEN (comparison = 'gt' AND certain_value > warning_threshold)
                OR (comparison = 'lt' AND certain_value < warning_threshold) THEN 'warning'
        END AS severity
    FROM measured
),

limited AS (
    SELECT
        *,
        CASE severity WHEN 'critical' THEN critical_threshold ELSE warning_threshold END AS threshold_value,
        {{ series_name('en') }} AS name_en,
        {{ series_name('zh-Hant') }} AS name_zh
    FROM breaches
    WHERE severity IS NOT NULL
)

SELECT
    organization_id,
    metric_name,
    dimension,
    dimension_label,
    metric_date,
    'threshold_breach'::varchar(50) AS alert_type,
    'static'::varchar(50) AS alert_subtype,
    severity::varchar(20) AS severity,
    CASE comparison WHEN 'gt' THEN 'up' ELSE 'down' END::varchar(4) AS direction,
    current_value,
    threshold_value::numeric(18, 4) AS threshold_value,
    NULL::numeric(18, 4) AS expected_value,
    round(abs(current_value - threshold_value) / nullif(abs(threshold_value), 0), 4)::double precision AS score,
    (name_en || CASE comparison WHEN 'gt' THEN ' above the limit' ELSE ' below the limit' END)::text AS title_en,
    (name_zh || CASE comparison WHEN 'gt' THEN '超過上限' ELSE '低於下限' END)::text AS title_zh,
    (
        name_en || ': ' || {{ format_value('current_value', 'unit', 'en') }} || ' on ' || metric_date || ', '
        || {{ format_difference('current_value - threshold_value', 'unit', 'en') }}
        || CASE comparison WHEN 'gt' THEN ' above' ELSE ' below' END
        || CASE severity WHEN 'critical' THEN ' the critical limit of ' ELSE ' the warning limit of ' END
        || {{ format_value('threshold_value', 'unit', 'en') }} || '.'
    )::text AS message_en,
    (
        metric_date || ' ' || name_zh || ' ' || {{ format_value('current_value', 'unit', 'zh-Hant') }} || '，'
        || CASE comparison WHEN 'gt' THEN '高於' ELSE '低於' END
        || CASE severity WHEN 'critical' THEN '嚴重門檻 ' ELSE '警告門檻 ' END
        || {{ format_value('threshold_value', 'unit', 'zh-Hant') }} || '，相差 '
        || {{ format_difference('current_value - threshold_value', 'unit', 'zh-Hant') }} || '。'
    )::text AS message_zh
FROM limited
