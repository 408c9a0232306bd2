"""Figures behind the quality gates, the metrics and `tagging status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the live contents carries tags. `enough` have at least the wanted minimum."""

    contents: int
    tagged: int
    enough: int
    assignments: int

    @property
    def share(self) -> float:
        """Share of contents with at least the wanted minimum of tags; 1 when there are none."""
        return self.enough / self.contents if self.contents else 1.0


@dataclass(frozen=True, slots=True)
class VocabularyFigures:
    """Shape of the vocabulary. `created_recently` counts machine tags."""

    active: int
    used: int
    single_use: int
    created_recently: int
    orphans: int

    @property
    def single_use_share(self) -> float:
        """Share of used tags that only one content carries."""
        return self.single_use / self.used if self.used else 0.0


@dataclass(frozen=True, slots=True)
class PendingAge:
    """The oldest change that still waits, and the dead letters."""

    pending: int
    oldest: datetime | None
    failed: int


@dataclass(frozen=True, slots=True)
class BigTag:
    """A tag and how many contents carry it."""

    id: int
    name: str
    contents: int
    mean_confidence: float
    origin: str


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of `system_metrics`."""

    metric: str
    value: float
    dimensions: dict[str, Any]
    measured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """One period of content creation: contents, how many are tagged, mean confidence of their tags."""

    period: datetime
    contents: int
    tagged: int
    mean_confidence: float | None


def coverage(pool: ConnectionPool, minimum: int) -> Coverage:
    """Coverage over all live contents."""
    # Reads contents by its primary key and content_tags by its own; one pass each.
    query = """
        SELECT
            count(*) AS contents,
            count(*) FILTER (WHERE tags > 0) AS tagged,
            count(*) FILTER (WHERE tags >= %(minimum)s) AS enough,
            coalesce(sum(tags), 0)::bigint AS assignments
        FROM (
            SELECT count(t.tag_id) AS tags
            FROM tagging.contents AS c
            LEFT JOIN tagging.content_tags AS t ON t.content_id = c.id
            WHERE c.deleted_at IS NULL
            GROUP BY c.id
        ) AS per_content
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(Coverage)) as cursor:
        return _one(cursor.execute(query, {"minimum": minimum}))


def tags_per_content(pool: ConnectionPool) -> dict[int, int]:
    """Live contents by their number of machine tags."""
    query = """
        SELECT tags, count(*)
        FROM (
            SELECT count(t.tag_id) FILTER (WHERE t.origin = 'machine') AS tags
            FROM tagging.contents AS c
            LEFT JOIN tagging.content_tags AS t ON t.content_id = c.id
            WHERE c.deleted_at IS NULL
            GROUP BY c.id
        ) AS per_content
        GROUP BY tags
        ORDER BY tags
    """
    with pool.connection() as connection:
        return dict(connection.execute(query).fetchall())


def vocabulary_figures(pool: ConnectionPool, recent: timedelta = timedelta(days=1)) -> VocabularyFigures:
    """Sizes of the vocabulary; `recent` bounds the tags counted as new and the orphans left out as too young."""
    query = """
        WITH usage AS (
            SELECT tag_id, count(*) AS contents FROM tagging.content_tags GROUP BY tag_id
        )
        SELECT
            count(*) AS active,
            count(u.tag_id) AS used,
            count(*) FILTER (WHERE u.contents = 1) AS single_use,
            count(*) FILTER (
                WHERE t.created_at > now() - %(recent)s AND t.origin = 'machine'
            ) AS created_recently,
            count(*) FILTER (
                WHERE u.tag_id IS NULL AND t.origin = 'machine' AND NOT t.pinned
                AND t.created_at < now() - %(recent)s
                AND NOT EXISTS (SELECT FROM tagging.tags AS child WHERE child.parent_id = t.id)
            ) AS orphans
        FROM tagging.tags AS t
        LEFT JOIN usage AS u ON u.tag_id = t.id
        WHERE t.status = 'active'
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(VocabularyFigures)) as cursor:
        return _one(cursor.execute(query, {"recent": recent}))


def duplicate_tags(pool: ConnectionPool, limit: int = 20) -> list[list[str]]:
    """Groups of active tags whose normal forms differ in nothing but spaces, points or hyphens."""
    query = """
        SELECT array_agg(name ORDER BY name)
        FROM tagging.tags
        WHERE status = 'active'
        GROUP BY organization_id, regexp_replace(normal_form, '[\\s.\\-_/]+', '', 'g')
        HAVING count(*) > 1
        LIMIT %s
    """
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, [limit]).fetchall()


def hierarchy_cycles(pool: ConnectionPool) -> list[int]:
    """Ids of tags that are their own ancestors."""
    query = """
        WITH RECURSIVE walk AS (
            SELECT id AS start, parent_id AS at, false AS closed
            FROM tagging.tags
            WHERE parent_id IS NOT NULL
            UNION ALL
            SELECT w.start, t.parent_id, t.parent_id = w.start
            FROM walk AS w
            JOIN tagging.tags AS t ON t.id = w.at
            WHERE NOT w.closed AND t.parent_id IS NOT NULL
        ) CYCLE at SET looped USING path
        SELECT DISTINCT start FROM walk WHERE closed OR looped
    """
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query).fetchall()


def alias_loops(pool: ConnectionPool) -> list[str]:
    """Merged tags and aliases that never lead to a tag that stands by itself."""
    query = """
        WITH RECURSIVE walk AS (
            SELECT id AS start, name, merged_into_id AS at
            FROM tagging.tags
            WHERE merged_into_id IS NOT NULL
            UNION ALL
            SELECT w.start, w.name, t.merged_into_id
            FROM walk AS w
            JOIN tagging.tags AS t ON t.id = w.at
            WHERE t.merged_into_id IS NOT NULL
        ) CYCLE at SET looped USING path
        SELECT DISTINCT name FROM walk WHERE looped
    """
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query).fetchall()


def confidences(pool: ConnectionPool, since: datetime | None, until: datetime | None, bins: int) -> list[int]:
    """Histogram over [0, 1] of the confidences of machine assignments made in [since, until)."""
    query = """
        SELECT least(width_bucket(confidence, 0, 1, %(bins)s), %(bins)s) AS bin, count(*)
        FROM tagging.content_tags
        WHERE
            origin = 'machine'
            AND (%(since)s::timestamptz IS NULL OR assigned_at >= %(since)s)
            AND (%(until)s::timestamptz IS NULL OR assigned_at < %(until)s)
        GROUP BY bin
    """
    with pool.connection() as connection:
        found = dict(connection.execute(query, {"bins": bins, "since": since, "until": until}).fetchall())
    return [found.get(bin_number, 0) for bin_number in range(1, bins + 1)]


def pending_age(pool: ConnectionPool) -> PendingAge:
    """Oldest stale text, and the number of dead letters; both by partial indexes of the ledger."""
    query = """
        SELECT
            (SELECT count(*) FROM tagging.content_ledger WHERE stale AND failed_version_id IS NULL) AS pending,
            (
                SELECT min(changed_at) FROM tagging.content_ledger WHERE stale AND failed_version_id IS NULL
            ) AS oldest,
            (SELECT count(*) FROM tagging.content_ledger WHERE failed_version_id IS NOT NULL) AS failed
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(PendingAge)) as cursor:
        return _one(cursor.execute(query))


def contents_without_ledger(pool: ConnectionPool, limit: int = 20) -> list[int]:
    """Contents that the capture triggers never saw (dropped or disabled triggers)."""
    query = """
        SELECT c.id
        FROM tagging.contents AS c
        LEFT JOIN tagging.content_ledger AS l ON l.content_id = c.id
        WHERE l.content_id IS NULL
        LIMIT %s
    """
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, [limit]).fetchall()


def biggest_tags(pool: ConnectionPool, limit: int = 10) -> list[BigTag]:
    """Tags by the number of live contents that carry them."""
    query = """
        SELECT
            t.id, t.name, count(*) AS contents, avg(ct.confidence)::float8 AS mean_confidence, t.origin
        FROM tagging.content_tags AS ct
        JOIN tagging.tags AS t ON t.id = ct.tag_id
        GROUP BY t.id
        ORDER BY contents DESC, t.name
        LIMIT %s
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(BigTag)) as cursor:
        return cursor.execute(query, [limit]).fetchall()


def coverage_over_time(pool: ConnectionPool, limit: int = 60) -> list[TimeBucket]:
    """The latest months of content creation with their coverage and mean confidence."""
    query = """
        SELECT
            date_trunc('month', c.created_at) AS period,
            count(DISTINCT c.id) AS contents,
            count(DISTINCT t.content_id) AS tagged,
            avg(t.confidence)::float8 AS mean_confidence
        FROM tagging.contents AS c
        LEFT JOIN tagging.content_tags AS t ON t.content_id = c.id
        WHERE c.deleted_at IS NULL
        GROUP BY period
        ORDER BY period DESC
        LIMIT %s
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(TimeBucket)) as cursor:
        return cursor.execute(query, [limit]).fetchall()[::-1]


def vocabulary_growth(pool: ConnectionPool) -> list[tuple[datetime, int]]:
    """Cumulated number of tags ever created, by the hour they were created in (at most the last 500 hours)."""
    query = """
        SELECT hour, sum(created) OVER (ORDER BY hour)::bigint
        FROM (
            SELECT date_trunc('hour', created_at) AS hour, count(*) AS created FROM tagging.tags GROUP BY hour
        ) AS per_hour
        ORDER BY hour DESC
        LIMIT 500
    """
    with pool.connection() as connection:
        return connection.execute(query).fetchall()[::-1]


def event_counts(pool: ConnectionPool) -> dict[str, int]:
    """Tag events by type."""
    query = "SELECT event_type, count(*) FROM tagging.tag_events GROUP BY event_type ORDER BY event_type"
    with pool.connection() as connection:
        return dict(connection.execute(query).fetchall())


def replay_differences(pool: ConnectionPool, limit: int = 20) -> list[str]:
    """Where the state differs from a replay of all events from nothing; empty when they agree."""
    query = "SELECT to_jsonb(d)::text FROM tagging.replay_differences() AS d LIMIT %s"
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, [limit]).fetchall()


def staged_faults(pool: ConnectionPool, limit: int = 20) -> list[tuple[int, str]]:
    """Staged proposals that are not yet published and break a blocking rule, as (content id, fault)."""
    # Pending rows come from the partial index content_ledger_stale; the join is by primary key.
    query = """
        SELECT g.content_id, fault
        FROM tagging.content_ledger AS l
        JOIN tagging.generated_tags AS g ON g.content_id = l.content_id AND g.input_hash = l.input_hash
        CROSS JOIN LATERAL jsonb_array_elements(g.proposals) AS p
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN (p ->> 'confidence') IS NULL
                        OR (p ->> 'confidence')::float8 NOT BETWEEN 0 AND 1 THEN 'confidence outside 0..1'
                    WHEN coalesce(p ->> 'name', '') = '' THEN 'no name'
                    WHEN coalesce(jsonb_array_length(p -> 'evidence'), 0) = 0 THEN 'no evidence'
                END AS fault
        ) AS f
        WHERE l.stale AND fault IS NOT NULL
        LIMIT %s
    """
    with pool.connection() as connection:
        return connection.execute(query, [limit]).fetchall()


def save_metrics(pool: ConnectionPool, metrics: Sequence[Metric], run_id: str | None) -> None:
    """Append values to `system_metrics`, all measured now."""
    query = """
        INSERT INTO tagging.system_metrics (measured_at, metric, value, dimensions, run_id)
        VALUES (now(), %s, %s, %s, %s)
    """
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(query, [(m.metric, m.value, Jsonb(m.dimensions), run_id) for m in metrics])


def metric_history(pool: ConnectionPool, metric: str, limit: int = 500) -> list[Metric]:
    """The latest values of one metric, oldest first."""
    query = """
        SELECT metric, value, dimensions, measured_at
        FROM tagging.system_metrics
        WHERE metric = %s
        ORDER BY measured_at DESC
        LIMIT %s
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(Metric)) as cursor:
        return cursor.execute(query, [metric, limit]).fetchall()[::-1]


def log_maintenance(
    connection: Connection[Any], action: str, rows: int, actor: str, detail: dict[str, Any], run_id: str | None
) -> None:
    """Append one line to `maintenance_logs`."""
    connection.execute(
        """
        INSERT INTO tagging.maintenance_logs (action, rows_affected, actor, detail, run_id)
        VALUES (%s, %s, %s, %s, %s)
        """,
        [action, rows, actor, Jsonb(detail), run_id],
    )


def _one(cursor: Any) -> Any:
    (row,) = cursor.fetchall()
    return row
