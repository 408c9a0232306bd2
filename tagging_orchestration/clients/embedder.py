"""The embedder: each text goes to a model that can judge it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tagging_orchestration.clients.sentence_model import SentenceModel
from tagging_orchestration.clients.statistical_vectors import StatisticalVectors
from tagging_orchestration.core.embedding import FOREIGN_SHARE, letters_by_script
from tagging_orchestration.core.errors import ModelUnavailable
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.settings import EmbeddingSettings


class RoutedEmbedder:
    """`Embedder` over the configured sentence-transformers model and, where it is blind, character n-grams.

    Which scripts the model can judge is read off its own tokenizer, so that a multilingual model takes over
    Chinese as soon as it is configured. Nothing is loaded before it is needed.
    """

    def __init__(self, settings: EmbeddingSettings, *, fold: Callable[[str], str]) -> None:
        """`fold` brings Traditional Chinese to Simplified, for the statistical vectors only."""
        self._sentences = SentenceModel(settings)
        self._statistics = StatisticalVectors(fold)

    @property
    def fingerprint(self) -> str:
        """Names and dimensions of both models."""
        return "+".join(f"{model.name}/{model.dimension}" for model in (self._sentences, self._statistics))

    def model_for(self, text: str) -> str:
        """Name of the configured model, or of the statistical one for texts in scripts the first cannot judge.

        Only the tokenizer is loaded for that. Raises ModelUnavailable when the configured model is not found.
        """
        letters = letters_by_script(text)
        if not letters:
            known = self._sentences.reads_anything(text)
        else:
            foreign = sum(n for script, n in letters.items() if not self._sentences.judges(script, text))
            known = foreign <= FOREIGN_SHARE * letters.total()
        return self._sentences.name if known else self._statistics.name

    def dimension(self, model: str) -> int:
        """Length of this model's vectors. Raises ModelUnavailable for a model that is not configured."""
        return self._named(model).dimension

    def encode(self, model: str, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """float32 array (len(texts), dimension) of unit rows, in the order of `texts`.

        Raises ModelUnavailable for a model that is not configured or cannot be loaded.
        """
        return self._named(model).encode(texts, progress)

    def encode_phrases(self, model: str, phrases: Sequence[str]) -> np.ndarray | None:
        """Unit rows from the vectors of the phrases' words; None for the statistical model, blind to single words.

        Raises ModelUnavailable for a model that is not configured or cannot be loaded.
        """
        named = self._named(model)
        return named.words.phrases(phrases) if isinstance(named, SentenceModel) else None

    def _named(self, model: str) -> SentenceModel | StatisticalVectors:
        for known in (self._statistics, self._sentences):
            if known.name == model:
                return known
        raise ModelUnavailable(
            f"model {model} is not configured: embedding.model is {self._sentences.name}. Set it back to encode "
            "with that model, or re-tag with this one (docs/embeddings.md)"
        )
