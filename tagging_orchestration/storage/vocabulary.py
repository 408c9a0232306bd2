"""The vocabulary as the tagger sees it: tags, aliases and the vectors of tag names.

People's changes are in vocabulary_changes.py, merges in merges.py, CSV in vocabulary_table.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pgvector import Vector
from psycopg import Connection, sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import ChangeContext, NewTag, Origin, Tag, TagStatus
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.storage.connection import transaction

# Any fixed number ("tag_voca" in ASCII). Publishing shares it; whoever rewrites assignments of whole tags has it
# alone, so that no assignment of a tag is written while the tag is merged away.
_VOCABULARY_LOCK = 0x7461675F766F6361

_TAGS = """
    SELECT
        t.id, t.organization_id, t.name, t.normal_form, t.status, t.origin, t.language, t.description,
        t.parent_id, t.merged_into_id, t.pinned, coalesce(w.usage_count, 0), coalesce(w.factor, 1)
    FROM tagging.tags AS t
    LEFT JOIN tagging.tag_weights AS w ON w.tag_id = t.id
"""

# What a tag's vector was made from; another name or description asks for another vector.
_NAME_HASH = "encode(sha256(convert_to(t.name || E'\\x1f' || coalesce(t.description, ''), 'UTF8')), 'hex')"


def lock_vocabulary(connection: Connection, *, exclusive: bool) -> None:
    """Hold the vocabulary till the end of the transaction: alone, or together with others who publish."""
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    connection.execute(sql.SQL("SELECT {}(%s)").format(sql.Identifier(function)), [_VOCABULARY_LOCK])


class PostgresVocabularyStore:
    """`VocabularyStore` over Postgres. Loaded vocabularies are kept in memory while their revision is the same."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._known: dict[str, tuple[int, Vocabulary]] = {}

    def load(self, organization_id: str) -> Vocabulary:
        """A snapshot of the whole vocabulary, vectors of active tags included; immutable, so it may be shared."""
        with transaction(self._pool) as connection:
            # One snapshot for the revision and for what it stands for.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            row = connection.execute(
                "SELECT revision FROM tagging.vocabulary_revisions WHERE organization_id = %s", [organization_id]
            ).fetchone()
            revision = row[0] if row else 0
            known = self._known.get(organization_id)
            if known is not None and known[0] == revision:
                return known[1]
            vocabulary = Vocabulary(
                organization_id,
                _load_tags(connection, organization_id),
                _load_aliases(connection, organization_id),
                _load_vectors(connection, organization_id),
            )
        self._known[organization_id] = (revision, vocabulary)
        return vocabulary

    def create_tags(self, tags: Sequence[NewTag], context: ChangeContext) -> list[Tag]:
        """Insert new tags; returns one tag for each asked one, in order.

        A normal form that is known, as a tag or an alias, returns the tag it stands for, merges followed, whatever
        its status. A retired tag that a person asks for is active again. A tag that people ask for is theirs.
        """
        if not tags:
            return []
        with transaction(self._pool, context) as connection:
            insert_tags(connection, tags)
            _revive_retired(connection, [tag for tag in tags if tag.origin is Origin.HUMAN])
            found = resolve_forms(connection, {(tag.organization_id, tag.normal_form) for tag in tags})
        return [found[tag.organization_id, tag.normal_form] for tag in tags]

    def tags_without_vector(self, organization_id: str, model: str) -> list[Tag]:
        """Active tags whose present name and description this model has not encoded."""
        query = sql.SQL("""
            {tags}
            WHERE
                t.organization_id = %s AND t.status = 'active'
                AND NOT EXISTS (
                    SELECT FROM tagging.tag_embeddings AS e
                    WHERE e.tag_id = t.id AND e.model = %s AND e.name_hash = {name_hash}
                )
            ORDER BY t.id
        """).format(tags=sql.SQL(_TAGS), name_hash=sql.SQL(_NAME_HASH))
        with transaction(self._pool) as connection:
            return [tag_from(row) for row in connection.execute(query, [organization_id, model])]

    def save_tag_vectors(self, model: str, vectors: Mapping[int, np.ndarray]) -> None:
        """Store the vectors of tags' present names, in place of earlier ones."""
        query = sql.SQL("""
            INSERT INTO tagging.tag_embeddings (tag_id, organization_id, model, dimension, name_hash, embedding)
            SELECT t.id, t.organization_id, %s, vector_dims(v.embedding), {name_hash}, v.embedding
            FROM unnest(%s::bigint[], %b::vector[]) AS v (tag_id, embedding)
            JOIN tagging.tags AS t ON t.id = v.tag_id
            ON CONFLICT (tag_id, model) DO UPDATE SET
                dimension = excluded.dimension,
                name_hash = excluded.name_hash,
                embedding = excluded.embedding,
                created_at = excluded.created_at
        """).format(name_hash=sql.SQL(_NAME_HASH))
        if not vectors:
            return
        # Binary: as text the server spends ten times as long on reading the numbers.
        with transaction(self._pool) as connection:
            connection.execute(query, [model, list(vectors), [Vector(row) for row in vectors.values()]])


def load_tags(connection: Connection, tag_ids: Iterable[int]) -> dict[int, Tag]:
    """Tags by id; ids that do not exist are left out."""
    rows = connection.execute(_TAGS + "WHERE t.id = ANY (%s::bigint[])", [list(tag_ids)])
    return {row[0]: tag_from(row) for row in rows}


def tag_from(row: Sequence[Any]) -> Tag:
    """A row of the tag query as a `Tag`."""
    (
        tag_id, organization_id, name, normal_form, status, origin, language, description, parent_id,
        merged_into_id, pinned, usage_count, factor,
    ) = row  # fmt: skip
    return Tag(
        id=tag_id,
        organization_id=organization_id,
        name=name,
        normal_form=normal_form,
        status=TagStatus(status),
        origin=Origin(origin),
        language=language,
        description=description,
        parent_id=parent_id,
        merged_into_id=merged_into_id,
        pinned=pinned,
        usage_count=usage_count,
        factor=factor,
    )


def _load_tags(connection: Connection, organization_id: str) -> list[Tag]:
    rows = connection.execute(_TAGS + "WHERE t.organization_id = %s ORDER BY t.id", [organization_id])
    return [tag_from(row) for row in rows]


def _load_aliases(connection: Connection, organization_id: str) -> dict[str, int]:
    query = "SELECT normal_form, tag_id FROM tagging.tag_aliases WHERE organization_id = %s"
    return dict(connection.execute(query, [organization_id]).fetchall())


def _load_vectors(connection: Connection, organization_id: str) -> dict[str, TagVectors]:
    query = """
        SELECT e.model, e.tag_id, e.embedding
        FROM tagging.tag_embeddings AS e
        JOIN tagging.tags AS t ON t.id = e.tag_id
        WHERE t.organization_id = %s AND t.status = 'active'
        ORDER BY e.model, e.tag_id
    """
    ids: dict[str, list[int]] = defaultdict(list)
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    with connection.cursor(binary=True) as cursor:
        for model, tag_id, embedding in cursor.execute(query, [organization_id]):
            ids[model].append(tag_id)
            rows[model].append(embedding.to_numpy())
    return {
        model: TagVectors(np.array(ids[model], dtype=np.int64), np.array(rows[model], dtype=np.float32))
        for model in ids
    }


def insert_tags(connection: Connection, tags: Sequence[NewTag]) -> None:
    """Insert tags; those whose normal form is known, as a tag or an alias, are left out."""
    # Sorted, so that two writers of the same tags wait for each other instead of deadlocking.
    connection.execute(
        """
        INSERT INTO tagging.tags
            (organization_id, name, normal_form, origin, language, description, metadata)
        SELECT n.organization_id, n.name, n.normal_form, n.origin, n.language, n.description, n.metadata
        FROM unnest(
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[]
        ) AS n (organization_id, name, normal_form, origin, language, description, metadata)
        WHERE NOT EXISTS (
            SELECT FROM tagging.tag_aliases AS a
            WHERE a.organization_id = n.organization_id AND a.normal_form = n.normal_form
        )
        ORDER BY n.organization_id, n.normal_form
        ON CONFLICT (organization_id, normal_form) DO NOTHING
        """,
        [
            [tag.organization_id for tag in tags],
            [tag.name for tag in tags],
            [tag.normal_form for tag in tags],
            [str(tag.origin) for tag in tags],
            [tag.language for tag in tags],
            [tag.description for tag in tags],
            [Jsonb({"admitted": tag.reason} if tag.reason else {}) for tag in tags],
        ],
    )


def _revive_retired(connection: Connection, tags: Sequence[NewTag]) -> None:
    connection.execute(
        """
        UPDATE tagging.tags AS t
        SET status = 'active', origin = 'human'
        FROM unnest(%s::text[], %s::text[]) AS n (organization_id, normal_form)
        WHERE
            t.organization_id = n.organization_id AND t.normal_form = n.normal_form AND t.status = 'retired'
        """,
        [[tag.organization_id for tag in tags], [tag.normal_form for tag in tags]],
    )


def resolve_forms(connection: Connection, forms: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Tag]:
    """The tags that (organisation, normal form) pairs stand for, aliases and merges followed, any status."""
    asked = sorted(forms)
    # Indexes: the unique ones on (organization_id, normal_form), then the primary key of tags.
    query = """
        WITH RECURSIVE led (organization_id, normal_form, id, merged_into_id) AS (
            SELECT n.organization_id, n.normal_form, t.id, t.merged_into_id
            FROM unnest(%s::text[], %s::text[]) AS n (organization_id, normal_form)
            LEFT JOIN tagging.tags AS named
                ON named.organization_id = n.organization_id AND named.normal_form = n.normal_form
            LEFT JOIN tagging.tag_aliases AS a
                ON a.organization_id = n.organization_id AND a.normal_form = n.normal_form
            JOIN tagging.tags AS t ON t.id = coalesce(named.id, a.tag_id)
            UNION ALL
            SELECT l.organization_id, l.normal_form, t.id, t.merged_into_id
            FROM led AS l
            JOIN tagging.tags AS t ON t.id = l.merged_into_id
        )
        SELECT organization_id, normal_form, id FROM led WHERE merged_into_id IS NULL
    """
    organizations, normal_forms = [form[0] for form in asked], [form[1] for form in asked]
    ids = {(row[0], row[1]): row[2] for row in connection.execute(query, [organizations, normal_forms])}
    tags = load_tags(connection, ids.values())
    return {form: tags[tag_id] for form, tag_id in ids.items()}
