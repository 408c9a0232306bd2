"""Texts as the classifier sees them: TF-IDF of words and of characters, and the places of tag names.

Cheaper than the tagger's own analysis: no grades and no places, so that thousands of texts cost seconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging.scripts import HAN

# A scipy.sparse.csr_matrix, whose type stubs know neither its shape nor its operators.
Sparse: TypeAlias = Any

# A text is judged by its beginning, as sentence models do; on long papers more only added noise and time.
MAX_CHARACTERS = 6_000
# Terms of each kind that are kept, the most frequent ones, so that a model stays small.
MOST_TERMS = 40_000
# Longer words are identifiers and debris: their pieces would be features of one text.
_LONGEST_WORD = 24
_CHARACTER_GRAMS = (3, 4, 5)

_UNIT = re.compile(rf"(?P<han>[{HAN}]+)|(?:(?<![\w.])\.(?=[a-z]))?[^\W_{HAN}]+(?:\+\+|\#(?!\d))?")


@dataclass(frozen=True, slots=True)
class ClassifierText:
    """What is read of one content."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Units:
    """A text cut up. `units` are for matching names: dictionary forms of words, and single Chinese characters.

    The first `title_units` of them come from the title. `words` and `characters` count TF-IDF terms.
    """

    units: tuple[str, ...]
    title_units: int
    words: Counter[str]
    characters: Counter[str]


class UnitReader:
    """Cuts texts and names into units; Chinese is segmented and compared in Simplified characters."""

    def __init__(self, language: LanguageTools) -> None:
        self._language = language
        self._lemmas: dict[str, str] = {}

    def read(self, text: ClassifierText) -> Units:
        """All that the models need of one text."""
        title, body = text.title.strip(), text.body[:MAX_CHARACTERS].strip()
        # A title repeated as the first line would count twice.
        body = body[len(title) :] if title and body.startswith(title) else body
        units: list[str] = []
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        in_title = self._read_field(title, units, words, characters)
        title_units = len(units)
        words.update(f"title:{word}" for word in in_title)
        self._read_field(body, units, words, characters)
        return Units(tuple(units), title_units, words, characters)

    def name_units(self, name: str) -> tuple[str, ...]:
        """The units a tag name is matched by; hyphens and other signs only separate."""
        units: list[str] = []
        self._read_field(name, units, Counter(), Counter())
        return tuple(units)

    def _read_field(self, text: str, units: list[str], words: Counter[str], characters: Counter[str]) -> list[str]:
        folded = unicodedata.normalize("NFKC", text).lower()
        sequence: list[str] = []
        for found in _UNIT.finditer(folded):
            word = found.group()
            if found["han"]:
                word = self._language.to_simplified(word)
                units.extend(word)
                sequence += [part for part, _, _ in self._language.segment(word)]
                characters.update(word)
                characters.update(map("".join, pairwise(word)))
            else:
                units.append(self._lemma(word))
                sequence.append(word)
                padded = f" {word[:_LONGEST_WORD]} "
                for size in _CHARACTER_GRAMS:
                    characters.update(padded[i : i + size] for i in range(len(padded) - size + 1))
        words.update(sequence)
        words.update(f"{first} {second}" for first, second in pairwise(sequence))
        return sequence

    def _lemma(self, word: str) -> str:
        lemma = self._lemmas.get(word)
        if lemma is None:
            if len(self._lemmas) > 200_000:
                self._lemmas.clear()
            lemma = self._language.lemma(word, "en") if len(word) > 2 and word.isalpha() else word
            self._lemmas[word] = lemma
        return lemma


@dataclass(frozen=True, slots=True)
class TermWeights:
    """One block of TF-IDF: its terms, in column order, and their inverse document frequencies (float32)."""

    terms: tuple[str, ...]
    idf: np.ndarray

    @classmethod
    def fit(cls, counted: Sequence[Counter[str]], at_least: int, at_most: int) -> TermWeights:
        """Terms that at least so many texts hold, the `at_most` most frequent of them."""
        documents: Counter[str] = Counter()
        for counts in counted:
            documents.update(counts.keys())
        kept = sorted(
            (term for term, number in documents.items() if number >= at_least),
            key=lambda term: (-documents[term], term),
        )[:at_most]
        frequencies = np.array([documents[term] for term in kept], dtype=np.float32)
        return cls(tuple(kept), np.log((1 + len(counted)) / (1 + frequencies)).astype(np.float32) + 1)


class TfIdf:
    """Texts as sparse rows: words and characters, each block of unit length with logarithmic counts."""

    def __init__(self, words: TermWeights, characters: TermWeights) -> None:
        self.words = words
        self.characters = characters
        self._word_columns = {term: column for column, term in enumerate(words.terms)}
        offset = len(words.terms)
        self._character_columns = {term: offset + column for column, term in enumerate(characters.terms)}

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self._word_columns) + len(self._character_columns)

    @classmethod
    def fit(cls, texts: Sequence[Units], *, at_most: int = MOST_TERMS) -> TfIdf:
        """Learn terms and their weights; words must be in two texts, pieces of words in three."""
        return cls(
            TermWeights.fit([text.words for text in texts], 2, at_most),
            TermWeights.fit([text.characters for text in texts], 3, at_most),
        )

    def words_of(self, terms: Sparse) -> Sparse:
        """The word columns of `transform`'s rows."""
        return terms[:, : len(self._word_columns)]

    def transform(self, texts: Iterable[Units]) -> Sparse:
        """float32 rows (number of texts, width); the two blocks of a row weigh the same."""
        from scipy.sparse import csr_matrix

        columns: list[int] = []
        values: list[float] = []
        ends = [0]
        for text in texts:
            for counts, known, idf, offset in (
                (text.words, self._word_columns, self.words.idf, 0),
                (text.characters, self._character_columns, self.characters.idf, len(self._word_columns)),
            ):
                found = [(known[term], count) for term, count in counts.items() if term in known]
                if not found:
                    continue
                found.sort()
                places = np.array([column for column, _ in found])
                row = (1 + np.log([count for _, count in found])) * idf[places - offset]
                columns.extend(places.tolist())
                values.extend((row / np.linalg.norm(row)).tolist())
            ends.append(len(columns))
        return csr_matrix(
            (np.array(values, np.float32), np.array(columns, np.int32), np.array(ends, np.int32)),
            shape=(len(ends) - 1, self.width),
        )
