"""The executive health report with what AI adds beside it.

The base report knows nothing of this module: it is written before, without AI, and stays as it is where anything
here goes wrong.
"""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tagging_orchestration.ai.switch import read_switch
from tagging_orchestration.business.report import WrittenReport, make_report, report_path, write_page
from tagging_orchestration.clients.report.render import render_html, render_markdown
from tagging_orchestration.core.enhancement.shown import Citation, ReportEnhancements, Shown, report_titles, shown
from tagging_orchestration.core.enhancement.subjects import RECOMMENDATIONS
from tagging_orchestration.storage.ai_providers import provider_health, system_settings
from tagging_orchestration.storage.ai_results import (
    Enhancement,
    newest_results,
    resolve_references,
    subject_statuses,
)

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.core.business.report import HealthReport
    from tagging_orchestration.settings import Settings

LOG = logging.getLogger(__name__)


def write_enhanced_report(pool: ConnectionPool, settings: Settings, as_of: date | None = None) -> WrittenReport:
    """Write the report with its enhancements over the base one of that day; without any it is the base one.

    Raises UnknownName for a day before the first metric, as the base does.
    """
    report = make_report(pool, settings, as_of)
    enhancements = report_enhancements(pool, settings, report)
    path = report_path(settings, report.as_of)
    write_page(path, render_html(report, report.business.locale, enhancements=enhancements))
    return WrittenReport(
        report=report,
        path=path,
        markdown=render_markdown(report, "en", enhancements),
        markdown_zh=render_markdown(report, "zh-Hant", enhancements),
    )


def report_enhancements(
    pool: ConnectionPool, settings: Settings, report: HealthReport
) -> ReportEnhancements | None:
    """What AI adds to a report; None where it is off, has nothing to say, or cannot be read. Raises nothing: a
    report must not fail for want of an ornament."""
    if report.past:
        return None
    try:
        return _read(pool, settings, report)
    except Exception as error:
        LOG.warning("the report goes without AI analyses: %s", type(error).__name__)
        LOG.debug("the report goes without AI analyses", exc_info=True)
        return None


def _read(pool: ConnectionPool, settings: Settings, report: HealthReport) -> ReportEnhancements | None:
    switch = read_switch(pool, settings)
    if not switch.is_on or report.as_of is None:
        return None
    organization = settings.organization_id
    threshold = system_settings(pool, settings.ai.environment).settings.quality_control.confidence_threshold
    ids = {
        "alert": [alert.id for situation in report.situations for alert in situation.alerts],
        "insight": [insight.id for insight in report.insights],
        "recommendation": [RECOMMENDATIONS],
        "summary": _summary_ids(report.as_of),
    }
    found = {kind: newest_results(pool, organization, kind, wanted) for kind, wanted in ids.items()}
    statuses = {kind: subject_statuses(pool, organization, kind, wanted) for kind, wanted in ids.items()}
    everything = [one for some in found.values() for one in some.values()]
    citations = _citations(pool, organization, everything, report.business.locale)
    made = {
        kind: {id: _shown(one, report, citations, threshold) for id, one in some.items()}
        for kind, some in found.items()
    }
    return (
        ReportEnhancements(
            settings=switch.wanted,
            healthy=any(
                health.provider.is_active and health.provider.health_status != "unhealthy"
                for health in provider_health(pool)
            ),
            alerts=made["alert"],
            insights=made["insight"],
            recommendations=made["recommendation"].get(RECOMMENDATIONS),
            summaries={
                id.partition(":")[0]: made["summary"][id]
                for id in sorted(found["summary"], key=lambda id: found["summary"][id].created_at)
            },
            loading=sum(status == "loading" for some in statuses.values() for status in some.values()),
        )
        or None
    )


def _summary_ids(day: date) -> list[str]:
    """Subjects of the summaries a day's report shows. A week's may be asked for on any of its days; the schedule
    asks for the one of its Sunday."""
    sunday = day + timedelta(days=6 - day.weekday())
    return [f"daily:{day}", *(f"weekly:{last_day}" for last_day in sorted({day, sunday}))]


def _shown(one: Enhancement, report: HealthReport, citations: dict[str, Citation], threshold: float) -> Shown:
    return shown(
        id=str(one.id),
        subject_type=one.subject_type,
        subject_id=one.subject_id,
        document=one.result or {},
        evidence=one.evidence,
        flags=one.flags,
        confidence=one.confidence,
        degraded=one.degraded,
        citations=citations,
        present_order=report_titles(report, one.template_locale),
        threshold=threshold,
        provider=one.provider_name,
        model=one.model,
        prompt=one.template_key,
        version=one.template_version,
        made_at=one.created_at,
        locale=one.template_locale,
    )


def _citations(
    pool: ConnectionPool, organization: str, found: list[Enhancement], locale: str
) -> dict[str, Citation]:
    """What the cited evidence is called. Leaves of a context are named by their path and value; what leads nowhere
    any more is left out."""
    refs = [str(item.get("ref", "")) for one in found for item in one.evidence]
    made = {
        ref: Citation(ref, known.label, known.detail)
        for ref, known in resolve_references(pool, organization, refs, locale).items()
        if known.found
    }
    for one in found:
        for line in one.variables.get("evidence") or ():
            ref, _, label = str(line).partition(" — ")
            if ref.partition(":")[0] in ("insight", "recommendation", "context"):
                made.setdefault(ref, Citation(ref, label))
    for ref in refs:
        if ref.startswith("context:"):
            made[ref] = Citation(ref, ref.removeprefix("context:"), made[ref].label if ref in made else "")
    return made
