"""The sandbox: stores that read the project, encode what is missing in memory, and write nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import EmbeddingRow, Origin
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.storage.embeddings import PostgresEmbeddingStore
from tagging_orchestration.storage.experiments import (
    SandboxCorpus,
    SandboxEmbeddings,
    SandboxVersions,
    SandboxVocabulary,
    events_to_write,
    load_gold,
    sample_contents,
)
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tests.storage.builders import ORGANIZATION, add_contents, add_tags, assignment, publish
from tests.storage.test_feedback import ACCEPT, ADD, REJECT, say

WORDS = ("kiln", "釉", "tea")


class OtherModel:
    """An embedder nothing is stored of: one axis a word."""

    fingerprint = "other/3"

    def model_for(self, text: str) -> str:
        return "other"

    def dimension(self, model: str) -> int:
        return len(WORDS)

    def encode(self, model: str, texts: Sequence[str], progress: object = None) -> np.ndarray:
        rows = np.array([[text.count(word) + 1e-3 for word in WORDS] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_phrases(self, model: str, phrases: Sequence[str]) -> np.ndarray | None:
        return None


def test_neighbours_under_a_model_nothing_is_stored_of(pool: ConnectionPool) -> None:
    first, second, third, untagged = add_contents(pool, "kiln kiln", "kiln 釉", "tea", "kiln")
    kiln, tea = add_tags(pool, "kiln", "tea")
    publish(pool, {first: [assignment(kiln, 0.5)], second: [assignment(kiln, 0.7)], third: [assignment(tea, 0.9)]})
    store = SandboxEmbeddings(pool, PostgresEmbeddingStore(pool), OtherModel())
    vector = OtherModel().encode("other", ["kiln"])[0]
    found = store.neighbours(ORGANIZATION, "other", [(first, vector), (untagged, vector)], 2)
    assert [neighbour.content_id for neighbour in found[first]] == [second, third]
    assert [neighbour.content_id for neighbour in found[untagged]] == [first, second]
    assert found[untagged][1].tags == ((kiln.id, pytest.approx(0.7), Origin.MACHINE),)
    assert store.save([EmbeddingRow(ORGANIZATION, "x", "other", vector)]) == 0
    assert store.existing(ORGANIZATION, "other", ["x"]) == set()


def test_stored_vectors_are_used_where_there_are_any(pool: ConnectionPool) -> None:
    first, second = add_contents(pool, "kiln", "tea")
    (kiln,) = add_tags(pool, "kiln")
    publish(pool, {second: [assignment(kiln)]})
    real = PostgresEmbeddingStore(pool)
    with pool.connection() as connection:
        hashes = dict(connection.execute("SELECT id, text_hash FROM tagging.contents").fetchall())
    vector = np.array([1, 0, 0], np.float32)
    real.save([EmbeddingRow(ORGANIZATION, hashes[second], "other", vector)])
    store = SandboxEmbeddings(pool, real, OtherModel())
    (neighbour,) = store.neighbours(ORGANIZATION, "other", [(first, vector)], 2)[first]
    assert (neighbour.content_id, neighbour.similarity) == (second, pytest.approx(1.0))


def test_tag_names_are_encoded_in_memory_only(pool: ConnectionPool) -> None:
    (釉,) = add_tags(pool, "釉")
    vocabulary = SandboxVocabulary(PostgresVocabularyStore(pool), OtherModel()).load(ORGANIZATION)
    assert vocabulary.vectors["other"].tag_ids.tolist() == [釉.id]
    assert vocabulary.vectors["other"].matrix[0].argmax() == 1
    assert PostgresVocabularyStore(pool).load(ORGANIZATION).vectors == {}


def test_corpus_and_versions_are_kept_to_the_sandbox(pool: ConnectionPool) -> None:
    sandbox = SandboxCorpus(pool)
    statistics = CorpusStatistics(3, 3, {"kiln": 2})
    sandbox.save(ORGANIZATION, statistics)
    assert sandbox.load(ORGANIZATION) == statistics
    assert SandboxCorpus(pool).load(ORGANIZATION) is None
    assert SandboxVersions(pool).ensure({"code": "x"}) == 0
    with pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM tagging.tagger_versions").fetchone() == (0,)


def test_sample_gold_and_events(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *(f"text {number}" for number in range(40)))
    kiln, tea = add_tags(pool, "kiln", "tea")
    judged = contents[:10]
    publish(pool, {content: [assignment(kiln, 0.5)] for content in contents})
    for content in judged:
        say(pool, ACCEPT, content, "kiln")
    say(pool, REJECT, judged[0], "tea")
    say(pool, ADD, judged[1], "陶藝")
    sample = sample_contents(pool, ORGANIZATION, 10)
    assert len(sample) == 10
    assert sample == sample_contents(pool, ORGANIZATION, 10)
    assert len(set(sample) & set(judged)) == 7
    assert len(sample_contents(pool, ORGANIZATION, 100)) == 40
    gold = load_gold(pool, contents)
    assert set(gold) == set(judged)
    assert (gold[judged[0]].wanted, gold[judged[0]].rejected) == ({"kiln"}, {"tea"})
    assert not gold[judged[0]].complete
    assert len(gold[judged[1]].wanted) == 2

    machine, person = contents[20], judged[2]
    # Kept within the step; changed beyond it; one taken away, one added and two made; a person's own left alone.
    assert events_to_write(pool, {machine: {kiln.id: 0.51}}) == 0
    assert events_to_write(pool, {machine: {kiln.id: 0.6}}) == 1
    assert events_to_write(pool, {machine: {tea.id: 0.6, -1: 0.4, -2: 0.4}}) == 4
    assert events_to_write(pool, {person: {}}) == 0
