"""Broader tags and splits: proposed, decided, taken back."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName, VocabularyError
from tagging_orchestration.core.models import EmbeddingRow, Tag, TagStatus
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.storage import structure
from tagging_orchestration.storage.embeddings import PostgresEmbeddingStore
from tagging_orchestration.storage.usage import load_co_usage
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tagging_orchestration.storage.vocabulary_changes import VocabularyEditor
from tagging_orchestration.storage.weights import recompute_relationships, recompute_weights
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
    pending,
    publish,
    state,
)


def tag_of(pool: ConnectionPool, tag_id: int) -> Tag:
    return PostgresVocabularyStore(pool).load(ORGANIZATION).tags[tag_id]


def measured(pool: ConnectionPool) -> None:
    """Bring the projections up to date, as the nightly care does before it looks."""
    recompute_weights(pool, VocabularySettings(), now=datetime.now(UTC), context=MACHINE)
    recompute_relationships(pool)


def broad_shop(pool: ConnectionPool) -> tuple[Tag, dict[str, list[int]]]:
    """Seventy contents with one broad tag, half of them about tea, half about 陶藝 (pottery)."""
    contents = add_contents(pool, *(f"text {number}" for number in range(70)))
    broad, tea = add_tags(pool, "hobby", "tea")
    (pottery,) = add_tags(pool, "陶藝")
    kinds = {"tea": contents[:35], "陶藝": contents[35:]}
    publish(
        pool,
        {
            content: [assignment(broad, 0.7), assignment(tea if content in kinds["tea"] else pottery, 0.8)]
            for content in contents
        },
    )
    with pool.connection() as connection:
        hashes = dict(connection.execute("SELECT id, text_hash FROM tagging.contents").fetchall())
    random = np.random.default_rng(0)
    rows = []
    for content in contents:
        vector = np.array([1.0, 0.0] if content in kinds["tea"] else [0.0, 1.0]) + 0.05 * random.normal(size=2)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        rows.append(EmbeddingRow(ORGANIZATION, hashes[content], "m", vector))
    PostgresEmbeddingStore(pool).save(rows)
    measured(pool)
    return broad, kinds


def test_a_broader_tag_is_proposed_accepted_and_taken_back(pool: ConnectionPool) -> None:
    insurance, health = add_tags(pool, "insurance", "health insurance")
    assert structure.find_and_save(pool, ORGANIZATION) == 1
    assert structure.find_and_save(pool, ORGANIZATION) == 0
    (proposal,) = structure.open_proposals(pool, ORGANIZATION)
    assert (proposal.tag_name, proposal.parent_name) == ("health insurance", "insurance")
    editor = VocabularyEditor(pool, NORMALISER)

    before = last_event(pool)
    accepted = structure.accept(pool, editor, proposal.id, PERSON)
    assert tag_of(pool, health.id).parent_id == insurance.id
    assert events(pool, before) == [("updated", health.id, None)]
    assert (accepted.status, accepted.decided_by) == ("accepted", PERSON.actor)

    structure.undo(pool, proposal.id, PERSON)
    assert tag_of(pool, health.id).parent_id is None
    assert structure.find_and_save(pool, ORGANIZATION) == 0
    assert structure.open_proposals(pool, ORGANIZATION) == []
    for decide in (structure.refuse, structure.undo):
        with pytest.raises(UnknownName):
            decide(pool, proposal.id, PERSON)
    assert differences(pool) == []


def test_a_refused_proposal_is_not_made_again_and_a_stale_one_goes(pool: ConnectionPool) -> None:
    _, health, _, food = add_tags(pool, "insurance", "health insurance", "security", "food security")
    structure.find_and_save(pool, ORGANIZATION)
    proposals = {row.tag_id: row for row in structure.open_proposals(pool, ORGANIZATION)}
    refused = proposals[health.id]
    assert set(proposals) == {health.id, food.id}
    structure.refuse(pool, refused.id, PERSON)
    VocabularyEditor(pool, NORMALISER).retire(food.id, PERSON)
    assert structure.find_and_save(pool, ORGANIZATION) == 0
    assert structure.open_proposals(pool, ORGANIZATION) == []


def test_a_proposal_that_would_close_a_circle_now_is_refused_by_the_database(pool: ConnectionPool) -> None:
    insurance, health = add_tags(pool, "insurance", "health insurance")
    structure.find_and_save(pool, ORGANIZATION)
    (proposal,) = structure.open_proposals(pool, ORGANIZATION)
    editor = VocabularyEditor(pool, NORMALISER)
    editor.place(insurance.id, health.id, PERSON)
    with pytest.raises(VocabularyError):
        structure.accept(pool, editor, proposal.id, PERSON)
    assert [row.id for row in structure.open_proposals(pool, ORGANIZATION)] == [proposal.id]


def test_a_split_moves_contents_and_comes_back_whole(pool: ConnectionPool) -> None:
    broad, kinds = broad_shop(pool)
    structure.find_and_save(pool, ORGANIZATION)
    (proposal,) = [row for row in structure.open_proposals(pool, ORGANIZATION) if row.kind == "split"]
    assert {part["name"]: part["content_ids"] for part in proposal.parts} == kinds
    assert proposal.signals["share"] == 1
    before = full_state(pool)

    structure.accept(pool, VocabularyEditor(pool, NORMALISER), proposal.id, PERSON)
    assert {tag_id for _, tag_id in state(pool)} & {broad.id} == set()
    tea = PostgresVocabularyStore(pool).load(ORGANIZATION).resolve("tea")
    assert tea is not None
    assert tea.parent_id == broad.id

    structure.undo(pool, proposal.id, PERSON)
    assert full_state(pool) == before
    assert pending(pool) == set()
    assert differences(pool) == []


def test_undoing_a_split_leaves_what_changed_since_and_retires_tags_it_made(pool: ConnectionPool) -> None:
    broad, kinds = broad_shop(pool)
    structure.find_and_save(pool, ORGANIZATION)
    (proposal,) = [row for row in structure.open_proposals(pool, ORGANIZATION) if row.kind == "split"]
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.structure_proposals SET parts = jsonb_set(parts, '{0,name}', %s) WHERE id = %s",
            [Jsonb("new part"), proposal.id],
        )
    first = proposal.parts[0]["name"]
    structure.accept(pool, VocabularyEditor(pool, NORMALISER), proposal.id, PERSON)
    made = PostgresVocabularyStore(pool).load(ORGANIZATION).resolve("new part")
    assert made is not None
    changed = kinds[first][0]
    publish(pool, {changed: [assignment(made, 0.3)]})
    structure.undo(pool, proposal.id, PERSON)
    assert state(pool)[changed, made.id] == (0.3, "machine")
    assert (changed, broad.id) not in state(pool)
    assert (kinds[first][1], broad.id) in state(pool)
    assert pending(pool) == {changed}
    assert tag_of(pool, made.id).status is TagStatus.ACTIVE
    assert differences(pool) == []


def test_the_middle_of_a_tags_contents(pool: ConnectionPool) -> None:
    broad, _ = broad_shop(pool)
    with pool.connection() as connection:
        usage = load_co_usage(connection, ORGANIZATION, centres=True)
        assert load_co_usage(connection, ORGANIZATION).centres == {}
    others = {tag_id: centre for tag_id, centre in usage.centres.items() if tag_id != broad.id}
    assert {int(np.argmax(centre)) for centre in others.values()} == {0, 1}
    assert usage.contents[broad.id] == 70
    assert set(usage.together.values()) == {35}
