"""Permanence: events cannot be changed, state is their replay, and time travel is exact."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import Rollback, sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.storage import event_archive, history, merges
from tagging_orchestration.storage.vocabulary_changes import SplitPart, VocabularyEditor
from tests.storage.builders import (
    MACHINE,
    NORMALISER,
    ORGANIZATION,
    PERSON,
    add_contents,
    add_tags,
    assignment,
    differences,
    events,
    full_state,
    last_event,
    publish,
    state,
)

# ------------------------------------------------------------------------------------------------- append-only


def this_month() -> str:
    return f"tag_events_y{datetime.now(UTC):%Ym%m}"


def test_events_are_append_only(pool: ConnectionPool) -> None:
    add_tags(pool, "glaze")
    changes = ("UPDATE {} SET actor = 'nobody'", "DELETE FROM {}", "TRUNCATE {}")
    for table in ("tag_events", this_month()):
        for change in changes:
            statement = sql.SQL(change).format(sql.Identifier("tagging", table))
            refusal = pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only")
            with pool.connection() as connection, refusal:
                connection.execute(statement)
    assert [event[0] for event in events(pool)] == ["created"]


def test_history_cannot_be_gone_around(pool: ConnectionPool) -> None:
    add_tags(pool, "glaze")
    statements = (
        "DELETE FROM tagging.tags",
        "TRUNCATE tagging.tags CASCADE",
        "TRUNCATE tagging.content_tags",
        "TRUNCATE tagging.contents CASCADE",
        "DELETE FROM tagging.erasures",
    )
    for statement in statements:
        with pool.connection() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_later_partitions_are_guarded_too(pool: ConnectionPool) -> None:
    with pool.connection() as connection:
        connection.execute("SELECT tagging.ensure_event_partitions('2031-11-15', 3)")
        for month in ("y2031m11", "y2031m12", "y2032m01"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier("tagging", f"tag_events_{month}")))
        bounds = connection.execute(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'tag_events_y2031m12'"
        ).fetchone()
    assert bounds == ("FOR VALUES FROM ('2031-12-01 00:00:00+00') TO ('2032-01-01 00:00:00+00')",)


def test_coming_partitions_are_created_once(pool: ConnectionPool) -> None:
    months = len(event_archive.event_partitions(pool))
    assert months == 4
    assert history.ensure_event_partitions(pool, months=6) == 2
    assert history.ensure_event_partitions(pool, months=6) == 0


# ------------------------------------------------------------------------------------------------ what is an event


def test_an_update_that_changes_nothing_is_no_event(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)]})
    VocabularyEditor(pool, NORMALISER).add_alias(tag.id, "glazing", PERSON)
    before = last_event(pool)
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.content_tags SET confidence = confidence")
        connection.execute("UPDATE tagging.tags SET name = name")
        connection.execute("UPDATE tagging.tag_aliases SET tag_id = tag_id")
    assert events(pool, before) == []


def test_plain_sql_leaves_events(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    (tag, other) = add_tags(pool, "glaze", "釉藥")
    publish(pool, {first: [assignment(tag)], second: [assignment(tag)]})
    before = last_event(pool)
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.content_tags SET weight = 0.1 WHERE content_id = %s", [first])
        connection.execute("UPDATE tagging.content_tags SET tag_id = %s WHERE content_id = %s", [other.id, first])
        connection.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [first])
        connection.execute("DELETE FROM tagging.contents WHERE id = %s", [second])
        connection.execute("UPDATE tagging.tags SET status = 'retired' WHERE id = %s", [tag.id])
    assert sorted(events(pool, before), key=str) == sorted(
        [
            ("weight_changed", tag.id, first),
            ("dissociated", tag.id, first),
            ("associated", other.id, first),
            ("dissociated", other.id, first),
            ("dissociated", tag.id, second),
            ("retired", tag.id, None),
        ],
        key=str,
    )
    assert differences(pool) == []


def test_replay_sees_what_was_done_behind_its_back(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "one")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)]})
    with pool.connection() as connection:
        connection.execute("ALTER TABLE tagging.content_tags DISABLE TRIGGER USER")
        connection.execute("UPDATE tagging.content_tags SET confidence = 0.1")
    assert [(row[0], row[1], row[2]) for row in differences(pool)] == [("assignment", tag.id, content)]


# ------------------------------------------------------------------------------------------------- time travel


class World:
    """A small corpus to which random things are done."""

    def __init__(self, pool: ConnectionPool, seed: int) -> None:
        self.pool = pool
        self.random = random.Random(seed)
        self.editor = VocabularyEditor(pool, NORMALISER)
        self.contents = add_contents(pool, *(f"text {number} 內容" for number in range(7)))
        self.tags = add_tags(pool, "glaze", "kiln", "clay", "陶土", "釉藥", "mug", "shop", "退貨")
        self.operations: list = []
        self.names = 0

    def step(self) -> None:
        action: Callable[[], object] = self.random.choice(
            [self.publish] * 4
            + [self.merge, self.undo, self.revive] * 2
            + [self.reweigh, self.rename, self.block, self.tombstone, self.restore]
            + [
                self.alias,
                self.unalias,
                self.place,
                self.split,
                self.plain_insert,
                self.plain_delete,
                self.plain_move,
            ]
        )
        # A refused step changed nothing, which the next snapshot proves.
        with suppress(VocabularyError, UnknownName, psycopg.errors.CheckViolation, psycopg.errors.UniqueViolation):
            action()

    def publish(self) -> None:
        chosen = self.random.sample(self.contents, 3)
        publish(
            self.pool,
            {
                content: [
                    assignment(tag, round(self.random.uniform(0.3, 1), 2))
                    for tag in self.random.sample(self.tags, self.random.randint(0, 4))
                ]
                for content in chosen
            },
        )

    def merge(self) -> None:
        source, target = self.random.sample(self.tags, 2)
        self.operations.append(merges.merge(self.pool, source.id, target.id, PERSON).operation_id)

    def undo(self) -> None:
        if self.operations:
            merges.undo(self.pool, self.operations.pop(), PERSON)

    def reweigh(self) -> None:
        self.sql(
            "UPDATE tagging.content_tags SET weight = weight * %s WHERE content_id %% 2 = 0", self.random.random()
        )

    def rename(self) -> None:
        self.names += 1
        self.editor.rename(self.tag(), f"name {self.names}", PERSON)

    def block(self) -> None:
        self.sql("UPDATE tagging.tags SET status = 'blocked' WHERE id = %s AND status = 'active'", self.tag())

    def revive(self) -> None:
        self.editor.activate(self.tag(), PERSON)

    def tombstone(self) -> None:
        self.sql("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", self.content())

    def restore(self) -> None:
        self.sql("UPDATE tagging.contents SET deleted_at = NULL WHERE id = %s", self.content())

    def alias(self) -> None:
        self.names += 1
        self.editor.add_alias(self.tag(), f"alias {self.random.randint(1, 6)}", PERSON)

    def unalias(self) -> None:
        self.editor.remove_alias(ORGANIZATION, f"alias {self.random.randint(1, 6)}", PERSON)

    def place(self) -> None:
        self.editor.place(self.tag(), self.random.choice([None, self.tag()]), PERSON)

    def split(self) -> None:
        part = SplitPart(f"part {self.random.randint(1, 3)}", tuple(self.random.sample(self.contents, 3)))
        self.editor.split(self.tag(), [part], PERSON)

    def plain_insert(self) -> None:
        self.sql(
            "INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)"
            " VALUES (%s, %s, 0.5, 0.25, 'feedback', 'human')",
            self.content(),
            self.tag(),
        )

    def plain_delete(self) -> None:
        self.sql("DELETE FROM tagging.content_tags WHERE tag_id = %s", self.tag())

    def plain_move(self) -> None:
        self.sql("UPDATE tagging.content_tags SET tag_id = %s WHERE tag_id = %s", self.tag(), self.tag())

    def tag(self) -> int:
        return self.random.choice(self.tags).id

    def content(self) -> int:
        return self.random.choice(self.contents)

    def sql(self, statement: str, *parameters: object) -> None:
        with self.pool.connection() as connection:
            connection.execute(statement, parameters)  # pyright: ignore[reportArgumentType]

    def seen(self, as_of: datetime | None) -> list:
        """What readers see, through the functions."""
        with self.pool.connection() as connection:
            return connection.execute(
                """
                SELECT c.id, t.* FROM unnest(%s::bigint[]) AS c (id), tagging.tags_of_content(c.id, %s) AS t
                ORDER BY c.id, t.tag_id
                """,
                [self.contents, as_of],
            ).fetchall() + [
                (tag.id, row)
                for tag in self.tags
                for row in connection.execute(
                    """
                    SELECT k.content_id, k.tag_id, k.weight
                    FROM tagging.contents_of_tag(%s, %s, include_children => true, row_limit => NULL) AS k
                    ORDER BY 1
                    """,
                    [tag.id, as_of],
                )
            ]

    def replayed(self, at: datetime) -> dict[str, list[str]]:
        functions = {"content_tags": "replay_content_tags", "tags": "replay_tags", "tag_aliases": "replay_aliases"}
        query = sql.SQL("SELECT t::text FROM {}(%s) AS t ORDER BY 1")
        with self.pool.connection() as connection:
            return {
                table: [row[0] for row in connection.execute(query.format(sql.Identifier("tagging", name)), [at])]
                for table, name in functions.items()
            }

    def now(self) -> datetime:
        with self.pool.connection() as connection:
            (now,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
        assert now is not None
        return now


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_time_travel_is_exact(pool: ConnectionPool, seed: int) -> None:
    world = World(pool, seed)
    snapshots = []
    for _ in range(40):
        world.step()
        snapshots.append((world.now(), world.seen(None), full_state(pool)))
    for taken_at, seen, whole in snapshots:
        assert world.seen(taken_at) == seen
        assert world.replayed(taken_at) == whole
    assert differences(pool) == []
    assert len({str(whole) for _, _, whole in snapshots}) > 15


def test_before_anything_happened(pool: ConnectionPool) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)]})
    assert history.tags_of_content(pool, content, long_ago) == []
    assert history.contents_of_tag(pool, tag.id, as_of=long_ago) == []


# ----------------------------------------------------------------------------------------------------- erasure


def test_erasure_leaves_facts_and_takes_words(pool: ConnectionPool) -> None:
    erased, other = add_contents(pool, "Anna Lin, 0912-345-678", "something else")
    (tag,) = add_tags(pool, "customer")
    publish(pool, {erased: [assignment(tag, note="Anna Lin")], other: [assignment(tag, note="Ben")]})
    publish(pool, {erased: [assignment(tag, 0.5, note="0912-345-678")]})
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO tagging.content_embeddings (text_hash, model, dimension, embedding)"
            " SELECT text_hash, 'm', 2, '[1,0]' FROM tagging.contents"
        )

    assert history.erase_content(pool, erased, "request 17 of the data subject", PERSON) == 3

    with pool.connection() as connection:
        texts = [row[0] for row in connection.execute("SELECT e::text FROM tagging.tag_events AS e")]
        left = connection.execute("SELECT count(*) FROM tagging.content_embeddings").fetchone()
        logged = connection.execute("SELECT content_id, actor, reason FROM tagging.erasures").fetchall()
    assert not any("Anna" in text or "0912" in text for text in texts)
    assert any("Ben" in text for text in texts)
    assert left == (1,)
    assert logged == [(erased, PERSON.actor, "request 17 of the data subject")]
    assert [event.event_type for event in history.content_history(pool, erased)] == [
        "associated",
        "associated",
        "dissociated",
        "erased",
    ]
    assert set(state(pool)) == {(other, tag.id)}
    assert differences(pool) == []
    with pytest.raises(UnknownName):
        history.erase_content(pool, erased, "again", PERSON)


def test_an_erasure_licenses_nothing_else(pool: ConnectionPool) -> None:
    erased, other = add_contents(pool, "one", "two")
    (tag,) = add_tags(pool, "count")
    publish(pool, {erased: [assignment(tag)], other: [assignment(tag)]})
    with pool.connection() as connection:
        for statement in (
            "UPDATE tagging.tag_events SET after = NULL WHERE content_id = %s",
            "DELETE FROM tagging.tag_events WHERE content_id <> %s",
        ):
            with suppress(Rollback), connection.transaction():
                connection.execute("SELECT tagging.erase_content(%s, 'me', 'law')", [erased])
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement, [other])
                raise Rollback
        with pytest.raises(psycopg.errors.InvalidParameterValue), connection.transaction():
            connection.execute("SELECT tagging.erase_content(%s, 'me', '')", [erased])


# ----------------------------------------------------------------------------------------------------- archives


def test_archive_is_a_complete_copy(pool: ConnectionPool, tmp_path: Path) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "陶土")
    publish(pool, {content: [assignment(tag)]})
    month = datetime.now(UTC).date()

    report = event_archive.archive_month(pool, month, tmp_path)

    assert (report.rows, report.detached) == (2, False)
    rows = pq.read_table(report.file).to_pylist()
    assert [row["event_type"] for row in rows] == ["created", "associated"]
    assert '"name": "陶土"' in rows[0]["after"]
    assert list(tmp_path.iterdir()) == [report.file]
    assert differences(pool) == []
    with pytest.raises(event_archive.ArchiveError, match="not over"):
        event_archive.archive_month(pool, month, tmp_path, detach=True)
    with pytest.raises(UnknownName):
        event_archive.archive_month(pool, date(1999, 1, 1), tmp_path)


def test_a_month_is_detached_only_when_asked_for(pool: ConnectionPool, tmp_path: Path) -> None:
    with pool.connection() as connection:
        connection.execute("SELECT tagging.ensure_event_partitions('2020-01-01', 1)")
        connection.execute(
            "INSERT INTO tagging.tag_events (occurred_at, organization_id, event_type, actor)"
            " VALUES ('2020-01-15', 'default', 'feedback', 'me')"
        )
    report = event_archive.archive_month(pool, date(2020, 1, 1), tmp_path, detach=True)
    assert (report.rows, report.detached) == (1, True)
    assert date(2020, 1, 1) not in {partition.month for partition in event_archive.event_partitions(pool)}
    with pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM tagging.tag_events_y2020m01").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM tagging.tag_events").fetchone() == (0,)


def test_the_machine_context_is_not_needed_for_history(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)]}, MACHINE)
    (event,) = history.content_history(pool, content)
    assert (event.actor, event.run_id, event.confidence_before, event.confidence_after) == (
        MACHINE.actor,
        MACHINE.run_id,
        None,
        pytest.approx(0.8),
    )
