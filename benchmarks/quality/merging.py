"""Quality of vocabulary merging on labelled sets of synonymous tags, beside average link over MiniLM vectors.

    python -m benchmarks.quality.merging --data DIR

The shipped pair model was trained on these very sets: its figures here are those of known ground. What it is
worth on clusters and domains it never saw is printed by benchmarks/train_merge.py, which holds them out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.clients.pair_model import load_pair_model
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.clusters import AverageLink
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.listed import ListedTag, cluster_names, vocabulary_of_names
from tagging_orchestration.core.vocabulary.merge import Matcher
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.settings import EmbeddingSettings

SETS = ("github_topics", "stw_economics", "zh_tw_cn", "en_zh_cs")
WITHOUT_WORDINGS = "zh_tw_cn"
# Cosine at which average link over MiniLM vectors scores best over the English sets together.
BASELINE_COSINE = 0.65


@dataclass(frozen=True, slots=True)
class MergeSet:
    """Gold: the cluster of each tag, and pairs of related tags that are two."""

    cluster_of: Mapping[str, int]
    related: Sequence[tuple[str, str]]


class NoWordings(LibraryLanguageTools):
    """Language knowledge without the dictionaries of Taiwan's and the mainland's words."""

    def to_mainland(self, text: str) -> str:
        """Characters only."""
        return self.to_simplified(text)

    def to_taiwan(self, text: str) -> str:
        """Characters only."""
        return self.to_traditional(text)


def read_set(data: Path, name: str) -> MergeSet:
    """One labelled set below `data`."""
    clusters = _rows(data / f"merge_{name}_clusters.jsonl")
    pairs = _rows(data / f"merge_{name}_pairs.jsonl")
    return MergeSet(
        {row["tag"]: int(row["cluster"]) for row in clusters},
        [(row["a"], row["b"]) for row in pairs if row["kind"] == "related"],
    )


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]


def vocabulary_of(
    names: Sequence[str], embedder: RoutedEmbedder, language: LibraryLanguageTools
) -> tuple[Vocabulary, list[int]]:
    """The names as the vocabulary of a database would hold them, and the tag id of each."""
    return vocabulary_of_names(names, embedder, Normaliser(language))


def pair_scores(gold: Sequence[Hashable], found: Sequence[Hashable]) -> dict[str, float]:
    """Precision, recall and F1 over all pairs of tags, from the gold and the found cluster of each."""

    def pairs(counts: Counter[Any]) -> int:
        return sum(count * (count - 1) // 2 for count in counts.values())

    right = pairs(Counter(zip(gold, found, strict=True)))
    wanted, made = pairs(Counter(gold)), pairs(Counter(found))
    precision, recall = right / made if made else 1.0, right / wanted if wanted else 1.0
    total = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / total if total else 0.0}


def false_merge_rate(found: Mapping[str, Hashable], related: Sequence[tuple[str, str]]) -> float | None:
    """Share of related pairs in one cluster; None for a set without such pairs."""
    return sum(found[one] == found[other] for one, other in related) / len(related) if related else None


def _scores(merge_set: MergeSet, found: Mapping[str, Hashable]) -> dict[str, Any]:
    names = list(merge_set.cluster_of)
    scores = pair_scores([merge_set.cluster_of[name] for name in names], [found[name] for name in names])
    return scores | {"false_merges_of_related": false_merge_rate(found, merge_set.related)}


def measure_set(merge_set: MergeSet, embedder: RoutedEmbedder, language: LibraryLanguageTools) -> dict[str, Any]:
    """All clusters, and those that would be made without a person, with CPU seconds (encoding included)."""
    names = list(merge_set.cluster_of)
    started = time.process_time()
    placed = cluster_names(
        [ListedTag(name) for name in names],
        embedder,
        Normaliser(language),
        VocabularySettings(),
        Matcher(load_pair_model(), language),
    )
    seconds = time.process_time() - started
    everything = {name: place.cluster for name, place in zip(names, placed, strict=True)}
    automatic = {
        name: place.cluster if place.automatic else f"alone {name}"
        for name, place in zip(names, placed, strict=True)
    }
    return {
        "clusters": _scores(merge_set, everything),
        "automatic": _scores(merge_set, automatic),
        "cpu_seconds": round(seconds, 2),
    }


def measure_baseline(
    merge_set: MergeSet, embedder: RoutedEmbedder, language: LibraryLanguageTools
) -> dict[str, Any]:
    """Average link over the cosine of name vectors, every pair of tags compared."""
    names = list(merge_set.cluster_of)
    vectors = embedder.encode(embedder.model_for("plain English words"), names)
    table = vectors @ vectors.T
    first, second = np.nonzero(np.triu(table > 0, 1))
    linked = AverageLink(len(names), first, second, table[first, second], ())
    linked.join(BASELINE_COSINE)
    found = {names[place]: number for number, group in enumerate(linked.groups()) for place in group}
    return _scores(merge_set, found)


def measure(data: Path) -> dict[str, Any]:
    """Every merge set found below `data`, with its baseline; a set that is not there is left out."""
    language = LibraryLanguageTools()
    embedder = RoutedEmbedder(EmbeddingSettings(), fold=language.to_simplified)
    report: dict[str, Any] = {"model": load_pair_model().version, "sets": {}}
    for name in SETS:
        if not (data / f"merge_{name}_clusters.jsonl").is_file():
            continue
        merge_set = read_set(data, name)
        report["sets"][name] = measure_set(merge_set, embedder, language) | {
            "MiniLM average-link": measure_baseline(merge_set, embedder, language)
        }
        if name == WITHOUT_WORDINGS:
            report["sets"][f"{name} without OpenCC phrases"] = measure_set(merge_set, embedder, NoWordings())
    return report


def main() -> None:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    print(json.dumps(measure(parser.parse_args().data), indent=2))


if __name__ == "__main__":
    main()
