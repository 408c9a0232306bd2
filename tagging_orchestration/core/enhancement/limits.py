"""Limits of calls: what a call can spend at most, what it cost, and what is allowed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tagging_orchestration.core.enhancement.models import (
    ErrorSubtype,
    ErrorType,
    LlmFailure,
    LlmReply,
    LlmRequest,
    Severity,
)

Scope = Literal["day", "cost", "hour", "minute", "burst"]

# What the server's chat template puts around a system message and a prompt.
TEMPLATE_TOKENS = 64
OLLAMA_CONTEXT_TOKENS = 8192
"""`num_ctx` of a call to Ollama whose config does not say it."""
_MICRO = 1_000_000
_REFUSALS: dict[Scope, str] = {
    "day": "the tokens of the day are used up (settings: ai.daily_token_limit)",
    "cost": "the money of the day is used up (settings: ai.daily_cost_limit_usd)",
    "hour": "the requests of the hour are used up (settings: ai.hourly_request_limit)",
    "minute": "the requests of the minute are used up (ai_system_config: rate_limiting.requests_per_minute)",
    "burst": "too many requests at once (ai_system_config: rate_limiting.burst_limit)",
}
_WIDE = re.compile(r"[^\x00-\x7f]")


class LimitReached(LlmFailure):
    """A call that a limit refused before it left."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            _REFUSALS[scope],
            type=ErrorType.RATE_LIMIT,
            subtype=ErrorSubtype.BUSY if scope in ("minute", "burst") else ErrorSubtype.BUDGET,
            sent=False,
        )
        self.scope = scope


@dataclass(frozen=True, slots=True)
class AICostControl:
    """What may be spent by all together: tokens and US dollars a UTC day, requests an hour and a minute.

    Critical alerts may exceed the hourly limit where `critical_alert_priority` says so, and no other one.
    """

    daily_token_limit: int
    hourly_request_limit: int
    cost_threshold: float
    requests_per_minute: int
    burst_limit: int
    critical_alert_priority: bool = True

    def limits(self) -> dict[str, int]:
        """The limits by scope; money in millionths of a dollar."""
        return {
            "day": self.daily_token_limit,
            "cost": int(self.cost_threshold * _MICRO),
            "hour": self.hourly_request_limit,
            "minute": self.requests_per_minute,
            "burst": self.burst_limit,
        }

    def past_hourly(self, severity: Severity | None) -> bool:
        """Whether a question may be asked though the requests of the hour are used up."""
        return self.critical_alert_priority and severity == "critical"


@dataclass(frozen=True, slots=True)
class Spend:
    """What a call took; `estimated` where the server did not say it and it was counted at its upper bound."""

    tokens_prompt: int = 0
    tokens_completion: int = 0
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.tokens_prompt + self.tokens_completion


def estimated_tokens(text: str) -> int:
    """About how many tokens a text takes: one for a character beyond ASCII, one for three others."""
    wide = len(_WIDE.findall(text))
    return wide + math.ceil((len(text) - wide) / 3)


def prompt_bound(request: LlmRequest) -> int:
    """Tokens that a request's prompt cannot exceed: tokens are made of bytes, `num_ctx` of them are read."""
    schema = "" if request.schema is None else json.dumps(request.schema, ensure_ascii=False)
    octets = sum(len(text.encode("utf-8", "surrogatepass")) for text in (request.system, request.prompt, schema))
    context = request.options.get("num_ctx")
    bound = octets + TEMPLATE_TOKENS
    return bound if context is None else min(bound, int(context))


def exceeds_context(request: LlmRequest, context_tokens: int) -> bool:
    """Whether prompt and answer together do not fit a model's context, so that a server would cut the prompt."""
    prompt = estimated_tokens(request.system) + estimated_tokens(request.prompt) + TEMPLATE_TOKENS
    return prompt + request.max_tokens > context_tokens


def reply_spend(reply: LlmReply, request: LlmRequest) -> Spend:
    """What a reply took, never more than was reserved for it."""
    bound = prompt_bound(request)
    written = min(len(reply.text.encode("utf-8", "surrogatepass")), request.max_tokens)
    return _spend(reply.tokens_prompt, reply.tokens_completion, bound, request.max_tokens, written)


def failure_spend(failure: LlmFailure, request: LlmRequest, *, streams: bool) -> Spend:
    """What a failed call took: what the server said; nothing where it refused or was not reached; else, as nobody
    knows, as much as it could. Where answers are streamed, no byte means that nothing was generated; elsewhere a
    call that was waited for in vain may have been worked on, and billed."""
    bound = prompt_bound(request)
    if failure.tokens_prompt is not None or failure.tokens_completion is not None:
        return _spend(
            failure.tokens_prompt, failure.tokens_completion, bound, request.max_tokens, request.max_tokens
        )
    refused = failure.http_status is not None and failure.http_status >= 400
    unreached = failure.subtype is ErrorSubtype.UNAVAILABLE
    nothing_came = failure.may_retry and (streams or failure.type is not ErrorType.TIMEOUT)
    if not failure.sent or refused or unreached or nothing_came:
        return Spend()
    return Spend(bound, request.max_tokens, estimated=True)


def cost_micro_usd(price_in_per_million: float, price_out_per_million: float, spend: Spend) -> int:
    """Cost in millionths of a US dollar, rounded up; prices are dollars a million tokens."""
    exact = spend.tokens_prompt * price_in_per_million + spend.tokens_completion * price_out_per_million
    return math.ceil(round(exact, 6))


def lease(timeout_seconds: float) -> timedelta:
    """How long a call may hold a reservation or a place before it counts as lost."""
    return timedelta(seconds=timeout_seconds + 30)


def _spend(prompt: int | None, completion: int | None, bound: int, most: int, otherwise: int) -> Spend:
    estimated = prompt is None or completion is None
    tokens_prompt = bound if prompt is None else max(prompt, 0)
    tokens_completion = otherwise if completion is None else max(completion, 0)
    # A server that says more than was possible is not believed: it would break the limits of all others.
    if tokens_prompt > bound or tokens_completion > most:
        return Spend(min(tokens_prompt, bound), min(tokens_completion, most), estimated=True)
    return Spend(tokens_prompt, tokens_completion, estimated)
