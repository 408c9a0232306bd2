"""Jobs: load, tag, project, and the upkeep of Dagster's own records."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
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
    selection=["tag_models", "confidence_calibration"],
    description="Train the classifier from people's tags, and refit confidences and their threshold to people's "
    "answers; a better model or fit makes contents pending, which are re-tagged within the budget of "
    "drain_stale_versions.",
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
    from tagging_orchestration.defs.ghosts import find_ghost_runs, free_places_of_ghosts

    free_places_of_ghosts(context.instance, tagging.project.pool)
    for ghost in find_ghost_runs(context.instance, tagging.project.pool, exclude={context.run_id}):
        context.instance.report_run_failed(ghost, "The run's process is gone (killed or lost).")
        context.log.warning(f"ended ghost run {ghost.run_id}")


@dg.job(description="Purge old runs and rejected rows, prepare event partitions, end ghost runs.")
def keep_house() -> None:
    """Daily upkeep."""
    purge_old_records()
    prepare_event_partitions()
    end_ghost_runs()


class ExperimentConfig(dg.Config):
    """`overrides`: settings of the candidate, as in tagging.yaml. `sample`: contents to tag under both."""

    name: str
    overrides: dict[str, Any]
    sample: int = 200


@dg.op(retry_policy=TRANSIENT_RETRIES)
@retry_only_transient()
def compare_configurations(context: dg.OpExecutionContext, config: ExperimentConfig, tagging: Tagging) -> int:
    """Run an experiment and show what it found; returns its id."""
    from tagging_orchestration.ai.tag_experiments import proposer
    from tagging_orchestration.experiments import run_experiment

    change = tagging.context(context, "experiment")
    done = run_experiment(
        tagging.project,
        config.overrides,
        name=config.name,
        sample=config.sample,
        context=change,
        propose=proposer(tagging.project, run_id=context.run_id),
    )
    report = done.report
    figures = [[key, report["current"][key], report["candidate"][key]] for key in report["current"]]
    told = ("content_id", "name", "current", "candidate", "assigned_by", "wanted")
    context.add_output_metadata(
        {
            "contents": report["contents"],
            "judged_contents": report["judged_contents"],
            "agreement": report["agreement"],
            "figures": table(["figure", "now", "candidate"], figures),
            "differences": table(told, [[item[key] for key in told] for item in report["differences"]]),
            "adopt_with": f"tagging experiment adopt {done.id}",
        }
    )
    return done.id


@dg.job(
    description="A candidate configuration against the present one on a sample, in the sandbox: precision, "
    "recall, F1, calibration, cost and the most telling differences. Touches no content, tag or event."
)
def experiment() -> None:
    """Try a configuration."""
    compare_configurations()


ALL_JOBS = [
    load_contents,
    tag_contents,
    care_for_vocabulary,
    refresh_projections,
    learn_from_feedback,
    experiment,
    keep_house,
]
