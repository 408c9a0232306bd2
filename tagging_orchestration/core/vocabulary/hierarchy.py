"""Broader tags: which tag is a kind or part of which, from names that contain names and from contents that include
contents. Proposals for people; nothing is placed unasked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

from tagging_orchestration.core.models import Tag
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.usage import MIN_USES, CoUsage

# A tag below another: nearly all its contents carry the broader one too, and not the other way round (Sanderson
# and Croft 1999, "Deriving concept hierarchies from text", ask for 0.8).
_INCLUDED = 0.8
_SURE_95 = 1.645
# What the name alone says: "food security" is a kind of security, as likely as not.
_BY_NAME = 0.5
_SHORTEST_WORD = 3


@dataclass(frozen=True, slots=True)
class BroaderProposal:
    """`parent_id` seems to be broader than `tag_id`. `score` in [0, 1]; `signals` says from what (JSON-ready)."""

    tag_id: int
    parent_id: int
    score: float
    signals: Mapping[str, float]


def find_broader(
    vocabulary: Vocabulary, usage: CoUsage, refused: Collection[tuple[int, int]]
) -> list[BroaderProposal]:
    """The likeliest broader tag of each active tag that has none, the surest first.

    `refused` holds (tag, parent) pairs that people refused. No proposal would close a circle with the hierarchy or
    with the other proposals.
    """
    tags = {tag.id: tag for tag in vocabulary.active()}
    signals: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for tag_id, parent_id in _contained_names(tags):
        signals[tag_id, parent_id]["name"] = 1.0
    for tag_id, parent_id, share in _included_contents(tags, usage):
        signals[tag_id, parent_id]["included"] = share
    proposals = [
        BroaderProposal(tag_id, parent_id, round(_score(found, usage, tag_id, parent_id), 4), found)
        for (tag_id, parent_id), found in signals.items()
        if tags[tag_id].parent_id is None and (tag_id, parent_id) not in refused
    ]
    proposals.sort(key=lambda row: (-row.score, -usage.contents.get(row.parent_id, 0), row.tag_id, row.parent_id))
    return list(_without_circles(proposals, vocabulary))


def _contained_names(tags: Mapping[int, Tag]) -> Iterator[tuple[int, int]]:
    """(narrower, broader) where the broader name ends the narrower one, as the noun that is specified does."""
    by_form = {tag.normal_form: tag.id for tag in tags.values() if len(tag.normal_form) > 1}
    for tag in tags.values():
        form = tag.normal_form
        if has_han(form):
            ends = [form[start:] for start in range(1, len(form) - 1)]
        else:
            words = form.split()
            ends = [" ".join(words[start:]) for start in range(1, len(words))]
            ends = [end for end in ends if len(end) >= _SHORTEST_WORD]
        # The longest one is the nearest broader tag.
        parent = next((by_form[end] for end in ends if end in by_form), None)
        if parent is not None:
            yield tag.id, parent


def _included_contents(tags: Mapping[int, Tag], usage: CoUsage) -> Iterator[tuple[int, int, float]]:
    """(narrower, broader, share of the narrower one's contents that carry both), where use says so."""
    for (first, second), together in usage.together.items():
        if first not in tags or second not in tags:
            continue
        for narrow, broad in ((first, second), (second, first)):
            ours, theirs = usage.contents.get(narrow, 0), usage.contents.get(broad, 0)
            if ours >= MIN_USES and theirs > ours:
                share = min(together / ours, 1.0)
                if share >= _INCLUDED and together / theirs < share / 2:
                    yield narrow, broad, share


def _score(signals: Mapping[str, float], usage: CoUsage, tag_id: int, parent_id: int) -> float:
    """Name and use as independent reasons. Use counts as its lower bound, so that five contents do not prove
    much; a name whose contents are seen apart counts less."""
    pair = (tag_id, parent_id) if tag_id < parent_id else (parent_id, tag_id)
    ours = usage.contents.get(tag_id, 0)
    use = _at_least(usage.together.get(pair, 0), ours) if "included" in signals else 0.0
    name = _BY_NAME if "name" in signals else 0.0
    return 1 - (1 - name) * (1 - use)


def _at_least(part: int, whole: int) -> float:
    """Lower end of Wilson's 95 % interval of a share."""
    if not whole:
        return 0.0
    share, z = min(part / whole, 1.0), _SURE_95
    middle = share + z * z / (2 * whole)
    spread = z * sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return (middle - spread) / (1 + z * z / whole)


def _without_circles(proposals: Collection[BroaderProposal], vocabulary: Vocabulary) -> Iterator[BroaderProposal]:
    """The first proposal of each tag that, with those before it, leaves the hierarchy a hierarchy."""
    parent_of = {tag.id: tag.parent_id for tag in vocabulary.tags.values()}
    taken: set[int] = set()
    for proposal in proposals:
        if proposal.tag_id in taken:
            continue
        above: int | None = proposal.parent_id
        seen = set()
        while above is not None and above != proposal.tag_id and above not in seen:
            seen.add(above)
            above = parent_of.get(above)
        if above is None:
            parent_of[proposal.tag_id] = proposal.parent_id
            taken.add(proposal.tag_id)
            yield proposal
