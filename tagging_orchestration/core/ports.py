"""Ports: what the pure core asks of stores and models. `storage` and `clients` implement them.

Fakes for tests live in tests/fakes and implement the same protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from tagging_orchestration.core.models import (
    ChangeContext,
    Content,
    Decision,
    EmbeddingHealth,
    EmbeddingRow,
    FailedContent,
    Failure,
    GeneratedTags,
    LabelledContent,
    LlmProposals,
    ModelKind,
    Neighbour,
    NewModel,
    NewTag,
    PendingCount,
    PendingPeriod,
    PublishReport,
    RejectedRow,
    Scope,
    SourceRow,
    Tag,
    TrainedModel,
)
from tagging_orchestration.core.parameters import PartitionSettings
from tagging_orchestration.core.tagging.calibration import Calibration
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.vocabulary.index import Vocabulary


class Progress(Protocol):
    """Told how far a long step has come; a total of 0 is not known."""

    def __call__(self, done: int, total: int) -> None: ...


class LanguageTools(Protocol):
    """Language knowledge that lives in libraries with data files."""

    def detect(self, text: str) -> str:
        """BCP 47 code: 'en', 'zh-Hant', 'zh-Hans', another ISO 639-1 code, or 'und'."""
        ...

    def segment(self, text: str) -> list[tuple[str, int, int]]:
        """Words of a Chinese text as (word, start, end), in order, `text[start:end] == word`."""
        ...

    def lemma(self, word: str, language: str) -> str:
        """Dictionary form of one lower-case word; the word itself where nothing is known."""
        ...

    def stop_words(self, language: str) -> frozenset[str]:
        """Function words of a language, lower case; empty where nothing is known."""
        ...

    def parts_of_speech(self, words: Sequence[str], language: str) -> list[str]:
        """Penn Treebank tag of each word of a sentence (punctuation may be among them); empty if unknown."""
        ...

    def to_simplified(self, text: str) -> str:
        """Traditional to Simplified Chinese, for matching only; as many characters as `text`."""
        ...

    def to_traditional(self, text: str) -> str:
        """Simplified to Traditional Chinese, for people who want their tags so."""
        ...

    def to_mainland(self, text: str) -> str:
        """Taiwan's words replaced by the mainland's, in Simplified characters."""
        ...

    def to_taiwan(self, text: str) -> str:
        """The mainland's words replaced by Taiwan's, in Traditional characters."""
        ...

    def pronunciation(self, text: str) -> str:
        """Chinese characters as they are said, in Latin letters without tones; other letters as they are."""
        ...


class Embedder(Protocol):
    """Turns texts into unit vectors; routes a text to a model that can judge it."""

    @property
    def fingerprint(self) -> str:
        """Changes when the same text could get another vector (model names and dimensions)."""
        ...

    def model_for(self, text: str) -> str:
        """Name of the model that can judge this text."""
        ...

    def dimension(self, model: str) -> int:
        """Length of this model's vectors."""
        ...

    def encode(self, model: str, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """float32 array (len(texts), dimension), rows of unit length, in the order of `texts`."""
        ...

    def encode_phrases(self, model: str, phrases: Sequence[str]) -> np.ndarray | None:
        """Rows of unit length to compare with texts' vectors, cheaper than `encode`; None if this model can't."""
        ...


PhraseEncoder = Callable[[str, Sequence[str]], np.ndarray | None]
"""`Embedder.encode_phrases`: (model, phrases) to unit rows, or None where that model cannot."""


class ContentStore(Protocol):
    """Contents and their ledger."""

    def pending_ids(self, scope: Scope, tagger_version_id: int) -> list[int]:
        """Ids of pending contents in the scope, newest first; dead letters and retries not due excluded."""
        ...

    def pending_count(self, scope: Scope, tagger_version_id: int) -> PendingCount:
        """How many contents `pending_ids` would give, by reason, without regard to the scope's limit."""
        ...

    def pending_periods(
        self,
        partitions: PartitionSettings,
        tagger_version_id: int,
        *,
        now: datetime,
        include_stale_version: bool,
    ) -> list[PendingPeriod]:
        """Pending contents by time partition (see core.planning.clamp_to_partition), newest first."""
        ...

    def load(self, content_ids: Sequence[int]) -> list[Content]:
        """The contents still there, in the order of the ids."""
        ...

    def size(self, organization_id: str) -> int:
        """Live contents of the organisation."""
        ...

    def sample_texts(self, organization_id: str, limit: int) -> list[tuple[str, str | None]]:
        """Up to `limit` (text, stated language) pairs drawn reproducibly over all live contents."""
        ...

    def mark_failed(self, failures: Sequence[Failure], tagger_version_id: int) -> None:
        """Book a retry with back-off, or a dead letter for this text and version."""
        ...

    def failed(self, limit: int) -> list[FailedContent]:
        """Contents whose tagging failed: dead letters first, then those that wait for their next try."""
        ...

    def release_failed(self, content_ids: Sequence[int] | None = None) -> int:
        """Let failed contents be tried again at once, the named ones or all; how many there were."""
        ...


class EmbeddingStore(Protocol):
    """Vectors of texts and of tag names."""

    def existing(self, organization_id: str, model: str, text_hashes: Sequence[str]) -> set[str]: ...

    def save(self, rows: Sequence[EmbeddingRow]) -> int:
        """Store vectors; rows already there are left alone. Returns how many were new."""
        ...

    def vectors(self, organization_id: str, model: str, text_hashes: Sequence[str]) -> dict[str, np.ndarray]: ...

    def neighbours(
        self, organization_id: str, model: str, queries: Sequence[tuple[int, np.ndarray]], limit: int
    ) -> dict[int, tuple[Neighbour, ...]]:
        """For each (content_id, vector): its nearest *tagged* contents, itself excluded, best first."""
        ...

    def ensure_index(self, model: str, dimension: int) -> None:
        """Build the model's HNSW indexes where they are missing (after a bulk load)."""
        ...

    def health(self) -> list[EmbeddingHealth]:
        """Soundness of each model's stored vectors, judged on a sample."""
        ...


class VocabularyStore(Protocol):
    """Tags, aliases and their vectors."""

    def load(self, organization_id: str) -> Vocabulary:
        """A snapshot of the whole vocabulary, tag vectors included."""
        ...

    def create_tags(self, tags: Sequence[NewTag], context: ChangeContext) -> list[Tag]:
        """Insert new tags (created events included); a normal form that exists returns the existing tag."""
        ...

    def tags_without_vector(self, organization_id: str, model: str) -> list[Tag]: ...

    def save_tag_vectors(self, model: str, vectors: Mapping[int, np.ndarray]) -> None: ...


class GeneratedStore(Protocol):
    """The asset `generated_tags`: proposals staged before they are published."""

    def fresh_ids(self, content_ids: Sequence[int], tagger_version_id: int) -> set[int]:
        """Those contents whose staged proposals were made from their present input and this version."""
        ...

    def save(self, rows: Sequence[GeneratedTags], tagger_version_id: int) -> None: ...

    def load(self, content_ids: Sequence[int]) -> list[GeneratedTags]: ...

    def support(self, organization_id: str, normal_forms: Sequence[str]) -> dict[str, int]:
        """In how many contents' staged proposals each of these forms is."""
        ...


class AssignmentStore(Protocol):
    """`content_tags`, its events and the ledger, changed together."""

    def publish(
        self, decisions: Sequence[Decision], tagger_version_id: int, context: ChangeContext
    ) -> PublishReport:
        """One transaction: lock ledger rows (SKIP LOCKED), diff, write assignments, stamp the ledger."""
        ...


class CorpusStore(Protocol):
    """Stored corpus statistics, one current row an organisation."""

    def load(self, organization_id: str) -> CorpusStatistics | None: ...

    def save(self, organization_id: str, statistics: CorpusStatistics) -> None: ...


class TaggerVersionStore(Protocol):
    """Known tagger versions."""

    def ensure(self, components: Mapping[str, Any]) -> int:
        """Id of the version with these components, registered at first sight."""
        ...


class TrainedModelStore(Protocol):
    """Models trained from an organisation's labels, and those labels."""

    def add(self, model: NewModel) -> TrainedModel:
        """Store a candidate; a version known for this organisation and kind returns the stored model."""
        ...

    def find(self, organization_id: str, kind: ModelKind, version: str) -> TrainedModel | None: ...

    def active(self, organization_id: str, kind: ModelKind) -> TrainedModel | None:
        """The model in use, None while there is none."""
        ...

    def active_versions(self, kind: ModelKind) -> Mapping[str, str]:
        """Version of the active model of each organisation that has one."""
        ...

    def get(self, model_id: int) -> TrainedModel:
        """One model; raises UnknownName when there is none with this id."""
        ...

    def payload(self, model_id: int) -> bytes:
        """The model's bytes; raises UnknownName when there is none with this id."""
        ...

    def all(self, organization_id: str, kind: ModelKind | None = None) -> list[TrainedModel]:
        """Every model of the organisation, newest first."""
        ...

    def promote(self, model_id: int, actor: str) -> TrainedModel:
        """Make a model the active one of its kind and retire the one before, in one transaction."""
        ...

    def rollback(self, organization_id: str, kind: ModelKind, actor: str) -> TrainedModel | None:
        """Put the model back that was active before, in one transaction; None when there was none, and the
        shipped behaviour without a model is back. Raises UnknownName when no model is active."""
        ...

    def labelled_contents(self, organization_id: str) -> list[LabelledContent]:
        """Live contents that people tagged or judged, by id."""
        ...

    def labels_fingerprint(self, organization_id: str) -> str:
        """Changes when `labelled_contents` or the name of a tag in it would."""
        ...

    def labelled_organizations(self) -> list[str]:
        """Organisations with tags that people gave, or judgements of theirs."""
        ...


class FeedbackStore(Protocol):
    """What people said of tags, and what was learned from it."""

    def verdicts(self, content_ids: Sequence[int]) -> Mapping[int, Mapping[int, bool]]:
        """For each content that people judged: tag id -> whether they want the tag."""
        ...

    def calibrations(self) -> Mapping[str, Calibration]:
        """The calibration in use of each organisation that has one."""
        ...


class LlmProposalStore(Protocol):
    """Tags that a language model proposed."""

    def load(self, contents: Sequence[Content]) -> Mapping[int, LlmProposals]:
        """By content id: what was proposed for the text that the content has now, where it is in use."""
        ...


class RowSource(Protocol):
    """Anything `raw_content` can read."""

    @property
    def name(self) -> str:
        """Name of the source, part of the identity of its contents."""
        ...

    @property
    def location(self) -> str:
        """Where it is, for people; holds no secret."""
        ...

    @property
    def organization_id(self) -> str:
        """Organisation of rows that do not say theirs."""
        ...

    @property
    def full_snapshot(self) -> bool:
        """Whether contents it no longer holds are gone."""
        ...

    def describe(self) -> str:
        """Which column feeds which field, one a line. Raises SourceError as `rows` does."""
        ...

    def fingerprint(self) -> str | None:
        """Equal as long as `rows` would yield the same; None when only reading can tell."""
        ...

    def rows(self) -> Iterator[SourceRow | RejectedRow]:
        """The rows, read as they are asked for; raises SourceError when the whole source cannot be read."""
        ...
