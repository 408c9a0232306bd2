"""The report with what AI has to say beside it."""

import dagster as dg

from tagging_orchestration.defs.enhancements.enhancements import alert_enhancements
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings


@dg.asset(
    deps=[
        "executive_health_report",
        alert_enhancements,
        "insight_enhancements",
        "recommendation_enhancements",
        ["executive_summary", "daily"],
        ["executive_summary", "weekly"],
    ],
    group_name="ai",
    kinds={"html", "markdown"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="The executive health report with its AI analyses, marked as such, each with confidence and "
    "evidence; one switch hides them. Without any it is the base report, byte for byte.",
)
@retry_only_transient()
def enhanced_report(tagging: Tagging) -> dg.MaterializeResult:
    """Write the page over the base report of the same day."""
    from tagging_orchestration.ai.report import write_enhanced_report

    project = tagging.project
    written = write_enhanced_report(project.pool, project.settings)
    return dg.MaterializeResult(
        metadata={
            "as_of": str(written.report.as_of),
            "path": dg.MetadataValue.path(str(written.path)),
            "report": dg.MetadataValue.md(written.markdown),
            "report_zh": dg.MetadataValue.md(written.markdown_zh),
        }
    )
