"""What people read: the unified content as one JSON, and the executive health report."""

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import new_figure, plot
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

UPSTREAM = ["dashboard_alerts", "business_insights", "strategic_recommendations"]


@dg.asset(
    deps=UPSTREAM,
    group_name="health",
    kinds={"postgres", "json"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Alerts, insights and recommendations as the one JSON that `get_unified_dashboard_content()` "
    "returns, for any dashboard. Made without any AI.",
)
@retry_only_transient()
def unified_content(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Read the JSON, and note that the refresh is done."""
    from tagging_orchestration.storage.business_runs import finish_run
    from tagging_orchestration.storage.unified_content import read_unified_content

    project = tagging.project
    content = read_unified_content(project.pool, project.settings.organization_id)
    counts = {name: len(content[name]) for name in ("alerts", "insights", "recommendations")}
    finish_run(project.pool, context.run_id, counts)
    return dg.MaterializeResult(metadata={**counts, "content": dg.MetadataValue.json(content)})


@dg.asset(
    deps=[*UPSTREAM, "unified_content", "risk_forecast", "ltv_trend", "inventory_overview", "metrics_current"],
    group_name="health",
    kinds={"html", "markdown", "matplotlib"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="風險預警中心、關鍵業務洞察、戰略行動建議: the executive health report as one HTML page that "
    "needs nothing else, in English and 繁體中文, and the same as Markdown here.",
)
@retry_only_transient()
def executive_health_report(tagging: Tagging) -> dg.MaterializeResult:
    """Write the report's file."""
    from tagging_orchestration.business.report import write_report
    from tagging_orchestration.clients.report.plot import draw_key_metrics

    project = tagging.project
    written = write_report(project.pool, project.settings)
    report = written.report
    figure = new_figure(8.0, 4.4)
    draw_key_metrics(figure, report, report.business.locale)
    return dg.MaterializeResult(
        metadata={
            "as_of": str(report.as_of),
            "health": report.health.level,
            "situations_open": len(report.situations),
            "incidents_told": len(report.history),
            "key_metrics": plot(figure),
            "path": dg.MetadataValue.path(str(written.path)),
            "report": dg.MetadataValue.md(written.markdown),
            "report_zh": dg.MetadataValue.md(written.markdown_zh),
        }
    )
