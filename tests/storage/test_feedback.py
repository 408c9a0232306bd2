"""People's corrections: applied at once, by whatever way they come, and never outvoted by a machine."""

from __future__ import annotations

import random
from typing import Any

import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import (
    Correction,
    Evidence,
    FeedbackKind,
    FeedbackSource,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
    Tag,
)
from tagging_orchestration.storage import feedback, merges
from tagging_orchestration.storage.generated import PostgresGeneratedStore
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tagging_orchestration.storage.vocabulary_changes import SplitPart, VocabularyEditor
from tests.storage.builders import (
    NORMALISER,
    ORGANIZATION,
    PERSON,
    add_contents,
    add_tags,
    assignment,
    decisions,
    differences,
    events,
    full_state,
    last_event,
    pending,
    publish,
    state,
    version,
)

ACCEPT, REJECT, ADD, RENAME, MERGE = FeedbackKind


def say(pool: ConnectionPool, kind: FeedbackKind, content: int | None, tag: str, **more: Any) -> feedback.Feedback:
    """One correction from the command line; it must be taken."""
    corrections = [Correction(kind, tag, content, **more)]
    given, refused = feedback.give_feedback(
        pool, ORGANIZATION, corrections, FeedbackSource.CLI, NORMALISER, PERSON
    )
    assert refused == []
    return given[0]


def stage(pool: ConnectionPool, content: int, *tags: tuple[Tag | str, float]) -> None:
    """Stage proposals of the machine."""
    proposals = []
    for tag, confidence in tags:
        name = tag if isinstance(tag, str) else tag.name
        evidence = (Evidence(Method.KEYPHRASE, confidence, {"text": name}),)
        proposals.append(
            Proposal(
                name, NORMALISER.normal_form(name), confidence, Method.KEYPHRASE, Origin.MACHINE, evidence,
                None if isinstance(tag, str) else tag.id,
                effects={"base": -1.0, "place": 0.5},
            )
        )  # fmt: skip
    (decision,) = decisions(pool, {content: []})
    row = GeneratedTags(content, ORGANIZATION, decision.input_hash, "en", tuple(proposals))
    PostgresGeneratedStore(pool).save([row], version(pool))


def test_accept_reject_and_add_take_effect_at_once(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "手沖壺 mug")
    mug, 手沖壺 = add_tags(pool, "mug", "手沖壺")
    publish(pool, {content: [assignment(mug, 0.4), assignment(手沖壺, 0.5)]})

    say(pool, ACCEPT, content, "Mugs")
    say(pool, REJECT, content, "手沖壺", note="是配件")
    say(pool, ADD, content, "咖啡")

    (咖啡,) = [tag for tag in PostgresVocabularyStore(pool).load(ORGANIZATION).active() if tag.name == "咖啡"]
    assert state(pool) == {(content, mug.id): (1.0, "human"), (content, 咖啡.id): (1.0, "human")}
    assert 咖啡.origin is Origin.HUMAN

    # The machine insists, and is not heard; nor does it take away what people put there.
    report = publish(pool, {content: [assignment(手沖壺, 0.99)]})
    assert (report.associated, report.dissociated, report.updated) == (0, 0, 0)
    assert state(pool) == {(content, mug.id): (1.0, "human"), (content, 咖啡.id): (1.0, "human")}
    assert differences(pool) == []
    assert feedback.violations(pool) == []


def test_plain_sql_is_enough(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    wrong, right = add_tags(pool, "mug cake", "陶藝")
    publish(pool, {content: [assignment(wrong), assignment(right)]})
    before = last_event(pool)
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO tagging.tag_feedback (kind, content_id, tag_name, reviewer)
            VALUES ('reject', %(content)s, '#Mug-Cake', 'mei'), ('accept', %(content)s, '陶藝', 'mei'),
                ('add', %(content)s, 'New Idea', NULL)
            """,
            {"content": content},
        )
        (role,) = connection.execute("SELECT session_user::text").fetchone() or ("",)
        rows = connection.execute(
            "SELECT event_type, actor, reason FROM tagging.tag_events WHERE event_id > %s ORDER BY event_id",
            [before],
        ).fetchall()
    assert sorted(rows) == sorted(
        [
            ("created", role, None),
            ("feedback", "mei", "reject"),
            ("dissociated", "mei", "reject"),
            ("feedback", "mei", "accept"),
            ("associated", "mei", "accept"),
            ("feedback", role, "add"),
            ("associated", role, "add"),
        ]
    )
    assert len(state(pool)) == 2
    assert differences(pool) == []


def test_a_rejected_name_that_is_no_tag_yet_stays_away_when_it_becomes_one(pool: ConnectionPool) -> None:
    content, other = add_contents(pool, "one", "two")
    say(pool, REJECT, content, "Broken Mugs")
    (tag,) = add_tags(pool, "broken mug")
    publish(pool, {content: [assignment(tag)], other: [assignment(tag)]})
    assert state(pool) == {(other, tag.id): (0.8, "machine")}


def test_a_rejection_outranks_the_tag_that_comes_with_the_content(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "退貨", origin=Origin.HUMAN)
    given = assignment(tag, 1.0, Method.GIVEN, Origin.HUMAN)
    publish(pool, {content: [given]})
    said = say(pool, REJECT, content, "退貨")
    publish(pool, {content: [given]})
    assert state(pool) == {}
    feedback.undo_feedback(pool, said.id, PERSON)
    publish(pool, {content: [given]})
    assert state(pool) == {(content, tag.id): (1.0, "human")}


def test_what_people_confirmed_stays_when_the_source_no_longer_gives_it(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "policy")
    publish(pool, {content: [assignment(tag, 1.0, Method.GIVEN, Origin.HUMAN)]})
    say(pool, ACCEPT, content, "policy")
    publish(pool, {content: []})
    assert state(pool) == {(content, tag.id): (1.0, "human")}


def test_the_generators_evidence_stays_beside_the_persons_word(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "kiln")
    publish(pool, {content: [assignment(tag, 0.6)]})
    for _ in range(2):
        say(pool, ACCEPT, content, "kiln")
    with pool.connection() as connection:
        ((evidence, method),) = connection.execute("SELECT evidence, method FROM tagging.content_tags").fetchall()
    assert [item["method"] for item in evidence] == ["feedback", "keyphrase"]
    assert evidence[0]["detail"]["reviewer"] == PERSON.actor
    assert method == "feedback"


def test_a_content_that_comes_back_has_its_confirmed_tags_again(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    kept, gone = add_tags(pool, "kept", "gone")
    say(pool, ADD, content, "kept")
    say(pool, REJECT, content, "gone")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET deleted_at = now()")
        connection.execute("UPDATE tagging.contents SET deleted_at = NULL, body = 'another text'")
    assert state(pool) == {}
    publish(pool, {content: [assignment(gone)]})
    assert state(pool) == {(content, kept.id): (1.0, "human")}
    assert differences(pool) == []


def test_refused_row_by_row_with_the_reason(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    good, bad = add_tags(pool, "good", "bad")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET status = 'blocked' WHERE id = %s", [bad.id])
    corrections = [
        Correction(ACCEPT, "good", 10**9),
        Correction(ADD, "bad", content),
        Correction(ADD, "good", content),
        Correction(RENAME, "nothing", target_name="x"),
        Correction(MERGE, "good", target_name="nothing"),
        Correction(MERGE, "good", target_name="Good"),
        Correction(RENAME, "good", target_name="bad"),
        Correction(REJECT, "  ", content),
        Correction(ACCEPT, "good"),
    ]
    given, refused = feedback.give_feedback(
        pool, ORGANIZATION, corrections, FeedbackSource.CSV, NORMALISER, PERSON
    )
    assert [row.tag_name for row in given] == ["good"]
    assert [item.number for item in refused] == [0, 1, 3, 4, 5, 6, 7, 8]
    said = [item.message for item in refused]
    assert "there is no content 1000000000" in said[0]
    assert "is blocked. Set its status back to active first" in said[1]
    assert "there is no tag nothing" in said[2]
    assert "there is no tag nothing to merge into" in said[3]
    assert "one tag already" in said[4]
    assert "bad is bad (blocked) already. Merge the two instead." in said[5]
    assert "names no tag" in said[6]
    assert "give its id" in said[7]
    assert state(pool) == {(content, good.id): (1.0, "human")}


def test_rename_and_its_undoing(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "e-mail")
    publish(pool, {content: [assignment(tag)]})
    before = full_state(pool)
    said = say(pool, RENAME, None, "e-mail", target_name="Electronic post")
    renamed = PostgresVocabularyStore(pool).load(ORGANIZATION)
    assert [one.name for one in renamed.active()] == ["Electronic post"]
    assert renamed.resolve(NORMALISER.normal_form("E-Mail")) == renamed.tags[tag.id]
    feedback.undo_feedback(pool, said.id, PERSON)
    assert full_state(pool) == before
    assert differences(pool) == []


def test_merge_and_its_undoing(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    old, new, child, parent = add_tags(pool, "退款申請", "refund", "partial refund", "service")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [old.id, child.id])
        connection.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [parent.id, old.id])
    publish(pool, {first: [assignment(old, 0.7)], second: [assignment(new, 0.6)]})
    before = full_state(pool)
    said = say(pool, MERGE, None, "退款申請", target_name="Refunds")
    assert state(pool) == {(first, new.id): (0.7, "machine"), (second, new.id): (0.6, "machine")}
    vocabulary = PostgresVocabularyStore(pool).load(ORGANIZATION)
    assert vocabulary.tags[child.id].parent_id == new.id
    assert vocabulary.resolve(NORMALISER.normal_form("退款申請")) == vocabulary.tags[new.id]
    with pool.connection() as connection, pytest.raises(CheckViolation, match="is a merge"):
        connection.execute("UPDATE tagging.tag_feedback SET undone_at = now()")
    feedback.undo_feedback(pool, said.id, PERSON)
    assert full_state(pool) == before
    assert differences(pool) == []
    with pytest.raises(VocabularyError, match="taken back before"):
        feedback.undo_feedback(pool, said.id, PERSON)


def test_undoing_gives_the_machine_its_say_back(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    first, second = add_tags(pool, "first", "second")
    publish(pool, {content: [assignment(first, 0.6), assignment(second, 0.5)]})
    before = full_state(pool)
    for kind, tag in ((ACCEPT, "first"), (REJECT, "second")):
        said = say(pool, kind, content, tag)
        assert full_state(pool) != before
        assert pending(pool) == set()
        feedback.undo_feedback(pool, said.id, PERSON)
        assert full_state(pool) == before
        assert pending(pool) == {content}
        publish(pool, {content: [assignment(first, 0.6), assignment(second, 0.5)]})
    last = events(pool)[-2:]
    assert ("feedback", second.id, content) in last
    assert ("associated", second.id, content) in last
    with pytest.raises(UnknownName, match="no feedback 999"):
        feedback.undo_feedback(pool, 999, PERSON)


def test_undoing_the_last_word_lets_the_one_before_stand(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "tag")
    publish(pool, {content: [assignment(tag)]})
    rejected = say(pool, REJECT, content, "tag")
    accepted = say(pool, ACCEPT, content, "tag")
    assert state(pool) == {(content, tag.id): (1.0, "human")}
    feedback.undo_feedback(pool, accepted.id, PERSON)
    assert state(pool) == {}
    feedback.undo_feedback(pool, rejected.id, PERSON)
    assert state(pool) == {(content, tag.id): (0.8, "machine")}


def test_feedback_is_history(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    say(pool, ADD, content, "tag")
    with pool.connection() as connection, pytest.raises(InsufficientPrivilege, match="cannot be changed"):
        connection.execute("UPDATE tagging.tag_feedback SET note = 'x'")
    with pool.connection() as connection, pytest.raises(InsufficientPrivilege, match="is kept"):
        connection.execute("DELETE FROM tagging.tag_feedback")
    with pool.connection() as connection, pytest.raises(InsufficientPrivilege):
        connection.execute("TRUNCATE tagging.tag_feedback")
    with pool.connection() as connection:
        connection.execute("SELECT tagging.erase_content(%s, 'user:dpo', 'request')", [content])
    assert feedback.list_feedback(pool, ORGANIZATION) == []
    assert differences(pool) == []


def test_a_rejection_of_a_merged_tag_holds_for_the_tag_it_is_now(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    old, new = add_tags(pool, "colour", "顏色")
    publish(pool, {content: [assignment(new, 0.7)]})
    say(pool, REJECT, content, "colour")
    before = full_state(pool)
    merged = merges.merge(pool, old.id, new.id, PERSON)
    assert state(pool) == {}
    publish(pool, {content: [assignment(new, 0.9)]})
    assert state(pool) == {}
    merges.undo(pool, merged.operation_id, PERSON)
    assert full_state(pool) == before


def test_the_last_word_counts_when_both_tags_were_judged(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    old, new = add_tags(pool, "old", "new")
    say(pool, ACCEPT, first, "old")
    say(pool, REJECT, first, "new")
    say(pool, REJECT, second, "old")
    say(pool, ACCEPT, second, "new")
    merges.merge(pool, old.id, new.id, PERSON)
    assert state(pool) == {(second, new.id): (1.0, "human")}
    assert feedback.violations(pool) == []


def test_a_split_takes_the_confirmation_along(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (broad,) = add_tags(pool, "kitchen")
    say(pool, ADD, content, "kitchen")
    (narrow,) = VocabularyEditor(pool, NORMALISER).split(broad.id, [SplitPart("kettle", (content,))], PERSON)
    publish(pool, {content: []})
    assert state(pool) == {(content, narrow.id): (1.0, "human")}
    assert differences(pool) == []


def test_a_tag_brought_back_returns_to_the_contents_people_put_it_on(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "nothing of that name")
    (tag,) = add_tags(pool, "回饋")
    editor = VocabularyEditor(pool, NORMALISER)
    say(pool, ADD, content, "回饋")
    publish(pool, {content: []})
    editor.block(ORGANIZATION, "回饋", PERSON)
    assert state(pool) == {}
    editor.activate(tag.id, PERSON)
    assert pending(pool) == {content}
    publish(pool, {content: []})
    assert state(pool) == {(content, tag.id): (1.0, "human")}


def test_verdicts_and_judged_proposals(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    kiln, glaze = add_tags(pool, "kiln", "釉")
    stage(pool, first, (kiln, 0.3), (glaze, 0.2))
    stage(pool, second, ("wheel", 0.6))
    say(pool, REJECT, first, "kiln")
    say(pool, ADD, first, "釉")
    say(pool, ACCEPT, second, "wheel")
    say(pool, ADD, second, "unheard of")
    found = feedback.PostgresFeedbackStore(pool).verdicts([first, second, 10**9])
    assert found[first] == {kiln.id: False, glaze.id: True}
    assert sorted(found[second].values()) == [True, True]
    judged = feedback.judged_proposals(pool, ORGANIZATION)
    assert [(row.content_id, row.normal_form, row.confidence, row.accepted) for row in judged] == [
        (first, "kiln", 0.3, False),
        (second, "wheel", 0.6, True),
    ]


def test_statistics_by_tag_reviewer_and_method(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    (kiln,) = add_tags(pool, "kiln")
    stage(pool, first, (kiln, 0.3))
    stage(pool, second, (kiln, 0.5))
    for reviewer, kind, content in (
        ("mei", ACCEPT, first),
        ("tom", ACCEPT, first),
        ("mei", REJECT, second),
        ("ann", ACCEPT, second),
        ("mei", REJECT, second),
    ):
        say(pool, kind, content, "kiln", reviewer=reviewer)
    (tag,) = feedback.statistics_by_tag(pool, ORGANIZATION)
    assert (tag.accepted, tag.rejected, tag.missed, tag.precision) == (1, 1, 0, 0.5)
    assert tag.mean_confidence == pytest.approx(0.4)
    people = {row.reviewer: row for row in feedback.statistics_by_reviewer(pool, ORGANIZATION)}
    assert {name: (row.compared, row.agreement) for name, row in people.items()} == {
        "mei": (2, 0.5),
        "tom": (1, 1.0),
        "ann": (1, 0.0),
    }
    (method,) = feedback.statistics_by_method(pool, ORGANIZATION)
    assert (method.method, method.accepted, method.rejected) == ("keyphrase", 1, 1)


@pytest.mark.parametrize("seed", range(6))
def test_a_rejected_tag_never_comes_back_and_an_added_one_stays(pool: ConnectionPool, seed: int) -> None:
    """Random sequences of re-tagging, changed texts, merges, undone merges, feedback and its undoing."""
    chance = random.Random(seed)
    contents = add_contents(pool, *(f"text {number} 文" for number in range(4)))
    tags = add_tags(pool, "kiln", "釉", "wheel", "陶藝", "glaze")
    parents: dict[int, int] = {}
    merged: list[merges.AppliedMerge] = []
    said: dict[int, tuple[int, int, bool]] = {}

    def today(tag: int) -> int:
        return today(parents[tag]) if tag in parents else tag

    def retag(content: int) -> None:
        chosen = chance.sample(tags, 3)
        publish(pool, {content: [assignment(tag, round(chance.uniform(0.1, 0.9), 2)) for tag in chosen]})

    for step in range(30):
        content, tag = chance.choice(contents), chance.choice(tags)
        match chance.randrange(7):
            case 0 | 1:
                retag(content)
            case 2:
                with pool.connection() as connection:
                    connection.execute(
                        "UPDATE tagging.contents SET body = %s WHERE id = %s", [f"step {step}", content]
                    )
            case 3:
                source, target = (today(one.id) for one in chance.sample(tags, 2))
                if source != target and len(parents) < 3:
                    merged.append(merges.merge(pool, source, target, PERSON))
                    parents[source] = target
            case 4 if merged:
                last = merged.pop()
                merges.undo(pool, last.operation_id, PERSON)
                del parents[last.source_tag_id]
            case 5 if said:
                feedback.undo_feedback(pool, (number := chance.choice(list(said))), PERSON)
                del said[number]
            case _:
                kind = chance.choice((ACCEPT, REJECT, REJECT, ADD))
                row = say(pool, kind, content, tag.name, tag_id=today(tag.id))
                said[row.id] = (content, today(tag.id), kind is not REJECT)
        if chance.random() < 0.5:
            for waiting in pending(pool):
                retag(waiting)
        last_words = {(place, today(about)): wanted for place, about, wanted in said.values()}
        stands, waits = state(pool), pending(pool)
        for (place, about), wanted in last_words.items():
            if not wanted:
                assert stands.get((place, about), (0, "human"))[1] == "human", (step, place, about)
            elif place not in waits:
                assert stands.get((place, about)) == (1.0, "human"), (step, place, about)
        assert feedback.violations(pool) == []
        assert differences(pool) == []
