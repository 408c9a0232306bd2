-- The business beside the tags: facts in `raw`, and in `analytics` the state that dbt does not own: what a business
-- is, thresholds, scores of the detectors, alerts with their history, incidents and notifications.

CREATE SCHEMA raw;
CREATE SCHEMA analytics;

-- ----------------------------------------------------------------------------------------------- the business

CREATE TABLE analytics.business_profile (
    organization_id text PRIMARY KEY DEFAULT 'default',
    timezone text NOT NULL DEFAULT 'UTC',
    currency text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    locale text NOT NULL DEFAULT 'en' CHECK (locale IN ('en', 'zh-Hant')),
    opens_at time NOT NULL DEFAULT '09:00',
    closes_at time NOT NULL DEFAULT '18:00',
    open_weekdays smallint[] NOT NULL DEFAULT '{1,2,3,4,5}',
    profile jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE analytics.business_profile IS
    'One business: its time zone decides which day a fact belongs to. Written from the section `business` of '
    'tagging.yaml; open_weekdays counts Sunday as 0; `profile` holds what people wrote about it.';

-- The time zone that cuts a business's days.
CREATE FUNCTION analytics.business_day(moment timestamptz, organization text) RETURNS date
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (
        moment AT TIME ZONE coalesce(
            (SELECT b.timezone FROM analytics.business_profile AS b WHERE b.organization_id = organization), 'UTC'
        )
    )::date;
END;

-- ------------------------------------------------------------------------------------------------- raw facts

CREATE TABLE raw.customers (
    organization_id text NOT NULL DEFAULT 'default',
    customer_id text NOT NULL CHECK (customer_id <> ''),
    created_at timestamptz,
    segment text,
    region text,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, customer_id)
);

CREATE TABLE raw.products (
    organization_id text NOT NULL DEFAULT 'default',
    product_id text NOT NULL CHECK (product_id <> ''),
    name text NOT NULL,
    category text,
    list_price numeric(18, 4) CHECK (list_price >= 0),
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, product_id)
);

CREATE TABLE raw.orders (
    organization_id text NOT NULL DEFAULT 'default',
    order_id text NOT NULL CHECK (order_id <> ''),
    customer_id text,
    ordered_at timestamptz NOT NULL,
    status text NOT NULL CHECK (
        status IN ('created', 'approved', 'processing', 'shipped', 'delivered', 'cancelled', 'returned', 'unavailable')
    ),
    payment_status text CHECK (payment_status IN ('pending', 'paid', 'failed', 'refunded')),
    total_amount numeric(18, 4) NOT NULL CHECK (total_amount >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    approved_at timestamptz,
    shipped_at timestamptz,
    delivered_at timestamptz,
    promised_at timestamptz,
    channel text,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, order_id)
);
CREATE INDEX orders_ordered_at ON raw.orders (organization_id, ordered_at);
CREATE INDEX orders_delivered_at ON raw.orders (organization_id, delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX orders_customer ON raw.orders (organization_id, customer_id, ordered_at);
COMMENT ON COLUMN raw.orders.promised_at IS 'the delivery promised to the customer; later is late';

CREATE TABLE raw.order_items (
    organization_id text NOT NULL DEFAULT 'default',
    order_id text NOT NULL,
    line_number integer NOT NULL,
    product_id text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(18, 4) NOT NULL CHECK (unit_price >= 0),
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, order_id, line_number),
    FOREIGN KEY (organization_id, order_id) REFERENCES raw.orders ON DELETE CASCADE
);
CREATE INDEX order_items_product ON raw.order_items (organization_id, product_id);
COMMENT ON COLUMN raw.order_items.unit_price IS 'in the currency of the order';

CREATE TABLE raw.support_tickets (
    organization_id text NOT NULL DEFAULT 'default',
    ticket_id text NOT NULL CHECK (ticket_id <> ''),
    created_at timestamptz NOT NULL,
    first_response_at timestamptz,
    resolved_at timestamptz,
    customer_id text,
    order_id text,
    product_id text,
    channel text,
    status text,
    content_source text,
    content_external_id text,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, ticket_id),
    CHECK (first_response_at >= created_at),
    CHECK (resolved_at >= created_at)
);
CREATE INDEX support_tickets_created_at ON raw.support_tickets (organization_id, created_at);
CREATE INDEX support_tickets_content ON raw.support_tickets (organization_id, content_source, content_external_id)
    WHERE content_external_id IS NOT NULL;
COMMENT ON COLUMN raw.support_tickets.content_external_id IS
    'with content_source: the row of tagging.contents that holds the ticket''s text';

CREATE TABLE raw.reviews (
    organization_id text NOT NULL DEFAULT 'default',
    review_id text NOT NULL CHECK (review_id <> ''),
    created_at timestamptz NOT NULL,
    rating numeric(3, 2) NOT NULL CHECK (rating BETWEEN 1 AND 5),
    customer_id text,
    order_id text,
    product_id text,
    content_source text,
    content_external_id text,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, review_id)
);
CREATE INDEX reviews_created_at ON raw.reviews (organization_id, created_at);
CREATE INDEX reviews_content ON raw.reviews (organization_id, content_source, content_external_id)
    WHERE content_external_id IS NOT NULL;

CREATE TABLE raw.inventory (
    organization_id text NOT NULL DEFAULT 'default',
    product_id text NOT NULL,
    day date NOT NULL,
    on_hand integer NOT NULL CHECK (on_hand >= 0),
    reorder_point integer CHECK (reorder_point >= 0),
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, product_id, day)
);
CREATE INDEX inventory_day ON raw.inventory (organization_id, day);

CREATE TABLE raw.sessions (
    organization_id text NOT NULL DEFAULT 'default',
    started_at timestamptz NOT NULL,
    channel text NOT NULL DEFAULT 'web',
    visits integer NOT NULL CHECK (visits >= 0),
    checkouts integer CHECK (checkouts >= 0),
    api_requests bigint CHECK (api_requests >= 0),
    api_response_ms numeric(12, 3) CHECK (api_response_ms >= 0),
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, started_at, channel)
);
COMMENT ON TABLE raw.sessions IS
    'Visits of one channel in a piece of time that begins at started_at (an hour, a day); api_response_ms is the mean.';

CREATE TABLE raw.calendar (
    organization_id text NOT NULL DEFAULT 'default',
    day date NOT NULL,
    event_type text NOT NULL CHECK (event_type IN ('holiday', 'promotion', 'maintenance', 'closed')),
    name text NOT NULL,
    name_zh text,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, day, event_type, name)
);

-- A fact that is the same again must touch no day: such an update is dropped before it writes.
CREATE FUNCTION raw.drop_unchanged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.loaded_at := OLD.loaded_at;
    IF NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NULL;
    END IF;
    NEW.loaded_at := clock_timestamp();
    RETURN NEW;
END
$$;

-- When a day's facts last changed. A day is pending for the metrics while this is later than its metrics'
-- computed_at: late and corrected facts recompute the touched days only, and a crash loses nothing.
CREATE TABLE raw.touched_days (
    organization_id text NOT NULL,
    source text NOT NULL,
    day date NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, source, day)
);
CREATE INDEX touched_days_touched_at ON raw.touched_days (touched_at);

-- TG_ARGV: the SQL expression over the row `f` that gives the days of a fact as an array of dates.
CREATE FUNCTION raw.touch_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        $query$
        INSERT INTO raw.touched_days (organization_id, source, day)
        SELECT DISTINCT f.organization_id, %1$L, d.day
        FROM %2$s AS f
        CROSS JOIN LATERAL unnest(%3$s) AS d (day)
        WHERE d.day IS NOT NULL
        ORDER BY 1, 2, 3
        ON CONFLICT (organization_id, source, day) DO UPDATE SET touched_at = clock_timestamp()
        $query$,
        TG_TABLE_NAME,
        CASE TG_OP
            WHEN 'INSERT' THEN 'new_rows'
            WHEN 'DELETE' THEN 'old_rows'
            ELSE '(SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows)'
        END,
        TG_ARGV[0]
    );
    RETURN NULL;
END
$$;

DO $$
DECLARE
    fact record;
BEGIN
    FOR fact IN
        SELECT * FROM (VALUES
            ('customers', 'ARRAY[analytics.business_day(f.created_at, f.organization_id)]'),
            (
                'products',
                'ARRAY(SELECT DISTINCT analytics.business_day(o.ordered_at, o.organization_id) FROM raw.orders AS o '
                'JOIN raw.order_items AS i ON i.organization_id = o.organization_id AND i.order_id = o.order_id '
                'WHERE i.organization_id = f.organization_id AND i.product_id = f.product_id)'
            ),
            (
                'orders',
                'ARRAY[analytics.business_day(f.ordered_at, f.organization_id), '
                'analytics.business_day(f.approved_at, f.organization_id), '
                'analytics.business_day(f.shipped_at, f.organization_id), '
                'analytics.business_day(f.delivered_at, f.organization_id)]'
            ),
            (
                'order_items',
                'ARRAY(SELECT analytics.business_day(o.ordered_at, o.organization_id) FROM raw.orders AS o '
                'WHERE o.organization_id = f.organization_id AND o.order_id = f.order_id)'
            ),
            (
                'support_tickets',
                'ARRAY[analytics.business_day(f.created_at, f.organization_id), '
                'analytics.business_day(f.first_response_at, f.organization_id), '
                'analytics.business_day(f.resolved_at, f.organization_id)]'
            ),
            ('reviews', 'ARRAY[analytics.business_day(f.created_at, f.organization_id)]'),
            ('inventory', 'ARRAY[f.day]'),
            ('sessions', 'ARRAY[analytics.business_day(f.started_at, f.organization_id)]'),
            ('calendar', 'ARRAY[f.day]')
        ) AS facts (name, days)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER drop_unchanged BEFORE UPDATE ON raw.%I FOR EACH ROW EXECUTE FUNCTION raw.drop_unchanged()',
            fact.name
        );
        EXECUTE format(
            'CREATE TRIGGER touch_inserted AFTER INSERT ON raw.%I REFERENCING NEW TABLE AS new_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION raw.touch_days(%L)', fact.name, fact.days
        );
        EXECUTE format(
            'CREATE TRIGGER touch_updated AFTER UPDATE ON raw.%I REFERENCING NEW TABLE AS new_rows '
            'OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION raw.touch_days(%L)', fact.name, fact.days
        );
        EXECUTE format(
            'CREATE TRIGGER touch_deleted AFTER DELETE ON raw.%I REFERENCING OLD TABLE AS old_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION raw.touch_days(%L)', fact.name, fact.days
        );
    END LOOP;
END
$$;

-- ------------------------------------------------------------------------------------ thresholds and scores

-- Filled from the dbt seed of the same name, which people edit.
CREATE TABLE analytics.metric_thresholds (
    metric_name varchar(100) PRIMARY KEY,
    display_name text NOT NULL,
    display_name_zh text NOT NULL,
    category varchar(50) NOT NULL DEFAULT 'general',
    is_higher_better boolean,
    comparison varchar(10) NOT NULL DEFAULT 'gt' CHECK (comparison IN ('gt', 'lt')),
    warning_threshold numeric(18, 4),
    critical_threshold numeric(18, 4),
    unit varchar(20) NOT NULL DEFAULT '',
    trend_limit_pct numeric(10, 4) CHECK (trend_limit_pct > 0),
    seasonality varchar(10) NOT NULL DEFAULT 'weekly' CHECK (seasonality IN ('none', 'weekly')),
    value_kind varchar(10) NOT NULL DEFAULT 'amount' CHECK (value_kind IN ('amount', 'count', 'share', 'duration')),
    min_history_days integer NOT NULL DEFAULT 28 CHECK (min_history_days >= 7),
    false_alarms_per_30_days numeric(6, 3) NOT NULL DEFAULT 0.1 CHECK (false_alarms_per_30_days > 0),
    detect boolean NOT NULL DEFAULT true,
    enabled boolean NOT NULL DEFAULT true,
    owner text NOT NULL DEFAULT 'team:business',
    description text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN analytics.metric_thresholds.is_higher_better IS 'NULL: neither; both directions are news';
COMMENT ON COLUMN analytics.metric_thresholds.trend_limit_pct IS 'a 7-day trend beyond it is a trend alert';
COMMENT ON COLUMN analytics.metric_thresholds.detect IS 'whether detectors judge the series';

CREATE TABLE analytics.anomaly_scores (
    organization_id text NOT NULL DEFAULT 'default',
    metric_name varchar(100) NOT NULL,
    dimension text NOT NULL DEFAULT 'all',
    metric_date date NOT NULL,
    value numeric(18, 4),
    expected numeric(18, 4),
    lower numeric(18, 4),
    upper numeric(18, 4),
    score double precision NOT NULL,
    threshold double precision NOT NULL,
    is_anomaly boolean NOT NULL,
    kind varchar(20) NOT NULL CHECK (kind IN ('none', 'spike', 'drop', 'shift', 'drift', 'missing')),
    direction varchar(4) NOT NULL CHECK (direction IN ('up', 'down', 'none')),
    detector_version text NOT NULL,
    scored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, metric_name, dimension, metric_date)
);
CREATE INDEX anomaly_scores_anomalies ON analytics.anomaly_scores (organization_id, metric_date) WHERE is_anomaly;
COMMENT ON TABLE analytics.anomaly_scores IS
    'What the detectors made of each day, judged from earlier days only. A day is pending while its metric differs '
    'from `value`, or the detector from detector_version; value NULL is a missing day.';

CREATE TABLE analytics.risk_forecast (
    organization_id text NOT NULL DEFAULT 'default',
    metric_name varchar(100) NOT NULL,
    dimension text NOT NULL DEFAULT 'all',
    horizon_days integer NOT NULL CHECK (horizon_days > 0),
    target_date date NOT NULL,
    forecast numeric(18, 4) NOT NULL,
    lower numeric(18, 4) NOT NULL,
    upper numeric(18, 4) NOT NULL,
    threshold_value numeric(18, 4),
    probability numeric(4, 3) NOT NULL CHECK (probability BETWEEN 0 AND 1),
    level varchar(10) NOT NULL CHECK (level IN ('極高', '高', '中', '低')),
    method text NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, metric_name, dimension, horizon_days)
);

-- --------------------------------------------------------------------------------------------------- alerts

CREATE TABLE analytics.alert_incidents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id text NOT NULL DEFAULT 'default',
    state varchar(10) NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    severity varchar(20) NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title varchar(200) NOT NULL,
    texts jsonb NOT NULL DEFAULT '{}',
    opened_on date NOT NULL,
    last_seen_on date NOT NULL,
    closed_at timestamptz,
    causes jsonb NOT NULL DEFAULT '[]',
    CHECK (last_seen_on >= opened_on)
);
CREATE INDEX alert_incidents_open ON analytics.alert_incidents (organization_id, last_seen_on) WHERE state = 'open';
CREATE INDEX alert_incidents_opened_on ON analytics.alert_incidents (organization_id, opened_on);
COMMENT ON TABLE analytics.alert_incidents IS
    'Alerts that began together and share a cause; `causes` are the tags on top of their evidence.';

CREATE TABLE analytics.dashboard_alerts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id text NOT NULL DEFAULT 'default',
    alert_type varchar(50) NOT NULL CHECK (
        alert_type IN ('threshold_breach', 'trend_analysis', 'anomaly_detection')
    ),
    alert_subtype varchar(50),
    severity varchar(20) NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    priority varchar(10) NOT NULL DEFAULT 'medium' CHECK (priority IN ('low', 'medium', 'high', 'urgent')),
    metric_name varchar(100) NOT NULL REFERENCES analytics.metric_thresholds (metric_name),
    dimension text NOT NULL DEFAULT 'all',
    dimension_label text NOT NULL DEFAULT '',
    direction varchar(4) NOT NULL DEFAULT 'none' CHECK (direction IN ('up', 'down', 'none')),
    fingerprint text NOT NULL,
    title varchar(200) NOT NULL,
    message text NOT NULL,
    texts jsonb NOT NULL DEFAULT '{}',
    current_value numeric(18, 4),
    threshold_value numeric(18, 4),
    business_context jsonb NOT NULL DEFAULT '{}',
    evidence_refs jsonb NOT NULL DEFAULT '{}',
    metric_date date NOT NULL,
    last_metric_date date NOT NULL,
    state varchar(10) NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'active', 'resolved', 'expired')),
    is_active boolean NOT NULL GENERATED ALWAYS AS (state IN ('new', 'active')) STORED,
    is_resolved boolean NOT NULL GENERATED ALWAYS AS (state = 'resolved') STORED,
    detected_at timestamptz NOT NULL DEFAULT now(),
    first_detected_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    occurrences integer NOT NULL DEFAULT 1 CHECK (occurrences > 0),
    quiet_runs integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    resolved_at timestamptz,
    resolution varchar(20) CHECK (resolution IN ('recovered', 'corrected', 'closed')),
    incident_id uuid REFERENCES analytics.alert_incidents (id),
    acknowledged_at timestamptz,
    acknowledged_by text,
    notes text NOT NULL DEFAULT '',
    run_id text,
    ai_confidence decimal(3, 2) CHECK (ai_confidence >= 0 AND ai_confidence <= 1),
    ai_generated_at timestamptz,
    ai_provider varchar(50),
    CHECK (last_metric_date >= metric_date),
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE UNIQUE INDEX dashboard_alerts_one_active ON analytics.dashboard_alerts (organization_id, fingerprint)
    WHERE state IN ('new', 'active');
CREATE INDEX idx_dashboard_alerts_context ON analytics.dashboard_alerts USING gin (business_context);
CREATE INDEX dashboard_alerts_fingerprint ON analytics.dashboard_alerts (organization_id, fingerprint, metric_date);
CREATE INDEX dashboard_alerts_metric_date ON analytics.dashboard_alerts (organization_id, metric_date);
CREATE INDEX dashboard_alerts_incident ON analytics.dashboard_alerts (incident_id);
COMMENT ON TABLE analytics.dashboard_alerts IS
    'One alert for as long as it lasts; times are those of the business days it is about. business_context is '
    'written once, at first detection; evidence_refs are refreshed while the alert is active.';

CREATE FUNCTION analytics.refuse_context_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'business_context of alert % is what was known then and is never changed', OLD.id
        USING HINT = 'Read the present context from analytics.business_context.';
END
$$;
CREATE TRIGGER frozen_context BEFORE UPDATE ON analytics.dashboard_alerts
    FOR EACH ROW WHEN (NEW.business_context IS DISTINCT FROM OLD.business_context)
    EXECUTE FUNCTION analytics.refuse_context_change();

-- What happened to each alert, for ever.
CREATE TABLE analytics.alert_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    alert_id uuid NOT NULL,
    event_type varchar(20) NOT NULL CHECK (
        event_type IN (
            'detected', 'seen', 'resolved', 'expired', 'reopened', 'acknowledged', 'noted', 'changed'
        )
    ),
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    run_id text,
    reason text,
    after jsonb NOT NULL
);
CREATE INDEX alert_events_alert ON analytics.alert_events (alert_id, event_id);

CREATE FUNCTION analytics.record_alert_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind text;
BEGIN
    kind := CASE
        WHEN TG_OP = 'INSERT' THEN 'detected'
        WHEN NEW.state <> OLD.state AND NEW.state IN ('resolved', 'expired') THEN NEW.state
        WHEN OLD.state IN ('resolved', 'expired') AND NEW.state IN ('new', 'active') THEN 'reopened'
        WHEN NEW.acknowledged_at IS DISTINCT FROM OLD.acknowledged_at THEN 'acknowledged'
        WHEN NEW.notes <> OLD.notes THEN 'noted'
        WHEN NEW.occurrences > OLD.occurrences THEN 'seen'
        ELSE 'changed'
    END;
    INSERT INTO analytics.alert_events (organization_id, alert_id, event_type, actor, run_id, reason, after)
    VALUES (
        NEW.organization_id, NEW.id, kind, coalesce(tagging.context('actor'), 'db:' || current_user),
        tagging.context('run_id'), tagging.context('reason'),
        to_jsonb(NEW) - 'business_context' - 'evidence_refs' - 'texts' - 'message'
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER record_alert_inserted AFTER INSERT ON analytics.dashboard_alerts
    FOR EACH ROW EXECUTE FUNCTION analytics.record_alert_event();
CREATE TRIGGER record_alert_updated AFTER UPDATE ON analytics.dashboard_alerts
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION analytics.record_alert_event();

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON analytics.alert_events
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_change('The history of alerts is append-only.');

CREATE TABLE analytics.alert_silences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    metric_name varchar(100),
    dimension text,
    fingerprint text,
    starts_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at),
    CHECK (num_nonnulls(metric_name, dimension, fingerprint) > 0)
);
COMMENT ON TABLE analytics.alert_silences IS
    'What matches all columns given is still recorded as an alert, and notifies nobody.';

CREATE FUNCTION analytics.is_silenced(alert analytics.dashboard_alerts) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT
        FROM analytics.alert_silences AS q
        WHERE
            q.organization_id = (alert).organization_id AND now() >= q.starts_at AND now() < q.ends_at
            AND coalesce(q.metric_name = (alert).metric_name, true)
            AND coalesce(q.dimension = (alert).dimension, true)
            AND coalesce(q.fingerprint = (alert).fingerprint, true)
    );
END;

-- The way from contents to the business: whose ticket or review a text is, of which order and product.
CREATE VIEW analytics.content_facts AS
SELECT
    c.id AS content_id, c.organization_id, 'raw.support_tickets' AS fact_table, t.ticket_id AS fact_id,
    t.customer_id, t.order_id, t.product_id
FROM tagging.contents AS c
JOIN raw.support_tickets AS t
    ON t.organization_id = c.organization_id AND t.content_source = c.source
    AND t.content_external_id = c.external_id
UNION ALL
SELECT c.id, c.organization_id, 'raw.reviews', r.review_id, r.customer_id, r.order_id, r.product_id
FROM tagging.contents AS c
JOIN raw.reviews AS r
    ON r.organization_id = c.organization_id AND r.content_source = c.source
    AND r.content_external_id = c.external_id;

-- The outbox: one message an incident and channel, whatever crashes in between.
CREATE TABLE analytics.notifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    incident_id uuid NOT NULL REFERENCES analytics.alert_incidents (id),
    channel text NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sending', 'sent', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    UNIQUE (incident_id, channel)
);
CREATE INDEX notifications_due ON analytics.notifications (next_attempt_at) WHERE status IN ('queued', 'sending');
COMMENT ON COLUMN analytics.notifications.claimed_at IS
    'when a sender took it: one that died meanwhile may have sent it, so it is never sent again unasked';
COMMENT ON COLUMN analytics.notifications.channel IS 'name of a channel in tagging.yaml; its address is not stored';

-- One refresh of metrics, alerts and insights, from start to end. What changed since the last one began is pending.
CREATE TABLE analytics.business_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    run_id text,
    rules_hash text NOT NULL DEFAULT '',
    facts_state numeric NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    as_of date,
    counts jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX business_runs_latest ON analytics.business_runs (organization_id, id DESC)
    WHERE finished_at IS NOT NULL;
CREATE INDEX business_runs_run ON analytics.business_runs (run_id);
COMMENT ON COLUMN analytics.business_runs.facts_state IS
    'sum of raw.touched_days.touched_at that it saw: a maximum would miss a load that commits late';
COMMENT ON COLUMN analytics.business_runs.rules_hash IS 'of the dbt project: seeds, models and rules it ran with';
