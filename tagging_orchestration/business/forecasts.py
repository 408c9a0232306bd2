"""Foretelling the metrics that have a threshold."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.forecasts import forecast
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.anomaly_scores import load_series
from tagging_orchestration.storage.forecasts import MetricForecast, forecast_metrics, save_forecasts

HORIZONS = (7, 30)
WHOLE = "all"


def refresh_forecasts(
    pool: ConnectionPool, settings: Settings, *, progress: Progress | None = None
) -> list[MetricForecast]:
    """Forecast each such metric 7 and 30 days ahead, and keep that instead of the last forecasts.

    A metric of which too little is known has none.
    """
    organization = settings.organization_id
    metrics = forecast_metrics(pool, organization)
    series = load_series(pool, organization, [(metric.metric_name, WHOLE) for metric in metrics])
    found = []
    for number, metric in enumerate(metrics, start=1):
        daily = series[metric.metric_name, WHOLE]
        for horizon in HORIZONS:
            risk = forecast(
                daily.days, daily.values, metric.profile, horizon, metric.threshold, metric.is_higher_better
            )
            if risk:
                found.append(MetricForecast(metric.metric_name, risk))
        if progress:
            progress(number, len(metrics))
    save_forecasts(pool, organization, found)
    return found
