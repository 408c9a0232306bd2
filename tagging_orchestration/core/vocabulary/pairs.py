"""What is known of a pair of tags from their names alone, as numbers for the pair model.

Everything is computed for many pairs at once. A number that cannot be had (a cosine without a model that knows
both names, a pronunciation of Latin letters) is NaN, "unknown", never zero.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tagging_orchestration.core.embedding import is_statistical
from tagging_orchestration.core.models import Tag
from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.vocabulary.index import TagVectors
from tagging_orchestration.core.vocabulary.nearest import Neighbours, cosines, gram_matrix, nearest
from tagging_orchestration.core.vocabulary.spelling import (
    abbreviates,
    brackets,
    english_key,
    initials,
    negates,
    numbers_of,
    spelling_key,
    without_accents,
    without_numbers,
    word_likeness,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEATURES = (
    "edit", "jaro", "prefix", "suffix", "ordered_words", "word_sets", "partial",
    "letters", "letters_rank", "letters_margin",
    "meaning", "meaning_rank", "meaning_margin", "meaning_scaled",
    "words_shared", "words_alike", "extra_least", "extra_most", "extra_common", "fan_out", "first_word",
    "last_word", "same_key", "same_english", "same_words", "same_without_numbers", "abbreviation", "bracketed",
    "numbers_differ", "number_added", "negation",
    "sound", "characters_shared", "first_character", "last_character",
    "shortest", "longest", "fewest_words", "most_words", "han", "mixed",
)  # fmt: skip
KEPT_NEIGHBOURS = 10
_SAME_WORD = 0.9
_COMMON_WORD = 2_000


class Wording(NamedTuple):
    """A Chinese name in Simplified characters, in its own words, the mainland's and Taiwan's; else empty."""

    simple: str = ""
    mainland: str = ""
    taiwan: str = ""


class NameTable:
    """The names of some tags, prepared for comparison. Pairs are pairs of places in `tags`."""

    def __init__(
        self,
        tags: Sequence[Tag],
        vectors: Mapping[str, TagVectors],
        language: LanguageTools,
        aliases: Mapping[int, Sequence[str]] | None = None,
        focus: Sequence[int] | None = None,
    ) -> None:
        """`vectors` of the names by model; `aliases`: other normal forms by tag id; `focus`: the places whose
        pairs are asked for, all where None."""
        self.tags = tags
        self._language = language
        self._vectors = vectors
        self._focus = focus
        self.aliases = aliases or {}
        self.forms = [_without_brackets(tag) for tag in tags]
        self.keys = [spelling_key(form) for form in self.forms]

    def __len__(self) -> int:
        return len(self.tags)

    # ------------------------------------------------------------------------------------------- spaces

    @cached_property
    def letters(self) -> tuple[csr_matrix, Neighbours]:
        """Character n-grams of the forms."""
        matrix = gram_matrix(self.forms, (2, 4))
        return matrix, self._nearest(matrix, np.ones(len(self), dtype=bool))

    @cached_property
    def sounds(self) -> Neighbours:
        """Letters of the pronunciation, of Chinese names only."""
        matrix = gram_matrix(self.spoken, (2, 4))
        return self._nearest(matrix, self.han)

    @cached_property
    def meanings(self) -> list[tuple[np.ndarray, Neighbours]]:
        """One space a sentence model; statistical vectors are letters again and have none."""
        place_of = {tag.id: place for place, tag in enumerate(self.tags)}
        spaces = []
        for model, vectors in self._vectors.items():
            if is_statistical(model):
                continue
            held = [(row, place_of[i]) for row, i in enumerate(vectors.tag_ids.tolist()) if i in place_of]
            if len(held) < 2:
                continue
            rows, places = map(list, zip(*held, strict=True))
            matrix = np.zeros((len(self), vectors.matrix.shape[1]), dtype=np.float32)
            matrix[places] = vectors.matrix[rows]
            known = np.zeros(len(self), dtype=bool)
            known[places] = True
            spaces.append((matrix, self._nearest(matrix, known)))
        return spaces

    def _nearest(self, matrix: np.ndarray | csr_matrix, known: np.ndarray) -> Neighbours:
        """Neighbours of all names; with a focus, of the names in it and of those among their neighbours."""
        if self._focus is None:
            return nearest(matrix, known, KEPT_NEIGHBOURS)
        around = nearest(matrix, known, KEPT_NEIGHBOURS, np.array(self._focus, dtype=np.int64))
        near = np.unique(np.concatenate([np.array(self._focus, dtype=np.int64), around.others.ravel()]))
        return nearest(matrix, known, KEPT_NEIGHBOURS, near[near >= 0])

    def concerned(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Which pairs a look at the focus needs: those with an end in it, and those between two of their other
        ends, because a group forms by all its pairs."""
        if self._focus is None:
            return np.ones(len(first), dtype=bool)
        touching = np.isin(first, self._focus) | np.isin(second, self._focus)
        ends = np.union1d(first[touching], second[touching])
        return touching | (np.isin(first, ends) & np.isin(second, ends))

    # -------------------------------------------------------------------------------------------- words

    @cached_property
    def han(self) -> np.ndarray:
        """Which names hold Chinese characters."""
        return np.array([has_han(form) for form in self.forms], dtype=bool)

    @cached_property
    def latin(self) -> np.ndarray:
        """Which names hold letters of the Latin alphabet."""
        return np.array([any("a" <= character <= "z" for character in form) for form in self.forms], dtype=bool)

    @cached_property
    def spoken(self) -> list[str]:
        """Pronunciation of Chinese names in Latin letters, the form itself of others."""
        return [
            self._language.pronunciation(form) if chinese else form
            for form, chinese in zip(self.forms, self.han, strict=True)
        ]

    @cached_property
    def wordings(self) -> list[Wording]:
        """The two ways Chinese names are worded."""
        tools = self._language
        return [
            Wording(
                tools.to_simplified(form),
                tools.to_simplified(tools.to_mainland(tools.to_traditional(form))),
                tools.to_simplified(tools.to_taiwan(form)),
            )
            if chinese
            else Wording()
            for form, chinese in zip(self.forms, self.han, strict=True)
        ]

    @cached_property
    def words(self) -> list[tuple[str, ...]]:
        """Words of each form, Chinese cut by the segmenter."""
        return [
            tuple(word for word, _, _ in self._language.segment(form) if not word.isspace())
            if chinese
            else tuple(form.split())
            for form, chinese in zip(self.forms, self.han, strict=True)
        ]

    @cached_property
    def holders(self) -> Mapping[str, frozenset[int]]:
        """Places of the tags that hold a word."""
        found: dict[str, set[int]] = defaultdict(set)
        for place, words in enumerate(self.words):
            for word in words:
                found[word].add(place)
        return {word: frozenset(places) for word, places in found.items()}

    def rarity(self, word: str) -> float:
        """Inverse document frequency of a word among the names, in [0, 1]."""
        return 1 - log(len(self.holders.get(word, ())) or 1) / log(len(self) + 1)

    def fan_out(self, place: int) -> int:
        """How many other tags hold all the words of this one: many for a broad term."""
        if place not in self._fan_out:
            holders = sorted((self.holders[word] for word in self.words[place]), key=len)
            self._fan_out[place] = max(len(frozenset.intersection(*holders)) - 1, 0) if holders else 0
        return self._fan_out[place]

    @cached_property
    def _fan_out(self) -> dict[int, int]:
        return {}


def candidate_pairs(names: NameTable) -> tuple[np.ndarray, np.ndarray]:
    """Blocking: places of both ends of all pairs worth a look, the smaller one first, each once.

    The nearest by letters, by sound and by meaning; equal keys; a name in another's brackets; initials; and names
    that are another one with a word more, where not too many are.
    """
    parts = [names.letters[1].pairs(8, 0.25), names.sounds.pairs(5, 0.35)]
    parts += [neighbours.pairs(8, 0.35) for _, neighbours in names.meanings]
    keyed = np.array(list(_keyed_pairs(names)), dtype=np.int64).reshape(-1, 2)
    first = np.concatenate([part[0] for part in parts] + [keyed[:, 0]])
    second = np.concatenate([part[1] for part in parts] + [keyed[:, 1]])
    codes = np.unique(np.minimum(first, second) * len(names) + np.maximum(first, second))
    first, second = codes // max(len(names), 1), codes % max(len(names), 1)
    kept = (first != second) & names.concerned(first, second)
    return first[kept], second[kept]


def _keyed_pairs(names: NameTable) -> Iterator[tuple[int, int]]:
    keyed: dict[str, set[int]] = defaultdict(set)
    short: dict[str, set[int]] = defaultdict(set)
    for place, (tag, form) in enumerate(zip(names.tags, names.forms, strict=True)):
        keys = {without_accents(form), english_key(form), " ".join(sorted(form.split())), without_numbers(form)}
        for key in keys - {""}:
            keyed[key].add(place)
        keys = {*names.wordings[place], *names.aliases.get(tag.id, ())}
        for key in {spelling_key(key) for key in keys} - {""}:
            keyed[key].add(place)
        for part in brackets(tag.name) or ():
            keyed[spelling_key(part.casefold())].add(place)
        if letters := initials(form):
            short[letters].add(place)
    for letters, places in short.items():
        keyed[letters] |= places if keyed.get(letters) else set()
    for group in keyed.values():
        if len(group) <= KEPT_NEIGHBOURS * 2:
            yield from combinations(sorted(group), 2)
    for place in range(len(names)):
        if names.words[place] and 0 < names.fan_out(place) <= KEPT_NEIGHBOURS:
            wider = frozenset.intersection(*(names.holders[word] for word in names.words[place]))
            yield from ((place, other) for other in wider if other != place)


def same_spelling(names: NameTable, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which pairs are equal but for spaces and points, other names of the two included; bool (pairs,)."""
    spellings = [
        {spelling_key(tag.normal_form), *map(spelling_key, names.aliases.get(tag.id, ()))} for tag in names.tags
    ]
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return np.array([not spellings[one].isdisjoint(spellings[other]) for one, other in pairs], dtype=bool)


def same_wording(names: NameTable, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which pairs are Taiwan's and the mainland's word for one thing: 1 where each is what the dictionary makes
    of the other, 0.5 where it holds one way only, 0 elsewhere; float32 (pairs,)."""
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return np.array(
        [_same_wording(names.wordings[one], names.wordings[other]) for one, other in pairs], np.float32
    )


def _same_wording(one: Wording, other: Wording) -> float:
    if not one.simple or not other.simple:
        return 0.0
    there = one.mainland == other.simple, other.mainland == one.simple
    back = other.taiwan == one.simple, one.taiwan == other.simple
    if (there[0] and back[0]) or (there[1] and back[1]):
        return 1.0
    return 0.5 if any(there) or any(back) else 0.0


def pair_features(names: NameTable, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float32 array (pairs, FEATURES); NaN is unknown."""
    table = np.full((len(first), len(FEATURES)), np.nan, dtype=np.float32)
    column = {name: table[:, place] for place, name in enumerate(FEATURES)}
    if not len(first):
        return table
    _strings(names, first, second, column)
    _spaces(names, first, second, column)
    _word_features(names, first, second, column)
    return table


def _strings(names: NameTable, first: np.ndarray, second: np.ndarray, column: Mapping[str, np.ndarray]) -> None:
    from rapidfuzz import fuzz
    from rapidfuzz.distance import OSA, JaroWinkler, Postfix, Prefix
    from rapidfuzz.process import cpdist

    def compare(scorer: Callable[..., float], texts: Sequence[str], scale: float = 1.0) -> np.ndarray:
        ours, theirs = [texts[place] for place in first], [texts[place] for place in second]
        return cpdist(ours, theirs, scorer=scorer, dtype=np.float32) / scale  # pyright: ignore[reportArgumentType]

    column["edit"][:] = compare(OSA.normalized_similarity, names.keys)
    column["jaro"][:] = compare(JaroWinkler.similarity, names.keys)
    lengths = np.array([len(key) for key in names.keys])
    shortest, longest = (
        np.minimum(lengths[first], lengths[second]),
        np.maximum(lengths[first], lengths[second]),
    )
    column["prefix"][:] = compare(Prefix.similarity, names.keys) / np.maximum(shortest, 1)
    column["suffix"][:] = compare(Postfix.similarity, names.keys) / np.maximum(shortest, 1)
    column["shortest"][:], column["longest"][:] = np.log1p(shortest), np.log1p(longest)
    column["ordered_words"][:] = compare(fuzz.token_sort_ratio, names.forms, 100)
    column["word_sets"][:] = compare(fuzz.token_set_ratio, names.forms, 100)
    column["partial"][:] = compare(fuzz.partial_ratio, names.keys, 100)
    chinese = names.han[first] | names.han[second]
    column["han"][:] = chinese
    column["mixed"][:] = (names.han[first] & ~names.han[second] & names.latin[second]) | (
        names.han[second] & ~names.han[first] & names.latin[first]
    )
    column["sound"][chinese] = compare(OSA.normalized_similarity, names.spoken)[chinese]


def _spaces(names: NameTable, first: np.ndarray, second: np.ndarray, column: Mapping[str, np.ndarray]) -> None:
    matrix, neighbours = names.letters
    column["letters"][:] = cosines(matrix, first, second)
    column["letters_rank"][:] = _mutual_rank(neighbours, first, second)
    column["letters_margin"][:] = _margin(neighbours, column["letters"], first, second)
    for matrix, neighbours in names.meanings:
        # Where two models know both names, the kinder one speaks: a model that cannot read a name sees no
        # likeness.
        known = np.flatnonzero(neighbours.known[first] & neighbours.known[second])
        cosine = cosines(matrix, first[known], second[known])
        better = ~(cosine <= column["meaning"][known])
        rows, cosine = known[better], cosine[better]
        ours, theirs = first[rows], second[rows]
        column["meaning"][rows] = cosine
        column["meaning_rank"][rows] = _mutual_rank(neighbours, ours, theirs)
        column["meaning_margin"][rows] = _margin(neighbours, cosine, ours, theirs)
        column["meaning_scaled"][rows] = 2 * cosine - neighbours.density(ours) - neighbours.density(theirs)


def _mutual_rank(neighbours: Neighbours, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Geometric mean of the ranks that two tags have among each other's neighbours."""
    return np.sqrt(neighbours.rank(first, second) * neighbours.rank(second, first))


def _margin(neighbours: Neighbours, likeness: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How much nearer two tags are to each other than to the next best other of either."""
    return likeness - np.maximum(neighbours.best_other(first, second), neighbours.best_other(second, first))


def _word_features(
    names: NameTable, first: np.ndarray, second: np.ndarray, column: Mapping[str, np.ndarray]
) -> None:
    rarity = {word: names.rarity(word) for word in names.holders}
    for row, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        form, rival = names.forms[one], names.forms[other]
        words, others = names.words[one], names.words[other]
        left, right = _unmatched(words, others), _unmatched(others, words)
        ours, theirs = sum(rarity[word] for word in words), sum(rarity[word] for word in others)
        lost, missed = sum(rarity[word] for word in left), sum(rarity[word] for word in right)
        column["words_shared"][row] = len(set(words) & set(others)) / (len(set(words) | set(others)) or 1)
        column["words_alike"][row] = 1 - (lost + missed) / (ours + theirs) if ours + theirs else 0
        column["extra_least"][row], column["extra_most"][row] = min(lost, missed), max(lost, missed)
        extra = (*left, *right)
        column["extra_common"][row] = 1 - max((rarity[word] for word in extra), default=0.0)
        column["fan_out"][row] = log(1 + names.fan_out(one if len(words) <= len(others) else other))
        column["first_word"][row] = word_likeness(words[0], others[0]) if words and others else 0
        column["last_word"][row] = word_likeness(words[-1], others[-1]) if words and others else 0
        column["fewest_words"][row] = min(len(words), len(others))
        column["most_words"][row] = max(len(words), len(others))
        column["same_key"][row] = without_accents(form) == without_accents(rival)
        column["same_english"][row] = english_key(form) == english_key(rival)
        column["same_words"][row] = sorted(words) == sorted(others)
        column["abbreviation"][row] = abbreviates(form, rival)
        column["bracketed"][row] = _bracketed(names.tags[one], names.tags[other])
        numbers, versions = numbers_of(form), numbers_of(rival)
        column["numbers_differ"][row] = bool(numbers) and bool(versions) and numbers != versions
        column["number_added"][row] = bool(numbers) != bool(versions)
        letters = without_numbers(form)
        column["same_without_numbers"][row] = len(letters) > 1 and letters == without_numbers(rival)
        column["negation"][row] = negates(form, rival)
        if column["han"][row]:
            characters, more = Counter(names.keys[one]), Counter(names.keys[other])
            column["characters_shared"][row] = (characters & more).total() / ((characters | more).total() or 1)
            column["first_character"][row] = form[:1] == rival[:1]
            column["last_character"][row] = form[-1:] == rival[-1:]


def _unmatched(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """Words without a like one among the others."""
    return [
        word
        for word in words
        if word not in others and all(word_likeness(word, other) < _SAME_WORD for other in others)
    ]


def _without_brackets(tag: Tag) -> str:
    """The normal form; of a name that gives its abbreviation in brackets or out of them, the words alone."""
    parts = brackets(tag.name)
    if parts:
        before, inside = (part.casefold().replace("-", " ") for part in parts)
        if abbreviates(before, inside) >= 0.8:
            return inside if len(inside) > len(before) else before
    return tag.normal_form


def _bracketed(tag: Tag, other: Tag) -> float:
    """1 where the name in or before one's brackets is the other's, 0 where not, by spelling key."""
    parts = [spelling_key(part.casefold()) for part in brackets(tag.name) or ()]
    rivals = [spelling_key(part.casefold()) for part in brackets(other.name) or ()]
    if not parts and not rivals:
        return 0.0
    ours = {*parts, spelling_key(tag.normal_form)}
    theirs = {*rivals, spelling_key(other.normal_form)}
    return float(bool(ours & theirs))
