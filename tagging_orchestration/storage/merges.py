"""Merges of tags, automatic and by hand, their undoing, and the pairs that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.errors import CheckViolation
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import ChangeContext, MergeProposal, Origin, Tag, TagStatus
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.merge import Matcher, find_merges
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.operations import (
    contents_changed_since,
    restore_aliases,
    restore_assignments,
    restore_parents,
)
from tagging_orchestration.storage.quality import log_maintenance
from tagging_orchestration.storage.retagging import retag
from tagging_orchestration.storage.usage import load_co_usage
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore, load_tags, lock_vocabulary

# Name of the log entry that says up to when pairs have been looked at, and how far to look back behind it: a
# change is stamped when it is made and seen when it is committed.
_LOOKED = "look_for_merges"
_LOOK_BACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class AppliedMerge:
    """One merge that was made; `operation_id` undoes it."""

    operation_id: UUID
    source_tag_id: int
    source_name: str
    target_tag_id: int
    target_name: str
    score: float | None


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """What a look for merges did: merges made, pairs now waiting for a person that were not waiting before."""

    merged: tuple[AppliedMerge, ...] = ()
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class MergeCandidate:
    """A pair that waits for a person: merge the source into the target, or refuse."""

    id: int
    source_tag_id: int
    source_name: str
    source_usage: int
    target_tag_id: int
    target_name: str
    target_usage: int
    score: float
    signals: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MergeRecord:
    """A merge of the past."""

    operation_id: UUID
    source_tag_id: int
    source_name: str
    target_tag_id: int
    target_name: str
    score: float | None
    actor: str
    merged_at: datetime
    undone_at: datetime | None
    undone_by: str | None


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What an undo did. `kept` contents changed since the merge: they stay as they are and will be re-tagged."""

    source_name: str
    target_name: str
    restored: int
    kept: int


def find_and_apply(
    pool: ConnectionPool,
    organization_id: str,
    settings: VocabularySettings,
    matcher: Matcher,
    context: ChangeContext,
    *,
    everything: bool = False,
) -> MergeOutcome:
    """Merge what surely is one, and note what a person should decide.

    Only pairs with a tag that was created, changed, encoded or revived since the last look are looked at, all of
    them at the first time or when `everything` is asked for. Each merge is a transaction and an operation of its
    own. A pair that was ever refused, or whose merge was undone, is left alone.
    """
    with transaction(pool) as connection:
        focus = None if everything else _changed_since_last_look(connection, organization_id)
        started = _now(connection)
        usage = load_co_usage(connection, organization_id, centres=focus is None)
        refused = _refused(connection, organization_id)
    if focus is not None and not focus:
        return MergeOutcome()
    vocabulary = PostgresVocabularyStore(pool).load(organization_id)
    plan = find_merges(vocabulary, usage, refused, settings, matcher, focus)
    merged = []
    for proposal in plan.automatic:
        try:
            pair = proposal.source_tag_id, proposal.target_tag_id
            merged.append(merge(pool, *pair, context, proposal.score, Origin.MACHINE))
        except VocabularyError:
            # Somebody else changed one of the two since the vocabulary was read; the next look sees it anew.
            continue
    with transaction(pool, context) as connection:
        if focus is None:
            _drop_candidates(connection, organization_id, plan.candidates)
        candidates = _save_candidates(connection, organization_id, plan.candidates)
        log_maintenance(
            connection,
            _LOOKED,
            len(merged),
            context.actor,
            {"organization_id": organization_id, "until": started.isoformat(), "candidates": candidates},
            context.run_id,
        )
    return MergeOutcome(tuple(merged), candidates)


def merge(
    pool: ConnectionPool,
    source_tag_id: int,
    target_tag_id: int,
    context: ChangeContext,
    score: float | None = None,
    origin: Origin = Origin.HUMAN,
) -> AppliedMerge:
    """Make one tag an alias of another, in one transaction and one operation.

    The source's assignments become the target's (a content that has both keeps the better confidence, and a
    person's word wins), its aliases and children too, and its name is left as an alias of this origin. Raises
    UnknownName for an id without a tag, VocabularyError when the two cannot be merged as they stand.
    """
    operation_id = uuid4()
    context = replace(context, operation_id=operation_id)
    with transaction(pool, context) as connection:
        lock_vocabulary(connection, exclusive=True)
        source, target = _two_tags(connection, source_tag_id, target_tag_id)
        _hand_over_children(connection, source, target)
        _leave_alias(connection, source, target, origin)
        connection.execute(
            "UPDATE tagging.tags SET status = 'merged', merged_into_id = %s WHERE id = %s", [target.id, source.id]
        )
        connection.execute(
            """
            INSERT INTO tagging.tag_merges
                (operation_id, organization_id, source_tag_id, target_tag_id, score, actor)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            [
                operation_id,
                source.organization_id,
                source.id,
                target.id,
                score,
                context.actor,
            ],
        )
        _settle_candidates(connection, source, target, context.actor)
    return AppliedMerge(
        operation_id,
        source.id,
        source.name,
        target.id,
        target.name,
        score,
    )


def undo(pool: ConnectionPool, operation_id: UUID, context: ChangeContext) -> UndoReport:
    """Take a merge back, in one transaction, and remember that the two are not one.

    Everything the merge changed and nobody changed since is exactly as before: the tag, its aliases and children,
    and every content's assignments of both tags (a weight recomputed meanwhile counts as no change). A content
    whose assignment of the target changed since, by a re-tag, a person or a deletion, keeps what it has; if it is
    still there it is marked for re-tagging, which now knows both tags. Raises UnknownName for an operation that
    is no merge, VocabularyError when it was undone before or the target was itself merged since.
    """
    context = replace(context, operation_id=uuid4())
    try:
        with transaction(pool, context) as connection:
            lock_vocabulary(connection, exclusive=True)
            source, target = _undoable(connection, operation_id)
            kept = contents_changed_since(connection, operation_id)
            connection.execute(
                "UPDATE tagging.tags SET status = 'active', merged_into_id = NULL WHERE id = %s", [source.id]
            )
            restore_parents(connection, operation_id)
            restore_aliases(connection, operation_id)
            restored = restore_assignments(connection, operation_id, kept)
            retag(connection, kept)
            connection.execute(
                """
                UPDATE tagging.tag_merges
                SET undone_at = clock_timestamp(), undone_by = %s
                WHERE operation_id = %s
                """,
                [context.actor, operation_id],
            )
            _refuse_pair(connection, source, target, context.actor)
    except CheckViolation as error:
        raise VocabularyError(
            f"the merge cannot be undone: {error.diag.message_primary}. Change the hierarchy first"
        ) from error
    return UndoReport(source.name, target.name, restored, len(kept))


def accept(pool: ConnectionPool, candidate_id: int, context: ChangeContext) -> AppliedMerge:
    """Merge a waiting pair, the way round it is shown. Raises as `merge` does."""
    candidate = _open_candidate(pool, candidate_id)
    return merge(pool, candidate.source_tag_id, candidate.target_tag_id, context, candidate.score)


def refuse(pool: ConnectionPool, candidate_id: int, context: ChangeContext) -> MergeCandidate:
    """Decide that a waiting pair is two tags, for good. Raises UnknownName when no such pair waits."""
    candidate = _open_candidate(pool, candidate_id)
    with transaction(pool, context) as connection:
        connection.execute(
            """
            UPDATE tagging.tag_merge_candidates
            SET status = 'refused', decided_by = %s, decided_at = clock_timestamp()
            WHERE id = %s
            """,
            [context.actor, candidate_id],
        )
    return candidate


def open_candidates(pool: ConnectionPool, organization_id: str, limit: int | None = None) -> list[MergeCandidate]:
    """Pairs that wait for a person, the most valuable first: probability times reach."""
    # Index: tag_merge_candidates_open. The order is that of core/vocabulary/merge.py:JudgedPairs.value.
    query = (
        _CANDIDATES
        + """
        WHERE c.organization_id = %s AND c.status = 'open'
        ORDER BY c.score * ln(2 + least(coalesce(sw.usage_count, 0), coalesce(tw.usage_count, 0))) DESC, c.id
        LIMIT %s
    """
    )
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(MergeCandidate)) as cursor:
        return cursor.execute(query, [organization_id, limit]).fetchall()


def merges(pool: ConnectionPool, organization_id: str, limit: int | None = None) -> list[MergeRecord]:
    """Merges, newest first, undone ones included."""
    query = """
        SELECT
            m.operation_id, m.source_tag_id, s.name AS source_name, m.target_tag_id, t.name AS target_name,
            m.score, m.actor, m.merged_at, m.undone_at, m.undone_by
        FROM tagging.tag_merges AS m
        JOIN tagging.tags AS s ON s.id = m.source_tag_id
        JOIN tagging.tags AS t ON t.id = m.target_tag_id
        WHERE m.organization_id = %s
        ORDER BY m.merged_at DESC
        LIMIT %s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(MergeRecord)) as cursor:
        return cursor.execute(query, [organization_id, limit]).fetchall()


# ---------------------------------------------------------------------------------------------------- looking


_CANDIDATES = """
    SELECT
        c.id, c.source_tag_id, s.name AS source_name, coalesce(sw.usage_count, 0) AS source_usage,
        c.target_tag_id, t.name AS target_name, coalesce(tw.usage_count, 0) AS target_usage,
        c.score, c.signals, c.created_at
    FROM tagging.tag_merge_candidates AS c
    JOIN tagging.tags AS s ON s.id = c.source_tag_id
    JOIN tagging.tags AS t ON t.id = c.target_tag_id
    LEFT JOIN tagging.tag_weights AS sw ON sw.tag_id = s.id
    LEFT JOIN tagging.tag_weights AS tw ON tw.tag_id = t.id
"""


def _now(connection: Connection) -> datetime:
    (now,) = connection.execute("SELECT now()").fetchone() or (None,)
    assert isinstance(now, datetime)  # noqa: S101 (the database has a clock)
    return now


def _changed_since_last_look(connection: Connection, organization_id: str) -> set[int] | None:
    """Tags that may make new pairs; None before the first look."""
    row = connection.execute(
        """
        SELECT (detail ->> 'until')::timestamptz
        FROM tagging.maintenance_logs
        WHERE action = %s AND detail ->> 'organization_id' = %s
        ORDER BY id DESC
        LIMIT 1
        """,
        [_LOOKED, organization_id],
    ).fetchone()
    if row is None:
        return None
    since = row[0] - _LOOK_BACK
    # Indexes: tag_events_occurred_at in the partitions since then; tag_embeddings is as small as the vocabulary.
    changed = connection.execute(
        """
        SELECT e.tag_id
        FROM tagging.tag_events AS e
        WHERE e.organization_id = %(organization)s AND e.content_id IS NULL AND e.occurred_at >= %(since)s
        UNION
        SELECT v.tag_id
        FROM tagging.tag_embeddings AS v
        WHERE v.organization_id = %(organization)s AND v.created_at >= %(since)s
        """,
        {"organization": organization_id, "since": since},
    )
    return {tag_id for (tag_id,) in changed}


def _refused(connection: Connection, organization_id: str) -> set[tuple[int, int]]:
    """Refused pairs, as they were and as the tags they stand for today."""
    query = """
        WITH RECURSIVE led (asked, id, merged_into_id) AS (
            SELECT t.id, t.id, t.merged_into_id FROM tagging.tags AS t WHERE t.organization_id = %(organization)s
            UNION ALL
            SELECT l.asked, t.id, t.merged_into_id
            FROM led AS l
            JOIN tagging.tags AS t ON t.id = l.merged_into_id
        )
        SELECT s.id, t.id
        FROM tagging.tag_merge_candidates AS c
        JOIN led AS s ON s.asked = c.source_tag_id
        JOIN led AS t ON t.asked = c.target_tag_id
        WHERE c.organization_id = %(organization)s AND c.status = 'refused'
    """
    rows = connection.execute(query, {"organization": organization_id})
    return {(min(pair), max(pair)) for pair in rows}


def _drop_candidates(connection: Connection, organization_id: str, kept: Sequence[MergeProposal]) -> None:
    """After a look at all pairs: questions that no longer seem worth asking go; decided pairs stay."""
    connection.execute(
        """
        DELETE FROM tagging.tag_merge_candidates
        WHERE
            organization_id = %s AND status = 'open'
            AND (least(source_tag_id, target_tag_id), greatest(source_tag_id, target_tag_id)) NOT IN (
                SELECT least(a, b), greatest(a, b) FROM unnest(%s::bigint[], %s::bigint[]) AS kept (a, b)
            )
        """,
        [organization_id, [pair.source_tag_id for pair in kept], [pair.target_tag_id for pair in kept]],
    )


def _save_candidates(connection: Connection, organization_id: str, candidates: Sequence[MergeProposal]) -> int:
    """Note pairs for a person; a decided pair stays decided. Returns how many are new."""
    row = connection.execute(
        """
        WITH saved AS (
            INSERT INTO tagging.tag_merge_candidates AS known
                (organization_id, source_tag_id, target_tag_id, score, signals)
            SELECT %s, p.source_tag_id, p.target_tag_id, p.score, p.signals
            FROM unnest(%s::bigint[], %s::bigint[], %s::real[], %s::jsonb[])
                AS p (source_tag_id, target_tag_id, score, signals)
            JOIN tagging.tags AS s ON s.id = p.source_tag_id AND s.status = 'active'
            JOIN tagging.tags AS t ON t.id = p.target_tag_id AND t.status = 'active'
            ON CONFLICT (least(source_tag_id, target_tag_id), greatest(source_tag_id, target_tag_id))
            DO UPDATE SET
                source_tag_id = excluded.source_tag_id,
                target_tag_id = excluded.target_tag_id,
                score = excluded.score,
                signals = excluded.signals
            WHERE known.status = 'open'
            RETURNING xmax = 0 AS is_new
        )
        SELECT count(*) FILTER (WHERE is_new) FROM saved
        """,
        [
            organization_id,
            [candidate.source_tag_id for candidate in candidates],
            [candidate.target_tag_id for candidate in candidates],
            [candidate.score for candidate in candidates],
            [Jsonb(dict(candidate.signals)) for candidate in candidates],
        ],
    ).fetchone()
    return row[0] if row else 0


# --------------------------------------------------------------------------------------------------- merging


def _two_tags(connection: Connection, source_id: int, target_id: int) -> tuple[Tag, Tag]:
    tags = load_tags(connection, [source_id, target_id])
    for tag_id in (source_id, target_id):
        if tag_id not in tags:
            raise UnknownName(f"there is no tag with id {tag_id}")
    source, target = tags[source_id], tags[target_id]
    if source.id == target.id:
        raise VocabularyError(f"{source.name!r} cannot be merged into itself")
    if source.organization_id != target.organization_id:
        raise VocabularyError(f"{source.name!r} and {target.name!r} belong to different organisations")
    for tag in (source, target):
        if tag.status is not TagStatus.ACTIVE:
            raise VocabularyError(f"{tag.name!r} is {tag.status}; only active tags can be merged")
    return source, target


def _hand_over_children(connection: Connection, source: Tag, target: Tag) -> None:
    """Children of the source become the target's. A target below the source is lifted to the source's place."""
    connection.execute(
        """
        WITH RECURSIVE up (id) AS (
            SELECT parent_id FROM tagging.tags WHERE id = %(target)s
            UNION
            SELECT t.parent_id FROM up JOIN tagging.tags AS t ON t.id = up.id
        )
        UPDATE tagging.tags
        SET parent_id = %(grandparent)s
        WHERE id = %(target)s AND %(source)s IN (SELECT id FROM up)
        """,
        {"source": source.id, "target": target.id, "grandparent": source.parent_id},
    )
    # Index: tags_parent.
    connection.execute("UPDATE tagging.tags SET parent_id = %s WHERE parent_id = %s", [target.id, source.id])


def _leave_alias(connection: Connection, source: Tag, target: Tag, origin: Origin) -> None:
    # Index: tag_aliases_tag.
    connection.execute("UPDATE tagging.tag_aliases SET tag_id = %s WHERE tag_id = %s", [target.id, source.id])
    connection.execute(
        """
        INSERT INTO tagging.tag_aliases (organization_id, alias, normal_form, tag_id, origin)
        VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (organization_id, normal_form) DO UPDATE SET tag_id = excluded.tag_id
        """,
        [source.organization_id, source.name, source.normal_form, target.id, str(origin)],
    )


def _settle_candidates(connection: Connection, source: Tag, target: Tag, actor: str) -> None:
    """The pair is decided; other waiting pairs of the source will be found anew as the target's."""
    connection.execute(
        """
        UPDATE tagging.tag_merge_candidates
        SET status = 'accepted', decided_by = %(actor)s, decided_at = clock_timestamp()
        WHERE
            least(source_tag_id, target_tag_id) = least(%(source)s::bigint, %(target)s::bigint)
            AND greatest(source_tag_id, target_tag_id) = greatest(%(source)s::bigint, %(target)s::bigint)
        """,
        {"actor": actor, "source": source.id, "target": target.id},
    )
    connection.execute(
        """
        DELETE FROM tagging.tag_merge_candidates
        WHERE organization_id = %s AND status = 'open' AND %s IN (source_tag_id, target_tag_id)
        """,
        [source.organization_id, source.id],
    )


def _refuse_pair(connection: Connection, source: Tag, target: Tag, actor: str) -> None:
    connection.execute(
        """
        INSERT INTO tagging.tag_merge_candidates
            (organization_id, source_tag_id, target_tag_id, score, status, decided_by, decided_at)
        VALUES (%s, %s, %s, 0, 'refused', %s, clock_timestamp())
        ON CONFLICT (least(source_tag_id, target_tag_id), greatest(source_tag_id, target_tag_id))
        DO UPDATE SET status = 'refused', decided_by = excluded.decided_by, decided_at = excluded.decided_at
        """,
        [source.organization_id, source.id, target.id, actor],
    )


def _open_candidate(pool: ConnectionPool, candidate_id: int) -> MergeCandidate:
    query = _CANDIDATES + "WHERE c.id = %s AND c.status = 'open'"
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(MergeCandidate)) as cursor:
        candidate = cursor.execute(query, [candidate_id]).fetchone()
    if candidate is None:
        raise UnknownName(f"no pair with id {candidate_id} waits for a decision")
    return candidate


# ---------------------------------------------------------------------------------------------------- undoing


def _undoable(connection: Connection, operation_id: UUID) -> tuple[Tag, Tag]:
    row = connection.execute(
        "SELECT source_tag_id, target_tag_id, undone_at, undone_by FROM tagging.tag_merges"
        " WHERE operation_id = %s FOR UPDATE",
        [operation_id],
    ).fetchone()
    if row is None:
        raise UnknownName(f"no merge has the operation id {operation_id}")
    source_id, target_id, undone_at, undone_by = row
    if undone_at is not None:
        raise VocabularyError(f"the merge was undone before, by {undone_by} at {undone_at:%Y-%m-%d %H:%M}")
    tags = load_tags(connection, [source_id, target_id])
    source, target = tags[source_id], tags[target_id]
    if source.status is not TagStatus.MERGED or source.merged_into_id != target.id:
        raise VocabularyError(f"{source.name!r} is not merged into {target.name!r} any more: nothing to undo")
    if target.status is TagStatus.MERGED:
        raise VocabularyError(f"{target.name!r} was itself merged since: undo that merge first")
    return source, target
