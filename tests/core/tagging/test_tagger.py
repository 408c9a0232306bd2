"""The tagger as its callers see it: bounded, deterministic, given tags kept, languages told apart."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagging_orchestration.core.models import Method, Origin, TaggerInput, TagStatus
from tagging_orchestration.core.quality import proposal_faults
from tests.core.tagging.builders import (
    PEOPLE,
    count,
    make_content,
    make_tag,
    make_tagger,
    make_vocabulary,
    names,
    tag_one,
)

MIXED = make_content(
    "新的 AI 代理會用 PostgreSQL 資料庫。The agent writes its notes to a PostgreSQL database.", "AI 代理與資料庫"
)


def test_the_same_input_gives_the_same_proposals_alone_and_in_a_batch() -> None:
    corpus = count("AI 代理", "PostgreSQL database", "資料庫")
    first = tag_one(make_tagger(corpus=corpus), MIXED)
    other = make_content("Something about kilns", id=2)
    batch = make_tagger(corpus=corpus).tag([TaggerInput(other), TaggerInput(MIXED), TaggerInput(other)])
    assert batch[1] == first
    assert batch[0] == batch[2]


def test_mixed_text_yields_tags_of_both_languages() -> None:
    proposed = names(tag_one(make_tagger(), MIXED))
    assert {"PostgreSQL", "資料庫"} <= set(proposed)


def test_given_tags_come_first_with_full_confidence_and_canonical_names() -> None:
    vocabulary = make_vocabulary(make_tag(1, "machine learning", origin=PEOPLE), aliases={"ML": 1})
    content = make_content("About mugs", given_tags=("ML", "  #Urgent ", "退貨"))
    proposals = tag_one(make_tagger(vocabulary), content).proposals
    given_tags = [p for p in proposals if p.method is Method.GIVEN]
    assert {(p.name, p.tag_id) for p in given_tags} == {("machine learning", 1), ("Urgent", None), ("退貨", None)}
    assert all(p.confidence == 1.0 and p.origin is Origin.HUMAN for p in given_tags)
    assert proposals[: len(given_tags)] == tuple(given_tags)


def test_given_numbers_stand_but_personal_data_never_names_a_tag() -> None:
    content = make_content("About mugs", given_tags=("2024", "amy@example.com", "0912-345-678"))
    given_tags = {p.name for p in tag_one(make_tagger(), content).proposals if p.origin is Origin.HUMAN}
    assert given_tags == {"2024"}


def test_a_blocked_tag_is_not_proposed_even_when_given() -> None:
    vocabulary = make_vocabulary(make_tag(1, "spam", status=TagStatus.BLOCKED))
    content = make_content("This spam is about spam", given_tags=("Spam",))
    assert "spam" not in {name.lower() for name in names(tag_one(make_tagger(vocabulary), content))}


def test_proposals_are_bounded_but_given_tags_all_kept() -> None:
    body = " ".join(f"The kiln{chr(97 + number)}x stands." for number in range(20))
    content = make_content(body, given_tags=tuple(f"given{number}" for number in range(8)))
    proposals = tag_one(make_tagger(proposals_kept=5), content).proposals
    assert sum(p.origin is Origin.HUMAN for p in proposals) == 8
    assert sum(p.origin is Origin.MACHINE for p in proposals) == 5


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("en", "en"),
        ("zh-TW", "zh-Hant"),
        ("zh_CN", "zh-Hans"),
        ("zh", "zh-Hant"),
        ("english", "zh-Hant"),
        (None, "zh-Hant"),
    ],
)
def test_a_stated_language_is_taken_when_it_is_a_code(stated: str | None, expected: str) -> None:
    assert tag_one(make_tagger(), make_content("陶藝與資料庫", language=stated)).language == expected


def test_proposals_are_ready_for_storage() -> None:
    vocabulary = make_vocabulary(make_tag(1, "database", origin=PEOPLE, usage_count=2), vectors={1: (1.0, 0.0)})
    generated = tag_one(make_tagger(vocabulary), MIXED, vector=(1.0, 0.0))
    assert json.loads(json.dumps(asdict(generated), ensure_ascii=False))["content_id"] == 1


@settings(max_examples=60)
@given(st.text(max_size=300), st.text(max_size=50), st.lists(st.text(max_size=20), max_size=3))
def test_any_text_gives_storable_proposals(body: str, title: str, given_tags: list[str]) -> None:
    generated = tag_one(make_tagger(), make_content(body, title, given_tags=tuple(given_tags)))
    assert proposal_faults(generated) == []
    confidences = [proposal.confidence for proposal in generated.proposals]
    assert confidences == sorted(confidences, reverse=True)
