"""Corrections and questions as CSV."""

from __future__ import annotations

from tagging_orchestration.core.feedback.table import QuestionRow, read_feedback, write_questions
from tagging_orchestration.core.models import Correction, FeedbackKind


def test_all_kinds_and_their_short_forms() -> None:
    text = (
        "content,tag,kind,target,note,reviewer,add\n"
        "a:1,釉,是,,好,mei,\n"
        "a:1,kiln,N,,,,\n"
        ",kiln,rename,Kilns,,,\n"
        "a:2,,,,,,陶藝 | 瓷器\n"
    )
    rows, issues, unanswered = read_feedback(text)
    assert (issues, unanswered) == ([], 0)
    assert [(row.row_number, row.content, row.correction) for row in rows] == [
        (2, "a:1", Correction(FeedbackKind.ACCEPT, "釉", note="好", reviewer="mei")),
        (3, "a:1", Correction(FeedbackKind.REJECT, "kiln")),
        (4, None, Correction(FeedbackKind.RENAME, "kiln", target_name="Kilns")),
        (5, "a:2", Correction(FeedbackKind.ADD, "陶藝")),
        (5, "a:2", Correction(FeedbackKind.ADD, "瓷器")),
    ]


def test_mistakes_name_row_and_column() -> None:
    text = "content,tag,kind,target,add\n,x,y,,\na:1,,y,,\na:1,x,maybe,,\n,x,merge,,\n,,,,new\n,,,,\n"
    rows, issues, unanswered = read_feedback(text)
    assert (rows, unanswered) == ([], 1)
    assert [(issue.row_number, issue.column) for issue in issues] == [
        (2, "content"),
        (3, "tag"),
        (4, "kind"),
        (5, "target"),
        (6, "content"),
    ]
    assert [str(issue) for issue in read_feedback("content,verdict\n")[1]] == [
        "row 1, tag: this column is missing",
        "row 1, kind: this column is missing",
    ]


def test_questions_round_trip_without_formulas() -> None:
    question = QuestionRow("a:1", "=SUM(A1)", True, 0.123, "標題", "some\ntext", "key phrase")
    text = write_questions([question])
    assert "'=SUM(A1)" in text
    assert read_feedback(text) == ([], [], 1)
    rows, _, _ = read_feedback(text.replace("'=SUM(A1),,", "'=SUM(A1),y,"))
    assert rows[0].correction == Correction(FeedbackKind.ACCEPT, "=SUM(A1)")
