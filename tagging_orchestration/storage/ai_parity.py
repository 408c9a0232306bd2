"""Proof that the base needs no AI: what people see, with and without the schema `ai`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import LiteralString

from psycopg import Connection, Rollback, sql
from psycopg_pool import ConnectionPool

# What the base consists of. Alerts about the AI itself and the marks on alerts are the AI's own words.
BASE: Mapping[str, LiteralString] = {
    "contents": "SELECT t.* FROM tagging.contents AS t",
    "tags": "SELECT t.* FROM tagging.tags AS t",
    "tag_aliases": "SELECT t.* FROM tagging.tag_aliases AS t",
    "content_tags": "SELECT t.* FROM tagging.content_tags AS t",
    "content_ledger": "SELECT t.* FROM tagging.content_ledger AS t",
    "tag_events": "SELECT t.* FROM tagging.tag_events AS t",
    "metrics": "SELECT t.* FROM analytics.fct_business_metrics_daily AS t",
    "anomaly_scores": "SELECT t.* FROM analytics.anomaly_scores AS t",
    "dashboard_alerts": """
        SELECT to_jsonb(t) - ARRAY['ai_confidence', 'ai_generated_at', 'ai_provider'] AS alert
        FROM analytics.dashboard_alerts AS t
        WHERE coalesce(t.alert_subtype, '') NOT LIKE 'ai\\_%'
    """,
    "alert_incidents": "SELECT t.* FROM analytics.alert_incidents AS t",
    "business_insights": "SELECT t.* FROM analytics.business_insights AS t",
    "strategic_recommendations": "SELECT t.* FROM analytics.strategic_recommendations AS t",
    "risk_forecast": "SELECT t.* FROM analytics.risk_forecast AS t",
}
UNIFIED = """
    SELECT jsonb_build_array(
        analytics.get_unified_dashboard_content('en', %(organization)s),
        analytics.get_unified_dashboard_content('zh-Hant', %(organization)s)
    )::text
"""


def base_fingerprints(pool: ConnectionPool) -> dict[str, str]:
    """A hash of every row of each table of the base, by the table's name. Reads all of them: for measurements."""
    with pool.connection() as connection:
        found = {}
        for name, rows in BASE.items():
            row = connection.execute(
                sql.SQL("SELECT md5(string_agg(md5(r::text), '' ORDER BY md5(r::text))) FROM ({}) AS r").format(
                    sql.SQL(rows)
                )
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
