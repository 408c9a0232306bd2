"""Training: base models on labelled texts, the stacker on what they said of texts they had not seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.errors import TooFewLabels
from tagging_orchestration.core.ports import LanguageTools, Progress
from tagging_orchestration.core.tagging.classifier.bases import Reading, TagProfile, fit_bases
from tagging_orchestration.core.tagging.classifier.model import FORMAT, Example, TagClassifier
from tagging_orchestration.core.tagging.classifier.stacking import Stacker, pairs
from tagging_orchestration.core.tagging.classifier.texts import UnitReader
from tagging_orchestration.core.tagging.classifier.thresholds import tag_thresholds

MINIMUM_TEXTS = 20
# With few texts a fold more or less is many of a tag's examples; with many it only costs time.
_FOLDS, _FOLDS_OF_FEW, _FEW_TEXTS = 5, 10, 2_000
_STACK_FOLDS = 3
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Pairs of all training texts as base models saw them that had not learned from the text."""

    rows: np.ndarray
    tags: np.ndarray
    features: np.ndarray
    truth: np.ndarray


def train_classifier(
    examples: Sequence[Example],
    labels: Sequence[Collection[str]],
    tags: Sequence[TagProfile],
    language: LanguageTools,
    *,
    unknown: Sequence[Collection[str]] | None = None,
    version: str | None = None,
    progress: Progress | None = None,
) -> TagClassifier:
    """A classifier of `tags` learned from `examples`.

    `labels` are the keys of each example's tags; every other tag of `tags` counts as refused, except those in
    `unknown`. Labels that are not among `tags` are ignored. Tags without any example are judged by their names.
    `version` is what the classifier calls itself, else `training_fingerprint`.
    Raises TooFewLabels below MINIMUM_TEXTS examples, or when none carries a known tag.
    """
    column = {tag.key: number for number, tag in enumerate(tags)}
    truth = _matrix(labels, column)
    if len(examples) < MINIMUM_TEXTS or not truth.any():
        raise TooFewLabels(
            f"{int(truth.any(axis=1).sum())} of {len(examples)} texts carry a known tag: training needs at least "
            f"{MINIMUM_TEXTS} texts that people tagged"
        )
    unjudged = _matrix(unknown, column).astype(bool) if unknown and any(unknown) else None
    reader = UnitReader(language)
    readings = [Reading(reader.read(e.text), e.vector, e.model) for e in examples]
    seeing = np.array([e.vector is not None for e in examples])
    folds = _FOLDS_OF_FEW if len(examples) < _FEW_TEXTS else _FOLDS
    fold_of = fold_numbers([f"{e.text.title}\n{e.text.body}" for e in examples], folds)
    counts = truth.sum(axis=0)

    parts: dict[bool, list[_Unseen]] = {True: [], False: []}
    for fold in range(folds):
        if progress:
            progress(fold, folds + 1)
        seen, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        if not len(held) or not len(seen):
            continue
        bases = fit_bases(
            [readings[row] for row in seen],
            truth[seen],
            unjudged[seen] if unjudged is not None else None,
            tags,
            reader,
        )
        for start in range(0, len(held), _ROWS_AT_ONCE):
            chunk = held[start : start + _ROWS_AT_ONCE]
            scores = bases.scores([readings[row] for row in chunk])
            for with_vectors in (True, False) if seeing.any() else (False,):
                found = pairs(scores, counts, len(examples), with_vectors)
                rows = chunk[found.rows]
                kept = np.ones(len(rows), bool) if not with_vectors else seeing[rows]
                if unjudged is not None:
                    kept &= ~unjudged[rows, found.tags]
                parts[with_vectors].append(
                    _Unseen(
                        rows[kept],
                        found.tags[kept],
                        found.features[kept],
                        truth[rows[kept], found.tags[kept]],
                    )
                )
    unseen = {seen: _joined(pieces) for seen, pieces in parts.items() if pieces}
    stackers = {seen: Stacker.fit(pairs_.features, pairs_.truth) for seen, pairs_ in unseen.items()}
    judged_by = _used(unseen, seeing)
    shared, own = tag_thresholds(
        np.concatenate([_held_out_probabilities(part, fold_of) for part in judged_by]),
        np.concatenate([part.truth for part in judged_by]),
        np.concatenate([part.tags for part in judged_by]),
        counts,
        int(truth.sum() - sum(part.truth.sum() for part in judged_by)),
    )
    if progress:
        progress(folds, folds + 1)
    bases = fit_bases(readings, truth, unjudged, tags, reader)
    trained = TagClassifier(
        version=version or training_fingerprint(examples, labels, tags, unknown=unknown),
        tags=tags,
        counts=counts,
        texts=len(examples),
        bases=bases,
        stackers=stackers,
        shared_threshold=shared,
        thresholds=own,
        reader=reader,
    )
    # What is measured and used at once is what will be stored: numbers there have fewer digits.
    return TagClassifier.from_bytes(trained.to_bytes(), language)


def training_fingerprint(
    examples: Sequence[Example],
    labels: Sequence[Collection[str]],
    tags: Sequence[TagProfile],
    *,
    unknown: Sequence[Collection[str]] | None = None,
) -> str:
    """16 hexadecimal digits that change with anything a classifier is made from, whatever the examples' order."""
    rows = sorted(
        json.dumps(
            [e.text.title, e.text.body, e.model if e.vector is not None else "", sorted(wanted), sorted(open_)],
            ensure_ascii=False,
        )
        for e, wanted, open_ in zip(examples, labels, unknown or [()] * len(examples), strict=True)
    )
    digest = hashlib.sha256(str(FORMAT).encode())
    for row in rows:
        digest.update(row.encode())
    for tag in tags:
        digest.update(json.dumps([tag.key, *tag.names], ensure_ascii=False).encode())
        for model in sorted(tag.vectors):
            digest.update(np.round(tag.vectors[model], 3).astype(np.float32).tobytes())
    return digest.hexdigest()[:16]


def fold_numbers(texts: Sequence[str], folds: int) -> np.ndarray:
    """A number below `folds` for each text, by its content alone, so that it stays the same in every training."""
    return np.array(
        [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % folds for text in texts], dtype=np.int64
    )


def _matrix(labels: Sequence[Collection[str]], column: dict[str, int]) -> np.ndarray:
    matrix = np.zeros((len(labels), len(column)), dtype=np.float32)
    for row, keys in enumerate(labels):
        for key in keys:
            if key in column:
                matrix[row, column[key]] = 1
    return matrix


def _joined(parts: Sequence[_Unseen]) -> _Unseen:
    return _Unseen(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("rows", "tags", "features", "truth")
        )
    )


def _used(unseen: dict[bool, _Unseen], seeing: np.ndarray) -> list[_Unseen]:
    """Each text's pairs as it will be judged: with its vector where it has one."""
    used = []
    for with_vectors, part in unseen.items():
        mine = seeing[part.rows] == with_vectors
        if mine.any():
            used.append(_Unseen(part.rows[mine], part.tags[mine], part.features[mine], part.truth[mine]))
    return used


def _held_out_probabilities(part: _Unseen, fold_of: np.ndarray) -> np.ndarray:
    """What a stacker says of pairs of texts it had not learned from either."""
    group = fold_of[part.rows] % _STACK_FOLDS
    probabilities = np.zeros(len(part.rows))
    for fold in range(_STACK_FOLDS):
        held = group == fold
        if held.any() and not held.all():
            stacker = Stacker.fit(part.features[~held], part.truth[~held])
            probabilities[held] = stacker.probabilities(part.features[held])
    return probabilities
