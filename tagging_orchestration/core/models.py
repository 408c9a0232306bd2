"""Domain rows that cross a layer boundary, all frozen.

The words are those of the project's glossary (docs/data-model.md): content, tag, alias, assignment,
tag event, tagger version, pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np

DEFAULT_ORGANIZATION = "default"


class Origin(StrEnum):
    """Who stands behind a tag or an assignment; people outrank machines."""

    HUMAN = "human"
    MACHINE = "machine"


class Method(StrEnum):
    """The candidate generator that carried an assignment (spec: tagging, section 4)."""

    GIVEN = "given"
    VOCABULARY = "vocabulary"
    KEYPHRASE = "keyphrase"
    NEIGHBOUR = "neighbour"
    RULE = "rule"
    CLASSIFIER = "classifier"
    LLM = "llm"
    FEEDBACK = "feedback"


class TagStatus(StrEnum):
    """Life of a tag. Only active tags are assigned; no tag row is ever deleted."""

    ACTIVE = "active"
    MERGED = "merged"
    RETIRED = "retired"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One good row read from a source, ready for `contents`. `row_number` is 1-based in its file."""

    source: str
    external_id: str
    title: str
    body: str
    row_number: int
    organization_id: str = DEFAULT_ORGANIZATION
    content_type: str = "text"
    url: str | None = None
    language: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    given_tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class RejectionCode(StrEnum):
    """Why a row of a source was not taken in."""

    UNREADABLE = "unreadable"
    NOT_TEXT = "not_text"
    INVALID_ENCODING = "invalid_encoding"
    NUL_BYTE = "nul_byte"
    MALFORMED = "malformed"
    MISSING_ID = "missing_id"
    BAD_ID = "bad_id"
    DUPLICATE_ID = "duplicate_id"
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    BAD_DATE = "bad_date"
    BAD_TAGS = "bad_tags"
    BAD_VALUE = "bad_value"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One bad row, with what a person needs to mend it. `row_number` 0 means the whole file.

    `external_id` is None when the row is too broken to tell which content it is.
    """

    source: str
    location: str
    row_number: int
    column: str | None
    code: RejectionCode
    message: str
    external_id: str | None = None
    excerpt: str | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load of one source did to `contents`.

    `withheld` counts contents that seem gone from a full snapshot but stay, because rows of it could not be
    read and may be theirs. `load_id` is None when the source was unchanged and not read.
    """

    source: str
    rows_read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    tombstoned: int = 0
    rejected: int = 0
    withheld: int = 0
    skipped_unchanged_file: bool = False
    load_id: int | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """One item that gets tags, as stored."""

    id: int
    organization_id: str
    source: str
    external_id: str
    title: str
    body: str
    language: str | None
    given_tags: tuple[str, ...]
    created_at: datetime
    text_hash: str
    input_hash: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = "text"

    @property
    def text(self) -> str:
        """Title and body as one text, the title on its own line."""
        return f"{self.title}\n{self.body}".strip() if self.title else self.body


@dataclass(frozen=True, slots=True)
class Tag:
    """One canonical concept of the vocabulary with its projected usage."""

    id: int
    organization_id: str
    name: str
    normal_form: str
    status: TagStatus = TagStatus.ACTIVE
    origin: Origin = Origin.MACHINE
    language: str | None = None
    description: str | None = None
    parent_id: int | None = None
    merged_into_id: int | None = None
    pinned: bool = False
    usage_count: int = 0
    factor: float = 1.0

    @property
    def embedded_text(self) -> str:
        """What the tag's vector is made from: its name and, where there is one, its description."""
        return f"{self.name}: {self.description}" if self.description else self.name


@dataclass(frozen=True, slots=True)
class NewTag:
    """A tag admitted to the vocabulary that has no row yet."""

    organization_id: str
    name: str
    normal_form: str
    origin: Origin = Origin.MACHINE
    language: str | None = None
    description: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One generator's reason for a proposal.

    `score` is the generator's own score in [0, 1]. `detail` is JSON-ready: a text span
    ({"start", "end", "text", "field"}), neighbour ids, a rule id, ...
    """

    method: Method
    score: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A ranked tag proposal for one content. `tag_id` is None while the tag is not in the vocabulary.

    `effects` are the log-odds of the confidence by kind of reason, "base" among them.
    """

    name: str
    normal_form: str
    confidence: float
    method: Method
    origin: Origin
    evidence: tuple[Evidence, ...]
    tag_id: int | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratedTags:
    """Everything the tagger proposed for one content, best first; the asset `generated_tags` stores it."""

    content_id: int
    organization_id: str
    input_hash: str
    language: str
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One content x tag as it will stand in `content_tags`."""

    tag_id: int
    name: str
    confidence: float
    weight: float
    method: Method
    origin: Origin
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The full set of assignments one content shall have, made from `input_hash`."""

    content_id: int
    organization_id: str
    input_hash: str
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A content that could not be tagged. Transient failures are retried, permanent ones are dead letters.

    `input_hash` is what was tried: when the content changed since, its new text is not held responsible.
    """

    content_id: int
    error: str
    permanent: bool
    input_hash: str | None = None


@dataclass(frozen=True, slots=True)
class FailedContent:
    """A content whose tagging failed, and when it is tried again; `retry_at` is None for dead letters."""

    content_id: int
    source: str
    external_id: str
    title: str
    error: str
    attempts: int
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A similar, already tagged content. `tags` holds (tag_id, confidence, origin) of its active tags."""

    content_id: int
    similarity: float
    tags: tuple[tuple[int, float, Origin], ...]


@dataclass(frozen=True, slots=True)
class LlmTag:
    """A tag that a language model proposes: how sure it says it is, why, and the words of the text it rests on."""

    name: str
    normal_form: str
    confidence: float
    reason: str
    quote: str


@dataclass(frozen=True, slots=True)
class LlmProposals:
    """What a language model proposed for one content of this `text_hash`, and what that cost.

    A failed row has no tags and a `reason`: the model was not heard. `refused` counts by why what it proposed and
    was not kept.
    """

    content_id: int
    organization_id: str
    text_hash: str
    fingerprint: str
    tags: tuple[LlmTag, ...] = ()
    reason: str = ""
    refused: Mapping[str, int] = field(default_factory=dict)
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    tokens: int = 0
    cost_usd: float = 0.0

    @property
    def heard(self) -> bool:
        """Whether the model answered."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class TaggerInput:
    """All the tagger needs about one content; `vector` has unit length, or is None when no model fits."""

    content: Content
    vector: np.ndarray | None = None
    model: str | None = None
    neighbours: tuple[Neighbour, ...] = ()
    llm: LlmProposals | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingRow:
    """One stored vector (float32, unit length) of one text under one model."""

    organization_id: str
    text_hash: str
    model: str
    vector: np.ndarray


@dataclass(frozen=True, slots=True)
class EmbeddingHealth:
    """Soundness of one model's stored vectors.

    `dimension` is that of most vectors. Of the `sampled` vectors, `unsound` have another dimension, a length more
    than 1 % off unit length, or hold NaN.
    """

    model: str
    dimension: int
    vectors: int
    sampled: int
    unsound: int


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Half-open span of `contents.created_at`; None is open on that side."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which pending contents a caller works on. `None` fields do not restrict."""

    window: TimeWindow = TimeWindow()
    organization_id: str | None = None
    content_ids: tuple[int, ...] | None = None
    include_stale_version: bool = True
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class PendingCount:
    """Pending contents by reason: changed text (re-tag now), another tagger version (drain by backfill).

    `waiting` are retries booked for later and `failed` dead letters; neither is in the two counts before.
    """

    stale_text: int = 0
    stale_version: int = 0
    waiting: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """Both kinds of pending; waiting retries and dead letters are not included."""
        return self.stale_text + self.stale_version


@dataclass(frozen=True, slots=True)
class PendingPeriod:
    """Pending contents of one period of creation; `batch_hash` changes when a row joins, leaves or changes."""

    start: datetime
    count: int
    newest_change: datetime
    batch_hash: str


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """Who changes state and why; written on every tag event of the transaction."""

    actor: str
    reason: str = ""
    run_id: str | None = None
    operation_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What one publish did. `skipped` rows were taken or changed by another writer and stay pending."""

    contents: int = 0
    associated: int = 0
    dissociated: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0

    def __add__(self, other: PublishReport) -> PublishReport:
        return PublishReport(
            *(getattr(self, name) + getattr(other, name) for name in PublishReport.__dataclass_fields__)
        )


@dataclass(frozen=True, slots=True)
class MergeProposal:
    """Two tags that seem to be one. `score` in [0, 1]; `signals` says from what (JSON-ready)."""

    source_tag_id: int
    target_tag_id: int
    score: float
    signals: Mapping[str, float | str]


class ModelKind(StrEnum):
    """What a trained model does: judge known tags, rank all candidates, or correct confidences."""

    CLASSIFIER = "classifier"
    RANKER = "ranker"
    CALIBRATION = "calibration"


class ModelStatus(StrEnum):
    """Life of a trained model; one of each kind is active an organisation."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class NewModel:
    """A freshly trained model, to be stored as a candidate; `version` is the fingerprint of its making."""

    organization_id: str
    kind: ModelKind
    version: str
    payload: bytes
    trained_on: Mapping[str, int]
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A stored model without its payload. `activated_by` says who promoted it last; `size` counts bytes."""

    id: int
    organization_id: str
    kind: ModelKind
    version: str
    status: ModelStatus
    trained_on: Mapping[str, int]
    metrics: Mapping[str, Any]
    size: int
    created_at: datetime
    activated_at: datetime | None
    activated_by: str | None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class LabelledContent:
    """What people said of one content, by tag id: `labels` belong to it, `rejected` do not.

    `unknown` are machines' tags nobody judged: neither an example for them nor against them.
    """

    content_id: int
    title: str
    body: str
    text_hash: str
    labels: frozenset[int]
    rejected: frozenset[int] = frozenset()
    unknown: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """Title and body as one text, as `Content.text`."""
        return f"{self.title}\n{self.body}".strip() if self.title else self.body


class FeedbackKind(StrEnum):
    """A correction by a person. The first three are about one content, the last two about the vocabulary."""

    ACCEPT = "accept"
    REJECT = "reject"
    ADD = "add"
    RENAME = "rename"
    MERGE = "merge"


class FeedbackSource(StrEnum):
    """The way a correction came in."""

    SQL = "sql"
    CSV = "csv"
    CLI = "cli"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person says. `content_id` is None for a rename or merge, whose `target_name` is the other name.

    `tag_id` may be None: the name is looked up in any spelling, and made a tag by accept and add.
    """

    kind: FeedbackKind
    tag_name: str
    content_id: int | None = None
    tag_id: int | None = None
    target_name: str | None = None
    note: str | None = None
    reviewer: str | None = None


@dataclass(frozen=True, slots=True)
class JudgedProposal:
    """A proposal that people judged. `shift` is what calibration had added to its log-odds (0: nothing)."""

    content_id: int
    normal_form: str
    method: Method
    confidence: float
    shift: float
    accepted: bool
