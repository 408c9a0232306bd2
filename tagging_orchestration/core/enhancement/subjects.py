"""What is enhanced: the facts of an alert, of an insight, of the recommendations, of a period.

Facts hold both languages; `variables.py` makes of them what a prompt is rendered from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from tagging_orchestration.core.business.report import HealthReport, Locale, Phrase, SampleText, Severity

Period = Literal["daily", "weekly"]
Kind = Literal["alerts", "insights", "recommendations", "executive_summary"]
"""The four points where AI may add something; each can be switched off."""

RECOMMENDATIONS = "recommendations"
"""The subject id of the recommendations, which are weighed against one another."""

ABOUT_AI = "ai_"
"""How the subtype of an alert about the AI itself begins; such an alert is never enhanced."""


@dataclass(frozen=True, slots=True)
class BusinessFacts:
    """Whose facts they are. `profile` is what people wrote about the business: quoted, never added to."""

    organization_id: str
    locale: Locale
    timezone: str
    currency: str
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricNames:
    """What a metric is called, and what its values mean."""

    metric_name: str
    label: Phrase
    category: str
    unit: str
    is_higher_better: bool | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """The value of a metric on a day, in its unit."""

    day: date
    value: float


@dataclass(frozen=True, slots=True)
class EarlierAlert:
    """An earlier time that the same metric of the same part of the business alerted."""

    first: date
    last: date
    severity: Severity
    alert_subtype: str


@dataclass(frozen=True, slots=True)
class RelatedAlert:
    """Another open alert of the same incident."""

    id: str
    metric: MetricNames
    severity: Severity
    title: Phrase


@dataclass(frozen=True, slots=True)
class AlertSubject:
    """An alert with what explains it. `trend` ends with its last day; `evidence` is the present one
    (`evidence_refs`), `business_context` what was known when it was detected."""

    id: str
    alert_type: str
    alert_subtype: str
    severity: Severity
    metric: MetricNames
    dimension: str
    dimension_label: str
    direction: str
    title: Phrase
    message: Phrase
    current_value: float | None
    threshold_value: float | None
    metric_date: date
    last_metric_date: date
    business_context: Mapping[str, Any]
    evidence: Mapping[str, Any]
    samples: tuple[SampleText, ...] = ()
    trend: tuple[Point, ...] = ()
    earlier: tuple[EarlierAlert, ...] = ()
    related: tuple[RelatedAlert, ...] = ()

    @property
    def is_about_ai(self) -> bool:
        """Whether it tells of the AI itself."""
        return self.alert_subtype.startswith(ABOUT_AI)


@dataclass(frozen=True, slots=True)
class InsightSubject:
    """A key business insight. `business_context` is its own fact, `situation` that of its metric's last day,
    `rests_on` the ids of alerts, metrics, tags and rows; `tags` their names by id."""

    id: str
    insight_type: str
    category: str
    title: Phrase
    description: Phrase
    impact: str
    confidence: float | None
    actions: tuple[Phrase, ...]
    business_context: Mapping[str, Any]
    rests_on: Mapping[str, Any]
    metric: MetricNames | None = None
    situation: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[int, str] = field(default_factory=dict)
    samples: tuple[SampleText, ...] = ()
    trend: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class RecommendationItem:
    """One strategic recommendation, with what it rests on."""

    id: str
    category: str
    title: Phrase
    description: Phrase
    impact: str
    effort: str
    priority: int
    confidence: float | None
    timeline: Phrase
    business_context: Mapping[str, Any]
    rests_on: Mapping[str, Any]
    tags: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecommendationsSubject:
    """All present recommendations, and the state of the business in which they are weighed."""

    items: tuple[RecommendationItem, ...]
    report: HealthReport


@dataclass(frozen=True, slots=True)
class SummarySubject:
    """The business over a period that ends with the day of the report. `highlights` are summaries that AI gave of
    single alerts and insights."""

    period: Period
    day: date
    report: HealthReport
    highlights: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The subject's id: one summary a period and day."""
        return f"{self.period}:{self.day}"


@dataclass(frozen=True, slots=True)
class CustomSubject:
    """An analysis that somebody asked for: of the whole business, or of one metric of it."""

    template_key: str
    report: HealthReport
    metric_name: str | None = None
