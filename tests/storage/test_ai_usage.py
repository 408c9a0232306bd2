"""The log of calls: append-only, by month, cleaned up by age; and what is read from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.sync import load_seed
from tagging_orchestration.core.enhancement.models import Probe
from tagging_orchestration.settings import AiSettings
from tagging_orchestration.storage import ai_providers
from tests.storage.ai import log_call

NOW = datetime.now(UTC)


@pytest.fixture
def seeded(pool: ConnectionPool) -> ConnectionPool:
    seed = load_seed()
    ai_providers.sync_providers(pool, seed.providers, seed.systems, AiSettings())
    return pool


def run(pool: ConnectionPool, statement: str) -> list[tuple[Any, ...]]:
    with pool.connection() as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    "change",
    ["UPDATE ai_usage_logs SET status = 'success'", "DELETE FROM ai_usage_logs", "TRUNCATE ai_usage_logs"],
)
def test_the_log_cannot_be_changed(seeded: ConnectionPool, change: str) -> None:
    log_call(seeded)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        run(seeded, change)
    partition = run(seeded, "SELECT tableoid::regclass::text FROM ai_usage_logs")[0][0]
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        run(seeded, change.replace("ai_usage_logs", partition))


def test_partitions_are_made_once_and_for_any_month(seeded: ConnectionPool) -> None:
    assert run(seeded, "SELECT ai.ensure_usage_log_partitions()") == [(0,)]
    assert run(seeded, "SELECT ai.ensure_usage_log_partitions('2031-12-15', 2)") == [(2,)]
    assert run(seeded, "SELECT to_regclass('ai.ai_usage_logs_y2032m01') IS NOT NULL") == [(True,)]


def test_old_months_are_dropped_and_older_days_deleted(seeded: ConnectionPool) -> None:
    for days in (400, 91, 89, 0):
        log_call(seeded, created_at=NOW - timedelta(days=days))
    assert run(seeded, "SELECT cleanup_ai_usage_logs()") == [(2,)]
    assert run(seeded, "SELECT count(*) FROM ai_usage_logs") == [(2,)]
    old = NOW - timedelta(days=400)
    assert run(seeded, f"SELECT to_regclass('ai.ai_usage_logs_y{old:%Y}m{old:%m}')") == [(None,)]
    # The guard is back afterwards.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(seeded, "DELETE FROM ai_usage_logs")
    assert run(seeded, "SELECT cleanup_ai_usage_logs(keep_days => 30)") == [(1,)]


@pytest.mark.parametrize(
    "function",
    ["cleanup_ai_usage_logs", "cleanup_ai_enhancements", "cleanup_ai_provider_probes", "cleanup_ai_token_budgets"],
)
def test_a_retention_below_a_day_is_refused(seeded: ConnectionPool, function: str) -> None:
    for days in ("0", "NULL", "-1"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="keep_days"):
            run(seeded, f"SELECT {function}({days})")


def test_budgets_and_probes_go_too(seeded: ConnectionPool) -> None:
    local = ai_providers.load_provider(seeded, "local").id
    for days in (100, 1):
        ai_providers.record_probe(seeded, local, Probe("healthy"), NOW - timedelta(days=days))
    run(
        seeded,
        """
        INSERT INTO ai_token_budgets (scope, window_start, used, "limit")
        SELECT s, now() - d, 1, 9
        FROM
            unnest(ARRAY['day', 'hour', 'minute']) AS s,
            unnest(ARRAY['100 days', '2 days', '1 hour']::interval[]) AS d
        """,
    )
    assert run(seeded, "SELECT cleanup_ai_provider_probes()") == [(1,)]
    assert run(seeded, "SELECT cleanup_ai_token_budgets()") == [(4,)]
    assert run(seeded, "SELECT scope FROM ai_token_budgets ORDER BY scope, window_start") == [
        ("day",),
        ("day",),
        ("hour",),
        ("hour",),
        ("minute",),
    ]


def test_lapsed_reservations_are_released_by_the_clean_up(seeded: ConnectionPool) -> None:
    limits = """'{"day": 100, "cost": 100, "hour": 9, "minute": 9, "burst": 9}'"""
    for seconds in (-1, 600):
        run(
            seeded,
            f"SELECT ai.reserve_budget(gen_random_uuid(), 40, 0, {limits}, false, now() + interval '{seconds} s')",
        )
    run(seeded, "SELECT cleanup_ai_token_budgets()")
    assert run(seeded, "SELECT used, reserved FROM ai_token_budgets WHERE scope = 'day'") == [(0, 40)]
    assert run(seeded, "SELECT count(*) FROM ai_token_reservations") == [(1,)]


def test_figures_of_a_provider(seeded: ConnectionPool) -> None:
    for milliseconds in (100, 200, 300):
        log_call(seeded, response_time_ms=milliseconds, tokens=(100, 50), cost=0.01)
    log_call(seeded, response_time_ms=1000, error_subtype="deadline")
    log_call(seeded, called=False, cache_status="hit")
    log_call(seeded, model="llama3.2:1b", created_at=NOW - timedelta(days=3))
    rows = {
        (name, model): figures
        for name, model, *figures in run(
            seeded,
            """
            SELECT
                provider_name, model, requests_24h, success_rate_24h::float8, p50_response_time_ms, tokens_24h,
                cost_24h_usd::float8, avg_cost_per_success::float8, errors_by_type, cache_hit_rate::float8,
                last_success_at IS NOT NULL, jsonb_array_length(daily_series_7d), consecutive_failures
            FROM ai_provider_realtime_stats
            """,
        )
    }
    assert rows[("local", "phi4-mini:latest")] == [
        *(4, 0.75, 250, 450, 0.03, pytest.approx(0.01), {"general_error": 1}, 0.2, True, 1, 0)
    ]
    assert rows[("local", "llama3.2:1b")][:2] == [0, None]
    assert rows[("openai", "gpt-4o-mini")][0] == 0
