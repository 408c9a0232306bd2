"""Runs that are not over."""

from __future__ import annotations

import dagster as dg

UNFINISHED = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    }
)


def at_work(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of this job is queued or not over yet."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=list(UNFINISHED))) > 0
