"""How enhancements are shown."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.enhancement.display import (
    band,
    enhancement_status,
    internal_state,
    is_shown,
    notice,
)
from tagging_orchestration.core.enhancement.models import Answer, ErrorSubtype, ErrorType


@pytest.mark.parametrize(
    ("confidence", "name"),
    [(1, "high"), (0.8, "high"), (0.79, "medium"), (0.6, "medium"), (0.59, "low"), (0, "low")],
)
def test_bands(confidence, name):
    assert band(confidence) == name


def test_an_answer_below_the_threshold_is_kept_not_shown():
    assert is_shown(0.7, 0.7)
    assert not is_shown(0.69, 0.7)
    assert not is_shown(None, 0.0)


@pytest.mark.parametrize(
    ("answer", "state", "status"),
    [
        (Answer("success", confidence=0.9), "success", "success"),
        (Answer("success", "hit", confidence=0.9), "cached", "success"),
        (Answer("success", "stale", confidence=0.9), "cached", "success"),
        (Answer("success", confidence=0.5), "low_confidence", "success"),
        (Answer("disabled"), "disabled", "disabled"),
        (Answer("error", error_subtype=ErrorSubtype.TRUNCATED), "error", "error"),
        (Answer("error", error_type=ErrorType.RATE_LIMIT), "rate_limited", "error"),
        (
            Answer("error", error_type=ErrorType.RATE_LIMIT, error_subtype=ErrorSubtype.BUDGET),
            "budget_exhausted",
            "error",
        ),
    ],
)
def test_states_inside_and_statuses_outside(answer, state, status):
    assert internal_state(answer, 0.7) == state
    assert enhancement_status(state) == status
    assert enhancement_status("loading") == "loading"


@pytest.mark.parametrize(
    ("kind", "subtype", "words"),
    [
        (ErrorType.GENERAL_ERROR, ErrorSubtype.UNAVAILABLE, ""),
        (ErrorType.GENERAL_ERROR, ErrorSubtype.MODEL_NOT_FOUND, ""),
        (ErrorType.RATE_LIMIT, ErrorSubtype.BUDGET, ""),
        (None, None, ""),
        (ErrorType.TIMEOUT, ErrorSubtype.DEADLINE, "AI 分析回應較慢，請稍後重試"),
        (ErrorType.TIMEOUT, None, "AI 分析回應較慢，請稍後重試"),
        (ErrorType.GENERAL_ERROR, ErrorSubtype.INVALID_JSON, "AI 分析暫時無法使用"),
        (ErrorType.AUTH_ERROR, None, "AI 分析暫時無法使用"),
    ],
)
def test_what_people_are_told(kind, subtype, words):
    assert notice(kind, subtype, "zh-TW") == words
    assert (notice(kind, subtype, "en") == "") == (words == "")
