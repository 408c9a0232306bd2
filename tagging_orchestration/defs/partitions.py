"""Time partitions of contents by creation, from one setting."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import dagster as dg

from tagging_orchestration.core.models import TimeWindow
from tagging_orchestration.core.parameters import PartitionSettings
from tagging_orchestration.core.planning import first_period, partitions_window
from tagging_orchestration.settings import get_settings

KEY_FORMAT = "%Y-%m-%d"

# `backfill_policy` is marked as beta: a range of partitions in one run is worth it, a warning an asset is not.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message="Parameter `backfill_policy`")


def content_partitions(settings: PartitionSettings) -> dg.TimeWindowPartitionsDefinition:
    """Partitions from the configured start up to and including the present period."""
    if settings.period == "monthly":
        return dg.MonthlyPartitionsDefinition(start_date=settings.start.isoformat(), end_offset=1)
    if settings.period == "weekly":
        start = first_period(settings.start, "weekly")
        return dg.WeeklyPartitionsDefinition(start_date=start.strftime(KEY_FORMAT), day_offset=1, end_offset=1)
    return dg.DailyPartitionsDefinition(start_date=settings.start.isoformat(), end_offset=1)


CONTENT_PARTITIONS = content_partitions(get_settings().partitions)


def partition_key(start: datetime) -> str:
    """Key of the partition that begins at `start`."""
    return start.strftime(KEY_FORMAT)


def run_window(context: dg.AssetExecutionContext) -> TimeWindow:
    """Span of creation times this run works on; open where contents outside all partitions belong."""
    window = context.partition_time_window
    settings = get_settings().partitions
    return partitions_window(
        window.start.astimezone(UTC),
        window.end.astimezone(UTC),
        first=first_period(settings.start, settings.period),
        now=datetime.now(UTC),
        period=settings.period,
    )
