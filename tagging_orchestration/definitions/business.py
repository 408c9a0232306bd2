"""The code location `business`: facts, metrics, alerts, insights and the report, and what AI adds to them.

It imports dbt, so it starts slower than `tagging` and lives apart from it.
"""

from __future__ import annotations

import dagster as dg

from tagging_orchestration.defs.business.alerts import anomaly_scores, dashboard_alerts, risk_forecast
from tagging_orchestration.defs.business.checks import ALL_CHECKS
from tagging_orchestration.defs.business.dbt import (
    alert_candidates,
    business_metrics,
    dbt_resource,
    insight_models,
)
from tagging_orchestration.defs.business.facts import LEDGERS, business_facts
from tagging_orchestration.defs.business.health import executive_health_report, unified_content
from tagging_orchestration.defs.business.jobs import ALL_JOBS
from tagging_orchestration.defs.business.schedules import ALL_SCHEDULES, ALL_SENSORS
from tagging_orchestration.defs.enhancements import checks as ai_checks
from tagging_orchestration.defs.enhancements import jobs as ai_jobs
from tagging_orchestration.defs.enhancements import schedules as ai_schedules
from tagging_orchestration.defs.enhancements.enhancements import (
    alert_enhancements,
    daily_summary,
    insight_enhancements,
    recommendation_enhancements,
    weekly_summary,
)
from tagging_orchestration.defs.enhancements.monitoring import (
    ai_metrics,
    ai_service_alerts,
    ai_usage,
    provider_scores,
)
from tagging_orchestration.defs.enhancements.providers import prompt_templates, provider_health
from tagging_orchestration.defs.enhancements.report import enhanced_report
from tagging_orchestration.defs.executor import job_executor
from tagging_orchestration.defs.resources import Tagging

defs = dg.Definitions(
    assets=[
        *LEDGERS,
        business_facts,
        business_metrics,
        anomaly_scores,
        alert_candidates,
        dashboard_alerts,
        risk_forecast,
        insight_models,
        unified_content,
        executive_health_report,
        prompt_templates,
        provider_health,
        alert_enhancements,
        insight_enhancements,
        recommendation_enhancements,
        daily_summary,
        weekly_summary,
        enhanced_report,
        ai_metrics,
        ai_usage,
        provider_scores,
        ai_service_alerts,
    ],
    asset_checks=[*ALL_CHECKS, *ai_checks.ALL_CHECKS],
    jobs=[*ALL_JOBS, *ai_jobs.ALL_JOBS],
    schedules=[*ALL_SCHEDULES, *ai_schedules.ALL_SCHEDULES],
    sensors=[*ALL_SENSORS, *ai_schedules.ALL_SENSORS],
    resources={"tagging": Tagging(), "dbt": dbt_resource()},
    executor=job_executor(),
)
