"""Clusters of bare names: the merging of the pipeline over a list instead of a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tagging_orchestration.core.models import Tag
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.ports import Embedder
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.merge import Matcher, cluster_tags
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.usage import CoUsage

_ORGANIZATION = "listed"


@dataclass(frozen=True, slots=True)
class ListedTag:
    """One row of a list: a name, and the field it is of; names of different domains are never one tag."""

    name: str
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What a row became: the number of its cluster, how surely it belongs there, and whether it would be merged
    into the cluster's tag (or is that tag, and others into it) without a person."""

    cluster: int
    probability: float
    automatic: bool


def cluster_names(
    rows: Sequence[ListedTag],
    embedder: Embedder,
    normaliser: Normaliser,
    settings: VocabularySettings,
    matcher: Matcher,
) -> list[Placed]:
    """One answer a row, in order. Names with one normal form are one tag before anything is compared."""
    placed: list[Placed | None] = [None] * len(rows)
    by_domain: dict[str | None, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_domain[row.domain].append(number)
    first_cluster = 0
    for numbers in by_domain.values():
        vocabulary, tag_of = vocabulary_of_names([rows[number].name for number in numbers], embedder, normaliser)
        rows_of: dict[int, list[int]] = defaultdict(list)
        for number, tag_id in zip(numbers, tag_of, strict=True):
            rows_of[tag_id].append(number)
        clusters = cluster_tags(vocabulary, CoUsage(), (), settings, matcher)
        for cluster, found in enumerate(clusters, start=first_cluster):
            alone = len(found.members) == 1
            for member in found.members:
                doubled = len(rows_of[member]) > 1
                certainty = 1.0 if alone and doubled else found.certainty[member]
                automatic = member in found.automatic or (doubled and (alone or member == found.keeper))
                for number in rows_of[member]:
                    placed[number] = Placed(cluster, round(certainty, 4), automatic)
        first_cluster += len(clusters)
    return [place for place in placed if place is not None]


def vocabulary_of_names(
    names: Sequence[str], embedder: Embedder, normaliser: Normaliser
) -> tuple[Vocabulary, list[int]]:
    """A vocabulary with one tag a normal form, vectors included, and the tag id of each name.

    A name with nothing in it that could name a tag is a tag of its own.
    """
    tags: dict[str, Tag] = {}
    tag_of = []
    for name in names:
        form = normaliser.normal_form(name) or name
        tag = tags.setdefault(form, Tag(len(tags) + 1, _ORGANIZATION, normaliser.display_form(name) or name, form))
        tag_of.append(tag.id)
    of_model: dict[str, list[Tag]] = defaultdict(list)
    for tag in tags.values():
        of_model[embedder.model_for(tag.name)].append(tag)
    vectors = {model: _vectors(embedder, model, listed) for model, listed in of_model.items()}
    return Vocabulary(_ORGANIZATION, tags.values(), vectors=vectors), tag_of


def _vectors(embedder: Embedder, model: str, tags: Sequence[Tag]) -> TagVectors:
    import numpy as np

    ids = np.array([tag.id for tag in tags], dtype=np.int64)
    return TagVectors(ids, embedder.encode(model, [tag.name for tag in tags]))
