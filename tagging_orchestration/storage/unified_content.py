"""The one JSON that dashboards read."""

from __future__ import annotations

from typing import Any

from psycopg_pool import ConnectionPool


def read_unified_content(pool: ConnectionPool, organization: str) -> dict[str, Any]:
    """Alerts, insights and recommendations of an organisation (spec of the unified content: docs/business.md)."""
    with pool.connection() as connection:
        (content,) = connection.execute(
            "SELECT analytics.get_unified_dashboard_content(organization => %s)", [organization]
        ).fetchone() or ({},)
    return content
