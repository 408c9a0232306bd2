"""The four integration points: alerts, insights, recommendations and executive summary, each beside its base."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from tagging_orchestration.defs.enhancements.providers import prompt_templates, provider_health
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

if TYPE_CHECKING:
    from tagging_orchestration.ai.service import EnhancementService
    from tagging_orchestration.core.enhancement.envelopes import EnhanceReport

# An asset whose step asks a language model.
asking = partial(
    dg.asset,
    group_name="ai",
    kinds={"ollama", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    pool="llm",
    retry_policy=TRANSIENT_RETRIES,
)


def _enhance(tagging: Tagging, work: Callable[["EnhancementService"], "EnhanceReport"]) -> dg.MaterializeResult:
    """Open the service, do the work and tell what came of it. That a model failed is a figure, no failure."""
    from tagging_orchestration.ai.access import enhancement_service

    with enhancement_service(tagging.project) as service:
        done = work(service)
    return dg.MaterializeResult(
        metadata={
            "status": done.status,
            "enhanced": done.enhanced,
            "from_cache": done.from_cache,
            "failed": sum(done.failed.values()),
            "skipped": done.skipped,
            "tokens": done.tokens,
            "cost_usd": done.cost_usd,
            "failures": table(["what", "how often"], sorted(done.failed.items(), key=lambda item: -item[1])),
            "said": done.reason or "done",
        }
    )


class AlertConfig(dg.Config):
    """`only_critical`: leave the others to the next run. `limit`: alerts a run, as set by default."""

    only_critical: bool = False
    limit: int | None = None


@asking(
    deps=[prompt_templates, provider_health, "dashboard_alerts"],
    description="警示深化分析: summary, root causes, actions, time line of open alerts, each claim with "
    "references that resolve. Only alerts whose data or prompt changed are asked about, critical ones first. A "
    "failure is noted and leaves the alert as it is.",
)
@retry_only_transient()
def alert_enhancements(
    context: dg.AssetExecutionContext, config: AlertConfig, tagging: Tagging
) -> dg.MaterializeResult:
    """Enhance open alerts that are pending."""
    progress = step_progress(context, "Asking about alerts")
    return _enhance(
        tagging,
        lambda service: service.enhance_alerts(
            progress, limit=config.limit, only_critical=config.only_critical, run_id=context.run_id
        ),
    )


@asking(
    deps=[prompt_templates, provider_health, "business_insights"],
    description="洞察深化分析: what lies behind an insight, its opportunities, risks and actions.",
)
@retry_only_transient()
def insight_enhancements(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Deepen the present insights."""
    progress = step_progress(context, "Asking about insights")
    return _enhance(tagging, lambda service: service.deepen_insights(progress, context.run_id))


@asking(
    deps=[prompt_templates, provider_health, "strategic_recommendations"],
    description="建議優化: the present recommendations in the order a model would follow, with feasibility, "
    "resources and time. None is added and none is lost.",
)
@retry_only_transient()
def recommendation_enhancements(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Order the present recommendations."""
    progress = step_progress(context, "Asking for an order")
    return _enhance(tagging, lambda service: service.optimize_all(progress, context.run_id))


@asking(
    key=["executive_summary", "daily"],
    deps=["unified_content", alert_enhancements, insight_enhancements, recommendation_enhancements],
    partitions_def=dg.DailyPartitionsDefinition(start_date="2020-01-01", end_offset=1),
    description="執行摘要: one business day in a headline, findings and what to do first.",
)
@retry_only_transient()
def daily_summary(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Summarise the day of the partition."""
    day = date.fromisoformat(context.partition_key)
    return _enhance(tagging, lambda service: service.summarise("daily", day, run_id=context.run_id))


@asking(
    key=["executive_summary", "weekly"],
    deps=["unified_content", alert_enhancements, insight_enhancements, recommendation_enhancements],
    partitions_def=dg.WeeklyPartitionsDefinition(start_date="2020-01-06", day_offset=1, end_offset=1),
    description="執行摘要: one business week, Monday to Sunday.",
)
@retry_only_transient()
def weekly_summary(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Summarise the week that begins on the day of the partition."""
    last_day = date.fromisoformat(context.partition_key) + timedelta(days=6)
    return _enhance(tagging, lambda service: service.summarise("weekly", last_day, run_id=context.run_id))
