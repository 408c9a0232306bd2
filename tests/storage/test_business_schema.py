"""What the database itself guarantees of business facts and alerts."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest
from psycopg_pool import ConnectionPool


def touched(pool: ConnectionPool, source: str) -> list[date]:
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT day FROM raw.touched_days WHERE source = %s ORDER BY day", [source]
        ).fetchall()
        connection.execute("DELETE FROM raw.touched_days")
    return [day for (day,) in rows]


def order(pool: ConnectionPool, status: str = "delivered", delivered_at: str | None = None) -> None:
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency, delivered_at)
            VALUES ('o1', '2026-03-10 18:00+00', %s, 100, 'TWD', %s)
            ON CONFLICT (organization_id, order_id) DO UPDATE
            SET status = excluded.status, delivered_at = excluded.delivered_at
            """,
            [status, delivered_at],
        )


def test_a_fact_touches_the_days_it_belongs_to_in_the_business_time_zone(pool: ConnectionPool):
    with pool.connection() as connection:
        connection.execute("INSERT INTO analytics.business_profile (timezone) VALUES ('Asia/Taipei')")
    order(pool, "shipped")
    assert touched(pool, "orders") == [date(2026, 3, 11)]
    order(pool, "delivered", "2026-03-31 03:00+00")
    assert touched(pool, "orders") == [date(2026, 3, 11), date(2026, 3, 31)]
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO raw.order_items (order_id, line_number, product_id, quantity, unit_price)"
            " VALUES ('o1', 1, '壺', 1, 100)"
        )
    assert touched(pool, "order_items") == [date(2026, 3, 11)]


def test_the_same_fact_again_touches_nothing(pool: ConnectionPool):
    order(pool, "shipped")
    touched(pool, "orders")
    order(pool, "shipped")
    assert touched(pool, "orders") == []


def test_a_corrected_product_touches_the_days_it_was_sold(pool: ConnectionPool):
    order(pool)
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO raw.order_items (order_id, line_number, product_id, quantity, unit_price)"
            " VALUES ('o1', 1, '壺', 1, 100)"
        )
        connection.execute(
            "INSERT INTO raw.products (product_id, name, category) VALUES ('壺', '手沖壺', 'kettles')"
        )
        connection.execute("INSERT INTO raw.products (product_id, name) VALUES ('unsold', 'Unsold')")
    assert touched(pool, "products") == [date(2026, 3, 10)]
    with pool.connection() as connection:
        connection.execute("UPDATE raw.products SET category = 'pots' WHERE product_id = '壺'")
    assert touched(pool, "products") == [date(2026, 3, 10)]


def test_a_day_is_complete_only_when_facts_came_after_it(pool: ConnectionPool):
    with pool.connection() as connection:
        order(pool)
        connection.execute("UPDATE raw.touched_days SET touched_at = '2026-03-10 20:00+00'")
        assert connection.execute("SELECT analytics.as_of_day()").fetchone() == (date(2026, 3, 9),)
        connection.execute("UPDATE raw.touched_days SET touched_at = '2026-03-11 00:30+00'")
        assert connection.execute("SELECT analytics.as_of_day()").fetchone() == (date(2026, 3, 10),)


def alert(connection: psycopg.Connection, fingerprint: str) -> str:
    connection.execute(
        "INSERT INTO metric_thresholds (metric_name, display_name, display_name_zh)"
        " VALUES ('daily_revenue', 'Daily revenue', '每日營收') ON CONFLICT DO NOTHING"
    )
    row = connection.execute(
        """
        INSERT INTO dashboard_alerts
            (alert_type, severity, metric_name, fingerprint, title, message, metric_date, last_metric_date,
             business_context)
        VALUES ('threshold_breach', 'warning', 'daily_revenue', %s, '營收下降', 'm', '2026-03-10', '2026-03-10',
                '{"season_factor": "normal"}')
        RETURNING id
        """,
        [fingerprint],
    ).fetchone()
    assert row
    return row[0]


def test_only_one_active_alert_has_a_fingerprint(pool: ConnectionPool):
    with pool.connection() as connection:
        alert(connection, "a")
        alert(connection, "b")
    with pytest.raises(psycopg.errors.UniqueViolation), pool.connection() as connection:
        alert(connection, "a")


def test_the_context_of_an_alert_is_frozen_and_its_life_recorded(pool: ConnectionPool):
    with pool.connection() as connection:
        one = alert(connection, "a")
        connection.execute("UPDATE dashboard_alerts SET occurrences = 2 WHERE id = %s", [one])
        connection.execute(
            "UPDATE dashboard_alerts SET state = 'resolved', resolved_at = now() WHERE id = %s", [one]
        )
    with pytest.raises(psycopg.errors.RaiseException, match="never changed"), pool.connection() as connection:
        connection.execute("UPDATE dashboard_alerts SET business_context = '{}' WHERE id = %s", [one])
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT event_type, after ->> 'is_active' FROM alert_events WHERE alert_id = %s ORDER BY event_id",
            [one],
        ).fetchall()
    assert rows == [("detected", "true"), ("seen", "true"), ("resolved", "false")]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), pool.connection() as connection:
        connection.execute("DELETE FROM alert_events")
