-- What any client can ask the database: tags of a content, contents of a tag, both as of any time; the history of
-- either; tags that belong together or resemble each other; and the proof that state equals history.
-- docs/data-model.md has an example of each.

-- -------------------------------------------------------------------------------------- replay of events

-- State as of a time: the latest event of each row up to then. NULL: all events, which must give the state.

CREATE FUNCTION tagging.replay_content_tags(as_of timestamptz DEFAULT NULL)
    RETURNS SETOF tagging.content_tags
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (jsonb_populate_record(NULL::tagging.content_tags, latest.after)).*
    FROM (
        SELECT DISTINCT ON (e.content_id, e.tag_id) e.after
        FROM tagging.tag_events AS e
        WHERE
            e.content_id IS NOT NULL AND e.tag_id IS NOT NULL
            AND (e.before IS NOT NULL OR e.after IS NOT NULL)
            AND (as_of IS NULL OR e.occurred_at <= as_of)
        ORDER BY e.content_id, e.tag_id, e.event_id DESC
    ) AS latest
    WHERE latest.after IS NOT NULL;
END;

CREATE FUNCTION tagging.replay_tags(as_of timestamptz DEFAULT NULL)
    RETURNS SETOF tagging.tags
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- Index: tag_events_vocabulary.
    SELECT (jsonb_populate_record(NULL::tagging.tags, latest.after)).*
    FROM (
        SELECT DISTINCT ON (e.tag_id) e.after
        FROM tagging.tag_events AS e
        WHERE
            e.content_id IS NULL AND e.after IS NOT NULL
            AND e.event_type NOT IN ('alias_added', 'alias_removed')
            AND (as_of IS NULL OR e.occurred_at <= as_of)
        ORDER BY e.tag_id, e.event_id DESC
    ) AS latest;
END;

CREATE FUNCTION tagging.replay_aliases(as_of timestamptz DEFAULT NULL)
    RETURNS SETOF tagging.tag_aliases
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (jsonb_populate_record(NULL::tagging.tag_aliases, latest.after)).*
    FROM (
        SELECT DISTINCT ON (coalesce(e.after, e.before) -> 'id') e.after
        FROM tagging.tag_events AS e
        WHERE
            e.content_id IS NULL AND e.event_type IN ('alias_added', 'alias_removed')
            AND (as_of IS NULL OR e.occurred_at <= as_of)
        ORDER BY coalesce(e.after, e.before) -> 'id', e.event_id DESC
    ) AS latest
    WHERE latest.after IS NOT NULL;
END;

-- Rows where a replay of all events differs from the state; none, always. One pass over events and state.
CREATE FUNCTION tagging.replay_differences()
    RETURNS TABLE (kind text, tag_id bigint, content_id bigint, replayed jsonb, actual jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        'assignment', coalesce(r.tag_id, s.tag_id), coalesce(r.content_id, s.content_id),
        CASE WHEN r.tag_id IS NOT NULL THEN to_jsonb(r) END, CASE WHEN s.tag_id IS NOT NULL THEN to_jsonb(s) END
    FROM tagging.replay_content_tags() AS r
    FULL JOIN tagging.content_tags AS s ON s.content_id = r.content_id AND s.tag_id = r.tag_id
    WHERE r.* IS DISTINCT FROM s.*
    UNION ALL
    SELECT
        'tag', coalesce(r.id, s.id), NULL,
        CASE WHEN r.id IS NOT NULL THEN to_jsonb(r) END, CASE WHEN s.id IS NOT NULL THEN to_jsonb(s) END
    FROM tagging.replay_tags() AS r
    FULL JOIN tagging.tags AS s ON s.id = r.id
    WHERE r.* IS DISTINCT FROM s.*
    UNION ALL
    SELECT
        'alias', coalesce(r.tag_id, s.tag_id), NULL,
        CASE WHEN r.id IS NOT NULL THEN to_jsonb(r) END, CASE WHEN s.id IS NOT NULL THEN to_jsonb(s) END
    FROM tagging.replay_aliases() AS r
    FULL JOIN tagging.tag_aliases AS s ON s.id = r.id
    WHERE r.* IS DISTINCT FROM s.*;
END;

-- ----------------------------------------------------------------------------- content -> tags -> contents

-- A tag as it was; as it is when as_of is NULL; no row before its creation.
CREATE FUNCTION tagging.tag_as_of(tag bigint, as_of timestamptz DEFAULT NULL)
    RETURNS SETOF tagging.tags
    LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT t.* FROM tagging.tags AS t WHERE as_of IS NULL AND t.id = tag
    UNION ALL
    SELECT (jsonb_populate_record(NULL::tagging.tags, latest.after)).*
    FROM (
        -- Index: tag_events_vocabulary.
        SELECT e.after
        FROM tagging.tag_events AS e
        WHERE
            as_of IS NOT NULL AND e.tag_id = tag AND e.content_id IS NULL AND e.after IS NOT NULL
            AND e.event_type NOT IN ('alias_added', 'alias_removed') AND e.occurred_at <= as_of
        ORDER BY e.event_id DESC
        LIMIT 1
    ) AS latest;
END;

CREATE FUNCTION tagging.tags_of_content(content bigint, as_of timestamptz DEFAULT NULL)
    RETURNS TABLE (
        tag_id bigint, name text, confidence real, weight real, method text, origin text, evidence jsonb,
        tagger_version_id integer, assigned_at timestamptz
    )
    LANGUAGE sql STABLE ROWS 10
BEGIN ATOMIC
    -- Index: primary key of content_tags.
    SELECT
        ct.tag_id, t.name, ct.confidence, ct.weight, ct.method, ct.origin, ct.evidence, ct.tagger_version_id,
        ct.assigned_at
    FROM tagging.content_tags AS ct
    JOIN tagging.tags AS t ON t.id = ct.tag_id
    WHERE as_of IS NULL AND ct.content_id = content
    UNION ALL
    SELECT
        ct.tag_id, t.name, ct.confidence, ct.weight, ct.method, ct.origin, ct.evidence, ct.tagger_version_id,
        ct.assigned_at
    FROM (
        -- Index: tag_events_content.
        SELECT DISTINCT ON (e.tag_id) e.after
        FROM tagging.tag_events AS e
        WHERE
            as_of IS NOT NULL AND e.content_id = content AND e.tag_id IS NOT NULL
            AND (e.before IS NOT NULL OR e.after IS NOT NULL) AND e.occurred_at <= as_of
        ORDER BY e.tag_id, e.event_id DESC
    ) AS latest
    CROSS JOIN LATERAL jsonb_populate_record(NULL::tagging.content_tags, latest.after) AS ct
    CROSS JOIN LATERAL tagging.tag_as_of(ct.tag_id, as_of) AS t
    WHERE latest.after IS NOT NULL
    ORDER BY weight DESC, confidence DESC, name;
END;

-- Contents that carry a tag, heaviest first. since and until bound the content's own created_at (half-open), source
-- its source; both leave out contents that were erased. row_limit NULL gives all. With include_children, a content
-- counts once, by its heaviest tag of the branch, which tag_id names.
CREATE FUNCTION tagging.contents_of_tag(
    tag bigint,
    as_of timestamptz DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    source text DEFAULT NULL,
    min_confidence real DEFAULT 0,
    include_children boolean DEFAULT false,
    row_limit integer DEFAULT 100
)
    RETURNS TABLE (
        content_id bigint, title text, content_source text, external_id text, created_at timestamptz, tag_id bigint,
        confidence real, weight real, method text, origin text, assigned_at timestamptz
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE hierarchy_then AS MATERIALIZED (
        SELECT t.id, t.parent_id
        FROM tagging.replay_tags(as_of) AS t
        WHERE include_children AND as_of IS NOT NULL AND t.parent_id IS NOT NULL
    ),
    branch (id) AS (
        SELECT contents_of_tag.tag
        UNION
        SELECT child.id
        FROM branch
        CROSS JOIN LATERAL (
            -- Index: tags_parent.
            SELECT t.id FROM tagging.tags AS t WHERE as_of IS NULL AND t.parent_id = branch.id
            UNION ALL
            SELECT h.id FROM hierarchy_then AS h WHERE h.parent_id = branch.id
        ) AS child
        WHERE include_children
    ),
    carried_now AS (
        -- Index: content_tags_tag, already in the wanted order.
        SELECT ct.*
        FROM tagging.content_tags AS ct
        JOIN tagging.contents AS c ON c.id = ct.content_id
        WHERE
            as_of IS NULL AND NOT include_children AND ct.tag_id = contents_of_tag.tag
            AND ct.confidence >= min_confidence
            AND (contents_of_tag.source IS NULL OR c.source = contents_of_tag.source)
            AND (since IS NULL OR c.created_at >= since) AND (until IS NULL OR c.created_at < until)
        ORDER BY ct.weight DESC
        LIMIT row_limit
    ),
    carried_in_branch AS (
        SELECT DISTINCT ON (ct.content_id) ct.*
        FROM branch
        CROSS JOIN LATERAL (
            SELECT a.*
            FROM tagging.content_tags AS a
            WHERE as_of IS NULL AND include_children AND a.tag_id = branch.id
            UNION ALL
            SELECT (jsonb_populate_record(NULL::tagging.content_tags, latest.after)).*
            FROM (
                -- Index: tag_events_tag.
                SELECT DISTINCT ON (e.content_id) e.after
                FROM tagging.tag_events AS e
                WHERE
                    as_of IS NOT NULL AND e.tag_id = branch.id AND e.content_id IS NOT NULL
                    AND (e.before IS NOT NULL OR e.after IS NOT NULL) AND e.occurred_at <= as_of
                ORDER BY e.content_id, e.event_id DESC
            ) AS latest
            WHERE latest.after IS NOT NULL
        ) AS ct
        WHERE ct.confidence >= min_confidence
        ORDER BY ct.content_id, ct.weight DESC
    )
    SELECT
        ct.content_id, c.title, c.source, c.external_id, c.created_at, ct.tag_id, ct.confidence, ct.weight,
        ct.method, ct.origin, ct.assigned_at
    FROM (SELECT n.* FROM carried_now AS n UNION ALL SELECT b.* FROM carried_in_branch AS b) AS ct
    LEFT JOIN tagging.contents AS c ON c.id = ct.content_id
    WHERE
        (contents_of_tag.source IS NULL OR c.source = contents_of_tag.source)
        AND (since IS NULL OR c.created_at >= since) AND (until IS NULL OR c.created_at < until)
    ORDER BY ct.weight DESC, ct.content_id
    LIMIT row_limit;
END;

-- The tags a typed name stands for: by name, normal form or alias, merges followed; any status but merged. The
-- database knows Unicode (NFKC), case and separators; plurals and Chinese scripts are folded by the Python API.
CREATE FUNCTION tagging.find_tag(tag_name text, organization text DEFAULT NULL)
    RETURNS TABLE (id bigint, name text, status text, organization_id text, matched_by text)
    LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    WITH RECURSIVE typed AS (
        SELECT
            lower(normalize(btrim(tag_name, E' \t\n#'), NFKC)) AS plain,
            btrim(
                regexp_replace(lower(normalize(btrim(tag_name, E' \t\n#'), NFKC)), '[\s_/-]+', ' ', 'g')
            ) AS form
    ),
    -- Indexes: tags_name, tag_aliases_alias and the unique ones on (organization_id, normal_form).
    named (id, matched_by, rank) AS (
        SELECT t.id, 'name', 1
        FROM typed JOIN tagging.tags AS t ON lower(normalize(t.name, NFKC)) = typed.plain
        UNION ALL
        SELECT t.id, 'normal form', 2
        FROM typed JOIN tagging.tags AS t ON t.normal_form = typed.form
        WHERE t.organization_id = coalesce(organization, t.organization_id)
        UNION ALL
        SELECT a.tag_id, 'alias', 3
        FROM typed JOIN tagging.tag_aliases AS a ON lower(normalize(a.alias, NFKC)) = typed.plain
        UNION ALL
        SELECT a.tag_id, 'alias', 3
        FROM typed JOIN tagging.tag_aliases AS a ON a.normal_form = typed.form
        WHERE a.organization_id = coalesce(organization, a.organization_id)
    ),
    led AS (
        SELECT n.id, n.matched_by, n.rank FROM named AS n
        UNION
        SELECT t.merged_into_id, 'merge', led.rank
        FROM led JOIN tagging.tags AS t ON t.id = led.id
        WHERE t.merged_into_id IS NOT NULL
    )
    SELECT DISTINCT ON (t.organization_id, t.id) t.id, t.name, t.status, t.organization_id, led.matched_by
    FROM led
    JOIN tagging.tags AS t ON t.id = led.id
    WHERE t.status <> 'merged' AND (organization IS NULL OR t.organization_id = organization)
    ORDER BY t.organization_id, t.id, led.rank;
END;

-- -------------------------------------------------------------------------------------------------- history

-- The evolution of one tag: its own events, its aliases', and the merges of other tags into it. usage_count is
-- the number of contents that carried the tag right after the event.
CREATE FUNCTION tagging.tag_history(tag bigint)
    RETURNS TABLE (
        event_id bigint, occurred_at timestamptz, event_type text, tag_id bigint, name text, actor text, run_id text,
        reason text, operation_id uuid, usage_count bigint, before jsonb, after jsonb
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH relevant AS (
        -- Index: tag_events_tag.
        SELECT
            e.*, e.content_id IS NULL AS shown,
            CASE
                WHEN e.content_id IS NULL THEN 0
                ELSE (e.after IS NOT NULL)::integer - (e.before IS NOT NULL)::integer
            END AS change
        FROM tagging.tag_events AS e
        WHERE e.tag_id = tag
        UNION ALL
        SELECT e.*, true, 0
        FROM tagging.tag_events AS e
        WHERE
            e.content_id IS NULL
            AND e.tag_id IN (
                SELECT m.source_tag_id FROM tagging.tag_merges AS m WHERE m.target_tag_id = tag
                UNION
                SELECT t.id FROM tagging.tags AS t WHERE t.merged_into_id = tag
            )
            AND e.event_type NOT IN ('alias_added', 'alias_removed')
            AND tag IN ((e.before ->> 'merged_into_id')::bigint, (e.after ->> 'merged_into_id')::bigint)
            AND (e.before -> 'merged_into_id') IS DISTINCT FROM (e.after -> 'merged_into_id')
    ),
    counted AS (
        SELECT r.*, sum(r.change) OVER (ORDER BY r.event_id) AS usage_count FROM relevant AS r
    )
    SELECT
        c.event_id, c.occurred_at, c.event_type, c.tag_id,
        coalesce(c.after ->> 'name', c.before ->> 'name', c.after ->> 'alias', c.before ->> 'alias'),
        c.actor, c.run_id, c.reason, c.operation_id, c.usage_count::bigint, c.before, c.after
    FROM counted AS c
    WHERE c.shown
    ORDER BY c.event_id;
END;

-- Contents that gained and lost the tag in each period ('day', 'week', 'month', ...), and how many carried it at
-- the period's end. UTC.
CREATE FUNCTION tagging.tag_usage_history(tag bigint, period text DEFAULT 'month')
    RETURNS TABLE (period_start timestamptz, associated bigint, dissociated bigint, usage_count bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        p.period_start, p.associated, p.dissociated,
        (sum(p.associated - p.dissociated) OVER (ORDER BY p.period_start))::bigint
    FROM (
        -- Index: tag_events_tag.
        SELECT
            date_trunc(period, e.occurred_at, 'UTC') AS period_start,
            count(*) FILTER (WHERE e.before IS NULL) AS associated,
            count(*) FILTER (WHERE e.after IS NULL) AS dissociated
        FROM tagging.tag_events AS e
        WHERE e.tag_id = tag AND e.content_id IS NOT NULL AND (e.before IS NULL) <> (e.after IS NULL)
        GROUP BY 1
    ) AS p
    ORDER BY p.period_start;
END;

CREATE FUNCTION tagging.content_history(content bigint)
    RETURNS TABLE (
        event_id bigint, occurred_at timestamptz, event_type text, tag_id bigint, name text,
        confidence_before real, confidence_after real, weight_before real, weight_after real,
        actor text, run_id text, reason text, operation_id uuid, before jsonb, after jsonb
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- Index: tag_events_content.
    SELECT
        e.event_id, e.occurred_at, e.event_type, e.tag_id, t.name,
        (e.before ->> 'confidence')::real, (e.after ->> 'confidence')::real,
        (e.before ->> 'weight')::real, (e.after ->> 'weight')::real,
        e.actor, e.run_id, e.reason, e.operation_id, e.before, e.after
    FROM tagging.tag_events AS e
    LEFT JOIN tagging.tags AS t ON t.id = e.tag_id
    WHERE e.content_id = content
    ORDER BY e.event_id;
END;

-- Why a content has a tag, or had, or was only proposed it: the assignment with its evidence, the proposal as last
-- generated, the tagger version and all events. Always one row for a tag that exists.
CREATE FUNCTION tagging.explain_assignment(content bigint, tag bigint)
    RETURNS TABLE (
        name text, confidence real, weight real, method text, origin text, assigned_at timestamptz, evidence jsonb,
        proposal jsonb, tagger_version_id integer, tagger jsonb, events jsonb
    )
    LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT
        t.name, ct.confidence, ct.weight, ct.method, ct.origin, ct.assigned_at, ct.evidence, proposed.proposal,
        ct.tagger_version_id, v.components,
        (
            SELECT coalesce(jsonb_agg(to_jsonb(h) - 'name' - 'tag_id' ORDER BY h.event_id), '[]')
            FROM tagging.content_history(content) AS h
            WHERE h.tag_id = tag
        )
    FROM tagging.tags AS t
    LEFT JOIN tagging.content_tags AS ct ON ct.content_id = content AND ct.tag_id = t.id
    LEFT JOIN tagging.tagger_versions AS v ON v.id = ct.tagger_version_id
    LEFT JOIN LATERAL (
        SELECT p.proposal
        FROM tagging.generated_tags AS g
        CROSS JOIN LATERAL jsonb_array_elements(g.proposals) AS p (proposal)
        WHERE
            g.content_id = content
            AND (
                (p.proposal ->> 'tag_id')::bigint = t.id
                OR p.proposal ->> 'normal_form' = t.normal_form
                OR p.proposal ->> 'normal_form' IN (
                    SELECT a.normal_form FROM tagging.tag_aliases AS a WHERE a.tag_id = t.id
                )
            )
        ORDER BY (p.proposal ->> 'confidence')::real DESC
        LIMIT 1
    ) AS proposed ON true
    WHERE t.id = tag;
END;

-- ----------------------------------------------------------------------------- relationships and similarity

-- Tags that occur together with one tag. correlation_strength is the share of the related tag's contents that also
-- carry this one.
CREATE FUNCTION tagging.analyze_tag_relationships(
    target_tag_id bigint, min_correlation double precision DEFAULT 0
)
    RETURNS TABLE (
        related_tag_id bigint, related_tag_name text, correlation_strength double precision,
        co_occurrence_count integer
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH together AS (
        -- Indexes: content_tags_tag, then the primary key of content_tags.
        SELECT other.tag_id, count(*) AS contents
        FROM tagging.content_tags AS own
        JOIN tagging.content_tags AS other ON other.content_id = own.content_id AND other.tag_id <> own.tag_id
        WHERE own.tag_id = target_tag_id
        GROUP BY other.tag_id
    )
    SELECT r.tag_id, r.name, r.strength, r.contents::integer
    FROM (
        SELECT
            g.tag_id, t.name, g.contents,
            g.contents / (
                SELECT count(*) FROM tagging.content_tags AS ct WHERE ct.tag_id = g.tag_id
            )::double precision AS strength
        FROM together AS g
        JOIN tagging.tags AS t ON t.id = g.tag_id
    ) AS r
    WHERE r.strength > min_correlation
    ORDER BY r.strength DESC, r.contents DESC, r.name;
END;

-- The model whose vectors a bare vector is compared with: of those with its dimension, the one with most texts.
CREATE FUNCTION tagging.tag_model(dimensions integer) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.model
    FROM tagging.tag_embeddings AS e
    WHERE e.dimension = dimensions
    GROUP BY e.model
    ORDER BY count(*) DESC, e.model
    LIMIT 1;
END;

-- The type that vectors of a dimension are indexed as (storage/embedding_indexes.py): the same cast finds the index.
CREATE FUNCTION tagging.indexed_type(dimensions integer) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN format('%s(%s)', CASE WHEN dimensions BETWEEN 2001 AND 4000 THEN 'halfvec' ELSE 'vector' END, dimensions);

-- Active tags whose names are nearest to a vector (cosine). Vectors of different models cannot be compared: give
-- the model when two of the same dimension are in use.
CREATE FUNCTION tagging.match_tags_by_embedding(
    query_embedding vector, match_threshold double precision, match_count integer, model text DEFAULT NULL
)
    RETURNS TABLE (id bigint, name text, similarity double precision)
    LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    dimensions integer := vector_dims(query_embedding);
BEGIN
    -- The cast and the constant model are what the partial HNSW index of the model is built on. Its answers are
    -- filtered by status afterwards, so that more are asked for than wanted.
    RETURN QUERY EXECUTE format(
        'SELECT t.id, t.name, 1 - near.distance
        FROM (
            SELECT e.tag_id, e.embedding::%1$s <=> $1::%1$s AS distance
            FROM tagging.tag_embeddings AS e
            WHERE e.model = %2$L
            ORDER BY e.embedding::%1$s <=> $1::%1$s
            LIMIT 2 * $3 + 20
        ) AS near
        JOIN tagging.tags AS t ON t.id = near.tag_id
        WHERE t.status = ''active'' AND 1 - near.distance > $2
        ORDER BY near.distance, t.id
        LIMIT $3',
        tagging.indexed_type(dimensions),
        coalesce(model, tagging.tag_model(dimensions))
    )
    USING query_embedding, match_threshold, match_count;
END
$$;

-- Active tags whose names are nearest to that of one tag, under each model that judged it.
CREATE FUNCTION tagging.similar_tags(
    tag bigint, match_threshold double precision DEFAULT 0.5, match_count integer DEFAULT 10
)
    RETURNS TABLE (id bigint, name text, similarity double precision)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.id, m.name, max(m.similarity)
    FROM tagging.tag_embeddings AS e
    CROSS JOIN LATERAL tagging.match_tags_by_embedding(e.embedding, match_threshold, match_count + 1, e.model) AS m
    WHERE e.tag_id = tag AND m.id <> tag
    GROUP BY m.id, m.name
    ORDER BY max(m.similarity) DESC, m.id
    LIMIT match_count;
END;

-- Live contents whose texts are nearest to a vector (cosine); model as in match_tags_by_embedding.
CREATE FUNCTION tagging.match_contents_by_embedding(
    query_embedding vector, match_threshold double precision, match_count integer, model text DEFAULT NULL
)
    RETURNS TABLE (id bigint, title text, source text, external_id text, similarity double precision)
    LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    dimensions integer := vector_dims(query_embedding);
BEGIN
    model := coalesce(model, (
        SELECT e.model
        FROM tagging.content_embeddings AS e
        WHERE e.dimension = dimensions
        ORDER BY e.created_at DESC
        LIMIT 1
    ));
    RETURN QUERY EXECUTE format(
        'SELECT c.id, c.title, c.source, c.external_id, 1 - near.distance
        FROM (
            SELECT e.text_hash, e.organization_id, e.embedding::%1$s <=> $1::%1$s AS distance
            FROM tagging.content_embeddings AS e
            WHERE e.model = %2$L
            ORDER BY e.embedding::%1$s <=> $1::%1$s
            LIMIT 2 * $3 + 20
        ) AS near
        JOIN tagging.contents AS c
            ON c.text_hash = near.text_hash AND c.organization_id = near.organization_id
        WHERE c.deleted_at IS NULL AND 1 - near.distance > $2
        ORDER BY near.distance, c.id
        LIMIT $3',
        tagging.indexed_type(dimensions),
        model
    )
    USING query_embedding, match_threshold, match_count;
END
$$;

-- Live contents most similar to one content, under the model that encoded its present text last.
CREATE FUNCTION tagging.similar_contents(content bigint, match_count integer DEFAULT 10)
    RETURNS TABLE (id bigint, title text, source text, external_id text, similarity double precision)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.id, m.title, m.source, m.external_id, m.similarity
    FROM (
        SELECT e.embedding, e.model, c.organization_id
        FROM tagging.contents AS c
        JOIN tagging.content_embeddings AS e
            ON e.text_hash = c.text_hash AND e.organization_id = c.organization_id
        WHERE c.id = content
        ORDER BY e.created_at DESC
        LIMIT 1
    ) AS own
    CROSS JOIN LATERAL tagging.match_contents_by_embedding(own.embedding, -1, match_count + 1, own.model) AS m
    WHERE m.id <> content
    ORDER BY m.similarity DESC, m.id
    LIMIT match_count;
END;

-- Tags for a text that has only a vector: what its 20 nearest contents carry, by similarity and confidence, and tags
-- whose names are near it, at half that say. score is in [0, 1].
CREATE FUNCTION tagging.recommend_tags_for_content(
    content_embedding vector, recommendation_count integer, model text DEFAULT NULL
)
    RETURNS TABLE (id bigint, name text, score double precision, supporting_contents integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH neighbours AS MATERIALIZED (
        SELECT m.id, m.similarity
        FROM tagging.match_contents_by_embedding(content_embedding, 0.2, 20, model) AS m
    ),
    carried AS (
        SELECT
            ct.tag_id,
            sum(n.similarity * ct.confidence) / (SELECT sum(a.similarity) FROM neighbours AS a) AS score,
            count(*) AS contents
        FROM neighbours AS n
        JOIN tagging.content_tags AS ct ON ct.content_id = n.id
        GROUP BY ct.tag_id
    ),
    named AS (
        SELECT m.id, m.similarity / 2 AS score
        FROM tagging.match_tags_by_embedding(content_embedding, 0.3, recommendation_count, model) AS m
    )
    SELECT
        t.id, t.name, 1 - (1 - coalesce(c.score, 0)) * (1 - coalesce(n.score, 0)),
        coalesce(c.contents, 0)::integer
    FROM carried AS c
    FULL JOIN named AS n ON n.id = c.tag_id
    JOIN tagging.tags AS t ON t.id = coalesce(c.tag_id, n.id)
    ORDER BY 3 DESC, 4 DESC, t.id
    LIMIT recommendation_count;
END;

-- The same for a stored content, leaving out itself and the tags it has.
CREATE FUNCTION tagging.recommend_tags_for_content_id(content bigint, recommendation_count integer DEFAULT 5)
    RETURNS TABLE (id bigint, name text, score double precision, supporting_contents integer)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH neighbours AS MATERIALIZED (
        SELECT s.id, s.similarity FROM tagging.similar_contents(content, 20) AS s WHERE s.similarity > 0.2
    )
    SELECT
        t.id, t.name, sum(n.similarity * ct.confidence) / (SELECT sum(a.similarity) FROM neighbours AS a),
        count(*)::integer
    FROM neighbours AS n
    JOIN tagging.content_tags AS ct ON ct.content_id = n.id
    JOIN tagging.tags AS t ON t.id = ct.tag_id
    WHERE NOT EXISTS (
        SELECT FROM tagging.content_tags AS own WHERE own.content_id = content AND own.tag_id = t.id
    )
    GROUP BY t.id
    ORDER BY 3 DESC, 4 DESC, t.id
    LIMIT recommendation_count;
END;

-- Live contents that carry a tag's words but not the tag: those whose staged proposals name it, and those whose text
-- holds one of its spellings. The second half reads every text of the organisation once.
CREATE FUNCTION tagging.contents_carrying(tags bigint[])
    RETURNS TABLE (content_id bigint, tag_id bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH spellings AS MATERIALIZED (
        SELECT t.id, t.organization_id, t.normal_form, lower(t.name) AS spelling
        FROM tagging.tags AS t WHERE t.id = ANY (tags)
        UNION
        SELECT a.tag_id, a.organization_id, a.normal_form, lower(a.alias)
        FROM tagging.tag_aliases AS a WHERE a.tag_id = ANY (tags)
    ),
    carrying AS (
        -- Index: generated_tags_normal_forms.
        SELECT g.content_id, s.id
        FROM spellings AS s
        JOIN tagging.generated_tags AS g
            ON g.normal_forms @> ARRAY[s.normal_form] AND g.organization_id = s.organization_id
        UNION
        SELECT c.id, s.id
        FROM tagging.contents AS c
        CROSS JOIN LATERAL (SELECT lower(c.title || ' ' || c.body) AS text) AS lowered
        JOIN spellings AS s
            ON s.organization_id = c.organization_id
            AND (strpos(lowered.text, s.spelling) > 0 OR strpos(lowered.text, s.normal_form) > 0)
        WHERE c.deleted_at IS NULL
    )
    SELECT k.content_id, k.id
    FROM carrying AS k
    WHERE NOT EXISTS (
        SELECT FROM tagging.content_tags AS ct WHERE ct.content_id = k.content_id AND ct.tag_id = k.id
    );
END;

-- -------------------------------------------------------------------------------------------------- erasure

-- Erases one content under privacy law, for good: the content, its vectors where no other content has that text, its
-- rejected rows, and the evidence in its events. What stays is that tags were assigned and taken away, when and by
-- whom, and one row in erasures. Returns the number of redacted events.
CREATE FUNCTION tagging.erase_content(content bigint, actor text, reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tagging, pg_temp AS $$
DECLARE
    gone tagging.contents;
    caller text := current_setting('tagging.actor', true);
    redacted bigint;
BEGIN
    IF coalesce(actor, '') = '' OR coalesce(reason, '') = '' THEN
        RAISE EXCEPTION 'an erasure needs an actor and a reason' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO gone FROM tagging.contents AS c WHERE c.id = content FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no content %', content
            USING ERRCODE = 'no_data_found', HINT = 'It may have been erased or deleted before.';
    END IF;
    PERFORM set_config('tagging.actor', actor, true);
    INSERT INTO tagging.erasures (organization_id, content_id, actor, reason)
    VALUES (gone.organization_id, content, actor, reason);
    DELETE FROM tagging.contents AS c WHERE c.id = content;
    DELETE FROM tagging.content_embeddings AS e
    WHERE
        e.text_hash = gone.text_hash AND e.organization_id = gone.organization_id
        AND NOT EXISTS (
            SELECT FROM tagging.contents AS c
            WHERE c.text_hash = gone.text_hash AND c.organization_id = gone.organization_id
        );
    DELETE FROM tagging.rejected_rows AS r
    WHERE
        r.organization_id = gone.organization_id AND r.source = gone.source AND r.external_id = gone.external_id;
    UPDATE tagging.tag_events AS e
    SET
        before = CASE WHEN e.before ? 'evidence' THEN jsonb_set(e.before, '{evidence}', '[]') ELSE e.before END,
        after = CASE WHEN e.after ? 'evidence' THEN jsonb_set(e.after, '{evidence}', '[]') ELSE e.after END
    WHERE e.content_id = content;
    GET DIAGNOSTICS redacted = ROW_COUNT;
    INSERT INTO tagging.tag_events (organization_id, event_type, content_id, operation_id, actor, run_id, reason)
    VALUES (
        gone.organization_id, 'erased', content, tagging.context('operation_id')::uuid, actor,
        tagging.context('run_id'), reason
    );
    PERFORM set_config('tagging.actor', coalesce(caller, ''), true);
    RETURN redacted;
END
$$;
REVOKE ALL ON FUNCTION tagging.erase_content(bigint, text, text) FROM PUBLIC;
