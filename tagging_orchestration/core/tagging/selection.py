"""Selection: which proposals become assignments, through the vocabulary as it stands at publish time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tagging_orchestration.core.models import (
    Assignment,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
    Tag,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.scripts import HAN, KANA
from tagging_orchestration.core.vocabulary.index import Vocabulary

# A feature of proposals that a classifier judged: the probability from which it applies the tag.
CLASSIFIER_THRESHOLD = "classifier_threshold"

# A part of a name that occurs so many times as often as the name is a subject of its own.
_OWN_STANDING = 2

_UNIT = re.compile(rf"[{HAN}{KANA}]|[^\s{HAN}{KANA}]+")


@dataclass(frozen=True, slots=True)
class _Choice:
    """A proposal with the active tag it stands for and that tag's units."""

    proposal: Proposal
    tag: Tag
    units: tuple[str, ...]


def select(
    generated: GeneratedTags,
    vocabulary: Vocabulary,
    parameters: TaggerSettings,
    verdicts: Mapping[int, bool] | None = None,
) -> tuple[Assignment, ...]:
    """The assignments of one content, best first.

    Names are resolved through merges and aliases; what is unknown, retired or blocked falls away. People's tags
    always stand and are not counted. Machine tags follow by confidence, each discounted by its likeness to those
    already chosen (maximal marginal relevance, Carbonell and Goldstein 1998): any while there are fewer than
    `min_tags`, then up to `max_tags` that reach `min_confidence` and make the list as a whole better. A list gets
    better by a tag whose confidence is more than half of the list's expected F1 (Lipton, Elkan and Naryanaswamy
    2014); people are expected to give the tags proposed, by their confidence, times 1 + `generosity`.

    A tag that is only a part of a chosen tag's name is left out, unless people made both or the text speaks of it
    far more often. `verdicts` is what people said of this content's tags: what they rejected takes no place, and
    what they confirmed is theirs.

    Where a classifier judged, its threshold for the tag stands for `min_confidence`, and what is below it does not
    fill up. With a closed vocabulary that threshold alone decides on such tags, and nothing fills up.
    """
    verdicts = verdicts or {}
    choices = [choice for choice in _resolve(generated, vocabulary) if verdicts.get(choice.tag.id) is not False]
    chosen = [choice for choice in choices if _is_peoples(choice, verdicts)]
    open_choices = [choice for choice in choices if not _is_peoples(choice, verdicts)]
    people = len(chosen)
    min_tags = parameters.min_tags
    if parameters.closed_vocabulary:
        min_tags = 0
        judged = [choice for choice in open_choices if CLASSIFIER_THRESHOLD in choice.proposal.features]
        open_choices = [choice for choice in open_choices if CLASSIFIER_THRESHOLD not in choice.proposal.features]
        chosen += [choice for choice in judged if choice.proposal.confidence >= _bound(choice, parameters)]
    expected = (1 + parameters.generosity) * sum(choice.proposal.confidence for choice in open_choices)
    gained, size = 0.0, 0
    while open_choices and len(chosen) - people < parameters.max_tags:
        best = max(open_choices, key=lambda choice: _worth(choice, chosen, parameters.diversity))
        open_choices.remove(best)
        enough = len(chosen) >= min_tags
        likely = best.proposal.confidence
        refused = likely < _bound(best, parameters)
        if refused and (enough or CLASSIFIER_THRESHOLD in best.proposal.features):
            continue
        if enough and likely * (size + expected) <= gained:
            continue
        if not any(_is_part(best, other) for other in chosen):
            chosen.append(best)
            gained, size = gained + likely, size + 1
    chosen.sort(key=lambda choice: (-choice.proposal.confidence, choice.tag.id))
    return tuple(_assignment(choice, verdicts.get(choice.tag.id, False)) for choice in chosen)


def _resolve(generated: GeneratedTags, vocabulary: Vocabulary) -> list[_Choice]:
    """One choice a tag: the best proposal that leads to it, people's before machines'."""
    best: dict[int, _Choice] = {}
    for proposal in generated.proposals:
        tag = vocabulary.current(proposal.tag_id) if proposal.tag_id is not None else None
        tag = tag or vocabulary.resolve(proposal.normal_form)
        if tag is None:
            continue
        known = best.get(tag.id)
        if known is None or _precedence(proposal) > _precedence(known.proposal):
            best[tag.id] = _Choice(proposal, tag, tuple(_UNIT.findall(tag.normal_form)))
    return list(best.values())


def _is_peoples(choice: _Choice, verdicts: Mapping[int, bool]) -> bool:
    return choice.proposal.origin is Origin.HUMAN or verdicts.get(choice.tag.id, False)


def _bound(choice: _Choice, parameters: TaggerSettings) -> float:
    """The confidence from which on a tag is chosen."""
    return choice.proposal.features.get(CLASSIFIER_THRESHOLD, parameters.min_confidence)


def _precedence(proposal: Proposal) -> tuple[bool, float]:
    return proposal.origin is Origin.HUMAN, proposal.confidence


def _worth(choice: _Choice, chosen: list[_Choice], diversity: float) -> tuple[float, int]:
    """Confidence less the discount for likeness; ties go to the older tag."""
    likeness = max((_likeness(choice.units, other.units) for other in chosen), default=0.0)
    return choice.proposal.confidence * (1 - (1 - diversity) * likeness), -choice.tag.id


def _likeness(units: tuple[str, ...], others: tuple[str, ...]) -> float:
    """Share of the shorter name's units that are in the other name, in [0, 1]."""
    shared = len(set(units) & set(others))
    return shared / min(len(set(units)), len(set(others))) if shared else 0.0


def _is_part(choice: _Choice, other: _Choice) -> bool:
    """Whether the name is a part of the other name, not both are people's and it does not stand for itself."""
    if choice.tag.origin is Origin.HUMAN and other.tag.origin is Origin.HUMAN:
        return False
    units, whole = choice.units, other.units
    if len(units) >= len(whole) or not any(
        whole[start : start + len(units)] == units for start in range(len(whole) - len(units) + 1)
    ):
        return False
    return _occurrences(choice) <= _OWN_STANDING * _occurrences(other)


def _occurrences(choice: _Choice) -> int:
    """How often the text names it, as far as the evidence says."""
    return max((evidence.detail.get("count", 1) for evidence in choice.proposal.evidence), default=1)


def _assignment(choice: _Choice, confirmed: bool) -> Assignment:
    proposal = choice.proposal
    if confirmed:
        return Assignment(
            choice.tag.id,
            choice.tag.name,
            1.0,
            choice.tag.factor,
            Method.FEEDBACK,
            Origin.HUMAN,
            proposal.evidence,
        )
    return Assignment(
        tag_id=choice.tag.id,
        name=choice.tag.name,
        confidence=proposal.confidence,
        weight=proposal.confidence * choice.tag.factor,
        method=proposal.method,
        origin=proposal.origin,
        evidence=proposal.evidence,
    )
