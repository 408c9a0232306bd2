"""Confidences are bounded, move the way features promise, and can be taken apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.models import Neighbour
from tagging_orchestration.core.tagging.explanation import RULE, explain
from tagging_orchestration.core.tagging.features import FEATURE_NAMES, FEATURES
from tagging_orchestration.core.tagging.ranking import RankerWeights, confidence, log_odds
from tagging_orchestration.core.tagging.rules import parse_rules
from tests.core.tagging.builders import (
    PEOPLE,
    WEIGHTS,
    count,
    make_content,
    make_tag,
    make_tagger,
    make_vocabulary,
    tag_one,
)

VALUES = st.floats(0, 1, allow_nan=False)
VECTORS = st.dictionaries(st.sampled_from(FEATURE_NAMES), VALUES)
SIGNED = [feature for feature in FEATURES if feature.sign]


@given(VECTORS, VALUES, st.sampled_from(SIGNED), VALUES, VALUES)
def test_more_of_a_signed_feature_never_works_against_its_sign(features, style, feature, one, other) -> None:
    low, high = sorted((one, other))
    blended = WEIGHTS.blend(style)
    before = blended.log_odds({**features, feature.name: low})
    after = blended.log_odds({**features, feature.name: high})
    assert (after - before) * feature.sign >= -1e-9


@given(VECTORS, VALUES)
def test_a_confidence_is_a_probability(features, style) -> None:
    assert 0 <= confidence(WEIGHTS.blend(style).log_odds(features)) <= 1


@given(st.floats(-700, 700))
def test_extreme_log_odds_stay_probabilities(odds) -> None:
    assert 0 <= confidence(odds) <= 1


@given(VECTORS, VALUES)
def test_contributions_sum_to_the_log_odds(features, style) -> None:
    blended = WEIGHTS.blend(style)
    total = blended.bias + sum(blended.contributions(features).values())
    assert total == pytest.approx(blended.log_odds(features))


def test_every_proposal_can_be_taken_apart() -> None:
    vocabulary = make_vocabulary(
        make_tag(1, "glaze", origin=PEOPLE, usage_count=4), make_tag(2, "資料庫"), vectors={1: (1.0, 0.0)}
    )
    rules = parse_rules({"rules": [{"id": "r", "tag": "urgent", "any": ["broken"]}]}, "r")
    tagger = make_tagger(vocabulary, rules, count("a glaze", "a glaze and 資料庫", "broken mugs"))
    content = make_content("My broken mug has a glaze, do you see? 資料庫也壞了", given_tags=("pottery",))
    generated = tag_one(tagger, content, vector=(1.0, 0.0), neighbours=[Neighbour(9, 0.8, ((1, 1.0, PEOPLE),))])
    assert len(generated.proposals) > 4
    for proposal in generated.proposals:
        explanation = explain(proposal, WEIGHTS)
        if proposal.name == "pottery":
            assert (explanation.confidence, explanation.contributions) == (1.0, ())
            continue
        total = explanation.base + sum(item.effect for item in explanation.contributions)
        assert 1 / (1 + math.exp(-total)) == pytest.approx(proposal.confidence, abs=1e-6)
        effects = [abs(item.effect) for item in explanation.contributions]
        assert effects == sorted(effects, reverse=True)
    urgent = next(p for p in generated.proposals if p.name == "urgent")
    assert RULE in {item.feature for item in explain(urgent, WEIGHTS).contributions}


@given(st.floats(0.001, 0.999))
def test_log_odds_and_confidence_are_inverse(probability) -> None:
    assert confidence(log_odds(probability)) == pytest.approx(probability, abs=1e-6)


def test_shipped_weights_obey_the_signs_and_know_only_these_features() -> None:
    for column in (WEIGHTS.formal, WEIGHTS.conversational):
        assert set(column) <= set(FEATURE_NAMES)
        for feature in SIGNED:
            assert column.get(feature.name, 0.0) * feature.sign >= 0


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"version": "1", "formal": {}, "conversational": {}, "formal_bias": "x", "conversational_bias": 0},
        {"version": "1", "formal": 3, "conversational": {}, "formal_bias": 0, "conversational_bias": 0},
        {
            "version": "1",
            "formal": {"colour": 1},
            "conversational": {},
            "formal_bias": 0,
            "conversational_bias": 0,
        },
    ],
)
def test_wrong_weights_are_refused_by_name(data) -> None:
    with pytest.raises(ConfigurationError, match=r"my/weights\.json"):
        RankerWeights.from_mapping(data, "my/weights.json")
