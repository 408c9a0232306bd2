"""The document `system_settings` of ai_system_config, typed: an unknown key is an error, not a silent default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, ValidationError

from tagging_orchestration.core.enhancement.choice import Strategy
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.parameters import Strict


class RateLimiting(Strict):
    """A bucket of `burst_limit` requests that refills with `requests_per_minute`. With `priority_queue` critical
    alerts are asked about before warnings, and these before the rest."""

    requests_per_minute: int = Field(default=60, gt=0)
    burst_limit: int = Field(default=10, gt=0)
    priority_queue: bool = True


class Security(Strict):
    """Switches of the document. Answers are always validated, whatever they say: nothing unchecked is shown."""

    content_filtering: bool = True
    response_validation: bool = True


class Monitoring(Strict):
    """`log_requests` keeps the masked prompt beside each call; calls are always logged, limits need it."""

    log_requests: bool = False
    track_performance: bool = True


class QualityControl(Strict):
    """Answers less sure than `confidence_threshold` are kept but not shown by default."""

    confidence_threshold: float = Field(default=0.7, ge=0, le=1)
    response_validation: bool = True
    content_filtering: bool = True
    length_validation: bool = True


class Caching(Strict):
    """Without `enable_prompt_cache` every question is asked anew. How long answers are fresh (15 minutes) and kept
    (24 hours) is fixed; `cache_duration_minutes` is about rendered prompts, which are cheap and not kept."""

    enable_prompt_cache: bool = True
    cache_duration_minutes: int = Field(default=30, gt=0)
    cache_key_strategy: Literal["context_hash"] = "context_hash"


class SystemSettings(Strict):
    """All keys of `system_settings`."""

    auto_enhancement_enabled: bool = True
    enhancement_timeout_ms: int = Field(default=30_000, gt=0, description="for one call, all of it")
    fallback_behavior: Literal["graceful"] = "graceful"
    prompt_selection_strategy: Literal["provider_optimized", "performance", "cost", "quality", "balanced"] = (
        "provider_optimized"
    )
    rate_limiting: RateLimiting = RateLimiting()
    security: Security = Security()
    monitoring: Monitoring = Monitoring()
    quality_control: QualityControl = QualityControl()
    caching: Caching = Caching()

    @property
    def strategy(self) -> Strategy:
        """The strategy of get_best_provider_config; `provider_optimized` is the document's word for balanced."""
        chosen = self.prompt_selection_strategy
        return "balanced" if chosen == "provider_optimized" else chosen


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One row of ai_system_config: `ai_enabled` counts only while the row is active."""

    config_name: str
    ai_enabled: bool
    settings: SystemSettings
    default_provider_id: UUID | None = None


def parse_system_settings(document: Mapping[str, Any], config_name: str) -> SystemSettings:
    """The settings of a row. Raises ConfigurationError naming the path of each wrong or unknown key."""
    try:
        return SystemSettings.model_validate(dict(document))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(
            f"ai_system_config.system_settings of {config_name}: {faults}. AI stays off until the row is corrected"
        ) from None
