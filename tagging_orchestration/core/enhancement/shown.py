"""What a page shows of enhancements: their parts in the order people read them, each claim with its evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tagging_orchestration.core.business.report import HealthReport
from tagging_orchestration.core.enhancement.display import Band, band
from tagging_orchestration.core.enhancement.switches import UserSettings

# Lists of claims of each kind of subject in the order in which `claim_index` counts through them; the word under
# which a page shows each.
CLAIM_LISTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "alert": (("rootCauseAnalysis", "ai_causes"), ("actionableRecommendations", "ai_actions")),
    "insight": (("opportunities", "ai_opportunities"), ("risks", "ai_risks"), ("actions", "ai_actions")),
    "recommendation": (("ordered", "ai_order"),),
    "summary": (("keyFindings", "ai_findings"), ("priorityActions", "ai_priority_actions")),
}
_LEADS: Mapping[str, str] = {"alert": "summary", "insight": "deepAnalysis", "summary": "headline"}
_UNSUPPORTED = re.compile(r"unsupported_number:\s*(\S.*)")


@dataclass(frozen=True, slots=True)
class Citation:
    """A piece of evidence under a claim: what it is called, and more of it for whoever looks closer."""

    ref: str
    label: str
    detail: str = ""

    @property
    def kind(self) -> str:
        """tag, content, row, alert, metric, insight, recommendation or context."""
        return self.ref.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing the model says. `doubtful` are numbers in it that are in none of the data it was given."""

    text: str
    citations: tuple[Citation, ...] = ()
    doubtful: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderedItem:
    """A recommendation at the place the model would give it; `was` is its place now, counted from 1."""

    claim: Claim
    place: int
    was: int | None
    feasibility: str
    resources: str = ""
    timeline: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A list of claims under a heading (`word` is a key of the page's words)."""

    word: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One enhancement on a page. `facts` are (word, text) such as the expected time; `language` is that of the
    texts; `is_hidden`: not sure enough to be unfolded by default."""

    id: str
    subject_id: str
    lead: Claim | None
    parts: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]
    order: tuple[OrderedItem, ...]
    confidence: float
    is_hidden: bool
    degraded: bool
    provider: str
    model: str
    prompt: str
    version: str
    made_at: datetime
    language: str

    @property
    def band(self) -> Band:
        """How sure the model says it is."""
        return band(self.confidence)


@dataclass(frozen=True, slots=True)
class ReportEnhancements:
    """What AI adds to one report, by subject id, and how its switches stand by default. `healthy`: whether it can
    be asked now; what is shown was answered before."""

    settings: UserSettings = field(default_factory=UserSettings)
    healthy: bool = True
    alerts: Mapping[str, Shown] = field(default_factory=dict)
    insights: Mapping[str, Shown] = field(default_factory=dict)
    recommendations: Shown | None = None
    summaries: Mapping[str, Shown] = field(default_factory=dict)
    loading: int = 0

    def __bool__(self) -> bool:
        return bool(self.alerts or self.insights or self.recommendations or self.summaries or self.loading)


def shown(
    *,
    id: str,
    subject_type: str,
    subject_id: str,
    document: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]],
    flags: Sequence[str],
    confidence: float | None,
    degraded: bool,
    citations: Mapping[str, Citation],
    present_order: Sequence[str],
    threshold: float,
    provider: str,
    model: str,
    prompt: str,
    version: str,
    made_at: datetime,
    locale: str,
) -> Shown:
    """How an answer is shown. `citations` are the pieces of evidence that lead somewhere, by reference;
    `present_order` the titles of the recommendations as they stand now."""
    doubtful = [match[1].strip() for flag in flags if (match := _UNSUPPORTED.fullmatch(flag))]
    cited: dict[int, list[Citation]] = {}
    for item in evidence:
        found = citations.get(str(item.get("ref")))
        if found and isinstance(item.get("claim_index"), int):
            cited.setdefault(item["claim_index"], []).append(found)

    def claim(text: str, index: int | None = None) -> Claim:
        rests_on = dict.fromkeys(cited.get(index, ()) if index is not None else ())
        return Claim(text, tuple(rests_on), tuple(number for number in doubtful if _holds(text, number)))

    parts: list[Part] = []
    order: list[OrderedItem] = []
    index = 0
    for name, word in CLAIM_LISTS[subject_type]:
        items = document.get(name) or ()
        if name == "ordered":
            order = [
                _ordered(item, claim(item["title"], index + n), n, present_order) for n, item in enumerate(items)
            ]
        elif items:
            parts.append(Part(word, tuple(claim(str(item), index + n) for n, item in enumerate(items))))
        index += len(items)
    lead = document.get(_LEADS.get(subject_type, ""))
    sure = confidence or 0.0
    return Shown(
        id=id,
        subject_id=subject_id,
        lead=claim(lead) if lead else None,
        parts=tuple(parts),
        facts=_facts(document),
        order=tuple(sorted(order, key=lambda item: item.place)),
        confidence=sure,
        is_hidden=sure < threshold,
        degraded=degraded,
        provider=provider,
        model=model,
        prompt=prompt,
        version=version,
        made_at=made_at,
        language="zh-Hant" if locale == "zh-TW" else "en",
    )


def report_titles(report: HealthReport, locale: str) -> list[str]:
    """Titles of a report's recommendations in their order, in the language of an answer."""
    return [item.title.of("zh-Hant" if locale == "zh-TW" else "en") for item in report.recommendations]


def _ordered(item: Mapping[str, Any], title: Claim, number: int, present_order: Sequence[str]) -> OrderedItem:
    place = item.get("newPriority")
    return OrderedItem(
        claim=title,
        place=place if isinstance(place, int) else number + 1,
        was=present_order.index(title.text) + 1 if title.text in present_order else None,
        feasibility=str(item.get("feasibility", "")),
        resources=str(item.get("resources", "")),
        timeline=str(item.get("timeline", "")),
        reason=str(item.get("reason", "")),
    )


def _facts(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    impact = document.get("businessImpact") or {}
    said = (
        ("timeline", document.get("timelineEstimate")),
        ("impact", impact.get("severity")),
        ("ai_areas", "、".join(map(str, impact.get("affectedAreas") or ()))),
        ("ai_cost", impact.get("estimatedCost")),
        ("ai_period", document.get("period")),
    )
    return tuple((word, str(text)) for word, text in said if text)


def _holds(text: str, number: str) -> bool:
    """Whether a number stands in a text as one, not as a part of a longer one."""
    return bool(re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)", text))
