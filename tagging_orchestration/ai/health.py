"""How the providers are: a look at each that is active, which generates nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.switch import read_switch
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.core.enhancement.choice import ProviderRow
from tagging_orchestration.core.enhancement.models import LlmClient, Probe
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_providers import list_providers, record_probe

MOST_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a provider was. `models` are those its server has, where it says so."""

    provider_id: UUID
    name: str
    model: str
    status: Literal["healthy", "degraded", "unhealthy"]
    detail: str = ""
    response_time_ms: int | None = None
    models: tuple[str, ...] = ()


def probe_providers(
    pool: ConnectionPool,
    settings: Settings,
    *,
    clients: Callable[[ProviderRow], LlmClient] = make_client,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[ProbeResult]:
    """Look at all active providers at once and store how they are. With AI off nobody is contacted."""
    if not read_switch(pool, settings).configured:
        return []
    active = [provider for provider in list_providers(pool) if provider.is_active]
    if not active:
        return []
    with ThreadPoolExecutor(min(len(active), MOST_AT_ONCE)) as threads:
        probes = list(threads.map(lambda provider: _look(provider, clients), active))
    for provider, probe in zip(active, probes, strict=True):
        record_probe(pool, provider.id, probe, now())
    return [
        ProbeResult(
            provider.id,
            provider.name,
            provider.default_model or "",
            probe.status,
            probe.detail,
            probe.response_time_ms,
            probe.models,
        )
        for provider, probe in zip(active, probes, strict=True)
    ]


def _look(provider: ProviderRow, clients: Callable[[ProviderRow], LlmClient]) -> Probe:
    """A provider without a model cannot answer, however well its server is."""
    if not provider.default_model:
        return Probe("unhealthy", f"no model is set: tagging ai providers enable {provider.name} --model MODEL")
    client = clients(provider)
    try:
        return client.probe(provider.default_model)
    finally:
        client.close()
