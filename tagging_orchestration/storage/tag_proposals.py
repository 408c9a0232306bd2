"""Tags that a language model proposed: table `llm_proposals`, and which contents are to be asked about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import Content, LlmProposals, LlmTag
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.retagging import retag

# The first wait after a failure, and the longest; it doubles with every failure of the same question.
RETRY_HOURS = 1
LONGEST_RETRY_HOURS = 24


@dataclass(frozen=True, slots=True)
class LlmHearing:
    """Whether the language model was heard on a content, for people: `current` says that it was asked about the
    text the content has now."""

    status: str
    reason: str
    current: bool
    model: str | None
    prompt_version: str | None
    tags: int
    refused: dict[str, int]
    tokens: int
    cost_usd: float
    attempts: int
    retry_at: datetime | None
    created_at: datetime


class PostgresLlmProposalStore:
    """`LlmProposalStore` (core.ports) over the table `llm_proposals`."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def load(self, contents: Sequence[Content]) -> dict[int, LlmProposals]:
        """By content id: what was proposed for the text that the content has now, where it is in use."""
        # Index: primary key.
        query = """
            SELECT
                content_id, organization_id, text_hash, fingerprint, proposals, refused, provider, model,
                prompt_version, tokens, cost_usd
            FROM tagging.llm_proposals
            WHERE content_id = ANY (%s::bigint[]) AND status = 'done' AND in_use
        """
        hashes = {content.id: content.text_hash for content in contents}
        with transaction(self._pool) as connection:
            rows = [_proposals(*row) for row in connection.execute(query, [list(hashes)])]
        return {row.content_id: row for row in rows if row.text_hash == hashes[row.content_id]}


@dataclass(frozen=True, slots=True)
class Unasked:
    """A content to ask about; `failed_before`: the same text got no answer already."""

    content_id: int
    failed_before: bool


def unasked_contents(
    pool: ConnectionPool, organization_id: str, fingerprint: str, limit: int, now: datetime
) -> list[Unasked]:
    """Live contents whose proposals were not made from their present text under this fingerprint, newest first;
    what failed under it only when the wait is over."""
    # Indexes: contents_created_at in reverse, which stops at the limit, and the primary key of llm_proposals.
    query = """
        SELECT c.id AS content_id, coalesce(p.text_hash = c.text_hash AND p.reason <> '', false) AS failed_before
        FROM tagging.contents AS c
        LEFT JOIN tagging.llm_proposals AS p ON p.content_id = c.id
        WHERE
            c.organization_id = %(organization)s AND c.deleted_at IS NULL
            AND (
                p.content_id IS NULL OR p.text_hash <> c.text_hash
                OR (p.fingerprint <> %(fingerprint)s OR p.status = 'failed')
                AND (p.failed_fingerprint IS DISTINCT FROM %(fingerprint)s OR p.retry_at <= %(now)s)
            )
        ORDER BY c.created_at DESC, c.id DESC
        LIMIT %(limit)s
    """
    values = {"organization": organization_id, "fingerprint": fingerprint, "now": now, "limit": limit}
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Unasked)) as cursor:
        return cursor.execute(query, values).fetchall()


# The rows handed over, without contents whose text changed meanwhile. Index: primary key of contents.
_ROWS = """
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
        content_id bigint, text_hash text, fingerprint text, reason text, tags jsonb, refused jsonb,
        provider text, model text, prompt_version text, tokens integer, cost_usd numeric
    )
    JOIN tagging.contents AS c ON c.id = r.content_id AND c.text_hash = r.text_hash AND c.deleted_at IS NULL
    ORDER BY c.id
    FOR KEY SHARE OF c
"""


def save_proposals(pool: ConnectionPool, rows: Sequence[LlmProposals], now: datetime) -> int:
    """Store answers and failures, and make the contents with new answers pending for the tagger. Returns how many.

    Contents whose text changed meanwhile are left out. What the same text was proposed before stands through a
    failure.
    """
    # Index: primary key of llm_proposals.
    answered = """
        INSERT INTO tagging.llm_proposals AS known (
            content_id, organization_id, text_hash, fingerprint, status, proposals, refused, provider, model,
            prompt_version, tokens, cost_usd, in_use
        )
        SELECT
            c.id, c.organization_id, r.text_hash, r.fingerprint, 'done', r.tags, r.refused, r.provider, r.model,
            r.prompt_version, r.tokens, r.cost_usd, true
        {rows}
        ON CONFLICT (content_id) DO UPDATE SET
            text_hash = excluded.text_hash,
            fingerprint = excluded.fingerprint,
            status = excluded.status,
            reason = '',
            proposals = excluded.proposals,
            refused = excluded.refused,
            provider = excluded.provider,
            model = excluded.model,
            prompt_version = excluded.prompt_version,
            tokens = excluded.tokens,
            cost_usd = excluded.cost_usd,
            attempts = 1,
            failed_fingerprint = NULL,
            retry_at = NULL,
            in_use = true,
            created_at = clock_timestamp()
        RETURNING content_id
    """.replace("{rows}", _ROWS)
    failed = """
        INSERT INTO tagging.llm_proposals AS known (
            content_id, organization_id, text_hash, fingerprint, status, reason, provider, model, prompt_version,
            tokens, cost_usd, failed_fingerprint, retry_at
        )
        SELECT
            c.id, c.organization_id, r.text_hash, r.fingerprint, 'failed', r.reason, r.provider, r.model,
            r.prompt_version, r.tokens, r.cost_usd, r.fingerprint,
            %(now)s::timestamptz + make_interval(hours => %(hours)s)
        {rows}
        ON CONFLICT (content_id) DO UPDATE SET
            (status, fingerprint, proposals, refused, in_use) = (
                SELECT k.status, k.fingerprint, k.proposals, k.refused, k.in_use
                FROM (
                    VALUES
                        (known.status, known.fingerprint, known.proposals, known.refused, known.in_use,
                        known.status = 'done' AND known.text_hash = excluded.text_hash),
                        (excluded.status, excluded.fingerprint, excluded.proposals, excluded.refused, false, NULL)
                ) AS k (status, fingerprint, proposals, refused, in_use, stands)
                WHERE coalesce(k.stands, true)
                LIMIT 1
            ),
            text_hash = excluded.text_hash,
            reason = excluded.reason,
            (attempts, retry_at) = (
                SELECT
                    least(coalesce(again.attempts, 0) + 1, 1000),
                    %(now)s::timestamptz + make_interval(hours => 1)
                    * least(%(hours)s * 2 ^ least(coalesce(again.attempts, 0), 10), %(longest)s)
                FROM (
                    SELECT CASE
                        WHEN known.failed_fingerprint = excluded.failed_fingerprint
                            AND known.text_hash = excluded.text_hash
                            THEN known.attempts
                    END
                ) AS again (attempts)
            ),
            failed_fingerprint = excluded.failed_fingerprint,
            created_at = clock_timestamp()
    """.replace("{rows}", _ROWS)
    values = {"now": now, "hours": RETRY_HOURS, "longest": LONGEST_RETRY_HOURS}
    with transaction(pool) as connection:
        good = [row for row in rows if row.heard]
        bad = [row for row in rows if not row.heard]
        if bad:
            connection.execute(failed, {**values, "rows": _documents(bad)})
        if not good:
            return 0
        written = connection.execute(answered, {"rows": _documents(good)}).fetchall()
        return retag(connection, [content_id for (content_id,) in written])


def use_proposals(pool: ConnectionPool, organization_id: str, *, enabled: bool) -> int:
    """Make the contents pending for which switching the language model on or off changed what the tagger reads.

    Returns how many; nothing is asked anew.
    """
    # Switching off: index llm_proposals_in_use. Switching on reads the proposals made before.
    query = """
        UPDATE tagging.llm_proposals
        SET in_use = %(enabled)s
        WHERE organization_id = %(organization)s AND in_use = NOT %(enabled)s AND status = 'done'
        RETURNING content_id
    """
    with transaction(pool) as connection:
        changed = connection.execute(query, {"organization": organization_id, "enabled": enabled}).fetchall()
        return retag(connection, [content_id for (content_id,) in changed]) if changed else 0


def proposals_in_use(pool: ConnectionPool, organization_id: str) -> bool:
    """Whether any content is tagged with a language model's word. Index: llm_proposals_in_use."""
    query = "SELECT EXISTS (SELECT FROM tagging.llm_proposals WHERE organization_id = %s AND in_use)"
    with transaction(pool) as connection:
        row = connection.execute(query, [organization_id]).fetchone()
    return bool(row and row[0])


def hearing(pool: ConnectionPool, content_id: int) -> LlmHearing | None:
    """Whether the language model was heard on a content; None when it was never asked."""
    # Index: primary keys.
    query = """
        SELECT
            p.status, p.reason, p.text_hash = c.text_hash AS current, p.model, p.prompt_version,
            jsonb_array_length(p.proposals) AS tags, p.refused, p.tokens, p.cost_usd::float8 AS cost_usd,
            p.attempts, p.retry_at, p.created_at
        FROM tagging.llm_proposals AS p
        JOIN tagging.contents AS c ON c.id = p.content_id
        WHERE p.content_id = %s
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(LlmHearing)) as cursor:
        return cursor.execute(query, [content_id]).fetchone()


def _documents(rows: Sequence[LlmProposals]) -> str:
    return json.dumps([asdict(row) for row in rows], ensure_ascii=False, default=dict).replace("\\u0000", "")


def _proposals(
    content_id: int,
    organization_id: str,
    text_hash: str,
    fingerprint: str,
    tags: Sequence[Mapping[str, Any]],
    refused: Mapping[str, int],
    provider: str | None,
    model: str | None,
    prompt_version: str | None,
    tokens: int,
    cost_usd: Any,
) -> LlmProposals:
    return LlmProposals(
        content_id,
        organization_id,
        text_hash,
        fingerprint,
        tuple(LlmTag(**tag) for tag in tags),
        "",
        refused,
        provider,
        model,
        prompt_version,
        tokens,
        float(cost_usd),
    )
