"""What the AI forgets after its retention, and what it never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.sync import sync_ai
from tagging_orchestration.ai.upkeep import CleanupReport, clean_up
from tagging_orchestration.core.enhancement.models import Probe
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_providers import load_provider, record_probe
from tests.ai.usage import add_answer, add_call, open_ai, use_budget, vote


def counts(pool: ConnectionPool) -> dict[str, int]:
    names = ("ai_usage_logs", "ai_enhancements", "ai_enhancement_votes", "ai_provider_probes", "ai_token_budgets")
    with pool.connection() as connection:
        return {
            name: (connection.execute(f"SELECT count(*) FROM ai.{name}".encode()).fetchone() or (0,))[0]
            for name in names
        }


def fill(pool: ConnectionPool, at: datetime) -> None:
    """One row of each kind at a moment."""
    add_call(pool, at)
    vote(pool, add_answer(pool, at))
    record_probe(pool, load_provider(pool, "local").id, Probe("healthy"), at)
    use_budget(pool, "day", 5, at)


def test_what_is_older_than_the_retention_goes_and_the_rest_stays(pool: ConnectionPool, settings: Settings):
    ai = open_ai(pool, settings)
    now = datetime.now(UTC)
    for days in (0, 89, 91, 400):
        fill(pool, now - timedelta(days=days))
    done = clean_up(pool, ai)
    assert (done.usage_logs, done.enhancements, done.probes, done.budgets) == (2, 2, 2, 2)
    assert set(counts(pool).values()) == {2}
    assert clean_up(pool, ai) == CleanupReport()


def test_the_retention_is_a_setting(pool: ConnectionPool, settings: Settings):
    ai = open_ai(pool, settings, usage_retention_days=10)
    now = datetime.now(UTC)
    for days in (9, 11):
        fill(pool, now - timedelta(days=days))
    assert clean_up(pool, ai).usage_logs == 1
    assert set(counts(pool).values()) == {1}


def test_prompts_and_providers_are_never_forgotten(pool: ConnectionPool, settings: Settings):
    ai = open_ai(pool, settings)
    sync_ai(pool, ai)

    def kept() -> list[tuple]:
        with pool.connection() as connection:
            return connection.execute(
                "SELECT (SELECT count(*) FROM ai.ai_prompt_template_versions), count(*) FROM ai.ai_providers"
            ).fetchall()

    before = kept()
    with pool.connection() as connection:
        # A text may not change; that it is old is the only thing pretended.
        connection.execute("ALTER TABLE ai.ai_prompt_template_versions DISABLE TRIGGER USER")
        connection.execute("UPDATE ai.ai_prompt_template_versions SET created_at = created_at - interval '1 year'")
    clean_up(pool, ai)
    assert kept() == before


def test_months_of_the_log_are_made_ahead(pool: ConnectionPool, settings: Settings):
    with pool.connection() as connection:
        connection.execute("SET ai.cleaning_up = 'on'")
        months = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ai.ai_usage_logs'::regclass"
        ).fetchall()
        for (month,) in months:
            connection.execute(f"DROP TABLE {month}".encode())
    assert clean_up(pool, settings).partitions_made == 4
