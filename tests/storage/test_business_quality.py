"""What the gates of the business find."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.business.forecasts import refresh_forecasts
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage import business_quality
from tests.storage.business import build_relations

START = date(2026, 1, 1)


def fill(pool: ConnectionPool, metric: str, values: list[float]) -> None:
    with pool.connection() as connection:
        connection.cursor().executemany(
            "INSERT INTO fct_business_metrics_daily VALUES ('default', %s, 'all', '', %s, %s, 10, now())",
            [(metric, START + timedelta(days=number), value) for number, value in enumerate(values)],
        )
        connection.execute(
            "INSERT INTO metrics_current (organization_id, metric_name, dimension, dimension_label, metric_date,"
            " current_value) VALUES ('default', %s, 'all', '', %s, %s)",
            [metric, START + timedelta(days=len(values) - 1), values[-1]],
        )


def score(pool: ConnectionPool, number: int, kind: str = "none") -> None:
    day = START + timedelta(days=number)
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO anomaly_scores
                (metric_name, metric_date, score, threshold, is_anomaly, kind, direction, detector_version)
            VALUES ('daily_revenue', %s, 1, 4, %s, %s, 'none', '1')
            """,
            [day, kind != "none", kind],
        )
        connection.execute(
            "INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)"
            " VALUES (%s, %s, 'delivered', 1, 'TWD')",
            [f"o{number}", datetime(day.year, day.month, day.day, 4, tzinfo=UTC)],
        )


def test_a_metric_nobody_gave_thresholds_is_named(pool: ConnectionPool):
    build_relations(pool)
    fill(pool, "daily_revenue", [1.0])
    assert business_quality.metrics_without_thresholds(pool) == []
    fill(pool, "新指標", [1.0])
    assert business_quality.metrics_without_thresholds(pool) == ["新指標"]


def test_an_alarm_of_three_days_counts_once(pool: ConnectionPool):
    build_relations(pool)
    for number in range(30):
        score(pool, number, "shift" if number in (10, 11, 12, 20) else "none")
    (rate,) = business_quality.alarm_rates(pool)
    assert (rate.alarms, rate.series) == (2, 1)
    assert rate.alarms_per_30_days == 2.0


def test_only_days_missing_lately_are_named(pool: ConnectionPool):
    build_relations(pool)
    for number in range(60):
        score(pool, number, "missing" if number in (5, 50) else "none")
    found = business_quality.missing_days(pool, 10)
    assert [day for _, _, day in found] == [START + timedelta(days=50)]


def test_evidence_that_leads_nowhere_is_found(pool: ConnectionPool):
    build_relations(pool)
    score(pool, 0)
    evidence = {"top_tags": [{"tag_id": 404, "sample_ids": [405]}]}
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO dashboard_alerts
                (alert_type, severity, metric_name, fingerprint, title, message, metric_date, last_metric_date,
                 evidence_refs)
            VALUES ('anomaly_detection', 'warning', 'daily_revenue', 'f', 't', 'm', %s, %s, %s)
            """,
            [START, START, Jsonb(evidence)],
        )
    broken = business_quality.broken_evidence(pool, 10)
    assert {(kind, reference) for _, kind, reference in broken} == {("tag", "404"), ("content", "405")}
    assert [document for _, _, document in business_quality.alert_documents(pool)] == [evidence]


def test_the_last_day_of_each_source_is_told(pool: ConnectionPool):
    build_relations(pool)
    score(pool, 3)
    (row,) = business_quality.last_days(pool, "default")
    assert (row.source, row.last_day) == ("orders", START + timedelta(days=3))
    assert row.days_ago > 0


def test_forecasts_are_made_for_metrics_with_a_threshold_and_replaced(pool: ConnectionPool, settings: Settings):
    build_relations(pool)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE metric_thresholds SET warning_threshold = 480 WHERE metric_name = 'avg_response_time'"
        )
    fill(pool, "avg_response_time", [40.0 + number % 7 for number in range(80)] + [600.0] * 10)
    fill(pool, "daily_orders", [50.0] * 90)
    refresh_forecasts(pool, settings)
    found = refresh_forecasts(pool, settings)
    assert {(one.metric_name, one.risk.horizon_days) for one in found} == {
        ("avg_response_time", 7),
        ("avg_response_time", 30),
    }
    with pool.connection() as connection:
        rows = connection.execute("SELECT horizon_days, level FROM risk_forecast ORDER BY 1").fetchall()
    assert [days for days, _ in rows] == [7, 30]
    assert rows[0][1] in {"極高", "高", "中"}
