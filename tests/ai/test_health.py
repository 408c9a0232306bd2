"""Looks at providers, by real HTTP against the local server with canned answers."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.health import probe_providers
from tagging_orchestration.ai.switch import read_switch
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import ProviderSettings, Settings
from tagging_orchestration.storage.ai_providers import provider_health, switch_ai
from tests.ai.usage import ai_settings, open_ai

MODEL = "phi4-mini:latest"


@pytest.fixture(scope="module")
def server():
    with DevLlm(models=[MODEL]) as server:
        yield server


def local_at(url: str, **stated: Any) -> dict[str, ProviderSettings]:
    return {"local": ProviderSettings(base_url=url, **{"model": MODEL, **stated})}


def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def probes(pool: ConnectionPool) -> list[tuple]:
    with pool.connection() as connection:
        return connection.execute(
            "SELECT p.name, b.status FROM ai.ai_provider_probes AS b JOIN ai.ai_providers AS p"
            " ON p.id = b.provider_id ORDER BY b.probed_at"
        ).fetchall()


def test_a_healthy_provider_is_seen_and_remembered_and_generates_nothing(
    pool: ConnectionPool, settings: Settings, server: DevLlm
):
    ai = open_ai(pool, settings, providers=local_at(server.base_url))
    at = datetime.now(UTC)
    (result,) = probe_providers(pool, ai, now=lambda: at)
    assert (result.name, result.model, result.status) == ("local", MODEL, "healthy")
    assert MODEL in result.models
    assert server.calls == []
    (row,) = [row for row in provider_health(pool) if row.provider.is_active]
    assert (row.provider.health_status, row.last_health_check) == ("healthy", at)
    assert probes(pool) == [("local", "healthy")]


def test_a_server_without_the_model_is_degraded_and_one_that_is_gone_unhealthy(
    pool: ConnectionPool, settings: Settings, server: DevLlm
):
    ai = open_ai(pool, settings, providers=local_at(server.base_url, model="llama3.2:1b"))
    (result,) = probe_providers(pool, ai)
    assert result.status == "degraded"
    assert "llama3.2:1b" in result.detail
    gone = open_ai(pool, settings, providers=local_at(nobody()))
    (result,) = probe_providers(pool, gone)
    assert (result.status, bool(result.detail)) == ("unhealthy", True)
    assert probes(pool) == [("local", "degraded"), ("local", "unhealthy")]


def test_every_active_provider_is_looked_at_and_no_other(
    pool: ConnectionPool, settings: Settings, server: DevLlm, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    stated = local_at(server.base_url) | {"openai": ProviderSettings(active=True, base_url=server.base_url)}
    ai = open_ai(pool, settings, providers=stated)
    found = {result.name: result for result in probe_providers(pool, ai)}
    assert {name: result.status for name, result in found.items()} == {"local": "healthy", "openai": "unhealthy"}
    assert "OPENAI_API_KEY" in found["openai"].detail


def test_a_provider_without_a_model_is_unhealthy_and_not_asked(
    pool: ConnectionPool, settings: Settings, server: DevLlm
):
    ai = open_ai(pool, settings, providers=local_at(server.base_url))
    with pool.connection() as connection:
        connection.execute("UPDATE ai.ai_providers SET default_model = NULL")
    seen = len(server.requests)
    (result,) = probe_providers(pool, ai)
    assert (result.status, len(server.requests)) == ("unhealthy", seen)
    assert "--model" in result.detail


def test_with_ai_off_or_nobody_active_no_server_is_contacted(
    pool: ConnectionPool, settings: Settings, server: DevLlm
):
    ai = open_ai(pool, settings, providers=local_at(server.base_url))
    seen = len(server.requests)
    off = ai_settings(ai, enabled=False)
    assert not read_switch(pool, off).configured
    assert probe_providers(pool, off) == []
    switch_ai(pool, "development", False)
    assert probe_providers(pool, ai_settings(ai, enabled=None)) == []
    switch_ai(pool, "development", True)
    open_ai(pool, settings, providers=local_at(server.base_url, active=False))
    assert probe_providers(pool, ai) == []
    assert len(server.requests) == seen
    assert probes(pool) == []


def test_ai_is_off_until_somebody_says_so(pool: ConnectionPool, settings: Settings):
    assert not read_switch(pool, settings).configured
    # What tagging.yaml states wins over the table.
    assert read_switch(pool, ai_settings(settings, enabled=True)).configured
    told = open_ai(pool, settings)
    assert read_switch(pool, ai_settings(told, enabled=None)).configured
    assert not read_switch(pool, ai_settings(told, enabled=False)).configured


def test_each_look_counts_for_availability(pool: ConnectionPool, settings: Settings, server: DevLlm):
    ai = open_ai(pool, settings, providers=local_at(server.base_url))
    at = datetime.now(UTC) - timedelta(hours=1)
    probe_providers(pool, ai, now=lambda: at)
    gone = open_ai(pool, settings, providers=local_at(nobody()))
    probe_providers(pool, gone, now=lambda: at + timedelta(minutes=5))
    with pool.connection() as connection:
        (share,) = connection.execute(
            "SELECT availability_24h FROM ai.ai_provider_realtime_stats WHERE provider_name = 'local'"
        ).fetchone() or (None,)
    assert share == 0.5
