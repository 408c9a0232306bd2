"""Quality of the classifier on multi-label sets, beside TF-IDF with a linear SVM and k nearest neighbours.

    python -m benchmarks.quality.multilabel --data DIR [--sets NAME ...] [--without-vectors] [--json FILE]

DIR holds ml_<set>_train.jsonl and ml_<set>_test.jsonl, one {"id", "title"?, "text", "gold": [...]} a line. All
learn from the training half; the test half is only scored. Labels compare as exact strings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.core.tagging.calibration import expected_calibration_error
from tagging_orchestration.core.tagging.classifier.bases import TagProfile
from tagging_orchestration.core.tagging.classifier.model import Example
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText
from tagging_orchestration.core.tagging.classifier.training import train_classifier
from tagging_orchestration.settings import EmbeddingSettings

SETS = ("reuters", "so_titles", "se_cooking", "blog_poychang_zhtw")
RARE = 10
NEIGHBOURS = 10
# Share of the training half on which the baselines' one threshold is found.
TUNED_ON = 0.2


@dataclass(frozen=True, slots=True)
class Half:
    """Texts with people's tags."""

    texts: Sequence[ClassifierText]
    gold: Sequence[frozenset[str]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one system says of one text: tags it applies, and its ranking."""

    applied: frozenset[str]
    ranking: Sequence[str]


def read_half(path: Path) -> Half:
    """One half of a set."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return Half(
        [ClassifierText(row.get("title") or "", row["text"]) for row in rows],
        [frozenset(row["gold"]) for row in rows],
    )


def score(
    predictions: Sequence[Prediction], gold: Sequence[frozenset[str]], trained: Counter[str]
) -> dict[str, float]:
    """Micro F1; macro F1 over the tags of the test half, all and those with at most RARE training texts; P@1."""
    hits, alarms, misses = Counter[str](), Counter[str](), Counter[str]()
    first = 0
    for prediction, wanted in zip(predictions, gold, strict=True):
        hits.update(prediction.applied & wanted)
        alarms.update(prediction.applied - wanted)
        misses.update(wanted - prediction.applied)
        first += bool(prediction.ranking) and prediction.ranking[0] in wanted
    tags = sorted({tag for wanted in gold for tag in wanted})
    by_tag = {tag: _f1(hits[tag], alarms[tag], misses[tag]) for tag in tags}
    rare = [by_tag[tag] for tag in tags if 1 <= trained[tag] <= RARE]
    return {
        "micro_f1": _f1(hits.total(), alarms.total(), misses.total()),
        "macro_f1": sum(by_tag.values()) / len(tags),
        "rare_f1": sum(rare) / len(rare) if rare else float("nan"),
        "p_at_1": first / len(gold),
    }


def measure_set(data: Path, name: str, embedder: RoutedEmbedder | None) -> dict[str, Any]:
    """The classifier and both baselines on one set; seconds are of CPU, without the embedding."""
    language = LibraryLanguageTools()
    train, test = (read_half(data / f"ml_{name}_{half}.jsonl") for half in ("train", "test"))
    trained = Counter(tag for wanted in train.gold for tag in wanted)
    tags = sorted(trained)
    seen, asked = (_examples(half.texts, embedder) for half in (train, test))
    started = time.process_time()
    classifier = train_classifier(seen, train.gold, _profiles(tags, embedder), language)
    train_seconds = time.process_time() - started
    started = time.process_time()
    predicted = classifier.predict(asked)
    milliseconds = 1000 * (time.process_time() - started) / len(asked)
    judged = [(row, wanted) for rows, wanted in zip(predicted, test.gold, strict=True) for row in rows]
    predictions = [
        Prediction(frozenset(row.tag for row in rows if row.applied), [row.tag for row in rows])
        for rows in predicted
    ]
    return {
        "texts": len(train.texts),
        "tags": len(tags),
        "vectors": embedder is not None,
        "classifier": score(predictions, test.gold, trained)
        | {
            "ece": expected_calibration_error(
                [row.probability for row, _ in judged], [row.tag in wanted for row, wanted in judged]
            ),
            "train_seconds": train_seconds,
            "milliseconds_a_text": milliseconds,
            "megabytes": len(classifier.to_bytes()) / 1e6,
        },
        "TF-IDF + LinearSVC": score(_linear_baseline(train, test, tags, language), test.gold, trained),
        "TF-IDF kNN": score(_neighbour_baseline(train, test, tags, language), test.gold, trained),
    }


def measure(data: Path, sets: Sequence[str] = SETS, *, vectors: bool = True) -> dict[str, Any]:
    """Every multi-label set found below `data`, with its baselines; a set that is not there is left out."""
    language = LibraryLanguageTools()
    embedder = RoutedEmbedder(EmbeddingSettings(), fold=language.to_simplified) if vectors else None
    return {
        name: measure_set(data, name, embedder) for name in sets if (data / f"ml_{name}_train.jsonl").is_file()
    }


def _examples(texts: Sequence[ClassifierText], embedder: RoutedEmbedder | None) -> list[Example]:
    if embedder is None:
        return [Example(text) for text in texts]
    whole = [f"{text.title}\n{text.body}".strip() for text in texts]
    models = [embedder.model_for(text) for text in whole]
    vectors: dict[int, np.ndarray] = {}
    for model in sorted(set(models)):
        rows = [row for row, other in enumerate(models) if other == model]
        encoded = embedder.encode(model, [whole[row] for row in rows])
        vectors |= dict(zip(rows, encoded, strict=True))
    return [Example(text, vectors[row], models[row]) for row, text in enumerate(texts)]


def _profiles(tags: Sequence[str], embedder: RoutedEmbedder | None) -> list[TagProfile]:
    """The tags by name; each model that can judge a text gets the names it can judge."""
    if embedder is None:
        return [TagProfile(tag, (tag,), {}) for tag in tags]
    names = [tag.replace("-", " ") for tag in tags]
    models = {embedder.model_for(name) for name in names}
    vectors = {model: embedder.encode(model, names) for model in models}
    return [
        TagProfile(tag, (tag,), {model: vectors[model][row] for model in (embedder.model_for(names[row]),)})
        for row, tag in enumerate(tags)
    ]


def _linear_baseline(
    train: Half, test: Half, tags: Sequence[str], language: LibraryLanguageTools
) -> list[Prediction]:
    """Word TF-IDF, one LinearSVC a tag, one threshold for all from a part of the training half."""
    from sklearn.svm import LinearSVC

    def scores(known: Any, labels: np.ndarray, unknown: Any) -> np.ndarray:
        columns = [
            LinearSVC(random_state=0).fit(known, labels[:, tag]).decision_function(unknown)
            if 0 < labels[:, tag].sum() < len(labels)
            else np.full(unknown.shape[0], -1.0)
            for tag in range(len(tags))
        ]
        return np.stack(columns, axis=1)

    return _baseline(train, test, tags, language, scores)


def _neighbour_baseline(
    train: Half, test: Half, tags: Sequence[str], language: LibraryLanguageTools
) -> list[Prediction]:
    """Votes of the nearest training texts by the cosine of word TF-IDF."""

    def scores(known: Any, labels: np.ndarray, unknown: Any) -> np.ndarray:
        votes = np.zeros((unknown.shape[0], len(tags)))
        for start in range(0, unknown.shape[0], 256):
            similar = (unknown[start : start + 256] @ known.T).toarray()
            nearest = np.argpartition(-similar, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            weights = np.take_along_axis(similar, nearest, axis=1)
            votes[start : start + 256] = np.einsum("rk,rkt->rt", weights, labels[nearest])
        return votes

    return _baseline(train, test, tags, language, scores)


def _baseline(
    train: Half, test: Half, tags: Sequence[str], language: LibraryLanguageTools, scores: Any
) -> list[Prediction]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyzer: Any = partial(_words, language=language)
    vectorizer = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True, min_df=2)
    known = vectorizer.fit_transform(train.texts)
    labels = np.array([[tag in wanted for tag in tags] for wanted in train.gold], dtype=np.float32)
    tuned = np.random.RandomState(0).rand(len(labels)) < TUNED_ON
    held = scores(known[~tuned], labels[~tuned], known[tuned])
    order = np.argsort(-held, axis=None)
    hits = np.cumsum(labels[tuned].ravel()[order])
    best = int((2 * hits / (np.arange(1, len(order) + 1) + hits[-1])).argmax())
    threshold = held.ravel()[order[best]]
    found = scores(known, labels, vectorizer.transform(test.texts))
    return [
        Prediction(
            frozenset(tags[int(tag)] for tag in np.flatnonzero(row >= threshold)),
            [tags[int(row.argmax())]],
        )
        for row in found
    ]


def _words(text: ClassifierText, language: LibraryLanguageTools) -> list[str]:
    """Lower-case words and pairs of them, Chinese by the segmenter."""
    joined = f"{text.title} {text.body}"
    if language.detect(joined).startswith("zh"):
        words = [word for word, _, _ in language.segment(joined) if word.strip()]
    else:
        words = [word.strip(".,:;!?\"'()[]<>") for word in joined.split()]
    words = [word.lower() for word in words if word]
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def _f1(hits: int, alarms: int, misses: int) -> float:
    return 2 * hits / (2 * hits + alarms + misses) if hits else 0.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--without-vectors", action="store_true")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    results = {}
    print(f"{'set':20s} {'system':20s} {'micro':>6s} {'macro':>6s} {'rare':>6s} {'P@1':>6s}")
    for name in arguments.sets:
        results |= measure(arguments.data, [name], vectors=not arguments.without_vectors)
        for system, row in results.get(name, {}).items():
            if isinstance(row, dict):
                figures = " ".join(f"{row[key]:6.3f}" for key in ("micro_f1", "macro_f1", "rare_f1", "p_at_1"))
                more = (
                    f"  ECE {row['ece']:.3f}, trained in {row['train_seconds']:.0f} s, "
                    f"{row['milliseconds_a_text']:.1f} ms a text, {row['megabytes']:.1f} MB"
                    if "ece" in row
                    else ""
                )
                print(f"{name:20s} {system:20s} {figures}{more}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
