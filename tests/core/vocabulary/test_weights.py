"""The formula of weights."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.weights import TagUsage, assignment_weight, tag_factor

NEWEST = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = VocabularySettings(decay_per_day=0.01, usage_gain=0.5)


def factor(count: int = 1, days: float = 0.0, feedback: float = 1.0) -> float:
    return tag_factor(TagUsage(1, count, NEWEST - timedelta(days=days), 0.5, feedback), NEWEST, SETTINGS)


def test_decay_gain_and_feedback() -> None:
    assert factor(count=9, days=50, feedback=0.8) == pytest.approx(math.exp(-0.5) * (1 + 0.5 * math.log(10)) * 0.8)


def test_direction_of_each_part() -> None:
    assert factor(days=1) < factor(days=0)
    assert factor(count=10) > factor(count=9)
    assert factor(feedback=1.2) > factor(feedback=1.0)
    assert factor(days=-5) == factor(days=0)


def test_unused_tags_stand_where_they_are() -> None:
    assert tag_factor(TagUsage(1, 0, None, 0.0), NEWEST, SETTINGS) == 1.0
    assert assignment_weight(0.5, 2.0) == 1.0
