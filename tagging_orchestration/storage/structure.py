"""Proposals about the structure of the vocabulary: found by the core, kept for people, done and taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.core.vocabulary.hierarchy import BroaderProposal, find_broader
from tagging_orchestration.core.vocabulary.split import (
    MIN_CONTENTS,
    MIN_SHARE,
    MOST_CONTENTS,
    SplitProposal,
    TaggedContents,
    find_split,
)
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.operations import (
    contents_changed_since,
    restore_assignments,
    restore_parents,
)
from tagging_orchestration.storage.retagging import retag
from tagging_orchestration.storage.usage import load_co_usage
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore, lock_vocabulary
from tagging_orchestration.storage.vocabulary_changes import SplitPart, VocabularyEditor

# Narrower tags a person can be asked about in one night; the likeliest come first.
_MOST_BROADER = 500


@dataclass(frozen=True, slots=True)
class StructureProposal:
    """A question for a person: put `tag_name` below `parent_name`, or split it into `parts`."""

    id: int
    kind: str
    tag_id: int
    tag_name: str
    parent_id: int | None
    parent_name: str | None
    parts: list[dict[str, Any]]
    score: float
    signals: dict[str, Any]
    status: str
    operation_id: UUID | None
    decided_by: str | None
    decided_at: datetime | None


def find_and_save(pool: ConnectionPool, organization_id: str) -> int:
    """Look for broader tags and for tags to split, and note them for a person. Returns how many are new.

    A question that was decided, either way, is not asked again; one still open gets its newest score.
    """
    vocabulary = PostgresVocabularyStore(pool).load(organization_id)
    with transaction(pool) as connection:
        usage = load_co_usage(connection, organization_id)
        decided = set(
            connection.execute(
                "SELECT tag_id, parent_id FROM tagging.structure_proposals"
                " WHERE organization_id = %s AND kind = 'broader' AND status <> 'open'",
                [organization_id],
            ).fetchall()
        )
    broader = find_broader(vocabulary, usage, decided)[:_MOST_BROADER]
    splits = [
        proposal
        for contents in _broad_tags(pool, organization_id)
        if (proposal := find_split(contents)) is not None
    ]
    rows = [*map(_broader_row, broader), *map(_split_row, splits)]
    with transaction(pool) as connection, connection.cursor() as cursor:
        # What no longer seems so need not be asked; a decided question stays.
        cursor.execute(
            """
            DELETE FROM tagging.structure_proposals
            WHERE
                organization_id = %s AND status = 'open'
                AND (kind, tag_id, coalesce(parent_id, 0)) NOT IN (
                    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])
                )
            """,
            [organization_id, [r[0] for r in rows], [r[1] for r in rows], [r[2] or 0 for r in rows]],
        )
        new = 0
        for kind, tag_id, parent_id, parts, score, signals in rows:
            cursor.execute(
                """
                INSERT INTO tagging.structure_proposals AS known
                    (organization_id, kind, tag_id, parent_id, parts, score, signals)
                VALUES (%s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (kind, tag_id, coalesce(parent_id, 0)) DO UPDATE SET
                    parts = excluded.parts, score = excluded.score, signals = excluded.signals
                WHERE known.status = 'open'
                RETURNING xmax = 0
                """,
                [organization_id, kind, tag_id, parent_id, Jsonb(parts), score, Jsonb(signals)],
            )
            new += cursor.fetchone() == (True,)
    return new


def open_proposals(
    pool: ConnectionPool, organization_id: str, limit: int | None = None
) -> list[StructureProposal]:
    """Questions that wait for a person, the surest first."""
    # Index: structure_proposals_open.
    query = _PROPOSALS + "WHERE p.organization_id = %s AND p.status = 'open' ORDER BY p.score DESC, p.id LIMIT %s"
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(StructureProposal)) as cursor:
        return cursor.execute(query, [organization_id, limit]).fetchall()


def accept(
    pool: ConnectionPool, editor: VocabularyEditor, proposal_id: int, context: ChangeContext
) -> StructureProposal:
    """Do what a waiting proposal proposes, with its events under one operation.

    Raises UnknownName when no such proposal waits, VocabularyError when the vocabulary has changed so that it
    cannot be done any more.
    """
    proposal = _proposal(pool, proposal_id, ("open",), "waits for a decision")
    context = replace(context, operation_id=uuid4())
    if proposal.kind == "broader":
        editor.place(proposal.tag_id, proposal.parent_id, context)
    else:
        parts = [SplitPart(part["name"], tuple(part["content_ids"])) for part in proposal.parts]
        editor.split(proposal.tag_id, parts, context)
    return _decide(pool, proposal_id, "accepted", context)


def refuse(pool: ConnectionPool, proposal_id: int, context: ChangeContext) -> StructureProposal:
    """Decide against a waiting proposal, for good. Raises UnknownName when no such proposal waits."""
    _proposal(pool, proposal_id, ("open",), "waits for a decision")
    return _decide(pool, proposal_id, "refused", replace(context, operation_id=None))


def undo(pool: ConnectionPool, proposal_id: int, context: ChangeContext) -> StructureProposal:
    """Take an accepted proposal back, in one transaction; it is not proposed again.

    Parents and assignments that nobody changed since are as before; a content whose assignments changed since
    keeps them and is marked for re-tagging. Tags that a split made, and that nothing carries any more, are
    retired. Raises UnknownName for a proposal that was not accepted.
    """
    proposal = _proposal(pool, proposal_id, ("accepted",), "was accepted")
    assert proposal.operation_id is not None  # noqa: S101 (accepting stores it)
    with transaction(pool, replace(context, operation_id=uuid4())) as connection:
        lock_vocabulary(connection, exclusive=True)
        kept = contents_changed_since(connection, proposal.operation_id)
        restore_parents(connection, proposal.operation_id)
        restore_assignments(connection, proposal.operation_id, kept)
        retag(connection, kept)
        if proposal.kind == "split":
            _forget_split(connection, proposal)
    return _decide(pool, proposal_id, "undone", replace(context, operation_id=proposal.operation_id))


# ---------------------------------------------------------------------------------------------------- inside


_PROPOSALS = """
    SELECT
        p.id, p.kind, p.tag_id, t.name AS tag_name, p.parent_id, b.name AS parent_name, p.parts, p.score,
        p.signals, p.status, p.operation_id, p.decided_by, p.decided_at
    FROM tagging.structure_proposals AS p
    JOIN tagging.tags AS t ON t.id = p.tag_id
    LEFT JOIN tagging.tags AS b ON b.id = p.parent_id
"""
_Row = tuple[str, int, int | None, list[dict[str, Any]], float, dict[str, float]]


def _broader_row(proposal: BroaderProposal) -> _Row:
    return "broader", proposal.tag_id, proposal.parent_id, [], proposal.score, dict(proposal.signals)


def _split_row(proposal: SplitProposal) -> _Row:
    parts = [asdict(part) for part in proposal.parts]
    return "split", proposal.tag_id, None, parts, proposal.score, dict(proposal.signals)


def _proposal(pool: ConnectionPool, proposal_id: int, statuses: Sequence[str], said: str) -> StructureProposal:
    query = _PROPOSALS + "WHERE p.id = %s AND p.status = ANY (%s::text[])"
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(StructureProposal)) as cursor:
        found = cursor.execute(query, [proposal_id, list(statuses)]).fetchone()
    if found is None:
        raise UnknownName(f"no proposal with id {proposal_id} {said}")
    return found


def _decide(pool: ConnectionPool, proposal_id: int, status: str, context: ChangeContext) -> StructureProposal:
    with transaction(pool) as connection:
        connection.execute(
            """
            UPDATE tagging.structure_proposals
            SET status = %s, operation_id = %s, decided_by = %s, decided_at = clock_timestamp()
            WHERE id = %s
            """,
            [status, context.operation_id, context.actor, proposal_id],
        )
    return _proposal(pool, proposal_id, (status,), f"is {status}")


def _forget_split(connection: Connection, proposal: StructureProposal) -> None:
    """People's word returns to the broad tag, and tags made for the parts that nothing carries are retired."""
    connection.execute(
        """
        UPDATE tagging.tag_feedback AS f
        SET undone_at = NULL
        FROM (
            SELECT min(e.occurred_at) AS began
            FROM tagging.tag_events AS e
            WHERE e.operation_id = %(operation)s
        ) AS split
        WHERE
            f.tag_id = %(tag)s AND f.undone_at BETWEEN split.began AND %(decided)s
            AND f.content_id = ANY (%(contents)s::bigint[])
        """,
        {
            "operation": proposal.operation_id,
            "tag": proposal.tag_id,
            "decided": proposal.decided_at,
            "contents": [content for part in proposal.parts for content in part["content_ids"]],
        },
    )
    connection.execute(
        "UPDATE tagging.tags SET metadata = metadata - 'split_into' WHERE id = %s", [proposal.tag_id]
    )
    # Index: tag_events_operation.
    connection.execute(
        """
        UPDATE tagging.tags AS t
        SET status = 'retired'
        WHERE
            t.id IN (
                SELECT e.tag_id
                FROM tagging.tag_events AS e
                WHERE e.operation_id = %s AND e.event_type = 'created' AND e.content_id IS NULL
            )
            AND NOT EXISTS (SELECT FROM tagging.content_tags AS ct WHERE ct.tag_id = t.id)
        """,
        [proposal.operation_id],
    )


def _broad_tags(pool: ConnectionPool, organization_id: str) -> Iterator[TaggedContents]:
    """Tags on a large share of the tagged contents, with those contents that have a vector."""
    with transaction(pool) as connection:
        tags = connection.execute(
            """
            WITH tagged AS (
                SELECT count(DISTINCT ct.content_id) AS contents
                FROM tagging.content_tags AS ct
                WHERE ct.organization_id = %(organization)s
            )
            SELECT t.id, t.name, w.usage_count::float / tagged.contents
            FROM tagging.tag_weights AS w
            JOIN tagging.tags AS t ON t.id = w.tag_id AND t.status = 'active'
            CROSS JOIN tagged
            WHERE
                w.organization_id = %(organization)s AND w.usage_count >= %(contents)s
                AND w.usage_count >= %(share)s * tagged.contents
            ORDER BY w.usage_count DESC
            """,
            {"organization": organization_id, "contents": MIN_CONTENTS, "share": MIN_SHARE},
        ).fetchall()
    for tag_id, name, share in tags:
        with transaction(pool) as connection:
            yield _contents_of(connection, tag_id, name, share)


def _contents_of(connection: Connection, tag_id: int, name: str, share: float) -> TaggedContents:
    # Hashed order: a sample that does not favour the oldest contents and is the same on every look.
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            """
            WITH carried AS MATERIALIZED (
                SELECT ct.content_id, c.text_hash, c.organization_id
                FROM tagging.content_tags AS ct
                JOIN tagging.contents AS c ON c.id = ct.content_id
                WHERE ct.tag_id = %(tag)s
                ORDER BY hashint8(ct.content_id)
                LIMIT %(most)s
            ),
            vectors AS MATERIALIZED (
                SELECT r.content_id, e.model, e.embedding
                FROM carried AS r
                JOIN tagging.content_embeddings AS e
                    ON e.text_hash = r.text_hash AND e.organization_id = r.organization_id
            ),
            commonest AS (SELECT v.model FROM vectors AS v GROUP BY v.model ORDER BY count(*) DESC, v.model LIMIT
            1) SELECT
                v.content_id, v.embedding,
                ARRAY(
                    SELECT t.name
                    FROM tagging.content_tags AS o
                    JOIN tagging.tags AS t ON t.id = o.tag_id
                    WHERE o.content_id = v.content_id AND o.tag_id <> %(tag)s
                )
            FROM vectors AS v
            JOIN commonest AS m ON m.model = v.model
            ORDER BY v.content_id
            """,
            {"tag": tag_id, "most": MOST_CONTENTS},
        ).fetchall()
    vectors = np.array([row[1].to_numpy() for row in rows], dtype=np.float32)
    return TaggedContents(
        tag_id,
        name,
        float(share),
        np.array([row[0] for row in rows], dtype=np.int64),
        vectors,
        [row[2] for row in rows],
    )
