"""The nearest tagged contents of vectors: exact while few contents are tagged, by the HNSW index after that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pgvector import Vector
from psycopg import Connection, sql

from tagging_orchestration.core.models import Neighbour, Origin
from tagging_orchestration.storage.embedding_indexes import indexed_type

# Candidates kept while the index is searched; docs/embeddings.md has the recall measured with it.
SEARCH_WIDTH = 64
# A region without tagged contents is left after this many vectors: what lies farther is no neighbour any more.
SCAN_LIMIT = 4_000

# The nearest contents with their tags. {nearest} gives `content_id` and `distance` of the best for one query `q`.
_WITH_TAGS = """
    SELECT q.content_id, n.content_id, 1 - n.distance, t.tag_ids, t.confidences, t.origins
    FROM unnest(%s::bigint[], %b::vector[]) AS q (content_id, vector)
    CROSS JOIN LATERAL ({nearest}) AS n
    CROSS JOIN LATERAL (
        -- Indexes: primary keys of content_tags and tags.
        SELECT
            array_agg(ct.tag_id ORDER BY ct.tag_id) AS tag_ids,
            array_agg(ct.confidence ORDER BY ct.tag_id) AS confidences,
            array_agg(ct.origin ORDER BY ct.tag_id) AS origins
        FROM tagging.content_tags AS ct
        JOIN tagging.tags AS g ON g.id = ct.tag_id
        WHERE ct.content_id = n.content_id AND g.status = 'active'
        HAVING count(*) > 0
    ) AS t
    ORDER BY q.content_id, n.distance, n.content_id
"""

# All tagged contents, read once for all queries. Two contents a text suffice to have one that is not the query's
# own. Indexes: the unique index of tags, content_tags_tag, primary keys of contents and content_embeddings.
_TAGGED = """
    WITH tagged AS MATERIALIZED (
        SELECT {embedding} AS embedding, c.ids
        FROM (
            SELECT c.text_hash, (array_agg(c.id ORDER BY c.id))[:2] AS ids
            FROM tagging.contents AS c
            WHERE c.id IN (
                SELECT ct.content_id
                FROM tagging.tags AS g
                JOIN tagging.content_tags AS ct ON ct.tag_id = g.id
                WHERE g.organization_id = {organization_id}
            )
            GROUP BY c.text_hash
        ) AS c
        JOIN tagging.content_embeddings AS e
            ON e.text_hash = c.text_hash AND e.model = {model} AND e.organization_id = {organization_id}
    )
"""
_AMONG_TAGGED = """
    SELECT (array_remove(e.ids, q.content_id))[1] AS content_id, e.embedding <=> q.vector AS distance
    FROM tagged AS e
    WHERE e.ids <> ARRAY[q.content_id]
    ORDER BY distance
    LIMIT {limit}
"""

# In order of distance by the model's HNSW index, leaving out what is not tagged; without that index the planner
# compares all vectors of the model. Other indexes: contents_text_hash, primary key of content_tags.
_BY_INDEX = """
    SELECT
        (
            SELECT c.id
            FROM tagging.contents AS c
            WHERE
                c.text_hash = e.text_hash
                AND c.organization_id = {organization_id}
                AND c.id <> q.content_id
                AND EXISTS (SELECT FROM tagging.content_tags AS ct WHERE ct.content_id = c.id)
            ORDER BY c.id
            LIMIT 1
        ) AS content_id,
        e.distance
    FROM (
        SELECT e.text_hash, {embedding} <=> q.vector AS distance
        FROM tagging.content_embeddings AS e
        WHERE
            e.model = {model}
            AND e.organization_id = {organization_id}
            AND EXISTS (
                SELECT
                FROM tagging.contents AS c
                JOIN tagging.content_tags AS ct ON ct.content_id = c.id
                WHERE
                    c.text_hash = e.text_hash
                    AND c.organization_id = {organization_id}
                    AND c.id <> q.content_id
            )
        ORDER BY {embedding} <=> q.vector
        LIMIT {limit}
    ) AS e
"""


def nearest_tagged(
    connection: Connection,
    organization_id: str,
    model: str,
    queries: Sequence[tuple[int, np.ndarray]],
    limit: int,
    *,
    exact: bool,
    iterative: bool,
) -> dict[int, tuple[Neighbour, ...]]:
    """Nearest tagged contents of each (content_id, vector), best first; one statement for all of them.

    The content itself is left out, others with the same text are not; of contents that share a text one stands
    for all. `exact` compares all tagged contents. `iterative`: pgvector is at least 0.8, whose index search goes
    on while candidates are filtered away.
    """
    prepare_search(connection, iterative=iterative)
    query = nearest_query(organization_id, model, len(queries[0][1]), limit, exact=exact)
    parameters = [[content_id for content_id, _ in queries], [Vector(vector) for _, vector in queries]]
    found: dict[int, list[Neighbour]] = defaultdict(list)
    for content_id, neighbour_id, similarity, *tags in connection.execute(query, parameters):
        found[content_id].append(
            Neighbour(
                neighbour_id,
                similarity,
                tuple((tag, score, Origin(origin)) for tag, score, origin in zip(*tags, strict=True)),
            )
        )
    return {content_id: tuple(found[content_id]) for content_id, _ in queries}


def nearest_query(organization_id: str, model: str, dimension: int, limit: int, *, exact: bool) -> sql.Composed:
    """The statement of `nearest_tagged`; its parameters are the ids and the vectors of the queries, as arrays."""
    template = _TAGGED + _WITH_TAGS.replace("{nearest}", _AMONG_TAGGED)
    if not exact:
        template = _WITH_TAGS.replace("{nearest}", _BY_INDEX)
    return sql.SQL(template).format(
        embedding=_indexed_embedding(dimension),
        model=_constant(model),
        organization_id=_constant(organization_id),
        limit=sql.Literal(limit),
    )


def has_many_assignments(connection: Connection, organization_id: str, limit: int) -> bool:
    """Whether the organisation has at least `limit` assignments. Reads no more than that."""
    # Indexes: the unique index of tags, content_tags_tag.
    query = """
        SELECT count(*)
        FROM (
            SELECT
            FROM tagging.tags AS g
            JOIN tagging.content_tags AS ct ON ct.tag_id = g.id
            WHERE g.organization_id = %s
            LIMIT %s
        ) AS assignments
    """
    row = connection.execute(query, [organization_id, limit]).fetchone()
    return row is not None and row[0] == limit


def prepare_search(connection: Connection, *, iterative: bool) -> None:
    """Settings of the index search, for this transaction."""
    settings = {"hnsw.ef_search": str(SEARCH_WIDTH), "jit": "off"}
    if iterative:
        settings |= {"hnsw.iterative_scan": "relaxed_order", "hnsw.max_scan_tuples": str(SCAN_LIMIT)}
    else:
        settings["hnsw.ef_search"] = str(4 * SEARCH_WIDTH)
    connection.execute(
        "SELECT set_config(s.name, s.value, true) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
        [list(settings), list(settings.values())],
    )


def _indexed_embedding(dimension: int) -> sql.Composed:
    """The expression the index is built on; the planner recognises exactly this one."""
    return sql.SQL("(e.embedding::{}({}))").format(sql.SQL(indexed_type(dimension)), sql.Literal(dimension))


def _constant(value: str) -> sql.Composed:
    """A literal inside a query with parameters, where a percent sign must be doubled."""
    return sql.Composed([sql.Literal(value.replace("%", "%%"))])
