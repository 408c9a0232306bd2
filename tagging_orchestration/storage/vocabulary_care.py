"""Care of the vocabulary that needs no person: retiring what nobody uses."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import ChangeContext, Tag
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.vocabulary import load_tags, lock_vocabulary


def retire_unused(
    pool: ConnectionPool, settings: VocabularySettings, *, now: datetime, context: ChangeContext
) -> list[Tag]:
    """Retire machines' tags that no content carries and nothing happened to for `retire_after_days`.

    People's tags, pinned ones and tags with active children stay. A retired tag is kept with its history, and a
    person who gives it brings it back. Returns the retired tags.
    """
    # Indexes: content_tags_tag, tags_parent, tag_events_tag.
    query = """
        UPDATE tagging.tags AS t
        SET status = 'retired'
        WHERE
            t.status = 'active' AND t.origin = 'machine' AND NOT t.pinned AND t.created_at < %(before)s
            AND NOT EXISTS (SELECT FROM tagging.content_tags AS ct WHERE ct.tag_id = t.id)
            AND NOT EXISTS (SELECT FROM tagging.tags AS c WHERE c.parent_id = t.id AND c.status = 'active')
            AND NOT EXISTS (
                SELECT FROM tagging.tag_events AS e WHERE e.tag_id = t.id AND e.occurred_at >= %(before)s
            )
        RETURNING t.id
    """
    before = now - timedelta(days=settings.retire_after_days)
    with transaction(pool, replace(context, operation_id=context.operation_id or uuid4())) as connection:
        lock_vocabulary(connection, exclusive=True)
        ids = [tag_id for (tag_id,) in connection.execute(query, {"before": before})]
        tags = load_tags(connection, ids)
    return [tags[tag_id] for tag_id in sorted(ids)]
