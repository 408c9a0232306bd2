"""Who may answer a prompt: the providers and models that are switched on for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.storage.connection import transaction


@dataclass(frozen=True, slots=True)
class Answerer:
    """A provider that may answer a prompt, in good health or not; `params` is its config's document."""

    provider_id: UUID
    provider_name: str
    model: str
    params: Mapping[str, Any]


def answerers(pool: ConnectionPool, template_key: str) -> list[Answerer]:
    """Providers whose config for a prompt is switched on, by name. Some rows: no index is needed."""
    query = """
        SELECT r.provider_id, r.provider_name, r.model, r.params
        FROM ai.rank_provider_configs(%s) AS r
        WHERE r.switched_on AND r.model IS NOT NULL
        ORDER BY r.provider_name
    """
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Answerer)) as cursor:
        return cursor.execute(query, [template_key]).fetchall()
