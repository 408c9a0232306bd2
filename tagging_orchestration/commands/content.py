"""Commands about contents and their tags: `try`, `tags`, `find`, `explain`, `history`, `similar`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import (
    DATE_HELP,
    Moment,
    as_of_option,
    json_option,
    limit_option,
    verbose_option,
)
from tagging_orchestration.commands.output import moment, plain, print_json, shorten, show, table
from tagging_orchestration.core.errors import UnknownName

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tagging_orchestration.core.models import Content, LlmProposals, Tag
    from tagging_orchestration.core.tagging.explanation import Explanation as Decomposition
    from tagging_orchestration.core.tagging.explanation import WhatIf, WhyNot
    from tagging_orchestration.storage.history import ContentEvent, ContentReference, Explanation, TagEvent
    from tagging_orchestration.storage.tag_proposals import LlmHearing
    from tagging_orchestration.wiring import Project

CONSIDERED = 8
CONTRIBUTIONS = 8
TITLE_WIDTH = 60
WEIGHT_CHANGED = "weight_changed"


# ------------------------------------------------------------------------------------------------- a new text


@click.command("try")
@click.argument("text")
@click.option("--title", default="", help="The text's title.")
@click.option("--language", metavar="CODE", help="en, zh-Hant, zh-Hans, ...; detected when not said.")
@click.option("--llm", "asks_llm", is_flag=True, help="Ask the language model too, whether or not it is used.")
@json_option
@verbose_option
def try_text(text: str, title: str, language: str | None, asks_llm: bool, as_json: bool) -> None:
    """Show the tags a text would get now, and why.

    Nothing is written, but the log of calls with --llm. TEXT "-" reads the text from stdin.
    """
    from tagging_orchestration.commands.reasons import why
    from tagging_orchestration.wiring import Project

    body = sys.stdin.read() if text == "-" else text
    if not (body.strip() or title.strip()):
        raise click.UsageError("the text is empty")
    with Project() as project:
        content = _unsaved(project.settings.organization_id, title, body, language)
        llm = _ask_llm(project, content) if asks_llm else None
        suggestion = project.engine.suggest(content, llm)
    chosen = {assignment.name for assignment in suggestion.assignments}
    considered = [proposal for proposal in suggestion.generated.proposals if proposal.name not in chosen]
    if as_json:
        tags = suggestion.assignments
        told = {"language": suggestion.generated.language, "tags": tags, "considered": considered}
        print_json(told | {"llm": llm} if asks_llm else told)
        return
    view = table(None, "tag", "confidence", "why", right=["confidence"], wide=["why"])
    for assignment in suggestion.assignments:
        new = "" if assignment.tag_id else " [dim](new)[/]"
        view.add_row(plain(assignment.name) + new, plain(assignment.confidence), plain(why(assignment.evidence)))
    show(view)
    if considered:
        names = ", ".join(f"{proposal.name} {proposal.confidence:.2f}" for proposal in considered[:CONSIDERED])
        show(f"[dim]language {suggestion.generated.language}; also considered: {plain(names)}[/]")
    if llm is not None:
        show(*_llm_view(llm))


def _ask_llm(project: Project, content: Content) -> LlmProposals:
    from tagging_orchestration.ai.access import llm_gateway
    from tagging_orchestration.ai.tag_proposals import preview

    with llm_gateway(project) as gateway:
        return preview(project, gateway, content)


def _llm_view(llm: LlmProposals) -> list[RenderableType]:
    """What the language model proposed, or why it did not."""
    if not llm.heard:
        return [f"  the language model was not heard: {plain(llm.reason)}; the tags above stand without it"]
    view = table(
        f"Proposed by {plain(llm.model or 'the language model')}", "tag", "confidence", "from", "reason",
        right=["confidence"], wide=["reason"],
    )  # fmt: skip
    for item in llm.tags:
        view.add_row(plain(item.name), plain(item.confidence), plain(item.quote), plain(item.reason))
    told: list[RenderableType] = ["", view if llm.tags else "  the language model proposed nothing"]
    if llm.refused:
        refused = ", ".join(f"{count} {why}" for why, count in sorted(llm.refused.items()))
        told.append(f"[dim]  refused: {plain(refused)}[/]")
    return told


def _unsaved(organization_id: str, title: str, body: str, language: str | None) -> Content:
    from tagging_orchestration.core.fingerprints import text_hash
    from tagging_orchestration.core.models import Content

    return Content(
        id=0,
        organization_id=organization_id,
        source="try",
        external_id="",
        title=title,
        body=body,
        language=language,
        given_tags=(),
        created_at=datetime.now(UTC),
        text_hash=text_hash(title, body),
        input_hash="",
    )


# ------------------------------------------------------------------------------------------- both directions


@click.command
@click.argument("content")
@as_of_option
@json_option
@verbose_option
def tags(content: str, as_of: datetime | None, as_json: bool) -> None:
    """Tags of a content, heaviest first, and why it has them.

    CONTENT is an id, or source:external_id.
    """
    from tagging_orchestration.commands.reasons import why
    from tagging_orchestration.storage.evidence import evidence_from
    from tagging_orchestration.storage.history import tags_of_content
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = find_content(project, content)
        rows = tags_of_content(project.pool, found.id, as_of)
    if as_json:
        print_json({"content": found, "as_of": as_of, "tags": rows})
        return
    _heading(found, as_of)
    view = table(None, "tag", "confidence", "weight", "why", right=["confidence", "weight"], wide=["why"])
    for row in rows:
        reasons = why(evidence_from(row.evidence))
        view.add_row(plain(row.name), plain(row.confidence), plain(row.weight), plain(reasons))
    show(view if rows else "  no tags" + ("" if as_of else ": tagging run gives it some, if it is pending"))


@click.command
@click.argument("tag")
@as_of_option
@click.option("--since", type=Moment(), metavar="DATE", help=f"Contents created then or later. {DATE_HELP}")
@click.option(
    "--until", type=Moment(last=True), metavar="DATE", help="Contents created then or earlier, the day included."
)
@click.option("--source", help="Contents of this source.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, help="Surer assignments only.")
@click.option("--children", is_flag=True, help="Tags below this one too.")
@limit_option(50, "contents")
@json_option
@verbose_option
def find(
    tag: str,
    as_of: datetime | None,
    since: datetime | None,
    until: datetime | None,
    source: str | None,
    min_confidence: float,
    children: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Contents that carry a tag, heaviest first.

    TAG is a name, an alias or an id.
    """
    from tagging_orchestration.storage.history import contents_of_tag
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = find_tag(project, tag)
        rows = contents_of_tag(
            project.pool,
            found.id,
            as_of=as_of,
            since=since,
            until=until,
            source=source,
            min_confidence=min_confidence,
            include_children=children,
            limit=limit,
        )
    if as_json:
        print_json({"tag": {"id": found.id, "name": found.name, "status": found.status}, "contents": rows})
        return
    view = table(None, "content", "title", "created", "confidence", right=["confidence"], wide=["title"])
    for row in rows:
        # A content that was erased or deleted keeps its place in history, without its title.
        name = f"{row.content_source}:{row.external_id}" if row.external_id else f"{row.content_id} (gone)"
        created = moment(row.created_at)[:10]
        title = plain(shorten(row.title or "", TITLE_WIDTH))
        view.add_row(plain(name), title, created, plain(row.confidence))
    _tag_heading(found, f"{len(rows):,} contents" + (" (more with --limit)" if len(rows) == limit else ""), as_of)
    if rows:
        show(view)


@click.command
@click.argument("content")
@limit_option(10, "contents")
@json_option
@verbose_option
def similar(content: str, limit: int, as_json: bool) -> None:
    """Contents whose texts mean nearly the same, nearest first.

    CONTENT is an id, or source:external_id.
    """
    from tagging_orchestration.storage.history import similar_contents
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = find_content(project, content)
        rows = similar_contents(project.pool, found.id, limit)
    if as_json:
        print_json({"content": found, "similar": rows})
        return
    _heading(found)
    view = table(None, "content", "title", "similarity", right=["similarity"], wide=["title"])
    for row in rows:
        title = plain(shorten(row.title, TITLE_WIDTH))
        view.add_row(plain(f"{row.source}:{row.external_id}"), title, plain(row.similarity))
    show(view if rows else "  nothing to compare with: tagging run computes its embedding")


# --------------------------------------------------------------------------------------------- why and when


@click.command
@click.argument("content")
@click.argument("tag")
@json_option
@verbose_option
def explain(content: str, tag: str, as_json: bool) -> None:
    """Why a content has a tag, or has it not.

    CONTENT is an id, or source:external_id. TAG is a name, an alias or an id.
    """
    from tagging_orchestration.storage.history import explain_assignment
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found, named = find_content(project, content), find_tag(project, tag)
        explanation = explain_assignment(project.pool, found.id, named.id)
        decomposition = _decompose(project, explanation)
        neighbours = _neighbour_names(project, explanation)
        obstacle = _obstacle(project, found.id, named.id) if explanation.confidence is None else None
        changes = _changes(project, explanation)
        heard = _hearing(project, found.id)
    if as_json:
        print_json(
            {
                "content": found,
                "tag": explanation.name,
                "why": explanation,
                "confidence": decomposition,
                "why_not": obstacle,
                "what_if": changes,
                "language_model": heard,
            }
        )
        return
    _heading(found)
    show(*_explanation_view(explanation, decomposition, neighbours, obstacle, changes))
    if heard is not None:
        show("", f"  {plain(_heard(heard))}")
    if explanation.events:
        show("", _assignment_events(explanation.events))


@click.command
@click.argument("name")
@click.option("--content", "kind", flag_value="content", help="NAME is a content.")
@click.option("--tag", "kind", flag_value="tag", help="NAME is a tag.")
@as_of_option
@json_option
@verbose_option
def history(name: str, kind: str | None, as_of: datetime | None, as_json: bool) -> None:
    """Everything that happened to the tags of a content, or to a tag.

    NAME is a content (an id, or source:external_id) or a tag (a name, an alias or an id). An id or a name that is
    both means the content; --tag says otherwise. --as-of leaves out what came later.
    """
    from tagging_orchestration.storage.history import content_history, tag_history
    from tagging_orchestration.wiring import Project

    with Project() as project:
        found = _content_or_tag(project, name, kind)
        is_tag = hasattr(found, "normal_form")
        history_of = tag_history if is_tag else content_history
        events: list[Any] = [
            event for event in history_of(project.pool, found.id) if as_of is None or event.occurred_at <= as_of
        ]
    if as_json:
        print_json({"tag" if is_tag else "content": found, "as_of": as_of, "events": events})
        return
    if is_tag:
        _tag_heading(found, f"{len(events):,} event{'s' if len(events) != 1 else ''}", as_of)
        show(_tag_events(events))
    else:
        _heading(found, as_of)
        show(_content_events(events))


# ------------------------------------------------------------------------------------------------ looking up


def find_content(project: Project, text: str) -> ContentReference:
    """The content a person names. Raises UnknownName."""
    from tagging_orchestration.storage.history import resolve_content

    return resolve_content(project.pool, text, project.settings.organization_id)


def find_tag(project: Project, text: str) -> Tag:
    """The tag a person names. Raises UnknownName, with the nearest names."""
    from tagging_orchestration.storage.history import resolve_tag

    return resolve_tag(project.pool, text, project.settings.organization_id, project.normaliser)


def _content_or_tag(project: Project, text: str, kind: str | None) -> Any:
    if kind == "tag":
        return find_tag(project, text)
    try:
        return find_content(project, text)
    except UnknownName as no_content:
        if kind == "content":
            raise
        try:
            return find_tag(project, text)
        except UnknownName as no_tag:
            raise UnknownName(f"{no_content}; {no_tag}") from None


def _decompose(project: Project, explanation: Explanation) -> Decomposition | None:
    """The confidence taken apart; None when another ranker made it, whose weights are not at hand."""
    from tagging_orchestration.core.tagging.explanation import explain as take_apart
    from tagging_orchestration.storage.evidence import proposals_from

    ranker = project.engine.models.ranker
    if not explanation.proposal or (explanation.tagger or {}).get("ranker", ranker.version) != ranker.version:
        return None
    return take_apart(proposals_from([explanation.proposal])[0], ranker)


def _obstacle(project: Project, content_id: int, tag_id: int) -> WhyNot | None:
    """What keeps the tag away from the content; None when nothing does but a run to come."""
    from tagging_orchestration.core.tagging.explanation import why_not

    stores, organization = project.stores, project.settings.organization_id
    generated = stores.generated.load([content_id])
    return why_not(
        generated[0] if generated else None,
        tag_id,
        stores.vocabulary.load(organization),
        project.engine.selection_parameters(organization),
        stores.feedback.verdicts([content_id]).get(content_id, {}),
    )


def _changes(project: Project, explanation: Explanation) -> list[WhatIf]:
    """What would have changed the machine's decision."""
    from tagging_orchestration.core.tagging.explanation import what_if
    from tagging_orchestration.storage.evidence import proposals_from

    if not explanation.proposal or not explanation.effects:
        return []
    threshold = project.engine.threshold(project.settings.organization_id)
    return what_if(proposals_from([explanation.proposal])[0], threshold)


def _hearing(project: Project, content_id: int) -> LlmHearing | None:
    """Whether the language model was heard on the content, where it is a generator of tags."""
    from tagging_orchestration.storage.tag_proposals import hearing
    from tagging_orchestration.wiring import proposes_tags

    return hearing(project.pool, content_id) if proposes_tags(project.settings) else None


def _heard(heard: LlmHearing) -> str:
    """The same in a sentence."""
    if heard.reason:
        again = f"; asked again after {moment(heard.retry_at)}" if heard.retry_at else ""
        return f"the language model was not heard: {heard.reason} ({moment(heard.created_at)}{again})"
    if not heard.current:
        return "the language model was heard on an earlier text only; it will be asked about this one"
    return f"the language model {heard.model or ''} proposed {heard.tags} tags ({moment(heard.created_at)})"


def _neighbour_names(project: Project, explanation: Explanation) -> dict[int, str]:
    """The contents that evidence refers to, as people name them."""
    ids = {
        neighbour["content_id"]
        for item in _evidence_rows(explanation)
        for neighbour in item["detail"].get("neighbours", ())
    }
    return {row.id: f"{row.source}:{row.external_id}" for row in project.stores.contents.load(sorted(ids))}


def _evidence_rows(explanation: Explanation) -> list[dict[str, Any]]:
    return explanation.evidence or (explanation.proposal or {}).get("evidence", [])


# --------------------------------------------------------------------------------------------------- showing


def _heading(content: ContentReference, as_of: datetime | None = None) -> None:
    title = shorten(content.title, TITLE_WIDTH) if content.title else ""
    gone = f", gone since {moment(content.deleted_at)}" if content.deleted_at else ""
    when = f", as of {moment(as_of)} UTC" if as_of else ""
    name = f"{content.source}:{content.external_id}"
    show(f"[bold]{plain(title or name)}[/]  [dim]{plain(name)} · id {content.id}{gone}{when}[/]")


def _tag_heading(tag: Tag, said: str, as_of: datetime | None) -> None:
    status = "" if tag.status == "active" else f" · {tag.status}"
    when = f", as of {moment(as_of)} UTC" if as_of else ""
    show(f"[bold]{plain(tag.name)}[/]  [dim]id {tag.id}{status} · {said}{when}[/]")


def _explanation_view(
    explanation: Explanation,
    decomposition: Decomposition | None,
    neighbours: dict[int, str],
    obstacle: WhyNot | None,
    changes: Sequence[WhatIf],
) -> list[RenderableType]:
    from rich.table import Table

    from tagging_orchestration.commands.reasons import reason
    from tagging_orchestration.core.tagging.explanation import KIND_MEANINGS
    from tagging_orchestration.storage.evidence import evidence_from

    name = plain(explanation.name)
    if explanation.confidence is not None and explanation.weight is not None:
        who = "people" if explanation.origin == "human" else f"the machine ({explanation.method})"
        parts: list[RenderableType] = [
            f"  has the tag [bold]{name}[/]: confidence {explanation.confidence:.2f}, weight "
            f"{explanation.weight:.2f}, by {who}, since {moment(explanation.assigned_at)}"
        ]
    elif explanation.proposal:
        confidence = explanation.proposal["confidence"]
        parts = [f"  was proposed [bold]{name}[/] with confidence {confidence:.2f}, but does not have it"]
    else:
        parts = [f"  does not have the tag [bold]{name}[/], nor was it proposed"]
    if obstacle is not None:
        parts.append(f"  [bold]{plain(obstacle.reason)}[/]: {plain(obstacle.detail)}")
    for said in explanation.feedback:
        undone = f", taken back by {said['undone_by']}" if said["undone_at"] else ""
        parts.append(
            f"  {plain(said['reviewer'])} said {said['kind']}{plain(undone)} [dim](feedback {said['id']})[/]"
        )
    rows = _evidence_rows(explanation)
    if rows:
        parts += ["", "[bold]Evidence[/]"]
    for item, evidence in zip(rows, evidence_from(rows), strict=True):
        near = ", ".join(
            f"{neighbours.get(row['content_id'], row['content_id'])} ({row['similarity']:.2f})"
            for row in item["detail"].get("neighbours", ())
        )
        parts.append(f"  {plain(reason(evidence))}" + (f"[dim]: {plain(near)}[/]" if near else ""))
    if decomposition and decomposition.contributions:
        parts += ["", f"[bold]What moved the confidence[/] [dim](log-odds, from {decomposition.base:+.2f})[/]"]
        grid = Table.grid(padding=(0, 1))
        for contribution in decomposition.contributions[:CONTRIBUTIONS]:
            colour = "green" if contribution.effect > 0 else "red"
            grid.add_row(f"  [{colour}]{contribution.effect:+.2f}[/]", plain(contribution.meaning))
        parts.append(grid)
    if changes:
        parts += ["", "[bold]What would have changed it[/] [dim](the machine's confidence without …)[/]"]
        grid = Table.grid(padding=(0, 1))
        for change in changes:
            meaning = " and ".join(KIND_MEANINGS.get(kind, kind) for kind in change.without)
            turned = " [bold]← turns the decision[/]" if change.turns else ""
            grid.add_row(f"  {change.confidence:.2f}", plain(meaning) + turned)
        parts.append(grid)
    return parts


def _assignment_events(events: Sequence[dict[str, Any]]) -> RenderableType:
    view = table("History", "when (UTC)", "event", "change", "by", wide=["by"])
    for event in events:
        confidence = _change("", event["confidence_before"], event["confidence_after"])
        weight = _change("weight ", event["weight_before"], event["weight_after"])
        view.add_row(
            moment(datetime.fromisoformat(event["occurred_at"])),
            plain(event["event_type"]),
            weight if event["event_type"] == WEIGHT_CHANGED else confidence,
            plain(_who(event["actor"], event["reason"])),
        )
    return view


def _content_events(events: Sequence[ContentEvent]) -> RenderableType:
    view = table(None, "when (UTC)", "event", "tag", "change", "by", wide=["by"])
    for event in events:
        confidence = _change("", event.confidence_before, event.confidence_after)
        weight = _change("weight ", event.weight_before, event.weight_after)
        view.add_row(
            moment(event.occurred_at),
            plain(event.event_type),
            plain(event.name),
            weight if event.event_type == WEIGHT_CHANGED else confidence,
            plain(_who(event.actor, event.reason)),
        )
    return view


def _tag_events(events: Sequence[TagEvent]) -> RenderableType:
    view = table(
        None, "when (UTC)", "event", "name", "contents after", "by", right=["contents after"], wide=["by"]
    )
    for event in events:
        cells = (event.occurred_at, event.event_type, event.name, event.usage_count)
        view.add_row(*map(plain, cells), plain(_who(event.actor, event.reason)))
    return view


def _who(actor: str, reason: str | None) -> str:
    return f"{actor}, {reason}" if reason else actor


def _change(what: str, before: float | None, after: float | None) -> str:
    shown = ["" if value is None else f"{value:.2f}" for value in (before, after)]
    return what + (shown[1] if not shown[0] or shown[0] == shown[1] else f"{shown[0]} → {shown[1]}".rstrip())
