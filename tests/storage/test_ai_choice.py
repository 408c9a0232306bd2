"""ai.get_best_provider_config: who answers, and the operations SQL people run against its tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.sync import load_seed
from tagging_orchestration.core.enhancement.models import Probe
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.settings import AiSettings, ProviderSettings
from tagging_orchestration.storage import ai_providers
from tests.storage.ai import add_templates, log_call

KEYS = ("alert_enhancement", "insight_deepening", "business_intelligence", "custom_analysis")


@pytest.fixture
def seeded(pool: ConnectionPool) -> ConnectionPool:
    seed = load_seed()
    ai_providers.sync_providers(pool, seed.providers, seed.systems, AiSettings())
    add_templates(pool, *KEYS)
    ai_providers.sync_configs(pool, seed.configs)
    return pool


def run(pool: ConnectionPool, statement: str, *values: Any) -> None:
    with pool.connection() as connection:
        connection.execute(statement, values)  # pyright: ignore[reportArgumentType]


def best(pool: ConnectionPool, key: str, preferred: UUID | None = None, strategy: str = "balanced") -> list[dict]:
    with pool.connection() as connection:
        return (
            connection.cursor(row_factory=dict_row)
            .execute("SELECT * FROM get_best_provider_config(%s, %s, %s)", [key, preferred, strategy])
            .fetchall()
        )


def names(rows: list[dict]) -> list[str]:
    return [row["provider_name"] for row in rows]


def activate_all(pool: ConnectionPool) -> None:
    run(pool, "UPDATE ai_providers SET is_active = true")


def id_of(pool: ConnectionPool, name: str) -> UUID:
    return ai_providers.load_provider(pool, name).id


def test_only_local_is_active_and_answers_every_key(seeded: ConnectionPool) -> None:
    assert {p.name: p.is_active for p in ai_providers.list_providers(seeded)} == {
        "local": True,
        "openai": False,
        "claude": False,
    }
    for key in KEYS:
        assert names(best(seeded, key)) == ["local"]


def test_the_documents_query_runs_as_it_stands(seeded: ConnectionPool) -> None:
    with seeded.connection() as connection:
        rows = connection.execute(
            "SELECT provider_name, overall_score\n"
            "FROM get_best_provider_config('alert_enhancement', NULL, 'balanced');"
        ).fetchall()
    assert [(name, float(score)) for name, score in rows] == [("local", 0.905)]


def test_the_documents_operations_sql_runs_as_it_stands(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    assert len(best(seeded, "alert_enhancement")) == 3
    with seeded.connection() as connection:
        connection.execute(
            "UPDATE ai_prompt_provider_configs SET is_active = FALSE FROM ai_providers ap WHERE "
            "ai_prompt_provider_configs.provider_id = ap.id AND ap.name IN ('openai', 'claude');"
        )
        connection.execute(
            "UPDATE ai_prompt_provider_configs SET performance_score = 0.95, cost_efficiency_score = 1.0, "
            "quality_score = 0.90 FROM ai_providers ap WHERE ai_prompt_provider_configs.provider_id = ap.id AND "
            "ap.name = 'local';"
        )
    for key in KEYS:
        (row,) = best(seeded, key)
        assert (row["provider_name"], float(row["overall_score"])) == ("local", 0.95)


PHASE_C = """
ALTER TABLE ai_system_config
DROP COLUMN IF EXISTS prompt_template,
DROP COLUMN IF EXISTS prompt_configs;
UPDATE ai_system_config
SET system_settings = '{
"auto_enhancement_enabled": true,
"enhancement_timeout_ms": 45000,
"fallback_behavior": "graceful",
"prompt_selection_strategy": "provider_optimized",
"rate_limiting": {
"requests_per_minute": 100,
"burst_limit": 20,
"priority_queue": true
},
"quality_control": {
"confidence_threshold": 0.7,
"response_validation": true,
"content_filtering": true,
"length_validation": true
},
"caching": {
"enable_prompt_cache": true,
"cache_duration_minutes": 30,
"cache_key_strategy": "context_hash"
}
}'::JSONB,
default_provider_id = (SELECT id FROM ai_providers WHERE name = 'openai' AND is_default = true)
WHERE config_name = 'production';
"""


def test_the_documents_system_settings_run_and_are_understood(seeded: ConnectionPool) -> None:
    run(seeded, "UPDATE ai_system_config SET system_settings = '{}' WHERE config_name = 'production'")
    with seeded.connection() as connection:
        connection.execute(PHASE_C.encode())
    config = ai_providers.system_settings(seeded, "production")
    assert (config.ai_enabled, config.default_provider_id) == (False, None)
    assert config.settings.enhancement_timeout_ms == 45_000
    assert (config.settings.rate_limiting.requests_per_minute, config.settings.rate_limiting.burst_limit) == (
        100,
        20,
    )
    assert config.settings.strategy == "balanced"


def test_strategies_put_different_providers_first(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    run(
        seeded,
        """
        UPDATE ai_prompt_provider_configs AS c
        SET performance_score = v.a, cost_efficiency_score = v.b, quality_score = v.c
        FROM (VALUES ('local', .5, 1, .5), ('openai', .9, .5, .6), ('claude', .6, .2, 1)) AS v (name, a, b, c)
        JOIN ai_providers AS p ON p.name = v.name
        WHERE c.provider_id = p.id
        """,
    )
    first = {s: names(best(seeded, "alert_enhancement", None, s))[0] for s in ("performance", "cost", "quality")}
    assert first == {"performance": "openai", "cost": "local", "quality": "claude"}
    # 0.4 * performance + 0.3 * cost + 0.3 * quality
    rows = {row["provider_name"]: float(row["overall_score"]) for row in best(seeded, "alert_enhancement")}
    assert rows == {"openai": 0.69, "local": 0.65, "claude": 0.6}
    assert list(rows) == ["openai", "local", "claude"]


def test_ties_go_to_the_default_then_to_local_then_by_name(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    run(
        seeded,
        "UPDATE ai_prompt_provider_configs"
        " SET performance_score = .5, cost_efficiency_score = .5, quality_score = .5",
    )
    assert names(best(seeded, "alert_enhancement")) == ["local", "claude", "openai"]
    run(seeded, "UPDATE ai_providers SET is_default = false")
    assert names(best(seeded, "alert_enhancement")) == ["local", "claude", "openai"]
    run(seeded, "UPDATE ai_providers SET is_default = true WHERE name = 'openai'")
    assert names(best(seeded, "alert_enhancement")) == ["openai", "local", "claude"]


def test_an_unknown_strategy_is_refused_with_a_hint_and_an_unknown_key_has_no_rows(seeded: ConnectionPool) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        best(seeded, "alert_enhancement", None, "cheapest")
    assert "balanced" in (caught.value.diag.message_hint or "")
    assert best(seeded, "沒有這個") == []


def test_the_preferred_provider_wins_where_it_may(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    claude = id_of(seeded, "claude")
    rows = best(seeded, "alert_enhancement", claude)
    assert (names(rows)[0], rows[0]["reason"]) == ("claude", "preferred")
    run(seeded, "UPDATE ai_providers SET is_active = false WHERE name = 'claude'")
    rows = best(seeded, "alert_enhancement", claude)
    assert names(rows) == ["local", "openai"]
    assert "the preferred claude is skipped: the provider is inactive" in rows[0]["reason"]
    assert "no config for this template" in best(seeded, "alert_enhancement", uuid4())[0]["reason"]


def test_unhealthy_providers_open_circuits_and_inactive_rows_are_skipped(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    run(seeded, "UPDATE ai_providers SET health_status = 'unhealthy' WHERE name = 'local'")
    assert "local" not in names(best(seeded, "alert_enhancement"))
    run(
        seeded, "UPDATE ai_providers SET health_status = 'healthy', circuit_opened_at = now() WHERE name = 'local'"
    )
    assert "local" not in names(best(seeded, "alert_enhancement"))
    run(
        seeded,
        "UPDATE ai_providers SET health_status = 'unhealthy', circuit_opened_at = now() - interval '60 seconds' "
        "WHERE name = 'local'",
    )
    assert names(best(seeded, "alert_enhancement"))[0] == "local"
    run(seeded, "UPDATE ai_prompt_templates SET is_active = false WHERE template_key = 'alert_enhancement'")
    assert best(seeded, "alert_enhancement") == []
    run(seeded, "UPDATE ai_providers SET circuit_opened_at = NULL, health_status = 'degraded'")
    assert set(names(best(seeded, "insight_deepening"))) == {"local", "claude"}


def test_used_up_budgets_skip(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    add = """
        INSERT INTO ai_token_budgets (scope, window_start, used, "limit")
        SELECT %s, date_trunc('day', now(), 'UTC'), 5, 5
    """
    run(seeded, add, "cost")
    assert names(best(seeded, "alert_enhancement")) == ["local"]
    run(seeded, add, "day")
    assert best(seeded, "alert_enhancement") == []
    run(seeded, "UPDATE ai_token_budgets SET window_start = window_start - interval '1 day'")
    assert len(best(seeded, "alert_enhancement")) == 3


def test_a_model_that_was_not_pulled_gives_way_to_the_default(seeded: ConnectionPool) -> None:
    local = id_of(seeded, "local")
    assert best(seeded, "insight_deepening")[0]["model"] == "llama3.2:1b"
    ai_providers.record_probe(seeded, local, Probe("healthy", models=("phi4-mini:latest",)))
    (row,) = best(seeded, "insight_deepening")
    assert (row["model"], "llama3.2:1b is not on the server" in row["reason"]) == ("phi4-mini:latest", True)
    ai_providers.record_probe(seeded, local, Probe("degraded", models=("qwen3:4b",)))
    assert best(seeded, "insight_deepening") == []
    # The tag :latest may be left out on either side.
    run(seeded, "UPDATE ai_providers SET default_model = 'qwen3', models = '{qwen3:latest}' WHERE name = 'local'")
    assert best(seeded, "alert_enhancement")[0]["model"] == "qwen3"


def test_measured_scores_replace_stated_ones_step_by_step(seeded: ConnectionPool) -> None:
    run(
        seeded,
        "UPDATE ai_system_config SET system_settings = '{\"enhancement_timeout_ms\": 10000}', ai_enabled = true",
    )
    call: dict[str, Any] = {"model": "phi4-mini:latest", "response_time_ms": 10_000, "schema_valid": True}
    for _ in range(29):
        log_call(seeded, **call)
    (row,) = best(seeded, "alert_enhancement")
    assert (float(row["performance_score"]), "stated" in row["reason"]) == (0.95, True)
    log_call(seeded, **call)
    (row,) = best(seeded, "alert_enhancement")
    # n = 30: weight 30/130 = 0.231; every call took the whole limit, so measured performance is 0.5.
    assert float(row["performance_score"]) == pytest.approx(0.95 - 0.231 * 0.45, abs=0.001)
    assert float(row["quality_score"]) == pytest.approx(0.75 + 0.231 * 0.25, abs=0.001)
    assert "30 calls measured" in row["reason"]
    # Another template's calls, those of another model, cancelled ones and old ones say nothing about this.
    others: tuple[dict[str, Any], ...] = (
        {"template_key": "custom_analysis"},
        {"model": "qwen3"},
        {"error_subtype": "cancelled"},
        {"called": False, "cache_status": "hit"},
        {"created_at": datetime.now(UTC) - timedelta(days=8)},
    )
    for other in others:
        log_call(seeded, **(call | other))
    assert best(seeded, "alert_enhancement")[0]["performance_score"] == row["performance_score"]


def test_failures_and_costs_lower_the_measured_scores(seeded: ConnectionPool) -> None:
    activate_all(seeded)
    for number in range(100):
        log_call(
            seeded,
            provider="openai",
            model="gpt-4o-mini",
            response_time_ms=0,
            cost=0.0075 if number < 50 else 0,
            error_subtype=None if number < 50 else "server_error",
        )
    openai = next(row for row in best(seeded, "alert_enhancement") if row["provider_name"] == "openai")
    # Weight 0.5; half of the calls succeeded: (0.85 + 0.5) / 2; 0.0075 USD a success is worth 0.5.
    assert float(openai["performance_score"]) == pytest.approx(0.675)
    assert float(openai["cost_efficiency_score"]) == pytest.approx((0.85 + 0.5) / 2, abs=0.001)
    rows = {row.provider_name: row for row in ai_providers.list_configs(seeded, "alert_enhancement")}
    assert (rows["openai"].performance_score, rows["openai"].calls_7d) == (0.85, 100)
    assert rows["openai"].effective_score < rows["openai"].overall_score


# ---------------------------------------------------------------------------------------------- synchronising


def test_synchronising_again_changes_nothing_and_keeps_what_people_changed(seeded: ConnectionPool) -> None:
    run(seeded, "UPDATE ai_providers SET default_model = 'qwen3:4b', is_active = true WHERE name = 'openai'")
    run(seeded, "UPDATE ai_prompt_provider_configs SET quality_score = 0.11")
    seed = load_seed()
    report = ai_providers.sync_providers(seeded, seed.providers, seed.systems, AiSettings())
    assert (report.added, report.changed, ai_providers.sync_configs(seeded, seed.configs)) == (0, 0, 0)
    openai = ai_providers.load_provider(seeded, "openai")
    assert (openai.default_model, openai.is_active) == ("qwen3:4b", True)
    assert {row.quality_score for row in ai_providers.list_configs(seeded)} == {0.11}


def test_what_tagging_yaml_states_wins(seeded: ConnectionPool) -> None:
    seed = load_seed()
    ai = AiSettings(
        enabled=True,
        providers={
            "ollama": ProviderSettings(base_url="http://gpu.example:11434", model="qwen3:4b", max_concurrency=3),
            "openai": ProviderSettings(active=True, price_in_per_million=9),
        },
    )
    report = ai_providers.sync_providers(seeded, seed.providers, seed.systems, ai)
    assert (report.added, report.changed) == (0, 6)
    local = ai_providers.load_provider(seeded, "ollama")
    assert (local.name, local.base_url, local.default_model, local.max_concurrency) == (
        "local",
        "http://gpu.example:11434",
        "qwen3:4b",
        3,
    )
    assert ai_providers.load_provider(seeded, "openai").price_in_per_million == 9
    assert ai_providers.system_settings(seeded, "development").ai_enabled
    assert not ai_providers.system_settings(seeded, "production").ai_enabled
    assert ai_providers.system_settings(seeded, "default").config_name == "development"
    assert ai_providers.sync_providers(seeded, seed.providers, seed.systems, ai).changed == 0


def test_an_unknown_provider_in_tagging_yaml_is_named(seeded: ConnectionPool) -> None:
    seed = load_seed()
    with pytest.raises(ConfigurationError, match=r"ai\.providers\.chatgpt.*claude, local, openai"):
        ai_providers.sync_providers(
            seeded, seed.providers, seed.systems, AiSettings(providers={"chatgpt": ProviderSettings()})
        )
    with pytest.raises(UnknownName):
        ai_providers.load_provider(seeded, uuid4())


def test_a_broken_system_row_names_its_key(seeded: ConnectionPool) -> None:
    run(seeded, 'UPDATE ai_system_config SET system_settings = \'{"rate_limiting": {"requests_a_minute": 1}}\'')
    with pytest.raises(ConfigurationError, match=r"development: rate_limiting\.requests_a_minute"):
        ai_providers.system_settings(seeded, "development")


def test_probes_open_and_close_the_circuit_and_make_availability(seeded: ConnectionPool) -> None:
    local = id_of(seeded, "local")
    for status in ("healthy", "unhealthy"):
        ai_providers.record_probe(seeded, local, Probe(status, models=("phi4-mini:latest",)))
    assert best(seeded, "alert_enhancement") == []
    ai_providers.record_probe(seeded, local, Probe("degraded", "cold", models=("phi4-mini:latest",)))
    assert len(best(seeded, "alert_enhancement")) == 1
    (health,) = [found for found in ai_providers.provider_health(seeded) if found.provider.name == "local"]
    assert (health.health_detail, health.models) == ("cold", ("phi4-mini:latest",))
    with seeded.connection() as connection:
        rows = connection.execute(
            "SELECT provider_name, availability_24h::float8 FROM ai_provider_realtime_stats ORDER BY 1"
        ).fetchall()
    assert dict(rows)["local"] == pytest.approx(2 / 3, abs=0.001)
