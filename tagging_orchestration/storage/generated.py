"""The asset `generated_tags`: proposals staged before they are published."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import GeneratedTags
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.evidence import proposals_from, proposals_json


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
        query = """
            INSERT INTO tagging.generated_tags AS staged (
                content_id, organization_id, input_hash, tagger_version_id, language, proposals, normal_forms
            )
            SELECT
                c.id, c.organization_id, r.input_hash, %(version)s, r.language, r.proposals,
                ARRAY(SELECT p ->> 'normal_form' FROM jsonb_array_elements(r.proposals) AS p)
            FROM unnest(
                %(content_ids)s::bigint[], %(input_hashes)s::text[], %(languages)s::text[], %(proposals)s::jsonb[]
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
        # Index: generated_tags_normal_forms.
        query = """
            SELECT f.normal_form, count(*)
            FROM unnest(%s::text[]) AS f (normal_form)
            JOIN tagging.generated_tags AS g
                ON g.normal_forms @> ARRAY[f.normal_form] AND g.organization_id = %s
            GROUP BY f.normal_form
        """
        with transaction(self._pool) as connection:
            return dict(connection.execute(query, [list(normal_forms), organization_id]).fetchall())
