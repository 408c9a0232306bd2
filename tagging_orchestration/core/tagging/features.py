"""The ranker's feature vector: what is known of one candidate tag of one text, as numbers near [0, 1].

Every feature states what it measures and the direction people expect of it; the ranker's training keeps weights
on that side (`sign`), so that more votes or an earlier place never lower a confidence.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.tagging import lexicon
from tagging_orchestration.core.tagging.candidates.pool import Candidate
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.tagging.text import TITLE, AnalysedText, Grade, Occurrence


@dataclass(frozen=True, slots=True)
class Feature:
    """One number about a candidate. `sign` +1: more can only help, -1: more can only harm, 0: learned freely."""

    name: str
    sign: int
    meaning: str


FEATURES: tuple[Feature, ...] = (
    # Place and frequency in the text
    Feature("unseen", -1, "its words are not in the text"),
    Feature("in_title", 1, "occurs in the title"),
    Feature("in_lead", 1, "occurs in the first sentence of a text without title"),
    Feature("earliness", 1, "1 at the first word, 0 at the last, logarithmic"),
    Feature("spread", 1, "distance from first to last occurrence over the text's length"),
    Feature("frequency", 1, "logarithm of the number of occurrences"),
    Feature("prominence", 1, "occurrences over those of the text's most frequent candidate"),
    # The corpus
    Feature("rarity", 0, "mean inverse document frequency of its words over the largest possible"),
    Feature("rarest", 0, "inverse document frequency of its rarest word over the largest possible"),
    Feature("tfidf", 1, "frequency times rarity"),
    Feature("support", 1, "logarithm of the contents that carry it, over that of all contents"),
    Feature("alone", -1, "no other content of the corpus carries it"),
    Feature("cohesion", 1, "of a phrase: how much of its rarest word's use lies in it, over the corpus"),
    # The phrase
    Feature("size_1", 0, "size of one word (a Chinese word's worth is two characters)"),
    Feature("size_2", 0, "size of two words"),
    Feature("size_3", 0, "size of three words"),
    Feature("size_4", 0, "size of four words or more"),
    Feature("whole_run", 1, "of a phrase: share of occurrences that stand alone between breaks"),
    Feature("whole_run_word", 1, "the same for single words"),
    Feature("absorbed", -1, "of a phrase: always seen inside one longer, repeated or standing candidate"),
    Feature("absorbed_word", -1, "the same for single words"),
    Feature("phraseness", 1, "of a phrase: its occurrences over those of its most frequent word"),
    Feature("verb_context", -1, "stands where English has verbs: after 'to' or 'can', before 'the' or 'my'"),
    Feature("noun_context", 1, "stands where English has nouns: after 'the' or 'of'"),
    Feature("noun_phrase", 0, "of an English phrase: share of occurrences that are a noun phrase from end to end"),
    Feature("cut_left", 0, "share of occurrences with the noun phrase going on before"),
    Feature("cut_right", 0, "share of occurrences with the noun phrase going on after"),
    Feature("function_inside", 0, "of an English phrase: share of occurrences with a function word inside"),
    Feature("noun", 0, "of an English word: share of occurrences as a noun that stands alone"),
    Feature("noun_in_phrase", 0, "the same as the last word of a noun phrase"),
    Feature("adjective", 0, "the same as an adjective or adverb"),
    Feature("verb", 0, "the same as a verb"),
    Feature("weak_first", -1, "of a phrase: begins with a general word"),
    Feature("weak_last", -1, "of a phrase: ends with a general word"),
    Feature("han_weak_first", -1, "the same in Chinese"),
    Feature("han_weak_last", -1, "the same in Chinese"),
    Feature("participle", -1, "of a phrase: begins with a participle"),
    Feature("adjective_ending", -1, "last word has the ending of an adjective"),
    Feature("gerund", 0, "a single word in -ing"),
    Feature("capitalised", 1, "share of occurrences written as a proper name"),
    Feature("ragged_name", -1, "a piece of a longer name, or a name with a lower-case word before it"),
    Feature("acronym", 0, "written in capitals"),
    Feature("mixed", 0, "holds digits, signs or inner capitals"),
    Feature("length", 0, "logarithm of a Latin name's characters over the usual number; 0 in Chinese"),
    Feature("han", 0, "written in Chinese characters"),
    Feature("han_word", 0, "a single word of the Chinese segmenter"),
    Feature("han_odd", 0, "an odd number of Chinese characters"),
    # The meaning
    Feature(
        "similarity",
        1,
        "its words' vector to the text's, against the text's other candidates: 1 is two deviations",
    ),
    # The vocabulary
    Feature("matched", 1, "name or alias of an existing tag stands in the text"),
    Feature("matched_inflected", 1, "the same in another inflection"),
    Feature("matched_part", 1, "the same as part of a longer word"),
    Feature("known_human", 1, "an existing tag that people made"),
    Feature("known_machine", 1, "an existing tag that a machine made"),
    Feature("known_usage", 1, "logarithm of the tag's use, over that of the most used tag"),
    Feature("known_plain", 1, "an existing tag whose words are neither function nor general words"),
    Feature(
        "vector_similarity", 1, "of a tag whose words are not in the text: cosine of its and the text's vector"
    ),
    Feature("fresh_beside_people", -1, "no tag yet, where people tag: their tags a content, at most 1"),
    # Neighbours
    Feature("votes_people", 1, "share of the neighbours' weight whose people gave the tag"),
    Feature("votes_machines", 1, "share of the neighbours' weight whose machine gave the tag"),
    Feature("nearest_voter", 1, "similarity of the nearest neighbour with the tag"),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
MEANINGS = {feature.name: feature.meaning for feature in FEATURES}

# Letters of a usual Latin candidate: a Chinese one, which has no such length, counts as one of these.
_USUAL_LENGTH = 8
_SIGNS = re.compile(r"[\d+#.&]")
_LATIN_WORD = re.compile(r"[A-Za-z0-9.+#-]+")
_DEFAULT_RARITY = 0.7
# Penn Treebank tags.
_NOUNS = frozenset({"NN", "NNS", "NNP", "NNPS"})
_MODIFIERS = _NOUNS | {"JJ", "JJR"}
_PHRASE_PARTS = _MODIFIERS | {"VBN", "VBG"}
_QUALIFIERS = frozenset({"JJ", "JJR", "RB"})
_FUNCTION_PARTS = frozenset({"IN", "DT", "RB", "MD", "CC", "PRP", "TO"})
_RELIABLE_DOCUMENTS = 30
# Phrases whose similarities spread less than this are equally near.
_LEAST_SPREAD = 1e-4


class FeatureExtractor:
    """Computes the features of all candidates of one text."""

    def __init__(
        self,
        text: AnalysedText,
        corpus: CorpusStatistics,
        candidates: Mapping[str, Candidate],
        settled: float,
        similarities: Mapping[str, float],
    ) -> None:
        """`settled` is how far people tag this corpus: their tags a content, at most 1.

        `similarities` holds the `similarity` of candidates by normal form, as far as vectors can tell.
        """
        self._similarities = similarities
        self._text = text
        self._settled = settled
        self._corpus = corpus
        self._candidates = candidates
        self._documents = corpus.documents
        self._trust = corpus.documents / (corpus.documents + _RELIABLE_DOCUMENTS)
        self._largest_idf = math.log(1 + corpus.documents) + 1
        self._log_documents = math.log1p(corpus.documents) or 1.0
        self._length = max(1, len(text.tokens))
        self._most_frequent = max((len(c.occurrences) for c in candidates.values()), default=1) or 1
        self._word_counts: dict[str, int] = {}
        for token in text.tokens:
            form = token.word.form
            self._word_counts[form] = self._word_counts.get(form, 0) + 1
        self._container = self._longer_candidates()

    def vector(self, candidate: Candidate) -> dict[str, float]:
        """Feature values by name, rounded as they are stored; those that are 0 are left out."""
        values = dict(candidate.signals)
        if candidate.occurrences:
            self._place(candidate, values)
            self._statistics(candidate, values)
            self._shape(candidate, values)
            if self._text.parts:
                self._parts_of_speech(candidate.occurrences, self._text.parts, values)
            values["similarity"] = self._similarities.get(candidate.normal_form, 0.0)
        else:
            values["unseen"] = 1.0
        if candidate.tag is None:
            values["fresh_beside_people"] = self._settled
        return {name: round(value, 4) for name, value in values.items() if value}

    def _place(self, candidate: Candidate, values: dict[str, float]) -> None:
        text, occurrences = self._text, candidate.occurrences
        first, last = occurrences[0].first, occurrences[-1].first
        tokens = text.tokens
        if text.title_tokens:
            values["in_title"] = float(tokens[first].field == TITLE)
        else:
            values["in_lead"] = float(tokens[first].sentence == 0)
        values["earliness"] = 1 - math.log1p(first) / math.log1p(self._length)
        values["spread"] = (last - first) / self._length
        values["frequency"] = math.log(len(occurrences)) / 3
        values["prominence"] = math.log1p(len(occurrences)) / math.log1p(self._most_frequent)

    def _statistics(self, candidate: Candidate, values: dict[str, float]) -> None:
        corpus = self._corpus
        occurrence = candidate.occurrences[0]
        forms = [self._text.tokens[i].word.form for i in range(occurrence.first, occurrence.last + 1)]
        rarities = [self._rarity(form) for form in forms]
        rarity = sum(rarities) / len(rarities)
        frequency = corpus.document_frequency(candidate.normal_form) if corpus.documents else 1
        if candidate.tag is not None:
            grades = [self._text.tokens[i].word.grade for i in range(occurrence.first, occurrence.last + 1)]
            values["known_plain"] = float(max(grades) >= Grade.PARTICIPLE)
        values["rarity"] = rarity
        values["rarest"] = max(rarities)
        values["tfidf"] = rarity * math.log1p(len(candidate.occurrences)) / 2
        values["support"] = self._trust * math.log(frequency) / self._log_documents
        values["alone"] = self._trust * float(frequency <= 1)
        if len(forms) > 1 and corpus.documents:
            rarest = min(corpus.document_frequency(form) for form in forms)
            if frequency > 1:
                values["cohesion"] = self._trust * min(1.0, frequency / max(rarest, 1)) ** 0.5

    def _rarity(self, form: str) -> float:
        known = self._corpus.idf(form) / self._largest_idf if self._documents else _DEFAULT_RARITY
        return self._trust * known + (1 - self._trust) * _DEFAULT_RARITY

    def _shape(self, candidate: Candidate, values: dict[str, float]) -> None:
        text, occurrences = self._text, candidate.occurrences
        first, last, _ = occurrences[0]
        words = last - first + 1
        begin, end = text.tokens[first], text.tokens[last]
        size = _size(candidate.name, words)
        values[f"size_{min(size, 4)}"] = 1.0
        whole = sum(o.whole for o in occurrences) / len(occurrences)
        if words > 1:
            values["whole_run"] = whole
            most = max(self._word_counts[text.tokens[i].word.form] for i in range(first, last + 1))
            values["phraseness"] = len(occurrences) / most
            script = "han_" if begin.word.unspaced else ""
            values[f"{script}weak_first"] = float(begin.word.grade is Grade.WEAK)
            values[f"{script}weak_last"] = float(end.word.grade is Grade.WEAK)
            values["participle"] = float(begin.word.grade is Grade.PARTICIPLE)
        else:
            values["whole_run_word"] = whole
            values["gerund"] = float(end.text.endswith("ing"))
        values["absorbed" if words > 1 else "absorbed_word"] = self._container.get(candidate.normal_form, 0.0)
        verb, noun = self._context(occurrences)
        values["verb_context"], values["noun_context"] = verb, noun
        name = candidate.name
        if has_han(name):
            values["han"] = 1.0
            values["han_word"] = float(words == 1)
            values["han_odd"] = float(len(name) % 2)
        else:
            values["length"] = math.log(len(name) / _USUAL_LENGTH) / 3
            values["acronym"] = float(text.cased and len(name) > 1 and name.isupper())
            lower = end.text.lower()
            values["adjective_ending"] = float(
                lower.endswith(lexicon.ADJECTIVE_ENDINGS) and not lower.endswith(lexicon.NOT_ADJECTIVE_ENDINGS)
            )
        if text.cased and not text.language.startswith("zh"):
            values["capitalised"], values["ragged_name"] = self._capitals(occurrences)
        inner_capital = words == 1 and text.cased and not name.isupper() and name[1:] != name[1:].lower()
        values["mixed"] = float(inner_capital or _SIGNS.search(name) is not None)

    def _parts_of_speech(
        self, occurrences: Sequence[Occurrence], parts: Sequence[str], values: dict[str, float]
    ) -> None:
        """Shares of the occurrences by the part they play in noun phrases: adjectives and nouns, a noun last."""
        tokens = self._text.tokens
        phrase = occurrences[0].last > occurrences[0].first
        counts: Counter[str] = Counter()
        for first, last, _ in occurrences:
            inside = parts[first : last + 1]
            goes_before = first > 0 and not tokens[first].breaks and parts[first - 1] in _MODIFIERS
            goes_after = last + 1 < len(parts) and not tokens[last + 1].breaks and parts[last + 1] in _NOUNS
            is_noun = inside[-1] in _NOUNS
            if phrase:
                whole = (is_noun or inside[-1] == "VBG") and all(part in _PHRASE_PARTS for part in inside)
                counts["noun_phrase"] += whole and not goes_before and not goes_after
                counts["cut_left"] += goes_before
                counts["cut_right"] += goes_after
                counts["function_inside"] += any(part in _FUNCTION_PARTS for part in inside)
            else:
                counts["noun"] += is_noun and not goes_before and not goes_after
                counts["noun_in_phrase"] += is_noun and goes_before and not goes_after
                counts["cut_right"] += is_noun and goes_after
                counts["adjective"] += inside[0] in _QUALIFIERS
                counts["verb"] += inside[0].startswith("VB")
        values.update({name: count / len(occurrences) for name, count in counts.items()})

    def _context(self, occurrences: Sequence[Occurrence]) -> tuple[float, float]:
        """Shares of the occurrences next to words that English puts beside verbs, and beside nouns."""
        tokens = self._text.tokens
        verb = noun = 0
        for first, last, _ in occurrences:
            before = tokens[first - 1].text.lower() if first and not tokens[first].breaks else ""
            after = tokens[last + 1].text.lower() if last + 1 < len(tokens) and not tokens[last + 1].breaks else ""
            verb += before in lexicon.BEFORE_VERBS or after in lexicon.AFTER_VERBS
            noun += before in lexicon.BEFORE_NOUNS and after not in lexicon.AFTER_VERBS
        return verb / len(occurrences), noun / len(occurrences)

    def _capitals(self, occurrences: Sequence[Occurrence]) -> tuple[float, float]:
        """Shares of the telling occurrences that are written as names, and that are badly cut ones."""
        text = self._text
        tokens = text.tokens
        telling = capital = ragged = 0
        for first, last, _ in occurrences:
            begin, end = tokens[first], tokens[last]
            if (begin.opens and first == last) or (begin.field == TITLE and text.title_cased):
                continue
            telling += 1
            if not end.text[0].isupper():
                continue
            capital += 1
            capital_begin = begin.text[0].isupper()
            before = first > 0 and not begin.breaks and not begin.opens and tokens[first - 1].text[0].isupper()
            after = last + 1 < len(tokens) and not tokens[last + 1].breaks and tokens[last + 1].text[0].isupper()
            ragged += (before and capital_begin) or after or not capital_begin
        return (capital / telling, ragged / telling) if telling else (0.0, 0.0)

    def _longer_candidates(self) -> dict[str, float]:
        """For each candidate: the largest share of its occurrences that lie inside one longer candidate.

        Only longer candidates that are repeated or stand alone between breaks count.
        """
        shares: dict[str, float] = {}
        starts: dict[tuple[int, int], str] = {}
        for key, candidate in self._candidates.items():
            for occurrence in candidate.occurrences:
                starts[occurrence.first, occurrence.last] = key
        for candidate in self._candidates.values():
            if not candidate.occurrences:
                continue
            first, last, whole = candidate.occurrences[0]
            count = len(candidate.occurrences)
            if last == first or (count < 2 and not whole):
                continue
            inner = {
                starts[i, j]
                for i in range(first, last + 1)
                for j in range(i, last + 1)
                if (i, j) != (first, last) and (i, j) in starts
            }
            for key in inner:
                share = min(1.0, count / len(self._candidates[key].occurrences))
                if self._documents:
                    here = self._corpus.document_frequency(candidate.normal_form)
                    share *= min(1.0, here / self._corpus.document_frequency(key))
                if share > shares.get(key, 0.0):
                    shares[key] = share
        return shares


def standing(similarities: np.ndarray) -> np.ndarray:
    """Similarities of one text's phrases as their distance from the mean, in units of two standard deviations.

    How near phrases are to a text at all depends on its length; which are nearer than the others does not.
    """
    spread = float(similarities.std()) if len(similarities) else 0.0
    if spread < _LEAST_SPREAD:
        return np.zeros_like(similarities)
    return (similarities - similarities.mean()) / (2 * spread)


def _size(name: str, words: int) -> int:
    """Size of a name in words, so that scripts compare: two Chinese characters are a word's worth."""
    if not has_han(name):
        return words
    han = sum(map(has_han, name))
    return max(1, len(_LATIN_WORD.findall(name)) + han // 2)
