"""Vectors of texts in pgvector.

The vector column has no fixed dimension, so two models can stand side by side while one replaces the other. Each
has its own index (embedding_indexes.py); the search for neighbours is in neighbours.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pgvector import Vector
from psycopg import Connection, sql
from psycopg.rows import class_row, scalar_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import EmbeddingHealth, EmbeddingRow, Neighbour
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.embedding_indexes import TABLES, drop_indexes, ensure_index
from tagging_orchestration.storage.neighbours import has_many_assignments, nearest_tagged

# COPY is faster for many rows; its temporary table costs a single live row more than the row itself.
COPY_MINIMUM = 256
# Below this many assignments all tagged contents are compared (about 1,000 of them: 0.4 ms a query of a batch),
# because the index would wade through many untagged ones.
EXACT_LIMIT = 4_000
HEALTH_SAMPLE = 10_000
UNIT_TOLERANCE = 0.01

_INSERT = sql.SQL(
    "INSERT INTO tagging.content_embeddings (text_hash, model, organization_id, dimension, embedding)"
    " SELECT * FROM {} ON CONFLICT DO NOTHING"
)


class PostgresEmbeddingStore:
    """`EmbeddingStore` over Postgres with pgvector >= 0.7."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        # Organisations known to have many assignments: asking costs 3 ms, and they do not shrink in practice.
        self._grown: set[str] = set()

    def existing(self, organization_id: str, model: str, text_hashes: Sequence[str]) -> set[str]:
        """Those of the texts that have a vector of this model."""
        # Index: primary key.
        query = """
            SELECT e.text_hash
            FROM tagging.content_embeddings AS e
            WHERE e.text_hash = ANY (%s::text[]) AND e.model = %s AND e.organization_id = %s
        """
        with transaction(self._pool) as connection, connection.cursor(row_factory=scalar_row) as cursor:
            return set(cursor.execute(query, [list(text_hashes), model, organization_id]))

    def vectors(self, organization_id: str, model: str, text_hashes: Sequence[str]) -> dict[str, np.ndarray]:
        """Stored vectors (float32) by text hash; texts without one are left out."""
        # Index: primary key.
        query = """
            SELECT e.text_hash, e.embedding
            FROM tagging.content_embeddings AS e
            WHERE e.text_hash = ANY (%s::text[]) AND e.model = %s AND e.organization_id = %s
        """
        with transaction(self._pool) as connection, connection.cursor(binary=True) as cursor:
            rows = cursor.execute(query, [list(text_hashes), model, organization_id])
            return {text_hash: embedding.to_numpy() for text_hash, embedding in rows}

    def save(self, rows: Sequence[EmbeddingRow]) -> int:
        """Store vectors; rows already there are left alone. Returns how many were new."""
        if not rows:
            return 0
        values = [
            (row.text_hash, row.model, row.organization_id, len(row.vector), Vector(row.vector)) for row in rows
        ]
        # In the order of the primary key two writers of the same rows wait for each other, never deadlock.
        values.sort(key=lambda value: value[:3])
        with transaction(self._pool) as connection:
            return _copy(connection, values) if len(values) >= COPY_MINIMUM else _insert(connection, values)

    def neighbours(
        self, organization_id: str, model: str, queries: Sequence[tuple[int, np.ndarray]], limit: int
    ) -> dict[int, tuple[Neighbour, ...]]:
        """For each (content_id, vector) its nearest tagged contents of the organisation, best first.

        The content itself is left out, others with the same text are not. Of contents that share a text one
        stands for all, because copies would crowd out every other neighbour. Exact while few contents are
        tagged or the model has no index, approximate after that.
        """
        if not queries or limit < 1:
            return {content_id: () for content_id, _ in queries}
        iterative = self._iterative
        with transaction(self._pool) as connection:
            if organization_id not in self._grown and has_many_assignments(
                connection, organization_id, EXACT_LIMIT
            ):
                self._grown.add(organization_id)
            return nearest_tagged(
                connection,
                organization_id,
                model,
                queries,
                limit,
                exact=organization_id not in self._grown,
                iterative=iterative,
            )

    def ensure_index(self, model: str, dimension: int) -> None:
        """Build the model's HNSW indexes where they are missing and there are enough vectors to index.

        Call it after a bulk load. Safe to call from several processes at once.
        """
        for table in TABLES:
            ensure_index(self._pool, table, model, dimension)

    def drop_model(self, model: str) -> int:
        """Remove a model's vectors and indexes, at the end of a migration. Returns the number of vectors."""
        with transaction(self._pool) as connection:
            drop_indexes(connection, model)
            return sum(
                connection.execute(
                    sql.SQL("DELETE FROM {} WHERE model = %s").format(sql.Identifier("tagging", table)), [model]
                ).rowcount
                for table in TABLES
            )

    def missing_count(self, organization_id: str, models: Sequence[str]) -> int:
        """Live contents of the organisation that have a vector of none of these models."""
        # Index: primary key of content_embeddings. Reads every content once: for care, not for the hot path.
        query = """
            SELECT count(*)
            FROM tagging.contents AS c
            WHERE
                c.organization_id = %s
                AND c.deleted_at IS NULL
                AND NOT EXISTS (
                    SELECT
                    FROM tagging.content_embeddings AS e
                    WHERE
                        e.text_hash = c.text_hash
                        AND e.organization_id = c.organization_id
                        AND e.model = ANY (%s::text[])
                )
        """
        with transaction(self._pool) as connection, connection.cursor(row_factory=scalar_row) as cursor:
            (count,) = cursor.execute(query, [organization_id, list(models)]).fetchall()
            return count

    def health(self) -> list[EmbeddingHealth]:
        """Soundness of each model's content vectors, judged on a sample of about 10,000."""
        with transaction(self._pool) as connection:
            # Index: content_embeddings_model, read without the vectors.
            counts = connection.execute(
                "SELECT e.model, count(*) FROM tagging.content_embeddings AS e GROUP BY e.model ORDER BY e.model"
            ).fetchall()
            rows = sum(vectors for _, vectors in counts)
            return [_health(connection, model, vectors, rows) for model, vectors in counts]

    @cached_property
    def _iterative(self) -> bool:
        query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        with transaction(self._pool) as connection, connection.cursor(row_factory=scalar_row) as cursor:
            (version,) = cursor.execute(query).fetchall()
        return tuple(map(int, version.split(".")[:2])) >= (0, 8)


def _insert(connection: Connection, values: Sequence[tuple[object, ...]]) -> int:
    arrays = sql.SQL("unnest(%b::text[], %b::text[], %b::text[], %b::smallint[], %b::vector[])")
    columns = [list(column) for column in zip(*values, strict=True)]
    return connection.execute(_INSERT.format(arrays), columns).rowcount


def _copy(connection: Connection, values: Sequence[tuple[object, ...]]) -> int:
    connection.execute(
        "CREATE TEMPORARY TABLE new_embeddings (text_hash text, model text, organization_id text,"
        " dimension smallint, embedding vector) ON COMMIT DROP"
    )
    with connection.cursor().copy("COPY new_embeddings FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "text", "text", "int2", "vector"])
        for value in values:
            copy.write_row(value)
    return connection.execute(_INSERT.format(sql.Identifier("new_embeddings"))).rowcount


def _health(connection: Connection, model: str, vectors: int, rows: int) -> EmbeddingHealth:
    # Every vector of a small model, through content_embeddings_model; a share of the pages of a big one.
    sample = sql.SQL("")
    if vectors > HEALTH_SAMPLE:
        sample = sql.SQL("TABLESAMPLE SYSTEM ({})").format(sql.Literal(100 * HEALTH_SAMPLE / rows))
    query = sql.SQL("""
        WITH sampled AS MATERIALIZED (
            SELECT e.dimension, vector_norm(e.embedding) AS norm
            FROM tagging.content_embeddings AS e {sample}
            WHERE e.model = %(model)s
        ),
        usual AS (SELECT mode() WITHIN GROUP (ORDER BY s.dimension) AS dimension FROM sampled AS s)
        SELECT
            %(model)s AS model,
            coalesce(min(u.dimension), 0) AS dimension,
            %(vectors)s AS vectors,
            count(s.norm) AS sampled,
            -- NaN is greater than every number in Postgres.
            count(*) FILTER (
                WHERE s.dimension <> u.dimension OR abs(s.norm - 1) > %(tolerance)s
            ) AS unsound
        FROM usual AS u
        LEFT JOIN sampled AS s ON true
    """).format(sample=sample)
    with connection.cursor(row_factory=class_row(EmbeddingHealth)) as cursor:
        parameters = {"model": model, "vectors": vectors, "tolerance": UNIT_TOLERANCE}
        (health,) = cursor.execute(query, parameters).fetchall()
        return health
