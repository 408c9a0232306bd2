"""Counting corpus statistics: in how many contents of a sample each word and candidate phrase occurs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging.candidates.keyphrases import corpus_terms
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.languages import language_of
from tagging_orchestration.core.tagging.text import TextAnalyser
from tagging_orchestration.core.vocabulary.normalise import Normaliser

MIN_DOCUMENTS = 2
MAX_TERMS = 300_000
# Terms held while counting; above this, those of a single content so far are dropped. A term that is lost this
# way and comes again is undercounted by one.
_MAX_HELD = 3_000_000
# A text's beginning tells its terms; a few very long texts must not hold up the count of a sample.
_CHARACTERS = 20_000


def count_corpus(
    texts: Iterable[tuple[str, str | None]],
    *,
    language: LanguageTools,
    normaliser: Normaliser,
    max_words: int = 4,
) -> CorpusStatistics:
    """Document frequencies over (text, stated language) pairs.

    Keeps the MAX_TERMS most frequent terms that at least MIN_DOCUMENTS texts carry; the same texts in any order
    give the same statistics. `corpus_size` is the number of texts counted.
    """
    analyser = TextAnalyser(language, normaliser)
    counts: Counter[str] = Counter()
    documents = 0
    for text, stated in texts:
        documents += 1
        text = text[:_CHARACTERS]
        counts.update(corpus_terms(analyser.analyse("", text, language_of(stated, text, language)), max_words))
        if len(counts) > _MAX_HELD:
            counts = Counter({term: count for term, count in counts.items() if count > 1})
    kept = sorted(
        ((term, count) for term, count in counts.items() if count >= MIN_DOCUMENTS),
        key=lambda item: (-item[1], item[0]),
    )
    return CorpusStatistics(documents, documents, dict(kept[:MAX_TERMS]))
