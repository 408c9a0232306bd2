"""What the quality gates of the AI look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.models import PromptLocale


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A successful answer that may be shown, with what it was made from."""

    id: UUID
    organization_id: str
    subject_type: str
    subject_id: str
    template_key: str
    template_version: str
    template_locale: PromptLocale
    ab_group: str
    variables: dict[str, Any]
    result: dict[str, Any]
    evidence: list[dict[str, Any]]
    prompt_sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Overdraft:
    """A window in which more was used or reserved than its limit allows."""

    scope: str
    window_start: datetime
    used: int
    reserved: int
    limit: int


def shown_answers(pool: ConnectionPool) -> Iterator[StoredAnswer]:
    """Every answer that may still be shown. Served by ai_enhancements_created_at."""
    with (
        pool.connection() as connection,
        connection.cursor("shown", row_factory=class_row(StoredAnswer)) as cursor,
    ):
        cursor.execute(
            """
            SELECT
                e.id, e.organization_id, e.subject_type, e.subject_id, e.template_key, e.template_version,
                e.template_locale, e.ab_group, e.variables, e.result, e.evidence,
                trim(e.prompt_sha256) AS prompt_sha256, e.created_at
            FROM ai.ai_enhancements AS e
            WHERE
                e.status = 'success' AND e.created_at > now() - interval '24 hours' AND e.expires_at > now()
                AND e.subject_type <> 'content'
            """
        )
        yield from cursor


def kept_too_long(pool: ConnectionPool, limit: int) -> list[tuple[UUID, str, str]]:
    """Id, subject type and subject of answers that would be shown after more than 24 hours."""
    with pool.connection() as connection:
        return connection.execute(
            """
            SELECT e.id, e.subject_type, e.subject_id
            FROM ai.ai_enhancements AS e
            WHERE e.status = 'success' AND e.expires_at > e.created_at + interval '24 hours 1 second'
            ORDER BY e.created_at DESC
            LIMIT %s
            """,
            [limit],
        ).fetchall()


def overdrafts(pool: ConnectionPool) -> list[Overdraft]:
    """Windows of the last 30 days beyond their limit. The hour may be exceeded by critical alerts, by design."""
    with pool.connection() as connection, connection.cursor(row_factory=class_row(Overdraft)) as cursor:
        return cursor.execute(
            """
            SELECT b.scope, b.window_start, b.used, b.reserved, b."limit" AS limit
            FROM ai.ai_token_budgets AS b
            WHERE
                b.scope IN ('day', 'cost') AND b.window_start > now() - interval '30 days'
                AND b.used + b.reserved > b."limit"
            ORDER BY b.window_start DESC
            """
        ).fetchall()
