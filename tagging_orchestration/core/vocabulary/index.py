"""The vocabulary as one immutable snapshot in memory, with look-up by normal form and by vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.models import Tag, TagStatus

MAX_MERGE_HOPS = 32


@dataclass(frozen=True, slots=True)
class TagVectors:
    """Vectors of tag names under one model: `matrix` is float32 (len(tag_ids), dimension), unit rows."""

    tag_ids: np.ndarray
    matrix: np.ndarray


class Vocabulary:
    """All tags of one organisation, whatever their status, and the aliases that lead to them.

    `aliases` maps the normal form of another spelling to a tag id. A merged tag leads to the tag it was
    merged into, so `resolve` always ends at an active tag or nowhere.
    """

    def __init__(
        self,
        organization_id: str,
        tags: Iterable[Tag] = (),
        aliases: Mapping[str, int] | None = None,
        vectors: Mapping[str, TagVectors] | None = None,
    ) -> None:
        self.organization_id = organization_id
        self.tags: Mapping[int, Tag] = {tag.id: tag for tag in tags}
        self.aliases: Mapping[str, int] = dict(aliases or {})
        self.vectors: Mapping[str, TagVectors] = dict(vectors or {})
        self._by_form = {tag.normal_form: tag.id for tag in self.tags.values()}

    def __len__(self) -> int:
        return sum(1 for _ in self.active())

    def active(self) -> Iterator[Tag]:
        """Tags that may be assigned."""
        return (tag for tag in self.tags.values() if tag.status is TagStatus.ACTIVE)

    def lookup(self, normal_form: str) -> Tag | None:
        """The tag this form names or leads to, whatever its status, merges followed."""
        tag_id = self._by_form.get(normal_form, self.aliases.get(normal_form))
        for _ in range(MAX_MERGE_HOPS):
            if tag_id is None:
                return None
            tag = self.tags.get(tag_id)
            if tag is None or tag.merged_into_id is None:
                return tag
            tag_id = tag.merged_into_id
        return None

    def resolve(self, normal_form: str) -> Tag | None:
        """The active tag this form names or leads to, or None (unknown, blocked, retired)."""
        tag = self.lookup(normal_form)
        return tag if tag is not None and tag.status is TagStatus.ACTIVE else None

    def current(self, tag_id: int) -> Tag | None:
        """The active tag a stored id stands for today, merges followed."""
        tag = self.tags.get(tag_id)
        return self.resolve(tag.normal_form) if tag else None

    def is_blocked(self, normal_form: str) -> bool:
        """Whether people decided that this form is never to be a tag."""
        tag = self.lookup(normal_form)
        return tag is not None and tag.status is TagStatus.BLOCKED

    def forms(self) -> Iterator[tuple[str, Tag]]:
        """Every (normal form, active tag) that text can be matched against, aliases included."""
        for form in (*self._by_form, *self.aliases):
            tag = self.resolve(form)
            if tag is not None:
                yield form, tag
