-- Contents, their ledger, the vocabulary, assignments, and the events that make tags permanent.
-- Plain Postgres >= 16 with pgvector >= 0.7; no contrib module is needed.

CREATE SCHEMA IF NOT EXISTS tagging;
CREATE EXTENSION IF NOT EXISTS vector;

-- ---------------------------------------------------------------------------------------------- hashes

-- Equal to core/fingerprints.py:text_hash. convert_to() is only STABLE because of its encoding argument.
CREATE FUNCTION tagging.text_hash(title text, body text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN encode(sha256(convert_to(length(title) || ':' || title || body, 'UTF8')), 'hex');

-- Everything a machine's tags are made from: text, stated language, source and people's tags.
CREATE FUNCTION tagging.input_hash(title text, body text, language text, source text, given_tags text[])
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN encode(
        sha256(
            convert_to(
                tagging.text_hash(title, body) || E'\x1f' || coalesce(language, '') || E'\x1f' || source
                || E'\x1f' || array_to_string(given_tags, E'\x1f'),
                'UTF8'
            )
        ),
        'hex'
    );

-- -------------------------------------------------------------------------------------------- contents

CREATE TABLE tagging.contents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    source text NOT NULL,
    external_id text NOT NULL,
    content_type text NOT NULL DEFAULT 'text',
    title text NOT NULL DEFAULT '',
    body text NOT NULL DEFAULT '',
    url text,
    language text,
    given_tags text[] NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ingested_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    text_hash text NOT NULL GENERATED ALWAYS AS (tagging.text_hash(title, body)) STORED,
    input_hash text NOT NULL
        GENERATED ALWAYS AS (tagging.input_hash(title, body, language, source, given_tags)) STORED,
    UNIQUE (organization_id, source, external_id)
);
CREATE INDEX contents_text_hash ON tagging.contents (text_hash, id);
CREATE INDEX contents_created_at ON tagging.contents (created_at) WHERE deleted_at IS NULL;
COMMENT ON TABLE tagging.contents IS 'One item that gets tags. A deleted_at marks a tombstone.';

-- The ledger says what a content is now (stamped by the capture triggers) and what its tags were made from.
-- Pending is the comparison of the two; the partial index below makes it a look-up.
CREATE TABLE tagging.content_ledger (
    content_id bigint PRIMARY KEY,
    organization_id text NOT NULL,
    content_created_at timestamptz NOT NULL,
    input_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at timestamptz,
    tagged_input_hash text,
    tagger_version_id integer,
    tagged_at timestamptz,
    attempts smallint NOT NULL DEFAULT 0,
    retry_at timestamptz,
    failed_version_id integer,
    error text,
    stale boolean NOT NULL
        GENERATED ALWAYS AS (deleted_at IS NULL AND tagged_input_hash IS DISTINCT FROM input_hash) STORED
)
-- Rows pass through the partial index like through a queue: what has left it must not pile up there.
WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX content_ledger_stale ON tagging.content_ledger (content_created_at, content_id) WHERE stale;
CREATE INDEX content_ledger_version
    ON tagging.content_ledger (tagger_version_id, content_created_at, content_id)
    WHERE deleted_at IS NULL AND tagger_version_id IS NOT NULL;
CREATE INDEX content_ledger_failed ON tagging.content_ledger (failed_version_id)
    WHERE failed_version_id IS NOT NULL OR retry_at IS NOT NULL;
COMMENT ON COLUMN tagging.content_ledger.failed_version_id IS
    'Dead letter: tagging this input was given up under this tagger version; error says why.';

CREATE TABLE tagging.tagger_versions (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version_hash text NOT NULL UNIQUE,
    components jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- -------------------------------------------------------------------------------------- loads of sources

CREATE TABLE tagging.source_loads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    source text NOT NULL,
    location text NOT NULL,
    fingerprint text,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed')),
    rows_read bigint NOT NULL DEFAULT 0,
    inserted bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    tombstoned bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    error text,
    run_id text,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX source_loads_latest ON tagging.source_loads (source, id DESC);

CREATE TABLE tagging.rejected_rows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    load_id bigint NOT NULL REFERENCES tagging.source_loads (id) ON DELETE CASCADE,
    source text NOT NULL,
    location text NOT NULL,
    row_number bigint NOT NULL,
    column_name text,
    external_id text,
    code text NOT NULL,
    message text NOT NULL,
    excerpt text,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rejected_rows_load ON tagging.rejected_rows (load_id);
CREATE INDEX rejected_rows_rejected_at ON tagging.rejected_rows (rejected_at);

-- ------------------------------------------------------------------------------------------- embeddings

-- One row a text and model, whatever the number of contents with that text. The vector column has no fixed
-- dimension so that two models can coexist; each model gets its own partial HNSW index over a cast.
CREATE TABLE tagging.content_embeddings (
    organization_id text NOT NULL DEFAULT 'default',
    text_hash text NOT NULL,
    model text NOT NULL,
    dimension smallint NOT NULL,
    embedding vector NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (text_hash, model, organization_id),
    CHECK (vector_dims(embedding) = dimension)
);
CREATE INDEX content_embeddings_model ON tagging.content_embeddings (model, organization_id);

-- ------------------------------------------------------------------------------------------- vocabulary

CREATE TABLE tagging.tags (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    name text NOT NULL CHECK (name <> '' AND length(name) <= 200),
    normal_form text NOT NULL CHECK (normal_form <> ''),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'merged', 'retired', 'blocked')),
    origin text NOT NULL DEFAULT 'machine' CHECK (origin IN ('human', 'machine')),
    language text,
    description text,
    parent_id bigint REFERENCES tagging.tags (id),
    merged_into_id bigint REFERENCES tagging.tags (id),
    pinned boolean NOT NULL DEFAULT false,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (organization_id, normal_form),
    CHECK (parent_id <> id),
    CHECK (merged_into_id <> id),
    CHECK ((status = 'merged') = (merged_into_id IS NOT NULL))
);
CREATE INDEX tags_parent ON tagging.tags (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX tags_merged_into ON tagging.tags (merged_into_id) WHERE merged_into_id IS NOT NULL;
CREATE INDEX tags_name ON tagging.tags (lower(normalize(name, NFKC)));

CREATE TABLE tagging.tag_aliases (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    alias text NOT NULL CHECK (alias <> ''),
    normal_form text NOT NULL CHECK (normal_form <> ''),
    tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    origin text NOT NULL DEFAULT 'machine' CHECK (origin IN ('human', 'machine')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (organization_id, normal_form)
);
CREATE INDEX tag_aliases_tag ON tagging.tag_aliases (tag_id);
CREATE INDEX tag_aliases_alias ON tagging.tag_aliases (lower(normalize(alias, NFKC)));

-- Raised by every change of the vocabulary, its vectors or its weights, so that a reader's copy in memory is
-- known to be the present one by reading one row. Writers of one vocabulary wait for each other here; a
-- sequence would show its new value before the change can be seen.
CREATE TABLE tagging.vocabulary_revisions (
    organization_id text PRIMARY KEY,
    revision bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE tagging.tag_embeddings (
    tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    organization_id text NOT NULL DEFAULT 'default',
    model text NOT NULL,
    dimension smallint NOT NULL,
    name_hash text NOT NULL,
    embedding vector NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tag_id, model),
    CHECK (vector_dims(embedding) = dimension)
);

CREATE TABLE tagging.tag_merge_candidates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    source_tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    target_tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    score real NOT NULL CHECK (score BETWEEN 0 AND 1),
    signals jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'accepted', 'refused')),
    decided_by text,
    decided_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (source_tag_id <> target_tag_id)
);
-- A pair is judged once, whichever way round; a refusal is remembered for ever.
CREATE UNIQUE INDEX tag_merge_candidates_pair ON tagging.tag_merge_candidates (
    least(source_tag_id, target_tag_id), greatest(source_tag_id, target_tag_id)
);
CREATE INDEX tag_merge_candidates_open ON tagging.tag_merge_candidates (organization_id, score DESC)
    WHERE status = 'open';

CREATE TABLE tagging.tag_merges (
    operation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id text NOT NULL DEFAULT 'default',
    source_tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    target_tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    score real,
    actor text NOT NULL,
    merged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_at timestamptz,
    undone_by text
);

-- ------------------------------------------------------------------------------------------ assignments

-- What the tagger proposed for one content before publishing: staging, explanation, and re-publishing
-- through a changed vocabulary without generating again.
CREATE TABLE tagging.generated_tags (
    content_id bigint PRIMARY KEY REFERENCES tagging.contents (id) ON DELETE CASCADE,
    organization_id text NOT NULL DEFAULT 'default',
    input_hash text NOT NULL,
    tagger_version_id integer NOT NULL REFERENCES tagging.tagger_versions (id),
    language text NOT NULL,
    proposals jsonb NOT NULL,
    normal_forms text[] NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Without the list of pending entries, which every look-up would have to read through.
CREATE INDEX generated_tags_normal_forms ON tagging.generated_tags USING gin (normal_forms)
    WITH (fastupdate = off);

CREATE TABLE tagging.content_tags (
    content_id bigint NOT NULL,
    tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    organization_id text NOT NULL DEFAULT 'default',
    confidence real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    weight real NOT NULL CHECK (weight >= 0),
    method text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('human', 'machine')),
    evidence jsonb NOT NULL DEFAULT '[]',
    tagger_version_id integer,
    assigned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (content_id, tag_id)
);
CREATE INDEX content_tags_tag ON tagging.content_tags (tag_id, weight DESC) INCLUDE (content_id);

CREATE TABLE tagging.corpus_statistics (
    organization_id text PRIMARY KEY,
    documents bigint NOT NULL,
    corpus_size bigint NOT NULL,
    payload bytea NOT NULL,
    built_at timestamptz NOT NULL DEFAULT now()
);

-- ------------------------------------------------------------------------------------------ projections

CREATE TABLE tagging.tag_weights (
    tag_id bigint PRIMARY KEY REFERENCES tagging.tags (id),
    organization_id text NOT NULL DEFAULT 'default',
    usage_count bigint NOT NULL,
    last_used_at timestamptz,
    factor double precision NOT NULL,
    weight double precision NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tag_weights_usage ON tagging.tag_weights (organization_id, usage_count DESC);

CREATE TABLE tagging.tag_relationships (
    tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    related_tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    organization_id text NOT NULL DEFAULT 'default',
    co_occurrences bigint NOT NULL,
    correlation double precision NOT NULL,
    npmi double precision NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tag_id, related_tag_id)
);

CREATE TABLE tagging.system_metrics (
    measured_at timestamptz NOT NULL,
    organization_id text NOT NULL DEFAULT 'default',
    metric text NOT NULL,
    value double precision NOT NULL,
    dimensions jsonb NOT NULL DEFAULT '{}',
    run_id text
);
CREATE INDEX system_metrics_metric ON tagging.system_metrics (organization_id, metric, measured_at);

CREATE TABLE tagging.maintenance_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    action text NOT NULL,
    rows_affected bigint NOT NULL DEFAULT 0,
    detail jsonb NOT NULL DEFAULT '{}',
    actor text NOT NULL,
    run_id text,
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- ----------------------------------------------------------------------------------------------- events

CREATE TABLE tagging.tag_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    organization_id text NOT NULL,
    event_type text NOT NULL CHECK (
        event_type IN (
            'created', 'updated', 'merged', 'split', 'retired', 'alias_added', 'alias_removed',
            'associated', 'dissociated', 'weight_changed', 'feedback', 'erased'
        )
    ),
    tag_id bigint,
    content_id bigint,
    operation_id uuid,
    actor text NOT NULL,
    run_id text,
    reason text,
    before jsonb,
    after jsonb,
    PRIMARY KEY (event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX tag_events_content ON tagging.tag_events (content_id, tag_id, event_id DESC)
    WHERE content_id IS NOT NULL;
CREATE INDEX tag_events_tag ON tagging.tag_events (tag_id, content_id, event_id DESC);
CREATE INDEX tag_events_operation ON tagging.tag_events (operation_id) WHERE operation_id IS NOT NULL;
CREATE INDEX tag_events_vocabulary ON tagging.tag_events (tag_id, event_id DESC) WHERE content_id IS NULL;
CREATE INDEX tag_events_occurred_at ON tagging.tag_events USING brin (occurred_at) WITH (pages_per_range = 16);
COMMENT ON TABLE tagging.tag_events IS
    'One immutable fact about a tag, an alias or an assignment. `after` is the row as the event left it, NULL when '
    'it is gone; an event without before and after is a remark and changes no state. event_id orders them.';

-- The audited way, and the only one, to take personal data out of events. A row here licenses redaction in
-- its own transaction; see refuse_event_change().
CREATE TABLE tagging.erasures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL,
    content_id bigint NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION tagging.refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW' THEN
        IF (to_jsonb(new) - '{before,after,reason}'::text[]) = (to_jsonb(old) - '{before,after,reason}'::text[])
            AND EXISTS (
                SELECT FROM tagging.erasures
                WHERE content_id = old.content_id AND transaction_id = pg_current_xact_id()
            )
        THEN
            RETURN new;
        END IF;
    END IF;
    RAISE EXCEPTION 'tag_events is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'Record a new event instead. Personal data is erased with tagging.erase_content().';
END
$$;
CREATE TRIGGER tag_events_append_only BEFORE UPDATE OR DELETE ON tagging.tag_events
    FOR EACH ROW EXECUTE FUNCTION tagging.refuse_event_change();
CREATE TRIGGER tag_events_no_truncate BEFORE TRUNCATE ON tagging.tag_events
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_event_change();

-- Months are UTC months. A partition is attached rather than created in place: that waits for no writer.
CREATE FUNCTION tagging.ensure_event_partitions(
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
        partition := format('tag_events_y%sm%s', to_char(month, 'YYYY'), to_char(month, 'MM'));
        CONTINUE WHEN to_regclass('tagging.' || partition) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtextextended('tagging.ensure_event_partitions', 0));
        CONTINUE WHEN to_regclass('tagging.' || partition) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE tagging.%I (LIKE tagging.tag_events INCLUDING ALL EXCLUDING IDENTITY)', partition
        );
        EXECUTE format(
            'ALTER TABLE tagging.tag_events ATTACH PARTITION tagging.%I FOR VALUES FROM (%L) TO (%L)',
            partition,
            month::timestamp AT TIME ZONE 'UTC',
            (month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
        );
        -- Row triggers are inherited, statement triggers are not.
        EXECUTE format(
            'CREATE TRIGGER tag_events_no_truncate BEFORE TRUNCATE ON tagging.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_event_change()',
            partition
        );
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;

SELECT tagging.ensure_event_partitions(months => 4);

CREATE FUNCTION tagging.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on tagging.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = TG_ARGV[0];
END
$$;
CREATE TRIGGER erasures_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tagging.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_change('The log of erasures is append-only.');
CREATE TRIGGER tags_are_permanent BEFORE DELETE OR TRUNCATE ON tagging.tags
    FOR EACH STATEMENT
    EXECUTE FUNCTION tagging.refuse_change('Retire, block or merge a tag instead: set its status.');
CREATE TRIGGER content_tags_no_truncate BEFORE TRUNCATE ON tagging.content_tags
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_change('Use DELETE: it leaves events.');

-- Who and why, as the writer's transaction says it (see storage/connection.py:transaction), else the role.
CREATE FUNCTION tagging.context(key text) RETURNS text
    LANGUAGE sql STABLE
    RETURN nullif(current_setting('tagging.' || key, true), '');

-- Every change of state writes its events itself, in the same statement, so that no client can forget them.
CREATE FUNCTION tagging.record_content_tag_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tagging.ensure_event_partitions();
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, content_id, operation_id, actor, run_id, reason, after)
        SELECT
            n.organization_id, coalesce(tagging.context('event_type'), 'associated'), n.tag_id, n.content_id,
            tagging.context('operation_id')::uuid, coalesce(tagging.context('actor'), session_user),
            tagging.context('run_id'), tagging.context('reason'), to_jsonb(n)
        FROM new_rows AS n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, content_id, operation_id, actor, run_id, reason, before)
        SELECT
            o.organization_id, 'dissociated', o.tag_id, o.content_id,
            tagging.context('operation_id')::uuid, coalesce(tagging.context('actor'), session_user),
            tagging.context('run_id'), tagging.context('reason'), to_jsonb(o)
        FROM old_rows AS o;
    ELSE
        -- A changed key is a dissociation and an association; an update that changes nothing is no event.
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, content_id, operation_id, actor, run_id, reason, before, after)
        SELECT
            coalesce(n.organization_id, o.organization_id),
            CASE
                WHEN n.content_id IS NULL THEN 'dissociated'
                WHEN to_jsonb(n) - 'weight' = to_jsonb(o) - 'weight' THEN 'weight_changed'
                ELSE 'associated'
            END,
            coalesce(n.tag_id, o.tag_id), coalesce(n.content_id, o.content_id),
            tagging.context('operation_id')::uuid, coalesce(tagging.context('actor'), session_user),
            tagging.context('run_id'), tagging.context('reason'),
            CASE WHEN o.content_id IS NOT NULL THEN to_jsonb(o) END,
            CASE WHEN n.content_id IS NOT NULL THEN to_jsonb(n) END
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.content_id = n.content_id AND o.tag_id = n.tag_id
        WHERE to_jsonb(n) IS DISTINCT FROM to_jsonb(o);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER content_tags_insert_events AFTER INSERT ON tagging.content_tags
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_content_tag_events();
CREATE TRIGGER content_tags_update_events AFTER UPDATE ON tagging.content_tags
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_content_tag_events();
CREATE TRIGGER content_tags_delete_events AFTER DELETE ON tagging.content_tags
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_content_tag_events();

CREATE FUNCTION tagging.record_tag_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tagging.ensure_event_partitions();
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, operation_id, actor, run_id, reason, after)
        SELECT
            n.organization_id, 'created', n.id, tagging.context('operation_id')::uuid,
            coalesce(tagging.context('actor'), session_user), tagging.context('run_id'),
            tagging.context('reason'), to_jsonb(n)
        FROM new_rows AS n;
    ELSE
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, operation_id, actor, run_id, reason, before, after)
        SELECT
            n.organization_id,
            CASE
                WHEN tagging.context('event_type') IS NOT NULL THEN tagging.context('event_type')
                WHEN n.status = 'merged' AND o.status <> 'merged' THEN 'merged'
                WHEN n.status = 'retired' AND o.status <> 'retired' THEN 'retired'
                ELSE 'updated'
            END,
            n.id, tagging.context('operation_id')::uuid, coalesce(tagging.context('actor'), session_user),
            tagging.context('run_id'), tagging.context('reason'), to_jsonb(o), to_jsonb(n)
        FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        WHERE to_jsonb(n) IS DISTINCT FROM to_jsonb(o);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tags_insert_events AFTER INSERT ON tagging.tags
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_tag_events();
CREATE TRIGGER tags_update_events AFTER UPDATE ON tagging.tags
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_tag_events();

CREATE FUNCTION tagging.record_alias_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tagging.ensure_event_partitions();
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, operation_id, actor, run_id, reason, after)
        SELECT
            n.organization_id, 'alias_added', n.tag_id, tagging.context('operation_id')::uuid,
            coalesce(tagging.context('actor'), session_user), tagging.context('run_id'),
            tagging.context('reason'), to_jsonb(n)
        FROM new_rows AS n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, operation_id, actor, run_id, reason, before)
        SELECT
            o.organization_id, 'alias_removed', o.tag_id, tagging.context('operation_id')::uuid,
            coalesce(tagging.context('actor'), session_user), tagging.context('run_id'),
            tagging.context('reason'), to_jsonb(o)
        FROM old_rows AS o;
    ELSE
        -- An alias that moves leaves the history of one tag and enters that of the other.
        INSERT INTO tagging.tag_events
            (organization_id, event_type, tag_id, operation_id, actor, run_id, reason, before, after)
        SELECT
            moved.organization_id, moved.event_type, moved.tag_id, tagging.context('operation_id')::uuid,
            coalesce(tagging.context('actor'), session_user), tagging.context('run_id'),
            tagging.context('reason'), moved.before, moved.after
        FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        CROSS JOIN LATERAL (
            VALUES
                (1, o.organization_id, 'alias_removed', o.tag_id, to_jsonb(o), NULL),
                (2, n.organization_id, 'alias_added', n.tag_id, NULL, to_jsonb(n))
        ) AS moved (step, organization_id, event_type, tag_id, before, after)
        WHERE to_jsonb(n) IS DISTINCT FROM to_jsonb(o)
        ORDER BY moved.step;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tag_aliases_insert_events AFTER INSERT ON tagging.tag_aliases
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_alias_events();
CREATE TRIGGER tag_aliases_update_events AFTER UPDATE ON tagging.tag_aliases
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_alias_events();
CREATE TRIGGER tag_aliases_delete_events AFTER DELETE ON tagging.tag_aliases
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.record_alias_events();

-- ------------------------------------------------------------------------------------------- invariants

-- Neither a hierarchy nor a chain of merges may close on itself. The lock makes two writers, each adding half of
-- a cycle, see each other.
CREATE FUNCTION tagging.refuse_tag_cycles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tagging.refuse_tag_cycles', 0));
    IF EXISTS (
        WITH RECURSIVE up (id) AS (
            SELECT new.parent_id
            UNION
            SELECT t.parent_id FROM up JOIN tagging.tags AS t ON t.id = up.id
        )
        SELECT FROM up WHERE id = new.id
    ) THEN
        RAISE EXCEPTION 'tag % (%) cannot be its own ancestor', new.id, new.name
            USING ERRCODE = 'check_violation', HINT = 'Choose a parent that is not below this tag.';
    END IF;
    IF EXISTS (
        WITH RECURSIVE onward (id) AS (
            SELECT new.merged_into_id
            UNION
            SELECT t.merged_into_id FROM onward JOIN tagging.tags AS t ON t.id = onward.id
        )
        SELECT FROM onward WHERE id = new.id
    ) THEN
        RAISE EXCEPTION 'tag % (%) cannot be merged into itself', new.id, new.name
            USING ERRCODE = 'check_violation', HINT = 'Undo the other merge first.';
    END IF;
    IF EXISTS (
        SELECT FROM tagging.tags
        WHERE id IN (new.parent_id, new.merged_into_id) AND organization_id <> new.organization_id
    ) THEN
        RAISE EXCEPTION 'tag % (%) and its parent or merge target are of different organisations', new.id, new.name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tags_no_cycles AFTER INSERT OR UPDATE OF parent_id, merged_into_id ON tagging.tags
    FOR EACH ROW WHEN (new.parent_id IS NOT NULL OR new.merged_into_id IS NOT NULL)
    EXECUTE FUNCTION tagging.refuse_tag_cycles();

-- Only active tags are assigned. When a tag stops being active its assignments go with it, in the same statement:
-- to the tag it was merged into, where the better confidence and a person's word win, or out. The trigger's name
-- puts it after tags_update_events, so that the tag's own event comes first.
CREATE FUNCTION tagging.take_assignments_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        WHERE n.status <> 'active' AND o.status = 'active'
    ) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        JOIN tagging.tags AS target ON target.id = n.merged_into_id
        WHERE n.status = 'merged' AND o.status <> 'merged' AND target.status <> 'active'
    ) THEN
        RAISE EXCEPTION 'a tag can only be merged into an active tag'
            USING ERRCODE = 'check_violation', HINT = 'Merge into the tag that the target stands for today.';
    END IF;
    INSERT INTO tagging.content_tags AS kept (
        content_id, tag_id, organization_id, confidence, weight, method, origin, evidence, tagger_version_id,
        assigned_at
    )
    SELECT DISTINCT ON (ct.content_id, n.merged_into_id)
        ct.content_id, n.merged_into_id, ct.organization_id, ct.confidence,
        ct.confidence * coalesce(w.factor, 1), ct.method, ct.origin, ct.evidence, ct.tagger_version_id,
        ct.assigned_at
    FROM new_rows AS n
    JOIN old_rows AS o ON o.id = n.id AND o.status = 'active'
    JOIN tagging.content_tags AS ct ON ct.tag_id = n.id
    LEFT JOIN tagging.tag_weights AS w ON w.tag_id = n.merged_into_id
    WHERE n.status = 'merged'
    ORDER BY ct.content_id, n.merged_into_id, ct.origin = 'human' DESC, ct.confidence DESC
    ON CONFLICT (content_id, tag_id) DO UPDATE SET
        (method, evidence, tagger_version_id, assigned_at) = (
            SELECT prevails.method, prevails.evidence, prevails.tagger_version_id, prevails.assigned_at
            FROM (
                VALUES
                    (excluded.method, excluded.evidence, excluded.tagger_version_id, excluded.assigned_at,
                    excluded.origin = 'human', excluded.confidence),
                    (kept.method, kept.evidence, kept.tagger_version_id, kept.assigned_at,
                    kept.origin = 'human', kept.confidence)
            ) AS prevails (method, evidence, tagger_version_id, assigned_at, human, confidence)
            ORDER BY prevails.human DESC, prevails.confidence DESC
            LIMIT 1
        ),
        origin = CASE WHEN 'human' IN (excluded.origin, kept.origin) THEN 'human' ELSE 'machine' END,
        weight = greatest(excluded.weight, kept.weight),
        confidence = greatest(excluded.confidence, kept.confidence)
    WHERE
        excluded.confidence > kept.confidence OR (excluded.origin = 'human' AND kept.origin = 'machine');
    DELETE FROM tagging.content_tags AS ct
    USING new_rows AS n
    WHERE ct.tag_id = n.id AND n.status <> 'active';
    RETURN NULL;
END
$$;
CREATE TRIGGER tags_update_takes_assignments_along AFTER UPDATE ON tagging.tags
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.take_assignments_along();

CREATE FUNCTION tagging.refuse_inactive_tags() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    refused text;
BEGIN
    SELECT format('tag %s (%s) is %s', t.id, t.name, t.status) INTO refused
    FROM new_rows AS n
    JOIN tagging.tags AS t ON t.id = n.tag_id
    WHERE t.status <> 'active'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% and cannot be assigned', refused
            USING ERRCODE = 'check_violation', HINT = 'Assign the tag it was merged into, or set its status back.';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER content_tags_insert_active_only AFTER INSERT ON tagging.content_tags
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_inactive_tags();
CREATE TRIGGER content_tags_update_active_only AFTER UPDATE ON tagging.content_tags
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_inactive_tags();

CREATE FUNCTION tagging.raise_vocabulary_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tagging.vocabulary_revisions AS known (organization_id, revision)
    SELECT DISTINCT organization_id, 1 FROM changed_rows ORDER BY organization_id
    ON CONFLICT (organization_id) DO UPDATE SET revision = known.revision + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER tags_insert_revision AFTER INSERT ON tagging.tags
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tags_update_revision AFTER UPDATE ON tagging.tags
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_aliases_insert_revision AFTER INSERT ON tagging.tag_aliases
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_aliases_update_revision AFTER UPDATE ON tagging.tag_aliases
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_aliases_delete_revision AFTER DELETE ON tagging.tag_aliases
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_embeddings_insert_revision AFTER INSERT ON tagging.tag_embeddings
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_embeddings_update_revision AFTER UPDATE ON tagging.tag_embeddings
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_embeddings_delete_revision AFTER DELETE ON tagging.tag_embeddings
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_weights_insert_revision AFTER INSERT ON tagging.tag_weights
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_weights_update_revision AFTER UPDATE ON tagging.tag_weights
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();
CREATE TRIGGER tag_weights_delete_revision AFTER DELETE ON tagging.tag_weights
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.raise_vocabulary_revision();

-- ---------------------------------------------------------------------------------------------- capture

-- A NOTIFY per commit would serialise commits (6-25 % of the rate at 32 clients), so writers send one only while a
-- live worker sleeps. A sleeper holds this advisory lock, and writers share it to the end of their transaction: no
-- worker falls asleep beside a writer that took it for awake, and one that dies is asleep no more.
CREATE FUNCTION tagging.sleep_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 0x7461675F736C6570;

-- Plain SQL, so that it is inlined into the capture functions.
CREATE FUNCTION tagging.wake_live_workers() RETURNS void
    LANGUAGE sql
    RETURN CASE
        WHEN NOT pg_try_advisory_xact_lock_shared(tagging.sleep_lock()) THEN pg_notify('tagging_contents', '')
    END;

-- For a live worker that LISTENs to tagging_contents. True: it is asleep, and whatever is committed from now on wakes
-- it; it looks once more for pending contents before it waits. False: writers are at work, try again soon.
CREATE FUNCTION tagging.fall_asleep() RETURNS boolean
    LANGUAGE sql
    RETURN pg_try_advisory_lock(tagging.sleep_lock());

CREATE FUNCTION tagging.stay_awake() RETURNS boolean
    LANGUAGE sql
    RETURN pg_advisory_unlock(tagging.sleep_lock());

-- These functions run at every commit of a writer: a SET clause alone would cost it 5 % of its rate. A session keeps
-- the plans of its first statement. "% 1 = 0 AND % -1 = 0" is always true and makes the planner expect few rows, so
-- that a session that begins with a bulk load does not read the whole ledger at every single change afterwards.
CREATE FUNCTION tagging.capture_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tagging.content_ledger (content_id, organization_id, content_created_at, input_hash, deleted_at)
    SELECT n.id, n.organization_id, n.created_at, n.input_hash, n.deleted_at
    FROM new_rows AS n;
    IF FOUND THEN
        PERFORM tagging.wake_live_workers();
    END IF;
    RETURN NULL;
END
$$;

-- The ledger itself knows what was before.
CREATE FUNCTION tagging.capture_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tagging.content_ledger AS l
    SET
        organization_id = n.organization_id,
        content_created_at = n.created_at,
        input_hash = n.input_hash,
        deleted_at = n.deleted_at,
        changed_at = clock_timestamp(),
        attempts = 0,
        retry_at = NULL,
        failed_version_id = NULL,
        error = NULL
    FROM new_rows AS n
    WHERE
        l.content_id = n.id AND n.id % 1 = 0 AND n.id % -1 = 0
        AND (l.organization_id, l.content_created_at, l.input_hash, l.deleted_at)
        IS DISTINCT FROM (n.organization_id, n.created_at, n.input_hash, n.deleted_at);
    IF FOUND THEN
        PERFORM tagging.wake_live_workers();
    END IF;
    RETURN NULL;
END
$$;

-- A tombstone, or a content that moves to another organisation and its vocabulary: its tags leave the state in the
-- writer's own transaction, their history stays in tag_events; back again, it is pending.
CREATE FUNCTION tagging.capture_leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tagging.content_tags WHERE content_id = new.id;
    UPDATE tagging.content_ledger SET tagged_input_hash = NULL WHERE content_id = new.id;
    RETURN NULL;
END
$$;

CREATE FUNCTION tagging.capture_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tagging.content_tags AS t
    USING old_rows AS o
    WHERE t.content_id = o.id AND o.id % 1 = 0 AND o.id % -1 = 0;
    DELETE FROM tagging.content_ledger AS l
    USING old_rows AS o
    WHERE l.content_id = o.id AND o.id % 1 = 0 AND o.id % -1 = 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER contents_capture_insert AFTER INSERT ON tagging.contents
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.capture_insert();
CREATE TRIGGER contents_capture_update AFTER UPDATE ON tagging.contents
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.capture_update();
-- A row trigger, because only it can be restricted to columns and rows: it costs other updates nothing.
CREATE TRIGGER contents_capture_leave AFTER UPDATE OF deleted_at, organization_id ON tagging.contents
    FOR EACH ROW
    WHEN (
        (new.deleted_at IS NOT NULL AND old.deleted_at IS NULL) OR new.organization_id <> old.organization_id
    )
    EXECUTE FUNCTION tagging.capture_leave();
CREATE TRIGGER contents_capture_delete AFTER DELETE ON tagging.contents
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.capture_delete();
CREATE TRIGGER contents_no_truncate BEFORE TRUNCATE ON tagging.contents
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_change('Use DELETE: it retires the tags in history.');
CREATE TRIGGER contents_id_is_permanent BEFORE UPDATE OF id ON tagging.contents
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_change('The id of a content is permanent.');

-- updated_at of a changed text whose writer did not set it. Only a BEFORE ROW trigger can stamp the row
-- without writing it twice; its WHEN clause keeps it off every other update.
CREATE FUNCTION tagging.stamp_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.updated_at := clock_timestamp();
    RETURN new;
END
$$;
CREATE TRIGGER contents_stamp_updated_at BEFORE UPDATE OF title, body ON tagging.contents
    FOR EACH ROW
    WHEN (
        (new.title, new.body) IS DISTINCT FROM (old.title, old.body)
        AND new.updated_at IS NOT DISTINCT FROM old.updated_at
    )
    EXECUTE FUNCTION tagging.stamp_updated_at();
