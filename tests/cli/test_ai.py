"""`tagging ai`: status, switches, providers, usage, toggles; and what the doctor says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.commands.ai_doctor import ai_looks
from tagging_orchestration.commands.doctor import Finding
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import get_settings
from tagging_orchestration.storage.ai_providers import load_provider
from tagging_orchestration.wiring import Project
from tests.ai.usage import add_call, use_budget
from tests.cli.conftest import Tagging, data

MODEL = "phi4-mini:latest"


@pytest.fixture(scope="module")
def server() -> Iterator[DevLlm]:
    with DevLlm(models=[MODEL]) as server:
        yield server


@pytest.fixture
def on(project: Path, server: DevLlm, tagging: Tagging) -> Path:
    """A project whose AI is on and asks the local server with canned answers."""
    enabled = tagging("ai", "providers", "enable", "local", "--url", server.base_url)
    assert enabled.exit_code == 0, enabled.stderr
    assert tagging("ai", "on").exit_code == 0
    return project


def test_before_anything_is_set_up_it_says_how_to_begin(project: Path, tagging: Tagging):
    result = tagging("ai", "status")
    assert result.exit_code == 0
    assert "AI is off" in result.stdout
    for hint in ("ollama pull", "tagging ai on", "tagging dev-llm"):
        assert hint in result.stdout
    status = data(tagging("ai", "status", "--json"))
    assert (status["on"], status["switches"]["table"], status["providers"]) == (False, False, [])
    assert tagging("ai", "providers").stdout.strip().endswith("tagging ai sync")
    assert "AI is off" in tagging("ai", "probe").stdout
    assert "nothing was asked" in tagging("ai", "usage").stdout


def test_on_and_off_switch_and_say_what_follows(on: Path, tagging: Tagging, server: DevLlm):
    status = data(tagging("ai", "status", "--json"))
    assert (status["on"], status["switches"]) == (
        True,
        {"tagging.yaml": None, "table": True, "people": status["switches"]["people"]},
    )
    local = status["providers"][0]
    assert (local["provider"]["name"], local["provider"]["health_status"]) == ("local", "healthy")
    assert set(status["scores"]["local"]) == {"stated", "effective", "calls_7d"}
    assert server.calls == []
    result = tagging("ai", "off")
    assert "AI is off" in result.stderr
    assert data(tagging("ai", "status", "--json"))["on"] is False
    assert tagging("ai", "off").exit_code == 0


def test_a_file_that_says_otherwise_is_changed(project: Path, tagging: Tagging):
    file = project / "tagging.yaml"
    file.write_text("sources: []\nai:\n  enabled: false  # not yet\n  daily_token_limit: 5\n")
    get_settings.cache_clear()
    result = tagging("ai", "on")
    assert (result.exit_code, "was changed" in result.stderr) == (0, True)
    assert "no provider is well yet" in result.stderr
    assert "enabled: true" in file.read_text()
    assert "daily_token_limit: 5" in file.read_text()
    get_settings.cache_clear()
    assert data(tagging("ai", "status", "--json"))["on"] is True


def test_an_environment_variable_that_says_otherwise_is_told(
    project: Path, tagging: Tagging, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAGGING_AI__ENABLED", "false")
    get_settings.cache_clear()
    result = tagging("ai", "on")
    assert (result.exit_code, "TAGGING_AI__ENABLED" in result.stderr) == (5, True)


def test_providers_are_enabled_changed_and_disabled(on: Path, pool: ConnectionPool, tagging: Tagging):
    result = tagging("ai", "providers", "enable", "openai", "--model", "gpt-4o")
    assert "leaves this machine" in result.stderr
    assert (load_provider(pool, "openai").is_active, load_provider(pool, "openai").default_model) == (
        True,
        "gpt-4o",
    )
    assert "gpt-4o" in tagging("ai", "providers").stdout
    assert "openai is not active" in tagging("ai", "providers", "disable", "openai").stdout
    assert not load_provider(pool, "openai").is_active
    # The name people know the local one by.
    assert tagging("ai", "providers", "disable", "ollama").exit_code == 0
    assert not load_provider(pool, "local").is_active
    wrong = tagging("ai", "providers", "enable", "opnai")
    assert (wrong.exit_code, "did you mean openai" in wrong.stderr) == (3, True)


def test_what_the_file_states_is_not_changed_behind_its_back(project: Path, tagging: Tagging):
    (project / "tagging.yaml").write_text("ai:\n  providers:\n    ollama: {model: phi4-mini}\n")
    get_settings.cache_clear()
    result = tagging("ai", "providers", "enable", "local", "--model", "llama3.2:1b")
    assert (result.exit_code, "ai.providers.ollama.model" in result.stderr) == (5, True)
    assert tagging("ai", "providers", "enable", "local", "--model", "phi4-mini").exit_code == 0


def test_a_look_tells_how_each_is(on: Path, tagging: Tagging):
    result = tagging("ai", "probe")
    assert (result.exit_code, "healthy" in result.stdout) == (0, True)
    tagging("ai", "providers", "enable", "local", "--model", "llama3.2:1b")
    result = tagging("ai", "probe", "--json")
    (found,) = json.loads(result.stdout)
    assert (result.exit_code, found["name"], found["status"]) == (1, "local", "degraded")


def test_usage_is_told_by_what_is_asked_for(on: Path, pool: ConnectionPool, tagging: Tagging):
    add_call(pool, tokens_prompt=1200, estimated_cost_usd=0.5, tokens_estimated=True)
    add_call(pool, template_key="trend_analysis", error_type="timeout", error_subtype="deadline")
    result = tagging("ai", "usage")
    for said in ("local", "1,200 ~", "0.5000", "50.0%", "1 × timeout deadline", "docs/ai-operations.md"):
        assert said in result.stdout, said
    found = data(tagging("ai", "usage", "--by", "template", "--json"))
    assert {row["name"]: row["calls"] for row in found["totals"]} == {"alert_enhancement": 1, "trend_analysis": 1}
    assert found["errors"] == [{"error_type": "timeout", "error_subtype": "deadline", "count": 1}]
    status = tagging("ai", "status").stdout
    assert "2 questions, 2 calls" in status
    assert "1,200 tokens" in status


def test_limits_that_are_used_up_are_seen(on: Path, pool: ConnectionPool, tagging: Tagging):
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    use_budget(pool, "day", 200_000, midnight)
    assert "used up" in tagging("ai", "status").stdout
    limits = looks()["ai limits"]
    assert (limits.state, "100% of today's tokens" in limits.said) == ("warning", True)


def test_people_toggle_what_they_want_to_see(on: Path, tagging: Tagging):
    assert tagging("ai", "toggles", "alerts", "off").exit_code == 0
    assert tagging("ai", "toggles", "executiveSummary", "off", "--user", "mei").exit_code == 0
    everybody = data(tagging("ai", "toggles", "--json"))
    mei = data(tagging("ai", "toggles", "--user", "mei", "--json"))
    assert (everybody["alerts"], everybody["executiveSummary"]) == (False, True)
    assert (mei["alerts"], mei["executiveSummary"]) == (False, False)
    assert "alerts" in tagging("ai", "status").stdout
    assert tagging("ai", "toggles", "alerts").exit_code == 2
    assert tagging("ai", "toggles", "weather", "off").exit_code == 2


def test_sync_says_what_it_did(project: Path, tagging: Tagging):
    first, second = data(tagging("ai", "sync", "--json")), data(tagging("ai", "sync", "--json"))
    assert first["providers_added"] > 0
    assert (second["providers_added"], second["configs_added"], second["prompts"]["inserted"]) == (0, 0, [])


# ------------------------------------------------------------------------------------------------------ doctor


def looks() -> dict[str, Finding]:
    get_settings.cache_clear()
    with Project() as project:
        return {name: look() for name, look in ai_looks(project)}


def test_the_doctor_looks_at_the_ai_only_while_it_is_on(project: Path, tagging: Tagging):
    assert looks() == {}


def test_the_doctor_names_parameters_nobody_understands(on: Path, pool: ConnectionPool):
    with pool.connection() as connection:
        connection.execute(
            """
            UPDATE ai.ai_prompt_provider_configs AS c SET provider_specific_params = '{"modell": "x"}'
            FROM ai.ai_providers AS p, ai.ai_prompt_templates AS t
            WHERE p.id = c.provider_id AND t.id = c.template_id
                AND (p.name, t.template_key) IN (('local', 'trend_analysis'), ('openai', 'business_intelligence'))
            """
        )
    finding = looks()["ai configs"]
    assert finding.state == "warning"
    assert "trend_analysis of local" in finding.said
    assert "modell" in finding.said
    # Who is not active is not asked.
    assert "openai" not in finding.said


def test_the_doctor_says_what_to_do_about_providers(on: Path, tagging: Tagging, monkeypatch: pytest.MonkeyPatch):
    assert {name: finding.state for name, finding in looks().items()} == {
        "ai providers": "ok", "ai prompts": "ok", "ai configs": "ok", "ai limits": "ok",
    }  # fmt: skip
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    tagging("ai", "providers", "enable", "openai")
    tagging("ai", "providers", "enable", "local", "--model", "llama3.2:1b")
    finding = looks()["ai providers"]
    assert finding.state == "warning"
    assert "ollama pull llama3.2:1b" in finding.advice
    assert "set the environment variable OPENAI_API_KEY" in finding.advice
    tagging("ai", "providers", "disable", "openai")
    tagging("ai", "providers", "disable", "local")
    finding = looks()["ai providers"]
    assert "no provider is active" in finding.said
