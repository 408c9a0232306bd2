"""Deleting what the AI no longer has to remember."""

from __future__ import annotations

from typing import LiteralString

from psycopg_pool import ConnectionPool

from tagging_orchestration.storage.connection import transaction

PARTITIONS_AHEAD = 4
_CLEANERS: dict[str, LiteralString] = {
    "usage_logs": "SELECT ai.cleanup_ai_usage_logs(%s)",
    "enhancements": "SELECT ai.cleanup_ai_enhancements(%s)",
    "probes": "SELECT ai.cleanup_ai_provider_probes(%s)",
    "budgets": "SELECT ai.cleanup_ai_token_budgets(%s)",
}


def forget_before(pool: ConnectionPool, keep_days: int) -> dict[str, int]:
    """Delete usage logs, answers with their votes, probes and budgets older than so many days; how many of each.

    Every table in a transaction of its own: a lock on one does not keep the others.
    """
    deleted = {}
    for what, query in _CLEANERS.items():
        with transaction(pool) as connection:
            (count,) = connection.execute(query, [keep_days]).fetchone() or (0,)
            deleted[what] = int(count)
    return deleted


def make_partitions(pool: ConnectionPool) -> int:
    """Make the log's partitions of this month and the next ones; how many were missing."""
    with transaction(pool) as connection:
        (made,) = connection.execute(
            "SELECT ai.ensure_usage_log_partitions(months => %s)", [PARTITIONS_AHEAD]
        ).fetchone() or (0,)
    return made
