"""Questions in both directions, now and as of any time: the Python side of the functions in 0002_functions.sql."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import numpy as np
from pgvector import Vector
from psycopg.errors import NoDataFound
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.core.models import ChangeContext, Tag
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.vocabulary import load_tags, resolve_forms

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ContentReference:
    """What people need to recognise a content."""

    id: int
    organization_id: str
    source: str
    external_id: str
    title: str
    created_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ContentTag:
    """A tag of a content, as assigned. `evidence` is a list of {"method", "score", "detail"}."""

    tag_id: int
    name: str
    confidence: float
    weight: float
    method: str
    origin: str
    evidence: list[dict[str, Any]]
    tagger_version_id: int | None
    assigned_at: datetime


@dataclass(frozen=True, slots=True)
class TaggedContent:
    """A content that carries a tag. Title, source and times are None where the content is no longer there."""

    content_id: int
    title: str | None
    content_source: str | None
    external_id: str | None
    created_at: datetime | None
    tag_id: int
    confidence: float
    weight: float
    method: str
    origin: str
    assigned_at: datetime


@dataclass(frozen=True, slots=True)
class TagEvent:
    """One event of a tag's history; `usage_count` contents carried the tag right after it."""

    event_id: int
    occurred_at: datetime
    event_type: str
    tag_id: int
    name: str | None
    actor: str
    run_id: str | None
    reason: str | None
    operation_id: UUID | None
    usage_count: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ContentEvent:
    """One event of a content's history. `tag_id` is None for an erasure."""

    event_id: int
    occurred_at: datetime
    event_type: str
    tag_id: int | None
    name: str | None
    confidence_before: float | None
    confidence_after: float | None
    weight_before: float | None
    weight_after: float | None
    actor: str
    run_id: str | None
    reason: str | None
    operation_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class TagUsagePeriod:
    """Use of a tag in one period: contents gained, lost, and carrying it at the end."""

    period_start: datetime
    associated: int
    dissociated: int
    usage_count: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a content has a tag, or has it not; what an assignment or a proposal says is None without one.

    `reason` is "assigned" or what keeps the tag away. `effects` are the log-odds that each kind of reason added
    to `effects["base"]`; `without` is the confidence there would be without each kind. `feedback` is what people
    said, oldest first.
    """

    name: str
    confidence: float | None
    weight: float | None
    method: str | None
    origin: str | None
    assigned_at: datetime | None
    evidence: list[dict[str, Any]] | None
    proposal: dict[str, Any] | None
    tagger_version_id: int | None
    tagger: dict[str, Any] | None
    events: list[dict[str, Any]]
    reason: str
    threshold: float | None
    generators: list[str]
    effects: dict[str, float] | None
    without: dict[str, float] | None
    feedback: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RelatedTag:
    """A tag that occurs together with another one."""

    related_tag_id: int
    related_tag_name: str
    correlation_strength: float
    co_occurrence_count: int


@dataclass(frozen=True, slots=True)
class SimilarTag:
    """A tag whose name is near, by cosine."""

    id: int
    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class SimilarContent:
    """A content whose text is near, by cosine."""

    id: int
    title: str
    source: str
    external_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class RecommendedTag:
    """A tag for a text, with the number of similar contents that carry it."""

    id: int
    name: str
    score: float
    supporting_contents: int


# -------------------------------------------------------------------------------------------------- looking up


def resolve_content(pool: ConnectionPool, reference: str, organization_id: str | None = None) -> ContentReference:
    """The content that a person names by its id, `source:external_id`, or an external id that only one has.

    Tombstones are found too. Raises UnknownName when there is none, or more than one.
    """
    # Reads all contents: external ids are unique only within their source. Programs have ids.
    query = """
        SELECT id, organization_id, source, external_id, title, created_at, deleted_at
        FROM tagging.contents AS c
        WHERE
            (c.external_id = %(text)s OR (c.source = %(source)s AND c.external_id = %(external_id)s))
            AND (%(organization)s::text IS NULL OR c.organization_id = %(organization)s)
        ORDER BY c.id
        LIMIT 3
    """
    by_id = """
        SELECT id, organization_id, source, external_id, title, created_at, deleted_at
        FROM tagging.contents AS c
        WHERE
            c.id = %(id)s AND (%(organization)s::text IS NULL OR c.organization_id = %(organization)s)
    """
    text = reference.strip()
    source, _, external_id = text.partition(":")
    parameters = {
        "id": _as_id(text),
        "text": text,
        "source": source,
        "external_id": external_id,
        "organization": organization_id,
    }
    found = _rows(pool, ContentReference, by_id, parameters) or _rows(pool, ContentReference, query, parameters)
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{row.id} ({row.source}:{row.external_id})" for row in found)
        raise UnknownName(
            f"{reference!r} is the external id of several contents, among them {several}: give one id"
        )
    raise UnknownName(f"there is no content {reference!r}; give its id, or source:external_id")


def resolve_tag(pool: ConnectionPool, reference: str, organization_id: str, normaliser: Normaliser) -> Tag:
    """The tag that a person names: in any spelling, by an alias, or by its id; merges followed, any status.

    Raises UnknownName when there is none, with the tags that come nearest by their letters.
    """
    key = (organization_id, normaliser.normal_form(reference))
    with transaction(pool) as connection:
        tag = resolve_forms(connection, [key]).get(key)
        if tag is None:
            tag = load_tags(connection, [_as_id(reference.strip())]).get(_as_id(reference.strip()))
        if tag is not None and tag.organization_id == organization_id:
            return tag
        names = connection.execute(
            "SELECT name FROM tagging.tags WHERE organization_id = %s AND status = 'active' ORDER BY id",
            [organization_id],
        ).fetchall()
    from rapidfuzz import process

    near = process.extract(reference, [name for (name,) in names], limit=3, score_cutoff=70)
    hint = f"; did you mean {', '.join(repr(name) for name, _, _ in near)}?" if near else ""
    raise UnknownName(f"there is no tag {reference!r}{hint}")


# ---------------------------------------------------------------------------------------------- both directions


def tags_of_content(pool: ConnectionPool, content_id: int, as_of: datetime | None = None) -> list[ContentTag]:
    """Tags of a content with their evidence, heaviest first; as of a time when given."""
    query = "SELECT * FROM tagging.tags_of_content(%s, %s)"
    return _rows(pool, ContentTag, query, [content_id, as_of])


def contents_of_tag(
    pool: ConnectionPool,
    tag_id: int,
    *,
    as_of: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
    min_confidence: float = 0.0,
    include_children: bool = False,
    limit: int | None = 100,
) -> list[TaggedContent]:
    """Contents that carry a tag, heaviest first; `since` and `until` bound the contents' own creation time."""
    query = "SELECT * FROM tagging.contents_of_tag(%s, %s, %s, %s, %s, %s::real, %s, %s)"
    parameters = [tag_id, as_of, since, until, source, min_confidence, include_children, limit]
    return _rows(pool, TaggedContent, query, parameters)


def tag_history(pool: ConnectionPool, tag_id: int) -> list[TagEvent]:
    """The evolution of a tag, oldest event first: its own changes, its aliases, and merges of others into it."""
    return _rows(pool, TagEvent, "SELECT * FROM tagging.tag_history(%s)", [tag_id])


def tag_usage_history(pool: ConnectionPool, tag_id: int, period: str = "month") -> list[TagUsagePeriod]:
    """Use of a tag by period (day, week, month, quarter, year), oldest first."""
    return _rows(pool, TagUsagePeriod, "SELECT * FROM tagging.tag_usage_history(%s, %s)", [tag_id, period])


def content_history(pool: ConnectionPool, content_id: int) -> list[ContentEvent]:
    """All that ever happened to a content's tags, oldest first; also of contents that are gone."""
    return _rows(pool, ContentEvent, "SELECT * FROM tagging.content_history(%s)", [content_id])


def explain_assignment(pool: ConnectionPool, content_id: int, tag_id: int) -> Explanation:
    """Why a content has a tag, or has it not. Raises UnknownName for an id without a tag."""
    found = _rows(pool, Explanation, "SELECT * FROM tagging.explain_assignment(%s, %s)", [content_id, tag_id])
    if not found:
        raise UnknownName(f"there is no tag with id {tag_id}")
    return found[0]


# ------------------------------------------------------------------------------------ relations and similarity


def related_tags(
    pool: ConnectionPool, tag_id: int, min_correlation: float = 0.0, limit: int | None = None
) -> list[RelatedTag]:
    """Tags that occur together with one tag, strongest first."""
    query = "SELECT * FROM tagging.analyze_tag_relationships(%s, %s) LIMIT %s"
    return _rows(pool, RelatedTag, query, [tag_id, min_correlation, limit])


def similar_tags(pool: ConnectionPool, tag_id: int, threshold: float = 0.5, limit: int = 10) -> list[SimilarTag]:
    """Active tags whose names are near that of a tag."""
    return _rows(pool, SimilarTag, "SELECT * FROM tagging.similar_tags(%s, %s, %s)", [tag_id, threshold, limit])


def match_tags(
    pool: ConnectionPool, vector: np.ndarray, model: str, threshold: float = 0.5, limit: int = 10
) -> list[SimilarTag]:
    """Active tags whose names are near a vector of a model."""
    query = "SELECT * FROM tagging.match_tags_by_embedding(%s, %s, %s, %s)"
    return _rows(pool, SimilarTag, query, [Vector(vector), threshold, limit, model])


def similar_contents(pool: ConnectionPool, content_id: int, limit: int = 10) -> list[SimilarContent]:
    """Contents whose texts are near that of a content, nearest first."""
    return _rows(pool, SimilarContent, "SELECT * FROM tagging.similar_contents(%s, %s)", [content_id, limit])


def recommend_tags(pool: ConnectionPool, vector: np.ndarray, model: str, limit: int = 5) -> list[RecommendedTag]:
    """Existing tags for a text that has a vector, best first."""
    query = "SELECT * FROM tagging.recommend_tags_for_content(%s, %s, %s)"
    return _rows(pool, RecommendedTag, query, [Vector(vector), limit, model])


def recommend_tags_for_content(pool: ConnectionPool, content_id: int, limit: int = 5) -> list[RecommendedTag]:
    """Existing tags that a stored content does not have but its neighbours do, best first."""
    query = "SELECT * FROM tagging.recommend_tags_for_content_id(%s, %s)"
    return _rows(pool, RecommendedTag, query, [content_id, limit])


# ------------------------------------------------------------------------------------------------------ upkeep


def erase_content(pool: ConnectionPool, content_id: int, reason: str, context: ChangeContext) -> int:
    """Erase a content and its traces for good (privacy law); the log of erasures keeps who, when and why.

    Returns the number of redacted events. Copies in archives and backups are not reached. Raises UnknownName
    when there is no such content.
    """
    try:
        with transaction(pool, context) as connection:
            row = connection.execute(
                "SELECT tagging.erase_content(%s, %s, %s)", [content_id, context.actor, reason]
            ).fetchone()
    except NoDataFound as error:
        raise UnknownName(f"there is no content {content_id}; it may have been erased before") from error
    return row[0] if row else 0


def ensure_event_partitions(pool: ConnectionPool, months: int = 4) -> int:
    """Create the missing partitions of `tag_events` for this month and the next ones; how many were created."""
    with transaction(pool) as connection:
        row = connection.execute("SELECT tagging.ensure_event_partitions(months => %s)", [months]).fetchone()
    return row[0] if row else 0


def _rows(
    pool: ConnectionPool, row_type: type[Row], query: LiteralString, parameters: Sequence[Any] | dict[str, Any]
) -> list[Row]:
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(row_type)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def _as_id(text: str) -> int:
    """The id that a text is, 0 (which no row has) for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
