"""Neighbours generator: tags of the most similar, already tagged contents vote for themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tagging_orchestration.core.models import Evidence, Method, Neighbour, Origin, Tag
from tagging_orchestration.core.tagging.candidates.pool import Pool
from tagging_orchestration.core.tagging.candidates.vocabulary import VocabularyMatcher
from tagging_orchestration.core.vocabulary.index import Vocabulary

EVIDENCE_NEIGHBOURS = 3


def propose(
    pool: Pool, neighbours: Sequence[Neighbour], vocabulary: Vocabulary, matcher: VocabularyMatcher
) -> None:
    """Enter the neighbours' tags.

    Each neighbour's vote weighs the square of its similarity; a tag's share of all weight is its vote. Votes of
    people and of machines are counted apart, a machine's by its confidence, so that people's can count for more.
    """
    weights = [max(0.0, neighbour.similarity) ** 2 for neighbour in neighbours]
    total = sum(weights)
    if not total:
        return
    people: dict[int, float] = defaultdict(float)
    machines: dict[int, float] = defaultdict(float)
    voters: dict[int, list[Neighbour]] = defaultdict(list)
    tags: dict[int, Tag] = {}
    for neighbour, weight in zip(neighbours, weights, strict=True):
        for tag_id, confidence, origin in neighbour.tags:
            tag = vocabulary.current(tag_id)
            if tag is None or not weight or neighbour in voters[tag.id]:
                continue
            tags[tag.id] = tag
            voters[tag.id].append(neighbour)
            if origin is Origin.HUMAN:
                people[tag.id] += weight / total
            else:
                machines[tag.id] += confidence * weight / total
    for tag_id, tag in tags.items():
        candidate = pool.known(tag)
        matcher.describe(candidate.signals, tag)
        nearest = max(voters[tag_id], key=lambda neighbour: neighbour.similarity)
        candidate.raise_signal("votes_people", people[tag_id])
        candidate.raise_signal("votes_machines", machines[tag_id])
        candidate.raise_signal("nearest_voter", max(0.0, nearest.similarity))
        best = sorted(voters[tag_id], key=lambda neighbour: -neighbour.similarity)[:EVIDENCE_NEIGHBOURS]
        candidate.evidence.append(
            Evidence(
                Method.NEIGHBOUR,
                round(min(1.0, people[tag_id] + machines[tag_id]), 4),
                {
                    "neighbours": [
                        {"content_id": n.content_id, "similarity": round(float(n.similarity), 4)} for n in best
                    ],
                    "voters": len(voters[tag_id]),
                    "asked": len(neighbours),
                },
            )
        )
