"""How an enhancement is shown: bands of confidence, four statuses, and the few words that people see instead."""

from __future__ import annotations

from typing import Literal

from tagging_orchestration.core.enhancement.models import Answer, ErrorSubtype, ErrorType

Status = Literal["loading", "success", "error", "disabled"]
Band = Literal["high", "medium", "low"]
InternalState = Literal[
    "loading", "success", "error", "disabled", "cached", "low_confidence", "rate_limited", "budget_exhausted"
]

HIGH_CONFIDENCE = 0.8
MEDIUM_CONFIDENCE = 0.6

_STATUSES: dict[str, Status] = {
    "loading": "loading",
    "success": "success",
    "cached": "success",
    "low_confidence": "success",
    "error": "error",
    "rate_limited": "error",
    "budget_exhausted": "error",
    "disabled": "disabled",
}
_SLOW = ("The AI analysis takes longer than usual; try again later.", "AI 分析回應較慢，請稍後重試")
_UNAVAILABLE = ("AI analysis is not available at present.", "AI 分析暫時無法使用")
# The server is not there, or nobody is to be asked now: the page is complete without AI, so nothing is said.
_SILENT = frozenset(
    {
        *(ErrorSubtype.UNAVAILABLE, ErrorSubtype.MODEL_NOT_FOUND, ErrorSubtype.BUSY),
        *(ErrorSubtype.BUDGET, ErrorSubtype.CANCELLED),
    }
)


def band(confidence: float) -> Band:
    """The band of a confidence in [0, 1]: high from 0.8 (green), medium from 0.6 (yellow), else low (grey)."""
    if confidence >= HIGH_CONFIDENCE:
        return "high"
    return "medium" if confidence >= MEDIUM_CONFIDENCE else "low"


def is_shown(confidence: float | None, threshold: float) -> bool:
    """Whether an answer is shown without being asked for; below the threshold it is kept, and shown on demand."""
    return confidence is not None and confidence >= threshold


def enhancement_status(state: InternalState) -> Status:
    """The status outside of a state inside: an answer from the cache or of low confidence is a success, a limit is
    an error."""
    return _STATUSES[state]


def internal_state(answer: Answer, threshold: float) -> InternalState:
    """What exactly came of a question: where a success is from and how sure it is, what kind of error it was."""
    if answer.status == "error":
        if answer.error_subtype == ErrorSubtype.BUDGET:
            return "budget_exhausted"
        return "rate_limited" if answer.error_type == ErrorType.RATE_LIMIT else "error"
    if answer.status == "disabled":
        return "disabled"
    if not is_shown(answer.confidence, threshold):
        return "low_confidence"
    return "cached" if answer.cache_status in ("hit", "stale") else "success"


def notice(error_type: ErrorType | None, error_subtype: ErrorSubtype | None, locale: str) -> str:
    """What people are told of a failed question beside the unchanged page: nothing where there is no server or no
    question to be asked now, a soft word where it is slow, and that it failed otherwise."""
    if error_type is None and error_subtype is None:
        return ""
    if error_type == ErrorType.TIMEOUT or error_subtype == ErrorSubtype.DEADLINE:
        english, chinese = _SLOW
    elif error_type == ErrorType.RATE_LIMIT or error_subtype in _SILENT:
        return ""
    else:
        english, chinese = _UNAVAILABLE
    return chinese if locale.startswith("zh") else english
