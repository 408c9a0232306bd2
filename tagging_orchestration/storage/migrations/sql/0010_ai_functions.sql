-- The choice of a provider, its figures, reservations of budgets, and the upkeep of the log of calls.

ALTER TABLE ai.ai_providers ADD COLUMN models text[];
COMMENT ON COLUMN ai.ai_providers.models IS
    'models the server had at the last look at it; NULL where that is not known';
CREATE INDEX ai_usage_logs_scores ON ai.ai_usage_logs (template_key, provider_id, model, created_at) WHERE called;

-- ------------------------------------------------------------------------------------------------ the choice

-- What each config is worth. A stated score counts alone until 30 calls of the last seven days, then measured ones
-- gain weight: n / (n + 100). Performance: share of successes, halved where the slow ones (p95) take the whole time
-- limit. Cost: 0.0075 USD a success (a gpt-4o call of 1,000 tokens in and 500 out) is the 0.50 that is stated for
-- gpt-4o. Quality: mean of the shares of valid forms, of valid evidence, and of votes "useful", as far as known.
CREATE FUNCTION ai.provider_scores(at timestamptz DEFAULT now()) RETURNS TABLE (
    config_id uuid, template_key varchar, provider_id uuid, provider_name varchar, model text, model_note text,
    stated_performance numeric, stated_cost_efficiency numeric, stated_quality numeric, stated_overall numeric,
    calls_7d bigint, success_rate_7d numeric, p95_response_time_ms_7d numeric, cost_per_success_7d numeric,
    measured_performance numeric, measured_cost_efficiency numeric, measured_quality numeric, weight numeric,
    performance_score numeric, cost_efficiency_score numeric, quality_score numeric, overall_score numeric
) LANGUAGE sql STABLE AS $$
    SELECT
        c.id, t.template_key, p.id, p.name, m.model, m.note,
        c.performance_score, c.cost_efficiency_score, c.quality_score, c.overall_score,
        u.calls, u.success_rate, u.p95, u.cost_per_success,
        s.performance, s.cost_efficiency, s.quality, s.weight,
        e.performance, e.cost_efficiency, e.quality,
        round(e.performance * 0.4 + e.cost_efficiency * 0.3 + e.quality * 0.3, 3)
    FROM ai.ai_prompt_provider_configs AS c
    JOIN ai.ai_prompt_templates AS t ON t.id = c.template_id
    JOIN ai.ai_providers AS p ON p.id = c.provider_id
    -- A config's model that the server lacks gives way to the provider's own, where it has that one.
    CROSS JOIN LATERAL (
        SELECT
            coalesce(c.provider_specific_params ->> 'model', p.default_model)::text AS asked,
            CASE
                WHEN p.adapter = 'ollama' AND p.models IS NOT NULL THEN
                    ARRAY(SELECT regexp_replace(known, ':latest$', '') FROM unnest(p.models) AS known)
            END AS known
    ) AS a
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN a.known IS NULL OR regexp_replace(a.asked, ':latest$', '') = ANY (a.known) THEN a.asked
                WHEN regexp_replace(p.default_model, ':latest$', '') = ANY (a.known) THEN p.default_model::text
            END AS model,
            CASE
                WHEN a.known IS NOT NULL AND NOT regexp_replace(a.asked, ':latest$', '') = ANY (a.known) THEN
                    a.asked || ' is not on the server'
            END AS note
    ) AS m
    -- index: ai_usage_logs_scores
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS calls,
            avg((l.status = 'success')::integer)::numeric AS success_rate,
            (percentile_cont(0.95) WITHIN GROUP (ORDER BY l.response_time_ms))::numeric AS p95,
            sum(l.estimated_cost_usd) / nullif(count(*) FILTER (WHERE l.status = 'success'), 0) AS cost_per_success,
            avg(l.schema_valid::integer)::numeric AS schema_valid,
            avg(l.evidence_valid::integer)::numeric AS evidence_valid
        FROM ai.ai_usage_logs AS l
        WHERE
            l.provider_id = p.id AND l.created_at > at - interval '7 days' AND l.created_at <= at
            AND l.template_key = t.template_key AND l.model = m.model AND l.called
            AND l.error_subtype IS DISTINCT FROM 'cancelled'
    ) AS u
    CROSS JOIN LATERAL (
        SELECT avg(v.useful::integer)::numeric AS useful
        FROM ai.ai_enhancement_votes AS v
        JOIN ai.ai_enhancements AS n ON n.id = v.enhancement_id
        WHERE
            v.voted_at > at - interval '7 days' AND n.provider_id = p.id AND n.template_key = t.template_key
            AND n.model = m.model
    ) AS v
    CROSS JOIN LATERAL (
        SELECT coalesce(max((x.system_settings ->> 'enhancement_timeout_ms')::numeric), 30000) AS timeout_ms
        FROM ai.ai_system_config AS x
        WHERE
            x.is_active AND x.ai_enabled AND jsonb_typeof(x.system_settings -> 'enhancement_timeout_ms') = 'number'
            AND (x.system_settings ->> 'enhancement_timeout_ms')::numeric > 0
    ) AS x
    CROSS JOIN LATERAL (
        SELECT
            round(u.success_rate * (1 - 0.5 * least(u.p95 / x.timeout_ms, 1)), 3) AS performance,
            round(1 / (1 + u.cost_per_success / 0.0075), 3) AS cost_efficiency,
            (
                SELECT round(avg(known.share), 3)
                FROM (VALUES (u.schema_valid), (u.evidence_valid), (v.useful)) AS known (share)
            ) AS quality,
            CASE WHEN u.calls >= 30 THEN round(u.calls / (u.calls + 100.0), 3) ELSE 0 END AS weight
    ) AS s
    CROSS JOIN LATERAL (
        SELECT
            round(c.performance_score + s.weight * (coalesce(s.performance, c.performance_score)
                - c.performance_score), 3) AS performance,
            round(c.cost_efficiency_score + s.weight * (coalesce(s.cost_efficiency, c.cost_efficiency_score)
                - c.cost_efficiency_score), 3) AS cost_efficiency,
            round(c.quality_score + s.weight * (coalesce(s.quality, c.quality_score) - c.quality_score), 3) AS quality
    ) AS e
$$;
COMMENT ON FUNCTION ai.provider_scores IS 'stated and measured scores of each config, and what they come to';

-- Every config of a template in the order of a strategy; `skipped` says why one may not be called now.
CREATE FUNCTION ai.rank_provider_configs(
    template_key text, preferred_provider_id uuid DEFAULT NULL, strategy text DEFAULT 'balanced',
    at timestamptz DEFAULT clock_timestamp()
) RETURNS TABLE (
    provider_id uuid, provider_name varchar, model text, params jsonb, overall_score numeric, reason text,
    performance_score numeric, cost_efficiency_score numeric, quality_score numeric, skipped text, switched_on boolean
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF strategy IS NULL OR strategy NOT IN ('performance', 'cost', 'quality', 'balanced') THEN
        RAISE EXCEPTION 'unknown strategy %', coalesce(quote_literal(strategy), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'One of: performance, cost, quality, balanced.';
    END IF;
    RETURN QUERY
    WITH candidates AS (
        SELECT
            s.*, c.provider_specific_params, p.is_default, p.provider_type,
            c.is_active AND p.is_active AND t.is_active AS switched_on,
            CASE
                WHEN NOT p.is_active THEN 'the provider is inactive'
                WHEN NOT c.is_active THEN 'its config for this template is inactive'
                WHEN NOT t.is_active THEN 'the template is inactive'
                WHEN s.model IS NULL THEN coalesce(s.model_note, 'no model is configured')
                WHEN p.circuit_opened_at > at - interval '60 seconds' THEN 'it failed a moment ago'
                WHEN p.health_status = 'unhealthy' AND p.circuit_opened_at IS NULL THEN 'it is unhealthy'
                WHEN tokens.exhausted THEN 'the tokens of the day are used up'
                WHEN cost.exhausted AND p.price_in_per_million + p.price_out_per_million > 0 THEN
                    'the money of the day is used up'
            END AS skipped
        FROM ai.provider_scores(at) AS s
        JOIN ai.ai_prompt_provider_configs AS c ON c.id = s.config_id
        JOIN ai.ai_prompt_templates AS t ON t.id = c.template_id
        JOIN ai.ai_providers AS p ON p.id = c.provider_id
        CROSS JOIN LATERAL (SELECT ai.budget_is_exhausted('day', at) AS exhausted) AS tokens
        CROSS JOIN LATERAL (SELECT ai.budget_is_exhausted('cost', at) AS exhausted) AS cost
        WHERE s.template_key = rank_provider_configs.template_key
    )
    SELECT
        c.provider_id, c.provider_name, c.model, c.provider_specific_params, c.overall_score,
        concat_ws(
            '; ',
            CASE
                WHEN c.provider_id = preferred_provider_id AND c.skipped IS NULL THEN 'preferred'
                ELSE
                    'by ' || strategy || CASE
                        WHEN c.weight > 0 THEN format(' (%s calls measured, weight %s)', c.calls_7d, c.weight)
                        ELSE ' (stated scores)'
                    END
            END,
            c.model_note,
            CASE
                WHEN preferred_provider_id IS NULL OR c.provider_id = preferred_provider_id THEN NULL
                ELSE coalesce(
                    (
                        SELECT format('the preferred %s is skipped: %s', f.provider_name, f.skipped)
                        FROM candidates AS f
                        WHERE f.provider_id = preferred_provider_id AND f.skipped IS NOT NULL
                    ),
                    CASE
                        WHEN NOT EXISTS (SELECT FROM candidates AS f WHERE f.provider_id = preferred_provider_id) THEN
                            'the preferred provider has no config for this template'
                    END
                )
            END
        ),
        c.performance_score, c.cost_efficiency_score, c.quality_score, c.skipped, c.switched_on
    FROM candidates AS c
    ORDER BY
        c.skipped IS NULL DESC,
        c.provider_id IS NOT DISTINCT FROM preferred_provider_id DESC,
        CASE strategy
            WHEN 'performance' THEN c.performance_score
            WHEN 'cost' THEN c.cost_efficiency_score
            WHEN 'quality' THEN c.quality_score
            ELSE c.overall_score
        END DESC,
        c.overall_score DESC,
        c.is_default DESC,
        c.provider_type = 'local' DESC,
        c.provider_name;
END
$$;

-- The first row is the choice, the others are what to fall back on, best first. No row: nobody may be called.
CREATE FUNCTION ai.get_best_provider_config(
    template_key text, preferred_provider_id uuid DEFAULT NULL, strategy text DEFAULT 'balanced'
) RETURNS TABLE (
    provider_id uuid, provider_name varchar, model text, params jsonb, overall_score numeric, reason text,
    performance_score numeric, cost_efficiency_score numeric, quality_score numeric
) LANGUAGE sql STABLE AS $$
    SELECT
        r.provider_id, r.provider_name, r.model, r.params, r.overall_score, r.reason,
        r.performance_score, r.cost_efficiency_score, r.quality_score
    FROM ai.rank_provider_configs(template_key, preferred_provider_id, strategy) AS r
    WHERE r.skipped IS NULL
$$;

-- ----------------------------------------------------------------------------------------------- reservations

-- What running calls may spend at most. A process that dies leaves its rows; they lapse at expires_at.
CREATE TABLE ai.ai_token_reservations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id text NOT NULL DEFAULT 'default',
    day_start timestamptz NOT NULL,
    hour_start timestamptz NOT NULL,
    minute_start timestamptz NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    micro_usd bigint NOT NULL CHECK (micro_usd >= 0),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ai_token_reservations_expires_at ON ai.ai_token_reservations (expires_at);

-- The token bucket behind requests_per_minute and burst_limit.
CREATE TABLE ai.ai_request_buckets (
    organization_id text PRIMARY KEY,
    level double precision NOT NULL CHECK (level >= 0),
    refilled_at timestamptz NOT NULL
);

CREATE FUNCTION ai.budget_is_exhausted(scope text, at timestamptz, organization_id text DEFAULT 'default')
    RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT
        FROM ai.ai_token_budgets AS b
        WHERE
            b.organization_id = budget_is_exhausted.organization_id AND b.scope = budget_is_exhausted.scope
            AND b.window_start = date_trunc('day', at, 'UTC')
            -- What lapsed is given back by the next call. index: ai_token_reservations_expires_at
            AND b.used + b.reserved - (
                SELECT coalesce(sum(CASE b.scope WHEN 'day' THEN r.tokens ELSE r.micro_usd END), 0)
                FROM ai.ai_token_reservations AS r
                WHERE r.expires_at <= at AND r.day_start = b.window_start AND r.organization_id = b.organization_id
            ) >= b."limit"
    )
$$;

-- Give back what lapsed. All who change several budgets lock them in the order of their key, after the provider.
CREATE FUNCTION ai.release_lapsed_reservations(at timestamptz DEFAULT clock_timestamp()) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    lapsed ai.ai_token_reservations;
    released bigint := 0;
BEGIN
    -- One at a time is enough, and two could wait for each other.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('ai.release_lapsed_reservations', 0)) THEN
        RETURN 0;
    END IF;
    FOR lapsed IN
        SELECT * FROM ai.ai_token_reservations WHERE expires_at <= at ORDER BY id
    LOOP
        IF ai.settle_budget(lapsed.id, 0, 0, 0) THEN
            released := released + 1;
        END IF;
    END LOOP;
    RETURN released;
END
$$;

-- Reserve for one call in all budgets, or in none: returns the scope that refused (day, hour, minute, burst or
-- cost), NULL when all is reserved. `limits` are those of the settings now; they are kept beside what is used.
CREATE FUNCTION ai.reserve_budget(
    reservation_id uuid, tokens bigint, micro_usd bigint, limits jsonb, past_hourly boolean,
    expires_at timestamptz, at timestamptz DEFAULT clock_timestamp(), organization_id text DEFAULT 'default'
) RETURNS text
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    refused text;
    bucket ai.ai_request_buckets;
    filled double precision;
    burst double precision := (limits ->> 'burst')::double precision;
    minute_limit double precision := (limits ->> 'minute')::double precision;
BEGIN
    INSERT INTO ai.ai_token_budgets (organization_id, scope, window_start, "limit")
    SELECT organization_id, w.scope, w.window_start, (limits ->> w.scope)::bigint
    FROM ai.budget_windows(at) AS w
    ORDER BY w.scope, w.window_start
    ON CONFLICT DO NOTHING;

    PERFORM FROM ai.ai_token_budgets AS b
    JOIN ai.budget_windows(at) AS w ON w.scope = b.scope AND w.window_start = b.window_start
    WHERE b.organization_id = reserve_budget.organization_id
    ORDER BY b.scope, b.window_start
    FOR UPDATE OF b;

    SELECT b.scope INTO refused
    FROM ai.ai_token_budgets AS b
    JOIN ai.budget_windows(at) AS w ON w.scope = b.scope AND w.window_start = b.window_start
    CROSS JOIN LATERAL (
        SELECT CASE b.scope WHEN 'day' THEN tokens WHEN 'cost' THEN micro_usd ELSE 1 END AS amount
    ) AS n
    WHERE
        b.organization_id = reserve_budget.organization_id
        AND NOT (b.scope = 'hour' AND past_hourly)
        AND NOT (b.scope = 'cost' AND micro_usd = 0)
        AND b.used + b.reserved + n.amount > (limits ->> b.scope)::bigint
    ORDER BY array_position(ARRAY['day', 'cost', 'hour', 'minute'], b.scope::text)
    LIMIT 1;
    IF refused IS NOT NULL THEN
        RETURN refused;
    END IF;

    INSERT INTO ai.ai_request_buckets AS r (organization_id, level, refilled_at)
    VALUES (organization_id, burst, at)
    ON CONFLICT DO NOTHING;
    SELECT * INTO bucket
    FROM ai.ai_request_buckets AS r WHERE r.organization_id = reserve_budget.organization_id FOR UPDATE;
    filled := least(
        burst,
        bucket.level + greatest(extract(epoch FROM at - bucket.refilled_at)::double precision, 0) * minute_limit / 60
    );
    IF filled < 1 THEN
        RETURN 'burst';
    END IF;
    UPDATE ai.ai_request_buckets AS r
    SET level = filled - 1, refilled_at = greatest(r.refilled_at, at)
    WHERE r.organization_id = reserve_budget.organization_id;

    UPDATE ai.ai_token_budgets AS b
    SET
        reserved = b.reserved + CASE b.scope WHEN 'day' THEN tokens WHEN 'cost' THEN micro_usd ELSE 1 END,
        "limit" = (limits ->> b.scope)::bigint
    FROM ai.budget_windows(at) AS w
    WHERE b.organization_id = reserve_budget.organization_id AND w.scope = b.scope AND w.window_start = b.window_start;

    INSERT INTO ai.ai_token_reservations
        (id, organization_id, day_start, hour_start, minute_start, tokens, micro_usd, expires_at)
    VALUES (
        reservation_id, organization_id, date_trunc('day', at, 'UTC'), date_trunc('hour', at, 'UTC'),
        date_trunc('minute', at, 'UTC'), tokens, micro_usd, expires_at
    );
    RETURN NULL;
END
$$;

-- The windows a moment belongs to; all are UTC.
CREATE FUNCTION ai.budget_windows(at timestamptz) RETURNS TABLE (scope varchar, window_start timestamptz)
    LANGUAGE sql STABLE AS $$
    VALUES
        ('cost'::varchar, date_trunc('day', at, 'UTC')),
        ('day', date_trunc('day', at, 'UTC')),
        ('hour', date_trunc('hour', at, 'UTC')),
        ('minute', date_trunc('minute', at, 'UTC'))
$$;

-- Turn a reservation into what was spent; zeroes give it back in full. False when it was settled or lapsed before.
CREATE FUNCTION ai.settle_budget(reservation_id uuid, tokens bigint, micro_usd bigint, requests integer)
    RETURNS boolean
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    held ai.ai_token_reservations;
BEGIN
    DELETE FROM ai.ai_token_reservations AS r WHERE r.id = reservation_id RETURNING r.* INTO held;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM FROM ai.ai_token_budgets AS b
    WHERE
        b.organization_id = held.organization_id
        AND (b.scope, b.window_start) IN (
            ('cost', held.day_start), ('day', held.day_start), ('hour', held.hour_start), ('minute', held.minute_start)
        )
    ORDER BY b.scope, b.window_start
    FOR UPDATE;
    UPDATE ai.ai_token_budgets AS b
    SET
        reserved = greatest(
            b.reserved - CASE b.scope WHEN 'day' THEN held.tokens WHEN 'cost' THEN held.micro_usd ELSE 1 END, 0
        ),
        used = b.used + CASE b.scope WHEN 'day' THEN tokens WHEN 'cost' THEN micro_usd ELSE requests END
    WHERE
        b.organization_id = held.organization_id
        AND (b.scope, b.window_start) IN (
            ('cost', held.day_start), ('day', held.day_start), ('hour', held.hour_start), ('minute', held.minute_start)
        );
    RETURN true;
END
$$;

-- ---------------------------------------------------------------------------------------------- the log of calls

CREATE FUNCTION ai.refuse_usage_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('ai.cleaning_up', true) = 'on' THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION 'ai_usage_logs is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'Old rows are removed with ai.cleanup_ai_usage_logs(keep_days).';
END
$$;
CREATE TRIGGER ai_usage_logs_append_only BEFORE UPDATE OR DELETE ON ai.ai_usage_logs
    FOR EACH ROW EXECUTE FUNCTION ai.refuse_usage_log_change();
CREATE TRIGGER ai_usage_logs_no_truncate BEFORE TRUNCATE ON ai.ai_usage_logs
    FOR EACH STATEMENT EXECUTE FUNCTION ai.refuse_usage_log_change();

-- Months are UTC months. A partition is attached rather than created in place: that waits for no writer.
CREATE FUNCTION ai.ensure_usage_log_partitions(
    from_month date DEFAULT (clock_timestamp() AT TIME ZONE 'UTC')::date, months integer DEFAULT 2
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    month date;
    partition text;
    created integer := 0;
BEGIN
    FOR step IN 0..months - 1 LOOP
        month := date_trunc('month', from_month)::date + make_interval(months => step);
        partition := format('ai_usage_logs_y%sm%s', to_char(month, 'YYYY'), to_char(month, 'MM'));
        CONTINUE WHEN to_regclass('ai.' || partition) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtextextended('ai.ensure_usage_log_partitions', 0));
        CONTINUE WHEN to_regclass('ai.' || partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE ai.%I (LIKE ai.ai_usage_logs INCLUDING ALL)', partition);
        EXECUTE format(
            'ALTER TABLE ai.ai_usage_logs ATTACH PARTITION ai.%I FOR VALUES FROM (%L) TO (%L)',
            partition,
            month::timestamp AT TIME ZONE 'UTC',
            (month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
        );
        -- Row triggers are inherited, statement triggers are not.
        EXECUTE format(
            'CREATE TRIGGER ai_usage_logs_no_truncate BEFORE TRUNCATE ON ai.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ai.refuse_usage_log_change()',
            partition
        );
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;

SELECT ai.ensure_usage_log_partitions(months => 4);

CREATE FUNCTION ai.refuse_short_retention(keep_days integer) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
BEGIN
    IF keep_days IS NULL OR keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %, one day is the least', coalesce(keep_days::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The figures of seven days choose the provider.';
    END IF;
    RETURN clock_timestamp() - make_interval(days => keep_days);
END
$$;

-- Drops months that are wholly older, deletes the rest; returns how many rows went.
CREATE FUNCTION ai.cleanup_ai_usage_logs(keep_days integer DEFAULT 90) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    cutoff timestamptz := ai.refuse_short_retention(keep_days);
    month regclass;
    rows_of_month bigint;
    removed bigint := 0;
BEGIN
    FOR month IN
        SELECT i.inhrelid::regclass
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE
            i.inhparent = 'ai.ai_usage_logs'::regclass
            AND (to_date(right(c.relname, 8), '"y"YYYY"m"MM') + interval '1 month')::timestamp AT TIME ZONE 'UTC'
                <= cutoff
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT count(*) FROM %s', month) INTO rows_of_month;
        EXECUTE format('DROP TABLE %s', month);
        removed := removed + rows_of_month;
    END LOOP;
    PERFORM set_config('ai.cleaning_up', 'on', true);
    DELETE FROM ai.ai_usage_logs WHERE created_at < cutoff;
    GET DIAGNOSTICS rows_of_month = ROW_COUNT;
    PERFORM set_config('ai.cleaning_up', 'off', true);
    RETURN removed + rows_of_month;
END
$$;

-- Answers that expired so long ago, with the votes on them.
CREATE FUNCTION ai.cleanup_ai_enhancements(keep_days integer DEFAULT 90) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    cutoff timestamptz := ai.refuse_short_retention(keep_days);
    removed bigint;
BEGIN
    DELETE FROM ai.ai_enhancements WHERE created_at < cutoff AND expires_at < cutoff;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

CREATE FUNCTION ai.cleanup_ai_provider_probes(keep_days integer DEFAULT 90) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    cutoff timestamptz := ai.refuse_short_retention(keep_days);
    removed bigint;
BEGIN
    DELETE FROM ai.ai_provider_probes WHERE probed_at < cutoff;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

-- Windows that ended so long ago; minutes go after a day, nobody reads them again.
CREATE FUNCTION ai.cleanup_ai_token_budgets(keep_days integer DEFAULT 90) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    cutoff timestamptz := ai.refuse_short_retention(keep_days);
    removed bigint;
BEGIN
    PERFORM ai.release_lapsed_reservations();
    DELETE FROM ai.ai_token_budgets
    WHERE
        reserved = 0
        AND (
            window_start < cutoff OR (scope = 'minute' AND window_start < clock_timestamp() - interval '1 day')
        );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

-- One row a provider and model it was called with (or, before the first call, its default model).
CREATE VIEW ai.ai_provider_realtime_stats AS
WITH calls AS (
    -- index: ai_usage_logs_time
    SELECT *
    FROM ai.ai_usage_logs
    WHERE created_at > now() - interval '7 days' AND provider_id IS NOT NULL
),
models AS (
    SELECT DISTINCT provider_id, model FROM calls WHERE model IS NOT NULL
    UNION
    SELECT p.id, p.default_model
    FROM ai.ai_providers AS p
    WHERE NOT EXISTS (SELECT FROM calls AS c WHERE c.provider_id = p.id AND c.model IS NOT NULL)
)
SELECT
    p.id AS provider_id,
    p.name AS provider_name,
    m.model,
    p.is_active,
    p.health_status,
    d.requests_24h,
    d.success_rate_24h,
    d.avg_response_time_ms,
    d.p50_response_time_ms,
    d.p95_response_time_ms,
    d.tokens_24h,
    d.cost_24h_usd,
    d.cost_24h_usd / nullif(d.successes_24h, 0) AS avg_cost_per_success,
    coalesce(e.errors_by_type, '{}') AS errors_by_type,
    d.cache_hit_rate,
    h.availability_24h,
    p.consecutive_failures,
    s.last_success_at,
    coalesce(w.daily_series_7d, '[]') AS daily_series_7d
FROM models AS m
JOIN ai.ai_providers AS p ON p.id = m.provider_id
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE c.called) AS requests_24h,
        count(*) FILTER (WHERE c.called AND c.status = 'success') AS successes_24h,
        round(avg((c.status = 'success')::integer) FILTER (WHERE c.called), 4) AS success_rate_24h,
        round(avg(c.response_time_ms) FILTER (WHERE c.called), 1) AS avg_response_time_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY c.response_time_ms) FILTER (WHERE c.called) AS p50_response_time_ms,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY c.response_time_ms) FILTER (WHERE c.called) AS p95_response_time_ms,
        coalesce(sum(c.tokens_total), 0) AS tokens_24h,
        coalesce(sum(c.estimated_cost_usd), 0) AS cost_24h_usd,
        round(
            count(*) FILTER (WHERE c.cache_status IN ('hit', 'stale') AND c.status = 'success')::numeric
            / nullif(count(DISTINCT c.request_id) FILTER (WHERE c.cache_status <> 'bypass'), 0), 4
        ) AS cache_hit_rate
    FROM calls AS c
    WHERE
        c.provider_id = m.provider_id AND c.model IS NOT DISTINCT FROM m.model
        AND c.created_at > now() - interval '24 hours'
) AS d
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(x.error_type, x.errors) AS errors_by_type
    FROM (
        SELECT c.error_type, count(*) AS errors
        FROM calls AS c
        WHERE
            c.provider_id = m.provider_id AND c.model IS NOT DISTINCT FROM m.model AND c.error_type IS NOT NULL
            AND c.created_at > now() - interval '24 hours'
        GROUP BY c.error_type
    ) AS x
) AS e
CROSS JOIN LATERAL (
    SELECT round(avg((b.status <> 'unhealthy')::integer), 4) AS availability_24h
    FROM ai.ai_provider_probes AS b
    WHERE b.provider_id = m.provider_id AND b.probed_at > now() - interval '24 hours'
) AS h
CROSS JOIN LATERAL (
    -- index: ai_usage_logs_performance
    SELECT max(l.created_at) AS last_success_at
    FROM ai.ai_usage_logs AS l
    WHERE
        l.provider_id = m.provider_id AND l.model IS NOT DISTINCT FROM m.model AND l.called AND l.status = 'success'
) AS s
CROSS JOIN LATERAL (
    SELECT
        jsonb_agg(
            jsonb_build_object(
                'day', x.day, 'requests', x.requests, 'successes', x.successes, 'tokens', x.tokens,
                'cost_usd', x.cost_usd, 'avg_response_time_ms', x.avg_response_time_ms
            )
            ORDER BY x.day
        ) AS daily_series_7d
    FROM (
        SELECT
            (c.created_at AT TIME ZONE 'UTC')::date AS day,
            count(*) FILTER (WHERE c.called) AS requests,
            count(*) FILTER (WHERE c.called AND c.status = 'success') AS successes,
            sum(c.tokens_total) AS tokens,
            sum(c.estimated_cost_usd) AS cost_usd,
            round(avg(c.response_time_ms) FILTER (WHERE c.called), 1) AS avg_response_time_ms
        FROM calls AS c
        WHERE c.provider_id = m.provider_id AND c.model IS NOT DISTINCT FROM m.model
        GROUP BY 1
    ) AS x
) AS w;
COMMENT ON VIEW ai.ai_provider_realtime_stats IS
    'Last 24 hours a provider and model, and a series of seven days. Requests are calls that left.';
