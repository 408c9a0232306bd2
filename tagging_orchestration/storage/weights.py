"""Projections of use: `tag_weights` and `tag_relationships`, and the weights of assignments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.weights import TagUsage, feedback_factor, tag_factor
from tagging_orchestration.storage.connection import transaction

# Assignments looked at in one transaction while weights are rewritten.
_BATCH = 20_000
# A change is stamped when it is made and seen when it is committed.
_LOOK_BACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class WeightReport:
    """What a recomputation did."""

    tags: int
    assignments_changed: int


@dataclass(frozen=True, slots=True)
class Relationship:
    """Two tags that meet in contents; `npmi` is the normalised pointwise mutual information, in [-1, 1]."""

    tag_id: int
    tag: str
    related_tag_id: int
    related: str
    co_occurrences: int
    correlation: float
    npmi: float


def recompute_weights(
    pool: ConnectionPool, settings: VocabularySettings, *, now: datetime, context: ChangeContext
) -> WeightReport:
    """Bring `tag_weights` up to date and rewrite the assignments whose weight moved by more than the tolerance.

    Assignments that somebody else is writing are left for the next time. One pass over assignments and contents.
    """
    with transaction(pool, context) as connection:
        usage = _read_usage(connection, now)
        factors = {item.tag_id: tag_factor(item, newest, settings) for item, newest in usage}
        _write_tag_weights(connection, [item for item, _ in usage], factors, now)
    changed = 0
    for tag_ids in _batches([item for item, _ in usage]):
        with transaction(pool, context) as connection:
            changed += _rewrite(connection, tag_ids, settings.weight_tolerance)
    return WeightReport(len(usage), changed)


def recompute_relationships(pool: ConnectionPool, *, everything: bool = True) -> int:
    """Bring `tag_relationships` up to date; returns the number of pairs, each counted once.

    `everything=False` recounts only the tags whose assignments changed since the last time; the other pairs keep
    their counts, which are exact, and their npmi, which drifts with the number of contents.
    """
    with transaction(pool) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('tagging.tag_relationships', 0))")
        tag_ids = None if everything else _changed_tags(connection)
        connection.execute(_COUNT_PAIRS, {"tag_ids": tag_ids})
        (pairs,) = connection.execute("SELECT count(*) / 2 FROM tagging.tag_relationships").fetchone() or (0,)
    return pairs


def strongest_relationships(pool: ConnectionPool, limit: int, least: int = 3) -> list[Relationship]:
    """Pairs that belong together most (npmi) among those that meet in at least `least` contents."""
    query = """
        SELECT
            r.tag_id, t.name AS tag, r.related_tag_id, o.name AS related, r.co_occurrences, r.correlation, r.npmi
        FROM tagging.tag_relationships AS r
        JOIN tagging.tags AS t ON t.id = r.tag_id
        JOIN tagging.tags AS o ON o.id = r.related_tag_id
        WHERE r.tag_id < r.related_tag_id AND r.co_occurrences >= %s
        ORDER BY r.npmi DESC, r.co_occurrences DESC, r.tag_id, r.related_tag_id
        LIMIT %s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Relationship)) as cursor:
        return cursor.execute(query, [least, limit]).fetchall()


def unsound_weights(pool: ConnectionPool) -> int:
    """Weights that are no finite number, or negative, in assignments and tags."""
    query = """
        SELECT
            (SELECT count(*) FROM tagging.content_tags WHERE NOT weight BETWEEN 0 AND 1e9)
            + (
                SELECT count(*)
                FROM tagging.tag_weights
                WHERE NOT (weight BETWEEN 0 AND 1e9 AND factor BETWEEN 0 AND 1e9)
            )
    """
    with transaction(pool) as connection:
        (unsound,) = connection.execute(query).fetchone() or (0,)
    return unsound


def _read_usage(connection: Connection, now: datetime) -> list[tuple[TagUsage, datetime]]:
    """Use of each active tag, with the time of its organisation's newest content."""
    query = """
        WITH used AS (
            SELECT
                ct.tag_id, count(*) AS usage_count, max(least(c.created_at, %(now)s)) AS last_used_at,
                avg(ct.confidence)::float8 AS mean_confidence
            FROM tagging.content_tags AS ct
            JOIN tagging.contents AS c ON c.id = ct.content_id
            GROUP BY ct.tag_id
        ),
        newest AS (
            SELECT organization_id, max(least(created_at, %(now)s)) AS created_at
            FROM tagging.contents
            WHERE deleted_at IS NULL
            GROUP BY organization_id
        ),
        said AS (
            SELECT
                v.tag_id, count(*) FILTER (WHERE v.accepted) AS accepted,
                count(*) FILTER (WHERE NOT v.accepted) AS rejected
            FROM tagging.feedback_verdicts AS v
            GROUP BY v.tag_id
        )
        SELECT
            t.id, coalesce(u.usage_count, 0), u.last_used_at, coalesce(u.mean_confidence, 0),
            coalesce(s.accepted, 0), coalesce(s.rejected, 0), coalesce(n.created_at, %(now)s)
        FROM tagging.tags AS t
        LEFT JOIN used AS u ON u.tag_id = t.id
        LEFT JOIN newest AS n ON n.organization_id = t.organization_id
        LEFT JOIN said AS s ON s.tag_id = t.id
        WHERE t.status = 'active'
        ORDER BY t.id
    """
    return [
        (TagUsage(tag_id, usage_count, last_used_at, confidence, feedback_factor(accepted, rejected)), newest)
        for tag_id, usage_count, last_used_at, confidence, accepted, rejected, newest in connection.execute(
            query, {"now": now}
        )
    ]


def _write_tag_weights(
    connection: Connection, usage: Sequence[TagUsage], factors: dict[int, float], now: datetime
) -> None:
    connection.execute(
        """
        DELETE FROM tagging.tag_weights AS w
        USING tagging.tags AS t
        WHERE t.id = w.tag_id AND t.status <> 'active'
        """
    )
    connection.execute(
        """
        INSERT INTO tagging.tag_weights AS known
            (tag_id, organization_id, usage_count, last_used_at, factor, weight, computed_at)
        SELECT t.id, t.organization_id, u.usage_count, u.last_used_at, u.factor, u.weight, %s
        FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::float8[], %s::float8[])
            AS u (tag_id, usage_count, last_used_at, factor, weight)
        JOIN tagging.tags AS t ON t.id = u.tag_id
        ORDER BY t.id
        ON CONFLICT (tag_id) DO UPDATE SET
            usage_count = excluded.usage_count,
            last_used_at = excluded.last_used_at,
            factor = excluded.factor,
            weight = excluded.weight,
            computed_at = excluded.computed_at
        WHERE
            (known.usage_count, known.last_used_at, known.factor, known.weight)
            IS DISTINCT FROM (excluded.usage_count, excluded.last_used_at, excluded.factor, excluded.weight)
        """,
        [
            now,
            [item.tag_id for item in usage],
            [item.usage_count for item in usage],
            [item.last_used_at for item in usage],
            [factors[item.tag_id] for item in usage],
            [factors[item.tag_id] * item.mean_confidence for item in usage],
        ],
    )


def _batches(usage: Sequence[TagUsage]) -> Iterator[list[int]]:
    """Used tags in groups with some `_BATCH` assignments."""
    batch: list[int] = []
    assignments = 0
    for item in usage:
        if item.usage_count:
            batch.append(item.tag_id)
            assignments += item.usage_count
        if assignments >= _BATCH:
            yield batch
            batch, assignments = [], 0
    if batch:
        yield batch


def _rewrite(connection: Connection, tag_ids: Sequence[int], tolerance: float) -> int:
    # Index: content_tags_tag. Waiting for no one, this deadlocks with no one who publishes.
    return connection.execute(
        """
        WITH moved AS (
            SELECT ct.content_id, ct.tag_id, ct.confidence * w.factor AS weight
            FROM tagging.content_tags AS ct
            JOIN tagging.tag_weights AS w ON w.tag_id = ct.tag_id
            WHERE
                ct.tag_id = ANY (%(tag_ids)s::bigint[])
                AND abs(ct.confidence * w.factor - ct.weight) > %(tolerance)s * greatest(ct.weight, 1e-6)
            FOR NO KEY UPDATE OF ct SKIP LOCKED
        )
        UPDATE tagging.content_tags AS ct
        SET weight = m.weight
        FROM moved AS m
        WHERE ct.content_id = m.content_id AND ct.tag_id = m.tag_id
        """,
        {"tag_ids": list(tag_ids), "tolerance": tolerance},
    ).rowcount


def _changed_tags(connection: Connection) -> list[int] | None:
    """Tags whose assignments changed since the pairs were last counted; None before the first time."""
    row = connection.execute("SELECT max(computed_at) FROM tagging.tag_relationships").fetchone()
    if row is None or row[0] is None:
        return None
    # Index: tag_events_occurred_at, in the partitions since then.
    changed = connection.execute(
        """
        SELECT DISTINCT e.tag_id
        FROM tagging.tag_events AS e
        WHERE
            e.occurred_at >= %s AND e.content_id IS NOT NULL AND e.tag_id IS NOT NULL
            AND (e.before IS NULL OR e.after IS NULL)
        """,
        [row[0] - _LOOK_BACK],
    )
    return [tag_id for (tag_id,) in changed]


# Counts pairs of the asked tags (all when NULL) with each other and with the rest, both ways round. npmi is
# ln(p(a,b) / (p(a) p(b))) / -ln(p(a,b)) over the organisation's tagged contents (Bouma 2009); two tags that are on
# every content have 1.
_COUNT_PAIRS = """
    WITH usage AS MATERIALIZED (
        SELECT tag_id, organization_id, count(*)::float8 AS contents
        FROM tagging.content_tags
        GROUP BY tag_id, organization_id
    ),
    tagged AS MATERIALIZED (
        SELECT organization_id, count(DISTINCT content_id)::float8 AS contents
        FROM tagging.content_tags
        GROUP BY organization_id
    ),
    counted AS MATERIALIZED (
        SELECT own.tag_id, other.tag_id AS related_tag_id, count(*) AS co_occurrences
        FROM tagging.content_tags AS own
        JOIN tagging.content_tags AS other ON other.content_id = own.content_id AND other.tag_id <> own.tag_id
        WHERE
            %(tag_ids)s::bigint[] IS NULL
            OR own.tag_id = ANY (%(tag_ids)s::bigint[])
            OR other.tag_id = ANY (%(tag_ids)s::bigint[])
        GROUP BY own.tag_id, other.tag_id
    ),
    gone AS (
        DELETE FROM tagging.tag_relationships AS r
        WHERE
            (
                %(tag_ids)s::bigint[] IS NULL
                OR r.tag_id = ANY (%(tag_ids)s::bigint[])
                OR r.related_tag_id = ANY (%(tag_ids)s::bigint[])
            )
            AND NOT EXISTS (
                SELECT FROM counted AS c WHERE c.tag_id = r.tag_id AND c.related_tag_id = r.related_tag_id
            )
    )
    INSERT INTO tagging.tag_relationships
        (tag_id, related_tag_id, organization_id, co_occurrences, correlation, npmi, computed_at)
    SELECT
        c.tag_id, c.related_tag_id, a.organization_id, c.co_occurrences, c.co_occurrences / b.contents,
        CASE
            WHEN c.co_occurrences >= n.contents THEN 1
            ELSE ln(c.co_occurrences * n.contents / (a.contents * b.contents)) / -ln(c.co_occurrences / n.contents)
        END,
        clock_timestamp()
    FROM counted AS c
    JOIN usage AS a ON a.tag_id = c.tag_id
    JOIN usage AS b ON b.tag_id = c.related_tag_id
    JOIN tagged AS n ON n.organization_id = a.organization_id
    ON CONFLICT (tag_id, related_tag_id) DO UPDATE SET
        co_occurrences = excluded.co_occurrences,
        correlation = excluded.correlation,
        npmi = excluded.npmi,
        computed_at = excluded.computed_at
"""
