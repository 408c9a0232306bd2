"""Corrections and questions on the command line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tagging_orchestration.core.models import Evidence, GeneratedTags, Method, Origin, Proposal, Tag
from tagging_orchestration.storage.generated import PostgresGeneratedStore
from tests.cli.conftest import Shop, Tagging, data
from tests.storage.builders import decisions, version


def stage(shop: Shop, external_id: str, body: str, **confidences: tuple[str, float]) -> None:
    """Stage the machine's proposals for a content; keys are tags' names with _ for spaces."""
    content = shop.contents[external_id]
    proposals = []
    for name, confidence in confidences.values():
        start = body.lower().find(name.lower())
        place = {"field": "body", "start": start, "end": start + len(name), "text": name} if start >= 0 else {}
        evidence = (Evidence(Method.KEYPHRASE, confidence, {"text": name, **place}),)
        tag: Tag | None = shop.tags.get(name)
        effects = {"base": -2.0, "place": 1.5, "neighbours": 0.4}
        proposals.append(
            Proposal(
                name,
                name.lower(),
                confidence,
                Method.KEYPHRASE,
                Origin.MACHINE,
                evidence,
                tag and tag.id,
                {},
                effects,
            )
        )
    (decision,) = decisions(shop.pool, {content: []})
    row = GeneratedTags(content, "default", decision.input_hash, "en", tuple(proposals))
    PostgresGeneratedStore(shop.pool).save([row], version(shop.pool))


@pytest.fixture
def questions(own_shop: Shop) -> Shop:
    """A shop with three open decisions, two of them on one content."""
    stage(own_shop, "ticket:7", "The grinder arrived too late.", a=("late delivery", 0.7), b=("grinder", 0.12))
    stage(own_shop, "kettle-2", "細口壺的水流很穩，適合手沖咖啡。", a=("手沖咖啡", 0.3))
    return own_shop


def names(tagging: Tagging, content: str) -> set[str]:
    return {tag["name"] for tag in data(tagging("tags", content, "--json"))["tags"]}


def test_accept_reject_add_and_undo(tagging: Tagging, own_shop: Shop):
    assert tagging("feedback", "accept", "sample:kettle-2", "Kettles").exit_code == 0
    done = tagging("feedback", "reject", "sample:kettle-2", "手沖咖啡", "--note", "是壺", "--reviewer", "mei")
    assert "手沖咖啡 does not belong to sample:kettle-2" in done.stdout
    tagging("feedback", "add", "sample:kettle-2", "gift idea")
    assert names(tagging, "sample:kettle-2") == {"kettle", "gift idea"}
    rows = data(tagging("feedback", "list", "--json"))
    assert [(row["kind"], row["source"]) for row in rows] == [("add", "cli"), ("reject", "cli"), ("accept", "cli")]
    assert (rows[1]["reviewer"], rows[1]["note"]) == ("mei", "是壺")
    undone = tagging("feedback", "undo", str(rows[1]["id"]))
    assert "taken back" in undone.stdout
    assert names(tagging, "sample:kettle-2") == {"kettle", "gift idea", "手沖咖啡"}
    assert "back by user:" in tagging("feedback", "list").stdout
    assert "confirmed by" in tagging("tags", "sample:kettle-2").stdout


def test_rename_and_merge(tagging: Tagging, own_shop: Shop):
    assert "is called late parcel now" in tagging("feedback", "rename", "late delivery", "late parcel").stdout
    assert "another name of kettle now" in tagging("feedback", "merge", "unused", "kettle").stdout
    assert data(tagging("find", "unused", "--json"))["tag"]["name"] == "kettle"
    merge = data(tagging("feedback", "list", "--json"))[0]
    tagging("feedback", "undo", str(merge["id"]))
    assert data(tagging("find", "unused", "--json"))["tag"]["name"] == "unused"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["accept", "sample:nothing", "kettle"], 3, "there is no content"),
        (["rename", "nothing", "something"], 3, "there is no tag"),
        (["merge", "kettle", "nothing"], 3, "there is no tag"),
        (["merge", "kettle", "kettle"], 1, "one tag already"),
        (["undo", "999"], 3, "no feedback 999"),
    ],
)
def test_what_cannot_be_done_is_said(tagging: Tagging, own_shop: Shop, arguments: list[str], code: int, said: str):
    result = tagging("feedback", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_import_refuses_row_by_row(tagging: Tagging, own_shop: Shop):
    text = (
        "Content,Tag,Kind,Target,Note,Add\n"
        "sample:kettle-2,手沖咖啡,n,,不是咖啡,器具|手沖\n"
        f"{own_shop.contents['ticket:7']},late delivery,accept,,,\n"
        "sample:gone,kettle,y,,,\n"
        ",late delivery,rename,late parcel,,\n"
        "sample:kettle-1,kettle,perhaps,,,\n"
        "sample:kettle-1,pour over,,,,\n"
        ",nothing,merge,kettle,,\n"
    )
    result = tagging("feedback", "import", "-", "--reviewer", "mei", input=text)
    assert result.exit_code == 1
    assert "5 corrections applied (1 reject, 2 add, 1 accept, 1 rename)" in result.stderr
    assert "1 questions left unanswered" in result.stderr
    assert "3 rows were refused" in result.stderr
    assert "row 4, content: there is no content 'sample:gone'" in result.stderr
    assert "row 6, kind: 'perhaps' is none of accept" in result.stderr
    assert "row 8, tag: there is no tag nothing" in result.stderr
    assert names(tagging, "sample:kettle-2") == {"kettle", "器具", "手沖"}
    assert {row["reviewer"] for row in data(tagging("feedback", "list", "--json"))} == {"mei"}


def test_review_with_keys_from_a_pipe(tagging: Tagging, questions: Shop):
    result = tagging("review", input="?\ny\nu\nn\na\nslow mail\ns\ny\n")
    assert result.exit_code == 0
    assert "y: yes, n: no" in result.stdout
    assert "taken back" in result.stdout
    assert "added slow mail" in result.stdout
    assert "2 answered, 1 left of these 3" in result.stderr
    kinds = [row["kind"] for row in data(tagging("feedback", "list", "--json"))]
    assert sorted(kinds) == ["accept", "accept", "add", "reject"]
    # What was answered is not asked again; what was skipped is.
    assert "1/1" in tagging("review", "--refresh", input="q\n").stdout
    tagging("review", input="n\n")
    assert "no open questions" in tagging("review", "--refresh").stderr


def test_a_question_shows_text_and_evidence(tagging: Tagging, questions: Shop):
    shown = tagging("review", input="s\ns\ns\n").stdout
    assert "grinder? 0.12, does not have it; key phrase “grinder” in the text" in shown
    assert "適合手沖咖啡" in shown
    assert "3/3" in shown


def test_questions_go_out_and_answers_come_back_as_csv(tagging: Tagging, questions: Shop, tmp_path: Path):
    file = tmp_path / "questions.csv"
    assert "wrote 3 questions" in tagging("review", "export", str(file)).stderr
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    assert {(row["content"], row["tag"]) for row in rows} == {
        ("sample:ticket:7", "late delivery"),
        ("sample:ticket:7", "grinder"),
        ("sample:kettle-2", "手沖咖啡"),
    }
    for row in rows:
        row["kind"] = "y" if row["tag"] == "grinder" else "否" if row["tag"] == "手沖咖啡" else ""
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    report = data(tagging("review", "import", str(file), "--json"))
    assert report == {"applied": 2, "unanswered": 1, "refused": []}
    assert "grinder" in names(tagging, "sample:ticket:7")
    assert names(tagging, "sample:kettle-2") == {"kettle"}
    assert {row["source"] for row in data(tagging("feedback", "list", "--json"))} == {"review"}


def test_stats(tagging: Tagging, questions: Shop):
    assert "nobody corrected anything" in tagging("feedback", "stats").stdout
    tagging("review", input="y\nn\nn\n")
    tagging("feedback", "accept", "sample:kettle-2", "手沖咖啡", "--reviewer", "tom")
    stats = data(tagging("feedback", "stats", "--json"))
    assert {row["method"] for row in stats["generators"]} == {"keyphrase"}
    assert {row["reviewer"] for row in stats["reviewers"]} >= {"tom"}
    shown = tagging("feedback", "stats").stdout
    assert "Generators" in shown
    assert "of 1" in shown


def test_explain_says_what_would_have_changed_it(tagging: Tagging, questions: Shop):
    why = data(tagging("explain", "sample:ticket:7", "late delivery", "--json"))
    assert why["why"]["reason"] == "assigned"
    assert why["why"]["generators"] == ["keyphrase"]
    assert why["what_if"][0]["without"] == ["place"]
    assert why["why"]["without"]["place"] == pytest.approx(0.168, abs=1e-3)
    shown = tagging("explain", "sample:ticket:7", "late delivery").stdout
    assert "What would have changed it" in shown
    assert "where and how often its words stand in the text" in shown


def test_explain_says_why_not(tagging: Tagging, questions: Shop):
    assert "not proposed" in tagging("explain", "sample:ticket:7", "kettle").stdout
    assert "not tagged yet" in tagging("explain", "sample:new", "kettle").stdout
    tagging("feedback", "reject", "sample:ticket:7", "late delivery", "--reviewer", "mei")
    result = tagging("explain", "sample:ticket:7", "late delivery")
    assert "rejected" in result.stdout
    assert "mei said reject" in result.stdout
