"""Texts as the classifier sees them: TF-IDF of words and of characters, and the places of tag names.

Cheaper than the tagger's own analysis: no grades and no places, so that thousands of texts cost seconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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

    The first `title_units` of them come from the title. `words` and `characters` count TF-IDF terms of the whole
    text, `title` both kinds of the title alone.
    """

    units: tuple[str, ...]
    title_units: int
    words: Counter[str]
    characters: Counter[str]
    title: Counter[str]


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
        self._read_field(title, units, words, characters)
        title_units = len(units)
        title_terms = words + characters
        self._read_field(body, units, words, characters)
        return Units(tuple(units), title_units, words, characters, title_terms)

    def name_units(self, name: str) -> tuple[str, ...]:
        """The units a tag name is matched by; hyphens and other signs only separate."""
        units: list[str] = []
        self._read_field(name, units, Counter(), Counter())
        return tuple(units)

    def _read_field(self, text: str, units: list[str], words: Counter[str], characters: Counter[str]) -> None:
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

    def _lemma(self, word: str) -> str:
        lemma = self._lemmas.get(word)
        if lemma is None:
            if len(self._lemmas) > 200_000:
                self._lemmas.clear()
            lemma = self._language.lemma(word, "en") if len(word) > 2 and word.isalpha() else word
            self._lemmas[word] = lemma
        return lemma


# The blocks of TF-IDF, by their field in `Units`: in how many texts a term must be, and the block's length.
# This weight of the title was best on questions (micro F1 of words alone .520 to .540) and news (.856 to .859).
BLOCKS = {"words": (2, 1.0), "characters": (3, 1.0), "title": (2, 0.5**0.5)}


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
    """Texts as sparse rows of three blocks with logarithmic counts: words, pieces of words, and both of the title.

    Each block has the length of its weight in `BLOCKS`.
    """

    def __init__(self, blocks: Mapping[str, TermWeights]) -> None:
        """`blocks` by the names of `BLOCKS`."""
        self.blocks = {name: blocks[name] for name in BLOCKS}
        self._columns: dict[str, dict[str, int]] = {}
        self._starts: dict[str, int] = {}
        self.width = 0
        for name, block in self.blocks.items():
            self._starts[name] = self.width
            self._columns[name] = {term: self.width + column for column, term in enumerate(block.terms)}
            self.width += len(block.terms)

    @classmethod
    def fit(cls, texts: Sequence[Units], *, at_most: int = MOST_TERMS) -> TfIdf:
        """Learn terms and their weights: those of two texts, of pieces those of three."""
        return cls(
            {
                name: TermWeights.fit([getattr(text, name) for text in texts], least, at_most)
                for name, (least, _) in BLOCKS.items()
            }
        )

    def block(self, name: str, rows: Sparse) -> Sparse:
        """The columns of one block of `transform`'s rows."""
        start = self._starts[name]
        return rows[:, start : start + len(self.blocks[name].terms)]

    def transform(self, texts: Iterable[Units]) -> Sparse:
        """float32 rows (number of texts, width)."""
        from scipy.sparse import csr_matrix

        columns: list[np.ndarray] = [np.zeros(0, np.int32)]
        values: list[np.ndarray] = [np.zeros(0, np.float32)]
        ends = [0]
        for text in texts:
            end = ends[-1]
            for name, (_, weight) in BLOCKS.items():
                known, counts = self._columns[name], getattr(text, name)
                found = sorted((known[term], count) for term, count in counts.items() if term in known)
                if not found:
                    continue
                places, numbers = np.array(found).T
                row = (1 + np.log(numbers)) * self.blocks[name].idf[places - self._starts[name]]
                columns.append(places.astype(np.int32))
                values.append((row * (weight / np.linalg.norm(row))).astype(np.float32))
                end += len(found)
            ends.append(end)
        return csr_matrix(
            (np.concatenate(values), np.concatenate(columns), np.array(ends, np.int32)),
            shape=(len(ends) - 1, self.width),
        )
