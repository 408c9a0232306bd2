"""Fresh tags come from the text's own phrases, as people write them."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.models import Method
from tagging_orchestration.core.tagging.candidates.keyphrases import phrase_occurrences, written_name
from tests.core.tagging.builders import ANALYSER, count, make_content, make_tagger, names, tag_one

ENGLISH = make_content(
    "The wood kiln was fired twice. A wood kiln needs pine, and the wood kiln in our studio needs a new door.",
    "Firing a wood kiln",
)
CHINESE = make_content("陶藝教室的資料庫壞了，陶藝教室只好用筆記。", "陶藝教室的資料庫")


def test_the_repeated_phrase_of_the_title_is_first() -> None:
    proposals = tag_one(make_tagger(), ENGLISH).proposals
    assert proposals[0].name == "wood kiln"
    evidence = proposals[0].evidence[0]
    assert evidence.method is Method.KEYPHRASE
    detail = evidence.detail
    assert detail["count"] == 4
    field = ENGLISH.title if detail["field"] == "title" else ENGLISH.body
    assert field[detail["start"] : detail["end"]] == detail["text"] == "wood kiln"


def test_chinese_phrases_keep_the_script_they_were_written_in() -> None:
    proposed = names(tag_one(make_tagger(), CHINESE))
    assert "資料庫" in proposed
    assert "资料库" not in proposed
    assert any(name.startswith("陶藝") for name in proposed)


def test_stop_words_weekdays_agencies_and_numbers_are_never_proposed() -> None:
    body = (
        "REUTERS said on Monday that the new 2024 figures, said to be 35, were very good. 這個很好，而且我們也有。"
    )
    proposed = {name.lower() for name in names(tag_one(make_tagger(), make_content(body)))}
    assert not proposed & {
        "said",
        "monday",
        "reuters",
        "new",
        "2024",
        "35",
        "good",
        "very",
        "這個",
        "我們",
        "而且",
    }


@pytest.mark.parametrize(
    "body",
    [
        "Write to amy.chen@example.com or call 0912-345-678 about card 4111 1111 1111 1111 of the kiln studio.",
        "請寫信到 amy.chen@example.com 或撥 0912-345-678，身分證 A123456789，陶藝教室",
        "XXXX XXXX told me XX/XX/2019 about https://example.com/kiln?id=1 &amp; <b>mugs</b>",
    ],
)
def test_personal_data_and_debris_never_name_a_proposal(body: str) -> None:
    for name in names(tag_one(make_tagger(), make_content(body))):
        for piece in ("amy", "@", "0912", "4111", "A1234", "XX", "http", "amp", "<"):
            assert piece not in name


def test_names_are_written_as_people_write_them() -> None:
    text = ANALYSER.analyse("Wood Kilns Explained by Potters", "Potters at NASA love wood kilns. Wood kilns last.")
    written = {form: written_name(text, places) for form, places in phrase_occurrences(text, 3).items()}
    assert written["wood kiln" if "wood kiln" in written else "wood kilns"].lower() == "wood kilns"
    assert written["nasa"] == "NASA"


def test_a_phrase_others_share_beats_one_nobody_else_uses() -> None:
    corpus = count(*["The pottery wheel is here."] * 40, *["A quiet morning."] * 40)
    text = make_content("My pottery wheel and my zorble spindle are broken. I miss them, do you?")
    proposals = {p.name: p.confidence for p in tag_one(make_tagger(corpus=corpus), text).proposals}
    assert proposals["pottery wheel"] > proposals["zorble spindle"]


@pytest.mark.parametrize(
    ("wanted", "body", "expected", "refused"),
    [
        ("zh-Hans", "資料庫和資料庫的筆記", "资料库", "資料庫"),
        ("zh-Hant", "资料库和资料库的笔记", "資料庫", "资料库"),
        ("en", "資料庫 database 的 database", "database", "資料庫"),
    ],
)
def test_people_choose_the_language_of_their_tags(wanted: str, body: str, expected: str, refused: str) -> None:
    proposed = names(tag_one(make_tagger(tag_language=wanted), make_content(body)))
    assert expected in proposed
    assert refused not in proposed


def test_an_unknown_language_falls_back_to_its_stop_words() -> None:
    proposed = names(tag_one(make_tagger(), make_content("Der Ofen glüht im Atelier", language="de")))
    assert "Ofen" in " ".join(proposed)


@pytest.mark.parametrize("body", ["", "   ", "!!! ??? ...", "12345 67890", "的 了 是", "the of and"])
def test_a_text_without_subjects_gets_no_proposals(body: str) -> None:
    assert tag_one(make_tagger(), make_content(body)).proposals == ()
