"""Small builders for the tagger's tests: contents, tags, and a tagger over fakes and the shipped weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tagging_orchestration.clients.ranker import load_ranker_weights
from tagging_orchestration.core.models import Content, GeneratedTags, Neighbour, Origin, Tag, TaggerInput
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.counting import count_corpus
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.tagger import Tagger
from tagging_orchestration.core.tagging.text import TextAnalyser
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tests.fakes.language import LEMMAS, FakeLanguageTools

LANGUAGE = FakeLanguageTools(lemmas={**LEMMAS, "said": "say"})
NORMALISER = Normaliser(LANGUAGE)
ANALYSER = TextAnalyser(LANGUAGE, NORMALISER)
WEIGHTS = load_ranker_weights()


def make_content(body: str, title: str = "", **more: Any) -> Content:
    """A content of the default organisation with number 1."""
    return Content(
        **{
            "id": 1,
            "organization_id": "default",
            "source": "tickets",
            "external_id": "t-1",
            "title": title,
            "body": body,
            "language": None,
            "given_tags": (),
            "created_at": datetime(2024, 5, 1, tzinfo=UTC),
            "text_hash": "t",
            "input_hash": "i",
        }
        | more
    )


def make_tag(number: int, name: str, **more: Any) -> Tag:
    """An active machine tag under its normal form."""
    return Tag(**{"id": number, "organization_id": "default", "name": name} | _form(name) | more)


def _form(name: str) -> dict[str, Any]:
    return {"normal_form": NORMALISER.normal_form(name)}


def make_vocabulary(
    *tags: Tag, aliases: Mapping[str, int] | None = None, vectors: Mapping[int, Sequence[float]] | None = None
) -> Vocabulary:
    """A vocabulary; `vectors` are those of tag names under the model "test"."""
    known = None
    if vectors:
        known = {"test": TagVectors(np.array(list(vectors)), np.array(list(vectors.values()), np.float32))}
    forms = {NORMALISER.normal_form(alias): tag_id for alias, tag_id in (aliases or {}).items()}
    return Vocabulary("default", tags, forms, known)


def make_tagger(
    vocabulary: Vocabulary | None = None,
    rules: RuleSet | None = None,
    corpus: CorpusStatistics | None = None,
    **parameters: Any,
) -> Tagger:
    """A tagger over the fakes and the shipped weights."""
    return Tagger(
        parameters=TaggerSettings(**parameters),
        language=LANGUAGE,
        normaliser=NORMALISER,
        vocabulary=make_vocabulary() if vocabulary is None else vocabulary,
        rules=rules or RuleSet(),
        corpus=corpus or CorpusStatistics(),
        weights=WEIGHTS,
    )


def count(*texts: str) -> CorpusStatistics:
    """Corpus statistics of the texts."""
    return count_corpus(((text, None) for text in texts), language=LANGUAGE, normaliser=NORMALISER)


def tag_one(
    tagger: Tagger,
    content: Content,
    *,
    vector: Sequence[float] | None = None,
    neighbours: Iterable[Neighbour] = (),
) -> GeneratedTags:
    """The proposals for one content."""
    array = None if vector is None else np.array(vector, np.float32)
    item = TaggerInput(content, array, "test" if vector is not None else None, tuple(neighbours))
    return tagger.tag([item])[0]


def names(generated: GeneratedTags) -> list[str]:
    """Names of the proposals, best first."""
    return [proposal.name for proposal in generated.proposals]


PEOPLE = Origin.HUMAN
