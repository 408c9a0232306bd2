"""Bring providers, prompts and their configs from files and settings into the tables."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from tagging_orchestration.settings import Settings


@dataclass(frozen=True, slots=True)
class SyncAiReport:
    """What a synchronisation changed; all zero and empty when there was nothing to do."""

    providers_added: int
    providers_changed: int
    configs_added: int
    prompts: object


def sync_ai(pool: ConnectionPool, settings: Settings) -> SyncAiReport:
    """Providers, then prompts, then configs: adds what is absent, keeps what people changed in the tables, writes
    what tagging.yaml states. Cheap when nothing changed; processes that call it at once wait for the first.

    Raises ConfigurationError for an unknown provider name or a wrong file.
    """
    raise NotImplementedError
