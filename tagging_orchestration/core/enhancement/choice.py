"""Which provider answers, and with which parameters: the rows between the tables and the clients.

The choice itself is the SQL function `ai.get_best_provider_config`; here are its rows in Python, and the check of
the parameters people write in `ai_prompt_provider_configs.provider_specific_params`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, ValidationError

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.parameters import Strict

Adapter = Literal["ollama", "openai", "anthropic"]
Strategy = Literal["performance", "cost", "quality", "balanced"]

PROVIDER_ALIASES = {"ollama": "local"}
"""Names people use for a provider, and what its row is called."""

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One row of `ai_providers`. Prices are US dollars a million tokens; `api_key_env` names the environment
    variable that holds the key."""

    id: UUID
    name: str
    display_name: str
    provider_type: Literal["cloud", "local", "hybrid"]
    adapter: Adapter
    base_url: str | None
    default_model: str | None
    api_key_env: str | None
    price_in_per_million: float
    price_out_per_million: float
    max_concurrency: int
    is_active: bool
    is_default: bool
    health_status: Literal["unknown", "healthy", "degraded", "unhealthy"]


@dataclass(frozen=True, slots=True)
class CallParameters:
    """What a config says of a call; None leaves it to the template. `options` is the provider's own block without
    what the gateway uses itself: `system_prompt_prefix`, which stands before the system message."""

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    system_prompt_prefix: str = ""


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """A config of a template in its place, with the scores that were effective (0 to 1, measured and stated mixed)
    and why it has that place. `params` is the config's document, not checked yet. `skipped` says why the provider
    may not be called now; while it is `switched_on` its earlier answers may be shown nevertheless."""

    provider: ProviderRow
    model: str
    params: Mapping[str, Any]
    overall_score: float
    performance_score: float
    cost_efficiency_score: float
    quality_score: float
    reason: str
    skipped: str | None = None
    switched_on: bool = True


# ------------------------------------------------------------------------------------------------ parameters


class _ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]


class _OpenAiBlock(Strict):
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    response_format: _ResponseFormat | None = None


class _ClaudeBlock(Strict):
    stop_sequences: list[Annotated[str, Field(min_length=1)]] | None = None
    system_prompt_prefix: str | None = None


class _OllamaBlock(Strict):
    num_ctx: Annotated[int, Field(ge=256)] | None = None
    mirostat: Annotated[int, Field(ge=0, le=2)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0)] | None = None


class _Parameters(Strict):
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(gt=0, le=4096)] | None = None
    openai_specific: _OpenAiBlock | None = None
    claude_specific: _ClaudeBlock | None = None
    ollama_specific: _OllamaBlock | None = None


_BLOCKS: Mapping[Adapter, str] = {
    "ollama": "ollama_specific",
    "openai": "openai_specific",
    "anthropic": "claude_specific",
}


def parse_params(document: Mapping[str, Any], adapter: Adapter) -> CallParameters:
    """The parameters of a call from a config's document; of the `*_specific` blocks only the adapter's own.

    All blocks are checked, whichever is used. Raises ConfigurationError naming each wrong or unknown key.
    """
    try:
        parsed = _Parameters.model_validate(dict(document))
    except ValidationError as error:
        faults = "; ".join(f"{_path(item['loc'])}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(
            f"provider_specific_params: {faults}. Correct ai_prompt_provider_configs"
        ) from None
    block = getattr(parsed, _BLOCKS[adapter])
    options = {} if block is None else block.model_dump(exclude_none=True)
    if options.pop("mirostat", None) is not None:
        LOG.warning("provider_specific_params: ollama_specific.mirostat is no option of Ollama any more; not sent")
    prefix = options.pop("system_prompt_prefix", "")
    return CallParameters(parsed.model, parsed.temperature, parsed.max_tokens, options, prefix)


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
