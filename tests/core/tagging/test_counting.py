"""Corpus statistics count contents, not occurrences, under the forms that proposals carry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.core.tagging.builders import NORMALISER, count, make_content, make_tagger, tag_one


def test_terms_are_counted_once_a_content() -> None:
    statistics = count("Wood kiln, wood kiln, wood kilns", "A wood kiln", "陶藝 陶藝", "陶艺教室", "Only here")
    assert (statistics.documents, statistics.corpus_size) == (5, 5)
    assert statistics.frequencies["wood kiln"] == 2
    assert statistics.frequencies["kiln"] == 2
    assert statistics.frequencies["陶艺"] == 2
    assert "here" not in statistics.frequencies


def test_function_words_and_single_uses_are_not_kept() -> None:
    statistics = count("The mug of the potter", "The mug of the baker")
    assert set(statistics.frequencies) == {"mug"}


def test_proposals_find_their_own_counts() -> None:
    texts = ["A blue glaze for C++ databases", "藍色的陶藝資料庫 blue glaze", "Blue glazes and 資料庫"]
    statistics = count(*texts)
    for text in texts:
        for proposal in tag_one(make_tagger(corpus=statistics), make_content(text)).proposals:
            assert proposal.normal_form == NORMALISER.normal_form(proposal.name)
            known = proposal.normal_form in statistics.frequencies
            assert known == (proposal.features.get("alone", 0.0) == 0.0)


@given(st.permutations(["a blue glaze", "blue glaze mug", "mug", "陶藝", "陶藝教室"]))
def test_the_order_of_the_texts_does_not_matter(texts: list[str]) -> None:
    assert count(*texts) == count(*sorted(texts))


def test_no_texts_give_empty_statistics() -> None:
    statistics = count()
    assert (statistics.documents, dict(statistics.frequencies)) == (0, {})
