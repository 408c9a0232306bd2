"""Rows of the schema `ai` for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from psycopg_pool import ConnectionPool


def add_templates(pool: ConnectionPool, *keys: str) -> None:
    """Active templates with these keys, by plain SQL."""
    with pool.connection() as connection:
        for key in keys:
            connection.execute(
                """
                INSERT INTO ai.ai_prompt_templates (template_key, template_name, category, prompt_template)
                VALUES (%s, '測試', 'analysis', '{{business_context}}')
                ON CONFLICT DO NOTHING
                """,
                [key],
            )


def log_call(
    pool: ConnectionPool,
    *,
    provider: str = "local",
    model: str = "phi4-mini:latest",
    template_key: str = "alert_enhancement",
    response_time_ms: int = 100,
    error_subtype: str | None = None,
    called: bool = True,
    cache_status: str = "miss",
    tokens: tuple[int, int] = (0, 0),
    cost: float = 0,
    schema_valid: bool | None = None,
    created_at: datetime | None = None,
) -> None:
    """One row of ai_usage_logs; an error where `error_subtype` is given."""
    at = created_at or datetime.now(UTC)
    with pool.connection() as connection:
        connection.execute("SELECT ai.ensure_usage_log_partitions(%s::date, 1)", [at])
        connection.execute(
            """
            INSERT INTO ai.ai_usage_logs (
                created_at, request_id, template_key, template_version, enhancement_type, subject_type, subject_id,
                provider_id, provider_name, model, cache_status, called, started_at, finished_at, response_time_ms,
                status, error_type, error_subtype, tokens_prompt, tokens_completion, estimated_cost_usd,
                schema_valid
            )
            SELECT
                %(at)s, %(request)s, %(key)s, '1.0', %(key)s, 'alert', '1', p.id, p.name, %(model)s, %(cache)s,
                %(called)s, %(at)s, %(at)s, %(ms)s,
                CASE WHEN %(error)s::text IS NULL THEN 'success' ELSE 'error' END,
                CASE WHEN %(error)s::text IS NOT NULL THEN 'general_error' END, %(error)s, %(tokens_in)s,
                %(tokens_out)s, %(cost)s, %(schema_valid)s
            FROM ai.ai_providers AS p
            WHERE p.name = %(provider)s
            """,
            {
                "at": at,
                "request": uuid4(),
                "key": template_key,
                "model": model,
                "cache": cache_status,
                "called": called,
                "ms": response_time_ms,
                "error": error_subtype,
                "tokens_in": tokens[0],
                "tokens_out": tokens[1],
                "cost": cost,
                "schema_valid": schema_valid,
                "provider": provider,
            },
        )
