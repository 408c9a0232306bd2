"""What the use of two tags says about them: the tags and contents each is used with, and whether they meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log

import numpy as np

# Tags used less often have no use to speak of.
MIN_USES = 5
USAGE_FEATURES = (
    "together", "context_known", "context", "context_by_uses", "centre_known", "centre", "centre_by_uses"
)  # fmt: skip
_KNOWN_WELL = log(100)


@dataclass(frozen=True, slots=True)
class CoUsage:
    """How tags are used: contents by tag, contents that carry both tags of a pair (smaller id first), and for each
    tag the mean vector of contents that carry it (under one model, not of unit length)."""

    contents: Mapping[int, int] = field(default_factory=dict)
    together: Mapping[tuple[int, int], int] = field(default_factory=dict)
    centres: Mapping[int, np.ndarray] = field(default_factory=dict)


class UsageProfiles:
    """Likeness of two tags in use; None where either is used too seldom."""

    def __init__(self, usage: CoUsage) -> None:
        self._usage = usage
        self._profiles: dict[int, dict[int, float]] = defaultdict(dict)
        for (first, second), contents in usage.together.items():
            # Dampened, so that one frequent companion does not speak for all.
            self._profiles[first][second] = self._profiles[second][first] = contents**0.5
        self._lengths = {
            tag_id: sum(value * value for value in profile.values()) ** 0.5
            for tag_id, profile in self._profiles.items()
        }
        self._general = np.mean(list(usage.centres.values()), axis=0) if usage.centres else None

    def uses(self, first: int, second: int) -> int:
        """Contents of the rarer tag."""
        return min(self._usage.contents.get(first, 0), self._usage.contents.get(second, 0))

    def context(self, first: int, second: int) -> float | None:
        """Cosine of the tags each is used with, the pair itself left out."""
        if self.uses(first, second) < MIN_USES or first not in self._profiles or second not in self._profiles:
            return None
        one, other = self._profiles[first], self._profiles[second]
        shared = sum(value * other[tag_id] for tag_id, value in one.items() if tag_id in other)
        return shared / (self._lengths[first] * self._lengths[second])

    def centre(self, first: int, second: int) -> float | None:
        """Cosine of the mean contents, measured from what all contents have in common."""
        one, other = self._usage.centres.get(first), self._usage.centres.get(second)
        if one is None or other is None or self.uses(first, second) < MIN_USES:
            return None
        one, other = one - self._general, other - self._general
        length = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(one @ other) / length if length else None

    def together(self, first: int, second: int) -> float | None:
        """Share of the rarer tag's contents that carry both."""
        fewest = self.uses(first, second)
        pair = (first, second) if first < second else (second, first)
        return min(self._usage.together.get(pair, 0) / fewest, 1.0) if fewest >= MIN_USES else None

    def features(self, first: int, second: int) -> dict[str, float]:
        """Numbers for the evidence, those that are known: each likeness, and again by how well the rarer tag is
        known."""
        together = self.together(first, second)
        if together is None:
            return {}
        found = {"together": together}
        known = min(log(self.uses(first, second)) / _KNOWN_WELL, 1.0)
        for name, value in (("context", self.context(first, second)), ("centre", self.centre(first, second))):
            if value is not None:
                found |= {f"{name}_known": 1.0, name: value, f"{name}_by_uses": value * known}
        return found


def usage_evidence(features: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """What use adds to the log-odds that two tags are one; 0 where nothing is known."""
    return sum(weights.get(name, 0.0) * value for name, value in features.items())
