"""`tagging status`: the figures of the whole system, and what ran last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tagging_orchestration.commands.dagster_runs import Gate, PastRun
from tagging_orchestration.commands.options import json_option, limit_option, verbose_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tagging_orchestration.core.models import FailedContent
    from tagging_orchestration.wiring import Project

FAILED_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """Sizes of the system. `pending` waits to be tagged: `stale_text` and `stale_version` say why; `waiting` are
    retries booked for later, `failed` dead letters. `coverage` is the share of contents with enough tags."""

    contents: int
    tagged: int
    coverage: float
    assignments: int
    pending: int
    stale_text: int
    stale_version: int
    waiting: int
    failed: int
    tags: int
    tags_used: int
    single_use_share: float
    events: int
    events_by_type: Mapping[str, int]

    @property
    def tags_per_content(self) -> float:
        """Mean number of tags of a content."""
        return self.assignments / self.contents if self.contents else 0.0


def measure(project: Project) -> Figures:
    """The figures as they are now."""
    from tagging_orchestration.core.models import Scope
    from tagging_orchestration.storage import quality

    covered = quality.coverage(project.pool, project.settings.tagger.min_tags)
    vocabulary = quality.vocabulary_figures(project.pool)
    pending = project.stores.contents.pending_count(Scope(), project.engine.version_id)
    events = quality.event_counts(project.pool)
    return Figures(
        contents=covered.contents,
        tagged=covered.tagged,
        coverage=covered.share,
        assignments=covered.assignments,
        pending=pending.total,
        stale_text=pending.stale_text,
        stale_version=pending.stale_version,
        waiting=pending.waiting,
        failed=pending.failed,
        tags=vocabulary.active,
        tags_used=vocabulary.used,
        single_use_share=vocabulary.single_use_share,
        events=sum(events.values()),
        events_by_type=events,
    )


@click.command
@limit_option(5, "runs")
@json_option
@verbose_option
def status(limit: int, as_json: bool) -> None:
    """Contents, tags, pending, failed, coverage, and the last runs."""
    from tagging_orchestration.commands.dagster_runs import dagster_instance, last_runs, latest_gates
    from tagging_orchestration.commands.output import jsonable, print_json, show
    from tagging_orchestration.wiring import Project

    with Project() as project:
        figures = measure(project)
        failed = project.stores.contents.failed(FAILED_SHOWN)
    with dagster_instance() as instance:
        runs = last_runs(instance, limit)
        gates = latest_gates(instance)
    if as_json:
        print_json({**jsonable(figures), "failed_contents": failed, "last_runs": runs, "gates": gates})
        return
    show(*figures_view(figures))
    if failed:
        show("", failed_view(failed))
    show("", runs_view(runs))
    unmet = [gate for gate in gates if gate.passed is False]
    if unmet:
        show("[bold]Quality gates that did not pass[/]", *gates_view(unmet))


def figures_view(figures: Figures) -> list[RenderableType]:
    """The figures in two columns."""
    from rich.table import Table
    from rich.text import Text

    from tagging_orchestration.commands.output import share

    waits = [
        f"{count:,} {what}"
        for count, what in (
            (figures.stale_text, "with a changed text"),
            (figures.stale_version, "of another tagger version"),
            (figures.waiting, "to be tried again later"),
        )
        if count
    ]
    failed = Text(f"{figures.failed:,}", style="red" if figures.failed else "")
    grid = Table.grid(padding=(0, 2))
    for name, value, said in (
        ("contents", f"{figures.contents:,}", f"{share(figures.coverage)} with enough tags"),
        ("tags", f"{figures.tags_used:,}", f"in use, {figures.single_use_share:.0%} of them once"),
        ("assignments", f"{figures.assignments:,}", f"{figures.tags_per_content:.1f} a content"),
        ("tag events", f"{figures.events:,}", "the permanent history"),
        ("pending", f"{figures.pending:,}", ", ".join(waits)),
        ("failed", failed, "mend the cause, then: tagging retry" if figures.failed else ""),
    ):
        grid.add_row(f"  {name}", value, Text(said, style="dim"))
    grid.columns[1].justify = "right"
    return [grid]


def failed_view(failed: list[FailedContent]) -> RenderableType:
    """Failed contents with their reasons."""
    from tagging_orchestration.commands.output import plain, table

    view = table("Failed contents", "content", "attempts", "tried again", "why", right=["attempts"], wide=["why"])
    for row in failed:
        view.add_row(
            plain(f"{row.source}:{row.external_id}"), plain(row.attempts), plain(row.retry_at), plain(row.error)
        )
    return view


def runs_view(runs: list[PastRun]) -> RenderableType:
    """The latest runs."""
    from rich.text import Text

    from tagging_orchestration.commands.output import duration, moment, table

    if not runs:
        return Text("  nothing ran yet: tagging run", style="dim")
    view = table("Last runs", "started (UTC)", "job", "status", "took", "run", right=["took"])
    for run in runs:
        style = {"success": "green", "failure": "red", "canceled": "yellow"}.get(run.status, "")
        took = duration(run.seconds) if run.seconds is not None else ""
        view.add_row(moment(run.started_at), run.job, Text(run.status, style=style), took, run.run_id[:8])
    return view


def gates_view(gates: list[Gate]) -> list[RenderableType]:
    """One line a quality gate: how it judged and what it said."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    for gate in gates:
        mark, style = (
            ("·", "dim")
            if gate.passed is None
            else ("✓", "green")
            if gate.passed
            else ("!", "yellow")
            if gate.warning
            else ("✗", "red")
        )
        name = gate.name.replace("_", " ")
        said = gate.said if gate.passed is not None else "has not run yet"
        grid.add_row(f"  [{style}]{mark}[/]", name, Text(said, style="dim" if gate.passed else ""))
    return [grid] if gates else []
