"""Alerts, incidents and silences as people see them, and what people say about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.storage.connection import transaction


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as people see it. Values are in the metric's unit; times are those of the business days it is
    about."""

    id: UUID
    alert_type: str
    alert_subtype: str | None
    severity: str
    priority: str
    metric_name: str
    display_name: str
    display_name_zh: str
    unit: str
    dimension: str
    dimension_label: str
    direction: str
    fingerprint: str
    title: str
    message: str
    texts: dict[str, Any]
    current_value: Decimal | None
    threshold_value: Decimal | None
    metric_date: date
    last_metric_date: date
    state: str
    is_active: bool
    detected_at: datetime
    last_seen_at: datetime
    occurrences: int
    expires_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    incident_id: UUID | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    notes: str
    business_context: dict[str, Any]
    evidence_refs: dict[str, Any]

    def text(self, part: str, locale: str) -> str:
        """`title` or `message` in a language, or as it stands where that is not known."""
        return self.texts.get(locale, {}).get(part) or getattr(self, part)


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One thing that happened to an alert."""

    event_type: str
    occurred_at: datetime
    actor: str
    reason: str | None
    run_id: str | None
    after: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IncidentSummary:
    """An incident with what belongs to it; `alerts` counts its alerts, `open_alerts` those still open."""

    id: UUID
    state: str
    severity: str
    title: str
    texts: dict[str, Any]
    opened_on: date
    last_seen_on: date
    closed_at: datetime | None
    causes: list[dict[str, Any]]
    alerts: int
    open_alerts: int
    metrics: list[str]
    silenced: bool

    @property
    def cause_tags(self) -> list[str]:
        """Names of the tags on top of the evidence."""
        return [cause["tag"] for cause in self.causes]

    def text(self, locale: str) -> str:
        """The title in a language."""
        return self.texts.get(locale, {}).get("title") or self.title


@dataclass(frozen=True, slots=True)
class Silence:
    """What notifies nobody for a while."""

    id: int
    metric_name: str | None
    dimension: str | None
    fingerprint: str | None
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str


# ----------------------------------------------------------------------------------------------------- reading


def metric_names(pool: ConnectionPool) -> list[str]:
    """Names of all metrics that have thresholds."""
    with transaction(pool) as connection:
        rows = connection.execute(
            "SELECT t.metric_name FROM analytics.metric_thresholds AS t ORDER BY 1"
        ).fetchall()
    return [name for (name,) in rows]


def list_alerts(
    pool: ConnectionPool,
    organization_id: str,
    *,
    open_only: bool = False,
    since: date | None = None,
    incident_id: UUID | None = None,
    limit: int = 1_000,
) -> list[Alert]:
    """Alerts, the latest first, of one day the weightiest first. Corrected ones are left out: they were none.

    `since` is the earliest last day.
    """
    return _read(
        pool,
        organization_id,
        open_only=open_only,
        since=since,
        incident_id=incident_id,
        limit=limit,
    )


def find_alert(pool: ConnectionPool, organization_id: str, name: str) -> Alert:
    """The alert whose id begins with `name`. Raises UnknownName when there is none, or more than one."""
    found = _read(pool, organization_id, id_prefix=name.lower(), limit=2)
    if len(found) != 1:
        many = f"more than one alert's id begins with {name!r}: give more of it"
        raise UnknownName(
            many if found else f"there is no alert {name!r}: tagging alerts list --all shows the ids"
        )
    return found[0]


def _read(
    pool: ConnectionPool,
    organization_id: str,
    *,
    open_only: bool = False,
    since: date | None = None,
    incident_id: UUID | None = None,
    id_prefix: str | None = None,
    limit: int,
) -> list[Alert]:
    # Indexes: dashboard_alerts_metric_date, dashboard_alerts_incident.
    query = """
        SELECT
            a.id, a.alert_type, a.alert_subtype, a.severity, a.priority, a.metric_name, t.display_name,
            t.display_name_zh, t.unit, a.dimension, a.dimension_label, a.direction, a.fingerprint, a.title,
            a.message, a.texts, a.current_value, a.threshold_value, a.metric_date, a.last_metric_date, a.state,
            a.is_active, a.detected_at, a.last_seen_at, a.occurrences, a.expires_at, a.resolved_at, a.resolution,
            a.incident_id, a.acknowledged_at, a.acknowledged_by, a.notes, a.business_context, a.evidence_refs
        FROM analytics.dashboard_alerts AS a
        JOIN analytics.metric_thresholds AS t ON t.metric_name = a.metric_name
        WHERE
            a.organization_id = %(organization)s
            AND CASE
                WHEN %(prefix)s::text IS NULL THEN a.resolution IS DISTINCT FROM 'corrected'
                ELSE starts_with(a.id::text, %(prefix)s)
            END
            AND (a.is_active OR NOT %(open_only)s)
            AND (%(since)s::date IS NULL OR a.last_metric_date >= %(since)s)
            AND (%(incident)s::uuid IS NULL OR a.incident_id = %(incident)s)
        ORDER BY
            a.metric_date DESC, array_position(ARRAY['urgent', 'high', 'medium', 'low'], a.priority::text),
            a.metric_name, a.dimension, a.id
        LIMIT %(limit)s
    """
    parameters = {
        "organization": organization_id,
        "open_only": open_only,
        "since": since,
        "incident": incident_id,
        "prefix": id_prefix,
        "limit": limit,
    }
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Alert)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def alert_events(pool: ConnectionPool, alert_id: UUID) -> list[AlertEvent]:
    """What happened to an alert, oldest first."""
    # Index: alert_events_alert.
    query = """
        SELECT e.event_type, e.occurred_at, e.actor, e.reason, e.run_id, e.after
        FROM analytics.alert_events AS e
        WHERE e.alert_id = %s
        ORDER BY e.event_id
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(AlertEvent)) as cursor:
        return cursor.execute(query, [alert_id]).fetchall()


def list_incidents(
    pool: ConnectionPool,
    organization_id: str,
    *,
    open_only: bool = False,
    since: date | None = None,
    limit: int = 1_000,
) -> list[IncidentSummary]:
    """Incidents, the latest first. `since` is the earliest last day."""
    # Indexes: alert_incidents_opened_on, dashboard_alerts_incident.
    query = """
        SELECT
            i.id, i.state, i.severity, i.title, i.texts, i.opened_on, i.last_seen_on, i.closed_at, i.causes,
            count(a.id)::integer AS alerts, (count(a.id) FILTER (WHERE a.is_active))::integer AS open_alerts,
            coalesce(array_agg(DISTINCT a.metric_name::text) FILTER (WHERE a.id IS NOT NULL), '{}') AS metrics,
            coalesce(bool_and(analytics.is_silenced(a)) FILTER (WHERE a.is_active), false) AS silenced
        FROM analytics.alert_incidents AS i
        LEFT JOIN analytics.dashboard_alerts AS a
            ON a.incident_id = i.id AND a.resolution IS DISTINCT FROM 'corrected'
        WHERE
            i.organization_id = %(organization)s AND (i.state = 'open' OR NOT %(open_only)s)
            AND (%(since)s::date IS NULL OR i.last_seen_on >= %(since)s)
        GROUP BY i.id
        HAVING count(a.id) > 0
        ORDER BY i.opened_on DESC, i.severity = 'critical' DESC, i.severity = 'warning' DESC, i.id
        LIMIT %(limit)s
    """
    parameters = {"organization": organization_id, "open_only": open_only, "since": since, "limit": limit}
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(IncidentSummary)) as cursor:
        return cursor.execute(query, parameters).fetchall()


# ----------------------------------------------------------------------------------------------- people's word


def acknowledge(pool: ConnectionPool, alert_id: UUID, change: ChangeContext) -> None:
    """Note that somebody looks after an alert; whoever said so first stays."""
    with transaction(pool, change) as connection:
        connection.execute(
            """
            UPDATE analytics.dashboard_alerts
            SET acknowledged_at = clock_timestamp(), acknowledged_by = %s
            WHERE id = %s AND acknowledged_at IS NULL
            """,
            [change.actor, alert_id],
        )


def add_note(pool: ConnectionPool, alert_id: UUID, text: str, change: ChangeContext) -> None:
    """Put a line under an alert's notes, with the day and who wrote it."""
    with transaction(pool, change) as connection:
        connection.execute(
            """
            UPDATE analytics.dashboard_alerts
            SET notes = concat_ws(
                chr(10), nullif(notes, ''),
                format('%%s %%s: %%s', to_char(now(), 'YYYY-MM-DD'), %s::text, %s::text)
            )
            WHERE id = %s
            """,
            [change.actor, text.strip(), alert_id],
        )


def close_alert(pool: ConnectionPool, alert_id: UUID, change: ChangeContext) -> bool:
    """End an alert by a person's word; it stays closed for as long as what was closed lasts. False: it was
    over."""
    with transaction(pool, change) as connection:
        closed = connection.execute(
            """
            UPDATE analytics.dashboard_alerts
            SET state = 'resolved', resolution = 'closed', resolved_at = greatest(last_seen_at, detected_at)
            WHERE id = %s AND state IN ('new', 'active')
            """,
            [alert_id],
        )
        return closed.rowcount > 0


def silence(
    pool: ConnectionPool,
    organization_id: str,
    *,
    metric_name: str | None = None,
    dimension: str | None = None,
    fingerprint: str | None = None,
    lasting: timedelta,
    reason: str,
    actor: str,
) -> int:
    """Let what matches all that is given notify nobody for a while; the id of the silence.

    Raises ConfigurationError when nothing is given, or no reason.
    """
    if not (metric_name or dimension or fingerprint):
        raise ConfigurationError("say what is to be silent: a metric, a dimension or an alert")
    if not reason.strip():
        raise ConfigurationError("say why: a silence without a reason is forgotten")
    with transaction(pool) as connection:
        (id,) = connection.execute(
            """
            INSERT INTO analytics.alert_silences (
                organization_id, metric_name, dimension, fingerprint, ends_at, reason, created_by
            )
            VALUES (%s, %s, %s, %s, now() + %s, %s, %s)
            RETURNING id
            """,
            [organization_id, metric_name, dimension, fingerprint, lasting, reason.strip(), actor],
        ).fetchone() or (0,)
    return id


def end_silence(pool: ConnectionPool, organization_id: str, silence_id: int) -> None:
    """End a silence now. Raises UnknownName when there is no such silence, or it is over."""
    with transaction(pool) as connection:
        ended = connection.execute(
            """
            UPDATE analytics.alert_silences
            SET ends_at = greatest(now(), starts_at + interval '1 microsecond')
            WHERE id = %s AND organization_id = %s AND ends_at > now()
            """,
            [silence_id, organization_id],
        )
    if not ended.rowcount:
        raise UnknownName(f"there is no silence {silence_id} that still lasts: tagging alerts silence --list")


def list_silences(pool: ConnectionPool, organization_id: str) -> list[Silence]:
    """Silences that last or are to come, by their end."""
    query = """
        SELECT id, metric_name, dimension, fingerprint, starts_at, ends_at, reason, created_by
        FROM analytics.alert_silences
        WHERE organization_id = %s AND ends_at > now()
        ORDER BY ends_at, id
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Silence)) as cursor:
        return cursor.execute(query, [organization_id]).fetchall()
