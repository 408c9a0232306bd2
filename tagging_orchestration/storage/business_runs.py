"""Refreshes of the business: what would be new to the next one, the record of each, and one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import ConfigurationError, TransientError

LOCK = "tagging-business"
LOCK_SECONDS = 600


class BusinessBusy(TransientError):
    """Another refresh of the business is at work."""


@dataclass(frozen=True, slots=True)
class BusinessPending:
    """What the next refresh would find new. `facts` says whether `raw` holds any order, ticket or visit at all."""

    facts: bool
    first_run: bool
    touched_days: int
    tag_changes: int
    rules_changed: bool

    def __bool__(self) -> bool:
        return self.facts and (
            self.first_run or bool(self.touched_days) or bool(self.tag_changes) or self.rules_changed
        )

    @property
    def said(self) -> str:
        """The reasons in words."""
        if not self.facts:
            return "no facts of a business are loaded (docs/business-sources.md)"
        reasons = [
            "the first refresh" if self.first_run else "",
            f"{self.touched_days:,} days with new or corrected facts" if self.touched_days else "",
            f"{self.tag_changes:,} changes of tags" if self.tag_changes else "",
            "other thresholds, rules or models" if self.rules_changed else "",
        ]
        return ", ".join(reason for reason in reasons if reason) or "nothing changed since the last refresh"


@dataclass(frozen=True, slots=True)
class BusinessRun:
    """One finished refresh."""

    id: int
    run_id: str | None
    rules_hash: str
    started_at: datetime
    finished_at: datetime
    as_of: date | None
    counts: dict[str, Any]


@contextmanager
def hold_business_lock(pool: ConnectionPool) -> Iterator[None]:
    """Hold the lock under which metrics are built and alerts live: two dbt builds of the same tables would
    fail each other. Raises BusinessBusy when it is not free within ten minutes."""
    with pool.connection() as connection:
        connection.autocommit = True
        try:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [LOCK])
        except psycopg.errors.LockNotAvailable:
            raise BusinessBusy("another refresh of the business has been at work for ten minutes") from None
        finally:
            connection.execute("RESET lock_timeout")
        try:
            yield
        finally:
            if not connection.closed and not connection.broken:
                connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [LOCK])
                connection.autocommit = False


def pending(pool: ConnectionPool, organization: str, rules_hash: str) -> BusinessPending:
    """What changed since the last refresh began.

    Served by business_runs_latest, touched_days_touched_at, tag_events_occurred_at (BRIN) and the primary keys of
    the facts.
    """
    with pool.connection() as connection:
        row = connection.execute(
            """
            WITH last AS (
                SELECT r.started_at, r.rules_hash, r.facts_state
                FROM analytics.business_runs AS r
                WHERE r.organization_id = %(organization)s AND r.finished_at IS NOT NULL
                ORDER BY r.id DESC
                LIMIT 1
            )
            SELECT
                EXISTS (SELECT FROM raw.orders AS o WHERE o.organization_id = %(organization)s)
                OR EXISTS (SELECT FROM raw.support_tickets AS t WHERE t.organization_id = %(organization)s)
                OR EXISTS (SELECT FROM raw.sessions AS s WHERE s.organization_id = %(organization)s),
                NOT EXISTS (SELECT FROM last),
                (
                    SELECT greatest(
                        count(DISTINCT d.day) FILTER (WHERE d.touched_at > (SELECT last.started_at FROM last)),
                        -- A load that had touched its days, but not committed, when the last refresh began.
                        (coalesce(sum(extract(epoch FROM d.touched_at)), 0) <> (SELECT last.facts_state FROM last))
                        ::integer
                    )
                    FROM raw.touched_days AS d
                    WHERE d.organization_id = %(organization)s
                ),
                (
                    SELECT count(*)
                    FROM tagging.tag_events AS e
                    WHERE
                        e.organization_id = %(organization)s
                        AND e.occurred_at > (SELECT last.started_at FROM last)
                        AND e.event_type IN ('associated', 'dissociated', 'merged', 'split')
                        AND (e.before IS NULL OR e.after IS NULL OR e.content_id IS NULL)
                ),
                coalesce((SELECT last.rules_hash <> %(rules_hash)s FROM last), false)
            """,
            {"organization": organization, "rules_hash": rules_hash},
        ).fetchone()
    assert row is not None  # noqa: S101 (a SELECT without FROM gives one row)
    return BusinessPending(*row)


def start_run(pool: ConnectionPool, organization: str, *, run_id: str, rules_hash: str) -> None:
    """Note that a refresh begins: facts and tags that change from now on are pending for the next one.

    Raises ConfigurationError when the database holds another business: what dbt builds is one business's.
    """
    with pool.connection() as connection:
        (other,) = connection.execute(
            "SELECT max(r.organization_id) FROM analytics.business_runs AS r WHERE r.organization_id <> %s",
            [organization],
        ).fetchone() or (None,)
        if other is not None:
            raise ConfigurationError(
                f"this database holds the business of organisation {other!r}: give {organization!r} a database of "
                "its own (TAGGING_DATABASE_URL)"
            )
        connection.execute(
            """
            INSERT INTO analytics.business_runs (organization_id, run_id, rules_hash, facts_state)
            SELECT %(organization)s, %(run_id)s, %(rules_hash)s, coalesce(sum(extract(epoch FROM d.touched_at)), 0)
            FROM raw.touched_days AS d
            WHERE d.organization_id = %(organization)s
            """,
            {"organization": organization, "run_id": run_id, "rules_hash": rules_hash},
        )


def finish_run(pool: ConnectionPool, run_id: str, counts: Mapping[str, Any]) -> None:
    """Note that the refresh is done. Served by business_runs_run."""
    with pool.connection() as connection:
        connection.execute(
            """
            UPDATE analytics.business_runs
            SET finished_at = clock_timestamp(), as_of = analytics.as_of_day(organization_id), counts = %s
            WHERE run_id = %s
            """,
            [Jsonb(dict(counts)), run_id],
        )


def latest_run(pool: ConnectionPool, organization: str) -> BusinessRun | None:
    """The last finished refresh. Served by business_runs_latest."""
    with pool.connection() as connection, connection.cursor(row_factory=class_row(BusinessRun)) as cursor:
        return cursor.execute(
            """
            SELECT r.id, r.run_id, r.rules_hash, r.started_at, r.finished_at, r.as_of, r.counts
            FROM analytics.business_runs AS r
            WHERE r.organization_id = %s AND r.finished_at IS NOT NULL
            ORDER BY r.id DESC
            LIMIT 1
            """,
            [organization],
        ).fetchone()


def touch_days(pool: ConnectionPool, organization: str, first: date, last: date) -> int:
    """Mark the days from `first` to `last` for recomputation, as if their facts had changed; how many rows."""
    with pool.connection() as connection:
        return connection.execute(
            """
            UPDATE raw.touched_days
            SET touched_at = clock_timestamp()
            WHERE organization_id = %s AND day BETWEEN %s AND %s
            """,
            [organization, first, last],
        ).rowcount
