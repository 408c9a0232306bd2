"""What "what is pending?" costs: plans and buffers of the ledger's queries on 200,000 contents, as Markdown.

    python benchmarks/pending_plan.py [--contents 200000] [--major 18] > plans.md

Runs on a server of its own that is removed afterwards. Autovacuum is off, so that the script says when statistics
are fresh: the first lines show the worst moment, right after everything was tagged.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from tagging_orchestration.core.models import Scope
from tagging_orchestration.core.parameters import PartitionSettings
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.storage import migrate
from tagging_orchestration.storage.contents import (
    INDEX_SCANS_ONLY,
    pending_count_query,
    pending_ids_query,
    pending_periods_query,
)

VERSION = 2
TEXT_ONLY = Scope(include_stale_version=False)
NOW = datetime(2026, 6, 30, tzinfo=UTC)
QUERIES = {
    "pending_periods (the sensor's tick)": pending_periods_query(TEXT_ONLY, VERSION, PartitionSettings(), NOW),
    "pending_count": pending_count_query(Scope(), VERSION),
    "pending_ids": pending_ids_query(Scope(), VERSION),
    "pending_ids, 512 newest changed texts": pending_ids_query(
        Scope(include_stale_version=False, limit=512), VERSION
    ),
}

# Between them these plans show every index in use.
SHOWN = ("pending_periods (the sensor's tick)", "pending_ids")


def explain(connection: Connection, query: sql.Composed, values: dict[str, Any]) -> tuple[str, float, int]:
    """The plan as text, its milliseconds (planning included) and the buffers it touched; the second run counts."""
    with connection.transaction():
        connection.execute(INDEX_SCANS_ONLY)
        text = connection.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF)") + query, values).fetchall()
        json = connection.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)") + query, values).fetchall()
    measured = json[0][0][0]
    root = measured["Plan"]
    buffers = root["Shared Hit Blocks"] + root["Shared Read Blocks"]
    return "\n".join(line[0] for line in text), measured["Planning Time"] + measured["Execution Time"], buffers


def show(connection: Connection, title: str, *, plans: bool = True) -> list[str]:
    """One section: a table of all queries, and their plans."""
    table = ["| query | ms | buffers |", "|---|---:|---:|"]
    details = []
    for name, (query, values) in QUERIES.items():
        text, milliseconds, buffers = explain(connection, query, values)
        table.append(f"| {name} | {milliseconds:.2f} | {buffers:,} |")
        if name in SHOWN:
            details += ["", f"{name}:", "```", text, "```"]
    return [f"### {title}", "", *table, *(details if plans else []), ""]


def sections(connection: Connection, contents: int) -> list[str]:
    """All moments of a ledger's life."""
    connection.execute(
        "INSERT INTO tagging.contents (source, external_id, title, body, created_at)"
        " SELECT 'bench', n::text, 'Late parcel', 'Where is parcel ' || n || '?',"
        " timestamptz '2024-01-01Z' + n * interval '2 years' / %s FROM generate_series(1, %s) AS n",
        [contents, contents],
    )
    connection.execute("ANALYZE tagging.content_ledger")
    lines = show(connection, f"{contents:,} pending: everything is new", plans=False)
    for start in range(0, contents, 512 * 20):
        connection.execute(
            "UPDATE tagging.content_ledger SET tagged_input_hash = input_hash, tagger_version_id = %s"
            " WHERE content_id IN (SELECT id FROM tagging.contents ORDER BY id OFFSET %s LIMIT %s)",
            [VERSION, start, 512 * 20],
        )
    lines += show(connection, "0 pending, right after all were tagged (no vacuum yet)", plans=False)
    for table in ("contents", "content_ledger"):
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier("tagging", table)))
    lines += show(connection, "0 pending")
    for pending in (10, 5_000):
        connection.execute(
            "UPDATE tagging.contents SET body = body || ' Still nothing.' WHERE id IN ("
            "SELECT content_id FROM tagging.content_ledger WHERE NOT stale ORDER BY input_hash LIMIT %s)",
            [pending - (10 if pending > 10 else 0)],
        )
        lines += show(connection, f"{pending:,} pending: changed texts")
    connection.execute(
        "UPDATE tagging.content_ledger SET tagged_input_hash = input_hash, tagger_version_id = %s - 1", [VERSION]
    )
    connection.execute("VACUUM ANALYZE tagging.content_ledger")
    return lines + show(connection, f"{contents:,} pending: all of another tagger version", plans=False)


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contents", type=int, default=200_000)
    parser.add_argument("--major", type=int, default=18)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the embedded server's user must reach its data
        server = EmbeddedServer(Path(folder), options.major, {"autovacuum": "off"})
        server.start()
        try:
            migrate.upgrade(server.url())
            with psycopg.connect(server.url(), autocommit=True) as connection:
                print("\n".join(sections(connection, options.contents)))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
