"""Jobs of the AI: a failure domain of their own, downstream of everything."""

import dagster as dg

from tagging_orchestration.defs.enhancements.enhancements import alert_enhancements, daily_summary, weekly_summary
from tagging_orchestration.defs.enhancements.monitoring import ai_service_alerts, ai_usage, provider_scores
from tagging_orchestration.defs.enhancements.providers import prompt_templates, provider_health
from tagging_orchestration.defs.enhancements.report import enhanced_report
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.resources import Tagging

RUN_TAGS = {"tagging/kind": "ai"}

ai_enhancement_job = dg.define_asset_job(
    "ai_enhancement_job",
    selection=dg.AssetSelection.assets(
        prompt_templates,
        provider_health,
        alert_enhancements,
        "insight_enhancements",
        "recommendation_enhancements",
        enhanced_report,
    ),
    tags=RUN_TAGS,
    description="Enhance what is pending of alerts, insights and recommendations, and show it in the report.",
)

enhance_critical_alerts = dg.define_asset_job(
    "enhance_critical_alerts",
    selection=dg.AssetSelection.assets(alert_enhancements, enhanced_report),
    config={"ops": {"alert_enhancements": {"config": {"only_critical": True}}}},
    tags={**RUN_TAGS, "dagster/priority": "10"},
    description="Enhance the new critical alerts, before everything else.",
)

summarize_day = dg.define_asset_job(
    "summarize_day",
    selection=dg.AssetSelection.assets(daily_summary, enhanced_report),
    tags=RUN_TAGS,
    description="The executive summary of one business day.",
)

summarize_week = dg.define_asset_job(
    "summarize_week",
    selection=dg.AssetSelection.assets(weekly_summary, enhanced_report),
    tags=RUN_TAGS,
    description="The executive summary of one business week.",
)

synchronize_prompts = dg.define_asset_job(
    "synchronize_prompts",
    selection=dg.AssetSelection.assets(prompt_templates),
    tags=RUN_TAGS,
    description="Bring prompts, providers and their configs into the tables.",
)

watch_ai = dg.define_asset_job(
    "watch_ai",
    selection=dg.AssetSelection.assets(
        provider_health, "ai_metrics_hourly", ai_usage, provider_scores, ai_service_alerts
    ),
    tags=RUN_TAGS,
    description="How the AI does: health, cost, tokens, answers; and alerts about it, which no AI is asked about.",
)


@dg.op(retry_policy=TRANSIENT_RETRIES)
@retry_only_transient()
def forget_old_calls(context: dg.OpExecutionContext, tagging: Tagging) -> None:
    """Delete what the retention settings of the AI no longer keep."""
    from tagging_orchestration.ai.upkeep import clean_up

    project = tagging.project
    done = clean_up(project.pool, project.settings)
    context.log.info(str(done))


@dg.job(description="Delete usage logs, answers, probes and budgets past their retention.", tags=RUN_TAGS)
def clean_up_ai() -> None:
    """Run once a day."""
    forget_old_calls()


ALL_JOBS = [
    ai_enhancement_job,
    enhance_critical_alerts,
    summarize_day,
    summarize_week,
    synchronize_prompts,
    watch_ai,
    clean_up_ai,
]
