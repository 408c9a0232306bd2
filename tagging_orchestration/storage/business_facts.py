"""Loading the facts of a business into `raw`: one transaction a table, set-based, writing only what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from psycopg import Connection, sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.facts import FactRow, FactTable, TableLoad
from tagging_orchestration.core.errors import SourceError, TaggingError
from tagging_orchestration.core.models import RejectedRow, RejectionCode
from tagging_orchestration.settings import BusinessSettings
from tagging_orchestration.storage.connection import transaction

SOURCE_PREFIX = "business."
# Dates and currencies named in one note; their number is always said.
EXAMPLES = 5
# A weekday without any rows so many times is a day of rest.
CLOSED_DAYS = 4


@dataclass(frozen=True, slots=True)
class FactLoad:
    """What is loaded into which table, for whom, and where it comes from. `timezone` cuts the days whose absence
    is noted, `currency` is the one that needs no note, `fingerprint` None means "read it every time"."""

    table: FactTable
    organization_id: str
    location: str
    fingerprint: str | None
    run_id: str | None
    timezone: str
    currency: str
    max_rejected_share: float

    @property
    def source(self) -> str:
        """Name of the source in `source_loads` and `rejected_rows`."""
        return SOURCE_PREFIX + self.table.name


def save_profile(pool: ConnectionPool, organization_id: str, business: BusinessSettings) -> None:
    """Write what tagging.yaml says about the business to `analytics.business_profile`, where it differs."""
    with transaction(pool) as connection:
        # Index: the primary key.
        connection.execute(
            """
            INSERT INTO analytics.business_profile AS b (
                organization_id, timezone, currency, locale, opens_at, closes_at, open_weekdays, profile
            )
            VALUES (
                %(organization)s, %(timezone)s, %(currency)s, %(locale)s, %(opens_at)s, %(closes_at)s,
                %(open_weekdays)s, %(profile)s
            )
            ON CONFLICT (organization_id) DO UPDATE
            SET
                timezone = excluded.timezone,
                currency = excluded.currency,
                locale = excluded.locale,
                opens_at = excluded.opens_at,
                closes_at = excluded.closes_at,
                open_weekdays = excluded.open_weekdays,
                profile = excluded.profile,
                updated_at = now()
            WHERE
                (
                    b.timezone, b.currency, b.locale, b.opens_at, b.closes_at, b.open_weekdays, b.profile
                ) IS DISTINCT FROM (
                    excluded.timezone, excluded.currency, excluded.locale, excluded.opens_at, excluded.closes_at,
                    excluded.open_weekdays, excluded.profile
                )
            """,
            _profile_row(organization_id, business),
        )


def profile_differs(pool: ConnectionPool, organization_id: str, business: BusinessSettings) -> bool:
    """Whether a business that is known is described otherwise in tagging.yaml now."""
    with transaction(pool) as connection:
        # Index: the primary key.
        found = connection.execute(
            """
            SELECT EXISTS (
                SELECT
                FROM analytics.business_profile AS b
                WHERE
                    b.organization_id = %(organization)s
                    AND (
                        b.timezone, b.currency, b.locale, b.opens_at, b.closes_at, b.open_weekdays, b.profile
                    ) IS DISTINCT FROM (
                        %(timezone)s::text, %(currency)s::text, %(locale)s::text, %(opens_at)s::time,
                        %(closes_at)s::time, %(open_weekdays)s::smallint[], %(profile)s::jsonb
                    )
            )
            """,
            _profile_row(organization_id, business),
        ).fetchone()
    return found is not None and found[0]


def _profile_row(organization_id: str, business: BusinessSettings) -> dict[str, Any]:
    return {
        "organization": organization_id,
        "timezone": business.timezone,
        "currency": business.currency,
        "locale": business.locale,
        "opens_at": business.opens_at,
        "closes_at": business.closes_at,
        "open_weekdays": business.open_weekdays,
        "profile": Jsonb(business.profile),
    }


def is_loaded(pool: ConnectionPool, load: FactLoad) -> bool:
    """Whether this very source was the last thing loaded from its location, and the table still has rows."""
    if load.fingerprint is None:
        return False
    # Indexes: source_loads_latest, the table's primary key. Facts deleted by hand are loaded again.
    query = sql.SQL("""
        SELECT
            status = 'done' AND fingerprint = %(fingerprint)s
            AND EXISTS (SELECT FROM {table} WHERE organization_id = %(organization)s)
        FROM tagging.source_loads
        WHERE source = %(source)s AND organization_id = %(organization)s AND location = %(location)s
        ORDER BY id DESC
        LIMIT 1
    """)
    with transaction(pool) as connection:
        row = connection.execute(query.format(table=_relation(load.table)), _values(load)).fetchone()
    return bool(row and row[0])


def load_facts(pool: ConnectionPool, load: FactLoad, rows: Iterable[FactRow | RejectedRow]) -> TableLoad:
    """Bring one table of `raw` to what the rows say, in one transaction.

    New rows are inserted, others updated where they differ; rows that are not among them stay. Identical rows of
    one source count once; of contradictory ones the newest wins and the others are rejected, as are lines of
    orders that do not exist. Bad rows go to `rejected_rows`.

    Raises SourceError when more than `max_rejected_share` of the rows are bad, or when they cannot be read. The
    table is as before then; the failed load and the rows at fault are recorded.
    """
    try:
        with transaction(pool) as connection:
            # Two loads of one table wait for each other.
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('tagging.load:' || %s || ':' || %s, 0))",
                [load.organization_id, load.source],
            )
            report, refusal = _load(connection, load, rows)
    except TaggingError as error:
        with transaction(pool) as connection:
            connection.execute(_RECORD_FAILURE, _values(load) | {"error": str(error)})
        raise
    if refusal:
        raise SourceError(refusal)
    return report


def remove_facts(pool: ConnectionPool, load: FactLoad, rows: Iterable[FactRow]) -> int:
    """Delete the facts with the keys of these rows, and note it as a load of nothing; how many were deleted."""
    query = sql.SQL("DELETE FROM {table} AS f USING staged_facts AS s WHERE {same}")
    with transaction(pool) as connection:
        (load_id,) = _one(connection, _INSERT_LOAD, _values(load))
        _stage(connection, load, rows)
        # Index: the table's primary key.
        deleted = connection.execute(
            query.format(table=_relation(load.table), same=_same_key(load.table)), _values(load)
        ).rowcount
        connection.execute(_FINISH_LOAD, _counts(TableLoad(load.table.name, load.location), load_id))
    return deleted


def was_loaded_from(pool: ConnectionPool, load: FactLoad) -> bool:
    """Whether the last load from the location put rows into the table that may still be there."""
    # Index: source_loads_latest.
    query = """
        SELECT rows_read > 0 AND status = 'done'
        FROM tagging.source_loads
        WHERE source = %(source)s AND organization_id = %(organization)s AND location = %(location)s
        ORDER BY id DESC
        LIMIT 1
    """
    with transaction(pool) as connection:
        row = connection.execute(query, _values(load)).fetchone()
    return bool(row and row[0])


# ---------------------------------------------------------------------------------------------------- steps

_REJECTION_COLUMNS = ("location", "column_name", "external_id", "code", "message", "excerpt")

# A copy of the table's columns, so that one stream of COPY takes good rows (code is null) and rejected ones.
_CREATE_STAGED = """
    CREATE TEMPORARY TABLE staged_facts ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA;
    ALTER TABLE staged_facts
        ADD COLUMN row_number bigint, ADD COLUMN newest timestamptz, ADD COLUMN location text,
        ADD COLUMN column_name text, ADD COLUMN external_id text, ADD COLUMN code text, ADD COLUMN message text,
        ADD COLUMN excerpt text
"""

# 'collapsed' marks a row that says what the winning one says.
_MARK_DUPLICATES = """
    UPDATE staged_facts AS s
    SET
        code = CASE WHEN {same} THEN 'collapsed' ELSE %(duplicate)s END,
        location = %(location)s,
        column_name = %(key)s,
        external_id = {id},
        message = format(
            '%%s, row %%s, column %%L: row %%s says something else about %%L and is taken for the newer one',
            %(location)s::text, s.row_number, %(key)s::text, w.row_number, {id}
        )
    FROM (
        SELECT ctid, row_number() OVER same AS place, first_value(ctid) OVER same AS winner
        FROM staged_facts
        WHERE code IS NULL
        WINDOW same AS (PARTITION BY {key} ORDER BY newest DESC NULLS LAST, row_number DESC)
    ) AS r
    INNER JOIN staged_facts AS w ON w.ctid = r.winner
    WHERE s.ctid = r.ctid AND r.place > 1
"""

# Index: the primary key of orders.
_REJECT_ORPHANS = """
    UPDATE staged_facts AS s
    SET
        code = %(bad_value)s,
        location = %(location)s,
        column_name = 'order_id',
        external_id = s.order_id,
        excerpt = left(s.order_id, 200),
        message = format(
            '%%s, row %%s, column ''order_id'': there is no order %%L',
            %(location)s::text, s.row_number, s.order_id
        )
    WHERE
        s.code IS NULL
        AND NOT EXISTS (
            SELECT FROM raw.orders AS o
            WHERE o.organization_id = %(organization)s AND o.order_id = s.order_id
        )
"""

# Index: the table's primary key. Rows that are the same already are not touched, and touch no day.
_UPDATE = """
    UPDATE {table} AS f
    SET {assignments}
    FROM staged_facts AS s
    WHERE {same} AND s.code IS NULL AND ({ours}) IS DISTINCT FROM ({theirs})
"""

_INSERT = """
    INSERT INTO {table} (organization_id, {columns})
    SELECT %(organization)s, {staged}
    FROM staged_facts AS s
    WHERE s.code IS NULL AND NOT EXISTS (SELECT FROM {table} AS f WHERE {same})
    ORDER BY s.row_number
    ON CONFLICT DO NOTHING
"""

_INSERT_LOAD = """
    INSERT INTO tagging.source_loads (organization_id, source, location, fingerprint, run_id)
    VALUES (%(organization)s, %(source)s, %(location)s, %(fingerprint)s, %(run_id)s)
    RETURNING id
"""

_FINISH_LOAD = """
    UPDATE tagging.source_loads
    SET
        status = CASE WHEN %(error)s::text IS NULL THEN 'done' ELSE 'failed' END, error = %(error)s,
        rows_read = %(rows_read)s, inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s,
        rejected = %(rejected)s, finished_at = clock_timestamp()
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
        %(organization)s, %(load_id)s, %(source)s, location, row_number, column_name, external_id, code, message,
        excerpt
    FROM staged_facts
    WHERE code <> 'collapsed'
    ORDER BY row_number
"""

# The days from the first to the last of the rows, and on which of them neither they nor the table have anything.
# Index: orders_ordered_at, inventory_day, the primary key of sessions.
_DAYS = """
    WITH days AS (
        SELECT DISTINCT {day} AS day FROM staged_facts AS f WHERE f.code IS NULL
    ),

    span AS (
        SELECT generate_series(min(day), max(day), interval '1 day')::date AS day FROM days
    )

    SELECT
        span.day,
        span.day NOT IN (SELECT day FROM days)
        AND NOT EXISTS (
            SELECT FROM {table} AS f
            WHERE f.organization_id = %(organization)s AND f.{column} >= {from_day} AND f.{column} < {to_day}
        )
    FROM span
    ORDER BY span.day
"""

_OTHER_CURRENCIES = """
    SELECT currency, count(*)
    FROM staged_facts
    WHERE code IS NULL AND currency <> %(currency)s
    GROUP BY currency
    ORDER BY count(*) DESC, currency
"""


def _load(
    connection: Connection, load: FactLoad, rows: Iterable[FactRow | RejectedRow]
) -> tuple[TableLoad, str | None]:
    values = _values(load)
    (load_id,) = _one(connection, _INSERT_LOAD, values)
    rows_read = _stage(connection, load, rows)
    _reject_what_contradicts(connection, load)
    rejected, collapsed = _one(
        connection,
        "SELECT count(*) FILTER (WHERE code <> 'collapsed'), count(*) FILTER (WHERE code = 'collapsed')"
        " FROM staged_facts",
    )
    connection.execute(_INSERT_REJECTED, values | {"load_id": load_id})
    if rejected > load.max_rejected_share * rows_read:
        (example,) = _one(connection, "SELECT min(message) FROM staged_facts WHERE code <> 'collapsed'")
        refusal = (
            f"{load.location}: {rejected:,} of {rows_read:,} rows for raw.{load.table.name} are bad, more than the"
            f" {load.max_rejected_share:.0%} allowed (business.max_rejected_share). Nothing was changed; the rows"
            f" and their reasons are in tagging.rejected_rows. One of them: {example}"
        )
        report = TableLoad(
            load.table.name, load.location, rows_read, unchanged=rows_read - rejected, rejected=rejected
        )
        connection.execute(_FINISH_LOAD, _counts(report, load_id) | {"error": refusal})
        return report, refusal
    remarks = _remarks(connection, load)
    updated, inserted = _write(connection, load)
    report = TableLoad(
        table=load.table.name,
        location=load.location,
        rows_read=rows_read,
        inserted=inserted,
        updated=updated,
        unchanged=rows_read - rejected - inserted - updated,
        rejected=rejected,
        collapsed=collapsed,
        remarks=remarks,
        load_id=load_id,
    )
    connection.execute(_FINISH_LOAD, _counts(report, load_id))
    return report, None


def _stage(connection: Connection, load: FactLoad, rows: Iterable[FactRow | RejectedRow]) -> int:
    """Copy the rows into `staged_facts` as they are read; how many there were."""
    names = load.table.columns
    connection.execute(sql.SQL(_CREATE_STAGED).format(columns=_listed(names), table=_relation(load.table)))
    copied = (*names, "row_number", "newest", *_REJECTION_COLUMNS)
    command = sql.SQL("COPY staged_facts ({}) FROM STDIN").format(_listed(copied))
    empty, fine = (None,) * len(names), (None,) * len(_REJECTION_COLUMNS)
    count = 0
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            count += 1
            if isinstance(row, RejectedRow):
                reasons = (row.location, row.column, row.external_id, row.code, row.message, row.excerpt)
                copy.write_row((*empty, row.row_number, None, *reasons))
            else:
                values = [getattr(row.fact, name) for name in names]
                copy.write_row((*values, row.row_number, row.updated_at, *fine))
    # A temporary table has no statistics until it is told to: the joins below need them.
    connection.execute("ANALYZE staged_facts")
    return count


def _reject_what_contradicts(connection: Connection, load: FactLoad) -> None:
    table = load.table
    rest = [name for name in table.columns if name not in table.key] or list(table.key)
    connection.execute(
        sql.SQL(_MARK_DUPLICATES).format(
            same=sql.SQL("({}) IS NOT DISTINCT FROM ({})").format(_listed(rest, "s"), _listed(rest, "w")),
            id=sql.SQL("left(concat_ws(' ', {}), 200)").format(_listed(table.key, "s")),
            key=_listed(table.key),
        ),
        _values(load) | {"duplicate": RejectionCode.DUPLICATE_ID, "key": ", ".join(table.key)},
    )
    if table.name == "order_items":
        connection.execute(_REJECT_ORPHANS, _values(load) | {"bad_value": RejectionCode.BAD_VALUE})


def _write(connection: Connection, load: FactLoad) -> tuple[int, int]:
    """Update and insert; how many of each."""
    table, names = load.table, load.table.columns
    rest = [name for name in names if name not in table.key]
    parts = {"table": _relation(table), "same": _same_key(table)}
    updated = connection.execute(
        sql.SQL(_UPDATE).format(
            **parts,
            assignments=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in rest),
            ours=_listed(rest, "f"),
            theirs=_listed(rest, "s"),
        ),
        _values(load),
    ).rowcount
    inserted = connection.execute(
        sql.SQL(_INSERT).format(**parts, columns=_listed(names), staged=_listed(names, "s")), _values(load)
    ).rowcount
    return updated, inserted


def _remarks(connection: Connection, load: FactLoad) -> tuple[str, ...]:
    remarks = []
    if load.table.day is not None:
        missing = _missing(connection.execute(_days_of(load), _values(load)).fetchall())
        remarks += [f"raw.{load.table.name} has nothing on {missing}"] if missing else []
    if "currency" in load.table.columns:
        others = connection.execute(_OTHER_CURRENCIES, _values(load)).fetchall()
        if others:
            listed = ", ".join(f"{rows:,} in {currency}" for currency, rows in others[:EXAMPLES])
            remarks.append(
                f"{sum(rows for _, rows in others):,} rows of raw.{load.table.name} are not in {load.currency}:"
                f" {listed}"
            )
    return tuple(remarks)


def _days_of(load: FactLoad) -> sql.Composed:
    column = sql.Identifier(load.table.day or "")
    if load.table.day == "day":
        day, start = sql.SQL("f.{}").format(column), sql.SQL("span.day + {}")
    else:
        day = sql.SQL("(f.{} AT TIME ZONE %(timezone)s)::date").format(column)
        start = sql.SQL("(span.day + {})::timestamp AT TIME ZONE %(timezone)s")
    return sql.SQL(_DAYS).format(
        day=day,
        table=_relation(load.table),
        column=column,
        from_day=start.format(sql.Literal(0)),
        to_day=start.format(sql.Literal(1)),
    )


def _missing(days_of_span: Sequence[tuple[date, bool]]) -> str:
    """The days on which there is nothing, in words, without weekdays on which the business is closed."""
    missing = [day for day, is_missing in days_of_span if is_missing]
    all_days = Counter(day.weekday() for day, _ in days_of_span)
    gone = Counter(day.weekday() for day in missing)
    closed = {weekday for weekday, days in gone.items() if days >= CLOSED_DAYS and days > 0.8 * all_days[weekday]}
    days = [day for day in missing if day.weekday() not in closed]
    pieces = []
    for _, run in groupby(enumerate(days), key=lambda item: item[1] - timedelta(days=item[0])):
        piece = [day for _, day in run]
        pieces.append(str(piece[0]) if len(piece) == 1 else f"{piece[0]} to {piece[-1]}")
    if not days:
        return ""
    more = f" and {len(pieces) - EXAMPLES} more times" if len(pieces) > EXAMPLES else ""
    return f"{len(days)} days: {', '.join(pieces[:EXAMPLES])}{more}"


def _relation(table: FactTable) -> sql.Identifier:
    return sql.Identifier("raw", table.name)


def _listed(names: Iterable[str], alias: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names)


def _same_key(table: FactTable) -> sql.Composed:
    return sql.SQL("f.organization_id = %(organization)s AND ") + sql.SQL(" AND ").join(
        sql.SQL("f.{0} = s.{0}").format(sql.Identifier(name)) for name in table.key
    )


def _values(load: FactLoad) -> dict[str, Any]:
    return {
        "organization": load.organization_id,
        "source": load.source,
        "location": load.location,
        "fingerprint": load.fingerprint,
        "run_id": load.run_id,
        "timezone": load.timezone,
        "currency": load.currency,
    }


def _counts(report: TableLoad, load_id: int) -> dict[str, Any]:
    return {
        "load_id": load_id,
        "error": None,
        "rows_read": report.rows_read,
        "inserted": report.inserted,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
    }


def _one(connection: Connection, query: Any, values: dict[str, Any] | None = None) -> tuple[Any, ...]:
    (row,) = connection.execute(query, values).fetchall()
    return row
