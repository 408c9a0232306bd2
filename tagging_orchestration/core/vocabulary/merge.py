"""Merging: which tags of the vocabulary mean the same, from spelling, meaning and use together.

Pairs worth a look are found by blocking, each pair is scored by one function over named signals, and the scored
pairs become a plan: merges to make, and candidates for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from tagging_orchestration.core.models import MergeProposal, Origin, Tag
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.spelling import (
    contains_words,
    edit_similarity,
    is_acronym,
    negates,
    numbers_differ,
    same_words,
    spelling_key,
    without_accents,
)

Pair = tuple[int, int]

# Blocking: how near two tags must be to be looked at, and with how many each is compared at most.
_MIN_GRAM_SIMILARITY = 0.5
_MIN_VECTOR_SIMILARITY = 0.75
_MIN_CONTEXT_SIMILARITY = 0.6
_NEAREST = 10
_CHUNK = 1024
# Tags used less often have no use to speak of.
_MIN_USES = 5

# Scoring. Without the same spelling a pair never reaches a merge by itself, whatever its meaning seems to be.
_MOST_WITHOUT_SPELLING = 0.94
_MOST_FOR_DIFFERENT_THINGS = 0.30
_MOST_FOR_NARROWER = 0.70
_SHORT = 3
_MOST_FOR_SHORT = 0.90


@dataclass(frozen=True, slots=True)
class CoUsage:
    """How tags are used: contents by tag, and contents that carry both tags of a pair (smaller id first)."""

    contents: Mapping[int, int] = field(default_factory=dict)
    together: Mapping[Pair, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PairSignals:
    """What is known of a pair of tags. Shares and similarities are in [0, 1]; None: cannot be judged.

    `vector` is the cosine of the names under a model that can judge both; `context` that of the tags each is used
    with; `together` the share of the rarer tag's contents that carry both: synonyms rarely meet.
    """

    same_spelling: bool
    same_without_accents: bool
    same_words: bool
    edit: float
    acronym: bool
    contained: bool
    numbers_differ: bool
    negation: bool
    han: bool
    length: int
    vector: float | None = None
    context: float | None = None
    together: float | None = None


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Merges to make, each into a tag that stays, and pairs for a person to decide."""

    automatic: tuple[MergeProposal, ...] = ()
    candidates: tuple[MergeProposal, ...] = ()


def score(signals: PairSignals) -> float:
    """How surely two tags mean the same, in [0, 1]: 0.95 and more is safe without a person.

    Spelling, meaning and use each give a probability; they are combined as independent evidence, and limits guard
    what they get wrong: versions and years, denials, narrower terms, short acronyms.
    """
    spelling = _spelling_evidence(signals)
    meaning = _interpolate(signals.vector, (0.50, 0.60, 0.70, 0.80, 1.0), (0.0, 0.30, 0.55, 0.75, 0.85))
    use = _interpolate(signals.context, (0.50, 1.0), (0.0, 0.25))
    together = 1 - (1 - spelling) * (1 - meaning) * (1 - use)
    if signals.same_spelling:
        return together
    if signals.together is not None:
        together *= 1 - 0.5 * signals.together
    return min(together, _limit(signals))


def find_merges(
    vocabulary: Vocabulary,
    usage: CoUsage,
    refused: Collection[Pair],
    settings: VocabularySettings,
    focus: Collection[int] | None = None,
) -> MergePlan:
    """Tags to merge and pairs to review; `focus` restricts the look to pairs with at least one of these tags.

    `refused` holds pairs (smaller id first) that people decided are two tags, and pairs whose merge was undone.
    Tags of one branch (a tag and its ancestors) are never merged; two pinned tags only by a person.
    """
    tags = {tag.id: tag for tag in vocabulary.active()}
    judge = _PairJudge(vocabulary, tags, usage, set(refused))
    pairs = {pair for pair in _blocked_pairs(vocabulary, tags, usage, focus) if judge.may_merge(pair)}
    scored = sorted(
        ((value, pair) for pair in pairs if (value := judge.score(pair)) >= settings.merge_review),
        key=lambda item: (-item[0], item[1]),
    )
    clusters = _Clusters(judge, settings.merge_review)
    for value, pair in scored:
        if value >= settings.merge_automatic:
            clusters.join(*pair)
    automatic = [
        judge.proposal(member, keeper)
        for members in clusters.groups()
        for keeper in [min(members, key=lambda tag_id: _preference(tags[tag_id], usage))]
        for member in members
        if member != keeper
    ]
    gone = {proposal.source_tag_id for proposal in automatic}
    candidates = [
        judge.proposal(*_weaker_first(pair, tags, usage)) for _, pair in scored if not gone.intersection(pair)
    ]
    return MergePlan(tuple(automatic), tuple(candidates))


# ---------------------------------------------------------------------------------------------------- judging


class _PairJudge:
    """Signals and scores of pairs, computed when asked for."""

    def __init__(
        self, vocabulary: Vocabulary, tags: Mapping[int, Tag], usage: CoUsage, refused: set[Pair]
    ) -> None:
        self._vocabulary = vocabulary
        self._tags = tags
        self._usage = usage
        self._refused = refused
        self._scores: dict[Pair, float] = {}
        self._rows = {
            model: {int(tag_id): row for row, tag_id in enumerate(vectors.tag_ids)}
            for model, vectors in vocabulary.vectors.items()
        }
        self._spellings = _spellings(vocabulary, tags)
        self._profiles = _profiles(usage)

    def may_merge(self, pair: Pair) -> bool:
        """Not refused, and neither is an ancestor of the other."""
        first, second = pair
        return (
            pair not in self._refused
            and second not in self._ancestors(first)
            and first not in self._ancestors(second)
        )

    def may_merge_unasked(self, pair: Pair) -> bool:
        """Whether no person needs to be asked: nobody pinned both."""
        return self.may_merge(pair) and not all(self._tags[tag_id].pinned for tag_id in pair)

    def score(self, pair: Pair) -> float:
        """`score` of the pair's signals."""
        if pair not in self._scores:
            self._scores[pair] = score(self.signals(pair))
        return self._scores[pair]

    def proposal(self, source: int, target: int) -> MergeProposal:
        """The pair as a merge of `source` into `target`."""
        pair = _pair(source, target)
        signals = {
            name: round(float(value), 3) for name, value in asdict(self.signals(pair)).items() if value is not None
        }
        return MergeProposal(source, target, round(self.score(pair), 4), signals)

    def signals(self, pair: Pair) -> PairSignals:
        """All signals of the pair."""
        first, second = (self._tags[tag_id].normal_form for tag_id in pair)
        spellings = self._spellings[pair[0]] & self._spellings[pair[1]]
        return PairSignals(
            same_spelling=bool(spellings),
            same_without_accents=without_accents(first) == without_accents(second),
            same_words=same_words(first, second),
            edit=edit_similarity(first, second),
            acronym=is_acronym(first, second),
            contained=contains_words(first, second),
            numbers_differ=numbers_differ(first, second),
            negation=negates(first, second),
            han=has_han(first) or has_han(second),
            length=min(len(spelling_key(first)), len(spelling_key(second))),
            vector=self._vector(pair),
            context=self._context(pair),
            together=self._together(pair),
        )

    def _ancestors(self, tag_id: int) -> set[int]:
        found: set[int] = set()
        parent = self._vocabulary.tags[tag_id].parent_id
        while parent is not None and parent not in found and parent in self._vocabulary.tags:
            found.add(parent)
            parent = self._vocabulary.tags[parent].parent_id
        return found

    def _vector(self, pair: Pair) -> float | None:
        # Only a model that encoded both names can compare them; which model may judge a name was decided when it
        # was encoded.
        cosines = []
        for model, rows in self._rows.items():
            if pair[0] in rows and pair[1] in rows:
                matrix = self._vocabulary.vectors[model].matrix
                cosines.append(float(matrix[rows[pair[0]]] @ matrix[rows[pair[1]]]))
        return max(cosines, default=None)

    def _context(self, pair: Pair) -> float | None:
        first, second = (self._profiles.get(tag_id) for tag_id in pair)
        if first is None or second is None:
            return None
        shared = sum(value * second[other] for other, value in first.items() if other in second)
        return shared / (_norm(first) * _norm(second))

    def _together(self, pair: Pair) -> float | None:
        fewest = min(self._usage.contents.get(tag_id, 0) for tag_id in pair)
        return min(self._usage.together.get(pair, 0) / fewest, 1.0) if fewest >= _MIN_USES else None


def _spelling_evidence(signals: PairSignals) -> float:
    if signals.same_spelling:
        return 0.97
    # One character of Chinese is a word: two names that share three of four are mostly two things.
    trust = 0.5 if signals.han else 1.0
    return max(
        0.92 * signals.same_without_accents,
        0.75 * signals.same_words,
        0.50 * signals.acronym,
        trust * (_interpolate(signals.edit, (0.60, 0.80, 0.90, 1.0), (0.0, 0.60, 0.82, 0.90))),
    )


def _limit(signals: PairSignals) -> float:
    if signals.numbers_differ or signals.negation:
        return _MOST_FOR_DIFFERENT_THINGS
    if signals.contained:
        return _MOST_FOR_NARROWER
    return _MOST_FOR_SHORT if signals.length <= _SHORT else _MOST_WITHOUT_SPELLING


def _interpolate(value: float | None, at: tuple[float, ...], give: tuple[float, ...]) -> float:
    return 0.0 if value is None else float(np.interp(value, at, give))


# --------------------------------------------------------------------------------------------------- clusters


class _Clusters:
    """Groups of tags that are one. Two groups join only if every pair across them could be merged, so that a chain
    of likenesses does not merge its unlike ends."""

    def __init__(self, judge: _PairJudge, least: float) -> None:
        self._judge = judge
        self._least = least
        self._group_of: dict[int, set[int]] = {}

    def join(self, first: int, second: int) -> None:
        ones, others = self._group_of.get(first, {first}), self._group_of.get(second, {second})
        if ones is others or not all(self._fit(one, other) for one in ones for other in others):
            return
        joined = ones | others
        for tag_id in joined:
            self._group_of[tag_id] = joined

    def groups(self) -> list[list[int]]:
        unique = {id(group): group for group in self._group_of.values()}
        return sorted(sorted(group) for group in unique.values())

    def _fit(self, one: int, other: int) -> bool:
        pair = _pair(one, other)
        return self._judge.may_merge_unasked(pair) and self._judge.score(pair) >= self._least


def _preference(tag: Tag, usage: CoUsage) -> tuple[bool, bool, int, bool, int]:
    """Sorts the tag to keep first: pinned, made by people, most used, not shouted, oldest."""
    uses = usage.contents.get(tag.id, tag.usage_count)
    return not tag.pinned, tag.origin is not Origin.HUMAN, -uses, tag.name.isupper(), tag.id


def _weaker_first(pair: Pair, tags: Mapping[int, Tag], usage: CoUsage) -> Pair:
    keeper, other = sorted(pair, key=lambda tag_id: _preference(tags[tag_id], usage))
    return other, keeper


# --------------------------------------------------------------------------------------------------- blocking


def _blocked_pairs(
    vocabulary: Vocabulary, tags: Mapping[int, Tag], usage: CoUsage, focus: Collection[int] | None
) -> set[Pair]:
    """Pairs worth scoring: the same key, similar letters, near vectors, or used with the same tags."""
    wanted = set(tags) if focus is None else set(focus) & set(tags)
    found: set[Pair] = set()
    for pair in (
        *_pairs_by_key(vocabulary, tags),
        *_pairs_by_letters(tags, wanted),
        *(pair for vectors in vocabulary.vectors.values() for pair in _pairs_by_vector(vectors, tags, wanted)),
        *_pairs_by_context(tags, usage, wanted),
    ):
        if wanted.intersection(pair):
            found.add(pair)
    return found


def _pairs_by_key(vocabulary: Vocabulary, tags: Mapping[int, Tag]) -> Iterator[Pair]:
    keyed: dict[str, set[int]] = defaultdict(set)
    for tag_id, spellings in _spellings(vocabulary, tags).items():
        form = tags[tag_id].normal_form
        for key in {*spellings, without_accents(form), " ".join(sorted(form.split()))}:
            keyed[key].add(tag_id)
    for tag_id, tag in tags.items():
        words = tag.normal_form.split()
        if len(words) > 1:
            initials = "".join(word[0] for word in words)
            yield from (_pair(tag_id, other) for other in keyed.get(initials, ()) if other != tag_id)
    for group in keyed.values():
        members = sorted(group)
        yield from ((first, second) for place, first in enumerate(members) for second in members[place + 1 :])


def _pairs_by_letters(tags: Mapping[int, Tag], wanted: set[int]) -> Iterator[Pair]:
    """Cosine of TF-IDF weighted character bigrams and trigrams."""
    if len(tags) < 2 or not wanted:
        return
    from sklearn.feature_extraction.text import TfidfVectorizer

    ids = list(tags)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), lowercase=False)
    matrix = vectorizer.fit_transform([tags[tag_id].normal_form for tag_id in ids]).astype(np.float32)
    rows = [row for row, tag_id in enumerate(ids) if tag_id in wanted]
    yield from _nearest(ids, rows, lambda chunk: (matrix[chunk] @ matrix.T).toarray(), _MIN_GRAM_SIMILARITY)


def _pairs_by_vector(vectors: TagVectors, tags: Mapping[int, Tag], wanted: set[int]) -> Iterator[Pair]:
    present = [row for row, tag_id in enumerate(vectors.tag_ids.tolist()) if tag_id in tags]
    if len(present) < 2:
        return
    ids = vectors.tag_ids[present].tolist()
    matrix = vectors.matrix[present]
    rows = [row for row, tag_id in enumerate(ids) if tag_id in wanted]
    yield from _nearest(ids, rows, lambda chunk: matrix[chunk] @ matrix.T, _MIN_VECTOR_SIMILARITY)


def _pairs_by_context(tags: Mapping[int, Tag], usage: CoUsage, wanted: set[int]) -> Iterator[Pair]:
    from scipy.sparse import csr_matrix

    profiles = {tag_id: profile for tag_id, profile in _profiles(usage).items() if tag_id in tags}
    if len(profiles) < 2:
        return
    ids = list(profiles)
    columns = {other: place for place, other in enumerate({o for profile in profiles.values() for o in profile})}
    row_of, column_of, values = [], [], []
    for row, profile in enumerate(profiles.values()):
        norm = _norm(profile)
        for other, value in profile.items():
            row_of.append(row)
            column_of.append(columns[other])
            values.append(value / norm)
    matrix = csr_matrix((values, (row_of, column_of)), shape=(len(ids), len(columns)))
    rows = [row for row, tag_id in enumerate(ids) if tag_id in wanted]
    yield from _nearest(ids, rows, lambda chunk: (matrix[chunk] @ matrix.T).toarray(), _MIN_CONTEXT_SIMILARITY)


def _nearest(
    ids: list[int], rows: list[int], similarities: Callable[[list[int]], np.ndarray], least: float
) -> Iterator[Pair]:
    """Pairs of each row with its nearest others, `least` similar at least, a chunk of rows at a time."""
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        table = similarities(chunk)
        table[np.arange(len(chunk)), chunk] = -1.0
        for place in np.flatnonzero((table >= least).any(axis=1)):
            others = np.flatnonzero(table[place] >= least)
            if len(others) > _NEAREST:
                others = others[np.argsort(-table[place, others], kind="stable")[:_NEAREST]]
            yield from (_pair(ids[chunk[place]], ids[other]) for other in others)


def _spellings(vocabulary: Vocabulary, tags: Mapping[int, Tag]) -> dict[int, frozenset[str]]:
    """Spelling keys of each active tag: of its own form and of its aliases."""
    keys: dict[int, set[str]] = {tag_id: {spelling_key(tag.normal_form)} for tag_id, tag in tags.items()}
    for form, tag in vocabulary.forms():
        keys[tag.id].add(spelling_key(form))
    return {tag_id: frozenset(found) for tag_id, found in keys.items()}


def _profiles(usage: CoUsage) -> dict[int, dict[int, float]]:
    """For each tag used often enough, the tags it is used with and how often, dampened by the square root."""
    profiles: dict[int, dict[int, float]] = defaultdict(dict)
    for (first, second), contents in usage.together.items():
        profiles[first][second] = profiles[second][first] = contents**0.5
    return {tag_id: profile for tag_id, profile in profiles.items() if usage.contents.get(tag_id, 0) >= _MIN_USES}


def _norm(profile: Mapping[int, float]) -> float:
    return sum(value * value for value in profile.values()) ** 0.5


def _pair(first: int, second: int) -> Pair:
    return (first, second) if first < second else (second, first)
