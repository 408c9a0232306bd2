"""How well predicted tags meet people's, and whether a new classifier is no worse than the one in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 200
# A loss within this many standard errors of the difference is taken for chance.
_TOLERANCE = 1.0
LEAST_HELD_OUT = 5


@dataclass(frozen=True, slots=True)
class TagScore:
    """One tag on the held-out texts: how many carry it by people (`support`), and F1."""

    tag: str
    support: int
    f1: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Micro F1 over all labels, macro F1 over the tags that held-out texts carry, and each of those tags."""

    texts: int
    micro_f1: float
    macro_f1: float
    tags: tuple[TagScore, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`new` against `old` (None where nothing was in use); `reason` says in words what decided."""

    new: Scores
    old: Scores | None
    no_worse: bool
    reason: str


def evaluate(predicted: Sequence[AbstractSet[str]], wanted: Sequence[AbstractSet[str]]) -> Scores:
    """Scores of predicted tags, text by text."""
    table = _Table(predicted, wanted)
    micro, macro = table.scores(np.ones((1, len(wanted))))
    carried = np.flatnonzero(table.support)
    f1 = table.tag_f1(np.ones((1, len(wanted))))[0]
    tags = tuple(TagScore(table.tags[tag], int(table.support[tag]), round(float(f1[tag]), 4)) for tag in carried)
    return Scores(len(wanted), round(float(micro[0]), 4), round(float(macro[0]), 4), tags)


def compare(
    new: Sequence[AbstractSet[str]],
    old: Sequence[AbstractSet[str]] | None,
    wanted: Sequence[AbstractSet[str]],
    *,
    macro: bool = True,
) -> Comparison:
    """Whether the new predictions are no worse, by micro and, unless `macro` is off, by macro F1.

    Fewer than LEAST_HELD_OUT texts prove nothing. The tolerance is one standard error of the difference, from
    resampled texts (paired bootstrap). Without an old classifier the new one has to get anything right.
    """
    scored = evaluate(new, wanted)
    if len(wanted) < LEAST_HELD_OUT:
        reason = f"{len(wanted)} held-out texts are too few to judge, {LEAST_HELD_OUT} are needed"
        return Comparison(scored, None, False, reason)
    if old is None:
        useful = scored.micro_f1 > 0
        return Comparison(scored, None, useful, "the first one" if useful else "it gets nothing right")
    before = evaluate(old, wanted)
    weights = np.random.RandomState(0).multinomial(
        len(wanted), np.full(len(wanted), 1 / len(wanted)), size=_RESAMPLES
    )
    new_micro, new_macro = _Table(new, wanted).scores(weights)
    old_micro, old_macro = _Table(old, wanted).scores(weights)
    reasons, no_worse = [], True
    figures = [("micro", scored.micro_f1 - before.micro_f1, float(np.std(new_micro - old_micro)))]
    if macro:
        figures.append(("macro", scored.macro_f1 - before.macro_f1, float(np.std(new_macro - old_macro))))
    for name, gain, spread in figures:
        no_worse &= gain >= -_TOLERANCE * spread
        reasons.append(f"{name} F1 {gain:+.3f} (standard error {spread:.3f})")
    return Comparison(scored, before, no_worse, ", ".join(reasons))


class _Table:
    """Hits, false alarms and misses of each text and tag; `support` counts each tag's wanted texts."""

    def __init__(self, predicted: Sequence[AbstractSet[str]], wanted: Sequence[AbstractSet[str]]) -> None:
        self.tags = sorted({tag for tags in (*predicted, *wanted) for tag in tags})
        column = {tag: number for number, tag in enumerate(self.tags)}
        shape = (len(wanted), len(self.tags))
        self._hits, self._alarms, self._misses = (np.zeros(shape, np.float32) for _ in range(3))
        counts: Counter[str] = Counter()
        for row, (found, right) in enumerate(zip(predicted, wanted, strict=True)):
            counts.update(right)
            for tags, matrix in (
                (found & right, self._hits),
                (found - right, self._alarms),
                (right - found, self._misses),
            ):
                for tag in tags:
                    matrix[row, column[tag]] = 1
        self.support = np.array([counts[tag] for tag in self.tags], dtype=np.int64)

    def tag_f1(self, weights: np.ndarray) -> np.ndarray:
        """F1 of each tag (resamples, tags) when the texts count `weights` (resamples, texts)."""
        hits = weights @ self._hits
        return 2 * hits / np.maximum(2 * hits + weights @ self._alarms + weights @ self._misses, 1e-9)

    def scores(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Micro and macro F1 of each resample; macro over the tags that people used."""
        hits = (weights @ self._hits).sum(axis=1)
        wrong = (weights @ self._alarms).sum(axis=1) + (weights @ self._misses).sum(axis=1)
        micro = 2 * hits / np.maximum(2 * hits + wrong, 1e-9)
        used = self.support > 0
        macro = self.tag_f1(weights)[:, used].mean(axis=1) if used.any() else np.zeros(len(weights))
        return micro, macro
