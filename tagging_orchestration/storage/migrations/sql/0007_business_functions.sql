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

-- The business's present: its last complete day of facts. A business without facts has that of its contents.
CREATE FUNCTION analytics.as_of_day(organization text DEFAULT 'default') RETURNS date
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- each maximum is one look-up: orders_ordered_at, sessions_pkey, support_tickets_created_at; contents scans
    SELECT CASE
        WHEN latest.moment IS NOT NULL THEN least(
            analytics.business_day(latest.moment, organization), analytics.business_day(now(), organization) - 1
        )
    END
    FROM (
        SELECT coalesce(
            greatest(
                (SELECT max(o.ordered_at) FROM raw.orders AS o WHERE o.organization_id = organization),
                (SELECT max(s.started_at) FROM raw.sessions AS s WHERE s.organization_id = organization),
                (SELECT max(t.created_at) FROM raw.support_tickets AS t WHERE t.organization_id = organization)
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
    SELECT round(nullif(greatest(CASE
        WHEN metric = 'daily_revenue' THEN expected - value
        WHEN metric = 'daily_orders' THEN (expected - value) * order_value
        WHEN metric = 'conversion_rate' THEN (expected - value) * cases * order_value
        WHEN metric IN ('payment_failure_rate', 'return_rate') THEN value * cases * order_value
        WHEN metric = 'order_completion_rate' THEN (1 - value) * cases * order_value
    END, 0), 0));
END;
