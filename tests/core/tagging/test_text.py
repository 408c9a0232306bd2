"""Texts are cut into the right words, phrases and places in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.tagging.candidates.keyphrases import phrase_occurrences
from tagging_orchestration.core.tagging.text import Grade
from tests.core.tagging.builders import ANALYSER, NORMALISER


def runs(title: str, body: str) -> list[str]:
    text = ANALYSER.analyse(title, body)
    return [text.surface(first, end - 1) for first, end in text.runs]


def test_function_words_and_punctuation_part_phrases() -> None:
    assert runs("", "The glazing kiln of the pottery studio, and a wood kiln.") == [
        "glazing kiln",
        "pottery studio",
        "wood kiln",
    ]


def test_chinese_is_cut_by_the_segmenter_and_its_function_words() -> None:
    assert runs("", "陶藝和機器學習的資料庫") == ["陶藝", "機器學習", "資料庫"]


def test_places_point_into_the_fields_as_written() -> None:
    text = ANALYSER.analyse("C++ 與 .NET", "Node.js 的 R&D，U.S. mugs: don't O'Reilly")
    for token in text.tokens:
        assert text.field_text(token.field)[token.start : token.end] == token.text
    written = {token.text for token in text.tokens}
    assert {"C++", ".NET", "Node.js", "R&D", "U.S.", "don't", "O'Reilly"} <= written


def test_a_title_repeated_as_the_first_line_is_counted_once() -> None:
    text = ANALYSER.analyse("Broken mug", "Broken mug. It came broken.")
    assert [token.text for token in text.tokens].count("mug") == 1


def test_an_initial_does_not_end_a_name() -> None:
    assert "George W. Bush" in runs("", "It is a house of George W. Bush.")


@pytest.mark.parametrize(
    ("word", "grade"),
    [
        ("the", Grade.BREAK),
        ("said", Grade.BREAK),
        ("quickly", Grade.BREAK),
        ("Monday", Grade.NEVER),
        ("reuters", Grade.NEVER),
        ("new", Grade.WEAK),
        ("42", Grade.NUMBER),
        ("3rd", Grade.NUMBER),
        ("kiln", Grade.PLAIN),
        ("IT", Grade.PLAIN),
        ("family", Grade.PLAIN),
    ],
)
def test_english_words_are_graded(word: str, grade: Grade) -> None:
    assert ANALYSER.word(word, "en").grade is grade


@pytest.mark.parametrize(
    ("word", "grade"),
    [
        ("的", Grade.BREAK),
        ("很細", Grade.BREAK),
        ("太重", Grade.BREAK),
        ("太陽能", Grade.PLAIN),
        ("七天", Grade.NUMBER),
        ("兩型", Grade.PLAIN),
        ("陶藝", Grade.PLAIN),
        ("方法", Grade.WEAK),
    ],
)
def test_chinese_words_are_graded(word: str, grade: Grade) -> None:
    assert ANALYSER.word(word, "zh").grade is grade


def test_conversation_is_told_from_prose() -> None:
    assert ANALYSER.analyse("", "Can I put my mug in your kiln? I think you did.").conversational > 0.5
    assert ANALYSER.analyse("", "A kiln fires clay at a high temperature.").conversational == 0
    assert ANALYSER.analyse("", "我的陶器可以退貨嗎？").conversational == 0


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.text(max_size=40))
def test_any_text_is_cut_without_losing_its_places(body: str, title: str) -> None:
    text = ANALYSER.analyse(title, body)
    ends = {"title": 0, "body": 0}
    for token in text.tokens:
        assert text.field_text(token.field)[token.start : token.end] == token.text
        assert token.start >= ends[token.field]
        ends[token.field] = token.end
    for first, end in text.runs:
        assert 0 <= first < end <= len(text.tokens)


def test_word_forms_compose_to_the_form_of_the_phrase() -> None:
    text = ANALYSER.analyse("", "Machine-Learning Models in AI 代理 資料庫 of C++ Reviews and Windows 11")
    found = phrase_occurrences(text, 4)
    assert {"machine learning model", "ai代理资料库", "c++ review", "windows 11"} <= set(found)
    for form, occurrences in found.items():
        assert NORMALISER.normal_form(text.surface(occurrences[0].first, occurrences[0].last)) == form
