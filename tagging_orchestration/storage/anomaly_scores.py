"""`anomaly_scores`: which days of which metrics wait for the detectors, and what these made of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.detectors import DayJudgement, MetricProfile
from tagging_orchestration.storage.connection import transaction


@dataclass(frozen=True, slots=True)
class PendingSeries:
    """A series with days to judge: `first_day` and all after it, since each day is judged from those before.

    `version` is that of the detector with the settings it judges this series by.
    """

    metric_name: str
    dimension: str
    first_day: date
    profile: MetricProfile
    version: str


@dataclass(frozen=True, slots=True)
class DailyValues:
    """A series: its days in order, None where the metric has no value."""

    days: tuple[date, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class StrangeDay:
    """A day the detectors took for an anomaly; value and expectation are in the metric's unit."""

    metric_name: str
    dimension: str
    dimension_label: str
    metric_date: date
    value: float | None
    expected: float | None
    score: float
    threshold: float
    kind: str
    direction: str


def pending_series(
    pool: ConnectionPool, organization_id: str, detector_version: str, free_days: Collection[date]
) -> list[PendingSeries]:
    """The series whose metric differs from what was judged, or that another detector, other settings of the metric
    or another calendar judged."""
    # Both tables are read once: a day is found out by comparing it. Index: primary key of anomaly_scores.
    query = """
        SELECT
            f.metric_name, f.dimension, min(f.metric_date), t.value_kind, t.seasonality, t.min_history_days,
            t.false_alarms_per_30_days::float8, v.version
        FROM analytics.fct_business_metrics_daily AS f
        JOIN analytics.metric_thresholds AS t ON t.metric_name = f.metric_name AND t.enabled AND t.detect
        CROSS JOIN LATERAL (
            SELECT
                %(version)s || '-' || left(md5(concat_ws(
                    ' ', t.value_kind, t.seasonality, t.min_history_days, t.false_alarms_per_30_days,
                    %(calendar)s::text
                )), 8) AS version
        ) AS v
        LEFT JOIN analytics.anomaly_scores AS s
            ON s.organization_id = f.organization_id AND s.metric_name = f.metric_name
            AND s.dimension = f.dimension AND s.metric_date = f.metric_date
        WHERE
            f.organization_id = %(organization)s
            AND (
                s.metric_date IS NULL OR s.value IS DISTINCT FROM f.current_value
                OR s.detector_version <> v.version
            )
        GROUP BY f.metric_name, f.dimension, t.metric_name, v.version
        ORDER BY f.metric_name, f.dimension
    """
    with transaction(pool) as connection:
        parameters = {
            "organization": organization_id,
            "version": detector_version,
            "calendar": " ".join(map(str, sorted(free_days))),
        }
        return [
            PendingSeries(metric, dimension, first_day, MetricProfile(kind, seasonality, history, budget), version)
            for metric, dimension, first_day, kind, seasonality, history, budget, version in connection.execute(
                query, parameters
            )
        ]


def load_series(
    pool: ConnectionPool, organization_id: str, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], DailyValues]:
    """The whole series of these (metric, dimension) pairs."""
    query = """
        SELECT
            f.metric_name, f.dimension, array_agg(f.metric_date ORDER BY f.metric_date),
            array_agg(f.current_value::float8 ORDER BY f.metric_date)
        FROM unnest(%(metrics)s::text[], %(dimensions)s::text[]) AS w (metric_name, dimension)
        JOIN analytics.fct_business_metrics_daily AS f
            ON f.organization_id = %(organization)s AND f.metric_name = w.metric_name AND f.dimension = w.dimension
        GROUP BY f.metric_name, f.dimension
    """
    parameters = {
        "organization": organization_id,
        "metrics": [metric for metric, _ in wanted],
        "dimensions": [dimension for _, dimension in wanted],
    }
    with transaction(pool) as connection:
        return {
            (metric, dimension): DailyValues(tuple(days), tuple(values))
            for metric, dimension, days, values in connection.execute(query, parameters)
        }


def holidays(pool: ConnectionPool, organization_id: str) -> frozenset[date]:
    """Days on which a business is not expected to do as on other days: holidays, closed days, promotions."""
    query = """
        SELECT c.day
        FROM analytics.dim_calendar AS c
        WHERE c.organization_id = %s AND (c.is_holiday OR c.is_promotion)
    """
    with transaction(pool) as connection:
        return frozenset(day for (day,) in connection.execute(query, [organization_id]))


def save_scores(
    pool: ConnectionPool,
    organization_id: str,
    judged: Sequence[tuple[PendingSeries, Sequence[DayJudgement]]],
) -> None:
    """Write what the detectors made of the pending days of some series, in one transaction."""
    with transaction(pool) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE judged (LIKE analytics.anomaly_scores INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        copy_rows = """
            COPY judged (
                organization_id, metric_name, dimension, metric_date, value, expected, lower, upper, score,
                threshold, is_anomaly, kind, direction, detector_version
            )
            FROM STDIN
        """
        with connection.cursor() as cursor, cursor.copy(copy_rows) as copy:
            for series, days in judged:
                for day in days:
                    if day.day >= series.first_day:
                        copy.write_row(
                            (
                                organization_id,
                                series.metric_name,
                                series.dimension,
                                day.day,
                                day.value,
                                day.expected,
                                day.lower,
                                day.upper,
                                day.score,
                                day.threshold,
                                day.is_anomaly,
                                day.kind,
                                day.direction,
                                series.version,
                            )
                        )
        # Index: primary key of anomaly_scores. The value is the metric's own, digit by digit, so that a rounding
        # on its way through the detectors leaves no day pending for ever.
        connection.execute(
            """
            INSERT INTO analytics.anomaly_scores
            SELECT
                j.organization_id, j.metric_name, j.dimension, j.metric_date, f.current_value, j.expected, j.lower,
                j.upper, j.score, j.threshold, j.is_anomaly, j.kind, j.direction, j.detector_version, now()
            FROM judged AS j
            JOIN analytics.fct_business_metrics_daily AS f
                ON f.organization_id = j.organization_id AND f.metric_name = j.metric_name
                AND f.dimension = j.dimension AND f.metric_date = j.metric_date
            ON CONFLICT (organization_id, metric_name, dimension, metric_date) DO UPDATE SET
                value = excluded.value,
                expected = excluded.expected,
                lower = excluded.lower,
                upper = excluded.upper,
                score = excluded.score,
                threshold = excluded.threshold,
                is_anomaly = excluded.is_anomaly,
                kind = excluded.kind,
                direction = excluded.direction,
                detector_version = excluded.detector_version,
                scored_at = excluded.scored_at
            """
        )


def drop_orphans(pool: ConnectionPool, organization_id: str) -> int:
    """Forget scores of days, metrics and dimensions that are judged no more; how many."""
    query = """
        DELETE FROM analytics.anomaly_scores AS s
        WHERE
            s.organization_id = %s
            AND NOT EXISTS (
                SELECT
                FROM analytics.fct_business_metrics_daily AS f
                JOIN analytics.metric_thresholds AS t ON t.metric_name = f.metric_name AND t.enabled AND t.detect
                WHERE
                    f.organization_id = s.organization_id AND f.metric_name = s.metric_name
                    AND f.dimension = s.dimension AND f.metric_date = s.metric_date
            )
    """
    with transaction(pool) as connection:
        return connection.execute(query, [organization_id]).rowcount


def strangest_days(pool: ConnectionPool, organization_id: str, limit: int) -> list[StrangeDay]:
    """The anomalies furthest beyond their threshold, furthest first."""
    # Index: anomaly_scores_anomalies.
    query = """
        SELECT
            s.metric_name, s.dimension, coalesce(f.dimension_label, '') AS dimension_label, s.metric_date,
            s.value::float8, s.expected::float8, s.score, s.threshold, s.kind, s.direction
        FROM analytics.anomaly_scores AS s
        LEFT JOIN analytics.fct_business_metrics_daily AS f
            ON f.organization_id = s.organization_id AND f.metric_name = s.metric_name
            AND f.dimension = s.dimension AND f.metric_date = s.metric_date
        WHERE s.organization_id = %(organization)s AND s.is_anomaly
        ORDER BY s.score / nullif(s.threshold, 0) DESC NULLS LAST, s.metric_date, s.metric_name, s.dimension
        LIMIT %(limit)s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(StrangeDay)) as cursor:
        return cursor.execute(query, {"organization": organization_id, "limit": limit}).fetchall()


def scores_by_month(pool: ConnectionPool, organization_id: str) -> list[tuple[date, int]]:
    """Anomalies by month, oldest first."""
    # Index: anomaly_scores_anomalies.
    query = """
        SELECT date_trunc('month', s.metric_date)::date, count(*)
        FROM analytics.anomaly_scores AS s
        WHERE s.organization_id = %s AND s.is_anomaly
        GROUP BY 1
        ORDER BY 1
    """
    with transaction(pool) as connection:
        return connection.execute(query, [organization_id]).fetchall()
