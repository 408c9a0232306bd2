"""The ranker: one logistic regression that fuses all generators into a calibrated confidence.

Weights come in two columns, learned on formal prose and on conversational texts; a text's own style blends them,
because people tag abstracts with phrases and questions with single words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.tagging.features import FEATURE_NAMES

DIGITS = 6


@dataclass(frozen=True, slots=True)
class RankerWeights:
    """The learned numbers. A feature without a weight has none."""

    version: str
    formal: Mapping[str, float]
    conversational: Mapping[str, float]
    formal_bias: float
    conversational_bias: float

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], where: str) -> RankerWeights:
        """Weights read from JSON at `where`; raises ConfigurationError when they are not for these features."""
        try:
            weights = cls(
                version=str(data["version"]),
                formal={str(name): float(weight) for name, weight in data["formal"].items()},
                conversational={str(name): float(weight) for name, weight in data["conversational"].items()},
                formal_bias=float(data["formal_bias"]),
                conversational_bias=float(data["conversational_bias"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{where}: not ranker weights ({error!r}); train them anew") from None
        unknown = sorted((weights.formal.keys() | weights.conversational.keys()) - set(FEATURE_NAMES))
        if unknown:
            raise ConfigurationError(
                f"{where}: weights for unknown features {', '.join(unknown)}; train them with this version"
            )
        return weights

    def to_mapping(self) -> dict[str, Any]:
        """Inverse of `from_mapping`, ready for JSON."""
        return asdict(self)

    def blend(self, conversational: float) -> BlendedWeights:
        """The weights for a text of this style (0 formal, 1 conversational)."""
        formal = 1 - conversational
        names = self.formal.keys() | self.conversational.keys()
        return BlendedWeights(
            bias=formal * self.formal_bias + conversational * self.conversational_bias,
            weights={
                name: formal * self.formal.get(name, 0.0) + conversational * self.conversational.get(name, 0.0)
                for name in names
            },
        )


@dataclass(frozen=True, slots=True)
class BlendedWeights:
    """One weight a feature, for texts of one style."""

    bias: float
    weights: Mapping[str, float]

    def contributions(self, features: Mapping[str, float]) -> dict[str, float]:
        """What each feature adds to the log-odds, in the order of the features."""
        weights = self.weights
        return {name: weights.get(name, 0.0) * value for name, value in features.items() if name in weights}

    def log_odds(self, features: Mapping[str, float]) -> float:
        """Bias and contributions summed."""
        weights = self.weights
        return self.bias + sum(weights.get(name, 0.0) * value for name, value in features.items())


def confidence(log_odds: float) -> float:
    """Probability in [0, 1] from log-odds, rounded so that storage does not change it."""
    if log_odds < -60:
        return 0.0
    return round(1 / (1 + math.exp(-log_odds)), DIGITS)


def log_odds(probability: float) -> float:
    """Inverse of `confidence` inside (0, 1)."""
    return math.log(probability / (1 - probability))
