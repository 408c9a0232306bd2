"""What calls can spend, did spend, and may spend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.enhancement.limits import (
    AICostControl,
    LimitReached,
    Spend,
    cost_micro_usd,
    estimated_tokens,
    exceeds_context,
    failure_spend,
    prompt_bound,
    reply_spend,
)
from tagging_orchestration.core.enhancement.models import (
    ErrorSubtype,
    ErrorType,
    LlmFailure,
    LlmReply,
    LlmRequest,
)

CONTROL = AICostControl(1000, 10, 0.5, 60, 5)


def request(prompt: str = "客服回覆過慢", options: dict | None = None, max_tokens: int = 100) -> LlmRequest:
    return LlmRequest("m", "system", prompt, max_tokens, 0.3, 30, options=options or {})


def failure(subtype: ErrorSubtype, **more: object) -> LlmFailure:
    return LlmFailure("x", subtype=subtype, **more)  # pyright: ignore[reportArgumentType]


def test_limits_by_scope() -> None:
    assert CONTROL.limits() == {"day": 1000, "cost": 500_000, "hour": 10, "minute": 60, "burst": 5}
    assert [CONTROL.past_hourly(severity) for severity in ("critical", "warning", "info", None)] == [True] + [
        False
    ] * 3
    assert not AICostControl(1, 1, 1, 1, 1, critical_alert_priority=False).past_hourly("critical")


@pytest.mark.parametrize(
    ("scope", "subtype"),
    [("day", "budget"), ("cost", "budget"), ("hour", "budget"), ("minute", "busy"), ("burst", "busy")],
)
def test_refusals_are_rate_limits_that_never_left(scope, subtype) -> None:
    reached = LimitReached(scope)
    assert (reached.type, reached.subtype, reached.sent, reached.may_retry) == (
        "rate_limit",
        subtype,
        False,
        False,
    )


@given(st.text(max_size=200), st.text(max_size=50))
def test_the_bound_of_a_prompt_is_at_least_its_bytes(system: str, prompt: str) -> None:
    asked = LlmRequest("m", system, prompt, 10, 0, 1)
    assert prompt_bound(asked) >= len((system + prompt).encode("utf-8", "surrogatepass"))
    assert estimated_tokens(prompt) <= prompt_bound(asked)


def test_the_context_and_the_schema_count() -> None:
    assert prompt_bound(request("茶" * 9000, {"num_ctx": 8192})) == 8192
    schema = LlmRequest("m", "", "", 10, 0, 1, schema={"type": "object"})
    assert prompt_bound(schema) > prompt_bound(LlmRequest("m", "", "", 10, 0, 1))


@pytest.mark.parametrize(("characters", "beyond"), [(8000, False), (8100, True)])
def test_a_prompt_and_its_answer_must_fit_the_context(characters: int, beyond: bool) -> None:
    assert exceeds_context(request("茶" * characters), 8192) is beyond


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((20, 10), Spend(20, 10)),
        ((0, 0), Spend()),
        ((None, 10), Spend(prompt_bound(request()), 10, estimated=True)),
        ((20, None), Spend(20, 12, estimated=True)),
        ((-5, 10), Spend(0, 10)),
        ((10**12, 10), Spend(prompt_bound(request()), 10, estimated=True)),
        ((20, 101), Spend(20, 100, estimated=True)),
    ],
)
def test_what_a_reply_took(said: tuple[int | None, int | None], expected: Spend) -> None:
    # Four characters of three bytes each.
    assert reply_spend(LlmReply("八個位元", "stop", "m", *said), request(max_tokens=100)) == expected


@pytest.mark.parametrize(
    ("failed", "tokens"),
    [
        (failure(ErrorSubtype.UNAVAILABLE, may_retry=True, sent=False), 0),
        (failure(ErrorSubtype.BUSY, http_status=503, may_retry=True), 0),
        (failure(ErrorSubtype.DEADLINE, type=ErrorType.TIMEOUT, may_retry=True), 0),
        (failure(ErrorSubtype.SERVER_ERROR, http_status=500), 0),
        (failure(ErrorSubtype.INCOMPLETE, http_status=200, tokens_prompt=7, tokens_completion=5), 12),
        (failure(ErrorSubtype.INCOMPLETE, http_status=200), prompt_bound(request()) + 100),
        (failure(ErrorSubtype.CANCELLED), prompt_bound(request()) + 100),
        (failure(ErrorSubtype.CANCELLED, sent=False), 0),
    ],
)
def test_what_a_failure_took(failed: LlmFailure, tokens: int) -> None:
    assert failure_spend(failed, request(), streams=True).tokens == tokens


def test_a_provider_that_streams_nothing_may_have_worked_on_what_was_waited_for_in_vain() -> None:
    late = failure(ErrorSubtype.DEADLINE, type=ErrorType.TIMEOUT, may_retry=True)
    assert failure_spend(late, request(), streams=False) == Spend(prompt_bound(request()), 100, estimated=True)
    busy = failure(ErrorSubtype.BUSY, http_status=503, may_retry=True)
    assert failure_spend(busy, request(), streams=False) == Spend()


def test_costs_are_rounded_up_to_a_millionth() -> None:
    assert cost_micro_usd(0.15, 0.60, Spend(1000, 500)) == 450
    assert cost_micro_usd(0.15, 0, Spend(1, 0)) == 1
    assert cost_micro_usd(0, 0, Spend(10**6, 10**6)) == 0
