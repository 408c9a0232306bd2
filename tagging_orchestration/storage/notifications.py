"""The outbox of notifications: one message an incident and channel, sent at most once whatever crashes.

A sender claims a message and commits before it sends. If it dies in between nobody knows whether the message
arrived, so it becomes a dead letter that a person may send again; a failure that is known is tried again by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.notices import (
    MAX_ATTEMPTS,
    NoticeFacts,
    Notifier,
    back_off,
    compose,
)
from tagging_orchestration.core.errors import ConfigurationError, DeliveryUnknown, TransientError, UnknownName
from tagging_orchestration.storage.connection import transaction

# A claim older than this was left behind by a sender that died: sending takes seconds.
CLAIM_LASTS = timedelta(minutes=10)
ABANDONED = "the process ended while it was sending: the message may have arrived"


@dataclass(frozen=True, slots=True)
class QueueReport:
    """Messages put into the outbox, and messages taken out again because nobody needs them any more."""

    queued: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class SendReport:
    """What sending did: delivered, to be tried again, given up."""

    sent: int = 0
    retried: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up."""

    id: int
    incident_id: UUID
    title: str
    channel: str
    attempts: int
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Claimed:
    id: int
    incident_id: UUID
    channel: str
    attempts: int


def queue_notifications(
    pool: ConnectionPool, organization_id: str, channels: Mapping[str, str], alert_hours: float
) -> QueueReport:
    """Put a message into the outbox for each incident and channel that is to hear of it and has not yet.

    `channels` has the lowest severity of each channel by its name. Incidents count that are open, or opened
    within `alert_hours` of the last business day, and have an alert that is neither acknowledged nor silenced.
    Messages that were never tried and are wanted no more are withdrawn.
    """
    # Indexes: alert_incidents_open, alert_incidents_opened_on, dashboard_alerts_incident, unique key of
    # notifications.
    query = """
        WITH wanted AS (
            SELECT i.id AS incident_id, c.channel
            FROM analytics.alert_incidents AS i
            JOIN unnest(%(channels)s::text[], %(severities)s::text[]) AS c (channel, min_severity)
                ON array_position(ARRAY['info', 'warning', 'critical'], i.severity::text)
                >= array_position(ARRAY['info', 'warning', 'critical'], c.min_severity)
            WHERE
                i.organization_id = %(organization)s
                AND (
                    i.state = 'open'
                    OR (analytics.as_of_day(%(organization)s) - i.opened_on) * 24 <= %(hours)s::float8
                )
                AND EXISTS (
                    SELECT
                    FROM analytics.dashboard_alerts AS a
                    WHERE
                        a.incident_id = i.id AND a.acknowledged_at IS NULL
                        AND a.resolution IS DISTINCT FROM 'corrected' AND a.resolution IS DISTINCT FROM 'closed'
                        AND NOT analytics.is_silenced(a)
                )
        ),
        withdrawn AS (
            DELETE FROM analytics.notifications AS n
            WHERE
                n.organization_id = %(organization)s AND n.status = 'queued' AND n.attempts = 0
                AND n.last_error IS NULL
                AND NOT EXISTS (
                    SELECT FROM wanted AS w WHERE w.incident_id = n.incident_id AND w.channel = n.channel
                )
            RETURNING n.id
        ),
        queued AS (
            INSERT INTO analytics.notifications (organization_id, incident_id, channel)
            SELECT %(organization)s, w.incident_id, w.channel
            FROM wanted AS w
            ORDER BY w.incident_id, w.channel
            ON CONFLICT (incident_id, channel) DO NOTHING
            RETURNING id
        )
        SELECT (SELECT count(*) FROM queued), (SELECT count(*) FROM withdrawn)
    """
    parameters = {
        "organization": organization_id,
        "channels": list(channels),
        "severities": list(channels.values()),
        "hours": alert_hours,
    }
    with transaction(pool) as connection:
        return QueueReport(*(connection.execute(query, parameters).fetchone() or (0, 0)))


def send_due(
    pool: ConnectionPool,
    organization_id: str,
    notifier: Notifier,
    *,
    locale: str,
    now: Callable[[], datetime],
) -> SendReport:
    """Send what is due, one message after the other; several senders share the outbox.

    Every failure is kept beside its message, never raised: one channel that is down stops no other.
    """
    dead = _bury_abandoned(pool, organization_id, now() - CLAIM_LASTS)
    sent = retried = 0
    while claimed := _claim(pool, organization_id, now()):
        try:
            notifier.deliver(claimed.channel, compose(_facts(pool, claimed.incident_id, locale), locale))
        except TransientError as error:
            if claimed.attempts < MAX_ATTEMPTS:
                _note(pool, claimed.id, "queued", str(error), now() + back_off(claimed.attempts))
                retried += 1
                continue
            _note(pool, claimed.id, "dead", f"given up after {claimed.attempts} attempts: {error}")
            dead += 1
        except (ConfigurationError, DeliveryUnknown) as error:
            _note(pool, claimed.id, "dead", str(error))
            dead += 1
        else:
            _note(pool, claimed.id, "sent", None, sent_at=now())
            sent += 1
    return SendReport(sent, retried, dead)


def count_due(pool: ConnectionPool, organization_id: str, now: datetime) -> int:
    """How many messages wait to be sent now, or were left behind by a sender that died."""
    # Index: notifications_due.
    query = """
        SELECT count(*)
        FROM analytics.notifications AS n
        WHERE
            n.organization_id = %(organization)s
            AND (
                (n.status = 'queued' AND n.next_attempt_at <= %(now)s)
                OR (n.status = 'sending' AND n.claimed_at < %(abandoned)s)
            )
    """
    parameters = {"organization": organization_id, "now": now, "abandoned": now - CLAIM_LASTS}
    with transaction(pool) as connection:
        (due,) = connection.execute(query, parameters).fetchone() or (0,)
    return due


def list_dead_letters(pool: ConnectionPool, organization_id: str) -> list[DeadLetter]:
    """Messages that were given up, oldest first."""
    query = """
        SELECT n.id, n.incident_id, i.title, n.channel, n.attempts, n.last_error, n.created_at
        FROM analytics.notifications AS n
        JOIN analytics.alert_incidents AS i ON i.id = n.incident_id
        WHERE n.organization_id = %s AND n.status = 'dead'
        ORDER BY n.id
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(query, [organization_id]).fetchall()


def retry_dead_letters(pool: ConnectionPool, organization_id: str, notification_id: int | None = None) -> int:
    """Put dead letters back into the outbox, one or all; how many. Raises UnknownName when the one is not
    there."""
    query = """
        UPDATE analytics.notifications
        SET status = 'queued', attempts = 0, next_attempt_at = now(), claimed_at = NULL
        WHERE organization_id = %(organization)s AND status = 'dead' AND (%(id)s::bigint IS NULL OR id = %(id)s)
    """
    with transaction(pool) as connection:
        put_back = connection.execute(query, {"organization": organization_id, "id": notification_id}).rowcount
    if notification_id is not None and not put_back:
        raise UnknownName(f"there is no dead letter {notification_id}: tagging alerts dead-letters lists them")
    return put_back


def _claim(pool: ConnectionPool, organization_id: str, now: datetime) -> _Claimed | None:
    # Index: notifications_due.
    query = """
        UPDATE analytics.notifications
        SET status = 'sending', attempts = attempts + 1, claimed_at = %(now)s
        WHERE id = (
            SELECT n.id
            FROM analytics.notifications AS n
            WHERE n.organization_id = %(organization)s AND n.status = 'queued' AND n.next_attempt_at <= %(now)s
            ORDER BY n.next_attempt_at, n.id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id, incident_id, channel, attempts
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(_Claimed)) as cursor:
        return cursor.execute(query, {"organization": organization_id, "now": now}).fetchone()


def _bury_abandoned(pool: ConnectionPool, organization_id: str, before: datetime) -> int:
    # Index: notifications_due.
    with transaction(pool) as connection:
        return connection.execute(
            """
            UPDATE analytics.notifications
            SET status = 'dead', last_error = %s
            WHERE organization_id = %s AND status = 'sending' AND claimed_at < %s
            """,
            [ABANDONED, organization_id, before],
        ).rowcount


def _note(
    pool: ConnectionPool,
    id: int,
    status: str,
    error: str | None,
    next_attempt_at: datetime | None = None,
    sent_at: datetime | None = None,
) -> None:
    with transaction(pool) as connection:
        connection.execute(
            """
            UPDATE analytics.notifications
            SET
                status = %s, last_error = %s, next_attempt_at = coalesce(%s, next_attempt_at), sent_at = %s,
                claimed_at = NULL
            WHERE id = %s
            """,
            [status, error, next_attempt_at, sent_at, id],
        )


def _facts(pool: ConnectionPool, incident_id: UUID, locale: str) -> NoticeFacts:
    # Indexes: primary key of alert_incidents, dashboard_alerts_incident.
    query = """
        SELECT
            i.severity, coalesce(i.texts #>> ARRAY[%(locale)s, 'title'], i.title), i.opened_on, i.causes,
            array(
                SELECT coalesce(a.texts #>> ARRAY[%(locale)s, 'message'], a.message)
                FROM analytics.dashboard_alerts AS a
                WHERE a.incident_id = i.id AND a.resolution IS DISTINCT FROM 'corrected'
                ORDER BY
                    array_position(ARRAY['urgent', 'high', 'medium', 'low'], a.priority::text), a.metric_date,
                    a.metric_name, a.dimension, a.id
            )
        FROM analytics.alert_incidents AS i
        WHERE i.id = %(incident)s
    """
    with transaction(pool) as connection:
        row: tuple[Any, ...] = connection.execute(
            query, {"incident": incident_id, "locale": locale}
        ).fetchone() or ("info", "", None, [], [])
    severity, title, opened_on, causes, messages = row
    return NoticeFacts(
        incident_id,
        severity,
        title,
        opened_on,
        tuple(messages),
        tuple((cause["tag"], cause["count"], cause["lift"]) for cause in causes),
    )
