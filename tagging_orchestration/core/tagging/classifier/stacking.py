"""The stacker: one model for all tags that weighs the base models into a calibrated probability.

It sees a pair of text and tag by the base models' scores, their ranks and how many examples the tag has, never
by the tag itself. So what it learned on frequent tags serves those with a handful of examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.tagging.classifier.bases import SIGNALS, VECTOR_SIGNALS
from tagging_orchestration.core.tagging.classifier.trees import Trees

# Signals that order all tags of a text; finds of names are there or not.
RANKED = (
    "words",
    "word_neighbours",
    "name_words",
    "vector",
    "vector_neighbours",
    "prototype",
    "name_vector_relative",
)
_FOUND = ("name_title", "name_body")
# Tags of a text that are weighed at all: those with the best mean rank, and those whose name is in it.
CANDIDATES = 25
_PENALTY = 0.1

EVIDENCE = {
    "words": ("words",),
    "examples": ("word_neighbours", "word_nearest", "vector_neighbours", "vector_nearest"),
    "vector": ("vector", "prototype"),
    "name": (
        "name_words",
        "name_title_words",
        "name_title",
        "name_body",
        "name_earliness",
        "name_share",
        "name_alone",
        "name_part",
        "name_reliability",
        "name_vector",
        "name_vector_relative",
    ),
    "agreement": ("mean_rank",),
    "frequency": ("examples_log", "examples_share"),
}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of text and tag to be weighed: `rows` and `tags` number them, `features` are (pairs, FEATURES)."""

    rows: np.ndarray
    tags: np.ndarray
    features: np.ndarray


def _feature_names() -> tuple[str, ...]:
    names = []
    for signal in SIGNALS:
        names.append(signal)
        if signal in RANKED:
            names += [f"{signal}:rank", f"{signal}:margin"]
    return (*names, "mean_rank", "examples_log", "examples_share")


FEATURES = _feature_names()


def pairs(scores: Mapping[str, np.ndarray], counts: np.ndarray, texts: int, with_vectors: bool) -> Pairs:
    """The pairs worth weighing. `scores` are (texts, tags) by signal, `counts` the examples of each tag among
    `texts` training texts. Without vectors their signals take no part in the mean rank."""
    shape = scores["words"].shape
    ranked = [signal for signal in RANKED if with_vectors or signal not in VECTOR_SIGNALS]
    inverse_ranks = dict(zip(ranked, _inverse_ranks(np.stack([scores[s] for s in ranked])), strict=True))
    mean_rank = np.mean(list(inverse_ranks.values()), axis=0)
    kept = min(CANDIDATES, shape[1])
    bound = -np.partition(-mean_rank, kept - 1, axis=1)[:, kept - 1 : kept]
    chosen = mean_rank >= bound
    for signal in _FOUND:
        chosen |= scores[signal] > 0
    rows, tags = np.nonzero(chosen)
    columns = []
    for signal in SIGNALS:
        values = scores[signal]
        columns.append(values[rows, tags])
        if signal in RANKED:
            if signal in inverse_ranks:
                columns.append(inverse_ranks[signal][rows, tags])
                columns.append(_margins(values, rows, tags))
            else:
                columns += [np.zeros(len(rows))] * 2
    columns.append(mean_rank[rows, tags])
    # A tag without examples is weighed like one with a single example, the rarest the stacker has learned from.
    columns.append(np.log1p(np.maximum(counts, 1))[tags])
    columns.append((counts / max(texts, 1))[tags])
    return Pairs(rows, tags, np.stack(columns, axis=1).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Stacker:
    """Log-odds: the mean of a logistic regression's and boosted trees'. The regression's are `bias` + the sum of
    `weights` × (feature − `centre`); `trees` is None where there was nothing to grow them from."""

    weights: np.ndarray
    centre: np.ndarray
    bias: float
    trees: Trees | None

    @classmethod
    def fit(cls, features: np.ndarray, truth: np.ndarray) -> Stacker:
        """Fit to pairs that the base models had not seen."""
        from sklearn.linear_model import LogisticRegression

        centre, spread = features.mean(axis=0), features.std(axis=0)
        used = spread > 1e-6
        weights = np.zeros(features.shape[1])
        if truth.min() == truth.max():
            share = float(np.clip(truth.mean(), 1e-3, 1 - 1e-3))
            return cls(weights, centre, float(np.log(share / (1 - share))), None)
        scaled = (features[:, used] - centre[used]) / spread[used]
        model = LogisticRegression(C=_PENALTY, max_iter=500).fit(scaled, truth)
        weights[used] = model.coef_[0] / spread[used]
        return cls(weights, centre, float(model.intercept_[0]), Trees.fit(features, truth))

    @property
    def base(self) -> float:
        """The log-odds before any evidence."""
        return self.bias if self.trees is None else (self.bias + self.trees.base) / 2

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """float (pairs) in [0, 1]."""
        log_odds = self.bias + (features - self.centre) @ self.weights
        if self.trees is not None:
            log_odds = (log_odds + self.trees.log_odds(features)) / 2
        return 1 / (1 + np.exp(-np.clip(log_odds, -50, 50)))

    def effects(self, features: np.ndarray) -> list[dict[str, float]]:
        """What each kind of evidence adds to the log-odds of each pair; the rest is `base`."""
        parts = (features - self.centre) * self.weights
        if self.trees is not None:
            parts = (parts + self.trees.effects(features)) / 2
        kinds = {kind: parts[:, columns].sum(axis=1).tolist() for kind, columns in _COLUMNS.items()}
        return [{kind: values[row] for kind, values in kinds.items()} for row in range(len(features))]


def _columns(signals: Sequence[str]) -> np.ndarray:
    return np.array([column for column, name in enumerate(FEATURES) if name.partition(":")[0] in signals])


_COLUMNS = {kind: _columns(signals) for kind, signals in EVIDENCE.items()}


def _inverse_ranks(values: np.ndarray) -> np.ndarray:
    """Along the last axis: 1 for the best tag, then 1/2, 1/3, ...; ties share the mean of their ranks."""
    from scipy.stats import rankdata

    return (1 / rankdata(-values, axis=-1)).astype(np.float32)


def _margins(values: np.ndarray, rows: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """How far each pair's score is above the best other tag of its text."""
    if values.shape[1] < 2:
        return values[rows, tags]
    best_two = -np.partition(-values, 1, axis=1)[:, :2]
    own = values[rows, tags]
    top, second = best_two[rows, 0], best_two[rows, 1]
    return own - np.where(own >= top, second, top)
