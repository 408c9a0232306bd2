"""What the tag benchmarks share: labelled texts, the usual keyphrase protocol and a tagger over a set of texts.

A data file holds one JSON object a line: {"id", "title"?, "text", "gold": [tags people chose]}.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from nltk.stem.porter import PorterStemmer

from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.core.models import Content, Origin, Tag, TaggerInput
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.counting import count_corpus
from tagging_orchestration.core.tagging.ranking import RankerWeights
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.scripts import HAN, has_han
from tagging_orchestration.core.tagging.tagger import Tagger
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.settings import EmbeddingSettings

LANGUAGE = LibraryLanguageTools()
NORMALISER = Normaliser(LANGUAGE)
CREATED = datetime(2024, 1, 1, tzinfo=UTC)
_STEMMER = PorterStemmer()


@dataclass(frozen=True, slots=True)
class Labelled:
    """One text with the tags people chose for it."""

    id: str
    title: str
    text: str
    gold: tuple[str, ...]


def read_set(path: Path, limit: int | None = None) -> list[Labelled]:
    """The labelled texts of a file, at most `limit`, evenly drawn over it."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if limit is not None and len(rows) > limit:
        rows = [rows[int(number * len(rows) / limit)] for number in range(limit)]
    return [Labelled(str(row["id"]), row.get("title") or "", row["text"], tuple(row["gold"])) for row in rows]


def content(number: int, row: Labelled) -> Content:
    """The text as a stored content."""
    return Content(
        id=number,
        organization_id="default",
        source="benchmark",
        external_id=row.id,
        title=row.title,
        body=row.text,
        language=None,
        given_tags=(),
        created_at=CREATED,
        text_hash=row.id,
        input_hash=row.id,
    )


def build_tagger(
    rows: Sequence[Labelled],
    weights: RankerWeights,
    tags: Iterable[Tag] = (),
    vectors: TagVectors | None = None,
    model: str = "",
    parameters: TaggerSettings | None = None,
    embedder: RoutedEmbedder | None = None,
) -> Tagger:
    """A tagger whose corpus statistics come from the texts themselves (never from their labels)."""
    corpus = count_corpus(
        ((f"{row.title}\n{row.text}", None) for row in rows), language=LANGUAGE, normaliser=NORMALISER
    )
    return Tagger(
        parameters=parameters or TaggerSettings(),
        language=LANGUAGE,
        normaliser=NORMALISER,
        vocabulary=Vocabulary("default", tags, vectors={model: vectors} if vectors else None),
        rules=RuleSet(),
        corpus=corpus,
        weights=weights,
        encode_phrases=embedder.encode_phrases if embedder else None,
    )


def build_embedder() -> RoutedEmbedder:
    """The packaged models, as the project routes to them."""
    return RoutedEmbedder(EmbeddingSettings(), fold=LANGUAGE.to_simplified)


def inputs(rows: Sequence[Labelled], embedder: RoutedEmbedder | None = None) -> list[TaggerInput]:
    """Tagger inputs; with an embedder they carry their vectors."""
    contents = [content(number, row) for number, row in enumerate(rows)]
    if embedder is None:
        return [TaggerInput(item) for item in contents]
    by_model: dict[str, list[int]] = {}
    for number, item in enumerate(contents):
        by_model.setdefault(embedder.model_for(item.text), []).append(number)
    items: dict[int, TaggerInput] = {}
    for model, numbers in by_model.items():
        vectors = embedder.encode(model, [contents[number].text for number in numbers])
        items.update(
            (number, TaggerInput(contents[number], vector, model))
            for number, vector in zip(numbers, vectors, strict=True)
        )
    return [items[number] for number in range(len(rows))]


def people_vocabulary(rows: Sequence[Labelled], at_least: int = 2) -> dict[str, Tag]:
    """Tags that at least so many texts carry, by stemmed name, as if people had made them."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for row in rows:
        for name in {stemmed(name): name for name in row.gold}.values():
            counts[stemmed(name)] += 1
            names.setdefault(stemmed(name), name)
    kept = [key for key in sorted(counts) if key and counts[key] >= at_least]
    tags: dict[str, Tag] = {}
    forms: set[str] = set()
    for number, key in enumerate(kept, start=1):
        form = NORMALISER.normal_form(names[key])
        if form and form not in forms:
            forms.add(form)
            tags[key] = Tag(number, "default", names[key], form, origin=Origin.HUMAN, usage_count=counts[key])
    return tags


@lru_cache(maxsize=500_000)
def stemmed(tag: str) -> str:
    """The form under which the keyphrase literature compares: NFKC, lower case, Porter stems, Han as written."""
    text = unicodedata.normalize("NFKC", tag).lower()
    text = re.sub(r"[-_/‐‑–—]+", " ", text)
    text = re.sub(r"[\"'`“”‘’「」『』()\[\]{}<>《》]", "", text)
    text = re.sub(r"\s+", " ", text).strip(" .,;:!?。，、；：！？#")
    if has_han(text):
        text = re.sub(rf"(?<=[{HAN}])\s+(?=[{HAN}])", "", text)
    return " ".join(word if has_han(word) else _STEMMER.stem(word) for word in text.split())


def stemmed_list(tags: Iterable[str]) -> list[str]:
    """Stemmed forms in order, without repeats and empties."""
    return [form for form in dict.fromkeys(stemmed(tag) for tag in tags) if form]


def f1_at(predicted: Sequence[str], gold: Iterable[str], k: int) -> float:
    """F1 of the first k predictions; precision divides by min(k, number predicted)."""
    wanted = set(stemmed_list(gold))
    first = stemmed_list(predicted)[:k]
    hits = len(set(first) & wanted)
    if not hits:
        return 0.0
    precision, recall = hits / len(first), hits / len(wanted)
    return 2 * precision * recall / (precision + recall)
