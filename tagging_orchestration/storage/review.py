"""The review queue: table `review_queue`, filled from staged proposals and assignments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.feedback.review import Doubt, RankedDoubt, rank_doubts
from tagging_orchestration.storage.connection import transaction

# Staged proposals looked at, of the newest contents; doubts weighed, the most open ones; questions kept.
CONTENTS = 50_000
WEIGHED = 6_000
KEPT = 2_000
# Contents whose likeness to others is looked up, those of the best questions.
LIKENED = 400


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a person. `evidence` is a list of {"method", "score", "detail"}, the generators' reasons."""

    content_id: int
    source: str
    external_id: str
    title: str
    body: str
    tag_id: int | None
    tag_name: str
    normal_form: str
    assigned: bool
    confidence: float
    uncertainty: float
    reach: float
    value: float
    evidence: list[dict[str, Any]]

    @property
    def content(self) -> str:
        """The content as people name it."""
        return f"{self.source}:{self.external_id}"


def refresh_queue(pool: ConnectionPool, organization_id: str, threshold: float) -> list[RankedDoubt]:
    """Compute the questions worth most and keep them; returns them, best first.

    One pass over the staged proposals of the newest contents. `threshold` is the confidence that decides where no
    classifier has one of its own for the tag.
    """
    doubts = _doubts(pool, organization_id, threshold)
    first = rank_doubts(doubts, LIKENED)
    likeness = _likeness(pool, sorted({ranked.doubt.content_id for ranked in first}))
    ranked = rank_doubts([_with_similarity(doubt, likeness.get(doubt.content_id, 0.0)) for doubt in doubts], KEPT)
    _save(pool, organization_id, ranked)
    return ranked


def questions(pool: ConnectionPool, organization_id: str, limit: int) -> list[Question]:
    """The best open questions, best first, with text and evidence."""
    # Indexes: review_queue_value, tag_feedback_content, primary keys.
    query = """
        SELECT
            q.content_id, c.source, c.external_id, c.title, c.body, tagging.current_tag(q.tag_id) AS tag_id,
            q.tag_name, q.normal_form, ct.content_id IS NOT NULL AS assigned, q.confidence, q.uncertainty, q.reach,
            q.value,
            coalesce(
                ct.evidence, tagging.staged_proposal(q.content_id, q.tag_id, q.normal_form) -> 'evidence', '[]'
            ) AS evidence
        FROM tagging.review_queue AS q
        JOIN tagging.contents AS c ON c.id = q.content_id AND c.deleted_at IS NULL
        LEFT JOIN tagging.tags AS t ON t.id = tagging.current_tag(q.tag_id)
        LEFT JOIN tagging.content_tags AS ct ON ct.content_id = q.content_id AND ct.tag_id = t.id
        WHERE
            q.organization_id = %(organization)s AND (t.id IS NULL OR t.status = 'active')
            AND ct.origin IS DISTINCT FROM 'human'
            AND NOT tagging.was_judged(q.content_id, t.id, q.normal_form)
        ORDER BY q.value DESC, q.content_id
        LIMIT %(limit)s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Question)) as cursor:
        return cursor.execute(query, {"organization": organization_id, "limit": limit}).fetchall()


def queue_size(pool: ConnectionPool, organization_id: str) -> int:
    """How many questions are kept."""
    with transaction(pool) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM tagging.review_queue WHERE organization_id = %s", [organization_id]
        ).fetchone() or (0,)
    return count


def _doubts(pool: ConnectionPool, organization_id: str, threshold: float) -> list[Doubt]:
    """The most open decisions nobody judged: machine assignments, and proposals that nearly became one."""
    query = """
        WITH proposed AS MATERIALIZED (
            SELECT
                g.content_id, p.proposal ->> 'normal_form' AS normal_form, p.proposal ->> 'name' AS name,
                (p.proposal ->> 'tag_id')::bigint AS tag_id,
                least(greatest((p.proposal ->> 'confidence')::float8, 1e-4), 1 - 1e-4) AS confidence,
                least(greatest(bound.threshold, 1e-4), 1 - 1e-4) AS threshold
            FROM (
                SELECT s.content_id, s.proposals
                FROM tagging.generated_tags AS s
                JOIN tagging.content_ledger AS l ON l.content_id = s.content_id AND l.deleted_at IS NULL
                WHERE s.organization_id = %(organization)s
                ORDER BY s.content_id DESC
                LIMIT %(contents)s
            ) AS g
            CROSS JOIN LATERAL jsonb_array_elements(g.proposals) AS p (proposal)
            CROSS JOIN LATERAL (
                SELECT coalesce((p.proposal -> 'features' ->> 'classifier_threshold')::float8, %(threshold)s)
            ) AS bound (threshold)
            WHERE p.proposal ->> 'origin' = 'machine'
        ),
        support AS (
            SELECT normal_form, count(*) AS contents FROM proposed GROUP BY normal_form
        ),
        open AS (
            SELECT p.*
            FROM proposed AS p
            ORDER BY
                abs(ln(p.confidence * (1 - p.threshold) / ((1 - p.confidence) * p.threshold))), p.content_id,
                p.normal_form
            LIMIT %(weighed)s
        ),
        named AS (
            SELECT
                o.content_id, o.normal_form, o.name, o.confidence, o.threshold, s.contents,
                tagging.current_tag(coalesce(o.tag_id, t.id, a.tag_id)) AS current_id
            FROM open AS o
            JOIN support AS s ON s.normal_form = o.normal_form
            LEFT JOIN tagging.tags AS t
                ON o.tag_id IS NULL AND t.organization_id = %(organization)s AND t.normal_form = o.normal_form
            LEFT JOIN tagging.tag_aliases AS a
                ON o.tag_id IS NULL AND a.organization_id = %(organization)s AND a.normal_form = o.normal_form
        ),
        judged AS (
            SELECT v.tag_id, count(*) AS contents
            FROM tagging.feedback_verdicts AS v
            WHERE v.organization_id = %(organization)s
            GROUP BY v.tag_id
        )
        SELECT DISTINCT ON (n.content_id, coalesce(t.normal_form, n.normal_form))
            n.content_id, coalesce(t.normal_form, n.normal_form), t.id, coalesce(t.name, n.name),
            ct.content_id IS NOT NULL, coalesce(ct.confidence, n.confidence), n.threshold,
            greatest(n.contents, coalesce(w.usage_count, 0)), coalesce(j.contents, 0)
        FROM named AS n
        LEFT JOIN tagging.tags AS t ON t.id = n.current_id
        LEFT JOIN tagging.content_tags AS ct ON ct.content_id = n.content_id AND ct.tag_id = t.id
        LEFT JOIN tagging.tag_weights AS w ON w.tag_id = t.id
        LEFT JOIN judged AS j ON j.tag_id = t.id
        WHERE
            (t.id IS NULL OR t.status = 'active') AND ct.origin IS DISTINCT FROM 'human'
            AND NOT tagging.was_judged(n.content_id, t.id, n.normal_form)
        ORDER BY n.content_id, coalesce(t.normal_form, n.normal_form), n.confidence DESC
    """
    parameters = {
        "organization": organization_id,
        "contents": CONTENTS,
        "weighed": WEIGHED,
        "threshold": threshold,
    }
    with transaction(pool) as connection:
        return [Doubt(*row) for row in connection.execute(query, parameters)]


def _likeness(pool: ConnectionPool, content_ids: Sequence[int]) -> dict[int, float]:
    """Mean similarity of each content's five nearest contents; contents without a vector are left out."""
    query = """
        SELECT c.id, greatest(avg(s.similarity), 0)
        FROM unnest(%s::bigint[]) AS c (id)
        CROSS JOIN LATERAL tagging.similar_contents(c.id, 5) AS s
        GROUP BY c.id
    """
    with transaction(pool) as connection:
        return dict(connection.execute(query, [list(content_ids)]).fetchall())


def _with_similarity(doubt: Doubt, similarity: float) -> Doubt:
    return replace(doubt, similarity=similarity) if similarity else doubt


def _save(pool: ConnectionPool, organization_id: str, ranked: Sequence[RankedDoubt]) -> None:
    with transaction(pool) as connection:
        connection.execute("DELETE FROM tagging.review_queue WHERE organization_id = %s", [organization_id])
        connection.execute(
            """
            INSERT INTO tagging.review_queue (
                content_id, normal_form, organization_id, tag_id, tag_name, assigned, confidence, uncertainty,
                reach, value
            )
            SELECT q.content_id, q.normal_form, %s, q.tag_id, q.tag_name, q.assigned, q.confidence, q.uncertainty,
                q.reach, q.uncertainty * q.reach
            FROM unnest(
                %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::boolean[], %s::real[], %s::real[],
                %s::real[]
            ) AS q (content_id, normal_form, tag_id, tag_name, assigned, confidence, uncertainty, reach)
            JOIN tagging.contents AS c ON c.id = q.content_id
            """,
            [
                organization_id,
                [item.doubt.content_id for item in ranked],
                [item.doubt.normal_form for item in ranked],
                [item.doubt.tag_id for item in ranked],
                [item.doubt.tag_name for item in ranked],
                [item.doubt.assigned for item in ranked],
                [item.doubt.confidence for item in ranked],
                [item.uncertainty for item in ranked],
                [item.reach for item in ranked],
            ],
        )
