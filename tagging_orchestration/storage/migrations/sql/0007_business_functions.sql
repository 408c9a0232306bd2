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
