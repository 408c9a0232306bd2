"""What a fresh installation starts with: providers, system configs, and configs of templates with their scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from tagging_orchestration.core.enhancement.choice import Adapter
from tagging_orchestration.core.enhancement.system_settings import SystemSettings
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.parameters import Strict

Score = Annotated[float, Field(ge=0, le=1)]


class ProviderSeed(Strict):
    """A row of `ai_providers`; prices are US dollars a million tokens."""

    name: str
    display_name: str
    provider_type: Literal["cloud", "local", "hybrid"]
    adapter: Adapter
    base_url: str | None = None
    default_model: str
    api_key_env: str | None = None
    price_in_per_million: float = 0
    price_out_per_million: float = 0
    max_concurrency: int = 1
    is_active: bool = False
    is_default: bool = False


class SystemSeed(Strict):
    """A row of `ai_system_config`; AI is off in it until somebody switches it on."""

    name: str
    description: str
    default_provider: str
    settings: SystemSettings


class ConfigSeed(Strict):
    """A row of `ai_prompt_provider_configs`. `template` is a key, or `*` for each template without a config of its
    own. `assumed` names the scores nobody stated: they are our estimates."""

    template: str
    provider: str
    params: dict[str, Any] = Field(default={})
    performance: Score
    cost_efficiency: Score
    quality: Score
    assumed: list[Literal["performance", "cost_efficiency", "quality"]] = Field(default=[])


class Seed(Strict):
    """The whole seed."""

    providers: list[ProviderSeed]
    systems: list[SystemSeed]
    configs: list[ConfigSeed]


def parse_seed(document: Mapping[str, Any]) -> Seed:
    """The seed in a document. Raises ConfigurationError naming each wrong key."""
    try:
        return Seed.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(f"providers.yaml: {faults}") from None
