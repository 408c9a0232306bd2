"""Why a tag has its confidence: each feature's share, from what is stored with the proposal."""

from __future__ import annotations

from dataclasses import dataclass

from tagging_orchestration.core.models import Method, Proposal
from tagging_orchestration.core.tagging.features import MEANINGS
from tagging_orchestration.core.tagging.ranking import RankerWeights, log_odds

# Stored beside the features: the text's style, which blends the weights, and the rule's confidence that decided.
CONVERSATIONAL = "conversational"
RULE = "rule"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature did: `effect` is added to the log-odds."""

    feature: str
    meaning: str
    value: float
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A confidence taken apart: log-odds(confidence) = base + the sum of all effects, strongest effect first.

    Tags that people gave are not weighed: confidence 1, no contributions.
    """

    name: str
    confidence: float
    decided_by: Method
    base: float
    contributions: tuple[Contribution, ...]


def explain(proposal: Proposal, weights: RankerWeights) -> Explanation:
    """Take a stored proposal apart under the weights that ranked it (those of its tagger version)."""
    if proposal.method is Method.GIVEN:
        return Explanation(proposal.name, proposal.confidence, Method.GIVEN, 0.0, ())
    blended = weights.blend(proposal.features.get(CONVERSATIONAL, 0.0))
    contributions = [
        Contribution(name, MEANINGS[name], proposal.features[name], effect)
        for name, effect in blended.contributions(proposal.features).items()
        if effect
    ]
    rule = proposal.features.get(RULE)
    if rule is not None:
        lift = log_odds(rule) - blended.bias - sum(item.effect for item in contributions)
        contributions.append(Contribution(RULE, "a rule of yours demands it", rule, lift))
    contributions.sort(key=lambda item: (-abs(item.effect), item.feature))
    return Explanation(proposal.name, proposal.confidence, proposal.method, blended.bias, tuple(contributions))
