"""The facts of the executive health report, read in one transaction that sees one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.report import (
    BASELINE_DAYS,
    HISTORY_DAYS,
    RECENT_DAYS,
    SERIES_DAYS,
    Alert,
    Business,
    Cohort,
    Evidence,
    EvidenceRow,
    EvidenceTag,
    Forecast,
    Grounds,
    Incident,
    Insight,
    Lineage,
    Metric,
    MissingDay,
    Phrase,
    Recommendation,
    Rejection,
    ReportFacts,
    SampleText,
    Series,
    SourceState,
    Stock,
    TagCounts,
)
from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.storage.connection import transaction

# What the builds of dbt make, one after the other; before the first build they do not exist.
METRICS = frozenset(
    {
        "fct_business_metrics_daily",
        "metric_trends",
        "fct_tag_metrics_daily",
        "ltv_trend",
        "inventory_overview",
    }
)
CANDIDATES = frozenset({"alerts_threshold", "alerts_trend_anomaly"})
CONCLUSIONS = frozenset({"business_insights", "strategic_recommendations"})
# Excerpts are a fraction of this; a text may be a megabyte.
SAMPLE_CHARACTERS = 2_000
MISSING_DAYS = 30
STOCK_ROWS = 50


def read_facts(pool: ConnectionPool, organization: str, as_of: date | None = None) -> ReportFacts:
    """What is known of an organisation's business, or what was known at the end of the business day `as_of`.

    A day later than the last one with facts means that last one. Raises UnknownName for a day before the first
    metric.
    """
    with transaction(pool) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _Reader(connection, organization).read(as_of)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one organisation's facts on one connection."""

    connection: Connection
    organization: str

    def read(self, wanted: date | None) -> ReportFacts:
        business = self.business()
        generated_at = datetime.now(UTC)
        (latest,) = self.rows("SELECT analytics.as_of_day(%(organization)s) AS day")
        today: date | None = latest["day"]
        built = self.built()
        if today is None:
            return ReportFacts(business, generated_at)
        as_of = min(wanted or today, today)
        past = as_of < today
        if not built >= METRICS:
            return ReportFacts(business, generated_at, as_of, past=past, sources=self.sources(as_of))
        metrics, series = self.metrics(as_of)
        if wanted and not metrics:
            raise UnknownName(f"no metric is known on {wanted}, nor on the {SERIES_DAYS} days before")
        alerts = self.alerts(as_of, past) if built >= CANDIDATES else ()
        concluded = not past and built >= CONCLUSIONS
        tags, contents_recent, contents_before = self.tags(as_of)
        return ReportFacts(
            business=business,
            generated_at=generated_at,
            as_of=as_of,
            computed=bool(metrics),
            past=past,
            labels=self.labels(),
            metrics=metrics,
            series=series,
            alerts=alerts,
            incidents=self.incidents(as_of),
            samples=self.samples(alerts, as_of),
            insights=self.insights() if concluded else (),
            recommendations=self.recommendations() if concluded else (),
            forecasts=() if past else self.forecasts(as_of),
            cohorts=() if past else self.cohorts(),
            stock=() if past else self.stock(),
            tags=tags,
            contents_recent=contents_recent,
            contents_before=contents_before,
            sources=self.sources(as_of),
            missing_days=self.missing_days(as_of),
        )

    def rows(self, query: str, **values: object) -> list[DictRow]:
        """The rows of a query; %(organization)s is always known."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query.encode(), {"organization": self.organization, **values})
            return cursor.fetchall()

    def built(self) -> set[str]:
        """Which relations of dbt exist."""
        found = self.rows(
            """
            SELECT name
            FROM unnest(%(names)s::text[]) AS r (name)
            WHERE to_regclass('analytics.' || name) IS NOT NULL
            """,
            names=sorted(METRICS | CANDIDATES | CONCLUSIONS),
        )
        return {row["name"] for row in found}

    def business(self) -> Business:
        """Who the business is; the name is the `name` of its profile, a text or {en, zh-Hant}."""
        found = self.rows(
            """
            SELECT b.timezone, b.currency, b.locale, b.profile -> 'name' AS name
            FROM analytics.business_profile AS b
            WHERE b.organization_id = %(organization)s
            """
        )
        row = found[0] if found else {"timezone": "UTC", "currency": "USD", "locale": "en", "name": None}
        name = row["name"]
        if isinstance(name, Mapping):
            said = Phrase(str(name.get("en", "")), str(name.get("zh-Hant", "")))
        else:
            said = Phrase(str(name), str(name)) if name else Phrase("Our business", "本公司")
        return Business(self.organization, said, row["timezone"], row["currency"], row["locale"])

    def labels(self) -> dict[str, Phrase]:
        """The names of metrics that people read."""
        found = self.rows("SELECT metric_name, display_name, display_name_zh FROM analytics.metric_thresholds")
        return {row["metric_name"]: Phrase(row["display_name"], row["display_name_zh"]) for row in found}

    def metrics(self, as_of: date) -> tuple[tuple[Metric, ...], dict[tuple[str, str], Series]]:
        """Each metric of the whole business on its last day with a value, and its days until `as_of`."""
        first = as_of - timedelta(days=SERIES_DAYS - 1)
        # Served by the indexes of both tables on (organization_id, metric_date), and metric by metric.
        found = self.rows(
            """
            WITH days AS (
                SELECT
                    f.metric_name,
                    array_agg(f.metric_date ORDER BY f.metric_date) AS days,
                    array_agg(f.current_value::double precision ORDER BY f.metric_date) AS known,
                    max(f.metric_date) FILTER (WHERE f.current_value IS NOT NULL) AS last_day
                FROM analytics.fct_business_metrics_daily AS f
                WHERE
                    f.organization_id = %(organization)s AND f.dimension = 'all'
                    AND f.metric_date BETWEEN %(first)s AND %(as_of)s
                GROUP BY f.metric_name
            )
            SELECT
                d.metric_name, d.days, d.known, d.last_day, t.display_name, t.display_name_zh, t.category, t.unit,
                t.is_higher_better, t.warning_threshold::double precision AS warning,
                t.critical_threshold::double precision AS critical,
                m.trend_7d_pct::double precision AS week, m.trend_30d_pct::double precision AS month
            FROM days AS d
            JOIN analytics.metric_thresholds AS t ON t.metric_name = d.metric_name AND t.enabled
            LEFT JOIN analytics.metric_trends AS m
                ON m.organization_id = %(organization)s AND m.metric_name = d.metric_name AND m.dimension = 'all'
                AND m.metric_date = d.last_day
            WHERE d.last_day IS NOT NULL
            ORDER BY t.category, d.metric_name
            """,
            first=first,
            as_of=as_of,
        )
        metrics: list[Metric] = []
        series: dict[tuple[str, str], Series] = {}
        for row in found:
            known = dict(zip(row["days"], row["known"], strict=True))
            days = [first + timedelta(days=number) for number in range(SERIES_DAYS)]
            series[row["metric_name"], "all"] = Series(first, tuple(known.get(day) for day in days))
            metrics.append(
                Metric(
                    metric_name=row["metric_name"],
                    dimension="all",
                    label=Phrase(row["display_name"], row["display_name_zh"]),
                    category=row["category"],
                    unit=row["unit"],
                    value=known[row["last_day"]],
                    day=row["last_day"],
                    is_higher_better=row["is_higher_better"],
                    warning_threshold=row["warning"],
                    critical_threshold=row["critical"],
                    trend_7d_pct=row["week"],
                    trend_30d_pct=row["month"],
                )
            )
        return tuple(metrics), series

    def alerts(self, as_of: date, past: bool) -> tuple[Alert, ...]:
        """The alerts of the last twelve months as they stood on the day.

        An alert keeps the words of its last day. For a past day they are those of its last candidate until then,
        and the evidence is what was known at its beginning. Alerts about the AI live by the clock, not by business
        days: those open now stand in the report of the present, and in no other.
        """
        # Index: dashboard_alerts_metric_date.
        found = self.rows(
            """
            SELECT
                a.id::text AS id, a.incident_id::text AS incident_id, a.metric_name, a.dimension, a.alert_type,
                coalesce(a.alert_subtype, '') AS alert_subtype, coalesce(c.severity, a.severity) AS severity,
                a.priority, a.direction, a.title, a.message, coalesce(c.texts, a.texts) AS texts,
                coalesce(c.current_value, a.current_value)::double precision AS current_value,
                coalesce(c.threshold_value, a.threshold_value)::double precision AS threshold_value, a.metric_date,
                least(a.last_metric_date, %(as_of)s) AS last_metric_date,
                CASE
                    WHEN NOT a.is_active THEN analytics.business_day(
                        coalesce(a.resolved_at, a.expires_at) - interval '1 second', a.organization_id
                    )
                END AS closed_on,
                CASE
                    WHEN a.acknowledged_at < %(as_of)s + interval '2 days' OR NOT %(past)s THEN a.acknowledged_by
                END AS acknowledged_by,
                CASE WHEN %(past)s THEN '' ELSE a.notes END AS notes,
                CASE WHEN %(past)s THEN a.business_context -> 'evidence' ELSE a.evidence_refs END AS evidence
            FROM analytics.dashboard_alerts AS a
            LEFT JOIN LATERAL (
                SELECT
                    d.severity, d.current_value, d.threshold_value,
                    jsonb_build_object(
                        'en', jsonb_build_object('title', d.title_en, 'message', d.message_en),
                        'zh-Hant', jsonb_build_object('title', d.title_zh, 'message', d.message_zh)
                    ) AS texts
                FROM (
                    SELECT * FROM analytics.alerts_threshold
                    UNION ALL
                    SELECT * FROM analytics.alerts_trend_anomaly
                ) AS d
                WHERE
                    a.last_metric_date > %(as_of)s AND d.organization_id = a.organization_id
                    AND d.metric_name = a.metric_name AND d.dimension = a.dimension
                    AND d.alert_type = a.alert_type AND d.direction = a.direction
                    AND d.metric_date BETWEEN a.metric_date AND %(as_of)s
                ORDER BY d.metric_date DESC
                LIMIT 1
            ) AS c ON true
            WHERE
                a.organization_id = %(organization)s AND a.resolution IS DISTINCT FROM 'corrected'
                AND CASE
                    WHEN starts_with(a.alert_subtype, 'ai_') THEN a.is_active AND NOT %(past)s
                    ELSE a.metric_date <= %(as_of)s AND (a.is_active OR a.last_metric_date >= %(start)s)
                END
            ORDER BY a.metric_date, a.id
            """,
            as_of=as_of,
            past=past,
            start=as_of - timedelta(days=HISTORY_DAYS - 1),
        )
        return tuple(
            Alert(
                id=row["id"],
                incident_id=row["incident_id"],
                metric_name=row["metric_name"],
                dimension=row["dimension"],
                alert_type=row["alert_type"],
                alert_subtype=row["alert_subtype"],
                severity=row["severity"],
                priority=row["priority"],
                direction=row["direction"],
                title=_phrase(row["texts"], "title", row["title"]),
                message=_phrase(row["texts"], "message", row["message"]),
                current_value=row["current_value"],
                threshold_value=row["threshold_value"],
                metric_date=row["metric_date"],
                last_metric_date=row["last_metric_date"],
                closed_on=row["closed_on"] if row["closed_on"] and row["closed_on"] <= as_of else None,
                acknowledged_by=row["acknowledged_by"],
                notes=row["notes"],
                evidence=_evidence(row["evidence"] or {}),
            )
            for row in found
        )

    def incidents(self, as_of: date) -> tuple[Incident, ...]:
        """The incidents of the last twelve months until the day."""
        # Index: alert_incidents_opened_on.
        found = self.rows(
            """
            SELECT
                i.id::text AS id, i.severity, i.title, i.texts, i.opened_on,
                least(i.last_seen_on, %(as_of)s) AS last_seen_on,
                i.state = 'open' OR analytics.business_day(
                    i.closed_at - interval '1 second', i.organization_id
                ) > %(as_of)s AS open,
                i.causes
            FROM analytics.alert_incidents AS i
            WHERE
                i.organization_id = %(organization)s AND i.opened_on <= %(as_of)s AND i.last_seen_on >= %(start)s
                AND EXISTS (
                    SELECT
                    FROM analytics.dashboard_alerts AS a
                    WHERE a.incident_id = i.id AND a.resolution IS DISTINCT FROM 'corrected'
                )
            ORDER BY i.opened_on, i.id
            """,
            as_of=as_of,
            start=as_of - timedelta(days=HISTORY_DAYS - 1),
        )
        return tuple(
            Incident(
                id=row["id"],
                severity=row["severity"],
                title=_phrase(row["texts"], "title", row["title"]),
                opened_on=row["opened_on"],
                last_seen_on=row["last_seen_on"],
                open=bool(row["open"]),
                causes=tuple(cause["tag"] for cause in row["causes"]),
            )
            for row in found
        )

    def samples(self, alerts: Sequence[Alert], as_of: date) -> dict[int, SampleText]:
        """The contents that the evidence of open alerts names, as far as they were there on the day."""
        wanted = {
            number
            for alert in alerts
            if alert.closed_on is None
            for tag in alert.evidence.tags
            for number in tag.sample_ids
        }
        # Index: the primary key.
        found = self.rows(
            """
            SELECT
                c.id, c.source, c.external_id, c.content_type, c.title, left(c.body, %(characters)s) AS body,
                analytics.business_day(c.created_at, c.organization_id) AS day
            FROM tagging.contents AS c
            WHERE
                c.id = ANY (%(ids)s::bigint[]) AND c.deleted_at IS NULL
                AND analytics.business_day(c.created_at, c.organization_id) <= %(as_of)s
            """,
            ids=sorted(wanted),
            as_of=as_of,
            characters=SAMPLE_CHARACTERS,
        )
        return {
            row["id"]: SampleText(
                row["id"],
                row["source"],
                row["external_id"],
                row["content_type"],
                row["title"],
                row["body"],
                row["day"],
            )
            for row in found
        }

    def insights(self) -> tuple[Insight, ...]:
        """The present key business insights, in the order of `generate_business_insights()`."""
        found = self.rows(
            """
            SELECT
                i.insight_id, i.insight_type, i.category, i.title, i.title_zh, i.description, i.description_zh,
                i.impact_level, i.confidence_score::double precision AS confidence, i.action_items,
                i.action_items_zh, i.rests_on
            FROM analytics.business_insights AS i
            WHERE i.organization_id = %(organization)s
            ORDER BY
                array_position(ARRAY['high', 'medium', 'low'], i.impact_level::text),
                array_position(ARRAY['warning', 'opportunity', 'information'], i.insight_type::text),
                i.confidence_score DESC, i.insight_id
            """
        )
        tags = self.tag_names(found)
        return tuple(
            Insight(
                id=row["insight_id"],
                insight_type=row["insight_type"],
                category=row["category"],
                title=Phrase(row["title"], row["title_zh"] or ""),
                description=Phrase(row["description"], row["description_zh"] or ""),
                impact=row["impact_level"],
                confidence=row["confidence"],
                actions=_phrases(row["action_items"], row["action_items_zh"]),
                grounds=_grounds(row["rests_on"], tags),
            )
            for row in found
        )

    def recommendations(self) -> tuple[Recommendation, ...]:
        """The present strategic recommendations, in the order of `generate_strategic_recommendations()`."""
        found = self.rows(
            """
            SELECT
                r.recommendation_id, r.category, r.title, r.title_zh, r.description, r.description_zh,
                r.impact_level, r.effort_level, r.priority_score,
                r.confidence_score::double precision AS confidence, r.estimated_timeline,
                r.estimated_timeline_zh, r.rests_on
            FROM analytics.strategic_recommendations AS r
            WHERE r.organization_id = %(organization)s
            ORDER BY r.priority_score DESC, r.confidence_score DESC, r.recommendation_id
            """
        )
        tags = self.tag_names(found)
        return tuple(
            Recommendation(
                id=row["recommendation_id"],
                category=row["category"],
                title=Phrase(row["title"], row["title_zh"] or ""),
                description=Phrase(row["description"], row["description_zh"] or ""),
                impact=row["impact_level"],
                effort=row["effort_level"],
                priority=row["priority_score"],
                confidence=row["confidence"],
                timeline=Phrase(row["estimated_timeline"] or "", row["estimated_timeline_zh"] or ""),
                grounds=_grounds(row["rests_on"], tags),
            )
            for row in found
        )

    def tag_names(self, found: Sequence[DictRow]) -> dict[int, str]:
        """Names of the tags that these insights or recommendations rest on."""
        ids = sorted({number for row in found for number in (row["rests_on"] or {}).get("tags") or ()})
        # Index: the primary key.
        named = self.rows(
            "SELECT t.id, t.name FROM tagging.tags AS t WHERE t.id = ANY (%(ids)s::bigint[])", ids=ids
        )
        return {row["id"]: row["name"] for row in named}

    def forecasts(self, as_of: date) -> tuple[Forecast, ...]:
        """The forecasts for days to come, of each metric the riskiest horizon."""
        # Index: the primary key.
        found = self.rows(
            """
            SELECT DISTINCT ON (f.metric_name, f.dimension)
                f.metric_name, f.dimension, t.display_name, t.display_name_zh, t.unit, f.horizon_days,
                f.target_date, f.forecast::double precision AS value, f.lower::double precision AS lower,
                f.upper::double precision AS upper, f.threshold_value::double precision AS threshold,
                f.probability::double precision AS probability, f.level, f.method
            FROM analytics.risk_forecast AS f
            JOIN analytics.metric_thresholds AS t ON t.metric_name = f.metric_name
            WHERE f.organization_id = %(organization)s AND f.dimension = 'all' AND f.target_date > %(as_of)s
            ORDER BY f.metric_name, f.dimension, f.probability DESC, f.horizon_days
            """,
            as_of=as_of,
        )
        return tuple(
            Forecast(
                metric_name=row["metric_name"],
                dimension=row["dimension"],
                label=Phrase(row["display_name"], row["display_name_zh"]),
                unit=row["unit"],
                horizon_days=row["horizon_days"],
                target=row["target_date"],
                value=row["value"],
                lower=row["lower"],
                upper=row["upper"],
                threshold=row["threshold"],
                probability=row["probability"],
                level=row["level"],
                method=row["method"],
            )
            for row in found
        )

    def cohorts(self) -> tuple[Cohort, ...]:
        """What customers bring in, by the month of their first purchase; the last twelve months."""
        found = self.rows(
            """
            SELECT
                l.cohort_month, l.customers, l.ltv::double precision AS ltv,
                l.ltv_30d::double precision AS ltv_30d, l.change_pct::double precision AS change_pct
            FROM analytics.ltv_trend AS l
            WHERE l.organization_id = %(organization)s
            ORDER BY l.cohort_month DESC
            LIMIT 12
            """
        )
        return tuple(
            Cohort(row["cohort_month"], row["customers"], row["ltv"], row["ltv_30d"], row["change_pct"])
            for row in found
        )

    def stock(self) -> tuple[Stock, ...]:
        """The products that run out first."""
        found = self.rows(
            """
            SELECT
                i.product_id, i.name, i.on_hand, i.units_28d / 28.0::double precision AS sold_per_day,
                i.days_of_cover::double precision AS days_left, i.status
            FROM analytics.inventory_overview AS i
            WHERE i.organization_id = %(organization)s
            ORDER BY array_position(ARRAY['out', 'low', 'ok', 'slow'], i.status), i.days_of_cover, i.product_id
            LIMIT %(limit)s
            """,
            limit=STOCK_ROWS,
        )
        return tuple(
            Stock(
                row["product_id"],
                row["name"],
                row["on_hand"],
                row["sold_per_day"],
                row["days_left"],
                row["status"],
            )
            for row in found
        )

    def tags(self, as_of: date) -> tuple[tuple[TagCounts, ...], int, int]:
        """Contents of each tag in both windows, and of all contents."""
        first = as_of - timedelta(days=RECENT_DAYS + BASELINE_DAYS - 1)
        recent = as_of - timedelta(days=RECENT_DAYS - 1)
        # Served by the table's index on (organization_id, metric_date).
        found = self.rows(
            """
            WITH weeks AS (
                SELECT
                    f.tag_id, (%(as_of)s - f.metric_date) / 7 AS weeks_ago, min(f.tag_name) AS name,
                    sum(f.contents)::integer AS contents,
                    (sum(f.contents) FILTER (WHERE f.metric_date >= %(recent)s))::integer AS recent
                FROM analytics.fct_tag_metrics_daily AS f
                WHERE f.organization_id = %(organization)s AND f.metric_date BETWEEN %(first)s AND %(as_of)s
                GROUP BY f.tag_id, weeks_ago
            )
            SELECT
                w.tag_id, min(w.name) AS name, coalesce(sum(w.recent), 0)::integer AS recent,
                (sum(w.contents) - coalesce(sum(w.recent), 0))::integer AS before,
                array_agg(w.contents ORDER BY w.weeks_ago DESC) AS weekly
            FROM weeks AS w
            GROUP BY w.tag_id
            HAVING sum(w.contents) > 0
            ORDER BY w.tag_id
            """,
            as_of=as_of,
            first=first,
            recent=recent,
        )
        # The same index; a day's total is the same beside every tag.
        (total,) = self.rows(
            """
            SELECT
                coalesce(sum(d.contents) FILTER (WHERE d.metric_date >= %(recent)s), 0)::integer AS recent,
                coalesce(sum(d.contents) FILTER (WHERE d.metric_date < %(recent)s), 0)::integer AS before
            FROM (
                SELECT f.metric_date, max(f.total_contents) AS contents
                FROM analytics.fct_tag_metrics_daily AS f
                WHERE f.organization_id = %(organization)s AND f.metric_date BETWEEN %(first)s AND %(as_of)s
                GROUP BY f.metric_date
            ) AS d
            """,
            as_of=as_of,
            first=first,
            recent=recent,
        )
        counts = tuple(
            TagCounts(row["tag_id"], row["name"], row["recent"], row["before"], tuple(row["weekly"]))
            for row in found
        )
        return counts, total["recent"], total["before"]

    def sources(self, as_of: date) -> tuple[SourceState, ...]:
        """The tables of facts: when each was last touched, and what its last load refused."""
        # Indexes: the primary key of touched_days, source_loads_latest, rejected_rows_load.
        found = self.rows(
            """
            WITH touched AS (
                SELECT
                    t.source, max(t.day) AS last_day, count(*) FILTER (WHERE t.day >= %(first)s)::integer AS days
                FROM raw.touched_days AS t
                WHERE
                    t.organization_id = %(organization)s AND t.day <= %(as_of)s
                    AND t.source NOT IN ('customers', 'calendar')
                GROUP BY t.source
            ),
            loads AS (
                SELECT DISTINCT ON (l.source)
                    l.id, substr(l.source, 10) AS source, l.status, l.rows_read, l.error
                FROM tagging.source_loads AS l
                WHERE l.organization_id = %(organization)s AND starts_with(l.source, 'business.')
                ORDER BY l.source, l.id DESC
            ),
            refused AS (
                SELECT load_id, jsonb_agg(jsonb_build_array(column_name, code, count) ORDER BY count DESC) AS rows
                FROM (
                    SELECT r.load_id, coalesce(r.column_name, '') AS column_name, r.code, count(*) AS count
                    FROM tagging.rejected_rows AS r
                    WHERE r.load_id IN (SELECT id FROM loads)
                    GROUP BY 1, 2, 3
                ) AS reasons
                GROUP BY load_id
            )
            SELECT
                coalesce(l.source, t.source) AS source, coalesce(l.status, '') AS status, t.last_day,
                coalesce(t.days, 0) AS days, coalesce(l.rows_read, 0)::integer AS rows, l.error,
                coalesce(r.rows, '[]') AS rejected
            FROM touched AS t
            FULL JOIN loads AS l ON l.source = t.source
            LEFT JOIN refused AS r ON r.load_id = l.id
            ORDER BY 1
            """,
            as_of=as_of,
            first=as_of - timedelta(days=SERIES_DAYS - 1),
        )
        return tuple(
            SourceState(
                source=row["source"],
                status=row["status"],
                last_day=row["last_day"],
                days=row["days"],
                rows=row["rows"],
                rejected=tuple(Rejection(*reason) for reason in row["rejected"]),
                error=row["error"],
            )
            for row in found
        )

    def missing_days(self, as_of: date) -> tuple[MissingDay, ...]:
        """Days without a value that should have had one, in the last month."""
        # Index: anomaly_scores_anomalies.
        found = self.rows(
            """
            SELECT t.display_name, t.display_name_zh, s.metric_date
            FROM analytics.anomaly_scores AS s
            JOIN analytics.metric_thresholds AS t ON t.metric_name = s.metric_name
            WHERE
                s.organization_id = %(organization)s AND s.is_anomaly AND s.kind = 'missing'
                AND s.dimension = 'all' AND s.metric_date BETWEEN %(first)s AND %(as_of)s
            ORDER BY s.metric_name, s.metric_date
            """,
            as_of=as_of,
            first=as_of - timedelta(days=MISSING_DAYS - 1),
        )
        return tuple(
            MissingDay(Phrase(row["display_name"], row["display_name_zh"]), row["metric_date"]) for row in found
        )


def _phrase(texts: Mapping[str, Any], part: str, fallback: str) -> Phrase:
    """A title or message of `texts`: {locale: {part: text}}."""
    said = [(texts.get(locale) or {}).get(part) or fallback for locale in ("en", "zh-Hant")]
    return Phrase(said[0], said[1])


def _phrases(english: Sequence[str] | None, chinese: Sequence[str] | None) -> tuple[Phrase, ...]:
    english, chinese = english or [], chinese or []
    count = max(len(english), len(chinese))
    padded = [[*side, *[""] * (count - len(side))] for side in (english, chinese)]
    return tuple(Phrase(en, zh) for en, zh in zip(*padded, strict=True))


def _evidence(document: Mapping[str, Any]) -> Evidence:
    """The evidence document of an alert (docs/alerts.md); parts that are not known are left out."""
    return Evidence(
        tags=tuple(
            EvidenceTag(
                tag_id=tag["tag_id"],
                name=tag["tag"],
                count=tag["count"],
                lift=tag.get("lift"),
                q_value=tag.get("q_value"),
                sample_ids=tuple(tag.get("sample_ids", ())),
            )
            for tag in document.get("top_tags", ())
        ),
        rows=tuple(
            EvidenceRow(row["table"], str(row["id"]), Phrase(row.get("why", ""), row.get("why_zh", "")))
            for row in document.get("top_rows", ())
        ),
        lineage=tuple(
            Lineage(link["content_id"], link["source"], link["external_id"], link["table"], str(link["id"]))
            for link in document.get("lineage", ())
        ),
    )


def _grounds(document: Mapping[str, Any] | None, tags: Mapping[int, str]) -> Grounds:
    """What an insight or recommendation rests on: lists of alert ids, metrics, tag ids and raw rows; products,
    cohorts and a forecast's method stand for rows of the models they come from."""
    document = document or {}
    metrics = tuple(document.get("metrics") or ())
    rows = [f"{row['table']} {row['id']}" for row in document.get("rows") or ()]
    rows += [f"inventory_overview {product}" for product in document.get("products") or ()]
    rows += [f"ltv_trend {month}" for month in document.get("cohorts") or ()]
    if "method" in document:
        rows += [f"risk_forecast {metric} ({document['method']})" for metric in metrics]
    return Grounds(
        alert_ids=tuple(map(str, document.get("alerts") or ())),
        metrics=metrics,
        tags=tuple(tags[number] for number in document.get("tags") or () if number in tags),
        rows=tuple(rows),
    )
