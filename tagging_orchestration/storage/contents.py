"""Contents and their ledger: what is pending, what failed, and why that costs a look-up (docs/pending.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import class_row, kwargs_row, scalar_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import (
    Content,
    FailedContent,
    Failure,
    PendingCount,
    PendingPeriod,
    Scope,
)
from tagging_orchestration.core.parameters import PartitionSettings
from tagging_orchestration.core.planning import first_period, period_start
from tagging_orchestration.settings import RunSettings
from tagging_orchestration.storage.connection import transaction

MAX_ERROR_CHARACTERS = 2_000
LONGEST_RETRY_MINUTES = 24 * 60
INDEX_SCANS_ONLY = """
    SELECT
        set_config('enable_seqscan', 'off', true),
        set_config('enable_bitmapscan', 'off', true),
        set_config('max_parallel_workers_per_gather', '0', true)
"""
DATE_TRUNC_UNITS = {"monthly": "month", "weekly": "week", "daily": "day"}

# Changed text. Index: content_ledger_stale, which holds the pending rows and no others.
_STALE_TEXT = sql.SQL("""
    SELECT content_id, content_created_at, changed_at, input_hash, retry_at, 'text' AS reason
    FROM tagging.content_ledger
    WHERE stale AND failed_version_id IS DISTINCT FROM %(version)s AND {scope}
""")

# Unchanged text, tags of another tagger version. Index: content_ledger_version, by a range on either side of the
# present version, because "<>" cannot use an index.
_STALE_VERSION = sql.SQL("""
    SELECT content_id, content_created_at, changed_at, input_hash, retry_at, 'version' AS reason
    FROM tagging.content_ledger
    WHERE
        tagger_version_id {beside} %(version)s AND deleted_at IS NULL AND NOT stale
        AND failed_version_id IS DISTINCT FROM %(version)s AND {scope}
""")

_DUE = sql.SQL("(retry_at IS NULL OR retry_at <= now())")


class PostgresContentStore:
    """`ContentStore` (core.ports) over the tables `contents` and `content_ledger`."""

    def __init__(self, pool: ConnectionPool, runs: RunSettings) -> None:
        self._pool = pool
        self._runs = runs

    # --------------------------------------------------------------------------------------------- pending

    def pending_ids(self, scope: Scope, tagger_version_id: int) -> list[int]:
        """Ids of pending contents in the scope, newest first; dead letters and retries not due excluded."""
        query, values = pending_ids_query(scope, tagger_version_id)
        with _look_up(self._pool) as connection, connection.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(query, values).fetchall()

    def pending_count(self, scope: Scope, tagger_version_id: int) -> PendingCount:
        """How many contents `pending_ids` would give, by reason, without regard to the scope's limit."""
        query, values = pending_count_query(scope, tagger_version_id)
        with _look_up(self._pool) as connection, connection.cursor(row_factory=class_row(PendingCount)) as cursor:
            (counts,) = cursor.execute(query, values).fetchall()
            return counts

    def pending_periods(
        self,
        partitions: PartitionSettings,
        tagger_version_id: int,
        *,
        now: datetime,
        include_stale_version: bool,
    ) -> list[PendingPeriod]:
        """Pending contents by time partition (see core.planning.clamp_to_partition), newest first."""
        scope = Scope(include_stale_version=include_stale_version)
        query, values = pending_periods_query(scope, tagger_version_id, partitions, now)
        with _look_up(self._pool) as connection, connection.cursor(row_factory=class_row(PendingPeriod)) as cursor:
            return cursor.execute(query, values).fetchall()

    # -------------------------------------------------------------------------------------------- contents

    def load(self, content_ids: Sequence[int]) -> list[Content]:
        """The contents still there, in the order of the ids."""
        # Index: primary key.
        query = """
            SELECT
                id, organization_id, source, external_id, content_type, title, body, language, given_tags,
                created_at, text_hash, input_hash, metadata
            FROM tagging.contents
            WHERE id = ANY (%s) AND deleted_at IS NULL
        """
        with transaction(self._pool) as connection, connection.cursor(row_factory=kwargs_row(_content)) as cursor:
            found = {content.id: content for content in cursor.execute(query, [list(content_ids)])}
        return [found[content_id] for content_id in content_ids if content_id in found]

    def size(self, organization_id: str) -> int:
        """Live contents of the organisation."""
        query = "SELECT count(*) FROM tagging.contents WHERE organization_id = %s AND deleted_at IS NULL"
        with transaction(self._pool) as connection, connection.cursor(row_factory=scalar_row) as cursor:
            (count,) = cursor.execute(query, [organization_id]).fetchall()
            return count

    def sample_texts(self, organization_id: str, limit: int) -> list[tuple[str, str | None]]:
        """Up to `limit` (text, stated language) pairs drawn reproducibly over all live contents."""
        # Hashes are in no order that means anything: the first by hash are a random sample, which an index
        # (contents_text_hash) gives without a pass over the table, and which stays while other contents change.
        query = """
            SELECT CASE WHEN title = '' THEN body ELSE btrim(title || E'\\n' || body, E' \\n') END, language
            FROM tagging.contents
            WHERE organization_id = %s AND deleted_at IS NULL
            ORDER BY text_hash, id
            LIMIT %s
        """
        with transaction(self._pool) as connection:
            return connection.execute(query, [organization_id, limit]).fetchall()

    # --------------------------------------------------------------------------------------------- failures

    def mark_failed(self, failures: Sequence[Failure], tagger_version_id: int) -> None:
        """Book a retry with back-off, or a dead letter for this text and version.

        The back-off doubles with every attempt; the last attempt, or a permanent failure, is a dead letter. A
        content that was changed since the failure is left alone.
        """
        # Index: primary key. Attempts under another version do not count.
        query = """
            UPDATE tagging.content_ledger AS l
            SET
                attempts = a.attempts,
                error = f.error,
                failed_version_id = CASE WHEN a.given_up THEN %(version)s END,
                retry_at = CASE
                    WHEN NOT a.given_up THEN
                        now() + make_interval(
                            mins => 1
                        ) * least(%(minutes)s::float8 * 2 ^ (a.attempts - 1), %(longest)s::float8)
                END
            FROM unnest(%(ids)s::bigint[], %(errors)s::text[], %(permanent)s::boolean[], %(hashes)s::text[])
                AS f (content_id, error, permanent, input_hash)
            JOIN tagging.content_ledger AS before ON before.content_id = f.content_id
            CROSS JOIN LATERAL (
                SELECT CASE WHEN before.failed_version_id <> %(version)s THEN 1 ELSE before.attempts + 1 END
                    AS attempts
            ) AS n
            CROSS JOIN LATERAL (
                SELECT n.attempts, f.permanent OR n.attempts >= %(max_attempts)s AS given_up
            ) AS a
            WHERE
                l.content_id = f.content_id AND l.deleted_at IS NULL
                AND (f.input_hash IS NULL OR l.input_hash = f.input_hash)
        """
        with transaction(self._pool) as connection:
            connection.execute(
                query,
                {
                    "version": tagger_version_id,
                    "minutes": self._runs.retry_minutes,
                    "longest": LONGEST_RETRY_MINUTES,
                    "max_attempts": self._runs.max_attempts,
                    "ids": [failure.content_id for failure in failures],
                    "errors": [_storable(failure.error) for failure in failures],
                    "permanent": [failure.permanent for failure in failures],
                    "hashes": [failure.input_hash for failure in failures],
                },
            )

    def failed(self, limit: int) -> list[FailedContent]:
        """Contents whose tagging failed: dead letters first, then those that wait for their next try."""
        # Index: content_ledger_failed.
        query = """
            SELECT c.id AS content_id, c.source, c.external_id, c.title, l.error, l.attempts, l.retry_at
            FROM tagging.content_ledger AS l
            JOIN tagging.contents AS c ON c.id = l.content_id
            WHERE l.failed_version_id IS NOT NULL OR l.retry_at IS NOT NULL
            ORDER BY l.failed_version_id IS NULL, l.content_id DESC
            LIMIT %s
        """
        with _look_up(self._pool) as connection, connection.cursor(row_factory=class_row(FailedContent)) as cursor:
            return cursor.execute(query, [limit]).fetchall()

    def release_failed(self, content_ids: Sequence[int] | None = None) -> int:
        """Let failed contents be tried again at once, the named ones or all; how many there were."""
        # Index: content_ledger_failed.
        query = """
            UPDATE tagging.content_ledger
            SET attempts = 0, retry_at = NULL, failed_version_id = NULL, error = NULL
            WHERE
                (failed_version_id IS NOT NULL OR retry_at IS NOT NULL)
                AND (%(ids)s::bigint[] IS NULL OR content_id = ANY (%(ids)s))
        """
        ids = None if content_ids is None else list(content_ids)
        with _look_up(self._pool) as connection:
            released = connection.execute(query, {"ids": ids}).rowcount
            if released:
                connection.execute("SELECT tagging.wake_live_workers()")
            return released


def pending_ids_query(scope: Scope, tagger_version_id: int) -> tuple[sql.Composed, dict[str, Any]]:
    """The query of `pending_ids` and its parameters."""
    query = sql.SQL("""
        SELECT content_id
        FROM ({pending}) AS p
        WHERE {due}
        ORDER BY content_created_at DESC, content_id DESC
        LIMIT %(limit)s
    """)
    pending, values = _pending(scope, tagger_version_id)
    return query.format(pending=pending, due=_DUE), values


def pending_count_query(scope: Scope, tagger_version_id: int) -> tuple[sql.Composed, dict[str, Any]]:
    """The query of `pending_count` and its parameters. Index of the last count: content_ledger_failed."""
    query = sql.SQL("""
        SELECT
            count(*) FILTER (WHERE reason = 'text' AND {due}) AS stale_text,
            count(*) FILTER (WHERE reason = 'version' AND {due}) AS stale_version,
            count(*) FILTER (WHERE retry_at > now()) AS waiting,
            (
                SELECT count(*)
                FROM tagging.content_ledger
                WHERE failed_version_id = %(version)s AND {scope}
            ) AS failed
        FROM ({pending}) AS p
    """)
    pending, values = _pending(scope, tagger_version_id)
    return query.format(pending=pending, due=_DUE, scope=_restrictions(scope)), values


def pending_periods_query(
    scope: Scope, tagger_version_id: int, partitions: PartitionSettings, now: datetime
) -> tuple[sql.Composed, dict[str, Any]]:
    """The query of `pending_periods` and its parameters."""
    query = sql.SQL("""
        SELECT
            least(
                greatest(date_trunc(%(unit)s, content_created_at, 'UTC'), %(first)s::timestamptz),
                %(present)s::timestamptz
            ) AS start,
            count(*) AS count,
            max(changed_at) AS newest_change,
            left(
                encode(
                    sha256(
                        convert_to(string_agg(content_id || ':' || input_hash, ',' ORDER BY content_id), 'UTF8')
                    ),
                    'hex'
                ),
                16
            ) AS batch_hash
        FROM ({pending}) AS p
        WHERE {due}
        GROUP BY start
        ORDER BY start DESC
    """)
    pending, values = _pending(scope, tagger_version_id)
    values |= {
        "unit": DATE_TRUNC_UNITS[partitions.period],
        "first": first_period(partitions.start, partitions.period),
        "present": period_start(now, partitions.period),
    }
    return query.format(pending=pending, due=_DUE), values


def _pending(scope: Scope, tagger_version_id: int) -> tuple[sql.Composed, dict[str, Any]]:
    """The query for the scope's pending ledger rows, and the values of its parameters."""
    restrictions = _restrictions(scope)
    parts = [_STALE_TEXT.format(scope=restrictions)]
    if scope.include_stale_version:
        parts += [_STALE_VERSION.format(beside=sql.SQL(beside), scope=restrictions) for beside in ("<", ">")]
    values = {
        "version": tagger_version_id,
        "start": scope.window.start,
        "end": scope.window.end,
        "organization": scope.organization_id,
        "ids": None if scope.content_ids is None else list(scope.content_ids),
        "limit": scope.limit,
    }
    return sql.SQL(" UNION ALL ").join(parts), values


def _restrictions(scope: Scope) -> sql.Composed:
    """Only the conditions that restrict: "parameter IS NULL OR ..." would keep the window out of the index."""
    conditions = [sql.SQL("true")]
    if scope.window.start is not None:
        conditions.append(sql.SQL("content_created_at >= %(start)s"))
    if scope.window.end is not None:
        conditions.append(sql.SQL("content_created_at < %(end)s"))
    if scope.organization_id is not None:
        conditions.append(sql.SQL("organization_id = %(organization)s"))
    if scope.content_ids is not None:
        conditions.append(sql.SQL("content_id = ANY (%(ids)s)"))
    return sql.SQL(" AND ").join(conditions)


@contextmanager
def _look_up(pool: ConnectionPool) -> Iterator[Connection]:
    """A transaction whose queries walk the indexes of the ledger.

    Statistics lag: right after a bulk load or a drained backlog the planner takes every row for pending and would
    read the whole ledger to find none. Bitmap scans would do little better, because they do not mark the index
    entries they find dead, and starting parallel workers takes longer than the look-up (docs/pending.md).
    """
    with transaction(pool) as connection:
        connection.execute(INDEX_SCANS_ONLY)
        yield connection


def _content(given_tags: list[str], **row: Any) -> Content:
    return Content(given_tags=tuple(given_tags), **row)


def _storable(error: str) -> str:
    return error.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()[:MAX_ERROR_CHARACTERS]
