"""`tagging run`, `load`, `retag` and `retry`: work done by Dagster's jobs, started and watched from here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.dagster_runs import JobOutcome, JobRunner, dagster_instance, problems_of
from tagging_orchestration.commands.options import (
    DATE_HELP,
    Function,
    Moment,
    is_verbose,
    json_option,
    one_of,
    verbose_option,
)
from tagging_orchestration.commands.output import moment, note, plain, print_json, show, table
from tagging_orchestration.commands.run_display import RunDisplay
from tagging_orchestration.core.errors import TaggingError

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import RenderableType

    from tagging_orchestration.core.models import PendingPeriod, RejectedRow
    from tagging_orchestration.settings import Settings
    from tagging_orchestration.storage.source_loads import SourceLoad
    from tagging_orchestration.wiring import Project

CHANGES = ("inserted", "updated", "tombstoned")
REJECTIONS_SHOWN = 20
UP_TO_DATE = "  nothing to re-tag: every content is up to date"


class RunFailed(TaggingError):
    """A run failed, or a blocking quality gate stopped it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command needs to run jobs: the project, Dagster's instance, and the display."""

    project: Project
    instance: dg.DagsterInstance
    runner: JobRunner
    display: RunDisplay


@contextmanager
def open_desk() -> Iterator[Desk]:
    """The project with its database started and migrated, Dagster's instance, and an open display."""
    from tagging_orchestration.wiring import Project

    with Project() as project:
        # Before the display takes the screen: a database that does not start says so in full.
        _ = project.pool
        with dagster_instance() as instance, RunDisplay(verbose=is_verbose()) as display:
            yield Desk(project, instance, JobRunner(instance, display, verbose=is_verbose()), display)


def from_option(command: Function) -> Function:
    """`--from`: contents created then or later."""
    return click.option(
        "--from", "start", type=Moment(), metavar="DATE", help=f"Contents created then or later. {DATE_HELP}"
    )(command)


def to_option(command: Function) -> Function:
    """`--to`: contents created then or earlier."""
    return click.option(
        "--to", "end", type=Moment(last=True), metavar="DATE", help="Contents created then or earlier."
    )(command)


# ----------------------------------------------------------------------------------------------- commands


@click.command
@click.option(
    "--input",
    "path",
    type=click.Path(exists=True, resolve_path=True, path_type=Path),
    help="A file or folder to load instead of the sources of tagging.yaml.",
)
@from_option
@to_option
@click.option("--all", "everything", is_flag=True, help="Run every step even when nothing is pending.")
@json_option
@verbose_option
def run(path: Path | None, start: datetime | None, end: datetime | None, everything: bool, as_json: bool) -> None:
    """Load, tag what is pending, refresh metrics, and sum up.

    What is up to date costs nothing: run it as often as you like. --from and --to restrict what is tagged.
    Where tagging.yaml names facts of a business, they are loaded too and its metrics, alerts and report refreshed.
    """
    from tagging_orchestration.commands.ai_runs import enhance_business, propose_tags
    from tagging_orchestration.commands.business import refresh_business
    from tagging_orchestration.commands.summary import build_summary, summary_view

    began = time.monotonic()
    with open_desk() as desk:
        desk.display.heading("Loading contents")
        outcomes = [desk.runner.run_job("load_contents", load_config(path=path))]
        _raise_on_failure(outcomes)
        changed = any(outcomes[0].facts.get("raw_content", {}).get(name) for name in CHANGES)
        periods = pending_periods(desk.project, start, end)
        partitions = partition_range(desk.project, periods, start, end, everything=everything)
        if partitions:
            outcomes.append(tag(desk, periods, partitions))
            _raise_on_failure(outcomes)
        else:
            desk.display.line("nothing is pending: no text was encoded and no model loaded")
        proposed = propose_tags(desk)
        if proposed and (periods := pending_periods(desk.project, start, end)):
            again = partition_range(desk.project, periods, start, end)
            assert again is not None  # noqa: S101 (periods are not empty)
            outcomes.append(tag(desk, periods, again))
            _raise_on_failure(outcomes)
            partitions = again
        if partitions or changed:
            desk.display.heading("Refreshing weights, relationships and metrics")
            outcomes.append(desk.runner.run_job("refresh_projections"))
            _raise_on_failure(outcomes)
        outcomes += refresh_business(desk, load=path is None, everything=everything)
        _raise_on_failure(outcomes)
        # The language model's outcomes are kept apart: their failure stops nothing.
        outcomes += [*proposed, *enhance_business(desk)]
        summary = build_summary(desk.project, desk.instance, outcomes, time.monotonic() - began)
    if as_json:
        print_json(summary)
    else:
        show("", *summary_view(summary))
    if summary.failed_gates:
        names = ", ".join(gate.name for gate in summary.failed_gates)
        raise RunFailed(f"quality gates failed: {names}")


@click.command
@click.argument("path", required=False, type=click.Path(exists=True, resolve_path=True, path_type=Path))
@click.option("--source", "sources", multiple=True, help="Only this source of tagging.yaml; repeatable.")
@click.option(
    "--allow-mass-removal",
    is_flag=True,
    help="Accept that many contents are gone from a full snapshot (else the load is refused as an accident).",
)
@json_option
@verbose_option
def load(path: Path | None, sources: tuple[str, ...], allow_mass_removal: bool, as_json: bool) -> None:
    """Only load: the file or folder PATH, else the sources of tagging.yaml."""
    if path and sources:
        raise click.UsageError("give either a PATH or --source, not both")
    from tagging_orchestration.settings import get_settings

    declared = [source.name for source in get_settings().sources]
    names = [one_of(source, declared, "source in tagging.yaml") for source in sources]
    config = load_config(path=path, sources=names, allow_mass_removal=allow_mass_removal)
    began = datetime.now(UTC)
    with open_desk() as desk:
        desk.display.heading("Loading contents")
        outcome = desk.runner.run_job("load_contents", config)
        _raise_on_failure([outcome])
        loads = loads_since(desk.project, began)
    figures = {name: value for name, value in outcome.facts["raw_content"].items() if isinstance(value, int)}
    if as_json:
        print_json({**figures, "run_id": outcome.run_id, "loads": loads})
    else:
        show("", *load_view(figures, loads))


@click.command
@from_option
@to_option
@click.option("--dry-run", is_flag=True, help="Only say what would be re-tagged.")
@json_option
@verbose_option
def retag(start: datetime | None, end: datetime | None, dry_run: bool, as_json: bool) -> None:
    """Re-tag what another tagger version tagged, over a range of time.

    That is after a change of model, rules or settings; contents whose text changed are tagged too. It is one
    Dagster run over the partitions of the range. What is up to date is not touched, and old tags are served
    until the new ones stand.
    """
    if dry_run:
        from tagging_orchestration.wiring import Project

        with Project() as project:
            periods = pending_periods(project, start, end)
        show_periods(periods, as_json)
        return
    with open_desk() as desk:
        periods = pending_periods(desk.project, start, end)
        outcomes = []
        if periods:
            partitions = partition_range(desk.project, periods, start, end)
            assert partitions is not None  # noqa: S101 (periods are not empty)
            outcomes.append(tag(desk, periods, partitions))
            _raise_on_failure(outcomes)
    show_tagged(outcomes, UP_TO_DATE, as_json)


@click.command
@click.argument("contents", nargs=-1)
@json_option
@verbose_option
def retry(contents: tuple[str, ...], as_json: bool) -> None:
    """Tag failed contents again: the given ones, or all.

    CONTENT is an id, or source:external_id.
    """
    with open_desk() as desk:
        released = release_failed(desk.project, contents)
        outcomes = []
        if released:
            periods = pending_periods(desk.project, None, None)
            partitions = partition_range(desk.project, periods, None, None)
            if partitions:
                outcomes.append(tag(desk, periods, partitions))
                _raise_on_failure(outcomes)
        still = desk.project.stores.contents.failed(20)
    if not as_json:
        note(f"{released:,} failed contents were tried again" if released else "nothing has failed")
    show_tagged(outcomes, "", as_json, retried=released, failed=still)
    if still:
        reasons = "; ".join(f"{row.source}:{row.external_id}: {row.error}" for row in still[:5])
        raise RunFailed(f"{len(still)} contents failed again: {reasons}")


# ------------------------------------------------------------------------------------------------- pieces


def load_config(
    *, path: Path | None = None, sources: Sequence[str] = (), allow_mass_removal: bool = False
) -> dict[str, Any]:
    """Run configuration of `load_contents`."""
    config: dict[str, Any] = {"allow_mass_removal": allow_mass_removal}
    if path:
        config["input"] = str(path)
    if sources:
        config["sources"] = list(sources)
    return {"ops": {"raw_content": {"config": config}}}


def pending_periods(project: Project, start: datetime | None, end: datetime | None) -> list[PendingPeriod]:
    """Partitions with pending contents that overlap the range, oldest first."""
    from tagging_orchestration.core.planning import next_period

    settings = project.settings
    found = project.stores.contents.pending_periods(
        settings.partitions, project.engine.version_id, now=datetime.now(UTC), include_stale_version=True
    )
    return sorted(
        (
            period
            for period in found
            if (end is None or period.start <= end)
            and (start is None or next_period(period.start, settings.partitions.period) > start)
        ),
        key=lambda period: period.start,
    )


def partition_range(
    project: Project,
    periods: Sequence[PendingPeriod],
    start: datetime | None,
    end: datetime | None,
    *,
    everything: bool = False,
) -> tuple[str, str] | None:
    """First and last partition key to run; None when there is nothing to run.

    With `everything`, all partitions that hold contents count as pending.
    """
    from tagging_orchestration.defs.partitions import partition_key

    starts = [period.start for period in periods]
    if everything:
        starts += _content_periods(project, start, end)
    return (partition_key(min(starts)), partition_key(max(starts))) if starts else None


def _content_periods(project: Project, start: datetime | None, end: datetime | None) -> list[datetime]:
    """Starts of the first and the last partition that hold contents, inside the range."""
    from tagging_orchestration.core.planning import clamp_to_partition, first_period
    from tagging_orchestration.storage.quality import coverage_over_time

    partitions = project.settings.partitions
    months = coverage_over_time(project.pool, limit=100_000)
    moments = [month.period for month in months]
    inside = [max(moments[0], start or moments[0]), min(moments[-1], end or moments[-1])] if moments else []
    first = first_period(partitions.start, partitions.period)
    return [
        clamp_to_partition(moment, first=first, now=datetime.now(UTC), period=partitions.period)
        for moment in inside
    ]


def tag(desk: Desk, periods: Sequence[PendingPeriod], partitions: tuple[str, str]) -> JobOutcome:
    """Run `tag_contents` over a range of partitions."""
    from tagging_orchestration.defs.schedules import pending_run_config

    count = sum(period.count for period in periods)
    desk.display.heading(f"Tagging {count:,} pending contents ({span(partitions, desk.project.settings)})")
    return desk.runner.run_job("tag_contents", pending_run_config(include_stale_version=True), partitions)


def span(partitions: tuple[str, str], settings: Settings) -> str:
    """A range of partition keys as people say it."""
    first, last = (key[:7] if settings.partitions.period == "monthly" else key for key in partitions)
    return first if first == last else f"{first} to {last}"


def release_failed(project: Project, contents: Sequence[str]) -> int:
    """Make failed contents pending again, the named ones or all; how many."""
    from tagging_orchestration.commands.content import find_content

    ids = [find_content(project, text).id for text in contents]
    return project.stores.contents.release_failed(ids or None)


@dataclass(frozen=True, slots=True)
class LoadWithRejections:
    """One load of one source, and the first rows it rejected."""

    load: SourceLoad
    rejections: list[RejectedRow]


def loads_since(project: Project, began: datetime) -> list[LoadWithRejections]:
    """The loads that read their source since `began`; an unchanged source is not read."""
    from tagging_orchestration.storage.source_loads import latest_loads, rejections

    return [
        LoadWithRejections(load, rejections(project.pool, load.id, REJECTIONS_SHOWN) if load.rejected else [])
        for load in latest_loads(project.pool)
        if load.started_at >= began
    ]


def load_view(figures: Mapping[str, int], loads: Sequence[LoadWithRejections]) -> list[RenderableType]:
    """What a load did, and why it rejected rows."""
    numbers = ("read", "new", "changed", "unchanged", "gone", "rejected")
    view = table(None, "source", *numbers, right=numbers)
    for item in loads:
        load = item.load
        counts = (load.rows_read, load.inserted, load.updated, load.unchanged, load.tombstoned, load.rejected)
        view.add_row(plain(load.source), *map(plain, counts))
    parts: list[RenderableType] = [view] if loads else ["  nothing to read: no source changed since its last load"]
    for item in loads:
        if not item.rejections:
            continue
        rejected = table(
            f"Rejected rows of {item.load.source}", "row", "column", "why", right=["row"], wide=["why"]
        )
        for row in item.rejections:
            rejected.add_row(plain(row.row_number), plain(row.column), plain(row.message))
        parts += ["", rejected]
    if figures.get("withheld"):
        parts.append(f"  {figures['withheld']:,} contents seem gone but stay: unreadable rows may be theirs")
    return parts


def show_periods(periods: Sequence[PendingPeriod], as_json: bool) -> None:
    """What a re-tagging would work on, by partition."""
    if as_json:
        print_json({"contents": sum(period.count for period in periods), "periods": periods})
        return
    view = table(None, "contents created from", "to be re-tagged", right=["to be re-tagged"])
    for period in periods:
        view.add_row(moment(period.start)[:10], plain(period.count))
    view.add_section()
    view.add_row("all", plain(sum(period.count for period in periods)))
    show(view if periods else UP_TO_DATE)


def show_tagged(outcomes: Sequence[JobOutcome], nothing: str, as_json: bool, **more: Any) -> None:
    """What a tagging run did."""
    facts: dict[str, Any] = dict(next((outcome.facts.get("content_tags", {}) for outcome in outcomes), {}))
    if as_json:
        print_json({**facts, "run_ids": [outcome.run_id for outcome in outcomes], **more})
    elif facts:
        show(
            f"  {facts['contents']:,} contents re-tagged: {facts['associated']:,} tags added, "
            f"{facts['dissociated']:,} taken away, {facts['updated']:,} changed, {facts['unchanged']:,} as before"
        )
    elif nothing:
        show(nothing)


def _raise_on_failure(outcomes: Sequence[JobOutcome]) -> None:
    problems = problems_of(outcomes)
    if problems:
        ids = ", ".join(outcome.run_id for outcome in outcomes if not outcome.success)
        raise RunFailed(
            "\n".join(problems) + f"\n(run {ids}; what was committed stands, the rest is still pending)"
        )
