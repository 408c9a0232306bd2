"""Pure planning of embeddings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.embedding import (
    JUDGED_CHARACTERS,
    SCRIPT_SAMPLES,
    TokenizerView,
    length_batches,
    letters_by_script,
    script_of,
)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("Hello, world 42!", {"LATIN": 10}),
        ("naïve Café", {"LATIN": 9}),
        ("用 Docker 部署", {"LATIN": 6, "CJK": 3}),
        ("ＡＢＣ　全形", {"LATIN": 3, "CJK": 2}),
        ("ひらがなとカタカナー", {"KANA": 10}),
        ("ㄅㄆㄇ", {"CJK": 3}),
        ("데이터", {"HANGUL": 3}),
        ("Привет", {"CYRILLIC": 6}),
        ("123 !? 😀", {}),
        ("", {}),
    ],
)
def test_letters_are_counted_by_script(text: str, letters: dict[str, int]) -> None:
    assert letters_by_script(text) == letters


def test_only_the_leading_characters_are_looked_at() -> None:
    assert letters_by_script("a" * JUDGED_CHARACTERS + "中" * 500) == {"LATIN": JUDGED_CHARACTERS}


@pytest.mark.parametrize("script", SCRIPT_SAMPLES)
def test_each_sample_is_written_in_its_script(script: str) -> None:
    letters = letters_by_script(SCRIPT_SAMPLES[script])
    assert letters.most_common(1)[0][0] == script


def test_script_of_marks_and_digits_is_none() -> None:
    assert [script_of(character) for character in "1。 ़"] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("script", "view", "judged"),
    [
        ("LATIN", TokenizerView(100, 0, 25), True),
        ("CJK", TokenizerView(100, 0, 100), True),
        ("CJK", TokenizerView(100, 64, 100), False),
        ("CJK", TokenizerView(100, 0, 230), False),
        ("CYRILLIC", TokenizerView(100, 0, 98), False),
        ("CYRILLIC", TokenizerView(100, 0, 30), True),
        ("KLINGON", TokenizerView(0, 0, 0), False),
    ],
    ids=["words", "characters", "unknown", "bytes", "spelled", "pieces", "no letters"],
)
def test_a_view_judges_scripts_whose_words_it_knows(script: str, view: TokenizerView, judged: bool) -> None:
    assert view.judges(script) is judged


@given(
    lengths=st.lists(st.integers(0, 300), max_size=200),
    window=st.integers(1, 80),
    batch_size=st.integers(1, 40),
)
def test_batches_hold_each_text_once_and_sort_inside_windows(
    lengths: list[int], window: int, batch_size: int
) -> None:
    batches = [batch.tolist() for batch in length_batches(lengths, window, batch_size)]
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch) <= batch_size
        assert len({row // window for row in batch}) == 1
        assert [lengths[row] for row in batch] == sorted(lengths[row] for row in batch)
