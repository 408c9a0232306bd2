"""Figures of the AI's use, as tables and plots show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Bucket = Literal["hour", "day"]
Grouping = Literal["provider", "model", "template", "subject", "day"]


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """One provider's use within an hour or a day (UTC) that begins at `at`; '' stands for no provider.

    `requests` are questions, `answered` those that got an answer, `cached` those answered without a call; `calls`
    left for the provider and `successes` of them gave an answer. Times are milliseconds of calls, cost US dollars.
    """

    at: datetime
    provider: str
    requests: int
    answered: int
    cached: int
    calls: int
    successes: int
    tokens: int
    cost_usd: float
    p50_response_ms: float | None
    p95_response_ms: float | None
    high_confidence: int
    medium_confidence: int
    low_confidence: int


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """The use of one provider, template, ... over a while; see `UsagePoint`. Rates are None of nothing."""

    name: str
    requests: int
    calls: int
    success_rate: float | None
    cache_hit_rate: float | None
    avg_response_ms: float | None
    p95_response_ms: float | None
    tokens: int
    tokens_estimated: bool
    cost_usd: float
    cost_per_success_usd: float | None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often calls, or questions refused before one, ended in this error."""

    error_type: str
    error_subtype: str
    count: int


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """What is used and reserved of a limit in the present window (UTC): `day` tokens, `cost` US dollars a day,
    `hour` and `minute` requests."""

    scope: Literal["day", "cost", "hour", "minute"]
    used: float
    reserved: float
    limit: float

    @property
    def share(self) -> float:
        """Of the limit; a limit of 0 is always used up."""
        return (self.used + self.reserved) / self.limit if self.limit else 1.0

    @property
    def left(self) -> float:
        """What may still be spent in this window."""
        return max(self.limit - self.used - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class EnhancementMetrics:
    """How the AI does for people. Rates are None of nothing; `user_engagement_rate` is the share of answers that
    somebody voted on."""

    requests_per_hour: float
    average_response_ms: float | None
    cache_hit_rate: float | None
    enhancement_success_rate: float | None
    user_engagement_rate: float | None
    high_confidence: int
    medium_confidence: int
    low_confidence: int

    def document(self) -> dict[str, Any]:
        """The metrics by the names of front ends (AIEnhancementMetrics)."""
        return {
            "requestsPerHour": self.requests_per_hour,
            "averageResponseTime": self.average_response_ms,
            "cacheHitRate": self.cache_hit_rate,
            "enhancementSuccessRate": self.enhancement_success_rate,
            "userEngagementRate": self.user_engagement_rate,
            "aiConfidenceDistribution": {
                "high": self.high_confidence,
                "medium": self.medium_confidence,
                "low": self.low_confidence,
            },
        }
