-- People's corrections, applied by the database in the transaction that brings them; the queue of questions to
-- people; what people's answers say of tags, reviewers and generators; and the sandbox of experiments.

-- ------------------------------------------------------------------------------------------------- feedback

CREATE TABLE tagging.tag_feedback (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('accept', 'reject', 'add', 'rename', 'merge')),
    content_id bigint REFERENCES tagging.contents (id) ON DELETE CASCADE,
    tag_id bigint REFERENCES tagging.tags (id),
    tag_name text NOT NULL,
    normal_form text NOT NULL,
    target_tag_id bigint REFERENCES tagging.tags (id),
    target_name text,
    target_normal_form text,
    reviewer text NOT NULL,
    note text,
    source text NOT NULL DEFAULT 'sql' CHECK (source IN ('sql', 'csv', 'cli', 'review')),
    operation_id uuid NOT NULL,
    before jsonb,
    proposal jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_at timestamptz,
    undone_by text,
    CHECK ((content_id IS NOT NULL) = (kind IN ('accept', 'reject', 'add'))),
    CHECK ((target_name IS NOT NULL) = (kind IN ('rename', 'merge'))),
    CHECK ((undone_at IS NULL) = (undone_by IS NULL))
);
CREATE INDEX tag_feedback_content ON tagging.tag_feedback (content_id) WHERE content_id IS NOT NULL;
CREATE INDEX tag_feedback_tag ON tagging.tag_feedback (tag_id) WHERE tag_id IS NOT NULL;
CREATE INDEX tag_feedback_normal_form ON tagging.tag_feedback (organization_id, normal_form);
CREATE INDEX tag_feedback_created_at ON tagging.tag_feedback (organization_id, created_at);
COMMENT ON TABLE tagging.tag_feedback IS
    'One correction by a person, applied when it is inserted and taken back by setting undone_at. `before` is the '
    'assignment (or tag) it met, `proposal` what the machine thought of it then.';

-- The questions whose answers are worth most; computed by core/tagging/review.py, kept so that asking is a look-up.
CREATE TABLE tagging.review_queue (
    content_id bigint NOT NULL REFERENCES tagging.contents (id) ON DELETE CASCADE,
    normal_form text NOT NULL,
    organization_id text NOT NULL,
    tag_id bigint REFERENCES tagging.tags (id),
    tag_name text NOT NULL,
    assigned boolean NOT NULL,
    confidence real NOT NULL,
    uncertainty real NOT NULL,
    reach real NOT NULL,
    value real NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (content_id, normal_form)
);
CREATE INDEX review_queue_value ON tagging.review_queue (organization_id, value DESC, content_id);

-- The tag that a tag stands for today, merges followed.
CREATE FUNCTION tagging.current_tag(tag bigint) RETURNS bigint
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE led (id, merged_into_id) AS (
        SELECT t.id, t.merged_into_id FROM tagging.tags AS t WHERE t.id = tag
        UNION ALL
        SELECT t.id, t.merged_into_id FROM led JOIN tagging.tags AS t ON t.id = led.merged_into_id
    )
    SELECT led.id FROM led WHERE led.merged_into_id IS NULL;
END;

-- What people last said of each content and tag that stands today. A rejected name that was no tag then counts for
-- the tag that bears it now.
CREATE VIEW tagging.feedback_verdicts WITH (security_invoker = true) AS
SELECT DISTINCT ON (told.content_id, told.tag_id)
    told.content_id, told.tag_id, told.organization_id, told.id AS feedback_id, told.kind <> 'reject' AS accepted,
    told.kind, told.reviewer, told.note, told.created_at,
    jsonb_build_array(
        jsonb_build_object(
            'method', 'feedback', 'score', 1.0,
            'detail', jsonb_build_object('kind', told.kind, 'reviewer', told.reviewer, 'feedback_id', told.id)
        )
    ) AS evidence
FROM (
    SELECT
        f.id, f.content_id, f.organization_id, f.kind, f.reviewer, f.note, f.created_at,
        tagging.current_tag(coalesce(f.tag_id, named.id, other.tag_id)) AS tag_id
    FROM tagging.tag_feedback AS f
    LEFT JOIN tagging.tags AS named
        ON f.tag_id IS NULL AND named.organization_id = f.organization_id AND named.normal_form = f.normal_form
    LEFT JOIN tagging.tag_aliases AS other
        ON f.tag_id IS NULL AND other.organization_id = f.organization_id AND other.normal_form = f.normal_form
    WHERE f.undone_at IS NULL AND f.kind IN ('accept', 'reject', 'add')
) AS told
WHERE told.tag_id IS NOT NULL
ORDER BY told.content_id, told.tag_id, told.id DESC;

-- Lets the events of the following statements say who and why.
CREATE FUNCTION tagging.act_as(actor text, reason text, operation text) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    SELECT
        set_config('tagging.actor', coalesce(actor, ''), true),
        set_config('tagging.reason', coalesce(reason, ''), true),
        set_config('tagging.operation_id', coalesce(operation, ''), true);
END;

-- The machine's opinion of a tag for a content, as last staged.
CREATE FUNCTION tagging.staged_proposal(content bigint, tag bigint, form text DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.proposal
    FROM tagging.generated_tags AS g
    CROSS JOIN LATERAL jsonb_array_elements(g.proposals) AS p (proposal)
    WHERE
        g.content_id = content
        AND (
            tagging.current_tag((p.proposal ->> 'tag_id')::bigint) = tag
            OR p.proposal ->> 'normal_form' = form
            OR p.proposal ->> 'normal_form' IN (SELECT t.normal_form FROM tagging.tags AS t WHERE t.id = tag)
            OR p.proposal ->> 'normal_form' IN (
                SELECT a.normal_form FROM tagging.tag_aliases AS a WHERE a.tag_id = tag
            )
        )
    ORDER BY (p.proposal ->> 'confidence')::real DESC
    LIMIT 1;
END;

-- Fills in what a row of feedback leaves out, and refuses what cannot be applied. Names are found as find_tag() does;
-- programs that know plurals and Chinese scripts give the normal form.
CREATE FUNCTION tagging.prepare_feedback() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    on_content boolean := new.kind IN ('accept', 'reject', 'add');
    place tagging.content_ledger;
    known tagging.tags;
    said_actor text := current_setting('tagging.actor', true);
    said_reason text := current_setting('tagging.reason', true);
    said_operation text := current_setting('tagging.operation_id', true);
BEGIN
    new.reviewer := coalesce(nullif(btrim(new.reviewer), ''), tagging.context('actor'), session_user);
    new.note := nullif(btrim(new.note), '');
    new.operation_id := gen_random_uuid();
    new.undone_at := NULL;
    new.undone_by := NULL;
    -- The locks of publishing, in its order: an assignment is written by one of the two after the other.
    IF on_content THEN
        PERFORM pg_advisory_xact_lock_shared(0x7461675F766F6361);
        SELECT * INTO place FROM tagging.content_ledger WHERE content_id = new.content_id FOR UPDATE;
        IF NOT FOUND OR place.deleted_at IS NOT NULL THEN
            RAISE EXCEPTION 'there is no content %', coalesce(new.content_id::text, '(none given)')
                USING ERRCODE = 'check_violation', HINT = 'accept, reject and add are about one content: give its id.';
        END IF;
        new.organization_id := place.organization_id;
    ELSE
        PERFORM pg_advisory_xact_lock(0x7461675F766F6361);
    END IF;

    IF new.tag_id IS NULL THEN
        IF coalesce(btrim(new.tag_name), '') = '' THEN
            RAISE EXCEPTION 'feedback names no tag'
                USING ERRCODE = 'check_violation', HINT = 'Give tag_name, or tag_id.';
        END IF;
        new.organization_id := coalesce(new.organization_id, 'default');
        SELECT found.id INTO new.tag_id
        FROM (
            SELECT f.id, 1 AS rank FROM tagging.find_tag(new.normal_form, new.organization_id) AS f
            UNION ALL
            SELECT f.id, 2 FROM tagging.find_tag(new.tag_name, new.organization_id) AS f
        ) AS found
        ORDER BY found.rank, found.id
        LIMIT 1;
    END IF;
    SELECT * INTO known FROM tagging.tags WHERE id = tagging.current_tag(new.tag_id);
    IF new.tag_id IS NOT NULL AND known.id IS NULL THEN
        RAISE EXCEPTION 'there is no tag %', new.tag_id USING ERRCODE = 'check_violation';
    END IF;
    new.organization_id := coalesce(new.organization_id, known.organization_id);
    IF known.organization_id <> new.organization_id THEN
        RAISE EXCEPTION 'tag % and content % are of different organisations', new.tag_id, new.content_id
            USING ERRCODE = 'check_violation';
    END IF;
    new.tag_name := coalesce(nullif(btrim(new.tag_name, E' \t\n#'), ''), known.name);
    new.normal_form := coalesce(
        known.normal_form, nullif(new.normal_form, ''),
        btrim(regexp_replace(lower(normalize(new.tag_name, NFKC)), '[\s_/-]+', ' ', 'g'))
    );

    IF new.kind IN ('accept', 'add') THEN
        IF known.status = 'blocked' THEN
            RAISE EXCEPTION 'tag % (%) is blocked', known.id, known.name
                USING ERRCODE = 'check_violation', HINT = 'Set its status back to active first.';
        END IF;
        PERFORM tagging.act_as(new.reviewer, new.note, new.operation_id::text);
        IF known.id IS NULL THEN
            INSERT INTO tagging.tags (organization_id, name, normal_form, origin)
            VALUES (new.organization_id, new.tag_name, new.normal_form, 'human')
            ON CONFLICT (organization_id, normal_form) DO NOTHING;
            SELECT * INTO known FROM tagging.tags
            WHERE organization_id = new.organization_id AND normal_form = new.normal_form;
            new.tag_id := known.id;
            PERFORM tagging.retag_staged(known.id);
        ELSIF known.status = 'retired' THEN
            UPDATE tagging.tags SET status = 'active', origin = 'human' WHERE id = known.id;
            PERFORM tagging.retag_staged(known.id);
        END IF;
        PERFORM tagging.act_as(said_actor, said_reason, said_operation);
    ELSIF NOT on_content THEN
        IF known.id IS NULL THEN
            RAISE EXCEPTION 'there is no tag %', new.tag_name USING ERRCODE = 'check_violation';
        END IF;
        new.tag_id := known.id;
        new.before := to_jsonb(known);
        new.target_name := nullif(btrim(new.target_name, E' \t\n#'), '');
        IF new.kind = 'merge' THEN
            IF new.target_tag_id IS NULL THEN
                SELECT f.id INTO new.target_tag_id
                FROM (
                    SELECT n.id, 1 AS rank
                    FROM tagging.find_tag(new.target_normal_form, new.organization_id) AS n
                    UNION ALL
                    SELECT n.id, 2 FROM tagging.find_tag(new.target_name, new.organization_id) AS n
                ) AS f
                ORDER BY f.rank, f.id
                LIMIT 1;
            END IF;
            new.target_tag_id := tagging.current_tag(new.target_tag_id);
            IF new.target_tag_id IS NULL THEN
                RAISE EXCEPTION 'there is no tag % to merge into', coalesce(new.target_name, '(none given)')
                    USING ERRCODE = 'check_violation', HINT = 'Give target_name, or target_tag_id.';
            END IF;
            SELECT t.name, t.normal_form INTO new.target_name, new.target_normal_form
            FROM tagging.tags AS t WHERE t.id = new.target_tag_id;
        ELSIF new.target_name IS NULL THEN
            RAISE EXCEPTION 'feedback gives no new name for %', known.name
                USING ERRCODE = 'check_violation', HINT = 'Give target_name.';
        ELSE
            new.target_normal_form := coalesce(
                nullif(new.target_normal_form, ''),
                btrim(regexp_replace(lower(normalize(new.target_name, NFKC)), '[\s_/-]+', ' ', 'g'))
            );
        END IF;
    END IF;

    IF on_content THEN
        SELECT to_jsonb(ct) INTO new.before
        FROM tagging.content_tags AS ct
        WHERE ct.content_id = new.content_id AND ct.tag_id = known.id;
        new.proposal := coalesce(
            tagging.staged_proposal(new.content_id, known.id, new.normal_form),
            CASE
                WHEN new.before ->> 'origin' = 'machine' THEN
                    jsonb_build_object(
                        'confidence', new.before -> 'confidence', 'method', new.before -> 'method',
                        'evidence', new.before -> 'evidence'
                    )
            END
        );
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER tag_feedback_prepare BEFORE INSERT ON tagging.tag_feedback
    FOR EACH ROW EXECUTE FUNCTION tagging.prepare_feedback();

-- Makes the contents pending whose staged proposals name a tag that can be assigned from now on.
CREATE FUNCTION tagging.retag_staged(tag bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tagging.content_ledger AS l
    SET tagged_input_hash = NULL, changed_at = clock_timestamp()
    FROM tagging.tags AS t
    -- Index: generated_tags_normal_forms.
    JOIN tagging.generated_tags AS g
        ON g.normal_forms @> ARRAY[t.normal_form] AND g.organization_id = t.organization_id
    WHERE t.id = tag AND l.content_id = g.content_id AND l.deleted_at IS NULL;
    IF FOUND THEN
        PERFORM tagging.wake_live_workers();
    END IF;
END
$$;

-- Whether people judged this pair, under this name or as a tag merged since: it is never asked about again.
CREATE FUNCTION tagging.was_judged(content bigint, tag bigint, form text) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM tagging.tag_feedback AS f
        WHERE
            f.content_id = content AND f.undone_at IS NULL
            AND (f.normal_form = form OR tagging.current_tag(f.tag_id) = tag)
    );

-- Makes one assignment what people last said of it. Without a word of theirs it is left alone.
CREATE FUNCTION tagging.settle_assignment(content bigint, tag bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    verdict tagging.feedback_verdicts;
BEGIN
    SELECT * INTO verdict FROM tagging.feedback_verdicts AS v WHERE v.content_id = content AND v.tag_id = tag;
    IF NOT FOUND THEN
        RETURN;
    ELSIF NOT verdict.accepted THEN
        DELETE FROM tagging.content_tags WHERE content_id = content AND tag_id = tag;
    ELSE
        -- The generators' evidence stays beside the person's word.
        INSERT INTO tagging.content_tags AS kept (
            content_id, tag_id, organization_id, confidence, weight, method, origin, evidence
        )
        SELECT
            content, tag, verdict.organization_id, 1, coalesce(w.factor, 1), 'feedback', 'human', verdict.evidence
        FROM tagging.tags AS t
        LEFT JOIN tagging.tag_weights AS w ON w.tag_id = t.id
        WHERE t.id = tag AND t.status = 'active'
        ON CONFLICT (content_id, tag_id) DO UPDATE SET
            confidence = excluded.confidence,
            weight = excluded.weight,
            method = excluded.method,
            origin = excluded.origin,
            evidence = excluded.evidence || jsonb_path_query_array(kept.evidence, '$[*] ? (@.method != "feedback")'),
            assigned_at = clock_timestamp();
    END IF;
END
$$;

-- A merge by feedback; what storage/merges.py:merge does, so that it is undone there.
CREATE FUNCTION tagging.merge_by_feedback(source tagging.tags, target bigint, operation uuid, reviewer text)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH RECURSIVE up (id) AS (
        SELECT t.parent_id FROM tagging.tags AS t WHERE t.id = target
        UNION
        SELECT t.parent_id FROM up JOIN tagging.tags AS t ON t.id = up.id
    )
    UPDATE tagging.tags SET parent_id = source.parent_id WHERE id = target AND source.id IN (SELECT id FROM up);
    UPDATE tagging.tags SET parent_id = target WHERE parent_id = source.id;
    UPDATE tagging.tag_aliases SET tag_id = target WHERE tag_id = source.id;
    INSERT INTO tagging.tag_aliases (organization_id, alias, normal_form, tag_id, origin)
    VALUES (source.organization_id, source.name, source.normal_form, target, 'human')
    ON CONFLICT (organization_id, normal_form) DO UPDATE SET tag_id = excluded.tag_id;
    UPDATE tagging.tags SET status = 'merged', merged_into_id = target WHERE id = source.id;
    INSERT INTO tagging.tag_merges (operation_id, organization_id, source_tag_id, target_tag_id, actor)
    VALUES (operation, source.organization_id, source.id, target, reviewer);
    UPDATE tagging.tag_merge_candidates
    SET status = 'accepted', decided_by = reviewer, decided_at = clock_timestamp()
    WHERE
        least(source_tag_id, target_tag_id) = least(source.id, target)
        AND greatest(source_tag_id, target_tag_id) = greatest(source.id, target);
    DELETE FROM tagging.tag_merge_candidates
    WHERE
        organization_id = source.organization_id AND status = 'open' AND source.id IN (source_tag_id, target_tag_id);
END
$$;

CREATE FUNCTION tagging.apply_feedback() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    known tagging.tags;
    other tagging.tags;
    said_actor text := current_setting('tagging.actor', true);
    said_reason text := current_setting('tagging.reason', true);
    said_operation text := current_setting('tagging.operation_id', true);
BEGIN
    SELECT * INTO known FROM tagging.tags WHERE id = tagging.current_tag(new.tag_id);
    PERFORM tagging.act_as(new.reviewer, concat_ws(': ', new.kind, new.note), new.operation_id::text);
    PERFORM tagging.ensure_event_partitions();
    INSERT INTO tagging.tag_events
        (organization_id, event_type, tag_id, content_id, operation_id, actor, run_id, reason)
    VALUES (
        -- A remark in the operation of a merge would be taken for the state before it, when the merge is undone.
        new.organization_id, 'feedback', known.id, new.content_id,
        CASE WHEN new.kind <> 'merge' THEN new.operation_id END, new.reviewer,
        tagging.context('run_id'), tagging.context('reason')
    );
    IF new.kind IN ('accept', 'reject', 'add') THEN
        PERFORM tagging.settle_assignment(new.content_id, known.id);
        DELETE FROM tagging.review_queue AS q
        WHERE
            q.content_id = new.content_id
            AND (q.normal_form = new.normal_form OR tagging.current_tag(q.tag_id) = known.id);
    ELSIF new.kind = 'merge' THEN
        SELECT * INTO other FROM tagging.tags WHERE id = new.target_tag_id;
        IF known.id = other.id THEN
            RAISE EXCEPTION '% and % are one tag already', new.tag_name, other.name
                USING ERRCODE = 'check_violation';
        ELSIF known.status <> 'active' OR other.status <> 'active' THEN
            RAISE EXCEPTION 'only active tags can be merged: % is %, % is %',
                known.name, known.status, other.name, other.status USING ERRCODE = 'check_violation';
        END IF;
        PERFORM tagging.merge_by_feedback(known, other.id, new.operation_id, new.reviewer);
    ELSE
        IF new.target_normal_form <> known.normal_form THEN
            SELECT t.* INTO other
            FROM tagging.tags AS t
            LEFT JOIN tagging.tag_aliases AS a ON a.tag_id = t.id AND a.normal_form = new.target_normal_form
            WHERE
                t.organization_id = new.organization_id AND t.id <> known.id
                AND (t.normal_form = new.target_normal_form OR a.id IS NOT NULL);
            IF FOUND THEN
                RAISE EXCEPTION '% is % (%) already', new.target_name, other.name, other.status
                    USING ERRCODE = 'check_violation', HINT = 'Merge the two instead.';
            END IF;
            DELETE FROM tagging.tag_aliases
            WHERE organization_id = new.organization_id AND normal_form = new.target_normal_form;
        END IF;
        UPDATE tagging.tags SET name = new.target_name, normal_form = new.target_normal_form WHERE id = known.id;
        IF new.target_normal_form <> known.normal_form THEN
            INSERT INTO tagging.tag_aliases (organization_id, alias, normal_form, tag_id, origin)
            VALUES (new.organization_id, known.name, known.normal_form, known.id, 'human');
            PERFORM tagging.retag_staged(known.id);
        END IF;
    END IF;
    PERFORM tagging.act_as(said_actor, said_reason, said_operation);
    RETURN NULL;
END
$$;
CREATE TRIGGER tag_feedback_apply AFTER INSERT ON tagging.tag_feedback
    FOR EACH ROW EXECUTE FUNCTION tagging.apply_feedback();

-- A correction is history: all that may change is that it is taken back, once.
CREATE FUNCTION tagging.prepare_feedback_undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(new) - '{undone_at,undone_by}'::text[]) <> (to_jsonb(old) - '{undone_at,undone_by}'::text[])
        OR old.undone_at IS NOT NULL
    THEN
        RAISE EXCEPTION 'feedback % cannot be changed', old.id
            USING ERRCODE = 'insufficient_privilege', HINT = 'Set undone_at to take it back, once; then say it anew.';
    END IF;
    IF new.undone_at IS NULL THEN
        RETURN NULL;
    END IF;
    IF new.kind = 'merge' AND EXISTS (
        SELECT FROM tagging.tag_merges WHERE operation_id = new.operation_id AND undone_at IS NULL
    ) THEN
        RAISE EXCEPTION 'feedback % is a merge', old.id
            USING ERRCODE = 'check_violation', HINT = format('tagging feedback undo %s takes it back.', old.id);
    END IF;
    new.undone_by := coalesce(nullif(btrim(new.undone_by), ''), tagging.context('actor'), session_user);
    IF new.content_id IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(0x7461675F766F6361);
        PERFORM FROM tagging.content_ledger WHERE content_id = new.content_id FOR UPDATE;
    ELSE
        PERFORM pg_advisory_xact_lock(0x7461675F766F6361);
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER tag_feedback_prepare_undo BEFORE UPDATE ON tagging.tag_feedback
    FOR EACH ROW EXECUTE FUNCTION tagging.prepare_feedback_undo();

-- People's earlier word stands again, else what the machine had; the content is made pending, so that the machine
-- looks again at what it may decide now.
CREATE FUNCTION tagging.apply_feedback_undo() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    known tagging.tags;
    said_actor text := current_setting('tagging.actor', true);
    said_reason text := current_setting('tagging.reason', true);
    said_operation text := current_setting('tagging.operation_id', true);
BEGIN
    SELECT * INTO known FROM tagging.tags WHERE id = tagging.current_tag(new.tag_id);
    PERFORM tagging.act_as(new.undone_by, 'taken back: ' || new.kind, gen_random_uuid()::text);
    PERFORM tagging.ensure_event_partitions();
    INSERT INTO tagging.tag_events
        (organization_id, event_type, tag_id, content_id, operation_id, actor, run_id, reason)
    VALUES (
        new.organization_id, 'feedback', known.id, new.content_id, tagging.context('operation_id')::uuid,
        new.undone_by, tagging.context('run_id'), tagging.context('reason')
    );
    IF new.content_id IS NOT NULL THEN
        IF EXISTS (
            SELECT FROM tagging.feedback_verdicts AS v WHERE v.content_id = new.content_id AND v.tag_id = known.id
        ) THEN
            PERFORM tagging.settle_assignment(new.content_id, known.id);
        ELSE
            DELETE FROM tagging.content_tags
            WHERE content_id = new.content_id AND tag_id = known.id AND method = 'feedback';
            -- A confirmed assignment that is gone was taken away since, by a split for one: it stays away.
            IF (FOUND OR new.kind = 'reject') AND new.before ->> 'method' <> 'feedback'
                AND known.status = 'active' AND new.tag_id = known.id
            THEN
                INSERT INTO tagging.content_tags
                SELECT (jsonb_populate_record(NULL::tagging.content_tags, new.before)).*
                FROM tagging.content_ledger AS l
                WHERE l.content_id = new.content_id AND l.deleted_at IS NULL
                ON CONFLICT (content_id, tag_id) DO NOTHING;
            END IF;
        END IF;
        UPDATE tagging.content_ledger
        SET tagged_input_hash = NULL, changed_at = clock_timestamp()
        WHERE content_id = new.content_id AND deleted_at IS NULL;
        PERFORM tagging.wake_live_workers();
    ELSIF new.kind = 'rename' THEN
        IF (known.name, known.normal_form) IS DISTINCT FROM (new.target_name, new.target_normal_form) THEN
            RAISE EXCEPTION 'the tag is % by now', known.name
                USING ERRCODE = 'check_violation', HINT = 'Rename it instead.';
        END IF;
        DELETE FROM tagging.tag_aliases
        WHERE
            organization_id = new.organization_id AND tag_id = known.id
            AND normal_form = new.before ->> 'normal_form';
        UPDATE tagging.tags
        SET name = new.before ->> 'name', normal_form = new.before ->> 'normal_form'
        WHERE id = known.id;
        PERFORM tagging.retag_staged(known.id);
    END IF;
    PERFORM tagging.act_as(said_actor, said_reason, said_operation);
    RETURN NULL;
END
$$;
CREATE TRIGGER tag_feedback_apply_undo AFTER UPDATE ON tagging.tag_feedback
    FOR EACH ROW EXECUTE FUNCTION tagging.apply_feedback_undo();

-- Feedback leaves only with its content.
CREATE FUNCTION tagging.refuse_feedback_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF old.content_id IS NULL OR EXISTS (SELECT FROM tagging.contents WHERE id = old.content_id) THEN
        RAISE EXCEPTION 'feedback % is kept', old.id
            USING ERRCODE = 'insufficient_privilege', HINT = 'Set undone_at to take it back.';
    END IF;
    RETURN old;
END
$$;
CREATE TRIGGER tag_feedback_is_kept BEFORE DELETE ON tagging.tag_feedback
    FOR EACH ROW EXECUTE FUNCTION tagging.refuse_feedback_delete();
CREATE TRIGGER tag_feedback_no_truncate BEFORE TRUNCATE ON tagging.tag_feedback
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.refuse_change('Set undone_at to take feedback back.');

-- When a tag is merged, what people said of it on a content holds for the tag it is now. The trigger's name puts it
-- after tags_update_takes_assignments_along, in the same statement and operation, so that an undo takes it back too.
CREATE FUNCTION tagging.take_verdicts_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        WHERE n.status = 'merged' AND o.status <> 'merged'
    ) THEN
        RETURN NULL;
    END IF;
    -- Of all tags that are one now, the last word on each content counts.
    WITH RECURSIVE family (root, id) AS (
        SELECT DISTINCT tagging.current_tag(n.id), tagging.current_tag(n.id)
        FROM new_rows AS n
        WHERE n.status = 'merged'
        UNION
        SELECT f.root, t.id FROM family AS f JOIN tagging.tags AS t ON t.merged_into_id = f.id
    ),
    judged AS (
        SELECT DISTINCT said.content_id, f.root AS tag_id
        FROM family AS f
        JOIN tagging.tags AS t ON t.id = f.id
        JOIN tagging.tag_feedback AS said
            ON said.tag_id = t.id
            OR (said.tag_id IS NULL AND said.organization_id = t.organization_id AND said.normal_form = t.normal_form)
        WHERE said.undone_at IS NULL AND said.content_id IS NOT NULL
    )
    DELETE FROM tagging.content_tags AS ct
    USING judged AS j
    WHERE
        ct.content_id = j.content_id AND ct.tag_id = j.tag_id
        AND NOT (
            SELECT v.accepted
            FROM tagging.feedback_verdicts AS v
            WHERE v.content_id = j.content_id AND v.tag_id = j.tag_id
        );
    RETURN NULL;
END
$$;
CREATE TRIGGER tags_update_takes_verdicts_along AFTER UPDATE ON tagging.tags
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tagging.take_verdicts_along();

-- A new or revived tag, and one that a merge gave back, also returns to the contents people put it on.
CREATE OR REPLACE FUNCTION tagging.contents_carrying(tags bigint[])
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
        UNION
        -- Index: tag_feedback_tag.
        SELECT f.content_id, f.tag_id
        FROM tagging.tag_feedback AS f
        JOIN tagging.feedback_verdicts AS v ON v.content_id = f.content_id AND v.tag_id = f.tag_id AND v.accepted
        JOIN tagging.content_ledger AS l ON l.content_id = f.content_id AND l.deleted_at IS NULL
        WHERE f.tag_id = ANY (tags)
    )
    SELECT k.content_id, k.id
    FROM carrying AS k
    WHERE NOT EXISTS (
        SELECT FROM tagging.content_tags AS ct WHERE ct.content_id = k.content_id AND ct.tag_id = k.id
    );
END;

-- Assignments that contradict what people last said of them; none, ever. A confirmed tag may be missing only while
-- its content waits for re-tagging or the tag is out of use.
CREATE FUNCTION tagging.feedback_violations()
    RETURNS TABLE (content_id bigint, tag_id bigint, accepted boolean, feedback_id bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.content_id, v.tag_id, v.accepted, v.feedback_id
    FROM tagging.feedback_verdicts AS v
    JOIN tagging.tags AS t ON t.id = v.tag_id AND t.status = 'active'
    JOIN tagging.content_ledger AS l ON l.content_id = v.content_id AND l.deleted_at IS NULL
    LEFT JOIN tagging.content_tags AS ct ON ct.content_id = v.content_id AND ct.tag_id = v.tag_id
    WHERE
        (NOT v.accepted AND (ct.origin = 'machine' OR ct.method = 'given'))
        OR (v.accepted AND NOT l.stale AND ct.origin IS DISTINCT FROM 'human');
END;

-- ----------------------------------------------------------------------------------------------- statistics

-- Each pair of content and tag counts once, by people's last word. `missed`: people added it, no generator had it.
CREATE VIEW tagging.feedback_by_tag WITH (security_invoker = true) AS
SELECT
    v.organization_id, v.tag_id, t.name,
    count(*) FILTER (WHERE v.accepted) AS accepted,
    count(*) FILTER (WHERE NOT v.accepted) AS rejected,
    count(*) FILTER (WHERE v.accepted AND f.proposal IS NULL) AS missed,
    count(DISTINCT v.reviewer) AS reviewers,
    avg((f.proposal ->> 'confidence')::double precision) AS mean_confidence,
    avg(v.accepted::integer)::double precision AS precision,
    max(v.created_at) AS last_at
FROM tagging.feedback_verdicts AS v
JOIN tagging.tag_feedback AS f ON f.id = v.feedback_id
JOIN tagging.tags AS t ON t.id = v.tag_id
GROUP BY v.organization_id, v.tag_id, t.name;

-- Agreement: of the other reviewers' words on the same content and tag, the share that says the same.
CREATE VIEW tagging.feedback_by_reviewer WITH (security_invoker = true) AS
WITH judged AS (
    SELECT DISTINCT ON (f.reviewer, f.content_id, tagging.current_tag(f.tag_id), f.normal_form)
        f.organization_id, f.reviewer, f.content_id, coalesce(tagging.current_tag(f.tag_id)::text, f.normal_form) AS tag,
        f.kind <> 'reject' AS accepted
    FROM tagging.tag_feedback AS f
    WHERE f.undone_at IS NULL AND f.content_id IS NOT NULL
    ORDER BY f.reviewer, f.content_id, tagging.current_tag(f.tag_id), f.normal_form, f.id DESC
),
compared AS (
    SELECT
        own.organization_id, own.reviewer,
        count(*) AS compared,
        count(*) FILTER (WHERE other.accepted = own.accepted) AS agreed
    FROM judged AS own
    JOIN judged AS other
        ON other.content_id = own.content_id AND other.tag = own.tag AND other.reviewer <> own.reviewer
    GROUP BY own.organization_id, own.reviewer
)
SELECT
    f.organization_id, f.reviewer,
    count(*) FILTER (WHERE f.kind = 'accept') AS accepted,
    count(*) FILTER (WHERE f.kind = 'reject') AS rejected,
    count(*) FILTER (WHERE f.kind = 'add') AS added,
    count(*) FILTER (WHERE f.kind IN ('rename', 'merge')) AS vocabulary,
    count(f.undone_at) AS undone,
    coalesce(max(c.compared), 0) AS compared,
    max(c.agreed)::double precision / nullif(max(c.compared), 0) AS agreement,
    max(f.created_at) AS last_at
FROM tagging.tag_feedback AS f
LEFT JOIN compared AS c ON c.organization_id = f.organization_id AND c.reviewer = f.reviewer
GROUP BY f.organization_id, f.reviewer;

-- How often people agreed with what each generator proposed. A proposal counts for every generator that made it; tags
-- that people added unasked do not count, because nobody adds a wrong one.
CREATE VIEW tagging.feedback_by_method WITH (security_invoker = true) AS
SELECT
    v.organization_id, m.method,
    count(*) FILTER (WHERE v.accepted) AS accepted,
    count(*) FILTER (WHERE NOT v.accepted) AS rejected,
    avg(v.accepted::integer)::double precision AS precision,
    avg((f.proposal ->> 'confidence')::double precision) AS mean_confidence
FROM tagging.feedback_verdicts AS v
JOIN tagging.tag_feedback AS f ON f.id = v.feedback_id
CROSS JOIN LATERAL (
    SELECT DISTINCT e ->> 'method' AS method FROM jsonb_array_elements(f.proposal -> 'evidence') AS e
) AS m
WHERE m.method <> 'feedback' AND f.kind <> 'add'
GROUP BY v.organization_id, m.method;

-- ----------------------------------------------------------------------------------------------- explanation

-- Why a content has a tag, or has it not: what stands, what each generator said, what the ranker weighed (in
-- log-odds, by kind of reason), what the confidence would be without each kind, what people said, all events.
-- `reason` is 'assigned', or what keeps the tag away. Always one row for a tag that exists.
DROP FUNCTION tagging.explain_assignment(bigint, bigint);
CREATE FUNCTION tagging.explain_assignment(content bigint, tag bigint)
    RETURNS TABLE (
        name text, confidence real, weight real, method text, origin text, assigned_at timestamptz, evidence jsonb,
        proposal jsonb, tagger_version_id integer, tagger jsonb, events jsonb, reason text, threshold real,
        generators text[], effects jsonb, without jsonb, feedback jsonb
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
        ),
        CASE
            WHEN ct.content_id IS NOT NULL THEN 'assigned'
            WHEN l.content_id IS NULL OR l.deleted_at IS NOT NULL THEN 'content is gone'
            WHEN t.status <> 'active' THEN 'tag is ' || t.status
            WHEN NOT said.accepted THEN 'rejected by ' || said.reviewer
            WHEN g.content_id IS NULL THEN 'not tagged yet'
            WHEN proposed.proposal IS NULL AND l.stale THEN 'waits for re-tagging'
            WHEN proposed.proposal IS NULL THEN 'not proposed'
            WHEN bounds.threshold > (proposed.proposal ->> 'confidence')::real THEN 'below the threshold'
            WHEN l.stale THEN 'waits for re-tagging'
            WHEN whole.name IS NOT NULL THEN 'part of ' || whole.name
            ELSE 'crowded out'
        END,
        bounds.threshold,
        ARRAY(
            SELECT DISTINCT e ->> 'method'
            FROM jsonb_array_elements(coalesce(proposed.proposal -> 'evidence', ct.evidence)) AS e
            ORDER BY 1
        ),
        proposed.proposal -> 'effects',
        (
            SELECT jsonb_object_agg(
                w.kind, round((1 / (1 + exp(-(bounds.log_odds - w.effect::double precision))))::numeric, 4)
            )
            FROM jsonb_each_text(proposed.proposal -> 'effects') AS w (kind, effect)
            WHERE w.kind <> 'base'
        ),
        (
            SELECT coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'id', f.id, 'kind', f.kind, 'reviewer', f.reviewer, 'note', f.note, 'source', f.source,
                        'created_at', f.created_at, 'undone_at', f.undone_at, 'undone_by', f.undone_by
                    )
                    ORDER BY f.id
                ),
                '[]'
            )
            FROM tagging.tag_feedback AS f
            WHERE f.content_id = content AND (tagging.current_tag(f.tag_id) = t.id OR f.normal_form = t.normal_form)
        )
    FROM tagging.tags AS t
    LEFT JOIN tagging.content_ledger AS l ON l.content_id = content
    LEFT JOIN tagging.content_tags AS ct ON ct.content_id = content AND ct.tag_id = t.id
    LEFT JOIN tagging.tagger_versions AS v ON v.id = ct.tagger_version_id
    LEFT JOIN tagging.generated_tags AS g ON g.content_id = content
    LEFT JOIN tagging.tagger_versions AS staged_by ON staged_by.id = g.tagger_version_id
    LEFT JOIN tagging.feedback_verdicts AS said ON said.content_id = content AND said.tag_id = t.id
    LEFT JOIN LATERAL (SELECT tagging.staged_proposal(content, t.id) AS proposal) AS proposed ON true
    LEFT JOIN LATERAL (
        SELECT
            coalesce(
                (proposed.proposal -> 'features' ->> 'classifier_threshold')::real,
                (staged_by.components -> 'threshold' ->> g.organization_id)::real,
                (staged_by.components -> 'parameters' ->> 'min_confidence')::real
            ) AS threshold,
            (
                SELECT sum(w.effect::double precision)
                FROM jsonb_each_text(proposed.proposal -> 'effects') AS w (kind, effect)
            ) AS log_odds
    ) AS bounds ON true
    LEFT JOIN LATERAL (
        SELECT o.name
        FROM tagging.content_tags AS other
        JOIN tagging.tags AS o ON o.id = other.tag_id
        WHERE other.content_id = content AND o.id <> t.id AND strpos(o.normal_form, t.normal_form) > 0
        ORDER BY other.weight DESC
        LIMIT 1
    ) AS whole ON true
    WHERE t.id = tag;
END;

-- ------------------------------------------------------------------------------------------ trained models

ALTER TABLE tagging.trained_models DROP CONSTRAINT trained_models_kind_check;
ALTER TABLE tagging.trained_models ADD CONSTRAINT trained_models_kind_check
    CHECK (kind IN ('classifier', 'ranker', 'calibration'));

-- --------------------------------------------------------------------------------------------- experiments

-- What a candidate configuration would do, beside what the present one does. Nothing outside refers to this schema.
CREATE SCHEMA tagging_sandbox;
CREATE TABLE tagging_sandbox.experiments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    name text NOT NULL,
    overrides jsonb NOT NULL,
    contents integer NOT NULL,
    report jsonb NOT NULL,
    actor text NOT NULL,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    adopted_at timestamptz,
    adopted_by text
);
CREATE INDEX experiments_latest ON tagging_sandbox.experiments (organization_id, id DESC);
CREATE TABLE tagging_sandbox.experiment_tags (
    experiment_id bigint NOT NULL REFERENCES tagging_sandbox.experiments (id) ON DELETE CASCADE,
    side text NOT NULL CHECK (side IN ('current', 'candidate')),
    content_id bigint NOT NULL,
    normal_form text NOT NULL,
    organization_id text NOT NULL DEFAULT 'default',
    name text NOT NULL,
    confidence real NOT NULL,
    assigned boolean NOT NULL,
    PRIMARY KEY (experiment_id, side, content_id, normal_form)
);
