"""From probabilities to decisions: the probability from which each tag is applied."""

from __future__ import annotations

import numpy as np

# A tag's own best threshold counts for half, so that rare tags are applied and frequent ones stay precise.
# Its half is shrunk by support: with fewer examples than this it counts for less than a quarter.
_OWN_SHARE = 0.5
_SUPPORT = 5
_LOWEST, _HIGHEST = 0.05, 0.8


def tag_thresholds(
    probabilities: np.ndarray, truth: np.ndarray, tags: np.ndarray, counts: np.ndarray, missed: int
) -> tuple[float, np.ndarray]:
    """The threshold for all tags that gives the best micro F1, and each tag's own, drawn towards it.

    `probabilities`, `truth` and `tags` are by pair, `counts` the examples of each tag; `missed` labels were no
    pair. The best threshold for F1 is half the F1 it reaches (Lipton, Elkan and Naryanaswamy 2014); a tag's is
    expected from its calibrated probabilities, which is steadier than counting its few examples.
    """
    shared = float(np.clip(_best(probabilities, truth, missed), _LOWEST, _HIGHEST))
    own = np.full(len(counts), shared)
    for tag in np.unique(tags):
        ordered = -np.sort(-probabilities[tags == tag])
        expected = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
        weight = _OWN_SHARE * counts[tag] / (counts[tag] + _SUPPORT)
        best = np.clip(expected.max() / 2, _LOWEST, _HIGHEST)
        own[tag] = np.exp((1 - weight) * np.log(shared) + weight * np.log(best))
    return shared, own


def _best(probabilities: np.ndarray, truth: np.ndarray, missed: int) -> float:
    """The probability at which applying everything from it up gives the best micro F1."""
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    hits = np.cumsum(truth[order])
    scores = 2 * hits / (np.arange(1, len(order) + 1) + truth.sum() + missed)
    return float(probabilities[order[int(scores.argmax())]])
