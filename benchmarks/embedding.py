"""How fast texts become vectors and vectors find neighbours, against plain sentence-transformers and exact search.

    python benchmarks/embedding.py --input FILE.jsonl [--limit 1000] [--threads 1] [--rounds 3] [--database]

FILE holds one JSON object a line with `text` or `body`, and perhaps `title`. Ways to encode, interleaved within
each round because a machine's speed drifts: `bare` model.encode on chunks of 32 in order of arrival, `bare sorted`
one call of model.encode, `float32` and `auto` this project's embedder, `statistical` the vectors without a model.
Ratios are of processor time to `bare`, medians over the rounds.
With --database the vectors go to a Postgres server of their own that is removed afterwards. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.clients.sentence_model import SentenceModel, load_model
from tagging_orchestration.clients.statistical_vectors import StatisticalVectors
from tagging_orchestration.core.fingerprints import text_hash
from tagging_orchestration.core.models import DEFAULT_ORGANIZATION, EmbeddingRow
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import EmbeddingSettings
from tagging_orchestration.storage import embeddings, migrate
from tagging_orchestration.storage.connection import create_pool
from tagging_orchestration.storage.embeddings import PostgresEmbeddingStore

BATCH = 32
STORE_BATCH = 512
QUERIES = 256
NEIGHBOURS = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of embeddings and of their search")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", action="store_true")
    parser.add_argument("--major", type=int, default=18)
    arguments = parser.parse_args()
    texts = read_texts(arguments.input, arguments.limit)
    result, vectors = encoding(texts, arguments.threads, arguments.rounds)
    if arguments.database:
        result["database"] = database(texts, vectors, arguments.major)
    print(json.dumps(result, indent=2, ensure_ascii=False))


def read_texts(path: Path, limit: int) -> list[str]:
    """Distinct texts of a JSONL file, in its order."""
    texts: dict[str, None] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            texts.setdefault(f"{row.get('title') or ''}\n{row.get('text') or row.get('body') or ''}".strip())
            if len(texts) == limit:
                break
    return list(texts)


def encoding(texts: list[str], threads: int, rounds: int) -> tuple[dict[str, Any], np.ndarray]:
    """Rates and faithfulness of each way to encode, and the vectors of the project's own way."""
    plain, fast = (
        SentenceModel(EmbeddingSettings.model_validate({"precision": precision, "threads": threads}))
        for precision in ("float32", "auto")
    )
    statistical = StatisticalVectors(LibraryLanguageTools().to_simplified)
    model = load_model(plain.folder, "float32", threads).model
    options: dict[str, Any] = {"batch_size": BATCH, "normalize_embeddings": True, "show_progress_bar": False}
    ways: dict[str, Callable[[], np.ndarray]] = {
        "bare": lambda: np.concatenate(
            [model.encode(texts[start : start + BATCH], **options) for start in range(0, len(texts), BATCH)]
        ),
        "bare sorted": lambda: model.encode(texts, **options),
        "float32": lambda: plain.encode(texts),
        "auto": lambda: fast.encode(texts),
        "statistical": lambda: statistical.encode(texts),
    }
    for way in (plain, fast, statistical):
        way.encode(texts[:BATCH])
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            began, began_processor = time.perf_counter(), time.process_time()
            vectors[name] = way()
            wall[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - began_processor)
    result: dict[str, Any] = {
        "texts": len(texts),
        "mean_characters": round(sum(map(len, texts)) / len(texts)),
        "threads": threads,
        "bfloat16": load_model(fast.folder, "auto", threads).bfloat16,
        "ways": {},
    }
    for name in ways:
        result["ways"][name] = {
            "texts_a_second": round(len(texts) / median(wall[name]), 1),
            "texts_a_processor_second": round(len(texts) / median(processor[name]), 1),
            "ratio": round(median(a / b for a, b in zip(processor["bare"], processor[name], strict=True)), 2),
        }
        if name != "statistical":
            cosines = np.sum(vectors[name] * vectors["bare"], axis=1)
            result["ways"][name] |= {
                "cosine_min": round(float(cosines.min()), 6),
                "cosine_mean": round(float(cosines.mean()), 6),
            }
    return result, vectors["auto"]


def database(texts: list[str], vectors: np.ndarray, major: int) -> dict[str, Any]:
    """Rates of saving and indexing; latency and recall of neighbours when every content is tagged."""
    with tempfile.TemporaryDirectory() as home:
        server = EmbeddedServer(Path(home), major)
        server.start()
        try:
            migrate.upgrade(server.url())
            with create_pool(server.url()) as pool:
                with pool.connection() as connection:
                    ids = fill(connection, texts)
                return search(PostgresEmbeddingStore(pool), texts, vectors, ids)
        finally:
            server.stop()


def fill(connection: Any, texts: list[str]) -> list[int]:
    """Contents with one tag each; their ids in order."""
    rows = connection.execute(
        "INSERT INTO tagging.contents (source, external_id, body)"
        " SELECT 'bench', t.place, t.body FROM unnest(%s::text[]) WITH ORDINALITY AS t (body, place)"
        " ORDER BY t.place RETURNING id",
        [texts],
    ).fetchall()
    connection.execute("INSERT INTO tagging.tags (name, normal_form) VALUES ('tag', 'tag')")
    connection.execute(
        "INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)"
        " SELECT c.id, t.id, 1, 1, 'rule', 'machine' FROM tagging.contents AS c, tagging.tags AS t"
    )
    connection.execute("ANALYZE tagging.contents, tagging.content_tags, tagging.tags")
    return [row[0] for row in rows]


def search(store: PostgresEmbeddingStore, texts: list[str], vectors: np.ndarray, ids: list[int]) -> dict[str, Any]:
    """Save, index and search."""
    model = "benchmark"
    rows = [
        EmbeddingRow(DEFAULT_ORGANIZATION, text_hash("", text), model, vector)
        for text, vector in zip(texts, vectors, strict=True)
    ]
    began = time.perf_counter()
    for start in range(0, len(rows), STORE_BATCH):
        store.save(rows[start : start + STORE_BATCH])
    result: dict[str, Any] = {"saved_a_second": round(len(rows) / (time.perf_counter() - began))}
    began = time.perf_counter()
    store.ensure_index(model, vectors.shape[1])
    result["index_seconds"] = round(time.perf_counter() - began, 2)

    chosen = np.random.default_rng(0).permutation(len(rows))[:QUERIES]
    queries = [(ids[row], vectors[row]) for row in chosen]
    similarities = vectors[chosen] @ vectors.T
    similarities[np.arange(len(chosen)), chosen] = -2
    truth = np.argsort(-similarities, axis=1)[:, :NEIGHBOURS]
    for way, limit in (("exact", len(ids) + 1), ("index", 0)):
        embeddings.EXACT_LIMIT = limit
        store.neighbours(DEFAULT_ORGANIZATION, model, queries[:8], NEIGHBOURS)
        began = time.perf_counter()
        found = store.neighbours(DEFAULT_ORGANIZATION, model, queries, NEIGHBOURS)
        batch = (time.perf_counter() - began) / len(queries)
        single = []
        for query in queries[:100]:
            began = time.perf_counter()
            store.neighbours(DEFAULT_ORGANIZATION, model, [query], NEIGHBOURS)
            single.append(time.perf_counter() - began)
        hits = [
            len({ids[row] for row in best} & {neighbour.content_id for neighbour in found[query]})
            for (query, _), best in zip(queries, truth, strict=True)
        ]
        result[way] = {
            "milliseconds_a_query_of_a_batch": round(1000 * batch, 2),
            "milliseconds_single_p50": round(1000 * median(single), 2),
            "milliseconds_single_p95": round(1000 * float(np.quantile(single, 0.95)), 2),
            "recall": round(sum(hits) / truth.size, 4),
        }
    return result


if __name__ == "__main__":
    main()
