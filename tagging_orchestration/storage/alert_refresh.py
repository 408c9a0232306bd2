"""What a refresh of alerts reads and writes: candidates and stored alerts in, the new state of both out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.alerts import (
    OPEN_PHASES,
    Candidate,
    LifeRules,
    Phase,
    Resolution,
    Severity,
    StoredAlert,
)
from tagging_orchestration.core.business.incidents import Cause, Incident, causes_of
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.storage.connection import transaction

CANDIDATE_TABLES = ("analytics.alerts_threshold", "analytics.alerts_trend_anomaly")


@dataclass(frozen=True, slots=True)
class MetricWords:
    """What a metric is called and which direction is good."""

    metric_name: str
    display_name: str
    display_name_zh: str
    unit: str
    is_higher_better: bool | None


@dataclass(frozen=True, slots=True)
class Judged:
    """All that decides which alerts there are: the days judged, their candidates, and which days had values.

    `known_days` covers the days after candidates only, which is all that their life depends on. `affected_shares`
    has the share of the active customers concerned, by metric, dimension and day, where the context knows it.
    """

    first_day: date
    as_of: date
    timezone: str
    candidates: tuple[Candidate, ...]
    known_days: Mapping[tuple[str, str], frozenset[date]]
    affected_shares: Mapping[tuple[str, str, date], float]
    metrics: Mapping[str, MetricWords]


@dataclass(frozen=True, slots=True)
class AlertRow:
    """A row of `dashboard_alerts` as a refresh wants it."""

    id: UUID
    first: Candidate
    last: Candidate
    phase: Phase
    occurrences: int
    quiet_days: int
    priority: str
    title: str
    message: str
    detected_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    resolved_at: datetime | None
    resolution: Resolution | None
    incident_id: UUID | None
    evidence: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """A stored alert as far as a refresh needs it. `ended_on` is None while it is open."""

    stored: StoredAlert
    metric_name: str
    dimension: str
    dimension_label: str
    direction: str
    severity: Severity
    priority: str
    ended_on: date | None
    title_en: str
    title_zh: str
    causes: tuple[Cause, ...]
    incident_id: UUID | None


# ---------------------------------------------------------------------------------------------- what was judged


def load_judged(pool: ConnectionPool, organization_id: str, rules: LifeRules) -> Judged | None:
    """What dbt and the detectors judged; None before the first build."""
    with transaction(pool) as connection:
        if not _are_built(connection):
            return None
        # Index: the daily metrics' own, on organisation and date. Without any, today is the first day to judge.
        first_day, as_of = connection.execute(
            """
            SELECT coalesce(min(f.metric_date), d.today), coalesce(max(f.metric_date), d.today)
            FROM (SELECT analytics.business_day(now(), %(organization)s)) AS d (today)
            LEFT JOIN analytics.fct_business_metrics_daily AS f ON f.organization_id = %(organization)s
            GROUP BY d.today
            """,
            {"organization": organization_id},
        ).fetchone() or (date.max, date.max)
        parameters = {"organization": organization_id, "days": (rules.quiet_days + 1) * rules.memory_days}
        return Judged(
            first_day,
            as_of,
            _timezone(connection, organization_id),
            _candidates(connection, parameters),
            _known_days(connection, parameters),
            _affected_shares(connection, parameters),
            _metrics(connection),
        )


def _are_built(connection: Connection) -> bool:
    tables = ["analytics.fct_business_metrics_daily", "analytics.business_context", *CANDIDATE_TABLES]
    (built,) = connection.execute(
        "SELECT bool_and(to_regclass(t) IS NOT NULL) FROM unnest(%s::text[]) AS t", [tables]
    ).fetchone() or (False,)
    return built


def _timezone(connection: Connection, organization_id: str) -> str:
    row = connection.execute(
        "SELECT timezone FROM analytics.business_profile WHERE organization_id = %s", [organization_id]
    ).fetchone()
    return row[0] if row else "UTC"


def _candidates(connection: Connection, parameters: Mapping[str, Any]) -> tuple[Candidate, ...]:
    query = """
        SELECT
            c.organization_id, c.metric_name, c.dimension, c.dimension_label, c.metric_date, c.alert_type,
            coalesce(c.alert_subtype, ''), c.severity, c.direction, c.current_value, c.threshold_value,
            c.expected_value, coalesce(c.score, 0)::float8, c.title_en, c.title_zh, c.message_en, c.message_zh
        FROM (
            SELECT * FROM analytics.alerts_threshold
            UNION ALL
            SELECT * FROM analytics.alerts_trend_anomaly
        ) AS c
        WHERE c.organization_id = %(organization)s
        ORDER BY c.metric_date, c.metric_name, c.dimension, c.alert_type, c.alert_subtype
    """
    return tuple(
        Candidate(*row[:7], Severity(row[7]), *row[8:])  # pyright: ignore[reportCallIssue]
        for row in connection.execute(query, parameters)
    )


def _known_days(connection: Connection, parameters: Mapping[str, Any]) -> dict[tuple[str, str], frozenset[date]]:
    query = """
        SELECT f.metric_name, f.dimension, array_agg(DISTINCT f.metric_date)
        FROM (
            SELECT metric_name, dimension, metric_date FROM analytics.alerts_threshold
            WHERE organization_id = %(organization)s
            UNION
            SELECT metric_name, dimension, metric_date FROM analytics.alerts_trend_anomaly
            WHERE organization_id = %(organization)s
        ) AS c
        JOIN analytics.fct_business_metrics_daily AS f
            ON f.organization_id = %(organization)s AND f.metric_name = c.metric_name AND f.dimension = c.dimension
            AND f.metric_date > c.metric_date AND f.metric_date <= c.metric_date + %(days)s::integer
        WHERE f.current_value IS NOT NULL
        GROUP BY f.metric_name, f.dimension
    """
    return {
        (metric, dimension): frozenset(days) for metric, dimension, days in connection.execute(query, parameters)
    }


def _affected_shares(connection: Connection, parameters: Mapping[str, Any]) -> dict[tuple[str, str, date], float]:
    query = """
        SELECT
            b.metric_name, b.dimension, b.metric_date,
            (b.business_context #>> '{business_impact,affected_customers}')::float8
            / nullif((b.business_context #>> '{business_indicators,active_customers}')::float8, 0)
        FROM analytics.business_context AS b
        WHERE b.organization_id = %(organization)s
    """
    return {
        (metric, dimension, day): share
        for metric, dimension, day, share in connection.execute(query, parameters)
        if share is not None
    }


def _metrics(connection: Connection) -> dict[str, MetricWords]:
    query = """
        SELECT metric_name, display_name, display_name_zh, unit, is_higher_better
        FROM analytics.metric_thresholds
    """
    return {row[0]: MetricWords(*row) for row in connection.execute(query)}


# ------------------------------------------------------------------------------------------- what is known


def load_known(pool: ConnectionPool, organization_id: str) -> list[KnownAlert]:
    """All stored alerts of the business, by day. An alert is a rare thing: thousands a year at most.

    Alerts about the AI are none of the business's: the watch over the AI sees to them.
    """
    # Index: dashboard_alerts_metric_date.
    query = """
        SELECT
            a.id, a.fingerprint, a.metric_date, a.last_metric_date, a.state, a.occurrences, a.resolution,
            a.metric_name, a.dimension, a.dimension_label, a.direction, a.severity, a.priority,
            CASE WHEN NOT a.is_active THEN
                analytics.business_day(
                    coalesce(a.resolved_at, a.expires_at) - interval '1 second', a.organization_id
                )
            END,
            coalesce(a.texts #>> '{en,title}', a.title), coalesce(a.texts #>> '{zh-Hant,title}', a.title),
            coalesce(a.evidence_refs -> 'top_tags', '[]'), a.incident_id
        FROM analytics.dashboard_alerts AS a
        WHERE a.organization_id = %s AND NOT starts_with(coalesce(a.alert_subtype, ''), 'ai_')
        ORDER BY a.metric_date, a.id
    """
    with transaction(pool) as connection:
        return [_known(*row) for row in connection.execute(query, [organization_id])]


def _known(
    id: UUID,
    fingerprint: str,
    metric_date: date,
    last_metric_date: date,
    state: str,
    occurrences: int,
    resolution: str | None,
    metric_name: str,
    dimension: str,
    dimension_label: str,
    direction: str,
    severity: str,
    priority: str,
    ended_on: date | None,
    title_en: str,
    title_zh: str,
    top_tags: Sequence[Mapping[str, Any]],
    incident_id: UUID | None,
) -> KnownAlert:
    stored = StoredAlert(
        id,
        fingerprint,
        metric_date,
        last_metric_date,
        Phase(state),
        occurrences,
        Resolution(resolution) if resolution else None,
    )
    return KnownAlert(
        stored,
        metric_name,
        dimension,
        dimension_label,
        direction,
        Severity(severity),
        priority,
        ended_on,
        title_en,
        title_zh,
        causes_of(top_tags),
        incident_id,
    )


# ---------------------------------------------------------------------------------------------------- writing


def save_alerts(
    pool: ConnectionPool,
    organization_id: str,
    rows: Sequence[AlertRow],
    *,
    corrected: Mapping[UUID, datetime],
    forgotten: Collection[UUID],
    incidents: Sequence[Incident],
    closed_at: Mapping[UUID, datetime],
    locale: str,
    change: ChangeContext,
) -> None:
    """Bring alerts and incidents to this state, all or nothing; rows that are so already are not written.

    `corrected` alerts are resolved at the times given, `forgotten` ones expire. An alert's business context is
    taken from dbt's model when the alert is inserted, with its evidence, and never again.
    """
    with transaction(pool, change) as connection:
        _save_incidents(connection, organization_id, incidents, closed_at, locale)
        # Index: primary key of dashboard_alerts.
        connection.execute(
            """
            UPDATE analytics.dashboard_alerts AS a
            SET state = 'resolved', resolution = 'corrected', resolved_at = coalesce(a.resolved_at, c.resolved_at)
            FROM unnest(%s::uuid[], %s::timestamptz[]) AS c (id, resolved_at)
            WHERE a.id = c.id
            """,
            [list(corrected), list(corrected.values())],
        )
        connection.execute(
            "UPDATE analytics.dashboard_alerts SET state = 'expired' WHERE id = ANY (%s::uuid[])",
            [list(forgotten)],
        )
        _stage(connection, rows)
        # What ends goes first: only one alert of a fingerprint may be open at any moment.
        for is_open in (False, True):
            _update_staged(connection, is_open)
            _insert_staged(connection, is_open, change.run_id)


def _stage(connection: Connection, rows: Sequence[AlertRow]) -> None:
    connection.execute(
        """
        CREATE TEMPORARY TABLE wanted_alerts (
            id uuid PRIMARY KEY, organization_id text, alert_type text, alert_subtype text, severity text,
            priority text, metric_name text, dimension text, dimension_label text, direction text,
            fingerprint text, title text, message text, texts jsonb, current_value numeric,
            threshold_value numeric, metric_date date, last_metric_date date, state text, is_open boolean,
            detected_at timestamptz, last_seen_at timestamptz, occurrences integer, quiet_runs integer,
            expires_at timestamptz, resolved_at timestamptz, resolution text, incident_id uuid, evidence jsonb
        ) ON COMMIT DROP
        """
    )
    connection.execute(
        """
        INSERT INTO wanted_alerts
        SELECT * FROM jsonb_populate_recordset(NULL::wanted_alerts, %s)
        """,
        [_json([_record(row) for row in rows])],
    )


def _update_staged(connection: Connection, is_open: bool) -> None:
    # Index: primary key of dashboard_alerts.
    connection.execute(
        """
        UPDATE analytics.dashboard_alerts AS a
        SET
            alert_subtype = n.alert_subtype,
            severity = n.severity,
            priority = n.priority,
            dimension_label = n.dimension_label,
            title = n.title,
            message = n.message,
            texts = n.texts,
            current_value = n.current_value,
            threshold_value = n.threshold_value,
            last_metric_date = n.last_metric_date,
            state = n.state,
            last_seen_at = n.last_seen_at,
            occurrences = n.occurrences,
            quiet_runs = n.quiet_runs,
            expires_at = n.expires_at,
            resolved_at = n.resolved_at,
            resolution = n.resolution,
            incident_id = n.incident_id,
            evidence_refs = coalesce(n.evidence, a.evidence_refs)
        FROM wanted_alerts AS n
        WHERE
            a.id = n.id AND n.is_open = %s
            AND (
                (
                    a.alert_subtype, a.severity, a.priority, a.dimension_label, a.title, a.message, a.texts,
                    a.current_value, a.threshold_value, a.last_metric_date, a.state, a.last_seen_at, a.occurrences,
                    a.quiet_runs, a.expires_at, a.resolved_at, a.resolution, a.incident_id, a.evidence_refs
                ) IS DISTINCT FROM (
                    n.alert_subtype, n.severity, n.priority, n.dimension_label, n.title, n.message, n.texts,
                    n.current_value, n.threshold_value, n.last_metric_date, n.state, n.last_seen_at, n.occurrences,
                    n.quiet_runs, n.expires_at, n.resolved_at, n.resolution, n.incident_id,
                    coalesce(n.evidence, a.evidence_refs)
                )
            )
        """,
        [is_open],
    )


def _insert_staged(connection: Connection, is_open: bool, run_id: str | None) -> None:
    # Index: primary key of dashboard_alerts.
    connection.execute(
        """
        INSERT INTO analytics.dashboard_alerts (
            id, organization_id, alert_type, alert_subtype, severity, priority, metric_name, dimension,
            dimension_label, direction, fingerprint, title, message, texts, current_value, threshold_value,
            business_context, evidence_refs, metric_date, last_metric_date, state, detected_at, first_detected_at,
            last_seen_at, occurrences, quiet_runs, expires_at, resolved_at, resolution, incident_id, run_id
        )
        SELECT
            n.id, n.organization_id, n.alert_type, n.alert_subtype, n.severity, n.priority, n.metric_name,
            n.dimension, n.dimension_label, n.direction, n.fingerprint, n.title, n.message, n.texts,
            n.current_value, n.threshold_value,
            coalesce(
                b.business_context || jsonb_build_object(
                    'triggering_metrics',
                    (b.business_context -> 'triggering_metrics')
                    - '{current_value,threshold_value,expected_value,breach_severity}'::text[]
                    || c.triggering_metrics
                ),
                b.business_context, '{}'
            ) || jsonb_build_object('evidence', coalesce(n.evidence, '{}')),
            coalesce(n.evidence, '{}'), n.metric_date, n.last_metric_date, n.state, n.detected_at, n.detected_at,
            n.last_seen_at, n.occurrences, n.quiet_runs, n.expires_at, n.resolved_at, n.resolution, n.incident_id,
            %(run_id)s
        FROM wanted_alerts AS n
        LEFT JOIN analytics.business_context AS b
            ON b.organization_id = n.organization_id AND b.metric_name = n.metric_name
            AND b.dimension = n.dimension AND b.metric_date = n.metric_date
        -- A day may be out of line in several ways; what triggered is this alert's own.
        LEFT JOIN LATERAL (
            SELECT
                jsonb_strip_nulls(
                    jsonb_build_object(
                        'current_value', trim_scale(k.current_value),
                        'threshold_value', trim_scale(k.threshold_value),
                        'expected_value', trim_scale(k.expected_value),
                        'breach_severity', k.severity
                    )
                ) AS triggering_metrics
            FROM (
                SELECT * FROM analytics.alerts_threshold UNION ALL SELECT * FROM analytics.alerts_trend_anomaly
            ) AS k
            WHERE
                k.organization_id = n.organization_id AND k.metric_name = n.metric_name
                AND k.dimension = n.dimension AND k.metric_date = n.metric_date
                AND k.alert_type = n.alert_type AND k.direction = n.direction
            LIMIT 1
        ) AS c ON true
        WHERE
            n.is_open = %(is_open)s
            AND NOT EXISTS (SELECT FROM analytics.dashboard_alerts AS a WHERE a.id = n.id)
        ORDER BY n.metric_date, n.id
        """,
        {"is_open": is_open, "run_id": run_id},
    )


def _json(rows: Sequence[Mapping[str, Any]]) -> Jsonb:
    return Jsonb(rows, dumps=lambda value: json.dumps(value, ensure_ascii=False, default=str))


def _record(row: AlertRow) -> dict[str, Any]:
    first, last = row.first, row.last
    return {
        "id": row.id,
        "organization_id": first.organization_id,
        "alert_type": first.alert_type,
        "alert_subtype": last.alert_subtype,
        "severity": last.severity,
        "priority": row.priority,
        "metric_name": first.metric_name,
        "dimension": first.dimension,
        "dimension_label": last.dimension_label,
        "direction": first.direction,
        "fingerprint": first.fingerprint,
        "title": row.title,
        "message": row.message,
        "texts": {
            "en": {"title": last.title_en, "message": last.message_en},
            "zh-Hant": {"title": last.title_zh, "message": last.message_zh},
        },
        "current_value": last.current_value,
        "threshold_value": last.threshold_value,
        "metric_date": first.metric_date,
        "last_metric_date": last.metric_date,
        "state": row.phase,
        "is_open": row.phase in OPEN_PHASES,
        "detected_at": row.detected_at,
        "last_seen_at": row.last_seen_at,
        "occurrences": row.occurrences,
        "quiet_runs": row.quiet_days,
        "expires_at": row.expires_at,
        "resolved_at": row.resolved_at,
        "resolution": row.resolution,
        "incident_id": row.incident_id,
        "evidence": row.evidence,
    }


def _save_incidents(
    connection: Connection,
    organization_id: str,
    incidents: Sequence[Incident],
    closed_at: Mapping[UUID, datetime],
    locale: str,
) -> None:
    rows = [
        {
            "id": incident.id,
            "state": "closed" if incident.id in closed_at else "open",
            "severity": incident.severity,
            "title": incident.title_zh if locale == "zh-Hant" else incident.title_en,
            "texts": {"en": {"title": incident.title_en}, "zh-Hant": {"title": incident.title_zh}},
            "opened_on": incident.opened_on,
            "last_seen_on": incident.last_seen_on,
            "closed_at": closed_at.get(incident.id),
            "causes": incident.causes_document(),
        }
        for incident in incidents
    ]
    # Index: primary key of alert_incidents.
    connection.execute(
        """
        INSERT INTO analytics.alert_incidents AS i (
            id, organization_id, state, severity, title, texts, opened_on, last_seen_on, closed_at, causes
        )
        SELECT
            n.id, %(organization)s, n.state, n.severity, n.title, n.texts, n.opened_on, n.last_seen_on,
            n.closed_at, n.causes
        FROM jsonb_to_recordset(%(rows)s) AS n (
            id uuid, state text, severity text, title text, texts jsonb, opened_on date, last_seen_on date,
            closed_at timestamptz, causes jsonb
        )
        ON CONFLICT (id) DO UPDATE SET
            state = excluded.state,
            severity = excluded.severity,
            title = excluded.title,
            texts = excluded.texts,
            opened_on = excluded.opened_on,
            last_seen_on = excluded.last_seen_on,
            closed_at = excluded.closed_at,
            causes = excluded.causes
        WHERE
            (i.state, i.severity, i.title, i.texts, i.opened_on, i.last_seen_on, i.closed_at, i.causes)
            IS DISTINCT FROM (
                excluded.state, excluded.severity, excluded.title, excluded.texts, excluded.opened_on,
                excluded.last_seen_on, excluded.closed_at, excluded.causes
            )
        """,
        {
            "organization": organization_id,
            "rows": _json(rows),
        },
    )
