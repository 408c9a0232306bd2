{{ config(indexes=[{'columns': ['organization_id', 'metric_date']}]) }}
-- Days that the detectors found strange, and trends beyond what is usual for the metric.

WITH thresholds AS (
    SELECT * FROM {{ ref('metric_thresholds') }} WHERE enabled
),

labels AS (
    SELECT DISTINCT ON (metric_name, dimension)
        metric_name,
        dimension,
        dimension_label
    FROM {{ ref('metrics_current') }}
    WHERE organization_id = {{ organization() }}
    ORDER BY metric_name, dimension
),

strange AS (
    SELECT
        a.metric_name,
        a.dimension,
        coalesce(l.dimension_label, '') AS dimension_label,
        a.metric_date,
        'anomaly_detection' AS alert_type,
        a.kind AS alert_subtype,
        CASE
            WHEN a.kind = 'missing' THEN 'warning'
            WHEN t.is_higher_better IS NULL OR (a.direction = 'up') = t.is_higher_better THEN 'info'
            WHEN a.score >= 2 * a.threshold THEN 'critical'
            ELSE 'warning'
        END AS severity,
        a.direction,
        a.value AS current_value,
        CASE a.direction WHEN 'up' THEN a.upper WHEN 'down' THEN a.lower END AS threshold_value,
        a.expected AS expected_value,
        a.score,
        t.display_name,
        t.display_name_zh,
        t.unit
    FROM {{ source('analytics', 'anomaly_scores') }} AS a
    INNER JOIN thresholds AS t ON a.metric_name = t.metric_name AND t.detect
    LEFT JOIN labels AS l ON a.metric_name = l.metric_name AND a.dimension = l.dimension
    WHERE a.organization_id = {{ organization() }} AND a.is_anomaly AND a.metric_date <= {{ as_of() }}
        -- A mean of nothing is missing too; where ten cases a day are usual, nothing is no chance.
        AND (a.kind <> 'missing' OR (
            SELECT avg(f.sample_size)
            FROM {{ ref('fct_business_metrics_daily') }} AS f
            WHERE
                f.organization_id = a.organization_id
                AND f.metric_name = a.metric_name
                AND f.dimension = a.dimension
                AND f.metric_date BETWEEN a.metric_date - 28 AND a.metric_date - 1
        ) >= {{ var('missing_min_cases') }})
),

-- How much the 7-day trend of a metric usually swings: over the 90 days before the weeks that are compared.
swings AS (
    SELECT
        m.metric_name,
        m.metric_date,
        m.trend_7d_pct,
        m.trend_30d_pct,
        stddev_samp(m.trend_7d_pct) OVER earlier AS usual_swing,
        count(m.trend_7d_pct) OVER earlier AS days_known,
        sum(f.sample_size) OVER this_week AS cases,
        avg(f.current_value) OVER this_week AS week,
        avg(f.current_value) OVER week_before AS week_before,
        avg(f.current_value) OVER this_month AS month,
        avg(f.current_value) OVER month_before AS month_before
    FROM {{ ref('metric_trends') }} AS m
    INNER JOIN {{ ref('fct_business_metrics_daily') }} AS f
        ON
            m.organization_id = f.organization_id
            AND m.metric_name = f.metric_name
            AND m.dimension = f.dimension
            AND m.metric_date = f.metric_date
    WHERE m.organization_id = {{ organization() }} AND m.dimension = 'all'
    WINDOW
        earlier AS (PARTITION BY m.metric_name ORDER BY m.metric_date ROWS BETWEEN 103 PRECEDING AND 14 PRECEDING),
        this_week AS (PARTITION BY m.metric_name ORDER BY m.metric_date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW),
        week_before AS (PARTITION BY m.metric_name ORDER BY m.metric_date ROWS BETWEEN 13 PRECEDING AND 7 PRECEDING),
        this_month AS (PARTITION BY m.metric_name ORDER BY m.metric_date ROWS BETWEEN 29 PRECEDING AND CURRENT ROW),
        month_before AS (PARTITION BY m.metric_name ORDER BY m.metric_date ROWS BETWEEN 59 PRECEDING AND 30 PRECEDING)
),

-- Both trends go the same way; the week, or else the month, is beyond the limit and the usual swing.
trending AS (
    SELECT
        s.*,
        t.display_name,
        t.display_name_zh,
        t.unit,
        t.is_higher_better,
        t.trend_limit_pct,
        abs(s.trend_7d_pct) >= t.trend_limit_pct AS is_weekly
    FROM swings AS s
    INNER JOIN thresholds AS t ON s.metric_name = t.metric_name
    WHERE
        s.days_known >= {{ var('trend_min_days') }} * 2 / 3
        AND s.cases >= {{ var('trend_min_cases') }}
        AND sign(s.trend_7d_pct) = sign(s.trend_30d_pct)
        AND abs(s.trend_30d_pct) >= t.trend_limit_pct / 2
        AND greatest(abs(s.trend_7d_pct), abs(s.trend_30d_pct)) >= t.trend_limit_pct
        AND abs(s.trend_7d_pct) >= {{ var('trend_z') }} * s.usual_swing
),

trends AS (
    SELECT
        metric_name,
        'all' AS dimension,
        '' AS dimension_label,
        metric_date,
        'trend_analysis' AS alert_type,
        CASE WHEN is_weekly THEN 'trend_7d' ELSE 'trend_30d' END AS alert_subtype,
        CASE
            WHEN is_higher_better IS NULL OR (trend_7d_pct > 0) = is_higher_better THEN 'info' ELSE 'warning'
        END AS severity,
        CASE WHEN trend_7d_pct > 0 THEN 'up' ELSE 'down' END AS direction,
        CASE WHEN is_weekly THEN week ELSE month END AS current_value,
        CASE WHEN is_weekly THEN week_before ELSE month_before END
        * (1 + sign(trend_7d_pct) * trend_limit_pct / 100) AS threshold_value,
        CASE WHEN is_weekly THEN week_before ELSE month_before END AS expected_value,
        (abs(trend_7d_pct) / nullif(usual_swing, 0))::double precision AS score,
        display_name,
        display_name_zh,
        unit
    FROM trending
),

-- Revenue that swings far more than it did in the 90 days before.
unsteady AS (
    SELECT
        f.metric_date,
        f.current_value,
        avg(f.current_value) OVER earlier AS usual,
        stddev_samp(f.current_value) OVER earlier AS spread,
        count(f.current_value) OVER earlier AS days_known
    FROM {{ ref('fct_business_metrics_daily') }} AS f
    WHERE f.organization_id = {{ organization() }} AND f.metric_name = 'volatility' AND f.dimension = 'all'
    WINDOW earlier AS (ORDER BY f.metric_date ROWS BETWEEN 117 PRECEDING AND 28 PRECEDING)
),

volatile AS (
    SELECT
        t.metric_name,
        'all',
        '',
        u.metric_date,
        'trend_analysis',
        'volatility',
        'warning',
        'up',
        u.current_value,
        greatest(2 * u.usual, u.usual + {{ var('trend_z') }} * u.spread),
        u.usual,
        ((u.current_value - u.usual) / nullif(u.spread, 0))::double precision,
        t.display_name,
        t.display_name_zh,
        t.unit
    FROM unsteady AS u
    INNER JOIN thresholds AS t ON t.metric_name = 'volatility'
    WHERE
        u.days_known >= {{ var('trend_min_days') }} * 2 / 3
        AND u.current_value >= greatest(2 * u.usual, u.usual + {{ var('trend_z') }} * u.spread)
),

candidates AS (
    SELECT
        *,
        {{ series_name('en') }} AS name_en,
        {{ series_name('zh-Hant') }} AS name_zh,
        round(100 * (current_value - expected_value) / nullif(abs(expected_value), 0)) AS change_pct
    FROM (
        SELECT * FROM strange
        UNION ALL
        SELECT * FROM trends
        UNION ALL
        SELECT * FROM volatile
    ) AS found
),

worded AS (
    SELECT
        *,
        {{ format_value('current_value', 'unit', 'en') }} AS value_en,
        {{ format_value('current_value', 'unit', 'zh-Hant') }} AS value_zh,
        {{ format_value('expected_value', 'unit', 'en') }} AS expected_en,
        {{ format_value('expected_value', 'unit', 'zh-Hant') }} AS expected_zh,
        to_char(abs(change_pct), 'FM999,999,990') || '%' AS change,
        CASE alert_subtype WHEN 'trend_30d' THEN '30' ELSE '7' END AS days
    FROM candidates
)

SELECT
    {{ organization() }}::text AS organization_id,
    metric_name::varchar(100) AS metric_name,
    dimension::text AS dimension,
    dimension_label::text AS dimension_label,
    metric_date::date AS metric_date,
    alert_type::varchar(50) AS alert_type,
    alert_subtype::varchar(50) AS alert_subtype,
    severity::varchar(20) AS severity,
    direction::varchar(4) AS direction,
    round(current_value, 4)::numeric(18, 4) AS current_value,
    round(threshold_value, 4)::numeric(18, 4) AS threshold_value,
    round(expected_value, 4)::numeric(18, 4) AS expected_value,
    score::double precision AS score,
    (name_en || CASE
        WHEN alert_subtype = 'missing' THEN ' missing'
        WHEN alert_subtype = 'shift' AND direction = 'up' THEN ' at a higher level'
        WHEN alert_subtype = 'shift' THEN ' at a lower level'
        WHEN alert_subtype = 'drift' AND direction = 'up' THEN ' creeping up'
        WHEN alert_subtype = 'drift' THEN ' sliding'
        WHEN alert_subtype = 'volatility' THEN ' unusually high'
        WHEN alert_type = 'trend_analysis' AND direction = 'up' THEN ' rising fast'
        WHEN alert_type = 'trend_analysis' THEN ' falling fast'
        WHEN direction = 'up' THEN ' unusually high'
        ELSE ' unusually low'
    END)::text AS title_en,
    (name_zh || CASE
        WHEN alert_subtype = 'missing' THEN '缺少資料'
        WHEN alert_subtype = 'shift' AND direction = 'up' THEN '整體水準升高'
        WHEN alert_subtype = 'shift' THEN '整體水準降低'
        WHEN alert_subtype = 'drift' AND direction = 'up' THEN '持續攀升'
        WHEN alert_subtype = 'drift' THEN '持續下滑'
        WHEN alert_subtype = 'volatility' THEN '異常偏高'
        WHEN alert_type = 'trend_analysis' AND direction = 'up' THEN '快速上升'
        WHEN alert_type = 'trend_analysis' THEN '快速下降'
        WHEN direction = 'up' THEN '異常偏高'
        ELSE '異常偏低'
    END)::text AS title_zh,
    (name_en || CASE
        WHEN alert_subtype = 'missing'
            THEN ': no value arrived for ' || metric_date || coalesce('; about ' || expected_en || ' is usual', '')
        WHEN alert_subtype IN ('trend_7d', 'trend_30d')
            THEN
                ': ' || value_en || ' a day on average in the ' || days || ' days up to ' || metric_date
                || CASE direction WHEN 'up' THEN ', up ' ELSE ', down ' END || change || ' from ' || expected_en
                || ' in the ' || days || ' days before'
        WHEN alert_subtype IN ('shift', 'drift')
            THEN
                CASE direction WHEN 'up' THEN ': higher' ELSE ': lower' END || ' than usual for days now; '
                || value_en || ' on ' || metric_date
        ELSE
            ': ' || value_en || ' on ' || metric_date || coalesce(', where about ' || expected_en || ' is usual', '')
            || CASE
                WHEN change_pct > 0 THEN ' (' || change || ' higher)'
                WHEN change_pct < 0 THEN ' (' || change || ' lower)'
                ELSE ''
            END
    END || '.')::text AS message_en,
    (CASE
        WHEN alert_subtype = 'missing'
            THEN metric_date || ' 沒有收到' || name_zh || '的資料' || coalesce('，平常約為 ' || expected_zh, '')
        WHEN alert_subtype IN ('trend_7d', 'trend_30d')
            THEN
                '截至 ' || metric_date || ' 的 ' || days || ' 天內，' || name_zh || '每日平均 ' || value_zh
                || '，比前 ' || days || ' 天' || CASE direction WHEN 'up' THEN '增加 ' ELSE '減少 ' END || change
                || '（前 ' || days || ' 天為 ' || expected_zh || '）'
        WHEN alert_subtype IN ('shift', 'drift')
            THEN
                name_zh || '連日' || CASE direction WHEN 'up' THEN '高於' ELSE '低於' END || '平常水準；'
                || metric_date || ' 為 ' || value_zh
        ELSE
            metric_date || ' ' || name_zh || ' ' || value_zh || coalesce('，平常約為 ' || expected_zh, '')
            || CASE
                WHEN change_pct > 0 THEN '，高出 ' || change
                WHEN change_pct < 0 THEN '，低了 ' || change
                ELSE ''
            END
    END || '。')::text AS message_zh
FROM worded
