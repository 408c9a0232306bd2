"""HNSW indexes over vectors: one partial index a model and table, over a cast to the model's dimension."""

from __future__ import annotations

import hashlib
from typing import LiteralString

from psycopg import Connection, errors, sql
from psycopg.rows import scalar_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import TransientError
from tagging_orchestration.storage.connection import transaction

TABLES = ("content_embeddings", "tag_embeddings")

# Below this many vectors of a model an exact scan is as fast and misses nothing, and the bulk load that may
# follow is many times faster without an index.
INDEX_MINIMUM = 1_000
# pgvector indexes `vector` up to 2,000 dimensions and `halfvec` up to 4,000; longer ones are scanned.
VECTOR_LIMIT = 2_000
HALFVEC_LIMIT = 4_000
# Memory of one vector's node in a growing index, beside the vector itself.
NODE_BYTES = 800
BUILD_MEMORY_MB = (64, 4_096)
BUILD_WORKERS = 4


def indexed_type(dimension: int) -> LiteralString:
    """The pgvector type that vectors of this dimension are indexed as."""
    return "halfvec" if VECTOR_LIMIT < dimension <= HALFVEC_LIMIT else "vector"


def ensure_index(pool: ConnectionPool, table: str, model: str, dimension: int) -> None:
    """Build a model's index on one of `TABLES` where it is missing and there are enough vectors.

    Writers of the table wait while the index is built; a second caller waits for the first and finds its work
    done.
    """
    if dimension > HALFVEC_LIMIT or not _is_wanted(pool, table, model, dimension):
        return
    try:
        _build(pool, table, model, dimension, BUILD_WORKERS)
    except TransientError as error:
        # A parallel build needs shared memory, of which containers often have but 64 MB.
        if not isinstance(error.__cause__, (errors.DiskFull, errors.OutOfMemory)):
            raise
        _build(pool, table, model, dimension, 0)


def drop_indexes(connection: Connection, model: str) -> None:
    """Drop a model's indexes on both tables."""
    prefixes = [_prefix(table, model) for table in TABLES]
    names = connection.execute(
        "SELECT c.relname FROM pg_class AS c"
        " JOIN unnest(%s::text[]) AS p (prefix) ON starts_with(c.relname, p.prefix)"
        " WHERE c.relnamespace = 'tagging'::regnamespace AND c.relkind = 'i'",
        [prefixes],
    ).fetchall()
    for (name,) in names:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier("tagging", name)))


def _is_wanted(pool: ConnectionPool, table: str, model: str, dimension: int) -> bool:
    # Index: content_embeddings_model; tag_embeddings is as small as the vocabulary.
    query = sql.SQL("""
        SELECT
            to_regclass(%(index)s) IS NULL
            AND (
                SELECT count(*) FROM (SELECT FROM {} AS e WHERE e.model = %(model)s LIMIT %(minimum)s) AS e
            ) = %(minimum)s
    """).format(sql.Identifier("tagging", table))
    parameters = {"index": f"tagging.{_name(table, model, dimension)}", "model": model, "minimum": INDEX_MINIMUM}
    with transaction(pool) as connection, connection.cursor(row_factory=scalar_row) as cursor:
        (wanted,) = cursor.execute(query, parameters).fetchall()
        return wanted


def _build(pool: ConnectionPool, table: str, model: str, dimension: int, workers: int) -> None:
    name, relation = _name(table, model, dimension), sql.Identifier("tagging", table)
    kind = indexed_type(dimension)
    create = sql.SQL("""
        CREATE INDEX IF NOT EXISTS {name} ON {relation}
        USING hnsw ((embedding::{kind}({dimension})) {operators}) WHERE model = {model}
    """).format(
        name=sql.Identifier(name),
        relation=relation,
        kind=sql.SQL(kind),
        dimension=sql.Literal(dimension),
        operators=sql.Identifier(f"{kind}_cosine_ops"),
        model=sql.Literal(model),
    )
    with transaction(pool) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE model = %s").format(relation), [model]
        ).fetchone()
        # A graph that outgrows its memory is finished on disk, many times slower.
        needed = (row[0] if row else 0) * (4 * dimension + NODE_BYTES) // 2**20
        memory = min(max(needed, BUILD_MEMORY_MB[0]), BUILD_MEMORY_MB[1])
        connection.execute(
            "SELECT set_config('maintenance_work_mem', %s, true),"
            " set_config('max_parallel_maintenance_workers', %s, true)",
            [f"{memory}MB", str(workers)],
        )
        connection.execute(create)
        # The planner weighs the index by the share of rows that the model and the organisation have.
        connection.execute(sql.SQL("ANALYZE {} (model, organization_id)").format(relation))


def _name(table: str, model: str, dimension: int) -> str:
    return f"{_prefix(table, model)}{dimension}"


def _prefix(table: str, model: str) -> str:
    return f"{table}_hnsw_{hashlib.sha256(model.encode()).hexdigest()[:12]}_"
