"""Partitions of contents and the sensor's plan."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.planning import (
    Attempt,
    StaleBatch,
    clamp_to_partition,
    first_period,
    next_period,
    partitions_window,
    period_start,
    plan_sensor_tick,
)

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
FIRST = datetime(2010, 1, 1, tzinfo=UTC)
PERIODS = ["monthly", "weekly", "daily"]


@pytest.mark.parametrize(
    ("period", "expected"),
    [("monthly", datetime(2026, 11, 1)), ("weekly", datetime(2026, 11, 16)), ("daily", datetime(2026, 11, 21))],
)
def test_period_start(period, expected):
    assert period_start(NOW, period) == expected.replace(tzinfo=UTC)


def test_period_start_is_judged_in_utc():
    taipei = datetime.fromisoformat("2026-11-01T07:30:00+08:00")
    assert period_start(taipei, "monthly") == datetime(2026, 10, 1, tzinfo=UTC)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)), st.sampled_from(PERIODS))
def test_periods_tile_time(moment, period):
    start = period_start(moment.replace(tzinfo=UTC), period)
    end = next_period(start, period)
    assert start <= moment.replace(tzinfo=UTC) < end
    assert period_start(end, period) == end


@given(st.datetimes(datetime(1970, 1, 1), datetime(2090, 1, 1)), st.sampled_from(PERIODS))
def test_every_content_belongs_to_the_window_of_its_partition(moment, period):
    moment = moment.replace(tzinfo=UTC)
    first = first_period(date(2010, 1, 1), period)
    start = clamp_to_partition(moment, first=first, now=NOW, period=period)
    window = partitions_window(start, next_period(start, period), first=first, now=NOW, period=period)
    assert window.start is None or window.start <= moment
    assert window.end is None or moment < window.end


def test_neighbouring_partitions_do_not_overlap():
    march, april, may = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))
    window = partitions_window(march, april, first=FIRST, now=NOW, period="monthly")
    after = partitions_window(april, may, first=FIRST, now=NOW, period="monthly")
    assert (window.start, window.end, after.start) == (march, april, april)


def plan(batches, attempts=None, states=None, *, now=1000.0, limit=10):
    return plan_sensor_tick(
        batches, attempts or {}, states or {}, now=now, max_attempts=3, retry_seconds=60, limit=limit
    )


def test_changed_partitions_get_one_run_each():
    result = plan([StaleBatch("2026-01-01", 3, "a"), StaleBatch("2026-02-01", 1, "b")])
    assert [attempt.run_key for attempt in result.requests.values()] == ["2026-01-01:a:1", "2026-02-01:b:1"]
    assert result.remembered == result.requests


def test_nothing_stale_forgets_old_attempts():
    result = plan([], {"2026-01-01": Attempt("a", 1, "k")}, {"k": "succeeded"})
    assert result.requests == {}
    assert result.remembered == {}


def test_a_running_partition_is_left_alone_even_when_more_changed():
    attempt = Attempt("a", 1, "k")
    result = plan([StaleBatch("p", 4, "changed again")], {"p": attempt}, {"k": "running"})
    assert result.requests == {}
    assert result.skipped == {"running": 1}
    assert result.remembered == {"p": attempt}


def test_a_failed_run_is_retried_after_its_back_off_under_a_new_key():
    batch = [StaleBatch("p", 1, "a")]
    waiting = plan(batch, {"p": Attempt("a", 1, "p:a:1")}, {"p:a:1": "failed"})
    assert waiting.requests == {}
    assert waiting.remembered["p"].retry_at == 1060.0
    due = plan(batch, waiting.remembered, {"p:a:1": "failed"}, now=1061.0)
    assert due.requests["p"].run_key == "p:a:2"


def test_a_batch_that_keeps_failing_is_given_up_until_it_changes():
    attempts = {"p": Attempt("a", 3, "p:a:3", 1.0)}
    assert plan([StaleBatch("p", 1, "a")], attempts, {"p:a:3": "failed"}).skipped == {"given up": 1}
    changed = plan([StaleBatch("p", 1, "b")], attempts, {"p:a:3": "failed"})
    assert changed.requests["p"].run_key == "p:b:1"


def test_a_lost_request_is_asked_for_again():
    result = plan([StaleBatch("p", 1, "a")], {"p": Attempt("a", 1, "p:a:1")}, {})
    assert result.requests["p"].number == 2


def test_the_limit_of_a_tick_is_kept_and_said():
    batches = [StaleBatch(f"2026-{month:02}-01", 1, "x") for month in range(1, 6)]
    result = plan(batches, limit=2)
    assert len(result.requests) == 2
    assert result.skipped == {"over the limit of this tick": 3}


def test_back_off_doubles():
    late = plan([StaleBatch("p", 1, "a")], {"p": Attempt("a", 2, "p:a:2")}, {"p:a:2": "failed"}, now=0.0)
    assert timedelta(seconds=late.remembered["p"].retry_at) == timedelta(seconds=120)
