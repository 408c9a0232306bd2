"""Free tags: the pipeline's tagger beside open-source ones, on texts with tags that people chose.

    python -m benchmarks.quality.free_tags --data DIR [--limit N] [--sets NAME ...] [--json FILE]

DIR holds kp_<set>.jsonl, one {"id", "title"?, "text", "gold"} a line. Every tagger sees the same texts; what is
common is counted in these texts, never in their tags. "adapted" learned from 200 other texts of the set and their
tags. The baselines need the `bench` extra.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.keyphrases import (
    LANGUAGE,
    NORMALISER,
    Labelled,
    build_embedder,
    f1_at,
    read_set,
    stemmed,
    stemmed_list,
)
from benchmarks.quality.baselines import CHINESE, ENGLISH, TOO_SLOW_FOR_PAPERS, soft_f1
from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.ranker import load_ranker_weights
from tagging_orchestration.core.engine import Models
from tagging_orchestration.core.models import Assignment
from tagging_orchestration.core.tagging.calibration import expected_calibration_error
from tagging_orchestration.core.tagging.corpus_tagger import CorpusTagger, Text
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.scripts import has_han

LIMIT = 100
LABELLED = 200
OURS, ADAPTED = "this project", "this project, adapted"


def measure(data: Path, limit: int = LIMIT, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Scores of every tagger on every set below `data`, at most `limit` texts each."""
    embedder = build_embedder()
    results = {}
    for path in sorted(data.glob("kp_*.jsonl")):
        name = path.stem.removeprefix("kp_")
        if not sets or name in sets:
            results[name] = measure_set(path, limit, embedder)
            for tagger, scores in results[name].items():
                print(
                    f"{name:15s} {tagger:22s} F1@5 {scores['f1_at_5']:.3f}  F1@10 {scores['f1_at_10']:.3f}  "
                    f"soft {scores['soft']:.3f}  {scores['seconds_a_thousand']:6.0f} s/1,000",
                    flush=True,
                )
    return results


def measure_set(path: Path, limit: int, embedder: RoutedEmbedder) -> dict[str, dict[str, float]]:
    """One set: ours, ours adapted with other texts' labels, and the baselines."""
    everything = read_set(path)
    rows = read_set(path, limit)
    asked = {row.id for row in rows}
    others = [row for row in everything if row.id not in asked][:LABELLED]
    papers = sum(len(row.text) for row in rows) > 10_000 * len(rows)
    results = {OURS: _score_ours(rows, [], embedder)}
    if len(others) == LABELLED:
        results[ADAPTED] = _score_ours(rows, others, embedder)
    for name, tagger in (CHINESE if has_han(rows[0].text[:200]) else ENGLISH).items():
        if not (papers and name in TOO_SLOW_FOR_PAPERS):
            results[name] = _score(rows, tagger)
    return results


def _score_ours(
    rows: Sequence[Labelled], labelled: Sequence[Labelled], embedder: RoutedEmbedder
) -> dict[str, float]:
    models = Models(embedder=embedder, language=LANGUAGE, rules=RuleSet(), ranker=load_ranker_weights())
    tagger = CorpusTagger(models, NORMALISER)
    started = time.process_time()
    tagger.fit([Text(row.id, row.title, row.text, row.gold) for row in labelled])
    fitted = time.process_time()
    assigned = tagger.tag([Text(row.id, row.title, row.text) for row in rows])
    seconds = time.process_time() - fitted
    pairs = [
        (assignment.confidence, stemmed(assignment.name) in set(stemmed_list(row.gold)))
        for row, assignments in zip(rows, assigned, strict=True)
        for assignment in assignments
    ]
    return _scores(rows, [_names(assignments) for assignments in assigned], seconds) | {
        "ece": expected_calibration_error([p for p, _ in pairs], [hit for _, hit in pairs]),
        "fit_seconds": fitted - started,
    }


def _score(rows: Sequence[Labelled], tagger: Callable[[Sequence[Labelled]], list[list[str]]]) -> dict[str, float]:
    tagger(rows[:2])
    started = time.process_time()
    predicted = tagger(rows)
    return _scores(rows, predicted, time.process_time() - started)


def _scores(rows: Sequence[Labelled], predicted: Sequence[Sequence[str]], seconds: float) -> dict[str, float]:
    count = len(rows)
    pairs = list(zip(predicted, rows, strict=True))
    return {
        "texts": count,
        "f1_at_5": sum(f1_at(tags, row.gold, 5) for tags, row in pairs) / count,
        "f1_at_10": sum(f1_at(tags, row.gold, 10) for tags, row in pairs) / count,
        "soft": sum(soft_f1(tags, row.gold) for tags, row in pairs) / count,
        "tags_a_text": sum(map(len, predicted)) / count,
        "seconds_a_thousand": 1000 * seconds / count,
    }


def _names(assignments: Sequence[Assignment]) -> list[str]:
    return [assignment.name for assignment in assignments]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=LIMIT, help="texts a set, evenly drawn")
    parser.add_argument("--sets", nargs="*", default=[])
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    results = measure(arguments.data, arguments.limit, arguments.sets)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
