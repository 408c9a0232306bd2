"""Stored corpus statistics: table `corpus_statistics`, one row an organisation."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.storage.connection import transaction


class PostgresCorpusStore:
    """`CorpusStore` over Postgres. The latest statistics are kept in memory while the row is the same."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._known: dict[str, tuple[object, CorpusStatistics]] = {}

    def load(self, organization_id: str) -> CorpusStatistics | None:
        """The current statistics, None before the first."""
        with transaction(self._pool) as connection:
            built = connection.execute(
                "SELECT built_at FROM tagging.corpus_statistics WHERE organization_id = %s", [organization_id]
            ).fetchone()
            if built is None:
                return None
            known = self._known.get(organization_id)
            if known is not None and known[0] == built[0]:
                return known[1]
            row = connection.execute(
                "SELECT built_at, payload FROM tagging.corpus_statistics WHERE organization_id = %s",
                [organization_id],
            ).fetchone()
        if row is None:
            return None
        statistics = CorpusStatistics.from_bytes(row[1])
        self._known[organization_id] = (row[0], statistics)
        return statistics

    def save(self, organization_id: str, statistics: CorpusStatistics) -> None:
        """Replace the organisation's statistics."""
        with transaction(self._pool) as connection:
            connection.execute(
                """
                INSERT INTO tagging.corpus_statistics (organization_id, documents, corpus_size, payload, built_at)
                VALUES (%s, %s, %s, %s, clock_timestamp())
                ON CONFLICT (organization_id) DO UPDATE SET
                    documents = excluded.documents,
                    corpus_size = excluded.corpus_size,
                    payload = excluded.payload,
                    built_at = excluded.built_at
                """,
                [organization_id, statistics.documents, statistics.corpus_size, statistics.to_bytes()],
            )
