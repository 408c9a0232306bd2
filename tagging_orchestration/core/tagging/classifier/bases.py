"""The base models: each gives every tag a score for a text, from one kind of evidence.

Words, vectors, nearest examples, the mean of a tag's examples, and the tag's name, each by itself. The stacker
weighs them against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.tagging.classifier.names import NameFinder, unit_rarity
from tagging_orchestration.core.tagging.classifier.texts import (
    ClassifierText,
    Sparse,
    TfIdf,
    UnitReader,
    Units,
)

NEIGHBOURS = 20
# As much as 20 examples of similarity .05.
NOBODY = 0.05
# Strongest terms an example is compared by, so that models of long texts stay small. On questions the votes alone
# had micro F1 .487 with all terms, .475 with these and .405 with 80.
NEIGHBOUR_TERMS = 320
# Cross-validated on Stack Overflow titles, cooking questions and a Chinese blog; 1 overfits short texts.
SVM_PENALTY = 0.3
# Tags that have one, the most used: the others' few examples speak through the remaining models.
MOST_SVMS = 1_000
# Weights of each that are kept, the largest.
KEPT_WEIGHTS = 2_000
RIDGE_PENALTY = 1.0
# A tag's name counts in its prototype as much as so many examples.
NAME_EXAMPLES = 3
# Smooths the share of a name's finds that were right towards that of all names.
RELIABILITY_PRIOR = 3


@dataclass(frozen=True, slots=True)
class TagProfile:
    """What is known of a tag beside its examples: `names` are its name and its aliases, the name first.

    `key` is what callers call it by. `vectors` are unit vectors of its name and description by model.
    """

    key: str
    names: tuple[str, ...]
    vectors: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text ready for the base models: its units, and its unit vector with the model that made it."""

    units: Units
    vector: np.ndarray | None
    model: str


@dataclass(frozen=True, slots=True)
class Linear:
    """Scores `rows @ weights + biases`; weights are (width, tags), sparse or dense."""

    weights: Sparse | np.ndarray
    biases: np.ndarray

    def scores(self, rows: Sparse | np.ndarray) -> np.ndarray:
        """float32 (rows, tags)."""
        product = rows @ self.weights
        dense = product if isinstance(product, np.ndarray) else product.toarray()
        return np.asarray(dense + self.biases, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Space:
    """What was learned in the vector space of one model.

    `examples` are unit vectors (examples, dimension) with their `labels` (examples, tags). `names` are the tags'
    own vectors, zero rows where a tag has none, and `name_mean` and `name_spread` how similar texts are to them.
    """

    centre: np.ndarray
    linear: Linear
    prototypes: np.ndarray
    examples: np.ndarray
    labels: Sparse
    names: np.ndarray
    name_mean: np.ndarray
    name_spread: np.ndarray

    def scores(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """Scores by signal; see `SIGNALS`."""
        votes, nearest = vote(vectors @ self.examples.T, self.labels)
        to_names = vectors @ self.names.T
        return {
            "vector": self.linear.scores(vectors),
            "vector_neighbours": votes,
            "vector_nearest": nearest,
            "prototype": _unit(vectors - self.centre) @ self.prototypes.T,
            "name_vector": to_names,
            "name_vector_relative": (to_names - self.name_mean) / self.name_spread,
        }


VECTOR_SIGNALS = (
    "vector",
    "vector_neighbours",
    "vector_nearest",
    "prototype",
    "name_vector",
    "name_vector_relative",
)
TEXT_SIGNALS = (
    "words",
    "word_neighbours",
    "word_nearest",
    "name_words",
    "name_title_words",
    "name_title",
    "name_body",
    "name_earliness",
    "name_share",
    "name_alone",
    "name_part",
    "name_reliability",
)
SIGNALS = (*TEXT_SIGNALS, *VECTOR_SIGNALS)


@dataclass(frozen=True, slots=True)
class Bases:
    """All base models, fitted to the same examples. `word_examples` are their terms, (width, examples)."""

    tfidf: TfIdf
    words: Linear
    word_examples: Sparse
    word_labels: Sparse
    names: NameFinder
    name_terms: Sparse
    name_reliability: np.ndarray
    spaces: Mapping[str, Space]

    def scores(self, readings: Sequence[Reading]) -> dict[str, np.ndarray]:
        """float32 (texts, tags) by signal, in the order of `SIGNALS`; vector signals are 0 without a vector."""
        terms = self.tfidf.transform([reading.units for reading in readings])
        strong = strongest(terms, NEIGHBOUR_TERMS)
        titles = self.tfidf.block("title", terms) @ self.tfidf.block("title", self.name_terms).T
        votes, nearest = vote((strong @ self.word_examples).toarray(), self.word_labels)
        found = self.names.signals([reading.units for reading in readings])
        scores = {
            "words": self.words.scores(terms),
            "word_neighbours": votes,
            "word_nearest": nearest,
            "name_words": (terms @ self.name_terms.T - titles).toarray(),
            "name_title_words": titles.toarray(),
            "name_title": found.title,
            "name_body": found.body,
            "name_earliness": found.earliness,
            "name_share": found.share,
            "name_alone": found.alone,
            "name_part": found.part,
            "name_reliability": (found.earliness > 0) * self.name_reliability,
        }
        shape = (len(readings), self.names.count)
        scores |= {name: np.zeros(shape, dtype=np.float32) for name in VECTOR_SIGNALS}
        for model, space in self.spaces.items():
            rows = [i for i, r in enumerate(readings) if r.model == model and r.vector is not None]
            if rows:
                vectors = np.stack([np.asarray(readings[row].vector, np.float32) for row in rows])
                for name, values in space.scores(vectors).items():
                    scores[name][rows] = values
        return {name: np.asarray(scores[name], dtype=np.float32) for name in SIGNALS}


def fit_bases(
    readings: Sequence[Reading],
    labels: np.ndarray,
    unknown: np.ndarray | None,
    tags: Sequence[TagProfile],
    reader: UnitReader,
) -> Bases:
    """Fit every base model. `labels` is float32 0/1 (texts, tags); `unknown` True where nobody judged, or None."""
    from scipy.sparse import csr_matrix

    units = [reading.units for reading in readings]
    tfidf = TfIdf.fit(units)
    terms = tfidf.transform(units)
    names = NameFinder([tag.names for tag in tags], reader, unit_rarity(units))
    found = names.signals(units).earliness > 0
    right, finds = (found * labels).sum(axis=0), found.sum(axis=0)
    prior = right.sum() / max(1, finds.sum())
    sparse_labels = csr_matrix(labels)
    spaces = {}
    for model in sorted({reading.model for reading in readings if reading.vector is not None}):
        rows = [i for i, r in enumerate(readings) if r.model == model and r.vector is not None]
        vectors = np.stack([np.asarray(readings[row].vector, np.float32) for row in rows])
        spaces[model] = _fit_space(vectors, labels[rows], _tag_vectors(tags, model, vectors.shape[1]))
    return Bases(
        tfidf=tfidf,
        words=_fit_svm(terms, labels, unknown),
        word_examples=strongest(terms, NEIGHBOUR_TERMS).T.tocsr(),
        word_labels=sparse_labels,
        names=names,
        name_terms=name_terms(tags, tfidf, reader),
        name_reliability=(right + RELIABILITY_PRIOR * prior).astype(np.float32) / (finds + RELIABILITY_PRIOR),
        spaces=spaces,
    )


def name_terms(tags: Sequence[TagProfile], tfidf: TfIdf, reader: UnitReader) -> Sparse:
    """TF-IDF rows (tags, width) of the tags' names, each read as a text's title."""
    return tfidf.transform([reader.read(ClassifierText(tag.names[0], "")) for tag in tags])


def vote(similarities: np.ndarray, labels: Sparse, neighbours: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """Votes of each row's nearest examples: each tag's share of their weight, and its nearest one's similarity.

    `similarities` is (rows, examples), `labels` (examples, tags). A vote weighs the square of the similarity,
    and NOBODY has a vote too, so that far examples alone decide nothing.
    """
    rows, examples = similarities.shape
    tags = labels.shape[1]
    count = min(neighbours, examples)
    if not count:
        return np.zeros((rows, tags), np.float32), np.zeros((rows, tags), np.float32)
    nearest = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
    values = np.maximum(np.take_along_axis(similarities, nearest, axis=1), 0.0)
    weights = values**2
    shares = weights / (weights.sum(axis=1, keepdims=True) + NOBODY)
    carried = labels[nearest.ravel()].tocoo()
    row, voter = np.divmod(carried.row, count)
    place = row * tags + carried.col
    votes = np.bincount(place, weights=shares[row, voter], minlength=rows * tags).reshape(rows, tags)
    closest = np.zeros(rows * tags, dtype=np.float32)
    # Written from far to near, so that the nearest stays.
    order = np.argsort(values[row, voter], kind="stable")
    closest[place[order]] = values[row, voter][order]
    return votes.astype(np.float32), closest.reshape(rows, tags)


def strongest(terms: Sparse, kept: int) -> Sparse:
    """The rows with only their `kept` largest values, of unit length again."""
    from scipy.sparse import csr_matrix

    columns: list[np.ndarray] = []
    values: list[np.ndarray] = []
    ends = [0]
    for row in range(terms.shape[0]):
        start, end = terms.indptr[row], terms.indptr[row + 1]
        data = terms.data[start:end]
        order = np.sort(np.argsort(-data, kind="stable")[:kept])
        columns.append(terms.indices[start:end][order])
        values.append(data[order] / max(float(np.linalg.norm(data[order])), 1e-9))
        ends.append(ends[-1] + len(order))
    empty = np.zeros(0, dtype=np.float32)
    return csr_matrix(
        (np.concatenate([empty, *values]), np.concatenate([empty.astype(np.int32), *columns]), ends),
        shape=terms.shape,
    )


def _fit_svm(terms: Sparse, labels: np.ndarray, unknown: np.ndarray | None) -> Linear:
    """One linear support vector machine a tag; a tag without one is given the same low score by every text."""
    from scipy.sparse import csr_matrix
    from sklearn.svm import LinearSVC

    counts = labels.sum(axis=0)
    most_used = np.argsort(-counts, kind="stable")[:MOST_SVMS].tolist()
    biases = np.full(labels.shape[1], -1.0, dtype=np.float32)
    rows: list[np.ndarray] = [np.zeros(0, np.int64)]
    columns: list[np.ndarray] = [np.zeros(0, np.int64)]
    values: list[np.ndarray] = [np.zeros(0, np.float32)]
    for tag in most_used:
        known, wanted = terms, labels[:, tag]
        if unknown is not None and unknown[:, tag].any():
            judged = ~unknown[:, tag]
            known, wanted = terms[judged], wanted[judged]
        if not 0 < wanted.sum() < len(wanted):
            continue
        model = LinearSVC(C=SVM_PENALTY, random_state=0).fit(known, wanted)
        biases[tag] = np.ravel(model.intercept_)[0]
        weights = np.ravel(model.coef_)
        kept = np.sort(np.argsort(-np.abs(weights), kind="stable")[:KEPT_WEIGHTS])
        rows.append(kept)
        columns.append(np.full(len(kept), tag))
        values.append(weights[kept].astype(np.float32))
    places = (np.concatenate(rows), np.concatenate(columns))
    return Linear(csr_matrix((np.concatenate(values), places), shape=(terms.shape[1], labels.shape[1])), biases)


def _fit_space(vectors: np.ndarray, labels: np.ndarray, names: np.ndarray) -> Space:
    from scipy.sparse import csr_matrix

    centre, means = vectors.mean(axis=0), labels.mean(axis=0)
    centred = vectors - centre
    gram = centred.T @ centred + RIDGE_PENALTY * np.eye(vectors.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, centred.T @ (labels - means)).astype(np.float32)
    counts = labels.sum(axis=0)[:, np.newaxis]
    examples = np.where(counts > 0, _unit(labels.T @ vectors / np.maximum(counts, 1) - centre), 0)
    named = np.linalg.norm(names, axis=1, keepdims=True) > 0
    own = np.where(named, _unit(names - names.mean(axis=0)), 0)
    similarities = vectors @ names.T
    return Space(
        centre=centre,
        linear=Linear(weights, (means - centre @ weights).astype(np.float32)),
        prototypes=_unit(counts * examples + NAME_EXAMPLES * own).astype(np.float32),
        examples=vectors,
        labels=csr_matrix(labels),
        names=names,
        name_mean=similarities.mean(axis=0),
        name_spread=similarities.std(axis=0) + np.float32(1e-3),
    )


def _tag_vectors(tags: Sequence[TagProfile], model: str, dimension: int) -> np.ndarray:
    rows = [tag.vectors.get(model) for tag in tags]
    return np.stack([np.zeros(dimension) if row is None else row for row in rows]).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length; zero rows stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
