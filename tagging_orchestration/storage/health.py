"""What `tagging doctor` asks the database about itself."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import class_row, scalar_row
from psycopg_pool import ConnectionPool

# Dropped, these would leave changes unseen or history open, and nothing else would say so.
GUARDS = (
    ("contents", "contents_capture_insert"),
    ("contents", "contents_capture_update"),
    ("contents", "contents_capture_delete"),
    ("contents", "contents_capture_leave"),
    ("content_tags", "content_tags_insert_events"),
    ("content_tags", "content_tags_update_events"),
    ("content_tags", "content_tags_delete_events"),
    ("tags", "tags_insert_events"),
    ("tags", "tags_update_events"),
    ("tags", "tags_are_permanent"),
    ("tag_events", "tag_events_append_only"),
)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server and the database behind a pool."""

    postgres: str
    pgvector: str | None
    database: str
    bytes: int


def server_facts(connection: Connection) -> ServerFacts:
    """Versions and size."""
    query = """
        SELECT
            current_setting('server_version') AS postgres,
            (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
            current_database() AS database,
            pg_database_size(current_database()) AS bytes
    """
    with connection.cursor(row_factory=class_row(ServerFacts)) as cursor:
        (facts,) = cursor.execute(query).fetchall()
        return facts


def silent_triggers(pool: ConnectionPool) -> list[str]:
    """Triggers of our schema that are disabled, and those of `GUARDS` that are dropped, as "table.trigger"."""
    query = """
        SELECT c.relname || '.' || t.tgname
        FROM pg_trigger AS t
        JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'tagging'::regnamespace AND NOT t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
        UNION
        SELECT g.relation || '.' || g.name
        FROM unnest(%s::text[], %s::text[]) AS g (relation, name)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger AS t
            WHERE t.tgrelid = to_regclass('tagging.' || g.relation) AND t.tgname = g.name
        )
        ORDER BY 1
    """
    relations, names = [list(column) for column in zip(*GUARDS, strict=True)]
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, [relations, names]).fetchall()


def invalid_indexes(pool: ConnectionPool) -> list[str]:
    """Indexes of our schema that a failed concurrent build left unusable, with their schema."""
    query = """
        SELECT i.indexrelid::regclass::text
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'tagging'::regnamespace AND NOT (i.indisvalid AND i.indisready)
        ORDER BY 1
    """
    with pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query).fetchall()
