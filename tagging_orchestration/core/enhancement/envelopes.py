"""What people and programs get of an enhancement: its status, and the answer with where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tagging_orchestration.core.enhancement.display import Status, notice
from tagging_orchestration.core.enhancement.models import Answer, SubjectType

# Other names of the parts of an alert's analysis, for callers that know the older ones.
_ALIASES = {"rootCauseAnalysis": "rootCause", "actionableRecommendations": "recommendations"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """One enhancement with its status. `reason` says why there is none; it is for the log and the settings, never
    for the page. `answer` is None where nothing was asked."""

    subject_type: SubjectType
    subject_id: str
    status: Status
    answer: Answer | None = None
    reason: str = ""

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The analysis, where there is one."""
        return self.answer.document if self.answer and self.status == "success" else None

    def notice(self, locale: str) -> str:
        """What a person may be told beside the unchanged base: nothing where AI is off or cannot be reached, a
        soft word where it is slow, and that it failed otherwise."""
        answer = self.answer
        if self.status != "error" or answer is None:
            return ""
        return notice(answer.error_type, answer.error_subtype, locale)

    def to_json(self) -> dict[str, Any]:
        """The envelope as API JSON. An analysis has `alertId` (or `subjectId`), `aiAnalysis`, `generatedAt`,
        `processingTimeMs` and `metadata`; without one there is only the status."""
        head: dict[str, Any] = {
            "alertId" if self.subject_type == "alert" else "subjectId": self.subject_id,
            "status": self.status,
        }
        answer = self.answer
        if answer is None or self.document is None:
            return head
        analysis = dict(self.document)
        analysis |= {alias: analysis[name] for name, alias in _ALIASES.items() if name in analysis}
        return head | {
            "aiAnalysis": analysis,
            "generatedAt": answer.generated_at.astimezone(UTC).isoformat() if answer.generated_at else None,
            "processingTimeMs": max(1, answer.processing_time_ms),
            "metadata": {
                "promptUsed": answer.template_key,
                "promptVersion": answer.template_version,
                "provider": answer.provider_name,
                "model": answer.model,
                "businessContextHash": answer.context_hash,
                "cacheStatus": answer.cache_status,
                "degraded": answer.degraded,
                "flags": list(answer.flags),
                "evidence": [dict(item) for item in answer.evidence],
            },
        }


@dataclass(frozen=True, slots=True)
class EnhanceReport:
    """What a run over several subjects did. `skipped` were not asked for (nothing new, switched off, over the
    limit of a run); `failed` counts by what went wrong."""

    enhanced: int = 0
    from_cache: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    status: Status = "success"
    reason: str = ""

    @classmethod
    def of(cls, envelopes: Iterable[Envelope], skipped: int = 0) -> EnhanceReport:
        """The counts of these enhancements."""
        asked = list(envelopes)
        answers = [envelope.answer for envelope in asked if envelope.answer]
        good = [answer for answer in answers if answer.status == "success"]
        failed = Counter(
            str(answer.error_subtype or answer.error_type or "unknown")
            for answer in answers
            if answer.status == "error"
        )
        # Nothing was asked where AI is off, or there was nothing to ask about.
        silent = [envelope for envelope in asked if envelope.answer is None or envelope.status == "disabled"]
        return cls(
            enhanced=sum(answer.cache_status in ("miss", "bypass") for answer in good),
            from_cache=sum(answer.cache_status in ("hit", "stale") for answer in good),
            failed=dict(failed),
            skipped=skipped + len(silent),
            tokens=sum(answer.tokens_total for answer in answers),
            cost_usd=round(sum(answer.cost_usd for answer in answers), 6),
            status="error" if failed and not good else "disabled" if silent and not good else "success",
            reason=next((envelope.reason for envelope in asked if envelope.reason), ""),
        )

    @property
    def total(self) -> int:
        """How many subjects were asked about."""
        return self.enhanced + self.from_cache + sum(self.failed.values())


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """Whether AI can answer now. `on` is what `AI 增強` effectively is: configured, wanted and healthy."""

    configured: bool
    wanted: bool
    healthy: bool
    providers: Mapping[str, str] = field(default_factory=dict)
    checked_at: datetime | None = None

    @property
    def on(self) -> bool:
        """Configured and wanted and healthy; nothing of it is ever written back to a switch."""
        return self.configured and self.wanted and self.healthy
