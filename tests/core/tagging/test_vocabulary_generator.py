"""Existing tags are found in the text: exactly, inflected, by alias, across scripts and by vector."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.models import Method, Proposal, TagStatus
from tests.core.tagging.builders import (
    PEOPLE,
    make_content,
    make_tag,
    make_tagger,
    make_vocabulary,
    names,
    tag_one,
)

VOCABULARY = make_vocabulary(
    make_tag(1, "machine learning", origin=PEOPLE, usage_count=30),
    make_tag(2, "glaze", origin=PEOPLE, usage_count=10),
    make_tag(3, "機器學習", origin=PEOPLE, usage_count=8),
    make_tag(4, "資料", origin=PEOPLE, usage_count=5),
    make_tag(5, "US", origin=PEOPLE, usage_count=5),
    make_tag(6, "C++", origin=PEOPLE, usage_count=5),
    make_tag(7, "run", origin=PEOPLE, usage_count=3),
    make_tag(8, "secret", status=TagStatus.BLOCKED),
    make_tag(9, "old glaze", status=TagStatus.MERGED, merged_into_id=2),
    make_tag(10, "gone", status=TagStatus.RETIRED),
    aliases={"ML": 1, "釉": 2},
    vectors={1: (1.0, 0.0), 2: (0.0, 1.0), 8: (1.0, 0.0), 10: (1.0, 0.0)},
)
TAGGER = make_tagger(VOCABULARY)


def proposal_of(body: str, tag_id: int) -> Proposal | None:
    generated = tag_one(TAGGER, make_content(body))
    return next((proposal for proposal in generated.proposals if proposal.tag_id == tag_id), None)


@pytest.mark.parametrize(
    ("body", "tag_id", "match", "text"),
    [
        ("We study Machine Learning here", 1, "exact", "Machine Learning"),
        ("machine-learning is fun", 1, "exact", "machine-learning"),
        ("ML is fun", 1, "exact", "ML"),
        ("Three glazes on a mug", 2, "exact", "glazes"),
        ("He is running a studio", 7, "inflected", "running"),
        ("我們研究機器學習的方法", 3, "exact", "機器學習"),
        ("我们研究机器学习的方法", 3, "exact", "机器学习"),
        ("新的資料庫", 4, "part of a word", "資料"),
        ("Only US mugs", 5, "exact", "US"),
        ("I write C++ code", 6, "exact", "C++"),
        ("這件陶器的釉很美", 2, "exact", "釉"),
        ("The old glaze cracked", 2, "exact", "old glaze"),
    ],
)
def test_a_known_tag_is_found_with_its_place(body: str, tag_id: int, match: str, text: str) -> None:
    proposal = proposal_of(body, tag_id)
    assert proposal is not None
    assert proposal.method is Method.VOCABULARY
    details = [item.detail for item in proposal.evidence if item.method is Method.VOCABULARY]
    found = [detail for detail in details if detail["text"] == text]
    assert found, details
    assert found[0]["match"] == match
    assert body[found[0]["start"] : found[0]["end"]] == text


@pytest.mark.parametrize(
    ("body", "tag_id"),
    [
        ("The machine. Learning is fun", 1),
        ("machines that learn", 1),
        ("Join us today", 5),
        ("I write C code", 6),
    ],
)
def test_what_only_looks_like_a_known_tag_is_not_taken_for_it(body: str, tag_id: int) -> None:
    assert proposal_of(body, tag_id) is None


def test_blocked_and_retired_tags_are_never_proposed() -> None:
    generated = tag_one(TAGGER, make_content("A secret glaze is gone, the secret is gone"), vector=(1.0, 0.0))
    assert not {"secret", "gone"} & set(names(generated))
    assert not {8, 10} & {proposal.tag_id for proposal in generated.proposals}


def test_a_tag_near_the_texts_vector_is_proposed_without_its_words() -> None:
    near = tag_one(TAGGER, make_content("Neural nets everywhere"), vector=(0.9, 0.4359))
    proposal = next(proposal for proposal in near.proposals if proposal.tag_id == 1)
    assert proposal.evidence[0].detail == {"match": "vector", "model": "test"}
    assert proposal.evidence[0].score == pytest.approx(0.9, abs=1e-3)
    far = tag_one(TAGGER, make_content("Neural nets everywhere"), vector=(-1.0, 0.0))
    assert all(proposal.tag_id != 1 for proposal in far.proposals)


def test_reuse_beats_a_fresh_phrase() -> None:
    body = "The celadon mug and the glaze."
    known = tag_one(TAGGER, make_content(body))
    confidences = {proposal.name: proposal.confidence for proposal in known.proposals}
    assert confidences["glaze"] > confidences["celadon mug"]
    without = {p.name: p.confidence for p in tag_one(make_tagger(), make_content(body)).proposals}
    assert confidences["glaze"] > without["glaze"]


def test_people_who_tag_make_fresh_tags_rarer() -> None:
    from dataclasses import replace

    from tests.core.tagging.builders import count

    corpus = replace(count(*["Some glaze text"] * 20), corpus_size=20)
    body = make_content("My celadon mug is broken, can you help me?")
    settled = tag_one(make_tagger(VOCABULARY, corpus=corpus), body).proposals
    alone = tag_one(make_tagger(corpus=corpus), body).proposals
    assert settled[0].confidence < alone[0].confidence


def test_many_tags_are_matched_in_one_pass() -> None:
    tags = [make_tag(number, f"topic{number:04} name{number:04}") for number in range(1, 10_000)]
    tagger = make_tagger(make_vocabulary(*tags))
    generated = tag_one(tagger, make_content("We met topic0777 name0777 and topic9999 name9999."))
    assert {777, 9999} <= {proposal.tag_id for proposal in generated.proposals}
