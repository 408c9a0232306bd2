"""Vectors from hashed characters and words, without a model file, for texts no configured model can judge."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tagging_orchestration.core.embedding import STATISTICAL_MODEL
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.core.tagging.scripts import HAN, HANGUL, KANA

_FEATURES = 2**18
# Coordinates each feature is spread over. On 400 Chinese abstracts 4 found more true neighbours than 1 or 16.
_SPREAD = 4
_SEED = 0
_BATCH = 1_024
_STEM = 5

# Scripts without spaces between words (those of Thailand, Laos, Burma and Cambodia too), or rich in endings.
_UNSPACED = f"{HAN}{KANA}{HANGUL}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_RUN = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|[^\\W{_UNSPACED}]+")


class StatisticalVectors:
    """Log counts of hashed features, randomly projected to unit vectors.

    Features are single characters and pairs in scripts written without spaces, words and their first five
    letters in others. The same text gives the same vector in every process and on every machine: the hash is
    MurmurHash3 and the projection comes from NumPy's frozen `RandomState` stream. Similarity means shared
    wording, not meaning. Sparse sign projection after Kane and Nelson (2014), "Sparser Johnson-Lindenstrauss
    Transforms".
    """

    name = STATISTICAL_MODEL
    dimension = 384

    def __init__(self, fold: Callable[[str], str]) -> None:
        """`fold` brings spellings together before counting, such as Traditional to Simplified Chinese."""
        self._fold = fold

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """float32 array (len(texts), 384) of unit rows, in the order of `texts`."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            vectors[start : start + len(batch)] = self._encode_batch(batch)
            if progress:
                progress(start + len(batch), len(texts))
        return vectors

    def _encode_batch(self, texts: Sequence[str]) -> np.ndarray:
        counts = self._hasher.transform(list(self._features(text)) for text in texts)
        np.log1p(counts.data, out=counts.data)
        projected = (counts @ self._projection).toarray()
        norms = np.linalg.norm(projected, axis=1)
        # A text without features, or whose few signs cancel out, gets a fixed direction.
        projected[norms == 0, 0] = norms[norms == 0] = 1
        return projected / norms[:, np.newaxis]

    def _features(self, text: str) -> Iterator[str]:
        folded = unicodedata.normalize("NFKC", self._fold(text)).lower()
        found = False
        for run in _RUN.finditer(folded):
            found, word = True, run.group()
            if run["unspaced"]:
                yield from word
                yield from map("".join, pairwise(word))
            else:
                yield word
                if len(word) > _STEM:
                    yield f"{word[:_STEM]}-"
        if not found:
            yield from folded

    @cached_property
    def _hasher(self) -> Any:
        from sklearn.feature_extraction import FeatureHasher

        return FeatureHasher(_FEATURES, input_type="string", alternate_sign=False)

    @cached_property
    def _projection(self) -> Any:
        from scipy.sparse import csr_matrix

        random = np.random.RandomState(_SEED)
        columns = random.randint(0, self.dimension, _FEATURES * _SPREAD)
        signs = random.randint(0, 2, _FEATURES * _SPREAD) * 2.0 - 1.0
        rows = np.repeat(np.arange(_FEATURES), _SPREAD)
        return csr_matrix((signs.astype(np.float32), (rows, columns)), shape=(_FEATURES, self.dimension))
