"""Average-link clustering over the pairs of a sparse graph, with pairs that must stay apart."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

_SAME = 1e-9


class AverageLink:
    """Groups of items that join while the mean likeness across two groups, pairs without one counting 0, is high
    enough. Joining only ever needs the neighbours of the two, so that cost grows with the pairs, not their square.
    """

    def __init__(
        self,
        size: int,
        first: np.ndarray,
        second: np.ndarray,
        likeness: np.ndarray,
        apart: Iterable[tuple[int, int]],
    ) -> None:
        """`first`, `second`: both ends of each pair, each pair once; `apart`: pairs never in one group."""
        self._members: dict[int, list[int]] = {item: [item] for item in range(size)}
        self._sums: list[dict[int, float]] = [{} for _ in range(size)]
        for one, other, value in zip(first.tolist(), second.tolist(), likeness.tolist(), strict=True):
            self._sums[one][other] = self._sums[other][one] = value
        self._apart: list[set[int]] = [set() for _ in range(size)]
        for one, other in apart:
            self._apart[one].add(other)
            self._apart[other].add(one)

    def start(self, groups: Iterable[Iterable[int]]) -> None:
        """Put items together beforehand."""
        for group in groups:
            one, *others = group
            for other in others:
                self._merge(one, other)

    def join(self, least: float) -> None:
        """Join groups, the likest first, until no two are `least` alike on average."""
        queue = [
            (-mean, one, other)
            for one in self._members
            for other in self._sums[one]
            if one < other and (mean := self._mean(one, other)) >= least
        ]
        heapq.heapify(queue)
        while queue:
            mean, one, other = heapq.heappop(queue)
            if one not in self._members or other not in self._members or other in self._apart[one]:
                continue
            if abs(self._mean(one, other) + mean) > _SAME:
                continue
            self._merge(one, other)
            for third in self._sums[one]:
                if (mean := self._mean(one, third)) >= least:
                    heapq.heappush(queue, (-mean, min(one, third), max(one, third)))

    def groups(self) -> list[list[int]]:
        """All groups, single items included, in order."""
        return sorted(sorted(members) for members in self._members.values())

    def _mean(self, one: int, other: int) -> float:
        return self._sums[one].get(other, 0.0) / (len(self._members[one]) * len(self._members[other]))

    def _merge(self, one: int, other: int) -> None:
        for third, value in self._sums[other].items():
            if third != one:
                del self._sums[third][other]
                total = self._sums[one].get(third, 0.0) + value
                self._sums[one][third] = self._sums[third][one] = total
        self._sums[one].pop(other, None)
        self._sums[other] = {}
        for third in self._apart[other]:
            self._apart[third].discard(other)
            self._apart[third].add(one)
            self._apart[one].add(third)
        self._members[one] += self._members.pop(other)
