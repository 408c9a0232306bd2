"""What the quality gates of the business ask the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

RECENT_DAYS = 30
# Columns of insights and recommendations that are keys, and no part of what people read.
ROW_KEYS = ("organization_id", "rule_id")


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """How often a metric's detectors raised an alarm; an alarm that lasts for days counts once."""

    metric_name: str
    series: int
    alarms: int
    alarms_per_30_days: float
    budget: float


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last business day that a source of facts has, and how many days ago that is."""

    source: str
    last_day: date
    days_ago: int


def last_days(pool: ConnectionPool, organization: str) -> list[LastDay]:
    """The last day of orders, tickets, reviews, visits and stock, where there are any.

    Served by orders_ordered_at, support_tickets_created_at, reviews_created_at, inventory_day and the primary key
    of sessions.
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(LastDay)) as cursor:
        return cursor.execute(
            """
            WITH latest (source, day) AS (
                SELECT 'orders', analytics.business_day(max(o.ordered_at), %(organization)s)
                FROM raw.orders AS o WHERE o.organization_id = %(organization)s
                UNION ALL
                SELECT 'support_tickets', analytics.business_day(max(t.created_at), %(organization)s)
                FROM raw.support_tickets AS t WHERE t.organization_id = %(organization)s
                UNION ALL
                SELECT 'reviews', analytics.business_day(max(r.created_at), %(organization)s)
                FROM raw.reviews AS r WHERE r.organization_id = %(organization)s
                UNION ALL
                SELECT 'sessions', analytics.business_day(max(s.started_at), %(organization)s)
                FROM raw.sessions AS s WHERE s.organization_id = %(organization)s
                UNION ALL
                SELECT 'inventory', max(i.day)
                FROM raw.inventory AS i WHERE i.organization_id = %(organization)s
            )
            SELECT
                l.source, l.day AS last_day,
                analytics.business_day(now(), %(organization)s) - l.day AS days_ago
            FROM latest AS l
            WHERE l.day IS NOT NULL
            ORDER BY l.source
            """,
            {"organization": organization},
        ).fetchall()


def metrics_without_thresholds(pool: ConnectionPool) -> list[str]:
    """Names of metrics that have no row in metric_thresholds."""
    with pool.connection() as connection:
        rows = connection.execute(
            """
            SELECT DISTINCT c.metric_name
            FROM analytics.metrics_current AS c
            WHERE NOT EXISTS (
                SELECT FROM analytics.metric_thresholds AS t WHERE t.metric_name = c.metric_name
            )
            ORDER BY c.metric_name
            """
        ).fetchall()
    return [name for (name,) in rows]


def alarm_rates(pool: ConnectionPool) -> list[AlarmRate]:
    """Alarms of each metric over its whole history, all series of it together, loudest first.

    Reads anomaly_scores once in the order of its primary key.
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(AlarmRate)) as cursor:
        return cursor.execute(
            """
            WITH days AS (
                SELECT
                    s.metric_name, s.dimension,
                    s.is_anomaly AND NOT coalesce(
                        lag(s.is_anomaly) OVER (
                            PARTITION BY s.organization_id, s.metric_name, s.dimension ORDER BY s.metric_date
                        ), false
                    ) AS begins
                FROM analytics.anomaly_scores AS s
            )
            SELECT
                d.metric_name, count(DISTINCT d.dimension)::integer AS series,
                count(*) FILTER (WHERE d.begins)::integer AS alarms,
                (30.0 * count(*) FILTER (WHERE d.begins) / count(*))::double precision AS alarms_per_30_days,
                t.false_alarms_per_30_days::double precision AS budget
            FROM days AS d
            JOIN analytics.metric_thresholds AS t USING (metric_name)
            GROUP BY d.metric_name, t.false_alarms_per_30_days
            ORDER BY alarms_per_30_days DESC, d.metric_name
            """
        ).fetchall()


def missing_days(pool: ConnectionPool, limit: int) -> list[tuple[str, str, date]]:
    """Metric, dimension and day of the days missing in the last 30. Served by anomaly_scores_anomalies."""
    with pool.connection() as connection:
        return connection.execute(
            """
            SELECT s.metric_name, s.dimension, s.metric_date
            FROM analytics.anomaly_scores AS s
            WHERE
                s.is_anomaly AND s.kind = 'missing'
                AND s.metric_date > analytics.as_of_day(s.organization_id) - %s::integer
            ORDER BY s.metric_date DESC, s.metric_name, s.dimension
            LIMIT %s
            """,
            [RECENT_DAYS, limit],
        ).fetchall()


def alert_documents(pool: ConnectionPool) -> Iterator[tuple[UUID, dict[str, Any], dict[str, Any]]]:
    """Id, frozen context and evidence of the alerts that are open, or began in the last 30 days of the business.

    Served by dashboard_alerts_metric_date and dashboard_alerts_one_active.
    """
    with pool.connection() as connection, connection.cursor("alert_documents") as cursor:
        cursor.execute(
            """
            SELECT a.id, a.business_context, a.evidence_refs
            FROM analytics.dashboard_alerts AS a
            WHERE a.is_active OR a.metric_date > analytics.as_of_day(a.organization_id) - %s::integer
            """,
            [RECENT_DAYS],
        )
        yield from cursor


def business_contexts(pool: ConnectionPool) -> Iterator[tuple[str, str, date, dict[str, Any]]]:
    """Metric, dimension, day and context of every row of the model `business_context`."""
    with pool.connection() as connection, connection.cursor("business_contexts") as cursor:
        cursor.execute(
            """
            SELECT c.metric_name, c.dimension, c.metric_date, c.business_context
            FROM analytics.business_context AS c
            """
        )
        yield from cursor


def insight_documents(pool: ConnectionPool, organization: str) -> list[tuple[str, dict[str, Any]]]:
    """Each row of the model `business_insights` in each language: (locale, row)."""
    with pool.connection() as connection:
        return connection.execute(
            """
            SELECT l.locale, to_jsonb(i) - %(left_out)s::text[] || CASE WHEN l.locale = 'en' THEN '{}' ELSE
                jsonb_build_object(
                    'title', i.title_zh, 'description', i.description_zh, 'action_items', i.action_items_zh
                )
            END
            FROM analytics.business_insights AS i
            CROSS JOIN (VALUES ('en'), ('zh-Hant')) AS l (locale)
            WHERE i.organization_id = %(organization)s
            """,
            {
                "organization": organization,
                "left_out": [*ROW_KEYS, "insight_id", "title_zh", "description_zh", "action_items_zh"],
            },
        ).fetchall()


def recommendation_documents(pool: ConnectionPool, organization: str) -> list[tuple[str, dict[str, Any]]]:
    """Each row of the model `strategic_recommendations` in each language: (locale, row)."""
    with pool.connection() as connection:
        return connection.execute(
            """
            SELECT l.locale, to_jsonb(r) - %(left_out)s::text[] || CASE WHEN l.locale = 'en' THEN '{}' ELSE
                jsonb_build_object(
                    'title', r.title_zh,
                    'description', r.description_zh,
                    'estimated_timeline', r.estimated_timeline_zh
                )
            END
            FROM analytics.strategic_recommendations AS r
            CROSS JOIN (VALUES ('en'), ('zh-Hant')) AS l (locale)
            WHERE r.organization_id = %(organization)s
            """,
            {
                "organization": organization,
                "left_out": [
                    *ROW_KEYS,
                    "recommendation_id",
                    "title_zh",
                    "description_zh",
                    "estimated_timeline_zh",
                ],
            },
        ).fetchall()


def broken_evidence(pool: ConnectionPool, limit: int) -> list[tuple[UUID, str, str]]:
    """Alert, kind and reference of evidence that names a tag or content which does not exist.

    Looks at the alerts of the last 30 days of the business by dashboard_alerts_metric_date, then by primary keys.
    """
    with pool.connection() as connection:
        return connection.execute(
            """
            WITH recent AS (
                SELECT a.id, a.evidence_refs
                FROM analytics.dashboard_alerts AS a
                WHERE a.is_active OR a.metric_date > analytics.as_of_day(a.organization_id) - %(days)s::integer
            ),
            tags AS (
                SELECT r.id, t.tag
                FROM recent AS r
                CROSS JOIN LATERAL jsonb_array_elements(coalesce(r.evidence_refs -> 'top_tags', '[]')) AS t (tag)
            )
            SELECT t.id, 'tag', t.tag ->> 'tag_id'
            FROM tags AS t
            WHERE NOT EXISTS (SELECT FROM tagging.tags AS g WHERE g.id = (t.tag ->> 'tag_id')::bigint)
            UNION ALL
            SELECT t.id, 'content', s.content_id
            FROM tags AS t
            CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(t.tag -> 'sample_ids', '[]')) AS s (content_id)
            WHERE NOT EXISTS (SELECT FROM tagging.contents AS c WHERE c.id = s.content_id::bigint)
            LIMIT %(limit)s
            """,
            {"days": RECENT_DAYS, "limit": limit},
        ).fetchall()
