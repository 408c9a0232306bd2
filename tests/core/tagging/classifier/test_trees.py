"""Boosted trees as arrays say what scikit-learn's say, and their effects add up."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from tagging_orchestration.core.tagging.classifier.trees import _GROWTH, _RIDGE, Trees

RANDOM = np.random.RandomState(0)
FEATURES = RANDOM.randn(3_000, 6).astype(np.float32)
TRUTH = ((FEATURES[:, 0] + FEATURES[:, 1] * FEATURES[:, 2] + 0.3 * RANDOM.randn(3_000)) > 0).astype(np.float32)


@pytest.fixture(scope="module")
def trees() -> Trees:
    return Trees.fit(FEATURES, TRUTH)


def test_log_odds_are_those_of_the_library(trees: Trees) -> None:
    model = HistGradientBoostingClassifier(**_GROWTH, l2_regularization=_RIDGE, random_state=0)
    expected = model.fit(FEATURES, TRUTH).decision_function(FEATURES[:200])
    assert trees.log_odds(FEATURES[:200]) == pytest.approx(expected, abs=1e-9)


def test_effects_add_up_and_name_the_features_that_matter(trees: Trees) -> None:
    effects = trees.effects(FEATURES[:200])
    assert trees.base + effects.sum(axis=1) == pytest.approx(trees.log_odds(FEATURES[:200]), abs=1e-9)
    strength = np.abs(effects).mean(axis=0)
    assert strength[:3].min() > 4 * strength[3:].max()
