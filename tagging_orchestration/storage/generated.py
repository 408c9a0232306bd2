"""The asset `generated_tags`: proposals staged before they are published."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import GeneratedTags
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.evidence import proposals_from, proposals_json

# Up to so many forms are looked up one by one; for more, reading all staged forms once is faster.
_SOME = 1_000

# Index: generated_tags_normal_forms.
_COUNT_SOME = """
    SELECT f.normal_form, count(*)
    FROM unnest(%(forms)s::text[]) AS f (normal_form)
    JOIN tagging.generated_tags AS g
        ON g.normal_forms @> ARRAY[f.normal_form] AND g.organization_id = %(organization)s
    GROUP BY f.normal_form
"""
_COUNT_MANY = """
    SELECT staged.normal_form, count(*)
    FROM tagging.generated_tags AS g
    CROSS JOIN LATERAL unnest(g.normal_forms) AS staged (normal_form)
    JOIN unnest(%(forms)s::text[]) AS f (normal_form) ON f.normal_form = staged.normal_form
    WHERE g.organization_id = %(organization)s
    GROUP BY staged.normal_form
"""


class PostgresGeneratedStore:
    """`GeneratedStore` over Postgres."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def fresh_ids(self, content_ids: Sequence[int], tagger_version_id: int) -> set[int]:
        """Those contents whose staged proposals were made from their present input and this version."""
        # Index: primary keys of generated_tags and content_ledger.
        query = """
            SELECT g.content_id
            FROM tagging.generated_tags AS g
            JOIN tagging.content_ledger AS l ON l.content_id = g.content_id
            WHERE
                g.content_id = ANY (%s::bigint[]) AND g.tagger_version_id = %s AND g.input_hash = l.input_hash
        """
        with transaction(self._pool) as connection:
            return {row[0] for row in connection.execute(query, [list(content_ids), tagger_version_id])}

    def save(self, rows: Sequence[GeneratedTags], tagger_version_id: int) -> None:
        """Stage proposals in place of earlier ones. Contents deleted meanwhile are left out."""
        # Arrays of texts go as binary: escaping the quotes of JSON in a text array takes thirty times as long.
        query = """
            INSERT INTO tagging.generated_tags AS staged (
                content_id, organization_id, input_hash, tagger_version_id, language, proposals, normal_forms
            )
            SELECT
                c.id, c.organization_id, r.input_hash, %(version)s, r.language, r.proposals::jsonb,
                ARRAY(SELECT p ->> 'normal_form' FROM jsonb_array_elements(r.proposals::jsonb) AS p)
            FROM unnest(
                %(content_ids)s::bigint[], %(input_hashes)b::text[], %(languages)b::text[], %(proposals)b::text[]
            ) AS r (content_id, input_hash, language, proposals)
            JOIN tagging.contents AS c ON c.id = r.content_id
            ORDER BY c.id
            FOR KEY SHARE OF c
            ON CONFLICT (content_id) DO UPDATE SET
                organization_id = excluded.organization_id,
                input_hash = excluded.input_hash,
                tagger_version_id = excluded.tagger_version_id,
                language = excluded.language,
                proposals = excluded.proposals,
                normal_forms = excluded.normal_forms,
                generated_at = excluded.generated_at
        """
        with transaction(self._pool) as connection:
            connection.execute(
                query,
                {
                    "version": tagger_version_id,
                    "content_ids": [row.content_id for row in rows],
                    "input_hashes": [row.input_hash for row in rows],
                    "languages": [row.language for row in rows],
                    "proposals": [proposals_json(row.proposals) for row in rows],
                },
            )

    def load(self, content_ids: Sequence[int]) -> list[GeneratedTags]:
        """Staged proposals of these contents, in the order of the ids; contents without are left out."""
        # Index: primary key of generated_tags.
        query = """
            SELECT content_id, organization_id, input_hash, language, proposals
            FROM tagging.generated_tags
            WHERE content_id = ANY (%s::bigint[])
        """
        with transaction(self._pool) as connection:
            found = {
                content_id: GeneratedTags(content_id, organization_id, input_hash, language, proposals_from(rows))
                for content_id, organization_id, input_hash, language, rows in connection.execute(
                    query, [list(content_ids)]
                )
            }
        return [found[content_id] for content_id in content_ids if content_id in found]

    def support(self, organization_id: str, normal_forms: Sequence[str]) -> dict[str, int]:
        """In how many contents' staged proposals each of these forms is; forms in none are left out."""
        query = _COUNT_SOME if len(normal_forms) <= _SOME else _COUNT_MANY
        with transaction(self._pool) as connection:
            rows = connection.execute(query, {"forms": list(normal_forms), "organization": organization_id})
            return dict(rows.fetchall())
