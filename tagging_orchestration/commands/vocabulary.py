"""`tagging vocabulary`: people's hand on the tags. Every change is an event and names who made it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.content import find_tag
from tagging_orchestration.commands.options import Function, json_option, limit_option, verbose_option
from tagging_orchestration.commands.output import note, plain, print_json, show, table
from tagging_orchestration.core.errors import UnknownName

if TYPE_CHECKING:
    from tagging_orchestration.core.models import ChangeContext, Tag
    from tagging_orchestration.storage.merges import AppliedMerge, MergeRecord
    from tagging_orchestration.storage.structure import StructureProposal
    from tagging_orchestration.storage.vocabulary_changes import VocabularyEditor
    from tagging_orchestration.wiring import Project

STATUSES = ("active", "retired", "blocked", "merged", "all")
SHORTEST_PREFIX = 6
CHANGES_SHOWN = 30


@click.group
def vocabulary() -> None:
    """List, merge, rename, block, import and export tags.

    TAG is a name, an alias or an id. Contents that a change concerns are re-tagged by the next run.
    """


def reason_option(command: Function) -> Function:
    """`--reason`: why, for the events."""
    return click.option("--reason", default="", help="Why; kept in the history.")(command)


@contextmanager
def _project() -> Iterator[Project]:
    from tagging_orchestration.wiring import Project

    with Project() as project:
        yield project


def _editor(project: Project) -> VocabularyEditor:
    from tagging_orchestration.storage.vocabulary_changes import VocabularyEditor

    return VocabularyEditor(project.pool, project.normaliser)


def _context(project: Project, reason: str, default: str) -> ChangeContext:
    return project.context(f"user:{getpass.getuser()}", reason or default)


# ------------------------------------------------------------------------------------------------- looking


@vocabulary.command("list")
@click.option("--status", type=click.Choice(STATUSES), default="active", show_default=True)
@click.option("--search", metavar="TEXT", help="Only names that hold this text.")
@limit_option(50, "tags")
@json_option
@verbose_option
def list_tags(status: str, search: str | None, limit: int, as_json: bool) -> None:
    """Tags with their use, biggest first."""
    from tagging_orchestration.storage.vocabulary_table import tag_rows

    with _project() as project:
        rows = tag_rows(project.pool, project.settings.organization_id)
    rows = [
        row
        for row in rows
        if status in ("all", row.status) and (not search or search.casefold() in row.name.casefold())
    ]
    rows.sort(key=lambda row: (-row.usage_count, row.name))
    if as_json:
        print_json(rows[:limit])
        return
    view = table(None, "tag", "contents", "by", "status", "other names", right=["contents"], wide=["other names"])
    for row in rows[:limit]:
        aliases = ", ".join(alias for alias, _ in row.aliases)
        pinned = ", pinned" if row.pinned else ""
        by = "people" if row.origin == "human" else "machine"
        view.add_row(plain(row.name), plain(row.usage_count), by, f"{row.status}{pinned}", plain(aliases))
    show(view)
    if len(rows) > limit:
        note(f"{len(rows) - limit:,} more: --limit {len(rows)}")


@vocabulary.command
@limit_option(30, "pairs")
@json_option
@verbose_option
def candidates(limit: int, as_json: bool) -> None:
    """Pairs of tags that may mean the same and wait for a person."""
    from tagging_orchestration.storage.merges import open_candidates

    with _project() as project:
        found = open_candidates(project.pool, project.settings.organization_id, limit)
    if as_json:
        print_json(found)
        return
    view = table(None, "id", "merge", "into", "score", "because", right=["id", "score"], wide=["because"])
    for pair in found:
        view.add_row(
            str(pair.id),
            plain(f"{pair.source_name} ({pair.source_usage})"),
            plain(f"{pair.target_name} ({pair.target_usage})"),
            plain(pair.score),
            plain(_signals(pair.signals)),
        )
    show(view if found else "  no pair waits for a decision")
    if found:
        note("tagging vocabulary accept ID, or refuse ID: a refusal is remembered")


def _signals(signals: Mapping[str, Any]) -> str:
    """What speaks for one tag: likenesses as numbers, circumstances by their name."""
    told = {name.replace("_", " "): value for name, value in signals.items() if value}
    return ", ".join(
        f"{name} {value:.2f}" if isinstance(value, float) and value != 1 else name for name, value in told.items()
    )


@vocabulary.command
@limit_option(30, "merges")
@json_option
@verbose_option
def merges(limit: int, as_json: bool) -> None:
    """Merges of the past, newest first, with the operation that undoes each."""
    with _project() as project:
        found = _merges(project, limit)
    if as_json:
        print_json(found)
        return
    view = table(None, "when (UTC)", "merged", "into", "by", "undone", "operation")
    for merge in found:
        cells = (merge.merged_at, merge.source_name, merge.target_name, merge.actor, merge.undone_at)
        view.add_row(*map(plain, cells), str(merge.operation_id)[:8])
    show(view if found else "  nothing was merged")


def _merges(project: Project, limit: int | None = None) -> list[MergeRecord]:
    from tagging_orchestration.storage import merges as storage

    return storage.merges(project.pool, project.settings.organization_id, limit)


# ------------------------------------------------------------------------------------------------- merging


@vocabulary.command
@click.argument("source")
@click.argument("target")
@reason_option
@json_option
@verbose_option
def merge(source: str, target: str, reason: str, as_json: bool) -> None:
    """Make the tag SOURCE another name of the tag TARGET."""
    from tagging_orchestration.storage import merges as storage

    with _project() as project:
        source_id, target_id = find_tag(project, source).id, find_tag(project, target).id
        done = storage.merge(project.pool, source_id, target_id, _context(project, reason, "merged by hand"))
    _show_merge(done, as_json)


@vocabulary.command
@click.argument("operation")
@reason_option
@json_option
@verbose_option
def undo(operation: str, reason: str, as_json: bool) -> None:
    """Take a merge back and remember that the two are not one.

    OPERATION is the id that the merge printed (its first characters will do); see `tagging vocabulary merges`.
    """
    from tagging_orchestration.storage import merges as storage

    with _project() as project:
        found = _find_merge(project, operation)
        context = _context(project, reason, "merge undone by hand")
        report = storage.undo(project.pool, found.operation_id, context)
    if as_json:
        print_json(report)
        return
    kept = f"; {report.kept:,} changed since and will be re-tagged" if report.kept else ""
    show(
        f"[bold]{plain(report.source_name)}[/] and [bold]{plain(report.target_name)}[/] are two tags again: "
        f"{report.restored:,} assignments restored{kept}"
    )


def _find_merge(project: Project, operation: str) -> MergeRecord:
    wanted = operation.strip().lower()
    found = [merge for merge in _merges(project) if str(merge.operation_id).startswith(wanted)]
    if len(wanted) >= SHORTEST_PREFIX and len(found) == 1:
        return found[0]
    problem = "is the beginning of several" if len(found) > 1 else "is the operation of no merge"
    raise UnknownName(f"{operation!r} {problem}: tagging vocabulary merges lists them")


@vocabulary.command
@click.argument("candidate", type=int)
@reason_option
@json_option
@verbose_option
def accept(candidate: int, reason: str, as_json: bool) -> None:
    """Merge the waiting pair CANDIDATE."""
    from tagging_orchestration.storage import merges as storage

    with _project() as project:
        done = storage.accept(project.pool, candidate, _context(project, reason, "merge accepted"))
    _show_merge(done, as_json)


@vocabulary.command
@click.argument("candidate", type=int)
@reason_option
@json_option
@verbose_option
def refuse(candidate: int, reason: str, as_json: bool) -> None:
    """Decide that the waiting pair CANDIDATE is two tags, for good."""
    from tagging_orchestration.storage import merges as storage

    with _project() as project:
        pair = storage.refuse(project.pool, candidate, _context(project, reason, "merge refused"))
    if as_json:
        print_json(pair)
        return
    show(f"[bold]{plain(pair.source_name)}[/] and [bold]{plain(pair.target_name)}[/] stay two tags")


def _show_merge(done: AppliedMerge, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    show(f"[bold]{plain(done.source_name)}[/] is now another name of [bold]{plain(done.target_name)}[/]")
    note(f"to take it back: tagging vocabulary undo {done.operation_id}")


# ----------------------------------------------------------------------------------------------- structure


@vocabulary.group
def structure() -> None:
    """Broader tags and splits that the nightly care proposes; nothing of it happens unasked."""


@structure.command
@json_option
@verbose_option
def look(as_json: bool) -> None:
    """Look for proposals now, as the nightly care does."""
    from tagging_orchestration.storage import structure as storage

    with _project() as project:
        new = storage.find_and_save(project.pool, project.settings.organization_id)
    if as_json:
        print_json({"new": new})
    else:
        note(f"{new:,} new proposals" if new else "no new proposal")


@structure.command("list")
@limit_option(30, "proposals")
@json_option
@verbose_option
def list_structure(limit: int, as_json: bool) -> None:
    """Proposals that wait for a person, the surest first."""
    from tagging_orchestration.storage.structure import open_proposals

    with _project() as project:
        found = open_proposals(project.pool, project.settings.organization_id, limit)
    if as_json:
        print_json(found)
        return
    view = table(None, "id", "proposal", "score", "because", right=["id", "score"], wide=["proposal", "because"])
    for proposal in found:
        view.add_row(
            str(proposal.id), plain(_proposed(proposal)), plain(proposal.score), plain(_signals(proposal.signals))
        )
    show(view if found else "  no proposal waits for a decision")
    if found:
        note("tagging vocabulary structure accept ID, or refuse ID: a refusal is remembered")


@structure.command("accept")
@click.argument("proposal", type=int)
@reason_option
@json_option
@verbose_option
def accept_structure(proposal: int, reason: str, as_json: bool) -> None:
    """Place or split the tag as PROPOSAL says."""
    from tagging_orchestration.storage import structure as storage

    with _project() as project:
        context = _context(project, reason, "proposal accepted")
        done = storage.accept(project.pool, _editor(project), proposal, context)
    _show_structure(done, "done", as_json)
    if not as_json:
        note(f"to take it back: tagging vocabulary structure undo {done.id}")


@structure.command("refuse")
@click.argument("proposal", type=int)
@reason_option
@json_option
@verbose_option
def refuse_structure(proposal: int, reason: str, as_json: bool) -> None:
    """Decide against PROPOSAL, for good."""
    from tagging_orchestration.storage import structure as storage

    with _project() as project:
        refused = storage.refuse(project.pool, proposal, _context(project, reason, "proposal refused"))
    _show_structure(refused, "refused", as_json)


@structure.command("undo")
@click.argument("proposal", type=int)
@reason_option
@json_option
@verbose_option
def undo_structure(proposal: int, reason: str, as_json: bool) -> None:
    """Take back an accepted PROPOSAL; it is not proposed again."""
    from tagging_orchestration.storage import structure as storage

    with _project() as project:
        undone = storage.undo(project.pool, proposal, _context(project, reason, "proposal undone"))
    _show_structure(undone, "taken back", as_json)


def _proposed(proposal: StructureProposal) -> str:
    if proposal.kind == "broader":
        return f"{proposal.tag_name} below {proposal.parent_name}"
    parts = (f"{part['name']} ({len(part['content_ids']):,})" for part in proposal.parts)
    return f"split {proposal.tag_name} into {', '.join(parts)}"


def _show_structure(proposal: StructureProposal, said: str, as_json: bool) -> None:
    if as_json:
        print_json(proposal)
    else:
        show(f"[bold]{plain(_proposed(proposal))}[/]: {said}")


# ------------------------------------------------------------------------------------------------- one tag


@vocabulary.command
@click.argument("name")
@click.option("--description", help="What it means; the tagger reads it.")
@reason_option
@json_option
@verbose_option
def add(name: str, description: str | None, reason: str, as_json: bool) -> None:
    """Make the tag NAME by hand."""
    with _project() as project:
        context = _context(project, reason, "added by hand")
        tag = _editor(project).add(project.settings.organization_id, name, context, description)
    _show_tag(tag, "is a tag now", as_json)


@vocabulary.command
@click.argument("tag")
@click.argument("name")
@reason_option
@json_option
@verbose_option
def rename(tag: str, name: str, reason: str, as_json: bool) -> None:
    """Give TAG another NAME; the old one stays as an alias."""
    with _project() as project:
        context = _context(project, reason, "renamed by hand")
        renamed = _editor(project).rename(find_tag(project, tag).id, name, context)
    _show_tag(renamed, "is the name now", as_json)


@vocabulary.command
@click.argument("tag")
@click.argument("alias")
@reason_option
@json_option
@verbose_option
def alias(tag: str, alias: str, reason: str, as_json: bool) -> None:
    """Let the spelling ALIAS lead to TAG."""
    with _project() as project:
        context = _context(project, reason, "alias added by hand")
        changed = _editor(project).add_alias(find_tag(project, tag).id, alias, context)
    _show_tag(changed, f"has the alias {alias} now", as_json)


@vocabulary.command
@click.argument("name")
@reason_option
@json_option
@verbose_option
def block(name: str, reason: str, as_json: bool) -> None:
    """Decide that NAME is never a tag, known or not."""
    with _project() as project:
        context = _context(project, reason, "blocked by hand")
        tag = _editor(project).block(project.settings.organization_id, name, context)
    _show_tag(tag, "is blocked: no content carries it any more", as_json)


@vocabulary.command
@click.argument("tag")
@reason_option
@json_option
@verbose_option
def retire(tag: str, reason: str, as_json: bool) -> None:
    """Take TAG out of use; its history stays."""
    with _project() as project:
        context = _context(project, reason, "retired by hand")
        retired = _editor(project).retire(find_tag(project, tag).id, context)
    _show_tag(retired, "is retired", as_json)


@vocabulary.command
@click.argument("tag")
@reason_option
@json_option
@verbose_option
def activate(tag: str, reason: str, as_json: bool) -> None:
    """Bring a blocked or retired TAG back."""
    with _project() as project:
        context = _context(project, reason, "brought back by hand")
        back = _editor(project).activate(find_tag(project, tag).id, context)
    _show_tag(back, "is in use again", as_json)


def _show_tag(tag: Tag, said: str, as_json: bool) -> None:
    if as_json:
        print_json(tag)
    else:
        show(f"[bold]{plain(tag.name)}[/] [dim](id {tag.id})[/] {plain(said)}")


# ------------------------------------------------------------------------------------------------ clusters


@vocabulary.command
@click.argument("source", metavar="IN.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", metavar="OUT.jsonl", type=click.Path(dir_okay=False, path_type=Path))
@verbose_option
def cluster(source: Path, target: Path) -> None:
    """Find which tags of a file mean the same, with the merging of the pipeline; no database is touched.

    IN.jsonl holds {"tag", "domain"?} a line; tags of different domains are never one. OUT.jsonl gets, a line for
    each line and in the same order, {"tag", "cluster", "probability", "automatic"}: tags with one cluster number
    seem to mean the same; probability is how surely the tag belongs to its cluster (or is alone); automatic tags
    of one cluster would be merged without asking.
    """
    from dataclasses import asdict

    from tagging_orchestration.clients.json_lines import write_rows
    from tagging_orchestration.clients.names_file import read_names
    from tagging_orchestration.core.vocabulary.listed import cluster_names
    from tagging_orchestration.wiring import Project

    rows = read_names(source)
    with Project() as project:
        placed = cluster_names(
            rows, project.embedder, project.normaliser, project.settings.vocabulary, project.matcher
        )
    write_rows(target, ({"tag": row.name} | asdict(place) for row, place in zip(rows, placed, strict=True)))
    note(
        f"{len(rows):,} tags in {len({place.cluster for place in placed}):,} clusters, "
        f"{sum(place.automatic for place in placed):,} of them merged automatically: {target}"
    )


# --------------------------------------------------------------------------------------------------- tables


@vocabulary.command("export")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@verbose_option
def export_csv(file: Path | None) -> None:
    """Write the vocabulary as CSV into FILE, or on stdout."""
    from tagging_orchestration.storage.vocabulary_table import export_table

    with _project() as project:
        text = export_table(project.pool, project.settings.organization_id)
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    note(f"wrote {text.count(chr(10)) - 1:,} lines to {file}")


@vocabulary.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@reason_option
@json_option
@verbose_option
def import_csv(file: Any, dry_run: bool, reason: str, as_json: bool) -> None:
    """Bring the vocabulary to what the CSV table FILE says, all of it or nothing ("-": stdin).

    The table is that of `tagging vocabulary export`; columns and tags it leaves out are not touched.
    """
    from tagging_orchestration.core.errors import VocabularyError
    from tagging_orchestration.storage.vocabulary_table import import_table, plan_import

    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file.name} is no UTF-8 text: save it as CSV UTF-8 ({error.reason})") from None
    with _project() as project:
        arguments = (project.pool, project.settings.organization_id, text, project.normaliser)
        if dry_run:
            plan = plan_import(*arguments)
        else:
            plan = import_table(*arguments, _context(project, reason, f"import of {Path(file.name).name}"))
    if as_json:
        print_json(plan)
    else:
        for change in plan.changes[:CHANGES_SHOWN]:
            told = "new" if change.is_new else _differences(change)
            show(f"  [bold]{plain(change.name)}[/] {plain(told)}")
        changed = f"{len(plan.changes):,} tags {'would change' if dry_run else 'changed'}"
        note(changed if plan.changes else "nothing to change: the vocabulary is as the table says")
    if plan.issues:
        raise VocabularyError("\n".join(["the table has mistakes:", *(f"  {issue}" for issue in plan.issues)]))


def _differences(change: Any) -> str:
    return "; ".join(f"{item.column}: {item.before or '—'} → {item.after or '—'}" for item in change.differences)
