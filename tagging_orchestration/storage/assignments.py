"""Assignments, their events and the ledger, changed together: table `content_tags`."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import ChangeContext, Decision, PublishReport
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.evidence import evidence_json
from tagging_orchestration.storage.vocabulary import lock_vocabulary

# A confidence that moved by less is the same confidence: a re-tag that finds the same writes no event.
CONFIDENCE_STEP = 0.02

# Takes the ledger rows that nobody else works on and whose content is still what was decided on.
_LOCK = """
    SELECT l.content_id, l.tagged_input_hash IS DISTINCT FROM l.input_hash
    FROM unnest(%(content_ids)s::bigint[], %(input_hashes)s::text[]) AS d (content_id, input_hash)
    JOIN tagging.content_ledger AS l ON l.content_id = d.content_id
    WHERE l.input_hash = d.input_hash AND l.deleted_at IS NULL
    FOR UPDATE OF l SKIP LOCKED
"""

# A machine never touches what a person said, but for tags given with the content, which follow the content.
# What people rejected is left out and what they confirmed is put in, whatever was decided: their word may be
# younger than the decision. Where the input changed, evidence is renewed even if the confidence is the same: its
# spans point into the old text. Arrays of texts go as binary: escaping the quotes of JSON in a text array takes
# thirty times as long.
_WRITE = """
    WITH RECURSIVE standing (asked, id, status, merged_into_id) AS (
        SELECT t.id, t.id, t.status, t.merged_into_id
        FROM tagging.tags AS t
        WHERE t.id = ANY (%(tag_ids)s::bigint[])
        UNION ALL
        SELECT s.asked, t.id, t.status, t.merged_into_id
        FROM standing AS s
        JOIN tagging.tags AS t ON t.id = s.merged_into_id
    ),
    verdicts AS MATERIALIZED (
        SELECT v.content_id, v.tag_id, v.organization_id, v.accepted, v.evidence
        FROM tagging.feedback_verdicts AS v
        WHERE v.content_id = ANY (%(content_ids)s::bigint[])
    ),
    decided AS (
        SELECT
            d.content_id, s.id AS tag_id, l.organization_id, d.confidence, d.weight, d.method, d.origin,
            d.evidence::jsonb, d.input_changed
        FROM unnest(
            %(assigned_ids)s::bigint[], %(tag_ids)s::bigint[], %(confidences)s::real[], %(weights)s::real[],
            %(methods)b::text[], %(origins)b::text[], %(evidence)b::text[], %(input_changed)s::boolean[]
        ) AS d (content_id, tag_id, confidence, weight, method, origin, evidence, input_changed)
        JOIN standing AS s ON s.asked = d.tag_id AND s.status = 'active'
        JOIN tagging.content_ledger AS l ON l.content_id = d.content_id
        WHERE NOT EXISTS (
            SELECT FROM verdicts AS v WHERE v.content_id = d.content_id AND v.tag_id = s.id
        )
        UNION ALL
        SELECT
            v.content_id, v.tag_id, v.organization_id, 1, coalesce(w.factor, 1), 'feedback', 'human', v.evidence,
            false
        FROM verdicts AS v
        JOIN tagging.tags AS t ON t.id = v.tag_id AND t.status = 'active'
        LEFT JOIN tagging.tag_weights AS w ON w.tag_id = v.tag_id
        WHERE v.accepted
    ),
    wanted AS MATERIALIZED (
        SELECT DISTINCT ON (d.content_id, d.tag_id) d.*
        FROM decided AS d
        ORDER BY d.content_id, d.tag_id, d.origin = 'human' DESC, d.confidence DESC
    ),
    removed AS (
        DELETE FROM tagging.content_tags AS ct
        WHERE
            ct.content_id = ANY (%(content_ids)s::bigint[])
            AND (ct.origin = 'machine' OR ct.method = 'given')
            AND NOT EXISTS (
                SELECT FROM wanted AS w WHERE w.content_id = ct.content_id AND w.tag_id = ct.tag_id
            )
        RETURNING 1
    ),
    updated AS (
        UPDATE tagging.content_tags AS ct
        SET
            confidence = w.confidence,
            weight = w.weight,
            method = w.method,
            origin = w.origin,
            evidence = w.evidence,
            tagger_version_id = %(version)s,
            assigned_at = clock_timestamp()
        FROM wanted AS w
        WHERE
            ct.content_id = w.content_id AND ct.tag_id = w.tag_id
            AND (ct.origin = 'machine' OR ct.method = 'given')
            AND (
                abs(ct.confidence - w.confidence) >= %(step)s
                OR ct.method <> w.method
                OR ct.origin <> w.origin
                OR (w.input_changed AND ct.evidence <> w.evidence)
            )
        RETURNING 1
    ),
    inserted AS (
        INSERT INTO tagging.content_tags (
            content_id, tag_id, organization_id, confidence, weight, method, origin, evidence, tagger_version_id
        )
        SELECT
            w.content_id, w.tag_id, w.organization_id, w.confidence, w.weight, w.method, w.origin, w.evidence,
            %(version)s
        FROM wanted AS w
        WHERE NOT EXISTS (
            SELECT FROM tagging.content_tags AS ct WHERE ct.content_id = w.content_id AND ct.tag_id = w.tag_id
        )
        ON CONFLICT (content_id, tag_id) DO NOTHING
        RETURNING 1
    ),
    stamped AS (
        UPDATE tagging.content_ledger AS l
        SET
            tagged_input_hash = l.input_hash,
            tagger_version_id = %(version)s,
            tagged_at = clock_timestamp(),
            attempts = 0,
            retry_at = NULL,
            failed_version_id = NULL,
            error = NULL
        WHERE l.content_id = ANY (%(content_ids)s::bigint[])
        RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM stamped),
        (SELECT count(*) FROM inserted),
        (SELECT count(*) FROM removed),
        (SELECT count(*) FROM updated),
        (SELECT count(*) FROM wanted)
"""


class PostgresAssignmentStore:
    """`AssignmentStore` over Postgres."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def publish(
        self, decisions: Sequence[Decision], tagger_version_id: int, context: ChangeContext
    ) -> PublishReport:
        """Make each content's assignments what was decided and stamp its ledger row, in one transaction.

        A content without assignments is stamped too. Contents that changed since the decision, or that another
        writer holds, are skipped and stay pending. Assignments of tags merged meanwhile go to the tag they were
        merged into; those of tags blocked or retired meanwhile are left out. People's feedback outranks what was
        decided. Raises TransientError when the transaction can be tried again.
        """
        if not decisions:
            return PublishReport()
        with transaction(self._pool, context) as connection:
            lock_vocabulary(connection, exclusive=False)
            taken = dict(
                connection.execute(
                    _LOCK,
                    {
                        "content_ids": [decision.content_id for decision in decisions],
                        "input_hashes": [decision.input_hash for decision in decisions],
                    },
                ).fetchall()
            )
            return _write(
                connection,
                [decision for decision in decisions if decision.content_id in taken],
                taken,
                tagger_version_id,
            ) + PublishReport(skipped=len(decisions) - len(taken))


def _write(
    connection: Connection, decisions: Sequence[Decision], input_changed: dict[int, bool], tagger_version_id: int
) -> PublishReport:
    rows = [(decision.content_id, assignment) for decision in decisions for assignment in decision.assignments]
    result = connection.execute(
        _WRITE,
        {
            "version": tagger_version_id,
            "step": CONFIDENCE_STEP,
            "content_ids": [decision.content_id for decision in decisions],
            "assigned_ids": [content_id for content_id, _ in rows],
            "tag_ids": [assignment.tag_id for _, assignment in rows],
            "confidences": [float(assignment.confidence) for _, assignment in rows],
            "weights": [float(assignment.weight) for _, assignment in rows],
            "methods": [str(assignment.method) for _, assignment in rows],
            "origins": [str(assignment.origin) for _, assignment in rows],
            "evidence": [evidence_json(assignment.evidence) for _, assignment in rows],
            "input_changed": [input_changed[content_id] for content_id, _ in rows],
        },
    ).fetchone()
    contents, associated, dissociated, updated, wanted = result or (0, 0, 0, 0, 0)
    return PublishReport(
        contents=contents,
        associated=associated,
        dissociated=dissociated,
        updated=updated,
        unchanged=wanted - associated - updated,
    )
