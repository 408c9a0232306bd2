"""People's corrections: table `tag_feedback`. The database applies each in the transaction that brings it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.errors import CheckViolation, IntegrityError, RaiseException
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import (
    ChangeContext,
    Correction,
    FeedbackKind,
    FeedbackSource,
    JudgedProposal,
    Method,
)
from tagging_orchestration.core.tagging.calibration import Calibration
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.storage import merges
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.retagging import retag_carrying
from tagging_orchestration.storage.vocabulary import lock_vocabulary


@dataclass(frozen=True, slots=True)
class Feedback:
    """One correction as stored. `external_id` names the content, `confidence` is what the machine thought."""

    id: int
    kind: str
    content_id: int | None
    external_id: str | None
    tag_id: int | None
    tag_name: str
    target_name: str | None
    reviewer: str
    note: str | None
    source: str
    confidence: float | None
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A correction that could not be applied, and why. `number` counts from 0 in what was handed over."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class TagStatistics:
    """What people said of one tag; each content counts once. `missed`: added, though no generator had it."""

    tag_id: int
    name: str
    accepted: int
    rejected: int
    missed: int
    reviewers: int
    mean_confidence: float | None
    precision: float
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewerStatistics:
    """What one person did. `agreement`: share of others' words on the same content and tag that say the same."""

    reviewer: str
    accepted: int
    rejected: int
    added: int
    vocabulary: int
    undone: int
    compared: int
    agreement: float | None
    last_at: datetime


@dataclass(frozen=True, slots=True)
class MethodStatistics:
    """How often people agreed with what one generator proposed, beside the confidence it had."""

    method: str
    accepted: int
    rejected: int
    precision: float
    mean_confidence: float | None


class PostgresFeedbackStore:
    """`FeedbackStore` over Postgres. Calibrations are kept in memory while they are the active ones."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._known: dict[int, Calibration] = {}

    def verdicts(self, content_ids: Sequence[int]) -> dict[int, dict[int, bool]]:
        """For each content that people judged: tag id -> whether they want the tag. Tags are those of today."""
        # Index: tag_feedback_content.
        query = """
            SELECT content_id, tag_id, accepted
            FROM tagging.feedback_verdicts
            WHERE content_id = ANY (%s::bigint[])
        """
        found: dict[int, dict[int, bool]] = {}
        with transaction(self._pool) as connection:
            for content_id, tag_id, accepted in connection.execute(query, [list(content_ids)]):
                found.setdefault(content_id, {})[tag_id] = accepted
        return found

    def calibrations(self) -> dict[str, Calibration]:
        """The calibration in use of each organisation that has one."""
        # Index: trained_models_active.
        active = """
            SELECT organization_id, id FROM tagging.trained_models WHERE kind = 'calibration' AND status = 'active'
        """
        with transaction(self._pool) as connection:
            ids = dict(connection.execute(active).fetchall())
            missing = [model_id for model_id in ids.values() if model_id not in self._known]
            if missing:
                rows = connection.execute(
                    "SELECT id, payload FROM tagging.trained_models WHERE id = ANY (%s)", [missing]
                )
                self._known |= {model_id: Calibration.from_bytes(bytes(payload)) for model_id, payload in rows}
        return {organization_id: self._known[model_id] for organization_id, model_id in sorted(ids.items())}


def give_feedback(
    pool: ConnectionPool,
    organization_id: str,
    corrections: Sequence[Correction],
    source: FeedbackSource,
    normaliser: Normaliser,
    context: ChangeContext,
) -> tuple[list[Feedback], list[Refused]]:
    """Apply corrections in their order, in one transaction; those that cannot be applied are refused one by one.

    The reviewer is the correction's own, else the context's actor. Contents that carry the words of a tag made or
    renamed by this are marked for re-tagging.
    """
    given: list[int] = []
    refused: list[Refused] = []
    with transaction(pool, context) as connection:
        # The lock that the rows will want, at once: going from a shared to an exclusive one could deadlock.
        exclusive = any(item.kind in (FeedbackKind.RENAME, FeedbackKind.MERGE) for item in corrections)
        lock_vocabulary(connection, exclusive=exclusive)
        (before,) = connection.execute("SELECT coalesce(max(id), 0) FROM tagging.tags").fetchone() or (0,)
        for number, correction in enumerate(corrections):
            try:
                with connection.transaction():
                    given.append(_insert(connection, organization_id, correction, source, normaliser))
            except (CheckViolation, IntegrityError, RaiseException) as error:
                refused.append(Refused(number, _said(error)))
        made = connection.execute(
            "SELECT id FROM tagging.tags WHERE organization_id = %s AND id > %s", [organization_id, before]
        ).fetchall()
        retag_carrying(connection, [tag_id for (tag_id,) in made])
        rows = _feedback(connection, "WHERE f.id = ANY (%s::bigint[]) ORDER BY f.id", [given])
    return rows, refused


def undo_feedback(pool: ConnectionPool, feedback_id: int, context: ChangeContext) -> Feedback:
    """Take a correction back: people's earlier word stands again, else the machine's.

    Raises UnknownName for an id without feedback, VocabularyError when it was taken back before, or what it did
    was changed since.
    """
    with transaction(pool) as connection:
        found = connection.execute(
            "SELECT kind, operation_id, undone_at FROM tagging.tag_feedback WHERE id = %s", [feedback_id]
        ).fetchone()
    if found is None:
        raise UnknownName(f"there is no feedback {feedback_id}: tagging feedback list shows what there is")
    kind, operation_id, undone_at = found
    if undone_at is not None:
        raise VocabularyError(f"feedback {feedback_id} was taken back before, at {undone_at:%Y-%m-%d %H:%M}")
    if kind == FeedbackKind.MERGE:
        merges.undo(pool, operation_id, context)
    try:
        with transaction(pool, replace(context, operation_id=None)) as connection:
            connection.execute(
                "UPDATE tagging.tag_feedback SET undone_at = now() WHERE id = %s AND undone_at IS NULL",
                [feedback_id],
            )
            return _feedback(connection, "WHERE f.id = %s", [feedback_id])[0]
    except CheckViolation as error:
        raise VocabularyError(_said(error)) from None


def list_feedback(pool: ConnectionPool, organization_id: str, limit: int | None = None) -> list[Feedback]:
    """Corrections, newest first, those taken back included."""
    with transaction(pool) as connection:
        return _feedback(
            connection, "WHERE f.organization_id = %s ORDER BY f.id DESC LIMIT %s", [organization_id, limit]
        )


def judged_proposals(pool: ConnectionPool, organization_id: str) -> list[JudgedProposal]:
    """What people last said of each proposal that the ranker had weighed, with the confidence it had; by id.

    Proposals decided by a rule or by the classifier are left out: no calibration is applied to them. So are tags
    that people added unasked: nobody adds a wrong one, so they would make every confidence look too small.
    """
    query = """
        SELECT
            v.content_id, t.normal_form, f.proposal ->> 'method', (f.proposal ->> 'confidence')::float8,
            coalesce((f.proposal -> 'effects' ->> 'calibration')::float8, 0), v.accepted
        FROM tagging.feedback_verdicts AS v
        JOIN tagging.tag_feedback AS f ON f.id = v.feedback_id
        JOIN tagging.tags AS t ON t.id = v.tag_id
        WHERE
            v.organization_id = %s AND f.kind <> 'add' AND f.proposal ->> 'method' <> 'given'
            AND NOT coalesce(f.proposal -> 'features' ?| ARRAY['classifier', 'rule'], false)
        ORDER BY f.id
    """
    with transaction(pool) as connection:
        return [
            JudgedProposal(content_id, normal_form, Method(method), confidence, shift, accepted)
            for content_id, normal_form, method, confidence, shift, accepted in connection.execute(
                query, [organization_id]
            )
        ]


def staged_proposals(pool: ConnectionPool, organization_id: str, contents: int = 2_000) -> list[JudgedProposal]:
    """Machines' proposals of the newest contents, as `judged_proposals` shows them; nobody judged these."""
    # Index: primary key of generated_tags, backwards.
    query = """
        SELECT
            g.content_id, p.proposal ->> 'normal_form', p.proposal ->> 'method',
            (p.proposal ->> 'confidence')::float8,
            coalesce((p.proposal -> 'effects' ->> 'calibration')::float8, 0), false
        FROM (
            SELECT s.content_id, s.proposals
            FROM tagging.generated_tags AS s
            WHERE s.organization_id = %s
            ORDER BY s.content_id DESC
            LIMIT %s
        ) AS g
        CROSS JOIN LATERAL jsonb_array_elements(g.proposals) AS p (proposal)
        WHERE
            p.proposal ->> 'origin' = 'machine'
            AND NOT coalesce(p.proposal -> 'features' ?| ARRAY['classifier', 'rule'], false)
    """
    with transaction(pool) as connection:
        return [
            JudgedProposal(content_id, normal_form, Method(method), confidence, shift, accepted)
            for content_id, normal_form, method, confidence, shift, accepted in connection.execute(
                query, [organization_id, contents]
            )
        ]


def violations(pool: ConnectionPool, limit: int = 20) -> list[tuple[int, int, bool, int]]:
    """Assignments that contradict people: (content, tag, whether they want it, feedback). None, ever."""
    with transaction(pool) as connection:
        return connection.execute("SELECT * FROM tagging.feedback_violations() LIMIT %s", [limit]).fetchall()


def statistics_by_tag(pool: ConnectionPool, organization_id: str, limit: int | None = None) -> list[TagStatistics]:
    """Tags that people judged, most judged first."""
    query = """
        SELECT tag_id, name, accepted, rejected, missed, reviewers, mean_confidence, precision, last_at
        FROM tagging.feedback_by_tag
        WHERE organization_id = %s
        ORDER BY accepted + rejected DESC, name
        LIMIT %s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(TagStatistics)) as cursor:
        return cursor.execute(query, [organization_id, limit]).fetchall()


def statistics_by_reviewer(pool: ConnectionPool, organization_id: str) -> list[ReviewerStatistics]:
    """Reviewers, busiest first."""
    query = """
        SELECT reviewer, accepted, rejected, added, vocabulary, undone, compared, agreement, last_at
        FROM tagging.feedback_by_reviewer
        WHERE organization_id = %s
        ORDER BY accepted + rejected + added + vocabulary DESC, reviewer
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(ReviewerStatistics)) as cursor:
        return cursor.execute(query, [organization_id]).fetchall()


def statistics_by_method(pool: ConnectionPool, organization_id: str) -> list[MethodStatistics]:
    """Generators by the number of judged proposals."""
    query = """
        SELECT method, accepted, rejected, precision, mean_confidence
        FROM tagging.feedback_by_method
        WHERE organization_id = %s
        ORDER BY accepted + rejected DESC, method
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(MethodStatistics)) as cursor:
        return cursor.execute(query, [organization_id]).fetchall()


def resolve_contents(pool: ConnectionPool, organization_id: str, references: Iterable[str]) -> dict[str, int]:
    """Ids of live contents that people name by id or `source:external_id`; unknown ones are left out."""
    asked = sorted(set(references))
    # Indexes: the primary key of contents, and the unique one on (organization_id, source, external_id).
    query = """
        SELECT asked.reference, c.id
        FROM unnest(%(references)s::text[]) AS asked (reference)
        JOIN tagging.contents AS c
            ON c.organization_id = %(organization)s AND c.source = split_part(asked.reference, ':', 1)
            AND c.external_id = substr(asked.reference, strpos(asked.reference, ':') + 1)
        WHERE c.deleted_at IS NULL AND strpos(asked.reference, ':') > 0
        UNION ALL
        SELECT c.id::text, c.id
        FROM tagging.contents AS c
        WHERE c.organization_id = %(organization)s AND c.deleted_at IS NULL AND c.id = ANY (%(ids)s::bigint[])
    """
    ids = [int(reference) for reference in asked if reference.isascii() and reference.isdigit()]
    with transaction(pool) as connection:
        parameters = {"organization": organization_id, "references": asked, "ids": ids}
        return dict(connection.execute(query, parameters).fetchall())


# --------------------------------------------------------------------------------------------------- inside


def _insert(
    connection: Connection,
    organization_id: str,
    correction: Correction,
    source: FeedbackSource,
    normaliser: Normaliser,
) -> int:
    row = connection.execute(
        """
        INSERT INTO tagging.tag_feedback (
            organization_id, kind, content_id, tag_id, tag_name, normal_form, target_name, target_normal_form,
            reviewer, note, source
        )
        VALUES (
            %(organization)s, %(kind)s, %(content)s, %(tag)s, %(name)s, %(form)s, %(target)s, %(target_form)s,
            %(reviewer)s, %(note)s, %(source)s
        )
        RETURNING id
        """,
        {
            "organization": organization_id,
            "kind": str(correction.kind),
            "content": correction.content_id,
            "tag": correction.tag_id,
            "name": normaliser.display_form(correction.tag_name) or None,
            "form": normaliser.normal_form(correction.tag_name) or None,
            "target": normaliser.display_form(correction.target_name or "") or None,
            "target_form": normaliser.normal_form(correction.target_name or "") or None,
            "reviewer": correction.reviewer,
            "note": correction.note,
            "source": str(source),
        },
    ).fetchone()
    assert row is not None  # noqa: S101 (an INSERT that did not raise returns its row)
    return row[0]


def _feedback(
    connection: Connection, condition: Any, parameters: Sequence[Any] | Mapping[str, Any]
) -> list[Feedback]:
    query = """
        SELECT
            f.id, f.kind, f.content_id, c.source || ':' || c.external_id AS external_id, f.tag_id, f.tag_name,
            f.target_name, f.reviewer, f.note, f.source, (f.proposal ->> 'confidence')::float8 AS confidence,
            f.created_at, f.undone_at, f.undone_by
        FROM tagging.tag_feedback AS f
        LEFT JOIN tagging.contents AS c ON c.id = f.content_id
    """
    with connection.cursor(row_factory=class_row(Feedback)) as cursor:
        return cursor.execute(query + condition, parameters).fetchall()


def _said(error: Any) -> str:
    return ". ".join(filter(None, (error.diag.message_primary, error.diag.message_hint))) or str(error)
