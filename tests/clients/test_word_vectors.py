"""Phrases get the vectors of their words, and each word is encoded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tagging_orchestration.clients import word_vectors
from tagging_orchestration.clients.word_vectors import WordVectors

AXES = {"red": 0, "glaze": 1, "釉": 2}


class Encoder:
    """One axis a word; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        self.asked += words
        return np.eye(3, dtype=np.float32)[[AXES[word] for word in words]]


def test_a_phrase_lies_between_its_words() -> None:
    vectors = WordVectors(Encoder()).phrases(["red glaze", "Glaze", "釉"])
    assert np.allclose(vectors, [[0.5**0.5, 0.5**0.5, 0], [0, 1, 0], [0, 0, 1]], atol=1e-3)


def test_a_word_is_encoded_once_whatever_phrase_it_is_in() -> None:
    encoder = Encoder()
    words = WordVectors(encoder)
    words.phrases(["red glaze", "red"])
    words.phrases(["glaze red", "釉"])
    assert sorted(encoder.asked) == ["glaze", "red", "釉"]


def test_too_many_words_are_learned_anew_with_the_same_result(monkeypatch) -> None:
    monkeypatch.setattr(word_vectors, "MAX_WORDS", 2)
    words = WordVectors(Encoder())
    before = words.phrases(["red glaze"])
    words.phrases(["釉"])
    assert np.array_equal(words.phrases(["red glaze"]), before)


def test_a_phrase_without_words_has_no_direction() -> None:
    assert not WordVectors(Encoder()).phrases(["red", " "])[1].any()
