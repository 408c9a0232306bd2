"""What the watch over the AI reads, and the alerts it writes among those of the business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.alerts import Phase, Resolution
from tagging_orchestration.core.enhancement.subjects import ABOUT_AI
from tagging_orchestration.core.enhancement.watch import (
    METRICS,
    AiFigures,
    DailyUse,
    Finding,
    Limits,
    ProviderFigures,
    WatchRules,
)
from tagging_orchestration.core.enhancement.watch_life import WatchedAlert, business_context, fingerprint
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import AiSettings
from tagging_orchestration.storage.connection import transaction

LOCK = "tagging-ai-watch"
PROBE_HOURS = 24
PAST_DAYS = 7
MILLIONTHS = 1_000_000


def load_limits(pool: ConnectionPool) -> dict[str, Limits]:
    """The limits of the AI's metrics that are switched on; none before the thresholds were first published."""
    query = """
        SELECT
            t.metric_name, t.comparison, t.warning_threshold::float8 AS warning,
            t.critical_threshold::float8 AS critical
        FROM analytics.metric_thresholds AS t
        WHERE t.metric_name = ANY (%s) AND t.enabled
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Limits)) as cursor:
        return {limits.metric_name: limits for limits in cursor.execute(query, [list(METRICS)])}


def load_figures(
    pool: ConnectionPool, organization_id: str, ai: AiSettings, rules: WatchRules, now: datetime
) -> AiFigures:
    """What the watch judges: active providers with their calls and probes, and the use of the daily limits."""
    with transaction(pool) as connection:
        past = _daily_use(connection, now)
        cost, tokens = ai.daily_cost_limit_usd * MILLIONTHS, ai.daily_token_limit
        return AiFigures(
            _providers(connection, organization_id, rules, now),
            _in_dollars(_use(past, "cost", cost, now)),
            _use(past, "day", tokens, now),
        )


def _providers(
    connection: Connection, organization_id: str, rules: WatchRules, now: datetime
) -> tuple[ProviderFigures, ...]:
    # Indexes: ai_usage_logs_performance, primary key of ai_provider_probes.
    query = """
        SELECT
            p.name, p.display_name, p.health_status, p.health_detail, p.consecutive_failures, l.calls, l.successes,
            coalesce(l.main_error, '') AS main_error, l.p95_response_ms, l.answers, l.valid_answers, o.probes,
            o.good_probes
        FROM ai.ai_providers AS p
        CROSS JOIN LATERAL (
            SELECT
                count(*)::integer AS calls,
                (count(*) FILTER (WHERE u.status = 'success'))::integer AS successes,
                mode() WITHIN GROUP (ORDER BY coalesce(u.error_subtype, u.error_type)) AS main_error,
                percentile_cont(0.95) WITHIN GROUP (ORDER BY u.response_time_ms) AS p95_response_ms,
                count(u.schema_valid)::integer AS answers,
                (
                    count(*) FILTER (WHERE u.schema_valid AND u.evidence_valid IS NOT false)
                )::integer AS valid_answers
            FROM ai.ai_usage_logs AS u
            WHERE
                u.provider_id = p.id AND u.created_at > %(window)s AND u.created_at <= %(now)s AND u.called
                AND u.error_subtype IS DISTINCT FROM 'cancelled'
                AND u.organization_id = %(organization)s
        ) AS l
        CROSS JOIN LATERAL (
            SELECT
                count(*)::integer AS probes,
                (count(*) FILTER (WHERE b.status <> 'unhealthy'))::integer AS good_probes
            FROM ai.ai_provider_probes AS b
            WHERE b.provider_id = p.id AND b.probed_at > %(day)s AND b.probed_at <= %(now)s
        ) AS o
        WHERE p.is_active
        ORDER BY p.name
    """
    parameters = {
        "organization": organization_id,
        "window": now - timedelta(hours=rules.window_hours),
        "day": now - timedelta(hours=PROBE_HOURS),
        "now": now,
    }
    with connection.cursor(row_factory=class_row(ProviderFigures)) as cursor:
        return tuple(cursor.execute(query, parameters))


def _daily_use(connection: Connection, now: datetime) -> Mapping[str, dict[datetime, float]]:
    """Tokens and millionths of a dollar by scope and window, today's and those of the past week. All organisations
    share them (storage/ai_budgets.py)."""
    # Index: primary key of ai_token_budgets.
    query = """
        SELECT b.scope, b.window_start, b.used::float8
        FROM ai.ai_token_budgets AS b
        WHERE
            b.organization_id = 'default' AND b.scope IN ('day', 'cost') AND b.window_start > %s
            AND b.window_start <= %s
    """
    found: dict[str, dict[datetime, float]] = {"day": {}, "cost": {}}
    since = now - timedelta(days=PAST_DAYS + 1)
    for scope, window_start, used in connection.execute(query, [since, now]):
        found[scope][window_start] = used
    return found


def _use(windows: Mapping[str, dict[datetime, float]], scope: str, limit: float, now: datetime) -> DailyUse:
    """The window of today apart from those before; days without use have none."""
    today = now - timedelta(days=1)
    used = windows[scope]
    return DailyUse(
        sum(value for start, value in used.items() if start > today),
        limit,
        tuple(value for start, value in sorted(used.items()) if start <= today and value > 0),
    )


def _in_dollars(use: DailyUse) -> DailyUse:
    return DailyUse(use.used / MILLIONTHS, use.limit / MILLIONTHS, tuple(value / MILLIONTHS for value in use.past))


# ------------------------------------------------------------------------------------------------------ alerts


def update_alerts(
    pool: ConnectionPool,
    organization_id: str,
    decide: Callable[[Sequence[WatchedAlert]], Sequence[WatchedAlert]],
    now: datetime,
    *,
    memory: timedelta,
    locale: str,
    change: ChangeContext,
) -> tuple[Mapping[tuple[str, str, str], WatchedAlert], Sequence[WatchedAlert]]:
    """Let `decide` make of the latest alert of each key what it becomes, and store it: what was there by key, and
    what changed. One watch at a time, so that no alert is opened twice."""
    with transaction(pool, change) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{LOCK}:{organization_id}"])
        stored = _stored(connection, organization_id, now - memory)
        changed = decide(stored)
        # What ends goes first: only one alert of a fingerprint may be open at any moment.
        for alert in sorted(changed, key=lambda alert: alert.is_open):
            _save(connection, organization_id, alert, now, memory, locale, change.run_id)
    return {alert.key: alert for alert in stored}, changed


def _stored(connection: Connection, organization_id: str, since: datetime) -> list[WatchedAlert]:
    # Index: dashboard_alerts_metric_date. Alerts are rare: thousands a year at most.
    query = """
        SELECT DISTINCT ON (a.fingerprint)
            a.id, ARRAY[a.metric_name, a.alert_type, a.dimension] AS key, a.state, a.resolution, a.occurrences,
            a.quiet_runs, a.detected_at, a.last_seen_at, a.resolved_at
        FROM analytics.dashboard_alerts AS a
        WHERE
            a.organization_id = %s AND starts_with(a.alert_subtype, %s)
            AND (a.is_active OR a.last_seen_at > %s)
        ORDER BY a.fingerprint, a.detected_at DESC, a.id
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return [
            WatchedAlert(
                row["id"],
                tuple(row["key"]),
                Phase(row["state"]),
                Resolution(row["resolution"]) if row["resolution"] else None,
                row["occurrences"],
                row["quiet_runs"],
                row["detected_at"],
                row["last_seen_at"],
                row["resolved_at"],
            )
            for row in cursor.execute(query, [organization_id, ABOUT_AI, since])
        ]


def _save(
    connection: Connection,
    organization_id: str,
    alert: WatchedAlert,
    now: datetime,
    memory: timedelta,
    locale: str,
    run_id: str | None,
) -> None:
    if alert.finding and alert.detected_at == now:
        _insert(connection, organization_id, alert, alert.finding, memory, locale, run_id)
        return
    # Index: primary key of dashboard_alerts. A look without a finding leaves the words as they are.
    connection.execute(
        """
        UPDATE analytics.dashboard_alerts AS a
        SET
            state = %(state)s,
            resolution = %(resolution)s,
            resolved_at = %(resolved_at)s,
            occurrences = %(occurrences)s,
            quiet_runs = %(quiet_looks)s,
            last_seen_at = %(last_seen_at)s,
            last_metric_date = greatest(
                a.last_metric_date, analytics.business_day(%(last_seen_at)s, a.organization_id)
            ),
            expires_at = %(expires_at)s,
            severity = coalesce(%(severity)s, a.severity),
            priority = coalesce(%(priority)s, a.priority),
            dimension_label = coalesce(%(dimension_label)s, a.dimension_label),
            title = coalesce(%(title)s, a.title),
            message = coalesce(%(message)s, a.message),
            texts = coalesce(%(texts)s, a.texts),
            current_value = coalesce(%(current_value)s, a.current_value),
            threshold_value = coalesce(%(threshold_value)s, a.threshold_value)
        WHERE a.id = %(id)s
        """,
        _columns(alert, memory, locale),
    )


def _insert(
    connection: Connection,
    organization_id: str,
    alert: WatchedAlert,
    finding: Finding,
    memory: timedelta,
    locale: str,
    run_id: str | None,
) -> None:
    day, is_open, currency = connection.execute(
        """
        SELECT
            analytics.business_day(%(now)s, %(organization)s),
            analytics.is_business_hours(%(now)s, %(organization)s),
            coalesce(max(b.currency), 'USD')
        FROM analytics.business_profile AS b
        WHERE b.organization_id = %(organization)s
        """,
        {"now": alert.detected_at, "organization": organization_id},
    ).fetchone() or (alert.detected_at.date(), False, "USD")
    context = business_context(finding, alert.detected_at, day, is_open=is_open, currency=currency)
    connection.execute(
        """
        INSERT INTO analytics.dashboard_alerts (
            id, organization_id, alert_type, alert_subtype, severity, priority, metric_name, dimension,
            dimension_label, direction, fingerprint, title, message, texts, current_value, threshold_value,
            business_context, metric_date, last_metric_date, state, detected_at, first_detected_at, last_seen_at,
            expires_at, run_id
        )
        VALUES (
            %(id)s, %(organization)s, %(alert_type)s, %(alert_subtype)s, %(severity)s, %(priority)s,
            %(metric_name)s, %(dimension)s, %(dimension_label)s, %(direction)s, %(fingerprint)s, %(title)s,
            %(message)s, %(texts)s, %(current_value)s, %(threshold_value)s, %(context)s, %(day)s, %(day)s,
            %(state)s, %(last_seen_at)s, %(last_seen_at)s, %(last_seen_at)s, %(expires_at)s, %(run_id)s
        )
        """,
        _columns(alert, memory, locale)
        | {
            "organization": organization_id,
            "alert_type": finding.alert_type,
            "alert_subtype": finding.alert_subtype,
            "metric_name": finding.metric_name,
            "dimension": finding.dimension,
            "direction": finding.direction,
            "fingerprint": fingerprint(organization_id, alert.key),
            "context": Jsonb(context),
            "day": day,
            "run_id": run_id,
        },
    )


def _columns(alert: WatchedAlert, memory: timedelta, locale: str) -> dict[str, Any]:
    """The life of an alert, and what it says; None for what a look without a finding does not know."""
    finding = alert.finding
    said = finding.texts["zh-Hant" if locale == "zh-Hant" else "en"] if finding else {}
    return {
        "id": alert.id,
        "state": alert.phase.value,
        "resolution": alert.resolution.value if alert.resolution else None,
        "resolved_at": alert.resolved_at,
        "occurrences": alert.occurrences,
        "quiet_looks": alert.quiet_looks,
        "last_seen_at": alert.last_seen_at,
        "expires_at": alert.last_seen_at + memory,
        "severity": finding.severity.value if finding else None,
        "priority": finding.priority if finding else None,
        "dimension_label": finding.dimension_label if finding else None,
        "title": said.get("title"),
        "message": said.get("message"),
        "texts": Jsonb(finding.texts) if finding else None,
        "current_value": finding.current_value if finding else None,
        "threshold_value": finding.threshold_value if finding else None,
    }
