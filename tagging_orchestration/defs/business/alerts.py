"""Detectors' scores, alerts with their evidence, and forecasts of risk."""

import dagster as dg

from tagging_orchestration.core.business.detectors import DETECTOR_VERSION
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import new_figure, plot, table
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

SHOWN = 20


@dg.asset(
    deps=["fct_business_metrics_daily", "metric_thresholds", "dim_calendar"],
    group_name="alerts",
    kinds={"python", "statsmodels", "postgres"},
    owners=[get_settings().runs.owner],
    code_version=DETECTOR_VERSION,
    retry_policy=TRANSIENT_RETRIES,
    description="How strange each day of each metric is, judged from earlier days only: weekday, holidays, "
    "level, trend, missing days; with a threshold that keeps to the metric's budget of false alarms. Only days "
    "whose value or detector changed are judged anew.",
)
@retry_only_transient()
def anomaly_scores(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Judge what is pending."""
    from tagging_orchestration.business.alerts import score_pending
    from tagging_orchestration.storage.anomaly_scores import scores_by_month, strangest_days

    project = tagging.project
    done = score_pending(project.pool, project.settings, progress=step_progress(context, "Judging metrics"))
    organization = project.settings.organization_id
    strangest = strangest_days(project.pool, organization, SHOWN)
    return dg.MaterializeResult(
        metadata={
            "days_scored": done.days_scored,
            "series": done.series,
            "anomalies": done.anomalies,
            "strangest_days": table(
                ["day", "metric", "of", "value", "expected", "score / threshold", "kind"],
                [
                    [
                        row.metric_date,
                        row.metric_name,
                        row.dimension_label,
                        row.value,
                        row.expected,
                        f"{row.score / row.threshold:.2f}",
                        row.kind,
                    ]
                    for row in strangest
                ],
            ),
            "anomalies_by_month": plot(_months_figure(scores_by_month(project.pool, organization))),
        }
    )


def _months_figure(months):
    figure = new_figure()
    axes = figure.add_subplot()
    axes.bar([month for month, _ in months], [count for _, count in months], width=20, color="#b5654a")
    axes.set_title("Days out of line, all metrics, by month")
    figure.autofmt_xdate()
    return figure


@dg.asset(
    deps=["alerts_threshold", "alerts_trend_anomaly", "business_context", "content_tags"],
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Alerts with their life: new, active, resolved or expired; a re-fire keeps identity and notes. "
    "Each carries the business context frozen at its first day and the tagged contents that explain it; storms "
    "with one cause are one incident.",
)
@retry_only_transient()
def dashboard_alerts(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Advance every alert over the days that were judged."""
    from tagging_orchestration.business.alerts import refresh_alerts
    from tagging_orchestration.storage.alerts import list_alerts, list_incidents
    from tagging_orchestration.storage.business_runs import hold_business_lock

    project = tagging.project
    organization = project.settings.organization_id
    with hold_business_lock(project.pool):
        done = refresh_alerts(project.pool, project.settings, tagging.context(context, "refresh of alerts"))
    return dg.MaterializeResult(
        metadata={
            "new": done.new,
            "seen_again": done.seen,
            "resolved": done.resolved,
            "expired": done.expired,
            "corrected": done.corrected,
            "incidents_opened": done.incidents_opened,
            "incidents": table(
                ["from", "to", "severity", "incident", "alerts", "explained by"],
                [
                    [
                        row.opened_on,
                        row.last_seen_on,
                        row.severity,
                        row.title,
                        row.alerts,
                        ", ".join(row.cause_tags),
                    ]
                    for row in list_incidents(project.pool, organization, limit=SHOWN)
                ],
            ),
            "open_alerts": table(
                ["since", "severity", "alert", "message"],
                [
                    [row.metric_date, row.severity, row.title, row.message]
                    for row in list_alerts(project.pool, organization, open_only=True, limit=SHOWN)
                ],
            ),
        }
    )


@dg.asset(
    deps=["fct_business_metrics_daily", "metric_thresholds"],
    group_name="alerts",
    kinds={"python", "statsmodels", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="How likely each metric crosses its threshold within 7 and 30 days: a seasonal naive forecast or "
    "exponential smoothing, whichever foretold the past better, with intervals from its own errors.",
)
@retry_only_transient()
def risk_forecast(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Forecast the metrics that have a threshold."""
    from tagging_orchestration.business.forecasts import refresh_forecasts

    project = tagging.project
    found = refresh_forecasts(
        project.pool, project.settings, progress=step_progress(context, "Forecasting metrics")
    )
    riskiest = sorted(found, key=lambda one: -one.risk.probability)[:SHOWN]
    return dg.MaterializeResult(
        metadata={
            "forecasts": len(found),
            "risks": table(
                ["metric", "on", "forecast", "80 %", "threshold", "probability", "level", "method"],
                [
                    [
                        one.metric_name,
                        one.risk.target_date,
                        f"{one.risk.forecast:,.2f}",
                        f"{one.risk.lower:,.2f} to {one.risk.upper:,.2f}",
                        one.risk.threshold_value,
                        one.risk.probability,
                        one.risk.level,
                        one.risk.method,
                    ]
                    for one in riskiest
                ],
            ),
        }
    )
