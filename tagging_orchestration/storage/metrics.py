"""Metrics as people look at them, and the tags that move with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.tag_metrics import MetricMove, moves_with
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.storage.connection import transaction

SPARK_DAYS = 60


@dataclass(frozen=True, slots=True)
class MetricNow:
    """A metric on its latest day. `said` and `said_before` are values with their units; trends are per cent."""

    metric_name: str
    display_name: str
    display_name_zh: str
    category: str
    dimension: str
    dimension_label: str
    metric_date: date
    current_value: float
    said: str
    said_before: str | None
    trend_7d_pct: float | None
    trend_30d_pct: float | None
    trend_direction: str | None
    recent: list[float | None]


@dataclass(frozen=True, slots=True)
class MetricDay:
    """A metric on one day, and what the detectors made of it. `kind` is None for a day in line."""

    metric_date: date
    value: float | None
    said: str | None
    expected: str | None
    kind: str | None
    sample_size: int


@dataclass(frozen=True, slots=True)
class ExplainedAlert:
    """An alert that a tag explains."""

    id: str
    metric_date: date
    last_metric_date: date
    severity: str
    title: str
    title_zh: str
    count: int
    lift: float
    q_value: float


@dataclass(frozen=True, slots=True)
class TagMoves:
    """From a tag to the business: the metrics that move with it, the surest first, and the alerts it explains."""

    tag_id: int
    moves: tuple[MetricMove, ...]
    alerts: tuple[ExplainedAlert, ...]


def list_metrics(
    pool: ConnectionPool, organization_id: str, locale: str, dimension: str | None = "all"
) -> list[MetricNow]:
    """The metrics of one dimension, or of all with None, by category and name."""
    # Index: the daily metrics' own, on organisation and date.
    query = """
        SELECT
            m.metric_name, m.display_name, m.display_name_zh, m.category, m.dimension, m.dimension_label,
            m.metric_date, m.current_value::float8,
            analytics.format_value(m.current_value, m.unit, b.currency, %(locale)s) AS said,
            analytics.format_value(m.previous_value, m.unit, b.currency, %(locale)s) AS said_before,
            t.trend_7d_pct::float8, t.trend_30d_pct::float8, t.trend_direction,
            array(
                SELECT f.current_value::float8
                FROM analytics.fct_business_metrics_daily AS f
                WHERE
                    f.organization_id = m.organization_id AND f.metric_name = m.metric_name
                    AND f.dimension = m.dimension AND f.metric_date > m.metric_date - %(days)s::integer
                    AND f.metric_date <= m.metric_date
                ORDER BY f.metric_date
            ) AS recent
        FROM analytics.metrics_current AS m
        CROSS JOIN (
            SELECT coalesce(max(p.currency), 'USD') AS currency
            FROM analytics.business_profile AS p
            WHERE p.organization_id = %(organization)s
        ) AS b
        LEFT JOIN analytics.metric_trends AS t
            ON t.organization_id = m.organization_id AND t.metric_name = m.metric_name
            AND t.dimension = m.dimension AND t.metric_date = m.metric_date
        WHERE
            m.organization_id = %(organization)s AND (%(dimension)s::text IS NULL OR m.dimension = %(dimension)s)
        ORDER BY m.category, m.metric_name, m.dimension
    """
    parameters = {
        "organization": organization_id,
        "locale": locale,
        "dimension": dimension,
        "days": SPARK_DAYS,
    }
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(MetricNow)) as cursor:
        _check_built(connection)
        return cursor.execute(query, parameters).fetchall()


def metric_days(
    pool: ConnectionPool, organization_id: str, metric_name: str, dimension: str, locale: str, days: int
) -> list[MetricDay]:
    """The last days of one metric, oldest first."""
    # Indexes: the daily metrics' own, primary key of anomaly_scores.
    query = """
        SELECT
            f.metric_date, f.current_value::float8 AS value,
            analytics.format_value(f.current_value, t.unit, b.currency, %(locale)s) AS said,
            analytics.format_value(s.expected, t.unit, b.currency, %(locale)s) AS expected,
            CASE WHEN s.is_anomaly THEN s.kind END AS kind, f.sample_size
        FROM analytics.fct_business_metrics_daily AS f
        JOIN analytics.metric_thresholds AS t ON t.metric_name = f.metric_name
        CROSS JOIN (
            SELECT coalesce(max(p.currency), 'USD') AS currency
            FROM analytics.business_profile AS p
            WHERE p.organization_id = %(organization)s
        ) AS b
        LEFT JOIN analytics.anomaly_scores AS s
            ON s.organization_id = f.organization_id AND s.metric_name = f.metric_name
            AND s.dimension = f.dimension AND s.metric_date = f.metric_date
        WHERE
            f.organization_id = %(organization)s AND f.metric_name = %(metric)s AND f.dimension = %(dimension)s
        ORDER BY f.metric_date DESC
        LIMIT %(days)s
    """
    parameters = {
        "organization": organization_id,
        "metric": metric_name,
        "dimension": dimension,
        "locale": locale,
        "days": days,
    }
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(MetricDay)) as cursor:
        _check_built(connection)
        return cursor.execute(query, parameters).fetchall()[::-1]


def metrics_of_tag(pool: ConnectionPool, organization_id: str, tag_id: int) -> TagMoves:
    """The metrics of the whole business that move with a tag, and the alerts it explains."""
    with transaction(pool) as connection:
        _check_built(connection)
        days = _days(connection, organization_id)
        moves = (
            moves_with(
                _tag_counts(connection, organization_id, tag_id, days),
                _metric_series(connection, organization_id, days),
            )
            if days
            else ()
        )
        return TagMoves(tag_id, moves, _explained(connection, organization_id, tag_id))


def _check_built(connection: Connection) -> None:
    """Raise ConfigurationError before the first build of the metrics."""
    (table,) = connection.execute("SELECT to_regclass('analytics.metrics_current')::text").fetchone() or (None,)
    if table is None:
        raise ConfigurationError(
            "no metrics were computed yet: load facts of a business (docs/business-sources.md), then tagging run"
        )


def _days(connection: Connection, organization_id: str) -> list[date]:
    return [
        day
        for (day,) in connection.execute(
            "SELECT DISTINCT metric_date FROM analytics.fct_business_metrics_daily"
            " WHERE organization_id = %s AND dimension = 'all' ORDER BY metric_date",
            [organization_id],
        )
    ]


def _tag_counts(connection: Connection, organization_id: str, tag_id: int, days: list[date]) -> list[float]:
    # Indexes: content_tags_tag, primary key of contents.
    query = """
        SELECT analytics.business_day(c.created_at, c.organization_id), count(*)
        FROM tagging.content_tags AS ct
        JOIN tagging.contents AS c ON c.id = ct.content_id
        WHERE ct.tag_id = %s AND c.organization_id = %s AND c.deleted_at IS NULL
        GROUP BY 1
    """
    counts = dict(connection.execute(query, [tag_id, organization_id]).fetchall())
    return [float(counts.get(day, 0)) for day in days]


def _metric_series(
    connection: Connection, organization_id: str, days: list[date]
) -> dict[tuple[str, str], list[float | None]]:
    """Metrics of the whole business; those made from others or from tags would only repeat these."""
    query = """
        SELECT f.metric_name, f.metric_date, f.current_value::float8
        FROM analytics.fct_business_metrics_daily AS f
        WHERE
            f.organization_id = %s AND f.dimension = 'all' AND f.metric_name NOT LIKE 'tag\\_%%'
            AND f.metric_name NOT LIKE '%%\\_trend\\_pct' AND f.metric_name <> 'volatility'
    """
    place = {day: index for index, day in enumerate(days)}
    series: dict[tuple[str, str], list[float | None]] = {}
    for metric, day, value in connection.execute(query, [organization_id]):
        series.setdefault((metric, "all"), [None] * len(days))[place[day]] = value
    return series


def _explained(connection: Connection, organization_id: str, tag_id: int) -> tuple[ExplainedAlert, ...]:
    # Index: dashboard_alerts_metric_date.
    query = """
        SELECT
            a.id::text, a.metric_date, a.last_metric_date, a.severity,
            coalesce(a.texts #>> '{en,title}', a.title), coalesce(a.texts #>> '{zh-Hant,title}', a.title),
            (t.tag ->> 'count')::integer, (t.tag ->> 'lift')::float8, (t.tag ->> 'q_value')::float8
        FROM analytics.dashboard_alerts AS a
        CROSS JOIN LATERAL jsonb_array_elements(a.evidence_refs -> 'top_tags') AS t (tag)
        WHERE
            a.organization_id = %s AND a.resolution IS DISTINCT FROM 'corrected'
            AND (t.tag ->> 'tag_id')::bigint = %s
        ORDER BY a.metric_date DESC, a.metric_name, a.id
    """
    return tuple(ExplainedAlert(*row) for row in connection.execute(query, [organization_id, tag_id]))
