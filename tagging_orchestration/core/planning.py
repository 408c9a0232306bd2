"""Plans: which time partition a content belongs to, and which partitions a sensor should run next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from tagging_orchestration.core.models import TimeWindow

Period = Literal["monthly", "weekly", "daily"]
RunState = Literal["running", "succeeded", "failed"]


def period_start(moment: datetime, period: Period) -> datetime:
    """First instant (UTC) of the period that holds `moment`; weeks start on Monday."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "monthly":
        return day.replace(day=1)
    if period == "weekly":
        return day - timedelta(days=day.weekday())
    return day


def next_period(start: datetime, period: Period) -> datetime:
    """First instant of the period after the one that begins at `start`."""
    if period == "monthly":
        return (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    return start + timedelta(days=7 if period == "weekly" else 1)


def first_period(start: date, period: Period) -> datetime:
    """First instant of the first whole partition on or after `start`."""
    moment = datetime(start.year, start.month, start.day, tzinfo=UTC)
    begin = period_start(moment, period)
    return begin if begin == moment else next_period(begin, period)


def clamp_to_partition(moment: datetime, *, first: datetime, now: datetime, period: Period) -> datetime:
    """Start of the partition that works on a content created at `moment`.

    Contents older than the first partition belong to the first one, contents dated in the future to the
    present one, so that no content is ever outside every partition.
    """
    return min(max(period_start(moment, period), first), period_start(now, period))


def partitions_window(
    start: datetime, end: datetime, *, first: datetime, now: datetime, period: Period
) -> TimeWindow:
    """Span of creation times that the partitions from `start` up to `end` (exclusive) work on.

    The first partition is open to the past, the present one to the future; see `clamp_to_partition`.
    """
    return TimeWindow(
        start=None if start <= first else start,
        end=None if end > period_start(now, period) else end,
    )


@dataclass(frozen=True, slots=True)
class StaleBatch:
    """The changed contents of one partition; `batch_hash` changes when another row joins or changes."""

    partition_key: str
    count: int
    batch_hash: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the sensor asked for last in one partition."""

    batch_hash: str
    number: int
    run_key: str
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """Partitions to run now with their attempts, the attempts to remember, and why others were skipped."""

    requests: Mapping[str, Attempt]
    remembered: Mapping[str, Attempt]
    skipped: Mapping[str, int]


def plan_sensor_tick(
    batches: Sequence[StaleBatch],
    attempts: Mapping[str, Attempt],
    states: Mapping[str, RunState],
    *,
    now: float,
    max_attempts: int,
    retry_seconds: float,
    limit: int,
) -> SensorPlan:
    """Decide which partitions get a run.

    Pending is the truth; `attempts` (the cursor) only prevents asking twice for the same batch. `states` gives
    the state of the run behind each run key. A failed run is asked for again with the next attempt number (a new
    run key, because Dagster never repeats one) after a back-off that doubles, at most `max_attempts` times for
    the same batch. `now` and `retry_at` are in epoch seconds.
    """
    requests: dict[str, Attempt] = {}
    remembered: dict[str, Attempt] = {}
    skipped = {"running": 0, "waiting to retry": 0, "given up": 0, "over the limit of this tick": 0}
    for batch in batches:
        key = batch.partition_key
        last = attempts.get(key)
        state = states.get(last.run_key) if last else None
        if last and state == "running":
            skipped["running"] += 1
            remembered[key] = last
            continue
        number = 1
        if last and last.batch_hash == batch.batch_hash:
            if last.number >= max_attempts:
                skipped["given up"] += 1
                remembered[key] = last
                continue
            retry_at = last.retry_at or now + retry_seconds * 2 ** (last.number - 1)
            if state == "failed" and now < retry_at:
                skipped["waiting to retry"] += 1
                remembered[key] = Attempt(last.batch_hash, last.number, last.run_key, retry_at)
                continue
            number = last.number + 1
        if len(requests) >= limit:
            skipped["over the limit of this tick"] += 1
            if last:
                remembered[key] = last
            continue
        attempt = Attempt(batch.batch_hash, number, f"{key}:{batch.batch_hash}:{number}")
        requests[key] = attempt
        remembered[key] = attempt
    return SensorPlan(requests, remembered, {reason: count for reason, count in skipped.items() if count})
