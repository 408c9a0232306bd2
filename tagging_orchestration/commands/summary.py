"""The summary at the end of `tagging run`: what is there now, examples with their reasons, gates, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagging_orchestration.commands.business import BusinessSummary, build_business_summary, business_view
from tagging_orchestration.commands.dagster_runs import Gate, JobOutcome, latest_gates
from tagging_orchestration.commands.output import duration, plain, shorten
from tagging_orchestration.commands.status import (
    FAILED_SHOWN,
    Figures,
    failed_view,
    figures_view,
    gates_view,
    measure,
)

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import RenderableType

    from tagging_orchestration.core.models import Content, FailedContent
    from tagging_orchestration.storage.quality import BigTag
    from tagging_orchestration.wiring import Project

BIGGEST = 10
EXAMPLES = 3
LOOKED_AT = 8
TEXT_SHOWN = 300
BAR_WIDTH = 36


@dataclass(frozen=True, slots=True)
class TagReason:
    """One tag of an example content and why it is there, in words."""

    tag: str
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Example:
    """One content with its tags."""

    content: str
    title: str
    text: str
    language: str
    tags: tuple[TagReason, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything the end of a run says. `seconds_by_job` and `seconds` are wall time."""

    figures: Figures
    loaded: Mapping[str, int]
    embeddings_computed: int
    embeddings_reused: int
    biggest_tags: Sequence[BigTag]
    examples: Sequence[Example]
    business: BusinessSummary | None
    gates: Sequence[Gate]
    failed_contents: Sequence[FailedContent]
    seconds: float
    seconds_by_job: Mapping[str, float]
    run_ids: Sequence[str]

    @property
    def failed_gates(self) -> list[Gate]:
        """Gates that say more than a warning."""
        return [gate for gate in self.gates if gate.failed]


def build_summary(
    project: Project, instance: dg.DagsterInstance, outcomes: Sequence[JobOutcome], seconds: float
) -> Summary:
    """Read the state after the runs."""
    from tagging_orchestration.storage.quality import biggest_tags

    facts = {asset: figures for outcome in outcomes for asset, figures in outcome.facts.items()}
    embedded = facts.get("content_embeddings", {})
    biggest = biggest_tags(project.pool, BIGGEST)
    return Summary(
        figures=measure(project),
        loaded={name: value for name, value in facts.get("raw_content", {}).items() if isinstance(value, int)},
        embeddings_computed=embedded.get("texts_encoded", 0),
        embeddings_reused=embedded.get("texts_reused", 0),
        biggest_tags=biggest,
        examples=pick_examples(project, biggest),
        business=build_business_summary(project),
        gates=latest_gates(instance),
        failed_contents=project.stores.contents.failed(FAILED_SHOWN),
        seconds=round(seconds, 2),
        seconds_by_job={outcome.job: round(outcome.seconds, 2) for outcome in outcomes},
        run_ids=[outcome.run_id for outcome in outcomes],
    )


def pick_examples(project: Project, tags: Sequence[BigTag]) -> list[Example]:
    """Contents of the biggest tags that show most: in several languages, tagged for many kinds of reasons."""
    from tagging_orchestration.storage.history import contents_of_tag

    ids = dict.fromkeys(
        row.content_id for tag in tags for row in contents_of_tag(project.pool, tag.id, limit=LOOKED_AT)
    )
    generated = {row.content_id: row.language for row in project.stores.generated.load(list(ids))}
    found = [
        _example(project, content, generated.get(content.id, "und"))
        for content in project.stores.contents.load(list(ids))
    ]
    chosen: list[_Candidate] = []
    while found and len(chosen) < EXAMPLES:
        best = max(found, key=lambda candidate: _worth_showing(candidate, chosen))
        found.remove(best)
        chosen.append(best)
    return [candidate.example for candidate in chosen]


def _worth_showing(candidate: _Candidate, chosen: Sequence[_Candidate]) -> tuple[bool, int, int]:
    """Rank of an example beside those chosen: another language, then new tags of the machine's, then reasons."""
    languages = {other.example.language for other in chosen}
    shown = {tag for other in chosen for tag in other.by_machine}
    return (
        candidate.example.language not in languages,
        len(candidate.by_machine - shown),
        len(candidate.methods),
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A content that may be an example, its tags that no person gave, and the kinds of reasons it shows."""

    example: Example
    by_machine: frozenset[str]
    methods: frozenset[str]


def _example(project: Project, content: Content, language: str) -> _Candidate:
    from tagging_orchestration.commands.reasons import why
    from tagging_orchestration.storage.evidence import evidence_from
    from tagging_orchestration.storage.history import tags_of_content

    rows = [(row, evidence_from(row.evidence)) for row in tags_of_content(project.pool, content.id)]
    example = Example(
        content=f"{content.source}:{content.external_id}",
        title=content.title,
        text=content.body[:TEXT_SHOWN],
        language=language,
        tags=tuple(TagReason(row.name, round(row.confidence, 4), why(evidence)) for row, evidence in rows),
    )
    return _Candidate(
        example,
        by_machine=frozenset(row.name for row, _ in rows if row.origin == "machine"),
        methods=frozenset(str(item.method) for _, evidence in rows for item in evidence),
    )


def summary_view(summary: Summary) -> list[RenderableType]:
    """The summary for people, at most 100 columns wide."""
    from rich.rule import Rule
    from rich.text import Text

    parts: list[RenderableType] = [Rule(Text(_headline(summary), style="bold"), align="left"), ""]
    parts += figures_view(summary.figures)
    parts.append(Text(f"  {_embedded(summary)}", style="dim"))
    if summary.biggest_tags:
        parts += ["", Text("Biggest tags", style="bold"), biggest_view(summary.biggest_tags)]
    if summary.examples:
        title = f"{('One content', 'Two contents', 'Three contents')[len(summary.examples) - 1]}, tagged, and why"
        parts += ["", Text(title, style="bold"), *(example_view(example) for example in summary.examples)]
    if summary.business:
        parts += ["", *business_view(summary.business)]
    parts += ["", Text(_gates_headline(summary.gates), style="bold"), *gates_view(list(summary.gates))]
    if summary.failed_contents:
        parts += ["", failed_view(list(summary.failed_contents))]
    times = ", ".join(f"{job.replace('_', ' ')} {duration(took)}" for job, took in summary.seconds_by_job.items())
    parts += ["", Text(f"Took {duration(summary.seconds)}: {times}.", style="dim")]
    parts += ["", *next_steps(summary)]
    return parts


def biggest_view(tags: Sequence[BigTag]) -> RenderableType:
    """The biggest tags as bars."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column(max_width=34)
    grid.add_column(justify="right")
    grid.add_column()
    largest = max(tag.contents for tag in tags)
    for tag in tags:
        grid.add_row(
            f"  {plain(tag.name)}",
            f"{tag.contents:,}",
            f"[cyan]{'█' * max(1, round(BAR_WIDTH * tag.contents / largest))}[/]",
        )
    return grid


def example_view(example: Example) -> RenderableType:
    """One content, its first words, and a line a tag."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    width = 96
    head = Text.assemble("  ", (shorten(example.title or example.text, width - 30), "bold"), "  ")
    head.append(f"{example.content} · {example.language}", style="dim")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(max_width=34)
    grid.add_column(justify="right")
    grid.add_column()
    for reason in example.tags:
        grid.add_row(f"    {plain(reason.tag)}", f"{reason.confidence:.2f}", f"[dim]{plain(reason.why)}[/]")
    body = (
        [Text(f"  {shorten(example.text, width)}", style="italic dim")] if example.title and example.text else []
    )
    return Group("", head, *body, grid)


def next_steps(summary: Summary) -> list[RenderableType]:
    """How to go on looking."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_row("  See lineage, runs and gates in the browser", "[bold]make ui[/]")
    if summary.examples and summary.examples[0].tags:
        example = summary.examples[0]
        tag = plain(example.tags[0].tag)
        grid.add_row("  All reasons for one tag", f'[bold]tagging explain {plain(example.content)} "{tag}"[/]')
        grid.add_row("  All contents of a tag", f'[bold]tagging find "{tag}"[/]')
    if summary.business:
        grid.add_row("  What alerted, and why", "[bold]tagging alerts incidents[/]")
        grid.add_row("  The executive health report", plain(summary.business.report))
    return [grid]


def _headline(summary: Summary) -> str:
    figures = summary.figures
    return f"{figures.contents:,} contents, {figures.tags_used:,} tags, {figures.assignments:,} assignments"


def _embedded(summary: Summary) -> str:
    loaded = summary.loaded
    changes = ", ".join(
        f"{loaded[name]:,} {said}"
        for name, said in (
            ("inserted", "new"),
            ("updated", "changed"),
            ("tombstoned", "gone"),
            ("rejected", "rejected (tagging load says why)"),
        )
        if loaded.get(name)
    )
    return (
        f"this run: {changes or 'no changes'}; {summary.embeddings_computed:,} embeddings computed, "
        f"{summary.embeddings_reused:,} reused"
    )


def _gates_headline(gates: Sequence[Gate]) -> str:
    passed = sum(gate.passed is True for gate in gates)
    failed = sum(gate.failed for gate in gates)
    warned = sum(gate.passed is False and gate.warning for gate in gates)
    said = [f"{passed} passed"] + [f"{n} {what}" for n, what in ((warned, "warned"), (failed, "failed")) if n]
    return f"Quality gates: {', '.join(said)}"
