"""Cold months of `tag_events` as Parquet files.

An archive is a copy: the events stay where they are, and history, time travel and replay stay complete. Detaching
a month takes it out of all three, so it is done only when asked for; the detached table stays in the schema and
can be attached again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import uuid4

from psycopg import Connection, sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import TaggingError, UnknownName
from tagging_orchestration.storage.connection import transaction

_PARTITION = re.compile(r"tag_events_y(\d{4})m(\d{2})")
_ROWS_A_GROUP = 50_000
_COLUMNS = (
    "event_id", "occurred_at", "organization_id", "event_type", "tag_id", "content_id", "operation_id", "actor",
    "run_id", "reason", "before", "after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventPartition:
    """One month of events. `rows` is the planner's estimate."""

    month: date
    table: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """One written archive, its rows counted again from the file."""

    month: date
    file: Path
    rows: int
    detached: bool


class ArchiveError(TaggingError):
    """An archive could not be written in full; nothing was detached and no file was left."""


def event_partitions(pool: ConnectionPool) -> list[EventPartition]:
    """The attached months, oldest first."""
    query = """
        SELECT c.relname, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tagging.tag_events'::regclass
        ORDER BY c.relname
    """
    with transaction(pool) as connection:
        rows = connection.execute(query).fetchall()
    return [
        EventPartition(date(int(found[1]), int(found[2]), 1), name, count, size)
        for name, count, size in rows
        if (found := _PARTITION.fullmatch(name))
    ]


def archive_month(pool: ConnectionPool, month: date, folder: Path, *, detach: bool = False) -> ArchiveReport:
    """Copy one month to `<folder>/tag_events_yYYYYmMM.parquet`, and detach it from `tag_events` when asked.

    The file appears under its name only when it is complete and its row count is that of the table. Only a month
    that is over can be detached. Raises UnknownName when there is no such month, ArchiveError when the counts
    differ or a month that is not over is to be detached.
    """
    table = f"tag_events_y{month:%Y}m{month:%m}"
    if table not in {partition.table for partition in event_partitions(pool)}:
        raise UnknownName(f"there is no month {month:%Y-%m} among the partitions of tag_events")
    file = folder / f"{table}.parquet"
    part = folder / f"{table}.{uuid4().hex}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if detach:
            _refuse_unfinished(pool, month)
        with transaction(pool) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if detach:
                lock = sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier("tagging", table))
                connection.execute(lock)
            counted = _copy(connection, table, part)
            written = _rows_in(part)
            if written != counted:
                raise ArchiveError(f"{table} has {counted} events, the file has {written}: try again")
            part.replace(file)
            if detach:
                connection.execute(
                    sql.SQL("ALTER TABLE tagging.tag_events DETACH PARTITION {}").format(
                        sql.Identifier("tagging", table)
                    )
                )
    finally:
        part.unlink(missing_ok=True)
    return ArchiveReport(month.replace(day=1), file, written, detach)


def _refuse_unfinished(pool: ConnectionPool, month: date) -> None:
    with transaction(pool) as connection:
        row = connection.execute(
            "SELECT %s::date < date_trunc('month', now() AT TIME ZONE 'UTC')::date", [month.replace(day=1)]
        ).fetchone()
    if not (row and row[0]):
        raise ArchiveError(f"{month:%Y-%m} is not over: it can be copied, but not detached")


def _copy(connection: Connection, table: str, part: Path) -> int:
    """Stream the table into the file; returns the table's own count in the transaction's snapshot."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("event_id", pa.int64()),
            ("occurred_at", pa.timestamp("us", tz="UTC")),
            *((name, pa.string()) for name in ("organization_id", "event_type")),
            ("tag_id", pa.int64()),
            ("content_id", pa.int64()),
            *((name, pa.string()) for name in ("operation_id", "actor", "run_id", "reason", "before", "after")),
        ]
    )
    columns = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(name))
        if name in ("operation_id", "before", "after")
        else sql.Identifier(name)
        for name in _COLUMNS
    )
    relation = sql.Identifier("tagging", table)
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(relation)).fetchone()
    with (
        pq.ParquetWriter(part, schema, compression="zstd") as writer,
        connection.cursor(name="events") as cursor,
    ):
        cursor.execute(sql.SQL("SELECT {} FROM {} ORDER BY event_id").format(columns, relation))
        while rows := cursor.fetchmany(_ROWS_A_GROUP):
            arrays = [
                pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return row[0] if row else 0


def _rows_in(part: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(part).num_rows
