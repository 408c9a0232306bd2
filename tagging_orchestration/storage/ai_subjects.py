"""The facts of what is to be enhanced, read from the base; nothing here is written but the marks on alerts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.report import Phrase, SampleText, build_report
from tagging_orchestration.core.enhancement.subjects import (
    ABOUT_AI,
    AlertSubject,
    BusinessFacts,
    EarlierAlert,
    InsightSubject,
    MetricNames,
    Point,
    RecommendationItem,
    RecommendationsSubject,
    RelatedAlert,
)
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.report import SAMPLE_CHARACTERS, read_facts

# A week to judge, four weeks to judge it by.
TREND_DAYS = 35
PATTERN_DAYS = 365
SAMPLES_A_SUBJECT = 12


def read_business(pool: ConnectionPool, organization: str) -> BusinessFacts:
    """Whose facts they are, and what people wrote about the business."""
    with transaction(pool) as connection:
        found = _Reader(connection, organization).rows(
            """
            SELECT b.timezone, b.currency, b.locale, b.profile
            FROM analytics.business_profile AS b
            WHERE b.organization_id = %(organization)s
            """
        )
    if not found:
        return BusinessFacts(organization, "en", "UTC", "USD")
    row = found[0]
    return BusinessFacts(organization, row["locale"], row["timezone"], row["currency"], row["profile"])


def read_as_of(pool: ConnectionPool, organization: str) -> date | None:
    """The business's last complete day with facts, if it has one."""
    with transaction(pool) as connection:
        row = connection.execute("SELECT analytics.as_of_day(%s)", [organization]).fetchone()
    return row[0] if row else None


def read_alerts(
    pool: ConnectionPool,
    organization: str,
    *,
    ids: Sequence[UUID] | None = None,
    critical_only: bool = False,
) -> list[AlertSubject]:
    """The alerts of these ids, else all open ones, critical and urgent ones first. Those about the AI itself come
    only when they are named."""
    with transaction(pool) as connection:
        return _Reader(connection, organization).alerts(ids, critical_only)


def read_insights(
    pool: ConnectionPool, organization: str, ids: Sequence[str] | None = None
) -> list[InsightSubject]:
    """The insights of these ids, else all present ones, weightiest first; none before the first build of dbt."""
    with transaction(pool) as connection:
        return _Reader(connection, organization).insights(ids)


def read_recommendations(pool: ConnectionPool, organization: str) -> RecommendationsSubject:
    """The present recommendations, most urgent first, with the state of the business; none before the first build
    of dbt."""
    report = build_report(read_facts(pool, organization))
    with transaction(pool) as connection:
        return RecommendationsSubject(_Reader(connection, organization).recommendations(), report)


def mark_alert(
    pool: ConnectionPool, alert_id: UUID | str, confidence: float | None, generated_at: datetime, provider: str
) -> None:
    """Mark an alert as looked at by AI. The analysis itself is in `ai.ai_enhancements`."""
    with transaction(pool) as connection:
        connection.execute(
            """
            UPDATE analytics.dashboard_alerts
            SET ai_confidence = %s, ai_generated_at = %s, ai_provider = %s
            WHERE id = %s
            """,
            [confidence, generated_at, provider, alert_id],
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one organisation's subjects on one connection."""

    connection: Connection
    organization: str

    def rows(self, query: str, **values: object) -> list[DictRow]:
        """The rows of a query; %(organization)s is always known."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query.encode(), {"organization": self.organization, **values})
            return cursor.fetchall()

    def is_built(self, *relations: str) -> bool:
        """Whether dbt has made these relations."""
        (found,) = self.rows(
            """
            SELECT bool_and(to_regclass('analytics.' || name) IS NOT NULL) AS built
            FROM unnest(%(names)s::text[]) AS r (name)
            """,
            names=list(relations),
        )
        return found["built"]

    def alerts(self, ids: Sequence[UUID] | None, critical_only: bool) -> list[AlertSubject]:
        # Indexes: the primary key, dashboard_alerts_one_active.
        found = self.rows(
            """
            SELECT
                a.id::text AS id, a.alert_type, coalesce(a.alert_subtype, '') AS alert_subtype, a.severity,
                a.metric_name, t.display_name, t.display_name_zh, t.category, t.unit, t.is_higher_better,
                a.dimension, a.dimension_label, a.direction, a.title, a.message, a.texts,
                a.current_value::double precision AS current_value,
                a.threshold_value::double precision AS threshold_value, a.metric_date, a.last_metric_date,
                a.business_context, a.evidence_refs, a.incident_id
            FROM analytics.dashboard_alerts AS a
            JOIN analytics.metric_thresholds AS t ON t.metric_name = a.metric_name
            WHERE
                a.organization_id = %(organization)s
                AND CASE
                    WHEN %(ids)s::uuid[] IS NULL THEN
                        a.state IN ('new', 'active')
                        AND NOT starts_with(coalesce(a.alert_subtype, ''), %(about_ai)s)
                    ELSE a.id = ANY (%(ids)s::uuid[])
                END
                AND (a.severity = 'critical' OR NOT %(critical_only)s)
            ORDER BY
                array_position(ARRAY['critical', 'warning', 'info'], a.severity::text),
                array_position(ARRAY['urgent', 'high', 'medium', 'low'], a.priority::text),
                a.metric_date DESC, a.id
            """,
            ids=None if ids is None else list(ids),
            about_ai=ABOUT_AI,
            critical_only=critical_only,
        )
        samples = self.samples(row["evidence_refs"].get("top_tags") for row in found)
        trends = self.trends([(row["metric_name"], row["dimension"], row["last_metric_date"]) for row in found])
        earlier = self.earlier([row["id"] for row in found])
        related = self.related([row["incident_id"] for row in found if row["incident_id"]])
        return [
            AlertSubject(
                id=row["id"],
                alert_type=row["alert_type"],
                alert_subtype=row["alert_subtype"],
                severity=row["severity"],
                metric=_metric(row),
                dimension=row["dimension"],
                dimension_label=row["dimension_label"],
                direction=row["direction"],
                title=_texts(row, "title"),
                message=_texts(row, "message"),
                current_value=row["current_value"],
                threshold_value=row["threshold_value"],
                metric_date=row["metric_date"],
                last_metric_date=row["last_metric_date"],
                business_context=row["business_context"],
                evidence=row["evidence_refs"],
                samples=_of_tags(samples, row["evidence_refs"].get("top_tags")),
                trend=trends.get((row["metric_name"], row["dimension"], row["last_metric_date"]), ()),
                earlier=tuple(earlier.get(row["id"], ())),
                related=tuple(other for other in related.get(row["incident_id"], ()) if other.id != row["id"]),
            )
            for row in found
        ]

    def samples(self, tags: Iterable[Sequence[dict[str, Any]] | None]) -> dict[int, SampleText]:
        """The contents that tags of evidence name."""
        wanted = {number for some in tags for tag in some or () for number in tag.get("sample_ids") or ()}
        # Index: the primary key.
        found = self.rows(
            """
            SELECT
                c.id AS content_id, c.source, c.external_id, c.content_type, c.title,
                left(c.body, %(characters)s) AS text,
                analytics.business_day(c.created_at, c.organization_id) AS day
            FROM tagging.contents AS c
            WHERE c.id = ANY (%(ids)s::bigint[]) AND c.organization_id = %(organization)s AND c.deleted_at IS NULL
            """,
            ids=sorted(wanted),
            characters=SAMPLE_CHARACTERS,
        )
        return {row["content_id"]: SampleText(**row) for row in found}

    def trends(self, wanted: Sequence[tuple[str, str, date]]) -> dict[tuple[str, str, date], tuple[Point, ...]]:
        """The values of metrics on the days that end with a day."""
        if not wanted or not self.is_built("fct_business_metrics_daily"):
            return {}
        # Index: the unique one on (organization_id, metric_name, dimension, metric_date).
        found = self.rows(
            """
            SELECT
                w.metric_name, w.dimension, w.last_day, f.metric_date, f.current_value::double precision AS value
            FROM (
                SELECT DISTINCT * FROM unnest(%(names)s::text[], %(dimensions)s::text[], %(days)s::date[])
            ) AS w (metric_name, dimension, last_day)
            JOIN analytics.fct_business_metrics_daily AS f
                ON f.organization_id = %(organization)s AND f.metric_name = w.metric_name
                AND f.dimension = w.dimension AND f.metric_date BETWEEN w.last_day - %(days_before)s AND w.last_day
            WHERE f.current_value IS NOT NULL
            ORDER BY f.metric_date
            """,
            names=[name for name, _, _ in wanted],
            dimensions=[dimension for _, dimension, _ in wanted],
            days=[day for _, _, day in wanted],
            days_before=TREND_DAYS - 1,
        )
        made: dict[tuple[str, str, date], tuple[Point, ...]] = {}
        for row in found:
            key = (row["metric_name"], row["dimension"], row["last_day"])
            made[key] = (*made.get(key, ()), Point(row["metric_date"], row["value"]))
        return made

    def earlier(self, ids: Sequence[str]) -> dict[str, list[EarlierAlert]]:
        """Earlier alerts of the same metric of the same part of the business, by alert, latest first."""
        # Index: dashboard_alerts_metric_date.
        found = self.rows(
            """
            SELECT
                a.id::text AS id, e.metric_date AS first, e.last_metric_date AS last, e.severity,
                coalesce(e.alert_subtype, '') AS alert_subtype
            FROM analytics.dashboard_alerts AS a
            JOIN analytics.dashboard_alerts AS e
                ON e.organization_id = a.organization_id AND e.metric_name = a.metric_name
                AND e.dimension = a.dimension AND e.last_metric_date < a.metric_date
                AND e.metric_date >= a.metric_date - %(days)s AND e.resolution IS DISTINCT FROM 'corrected'
            WHERE a.id = ANY (%(ids)s::uuid[])
            ORDER BY e.last_metric_date DESC, e.id
            """,
            ids=list(ids),
            days=PATTERN_DAYS,
        )
        made: dict[str, list[EarlierAlert]] = {}
        for row in found:
            made.setdefault(row.pop("id"), []).append(EarlierAlert(**row))
        return made

    def related(self, incidents: Sequence[UUID]) -> dict[UUID, list[RelatedAlert]]:
        """The open alerts of incidents, worst first."""
        # Index: dashboard_alerts_incident.
        found = self.rows(
            """
            SELECT
                a.incident_id, a.id::text AS id, a.severity, a.title, a.texts, a.metric_name, t.display_name,
                t.display_name_zh, t.category, t.unit, t.is_higher_better
            FROM analytics.dashboard_alerts AS a
            JOIN analytics.metric_thresholds AS t ON t.metric_name = a.metric_name
            WHERE a.incident_id = ANY (%(ids)s::uuid[]) AND a.is_active
            ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity::text), a.metric_date, a.id
            """,
            ids=list(set(incidents)),
        )
        made: dict[UUID, list[RelatedAlert]] = {}
        for row in found:
            made.setdefault(row["incident_id"], []).append(
                RelatedAlert(row["id"], _metric(row), row["severity"], _texts(row, "title"))
            )
        return made

    def insights(self, ids: Sequence[str] | None) -> list[InsightSubject]:
        if not self.is_built("business_insights"):
            return []
        # Index: the unique one of business_insights on (organization_id, insight_id).
        found = self.rows(
            """
            SELECT
                i.insight_id, i.insight_type, i.category, i.title, i.title_zh, i.description, i.description_zh,
                i.impact_level, i.confidence_score::double precision AS confidence, i.action_items,
                i.action_items_zh, i.business_context, i.rests_on, t.metric_name, t.display_name,
                t.display_name_zh, t.unit, t.is_higher_better, coalesce(t.category, i.category) AS metric_category
            FROM analytics.business_insights AS i
            LEFT JOIN analytics.metric_thresholds AS t ON t.metric_name = i.business_context ->> 'metric_name'
            WHERE
                i.organization_id = %(organization)s
                AND (%(ids)s::text[] IS NULL OR i.insight_id = ANY (%(ids)s::text[]))
            ORDER BY
                array_position(ARRAY['high', 'medium', 'low'], i.impact_level::text),
                array_position(ARRAY['warning', 'opportunity', 'information'], i.insight_type::text),
                i.confidence_score DESC, i.insight_id
            """,
            ids=None if ids is None else list(ids),
        )
        samples = self.samples(row["business_context"].get("top_tags") for row in found)
        names = self.tag_names(found)
        (today,) = self.rows("SELECT analytics.as_of_day(%(organization)s) AS day")
        keys: dict[str, tuple[str, str, date]] = {}
        for row in found:
            context = row["business_context"]
            day = date.fromisoformat(context["until"]) if context.get("until") else today["day"]
            # An insight of no metric has no series: its key matches none.
            keys[row["insight_id"]] = (row["metric_name"] or "", context.get("dimension", "all"), day or date.min)
        trends = self.trends(list(keys.values()))
        situations = self.situations(list(keys.values()))
        return [
            InsightSubject(
                id=row["insight_id"],
                insight_type=row["insight_type"],
                category=row["category"],
                title=Phrase(row["title"], row["title_zh"] or ""),
                description=Phrase(row["description"], row["description_zh"] or ""),
                impact=row["impact_level"],
                confidence=row["confidence"],
                actions=_phrases(row["action_items"], row["action_items_zh"]),
                business_context=row["business_context"],
                rests_on=row["rests_on"] or {},
                metric=_metric({**row, "category": row["metric_category"]}) if row["metric_name"] else None,
                situation=situations.get(keys[row["insight_id"]], {}),
                tags={
                    number: names[number] for number in (row["rests_on"] or {}).get("tags", ()) if number in names
                },
                samples=_of_tags(samples, row["business_context"].get("top_tags")),
                trend=trends.get(keys[row["insight_id"]], ()),
            )
            for row in found
        ]

    def situations(self, wanted: Sequence[tuple[str, str, date]]) -> dict[tuple[str, str, date], dict[str, Any]]:
        """The business contexts of metrics at the ends of days, where dbt has some."""
        if not wanted or not self.is_built("business_context"):
            return {}
        # Index: the unique one of business_context on (organization_id, metric_name, dimension, metric_date).
        found = self.rows(
            """
            SELECT c.metric_name, c.dimension, c.metric_date, c.business_context
            FROM unnest(%(names)s::text[], %(dimensions)s::text[], %(days)s::date[]) AS w (
                metric_name, dimension, metric_date
            )
            JOIN analytics.business_context AS c USING (metric_name, dimension, metric_date)
            WHERE c.organization_id = %(organization)s
            """,
            names=[name for name, _, _ in wanted],
            dimensions=[dimension for _, dimension, _ in wanted],
            days=[day for _, _, day in wanted],
        )
        return {
            (row["metric_name"], row["dimension"], row["metric_date"]): row["business_context"] for row in found
        }

    def recommendations(self) -> tuple[RecommendationItem, ...]:
        if not self.is_built("strategic_recommendations"):
            return ()
        # Index: the unique one of strategic_recommendations on (organization_id, recommendation_id).
        found = self.rows(
            """
            SELECT
                r.recommendation_id, r.category, r.title, r.title_zh, r.description, r.description_zh,
                r.impact_level, r.effort_level, r.priority_score,
                r.confidence_score::double precision AS confidence, r.estimated_timeline,
                r.estimated_timeline_zh, r.business_context, r.rests_on
            FROM analytics.strategic_recommendations AS r
            WHERE r.organization_id = %(organization)s
            ORDER BY r.priority_score DESC, r.confidence_score DESC, r.recommendation_id
            """
        )
        names = self.tag_names(found)
        return tuple(
            RecommendationItem(
                id=row["recommendation_id"],
                category=row["category"],
                title=Phrase(row["title"], row["title_zh"] or ""),
                description=Phrase(row["description"], row["description_zh"] or ""),
                impact=row["impact_level"],
                effort=row["effort_level"],
                priority=row["priority_score"],
                confidence=row["confidence"],
                timeline=Phrase(row["estimated_timeline"] or "", row["estimated_timeline_zh"] or ""),
                business_context=row["business_context"] or {},
                rests_on=row["rests_on"] or {},
                tags={
                    number: names[number] for number in (row["rests_on"] or {}).get("tags", ()) if number in names
                },
            )
            for row in found
        )

    def tag_names(self, found: Sequence[DictRow]) -> dict[int, str]:
        """Names of the tags that rows rest on."""
        ids = sorted({number for row in found for number in (row["rests_on"] or {}).get("tags") or ()})
        # Index: the primary key.
        named = self.rows(
            "SELECT t.id, t.name FROM tagging.tags AS t WHERE t.id = ANY (%(ids)s::bigint[])", ids=ids
        )
        return {row["id"]: row["name"] for row in named}


def _of_tags(samples: dict[int, SampleText], tags: Sequence[dict[str, Any]] | None) -> tuple[SampleText, ...]:
    numbers = dict.fromkeys(number for tag in tags or () for number in tag.get("sample_ids") or ())
    return tuple(samples[number] for number in numbers if number in samples)[:SAMPLES_A_SUBJECT]


def _metric(row: DictRow | dict[str, Any]) -> MetricNames:
    return MetricNames(
        row["metric_name"],
        Phrase(row["display_name"], row["display_name_zh"] or ""),
        row["category"],
        row["unit"],
        row["is_higher_better"],
    )


def _texts(row: DictRow, part: str) -> Phrase:
    texts = row["texts"] or {}
    return Phrase(
        (texts.get("en") or {}).get(part) or row[part], (texts.get("zh-Hant") or {}).get(part) or row[part]
    )


def _phrases(english: Sequence[str] | None, chinese: Sequence[str] | None) -> tuple[Phrase, ...]:
    ours, theirs = english or (), chinese or ()
    return tuple(
        Phrase(ours[n] if n < len(ours) else "", theirs[n] if n < len(theirs) else "")
        for n in range(max(len(ours), len(theirs)))
    )
