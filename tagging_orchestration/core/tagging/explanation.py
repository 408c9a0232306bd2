"""Why a tag has its confidence, or was not chosen, and what would have changed that.

A proposal keeps the log-odds of its confidence by kind of reason (`effects`), which explains it whatever weights
made it; with the weights at hand each single feature's share is known too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagging_orchestration.core.models import (
    Assignment,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
    TagStatus,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.features import MEANINGS
from tagging_orchestration.core.tagging.ranking import (
    BlendedWeights,
    RankerWeights,
    confidence,
    log_odds,
)
from tagging_orchestration.core.tagging.selection import CLASSIFIER_THRESHOLD, select
from tagging_orchestration.core.vocabulary.index import Vocabulary

# Stored beside the features: the text's style, which blends the weights, and the rule's confidence that decided.
CONVERSATIONAL = "conversational"
RULE = "rule"
# Stored where a classifier's probability is the confidence.
CLASSIFIER = "classifier"

# Kinds of reasons, the keys of a proposal's effects beside those of its features' kinds.
BASE = "base"
CALIBRATION = "calibration"
LLM = "llm"
_KINDS = {
    "place": "unseen in_title in_lead earliness spread frequency prominence",
    "corpus": "rarity rarest tfidf support alone cohesion",
    "vocabulary": "matched matched_inflected matched_part known_human known_machine known_usage known_plain"
    " fresh_beside_people",
    "meaning": "similarity vector_similarity",
    "neighbours": "votes_people votes_machines nearest_voter",
}
_KIND_OF = {feature: kind for kind, features in _KINDS.items() for feature in features.split()}
WORDING = "wording"
KIND_MEANINGS = {
    "place": "where and how often its words stand in the text",
    "corpus": "how rare its words are among all contents",
    WORDING: "how the name is made",
    "vocabulary": "that it is a known tag, or would be a new one",
    "meaning": "how near its meaning is to the text's",
    "neighbours": "the tags of similar contents",
    CLASSIFIER: "the model trained on people's tags",
    "classifier_words": "its words, as people's tags taught them",
    "classifier_examples": "the most similar texts that people tagged",
    "classifier_vector": "its meaning beside that of the tag's examples",
    "classifier_name": "the tag's name and what it means",
    "classifier_agreement": "how far these agree that no other tag fits better",
    "classifier_frequency": "how often people use the tag",
    LLM: "that a language model proposes it",
    RULE: "a rule of yours",
    CALIBRATION: "what people said of such proposals before",
}


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
    if CLASSIFIER in proposal.features:
        contributions = [
            Contribution(kind, KIND_MEANINGS[kind], proposal.confidence, effect)
            for kind, effect in sorted(proposal.effects.items(), key=lambda item: (-abs(item[1]), item[0]))
            if kind != BASE and effect
        ]
        base = proposal.effects.get(BASE, 0.0)
        return Explanation(proposal.name, proposal.confidence, proposal.method, base, tuple(contributions))
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
    for kind in (LLM, CALIBRATION):
        shift = proposal.effects.get(kind)
        if shift and rule is None:
            contributions.append(Contribution(kind, KIND_MEANINGS[kind], shift, shift))
    contributions.sort(key=lambda item: (-abs(item.effect), item.feature))
    return Explanation(proposal.name, proposal.confidence, proposal.method, blended.bias, tuple(contributions))


def effects(features: Mapping[str, float], blended: BlendedWeights) -> dict[str, float]:
    """Log-odds by kind of reason, and the base; they add up to the ranker's log-odds."""
    found: dict[str, float] = {BASE: blended.bias}
    for name, effect in blended.contributions(features).items():
        kind = _KIND_OF.get(name, WORDING)
        found[kind] = found.get(kind, 0.0) + effect
    return {kind: round(effect, 4) for kind, effect in found.items() if effect or kind == BASE}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The confidence there would be without the reasons of some kinds, and whether that turns the decision."""

    without: tuple[str, ...]
    confidence: float
    turns: bool


def what_if(proposal: Proposal, threshold: float) -> list[WhatIf]:
    """What would have changed a decision: each kind of reason taken away, the strongest first.

    Where no single kind turns it, a last entry takes away as few together as do, if any do. Empty for proposals
    that were not weighed.
    """
    total = sum(proposal.effects.values())
    threshold = proposal.features.get(CLASSIFIER_THRESHOLD, threshold)
    chosen = proposal.confidence >= threshold
    helping = {
        kind: effect for kind, effect in proposal.effects.items() if kind != BASE and (effect > 0) == chosen
    }
    ordered = sorted(helping, key=lambda kind: (-abs(helping[kind]), kind))
    single = [_without(proposal, (kind,), total, threshold, chosen) for kind in ordered]
    if not ordered or any(item.turns for item in single):
        return single
    for count in range(2, len(ordered) + 1):
        together = _without(proposal, tuple(ordered[:count]), total, threshold, chosen)
        if together.turns:
            return [*single, together]
    return single


def _without(proposal: Proposal, kinds: tuple[str, ...], total: float, threshold: float, chosen: bool) -> WhatIf:
    left = confidence(total - sum(proposal.effects[kind] for kind in kinds))
    return WhatIf(kinds, left, (left >= threshold) != chosen)


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a content does not have a tag: `reason`, one of the constants below, and what to do about it."""

    reason: str
    detail: str


def why_not(
    generated: GeneratedTags | None,
    tag_id: int,
    vocabulary: Vocabulary,
    parameters: TaggerSettings,
    verdicts: Mapping[int, bool],
) -> WhyNot | None:
    """What keeps a tag away from a content, from its staged proposals; None when nothing does.

    `verdicts` is what people said of the content's tags.
    """
    tag = vocabulary.tags[tag_id]
    if tag.status is not TagStatus.ACTIVE:
        return WhyNot(f"tag is {tag.status}", f"bring it back first: tagging vocabulary activate {tag.name!r}")
    if verdicts.get(tag_id) is False:
        return WhyNot(
            "rejected", "a person said that it does not belong here; tagging feedback undo takes it back"
        )
    if generated is None:
        return WhyNot("not tagged yet", "the content waits for its first run: tagging run")
    proposals = [proposal for proposal in generated.proposals if _stands_for(proposal, vocabulary) == tag_id]
    if not proposals:
        return WhyNot(
            "not proposed",
            "no generator found its words, a similar content with it, or a rule for it; an alias, a description, "
            "a rule or people's tags on similar contents would make it a candidate",
        )
    chosen = select(generated, vocabulary, parameters, verdicts)
    if any(assignment.tag_id == tag_id for assignment in chosen):
        return None
    best = max(proposals, key=lambda proposal: proposal.confidence)
    needed = best.features.get(CLASSIFIER_THRESHOLD, parameters.min_confidence)
    if best.confidence < needed:
        return WhyNot("below the threshold", f"its confidence is {best.confidence:.2f}, {needed:.2f} are needed")
    whole = _whole(tag.normal_form, chosen, vocabulary)
    if whole is not None:
        return WhyNot("part of another tag", f"{whole!r} was chosen and holds its name")
    names = ", ".join(repr(assignment.name) for assignment in chosen)
    if sum(assignment.origin is Origin.MACHINE for assignment in chosen) >= parameters.max_tags:
        return WhyNot("crowded out", f"the content has as many tags as it may (tagger.max_tags): {names}")
    return WhyNot("outweighed", f"with {best.confidence:.2f} it would make the content's tags no better: {names}")


def _stands_for(proposal: Proposal, vocabulary: Vocabulary) -> int | None:
    tag = vocabulary.current(proposal.tag_id) if proposal.tag_id is not None else None
    tag = tag or vocabulary.resolve(proposal.normal_form)
    return tag.id if tag else None


def _whole(form: str, chosen: Sequence[Assignment], vocabulary: Vocabulary) -> str | None:
    return next((item.name for item in chosen if form in vocabulary.tags[item.tag_id].normal_form), None)
