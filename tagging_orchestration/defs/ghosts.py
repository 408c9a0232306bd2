"""Ghost runs: runs that Dagster still calls started although their process is gone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import dagster as dg
from psycopg_pool import ConnectionPool

from tagging_orchestration.storage.run_locks import run_is_held

GRACE = timedelta(minutes=2)


def find_ghost_runs(
    instance: dg.DagsterInstance, pool: ConnectionPool, exclude: Collection[str] = (), grace: timedelta = GRACE
) -> list[dg.DagsterRun]:
    """Started runs of this project that hold no run lock, and neither changed nor started within `grace`.

    Dagster's own run monitoring misses runs that were executed in the process of a command (`tagging run`).
    """
    records = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    )
    settled = datetime.now(UTC) - grace
    return [
        record.dagster_run
        for record in records
        if record.dagster_run.run_id not in exclude
        and record.update_timestamp.replace(tzinfo=UTC) < settled
        and not run_is_held(pool, record.dagster_run.run_id)
    ]


def free_places_of_ghosts(instance: dg.DagsterInstance, pool: ConnectionPool) -> int:
    """Free the places in pools that killed runs still hold, so that the next run does not wait for them; how many
    runs held one. A run works in a pool only while it holds its run lock, so no grace is needed."""
    freed = 0
    storage = instance.event_log_storage
    for name in storage.get_concurrency_keys():
        for run_id in storage.get_concurrency_info(name).active_run_ids:
            if not run_is_held(pool, run_id):
                storage.free_concurrency_slots_for_run(run_id)
                freed += 1
    return freed
