"""Schedules: care of the vocabulary, projections, the weekly backstop, and upkeep."""

from datetime import UTC, datetime

import dagster as dg

from tagging_orchestration.core.models import PendingCount, Scope
from tagging_orchestration.defs.jobs import (
    care_for_vocabulary,
    keep_house,
    learn_from_feedback,
    load_contents,
    refresh_projections,
    tag_contents,
)
from tagging_orchestration.defs.partitions import partition_key
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

PARTITIONED_STEPS = ("content_embeddings", "generated_tags", "content_tags")
DRAIN_BUDGET = 5000
RUNNING = dg.DefaultScheduleStatus.RUNNING


def pending_run_config(*, include_stale_version: bool, limit: int | None = None) -> dict:
    """Run configuration of `tag_contents`."""
    config = {"include_stale_version": include_stale_version, "limit": limit}
    return {"ops": {step: {"config": config} for step in PARTITIONED_STEPS}}


hourly_load = dg.ScheduleDefinition(
    name="hourly_load",
    job=load_contents,
    cron_schedule="7 * * * *",
    default_status=RUNNING,
    description="Read the sources of tagging.yaml. A file that did not change is not read again.",
)
nightly_vocabulary = dg.ScheduleDefinition(
    name="nightly_vocabulary",
    job=care_for_vocabulary,
    run_config={"ops": {"merged_vocabulary": {"config": {"everything": True, "retire_unused": True}}}},
    description="Look at all pairs of tags, merge or propose, and retire what nobody uses.",
    cron_schedule="20 2 * * *",
    default_status=RUNNING,
)
nightly_projections = dg.ScheduleDefinition(
    name="nightly_projections", job=refresh_projections, cron_schedule="40 2 * * *", default_status=RUNNING
)
weekly_learning = dg.ScheduleDefinition(
    name="weekly_learning",
    job=learn_from_feedback,
    cron_schedule="30 3 * * 0",
    default_status=RUNNING,
    description="Refit confidences to people's answers, before the weekly re-tagging.",
)
nightly_upkeep = dg.ScheduleDefinition(
    name="nightly_upkeep", job=keep_house, cron_schedule="10 3 * * *", default_status=RUNNING
)


def _runs_for_pending(tagging: Tagging, *, stale_version: bool, limit: int | None):
    project = tagging.project
    version_id = project.engine.version_id
    periods = project.stores.contents.pending_periods(
        get_settings().partitions, version_id, now=datetime.now(UTC), include_stale_version=stale_version
    )
    if not periods:
        count: PendingCount = project.stores.contents.pending_count(Scope(), version_id)
        return dg.SkipReason(f"nothing pending ({count.failed} failed contents wait for `tagging retry`)")
    budget = limit
    requests = []
    for period in periods:
        if budget is not None and budget <= 0:
            break
        share = period.count if budget is None else min(budget, period.count)
        requests.append(
            dg.RunRequest(
                partition_key=partition_key(period.start),
                run_config=pending_run_config(include_stale_version=stale_version, limit=share),
            )
        )
        budget = None if budget is None else budget - share
    return requests


@dg.schedule(job=tag_contents, cron_schedule="0 4 * * 0", name="weekly_reconcile", default_status=RUNNING)
def weekly_reconcile(tagging: Tagging):
    """The backstop: a run for every partition with anything pending, whatever the sensor believes."""
    return _runs_for_pending(tagging, stale_version=True, limit=None)


@dg.schedule(job=tag_contents, cron_schedule="*/30 * * * *", name="drain_stale_versions", default_status=RUNNING)
def drain_stale_versions(tagging: Tagging):
    """Re-tag contents of another tagger version within a budget, newest partitions first."""
    return _runs_for_pending(tagging, stale_version=True, limit=DRAIN_BUDGET)


ALL_SCHEDULES = [
    hourly_load,
    nightly_vocabulary,
    nightly_projections,
    nightly_upkeep,
    weekly_learning,
    weekly_reconcile,
    drain_stale_versions,
]
