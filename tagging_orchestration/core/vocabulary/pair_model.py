"""The pair model: from what is known of a pair of tags to the chance that they mean the same.

Gradient boosted trees, trained by benchmarks/train_merge.py and kept as JSON beside this module, with a logistic
calibration on pairs the trees did not learn from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.vocabulary.pairs import FEATURES

_MOST = 1 - 1e-6
# After so many trees, pairs at these log-odds and lower are given up. On the training sets no pair that the rest
# of the trees would have brought above 0.1 is lost.
_LOOK_EVERY = 50
_HOPELESS = -3.5


@dataclass(frozen=True, slots=True)
class Tree:
    """One regression tree as arrays over its nodes. A leaf has `feature` -1 and adds `value` to the log-odds.

    A number up to `threshold` goes left, a greater one right, and an unknown one left where `unknown_left` says
    so.
    """

    feature: np.ndarray
    threshold: np.ndarray
    unknown_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def values(self, table: np.ndarray) -> np.ndarray:
        """What the tree adds to the log-odds of each row."""
        node = np.zeros(len(table), dtype=np.int32)
        open_rows = np.arange(len(table))
        while len(open_rows):
            at = node[open_rows]
            inner = self.feature[at] >= 0
            open_rows, at = open_rows[inner], at[inner]
            number = table[open_rows, self.feature[at]]
            left = np.where(np.isnan(number), self.unknown_left[at], number <= self.threshold[at])
            node[open_rows] = np.where(left, self.left[at], self.right[at])
        return self.value[node]


@dataclass(frozen=True, slots=True)
class PairModel:
    """The trained trees. `slope` and `offset` calibrate their log-odds; `usage` weighs what use tells
    (usage.py)."""

    version: str
    base: float
    trees: tuple[Tree, ...]
    slope: float
    offset: float
    usage: Mapping[str, float]

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], where: str) -> PairModel:
        """The model read from JSON at `where`; raises ConfigurationError when it is not for these features."""
        try:
            if tuple(data["features"]) != FEATURES:
                raise ConfigurationError(f"{where}: made for other features; train it with this version")
            return cls(
                version=str(data["version"]),
                base=float(data["base"]),
                trees=tuple(_tree(tree) for tree in data["trees"]),
                slope=float(data["slope"]),
                offset=float(data["offset"]),
                usage={str(name): float(weight) for name, weight in data["usage"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{where}: no pair model ({error!r}); train it anew") from None

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        """Calibrated log-odds of each row of `pair_features` that the two tags mean the same."""
        total = np.full(len(table), self.base)
        hopeful = np.arange(len(table))
        for number, tree in enumerate(self.trees, 1):
            total[hopeful] += tree.values(table[hopeful])
            # Most pairs of a large vocabulary are plainly two tags, and later trees only ever correct the earlier.
            if number % _LOOK_EVERY == 0:
                hopeful = hopeful[total[hopeful] > _HOPELESS]
        return self.slope * total + self.offset


def probability(log_odds: np.ndarray) -> np.ndarray:
    """In (0, 1)."""
    return np.clip(1 / (1 + np.exp(-log_odds)), 1 - _MOST, _MOST)


def _tree(data: Mapping[str, Any]) -> Tree:
    return Tree(
        feature=np.array(data["feature"], dtype=np.int16),
        threshold=np.array(data["threshold"], dtype=np.float32),
        unknown_left=np.array(data["unknown_left"], dtype=bool),
        left=np.array(data["left"], dtype=np.int32),
        right=np.array(data["right"], dtype=np.int32),
        value=np.array(data["value"], dtype=np.float64),
    )
