"""Train the shipped pair model of vocabulary merging.

    python -m benchmarks.train_merge --data DIR [--out FILE]

DIR holds the sets that may be redistributed with attribution, and nothing else is read: merge_github_topics (CC
BY 4.0), merge_stw_economics (ODbL 1.0), merge_zh_tw_cn (Apache-2.0), merge_en_zh_cs (MIT) for the names;
ml_so_titles_train and ml_se_cooking_train (CC BY-SA) for the use.

Every set weighs the same. Two ways of holding out say what the model is worth: `folds` keeps a fifth of the
*clusters* of a set away from the trees that judge it, `sets` a whole set, as a vocabulary of another domain would
be. Calibration is fitted on both. Nobody labelled how synonyms are used, so the weights of use are learned from
tags cut in two: the halves of one tag are one, a tag and its likest other are two.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.quality.merging import SETS, pair_scores, read_set, vocabulary_of
from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.core.vocabulary.clusters import AverageLink
from tagging_orchestration.core.vocabulary.pair_model import PairModel, probability
from tagging_orchestration.core.vocabulary.pairs import FEATURES, NameTable, candidate_pairs, pair_features
from tagging_orchestration.core.vocabulary.usage import MIN_USES, USAGE_FEATURES, CoUsage, UsageProfiles
from tagging_orchestration.settings import EmbeddingSettings

DEFAULT_OUT = Path(__file__).parents[1] / "tagging_orchestration/core/vocabulary/pair_model.json"
FOLDS = 5
# Clusters of a small vocabulary.
SMALL = 40
DIGITS = 5
# Every set weighs as much as so many pairs.
PAIRS_WEIGHT = 10_000.0
# Twice the leaves reach .82 F1 on the topics they learned from instead of .78, and lose on clusters held out: a
# recall of .25 instead of .35 at the precision of .95 that merging unasked needs.
SHAPE = {
    "max_iter": 300,
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 20,
    "l2_regularization": 5.0,
    "early_stopping": False,
}
# More of these never lowers, and never raises, the chance that two tags are one.
RISING = frozenset(
    [
        "edit",
        "jaro",
        "prefix",
        "ordered_words",
        "word_sets",
        "partial",
        "letters",
        "letters_margin",
        "meaning",
        "meaning_margin",
        "meaning_scaled",
        "words_shared",
        "words_alike",
        "same_key",
        "same_english",
        "same_words",
        "same_without_numbers",
        "abbreviation",
        "bracketed",
        "sound",
        "characters_shared",
    ]
)
FALLING = frozenset(["letters_rank", "meaning_rank", "numbers_differ", "negation"])
SIGNS = [1 if name in RISING else -1 if name in FALLING else 0 for name in FEATURES]
USAGE_SETS = ("ml_so_titles_train", "ml_se_cooking_train")
# Share of the contents of a tag cut in two that carry both halves: people sometimes write both synonyms.
BOTH = 0.05
# Weight of each class of each set against the penalty on the weights.
USAGE_WEIGHT = 100.0

Examples = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs of one set: places of both ends, features, labels, and the gold cluster of every name."""

    first: np.ndarray
    second: np.ndarray
    x: np.ndarray
    clusters: np.ndarray

    @property
    def y(self) -> np.ndarray:
        """Whether the two are one."""
        return self.clusters[self.first] == self.clusters[self.second]

    def without(self, clusters: np.ndarray) -> Examples:
        """Features and labels of the pairs without an end in these clusters."""
        kept = ~np.isin(self.clusters, clusters)
        rows = kept[self.first] & kept[self.second]
        return self.x[rows], self.y[rows]


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One set as one vocabulary, which is what is judged, and cut into small ones, to learn from as well: in a
    small vocabulary every tag has fewer and farther neighbours."""

    whole: Pairs
    small: Sequence[Pairs]

    def examples(self, without: np.ndarray | None = None) -> list[Examples]:
        """What to learn from, clusters held out left out: the whole and the small ones."""
        held_out = np.array([], dtype=int) if without is None else without
        small = [pairs.without(held_out) for pairs in self.small]
        joined = np.concatenate([x for x, _ in small]), np.concatenate([y for _, y in small])
        return [self.whole.without(held_out), joined]


def load(data: Path, name: str, embedder: RoutedEmbedder, language: LibraryLanguageTools) -> LabelledSet:
    """A set whole and cut by clusters, its candidate pairs found and described as the pipeline does."""
    merge_set = read_set(data, name)
    vocabulary, _ = vocabulary_of(list(merge_set.cluster_of), embedder, language)
    tags = list(vocabulary.active())
    clusters = np.array([merge_set.cluster_of[tag.name] for tag in tags])
    part_of = np.random.default_rng(1).integers(0, max(clusters.max() // SMALL, 1), clusters.max() + 1)[clusters]

    def described(places: np.ndarray) -> Pairs:
        names = NameTable([tags[place] for place in places], vocabulary.vectors, language)
        first, second = candidate_pairs(names)
        return Pairs(first, second, pair_features(names, first, second), clusters[places])

    parts = [np.flatnonzero(part_of == part) for part in range(part_of.max() + 1)]
    return LabelledSet(described(np.arange(len(tags))), [described(places) for places in parts if len(places) > 1])


def fit(parts: Sequence[Examples]) -> HistGradientBoostingClassifier:
    """Trees over the pairs of several sets."""
    x, y = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    weight = np.concatenate([np.full(len(part[1]), PAIRS_WEIGHT / len(part[1])) for part in parts])
    # A feature nobody knows here (the sound, without a Chinese set) must be something for the binning.
    x = np.where(np.isnan(x).all(axis=0), 0, x)
    trees = HistGradientBoostingClassifier(**SHAPE, monotonic_cst=SIGNS, random_state=0)
    return trees.fit(x, y, sample_weight=weight)


def by_folds(name: str, sets: Mapping[str, LabelledSet]) -> np.ndarray:
    """Log-odds of a set's pairs from trees that saw neither end's cluster, or only one of them."""
    pairs = sets[name].whole
    others = [part for key, other in sets.items() if key != name for part in other.examples()]
    # Spread by a fixed stream, so that neighbouring clusters do not share a fold.
    fold_of = np.random.default_rng(0).integers(0, FOLDS, pairs.clusters.max() + 1)
    odds = []
    for fold in range(FOLDS):
        trees = fit([*others, *sets[name].examples(np.flatnonzero(fold_of == fold))])
        odds.append(trees.decision_function(pairs.x))
    table, rows = np.array(odds), np.arange(len(pairs.first))
    ours, theirs = fold_of[pairs.clusters[pairs.first]], fold_of[pairs.clusters[pairs.second]]
    return (table[ours, rows] + table[theirs, rows]) / 2


def by_sets(name: str, sets: Mapping[str, LabelledSet]) -> np.ndarray:
    """Log-odds of a set's pairs from trees that never saw the set."""
    trees = fit([part for key, other in sets.items() if key != name for part in other.examples()])
    return trees.decision_function(sets[name].whole.x)


def calibrate(odds: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[float, float]:
    """Slope and offset that turn held-out log-odds into calibrated ones, every part weighing the same."""
    weight = np.concatenate([np.full(len(part), 1 / len(part)) for part in labels])
    model = LogisticRegression(C=1e6).fit(np.concatenate(odds)[:, None], np.concatenate(labels), weight * 10_000)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def clustered(pairs: Pairs, likeness: np.ndarray, least: float) -> dict[str, float]:
    """Pairwise scores of average-link clusters."""
    linked = AverageLink(len(pairs.clusters), pairs.first, pairs.second, likeness, ())
    linked.join(least)
    group_of = np.empty(len(pairs.clusters), dtype=int)
    for number, group in enumerate(linked.groups()):
        group_of[group] = number
    return pair_scores(pairs.clusters.tolist(), group_of.tolist())


def calibration_error(chance: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal width."""
    bins = np.minimum((chance * 10).astype(int), 9)
    gaps = [
        abs(chance[bins == b].mean() - labels[bins == b].mean()) * np.mean(bins == b) for b in set(bins.tolist())
    ]
    return float(sum(gaps))


# -------------------------------------------------------------------------------------------------------- use


def usage_examples(data: Path, name: str, embedder: RoutedEmbedder) -> tuple[list[dict[str, float]], list[bool]]:
    """Features of the use of halves of one tag (one) and of a tag's half and its likest other tag (two)."""
    rows = [json.loads(line) for line in (data / f"{name}.jsonl").read_text("utf-8").splitlines()]
    random = np.random.default_rng(0)
    halves: dict[tuple[str, int], int] = {}
    carried: list[set[int]] = []
    for row in rows:
        ids = set()
        for tag in row.get("all_tags") or row["gold"]:
            sides = (0, 1) if random.random() < BOTH else (int(random.integers(2)),)
            ids |= {halves.setdefault((tag, side), len(halves)) for side in sides}
        carried.append(ids)
    texts = [f"{row.get('title') or ''}\n{row.get('text') or ''}".strip() for row in rows]
    vectors = embedder.encode(embedder.model_for("plain English words"), texts)
    members: dict[int, list[int]] = defaultdict(list)
    for place, ids in enumerate(carried):
        for half in ids:
            members[half].append(place)
    together = Counter(pair for ids in carried for pair in combinations(sorted(ids), 2))
    usage = CoUsage(
        {half: len(places) for half, places in members.items()},
        together,
        {half: vectors[places].mean(axis=0) for half, places in members.items() if len(places) >= MIN_USES},
    )
    profiles = UsageProfiles(usage)
    examples, labels = [], []
    for (tag, side), half in halves.items():
        twin = halves.get((tag, 1 - side))
        # The likest others in use are the ones that a model of names could take for the same.
        rivals = sorted(
            (key for (other, _), key in halves.items() if other != tag),
            key=lambda key: -(profiles.centre(half, key) or -1.0),
        )[:3]
        for other, same in [(twin, True)] * (side == 0) + [(rival, False) for rival in rivals]:
            features = {} if other is None else profiles.features(half, other)
            if features:
                examples.append(features)
                labels.append(same)
    return examples, labels


def usage_weights(data: Path, embedder: RoutedEmbedder) -> dict[str, float]:
    """What use adds to the log-odds: a logistic regression on balanced classes without a base rate.

    Each example counts three times, with all that is known, and with one of the two likenesses unknown; likeness
    never speaks against a pair, nor meeting for it.
    """
    x, y, weight = [], [], []
    for name in USAGE_SETS:
        examples, labels = usage_examples(data, name, embedder)
        share = {same: labels.count(same) for same in (True, False)}
        for example, label in zip(examples, labels, strict=True):
            for unknown in ("", "context", "centre"):
                row = [0.0 if unknown and f.startswith(unknown) else example.get(f, 0.0) for f in USAGE_FEATURES]
                x.append(row)
                y.append(1.0 if label else -1.0)
                weight.append(USAGE_WEIGHT / share[label])
    table, side, each = np.array(x), np.array(y), np.array(weight)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = side * (table @ weights)
        slope = -side * each / (1 + np.exp(margin))
        return float(each @ np.logaddexp(0, -margin) + weights @ weights / 2), table.T @ slope + weights

    bounds = [
        (None, 0) if f == "together" else (None, None) if f.endswith("known") else (0, None)
        for f in USAGE_FEATURES
    ]
    found = minimize(loss, np.zeros(len(USAGE_FEATURES)), jac=True, method="L-BFGS-B", bounds=bounds)
    return {name: round(float(value), DIGITS) for name, value in zip(USAGE_FEATURES, found.x, strict=True)}


# -------------------------------------------------------------------------------------------------- writing


def as_json(trees: HistGradientBoostingClassifier) -> list[dict[str, Any]]:
    """The trees as arrays over their nodes."""
    found = []
    for (predictor,) in trees._predictors:
        nodes = predictor.nodes
        inner = nodes["is_leaf"] == 0
        found.append(
            {
                "feature": np.where(inner, nodes["feature_idx"].astype(int), -1).tolist(),
                # In full: many thresholds are values of the data, and a rounded one would send them the other way.
                "threshold": [
                    float(str(t)) for t in np.where(inner, nodes["num_threshold"], 0).astype(np.float32)
                ],
                "unknown_left": nodes["missing_go_to_left"].astype(int).tolist(),
                "left": nodes["left"].astype(int).tolist(),
                "right": nodes["right"].astype(int).tolist(),
                "value": [round(float(value), DIGITS) for value in np.where(inner, 0, nodes["value"])],
            }
        )
    return found


def main() -> None:
    """Train, print what held-out pairs say, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    language = LibraryLanguageTools()
    embedder = RoutedEmbedder(EmbeddingSettings(), fold=language.to_simplified)
    sets = {name: load(arguments.data, name, embedder, language) for name in SETS}
    held_out = {name: {"folds": by_folds(name, sets), "sets": by_sets(name, sets)} for name in sets}
    slope, offset = calibrate(
        [odds for name in sets for odds in held_out[name].values()],
        [sets[name].whole.y for name in sets for _ in held_out[name]],
    )
    for name, labelled in sets.items():
        pairs = labelled.whole
        for way, odds in held_out[name].items():
            chance = probability(slope * odds + offset)
            error = calibration_error(chance, pairs.y)
            for least in (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9):
                scores = clustered(pairs, chance, least)
                print(
                    f"{name:14s} {way:6s} ece {error:.3f} at {least:.2f}:"
                    f" P {scores['precision']:.3f} R {scores['recall']:.3f} F1 {scores['f1']:.3f}"
                )
    trees = fit([part for labelled in sets.values() for part in labelled.examples()])
    model = {
        "features": list(FEATURES),
        "base": float(np.ravel(trees._baseline_prediction)[0]),
        "slope": round(slope, DIGITS),
        "offset": round(offset, DIGITS),
        "usage": usage_weights(arguments.data, embedder),
        "trees": as_json(trees),
    }
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()[:12]
    model = {"version": f"pairs-{digest}", **model}
    for labelled in sets.values():
        ours = PairModel.from_mapping(model, "trained").log_odds(labelled.whole.x)
        theirs = slope * trees.decision_function(labelled.whole.x) + offset
        # Pairs that the written model gives up early need only stay low.
        worth = probability(theirs) > 0.1
        assert np.abs(ours - theirs)[worth].max() < 0.02, "the written trees are not the trained ones"
    arguments.out.write_text(json.dumps(model, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"wrote {model['version']} to {arguments.out}; use weighs {model['usage']}")


if __name__ == "__main__":
    main()
