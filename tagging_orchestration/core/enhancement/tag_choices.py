"""The tags of the vocabulary that a language model may choose from for one text: the retrieval half of RAG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.enhancement.injection import without_orders
from tagging_orchestration.core.models import Neighbour, Tag, TaggerInput
from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging.candidates.pool import Pool
from tagging_orchestration.core.tagging.candidates.vocabulary import VECTOR_FLOOR, VocabularyMatcher
from tagging_orchestration.core.tagging.languages import language_of
from tagging_orchestration.core.tagging.matching import unit_stream
from tagging_orchestration.core.tagging.text import TextAnalyser
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser


@dataclass(frozen=True, slots=True)
class SimilarContent:
    """What a similar content is tagged; of its text nothing is shown."""

    similarity: float
    tags: tuple[str, ...]


class TagChooser:
    """A vocabulary made ready for looking up what is relevant to a text; build it once for many texts."""

    def __init__(
        self, vocabulary: Vocabulary, language: LanguageTools, normaliser: Normaliser, blocked: frozenset[str]
    ) -> None:
        self._vocabulary = vocabulary
        self._language = language
        self._blocked = blocked
        self._analyser = TextAnalyser(language, normaliser)
        self._matcher = VocabularyMatcher(vocabulary, self._analyser)

    def choose(self, item: TaggerInput, neighbours: int, limit: int) -> tuple[Tag, ...]:
        """Up to `limit` active tags: those whose words stand in the text first, then those of the most similar
        contents, then those near in meaning. Sentences that give orders to a model are no text."""
        content = item.content
        language = language_of(content.language, content.text, self._language)
        text = self._analyser.analyse(without_orders(content.title), without_orders(content.body), language)
        pool = Pool()
        self._matcher.propose(pool, text, unit_stream(text))
        found = [entry.tag for entry in pool if entry.tag is not None]
        found.sort(key=lambda tag: (-tag.usage_count, tag.id))
        found += self._of_neighbours(item.neighbours[:neighbours])
        found += self._near(item, limit)
        distinct = {tag.id: tag for tag in found if tag.normal_form not in self._blocked}
        return tuple(distinct.values())[:limit]

    def similar(self, item: TaggerInput, neighbours: int) -> tuple[SimilarContent, ...]:
        """The most similar tagged contents, with the present names of their tags."""
        found = []
        for neighbour in item.neighbours[:neighbours]:
            tags = (self._vocabulary.current(tag_id) for tag_id, _, _ in neighbour.tags)
            names = [tag.name for tag in tags if tag is not None and tag.normal_form not in self._blocked]
            if names:
                found.append(SimilarContent(round(float(neighbour.similarity), 2), tuple(dict.fromkeys(names))))
        return tuple(found)

    def _of_neighbours(self, neighbours: Sequence[Neighbour]) -> list[Tag]:
        votes: dict[int, float] = defaultdict(float)
        for neighbour in neighbours:
            for tag_id, confidence, _ in neighbour.tags:
                tag = self._vocabulary.current(tag_id)
                if tag is not None:
                    votes[tag.id] += max(0.0, neighbour.similarity) ** 2 * confidence
        return [self._vocabulary.tags[tag_id] for tag_id in sorted(votes, key=lambda t: (-votes[t], t))]

    def _near(self, item: TaggerInput, limit: int) -> list[Tag]:
        known = self._vocabulary.vectors.get(item.model or "")
        if known is None or item.vector is None or not len(known.tag_ids):
            return []
        similarities = known.matrix @ np.asarray(item.vector, np.float32)
        rows = np.argsort(-similarities, kind="stable")[: 2 * limit]
        tags = (
            self._vocabulary.current(int(known.tag_ids[row])) for row in rows if similarities[row] >= VECTOR_FLOOR
        )
        return [tag for tag in tags if tag is not None]
