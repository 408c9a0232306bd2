"""How tags are used, for merging and for the hierarchy: counts, meetings, and the middle of each tag's
contents."""

from __future__ import annotations

import numpy as np
from psycopg import Connection

from tagging_orchestration.core.vocabulary.usage import MIN_USES, CoUsage

# Contents that a tag's middle is made of: its weightiest ones. More move the middle little and cost a look-up
# each.
_CONTENTS_A_TAG = 20


def load_co_usage(connection: Connection, organization_id: str, *, centres: bool = False) -> CoUsage:
    """Contents by tag, contents that carry both of two tags, and with `centres` mean vectors of contents by
    tag."""
    contents = connection.execute(
        "SELECT tag_id, usage_count FROM tagging.tag_weights WHERE organization_id = %s", [organization_id]
    ).fetchall()
    together = connection.execute(
        """
        SELECT tag_id, related_tag_id, co_occurrences
        FROM tagging.tag_relationships
        WHERE organization_id = %s AND tag_id < related_tag_id
        """,
        [organization_id],
    ).fetchall()
    return CoUsage(
        dict(contents),
        {(first, second): count for first, second, count in together},
        _centres(connection, organization_id) if centres else {},
    )


def _centres(connection: Connection, organization_id: str) -> dict[int, np.ndarray]:
    # Only vectors of one model can be compared: the one most texts have. Indexes: tag_weights_usage,
    # content_tags_tag, the primary keys of contents and content_embeddings.
    query = """
        WITH commonest AS (
            SELECT e.model
            FROM tagging.content_embeddings AS e
            WHERE e.organization_id = %(organization)s
            GROUP BY e.model
            ORDER BY count(*) DESC, e.model
            LIMIT 1
        )
        SELECT w.tag_id, avg(e.embedding)
        FROM tagging.tag_weights AS w
        CROSS JOIN commonest AS m
        CROSS JOIN LATERAL (
            SELECT ct.content_id
            FROM tagging.content_tags AS ct
            WHERE ct.tag_id = w.tag_id
            ORDER BY ct.weight DESC
            LIMIT %(most)s
        ) AS ct
        JOIN tagging.contents AS c ON c.id = ct.content_id
        JOIN tagging.content_embeddings AS e
            ON e.text_hash = c.text_hash AND e.model = m.model AND e.organization_id = c.organization_id
        WHERE w.organization_id = %(organization)s AND w.usage_count >= %(uses)s
        GROUP BY w.tag_id
    """
    parameters = {"organization": organization_id, "most": _CONTENTS_A_TAG, "uses": MIN_USES}
    with connection.cursor(binary=True) as cursor:
        return {tag_id: centre.to_numpy() for tag_id, centre in cursor.execute(query, parameters)}
