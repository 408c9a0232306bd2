{{ config(materialized='table') }}

WITH thresholds AS (
    SELECT * FROM {{ source('analytics', 'metric_thresholds') }}
),

recent AS (
    SELECT
        a.*,
        t.display_name,
        t.display_name_zh,
        t.category,
        t.unit,
        CASE
            WHEN a.alert_subtype = 'missing' THEN 'bad'
            WHEN t.is_higher_better IS NULL THEN 'neutral'
            WHEN (a.direction = 'up') = t.is_higher_better THEN 'good'
            ELSE 'bad'
        END AS tone
    FROM {{ source('analytics', 'dashboard_alerts') }} AS a
    INNER JOIN thresholds AS t ON a.metric_name = t.metric_name
    WHERE
        a.organization_id = {{ organization() }}
        AND a.last_metric_date > {{ as_of() }} - {{ var('insight_days') }}
        AND a.resolution IS DISTINCT FROM 'corrected'
        -- alerts about the AI are no news of the business
        AND NOT starts_with(coalesce(a.alert_subtype, ''), 'ai_')
),

alerts AS (
    SELECT
        *,
        min(metric_date) OVER series AS since,
        max(last_metric_date) OVER series AS until,
        bool_or(is_active) OVER series AS is_open,
        jsonb_agg(id) OVER series AS alert_ids,
        row_number() OVER (
            series ORDER BY
                is_active DESC,
                array_position(ARRAY['critical', 'warning', 'info'], severity::text),
                jsonb_array_length(coalesce(evidence_refs -> 'top_tags', '[]')) DESC,
                last_metric_date DESC,
                id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS place
    FROM recent
    WINDOW series AS (PARTITION BY metric_name, dimension, tone)
),

alert_subjects AS (
    SELECT
        'alert' AS looks_at,
        id AS alert_id,
        metric_name,
        dimension,
        dimension_label,
        display_name,
        display_name_zh,
        category,
        tone,
        severity,
        alert_subtype AS subtype,
        is_open,
        since,
        until,
        current_value AS value,
        threshold_value AS reference,
        unit,
        NULL::numeric AS change_pct,
        NULL::text AS items_en,
        NULL::text AS items_zh,
        coalesce(texts #>> '{en,message}', message) AS message_en,
        coalesce(texts #>> '{zh-Hant,message}', message) AS message_zh,
        (
            SELECT jsonb_agg(e.tag ORDER BY e.place)
            FROM jsonb_array_elements(evidence_refs -> 'top_tags') WITH ORDINALITY AS e (tag, place)
            WHERE (e.tag ->> 'q_value')::numeric <= 0.05 AND e.place <= 3
        ) AS tags,
        (business_context #>> '{business_impact,revenue_impact,amount}')::numeric AS revenue_impact,
        jsonb_build_object(
            'alerts', alert_ids,
            'metrics', jsonb_build_array(metric_name),
            'rows', coalesce(evidence_refs -> 'top_rows', '[]')
        ) AS rests_on
    FROM alerts
    WHERE place = 1
),

trend_subjects AS (
    SELECT
        'trend',
        NULL::uuid,
        m.metric_name,
        m.dimension,
        '',
        t.display_name,
        t.display_name_zh,
        t.category,
        CASE WHEN (m.trend_30d_pct > 0) = t.is_higher_better THEN 'good' ELSE 'bad' END,
        'info',
        'trend_30d',
        true,
        m.metric_date - 29,
        m.metric_date,
        NULL::numeric,
        NULL::numeric,
        t.unit,
        m.trend_30d_pct,
        NULL,
        NULL,
        t.display_name || ' changed by ' || to_char(m.trend_30d_pct, 'FMSG999,990') || '% in 30 days.',
        t.display_name_zh || '近 30 天變動 ' || to_char(m.trend_30d_pct, 'FMSG999,990') || '%。',
        NULL::jsonb,
        NULL::numeric,
        jsonb_build_object('metrics', jsonb_build_array(m.metric_name))
    FROM {{ ref('metric_trends') }} AS m
    INNER JOIN thresholds AS t ON m.metric_name = t.metric_name
    WHERE
        m.organization_id = {{ organization() }}
        AND m.dimension = 'all'
        AND m.metric_date = {{ as_of() }}
        AND t.enabled
        AND t.is_higher_better IS NOT NULL
        AND t.trend_limit_pct IS NOT NULL
        AND abs(m.trend_30d_pct) >= greatest(t.trend_limit_pct / 2, 10)
        AND sign(m.trend_7d_pct) = sign(m.trend_30d_pct)
        AND NOT EXISTS (
            SELECT FROM alert_subjects AS a
            WHERE a.metric_name = m.metric_name AND a.dimension = m.dimension AND a.is_open
        )
),

ltv_subjects AS (
    SELECT
        'ltv',
        NULL::uuid,
        'customer_ltv',
        'all',
        '',
        'Customer value',
        '顧客終身價值',
        'customer_retention',
        CASE WHEN change_pct > 0 THEN 'good' ELSE 'bad' END,
        'info',
        trend,
        true,
        cohort_month,
        (cohort_month + interval '1 month')::date - 1,
        ltv_30d,
        NULL::numeric,
        'money',
        change_pct,
        to_char(cohort_month, 'YYYY-MM'),
        to_char(cohort_month, 'YYYY-MM'),
        'New customers of ' || to_char(cohort_month, 'YYYY-MM') || ' spent ' || to_char(change_pct, 'FMSG999,990')
        || '% in their first 30 days against the month before.',
        to_char(cohort_month, 'YYYY-MM') || ' 的新顧客前 30 天消費較前一個月變動 '
        || to_char(change_pct, 'FMSG999,990') || '%。',
        NULL::jsonb,
        NULL::numeric,
        jsonb_build_object('cohorts', jsonb_build_array(cohort_month))
    FROM (
        SELECT *
        FROM {{ ref('ltv_trend') }}
        WHERE organization_id = {{ organization() }} AND change_pct IS NOT NULL
        ORDER BY cohort_month DESC
        LIMIT 1
    ) AS latest
    WHERE abs(change_pct) >= 10
),

stock AS (
    SELECT
        status,
        max(stock_date) AS stock_date,
        count(*) AS products,
        (array_agg(name ORDER BY units_28d DESC, name))[:5] AS names,
        jsonb_agg(product_id ORDER BY units_28d DESC, name) AS product_ids
    FROM {{ ref('inventory_overview') }}
    WHERE organization_id = {{ organization() }} AND status <> 'ok'
    GROUP BY status
),

stock_subjects AS (
    SELECT
        'inventory',
        NULL::uuid,
        'stock_' || status,
        'all',
        '',
        'Stock',
        '庫存',
        'operations',
        'bad',
        'info',
        status,
        true,
        stock_date,
        stock_date,
        products,
        NULL::numeric,
        'products',
        NULL::numeric,
        items.en,
        items.zh,
        CASE status
            WHEN 'out' THEN 'Nothing on hand: ' WHEN 'low' THEN 'Stock is running low: ' ELSE 'Stock hardly moves: '
        END || items.en || '.',
        CASE status WHEN 'out' THEN '目前缺貨：' WHEN 'low' THEN '庫存偏低：' ELSE '滯銷：' END || items.zh || '。',
        NULL::jsonb,
        NULL::numeric,
        jsonb_build_object('products', product_ids)
    FROM stock
    CROSS JOIN LATERAL (
        SELECT
            array_to_string(names, '; ')
            || CASE WHEN products > 5 THEN ' and ' || products - 5 || ' more' ELSE '' END AS en,
            array_to_string(names, '；') || CASE WHEN products > 5 THEN '等 ' || products || ' 項' ELSE '' END AS zh
    ) AS items
),

forecast_subjects AS (
    SELECT
        'forecast',
        NULL::uuid,
        f.metric_name,
        f.dimension,
        '',
        t.display_name,
        t.display_name_zh,
        t.category,
        'bad',
        CASE f.level WHEN '極高' THEN 'critical' ELSE 'warning' END,
        'forecast',
        true,
        f.target_date - f.horizon_days,
        f.target_date,
        f.forecast,
        f.threshold_value,
        t.unit,
        round(100 * f.probability),
        f.horizon_days::text,
        f.horizon_days::text,
        t.display_name || ' is likely to cross its limit.',
        t.display_name_zh || '可能跨越警戒值。',
        NULL::jsonb,
        NULL::numeric,
        jsonb_build_object('metrics', jsonb_build_array(f.metric_name), 'method', f.method)
    FROM (
        SELECT DISTINCT ON (metric_name)
            *
        FROM {{ source('analytics', 'risk_forecast') }}
        WHERE organization_id = {{ organization() }} AND dimension = 'all' AND level IN ('極高', '高')
        ORDER BY metric_name, probability DESC, horizon_days
    ) AS f
    INNER JOIN thresholds AS t ON f.metric_name = t.metric_name
),

tag_counts AS (
    SELECT
        tag_id,
        tag_name,
        sum(contents) FILTER (WHERE metric_date > {{ as_of() }} - 28) AS contents,
        sum(total_contents) FILTER (WHERE metric_date > {{ as_of() }} - 28) AS total,
        sum(contents) FILTER (WHERE metric_date <= {{ as_of() }} - 28) AS contents_before,
        sum(total_contents) FILTER (WHERE metric_date <= {{ as_of() }} - 28) AS total_before
    FROM {{ ref('fct_tag_metrics_daily') }}
    WHERE organization_id = {{ organization() }} AND metric_date > {{ as_of() }} - 84
    GROUP BY tag_id, tag_name
),

growing_tags AS (
    SELECT
        *,
        (contents_before + 0.5) / nullif(total_before, 0) * total AS expected
    FROM tag_counts
    WHERE contents >= 5 AND total_before > 0
),

-- Far beyond chance (three standard deviations of a count) and at least twice as much as before.
tag_subjects AS (
    SELECT
        'tag',
        NULL::uuid,
        'tag_volume',
        'tag:' || tag_id,
        tag_name,
        t.display_name,
        t.display_name_zh,
        t.category,
        'neutral',
        'info',
        'rising',
        true,
        {{ as_of() }} - 27,
        {{ as_of() }},
        contents,
        round(expected, 1),
        'number',
        round(100 * (contents / expected - 1)),
        NULL,
        NULL,
        '',
        '',
        NULL::jsonb,
        NULL::numeric,
        jsonb_build_object('tags', jsonb_build_array(tag_id))
    FROM (
        SELECT *
        FROM growing_tags
        WHERE contents >= 2 * expected AND contents - expected >= 3 * sqrt(expected)
        ORDER BY (contents - expected) / sqrt(expected) DESC, tag_id
        LIMIT 5
    ) AS g
    INNER JOIN thresholds AS t ON t.metric_name = 'tag_volume'
),

subjects AS (
    {%- for kind in ['alert', 'trend', 'ltv', 'stock', 'forecast', 'tag'] %}
    SELECT * FROM {{ kind }}_subjects
    {%- if not loop.last %}
    UNION ALL
    {%- endif %}
    {%- endfor %}
)

SELECT
    *,
    split_part(dimension, ':', 1) AS dimension_kind,
    {{ series_name('en') }} AS name_en,
    {{ series_name('zh-Hant') }} AS name_zh,
    {%- for locale, suffix in [('en', 'en'), ('zh-Hant', 'zh')] %}
    {{ format_value('value', 'unit', locale) }} AS value_{{ suffix }},
    {{ format_value('reference', 'unit', locale) }} AS reference_{{ suffix }},
    {%- endfor %}
    CASE looks_at
        WHEN 'forecast' THEN to_char(change_pct, 'FM990') ELSE to_char(change_pct, 'FMSG999,990')
    END || '%' AS change
FROM subjects
