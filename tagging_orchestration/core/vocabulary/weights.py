"""Weights: how much a tag counts today, from confidence, time, use and feedback (spec: tagging, section 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from tagging_orchestration.core.parameters import VocabularySettings

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class TagUsage:
    """How one tag is used. `last_used_at` is the creation time of the newest content that carries it.

    `feedback` is above 1 where people confirm the tag, below where they reject it, 1 where nobody said anything.
    """

    tag_id: int
    usage_count: int
    last_used_at: datetime | None
    mean_confidence: float
    feedback: float = 1.0


# So many imagined answers of each kind stand beside people's: one answer changes little.
IMAGINED_ANSWERS = 2


def feedback_factor(accepted: int, rejected: int) -> float:
    """What people's answers make of a tag: 1 without any, towards 2 where all confirm it, else towards 0."""
    return 2 * (accepted + IMAGINED_ANSWERS) / (accepted + rejected + 2 * IMAGINED_ANSWERS)


def tag_factor(usage: TagUsage, newest: datetime, settings: VocabularySettings) -> float:
    """What every assignment's confidence is multiplied with: time decay x usage gain x feedback.

    Decay is exp(-decay_per_day x days since the last use); days count back from `newest`, the time of the
    organisation's newest content, so that an archive as a whole does not fade. The gain is
    1 + usage_gain x ln(1 + usage_count). A tag that was never used has the factor of its feedback.
    """
    if usage.last_used_at is None:
        return usage.feedback
    days = max((newest - usage.last_used_at).total_seconds() / SECONDS_A_DAY, 0.0)
    gain = 1 + settings.usage_gain * math.log1p(usage.usage_count)
    return math.exp(-settings.decay_per_day * days) * gain * usage.feedback


def assignment_weight(confidence: float, factor: float) -> float:
    """Weight of one assignment."""
    return confidence * factor
