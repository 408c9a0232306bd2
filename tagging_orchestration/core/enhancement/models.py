"""What the parts of the AI enhancement say to one another: requests to a language model, replies, answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from tagging_orchestration.core.errors import TaggingError
from tagging_orchestration.core.models import DEFAULT_ORGANIZATION

PromptLocale = Literal["zh-TW", "en"]
Severity = Literal["info", "warning", "critical"]
SubjectType = Literal["alert", "insight", "recommendation", "summary", "content", "custom"]
CacheStatus = Literal["hit", "stale", "miss", "bypass"]
ParseLevel = Literal["exact", "fenced", "repaired", "headings"]


class ErrorType(StrEnum):
    """The classes of failures that statistics tell apart."""

    RATE_LIMIT = "rate_limit"
    AUTH_ERROR = "auth_error"
    TIMEOUT = "timeout"
    GENERAL_ERROR = "general_error"


class ErrorSubtype(StrEnum):
    """What exactly went wrong."""

    MODEL_NOT_FOUND = "model_not_found"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    TRUNCATED = "truncated"
    INCOMPLETE = "incomplete"
    INVALID_JSON = "invalid_json"
    SCHEMA_MISMATCH = "schema_mismatch"
    UNSUPPORTED = "unsupported"
    LOW_CONFIDENCE = "low_confidence"
    CONTENT_FILTERED = "content_filtered"
    BUDGET = "budget"
    CANCELLED = "cancelled"
    BAD_REQUEST = "bad_request"
    SERVER_ERROR = "server_error"
    DEADLINE = "deadline"


class LlmFailure(TaggingError):
    """A call of a language model that gave no usable answer.

    `may_retry`: another try of the same provider can help (busy, unreachable, no byte in time); never after bytes
    came or a 4xx. The message holds neither prompt nor key. `tokens_*` are what the provider said it spent. `sent`
    is False where no request left, as nobody listened there.
    """

    def __init__(
        self,
        message: str,
        *,
        type: ErrorType = ErrorType.GENERAL_ERROR,
        subtype: ErrorSubtype,
        http_status: int | None = None,
        may_retry: bool = False,
        tokens_prompt: int | None = None,
        tokens_completion: int | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.type = type
        self.subtype = subtype
        self.http_status = http_status
        self.may_retry = may_retry
        self.tokens_prompt = tokens_prompt
        self.tokens_completion = tokens_completion


class AnswerRejected(TaggingError):
    """A reply that cannot be shown: `subtype` says why, `faults` what to tell a model that is asked again."""

    def __init__(self, message: str, subtype: ErrorSubtype, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.subtype = subtype
        self.faults = tuple(faults)


# ---------------------------------------------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One call. `options` are the provider's own block (num_ctx, top_p, stop_sequences, ...), checked before.

    `schema` forces the answer's form where the provider can; `timeout_seconds` is the deadline for the whole call.
    """

    model: str
    system: str
    prompt: str
    max_tokens: int
    temperature: float
    timeout_seconds: float
    schema: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LlmReply:
    """What a model answered. Token counts are None where the provider did not say them."""

    text: str
    finish: Literal["stop", "length"]
    model: str
    tokens_prompt: int | None = None
    tokens_completion: int | None = None
    model_digest: str | None = None
    http_status: int = 200
    load_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A look at a provider that generates nothing. `cold`: the model must be loaded before it answers."""

    status: Literal["healthy", "degraded", "unhealthy"]
    detail: str = ""
    response_time_ms: int | None = None
    models: tuple[str, ...] = ()
    model_digest: str | None = None
    server_version: str | None = None
    cold: bool | None = None


class LlmClient(Protocol):
    """One provider's server. Safe for use by several threads."""

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        """The model's reply. Raises LlmFailure and nothing else. `cancel` set from another thread closes the
        connection and raises LlmFailure(CANCELLED)."""
        ...

    def probe(self, model: str) -> Probe:
        """How the server is and whether it has the model; never raises, never generates."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


# -------------------------------------------------------------------------------------------------- prompts


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """One version of a prompt in one language and A/B group.

    `output_schema` names a JSON Schema of core/enhancement/schemas (None: the answer is text).
    """

    template_key: str
    locale: PromptLocale
    version: str
    template_name: str
    category: str
    prompt_template: str
    system_message: str
    required_variables: tuple[str, ...]
    optional_variables: tuple[str, ...]
    max_tokens: int
    temperature: float
    output_schema: str | None
    content_sha256: str
    ab_group: str = "A"
    weight: int = 100
    description: str = ""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """The bytes a model gets. `omitted` are optional variables that had no value."""

    system: str
    prompt: str
    sha256: str
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """Something an answer may cite. `ref` is one of `tag:<id>`, `content:<id>`, `row:<table>/<id>`,
    `alert:<uuid>`, `metric:<name>`, `insight:<id>`, `recommendation:<id>`, `context:<path.of.a.leaf>` of the
    business_context."""

    ref: str
    label: str


class Masker(Protocol):
    """Hides personal data before a text leaves the house."""

    @property
    def fingerprint(self) -> str:
        """Changes when the same text could be masked differently."""
        ...

    def mask(self, text: str, language: str | None = None) -> str:
        """The text with each personal datum replaced by its kind, such as `<EMAIL_1>`; equal data get equal
        marks, and a masked text stays as it is."""
        ...


# -------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """A reply that keeps to its form. `flags` name what a reader should know: `unsupported_number: 42`,
    `claim_without_evidence: 3`, `degraded`. Every ref of `evidence` resolves."""

    document: Mapping[str, Any]
    level: ParseLevel
    confidence: float
    degraded: bool = False
    flags: tuple[str, ...] = ()
    evidence: tuple[Mapping[str, Any], ...] = ()
    evidence_valid: bool = True


AnswerCheck = Callable[[str, str], ParsedAnswer]
"""(text, finish) of a reply to its parsed answer; raises AnswerRejected."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to whichever provider is best. `variables` are what the template is rendered from (masked by the
    gateway); `evidence` is what the answer may cite. `model` asks the preferred provider for another model than
    its config says."""

    template: PromptTemplate
    requested_key: str
    variables: Mapping[str, Any]
    evidence: tuple[EvidenceItem, ...]
    subject_type: SubjectType
    subject_id: str
    enhancement_type: str
    check: AnswerCheck
    severity: Severity | None = None
    organization_id: str = DEFAULT_ORGANIZATION
    preferred_provider_id: UUID | None = None
    language: str | None = None
    run_id: str | None = None
    use_cache: bool = True
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question. Failures are answers too: nothing but programming errors is raised.

    `status`: success, error (with `error_type` and `error_subtype`) or disabled.
    """

    status: Literal["success", "error", "disabled"]
    cache_status: CacheStatus = "miss"
    enhancement_id: UUID | None = None
    document: Mapping[str, Any] | None = None
    confidence: float | None = None
    degraded: bool = False
    flags: tuple[str, ...] = ()
    evidence: tuple[Mapping[str, Any], ...] = ()
    template_key: str = ""
    template_version: str = ""
    provider_name: str | None = None
    model: str | None = None
    context_hash: str = ""
    error_type: ErrorType | None = None
    error_subtype: ErrorSubtype | None = None
    error: str = ""
    generated_at: datetime | None = None
    processing_time_ms: int = 0
    tokens_total: int = 0
    cost_usd: float = 0.0
