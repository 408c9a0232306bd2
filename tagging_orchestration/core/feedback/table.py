"""Corrections as a CSV table, which is also how questions to people go out and their answers come back.

Columns read: content (an id, or source:external_id), tag, kind, target, note, reviewer, add. `kind` is accept,
reject, add, rename or merge; y and n stand for accept and reject, and an empty cell is an unanswered question.
`target` is the new name of a rename and the tag merged into. `add` names tags that the content lacks, separated by
|. All other columns are for people and are not read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tagging_orchestration.core.models import Correction, FeedbackKind
from tagging_orchestration.core.vocabulary.table import TableIssue, guard, unguard

QUESTION_COLUMNS = (
    "content", "tag", "kind", "add", "note", "assigned", "confidence", "title", "excerpt", "evidence",
)  # fmt: skip

_KINDS = {str(kind): kind for kind in FeedbackKind} | {
    **dict.fromkeys(("y", "yes", "1", "true", "是", "對", "对"), FeedbackKind.ACCEPT),
    **dict.fromkeys(("n", "no", "0", "false", "否", "不", "錯", "错"), FeedbackKind.REJECT),
}
_OF_VOCABULARY = (FeedbackKind.RENAME, FeedbackKind.MERGE)


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """One correction of a table. `content` is the name people gave it; None where it is about the vocabulary."""

    row_number: int
    content: str | None
    correction: Correction


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One question as people see it: whether the tag belongs to the content."""

    content: str
    tag: str
    assigned: bool
    confidence: float
    title: str
    excerpt: str
    evidence: str


def read_feedback(text: str) -> tuple[list[FeedbackRow], list[TableIssue], int]:
    """Corrections of a CSV text, what is wrong with the others, and how many questions were left unanswered.

    Rows are numbered from 2, as a spreadsheet does; a header without the needed columns is one issue of row 1.
    """
    reader = csv.DictReader(io.StringIO(text))
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    missing = [name for name in ("tag", "kind") if name not in header]
    if missing:
        return [], [TableIssue(1, name, "this column is missing") for name in missing], 0
    rows: list[FeedbackRow] = []
    issues: list[TableIssue] = []
    unanswered = 0
    for number, cells in enumerate(reader, start=2):
        values = {
            name: unguard((value or "").strip())
            for name, value in zip(header, cells.values(), strict=False)
            if isinstance(value, str | None)
        }
        found, wrong = _row(number, values)
        rows += found
        issues += wrong
        unanswered += not found and not wrong
    return rows, issues, unanswered


def write_questions(rows: Iterable[QuestionRow]) -> str:
    """CSV text of questions, to be answered in the column kind with y or n and brought back."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(QUESTION_COLUMNS)
    for row in rows:
        assigned = "yes" if row.assigned else "no"
        cells = (
            row.content, row.tag, "", "", "", assigned, f"{row.confidence:.2f}", row.title, row.excerpt,
            row.evidence,
        )  # fmt: skip
        writer.writerow([guard(cell) for cell in cells])
    return buffer.getvalue()


def _row(number: int, values: Mapping[str, str]) -> tuple[list[FeedbackRow], list[TableIssue]]:
    content = values.get("content") or None
    reviewer, note = values.get("reviewer") or None, values.get("note") or None
    added = [name.strip() for name in values.get("add", "").split("|") if name.strip()]
    found: list[FeedbackRow] = []
    written = values["kind"].casefold()
    if written:
        kind = _KINDS.get(written)
        if kind is None:
            known = ", ".join(FeedbackKind)
            return [], [TableIssue(number, "kind", f"{values['kind']!r} is none of {known}, y, n")]
        if not values["tag"]:
            return [], [TableIssue(number, "tag", "names no tag")]
        if kind in _OF_VOCABULARY and not values.get("target"):
            return [], [TableIssue(number, "target", f"a {kind} needs the other name")]
        if kind not in _OF_VOCABULARY and content is None:
            return [], [TableIssue(number, "content", "names no content")]
        about = None if kind in _OF_VOCABULARY else content
        target = values.get("target") if kind in _OF_VOCABULARY else None
        correction = Correction(kind, values["tag"], target_name=target, note=note, reviewer=reviewer)
        found.append(FeedbackRow(number, about, correction))
    if added and content is None:
        return [], [TableIssue(number, "content", "names no content")]
    found += [
        FeedbackRow(number, content, Correction(FeedbackKind.ADD, name, note=note, reviewer=reviewer))
        for name in added
    ]
    return found, []
