"""What the AI no longer has to remember."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_upkeep import forget_before, make_partitions


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """Rows deleted, and monthly partitions of the log made ahead. The hours of `ai_metrics_hourly` and every text
    of a prompt stay."""

    usage_logs: int = 0
    enhancements: int = 0
    probes: int = 0
    budgets: int = 0
    partitions_made: int = 0


def clean_up(pool: ConnectionPool, settings: Settings) -> CleanupReport:
    """Delete what is older than `ai.usage_retention_days`; votes go with the answers they are about. Answers that
    can still be shown are younger by far."""
    deleted = forget_before(pool, settings.ai.usage_retention_days)
    return CleanupReport(**deleted, partitions_made=make_partitions(pool))
