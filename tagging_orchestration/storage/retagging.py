"""Marking contents for re-tagging after a change of the vocabulary: exactly those it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import Connection

from tagging_orchestration.core.models import TagStatus
from tagging_orchestration.storage.vocabulary import load_tags


def retag(connection: Connection, content_ids: Iterable[int]) -> int:
    """Make contents pending and their staged proposals stale; what they have stays till then. Returns how many."""
    # Indexes: primary keys of generated_tags and content_ledger.
    ids = list(content_ids)
    connection.execute(
        "UPDATE tagging.generated_tags SET input_hash = '' WHERE content_id = ANY (%s::bigint[])", [ids]
    )
    marked = connection.execute(
        """
        UPDATE tagging.content_ledger
        SET
            tagged_input_hash = NULL, changed_at = clock_timestamp(), attempts = 0, retry_at = NULL,
            failed_version_id = NULL, error = NULL
        WHERE content_id = ANY (%s::bigint[]) AND deleted_at IS NULL
        """,
        [ids],
    ).rowcount
    if marked:
        connection.execute("SELECT tagging.wake_live_workers()")
    return marked


def contents_carrying(connection: Connection, tag_ids: Iterable[int]) -> list[int]:
    """Contents that hold the words of one of these tags, in text or staged proposals, but do not have the tag."""
    rows = connection.execute(
        "SELECT DISTINCT content_id FROM tagging.contents_carrying(%s::bigint[]) ORDER BY content_id",
        [list(tag_ids)],
    )
    return [content_id for (content_id,) in rows]


def retag_carrying(connection: Connection, tag_ids: Sequence[int]) -> int:
    """Mark the contents that carry the words of these tags, where the tags are active. Returns how many."""
    active = [tag.id for tag in load_tags(connection, tag_ids).values() if tag.status is TagStatus.ACTIVE]
    return retag(connection, contents_carrying(connection, active)) if active else 0
