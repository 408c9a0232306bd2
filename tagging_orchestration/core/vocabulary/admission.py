"""Admission: which proposed tags enter the vocabulary. Reuse comes first, one-item tags are the last resort."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tagging_orchestration.core.models import GeneratedTags, NewTag, Origin, Proposal, Tag, TagStatus
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.selection import select
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.spelling import spelling_key

# Below this share of the corpus, the staged contents do not speak for it and its word counts are asked too.
_WHOLE_CORPUS = 0.5
# What a vocabulary may hold before it is bound to the number of contents: a few contents are about many things.
STARTING_VOCABULARY = 100
# A tag that fills up one content can keep another tag out of it (a part of its name): looked at again so often.
_ROUNDS = 3


@dataclass(slots=True)
class _Candidate:
    """What the staged contents say about one form that is no tag yet. `confidences` by content."""

    names: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    confidences: dict[int, float] = field(default_factory=dict)
    given: bool = False
    uses: int = 0
    support: int = 0

    @property
    def rank(self) -> tuple[int, int, float]:
        """More contents that would carry it, then more that know it, then higher mean confidence."""
        return self.uses, self.support, sum(self.confidences.values()) / len(self.confidences)


def admit(
    staged: Sequence[GeneratedTags],
    vocabulary: Vocabulary,
    corpus: CorpusStatistics,
    parameters: TaggerSettings,
    proposed: Mapping[str, int] = MappingProxyType({}),
) -> list[NewTag]:
    """The tags to create so that the staged proposals can be assigned, most useful first.

    People's tags always enter, unless blocked. A machine's tag enters when it is confident for at least one staged
    content and at least `new_tag_min_support` contents support it: staged contents that it is confident for,
    contents that were proposed it before (`proposed`, by normal form), or, where the staged contents are a small
    part of the corpus, contents with its words. Contents that still have fewer than `min_tags` are then filled up
    with the proposals that serve most of them best. Machine tags are at most 100 and `new_tags_per_1000` for every
    1,000 contents; only a content that would be left with no tag at all gets one beyond that.
    """
    candidates = _candidates(staged, vocabulary, parameters)
    small_part = len(staged) < _WHOLE_CORPUS * corpus.corpus_size
    for form, candidate in candidates.items():
        words = corpus.document_frequency(form) if small_part else 0
        candidate.support = max(candidate.uses, proposed.get(form, 0), words)

    admitted = {form: "given by people" for form, candidate in candidates.items() if candidate.given}
    bound = len(admitted) + _room(len(staged), vocabulary, corpus, parameters)
    for form in _best_first(candidates):
        candidate = candidates[form]
        if len(admitted) >= bound:
            break
        if form not in admitted and candidate.uses and candidate.support >= parameters.new_tag_min_support:
            admitted[form] = f"supported by {candidate.support} contents"

    for wanted, most in ((min(1, parameters.min_tags), len(candidates)), (parameters.min_tags, bound)):
        _fill_up(wanted, most, admitted, staged, candidates, vocabulary, parameters)
    return [_new_tag(vocabulary, form, candidates[form], reason) for form, reason in admitted.items()]


def unknown_forms(staged: Sequence[GeneratedTags], vocabulary: Vocabulary) -> list[str]:
    """Normal forms of the staged proposals that the vocabulary does not know, sorted."""
    forms = {proposal.normal_form for generated in staged for proposal in generated.proposals}
    return sorted(form for form in forms if vocabulary.lookup(form) is None)


def with_tags(vocabulary: Vocabulary, tags: Iterable[NewTag]) -> Vocabulary:
    """The vocabulary as if these tags had been created; their ids are negative."""
    imagined = [
        Tag(-number, tag.organization_id, tag.name, tag.normal_form, origin=tag.origin)
        for number, tag in enumerate(tags, start=1)
    ]
    forms = {tag.normal_form for tag in imagined}
    known = [tag for tag in vocabulary.tags.values() if tag.normal_form not in forms]
    return Vocabulary(vocabulary.organization_id, [*known, *imagined], vocabulary.aliases, vocabulary.vectors)


def _candidates(
    staged: Sequence[GeneratedTags], vocabulary: Vocabulary, parameters: TaggerSettings
) -> dict[str, _Candidate]:
    blocked = {
        spelling_key(tag.normal_form) for tag in vocabulary.tags.values() if tag.status is TagStatus.BLOCKED
    }
    candidates: dict[str, _Candidate] = {}
    for generated in staged:
        for place, proposal in enumerate(generated.proposals):
            if not _may_enter(proposal, vocabulary, blocked):
                continue
            candidate = candidates.setdefault(proposal.normal_form, _Candidate())
            candidate.names[proposal.name] += 1
            candidate.languages[generated.language] += 1
            candidate.confidences[generated.content_id] = proposal.confidence
            candidate.given |= proposal.origin is Origin.HUMAN
            candidate.uses += place < parameters.max_tags and proposal.confidence >= parameters.min_confidence
    return candidates


def _may_enter(proposal: Proposal, vocabulary: Vocabulary, blocked: set[str]) -> bool:
    known = vocabulary.lookup(proposal.normal_form)
    if known is not None:
        return known.status is TagStatus.RETIRED and proposal.origin is Origin.HUMAN
    return bool(proposal.normal_form) and spelling_key(proposal.normal_form) not in blocked


def _room(staged: int, vocabulary: Vocabulary, corpus: CorpusStatistics, parameters: TaggerSettings) -> int:
    """How many machine tags the vocabulary may still take in."""
    contents = max(staged, corpus.corpus_size)
    machine = sum(1 for tag in vocabulary.active() if tag.origin is Origin.MACHINE)
    return max(STARTING_VOCABULARY + math.ceil(parameters.new_tags_per_1000 * contents / 1000) - machine, 0)


def _fill_up(
    wanted: int,
    most: int,
    admitted: dict[str, str],
    staged: Sequence[GeneratedTags],
    candidates: Mapping[str, _Candidate],
    vocabulary: Vocabulary,
    parameters: TaggerSettings,
) -> None:
    """Admit proposals, up to `most` in all, until every content has `wanted` tags or no proposal is left.

    Greedy cover: next is always the form with the largest sum, over contents that still need a tag, of the square
    roots of its confidences. The root prefers what many contents share to what is sure of one.
    """
    for _ in range(_ROUNDS):
        tags = [_new_tag(vocabulary, form, candidates[form], "") for form in admitted]
        extended = with_tags(vocabulary, tags)
        missing = {
            generated.content_id: lacking
            for generated in staged
            if (lacking := wanted - len(select(generated, extended, parameters))) > 0
        }
        added = _cover(missing, most - len(admitted), _open_forms(missing, admitted, candidates), candidates)
        for form, helped in added.items():
            admitted[form] = f"best left for {helped} contents with too few tags"
        if not added:
            return


def _open_forms(
    missing: Mapping[int, int], admitted: Mapping[str, str], candidates: Mapping[str, _Candidate]
) -> list[str]:
    return [
        form
        for form, candidate in candidates.items()
        if form not in admitted and not missing.keys().isdisjoint(candidate.confidences)
    ]


def _cover(
    missing: dict[int, int], most: int, forms: Iterable[str], candidates: Mapping[str, _Candidate]
) -> dict[str, int]:
    """Chosen forms with the number of contents each helps. What a form is worth only falls as others are chosen,
    so that the old worth on the heap is a bound (lazy greedy, Minoux 1978)."""

    def worth(form: str) -> float:
        confidences = candidates[form].confidences
        return sum(math.sqrt(value) for content_id, value in confidences.items() if missing.get(content_id, 0) > 0)

    chosen: dict[str, int] = {}
    heap = [(-worth(form), form) for form in forms]
    heapq.heapify(heap)
    while heap and len(chosen) < most:
        _, form = heapq.heappop(heap)
        present = worth(form)
        if not present:
            continue
        if heap and (-present, form) > heap[0]:
            heapq.heappush(heap, (-present, form))
            continue
        helped = [content_id for content_id in candidates[form].confidences if missing.get(content_id, 0) > 0]
        chosen[form] = len(helped)
        for content_id in helped:
            missing[content_id] -= 1
    return chosen


def _best_first(candidates: Mapping[str, _Candidate]) -> list[str]:
    return sorted(sorted(candidates), key=lambda form: candidates[form].rank, reverse=True)


def _new_tag(vocabulary: Vocabulary, form: str, candidate: _Candidate, reason: str) -> NewTag:
    # The spelling most contents have; among equals, not the shouted one.
    name = min(candidate.names, key=lambda name: (-candidate.names[name], name.isupper(), name))
    language = min(candidate.languages, key=lambda language: (-candidate.languages[language], language))
    return NewTag(
        organization_id=vocabulary.organization_id,
        name=name,
        normal_form=form,
        origin=Origin.HUMAN if candidate.given else Origin.MACHINE,
        language=language,
        reason=reason,
    )
