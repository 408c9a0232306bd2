"""What a refresh of the business would find new, and one refresh at a time."""

from __future__ import annotations

from datetime import date
from threading import Event, Thread

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.storage import business_runs
from tagging_orchestration.storage.business_runs import finish_run, hold_business_lock, latest_run, start_run

ORGANIZATION = "default"


def pending(pool: ConnectionPool, rules: str = "v1") -> business_runs.BusinessPending:
    return business_runs.pending(pool, ORGANIZATION, rules)


def order(pool: ConnectionPool, name: str, day: str) -> None:
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)"
            " VALUES (%s, %s, 'delivered', 100, 'TWD')",
            [name, day],
        )


def refresh(pool: ConnectionPool, run_id: str) -> None:
    start_run(pool, ORGANIZATION, run_id=run_id, rules_hash="v1")
    finish_run(pool, run_id, {"alerts": 2})


def test_without_facts_nothing_is_pending(pool: ConnectionPool):
    found = pending(pool)
    assert not found
    assert "no facts" in found.said


def test_facts_that_change_while_a_refresh_works_are_pending_for_the_next(pool: ConnectionPool):
    order(pool, "o1", "2026-03-10 02:00+00")
    assert pending(pool).said.startswith("the first refresh")
    start_run(pool, ORGANIZATION, run_id="r1", rules_hash="v1")
    assert pending(pool), "a refresh that never ended covered nothing"
    order(pool, "o2", "2026-03-11 02:00+00")
    finish_run(pool, "r1", {"alerts": 1})
    found = pending(pool)
    assert (found.touched_days, found.first_run) == (1, False)
    refresh(pool, "r2")
    assert not pending(pool)
    last = latest_run(pool, ORGANIZATION)
    assert last is not None
    assert (last.run_id, last.counts) == ("r2", {"alerts": 2})


def test_a_load_that_commits_after_the_refresh_began_is_pending(pool: ConnectionPool):
    order(pool, "o1", "2026-03-10 02:00+00")
    with pool.connection() as slow:
        slow.execute(
            "INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)"
            " VALUES ('slow', '2026-03-11 02:00+00', 'delivered', 100, 'TWD')"
        )
        refresh(pool, "r1")
        assert not pending(pool)
    assert pending(pool).touched_days == 1


def test_a_second_business_is_refused_before_it_replaces_the_first(pool: ConnectionPool):
    start_run(pool, ORGANIZATION, run_id="r1", rules_hash="v1")
    with pytest.raises(ConfigurationError, match="organisation 'default'"):
        start_run(pool, "second", run_id="r2", rules_hash="v1")


def test_other_rules_and_tags_are_pending(pool: ConnectionPool):
    order(pool, "o1", "2026-03-10 02:00+00")
    refresh(pool, "r1")
    assert pending(pool, "v2").rules_changed
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO tagging.tag_events (organization_id, event_type, tag_id, content_id, actor, after)"
            " VALUES ('default', 'associated', 1, 1, 'user:mei', '{}')"
        )
    assert pending(pool).tag_changes == 1


def test_days_can_be_touched_for_a_backfill(pool: ConnectionPool):
    order(pool, "o1", "2026-03-10 02:00+00")
    order(pool, "o2", "2026-05-10 02:00+00")
    refresh(pool, "r1")
    assert business_runs.touch_days(pool, ORGANIZATION, date(2026, 3, 1), date(2026, 3, 31)) == 1
    assert pending(pool).touched_days == 1


def test_two_refreshes_take_turns(pool: ConnectionPool):
    turns: list[str] = []
    inside = Event()

    def second() -> None:
        inside.wait(10)
        with hold_business_lock(pool):
            turns.append("second")

    waiting = Thread(target=second)
    waiting.start()
    with hold_business_lock(pool):
        inside.set()
        waiting.join(0.3)
        turns.append("first")
    waiting.join(10)
    assert turns == ["first", "second"]
