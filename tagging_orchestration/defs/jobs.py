"""Jobs: load, tag, project, and the upkeep of Dagster's own records."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

RUN_TAGS = {"tagging/kind": "tagging"}

load_contents = dg.define_asset_job(
    "load_contents", selection=["raw_content"], description="Load all sources into `contents`."
)

tag_contents = dg.define_asset_job(
    "tag_contents",
    selection=["content_embeddings", "generated_tags", "merged_vocabulary", "content_tags"],
    tags=RUN_TAGS,
    description="Tag what is pending in the chosen partitions. Launch it over a range of partitions to re-tag "
    "history after a change of model, rules or settings: rows that are up to date cost nothing.",
)

care_for_vocabulary = dg.define_asset_job(
    "care_for_vocabulary",
    selection=["merged_vocabulary"],
    description="Merge tags that mean the same, and queue doubtful pairs for people.",
)

refresh_projections = dg.define_asset_job(
    "refresh_projections",
    selection=["tag_weights", "tag_relationships", "tagging_metrics", "review_queue", "feedback_statistics"],
    description="Recompute weights, relationships, metrics, what people's answers say, and what to ask them next.",
)

learn_from_feedback = dg.define_asset_job(
    "learn_from_feedback",
    selection=["confidence_calibration"],
    description="Refit confidences and their threshold to people's answers; a better fit makes contents pending, "
    "which are re-tagged within the budget of drain_stale_versions.",
)


@dg.op(retry_policy=TRANSIENT_RETRIES)
def purge_old_records(context: dg.OpExecutionContext, tagging: Tagging) -> None:
    """Delete finished runs with their events, and rejected rows, past their retention."""
    from tagging_orchestration.storage.source_loads import purge_rejections

    runs = get_settings().runs
    before = datetime.now(UTC) - timedelta(days=runs.run_retention_days)
    finished = [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    ]
    deleted = 0
    for record in context.instance.get_run_records(
        dg.RunsFilter(statuses=finished, created_before=before), limit=1000, ascending=True
    ):
        context.instance.delete_run(record.dagster_run.run_id)
        deleted += 1
    rejections = purge_rejections(tagging.project.pool, timedelta(days=runs.rejected_retention_days))
    context.log.info(f"deleted {deleted} runs and {rejections} rejected rows")


@dg.op(retry_policy=TRANSIENT_RETRIES)
def prepare_event_partitions(context: dg.OpExecutionContext, tagging: Tagging) -> None:
    """Create the partitions of `tag_events` for the coming months."""
    from tagging_orchestration.storage.history import ensure_event_partitions

    created = ensure_event_partitions(tagging.project.pool, months=4)
    context.log.info(f"created {created} partitions of tag_events")


@dg.op(retry_policy=TRANSIENT_RETRIES)
def end_ghost_runs(context: dg.OpExecutionContext, tagging: Tagging) -> None:
    """Mark as failed the runs whose process is gone, so that they do not hold a place in the queue."""
    from tagging_orchestration.defs.ghosts import find_ghost_runs

    for ghost in find_ghost_runs(context.instance, tagging.project.pool, exclude={context.run_id}):
        context.instance.report_run_failed(ghost, "The run's process is gone (killed or lost).")
        context.log.warning(f"ended ghost run {ghost.run_id}")


@dg.job(description="Purge old runs and rejected rows, prepare event partitions, end ghost runs.")
def keep_house() -> None:
    """Daily upkeep."""
    purge_old_records()
    prepare_event_partitions()
    end_ghost_runs()


ALL_JOBS = [load_contents, tag_contents, care_for_vocabulary, refresh_projections, learn_from_feedback, keep_house]
