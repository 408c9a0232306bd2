"""Finding many known phrases in a text at once: a trie over words (and single characters of unspaced scripts).

One pass over the text whatever the number of phrases, in the manner of Aho and Corasick (1975) without failure
links: phrases are short, so restarting at every word costs less than building them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from tagging_orchestration.core.tagging.text import AnalysedText, Occurrence

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class UnitStream:
    """A text as matching units: exact and dictionary forms, and the token each comes from.

    A unit of None stands where punctuation parts words, so that no phrase matches across it.
    """

    exact: list[str | None]
    lemmas: list[str | None]
    tokens: list[int]


class Match(NamedTuple):
    """A phrase found: its tokens, whether every unit is spelled exactly so, and whether it fills its tokens."""

    occurrence: Occurrence
    exact: bool
    aligned: bool
    start: int
    end: int


class PhraseIndex(Generic[Value]):
    """Phrases by their units, each with a value. Several values may share a phrase."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self.size = 0

    def add(self, units: Sequence[str], lemma_units: Sequence[str], value: Value) -> None:
        """Index a phrase under its dictionary forms; `units` are kept to tell exact matches."""
        if not lemma_units:
            return
        node = self._root
        for unit in lemma_units:
            node = node.setdefault(unit, {})
        node.setdefault("", []).append((tuple(units), value))
        self.size += 1

    def find(self, text: AnalysedText, stream: UnitStream) -> Iterator[tuple[Value, Match]]:
        """Every place of every phrase, in text order, nested ones included."""
        lemmas = stream.lemmas
        count = len(lemmas)
        for begin in range(count):
            node = self._root
            position = begin
            while position < count:
                unit = lemmas[position]
                node = node.get(unit) if unit is not None else None
                if node is None:
                    break
                position += 1
                for units, value in node.get("", ()):
                    yield value, _match(text, stream, begin, position, units)


def unit_stream(text: AnalysedText) -> UnitStream:
    """The units of a text in order; see `UnitStream`."""
    exact: list[str | None] = []
    lemmas: list[str | None] = []
    owners: list[int] = []
    for index, token in enumerate(text.tokens):
        if index and not text.joined(index):
            exact.append(None)
            lemmas.append(None)
            owners.append(index)
        exact.extend(token.word.units)
        lemmas.extend(token.word.lemma_units)
        owners.extend([index] * len(token.word.units))
    return UnitStream(exact, lemmas, owners)


def _match(text: AnalysedText, stream: UnitStream, begin: int, end: int, units: tuple[str, ...]) -> Match:
    owners = stream.tokens
    first, last = owners[begin], owners[end - 1]
    # The unit before the phrase belongs to its first token, or the unit after it to its last one.
    head = begin > 0 and owners[begin - 1] == first and stream.exact[begin - 1] is not None
    tail = end < len(owners) and owners[end] == last and stream.exact[end] is not None
    start_token, end_token = text.tokens[first], text.tokens[last]
    start, stop = start_token.start, end_token.end
    if head and start_token.word.unspaced and len(start_token.word.units) == len(start_token.text):
        start += begin - owners.index(first, max(0, begin - len(start_token.text)))
    if tail and end_token.word.unspaced and len(end_token.word.units) == len(end_token.text):
        first_unit = end - 1
        while first_unit > 0 and owners[first_unit - 1] == last and stream.exact[first_unit - 1] is not None:
            first_unit -= 1
        stop = end_token.start + end - first_unit
    return Match(
        occurrence=Occurrence(first, last, False),
        exact=tuple(stream.exact[begin:end]) == units,
        aligned=not head and not tail,
        start=start,
        end=stop,
    )
