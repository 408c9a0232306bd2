"""Loading a source into `contents`: one transaction, set-based, writing only what differs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.abc import QueryNoTemplate
from psycopg.rows import class_row, kwargs_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import SourceError, TaggingError
from tagging_orchestration.core.models import ChangeContext, LoadReport, RejectedRow, RejectionCode, SourceRow
from tagging_orchestration.core.ports import Progress, RowSource
from tagging_orchestration.storage.connection import transaction

# A snapshot that takes away more than this share of a source is rather a broken export than a wish.
MASS_REMOVAL_SHARE = 0.5
MASS_REMOVAL_MINIMUM = 20
PROGRESS_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class SourceLoad:
    """One recorded load. `error` is set when it failed and wrote nothing."""

    id: int
    organization_id: str
    source: str
    location: str
    status: str
    rows_read: int
    inserted: int
    updated: int
    unchanged: int
    tombstoned: int
    rejected: int
    error: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class RejectionReason:
    """How many rows of a source's latest load were rejected for one reason, with one of their messages."""

    source: str
    code: str
    rows: int
    example: str


def load_source(
    pool: ConnectionPool,
    source: RowSource,
    *,
    context: ChangeContext,
    allow_mass_removal: bool = False,
    progress: Progress | None = None,
) -> LoadReport:
    """Bring `contents` to what the source holds, in one transaction.

    Good rows are inserted, or updated where they differ; a row that returns is live again. Rows gone from a full
    snapshot become tombstones, unless rows that cannot be told apart were rejected. Bad rows go to
    `rejected_rows`. A source whose fingerprint is that of its last load is not read. `progress` is told
    (rows, 0): the total is not known.

    Raises SourceError when the source cannot be read, or would take away most of its contents at once and
    `allow_mass_removal` is not set. Nothing is written then but the failure's record in `source_loads`.
    """
    try:
        fingerprint = source.fingerprint()
        with transaction(pool, context) as connection:
            # Two loads of one source wait for each other.
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('tagging.load:' || %s || ':' || %s, 0))",
                [source.organization_id, source.name],
            )
            if fingerprint is not None and _is_loaded(connection, source, fingerprint):
                return LoadReport(source.name, skipped_unchanged_file=True)
            return _load(connection, source, fingerprint, context, allow_mass_removal, progress)
    except TaggingError as error:
        with transaction(pool) as connection:
            connection.execute(_RECORD_FAILURE, _identity(source, context) | {"error": str(error)})
        raise


def latest_loads(pool: ConnectionPool) -> list[SourceLoad]:
    """The latest load of every source."""
    # Index: source_loads_latest.
    query = """
        SELECT DISTINCT ON (source, organization_id)
            id, organization_id, source, location, status, rows_read, inserted, updated, unchanged, tombstoned,
            rejected, error, started_at, finished_at
        FROM tagging.source_loads
        ORDER BY source, organization_id, id DESC
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(SourceLoad)) as cursor:
        return cursor.execute(query).fetchall()


def rejections(pool: ConnectionPool, load_id: int, limit: int = 1_000) -> list[RejectedRow]:
    """The rows a load rejected, in their order in the source."""
    # Index: rejected_rows_load.
    query = """
        SELECT source, location, row_number, column_name AS column, code, message, external_id, excerpt
        FROM tagging.rejected_rows
        WHERE load_id = %s
        ORDER BY id
        LIMIT %s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=kwargs_row(_rejected)) as cursor:
        return cursor.execute(query, [load_id, limit]).fetchall()


def rejection_reasons(pool: ConnectionPool) -> list[RejectionReason]:
    """Why the latest load of every source rejected rows, commonest first."""
    # Index: rejected_rows_load.
    query = """
        SELECT source, code, count(*) AS rows, min(message) AS example
        FROM tagging.rejected_rows
        WHERE load_id = ANY (%s)
        GROUP BY source, code
        ORDER BY rows DESC, source, code
    """
    latest = [load.id for load in latest_loads(pool)]
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(RejectionReason)) as cursor:
        return cursor.execute(query, [latest]).fetchall()


def purge_rejections(pool: ConnectionPool, older_than: timedelta) -> int:
    """Delete rejected rows past their retention; how many."""
    # Index: rejected_rows_rejected_at.
    query = "DELETE FROM tagging.rejected_rows WHERE rejected_at < now() - %s"
    with transaction(pool) as connection:
        return connection.execute(query, [older_than]).rowcount


# ---------------------------------------------------------------------------------------------------- steps

_STAGED_COLUMNS = (
    "row_number", "organization_id", "external_id", "content_type", "title", "body", "url", "language",
    "given_tags", "metadata", "created_at", "updated_at", "location", "column_name", "code", "message", "excerpt",
)  # fmt: skip

_COPY_STAGED = sql.SQL("COPY staged_rows ({}) FROM STDIN").format(
    sql.SQL(", ").join(map(sql.Identifier, _STAGED_COLUMNS))
)

# Good rows (code is null) and rejected ones in one table, so that one stream of COPY takes both as they come.
_CREATE_STAGED = """
    CREATE TEMPORARY TABLE staged_rows (
        row_number bigint NOT NULL,
        organization_id text,
        external_id text,
        content_type text,
        title text,
        body text,
        url text,
        language text,
        given_tags text[],
        metadata jsonb,
        created_at timestamptz,
        updated_at timestamptz,
        location text,
        column_name text,
        code text,
        message text,
        excerpt text
    ) ON COMMIT DROP
"""

_REJECT_DUPLICATES = """
    UPDATE staged_rows AS s
    SET
        code = %(code)s,
        location = %(location)s,
        column_name = CASE WHEN NOT r.is_hash THEN 'id' END,
        excerpt = left(s.external_id, 200),
        message = format(
            CASE
                WHEN r.is_hash THEN '%%s, row %%s: the same row was given in row %%s already'
                ELSE '%%s, row %%s, column ''id'': the id %%4$L was given in row %%3$s already'
            END,
            %(location)s::text, s.row_number, r.first_row, left(s.external_id, 200)
        )
    FROM (
        SELECT
            ctid, first_value(row_number) OVER same AS first_row, row_number() OVER same AS place,
            external_id ~ '^row-[0-9a-f]{32}$' AS is_hash
        FROM staged_rows
        WHERE code IS NULL
        WINDOW same AS (PARTITION BY organization_id, external_id ORDER BY row_number)
    ) AS r
    WHERE s.ctid = r.ctid AND r.place > 1
"""

# Index: the unique index of contents. Rows that are the same already are not touched; a date the source does not
# give stays as it is.
_UPDATE = """
    UPDATE tagging.contents AS c
    SET
        content_type = s.content_type,
        title = s.title,
        body = s.body,
        url = s.url,
        language = s.language,
        given_tags = s.given_tags,
        metadata = s.metadata,
        created_at = coalesce(s.created_at, c.created_at),
        updated_at = coalesce(s.updated_at, c.updated_at),
        deleted_at = NULL
    FROM staged_rows AS s
    WHERE
        c.organization_id = s.organization_id AND c.source = %(source)s AND c.external_id = s.external_id
        AND s.code IS NULL
        AND (
            c.deleted_at IS NOT NULL
            OR (c.content_type, c.title, c.body, c.url, c.language, c.given_tags, c.metadata)
            IS DISTINCT FROM (s.content_type, s.title, s.body, s.url, s.language, s.given_tags, s.metadata)
            OR c.created_at <> s.created_at
            OR c.updated_at <> s.updated_at
        )
"""

# ON CONFLICT: somebody else's insert of the same row a moment ago stands; the next load sees to it.
_INSERT = """
    INSERT INTO tagging.contents (
        organization_id, source, external_id, content_type, title, body, url, language, given_tags, metadata,
        created_at, updated_at
    )
    SELECT
        s.organization_id, %(source)s, s.external_id, s.content_type, s.title, s.body, s.url, s.language,
        s.given_tags, s.metadata, coalesce(s.created_at, s.updated_at, now()),
        coalesce(s.updated_at, s.created_at, now())
    FROM staged_rows AS s
    WHERE
        s.code IS NULL
        AND NOT EXISTS (
            SELECT FROM tagging.contents AS c
            WHERE
                c.organization_id = s.organization_id AND c.source = %(source)s AND c.external_id = s.external_id
        )
    ORDER BY s.row_number
    ON CONFLICT (organization_id, source, external_id) DO NOTHING
"""

# The live contents a snapshot speaks for: of its own organisation and of those it names.
_LIVE = sql.SQL("""
    FROM tagging.contents AS c
    WHERE
        c.source = %(source)s AND c.deleted_at IS NULL
        AND c.organization_id IN (SELECT organization_id FROM staged_rows UNION SELECT %(organization)s)
""")

# A rejected row is still in the source: it keeps the content it names.
_GONE = _LIVE + sql.SQL("""
        AND NOT EXISTS (
            SELECT FROM staged_rows AS s
            WHERE s.code IS NULL AND s.organization_id = c.organization_id AND s.external_id = c.external_id
        )
        AND NOT EXISTS (SELECT FROM staged_rows AS s WHERE s.code IS NOT NULL AND s.external_id = c.external_id)
""")

_INSERT_LOAD = """
    INSERT INTO tagging.source_loads (organization_id, source, location, fingerprint, run_id)
    VALUES (%(organization)s, %(source)s, %(location)s, %(fingerprint)s, %(run_id)s)
    RETURNING id
"""

_FINISH_LOAD = """
    UPDATE tagging.source_loads
    SET
        status = 'done', rows_read = %(rows_read)s, inserted = %(inserted)s, updated = %(updated)s,
        unchanged = %(unchanged)s, tombstoned = %(tombstoned)s, rejected = %(rejected)s,
        finished_at = clock_timestamp()
    WHERE id = %(load_id)s
"""

_RECORD_FAILURE = """
    INSERT INTO tagging.source_loads (organization_id, source, location, status, error, run_id, finished_at)
    VALUES (%(organization)s, %(source)s, %(location)s, 'failed', %(error)s, %(run_id)s, clock_timestamp())
"""

_INSERT_REJECTED = """
    INSERT INTO tagging.rejected_rows (
        organization_id, load_id, source, location, row_number, column_name, external_id, code, message, excerpt
    )
    SELECT
        coalesce(organization_id, %(organization)s), %(load_id)s, %(source)s, location, row_number, column_name,
        external_id, code, message, excerpt
    FROM staged_rows
    WHERE code IS NOT NULL
    ORDER BY row_number
"""


def _load(
    connection: Connection,
    source: RowSource,
    fingerprint: str | None,
    context: ChangeContext,
    allow_mass_removal: bool,
    progress: Progress | None,
) -> LoadReport:
    values = _identity(source, context)
    (load_id,) = _one(connection, _INSERT_LOAD, values | {"fingerprint": fingerprint})
    rows_read = _stage(connection, source.rows(), progress)
    connection.execute(_REJECT_DUPLICATES, values | {"code": RejectionCode.DUPLICATE_ID})
    rejected, nameless = _one(
        connection,
        sql.SQL("SELECT count(*), count(*) FILTER (WHERE external_id IS NULL) FROM staged_rows")
        + sql.SQL(" WHERE code IS NOT NULL"),
    )
    connection.execute(_INSERT_REJECTED, values | {"load_id": load_id})
    tombstoned = withheld = 0
    if source.full_snapshot:
        (live,) = _one(connection, sql.SQL("SELECT count(*)") + _LIVE, values)
        (gone,) = _one(connection, sql.SQL("SELECT count(*)") + _GONE, values)
        if nameless:
            withheld = gone
        else:
            if not allow_mass_removal:
                _refuse_mass_removal(source, rows_read, live, gone)
            tombstoned = _bury(connection, values) if gone else 0
    updated = connection.execute(_UPDATE, values).rowcount
    inserted = connection.execute(_INSERT, values).rowcount
    report = LoadReport(
        source=source.name,
        rows_read=rows_read,
        inserted=inserted,
        updated=updated,
        unchanged=rows_read - rejected - inserted - updated,
        tombstoned=tombstoned,
        rejected=rejected,
        withheld=withheld,
        load_id=load_id,
    )
    connection.execute(
        _FINISH_LOAD,
        {
            "load_id": load_id,
            "rows_read": rows_read,
            "inserted": inserted,
            "updated": updated,
            "unchanged": report.unchanged,
            "tombstoned": tombstoned,
            "rejected": rejected,
        },
    )
    return report


def _stage(connection: Connection, rows: Iterable[SourceRow | RejectedRow], progress: Progress | None) -> int:
    """Copy the source's rows into `staged_rows` as they are read; how many there were."""
    connection.execute(_CREATE_STAGED)
    count = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(_COPY_STAGED) as copy,
    ):
        for row in rows:
            copy.write_row(_staged(row))
            count += 1
            if progress and count % PROGRESS_ROWS == 0:
                progress(count, 0)
    # A temporary table has no statistics until it is told to: the joins below need them.
    connection.execute("ANALYZE staged_rows")
    return count


def _staged(row: SourceRow | RejectedRow) -> tuple[Any, ...]:
    if isinstance(row, RejectedRow):
        good = (None,) * 9
        return (
            row.row_number, None, row.external_id, *good, row.location, row.column, row.code, row.message,
            row.excerpt,
        )  # fmt: skip
    return (
        row.row_number, row.organization_id, row.external_id, row.content_type, row.title, row.body, row.url,
        row.language, list(row.given_tags), json.dumps(row.metadata, ensure_ascii=False), row.created_at,
        row.updated_at, None, None, None, None, None,
    )  # fmt: skip


def _bury(connection: Connection, values: dict[str, Any]) -> int:
    query = sql.SQL("""
        UPDATE tagging.contents SET deleted_at = clock_timestamp() WHERE id IN (SELECT c.id {gone})
    """)
    return connection.execute(query.format(gone=_GONE), values).rowcount


def _refuse_mass_removal(source: RowSource, rows_read: int, live: int, gone: int) -> None:
    if rows_read and not (live >= MASS_REMOVAL_MINIMUM and gone > MASS_REMOVAL_SHARE * live):
        return
    if gone:
        raise SourceError(
            f"{source.location}: {gone:,} of the {live:,} contents of source {source.name} are not in it any more."
            " That looks like a broken export, and nothing was changed. If they are really gone, load with "
            "--allow-mass-removal; if the source holds only what is new, set full_snapshot: false for it"
        )


def _is_loaded(connection: Connection, source: RowSource, fingerprint: str) -> bool:
    # Indexes: source_loads_latest, the unique index of contents. Contents deleted by hand are loaded again.
    query = """
        SELECT
            EXISTS (
                SELECT FROM tagging.contents
                WHERE organization_id = %(organization)s AND source = %(source)s AND deleted_at IS NULL
            )
            AND status = 'done' AND fingerprint = %(fingerprint)s
        FROM tagging.source_loads
        WHERE source = %(source)s AND organization_id = %(organization)s
        ORDER BY id DESC
        LIMIT 1
    """
    values = {"organization": source.organization_id, "source": source.name, "fingerprint": fingerprint}
    row = connection.execute(query, values).fetchone()
    return bool(row and row[0])


def _identity(source: RowSource, context: ChangeContext) -> dict[str, Any]:
    return {
        "organization": source.organization_id,
        "source": source.name,
        "location": source.location,
        "run_id": context.run_id,
    }


def _one(connection: Connection, query: QueryNoTemplate, values: dict[str, Any] | None = None) -> tuple[Any, ...]:
    (row,) = connection.execute(query, values).fetchall()
    return row


def _rejected(code: str, **row: Any) -> RejectedRow:
    return RejectedRow(code=RejectionCode(code), **row)
