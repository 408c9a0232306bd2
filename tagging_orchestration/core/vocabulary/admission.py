"""Admission: which proposed tags enter the vocabulary. Reuse comes first, one-item tags are the last resort."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tagging_orchestration.core.models import GeneratedTags, NewTag, Origin, Proposal, TagStatus
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.spelling import spelling_key

# Below this share of the corpus, the staged contents do not speak for it and its word counts are asked too.
_WHOLE_CORPUS = 0.5


@dataclass(slots=True)
class _Candidate:
    """What the staged contents say about one form that is no tag yet."""

    names: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    given: bool = False
    uses: int = 0
    confidence: float = 0.0
    support: int = 0

    @property
    def rank(self) -> tuple[int, int, float]:
        """More contents that would carry it, then more that know it, then higher mean confidence."""
        return self.uses, self.support, self.confidence / max(sum(self.names.values()), 1)


def admit(
    staged: Sequence[GeneratedTags],
    vocabulary: Vocabulary,
    corpus: CorpusStatistics,
    parameters: TaggerSettings,
    proposed: Mapping[str, int] = MappingProxyType({}),
) -> list[NewTag]:
    """The tags to create so that the staged proposals can be assigned, most useful first.

    People's tags always enter, unless blocked. A machine's tag enters when at least `new_tag_min_support` contents
    support it: contents among the staged ones where it would be assigned, contents that were proposed it before
    (`proposed`, by normal form), or, where the staged contents are a small part of the corpus, contents with its
    words. No more than `new_tags_per_1000` enter for a thousand staged contents. Then each content that still has
    fewer than `min_tags` gets its best remaining proposal, shared ones first, within the same bound.
    """
    candidates = _candidates(staged, vocabulary, parameters)
    small_part = len(staged) < _WHOLE_CORPUS * corpus.corpus_size
    for form, candidate in candidates.items():
        words = corpus.document_frequency(form) if small_part else 0
        candidate.support = max(candidate.uses, proposed.get(form, 0), words)

    admitted = {form: "given by people" for form, candidate in candidates.items() if candidate.given}
    bound = len(admitted) + math.ceil(parameters.new_tags_per_1000 * len(staged) / 1000)
    for form in _best_first(candidates, candidates):
        candidate = candidates[form]
        if len(admitted) >= bound:
            break
        if form not in admitted and candidate.uses and candidate.support >= parameters.new_tag_min_support:
            admitted[form] = f"supported by {candidate.support} contents"

    _fill_up(admitted, bound, staged, candidates, vocabulary, parameters)
    return [
        _new_tag(vocabulary.organization_id, form, candidates[form], reason) for form, reason in admitted.items()
    ]


def unknown_forms(staged: Sequence[GeneratedTags], vocabulary: Vocabulary) -> list[str]:
    """Normal forms of the staged proposals that the vocabulary does not know, sorted."""
    forms = {proposal.normal_form for generated in staged for proposal in generated.proposals}
    return sorted(form for form in forms if vocabulary.lookup(form) is None)


def _candidates(
    staged: Sequence[GeneratedTags], vocabulary: Vocabulary, parameters: TaggerSettings
) -> dict[str, _Candidate]:
    blocked = {
        spelling_key(tag.normal_form) for tag in vocabulary.tags.values() if tag.status is TagStatus.BLOCKED
    }
    candidates: dict[str, _Candidate] = {}
    for generated in staged:
        for place, proposal in enumerate(_eligible(generated, parameters)):
            form = proposal.normal_form
            if not _may_enter(proposal, vocabulary, blocked):
                continue
            candidate = candidates.setdefault(form, _Candidate())
            candidate.names[proposal.name] += 1
            candidate.languages[generated.language] += 1
            candidate.confidence += proposal.confidence
            candidate.given |= proposal.origin is Origin.HUMAN
            candidate.uses += place < parameters.max_tags
    return candidates


def _eligible(generated: GeneratedTags, parameters: TaggerSettings) -> Iterable[Proposal]:
    """Proposals that would be assigned if they were tags."""
    return (
        proposal
        for proposal in generated.proposals
        if proposal.origin is Origin.HUMAN or proposal.confidence >= parameters.min_confidence
    )


def _may_enter(proposal: Proposal, vocabulary: Vocabulary, blocked: set[str]) -> bool:
    known = vocabulary.lookup(proposal.normal_form)
    if known is not None:
        return known.status is TagStatus.RETIRED and proposal.origin is Origin.HUMAN
    return bool(proposal.normal_form) and spelling_key(proposal.normal_form) not in blocked


def _fill_up(
    admitted: dict[str, str],
    bound: int,
    staged: Sequence[GeneratedTags],
    candidates: Mapping[str, _Candidate],
    vocabulary: Vocabulary,
    parameters: TaggerSettings,
) -> None:
    """Admit the proposals most shared by contents under `min_tags`, until none is or the bound is met."""
    missing: dict[int, int] = {}
    wanted_by: dict[str, list[int]] = {}
    for generated in staged:
        have, open_forms = 0, []
        for proposal in _eligible(generated, parameters):
            form = proposal.normal_form
            if form in admitted or vocabulary.resolve(form) is not None:
                have += 1
            elif form in candidates:
                open_forms.append(form)
        if have < parameters.min_tags:
            missing[generated.content_id] = parameters.min_tags - have
            for form in open_forms:
                wanted_by.setdefault(form, []).append(generated.content_id)
    for form in sorted(_best_first(candidates, wanted_by), key=lambda form: len(wanted_by[form]), reverse=True):
        if len(admitted) >= bound:
            return
        helped = [content_id for content_id in wanted_by[form] if missing[content_id] > 0]
        if helped:
            admitted[form] = f"best left for {len(helped)} contents with too few tags"
            for content_id in helped:
                missing[content_id] -= 1


def _best_first(candidates: Mapping[str, _Candidate], forms: Iterable[str]) -> list[str]:
    return sorted(sorted(forms), key=lambda form: candidates[form].rank, reverse=True)


def _new_tag(organization_id: str, form: str, candidate: _Candidate, reason: str) -> NewTag:
    # The spelling most contents have; among equals, not the shouted one.
    name = min(candidate.names, key=lambda name: (-candidate.names[name], name.isupper(), name))
    language = min(candidate.languages, key=lambda language: (-candidate.languages[language], language))
    return NewTag(
        organization_id=organization_id,
        name=name,
        normal_form=form,
        origin=Origin.HUMAN if candidate.given else Origin.MACHINE,
        language=language,
        reason=reason,
    )
