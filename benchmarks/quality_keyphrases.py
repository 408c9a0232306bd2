"""Measure free tags against what people chose, on labelled sets in a folder.

    python -m benchmarks.quality_keyphrases --data DIR [--limit 100] [--weights FILE] [--json FILE]

DIR holds kp_<set>.jsonl. Corpus statistics come from the texts themselves, the vocabulary is empty. Prints F1@5
and F1@10 (stemmed exact match, mean over texts) and texts a second of CPU; `--predictions` writes the tags for
other scorers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.keyphrases import build_tagger, f1_at, inputs, read_set
from tagging_orchestration.clients.ranker import load_ranker_weights
from tagging_orchestration.core.tagging.ranking import RankerWeights


def measure(path: Path, weights: RankerWeights, limit: int | None, predictions: Path | None) -> dict[str, float]:
    """Scores of one set."""
    rows = read_set(path, limit)
    tagger = build_tagger(rows, weights)
    items = inputs(rows)
    tagger.tag(items[:5])
    started = time.process_time()
    generated = tagger.tag(items)
    seconds = time.process_time() - started
    predicted = [[proposal.name for proposal in row.proposals] for row in generated]
    if predictions:
        lines = (
            json.dumps({"id": row.id, "tags": tags}, ensure_ascii=False)
            for row, tags in zip(rows, predicted, strict=True)
        )
        (predictions / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    scores = {
        f"f1@{k}": sum(f1_at(tags, row.gold, k) for row, tags in zip(rows, predicted, strict=True)) / len(rows)
        for k in (5, 10)
    }
    return {"texts": len(rows), **scores, "texts_per_second": len(rows) / max(seconds, 1e-9)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None, help="texts a set, evenly drawn")
    parser.add_argument("--weights", type=Path, default=None, help="ranker weights other than the shipped ones")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--predictions", type=Path, default=None, help="folder for predicted tags")
    arguments = parser.parse_args()
    weights = load_ranker_weights(arguments.weights)
    results = {}
    print(f"{'set':20s} {'texts':>6s} {'F1@5':>6s} {'F1@10':>6s} {'texts/s':>8s}")
    for path in sorted(arguments.data.glob("kp_*.jsonl")):
        name = path.stem.removeprefix("kp_")
        results[name] = scores = measure(path, weights, arguments.limit, arguments.predictions)
        print(
            f"{name:20s} {scores['texts']:6.0f} {scores['f1@5']:6.3f} {scores['f1@10']:6.3f} "
            f"{scores['texts_per_second']:8.0f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
