"""Change capture: whoever writes `contents`, and however, the ledger knows what is pending."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.fingerprints import text_hash


@pytest.fixture
def database(pool: ConnectionPool) -> Iterator[Connection]:
    """A connection in autocommit mode."""
    with pool.connection() as connection:
        connection.autocommit = True
        yield connection
        connection.autocommit = False


def add(database: Connection, *external_ids: str, text: str = "Where is my parcel?") -> list[int]:
    """Contents written by plain SQL, in one statement."""
    return [
        row[0]
        for row in database.execute(
            "INSERT INTO tagging.contents (source, external_id, title, body)"
            " SELECT 'shop', n, '包裹', %s || n FROM unnest(%s::text[]) AS n RETURNING id",
            [text, list(external_ids)],
        )
    ]


def tag(database: Connection, *content_ids: int, version: int = 1) -> None:
    """Stamp the ledger as a publisher does, and give each content one tag."""
    database.execute("INSERT INTO tagging.tags (name, normal_form) VALUES ('物流', '物流') ON CONFLICT DO NOTHING")
    database.execute(
        "INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)"
        " SELECT c, t.id, 0.9, 0.9, 'keyphrase', 'machine' FROM unnest(%s::bigint[]) AS c, tagging.tags AS t"
        " ON CONFLICT DO NOTHING",
        [list(content_ids)],
    )
    database.execute(
        "UPDATE tagging.content_ledger SET tagged_input_hash = input_hash, tagger_version_id = %s, error = NULL"
        " WHERE content_id = ANY (%s)",
        [version, list(content_ids)],
    )


def stale(database: Connection) -> set[int]:
    return {row[0] for row in database.execute("SELECT content_id FROM tagging.content_ledger WHERE stale")}


def one(database: Connection, query: str, *values: Any) -> Any:
    (row,) = database.execute(query, values).fetchall()  # type: ignore[arg-type]
    return row[0] if len(row) == 1 else row


def events(database: Connection, content_id: int) -> list[str]:
    rows = database.execute(
        "SELECT event_type FROM tagging.tag_events WHERE content_id = %s ORDER BY event_id", [content_id]
    )
    return [row[0] for row in rows]


# ------------------------------------------------------------------------------------------------- inserts


def test_every_way_to_insert_is_seen(database):
    rows = set(add(database, "1")) | set(add(database, "2", "3", "4"))
    with database.cursor().copy("COPY tagging.contents (source, external_id, body) FROM STDIN") as copy:
        copy.write("shop\t5\t遲到\nshop\t6\tlate\n")
    database.execute(
        "INSERT INTO tagging.contents (source, external_id, body) VALUES ('shop', '6', 'x'), ('shop', '7', 'y')"
        " ON CONFLICT (organization_id, source, external_id) DO UPDATE SET body = excluded.body"
    )
    database.execute(
        "MERGE INTO tagging.contents AS c USING (VALUES ('7', 'z'), ('8', 'z')) AS s (external_id, body)"
        " ON c.source = 'shop' AND c.external_id = s.external_id"
        " WHEN MATCHED THEN UPDATE SET body = s.body"
        " WHEN NOT MATCHED THEN INSERT (source, external_id, body) VALUES ('shop', s.external_id, s.body)"
    )
    assert rows < stale(database)
    assert one(database, "SELECT count(*) FROM tagging.contents") == 8
    assert stale(database) == {row[0] for row in database.execute("SELECT id FROM tagging.contents")}
    assert (
        one(
            database,
            "SELECT count(*) FROM tagging.contents AS c JOIN tagging.content_ledger AS l ON l.content_id = c.id"
            " AND (l.input_hash, l.content_created_at) = (c.input_hash, c.created_at)",
        )
        == 8
    )


def test_hashes_are_those_of_the_core(database):
    for title, body in [("包裹", "遲到了 🐢"), ("", "plain"), ("a", "bc"), ("ab", "c"), ("e\u0301", "\n")]:
        assert one(database, "SELECT tagging.text_hash(%s, %s)", title, body) == text_hash(title, body)
    (content,) = add(database, "1")
    assert one(database, "SELECT text_hash FROM tagging.contents") == text_hash("包裹", "Where is my parcel?1")
    assert content


def test_what_is_rolled_back_was_never_there(database):
    with database.transaction(force_rollback=True):
        add(database, "1")
    assert stale(database) == set()


# ------------------------------------------------------------------------------------------------- updates


def test_a_change_of_what_tags_are_made_from_is_pending(database):
    for change in (
        "title = '退貨'",
        "body = body || '!'",
        "language = 'zh-Hant'",
        "given_tags = '{物流}'",
        "source = 'helpdesk'",
    ):
        first, second = add(database, f"1 {change}", f"2 {change}")
        tag(database, first, second)
        database.execute(f"UPDATE tagging.contents SET {change} WHERE id = %s", [first])
        assert stale(database) == {first}, change
        assert events(database, first) == ["associated"]  # the old tags are served until the new ones stand
        tag(database, first)


def test_an_unrelated_or_identical_change_leaves_nothing_pending(database):
    tag(database, *add(database, "1", "2"))
    for change in (
        "title = title, body = body",
        "metadata = '{\"stars\": 5}'",
        "url = 'https://x.test/1'",
        "content_type = 'ticket'",
        "updated_at = now()",
        "created_at = '2020-01-31Z'",
    ):
        database.execute(f"UPDATE tagging.contents SET {change}")
        assert stale(database) == set(), change


def test_a_change_that_is_taken_back_is_not_pending(database):
    (content,) = add(database, "1")
    tag(database, content)
    database.execute("UPDATE tagging.contents SET body = body || '!'")
    assert stale(database) == {content}
    database.execute("UPDATE tagging.contents SET body = rtrim(body, '!')")
    assert stale(database) == set()


def test_many_rows_of_one_statement_are_told_apart(database):
    contents = add(database, *map(str, range(100)))
    tag(database, *contents)
    database.execute("UPDATE tagging.contents SET body = CASE WHEN mod(id, 10) = 0 THEN '換貨' ELSE body END")
    assert stale(database) == {content for content in contents if content % 10 == 0}


def test_the_ledger_follows_the_creation_time(database):
    (content,) = add(database, "1")
    tag(database, content)
    database.execute("UPDATE tagging.contents SET created_at = '2020-01-31 09:30Z'")
    assert one(database, "SELECT content_created_at FROM tagging.content_ledger") == datetime(
        2020, 1, 31, 9, 30, tzinfo=UTC
    )


def test_updated_at_is_stamped_for_a_changed_text_unless_the_writer_says_it(database):
    add(database, "1")
    database.execute("UPDATE tagging.contents SET updated_at = '2020-01-01Z'")
    stamp = "SELECT updated_at FROM tagging.contents"
    for change in ("url = 'x'", "body = body", "given_tags = '{a}'"):
        database.execute(f"UPDATE tagging.contents SET {change}")
        assert one(database, stamp).year == 2020
    database.execute("UPDATE tagging.contents SET body = 'a', updated_at = '2021-01-01Z'")
    assert one(database, stamp).year == 2021
    database.execute("UPDATE tagging.contents SET body = 'b'")
    assert one(database, f"SELECT ({stamp}) > now() - interval '1 minute'")


def test_a_changed_text_is_tried_again_at_once(database):
    failed, waiting = add(database, "1", "2")
    database.execute(
        "UPDATE tagging.content_ledger SET attempts = 5, error = 'boom',"
        " failed_version_id = CASE WHEN content_id = %(failed)s THEN 1 END,"
        " retry_at = CASE WHEN content_id <> %(failed)s THEN now() + interval '1 hour' END",
        {"failed": failed},
    )
    database.execute("UPDATE tagging.contents SET url = 'x'")
    assert one(database, "SELECT count(*) FROM tagging.content_ledger WHERE error = 'boom'") == 2
    database.execute("UPDATE tagging.contents SET body = body || '!'")
    state = "SELECT attempts, retry_at, failed_version_id, error FROM tagging.content_ledger WHERE content_id = %s"
    for content in (failed, waiting):
        assert one(database, state, content) == (0, None, None, None)


# ---------------------------------------------------------------------------------- deletes and tombstones


def test_a_tombstone_takes_its_tags_into_history_and_comes_back_pending(database):
    gone, stays = add(database, "1", "2")
    tag(database, gone, stays)
    database.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [gone])
    assert stale(database) == set()
    assert events(database, gone) == ["associated", "dissociated"]
    assert events(database, stays) == ["associated"]
    assert one(database, "SELECT array_agg(content_id) FROM tagging.content_tags") == [stays]
    database.execute("UPDATE tagging.contents SET body = 'changed while gone' WHERE id = %s", [gone])
    assert stale(database) == set()
    database.execute("UPDATE tagging.contents SET deleted_at = NULL WHERE id = %s", [gone])
    assert stale(database) == {gone}


def test_a_deleted_content_leaves_its_history_only(database):
    gone, stays = add(database, "1", "2")
    tag(database, gone, stays)
    database.execute("DELETE FROM tagging.contents WHERE id = %s", [gone])
    assert events(database, gone) == ["associated", "dissociated"]
    assert one(database, "SELECT array_agg(content_id) FROM tagging.content_ledger") == [stays]


def test_a_content_leaves_its_tags_to_its_organization(database):
    moved, stays = add(database, "1", "2")
    tag(database, moved, stays)
    database.execute("UPDATE tagging.contents SET organization_id = 'north' WHERE id = %s", [moved])
    assert stale(database) == {moved}
    assert events(database, moved) == ["associated", "dissociated"]
    assert (
        one(database, "SELECT organization_id FROM tagging.content_ledger WHERE content_id = %s", moved) == "north"
    )


def test_what_would_escape_capture_is_refused(database):
    add(database, "1")
    for statement in ("TRUNCATE tagging.contents CASCADE", "UPDATE tagging.contents SET id = DEFAULT"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is refused"):
            database.execute(statement)


# -------------------------------------------------------------------------------------------------- waking


@pytest.fixture
def worker(database_url: str) -> Iterator[Connection]:
    """A live worker's connection, listening."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN tagging_contents")
        yield connection


def notified(worker: Connection) -> bool:
    """Whether a notification is waiting; one round trip brings them all."""
    worker.execute("SELECT 1")
    return bool(list(worker.notifies(timeout=0)))


def test_writers_notify_only_a_sleeping_worker(database, worker):
    add(database, "1")
    assert not notified(worker)
    assert one(worker, "SELECT tagging.fall_asleep()") is True
    add(database, "2")
    assert notified(worker)
    assert one(worker, "SELECT tagging.stay_awake()") is True
    database.execute("UPDATE tagging.contents SET body = body || '!'")
    assert not notified(worker)


def test_only_what_can_be_pending_wakes(database, worker):
    (content, *_) = add(database, "1", "2")
    one(worker, "SELECT tagging.fall_asleep()")
    database.execute("UPDATE tagging.contents SET url = 'x'")
    database.execute("INSERT INTO tagging.contents (source, external_id) SELECT 'shop', '3' WHERE false")
    database.execute("DELETE FROM tagging.contents WHERE id = %s", [content])
    assert not notified(worker)
    database.execute("UPDATE tagging.contents SET body = body || '!'")
    assert notified(worker)


def test_no_worker_falls_asleep_beside_a_writer_that_took_it_for_awake(database, worker):
    with database.transaction():
        add(database, "1")
        assert one(worker, "SELECT tagging.fall_asleep()") is False
    assert one(worker, "SELECT tagging.fall_asleep()") is True


def test_a_worker_that_dies_asleep_slows_nobody(database, worker, database_url):
    with psycopg.connect(database_url, autocommit=True) as killed:
        assert one(killed, "SELECT tagging.fall_asleep()") is True
        add(database, "1")
        assert notified(worker)
        one(database, "SELECT pg_terminate_backend(%s, 5000)", killed.info.backend_pid)
    add(database, "2")
    assert not notified(worker)


# --------------------------------------------------------------------------------------------------- plans


def test_a_bulk_statement_leaves_single_ones_their_look_ups(database):
    contents = add(database, *map(str, range(3_000)))
    tag(database, *contents)
    database.execute("ANALYZE")
    before = scans(database)
    database.execute("UPDATE tagging.contents SET body = body || '!'")
    database.execute("UPDATE tagging.contents SET deleted_at = now() WHERE mod(id, 2) = 0")
    database.execute("DELETE FROM tagging.contents WHERE mod(id, 3) = 0")
    for content in [content for content in contents if content % 3][:20]:
        database.execute("UPDATE tagging.contents SET body = body || '!' WHERE id = %s", [content])
        database.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [content])
        database.execute("DELETE FROM tagging.contents WHERE id = %s", [content])
    assert scans(database) == before


def scans(database: Connection) -> dict[str, int]:
    """Sequential scans so far of the tables capture writes to."""
    database.execute("SELECT pg_stat_force_next_flush()")
    rows = database.execute(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('content_ledger', 'content_tags')"
    )
    return dict(rows.fetchall())
