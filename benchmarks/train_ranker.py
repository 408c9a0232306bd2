"""Train the shipped ranker weights.

    python -m benchmarks.train_ranker --data DIR [--out FILE]

DIR holds the labelled sets that may be redistributed with attribution, and nothing else is read:
kp_reviews (CC BY 4.0), kp_csl_zhtw and kp_csl_zhhans (Apache-2.0), kp_se_cooking, ml_se_cooking_train and
ml_so_titles_train (CC BY-SA), merge_stw_economics_clusters (ODbL 1.0), merge_en_zh_cs_clusters (MIT).

Each set is learned from twice where that makes sense: with an empty vocabulary, and with a vocabulary and
neighbours such as people's tags on the *other* texts would give. A third pass pretends that the machine's own
tags of the first pass are the vocabulary. None of the sets holds formal English prose, so the shape of its tags is
learned from what subject terms look like: terms of two thesauri against the phrases of the English sets, in
features of shape only. Logistic regression with an L2 penalty on the mean of the two style columns and on their
difference; weights stay on the side that their feature's `sign` states.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from benchmarks.keyphrases import (
    Labelled,
    build_embedder,
    build_tagger,
    inputs,
    people_vocabulary,
    read_set,
    stemmed,
)
from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.core.models import Neighbour, Origin, Tag, TaggerInput
from tagging_orchestration.core.tagging.features import FEATURE_NAMES, FEATURES
from tagging_orchestration.core.tagging.ranking import RankerWeights
from tagging_orchestration.core.vocabulary.index import TagVectors

DEFAULT_OUT = Path(__file__).parents[1] / "tagging_orchestration/core/tagging/ranker_weights.json"
UNTRAINED = RankerWeights("untrained", {}, {}, 0.0, 0.0)

# Style of each set: 0 formal prose, 1 conversation.
COLD_SETS = {"kp_csl_zhtw": 0.0, "kp_csl_zhhans": 0.0, "kp_reviews": 1.0, "kp_se_cooking": 1.0}
PEOPLE_SETS = {
    "kp_csl_zhtw": 0.0,
    "ml_se_cooking_train": 1.0,
    "ml_so_titles_train": 1.0,
}
TERM_SETS = ("merge_stw_economics_clusters", "merge_en_zh_cs_clusters")
ENGLISH_PARTS = (
    *("noun_phrase", "cut_left", "cut_right", "function_inside"),
    *("noun", "noun_in_phrase", "adjective", "verb"),
)
TERM_FEATURES = (
    *ENGLISH_PARTS,
    *("size_1", "size_2", "size_3", "size_4"),
    *("weak_first", "weak_last", "participle", "adjective_ending", "gerund"),
)
# Terms, and phrases that are none, weigh together as this many texts: enough to tell a noun phrase from its
# pieces, not enough to say how often people tag with phrases.
TERMS_WEIGHT = 14.0
TEXTS_A_SET = 1500
NEIGHBOURS = 10
MACHINE_TAGS_A_TEXT = 6
# Every set weighs as much as this many texts; penalties are in the same unit.
TEXTS_WEIGHT = 400.0
L2_MEAN = 1.0
L2_DIFFERENCE = 5.0
# Parts of speech are known of English only, so the formal column has nothing but the terms to learn them from.
L2_DIFFERENCE_OF_PARTS = 1.0
# Next to no Chinese conversation is among the sets, so what is said of Chinese alone holds in both styles; learned
# freely, a Chinese word in a ticket would be judged by how English conversation differs from Chinese prose.
# Likeness to the text is known only of English, where next to no formal prose is among the sets.
ONE_FOR_BOTH_STYLES = ("han", "similarity")
L2_ONE_FOR_BOTH = 10_000.0
# None of the sets holds formal prose with proper names (news). There the formal weights keep these priors: a name
# written as one is a better tag than the rest says, and a piece cut out of a name a worse one.
FORMAL_PRIOR = {"capitalised": 0.7, "ragged_name": -1.0}
# Policy, not evidence: what users of taggers ask for first is that existing tags in the text be reused.
AT_LEAST = {"matched": 1.0, "matched_inflected": 0.5}

COLUMN = {name: number for number, name in enumerate(FEATURE_NAMES)}


@dataclass(frozen=True, slots=True)
class Examples:
    """Candidates of one set: features (n, FEATURES), labels (n,), style (n,), text number (n,), names."""

    x: np.ndarray
    y: np.ndarray
    style: np.ndarray
    text: np.ndarray
    names: list[str]


def examples(
    rows: Sequence[Labelled],
    style: float,
    tags: Sequence[Tag] = (),
    items: Sequence[TaggerInput] | None = None,
    vectors: TagVectors | None = None,
    model: str = "",
    embedder: RoutedEmbedder | None = None,
) -> Examples:
    """Label every candidate of every text: 1 where people chose it."""
    tagger = build_tagger(rows, UNTRAINED, tags, vectors, model, embedder=embedder)
    weighed = tagger.weigh(items if items is not None else inputs(rows, embedder))
    features, labels, styles, numbers, names = [], [], [], [], []
    for number, (row, (_, entries)) in enumerate(zip(rows, weighed, strict=True)):
        gold = {stemmed(name) for name in row.gold}
        for entry in entries:
            vector = np.zeros(len(FEATURES), np.float32)
            for name, value in entry.features.items():
                vector[COLUMN[name]] = value
            features.append(vector)
            labels.append(stemmed(entry.candidate.name) in gold)
            styles.append(style)
            numbers.append(number)
            names.append(entry.candidate.name)
    return Examples(np.array(features), np.array(labels, float), np.array(styles), np.array(numbers), names)


def people_examples(rows: Sequence[Labelled], style: float, embedder: RoutedEmbedder | None) -> Examples:
    """The same beside people's tags: their vocabulary and, with an embedder, neighbours and tag vectors."""
    tags = people_vocabulary(rows)
    carried = []
    for row in rows:
        keys = dict.fromkeys(stemmed(name) for name in row.gold)
        carried.append(tuple((tags[key].id, 1.0, Origin.HUMAN) for key in keys if key in tags))
    return _surrounded(rows, style, list(tags.values()), carried, embedder)


def machine_examples(
    rows: Sequence[Labelled], style: float, weights: RankerWeights, embedder: RoutedEmbedder | None
) -> Examples:
    """The same beside the tags that the machine made for itself in a first pass without a vocabulary."""
    generated = build_tagger(rows, weights, embedder=embedder).tag(inputs(rows, embedder))
    chosen = [row.proposals[:MACHINE_TAGS_A_TEXT] for row in generated]
    uses = Counter(proposal.normal_form for proposals in chosen for proposal in proposals)
    names = {proposal.normal_form: proposal.name for proposals in chosen for proposal in proposals}
    tags = {
        form: Tag(number, "default", names[form], form, origin=Origin.MACHINE, usage_count=uses[form])
        for number, form in enumerate(sorted(form for form in uses if uses[form] >= 2), start=1)
    }
    carried = [
        tuple((tags[p.normal_form].id, p.confidence, Origin.MACHINE) for p in proposals if p.normal_form in tags)
        for proposals in chosen
    ]
    return _surrounded(rows, style, list(tags.values()), carried, embedder)


def _surrounded(
    rows: Sequence[Labelled],
    style: float,
    tags: list[Tag],
    carried: Sequence[tuple[tuple[int, float, Origin], ...]],
    embedder: RoutedEmbedder | None,
) -> Examples:
    """Examples beside these tags; `carried` says which of them each text has, as its neighbours see it."""
    if embedder is None:
        return examples(rows, style, tags)
    items = inputs(rows, embedder)
    model = items[0].model or ""
    vectors = np.stack([item.vector for item in items if item.vector is not None])
    tag_vectors = TagVectors(
        np.array([tag.id for tag in tags]), embedder.encode(model, [tag.name for tag in tags])
    )
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -1.0)
    surrounded = []
    for number, item in enumerate(items):
        nearest = np.argsort(-similarities[number], kind="stable")[:NEIGHBOURS]
        around = tuple(
            Neighbour(int(other), float(similarities[number, other]), carried[other]) for other in nearest
        )
        surrounded.append(replace(item, neighbours=around))
    return examples(rows, style, tags, surrounded, tag_vectors, model, embedder)


@dataclass(frozen=True, slots=True)
class Terms:
    """Shapes of names: features (n, FEATURES), those of shape only, and labels (n,): 1 for a subject term."""

    x: np.ndarray
    y: np.ndarray


def term_examples(terms: Sequence[str], phrases: Sequence[Examples]) -> Terms:
    """English subject terms, each judged as a text of its own, against all phrases of the English sets."""
    shape = np.zeros(len(FEATURES), np.float32)
    shape[[COLUMN[name] for name in TERM_FEATURES]] = 1
    rows = [Labelled(term, "", term, (term,)) for term in terms if term.isascii() and len(term) > 2]
    alone = examples(rows, 0.0)
    positive = alone.x[alone.y == 1] * shape
    negative = np.vstack([part.x for part in phrases]) * shape
    return Terms(np.vstack([positive, negative]), np.repeat([1.0, 0.0], [len(positive), len(negative)]))


def fit(sets: Sequence[Examples], terms: Terms) -> RankerWeights:
    """The penalised maximum-likelihood weights; deterministic.

    `terms` speak of the formal weights only, with a bias of their own.
    """
    x = np.vstack([examples.x for examples in sets]).astype(np.float64)
    y = np.concatenate([examples.y for examples in sets])
    style = np.concatenate([examples.style for examples in sets])[:, None]
    weight = np.concatenate([np.full(len(e.y), TEXTS_WEIGHT / len(np.unique(e.text))) for e in sets])
    count = x.shape[1]
    design = np.hstack([x * (1 - style), x * style, 1 - style, style, np.zeros((len(x), 1))])
    shapes = np.zeros((len(terms.x), design.shape[1]))
    shapes[:, :count], shapes[:, -1] = terms.x, 1
    design = np.vstack([design, shapes])
    share = np.where(terms.y == 1, 1 / terms.y.sum(), 1 / (1 - terms.y).sum())
    y, weight = np.concatenate([y, terms.y]), np.concatenate([weight, TERMS_WEIGHT / 2 * share])
    sides = [
        {1: (AT_LEAST.get(feature.name, 0), None), -1: (None, 0), 0: (None, None)}[feature.sign]
        for feature in FEATURES
    ]
    bounds = [*sides, *sides, *[(None, None)] * 3]

    start = np.array([low or 0.0 for low, _ in bounds])
    prior = np.array([FORMAL_PRIOR.get(name, 0.0) for name in FEATURE_NAMES])
    tied = prior == 0
    apart = np.full(count, L2_DIFFERENCE)
    apart[[COLUMN[name] for name in FEATURE_NAMES if name.startswith(ONE_FOR_BOTH_STYLES)]] = L2_ONE_FOR_BOTH
    apart[[COLUMN[name] for name in ENGLISH_PARTS]] = L2_DIFFERENCE_OF_PARTS

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = design @ b
        value = (weight * (np.logaddexp(0, z) - y * z)).sum()
        gradient = design.T @ (weight * (1 / (1 + np.exp(-z)) - y))
        formal, conversational = b[:count], b[count : 2 * count]
        mean = np.where(tied, (formal + conversational) / 2, formal - prior)
        difference = np.where(tied, formal - conversational, conversational)
        value += L2_MEAN / 2 * (mean @ mean) + (apart * difference) @ difference / 2
        gradient[:count] += np.where(tied, L2_MEAN * mean / 2 + apart * difference, L2_MEAN * mean)
        gradient[count : 2 * count] += np.where(tied, L2_MEAN * mean / 2 - apart * difference, apart * difference)
        return value, gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 400}).x.round(4)
    formal = {name: float(b) for name, b in zip(FEATURE_NAMES, found[:count], strict=True) if b}
    conversational = {name: float(b) for name, b in zip(FEATURE_NAMES, found[count:-3], strict=True) if b}
    biases = found[-3:-1].tolist()
    numbers = json.dumps([formal, conversational, *biases])
    version = hashlib.sha256(numbers.encode()).hexdigest()[:12]
    return RankerWeights(version, formal, conversational, *biases)


def train(data: Path) -> RankerWeights:
    """Read the sets, fit the first pass, fit all passes together and print what was learned."""
    embedder = build_embedder()

    def judge(rows: Sequence[Labelled]) -> RoutedEmbedder | None:
        return embedder if rows[0].text.isascii() else None

    cold = {name: read_set(data / f"{name}.jsonl", TEXTS_A_SET) for name in COLD_SETS}
    sets = {name: examples(cold[name], style, embedder=judge(cold[name])) for name, style in COLD_SETS.items()}
    names = [
        json.loads(line)["tag"]
        for name in TERM_SETS
        for line in (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    terms = term_examples(names, [sets[name] for name, style in COLD_SETS.items() if style])
    first_pass = fit(list(sets.values()), terms)
    for name, style in COLD_SETS.items():
        sets[f"{name}, own tags"] = machine_examples(cold[name], style, first_pass, judge(cold[name]))
    for name, style in PEOPLE_SETS.items():
        rows = read_set(data / f"{name}.jsonl", TEXTS_A_SET)
        sets[f"{name}, people's tags"] = people_examples(rows, style, judge(rows))
    weights = fit(list(sets.values()), terms)
    for name in FEATURE_NAMES:
        print(f"{name:20s} {weights.formal.get(name, 0):8.3f} {weights.conversational.get(name, 0):8.3f}")
    print(f"{'bias':20s} {weights.formal_bias:8.3f} {weights.conversational_bias:8.3f}")
    for name, part in sets.items():
        print(f"{name}: {len(np.unique(part.text))} texts, {len(part.y)} candidates, {int(part.y.sum())} chosen")
    return weights


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    weights = train(arguments.data)
    arguments.out.write_text(
        json.dumps(
            {
                "version": weights.version,
                "formal_bias": weights.formal_bias,
                "conversational_bias": weights.conversational_bias,
                "formal": weights.formal,
                "conversational": weights.conversational,
            },
            indent=1,
        )
        + "\n"
    )
    print(f"wrote {arguments.out} ({weights.version})")


if __name__ == "__main__":
    main()
