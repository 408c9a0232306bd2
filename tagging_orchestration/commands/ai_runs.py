"""The language model in `tagging run`: asked where AI is on. Its failure is told, and is nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagging_orchestration.commands.business import run_business_job
from tagging_orchestration.commands.dagster_runs import JobOutcome
from tagging_orchestration.core.errors import TaggingError

if TYPE_CHECKING:
    from tagging_orchestration.commands.runs import Desk


def propose_tags(desk: Desk) -> list[JobOutcome]:
    """Ask for tags of contents that were not asked about, or, where the model is no longer to propose any, make
    what was tagged with its word pending; empty where there is nothing of both."""
    from tagging_orchestration.storage.tag_proposals import proposals_in_use

    project = desk.project
    wanted = project.settings.ai.tags.enabled and _is_on(desk)
    if not wanted and not proposals_in_use(project.pool, project.settings.organization_id):
        return []
    desk.display.heading("Asking the language model for tags" if wanted else "Tagging without the language model")
    _free_the_model(desk)
    return _told(desk, [desk.runner.run_job("propose_tags")])


def enhance_business(desk: Desk) -> list[JobOutcome]:
    """Have alerts, insights, recommendations and the last day enhanced; empty where AI is off."""
    from tagging_orchestration.storage.business_runs import latest_run

    last = latest_run(desk.project.pool, desk.project.settings.organization_id)
    if last is None or last.as_of is None or not _is_on(desk):
        return []
    desk.display.heading("Asking the language model about the business")
    _free_the_model(desk)
    day = last.as_of.isoformat()
    outcomes = [run_business_job(desk, "ai_enhancement_job")]
    if outcomes[0].success:
        outcomes.append(run_business_job(desk, "summarize_day", (day, day)))
    return _told(desk, outcomes)


def _is_on(desk: Desk) -> bool:
    from tagging_orchestration.ai.switch import read_switch

    project = desk.project
    try:
        return read_switch(project.pool, project.settings).is_on
    except TaggingError as error:
        desk.display.line(f"AI stays off: {error}")
        return False


def _free_the_model(desk: Desk) -> None:
    """Take its place at the model from a killed run, which would be waited for without end."""
    from tagging_orchestration.defs.ghosts import free_places_of_ghosts

    free_places_of_ghosts(desk.instance, desk.project.pool)


def _told(desk: Desk, outcomes: list[JobOutcome]) -> list[JobOutcome]:
    for outcome in outcomes:
        for problem in outcome.problems:
            desk.display.line(f"the language model's part failed, all else stands: {problem}")
    return outcomes
