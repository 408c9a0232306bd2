"""`tagging feedback` and `tagging review`: people's corrections, and the questions worth asking them."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.content import find_content, find_tag
from tagging_orchestration.commands.options import Function, json_option, limit_option, verbose_option
from tagging_orchestration.commands.output import (
    moment,
    note,
    plain,
    print_json,
    share,
    shorten,
    show,
    table,
)
from tagging_orchestration.core.errors import UnknownName, VocabularyError

if TYPE_CHECKING:
    from tagging_orchestration.core.models import ChangeContext, FeedbackSource
    from tagging_orchestration.storage.feedback import Feedback
    from tagging_orchestration.storage.review import Question
    from tagging_orchestration.wiring import Project

EXCERPT = 240
TITLE_WIDTH = 60
KEYS = "y: yes, n: no, a: add another tag, s: skip, u: undo, q: quit"


@click.group
def feedback() -> None:
    """Correct tags: accept, reject, add, rename, merge. People's word outranks machines at once and for ever.

    CONTENT is an id, or source:external_id. TAG is a name, an alias or an id.
    """


def said_options(command: Function) -> Function:
    """`--note` and `--reviewer`: what is kept beside a correction."""
    command = click.option("--note", "remark", help="Why; kept in the history.")(command)
    return click.option("--reviewer", help="Who says so; you, unless told otherwise.")(command)


# ---------------------------------------------------------------------------------------------- corrections


@feedback.command
@click.argument("content")
@click.argument("tag")
@said_options
@json_option
@verbose_option
def accept(content: str, tag: str, remark: str | None, reviewer: str | None, as_json: bool) -> None:
    """The TAG belongs to the CONTENT."""
    _say("accept", content, tag, remark, reviewer, as_json)


@feedback.command
@click.argument("content")
@click.argument("tag")
@said_options
@json_option
@verbose_option
def reject(content: str, tag: str, remark: str | None, reviewer: str | None, as_json: bool) -> None:
    """The TAG does not belong to the CONTENT; no machine will put it there again."""
    _say("reject", content, tag, remark, reviewer, as_json)


@feedback.command
@click.argument("content")
@click.argument("tag")
@said_options
@json_option
@verbose_option
def add(content: str, tag: str, remark: str | None, reviewer: str | None, as_json: bool) -> None:
    """Put the TAG on the CONTENT, where it stays. A name that is no tag yet becomes one."""
    _say("add", content, tag, remark, reviewer, as_json)


@feedback.command
@click.argument("tag")
@click.argument("name")
@said_options
@json_option
@verbose_option
def rename(tag: str, name: str, remark: str | None, reviewer: str | None, as_json: bool) -> None:
    """Give TAG another NAME; the old one stays as an alias."""
    _say("rename", None, tag, remark, reviewer, as_json, target=name)


@feedback.command
@click.argument("source")
@click.argument("target")
@said_options
@json_option
@verbose_option
def merge(source: str, target: str, remark: str | None, reviewer: str | None, as_json: bool) -> None:
    """Make the tag SOURCE another name of the tag TARGET."""
    _say("merge", None, source, remark, reviewer, as_json, target=target)


@feedback.command
@click.argument("feedback_id", metavar="ID", type=int)
@json_option
@verbose_option
def undo(feedback_id: int, as_json: bool) -> None:
    """Take the correction ID back: the word before it counts again, else the machine's."""
    from tagging_orchestration.storage.feedback import undo_feedback
    from tagging_orchestration.wiring import Project

    with Project() as project:
        done = undo_feedback(project.pool, feedback_id, _context(project))
    if as_json:
        print_json(done)
        return
    show(f"taken back: {_told(done)}")


@feedback.command("list")
@limit_option(30, "corrections")
@json_option
@verbose_option
def list_corrections(limit: int, as_json: bool) -> None:
    """Corrections, newest first."""
    from tagging_orchestration.storage.feedback import list_feedback
    from tagging_orchestration.wiring import Project

    with Project() as project:
        rows = list_feedback(project.pool, project.settings.organization_id, limit)
    if as_json:
        print_json(rows)
        return
    view = table(
        None, "id", "when (UTC)", "by", "correction", "machine", right=["id", "machine"], wide=["correction"]
    )
    for row in rows:
        undone = f" [dim](taken back by {plain(row.undone_by)})[/]" if row.undone_at else ""
        said = plain(_told(row)) + undone
        view.add_row(str(row.id), moment(row.created_at), plain(row.reviewer), said, plain(row.confidence))
    show(view if rows else "  nobody corrected anything yet: tagging review asks the best questions")


@feedback.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--reviewer", help="Who answered, where the table does not say; you, unless told otherwise.")
@json_option
@verbose_option
def import_csv(file: Any, reviewer: str | None, as_json: bool) -> None:
    """Apply the corrections of the CSV table FILE ("-": stdin).

    Columns: content, tag, kind (accept, reject, add, rename, merge; y, n), target, note, reviewer. Rows that
    cannot be applied are refused one by one, with the reason; the others count.
    """
    _import(file, "csv", reviewer, as_json)


@feedback.command
@limit_option(20, "tags")
@json_option
@verbose_option
def stats(limit: int, as_json: bool) -> None:
    """What people's answers say of generators, reviewers and tags."""
    from tagging_orchestration.storage import feedback as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        organization = project.settings.organization_id
        methods = storage.statistics_by_method(project.pool, organization)
        reviewers = storage.statistics_by_reviewer(project.pool, organization)
        tags = storage.statistics_by_tag(project.pool, organization, limit)
    if as_json:
        print_json({"generators": methods, "reviewers": reviewers, "tags": tags})
        return
    if not reviewers:
        show("  nobody corrected anything yet: tagging review asks the best questions")
        return
    numbers = ["accepted", "rejected", "right", "confidence"]
    view = table("Generators", "generator", *numbers, right=numbers)
    for row in methods:
        right = share(row.precision)
        view.add_row(row.method, plain(row.accepted), plain(row.rejected), right, plain(row.mean_confidence))
    show(view)
    numbers = ["accepted", "rejected", "added", "undone", "agreement"]
    view = table("Reviewers", "reviewer", *numbers, right=numbers)
    for row in reviewers:
        agreement = "" if row.agreement is None else f"{share(row.agreement)} of {row.compared}"
        cells = (row.accepted, row.rejected, row.added, row.undone)
        view.add_row(plain(row.reviewer), *map(plain, cells), agreement)
    show("", view)
    numbers = ["accepted", "rejected", "missed", "right"]
    view = table("Tags", "tag", *numbers, right=numbers)
    for row in tags:
        cells = (row.accepted, row.rejected, row.missed)
        view.add_row(plain(row.name), *map(plain, cells), share(row.precision))
    show("", view)


# ------------------------------------------------------------------------------------------------- questions


@click.group(invoke_without_command=True)
@limit_option(50, "questions")
@click.option("--refresh", is_flag=True, help="Compute the questions anew first.")
@click.option("--reviewer", help="Who answers; you, unless told otherwise.")
@verbose_option
@click.pass_context
def review(context: click.Context, limit: int, refresh: bool, reviewer: str | None) -> None:
    """Answer the questions whose answers are worth most, a key each.

    y: the tag belongs to the content, n: it does not, a: add another tag, s: skip, u: undo the last answer,
    q: quit. A question that was answered is never asked again. Keys can be piped in, one a line.
    """
    if context.invoked_subcommand is None:
        _review(limit, refresh, reviewer)


@review.command("export")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@limit_option(200, "questions")
@click.option("--refresh", is_flag=True, help="Compute the questions anew first.")
@verbose_option
def export_csv(file: Path | None, limit: int, refresh: bool) -> None:
    """Write the best questions as CSV into FILE, or on stdout; answer y or n in the column kind."""
    from tagging_orchestration.commands.reasons import why
    from tagging_orchestration.core.feedback.table import QuestionRow, write_questions
    from tagging_orchestration.storage.evidence import evidence_from
    from tagging_orchestration.wiring import Project

    with Project() as project:
        asked = _questions(project, limit, refresh)
    text = write_questions(
        QuestionRow(
            question.content,
            question.tag_name,
            question.assigned,
            question.confidence,
            question.title,
            "".join(_excerpt(question)),
            why(evidence_from(question.evidence)),
        )
        for question in asked
    )
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        # The mark tells spreadsheets that this is UTF-8, so that Chinese survives.
        file.write_text(text, encoding="utf-8-sig", newline="")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    note(f"wrote {len(asked):,} questions to {file}: answer in the column kind, then tagging review import {file}")


@review.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--reviewer", help="Who answered, where the table does not say; you, unless told otherwise.")
@json_option
@verbose_option
def import_answers(file: Any, reviewer: str | None, as_json: bool) -> None:
    """Apply the answers in the CSV table FILE ("-": stdin); unanswered rows are left for later."""
    _import(file, "review", reviewer, as_json)


def _review(limit: int, refresh: bool, reviewer: str | None) -> None:
    from tagging_orchestration.wiring import Project

    with Project() as project:
        asked = _questions(project, limit, refresh)
        if not asked:
            note("no open questions: tag more contents, or tagging review --refresh")
            return
        answers = _answer(project, asked, _keys(), reviewer)
    note(f"{answers:,} answered, {len(asked) - answers:,} left of these {len(asked):,}")


def _questions(project: Project, limit: int, refresh: bool) -> list[Question]:
    from tagging_orchestration.storage.review import questions, queue_size, refresh_queue

    organization = project.settings.organization_id
    if refresh or not queue_size(project.pool, organization):
        refresh_queue(project.pool, organization, project.engine.threshold(organization))
    return questions(project.pool, organization, limit)


def _answer(project: Project, asked: Sequence[Question], keys: Iterator[str], reviewer: str | None) -> int:
    """Ask, apply and take back until the questions or the keys end. Returns how many answers stand."""
    from tagging_orchestration.core.models import Correction, FeedbackKind, FeedbackSource
    from tagging_orchestration.storage.feedback import undo_feedback

    given: list[tuple[int, Feedback]] = []
    number = 0
    shown = -1
    while number < len(asked):
        question = asked[number]
        if shown != number:
            _show_question(question, number + 1, len(asked))
            shown = number
        key = next(keys, "q").lower()
        if key == "q":
            break
        if key == "s":
            number += 1
        elif key in ("y", "n"):
            kind = FeedbackKind.ACCEPT if key == "y" else FeedbackKind.REJECT
            correction = Correction(
                kind, question.tag_name, question.content_id, question.tag_id, reviewer=reviewer
            )
            given.append((number, _give(project, [correction], FeedbackSource.REVIEW)[0]))
            number += 1
        elif key == "a":
            name = (next(keys, "") if not sys.stdin.isatty() else click.prompt("  tag", default="")).strip()
            if name:
                correction = Correction(FeedbackKind.ADD, name, question.content_id, reviewer=reviewer)
                given.append((number, _give(project, [correction], FeedbackSource.REVIEW)[0]))
                show(f"  added [bold]{plain(name)}[/]")
        elif key == "u" and given:
            number, last = given.pop()
            undo_feedback(project.pool, last.id, _context(project))
            show(f"  taken back: {plain(_told(last))}")
            shown = -1
        else:
            show(f"  [dim]{KEYS}[/]")
    return len({answered for answered, row in given if row.kind != "add"})


def _keys() -> Iterator[str]:
    """Keys as they are pressed; the lines of stdin where it is no terminal."""
    if sys.stdin.isatty():
        while True:
            yield click.getchar()
    for line in sys.stdin:
        if line.strip():
            yield line.strip()


def _show_question(question: Question, number: int, of: int) -> None:
    from tagging_orchestration.commands.reasons import why
    from tagging_orchestration.storage.evidence import evidence_from

    title = shorten(question.title, TITLE_WIDTH) or question.content
    before, span, after = _excerpt(question)
    state = "has it" if question.assigned else "does not have it"
    show(
        "",
        f"[dim]{number}/{of}[/] [bold]{plain(title)}[/] [dim]{plain(question.content)}[/]",
        f"  {_plain_text(before)}[reverse]{_plain_text(span)}[/]{_plain_text(after)}",
        f"  [bold]{plain(question.tag_name)}[/]? [dim]{question.confidence:.2f}, {state}; "
        f"{plain(why(evidence_from(question.evidence)))}[/]",
    )


def _excerpt(question: Question) -> tuple[str, str, str]:
    """The text around the first place that evidence points to, in three parts, else its beginning."""
    for item in question.evidence:
        detail = item["detail"]
        if detail.get("field") == "body" and "start" in detail:
            start, end = detail["start"], detail["end"]
            first = max(0, start - EXCERPT // 2)
            return (
                _line(("…" if first else "") + question.body[first:start]),
                _line(question.body[start:end]),
                _line(question.body[end : end + EXCERPT // 2])
                + ("…" if len(question.body) > end + EXCERPT // 2 else ""),
            )
    return shorten(question.body, EXCERPT), "", ""


def _line(text: str) -> str:
    """The text on one line, spaces at its ends kept as one."""
    return "".join((" " if text[:1].isspace() else "", " ".join(text.split()), " " if text[-1:].isspace() else ""))


def _plain_text(text: str) -> str:
    from rich.markup import escape

    return escape(text)


# ---------------------------------------------------------------------------------------------------- giving


def _say(
    kind: str,
    content: str | None,
    tag: str,
    remark: str | None,
    reviewer: str | None,
    as_json: bool,
    *,
    target: str | None = None,
) -> None:
    from tagging_orchestration.core.models import Correction, FeedbackKind, FeedbackSource
    from tagging_orchestration.wiring import Project

    with Project() as project:
        content_id = find_content(project, content).id if content is not None else None
        try:
            known = find_tag(project, tag)
        except UnknownName:
            # A new name is fine where it can become a tag, or be kept from becoming one here.
            if content_id is None:
                raise
            known = None
        if kind == "merge" and target is not None:
            target = find_tag(project, target).name
        name = known.name if known else tag
        correction = Correction(
            FeedbackKind(kind), name, content_id, known.id if known else None, target, remark, reviewer
        )
        (done,) = _give(project, [correction], FeedbackSource.CLI)
    if as_json:
        print_json(done)
        return
    show(plain(_told(done)))
    note(f"to take it back: tagging feedback undo {done.id}")


def _give(project: Project, corrections: Sequence[Any], source: FeedbackSource) -> list[Feedback]:
    from tagging_orchestration.storage.feedback import give_feedback

    given, refused = give_feedback(
        project.pool, project.settings.organization_id, corrections, source, project.normaliser, _context(project)
    )
    if refused:
        raise VocabularyError("\n".join(item.message for item in refused))
    return given


def _import(file: Any, source: str, reviewer: str | None, as_json: bool) -> None:
    from dataclasses import replace

    from tagging_orchestration.core.feedback.table import read_feedback
    from tagging_orchestration.core.models import FeedbackSource
    from tagging_orchestration.core.vocabulary.table import TableIssue
    from tagging_orchestration.storage.feedback import give_feedback, resolve_contents
    from tagging_orchestration.wiring import Project

    try:
        rows, issues, unanswered = read_feedback(file.read())
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file.name} is no UTF-8 text: save it as CSV UTF-8 ({error.reason})") from None
    with Project() as project:
        organization = project.settings.organization_id
        ids = resolve_contents(project.pool, organization, [row.content for row in rows if row.content])
        unknown = [row for row in rows if row.content is not None and row.content not in ids]
        issues += [
            TableIssue(row.row_number, "content", f"there is no content {row.content!r}") for row in unknown
        ]
        known = [row for row in rows if row.content is None or row.content in ids]
        corrections = [
            replace(
                row.correction,
                content_id=ids[row.content] if row.content is not None else None,
                reviewer=row.correction.reviewer or reviewer,
            )
            for row in known
        ]
        given, refused = give_feedback(
            project.pool, organization, corrections, FeedbackSource(source), project.normaliser, _context(project)
        )
        issues += [TableIssue(known[item.number].row_number, "tag", item.message) for item in refused]
    issues.sort(key=lambda issue: issue.row_number)
    if as_json:
        print_json({"applied": len(given), "unanswered": unanswered, "refused": issues})
    else:
        counted = ", ".join(
            f"{sum(row.kind == kind for row in given):,} {kind}"
            for kind in dict.fromkeys(row.kind for row in given)
        )
        note(f"{len(given):,} corrections applied" + (f" ({counted})" if counted else ""))
        if unanswered:
            note(f"{unanswered:,} questions left unanswered")
    if issues:
        raise VocabularyError(
            "\n".join([f"{len(issues):,} rows were refused:", *(f"  {issue}" for issue in issues)])
        )


def _context(project: Project) -> ChangeContext:
    return project.context(f"user:{getpass.getuser()}")


def _told(row: Feedback) -> str:
    """A correction in words."""
    match row.kind:
        case "accept":
            return f"{row.tag_name} belongs to {row.external_id}"
        case "reject":
            return f"{row.tag_name} does not belong to {row.external_id}"
        case "add":
            return f"{row.tag_name} is added to {row.external_id}"
        case "rename":
            return f"{row.tag_name} is called {row.target_name} now"
        case _:
            return f"{row.tag_name} is another name of {row.target_name} now"
