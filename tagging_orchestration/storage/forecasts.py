"""Forecasts of risk: the metrics they are about, and what was foretold last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.detectors import MetricProfile
from tagging_orchestration.core.business.forecasts import RiskForecast
from tagging_orchestration.storage.connection import transaction


@dataclass(frozen=True, slots=True)
class ForecastMetric:
    """A metric of the whole business that has a threshold, in the metric's unit."""

    metric_name: str
    threshold: float
    is_higher_better: bool | None
    profile: MetricProfile


@dataclass(frozen=True, slots=True)
class MetricForecast:
    """A forecast and the metric it is about."""

    metric_name: str
    risk: RiskForecast


def forecast_metrics(pool: ConnectionPool, organization_id: str) -> list[ForecastMetric]:
    """The metrics whose risk can be foretold: of those present, the ones with a threshold.

    A critical threshold counts where there is no other.
    """
    query = """
        SELECT
            t.metric_name, coalesce(t.warning_threshold, t.critical_threshold)::float8, t.is_higher_better,
            t.value_kind, t.seasonality, t.min_history_days, t.false_alarms_per_30_days::float8
        FROM analytics.metric_thresholds AS t
        JOIN analytics.metrics_current AS c
            ON c.organization_id = %s AND c.metric_name = t.metric_name AND c.dimension = 'all'
        WHERE t.enabled AND coalesce(t.warning_threshold, t.critical_threshold) IS NOT NULL
        ORDER BY t.metric_name
    """
    with transaction(pool) as connection:
        return [
            ForecastMetric(name, threshold, better, MetricProfile(kind, seasonality, history, budget))
            for name, threshold, better, kind, seasonality, history, budget in connection.execute(
                query, [organization_id]
            )
        ]


def save_forecasts(pool: ConnectionPool, organization_id: str, forecasts: Sequence[MetricForecast]) -> None:
    """Replace the forecasts of an organisation, in one transaction."""
    with transaction(pool) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.risk_forecast WHERE organization_id = %s", [organization_id])
        cursor.executemany(
            """
            INSERT INTO analytics.risk_forecast
                (organization_id, metric_name, horizon_days, target_date, forecast, lower, upper, threshold_value,
                 probability, level, method)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    organization_id,
                    forecast.metric_name,
                    forecast.risk.horizon_days,
                    forecast.risk.target_date,
                    forecast.risk.forecast,
                    forecast.risk.lower,
                    forecast.risk.upper,
                    forecast.risk.threshold_value,
                    forecast.risk.probability,
                    forecast.risk.level,
                    forecast.risk.method,
                )
                for forecast in forecasts
            ],
        )
