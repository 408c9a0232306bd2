"""Vocabulary generator: existing tags whose name or alias stands in the text or whose vector is near it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tagging_orchestration.core.models import Evidence, Method, Origin, Tag
from tagging_orchestration.core.tagging.candidates.pool import Pool, span_evidence
from tagging_orchestration.core.tagging.matching import Match, PhraseIndex, UnitStream
from tagging_orchestration.core.tagging.text import AnalysedText, Grade, TextAnalyser
from tagging_orchestration.core.vocabulary.index import Vocabulary

# A tag whose vector is further from the text's than this is not proposed for it.
VECTOR_FLOOR = 0.30
VECTOR_LIMIT = 8
_ROWS_AT_ONCE = 64

INFLECTED_SCORE = 0.8
PART_OF_WORD_SCORE = 0.5


class VocabularyMatcher:
    """The vocabulary made ready for matching; build it once for many texts."""

    def __init__(self, vocabulary: Vocabulary, analyser: TextAnalyser) -> None:
        self._vocabulary = vocabulary
        self._index: PhraseIndex[tuple[Tag, str]] = PhraseIndex()
        for form, tag in vocabulary.forms():
            units = analyser.units(form)
            self._index.add(units, analyser.lemma_units(form, "en"), (tag, form))
        self._most_used = max((tag.usage_count for tag in vocabulary.active()), default=0)

    def propose(self, pool: Pool, text: AnalysedText, stream: UnitStream) -> None:
        """Enter the tags whose words stand in the text: exactly, inflected, or inside a longer word."""
        found: dict[int, list[tuple[Match, str]]] = {}
        tags: dict[int, Tag] = {}
        for (tag, form), match in self._index.find(text, stream):
            if _is_function_word(text, tag, match):
                continue
            tags[tag.id] = tag
            found.setdefault(tag.id, []).append((match, form))
        for tag_id, matches in found.items():
            self._enter(pool, text, tags[tag_id], matches)

    def propose_similar(self, pool: Pool, similar: Sequence[tuple[Tag, float]], model: str) -> None:
        """Enter the tags near the text's vector; see `similar_tags`."""
        for tag, similarity in similar:
            candidate = pool.known(tag)
            self.describe(candidate.signals, tag)
            if not candidate.occurrences:
                candidate.raise_signal("vector_similarity", similarity)
            candidate.evidence.append(
                Evidence(Method.VOCABULARY, round(similarity, 4), {"match": "vector", "model": model})
            )

    def similar_tags(self, vectors: np.ndarray, model: str) -> list[list[tuple[Tag, float]]]:
        """For each unit row vector: up to VECTOR_LIMIT active tags above VECTOR_FLOOR, nearest first."""
        known = self._vocabulary.vectors.get(model)
        if known is None or not len(known.tag_ids):
            return [[] for _ in vectors]
        results = []
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            similarities = np.asarray(vectors[start : start + _ROWS_AT_ONCE], np.float32) @ known.matrix.T
            results += [self._nearest(row, known.tag_ids) for row in similarities]
        return results

    def describe(self, signals: dict[str, float], tag: Tag) -> None:
        """What is known of a tag whatever led to it: who made it and how much it is used."""
        signals["known_human" if tag.origin is Origin.HUMAN else "known_machine"] = 1.0
        if tag.usage_count and self._most_used:
            signals["known_usage"] = math.log1p(tag.usage_count) / math.log1p(self._most_used)

    def _enter(self, pool: Pool, text: AnalysedText, tag: Tag, matches: list[tuple[Match, str]]) -> None:
        candidate = pool.known(tag)
        best = max(matches, key=lambda item: (item[0].aligned, item[0].exact))
        match, form = best
        kind = "exact" if match.exact else "inflected"
        score = 1.0 if match.exact else INFLECTED_SCORE
        if not match.aligned:
            kind, score = "part of a word", PART_OF_WORD_SCORE
        aligned = [m.occurrence for m, _ in matches if m.aligned] or [m.occurrence for m, _ in matches]
        candidate.occurrences = sorted(set(aligned) | set(candidate.occurrences))
        self.describe(candidate.signals, tag)
        candidate.raise_signal(
            {1.0: "matched", INFLECTED_SCORE: "matched_inflected"}.get(score, "matched_part"), 1.0
        )
        more = {"match": kind, "start": match.start, "end": match.end}
        if form != tag.normal_form:
            more["alias"] = form
        field_text = text.field_text(text.tokens[match.occurrence.first].field)
        more["text"] = field_text[match.start : match.end]
        candidate.evidence.append(span_evidence(Method.VOCABULARY, score, text, [match.occurrence], **more))

    def _nearest(self, similarities: np.ndarray, tag_ids: np.ndarray) -> list[tuple[Tag, float]]:
        count = min(2 * VECTOR_LIMIT, len(similarities))
        rows = np.argpartition(-similarities, count - 1)[:count]
        rows = rows[np.argsort(-similarities[rows], kind="stable")]
        nearest: list[tuple[Tag, float]] = []
        for row in rows:
            if similarities[row] < VECTOR_FLOOR or len(nearest) == VECTOR_LIMIT:
                break
            tag = self._vocabulary.current(int(tag_ids[row]))
            if tag is not None and all(tag.id != seen.id for seen, _ in nearest):
                nearest.append((tag, min(1.0, float(similarities[row]))))
        return nearest


def _is_function_word(text: AnalysedText, tag: Tag, match: Match) -> bool:
    """Whether a tag like "US" or "IT" met a pronoun: a lone function word must be written as the tag is."""
    first, last, _ = match.occurrence
    token = text.tokens[first]
    if first != last or token.word.grade is not Grade.BREAK:
        return False
    return token.text != tag.name or (token.text.islower() and token.text.isascii())
