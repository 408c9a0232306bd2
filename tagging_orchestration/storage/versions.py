"""Known tagger versions: table `tagger_versions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.fingerprints import version_hash
from tagging_orchestration.storage.connection import transaction


class PostgresTaggerVersionStore:
    """`TaggerVersionStore` over Postgres."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def ensure(self, components: Mapping[str, Any]) -> int:
        """Id of the version with these components, registered at first sight."""
        fingerprint = version_hash(components)
        # Index: the unique one on version_hash. Asking first keeps the identity from running up.
        known = "SELECT id FROM tagging.tagger_versions WHERE version_hash = %s"
        with transaction(self._pool) as connection:
            row = connection.execute(known, [fingerprint]).fetchone()
            if row is None:
                row = connection.execute(
                    """
                    INSERT INTO tagging.tagger_versions (version_hash, components)
                    VALUES (%s, %s)
                    ON CONFLICT (version_hash) DO NOTHING
                    RETURNING id
                    """,
                    [fingerprint, Jsonb(dict(components))],
                ).fetchone()
            # None again: another process registered it in between.
            row = row or connection.execute(known, [fingerprint]).fetchone()
        assert row is not None  # noqa: S101 (rows of this table are never deleted)
        return row[0]
