"""Figures of the AI's use, summed from the log of calls."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row, dict_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.display import HIGH_CONFIDENCE, MEDIUM_CONFIDENCE
from tagging_orchestration.core.enhancement.figures import (
    Bucket,
    BudgetShare,
    EnhancementMetrics,
    ErrorCount,
    Grouping,
    UsagePoint,
    UsageTotal,
)
from tagging_orchestration.settings import AiSettings
from tagging_orchestration.storage.ai_budgets import AIRateLimiter
from tagging_orchestration.storage.connection import transaction

MILLIONTHS = 1_000_000
BANDS = {"high": HIGH_CONFIDENCE, "medium": MEDIUM_CONFIDENCE}


def usage_series(
    pool: ConnectionPool, organization: str, *, since: datetime, bucket: Bucket = "hour"
) -> list[UsagePoint]:
    """Use by provider and hour or day, oldest first; hours and days without use have no point."""
    # Index: ai_usage_logs_cost (partitions before `since` are not looked at).
    query = """
        SELECT
            date_trunc(%(bucket)s, u.created_at, 'UTC') AS at,
            coalesce(u.provider_name, '') AS provider,
            count(DISTINCT u.request_id) AS requests,
            count(DISTINCT u.request_id) FILTER (WHERE u.status = 'success') AS answered,
            count(DISTINCT u.request_id) FILTER (
                WHERE u.cache_status IN ('hit', 'stale') AND u.status = 'success'
            ) AS cached,
            count(*) FILTER (WHERE u.called) AS calls,
            count(*) FILTER (WHERE u.called AND u.status = 'success') AS successes,
            sum(u.tokens_total)::bigint AS tokens,
            sum(u.estimated_cost_usd)::float8 AS cost_usd,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY u.response_time_ms) FILTER (WHERE u.called)
                AS p50_response_ms,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY u.response_time_ms) FILTER (WHERE u.called)
                AS p95_response_ms,
            count(*) FILTER (WHERE u.called AND u.confidence >= %(high)s) AS high_confidence,
            count(*) FILTER (WHERE u.called AND u.confidence >= %(medium)s AND u.confidence < %(high)s)
                AS medium_confidence,
            count(*) FILTER (WHERE u.called AND u.confidence < %(medium)s) AS low_confidence
        FROM ai.ai_usage_logs AS u
        WHERE u.organization_id = %(organization)s AND u.created_at >= %(since)s
        GROUP BY 1, 2
        ORDER BY 1, 2
    """
    parameters = {"organization": organization, "since": since, "bucket": bucket, **BANDS}
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(UsagePoint)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def usage_totals(
    pool: ConnectionPool, organization: str, *, since: datetime, by: Grouping | None = None
) -> list[UsageTotal]:
    """Use since a moment by provider, template, ..., the dearest first (days: oldest first); without `by` one row,
    whose name is 'all'."""
    # Index: ai_usage_logs_cost (partitions before `since` are not looked at).
    query = """
        SELECT
            CASE %(by)s
                WHEN 'provider' THEN coalesce(u.provider_name, '')
                WHEN 'model' THEN concat_ws(' ', u.provider_name, u.model)
                WHEN 'template' THEN u.template_key
                WHEN 'subject' THEN u.subject_type
                WHEN 'day' THEN to_char(u.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                ELSE 'all'
            END AS name,
            count(DISTINCT u.request_id) AS requests,
            count(*) FILTER (WHERE u.called) AS calls,
            avg((u.status = 'success')::integer::float8) FILTER (WHERE u.called) AS success_rate,
            (
                count(DISTINCT u.request_id) FILTER (
                    WHERE u.cache_status IN ('hit', 'stale') AND u.status = 'success'
                )::float8 / nullif(count(DISTINCT u.request_id) FILTER (WHERE u.cache_status <> 'bypass'), 0)
            ) AS cache_hit_rate,
            (avg(u.response_time_ms) FILTER (WHERE u.called))::float8 AS avg_response_ms,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY u.response_time_ms) FILTER (WHERE u.called)
                AS p95_response_ms,
            coalesce(sum(u.tokens_total), 0)::bigint AS tokens,
            coalesce(bool_or(u.tokens_estimated), false) AS tokens_estimated,
            coalesce(sum(u.estimated_cost_usd), 0)::float8 AS cost_usd,
            (
                sum(u.estimated_cost_usd) / nullif(count(*) FILTER (WHERE u.called AND u.status = 'success'), 0)
            )::float8 AS cost_per_success_usd
        FROM ai.ai_usage_logs AS u
        WHERE u.organization_id = %(organization)s AND u.created_at >= %(since)s
        GROUP BY 1
        ORDER BY CASE %(by)s WHEN 'day' THEN 0 ELSE sum(u.estimated_cost_usd) END DESC,
            CASE %(by)s WHEN 'day' THEN 0 ELSE sum(u.tokens_total) END DESC, 1
    """
    parameters = {"organization": organization, "since": since, "by": by or "all"}
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(UsageTotal)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def error_counts(pool: ConnectionPool, organization: str, *, since: datetime) -> list[ErrorCount]:
    """Errors since a moment, the most frequent first."""
    # Index: ai_usage_logs_cost (partitions before `since` are not looked at).
    query = """
        SELECT u.error_type, coalesce(u.error_subtype, '') AS error_subtype, count(*) AS count
        FROM ai.ai_usage_logs AS u
        WHERE u.organization_id = %s AND u.created_at >= %s AND u.error_type IS NOT NULL
        GROUP BY 1, 2
        ORDER BY 3 DESC, 1, 2
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(ErrorCount)) as cursor:
        return cursor.execute(query, [organization, since]).fetchall()


def budget_use(pool: ConnectionPool, ai: AiSettings, now: datetime) -> list[BudgetShare]:
    """The budgets of the day, the cost and the hour as they stand; limits are those of the settings."""
    found = {use.scope: (float(use.used), float(use.reserved)) for use in AIRateLimiter(pool).use(now)}
    used, reserved = found.get("cost", (0.0, 0.0))
    return [
        BudgetShare("day", *found.get("day", (0.0, 0.0)), limit=ai.daily_token_limit),
        BudgetShare("cost", used / MILLIONTHS, reserved / MILLIONTHS, ai.daily_cost_limit_usd),
        BudgetShare("hour", *found.get("hour", (0.0, 0.0)), limit=ai.hourly_request_limit),
    ]


def enhancement_metrics(
    pool: ConnectionPool, organization: str, hours: float = 24, now: datetime | None = None
) -> EnhancementMetrics:
    """How the AI did for people in the last hours. Proposals of tags are none of its answers to people, but count
    as requests."""
    # Indexes: ai_usage_logs_cost (partitions before are not looked at), ai_enhancements_created_at, primary key of
    # ai_enhancement_votes.
    query = """
        WITH span AS (
            SELECT coalesce(%(now)s, now()) - %(length)s::interval AS since, coalesce(%(now)s, now()) AS until
        ),
        requests AS (
            SELECT
                bool_or(u.status = 'success') AS answered,
                bool_or(u.cache_status IN ('hit', 'stale') AND u.status = 'success')
                    FILTER (WHERE u.cache_status <> 'bypass') AS cached
            FROM ai.ai_usage_logs AS u, span AS s
            WHERE u.organization_id = %(organization)s AND u.created_at > s.since AND u.created_at <= s.until
            GROUP BY u.request_id
        ),
        calls AS (
            SELECT avg(u.response_time_ms)::float8 AS response_ms
            FROM ai.ai_usage_logs AS u, span AS s
            WHERE
                u.organization_id = %(organization)s AND u.created_at > s.since AND u.created_at <= s.until
                AND u.called
        ),
        answers AS (
            SELECT
                e.confidence,
                EXISTS (SELECT FROM ai.ai_enhancement_votes AS v WHERE v.enhancement_id = e.id) AS voted
            FROM ai.ai_enhancements AS e, span AS s
            WHERE
                e.organization_id = %(organization)s AND e.created_at > s.since AND e.created_at <= s.until
                AND e.status = 'success' AND e.subject_type <> 'content'
        )
        SELECT r.*, (SELECT c.response_ms FROM calls AS c) AS average_response_ms, a.*
        FROM (
            SELECT
                count(*) / (extract(epoch FROM %(length)s::interval) / 3600)::float8 AS requests_per_hour,
                avg(cached::integer)::float8 AS cache_hit_rate,
                avg(answered::integer)::float8 AS enhancement_success_rate
            FROM requests
        ) AS r
        CROSS JOIN (
            SELECT
                avg(voted::integer)::float8 AS user_engagement_rate,
                count(*) FILTER (WHERE confidence >= %(high)s) AS high_confidence,
                count(*) FILTER (WHERE confidence >= %(medium)s AND confidence < %(high)s) AS medium_confidence,
                count(*) FILTER (WHERE confidence < %(medium)s) AS low_confidence
            FROM answers
        ) AS a
    """
    parameters: dict[str, Any] = {
        "organization": organization,
        "length": timedelta(hours=hours),
        "now": now,
        **BANDS,
    }
    with transaction(pool) as connection, connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query, parameters).fetchone() or {}
    return EnhancementMetrics(**row)
