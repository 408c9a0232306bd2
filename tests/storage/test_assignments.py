"""Publishing: what is written, what is left alone, what is counted."""

from __future__ import annotations

import threading

import pytest
from psycopg.errors import CheckViolation
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import (
    Evidence,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
    PublishReport,
)
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.storage.assignments import PostgresAssignmentStore
from tagging_orchestration.storage.corpus import PostgresCorpusStore
from tagging_orchestration.storage.generated import PostgresGeneratedStore
from tagging_orchestration.storage.versions import PostgresTaggerVersionStore
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tests.storage.builders import (
    MACHINE,
    PERSON,
    add_contents,
    add_tags,
    assignment,
    decisions,
    differences,
    events,
    last_event,
    pending,
    publish,
    state,
    version,
)


def test_publish_inserts_updates_and_removes(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "glaze recipes", "陶藝釉料")
    glaze, kiln, clay = add_tags(pool, "glaze", "kiln", "陶土")
    assert publish(
        pool, {first: [assignment(glaze), assignment(kiln)], second: [assignment(clay)]}
    ) == PublishReport(contents=2, associated=3)

    report = publish(pool, {first: [assignment(glaze, 0.6), assignment(clay)], second: []})

    assert report == PublishReport(contents=2, associated=1, dissociated=2, updated=1)
    assert state(pool) == {(first, glaze.id): (0.6, "machine"), (first, clay.id): (0.8, "machine")}
    assert pending(pool) == set()
    assert differences(pool) == []


def test_same_result_writes_no_event(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "glaze recipes")
    (glaze,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(glaze, 0.80)]})
    before = last_event(pool)

    report = publish(pool, {content: [assignment(glaze, 0.81, note="another neighbour")]})

    assert report == PublishReport(contents=1, unchanged=1)
    assert events(pool, before) == []
    assert state(pool)[content, glaze.id] == (0.8, "machine")


def test_evidence_is_renewed_when_the_text_changed(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "about glaze")
    (glaze,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(glaze, note="at 6")]})
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET body = 'glaze it is' WHERE id = %s", [content])
    assert pending(pool) == {content}

    report = publish(pool, {content: [assignment(glaze, note="at 0")]})

    assert report.updated == 1
    with pool.connection() as connection:
        evidence = connection.execute("SELECT evidence FROM tagging.content_tags").fetchone()
    assert evidence is not None
    assert evidence[0][0]["detail"]["text"] == "at 0"


def test_contents_changed_or_gone_since_are_skipped(pool: ConnectionPool) -> None:
    edited, deleted, kept = add_contents(pool, "one", "two", "three")
    (tag,) = add_tags(pool, "count")
    decided = decisions(pool, {content: [assignment(tag)] for content in (edited, deleted, kept)})
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET body = 'uno' WHERE id = %s", [edited])
        connection.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [deleted])

    report = PostgresAssignmentStore(pool).publish(decided, version(pool), MACHINE)

    assert report == PublishReport(contents=1, associated=1, skipped=2)
    assert set(state(pool)) == {(kept, tag.id)}
    assert pending(pool) == {edited}


def test_contents_held_by_another_writer_are_skipped(pool: ConnectionPool) -> None:
    held, free = add_contents(pool, "one", "two")
    (tag,) = add_tags(pool, "count")
    decided = decisions(pool, {held: [assignment(tag)], free: [assignment(tag)]})
    with pool.connection() as other:
        other.execute("SELECT FROM tagging.content_ledger WHERE content_id = %s FOR UPDATE", [held])
        report = PostgresAssignmentStore(pool).publish(decided, version(pool), MACHINE)
    assert report == PublishReport(contents=1, associated=1, skipped=1)
    assert pending(pool) == {held}


def test_two_publishers_share_the_work_and_double_nothing(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *(f"text {number}" for number in range(60)))
    tags = add_tags(pool, *(f"topic {letter}" for letter in "abcde"))
    decided = decisions(pool, {content: [assignment(tag) for tag in tags] for content in contents})
    number = version(pool)
    reports: list[PublishReport] = []

    def work(part: list) -> None:
        store = PostgresAssignmentStore(pool)
        for start in range(0, len(part), 10):
            reports.append(store.publish(part[start : start + 10], number, MACHINE))  # noqa: PERF401

    threads = [threading.Thread(target=work, args=(part,)) for part in (decided, decided[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(report.associated for report in reports) == 300
    assert len(state(pool)) == 300
    assert pending(pool) == set()
    assert differences(pool) == []


def test_people_outrank_machines(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "退貨 policy")
    given, added, guessed = add_tags(pool, "退貨", "policy", "shop")
    publish(pool, {content: [assignment(given, 1.0, Method.GIVEN, Origin.HUMAN), assignment(guessed)]})
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)
            VALUES (%s, %s, 1, 1, 'feedback', 'human')
            """,
            [content, added.id],
        )

    # The machine finds none of them any more, and the content's own given tag is gone: only that one follows.
    report = publish(pool, {content: []})
    assert report == PublishReport(contents=1, dissociated=2)
    assert state(pool) == {(content, added.id): (1.0, "human")}

    # The machine's own finding of a person's tag changes nothing about it.
    assert publish(pool, {content: [assignment(added, 0.4)]}).unchanged == 1
    assert state(pool) == {(content, added.id): (1.0, "human")}


def test_tags_merged_or_blocked_since_the_decision(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    old, new, bad = add_tags(pool, "e-mail", "email", "spam")
    decided = decisions(pool, {content: [assignment(old, 0.9), assignment(new, 0.5), assignment(bad)]})
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.tags SET status = 'merged', merged_into_id = %s WHERE id = %s", [new.id, old.id]
        )
        connection.execute("UPDATE tagging.tags SET status = 'blocked' WHERE id = %s", [bad.id])

    report = PostgresAssignmentStore(pool).publish(decided, version(pool), MACHINE)

    assert report == PublishReport(contents=1, associated=1)
    assert state(pool) == {(content, new.id): (0.9, "machine")}


def test_publishing_clears_failures(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    number = version(pool)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.content_ledger"
            " SET attempts = 3, retry_at = now(), failed_version_id = %s, error = 'x'",
            [number],
        )
    publish(pool, {content: []})
    with pool.connection() as connection:
        row = connection.execute(
            "SELECT attempts, retry_at, failed_version_id, error, tagger_version_id FROM tagging.content_ledger"
        ).fetchone()
    assert row == (0, None, None, None, number)


def test_events_say_who_why_and_in_which_run(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "標籤")
    publish(pool, {content: [assignment(tag)]}, PERSON)
    with pool.connection() as connection:
        connection.execute("DELETE FROM tagging.content_tags")
        rows = connection.execute(
            "SELECT event_type, actor, reason, run_id FROM tagging.tag_events WHERE content_id IS NOT NULL"
            " ORDER BY event_id"
        ).fetchall()
        (role,) = connection.execute("SELECT session_user::text").fetchone() or ("",)
    assert rows == [
        ("associated", PERSON.actor, PERSON.reason, None),
        ("dissociated", role, None, None),
    ]


def proposal(name: str, confidence: float = 0.7) -> Proposal:
    evidence = (Evidence(Method.KEYPHRASE, confidence, {"start": 0, "end": len(name), "text": name}),)
    return Proposal(
        name, name.lower(), confidence, Method.KEYPHRASE, Origin.MACHINE, evidence, None, {"tfidf": 0.5}
    )


def test_generated_tags_round_trip(pool: ConnectionPool) -> None:
    first, second, third = add_contents(pool, "one", "兩", "three")
    hashes = {row.content_id: row.input_hash for row in decisions(pool, {first: [], second: []})}
    store = PostgresGeneratedStore(pool)
    rows = [
        GeneratedTags(first, "default", hashes[first], "en", (proposal("Kiln"), proposal("Glaze", 0.4))),
        GeneratedTags(second, "default", hashes[second], "zh-Hant", (proposal("陶藝"),)),
    ]
    number = version(pool)

    # A content deleted between generating and staging is left out.
    store.save([*rows, GeneratedTags(10**9, "default", "x", "en", ())], number)

    assert store.load([second, third, first]) == rows[::-1]
    assert store.fresh_ids([first, second, third], number) == {first, second}
    assert store.fresh_ids([first, second, third], version(pool, 2)) == set()
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET body = 'other' WHERE id = %s", [first])
    assert store.fresh_ids([first, second], number) == {second}
    assert store.support("default", ["kiln", "陶藝", "unknown"]) == {"kiln": 1, "陶藝": 1}


def test_versions_are_registered_once(pool: ConnectionPool) -> None:
    store = PostgresTaggerVersionStore(pool)
    first = store.ensure({"code": "1", "model": "m"})
    assert store.ensure({"model": "m", "code": "1"}) == first
    assert store.ensure({"model": "m", "code": "2"}) != first


def test_corpus_statistics_round_trip(pool: ConnectionPool) -> None:
    store = PostgresCorpusStore(pool)
    assert store.load("default") is None
    for size in (10, 20):
        statistics = CorpusStatistics(5, size, {"glaze": 3, "陶藝": 2})
        store.save("default", statistics)
        assert store.load("default") == statistics
        assert PostgresCorpusStore(pool).load("default") == statistics


def test_only_active_tags_can_be_assigned(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    tags = add_tags(pool, "no", "不")
    publish(pool, {content: [assignment(tag) for tag in tags]})
    for tag, status in zip(tags, ("blocked", "retired"), strict=True):
        with pool.connection() as connection:
            connection.execute("UPDATE tagging.tags SET status = %s WHERE id = %s", [status, tag.id])
        with pool.connection() as connection, pytest.raises(CheckViolation, match="cannot be assigned"):
            connection.execute(
                "INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)"
                " VALUES (%s, %s, 1, 1, 'x', 'machine')",
                [content, tag.id],
            )
    assert state(pool) == {}
    assert len(PostgresVocabularyStore(pool).load("default")) == 0
    assert differences(pool) == []
