"""The classifier: texts in, probabilities of known tags out; and its form as bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.ports import LanguageTools
from tagging_orchestration.core.tagging.classifier.bases import (
    SIGNALS,
    Bases,
    Linear,
    Reading,
    Space,
    TagProfile,
    name_terms,
)
from tagging_orchestration.core.tagging.classifier.names import NameFinder
from tagging_orchestration.core.tagging.classifier.stacking import FEATURES, Pairs, Stacker, pairs
from tagging_orchestration.core.tagging.classifier.texts import (
    ClassifierText,
    Sparse,
    TermWeights,
    TfIdf,
    UnitReader,
)
from tagging_orchestration.core.tagging.classifier.trees import Trees

# Raise with every change that can change a prediction: stored models of another format are trained anew.
FORMAT = 1
_ROWS_AT_ONCE = 256
_LEAST_PROBABILITY = 0.005
_TREE_ARRAYS = ("feature", "threshold", "left", "right", "value")


@dataclass(frozen=True, slots=True)
class Example:
    """A text to classify or to learn from. `vector` has unit length and was made by `model`; None without one."""

    text: ClassifierText
    vector: np.ndarray | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class TagPrediction:
    """One known tag of one text. `applied` says whether it reaches the tag's threshold.

    `scores` are those of the base models by signal, `effects` what each kind of evidence adds to the log-odds,
    `base` the log-odds before any; they are filled when asked for.
    """

    tag: str
    probability: float
    applied: bool
    scores: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    base: float = 0.0


class TagClassifier:
    """Judges known tags. Built by `train_classifier` or `from_bytes`; the same input gives the same answer."""

    def __init__(
        self,
        *,
        version: str,
        tags: Sequence[TagProfile],
        counts: np.ndarray,
        texts: int,
        bases: Bases,
        stackers: Mapping[bool, Stacker],
        shared_threshold: float,
        thresholds: np.ndarray,
        reader: UnitReader,
    ) -> None:
        """`counts` are each tag's examples among `texts`; `stackers` are by whether the text has a vector."""
        self.version = version
        self.tags = tuple(tags)
        self.counts = counts
        self.texts = texts
        self.shared_threshold = shared_threshold
        self.thresholds = thresholds
        self._numbers = {tag.key: number for number, tag in enumerate(self.tags)}
        self._bases = bases
        self._stackers = dict(stackers)
        self._reader = reader

    def number(self, key: str) -> int | None:
        """Place of a tag in `counts` and `thresholds`; None for tags it does not know."""
        return self._numbers.get(key)

    def predict(
        self, examples: Sequence[Example], *, limit: int = 20, explain: bool = False
    ) -> list[list[TagPrediction]]:
        """For each text its most probable tags, best first, at most `limit`."""
        results: list[list[TagPrediction]] = [[] for _ in examples]
        if not self.tags:
            return results
        for with_vectors in (True, False):
            rows = [i for i, example in enumerate(examples) if self._sees(example) is with_vectors]
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                chunk = rows[start : start + _ROWS_AT_ONCE]
                predicted = self._predict([examples[row] for row in chunk], with_vectors, limit, explain)
                for row, predictions in zip(chunk, predicted, strict=True):
                    results[row] = predictions
        return results

    def _sees(self, example: Example) -> bool:
        return example.vector is not None and example.model in self._bases.spaces

    def _predict(
        self, examples: Sequence[Example], with_vectors: bool, limit: int, explain: bool
    ) -> Iterator[list[TagPrediction]]:
        readings = [Reading(self._reader.read(e.text), e.vector, e.model) for e in examples]
        scores = self._bases.scores(readings)
        weighed = pairs(scores, self.counts, self.texts, with_vectors)
        stacker = self._stackers[with_vectors]
        probabilities = stacker.probabilities(weighed.features)
        bounds = np.searchsorted(weighed.rows, np.arange(len(examples) + 1))
        best = [
            start + np.lexsort((weighed.tags[start:end], -probabilities[start:end]))[:limit]
            for start, end in pairwise(bounds.tolist())
        ]
        told = self._told(np.concatenate(best), weighed, stacker, scores) if explain else {}
        for order in best:
            yield [
                self._prediction(int(pair), weighed, float(probabilities[pair]), told)
                for pair in order
                if probabilities[pair] >= _LEAST_PROBABILITY
            ]

    def _told(
        self, chosen: np.ndarray, weighed: Pairs, stacker: Stacker, scores: Mapping[str, np.ndarray]
    ) -> dict[int, tuple[dict[str, float], dict[str, float], float]]:
        """Scores, effects and base of the chosen pairs."""
        effects = stacker.effects(weighed.features[chosen])
        values = np.stack([scores[name][weighed.rows[chosen], weighed.tags[chosen]] for name in SIGNALS], axis=1)
        return {
            pair: ({name: value for name, value in zip(SIGNALS, row, strict=True) if value}, effect, stacker.base)
            for pair, row, effect in zip(chosen.tolist(), values.tolist(), effects, strict=True)
        }

    def _prediction(
        self,
        pair: int,
        weighed: Pairs,
        probability: float,
        told: Mapping[int, tuple[dict[str, float], dict[str, float], float]],
    ) -> TagPrediction:
        tag = int(weighed.tags[pair])
        scores, effects, base = told.get(pair, ({}, {}, 0.0))
        applied = probability >= float(self.thresholds[tag])
        return TagPrediction(self.tags[tag].key, probability, applied, scores, effects, base)

    # ---------------------------------------------------------------------------------------------- bytes

    def to_bytes(self) -> bytes:
        """The model as a compressed NumPy archive with its names and terms as JSON; no pickle."""
        bases = self._bases
        meta = {
            "format": FORMAT,
            "version": self.version,
            "features": list(FEATURES),
            "texts": self.texts,
            "shared_threshold": self.shared_threshold,
            "tags": [[tag.key, *tag.names] for tag in self.tags],
            "terms": {name: list(block.terms) for name, block in bases.tfidf.blocks.items()},
            "rarity": bases.names.rarity,
            "models": sorted(bases.spaces),
            "stackers": {
                str(int(seen)): [stacker.bias, stacker.trees.baseline if stacker.trees else None]
                for seen, stacker in self._stackers.items()
            },
        }
        arrays: dict[str, Any] = {
            "meta": np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), dtype=np.uint8),
            "counts": self.counts,
            "thresholds": self.thresholds,
            **{f"idf_{name}": block.idf for name, block in bases.tfidf.blocks.items()},
            "biases": bases.words.biases,
            "name_reliability": bases.name_reliability,
        }
        _pack(arrays, "weights", bases.words.weights, np.float16)
        _pack(arrays, "word_examples", bases.word_examples.T.tocsr(), np.float16)
        _pack(arrays, "word_labels", bases.word_labels, np.int8)
        for seen, stacker in self._stackers.items():
            arrays[f"stacker_{int(seen)}_weights"] = stacker.weights
            arrays[f"stacker_{int(seen)}_centre"] = stacker.centre
            if stacker.trees is not None:
                for name in _TREE_ARRAYS:
                    arrays[f"trees_{int(seen)}_{name}"] = getattr(stacker.trees, name)
        for number, model in enumerate(sorted(bases.spaces)):
            _pack_space(arrays, f"space_{number}", bases.spaces[model])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, payload: bytes, language: LanguageTools) -> TagClassifier:
        """Read what `to_bytes` wrote. Raises ConfigurationError when it is of another format or damaged."""
        try:
            with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
                arrays = dict(archive)
            meta = json.loads(arrays["meta"].tobytes())
            if meta["format"] != FORMAT or tuple(meta["features"]) != FEATURES:
                raise ConfigurationError(
                    "the stored classifier is of another version of this project: train it anew "
                    "(materialise tag_models) or roll back"
                )
            return cls._from_arrays(meta, arrays, language)
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise ConfigurationError(
                f"the stored classifier cannot be read ({error}): train it anew or roll back"
            ) from error

    @classmethod
    def _from_arrays(
        cls, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], language: LanguageTools
    ) -> TagClassifier:
        reader = UnitReader(language)
        spaces = {model: _unpack_space(arrays, f"space_{i}") for i, model in enumerate(meta["models"])}
        tags = [
            TagProfile(key, tuple(names), {model: space.names[row] for model, space in spaces.items()})
            for row, (key, *names) in enumerate(meta["tags"])
        ]
        tfidf = TfIdf(
            {name: TermWeights(tuple(terms), arrays[f"idf_{name}"]) for name, terms in meta["terms"].items()}
        )
        bases = Bases(
            tfidf=tfidf,
            words=Linear(_unpack(arrays, "weights"), arrays["biases"]),
            word_examples=_unpack(arrays, "word_examples").T.tocsr(),
            word_labels=_unpack(arrays, "word_labels"),
            names=NameFinder([tag.names for tag in tags], reader, meta["rarity"]),
            name_terms=name_terms(tags, tfidf, reader),
            name_reliability=arrays["name_reliability"],
            spaces=spaces,
        )
        stackers = {
            bool(int(seen)): Stacker(
                arrays[f"stacker_{seen}_weights"],
                arrays[f"stacker_{seen}_centre"],
                bias,
                Trees(**{name: arrays[f"trees_{seen}_{name}"] for name in _TREE_ARRAYS}, baseline=baseline)
                if baseline is not None
                else None,
            )
            for seen, (bias, baseline) in meta["stackers"].items()
        }
        return cls(
            version=meta["version"],
            tags=tags,
            counts=arrays["counts"],
            texts=meta["texts"],
            bases=bases,
            stackers=stackers,
            shared_threshold=meta["shared_threshold"],
            thresholds=arrays["thresholds"],
            reader=reader,
        )


def _pack(arrays: dict[str, Any], name: str, matrix: Sparse, kind: type) -> None:
    arrays[f"{name}_data"] = matrix.data.astype(kind)
    # Steps from index to index are small and compress to a fraction.
    arrays[f"{name}_steps"] = np.diff(matrix.indices.astype(np.int32), prepend=np.int32(0))
    arrays[f"{name}_indptr"] = matrix.indptr.astype(np.int32)
    arrays[f"{name}_shape"] = np.array(matrix.shape)


def _unpack(arrays: Mapping[str, np.ndarray], name: str) -> Sparse:
    from scipy.sparse import csr_matrix

    rows, columns = arrays[f"{name}_shape"]
    indices = np.cumsum(arrays[f"{name}_steps"], dtype=np.int32)
    parts = (arrays[f"{name}_data"].astype(np.float32), indices, arrays[f"{name}_indptr"])
    return csr_matrix(parts, shape=(int(rows), int(columns)))


def _pack_space(arrays: dict[str, Any], name: str, space: Space) -> None:
    scale = np.maximum(np.abs(space.examples).max(axis=1, keepdims=True), 1e-9) / 127
    arrays[f"{name}_examples"] = np.round(space.examples / scale).astype(np.int8)
    arrays[f"{name}_scale"] = scale.astype(np.float32)
    _pack(arrays, f"{name}_labels", space.labels, np.int8)
    arrays[f"{name}_linear"] = np.asarray(space.linear.weights, dtype=np.float32)
    arrays[f"{name}_biases"] = space.linear.biases
    arrays[f"{name}_centre"] = space.centre
    arrays[f"{name}_prototypes"] = space.prototypes.astype(np.float16)
    arrays[f"{name}_names"] = space.names.astype(np.float16)
    arrays[f"{name}_name_mean"] = space.name_mean
    arrays[f"{name}_name_spread"] = space.name_spread


def _unpack_space(arrays: Mapping[str, np.ndarray], name: str) -> Space:
    return Space(
        centre=arrays[f"{name}_centre"],
        linear=Linear(arrays[f"{name}_linear"], arrays[f"{name}_biases"]),
        prototypes=arrays[f"{name}_prototypes"].astype(np.float32),
        examples=arrays[f"{name}_examples"].astype(np.float32) * arrays[f"{name}_scale"],
        labels=_unpack(arrays, f"{name}_labels"),
        names=arrays[f"{name}_names"].astype(np.float32),
        name_mean=arrays[f"{name}_name_mean"],
        name_spread=arrays[f"{name}_name_spread"],
    )
