"""The proof that the base stands without AI, and that the proof can fail."""

from __future__ import annotations

from psycopg_pool import ConnectionPool

from tagging_orchestration.storage.ai_parity import unified_fingerprints


def test_the_base_is_the_same_without_the_schema(pool: ConnectionPool):
    present, without = unified_fingerprints(pool, "default")
    assert present == without
    with pool.connection() as connection:
        assert connection.execute("SELECT to_regclass('ai.ai_enhancements') IS NOT NULL").fetchone() == (True,)


def test_a_base_that_reads_ai_is_found(pool: ConnectionPool):
    with pool.connection() as connection:
        connection.execute(
            """
            CREATE OR REPLACE FUNCTION analytics.get_unified_dashboard_content(
                locale text DEFAULT NULL, organization text DEFAULT 'default'
            )
            RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
            BEGIN
                RETURN to_jsonb(to_regclass('ai.ai_enhancements') IS NULL);
            END
            $$
            """
        )
    present, without = unified_fingerprints(pool, "default")
    assert present != without
