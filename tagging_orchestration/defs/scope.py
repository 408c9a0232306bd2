"""Which pending contents a run works on: its partitions, and whether another tagger version counts."""

import dagster as dg

from tagging_orchestration.core.models import Scope
from tagging_orchestration.defs.partitions import run_window


class PendingConfig(dg.Config):
    """`include_stale_version`: also re-tag contents whose text is unchanged but whose tags were made by another
    tagger version. `limit`: at most so many contents, newest first (a budget)."""

    include_stale_version: bool = True
    limit: int | None = None


def run_scope(context: dg.AssetExecutionContext, config: PendingConfig) -> Scope:
    """The scope of a partitioned asset's run."""
    return Scope(
        window=run_window(context), include_stale_version=config.include_stale_version, limit=config.limit
    )
