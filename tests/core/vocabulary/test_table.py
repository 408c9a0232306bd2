"""The CSV table of the vocabulary, as text in and out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagging_orchestration.core.models import Origin, TagStatus
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.table import TagRow, plan_table, read_table, write_table
from tests.fakes.language import FakeLanguageTools

NORMALISER = Normaliser(FakeLanguageTools())
ODD_NAMES = ["=1+1", "+886", "'=x", "@me", "-5 °C", "a|b", "a\\|b", '"q"']
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@st.composite
def vocabularies(draw: st.DrawFn) -> list[TagRow]:
    forms = draw(st.lists(TEXT, max_size=12))
    named: dict[str, str] = {}
    for name in (*forms, *draw(st.lists(st.sampled_from(ODD_NAMES), max_size=5))):
        shown = NORMALISER.display_form(name)
        form = NORMALISER.normal_form(shown)
        if form and form not in named:
            named[form] = shown
    rows = []
    free = list(named.items())
    while free:
        form, name = free.pop()
        aliases = []
        while free and draw(st.booleans()):
            alias_form, alias = free.pop()
            aliases.append((alias, alias_form))
        rows.append(
            TagRow(
                tag_id=len(rows) + 1,
                name=name,
                normal_form=form,
                status=draw(st.sampled_from([TagStatus.ACTIVE, TagStatus.RETIRED, TagStatus.BLOCKED])),
                description=draw(st.none() | TEXT.map(lambda text: f"\n{text} ")),
                # Only an active tag can be a parent; the ones before are, at least, no descendants.
                parent_id=draw(st.sampled_from([None, *[r.tag_id for r in rows if r.status is TagStatus.ACTIVE]])),
                aliases=tuple(sorted(aliases)),
                pinned=draw(st.booleans()),
                language=draw(st.none() | st.sampled_from(["en", "zh-Hant"])),
                origin=draw(st.sampled_from(list(Origin))),
                usage_count=draw(st.integers(0, 10**6)),
            )
        )
    return rows


@settings(max_examples=150, deadline=None)
@given(vocabularies())
def test_every_vocabulary_survives_the_round_trip(tags: list[TagRow]) -> None:
    table = write_table(tags)
    rows, issues = read_table(table)
    assert issues == []
    plan = plan_table(rows, tags, NORMALISER)
    assert plan.issues == ()
    assert plan.changes == ()


def test_formulas_are_guarded() -> None:
    tags = [TagRow(1, "=cmd|' /C calc'!A0", "x"), TagRow(2, "+886", "y", description="@SUM(1)")]
    cells = write_table(tags).splitlines()[1:]
    assert all(line.startswith("'") for line in cells)
    assert "'@SUM(1)" in cells[0] + cells[1]
    rows, _ = read_table(write_table(tags))
    assert {row.name for row in rows} == {"=cmd|' /C calc'!A0", "+886"}


def test_spreadsheet_habits_are_put_up_with() -> None:
    rows, issues = read_table("\ufeffName, Pinned ,ALIASES\r\n 陶藝 ,TRUE,a| b |\r\n\r\n,,\r\n")
    assert issues == []
    assert [(row.name, row.pinned, row.aliases, row.status) for row in rows] == [("陶藝", True, ("a", "b"), None)]


def test_merged_tags_are_not_rows() -> None:
    tags = [TagRow(1, "mug", "mug", aliases=(("cup", "cup"),)), TagRow(2, "cup", "cup", TagStatus.MERGED)]
    assert write_table(tags).count("\n") == 2
    rows, _ = read_table("name\ncup\n")
    (issue,) = plan_table(rows, tags, NORMALISER).issues
    assert "was merged into another tag" in issue.message


def test_rows_that_are_one_tag() -> None:
    rows, _ = read_table("name\nGlaze\n#glaze\nglazes\n")
    plan = plan_table(rows, [], NORMALISER)
    assert [issue.row_number for issue in plan.issues] == [3, 4]


def test_aliases_that_clash() -> None:
    rows, _ = read_table("name,aliases\nmug,cup\nbowl,cup|mug\n")
    messages = [str(issue) for issue in plan_table(rows, [], NORMALISER).issues]
    assert messages == [
        "row 3, aliases: 'cup' already leads to 'mug'",
        "row 3, aliases: 'mug' is a tag of its own: merge it into 'bowl'",
    ]


def test_long_names_are_refused() -> None:
    _, (issue,) = read_table(f"name\n{'x' * 201}\n")
    assert "201 characters" in issue.message


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "row 1, name: is missing"),
        ("title,name\nx,y\n", "row 1, title: is no column"),
        ("name,name\nx,y\n", "row 1, name: is there twice"),
        ('name\n"open\n', "row 2, (row): is no CSV"),
    ],
)
def test_tables_that_are_none(table: str, said: str) -> None:
    rows, (issue,) = read_table(table)
    assert rows == []
    assert str(issue).startswith(said)
