"""Bring providers, prompts and their configs from files and settings into the tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from psycopg_pool import ConnectionPool

from tagging_orchestration.clients.prompt_files import load_prompt_files
from tagging_orchestration.core.enhancement.models import PromptLocale
from tagging_orchestration.core.enhancement.seed import Seed, parse_seed
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_prompts import SyncReport, sync_prompts
from tagging_orchestration.storage.ai_providers import sync_configs, sync_providers


@dataclass(frozen=True, slots=True)
class SyncAiReport:
    """What a synchronisation changed. `providers_*` counts providers and system configs."""

    providers_added: int
    providers_changed: int
    configs_added: int
    prompts: SyncReport


@cache
def load_seed() -> Seed:
    """The packaged seed. Raises ConfigurationError for a wrong key in it."""
    document: Any = yaml.safe_load((files("tagging_orchestration.ai") / "providers.yaml").read_text("utf-8"))
    return parse_seed(document)


def business_locale(settings: Settings) -> PromptLocale:
    """The language in which the business is written about."""
    return "zh-TW" if settings.business.locale == "zh-Hant" else "en"


def sync_ai(pool: ConnectionPool, settings: Settings) -> SyncAiReport:
    """Providers, then prompts, then configs: adds what is absent, keeps what people changed in the tables, writes
    what tagging.yaml states. Cheap when nothing changed; processes that call it at once wait for one another.

    Raises ConfigurationError for an unknown provider name or a wrong file.
    """
    seed = load_seed()
    providers = sync_providers(pool, seed.providers, seed.systems, settings.ai)
    prompts = sync_prompts(pool, load_prompt_files(), business_locale(settings))
    configs = sync_configs(pool, seed.configs)
    return SyncAiReport(providers.added, providers.changed, configs, prompts)
