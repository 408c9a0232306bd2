-- Functions over what dbt computes, for psql, BI tools and every other caller. Before the first build of the dbt
-- project they return nothing rather than fail, and say so in a notice.

-- Which days of which metrics were computed, and from which state of the facts; written with the metrics themselves.
CREATE TABLE analytics.computed_days (
    organization_id text NOT NULL DEFAULT 'default',
    family text NOT NULL,
    metric_date date NOT NULL,
    facts_state numeric NOT NULL,
    definition text NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, family, metric_date)
);
COMMENT ON TABLE analytics.computed_days IS
    'A day of a family of metrics is due when facts_state, the sum of raw.touched_days.touched_at in its reach, or '
    'the definition of its metrics is another than these.';

-- The business's present: its last complete day of facts. A day is complete when it is over and facts came after it:
-- an export of Monday noon does not make a Monday. A business without facts has the last day of its contents.
CREATE FUNCTION analytics.as_of_day(organization text DEFAULT 'default') RETURNS date
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- each maximum is one look-up: orders_ordered_at, sessions_pkey, support_tickets_created_at,
    -- reviews_created_at; touched_days is as long as the days of the business, contents scans
    SELECT CASE
        WHEN latest.moment IS NOT NULL THEN least(
            analytics.business_day(latest.moment, organization), analytics.business_day(now(), organization) - 1,
            (
                SELECT analytics.business_day(max(d.touched_at), organization) - 1
                FROM raw.touched_days AS d
                WHERE d.organization_id = organization
            )
        )
    END
    FROM (
        SELECT coalesce(
            greatest(
                (SELECT max(o.ordered_at) FROM raw.orders AS o WHERE o.organization_id = organization),
                (SELECT max(s.started_at) FROM raw.sessions AS s WHERE s.organization_id = organization),
                (SELECT max(t.created_at) FROM raw.support_tickets AS t WHERE t.organization_id = organization),
                (SELECT max(r.created_at) FROM raw.reviews AS r WHERE r.organization_id = organization)
            ),
            (SELECT max(c.created_at) FROM tagging.contents AS c WHERE c.organization_id = organization)
        ) AS moment
    ) AS latest;
END;

-- A value as people read it, in the unit of its metric.
CREATE FUNCTION analytics.format_value(value numeric, unit text, currency text, locale text DEFAULT 'en') RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN value IS NULL THEN NULL
        WHEN unit = 'money' THEN
            CASE WHEN value < 0 THEN '-' ELSE '' END
            || CASE currency
                WHEN 'TWD' THEN 'NT$' WHEN 'USD' THEN '$' WHEN 'EUR' THEN '€' WHEN 'GBP' THEN '£' WHEN 'JPY' THEN '¥'
                WHEN 'CNY' THEN 'CN¥' WHEN 'HKD' THEN 'HK$' WHEN 'BRL' THEN 'R$' ELSE currency || ' '
            END
            || to_char(abs(value), CASE WHEN abs(value) < 100 AND value <> round(value) THEN 'FM90.00' ELSE 'FM999,999,999,999,990' END)
        WHEN unit = 'share' THEN to_char(100 * value, 'FM999,990.0') || '%'
        WHEN unit = 'pct' THEN to_char(value, 'FM999,990.0') || '%'
        WHEN unit = 'ratio' THEN to_char(value, 'FM999,990.0') || CASE WHEN locale = 'zh-Hant' THEN ' 倍' ELSE '×' END
        ELSE
            to_char(value, CASE WHEN value = round(value) THEN 'FM999,999,999,990' ELSE 'FM999,999,990.0' END)
            || CASE
                WHEN locale = 'zh-Hant' THEN CASE unit
                    WHEN 'minutes' THEN ' 分鐘' WHEN 'ms' THEN ' 毫秒' WHEN 'days' THEN ' 天' WHEN 'orders' THEN ' 筆'
                    WHEN 'customers' THEN ' 位' WHEN 'tickets' THEN ' 件' WHEN 'reviews' THEN ' 則'
                    WHEN 'visits' THEN ' 次' WHEN 'products' THEN ' 項' WHEN 'units' THEN ' 件'
                    WHEN 'contents' THEN ' 則' ELSE ''
                END
                WHEN unit IN ('minutes', 'days', 'ms') THEN ' ' || unit
                ELSE ''
            END
    END;
END;
COMMENT ON FUNCTION analytics.format_value IS 'locale: en or zh-Hant; currency matters for the unit money only';

-- ------------------------------------------------------------------------------ what a value means for the business

-- The category of a metric, as the thresholds say; general for an unknown one.
CREATE FUNCTION analytics.get_metric_category(metric text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce((SELECT t.category FROM analytics.metric_thresholds AS t WHERE t.metric_name = metric), 'general');
END;

-- Whether the business is open: by its hours and weekdays, and the holidays and closed days of raw.calendar.
CREATE FUNCTION analytics.is_business_hours(
    moment timestamptz DEFAULT now(), organization text DEFAULT 'default'
) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(
        (
            SELECT
                extract(DOW FROM moment AT TIME ZONE b.timezone) = ANY (b.open_weekdays)
                AND (moment AT TIME ZONE b.timezone)::time >= b.opens_at
                AND (moment AT TIME ZONE b.timezone)::time < b.closes_at
                AND NOT EXISTS (
                    SELECT FROM raw.calendar AS c
                    WHERE
                        c.organization_id = organization
                        AND c.day = (moment AT TIME ZONE b.timezone)::date
                        AND c.event_type IN ('holiday', 'closed')
                )
            FROM analytics.business_profile AS b
            WHERE b.organization_id = organization
        ),
        false
    );
END;

-- How many customers a value concerns, of `cases` that it was measured on; NULL where the metric does not say.
CREATE FUNCTION analytics.estimate_affected_customers(metric text, value numeric, cases bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT round(CASE
        WHEN metric IN ('payment_failure_rate', 'late_delivery_rate', 'return_rate', 'customer_churn_rate')
            THEN value * cases
        WHEN metric IN ('order_completion_rate', 'customer_satisfaction_rate') THEN (1 - value) * cases
        WHEN metric = 'avg_response_time' THEN cases
        WHEN metric IN ('ticket_volume', 'bad_reviews', 'pending_orders') THEN value
    END)::bigint;
END;

-- What a value costs a day, in the business's currency, at this value of an order; NULL where nothing can be said.
-- `expected` is what the value should have been, where that is known.
CREATE FUNCTION analytics.estimate_revenue_impact(
    metric text, value numeric, cases bigint, expected numeric, order_value numeric
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT nullif(greatest(round(CASE
        WHEN metric = 'daily_revenue' THEN expected - value
        WHEN metric = 'daily_orders' THEN (expected - value) * order_value
        WHEN metric = 'conversion_rate' THEN (expected - value) * cases * order_value
        WHEN metric IN ('payment_failure_rate', 'return_rate') THEN value * cases * order_value
        WHEN metric = 'order_completion_rate' THEN (1 - value) * cases * order_value
    END), 0), 0);
END;

-- ------------------------------------------------------------------------------------- what dbt computed, by name

-- Whether dbt has built a relation. plpgsql looks relations up when a statement runs, so the functions below can be
-- there before the first build; they then return nothing, with this notice.
CREATE FUNCTION analytics.is_built(relation text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF to_regclass('analytics.' || relation) IS NULL THEN
        RAISE NOTICE 'analytics.% is not built yet', relation
            USING HINT = 'Run `tagging run`, or `dbt build` in dbt_project/.';
        RETURN false;
    END IF;
    RETURN true;
END
$$;

-- The language of texts: the one asked for, else the business's.
CREATE FUNCTION analytics.text_locale(locale text, organization text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(
        locale,
        (SELECT b.locale FROM analytics.business_profile AS b WHERE b.organization_id = organization),
        'en'
    );
END;

-- The latest value of each metric of the whole business.
CREATE FUNCTION analytics.get_current_business_metrics(organization text DEFAULT 'default')
    RETURNS TABLE (metric_name varchar(100), current_value numeric(18, 4), metric_date date, unit varchar(20))
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('metrics_current') THEN RETURN; END IF;
    -- the unique index on (organization_id, metric_name, dimension)
    RETURN QUERY
    SELECT m.metric_name, m.current_value, m.metric_date, m.unit
    FROM analytics.metrics_current AS m
    WHERE m.organization_id = organization AND m.dimension = 'all'
    ORDER BY m.metric_name;
END
$$;

-- The same with what else was known of the business on that day.
CREATE FUNCTION analytics.calculate_business_metrics(organization text DEFAULT 'default')
    RETURNS TABLE (metric_name varchar(100), current_value numeric(18, 4), business_context jsonb)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT (analytics.is_built('metrics_current') AND analytics.is_built('business_context')) THEN RETURN; END IF;
    -- the unique indexes on (organization_id, metric_name, dimension, ...)
    RETURN QUERY
    SELECT m.metric_name, m.current_value, c.business_context
    FROM analytics.metrics_current AS m
    LEFT JOIN analytics.business_context AS c USING (organization_id, metric_name, dimension, metric_date)
    WHERE m.organization_id = organization AND m.dimension = 'all'
    ORDER BY m.metric_name;
END
$$;

-- Trends of the business on its last day: customers, revenue, efficiency, and how unsteady revenue is.
CREATE FUNCTION analytics.calculate_trend_metrics(organization text DEFAULT 'default')
    RETURNS TABLE (
        metric_date date, customer_trend_pct numeric, revenue_trend_pct numeric, efficiency_trend_pct numeric,
        volatility numeric, trend_period text
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('fct_business_metrics_daily') THEN RETURN; END IF;
    -- the index on (organization_id, metric_date)
    RETURN QUERY
    SELECT
        f.metric_date,
        max(f.current_value) FILTER (WHERE f.metric_name = 'customer_trend_pct'),
        max(f.current_value) FILTER (WHERE f.metric_name = 'revenue_trend_pct'),
        max(f.current_value) FILTER (WHERE f.metric_name = 'efficiency_trend_pct'),
        max(f.current_value) FILTER (WHERE f.metric_name = 'volatility'),
        '7_days'
    FROM analytics.fct_business_metrics_daily AS f
    WHERE
        f.organization_id = organization
        AND f.dimension = 'all'
        AND f.metric_date = (SELECT analytics.as_of_day(organization))
    GROUP BY f.metric_date;
END
$$;

-- The trend of one metric on its last day, for the whole business or a part of it.
CREATE FUNCTION analytics.calculate_metric_trends(
    metric text, of_dimension text DEFAULT 'all', organization text DEFAULT 'default'
)
    RETURNS TABLE (
        metric_date date, trend_7d_pct numeric, trend_30d_pct numeric, volatility_index numeric, trend_direction text
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('metric_trends') THEN RETURN; END IF;
    -- the unique index on (organization_id, metric_name, dimension, metric_date)
    RETURN QUERY
    SELECT t.metric_date, t.trend_7d_pct, t.trend_30d_pct, t.volatility_index, t.trend_direction
    FROM analytics.metric_trends AS t
    WHERE t.organization_id = organization AND t.metric_name = metric AND t.dimension = of_dimension
    ORDER BY t.metric_date DESC
    LIMIT 1;
END
$$;

-- Metrics beyond a limit on a day; without one, on the last.
CREATE FUNCTION analytics.check_and_generate_alerts(on_day date DEFAULT NULL, organization text DEFAULT 'default')
    RETURNS TABLE (
        alert_type varchar(50), alert_subtype varchar(50), severity varchar(20), metric_name varchar(100),
        dimension text, metric_date date, direction varchar(4), current_value numeric(18, 4),
        threshold_value numeric(18, 4), expected_value numeric(18, 4), title_en text, title_zh text,
        message_en text, message_zh text
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('alerts_threshold') THEN RETURN; END IF;
    -- the index on (organization_id, metric_date)
    RETURN QUERY
    SELECT
        a.alert_type, a.alert_subtype, a.severity, a.metric_name, a.dimension, a.metric_date, a.direction,
        a.current_value, a.threshold_value, a.expected_value, a.title_en, a.title_zh, a.message_en, a.message_zh
    FROM analytics.alerts_threshold AS a
    WHERE
        a.organization_id = organization
        AND a.metric_date = coalesce(on_day, (SELECT analytics.as_of_day(organization)))
    ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity::text), a.metric_name, a.dimension;
END
$$;

-- What detectors and trends found on a day; without one, on the last.
CREATE FUNCTION analytics.check_trend_and_anomaly_alerts(
    on_day date DEFAULT NULL, organization text DEFAULT 'default'
)
    RETURNS TABLE (
        alert_type varchar(50), alert_subtype varchar(50), severity varchar(20), metric_name varchar(100),
        dimension text, metric_date date, direction varchar(4), current_value numeric(18, 4),
        threshold_value numeric(18, 4), expected_value numeric(18, 4), title_en text, title_zh text,
        message_en text, message_zh text
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('alerts_trend_anomaly') THEN RETURN; END IF;
    -- the index on (organization_id, metric_date)
    RETURN QUERY
    SELECT
        a.alert_type, a.alert_subtype, a.severity, a.metric_name, a.dimension, a.metric_date, a.direction,
        a.current_value, a.threshold_value, a.expected_value, a.title_en, a.title_zh, a.message_en, a.message_zh
    FROM analytics.alerts_trend_anomaly AS a
    WHERE
        a.organization_id = organization
        AND a.metric_date = coalesce(on_day, (SELECT analytics.as_of_day(organization)))
    ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity::text), a.metric_name, a.dimension;
END
$$;

-- What the rules make of alerts, trends, cohorts, stock, forecasts and tags, weightiest first. `locale` is en or
-- zh-Hant; without one it is the business's.
CREATE FUNCTION analytics.generate_business_insights(locale text DEFAULT NULL, organization text DEFAULT 'default')
    RETURNS TABLE (
        insight_type varchar(50), category varchar(50), title varchar(200), description text,
        impact_level varchar(20), confidence_score numeric(3, 2), business_context jsonb, action_items text[]
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    zh boolean := analytics.text_locale(locale, organization) = 'zh-Hant';
BEGIN
    IF NOT analytics.is_built('business_insights') THEN RETURN; END IF;
    -- the unique index on (organization_id, insight_id)
    RETURN QUERY
    SELECT
        i.insight_type,
        i.category,
        (CASE WHEN zh THEN i.title_zh ELSE i.title END)::varchar(200),
        CASE WHEN zh THEN i.description_zh ELSE i.description END,
        i.impact_level,
        i.confidence_score,
        i.business_context,
        CASE WHEN zh THEN i.action_items_zh ELSE i.action_items END
    FROM analytics.business_insights AS i
    WHERE i.organization_id = organization
    ORDER BY
        array_position(ARRAY['high', 'medium', 'low'], i.impact_level::text),
        array_position(ARRAY['warning', 'opportunity', 'information'], i.insight_type::text),
        i.confidence_score DESC,
        i.insight_id;
END
$$;

-- What the rules advise, most urgent first.
CREATE FUNCTION analytics.generate_strategic_recommendations(
    locale text DEFAULT NULL, organization text DEFAULT 'default'
)
    RETURNS TABLE (
        recommendation_type varchar(50), category varchar(50), title varchar(200), description text,
        impact_level varchar(20), effort_level varchar(20), priority_score integer, confidence_score numeric(3, 2),
        business_context jsonb, estimated_timeline varchar(50)
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    zh boolean := analytics.text_locale(locale, organization) = 'zh-Hant';
BEGIN
    IF NOT analytics.is_built('strategic_recommendations') THEN RETURN; END IF;
    -- the unique index on (organization_id, recommendation_id)
    RETURN QUERY
    SELECT
        r.recommendation_type,
        r.category,
        (CASE WHEN zh THEN r.title_zh ELSE r.title END)::varchar(200),
        CASE WHEN zh THEN r.description_zh ELSE r.description END,
        r.impact_level,
        r.effort_level,
        r.priority_score,
        r.confidence_score,
        jsonb_strip_nulls(
            r.business_context - 'potential_cost_saving_zh' || jsonb_build_object(
                'potential_cost_saving',
                r.business_context ->> CASE WHEN zh THEN 'potential_cost_saving_zh' ELSE 'potential_cost_saving' END
            )
        ),
        (CASE WHEN zh THEN r.estimated_timeline_zh ELSE r.estimated_timeline END)::varchar(50)
    FROM analytics.strategic_recommendations AS r
    WHERE r.organization_id = organization
    ORDER BY r.priority_score DESC, r.confidence_score DESC, r.recommendation_id;
END
$$;

-- A category as people read it.
CREATE FUNCTION analytics.category_name(category text, locale text DEFAULT 'en') RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN locale <> 'zh-Hant' THEN initcap(replace(category, '_', ' '))
        ELSE CASE category
            WHEN 'customer_service' THEN '客服優化' WHEN 'operations' THEN '營運' WHEN 'financial' THEN '財務'
            WHEN 'customer_retention' THEN '顧客留存' WHEN 'marketing' THEN '行銷' WHEN 'system' THEN '系統'
            WHEN 'content' THEN '內容' WHEN 'general' THEN '一般' ELSE category
        END
    END;
END;

-- The three sections of the dashboard as one document: 風險預警中心, 關鍵業務洞察, 戰略行動建議. Sections whose
-- models are not built yet are empty.
CREATE FUNCTION analytics.get_unified_dashboard_content(
    locale text DEFAULT NULL, organization text DEFAULT 'default'
) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    language text := analytics.text_locale(locale, organization);
BEGIN
    RETURN jsonb_build_object(
        'alerts', coalesce((
            -- dashboard_alerts_one_active
            SELECT jsonb_agg(
                jsonb_build_object(
                    'id', a.id,
                    'type', a.severity,
                    'title', coalesce(a.texts #>> ARRAY[language, 'title'], a.title),
                    'message', coalesce(a.texts #>> ARRAY[language, 'message'], a.message),
                    'priority', a.priority,
                    'action', CASE
                        WHEN language = 'zh-Hant' THEN '檢視' || t.display_name_zh || '詳情'
                        ELSE 'Look at the details of ' || t.display_name
                    END,
                    'detected_at', to_char(a.detected_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                    'severity', a.severity,
                    'metric_name', a.metric_name
                ) ORDER BY
                    array_position(ARRAY['urgent', 'high', 'medium', 'low'], a.priority::text),
                    array_position(ARRAY['critical', 'warning', 'info'], a.severity::text),
                    a.detected_at DESC,
                    a.id
            )
            FROM analytics.dashboard_alerts AS a
            INNER JOIN analytics.metric_thresholds AS t ON a.metric_name = t.metric_name
            WHERE a.organization_id = organization AND a.state IN ('new', 'active')
        ), '[]'),
        'insights', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'type', i.insight_type,
                'title', i.title,
                'description', i.description,
                'impact', i.impact_level,
                'confidence', i.confidence_score,
                'actions', to_jsonb(i.action_items),
                'category', analytics.category_name(i.category, language)
            ) ORDER BY i.place)
            FROM analytics.generate_business_insights(language, organization) WITH ORDINALITY AS i (
                insight_type, category, title, description, impact_level, confidence_score, business_context,
                action_items, place
            )
        ), '[]'),
        'recommendations', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'category', analytics.category_name(r.category, language),
                'title', r.title,
                'description', r.description,
                'impact', r.impact_level,
                'effort', r.effort_level,
                'priority_score', r.priority_score,
                'confidence', r.confidence_score,
                'timeline', r.estimated_timeline,
                'business_context', jsonb_strip_nulls(jsonb_build_object(
                    'source_alert_id', r.business_context ->> 'source_alert_id',
                    'potential_cost_saving', r.business_context ->> 'potential_cost_saving'
                ))
            ) ORDER BY r.place)
            FROM analytics.generate_strategic_recommendations(language, organization) WITH ORDINALITY AS r (
                recommendation_type, category, title, description, impact_level, effort_level, priority_score,
                confidence_score, business_context, estimated_timeline, place
            )
        ), '[]'),
        'last_updated', to_char(
            coalesce(
                -- business_runs_latest
                (
                    SELECT b.finished_at FROM analytics.business_runs AS b
                    WHERE b.organization_id = organization AND b.finished_at IS NOT NULL
                    ORDER BY b.id DESC
                    LIMIT 1
                ),
                now()
            ) AT TIME ZONE 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS"Z"'
        )
    );
END
$$;

-- What the last refresh did. Refreshing is a job of Dagster, not of the database.
CREATE FUNCTION analytics.refresh_all_alerts_and_insights(organization text DEFAULT 'default') RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- business_runs_latest
    SELECT coalesce(
        (
            SELECT jsonb_strip_nulls(jsonb_build_object(
                'run_id', b.run_id, 'started_at', b.started_at, 'finished_at', b.finished_at, 'as_of', b.as_of,
                'counts', b.counts
            ))
            FROM analytics.business_runs AS b
            WHERE b.organization_id = organization AND b.finished_at IS NOT NULL
            ORDER BY b.id DESC
            LIMIT 1
        ),
        jsonb_build_object('counts', jsonb_build_object())
    ) || jsonb_build_object('hint', 'to refresh, run `tagging run` or the job refresh_business');
END;

-- Where metrics are heading, the likeliest to cross its limit first.
CREATE FUNCTION analytics.calculate_risk_forecast(organization text DEFAULT 'default')
    RETURNS TABLE (
        metric_name varchar(100), dimension text, horizon_days integer, target_date date, forecast numeric,
        lower numeric, upper numeric, threshold_value numeric, probability numeric(4, 3), level varchar(10)
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- risk_forecast_pkey
    SELECT
        f.metric_name, f.dimension, f.horizon_days, f.target_date, f.forecast, f.lower, f.upper, f.threshold_value,
        f.probability, f.level
    FROM analytics.risk_forecast AS f
    WHERE f.organization_id = organization
    ORDER BY f.probability DESC, f.metric_name, f.dimension, f.horizon_days;
END;

-- What customers are worth, by the month of their first purchase, newest first.
CREATE FUNCTION analytics.get_ltv_trend_analysis(organization text DEFAULT 'default')
    RETURNS TABLE (
        cohort date, customers bigint, ltv numeric, ltv_30d numeric, ltv_90d numeric, change_pct numeric, trend text,
        currency text
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('ltv_trend') THEN RETURN; END IF;
    -- the unique index on (organization_id, cohort_month)
    RETURN QUERY
    SELECT l.cohort_month, l.customers, l.ltv, l.ltv_30d, l.ltv_90d, l.change_pct, l.trend, l.currency
    FROM analytics.ltv_trend AS l
    WHERE l.organization_id = organization
    ORDER BY l.cohort_month DESC;
END
$$;

-- Stock by product, what is out or low first; no row without a source of stock.
CREATE FUNCTION analytics.get_inventory_overview(organization text DEFAULT 'default')
    RETURNS TABLE (
        product_id text, name text, category text, stock_date date, on_hand integer, reorder_point integer,
        units_28d bigint, days_of_cover numeric, sell_through numeric, status text
    )
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF NOT analytics.is_built('inventory_overview') THEN RETURN; END IF;
    -- the unique index on (organization_id, product_id)
    RETURN QUERY
    SELECT
        i.product_id, i.name, i.category, i.stock_date, i.on_hand, i.reorder_point, i.units_28d, i.days_of_cover,
        i.sell_through, i.status
    FROM analytics.inventory_overview AS i
    WHERE i.organization_id = organization
    ORDER BY array_position(ARRAY['out', 'low', 'ok', 'slow'], i.status), i.units_28d DESC, i.product_id;
END
$$;

-- The season of a day, as dim_calendar has it; without a day, of the last one. NULL while it is not known.
CREATE FUNCTION analytics.get_seasonal_factor(on_day date DEFAULT NULL, organization text DEFAULT 'default')
    RETURNS text
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT analytics.is_built('dim_calendar') THEN RETURN NULL; END IF;
    RETURN (
        -- the unique index on (organization_id, day)
        SELECT c.season_factor FROM analytics.dim_calendar AS c
        WHERE
            c.organization_id = organization
            AND c.day = coalesce(on_day, (SELECT analytics.as_of_day(organization)))
    );
END
$$;

-- How many customers a value of a metric would concern, at the number of cases of its last day.
CREATE FUNCTION analytics.estimate_affected_customers(
    metric text, value numeric, organization text DEFAULT 'default'
) RETURNS bigint
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT analytics.is_built('metrics_current') THEN RETURN NULL; END IF;
    RETURN (
        SELECT analytics.estimate_affected_customers(metric, value, m.sample_size)
        FROM analytics.metrics_current AS m
        WHERE m.organization_id = organization AND m.metric_name = metric AND m.dimension = 'all'
    );
END
$$;

-- What a value of a metric would cost a day, beside its value of a week ago and at the last value of an order.
CREATE FUNCTION analytics.estimate_revenue_impact(
    metric text, value numeric, organization text DEFAULT 'default'
) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT analytics.is_built('metrics_current') THEN RETURN NULL; END IF;
    RETURN (
        SELECT analytics.estimate_revenue_impact(metric, value, m.sample_size, m.previous_value, o.current_value)
        FROM analytics.metrics_current AS m
        LEFT JOIN analytics.metrics_current AS o
            ON
                o.organization_id = m.organization_id
                AND o.metric_name = 'average_order_value'
                AND o.dimension = 'all'
        WHERE m.organization_id = organization AND m.metric_name = metric AND m.dimension = 'all'
    );
END
$$;

-- How much a metric disturbs the business now: by the worst of its open alerts; none without one.
CREATE FUNCTION analytics.get_operational_impact_level(metric text, organization text DEFAULT 'default') RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- dashboard_alerts_one_active
    SELECT CASE
        WHEN bool_or(a.severity = 'critical') THEN 'high'
        WHEN bool_or(a.severity = 'warning') THEN 'medium'
        WHEN count(*) > 0 THEN 'low'
        ELSE 'none'
    END
    FROM analytics.dashboard_alerts AS a
    WHERE a.organization_id = organization AND a.metric_name = metric AND a.state IN ('new', 'active');
END;
