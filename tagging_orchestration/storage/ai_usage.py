"""The log of calls: one row an attempt, whether it left, was refused or came from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection, errors
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.models import (
    CacheStatus,
    ErrorSubtype,
    ErrorType,
    PromptTemplate,
    Severity,
    SubjectType,
)
from tagging_orchestration.storage.connection import transaction


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One attempt. `called`: whether a request left. Money is millionths of a US dollar, times are UTC."""

    organization_id: str
    request_id: UUID
    attempt: int
    template: PromptTemplate
    enhancement_type: str
    severity: Severity | None
    subject_type: SubjectType
    subject_id: str
    cache_status: CacheStatus
    status: Literal["success", "error", "rejected"]
    started_at: datetime
    finished_at: datetime
    response_time_ms: int
    called: bool = False
    prompt_sha256: str | None = None
    context_hash: str | None = None
    provider_id: UUID | None = None
    provider_name: str | None = None
    model: str | None = None
    model_digest: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    error_type: ErrorType | None = None
    error_subtype: ErrorSubtype | None = None
    http_status: int | None = None
    tokens_prompt: int = 0
    tokens_completion: int = 0
    tokens_estimated: bool = False
    cost_micro_usd: int = 0
    confidence: float | None = None
    schema_valid: bool | None = None
    evidence_valid: bool | None = None
    prompt: str | None = None
    run_id: str | None = None


def log_usage(pool: ConnectionPool, row: UsageRow) -> None:
    """Append a row, in a transaction of its own."""
    with transaction(pool) as connection:
        append_usage(connection, row)


def append_usage(connection: Connection, row: UsageRow) -> None:
    """Append a row within the caller's transaction; the month's partition is made where it is missing."""
    try:
        with connection.transaction():
            _insert(connection, row)
    except errors.CheckViolation as error:
        if "no partition of relation" not in str(error):
            raise
        connection.execute("SELECT ai.ensure_usage_log_partitions(%s::date)", [row.finished_at])
        _insert(connection, row)


def _insert(connection: Connection, row: UsageRow) -> None:
    connection.execute(
        """
        INSERT INTO ai.ai_usage_logs (
            organization_id, created_at, request_id, attempt, template_key, template_version, template_locale,
            ab_group, prompt_sha256, context_hash, enhancement_type, severity, subject_type, subject_id,
            provider_id, provider_name, model, model_digest, params, cache_status, called, started_at, finished_at,
            response_time_ms, status, error_type, error_subtype, http_status, tokens_prompt, tokens_completion,
            tokens_estimated, estimated_cost_usd, confidence, schema_valid, evidence_valid, prompt, run_id
        )
        VALUES (
            %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
            %s, %s, %s, %s, %s, %s::numeric / 1000000, %s, %s, %s, %s, %s
        )
        """,
        [
            row.organization_id,
            row.finished_at,
            row.request_id,
            row.attempt,
            row.template.template_key,
            row.template.version,
            row.template.locale,
            row.template.ab_group,
            row.prompt_sha256,
            row.context_hash,
            row.enhancement_type,
            row.severity,
            row.subject_type,
            row.subject_id,
            row.provider_id,
            row.provider_name,
            row.model,
            row.model_digest,
            Jsonb(dict(row.params)),
            row.cache_status,
            row.called,
            row.started_at,
            row.finished_at,
            row.response_time_ms,
            row.status,
            row.error_type,
            row.error_subtype,
            row.http_status,
            row.tokens_prompt,
            row.tokens_completion,
            row.tokens_estimated,
            row.cost_micro_usd,
            row.confidence,
            row.schema_valid,
            row.evidence_valid,
            row.prompt,
            row.run_id,
        ],
    )
