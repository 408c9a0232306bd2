"""Deleting what the AI no longer has to remember."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from tagging_orchestration.storage.connection import transaction


def forget_before(pool: ConnectionPool, keep_days: int) -> dict[str, int]:
    """Delete usage logs, answers with their votes, probes and budgets older than so many days; how many of each.

    Every table in a transaction of its own: a lock on one does not keep the others.
    """
    deleted = {}
    with transaction(pool) as connection:
        row = connection.execute("SELECT ai.cleanup_ai_usage_logs(%s)", [keep_days]).fetchone()
        deleted["usage_logs"] = int(row[0]) if row else 0
    with transaction(pool) as connection:
        # Index: ai_enhancements_created_at.
        deleted["enhancements"] = connection.execute(
            """
            DELETE FROM ai.ai_enhancements
            WHERE created_at < now() - make_interval(days => %s) AND expires_at < now()
            """,
            [keep_days],
        ).rowcount
    with transaction(pool) as connection:
        # Index: the primary key, provider by provider.
        deleted["probes"] = connection.execute(
            """
            DELETE FROM ai.ai_provider_probes AS b
            USING ai.ai_providers AS p
            WHERE b.provider_id = p.id AND b.probed_at < now() - make_interval(days => %s)
            """,
            [keep_days],
        ).rowcount
    with transaction(pool) as connection:
        # A row a minute, hour and day with calls: small enough to scan once a day.
        deleted["budgets"] = connection.execute(
            "DELETE FROM ai.ai_token_budgets WHERE window_start < now() - make_interval(days => %s)",
            [keep_days],
        ).rowcount
    return deleted
