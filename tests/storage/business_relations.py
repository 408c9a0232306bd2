"""A business as the report reads it: the relations of dbt made by hand, with some days of two metrics."""

from __future__ import annotations

from datetime import date, timedelta
from typing import LiteralString

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

AS_OF = date(2026, 10, 30)
# The contract of the models in dbt_project/models/marts, as far as the report reads them.
RELATIONS: LiteralString = """
    CREATE TABLE analytics.fct_business_metrics_daily (
        organization_id text, metric_name varchar(100), dimension text, metric_date date,
        current_value numeric(18, 4)
    );
    CREATE TABLE analytics.metric_trends (
        organization_id text, metric_name varchar(100), dimension text, metric_date date,
        trend_7d_pct numeric(18, 4), trend_30d_pct numeric(18, 4)
    );
    CREATE TABLE analytics.fct_tag_metrics_daily (
        organization_id text, metric_date date, tag_id bigint, tag_name text, contents bigint,
        total_contents bigint
    );
    CREATE TABLE analytics.ltv_trend (
        organization_id text, cohort_month date, customers bigint, ltv numeric(18, 4), ltv_30d numeric(18, 4),
        change_pct numeric(18, 4)
    );
    CREATE TABLE analytics.inventory_overview (
        organization_id text, product_id text, name text, on_hand integer, units_28d bigint,
        days_of_cover numeric(18, 1), status text
    );
    CREATE TABLE analytics.alerts_threshold (
        organization_id text, metric_name varchar(100), dimension text, metric_date date, alert_type varchar(50),
        severity varchar(20), direction varchar(4), current_value numeric(18, 4), threshold_value numeric(18, 4),
        title_en text, title_zh text, message_en text, message_zh text
    );
    CREATE TABLE analytics.alerts_trend_anomaly (LIKE analytics.alerts_threshold);
    CREATE TABLE analytics.business_insights (
        organization_id text, insight_id text, insight_type text, category text, title text, title_zh text,
        description text, description_zh text, impact_level text, confidence_score numeric(3, 2),
        action_items text[], action_items_zh text[], rests_on jsonb
    );
    CREATE TABLE analytics.strategic_recommendations (
        organization_id text, recommendation_id text, category text, title text, title_zh text, description text,
        description_zh text, impact_level text, effort_level text, priority_score integer,
        confidence_score numeric(3, 2), estimated_timeline text, estimated_timeline_zh text, rests_on jsonb
    );
"""


def run(pool: ConnectionPool, *statements: tuple[LiteralString, list[object]]) -> None:
    with pool.connection() as connection:
        for query, parameters in statements:
            connection.execute(query, parameters)


def orders_until(connection: Connection, day: date) -> None:
    """One order a day for a week until the day, by the clock of Taipei."""
    for number in range(7):
        connection.execute(
            """
            INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)
            VALUES (%s, (%s::date + time '23:30') AT TIME ZONE 'Asia/Taipei', 'delivered', 100, 'TWD')
            """,
            [f"o{number}", day - timedelta(days=number)],
        )


def open_business(pool: ConnectionPool) -> None:
    """A business in Taipei with orders and two metrics, one of them unknown on the last day."""
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO analytics.business_profile (timezone, currency, locale, profile)
            VALUES ('Asia/Taipei', 'TWD', 'zh-Hant', '{"name": {"en": "Lantern & Leaf", "zh-Hant": "燈籠與葉"}}')
            """
        )
        connection.execute(
            """
            INSERT INTO analytics.metric_thresholds
                (metric_name, display_name, display_name_zh, category, unit, is_higher_better, critical_threshold)
            VALUES
                ('daily_revenue', 'Daily revenue', '每日營收', 'financial', 'money', true, NULL),
                ('avg_response_time', 'Response time', '平均回應時間', 'customer_service', 'minutes', false, 480)
            """
        )
        orders_until(connection, AS_OF)
        connection.execute(RELATIONS)
        connection.execute(
            """
            INSERT INTO analytics.fct_business_metrics_daily
            SELECT
                'default', m.name, 'all', %(day)s::date - n,
                CASE WHEN n > 0 OR m.name <> 'avg_response_time' THEN 100 - n END
            FROM (VALUES ('daily_revenue'), ('avg_response_time')) AS m (name), generate_series(0, 99) AS n
            """,
            {"day": AS_OF},
        )
        connection.execute(
            """
            INSERT INTO analytics.fct_business_metrics_daily VALUES ('other', 'daily_revenue', 'all', %(day)s, 7),
                ('default', 'daily_revenue', 'product:KT', %(day)s, 7)
            """,
            {"day": AS_OF},
        )
        connection.execute(
            "INSERT INTO analytics.metric_trends VALUES ('default', 'daily_revenue', 'all', %s, 4.5, -2)", [AS_OF]
        )


def add_alert(
    pool: ConnectionPool,
    first: date,
    last: date,
    *,
    state: str = "active",
    evidence: dict | None = None,
    incident: str | None = None,
    resolution: str | None = None,
) -> None:
    """An alert on the response time from one day to another; resolved ones end with the day after the last."""
    resolved = state == "resolved"
    run(
        pool,
        (
            """
            INSERT INTO analytics.dashboard_alerts (
                alert_type, severity, metric_name, direction, fingerprint, title, message, texts, current_value,
                business_context, evidence_refs, metric_date, last_metric_date, state, resolved_at, resolution,
                incident_id
            )
            VALUES (
                'threshold_breach', 'critical', 'avg_response_time', 'up', %s, 'Slow', 'Now 500', %s, 500, %s, %s,
                %s, %s, %s, %s, %s, %s
            )
            """,
            [
                f"f{first}",
                Jsonb({"en": {"title": "Slow answers", "message": "Now 500"}, "zh-Hant": {"message": "現在 500"}}),
                Jsonb({"evidence": {"top_tags": [{"tag_id": 1, "tag": "then", "count": 2}]}}),
                Jsonb(evidence or {}),
                first,
                last,
                state,
                f"{last + timedelta(days=2)} 00:00+08" if resolved else None,
                (resolution or "recovered") if resolved else None,
                incident,
            ],
        ),
    )
