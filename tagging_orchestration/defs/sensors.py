"""The sensor that turns changed rows into runs for just the touched partitions."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from tagging_orchestration.core.planning import Attempt, RunState, StaleBatch, plan_sensor_tick
from tagging_orchestration.defs.jobs import tag_contents
from tagging_orchestration.defs.partitions import partition_key
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.run_states import UNFINISHED
from tagging_orchestration.defs.schedules import pending_run_config
from tagging_orchestration.settings import get_settings

RUNS_PER_TICK = 20
RUN_KEY_TAG = "dagster/run_key"


def run_states(instance: dg.DagsterInstance, run_keys: list[str]) -> dict[str, RunState]:
    """State of the latest run behind each run key; a key without a run is left out."""
    states: dict[str, RunState] = {}
    for run_key in run_keys:
        runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_key}), limit=1)
        if runs:
            status = runs[0].status
            states[run_key] = (
                "running"
                if status in UNFINISHED
                else "succeeded"
                if status == dg.DagsterRunStatus.SUCCESS
                else "failed"
            )
    return states


@dg.sensor(
    job=tag_contents,
    minimum_interval_seconds=get_settings().runs.sensor_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks up changed contents in the ledger's partial index and asks for one run a touched "
    "partition. The cursor only keeps it from asking twice; the ledger is the truth.",
)
def changed_contents(context: dg.SensorEvaluationContext, tagging: Tagging) -> dg.SensorResult:
    """One tick: pending by partition, minus what runs already, plus retries that are due."""
    settings = get_settings()
    project = tagging.project
    now = datetime.now(UTC)
    periods = project.stores.contents.pending_periods(
        settings.partitions, project.engine.version_id, now=now, include_stale_version=False
    )
    batches = [StaleBatch(partition_key(p.start), p.count, p.batch_hash) for p in periods]
    attempts = {key: Attempt(**value) for key, value in json.loads(context.cursor or "{}").items()}
    plan = plan_sensor_tick(
        batches,
        attempts,
        run_states(context.instance, [attempt.run_key for attempt in attempts.values()]),
        now=now.timestamp(),
        max_attempts=settings.runs.max_attempts,
        retry_seconds=settings.runs.retry_minutes * 60,
        limit=RUNS_PER_TICK,
    )
    cursor = json.dumps({key: asdict(attempt) for key, attempt in plan.remembered.items()})
    if not plan.requests:
        changed = sum(batch.count for batch in batches)
        why = ", ".join(f"{count} partitions {reason}" for reason, count in plan.skipped.items())
        return dg.SensorResult(
            skip_reason=f"{changed} changed contents in {len(batches)} partitions" + (f": {why}" if why else ""),
            cursor=cursor,
        )
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=attempt.run_key,
                partition_key=key,
                run_config=pending_run_config(include_stale_version=False),
                tags={"tagging/trigger": "changed_contents", "tagging/attempt": str(attempt.number)},
            )
            for key, attempt in plan.requests.items()
        ],
        cursor=cursor,
    )


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=["tag_weights", "tag_relationships", "tagging_metrics"],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Evaluates the automation conditions of the projections.",
)

ALL_SENSORS = [changed_contents, automation]
