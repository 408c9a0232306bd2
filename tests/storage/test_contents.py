"""`PostgresContentStore`: what is pending, by window, organisation, version and failure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import Failure, PendingCount, Scope, TimeWindow
from tagging_orchestration.core.parameters import PartitionSettings
from tagging_orchestration.settings import RunSettings
from tagging_orchestration.storage.contents import PostgresContentStore

JANUARY, FEBRUARY, MARCH = (datetime(2024, month, 15, 12, tzinfo=UTC) for month in (1, 2, 3))
NOW = datetime(2024, 3, 20, tzinfo=UTC)


@pytest.fixture
def store(pool: ConnectionPool) -> PostgresContentStore:
    return PostgresContentStore(pool, RunSettings(max_attempts=3, retry_minutes=10))


def run(pool: ConnectionPool, query: str, *values: Any) -> list[tuple]:
    with pool.connection() as connection:
        cursor = connection.execute(query, values)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def add(
    pool: ConnectionPool, *created: datetime, organization: str = "default", version: int | None = None
) -> list[int]:
    """Contents created then; tagged by a version, or not yet."""
    ids = [
        run(
            pool,
            "INSERT INTO tagging.contents"
            " (organization_id, source, external_id, title, body, given_tags, created_at)"
            " VALUES (%s, 'shop', gen_random_uuid()::text, '包裹', 'late', '{物流,late}', %s) RETURNING id",
            organization,
            moment,
        )[0][0]
        for moment in created
    ]
    if version is not None:
        tagged(pool, *ids, version=version)
    return ids


def tagged(pool: ConnectionPool, *ids: int, version: int) -> None:
    """Stamp the ledger as a publisher does."""
    run(
        pool,
        "UPDATE tagging.content_ledger SET tagged_input_hash = input_hash, tagger_version_id = %s, attempts = 0,"
        " retry_at = NULL, failed_version_id = NULL, error = NULL WHERE content_id = ANY (%s)",
        version,
        list(ids),
    )


# ------------------------------------------------------------------------------------------------- pending


def test_pending_is_newest_first_within_scope(pool, store):
    january, march, february = add(pool, JANUARY, MARCH, FEBRUARY)
    (north,) = add(pool, FEBRUARY, organization="north")
    assert store.pending_ids(Scope(), 1) == [march, north, february, january]
    assert store.pending_ids(Scope(limit=2), 1) == [march, north]
    assert store.pending_ids(Scope(organization_id="north"), 1) == [north]
    assert store.pending_ids(Scope(content_ids=(january, march)), 1) == [march, january]
    assert store.pending_ids(Scope(content_ids=()), 1) == []
    assert store.pending_ids(Scope(window=TimeWindow(FEBRUARY, MARCH)), 1) == [north, february]
    assert store.pending_ids(Scope(window=TimeWindow(None, FEBRUARY)), 1) == [january]
    assert store.pending_ids(Scope(window=TimeWindow(MARCH, None)), 1) == [march]
    assert store.pending_count(Scope(), 1) == PendingCount(stale_text=4)
    assert store.pending_count(Scope(organization_id="north", limit=0), 1) == PendingCount(stale_text=1)


def test_versions_on_both_sides_of_the_present_one_are_pending(pool, store):
    (older,), (newer,), (current,) = (
        add(pool, moment, version=version) for moment, version in ((JANUARY, 1), (FEBRUARY, 3), (MARCH, 2))
    )
    (changed,) = add(pool, JANUARY, version=1)
    run(pool, "UPDATE tagging.contents SET body = '換貨' WHERE id = %s", changed)
    assert store.pending_ids(Scope(), 2) == [newer, changed, older]
    assert store.pending_count(Scope(), 2) == PendingCount(stale_text=1, stale_version=2)
    assert store.pending_ids(Scope(include_stale_version=False), 2) == [changed]
    assert store.pending_count(Scope(include_stale_version=False), 2) == PendingCount(stale_text=1)
    # A roll-back to version 1 needs only what others made since.
    assert store.pending_ids(Scope(), 1) == [current, newer, changed]
    tagged(pool, older, newer, changed, version=2)
    assert store.pending_ids(Scope(), 2) == []
    assert store.pending_count(Scope(), 2).total == 0


def test_tombstones_are_never_pending(pool, store):
    add(pool, JANUARY)
    add(pool, JANUARY, version=1)
    run(pool, "UPDATE tagging.contents SET deleted_at = now()")
    assert store.pending_ids(Scope(), 2) == []
    assert store.load([row[0] for row in run(pool, "SELECT id FROM tagging.contents")]) == []
    assert store.size("default") == 0
    assert store.sample_texts("default", 10) == []


def test_nothing_pending_is_a_look_up_even_with_stale_statistics(pool, store):
    run(
        pool,
        "INSERT INTO tagging.contents (source, external_id, body)"
        " SELECT 's', n::text, 'x' FROM generate_series(1, 3000) AS n",
    )
    run(pool, "ANALYZE tagging.content_ledger")
    run(pool, "UPDATE tagging.content_ledger SET tagged_input_hash = input_hash, tagger_version_id = 2")
    run(pool, "SELECT pg_stat_force_next_flush()")
    before = scans(pool)
    assert store.pending_ids(Scope(), 2) == []
    assert store.pending_count(Scope(), 2).total == 0
    assert periods(store, version=2) == []
    assert store.failed(10) == []
    assert scans(pool) == before


def scans(pool: ConnectionPool) -> int:
    """Sequential scans of the ledger so far, by all sessions of the pool."""
    with pool.connection() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        row = connection.execute(
            "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'tagging.content_ledger'::regclass"
        ).fetchone()
    return row[0] if row else -1


# ------------------------------------------------------------------------------------------------- periods


def periods(
    store: PostgresContentStore, version: int = 1, *, stale_version: bool = True, **partitions: Any
) -> list[tuple[date, int]]:
    found = store.pending_periods(
        PartitionSettings(**partitions), version, now=NOW, include_stale_version=stale_version
    )
    assert all(period.start.utcoffset() == timedelta(0) for period in found)
    return [(period.start.date(), period.count) for period in found]


def test_pending_by_month_week_and_day(pool, store):
    add(pool, JANUARY, JANUARY, FEBRUARY, datetime(2024, 2, 29, 23, 30, tzinfo=UTC))
    add(pool, MARCH, version=7)
    assert periods(store) == [(date(2024, 3, 1), 1), (date(2024, 2, 1), 2), (date(2024, 1, 1), 2)]
    assert periods(store, stale_version=False) == [(date(2024, 2, 1), 2), (date(2024, 1, 1), 2)]
    assert periods(store, period="weekly", stale_version=False) == [
        (date(2024, 2, 26), 1),
        (date(2024, 2, 12), 1),
        (date(2024, 1, 15), 2),
    ]
    assert periods(store, period="daily", stale_version=False)[0] == (date(2024, 2, 29), 1)


def test_contents_outside_all_partitions_go_to_the_nearest(pool, store):
    add(pool, datetime(1999, 5, 5, tzinfo=UTC), JANUARY, datetime(2031, 1, 1, tzinfo=UTC))
    assert periods(store, start=date(2024, 1, 1)) == [(date(2024, 3, 1), 1), (date(2024, 1, 1), 2)]
    assert periods(store, start=date(2024, 1, 10)) == [(date(2024, 3, 1), 1), (date(2024, 2, 1), 2)]


def test_the_batch_hash_tells_whether_the_same_rows_wait(pool, store):
    def batch() -> str:
        (period,) = store.pending_periods(PartitionSettings(), 1, now=NOW, include_stale_version=False)
        return period.batch_hash

    first, second = add(pool, JANUARY, JANUARY)
    seen = [batch()]
    assert batch() == seen[0]
    run(pool, "UPDATE tagging.contents SET url = 'x'")
    assert batch() == seen[0]
    run(pool, "UPDATE tagging.contents SET body = 'changed' WHERE id = %s", first)
    seen.append(batch())
    add(pool, JANUARY)
    seen.append(batch())
    tagged(pool, second, version=1)
    seen.append(batch())
    assert len(set(seen)) == 4
    (period,) = store.pending_periods(PartitionSettings(), 1, now=NOW, include_stale_version=False)
    assert period.newest_change > datetime.now(UTC) - timedelta(minutes=5)


# ------------------------------------------------------------------------------------------------ contents


def test_contents_are_loaded_in_the_order_asked_for(pool, store):
    first, second = add(pool, JANUARY, FEBRUARY)
    run(
        pool, "UPDATE tagging.contents SET metadata = '{\"stars\": 5}', language = 'zh-Hant' WHERE id = %s", second
    )
    loaded = store.load([second, 999, first])
    assert [content.id for content in loaded] == [second, first]
    content = loaded[0]
    assert (content.source, content.title, content.body, content.language) == ("shop", "包裹", "late", "zh-Hant")
    assert (content.given_tags, content.metadata, content.created_at) == (("物流", "late"), {"stars": 5}, FEBRUARY)
    assert run(pool, "SELECT input_hash FROM tagging.content_ledger WHERE content_id = %s", second) == [
        (content.input_hash,)
    ]
    assert store.size("default") == 2


def test_the_sample_is_reproducible_and_spread(pool, store):
    run(
        pool,
        "INSERT INTO tagging.contents (source, external_id, body, language)"
        " SELECT 's', n::text, '文件 ' || n, 'zh-Hant' FROM generate_series(1, 400) AS n",
    )
    add(pool, JANUARY, organization="north")
    sample = store.sample_texts("default", 40)
    assert sample == store.sample_texts("default", 40)
    numbers = [int(text.split()[1]) for text, language in sample if language == "zh-Hant"]
    assert len(set(numbers)) == 40
    assert any(number <= 200 for number in numbers)
    assert any(number > 200 for number in numbers)
    assert store.sample_texts("north", 40) == [("包裹\nlate", None)]
    # Changes elsewhere leave the sample as it was.
    run(
        pool,
        "UPDATE tagging.contents SET body = body || '!' WHERE body = '文件 ' || %s",
        min(set(range(1, 400)) - set(numbers)),
    )
    assert len(set(sample) & set(store.sample_texts("default", 40))) >= 39


# ------------------------------------------------------------------------------------------------ failures


def due(pool: ConnectionPool) -> None:
    """Let the booked time come."""
    run(
        pool, "UPDATE tagging.content_ledger SET retry_at = now() - interval '1 second' WHERE retry_at IS NOT NULL"
    )


def test_a_transient_failure_is_retried_with_growing_pauses_and_then_given_up(pool, store):
    content, other = add(pool, JANUARY, JANUARY)
    pauses = []
    for attempt in (1, 2):
        store.mark_failed([Failure(content, "model is busy", permanent=False)], 1)
        (failed,) = store.failed(10)
        assert (failed.content_id, failed.attempts, failed.error) == (content, attempt, "model is busy")
        assert failed.retry_at is not None
        pauses.append(round((failed.retry_at - datetime.now(UTC)).total_seconds() / 60))
        assert store.pending_ids(Scope(), 1) == [other]
        assert store.pending_count(Scope(), 1) == PendingCount(stale_text=1, waiting=1)
        due(pool)
        assert set(store.pending_ids(Scope(), 1)) == {content, other}
    assert pauses == [10, 20]
    store.mark_failed([Failure(content, "model is busy", permanent=False)], 1)
    (failed,) = store.failed(10)
    assert (failed.attempts, failed.retry_at) == (3, None)
    assert store.pending_ids(Scope(), 1) == [other]
    assert store.pending_count(Scope(), 1) == PendingCount(stale_text=1, failed=1)
    assert periods(store) == [(date(2024, 1, 1), 1)]


def test_a_permanent_failure_is_a_dead_letter_for_this_version_only(pool, store):
    (content,) = add(pool, JANUARY)
    (stale_version,) = add(pool, FEBRUARY, version=1)
    store.mark_failed(
        [
            Failure(content, "壞掉了 \x00 \ud800" + "x" * 9_000, permanent=True),
            Failure(stale_version, "boom", permanent=True),
        ],
        2,
    )
    assert store.pending_ids(Scope(), 2) == []
    assert store.pending_count(Scope(), 2) == PendingCount(failed=2)
    error = {failed.content_id: failed.error for failed in store.failed(10)}[content]
    assert error.startswith("壞掉了 \\x00 \\ud800xxx")
    assert len(error) == 2_000
    # The next version gets its own attempts.
    assert store.pending_ids(Scope(), 3) == [stale_version, content]
    store.mark_failed([Failure(content, "again", permanent=False)], 3)
    assert {failed.content_id: failed.attempts for failed in store.failed(10)}[content] == 1
    assert store.pending_count(Scope(), 3) == PendingCount(stale_version=1, waiting=1)


def test_a_content_changed_meanwhile_is_not_held_responsible(pool, store):
    (content,) = add(pool, JANUARY)
    (loaded,) = store.load([content])
    run(pool, "UPDATE tagging.contents SET body = 'mended'")
    store.mark_failed([Failure(content, "boom", permanent=True, input_hash=loaded.input_hash)], 1)
    assert store.pending_ids(Scope(), 1) == [content]
    (loaded,) = store.load([content])
    store.mark_failed([Failure(content, "boom", permanent=True, input_hash=loaded.input_hash)], 1)
    assert store.pending_ids(Scope(), 1) == []
    run(pool, "DELETE FROM tagging.contents")
    store.mark_failed([Failure(content, "boom", permanent=True)], 1)
    assert store.failed(10) == []


def test_failed_contents_are_released_by_name_or_all(pool, store):
    first, second, third = add(pool, JANUARY, JANUARY, JANUARY)
    store.mark_failed([Failure(first, "boom", permanent=True), Failure(second, "busy", permanent=False)], 1)
    assert [failed.content_id for failed in store.failed(10)] == [first, second]
    assert [failed.content_id for failed in store.failed(1)] == [first]
    assert store.release_failed([first, third]) == 1
    assert set(store.pending_ids(Scope(), 1)) == {first, third}
    assert store.release_failed() == 1
    assert store.pending_count(Scope(), 1) == PendingCount(stale_text=3)
    assert store.release_failed() == 0
