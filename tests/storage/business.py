"""The relations that dbt makes, made by hand, and a small business in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import LiteralString
from zoneinfo import ZoneInfo

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import ChangeContext, Tag
from tests.core.business.builders import day
from tests.storage.builders import add_tags, assignment, publish

TAIPEI = ZoneInfo("Asia/Taipei")
RUN = ChangeContext("asset:dashboard_alerts", "refresh of alerts", run_id="run-7")

METRICS = {
    # name: (English, Chinese, unit, is_higher_better, value_kind)
    "daily_revenue": ("Daily revenue", "每日營收", "TWD", True, "amount"),
    "daily_orders": ("Daily orders", "每日訂單數", "", True, "count"),
    "payment_failure_rate": ("Payment failure rate", "付款失敗率", "%", False, "share"),
    "avg_response_time": ("Average response time", "平均回覆時間", "min", False, "duration"),
    "late_delivery_rate": ("Late delivery rate", "延遲送達率", "%", False, "share"),
    "units_sold": ("Units sold", "銷售數量", "", True, "count"),
    "price_deviation": ("Price deviation", "價格偏差", "%", False, "share"),
    "tag_volume": ("Contents with a tag", "標籤內容數", "", None, "count"),
    "stockouts": ("Stockouts", "缺貨品項", "", False, "count"),
    "visits": ("Visits", "造訪數", "", True, "count"),
}


def build_relations(pool: ConnectionPool) -> None:
    """The tables that dbt builds, empty, and thresholds for some metrics; the business is in Taipei."""
    with pool.connection() as connection:
        connection.execute(
            """
            CREATE TABLE analytics.fct_business_metrics_daily (
                organization_id text NOT NULL, metric_name varchar(100) NOT NULL, dimension text NOT NULL,
                dimension_label text NOT NULL, metric_date date NOT NULL, current_value numeric(18, 4),
                sample_size bigint NOT NULL, computed_at timestamptz NOT NULL,
                PRIMARY KEY (organization_id, metric_name, dimension, metric_date)
            );
            CREATE TABLE analytics.dim_calendar (
                organization_id text NOT NULL, day date NOT NULL, is_holiday boolean NOT NULL,
                is_promotion boolean NOT NULL
            );
            CREATE TABLE analytics.alerts_threshold (
                organization_id text NOT NULL, metric_name varchar(100) NOT NULL, dimension text NOT NULL,
                dimension_label text NOT NULL, metric_date date NOT NULL, alert_type varchar(50) NOT NULL,
                alert_subtype varchar(50) NOT NULL, severity varchar(20) NOT NULL, direction varchar(4) NOT NULL,
                current_value numeric(18, 4), threshold_value numeric(18, 4), expected_value numeric(18, 4),
                score double precision, title_en text NOT NULL, title_zh text NOT NULL, message_en text NOT NULL,
                message_zh text NOT NULL
            );
            CREATE TABLE analytics.alerts_trend_anomaly (LIKE analytics.alerts_threshold);
            CREATE TABLE analytics.business_context (
                organization_id text NOT NULL, metric_name varchar(100) NOT NULL, dimension text NOT NULL,
                metric_date date NOT NULL, business_context jsonb NOT NULL,
                PRIMARY KEY (organization_id, metric_name, dimension, metric_date)
            );
            CREATE TABLE analytics.metrics_current (
                organization_id text NOT NULL, metric_name varchar(100) NOT NULL, dimension text NOT NULL,
                dimension_label text NOT NULL, metric_date date NOT NULL, current_value numeric(18, 4) NOT NULL,
                previous_value numeric(18, 4), category varchar(50), display_name text, display_name_zh text,
                unit varchar(20), sample_size bigint
            );
            CREATE TABLE analytics.metric_trends (
                organization_id text NOT NULL, metric_name varchar(100) NOT NULL, dimension text NOT NULL,
                metric_date date NOT NULL, trend_7d_pct numeric(18, 4), trend_30d_pct numeric(18, 4),
                volatility_index numeric(18, 4), trend_direction text NOT NULL
            );
            INSERT INTO analytics.business_profile (timezone, currency) VALUES ('Asia/Taipei', 'TWD')
            """
        )
        for name, (english, chinese, unit, better, kind) in METRICS.items():
            connection.execute(
                """
                INSERT INTO analytics.metric_thresholds (
                    metric_name, display_name, display_name_zh, unit, is_higher_better, value_kind,
                    min_history_days
                )
                VALUES (%s, %s, %s, %s, %s, %s, 14)
                """,
                [name, english, chinese, unit, better, kind],
            )


SET_VALUE: LiteralString = """
    INSERT INTO analytics.fct_business_metrics_daily
    VALUES ('default', %s, %s, %s, %s, %s, 10, now())
    ON CONFLICT (organization_id, metric_name, dimension, metric_date)
    DO UPDATE SET current_value = excluded.current_value, computed_at = excluded.computed_at
"""


def set_value(
    connection: Connection, metric: str, on: date, value: float | None, dimension: str = "all", label: str = ""
) -> None:
    """The value of a metric on a day, in place of an earlier one."""
    connection.execute(SET_VALUE, [metric, dimension, label, on, value])


def set_values(
    pool: ConnectionPool, metric: str, values: Sequence[float | None], dimension: str = "all", label: str = ""
) -> None:
    """The values of a metric from the first day of the tests on."""
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            SET_VALUE, [[metric, dimension, label, day(number), value] for number, value in enumerate(values, 1)]
        )


def find_candidate(
    pool: ConnectionPool,
    metric: str,
    *numbers: int,
    dimension: str = "all",
    label: str = "",
    severity: str = "warning",
    direction: str = "down",
    subtype: str = "drop",
    value: float = 10,
    affected: int | None = None,
) -> None:
    """Let a metric be out of line on some days, with the context of each."""
    static = subtype == "static"
    table = "alerts_threshold" if static else "alerts_trend_anomaly"
    english, chinese = METRICS[metric][:2]
    with pool.connection() as connection:
        for number in numbers:
            row = [
                metric,
                dimension,
                label,
                day(number),
                "threshold_breach" if static else "anomaly_detection",
                subtype,
                severity,
                direction,
                value,
                f"{english} is out of line",
                f"{chinese}異常",
                f"{english} was {value} on {day(number)}",
                f"{day(number)} {chinese}為 {value}",
            ]
            connection.execute(
                "INSERT INTO analytics.alerts_threshold VALUES"
                " ('default', %s, %s, %s, %s, %s, %s, %s, %s, %s, 200, 210, 5, %s, %s, %s, %s)"
                if static
                else "INSERT INTO analytics.alerts_trend_anomaly VALUES"
                " ('default', %s, %s, %s, %s, %s, %s, %s, %s, %s, 200, 210, 5, %s, %s, %s, %s)",
                row,
            )
            context = {"schema_version": 1, "season_factor": "normal", "day": number, "table": table}
            if affected is not None:
                context["business_impact"] = {"affected_customers": affected}
                context["business_indicators"] = {"active_customers": 1000}
            connection.execute(
                "INSERT INTO analytics.business_context VALUES ('default', %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [metric, dimension, day(number), Jsonb(context)],
            )


def forget_candidates(pool: ConnectionPool, metric: str, *numbers: int) -> None:
    """These days of a metric are in line after all."""
    with pool.connection() as connection:
        for number in numbers:
            for query in (
                "DELETE FROM analytics.alerts_threshold WHERE metric_name = %s AND metric_date = %s",
                "DELETE FROM analytics.alerts_trend_anomaly WHERE metric_name = %s AND metric_date = %s",
                "DELETE FROM analytics.business_context WHERE metric_name = %s AND metric_date = %s",
            ):
                connection.execute(query, [metric, day(number)])


def at(number: float) -> datetime:
    """A moment of the tests' days in Taipei; 10.5 is noon of day 10."""
    return datetime.combine(day(int(number)), datetime.min.time(), TAIPEI) + timedelta(days=number % 1)


def add_texts(
    pool: ConnectionPool,
    texts: Sequence[tuple[float, Sequence[str]]],
    *,
    fact: str = "",
    product: str | None = None,
) -> list[int]:
    """Contents of these moments with these tags; `fact` is `ticket` or `review` when they are one. Their ids."""
    names = sorted({name for _, tags in texts for name in tags})
    with pool.connection() as connection:
        known = dict(connection.execute("SELECT name, id FROM tagging.tags").fetchall())
        ids = []
        for moment, tags in texts:
            (id, external) = connection.execute(
                """
                INSERT INTO tagging.contents (source, external_id, body, created_at)
                VALUES ('shop', gen_random_uuid()::text, %s, %s)
                RETURNING id, external_id
                """,
                [" ".join(tags), at(moment)],
            ).fetchone() or (0, "")
            ids.append(id)
            if fact == "ticket":
                connection.execute(
                    "INSERT INTO raw.support_tickets (ticket_id, created_at, product_id, content_source,"
                    " content_external_id) VALUES (%s, %s, %s, 'shop', %s)",
                    [f"T{id}", at(moment), product, external],
                )
            elif fact == "review":
                connection.execute(
                    "INSERT INTO raw.reviews (review_id, created_at, rating, product_id, content_source,"
                    " content_external_id) VALUES (%s, %s, 1, %s, 'shop', %s)",
                    [f"R{id}", at(moment), product, external],
                )
    created = {tag.name: tag for tag in add_tags(pool, *(name for name in names if name not in known))}
    all_tags = {name: created.get(name) or Tag(known[name], "default", name, name) for name in names}
    publish(
        pool,
        {
            id: [assignment(all_tags[name], 0.9 - 0.1 * place) for place, name in enumerate(tags)]
            for id, (_, tags) in zip(ids, texts, strict=True)
        },
    )
    return ids
