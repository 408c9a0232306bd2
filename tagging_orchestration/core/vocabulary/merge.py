"""Merging: which tags of the vocabulary mean the same, from spelling, meaning and use together.

Pairs worth a look are found by blocking (pairs.py), the pair model (pair_model.py) and what is known of the tags'
use (usage.py) say how surely each is one tag, and average-link clustering (clusters.py) turns pairs into groups:
merges to make, and questions for a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np

from tagging_orchestration.core.models import MergeProposal, Origin, Tag
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.vocabulary.clusters import AverageLink
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.pair_model import PairModel, probability
from tagging_orchestration.core.vocabulary.pairs import (
    FEATURES,
    NameTable,
    candidate_pairs,
    pair_features,
    same_spelling,
    same_wording,
)
from tagging_orchestration.core.vocabulary.spelling import opposes
from tagging_orchestration.core.vocabulary.usage import CoUsage, UsageProfiles, usage_evidence

Pair = tuple[int, int]

# Two names that differ in spaces and points only, or that a dictionary of Taiwan's and the mainland's words turns
# into each other, need no model.
_KNOWN_VARIANT = log(0.98 / 0.02)
# One way only, the dictionary makes one word of several: a question.
_PERHAPS_VARIANT = log(0.6 / 0.4)
# Versions, years, denials and opposites make two tags of almost one name; models of meaning do not see it.
_DIFFERENT_THINGS = log(0.05 / 0.95)
# Three letters abbreviate too many things; two Chinese characters are a word.
_FEW_LETTERS = 3.5
# Signals that a person is shown as reasons, beside what use says.
_SHOWN = ("edit", "meaning", "letters", "sound", "words_alike", "abbreviation", "same_words", "same_english")


@dataclass(frozen=True, slots=True)
class Matcher:
    """What judging names needs: the trained model and knowledge of languages."""

    model: PairModel
    language: LanguageTools


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Merges to make, each into a tag that stays, and pairs for a person, the most valuable first."""

    automatic: tuple[MergeProposal, ...] = ()
    candidates: tuple[MergeProposal, ...] = ()


@dataclass(frozen=True, slots=True)
class TagCluster:
    """Tags that seem to be one. `automatic` of them, the tag that stays among them, are merged without a person;
    `certainty` says of each member how surely it belongs to the others."""

    members: tuple[int, ...]
    keeper: int
    automatic: frozenset[int]
    certainty: Mapping[int, float]


def find_merges(
    vocabulary: Vocabulary,
    usage: CoUsage,
    refused: Collection[Pair],
    settings: VocabularySettings,
    matcher: Matcher,
    focus: Collection[int] | None = None,
) -> MergePlan:
    """Tags to merge and pairs to review; `focus` restricts the look to pairs with at least one of these tags.

    `refused` holds pairs (smaller id first) that people decided are two tags, and pairs whose merge was undone.
    Tags of one branch (a tag and its ancestors) are never merged; two pinned tags only by a person.
    """
    judged = JudgedPairs(vocabulary, usage, refused, matcher, focus)
    merged = [group for group in judged.automatic_groups(settings) if judged.in_focus(group)]
    automatic, gone = [], set()
    for group in merged:
        keeper = min(group, key=judged.preference)
        for member in group:
            if member != keeper:
                automatic.append(judged.proposal(member, keeper, judged.certainty(member, group)))
                gone.add(member)
    candidates = [
        judged.proposal(*judged.weaker_first(pair), value)
        for pair, value in judged.pairs()
        if value >= settings.merge_review and judged.in_focus(pair) and not gone.intersection(pair)
    ]
    candidates.sort(key=lambda proposal: (-judged.value(proposal), proposal.source_tag_id))
    return MergePlan(tuple(automatic), tuple(candidates))


def cluster_tags(
    vocabulary: Vocabulary,
    usage: CoUsage,
    refused: Collection[Pair],
    settings: VocabularySettings,
    matcher: Matcher,
) -> list[TagCluster]:
    """All active tags in groups that seem to be one each, at the threshold for review; single tags included.

    What would be merged without a person is found first and kept together. Of several such groups that end up in
    one cluster, the one of the tag that stays (else the biggest) is the automatic part; joining the others to it
    is a question.
    """
    judged = JudgedPairs(vocabulary, usage, refused, matcher)
    automatic, groups = judged.grouped(settings)
    part_of = {member: group for group in automatic for member in group}
    clusters = []
    for group in groups:
        parts = sorted(
            {part_of[member] for member in group if member in part_of}, key=lambda part: (-len(part), part)
        )
        first = min(group, key=judged.preference)
        sure = part_of.get(first) or (parts[0] if parts else ())
        keeper = min(sure, key=judged.preference) if sure else first
        certainty = {member: judged.certainty(member, group) for member in group}
        clusters.append(TagCluster(tuple(group), keeper, frozenset(sure), certainty))
    return clusters


class JudgedPairs:
    """Every pair worth a look with the probability that the two are one tag."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        usage: CoUsage,
        refused: Collection[Pair],
        matcher: Matcher,
        focus: Collection[int] | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._usage = usage
        self._profiles = UsageProfiles(usage)
        self._refused = frozenset(refused)
        self._tags = list(vocabulary.active())
        self._by_id = {tag.id: tag for tag in self._tags}
        self._focus = None if focus is None else frozenset(focus)
        self._aliases = _alias_forms(vocabulary)
        places = None if self._focus is None else [p for p, tag in enumerate(self._tags) if tag.id in self._focus]
        self._names = NameTable(self._tags, vocabulary.vectors, matcher.language, self._aliases, places)
        self._first, self._second = candidate_pairs(self._names)
        self._table = pair_features(self._names, self._first, self._second)
        self._probability = probability(self._log_odds(matcher))

    def in_focus(self, tag_ids: Collection[int]) -> bool:
        """Whether the look is at one of these tags."""
        return self._focus is None or not self._focus.isdisjoint(tag_ids)

    def pairs(self) -> Iterator[tuple[Pair, float]]:
        """Pairs of tag ids that may be merged, with their probability."""
        for row, pair in enumerate(self._ids):
            if not self._apart[row]:
                yield pair, float(self._probability[row])

    def automatic_groups(self, settings: VocabularySettings) -> list[tuple[int, ...]]:
        """Groups of two and more tags that are merged without a person."""
        linked = AverageLink(len(self._tags), self._first, self._second, self._unasked, self._together_never(True))
        linked.join(settings.merge_automatic)
        return self._tag_ids(linked)

    def grouped(self, settings: VocabularySettings) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """The automatic groups, and all groups at the threshold for review with the automatic ones kept whole."""
        automatic = self.automatic_groups(settings)
        linked = AverageLink(
            len(self._tags), self._first, self._second, self._likeness, self._together_never(False)
        )
        linked.start([[self._place[tag_id] for tag_id in group] for group in automatic])
        linked.join(settings.merge_review)
        single = [(tag.id,) for tag in self._tags]
        grouped = self._tag_ids(linked)
        held = {tag_id for group in grouped for tag_id in group}
        return automatic, sorted([*grouped, *(one for one in single if one[0] not in held)])

    def certainty(self, tag_id: int, group: Collection[int]) -> float:
        """Mean probability that a tag is one with each other of a group; of a single tag, that it is alone."""
        others = [member for member in group if member != tag_id]
        if not others:
            return 1 - max(self._nearest.get(tag_id, 0.0), 0.0)
        return sum(self._by_pair.get(_pair(tag_id, other), 0.0) for other in others) / len(others)

    def preference(self, tag_id: int) -> tuple[bool, bool, int, bool, int]:
        """Sorts the tag to keep first: pinned, made by people, most used, not shouted, oldest."""
        tag = self._by_id[tag_id]
        uses = self._uses(tag)
        return not tag.pinned, tag.origin is not Origin.HUMAN, -uses, tag.name.isupper(), tag.id

    def weaker_first(self, pair: Pair) -> Pair:
        """The tag that goes and the one that stays."""
        keeper, other = sorted(pair, key=self.preference)
        return other, keeper

    def proposal(self, source: int, target: int, certainty: float) -> MergeProposal:
        """The merge of `source` into `target`, with what speaks for the pair."""
        return MergeProposal(source, target, round(certainty, 4), self._signals(_pair(source, target)))

    def value(self, proposal: MergeProposal) -> float:
        """What a person's answer is worth: probability times reach, the contents that the merge would move."""
        reach = min(self._uses(self._by_id[tag]) for tag in (proposal.source_tag_id, proposal.target_tag_id))
        return proposal.score * log(2 + reach)

    # ---------------------------------------------------------------------------------------------- inside

    def _uses(self, tag: Tag) -> int:
        return self._usage.contents.get(tag.id, tag.usage_count)

    def _log_odds(self, matcher: Matcher) -> np.ndarray:
        odds = matcher.model.log_odds(self._table)
        for row, pair in enumerate(self._ids):
            odds[row] += usage_evidence(self._profiles.features(*pair), matcher.model.usage)
        odds[self._different] = np.minimum(odds[self._different], _DIFFERENT_THINGS)
        odds[self._wording > 0] = np.maximum(odds[self._wording > 0], _PERHAPS_VARIANT)
        odds[self._variants] = np.maximum(odds[self._variants], _KNOWN_VARIANT)
        return odds

    @cached_property
    def _ids(self) -> list[Pair]:
        ids = np.array([tag.id for tag in self._tags], dtype=np.int64)
        return [
            _pair(one, other)
            for one, other in zip(ids[self._first].tolist(), ids[self._second].tolist(), strict=True)
        ]

    @cached_property
    def _place(self) -> dict[int, int]:
        return {tag.id: place for place, tag in enumerate(self._tags)}

    @cached_property
    def _variants(self) -> np.ndarray:
        return same_spelling(self._names, self._first, self._second) | (self._wording == 1)

    @cached_property
    def _wording(self) -> np.ndarray:
        return same_wording(self._names, self._first, self._second)

    @cached_property
    def _different(self) -> np.ndarray:
        forms = self._names.forms
        pairs = zip(self._first.tolist(), self._second.tolist(), strict=True)
        opposite = np.array([opposes(forms[one], forms[other]) for one, other in pairs], dtype=bool)
        return (self._signal("numbers_differ") > 0) | (self._signal("negation") > 0) | opposite

    @cached_property
    def _apart(self) -> np.ndarray:
        """Pairs that nobody may merge: refused by people, or of one branch of the hierarchy."""
        ancestors = {tag.id: self._ancestors(tag.id) for tag in self._tags if tag.parent_id is not None}
        return np.array(
            [
                pair in self._refused
                or pair[0] in ancestors.get(pair[1], ())
                or pair[1] in ancestors.get(pair[0], ())
                for pair in self._ids
            ],
            dtype=bool,
        )

    @cached_property
    def _likeness(self) -> np.ndarray:
        return np.where(self._apart, 0.0, self._probability)

    @cached_property
    def _unasked(self) -> np.ndarray:
        """Likeness for merges without a person, who judges names of few letters and one number more."""
        short = (np.expm1(self._signal("shortest")) < _FEW_LETTERS) & (self._signal("han") == 0)
        doubtful = short | (self._signal("number_added") > 0)
        return np.where(doubtful & ~self._variants, 0.0, self._likeness)

    def _together_never(self, unasked: bool) -> Iterator[Pair]:
        """Places of pairs that no chain of merges may bring together either."""
        never = self._apart | (self._different & ~self._variants) if unasked else self._apart
        for row in np.flatnonzero(never):
            yield int(self._first[row]), int(self._second[row])
        ids = set(self._by_id)
        for one, other in self._refused:
            if one in ids and other in ids:
                yield self._place[one], self._place[other]
        pinned = [place for place, tag in enumerate(self._tags) if tag.pinned]
        for number, place in enumerate(pinned):
            yield from ((place, other) for other in pinned[number + 1 :])
        for tag in self._tags:
            if tag.parent_id is not None:
                yield from (
                    (self._place[tag.id], self._place[above]) for above in self._ancestors(tag.id) if above in ids
                )

    def _ancestors(self, tag_id: int) -> set[int]:
        found: set[int] = set()
        parent = self._vocabulary.tags[tag_id].parent_id
        while parent is not None and parent not in found and parent in self._vocabulary.tags:
            found.add(parent)
            parent = self._vocabulary.tags[parent].parent_id
        return found

    def _tag_ids(self, linked: AverageLink) -> list[tuple[int, ...]]:
        return sorted(
            tuple(sorted(self._tags[place].id for place in group)) for group in linked.groups() if len(group) > 1
        )

    def _signal(self, name: str) -> np.ndarray:
        return self._table[:, FEATURES.index(name)]

    @cached_property
    def _by_pair(self) -> dict[Pair, float]:
        return dict(zip(self._ids, self._probability.tolist(), strict=True))

    @cached_property
    def _nearest(self) -> dict[int, float]:
        nearest: dict[int, float] = {}
        for pair, value in self.pairs():
            for tag_id in pair:
                nearest[tag_id] = max(nearest.get(tag_id, 0.0), value)
        return nearest

    @cached_property
    def _row(self) -> dict[Pair, int]:
        return {pair: row for row, pair in enumerate(self._ids)}

    def _signals(self, pair: Pair) -> dict[str, float | str]:
        row = self._row.get(pair)
        if row is None:
            return {}
        told = {name: float(self._table[row, FEATURES.index(name)]) for name in _SHOWN}
        told |= {"same_spelling": float(self._variants[row])}
        for name in ("context", "centre", "together"):
            value = getattr(self._profiles, name)(*pair)
            told[name] = float("nan") if value is None else value
        return {name: round(value, 3) for name, value in told.items() if value == value}


def _alias_forms(vocabulary: Vocabulary) -> dict[int, list[str]]:
    """Other normal forms that lead to each active tag."""
    forms: dict[int, list[str]] = {}
    for form, tag in vocabulary.forms():
        if form != tag.normal_form:
            forms.setdefault(tag.id, []).append(form)
    return forms


def _pair(first: int, second: int) -> Pair:
    return (first, second) if first < second else (second, first)
