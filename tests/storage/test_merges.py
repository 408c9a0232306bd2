"""Merging and undoing: what is rewritten, what returns, what is remembered."""

from __future__ import annotations

import threading
from uuid import uuid4

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import Method, Origin, TagStatus
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.storage import history, merges
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tagging_orchestration.storage.vocabulary_changes import VocabularyEditor
from tests.storage.builders import (
    MACHINE,
    MATCHER,
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
    pending,
    publish,
    state,
)

# Only another spelling of a name is merged unasked, whatever the trained model thinks of the pairs below.
SETTINGS = VocabularySettings(merge_automatic=0.97, merge_review=0.25)


def test_merge_rewrites_assignments(pool: ConnectionPool) -> None:
    only_old, both, both_human, only_new = add_contents(pool, "a", "b", "c", "d")
    old, new = add_tags(pool, "電郵", "email")
    publish(
        pool,
        {
            only_old: [assignment(old, 0.7)],
            both: [assignment(old, 0.9, note="better"), assignment(new, 0.6)],
            both_human: [assignment(old, 0.5, Method.GIVEN, Origin.HUMAN, note="said"), assignment(new, 0.95)],
            only_new: [assignment(new, 0.4)],
        },
    )

    merges.merge(pool, old.id, new.id, PERSON)

    assert state(pool) == {
        (only_old, new.id): (0.7, "machine"),
        (both, new.id): (0.9, "machine"),
        (both_human, new.id): (0.95, "human"),
        (only_new, new.id): (0.4, "machine"),
    }
    evidence = {row.content_id: history.tags_of_content(pool, row.content_id)[0].evidence[0]["detail"]["text"]
                for row in history.contents_of_tag(pool, new.id)}  # fmt: skip
    assert evidence == {only_old: "電郵", both: "better", both_human: "said", only_new: "email"}
    vocabulary = PostgresVocabularyStore(pool).load(ORGANIZATION)
    assert vocabulary.tags[old.id].status is TagStatus.MERGED
    resolved = vocabulary.resolve(old.normal_form)
    assert resolved is not None
    assert resolved.id == new.id
    assert differences(pool) == []


def test_merge_is_one_operation(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "a")
    old, new = add_tags(pool, "e mail", "email")
    publish(pool, {content: [assignment(old)]})
    before = last_event(pool)
    done = merges.merge(pool, old.id, new.id, PERSON)
    assert events(pool, before) == [
        ("alias_added", new.id, None),
        ("merged", old.id, None),
        ("associated", new.id, content),
        ("dissociated", old.id, content),
    ]
    with pool.connection() as connection:
        operations = connection.execute(
            "SELECT DISTINCT operation_id, actor, reason FROM tagging.tag_events WHERE event_id > %s", [before]
        ).fetchall()
    assert operations == [(done.operation_id, PERSON.actor, PERSON.reason)]


def test_undo_restores_everything_exactly(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *"abcdef")
    grandparent, parent, old, new, child, other = add_tags(
        pool, "craft", "pottery", "mug", "cup", "espresso cup", "紅茶"
    )
    editor = VocabularyEditor(pool, NORMALISER)
    editor.place(parent.id, grandparent.id, PERSON)
    editor.place(old.id, parent.id, PERSON)
    editor.place(new.id, child.id, PERSON)
    editor.place(child.id, old.id, PERSON)
    editor.add_alias(old.id, "beaker", PERSON)
    publish(
        pool,
        {
            contents[0]: [assignment(old, 0.7)],
            contents[1]: [assignment(old, 0.9), assignment(new, 0.6), assignment(other, 0.5)],
            contents[2]: [assignment(old, 0.5, Method.GIVEN, Origin.HUMAN), assignment(new, 0.95)],
            contents[3]: [assignment(new, 0.4)],
        },
    )
    before = full_state(pool)

    done = merges.merge(pool, old.id, new.id, PERSON)
    vocabulary = PostgresVocabularyStore(pool).load(ORGANIZATION)
    assert vocabulary.tags[new.id].parent_id == parent.id
    assert vocabulary.tags[child.id].parent_id == new.id
    assert vocabulary.aliases == {"beaker": new.id, "mug": new.id}
    report = merges.undo(pool, done.operation_id, PERSON)

    assert full_state(pool) == before
    assert (report.restored, report.kept) == (5, 0)
    assert pending(pool) == set(contents[4:])
    assert differences(pool) == []
    (record,) = merges.merges(pool, ORGANIZATION)
    assert record.undone_by == PERSON.actor
    with pytest.raises(VocabularyError, match="undone before"):
        merges.undo(pool, done.operation_id, PERSON)


def test_undo_keeps_what_changed_since(pool: ConnectionPool) -> None:
    untouched, retagged, reweighed, removed, gone = add_contents(pool, *"abcde")
    old, new, other = add_tags(pool, "mug", "cup", "紅茶")
    publish(pool, {content: [assignment(old, 0.7)] for content in (untouched, retagged, reweighed, removed, gone)})
    done = merges.merge(pool, old.id, new.id, PERSON)
    publish(pool, {retagged: [assignment(new, 0.3), assignment(other)], removed: [assignment(other)]})
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.content_tags SET weight = 0.01 WHERE content_id = %s", [reweighed])
        connection.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [gone])

    report = merges.undo(pool, done.operation_id, PERSON)

    assert (report.restored, report.kept) == (2, 3)
    assert state(pool) == {
        (untouched, old.id): (0.7, "machine"),
        (reweighed, old.id): (0.7, "machine"),
        (retagged, new.id): (0.3, "machine"),
        (retagged, other.id): (0.8, "machine"),
        (removed, other.id): (0.8, "machine"),
    }
    assert pending(pool) == {retagged, removed}
    assert differences(pool) == []


def test_chain_of_merges_is_undone_from_its_end(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "a")
    first, second, third = add_tags(pool, "mug", "cup", "beaker")
    publish(pool, {content: [assignment(first)]})
    before = full_state(pool)
    one = merges.merge(pool, first.id, second.id, PERSON)
    two = merges.merge(pool, second.id, third.id, PERSON)
    assert set(state(pool)) == {(content, third.id)}
    with pytest.raises(VocabularyError, match="undo that merge first"):
        merges.undo(pool, one.operation_id, PERSON)
    merges.undo(pool, two.operation_id, PERSON)
    merges.undo(pool, one.operation_id, PERSON)
    assert full_state(pool) == before
    with pytest.raises(UnknownName):
        merges.undo(pool, uuid4(), PERSON)


def test_what_cannot_be_merged(pool: ConnectionPool) -> None:
    one, two, blocked = add_tags(pool, "one", "two", "three")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET status = 'blocked' WHERE id = %s", [blocked.id])
    for source, target, message in (
        (one.id, one.id, "into itself"),
        (one.id, blocked.id, "blocked"),
        (blocked.id, one.id, "blocked"),
    ):
        with pytest.raises(VocabularyError, match=message):
            merges.merge(pool, source, target, PERSON)
    with pytest.raises(UnknownName):
        merges.merge(pool, one.id, 10**9, PERSON)
    merges.merge(pool, one.id, two.id, PERSON)
    with pytest.raises(VocabularyError, match="merged"):
        merges.merge(pool, one.id, two.id, PERSON)


def test_find_and_apply(pool: ConnectionPool) -> None:
    content, other = add_contents(pool, "a", "b")
    dashed, joined, british, american, apart = add_tags(
        pool, "e-commerce", "ecommerce", "organisation", "organization", "陶藝"
    )
    publish(pool, {content: [assignment(dashed)], other: [assignment(joined), assignment(apart)]})

    outcome = merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE)

    assert [(merge.source_name, merge.target_name) for merge in outcome.merged] == [("ecommerce", "e-commerce")]
    assert outcome.merged[0].score is not None
    assert outcome.merged[0].score >= SETTINGS.merge_automatic
    assert outcome.candidates == 1
    (candidate,) = merges.open_candidates(pool, ORGANIZATION)
    assert {candidate.source_tag_id, candidate.target_tag_id} == {british.id, american.id}
    assert SETTINGS.merge_review <= candidate.score < SETTINGS.merge_automatic
    assert candidate.signals["edit"] > 0.9
    assert set(state(pool)) == {(content, dashed.id), (other, dashed.id), (other, apart.id)}

    # A second look at the same finds nothing new; a change of a tag makes it worth a look.
    again = merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE, everything=True)
    assert (again.merged, again.candidates) == ((), 0)
    add_tags(pool, "e commerce.")
    assert merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE).merged == ()
    (wifi, _) = add_tags(pool, "wi-fi", "wifi")
    (found,) = merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE).merged
    assert found.target_tag_id == wifi.id


def test_refusals_are_remembered(pool: ConnectionPool) -> None:
    add_tags(pool, "wi-fi", "wifi", "organisation", "organization")
    (done,) = merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE).merged
    (candidate,) = merges.open_candidates(pool, ORGANIZATION)

    merges.undo(pool, done.operation_id, PERSON)
    merges.refuse(pool, candidate.id, PERSON)

    again = merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE, everything=True)
    assert (again.merged, again.candidates) == ((), 0)
    assert merges.open_candidates(pool, ORGANIZATION) == []
    with pytest.raises(UnknownName):
        merges.accept(pool, candidate.id, PERSON)


def test_a_refusal_outlives_a_merge_of_one_side(pool: ConnectionPool) -> None:
    british, american = add_tags(pool, "organisation", "organization")
    merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE)
    (candidate,) = merges.open_candidates(pool, ORGANIZATION)
    merges.refuse(pool, candidate.id, PERSON)
    (third,) = add_tags(pool, "organisations unlimited")
    merges.merge(pool, american.id, third.id, PERSON)
    VocabularyEditor(pool, NORMALISER).rename(third.id, "organizatiom", PERSON)
    outcome = merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE, everything=True)
    assert (outcome.merged, outcome.candidates) == ((), 0)
    assert british.id != third.id


def test_accepted_candidate_is_merged(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "a")
    british, american = add_tags(pool, "organisation", "organization")
    publish(pool, {content: [assignment(british)]})
    merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE)
    (candidate,) = merges.open_candidates(pool, ORGANIZATION)
    done = merges.accept(pool, candidate.id, PERSON)
    assert set(state(pool)) == {(content, done.target_tag_id)}
    assert merges.open_candidates(pool, ORGANIZATION) == []
    assert {done.source_tag_id, done.target_tag_id} == {british.id, american.id}


def test_vectors_arriving_later_make_a_pair_worth_another_look(pool: ConnectionPool) -> None:
    parcel, package = add_tags(pool, "parcel", "package")
    assert merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE).candidates == 0
    same = np.array([1, 0, 0], dtype=np.float32)
    PostgresVocabularyStore(pool).save_tag_vectors("m", {parcel.id: same, package.id: same})
    assert merges.find_and_apply(pool, ORGANIZATION, SETTINGS, MATCHER, MACHINE).candidates == 1


def test_plain_sql_merge_takes_assignments_along(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "a")
    one, two, three = add_tags(pool, "one", "two", "three")
    publish(pool, {content: [assignment(one, 0.7), assignment(two, 0.9), assignment(three, 0.3)]})
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.tags SET status = 'merged', merged_into_id = %s WHERE id IN (%s, %s)",
            [three.id, one.id, two.id],
        )
    assert state(pool) == {(content, three.id): (0.9, "machine")}
    assert differences(pool) == []


def test_merging_while_others_publish_loses_nothing(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *(f"text {number}" for number in range(80)))
    tags = add_tags(pool, *(f"spelling {number}" for number in range(6)))
    target = tags[0]
    wanted = {content: [assignment(tag) for tag in tags[place % 3 :: 3]] for place, content in enumerate(contents)}
    started = threading.Barrier(2)

    def publish_all() -> None:
        started.wait()
        for start in range(0, len(contents), 8):
            publish(pool, {content: wanted[content] for content in contents[start : start + 8]})

    publisher = threading.Thread(target=publish_all)
    publisher.start()
    started.wait()
    operations = [merges.merge(pool, tag.id, target.id, PERSON).operation_id for tag in tags[1:]]
    publisher.join()

    assert set(state(pool)) == {(content, target.id) for content in contents}
    for operation in reversed(operations):
        merges.undo(pool, operation, PERSON)
    assert {status for _, status in statuses(pool)} == {"active"}
    assert differences(pool) == []


def statuses(pool: ConnectionPool) -> list[tuple[int, str]]:
    with pool.connection() as connection:
        return connection.execute("SELECT id, status FROM tagging.tags").fetchall()
