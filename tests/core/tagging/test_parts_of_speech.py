"""What the part a phrase plays in its sentence tells the ranker."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.models import TaggerInput
from tests.core.tagging.builders import make_content, make_tagger


def features(body: str, title: str = "") -> dict[str, dict[str, float]]:
    """Features of every candidate by its name."""
    [(_, weighed)] = make_tagger().weigh([TaggerInput(make_content(body, title))])
    return {entry.candidate.name.lower(): dict(entry.features) for entry in weighed}


def test_a_whole_noun_phrase_is_told_from_its_pieces() -> None:
    found = features("The deep kiln glaze is cracked.")
    assert found["deep kiln glaze"]["noun_phrase"] == 1
    assert "noun_phrase" not in found["deep kiln"]
    assert found["deep kiln"]["cut_right"] == 1
    assert found["kiln glaze"]["cut_left"] == 1
    assert found["glaze"]["noun_in_phrase"] == 1


@pytest.mark.parametrize(
    ("body", "name", "part"),
    [("The kiln is on.", "kiln", "noun"), ("This glaze is slow.", "slow", "adjective")],
)
def test_single_words_are_told_by_their_part(body: str, name: str, part: str) -> None:
    assert features(body)[name][part] == 1


def test_capitals_of_a_headline_do_not_make_names_of_adjectives() -> None:
    assert features("A kiln.", title="New Kiln Of The Year")["new kiln"]["noun_phrase"] == 1


def test_chinese_text_has_no_parts() -> None:
    for values in features("資料庫的經濟", title="機器學習").values():
        assert not {"noun_phrase", "noun", "adjective", "verb", "cut_left", "cut_right"} & values.keys()
