"""Names and aliases of tags found in texts: all there is to go by for tags with few examples or none."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.tagging.classifier.texts import UnitReader, Units


@dataclass(frozen=True, slots=True)
class NameSignals:
    """Where names stand in texts; each array is float32 (texts, tags), 0 where the name is not in the text.

    `title` and `body` are 1 where it is in that field, `earliness` is 1 at the text's first word and falls to 0,
    `share` is its count over that of the most frequent name, `alone` is 1 over the number of names in the text.
    `part` is the share of its words, by rarity, that the text holds.
    """

    title: np.ndarray
    body: np.ndarray
    earliness: np.ndarray
    share: np.ndarray
    alone: np.ndarray
    part: np.ndarray


class NameFinder:
    """Finds the names of many tags in a text at once, by their units."""

    def __init__(self, names: Sequence[Sequence[str]], reader: UnitReader, rarity: Mapping[str, float]) -> None:
        """`names` holds the name and the aliases of each tag, by the tag's number; `rarity` the weight of each
        unit, 1 for those it does not know. The attribute `rarity` holds what was used of it."""
        self._by_first: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
        self._parts: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.count = len(names)
        self.rarity: dict[str, float] = {}
        for number, spellings in enumerate(names):
            for units in sorted({reader.name_units(name) for name in spellings}):
                if units:
                    self._by_first[units[0]].append((units, number))
            own = sorted(set(reader.name_units(spellings[0])))
            weights = {unit: round(rarity.get(unit, 1.0), 2) for unit in own}
            self.rarity |= weights
            total = max(sum(weights.values()), 1e-9)
            for unit, weight in weights.items():
                self._parts[unit].append((number, weight / total))

    def signals(self, texts: Sequence[Units]) -> NameSignals:
        """See `NameSignals`."""
        title, body, earliness, counts, part = (
            np.zeros((len(texts), self.count), dtype=np.float32) for _ in range(5)
        )
        for row, text in enumerate(texts):
            for number, places in self._places(text).items():
                title[row, number] = places[0] < text.title_units
                body[row, number] = places[-1] >= text.title_units
                earliness[row, number] = 1 - math.log1p(places[0]) / math.log1p(len(text.units))
                counts[row, number] = len(places)
            for unit in set(text.units) & self._parts.keys():
                for number, share in self._parts[unit]:
                    part[row, number] += share
        found = counts > 0
        return NameSignals(
            title=title,
            body=body,
            earliness=earliness,
            share=counts / np.maximum(counts.max(axis=1, keepdims=True, initial=0), 1),
            alone=(found / np.maximum(found.sum(axis=1, keepdims=True), 1)).astype(np.float32),
            part=part,
        )

    def _places(self, text: Units) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for place, unit in enumerate(text.units):
            for units, number in self._by_first.get(unit, ()):
                if text.units[place : place + len(units)] == units:
                    found.setdefault(number, []).append(place)
        return found


def unit_rarity(texts: Sequence[Units]) -> dict[str, float]:
    """Inverse document frequency of every unit of these texts."""
    documents: Counter[str] = Counter()
    for text in texts:
        documents.update(set(text.units))
    return {unit: math.log((1 + len(texts)) / (1 + number)) for unit, number in documents.items()}
