"""Proof that the base needs no AI: what people see, with and without the schema `ai`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import LiteralString

from psycopg import Connection, Rollback, sql
from psycopg_pool import ConnectionPool

# What the base consists of. Alerts about the AI itself and the marks on alerts are the AI's own words.
BASE: Mapping[str, LiteralString] = {
    "contents": "SELECT to_jsonb(t) AS row FROM tagging.contents AS t",
    "tags": "SELECT to_jsonb(t) AS row FROM tagging.tags AS t",
    "tag_aliases": "SELECT to_jsonb(t) AS row FROM tagging.tag_aliases AS t",
    "content_tags": "SELECT to_jsonb(t) AS row FROM tagging.content_tags AS t",
    "content_ledger": "SELECT to_jsonb(t) AS row FROM tagging.content_ledger AS t",
    "tag_events": "SELECT to_jsonb(t) AS row FROM tagging.tag_events AS t",
    "metrics": "SELECT to_jsonb(t) AS row FROM analytics.fct_business_metrics_daily AS t",
    "anomaly_scores": "SELECT to_jsonb(t) AS row FROM analytics.anomaly_scores AS t",
    "dashboard_alerts": """
        SELECT to_jsonb(t) - ARRAY['ai_confidence', 'ai_generated_at', 'ai_provider'] AS row
        FROM analytics.dashboard_alerts AS t
        WHERE NOT starts_with(coalesce(t.alert_subtype, ''), 'ai_')
    """,
    "alert_incidents": "SELECT to_jsonb(t) AS row FROM analytics.alert_incidents AS t",
    "business_insights": "SELECT to_jsonb(t) AS row FROM analytics.business_insights AS t",
    "strategic_recommendations": "SELECT to_jsonb(t) AS row FROM analytics.strategic_recommendations AS t",
    "risk_forecast": "SELECT to_jsonb(t) AS row FROM analytics.risk_forecast AS t",
}
UNIFIED = """
    SELECT jsonb_build_array(
        analytics.get_unified_dashboard_content('en', %(organization)s),
        analytics.get_unified_dashboard_content('zh-Hant', %(organization)s)
    )::text
"""


def base_fingerprints(pool: ConnectionPool, leave_out: Sequence[str] = ()) -> dict[str, str]:
    """A hash of every row of each table of the base, by the table's name, without the columns `leave_out`. Reads
    all of them: for measurements."""
    with pool.connection() as connection:
        found = {}
        for name, rows in BASE.items():
            row = connection.execute(
                sql.SQL(
                    "SELECT md5(string_agg(h.hash, '' ORDER BY h.hash)) FROM ("
                    " SELECT md5((r.row - %s::text[])::text) AS hash FROM ({}) AS r) AS h"
                ).format(sql.SQL(rows)),
                [list(leave_out)],
            ).fetchone()
            found[name] = (row and row[0]) or ""
        return found


def unified_fingerprints(pool: ConnectionPool, organization: str) -> tuple[str, str]:
    """Hashes of the unified content of both languages: as it is, and as it would be without the schema `ai`."""
    with pool.connection() as connection:
        present = _unified(connection, organization)
        with _without_ai(connection):
            return present, _unified(connection, organization)


def _unified(connection: Connection, organization: str) -> str:
    row = connection.execute(UNIFIED, {"organization": organization}).fetchone()
    return hashlib.sha256((row[0] if row else "").encode()).hexdigest()


@contextmanager
def _without_ai(connection: Connection) -> Iterator[None]:
    """A transaction in which the schema is not to be found; it is rolled back."""
    with connection.transaction():
        # Whoever works with the schema just now is not to be waited for, nor kept waiting.
        connection.execute("SET LOCAL lock_timeout = '5s'")
        connection.execute("ALTER SCHEMA ai RENAME TO ai_out_of_sight")
        yield
        raise Rollback
