"""The business in `tagging run`: facts loaded, alerts refreshed, and the story of the last twelve months."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tagging_orchestration.commands.dagster_runs import JobOutcome
from tagging_orchestration.commands.output import plain, shorten

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from tagging_orchestration.commands.runs import Desk
    from tagging_orchestration.storage.alerts import Alert, IncidentSummary
    from tagging_orchestration.wiring import Project

LOCATION = "business"
STORY_DAYS = 365
TOLD = 12
TITLE_WIDTH = 66


@dataclass(frozen=True, slots=True)
class BusinessSummary:
    """What the business looks like after a run. `incidents` are those of the last twelve months, latest first."""

    as_of: date
    incidents: Sequence[IncidentSummary]
    open_alerts: Sequence[Alert]
    report: Path


def refresh_business(desk: Desk, *, load: bool, everything: bool) -> list[JobOutcome]:
    """Load the facts when `load` and their sources changed, and refresh what is made of them when anything did.

    Empty when there is nothing to do.
    """
    from tagging_orchestration.business.dbt import rules_hash
    from tagging_orchestration.business.load import sources_changed
    from tagging_orchestration.storage.business_runs import pending

    project = desk.project
    outcomes: list[JobOutcome] = []
    if load and (everything or sources_changed(project.pool, project.settings)):
        desk.display.heading("Loading the facts of the business")
        outcomes.append(run_business_job(desk, "load_business_facts"))
        if not outcomes[-1].success:
            return outcomes
    found = pending(project.pool, project.settings.organization_id, rules_hash())
    if found or (everything and found.facts):
        desk.display.heading("Computing metrics, alerts and insights")
        outcomes.append(run_business_job(desk, "refresh_alerts"))
    elif found.facts:
        desk.display.line(f"the business is up to date: {found.said}")
    return outcomes


def run_business_job(desk: Desk, job: str, partitions: tuple[str, str] | None = None) -> JobOutcome:
    """Run a job of the code location of the business, for a range of partitions where it has any."""
    from tagging_orchestration.business.dbt import dbt_environment, ensure_manifest

    settings = desk.project.settings
    ensure_manifest(settings, dbt_environment(settings))
    return desk.runner.run_job(job, partitions=partitions, location=LOCATION)


def build_business_summary(project: Project) -> BusinessSummary | None:
    """Read the state after the runs; None when no refresh was ever finished."""
    from tagging_orchestration.business.report import report_path
    from tagging_orchestration.storage.alerts import list_alerts, list_incidents
    from tagging_orchestration.storage.business_runs import latest_run

    organization = project.settings.organization_id
    last = latest_run(project.pool, organization)
    if last is None or last.as_of is None:
        return None
    return BusinessSummary(
        as_of=last.as_of,
        incidents=list_incidents(project.pool, organization, since=last.as_of - timedelta(days=STORY_DAYS)),
        open_alerts=list_alerts(project.pool, organization, open_only=True),
        report=report_path(project.settings, last.as_of),
    )


def business_view(summary: BusinessSummary) -> list[RenderableType]:
    """The business for people, at most 100 columns wide."""
    from rich.table import Table
    from rich.text import Text

    opened = len(summary.open_alerts)
    head = f"The business on {summary.as_of}: {len(summary.incidents)} incidents in twelve months, " + (
        f"{opened} open alert{'s' * (opened != 1)}" if opened else "no open alert"
    )
    parts: list[RenderableType] = [Text(head, style="bold")]
    if not summary.incidents:
        return parts
    grid = Table.grid(padding=(0, 1))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    ranked = sorted(summary.incidents, key=_weight)[:TOLD]
    for incident in sorted(ranked, key=lambda row: row.opened_on):
        colour = {"critical": "red", "warning": "yellow"}.get(incident.severity, "cyan")
        grid.add_row(
            f"  {_span(incident)}",
            f"[{colour}]{incident.severity}[/]",
            plain(shorten(incident.title, TITLE_WIDTH)),
        )
    parts.append(grid)
    if len(summary.incidents) > TOLD:
        lesser = len(summary.incidents) - TOLD
        parts.append(Text(f"  and {lesser} lesser ones: tagging alerts incidents", style="dim"))
    return parts


def _weight(incident: IncidentSummary) -> tuple[int, int, date]:
    """Heaviest first: open, then by severity, then by the number of alerts."""
    severity = ("critical", "warning", "info").index(incident.severity)
    return (0 if incident.state == "open" else 1) * 10 + severity, -incident.alerts, incident.opened_on


def _span(incident: IncidentSummary) -> str:
    first, last = incident.opened_on, incident.last_seen_on
    if incident.state == "open":
        return f"{first} → open "
    return f"{first}        " if first == last else f"{first} → {last:%m-%d}"
