"""Answers of language models: the cache of 24 hours, and the one place where a call is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.models import (
    Ask,
    ErrorSubtype,
    ErrorType,
    LlmReply,
    ParsedAnswer,
)
from tagging_orchestration.storage.connection import transaction

FRESH = timedelta(minutes=15)
KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer of the cache."""

    id: UUID
    result: Mapping[str, Any]
    confidence: float
    degraded: bool
    flags: list[str]
    evidence: list[Mapping[str, Any]]
    provider_name: str
    model: str
    context_hash: str
    created_at: datetime
    fresh_until: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call that begins is about: everything that is needed to render and ask it again."""

    ask: Ask
    cache_key: str
    context_hash: str
    prompt_sha256: str
    variables: Mapping[str, Any]
    provider_id: UUID
    provider_name: str
    model: str
    params: Mapping[str, Any]
    request_id: UUID


@dataclass(frozen=True, slots=True)
class CallState:
    """How a call that somebody else makes stands."""

    status: Literal["loading", "success", "error"]
    error_type: str | None
    error_subtype: str | None
    expires_at: datetime


def find_answer(pool: ConnectionPool, cache_key: str, at: datetime) -> StoredAnswer | None:
    """The newest answer of a key that has not expired; at the very moment of `expires_at` it has."""
    with transaction(pool) as connection:
        # index: ai_enhancements_cache
        return (
            connection.cursor(row_factory=class_row(StoredAnswer))
            .execute(
                """
                SELECT
                    id, result, confidence::float8 AS confidence, degraded, flags, evidence, provider_name, model,
                    context_hash, created_at, fresh_until
                FROM ai.ai_enhancements
                WHERE cache_key = %s AND status = 'success' AND expires_at > %s
                ORDER BY created_at DESC
                LIMIT 1
                """,
                [cache_key, at],
            )
            .fetchone()
        )


def claim(pool: ConnectionPool, call: Claim, at: datetime, lease: timedelta) -> UUID | None:
    """Become the one who makes the call of a key; the id of its row. None where somebody else is making it.

    The claim of a process that died lapses with its lease, and is then marked as lost.
    """
    with transaction(pool) as connection:
        # index: ai_enhancements_one_call
        connection.execute(
            """
            UPDATE ai.ai_enhancements
            SET status = 'error', error_type = 'general_error', error_subtype = 'incomplete'
            WHERE cache_key = %s AND status = 'loading' AND expires_at <= %s
            """,
            [call.cache_key, at],
        )
        row = connection.execute(
            """
            INSERT INTO ai.ai_enhancements (
                id, organization_id, cache_key, context_hash, subject_type, subject_id, enhancement_type, severity,
                template_key, template_version, template_locale, ab_group, requested_key, prompt_sha256, variables,
                provider_id, provider_name, model, params, status, request_id, run_id, created_at, fresh_until,
                expires_at
            )
            VALUES (
                %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'loading', %s, %s, %s,
                %s, %s
            )
            ON CONFLICT (cache_key) WHERE status = 'loading' DO NOTHING
            RETURNING id
            """,
            [
                uuid4(),
                call.ask.organization_id,
                call.cache_key,
                call.context_hash,
                call.ask.subject_type,
                call.ask.subject_id,
                call.ask.enhancement_type,
                call.ask.severity,
                call.ask.template.template_key,
                call.ask.template.version,
                call.ask.template.locale,
                call.ask.template.ab_group,
                call.ask.requested_key,
                call.prompt_sha256,
                Jsonb(dict(call.variables)),
                call.provider_id,
                call.provider_name,
                call.model,
                Jsonb(dict(call.params)),
                call.request_id,
                call.ask.run_id,
                at,
                at,
                at + lease,
            ],
        ).fetchone()
    return row[0] if row else None


def extend_claim(pool: ConnectionPool, enhancement_id: UUID, until: datetime) -> None:
    """Keep a claim for longer: another attempt begins."""
    with transaction(pool) as connection:
        connection.execute(
            "UPDATE ai.ai_enhancements SET expires_at = %s WHERE id = %s AND status = 'loading'",
            [until, enhancement_id],
        )


def find_claim(pool: ConnectionPool, cache_key: str) -> UUID | None:
    """The row of the call of a key that is under way; None where none is."""
    with transaction(pool) as connection:
        # index: ai_enhancements_one_call
        row = connection.execute(
            "SELECT id FROM ai.ai_enhancements WHERE cache_key = %s AND status = 'loading'", [cache_key]
        ).fetchone()
    return row[0] if row else None


def call_state(pool: ConnectionPool, enhancement_id: UUID) -> CallState | None:
    """How a call stands; None where it was given up without a trace."""
    with transaction(pool) as connection:
        return (
            connection.cursor(row_factory=class_row(CallState))
            .execute(
                "SELECT status, error_type, error_subtype, expires_at FROM ai.ai_enhancements WHERE id = %s",
                [enhancement_id],
            )
            .fetchone()
        )


def drop_claim(pool: ConnectionPool, enhancement_id: UUID) -> None:
    """Give a claim up that turned out to be needless: the answer had come in the meantime."""
    with transaction(pool) as connection:
        connection.execute("DELETE FROM ai.ai_enhancements WHERE id = %s AND status = 'loading'", [enhancement_id])


def store_answer(
    connection: Connection,
    enhancement_id: UUID,
    answer: ParsedAnswer,
    reply: LlmReply,
    *,
    raw_sha256: str,
    flags: tuple[str, ...],
    processing_time_ms: int,
    at: datetime,
) -> None:
    """Turn a claim into an answer: fresh for 15 minutes, kept for 24 hours from `at`."""
    connection.execute(
        """
        UPDATE ai.ai_enhancements
        SET
            status = 'success', result = %s, raw_text = %s, raw_sha256 = %s, parse_level = %s, degraded = %s,
            flags = %s, evidence = %s, confidence = %s, processing_time_ms = %s, model_digest = %s,
            error_type = NULL, error_subtype = NULL, created_at = %s, fresh_until = %s, expires_at = %s
        WHERE id = %s
        """,
        [
            Jsonb(dict(answer.document)),
            reply.text.replace("\x00", "\ufffd"),
            raw_sha256,
            answer.level,
            answer.degraded,
            Jsonb(list(flags)),
            Jsonb([dict(item) for item in answer.evidence]),
            round(answer.confidence, 2),
            processing_time_ms,
            reply.model_digest,
            at,
            at + FRESH,
            at + KEPT,
            enhancement_id,
        ],
    )


def store_failure(
    pool: ConnectionPool,
    enhancement_id: UUID,
    error_type: ErrorType,
    error_subtype: ErrorSubtype,
    processing_time_ms: int,
) -> None:
    """Turn a claim into an error, which is never served from the cache."""
    with transaction(pool) as connection:
        connection.execute(
            """
            UPDATE ai.ai_enhancements
            SET status = 'error', error_type = %s, error_subtype = %s, processing_time_ms = %s
            WHERE id = %s AND status = 'loading'
            """,
            [error_type, error_subtype, processing_time_ms, enhancement_id],
        )
