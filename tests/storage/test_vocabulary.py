"""The vocabulary's store, people's changes to it, and its CSV table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import Evidence, GeneratedTags, Method, NewTag, Origin, Proposal, TagStatus
from tagging_orchestration.storage import history
from tagging_orchestration.storage.generated import PostgresGeneratedStore
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tagging_orchestration.storage.vocabulary_changes import SplitPart, VocabularyEditor
from tagging_orchestration.storage.vocabulary_table import export_table, import_table, plan_import
from tests.storage.builders import (
    MACHINE,
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


@pytest.fixture
def editor(pool: ConnectionPool) -> VocabularyEditor:
    """The editor under test."""
    return VocabularyEditor(pool, NORMALISER)


# ------------------------------------------------------------------------------------------------------ store


def test_create_and_load(pool: ConnectionPool) -> None:
    store = PostgresVocabularyStore(pool)
    new = [
        NewTag(
            ORGANIZATION, "Machine Learning", "machine learning", language="en", reason="supported by 3 contents"
        ),
        NewTag(ORGANIZATION, "機器學習", "机器学习", Origin.HUMAN, "zh-Hant", "從資料中學習"),
        NewTag("elsewhere", "Machine learning", "machine learning"),
    ]
    machine, chinese, elsewhere = store.create_tags(new, MACHINE)
    assert store.create_tags(new[::-1], MACHINE) == [elsewhere, chinese, machine]
    assert [event[0] for event in events(pool)] == ["created"] * 3

    vocabulary = store.load(ORGANIZATION)
    assert set(vocabulary.tags.values()) == {machine, chinese}
    assert (chinese.origin, chinese.description, chinese.language) == (Origin.HUMAN, "從資料中學習", "zh-Hant")
    assert store.load("nowhere").tags == {}


def test_forms_that_are_known_lead_to_their_tag(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    store = PostgresVocabularyStore(pool)
    mug, cup, old = add_tags(pool, "mug", "cup", "beaker")
    editor.add_alias(mug.id, "coffee mug", PERSON)
    editor.retire(old.id, PERSON)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.tags SET status = 'merged', merged_into_id = %s WHERE id = %s", [mug.id, cup.id]
        )

    def create(name: str, origin: Origin) -> tuple[int, TagStatus]:
        (tag,) = store.create_tags([NewTag(ORGANIZATION, name, name, origin)], MACHINE)
        return tag.id, tag.status

    assert create("coffee mug", Origin.MACHINE) == (mug.id, TagStatus.ACTIVE)
    assert create("cup", Origin.MACHINE) == (mug.id, TagStatus.ACTIVE)
    assert create("beaker", Origin.MACHINE) == (old.id, TagStatus.RETIRED)
    assert create("beaker", Origin.HUMAN) == (old.id, TagStatus.ACTIVE)


def test_vocabulary_is_read_again_only_after_a_change(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    store = PostgresVocabularyStore(pool)
    (tag,) = add_tags(pool, "mug")
    vector = np.array([0.6, 0.8], dtype=np.float32)
    changes: list[Callable[[], Any]] = [
        lambda: add_tags(pool, "cup"),
        lambda: editor.add_alias(tag.id, "beaker", PERSON),
        lambda: editor.remove_alias(ORGANIZATION, "beaker", PERSON),
        lambda: editor.describe(tag.id, "for coffee", PERSON),
        lambda: store.save_tag_vectors("m", {tag.id: vector}),
    ]
    for change in changes:
        before = store.load(ORGANIZATION)
        assert store.load(ORGANIZATION) is before
        change()
        assert store.load(ORGANIZATION) is not before
    (loaded,) = store.load(ORGANIZATION).vectors["m"].matrix
    assert loaded.tolist() == vector.tolist()


def test_vectors_follow_name_and_description(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    store = PostgresVocabularyStore(pool)
    mug, cup = add_tags(pool, "mug", "cup")
    assert {tag.id for tag in store.tags_without_vector(ORGANIZATION, "m")} == {mug.id, cup.id}
    vectors = {tag.id: np.eye(2, dtype=np.float32)[place] for place, tag in enumerate((mug, cup))}
    store.save_tag_vectors("m", vectors)
    assert store.tags_without_vector(ORGANIZATION, "m") == []
    assert len(store.tags_without_vector(ORGANIZATION, "another model")) == 2

    editor.describe(cup.id, "a small mug", PERSON)
    assert [tag.id for tag in store.tags_without_vector(ORGANIZATION, "m")] == [cup.id]
    store.save_tag_vectors("m", {cup.id: np.array([1, 0], dtype=np.float32)})
    assert store.tags_without_vector(ORGANIZATION, "m") == []


# ---------------------------------------------------------------------------------------------- people's changes


def test_rename_keeps_the_old_name_as_alias(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    carrying, other = add_contents(pool, "A stoneware bowl", "soup")
    (tag,) = add_tags(pool, "pot")
    publish(pool, {other: [assignment(tag)], carrying: []})

    renamed = editor.rename(tag.id, "Stoneware", PERSON)

    assert (renamed.name, renamed.normal_form) == ("Stoneware", "stoneware")
    vocabulary = PostgresVocabularyStore(pool).load(ORGANIZATION)
    assert vocabulary.resolve("pot") == vocabulary.resolve("stoneware") == renamed
    assert pending(pool) == {carrying}
    assert set(state(pool)) == {(other, tag.id)}
    # Back to the old name: the alias becomes the name again.
    assert editor.rename(tag.id, "pot", PERSON).normal_form == "pot"
    assert differences(pool) == []


def test_names_that_are_taken(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    mug, cup = add_tags(pool, "mug", "cup")
    editor.add_alias(cup.id, "beaker", PERSON)
    for change in (
        lambda: editor.rename(cup.id, "Mugs", PERSON),
        lambda: editor.rename(mug.id, "beaker", PERSON),
        lambda: editor.add_alias(mug.id, "CUP", PERSON),
        lambda: editor.add_alias(mug.id, "beaker", PERSON),
        lambda: editor.add_alias(mug.id, "mugs", PERSON),
        lambda: editor.add(ORGANIZATION, "Mugs", PERSON),
        lambda: editor.block(ORGANIZATION, "beaker", PERSON),
        lambda: editor.rename(mug.id, "!!!", PERSON),
    ):
        with pytest.raises(VocabularyError):
            change()
    for missing in (
        lambda: editor.rename(10**9, "x", PERSON),
        lambda: editor.remove_alias(ORGANIZATION, "no such", PERSON),
        lambda: editor.place(mug.id, 10**9, PERSON),
    ):
        with pytest.raises(UnknownName):
            missing()


def test_blocked_never_comes_back(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    (content,) = add_contents(pool, "click here")
    (tag,) = add_tags(pool, "click here")
    publish(pool, {content: [assignment(tag)]})
    before = last_event(pool)

    editor.block(ORGANIZATION, "Click-Here", PERSON)
    unseen = editor.block(ORGANIZATION, "點此", PERSON)

    assert unseen.status is TagStatus.BLOCKED
    assert ("dissociated", tag.id, content) in events(pool, before)
    store = PostgresVocabularyStore(pool)
    for origin in Origin:
        (again,) = store.create_tags([NewTag(ORGANIZATION, "click here", "click here", origin)], MACHINE)
        assert again.status is TagStatus.BLOCKED
    assert store.load(ORGANIZATION).is_blocked("点此") or store.load(ORGANIZATION).is_blocked(unseen.normal_form)
    assert publish(pool, {content: [assignment(tag)]}).associated == 0
    assert editor.activate(tag.id, PERSON).status is TagStatus.ACTIVE
    assert pending(pool) == {content}


def test_hierarchy_cannot_close(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    craft, pottery, mug = add_tags(pool, "craft", "陶藝", "mug")
    editor.place(pottery.id, craft.id, PERSON)
    editor.place(mug.id, pottery.id, PERSON)
    for tag, parent in ((craft, mug), (craft, pottery), (mug, mug)):
        with pytest.raises(VocabularyError):
            editor.place(tag.id, parent.id, PERSON)
    (elsewhere,) = PostgresVocabularyStore(pool).create_tags([NewTag("elsewhere", "x", "x")], MACHINE)
    with pytest.raises(VocabularyError, match="different organisations"):
        editor.place(mug.id, elsewhere.id, PERSON)
    assert editor.place(mug.id, None, PERSON).parent_id is None


def test_two_halves_of_a_circle_see_each_other(pool: ConnectionPool) -> None:
    one, two = add_tags(pool, "one", "two")
    with pool.connection() as first, pool.connection() as second:
        first.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [two.id, one.id])
        second.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable), second.transaction():
            second.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [one.id, two.id])
        first.commit()
        with pytest.raises(psycopg.errors.CheckViolation), second.transaction():
            second.execute("UPDATE tagging.tags SET parent_id = %s WHERE id = %s", [one.id, two.id])


def test_split_moves_exactly_the_named_contents(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    coffee, tea, both, uncarried = add_contents(pool, "coffee mug", "tea cup", "both", "none")
    (drink, teas) = add_tags(pool, "drink", "tea")
    publish(pool, {content: [assignment(drink, 0.6)] for content in (coffee, tea, both)})
    publish(pool, {both: [assignment(drink, 0.6), assignment(teas, 0.9)]})

    coffees, found = editor.split(
        drink.id, [SplitPart("咖啡", (coffee, uncarried)), SplitPart("tea", (tea, both))], PERSON
    )

    assert found.id == teas.id
    assert coffees.parent_id == found.parent_id == drink.id
    assert state(pool) == {
        (coffee, coffees.id): (0.6, "machine"),
        (tea, teas.id): (0.6, "machine"),
        (both, teas.id): (0.9, "machine"),
    }
    assert "split" in [event.event_type for event in history.tag_history(pool, drink.id)]
    with pytest.raises(VocabularyError):
        editor.split(drink.id, [SplitPart("Drink", (coffee,))], PERSON)
    assert differences(pool) == []


def test_only_contents_that_carry_the_words_are_marked(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    texts = ("A celadon bowl", "青瓷碗", "CELADON!", "nothing of it", "staged only", "carries it already")
    bowl, chinese, shouted, nothing, staged, done = contents = add_contents(pool, *texts)
    publish(pool, {content: [] for content in contents})
    evidence = (Evidence(Method.KEYPHRASE, 0.5),)
    proposals = (Proposal("celadon ware", "celadon", 0.4, Method.KEYPHRASE, Origin.MACHINE, evidence),)
    (decided,) = decisions(pool, {staged: []})
    PostgresGeneratedStore(pool).save(
        [GeneratedTags(staged, ORGANIZATION, decided.input_hash, "en", proposals)], version(pool)
    )

    tag = editor.add(ORGANIZATION, "celadon", PERSON)
    assert pending(pool) == {bowl, shouted, staged}
    assert PostgresGeneratedStore(pool).fresh_ids([staged], version(pool)) == set()

    publish(pool, {content: [assignment(tag)] for content in (bowl, shouted, staged, done)})
    editor.add_alias(tag.id, "青瓷", PERSON)
    assert pending(pool) == {chinese}
    assert nothing not in pending(pool)


# -------------------------------------------------------------------------------------------------------- CSV


def filled(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    (content,) = add_contents(pool, "text")
    craft, pottery, mug, formula, gone, merged = add_tags(pool, "craft", "陶藝", "mug", "=SUM(A1)", "old", "cups")
    editor.place(pottery.id, craft.id, PERSON)
    editor.add_alias(mug.id, "a|b", PERSON)
    editor.add_alias(mug.id, "馬克杯", PERSON)
    editor.describe(mug.id, ' He said "hot, not cold"\nand left ', PERSON)
    editor.pin(mug.id, True, PERSON)
    editor.retire(gone.id, PERSON)
    editor.block(ORGANIZATION, "click here", PERSON)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.tags SET status = 'merged', merged_into_id = %s WHERE id = %s", [mug.id, merged.id]
        )
    publish(pool, {content: [assignment(mug), assignment(formula)]})


def test_export_imports_as_no_change(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    filled(pool, editor)
    table = export_table(pool, ORGANIZATION)
    assert table.splitlines()[0] == "name,status,description,parent,aliases,pinned,language,origin,usage_count"
    assert "'=SUM(A1),active" in table
    assert "陶藝,active,,craft,,false" in table
    assert '"mug,active' not in table
    before, state_before = last_event(pool), full_state(pool)

    assert plan_import(pool, ORGANIZATION, table, NORMALISER).changes == ()
    assert import_table(pool, ORGANIZATION, table, NORMALISER, PERSON).changes == ()
    assert (last_event(pool), full_state(pool)) == (before, state_before)


def test_import_into_an_empty_vocabulary_and_again(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    table = (
        "name,status,description,parent,aliases,pinned,language\n"
        "陶藝,,手作,craft,pottery|陶瓷,yes,zh-Hant\n"
        "craft,active,,,,no,en\n"
        "click here,blocked,,,,,\n"
    )
    carrying, other = add_contents(pool, "pottery class", "訂單")
    publish(pool, {carrying: [], other: []})

    plan = import_table(pool, ORGANIZATION, table, NORMALISER, PERSON)

    assert [change.is_new for change in plan.changes] == [True, True, True]
    vocabulary = PostgresVocabularyStore(pool).load(ORGANIZATION)
    by_name = {tag.name: tag for tag in vocabulary.tags.values()}
    assert by_name["陶藝"].parent_id == by_name["craft"].id
    assert by_name["陶藝"].pinned
    assert by_name["陶藝"].origin is Origin.HUMAN
    assert vocabulary.resolve("pottery") == by_name["陶藝"]
    assert by_name["click here"].status is TagStatus.BLOCKED
    assert pending(pool) == {carrying}
    before = last_event(pool)
    assert import_table(pool, ORGANIZATION, table, NORMALISER, PERSON).changes == ()
    assert last_event(pool) == before
    assert differences(pool) == []


def test_import_shows_and_makes_only_the_differences(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    filled(pool, editor)
    table = "name,aliases,description\nMug,馬克杯|Tasse,\nkiln,,窯\n"

    plan = plan_import(pool, ORGANIZATION, table, NORMALISER)

    shown = {
        (change.name, item.column): (item.before, item.after)
        for change in plan.changes
        for item in change.differences
    }
    assert shown["Mug", "name"] == ("mug", "Mug")
    assert shown["Mug", "aliases"] == ("a|b|馬克杯", "Tasse|馬克杯")
    assert shown["Mug", "description"][1] == ""
    assert ("Mug", "pinned") not in shown
    assert [change.name for change in plan.changes if change.is_new] == ["kiln"]
    before = last_event(pool)
    import_table(pool, ORGANIZATION, table, NORMALISER, PERSON)
    assert sorted(event[0] for event in events(pool, before)) == [
        "alias_added", "alias_removed", "created", "updated",
    ]  # fmt: skip
    assert differences(pool) == []


def test_import_is_all_or_nothing(pool: ConnectionPool, editor: VocabularyEditor) -> None:
    filled(pool, editor)
    before = full_state(pool)
    table = (
        "name,status,parent,aliases,pinned\n"
        "good,active,,,\n"
        "mug,lost,,馬克杯,perhaps\n"
        "Goods,active,,,\n"
        "馬克杯,active,,,\n"
        "craft,active,陶藝,,\n"
        "kiln,active,no such tag,mug|old,\n"
        "!!!,active,,,\n"
        "short\n"
    )
    with pytest.raises(VocabularyError) as refused:
        import_table(pool, ORGANIZATION, table, NORMALISER, PERSON)
    message = str(refused.value)
    for said in (
        "row 3, status: is 'lost'; it must be active, retired or blocked",
        "row 3, pinned: is 'perhaps'; it must be true or false",
        "row 3, aliases: '馬克杯' is a tag of its own",
        "row 6, parent: 'craft' would be its own ancestor",
        "row 7, parent: there is no tag 'no such tag'",
        "row 7, aliases: 'mug' is a tag of its own",
        "row 7, aliases: 'old' is a tag of its own",
        "row 8, name: '!!!' holds nothing",
        "row 9, (row): 1 cells, the header has 5",
    ):
        assert said in message
    with pytest.raises(VocabularyError, match="row 2, name: '馬克杯' is an alias of 'mug'"):
        import_table(pool, ORGANIZATION, "name\n馬克杯\n", NORMALISER, PERSON)
    assert full_state(pool) == before
