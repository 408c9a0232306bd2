"""Too broad tags: whether the contents of one tag fall into groups that deserve tags of their own.

Proposals for people; nothing is split unasked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# A tag is looked at when it is on so large a share of the tagged contents and on enough of them to see groups.
MIN_SHARE = 0.05
MIN_CONTENTS = 60
# Contents looked at for one tag; the largest are as well described by a sample.
MOST_CONTENTS = 2_000
_MOST_PARTS = 6
_SMALLEST_PART = 0.1
# Mean silhouette (Rousseeuw 1987) by cosine from which groups are seen, and no accident of many dimensions.
_GROUPS_SEEN = 0.08
_SEED = 0


@dataclass(frozen=True, slots=True)
class TaggedContents:
    """Contents of one tag: ids (n,), vectors (n, d) of unit rows, and names of the other tags of each."""

    tag_id: int
    name: str
    share: float
    content_ids: np.ndarray
    vectors: np.ndarray
    other_tags: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class ProposedPart:
    """A narrower tag: its name, from the tag that marks these contents off from the rest, and the contents."""

    name: str
    content_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SplitProposal:
    """The tag seems to be several. `score` in [0, 1] grows with its share and with how apart the parts lie."""

    tag_id: int
    parts: tuple[ProposedPart, ...]
    score: float
    signals: Mapping[str, float]


def find_split(contents: TaggedContents) -> SplitProposal | None:
    """Groups of one tag's contents, or None where they are of one kind or no other tag names a group."""
    if len(contents.content_ids) < MIN_CONTENTS or contents.share < MIN_SHARE:
        return None
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    best, labels = 0.0, None
    for count in range(2, _MOST_PARTS + 1):
        tried = KMeans(count, random_state=_SEED).fit_predict(contents.vectors)
        if np.bincount(tried, minlength=count).min() < _SMALLEST_PART * len(tried):
            continue
        seen = float(
            silhouette_score(contents.vectors, tried, metric="cosine", sample_size=500, random_state=_SEED)
        )
        if seen > best:
            best, labels = seen, tried
    if labels is None or best < _GROUPS_SEEN:
        return None
    parts = _named(contents, labels)
    if len(parts) < 2:
        return None
    spread = 1 - float(np.linalg.norm(contents.vectors.mean(axis=0)))
    signals = {"share": round(contents.share, 4), "spread": round(spread, 4), "groups": round(best, 4)}
    score = 1 - (1 - min(contents.share, 1.0)) * (1 - min(best * 2, 1.0))
    return SplitProposal(contents.tag_id, tuple(parts), round(score, 4), signals)


def _named(contents: TaggedContents, labels: np.ndarray) -> list[ProposedPart]:
    """Each group under the other tag that is most more frequent in it than elsewhere; groups without one are left
    with the broad tag."""
    parts, used = [], {contents.name}
    for label in np.argsort(-np.bincount(labels)):
        inside = labels == label
        counts: dict[str, list[int]] = {}
        for tags, member in zip(contents.other_tags, inside, strict=True):
            for tag in tags:
                counts.setdefault(tag, [0, 0])[0 if member else 1] += 1
        size, rest = int(inside.sum()), int((~inside).sum())
        lead = {
            tag: within / size - without / max(rest, 1)
            for tag, (within, without) in counts.items()
            if tag not in used and within >= 3 and within / size > 2 * without / max(rest, 1)
        }
        if lead:
            name = max(lead, key=lambda tag: (lead[tag], tag))
            used.add(name)
            ids = tuple(int(content_id) for content_id in contents.content_ids[inside])
            parts.append(ProposedPart(name, ids))
    return parts
