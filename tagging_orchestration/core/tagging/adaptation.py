"""Adaptation: the shipped ranker weights moved towards what people of one organisation chose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.tagging.features import FEATURE_NAMES, FEATURES
from tagging_orchestration.core.tagging.ranking import RankerWeights

MINIMUM_TEXTS = 20
# How strongly weights are held where they are, in texts: one feature that is off by one costs as much as this many
# texts' worth of surprise. Found by halves of eleven labelled sets; .25 to 2 give the same within the noise.
PENALTY = 0.5

_COLUMN = {name: number for number, name in enumerate(FEATURE_NAMES)}


@dataclass(frozen=True, slots=True)
class Choices:
    """One text that people tagged: its style, its candidates' features, and which of them people chose."""

    conversational: float
    features: Sequence[Mapping[str, float]]
    chosen: Sequence[bool]


def adapt(base: RankerWeights, texts: Sequence[Choices]) -> RankerWeights:
    """Weights that explain people's choices, as near to `base` as these allow; `base` itself for too few texts.

    Maximum a posteriori estimate of the logistic regression with a Gaussian prior around `base`. Features keep the
    side their `sign` states. Deterministic.
    """
    from scipy.optimize import minimize

    if len(texts) < MINIMUM_TEXTS:
        return base
    x, y, style = _arrays(texts)
    count = len(FEATURES)
    design = np.hstack([x * (1 - style), x * style, 1 - style, style])
    prior = np.array(
        [
            *(base.formal.get(name, 0.0) for name in FEATURE_NAMES),
            *(base.conversational.get(name, 0.0) for name in FEATURE_NAMES),
            base.formal_bias,
            base.conversational_bias,
        ]
    )
    # A bias only says how many tags people give, so it is free to follow them.
    penalty = np.append(np.full(2 * count, PENALTY), [PENALTY / 10] * 2)
    sides = [{1: (0, None), -1: (None, 0), 0: (None, None)}[feature.sign] for feature in FEATURES]

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = design @ b
        off = b - prior
        value = (np.logaddexp(0, z) - y * z).sum() + (penalty * off) @ off / 2
        return value, design.T @ (1 / (1 + np.exp(-z)) - y) + penalty * off

    bounds = [*sides, *sides, (None, None), (None, None)]
    start = np.clip(
        prior,
        [low if low is not None else -np.inf for low, _ in bounds],
        [high if high is not None else np.inf for _, high in bounds],
    )
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300}).x.round(4)
    formal = {name: float(b) for name, b in zip(FEATURE_NAMES, found[:count], strict=True) if b}
    conversational = {name: float(b) for name, b in zip(FEATURE_NAMES, found[count:-2], strict=True) if b}
    biases = found[-2:].tolist()
    version = hashlib.sha256(json.dumps([base.version, formal, conversational, biases]).encode()).hexdigest()[:12]
    return RankerWeights(version, formal, conversational, *biases)


def _arrays(texts: Sequence[Choices]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, FEATURES), labels (n,) and style (n, 1) of all candidates."""
    rows = sum(len(text.chosen) for text in texts)
    x = np.zeros((rows, len(FEATURES)), np.float32)
    row = 0
    for text in texts:
        for features in text.features:
            for name, value in features.items():
                x[row, _COLUMN[name]] = value
            row += 1
    y = np.array([chosen for text in texts for chosen in text.chosen], float)
    style = np.repeat([text.conversational for text in texts], [len(text.chosen) for text in texts])
    return x, y, style[:, None]
