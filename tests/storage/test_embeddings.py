"""Vectors in pgvector: storing, neighbours, indexes, health. English and Chinese contents, real Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.fingerprints import text_hash
from tagging_orchestration.core.models import EmbeddingHealth, EmbeddingRow, Neighbour, Origin
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.storage import embedding_indexes, embeddings, neighbours
from tagging_orchestration.storage.embeddings import PostgresEmbeddingStore

MODEL = "all-MiniLM-L6-v2"
CHINESE = "char-ngrams-384"
ORG = "default"


@pytest.fixture
def store(pool: ConnectionPool) -> PostgresEmbeddingStore:
    return PostgresEmbeddingStore(pool)


@pytest.fixture
def always_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes are built and searched however few vectors there are."""
    monkeypatch.setattr(embedding_indexes, "INDEX_MINIMUM", 1)
    monkeypatch.setattr(embeddings, "EXACT_LIMIT", 0)


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def random_units(number: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(number, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows_of(vectors: Iterable[np.ndarray], model: str = MODEL, organization_id: str = ORG) -> list[EmbeddingRow]:
    return [
        EmbeddingRow(organization_id, text_hash("", f"text {number}"), model, vector)
        for number, vector in enumerate(vectors)
    ]


def add_contents(pool: ConnectionPool, texts: Sequence[str], organization_id: str = ORG) -> list[int]:
    """Contents with these bodies; their ids, in order."""
    with pool.connection() as connection:
        rows = connection.execute(
            "INSERT INTO tagging.contents (organization_id, source, external_id, body)"
            " SELECT %s, 'test', gen_random_uuid(), t.body"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS t (body, place) ORDER BY t.place RETURNING id",
            [organization_id, list(texts)],
        )
        return [row[0] for row in rows]


def add_tag(pool: ConnectionPool, name: str, organization_id: str = ORG) -> int:
    with pool.connection() as connection:
        row = connection.execute(
            "INSERT INTO tagging.tags (organization_id, name, normal_form) VALUES (%s, %s, %s) RETURNING id",
            [organization_id, name, name],
        ).fetchone()
    assert row
    return row[0]


def assign(
    pool: ConnectionPool,
    content_ids: Sequence[int],
    tag_id: int,
    confidence: float = 0.5,
    origin: Origin = Origin.MACHINE,
    organization_id: str = ORG,
) -> None:
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO tagging.content_tags"
            " (content_id, tag_id, organization_id, confidence, weight, method, origin)"
            " SELECT id, %s, %s, %s, 1, 'rule', %s FROM unnest(%s::bigint[]) AS c (id)",
            [tag_id, organization_id, confidence, str(origin), list(content_ids)],
        )


def embed(store: PostgresEmbeddingStore, vectors: dict[str, np.ndarray], organization_id: str = ORG) -> None:
    store.save([EmbeddingRow(organization_id, text_hash("", text), MODEL, v) for text, v in vectors.items()])


def ids_of(found: Sequence[Neighbour]) -> list[int]:
    return [neighbour.content_id for neighbour in found]


def indexes(pool: ConnectionPool) -> list[str]:
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'tagging' AND indexdef LIKE '%USING hnsw%'"
            " ORDER BY tablename, indexdef"
        )
        return [row[0] for row in rows]


# ------------------------------------------------------------------------------------------------- storing


@pytest.mark.parametrize("number", [3, 300], ids=["single rows", "copy"])
def test_vectors_come_back_as_they_were(store: PostgresEmbeddingStore, number: int) -> None:
    rows = rows_of(random_units(number, 8))
    assert store.save(rows) == number
    hashes = [row.text_hash for row in rows]
    assert store.existing(ORG, MODEL, [*hashes, "unknown"]) == set(hashes)
    found = store.vectors(ORG, MODEL, [hashes[2], "unknown", hashes[0]])
    assert found.keys() == {hashes[0], hashes[2]}
    np.testing.assert_array_equal(found[hashes[2]], rows[2].vector)
    assert found[hashes[0]].dtype == np.float32


@pytest.mark.parametrize("number", [3, 300], ids=["single rows", "copy"])
def test_a_vector_that_is_there_is_left_alone(store: PostgresEmbeddingStore, number: int) -> None:
    first, second = rows_of(random_units(number, 8)), rows_of(random_units(number + 1, 8, seed=1))
    store.save(first)
    assert store.save([*second, *second]) == 1
    found = store.vectors(ORG, MODEL, [row.text_hash for row in second])
    np.testing.assert_array_equal(found[first[0].text_hash], first[0].vector)
    np.testing.assert_array_equal(found[second[-1].text_hash], second[-1].vector)


def test_nothing_to_save(store: PostgresEmbeddingStore) -> None:
    assert store.save([]) == 0
    assert store.existing(ORG, MODEL, []) == set()
    assert store.vectors(ORG, MODEL, []) == {}


@pytest.mark.parametrize("number", [200, 2000], ids=["single rows", "copy"])
def test_writers_of_the_same_rows_do_not_fail(pool: ConnectionPool, number: int) -> None:
    rows = rows_of(random_units(number, 4))
    start = Barrier(3)

    def write(order: list[EmbeddingRow]) -> int:
        start.wait()
        return PostgresEmbeddingStore(pool).save(order)

    with ThreadPoolExecutor(3) as threads:
        written = list(threads.map(write, [rows, rows[::-1], rows[number // 2 :] + rows[: number // 2]]))
    assert sum(written) == number


def test_models_and_organisations_stand_side_by_side(store: PostgresEmbeddingStore) -> None:
    hashes = [row.text_hash for row in rows_of(random_units(2, 4))]
    store.save(rows_of(random_units(2, 4)))
    store.save(rows_of(random_units(1, 6), model="multilingual"))
    store.save(rows_of(random_units(1, 4, seed=1), organization_id="other"))
    assert store.existing(ORG, MODEL, hashes) == set(hashes)
    assert store.existing(ORG, "multilingual", hashes) == {hashes[0]}
    assert store.vectors(ORG, "multilingual", hashes)[hashes[0]].shape == (6,)
    assert store.existing("other", MODEL, hashes) == {hashes[0]}


# ---------------------------------------------------------------------------------------------- neighbours


@pytest.mark.parametrize("way", ["exact", "index", "index before pgvector 0.8", "scan"])
def test_neighbours_are_the_nearest_tagged_contents(
    pool: ConnectionPool, store: PostgresEmbeddingStore, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_indexes, "INDEX_MINIMUM", 1)
    monkeypatch.setattr(embeddings, "EXACT_LIMIT", 1_000 if way == "exact" else 0)
    vectors = {
        "query 查詢": unit(1, 0, 0),
        "near 近": unit(1, 0.1, 0),
        "untagged 未標": unit(1, 0.05, 0),
        "middle 中": unit(1, 0.5, 0),
        "far 遠": unit(0, 1, 0),
        "retired 停用": unit(1, 0.01, 0),
    }
    query, near, _, middle, far, retired = add_contents(pool, list(vectors))
    twin, other_twin = add_contents(pool, ["middle 中", "query 查詢"])
    embed(store, vectors)
    rain, 大雨, gone = add_tag(pool, "rain"), add_tag(pool, "大雨"), add_tag(pool, "gone")
    assign(pool, [query, near, far], rain, 0.75)
    assign(pool, [near, middle, twin, other_twin], 大雨, 1, Origin.HUMAN)
    assign(pool, [retired], gone)
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET status = 'retired' WHERE id = %s", [gone])
    strangers = add_contents(pool, ["near 近"], "other")
    embed(store, {"near 近": unit(1, 0, 0)}, "other")
    assign(pool, strangers, add_tag(pool, "rain", "other"), organization_id="other")
    if way.startswith("index"):
        store.ensure_index(MODEL, 3)
    if way == "index before pgvector 0.8":
        store.__dict__["_iterative"] = False

    found = store.neighbours(ORG, MODEL, [(query, unit(1, 0, 0)), (far, unit(0, 1, 0)), (0, unit(1, 0, 0))], 10)

    assert ids_of(found[query]) == [other_twin, near, middle, far]
    assert found[query][1].similarity == pytest.approx(1 / np.sqrt(1.01))
    assert found[query][1].tags == ((rain, 0.75, Origin.MACHINE), (大雨, 1, Origin.HUMAN))
    assert ids_of(found[far]) == [middle, near, query]
    assert ids_of(found[0]) == [query, near, middle, far]
    assert found[0][0].similarity == pytest.approx(1)
    best = store.neighbours(ORG, MODEL, [(query, unit(1, 0, 0))], 2)
    assert ids_of(best[query]) == [other_twin, near]


def test_alone_there_are_no_neighbours(pool: ConnectionPool, store: PostgresEmbeddingStore) -> None:
    (content,) = add_contents(pool, ["alone 獨自"])
    embed(store, {"alone 獨自": unit(1, 0)})
    assign(pool, [content], add_tag(pool, "only"))
    assert store.neighbours(ORG, MODEL, [(content, unit(1, 0)), (0, unit(0, 1))], 5)[content] == ()
    assert store.neighbours("nobody", MODEL, [(0, unit(1, 0))], 5) == {0: ()}
    assert store.neighbours(ORG, "another model", [(0, unit(1, 0))], 5) == {0: ()}
    assert store.neighbours(ORG, MODEL, [(7, unit(1, 0))], 0) == {7: ()}
    assert store.neighbours(ORG, MODEL, [], 5) == {}


def test_many_contents_are_searched_by_the_index_and_few_exactly(
    pool: ConnectionPool, store: PostgresEmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    vectors = random_units(40, 24)[np.arange(3_000) % 40] + 0.1 * rng.normal(size=(3_000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = add_contents(pool, [f"text {number}" for number in range(3_000)])
    store.save(rows_of(vectors))
    assign(pool, ids, add_tag(pool, "all"))
    store.ensure_index(MODEL, 24)
    queries = list(zip(ids[:50], vectors[:50], strict=True))

    monkeypatch.setattr(embeddings, "EXACT_LIMIT", 3_001)
    exact = store.neighbours(ORG, MODEL, queries, 10)
    monkeypatch.setattr(embeddings, "EXACT_LIMIT", 3_000)
    found = store.neighbours(ORG, MODEL, queries, 10)

    ranks = np.argsort(-(vectors[:50] @ vectors.T), axis=1)[:, 1:11]
    for (content_id, _), best in zip(queries, ranks, strict=True):
        assert [ids.index(found_id) for found_id in ids_of(exact[content_id])] == best.tolist()
    hits = [len(set(exact[query]) & set(found[query])) for query, _ in queries]
    assert np.mean(hits) > 9
    plan = explain(pool, 24)
    assert "Index Scan using content_embeddings_hnsw_" in plan
    assert "Seq Scan on content_embeddings" not in plan


def explain(pool: ConnectionPool, dimension: int) -> str:
    with pool.connection() as connection:
        connection.execute("ANALYZE")
        neighbours.prepare_search(connection, iterative=True)
        query = neighbours.nearest_query(ORG, MODEL, dimension, 10, exact=False)
        rows = connection.execute(sql.SQL("EXPLAIN ") + query, [[1], [unit(*[1.0] * dimension)]])
        return "\n".join(row[0] for row in rows)


# ------------------------------------------------------------------------------------------------- indexes


def test_each_model_gets_its_own_indexes_once(
    pool: ConnectionPool, store: PostgresEmbeddingStore, always_indexed: None
) -> None:
    store.save(rows_of(random_units(5, 4)))
    store.save(rows_of(random_units(5, 2_500), model="it's 100 % wide"))
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO tagging.tag_embeddings (tag_id, model, dimension, name_hash, embedding)"
            " VALUES (%s, %s, 4, '', '[1,0,0,0]')",
            [add_tag(pool, "rain"), MODEL],
        )
    for _ in range(2):
        store.ensure_index(MODEL, 4)
        store.ensure_index("it's 100 % wide", 2_500)
        store.ensure_index("longer than pgvector indexes", 4_500)
    contents, wide, tags = indexes(pool)
    assert "((embedding)::vector(4)) vector_cosine_ops) WHERE (model = 'all-MiniLM-L6-v2'" in contents
    assert "((embedding)::halfvec(2500)) halfvec_cosine_ops) WHERE (model = 'it''s 100 % wide'" in wide
    assert "ON tagging.tag_embeddings" in tags
    (content,) = add_contents(pool, ["text 3"])
    assign(pool, [content], add_tag(pool, "wide"))
    found = store.neighbours(ORG, "it's 100 % wide", [(0, random_units(5, 2_500)[3])], 1)
    assert found[0][0].similarity == pytest.approx(1, abs=1e-3)


def test_a_few_vectors_are_not_indexed(pool: ConnectionPool, store: PostgresEmbeddingStore) -> None:
    store.save(rows_of(random_units(embedding_indexes.INDEX_MINIMUM - 1, 2)))
    store.ensure_index(MODEL, 2)
    assert indexes(pool) == []
    store.save(rows_of(random_units(embedding_indexes.INDEX_MINIMUM, 2)))
    store.ensure_index(MODEL, 2)
    assert len(indexes(pool)) == 1


def test_two_builders_and_a_writer_get_along(
    pool: ConnectionPool, store: PostgresEmbeddingStore, always_indexed: None
) -> None:
    store.save(rows_of(random_units(500, 8)))
    start = Barrier(3)

    def build() -> None:
        start.wait()
        PostgresEmbeddingStore(pool).ensure_index(MODEL, 8)

    def write() -> None:
        start.wait()
        PostgresEmbeddingStore(pool).save(rows_of(random_units(900, 8)))

    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(build), threads.submit(build), threads.submit(write)]:
            future.result()
    assert len(indexes(pool)) == 1
    assert [health.vectors for health in store.health()] == [900]


def test_without_shared_memory_the_index_is_built_by_one_worker(
    pool: ConnectionPool, store: PostgresEmbeddingStore, postgres_server: EmbeddedServer, always_indexed: None
) -> None:
    store.save(rows_of(random_units(5, 4)))
    with pool.connection() as connection:
        database = connection.info.dbname
    with psycopg.connect(postgres_server.url(database, superuser=True), autocommit=True) as connection:
        connection.execute("""
            CREATE FUNCTION refuse_workers() RETURNS event_trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF current_setting('max_parallel_maintenance_workers')::integer > 0 THEN
                    RAISE EXCEPTION 'could not resize shared memory segment' USING ERRCODE = 'disk_full';
                END IF;
            END
            $$
        """)
        connection.execute(
            "CREATE EVENT TRIGGER refuse_workers ON ddl_command_start WHEN TAG IN ('CREATE INDEX')"
            " EXECUTE FUNCTION refuse_workers()"
        )
    store.ensure_index(MODEL, 4)
    assert len(indexes(pool)) == 1


def test_a_dropped_model_leaves_the_others(
    pool: ConnectionPool, store: PostgresEmbeddingStore, always_indexed: None
) -> None:
    store.save(rows_of(random_units(5, 4)))
    store.save(rows_of(random_units(3, 6), model="old"))
    for model, dimension in ((MODEL, 4), ("old", 6)):
        store.ensure_index(model, dimension)
    assert store.drop_model("old") == 3
    assert [(health.model, health.vectors) for health in store.health()] == [(MODEL, 5)]
    (index,) = indexes(pool)
    assert MODEL in index
    assert store.drop_model("old") == 0


# -------------------------------------------------------------------------------------------------- health


def test_contents_without_a_vector_are_counted(pool: ConnectionPool, store: PostgresEmbeddingStore) -> None:
    add_contents(pool, ["rain", "大雨", "wind", "wind"])
    add_contents(pool, ["elsewhere"], "other")
    (gone,) = add_contents(pool, ["gone"])
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [gone])
    assert store.missing_count(ORG, [MODEL, CHINESE]) == 4
    embed(store, {"rain": unit(1, 0)})
    store.save([EmbeddingRow(ORG, text_hash("", "大雨"), CHINESE, unit(1, 0))])
    assert store.missing_count(ORG, [MODEL, CHINESE]) == 2
    assert store.missing_count(ORG, [MODEL]) == 3


def test_unsound_vectors_are_found(pool: ConnectionPool, store: PostgresEmbeddingStore) -> None:
    assert store.health() == []
    store.save(rows_of(random_units(8, 4)))
    store.save(rows_of([unit(1, 0), np.array([3, 4], dtype=np.float32)], model=CHINESE))
    rows = rows_of(random_units(10, 4))[8:]
    store.save([EmbeddingRow(ORG, rows[0].text_hash, MODEL, np.zeros(4, dtype=np.float32))])
    store.save([EmbeddingRow(ORG, rows[1].text_hash, MODEL, unit(1, 0, 0))])
    assert store.health() == [EmbeddingHealth(MODEL, 4, 10, 10, 2), EmbeddingHealth(CHINESE, 2, 2, 2, 1)]


def test_health_of_many_vectors_is_judged_on_a_sample(
    store: PostgresEmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "HEALTH_SAMPLE", 600)
    store.save(rows_of(2 * random_units(3_000, 64)))
    store.save(rows_of(random_units(5, 4), model="small"))
    big, small = store.health()
    assert big.vectors == 3_000
    assert 100 < big.sampled < 2_000
    assert big.unsound == big.sampled
    assert small == EmbeddingHealth("small", 4, 5, 5, 0)
