"""The SQL functions that any client has, and the Python API over them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pgvector import Vector
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.core.models import Evidence, GeneratedTags, Method, Origin, Proposal
from tagging_orchestration.storage import history, merges
from tagging_orchestration.storage.embedding_indexes import ensure_index
from tagging_orchestration.storage.generated import PostgresGeneratedStore
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tagging_orchestration.storage.vocabulary_changes import VocabularyEditor
from tests.storage.builders import (
    NORMALISER,
    ORGANIZATION,
    PERSON,
    add_contents,
    add_tags,
    assignment,
    decisions,
    publish,
    version,
)


def now(pool: ConnectionPool) -> datetime:
    with pool.connection() as connection:
        (moment,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
    assert moment is not None
    return moment


def store_vectors(pool: ConnectionPool, vectors: dict[int, list[float]], model: str = "m") -> None:
    """Vectors of contents' present texts."""
    with pool.connection() as connection:
        for content, vector in vectors.items():
            connection.execute(
                """
                INSERT INTO tagging.content_embeddings (text_hash, model, dimension, embedding)
                SELECT text_hash, %s, %s, %s FROM tagging.contents WHERE id = %s
                """,
                [model, len(vector), Vector(vector), content],
            )


def unit(*values: float) -> list[float]:
    vector = np.array(values, dtype=np.float32)
    return (vector / np.linalg.norm(vector)).tolist()


# ----------------------------------------------------------------------------------------------- both directions


def test_tags_of_content_heaviest_first_with_evidence(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    low, high = add_tags(pool, "低", "high")
    publish(pool, {content: [assignment(low, 0.4), assignment(high, 0.9, note="why")]})
    found = history.tags_of_content(pool, content)
    assert [(row.name, row.confidence) for row in found] == [
        ("high", pytest.approx(0.9)),
        ("低", pytest.approx(0.4)),
    ]
    assert found[0].evidence == [{"method": "keyphrase", "score": 0.9, "detail": {"text": "why", "field": "body"}}]
    assert history.tags_of_content(pool, 10**9) == []


def test_names_are_those_of_the_time(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "mug")
    publish(pool, {content: [assignment(tag)]})
    before = now(pool)
    VocabularyEditor(pool, NORMALISER).rename(tag.id, "馬克杯", PERSON)
    assert [row.name for row in history.tags_of_content(pool, content)] == ["馬克杯"]
    assert [row.name for row in history.tags_of_content(pool, content, before)] == ["mug"]


def test_contents_of_tag_with_filters(pool: ConnectionPool) -> None:
    early, late = add_contents(pool, "early", "late")
    (ticket,) = add_contents(pool, "票", source="tickets")
    (tag,) = add_tags(pool, "glaze")
    now_ = datetime.now(UTC)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.contents SET created_at = %s WHERE id = %s", [now_ - timedelta(days=9), early]
        )
    publish(pool, {early: [assignment(tag, 0.5)], late: [assignment(tag, 0.7)], ticket: [assignment(tag, 0.9)]})
    taken = now(pool)

    def ids(**filters: Any) -> list[int]:
        present, past = (
            [row.content_id for row in history.contents_of_tag(pool, tag.id, as_of=as_of, **filters)]
            for as_of in (None, taken)
        )
        assert present == past
        return present

    assert ids() == [ticket, late, early]
    assert ids(source="tickets") == [ticket]
    assert ids(since=now_ - timedelta(days=3)) == [ticket, late]
    assert ids(until=now_ - timedelta(days=3)) == [early]
    assert ids(min_confidence=0.6) == [ticket, late]
    assert ids(limit=1) == [ticket]
    assert ids(limit=None) == [ticket, late, early]


def test_children_count_now_and_then(pool: ConnectionPool) -> None:
    one, two, three = add_contents(pool, "one", "two", "three")
    craft, pottery, mug = add_tags(pool, "craft", "陶藝", "mug")
    editor = VocabularyEditor(pool, NORMALISER)
    editor.place(pottery.id, craft.id, PERSON)
    editor.place(mug.id, pottery.id, PERSON)
    publish(
        pool,
        {
            one: [assignment(craft, 0.4), assignment(mug, 0.8)],
            two: [assignment(pottery)],
            three: [assignment(mug, 0.5)],
        },
    )
    before = now(pool)
    editor.place(mug.id, None, PERSON)

    def carried(as_of: datetime | None) -> dict[int, int]:
        found = history.contents_of_tag(pool, craft.id, as_of=as_of, include_children=True)
        return {row.content_id: row.tag_id for row in found}

    assert carried(before) == {one: mug.id, two: pottery.id, three: mug.id}
    assert carried(None) == {one: craft.id, two: pottery.id}
    assert [row.content_id for row in history.contents_of_tag(pool, craft.id)] == [one]


def test_contents_that_are_gone_stay_in_history(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)]})
    before = now(pool)
    with pool.connection() as connection:
        connection.execute("DELETE FROM tagging.contents")
    (row,) = history.contents_of_tag(pool, tag.id, as_of=before)
    assert (row.content_id, row.title, row.external_id) == (content, None, None)
    assert history.contents_of_tag(pool, tag.id, as_of=before, source="notes") == []
    assert [row.name for row in history.tags_of_content(pool, content, before)] == ["glaze"]


# ----------------------------------------------------------------------------------------------------- finding


def test_find_tag_in_sql(pool: ConnectionPool) -> None:
    learning, chinese, blocked = add_tags(pool, "Machine Learning", "機器學習", "spam")
    editor = VocabularyEditor(pool, NORMALISER)
    editor.add_alias(learning.id, "ML", PERSON)
    editor.block(ORGANIZATION, "spam", PERSON)
    (old,) = add_tags(pool, "statistical learning")
    merges.merge(pool, old.id, learning.id, PERSON)

    def find(name: str) -> list[tuple[int, str]]:
        with pool.connection() as connection:
            return connection.execute("SELECT id, matched_by FROM tagging.find_tag(%s)", [name]).fetchall()

    assert find("machine learning") == [(learning.id, "name")]
    assert find(" #Machine-Learning ") == [(learning.id, "normal form")]
    assert find("ＭＬ") == [(learning.id, "alias")]
    assert find("Statistical learning")[0][0] == learning.id
    assert find("機器學習") == [(chinese.id, "name")]
    assert find("机器学习") == [(chinese.id, "normal form")]
    assert find("spam") == [(blocked.id, "name")]
    assert find("nothing") == []


def test_resolve_what_people_type(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    tag, chinese, number = add_tags(pool, "glaze", "機器學習", "2024")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET external_id = 'A-1' WHERE id = %s", [first])
        connection.execute(
            "UPDATE tagging.contents SET external_id = 'A-1', source = 'tickets' WHERE id = %s", [second]
        )
    assert history.resolve_content(pool, str(first)).id == first
    assert history.resolve_content(pool, "tickets:A-1").id == second
    for unclear, said in (("A-1", "several contents"), ("B-2", "there is no content"), ("999999", "no content")):
        with pytest.raises(UnknownName, match=said):
            history.resolve_content(pool, unclear)

    def resolve(name: str) -> int:
        return history.resolve_tag(pool, name, ORGANIZATION, NORMALISER).id

    assert resolve("#Glazes") == tag.id
    assert resolve("机器学习") == chinese.id
    assert resolve("2024") == number.id
    assert resolve(str(tag.id)) == tag.id
    with pytest.raises(UnknownName, match="did you mean 'glaze'"):
        resolve("glase")


# ----------------------------------------------------------------------------------------------------- history


def test_tag_history_tells_use_merges_and_renames(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "one", "two")
    cup, mug = add_tags(pool, "cup", "mug")
    publish(pool, {first: [assignment(cup)], second: [assignment(mug)]})
    VocabularyEditor(pool, NORMALISER).rename(cup.id, "杯子", PERSON)
    merges.merge(pool, mug.id, cup.id, PERSON)
    publish(pool, {first: []})
    VocabularyEditor(pool, NORMALISER).retire(cup.id, PERSON)

    told = [(event.event_type, event.name, event.usage_count) for event in history.tag_history(pool, cup.id)]
    assert told == [
        ("created", "cup", 0),
        ("updated", "杯子", 1),
        ("alias_added", "cup", 1),
        ("alias_added", "mug", 1),
        ("merged", "mug", 1),
        ("retired", "杯子", 1),
    ]
    (period,) = history.tag_usage_history(pool, cup.id, "year")
    assert (period.associated, period.dissociated, period.usage_count) == (2, 2, 0)
    assert period.period_start == datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC)


def test_explain_assignment(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "glaze recipes")
    glaze, kiln = add_tags(pool, "glaze", "kiln")
    evidence = (Evidence(Method.KEYPHRASE, 0.4, {"text": "kiln"}),)
    proposals = (
        Proposal("Kiln", "kiln", 0.2, Method.KEYPHRASE, Origin.MACHINE, evidence, None, {"tfidf": 0.1}),
        Proposal("glaze", "glaze", 0.8, Method.KEYPHRASE, Origin.MACHINE, evidence, glaze.id),
    )
    (decided,) = decisions(pool, {content: []})
    PostgresGeneratedStore(pool).save(
        [GeneratedTags(content, ORGANIZATION, decided.input_hash, "en", proposals)], version(pool)
    )
    publish(pool, {content: [assignment(glaze, note="at 0")]})
    publish(pool, {content: [assignment(glaze, 0.5, note="at 0")]})

    told = history.explain_assignment(pool, content, glaze.id)
    assert (told.name, told.confidence, told.method) == ("glaze", pytest.approx(0.5), "keyphrase")
    assert told.evidence is not None
    assert told.evidence[0]["detail"]["text"] == "at 0"
    assert told.proposal is not None
    assert told.proposal["confidence"] == 0.8
    assert told.tagger == {"code": 1}
    assert [event["event_type"] for event in told.events] == ["associated", "associated"]

    only_proposed = history.explain_assignment(pool, content, kiln.id)
    assert (only_proposed.confidence, only_proposed.events) == (None, [])
    assert only_proposed.proposal is not None
    assert only_proposed.proposal["features"] == {"tfidf": 0.1}
    with pytest.raises(UnknownName):
        history.explain_assignment(pool, content, 10**9)


# -------------------------------------------------------------------------------------- relations and similarity


def test_analyze_tag_relationships(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *"abcd")
    one, two, three = add_tags(pool, "one", "two", "三")
    publish(
        pool,
        {
            contents[0]: [assignment(one), assignment(two)],
            contents[1]: [assignment(one), assignment(two), assignment(three)],
            contents[2]: [assignment(three)],
            contents[3]: [assignment(three)],
        },
    )
    with pool.connection() as connection:
        rows = connection.execute("SELECT * FROM tagging.analyze_tag_relationships(%s, 0.4)", [one.id]).fetchall()
    assert rows == [(two.id, "two", 1.0, 2)]
    related = history.related_tags(pool, one.id)
    assert [(row.related_tag_name, row.correlation_strength) for row in related] == [
        ("two", 1.0),
        ("三", pytest.approx(1 / 3)),
    ]


def test_match_tags_by_embedding(pool: ConnectionPool) -> None:
    store = PostgresVocabularyStore(pool)
    near, far, retired, other_model = add_tags(pool, "near", "far", "retired", "其他")
    vectors = {near: unit(1, 0.1, 0), far: unit(0, 1, 0), retired: unit(1, 0, 0)}
    store.save_tag_vectors("m", {tag.id: np.array(vector) for tag, vector in vectors.items()})
    store.save_tag_vectors("other", {other_model.id: np.array(unit(1, 0, 0))})
    VocabularyEditor(pool, NORMALISER).retire(retired.id, PERSON)
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT id, name, similarity FROM tagging.match_tags_by_embedding(%s, 0.5, 5)", [Vector([1, 0, 0])]
        ).fetchall()
    assert [(row[0], row[1]) for row in rows] == [(near.id, "near")]
    assert rows[0][2] == pytest.approx(np.dot(unit(1, 0.1, 0), [1, 0, 0]))
    match = history.match_tags(pool, np.array([1, 0, 0]), "other", 0.5)
    assert [row.id for row in match] == [other_model.id]
    assert [row.name for row in history.similar_tags(pool, near.id, threshold=0)] == ["far"]
    assert history.similar_tags(pool, near.id, threshold=0.9) == []


def test_similar_contents(pool: ConnectionPool) -> None:
    own, near, twin, far, gone = add_contents(pool, "own", "近", "own", "far", "gone")
    store_vectors(pool, {own: unit(1, 0), near: unit(1, 0.2), far: unit(0, 1), gone: unit(1, 0.1)})
    store_vectors(pool, {far: unit(1, 0)}, model="older")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [gone])
    found = history.similar_contents(pool, own, 2)
    assert [(row.id, round(row.similarity, 3)) for row in found] == [(twin, 1.0), (near, 0.981)]
    assert [row.id for row in history.similar_contents(pool, own)] == [twin, near, far]
    assert history.similar_contents(pool, gone + 1) == []


def test_recommend_tags(pool: ConnectionPool) -> None:
    own, first, second, far = add_contents(pool, "own", "first", "second", "far")
    store_vectors(pool, {own: unit(1, 0), first: unit(1, 0.1), second: unit(1, 0.2), far: unit(0.1, 1)})
    has, shared, single, distant, named = add_tags(pool, "has", "shared", "single", "distant", "名")
    publish(
        pool,
        {
            own: [assignment(has)],
            first: [assignment(has), assignment(shared)],
            second: [assignment(shared), assignment(single)],
            far: [assignment(distant)],
        },
    )
    PostgresVocabularyStore(pool).save_tag_vectors("m", {named.id: np.array(unit(1, 0))})

    stored = history.recommend_tags_for_content(pool, own)
    assert [(row.name, row.supporting_contents) for row in stored] == [("shared", 2), ("single", 1)]
    assert stored[0].score == pytest.approx(0.8)
    text = history.recommend_tags(pool, np.array(unit(1, 0)), "m")
    assert [(row.name, row.supporting_contents) for row in text] == [
        ("has", 2), ("shared", 2), ("名", 0), ("single", 1),
    ]  # fmt: skip
    assert all(0 <= row.score <= 1 for row in text)
    with pool.connection() as connection:
        count = connection.execute(
            "SELECT count(*) FROM tagging.recommend_tags_for_content(%s, 2)", [Vector(unit(1, 0))]
        ).fetchone()
    assert count == (2,)


def test_functions_serve_an_empty_database(pool: ConnectionPool) -> None:
    with pool.connection() as connection:
        for call in (
            "match_tags_by_embedding('[1,0]'::vector, 0.5, 5)",
            "match_contents_by_embedding('[1,0]'::vector, 0.5, 5)",
            "recommend_tags_for_content('[1,0]'::vector, 5)",
            "recommend_tags_for_content_id(1)",
            "similar_contents(1)",
            "similar_tags(1)",
            "analyze_tag_relationships(1, 0)",
            "tag_history(1)",
            "content_history(1)",
            "find_tag('x')",
            "contents_carrying('{1}')",
            "replay_differences()",
        ):
            assert connection.execute(f"SELECT * FROM tagging.{call}").fetchall() == []


def test_similarity_uses_the_models_index(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "text")
    store_vectors(pool, {content: unit(1, 0, 0)})
    ensure_index(pool, "content_embeddings", "m", 3)
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO tagging.content_embeddings (text_hash, model, dimension, embedding)
            SELECT 'hash ' || i, 'm', 3, ARRAY[1, i, 1]::vector FROM generate_series(1, 3000) AS i
            """
        )
    ensure_index(pool, "content_embeddings", "m", 3)
    with pool.connection() as connection:
        connection.execute("ANALYZE tagging.content_embeddings")
        connection.execute("SELECT tagging.match_contents_by_embedding('[1,0,0]'::vector, 0.5, 3, 'm')")
    with pool.connection() as connection, connection.transaction():
        connection.execute("SELECT pg_stat_force_next_flush()")
    with pool.connection() as connection:
        used = connection.execute(
            "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'content_embeddings_hnsw%%'",
        ).fetchone()
    assert used is not None
    assert used[0] >= 1
