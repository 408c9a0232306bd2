"""What the AI no longer has to remember."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_upkeep import forget_before


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """Rows deleted. The hourly figures of `ai_metrics_hourly` and all texts of prompts stay."""

    usage_logs: int = 0
    enhancements: int = 0
    probes: int = 0
    budgets: int = 0


def clean_up(pool: ConnectionPool, settings: Settings) -> CleanupReport:
    """Delete what is older than `ai.usage_retention_days`. Answers that can still be shown are younger by far."""
    return CleanupReport(**forget_before(pool, settings.ai.usage_retention_days))
