"""Corpus statistics: in how many contents a term occurs. They drift without making anything pending."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

UNSEEN = 1


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """Document frequencies of terms (normal forms of words and candidate phrases) in a sample of contents.

    `documents` is the size of the sample, `corpus_size` the number of live contents when it was drawn.
    Terms of a single document are not kept.
    """

    documents: int = 0
    corpus_size: int = 0
    frequencies: Mapping[str, int] = field(default_factory=dict)

    def document_frequency(self, term: str) -> int:
        """Contents of the sample with this term; 1 where it was not counted."""
        return self.frequencies.get(term, UNSEEN)

    def idf(self, term: str) -> float:
        """Smoothed inverse document frequency, ln((1 + n) / (1 + df)) + 1, as scikit-learn has it."""
        return math.log((1 + self.documents) / (1 + min(self.document_frequency(term), self.documents))) + 1

    def outgrown_by(self, corpus_size: int) -> bool:
        """Whether the corpus grew by a fifth or more since the sample was drawn, so that a new one pays."""
        return corpus_size > 1.2 * self.corpus_size

    def to_bytes(self) -> bytes:
        """Compressed JSON, for storage."""
        payload = {"documents": self.documents, "corpus_size": self.corpus_size, "df": dict(self.frequencies)}
        return zlib.compress(json.dumps(payload, ensure_ascii=False).encode(), level=6)

    @classmethod
    def from_bytes(cls, data: bytes) -> CorpusStatistics:
        """Inverse of `to_bytes`."""
        payload = json.loads(zlib.decompress(data))
        return cls(payload["documents"], payload["corpus_size"], payload["df"])
