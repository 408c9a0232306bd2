"""What one operation did, from its events, and putting it back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import Connection

# What the operation did to each row, from its first event's `before` to its last one's `after`. Index:
# tag_events_operation.
_NET_ASSIGNMENTS = """
    SELECT
        e.content_id, e.tag_id,
        (array_agg(e.before ORDER BY e.event_id))[1] AS before,
        (array_agg(e.after ORDER BY e.event_id DESC))[1] AS after
    FROM tagging.tag_events AS e
    WHERE e.operation_id = %(operation)s AND e.content_id IS NOT NULL AND e.tag_id IS NOT NULL
    GROUP BY e.content_id, e.tag_id
"""


def contents_changed_since(connection: Connection, operation_id: UUID) -> list[int]:
    """Contents with an assignment that is not as the operation left it, weights aside."""
    rows = connection.execute(
        f"""
        WITH net AS ({_NET_ASSIGNMENTS})
        SELECT DISTINCT n.content_id
        FROM net AS n
        LEFT JOIN tagging.content_tags AS ct ON ct.content_id = n.content_id AND ct.tag_id = n.tag_id
        WHERE
            (n.after IS NULL) <> (ct.content_id IS NULL)
            OR jsonb_populate_record(ct, n.after - 'weight') IS DISTINCT FROM ct
        """,  # noqa: S608 (a constant)
        {"operation": operation_id},
    )
    return [content_id for (content_id,) in rows]


def restore_parents(connection: Connection, operation_id: UUID) -> None:
    """Put tags back below the parents they had, where they still are where the operation put them."""
    connection.execute(
        """
        UPDATE tagging.tags AS t
        SET parent_id = (net.before ->> 'parent_id')::bigint
        FROM (
            SELECT
                e.tag_id,
                (array_agg(e.before ORDER BY e.event_id))[1] AS before,
                (array_agg(e.after ORDER BY e.event_id DESC))[1] AS after
            FROM tagging.tag_events AS e
            WHERE
                e.operation_id = %s AND e.content_id IS NULL
                AND e.event_type NOT IN ('alias_added', 'alias_removed')
            GROUP BY e.tag_id
        ) AS net
        WHERE
            t.id = net.tag_id
            AND net.before -> 'parent_id' IS DISTINCT FROM net.after -> 'parent_id'
            AND t.parent_id IS NOT DISTINCT FROM (net.after ->> 'parent_id')::bigint
        """,
        [operation_id],
    )


def restore_aliases(connection: Connection, operation_id: UUID) -> None:
    """Aliases that the operation added go, those it moved return, where they still are what it left."""
    net = """
        SELECT
            (coalesce(e.after, e.before) ->> 'id')::bigint AS id,
            (array_agg(e.before ORDER BY e.event_id))[1] AS before,
            (array_agg(e.after ORDER BY e.event_id DESC))[1] AS after
        FROM tagging.tag_events AS e
        WHERE e.operation_id = %s AND e.event_type IN ('alias_added', 'alias_removed')
        GROUP BY 1
    """
    connection.execute(
        f"""
        DELETE FROM tagging.tag_aliases AS a
        USING ({net}) AS net
        WHERE a.id = net.id AND net.before IS NULL AND a.tag_id = (net.after ->> 'tag_id')::bigint
        """,  # noqa: S608 (a constant)
        [operation_id],
    )
    connection.execute(
        f"""
        UPDATE tagging.tag_aliases AS a
        SET tag_id = (net.before ->> 'tag_id')::bigint
        FROM ({net}) AS net
        WHERE a.id = net.id AND net.before IS NOT NULL AND a.tag_id = (net.after ->> 'tag_id')::bigint
        """,  # noqa: S608 (a constant)
        [operation_id],
    )


def restore_assignments(connection: Connection, operation_id: UUID, kept: Sequence[int]) -> int:
    """Put back what the operation changed on all contents but `kept`. Returns how many assignments came back."""
    parameters = {"operation": operation_id, "kept": list(kept)}
    connection.execute(
        f"""
        DELETE FROM tagging.content_tags AS ct
        USING ({_NET_ASSIGNMENTS}) AS net
        WHERE
            ct.content_id = net.content_id AND ct.tag_id = net.tag_id AND net.before IS NULL
            AND ct.content_id <> ALL (%(kept)s::bigint[])
        """,  # noqa: S608 (a constant)
        parameters,
    )
    return connection.execute(
        f"""
        INSERT INTO tagging.content_tags
        SELECT (jsonb_populate_record(NULL::tagging.content_tags, net.before)).*
        FROM ({_NET_ASSIGNMENTS}) AS net
        WHERE net.before IS NOT NULL AND net.content_id <> ALL (%(kept)s::bigint[])
        ON CONFLICT (content_id, tag_id) DO UPDATE SET
            confidence = excluded.confidence,
            weight = excluded.weight,
            method = excluded.method,
            origin = excluded.origin,
            evidence = excluded.evidence,
            tagger_version_id = excluded.tagger_version_id,
            assigned_at = excluded.assigned_at
        """,  # noqa: S608 (a constant)
        parameters,
    ).rowcount
