"""Calibration: confidences corrected by what people said of them, in log-odds.

A corrected confidence is sigmoid(slope x + bias + generator + tag) with x the log-odds of the ranker's own (Platt
1999, with random effects for generators and tags). All numbers are fitted by penalised maximum likelihood with the
identity as prior mean, so that a few answers change little and a tag that people keep rejecting sinks everywhere.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.models import JudgedProposal

# Precisions of the Gaussian priors: of the slope around 1, of the bias, a generator's and a tag's effect around 0.
# The questions asked are those about much used tags: what is said of all proposals alike must rest on many
# answers, or it carries over what only holds of those tags. On two simulated learning curves 30 beat 1 and 10
# (mean F1 after 200 answers .436, .411 and .426). One answer moves its own tag's log-odds by at most about 0.5.
SLOPE_PRECISION = 30.0
BIAS_PRECISION = 30.0
METHOD_PRECISION = 30.0
TAG_PRECISION = 1.0
# With fewer answers the threshold of the settings stands.
THRESHOLD_ANSWERS = 50
THRESHOLD_BOUNDS = (0.02, 0.6)
BINS = 10
# Held-out contents: one in so many, by a hash of the id, so that a content is on the same side in every training.
HELD_OUT = 5
LEAST_HELD_OUT = 10
_CERTAIN = 1e-4
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers; the default changes nothing. `threshold` is the confidence that decides, if learned."""

    version: str = "none"
    slope: float = 1.0
    bias: float = 0.0
    methods: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None

    def shift(self, log_odds: float, method: str, normal_form: str) -> float:
        """What to add to the log-odds of a proposal."""
        corrected = self.slope * log_odds + self.bias + self.methods.get(method, 0.0)
        return corrected + self.tags.get(normal_form, 0.0) - log_odds

    def probability(self, confidence: float, method: str, normal_form: str) -> float:
        """The corrected confidence of an uncorrected one."""
        raw = _log_odds(confidence)
        return 1 / (1 + math.exp(-(raw + self.shift(raw, method, normal_form))))

    def to_bytes(self) -> bytes:
        """JSON, for storage."""
        payload = {
            "slope": self.slope,
            "bias": self.bias,
            "methods": dict(self.methods),
            "tags": dict(self.tags),
            "threshold": self.threshold,
            "version": self.version,
        }
        return json.dumps(payload, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Calibration:
        """Inverse of `to_bytes`; raises ConfigurationError for anything else."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"not a calibration ({error!r}): fit it anew") from None


IDENTITY = Calibration()


def fit_calibration(
    judged: Sequence[JudgedProposal],
    staged: Sequence[JudgedProposal] = (),
    version: str = "",
    *,
    generosity: float = 0.0,
) -> Calibration:
    """The calibration that people's answers ask for; deterministic, the identity without answers.

    `staged` is a sample of present proposals (their `accepted` is not read), on which the threshold with the
    largest expected F1 is sought once there are `THRESHOLD_ANSWERS` answers; `generosity` as in `selection`.
    """
    version = version or judgement_fingerprint(judged)
    if not judged:
        return IDENTITY
    from scipy.optimize import minimize

    methods = sorted({str(row.method) for row in judged})
    forms = sorted({row.normal_form for row in judged})
    x = np.array([_log_odds(row.confidence) - row.shift for row in judged])
    y = np.array([row.accepted for row in judged], float)
    method = np.array([methods.index(str(row.method)) for row in judged])
    known = {form: number for number, form in enumerate(forms)}
    tag = np.array([known[row.normal_form] for row in judged])
    sizes = (2, len(methods), len(forms))
    mean = np.concatenate([[1.0], np.zeros(1 + len(methods) + len(forms))])
    precision = np.repeat([METHOD_PRECISION, TAG_PRECISION], sizes[1:])
    precision = np.concatenate([[SLOPE_PRECISION, BIAS_PRECISION], precision])

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = b[0] * x + b[1] + b[2 + method] + b[2 + len(methods) + tag]
        value = (np.logaddexp(0, z) - y * z).sum() + precision @ (b - mean) ** 2 / 2
        error = 1 / (1 + np.exp(-z)) - y
        gradient = np.concatenate(
            [
                [error @ x, error.sum()],
                np.bincount(method, error, len(methods)),
                np.bincount(tag, error, len(forms)),
            ]
        )
        return value, gradient + precision * (b - mean)

    bounds = [(0.0, None)] + [(None, None)] * (len(mean) - 1)
    found = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=bounds).x.round(_DIGITS).tolist()
    calibration = Calibration(
        version,
        found[0],
        found[1],
        {name: effect for name, effect in zip(methods, found[2 : 2 + len(methods)], strict=True) if effect},
        {form: effect for form, effect in zip(forms, found[2 + len(methods) :], strict=True) if effect},
    )
    if len(judged) < THRESHOLD_ANSWERS or not staged:
        return calibration
    return _with_threshold(calibration, staged, generosity)


def best_threshold(probabilities: Sequence[float], generosity: float = 0.0) -> float:
    """The confidence from which on to decide for a tag, so that the expected F1 over all of them is largest.

    With calibrated probabilities that is half the F1 reached (Lipton, Elkan and Naryanaswamy 2014); bounded.
    People are expected to give the tags proposed, by their probability, times 1 + `generosity`.
    """
    ordered = np.sort(np.asarray(probabilities, float))[::-1]
    wanted = (1 + generosity) * ordered.sum()
    expected = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + wanted)
    low, high = THRESHOLD_BOUNDS
    return round(float(np.clip(expected.max(initial=0.0) / 2, low, high)), _DIGITS)


def expected_calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = BINS
) -> float:
    """Mean distance of confidence and share of right ones over equally wide bins, weighed by their size."""
    p, y = np.asarray(probabilities, float), np.asarray(outcomes, float)
    if not len(p):
        return 0.0
    number = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(number, p, bins) - np.bincount(number, y, bins))
    return float(gaps.sum() / len(p))


def log_loss(probabilities: Sequence[float], outcomes: Sequence[bool]) -> np.ndarray:
    """Negative log-likelihood of each outcome."""
    p = np.clip(np.asarray(probabilities, float), _CERTAIN, 1 - _CERTAIN)
    return -np.log(np.where(np.asarray(outcomes, bool), p, 1 - p))


def is_held_out(content_id: int) -> bool:
    """Whether answers on this content are kept for judging models; no training ever sees them."""
    return hashlib.sha256(str(content_id).encode()).digest()[0] % HELD_OUT == 0


def judgement_fingerprint(judged: Sequence[JudgedProposal]) -> str:
    """Changes with every answer: equal answers need no new training."""
    rows = [(row.content_id, row.normal_form, str(row.method), row.confidence, row.accepted) for row in judged]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()[:16]


def compare(candidate: Calibration, present: Calibration, judged: Sequence[JudgedProposal]) -> dict[str, Any]:
    """How a candidate does on held-out answers beside the present calibration, and whether it may take over.

    It may when there are `LEAST_HELD_OUT` answers and its mean log loss is no larger, a standard error of the
    difference allowed for. Keys: held_out, log_loss, log_loss_before, ece, ece_before, no_worse.
    """
    rows = [row for row in judged if is_held_out(row.content_id)]
    outcomes = [row.accepted for row in rows]
    if len(rows) < LEAST_HELD_OUT:
        return {"held_out": len(rows), "no_worse": False}

    def probabilities(calibration: Calibration) -> list[float]:
        raw = [1 / (1 + math.exp(row.shift - _log_odds(row.confidence))) for row in rows]
        return [
            calibration.probability(p, str(row.method), row.normal_form) for p, row in zip(raw, rows, strict=True)
        ]

    after, before = probabilities(candidate), probabilities(present)
    losses, losses_before = log_loss(after, outcomes), log_loss(before, outcomes)
    difference = losses - losses_before
    allowed = float(difference.std(ddof=1) / math.sqrt(len(rows)))
    return {
        "held_out": len(rows),
        "log_loss": round(float(losses.mean()), 4),
        "log_loss_before": round(float(losses_before.mean()), 4),
        "ece": round(expected_calibration_error(after, outcomes), 4),
        "ece_before": round(expected_calibration_error(before, outcomes), 4),
        "no_worse": bool(difference.mean() <= allowed),
    }


def _with_threshold(calibration: Calibration, staged: Sequence[JudgedProposal], generosity: float) -> Calibration:
    from dataclasses import replace

    corrected = []
    for row in staged:
        raw = _log_odds(row.confidence) - row.shift
        corrected.append(calibration.probability(1 / (1 + math.exp(-raw)), str(row.method), row.normal_form))
    return replace(calibration, threshold=best_threshold(corrected, generosity))


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _CERTAIN), 1 - _CERTAIN)
    return math.log(bounded / (1 - bounded))
