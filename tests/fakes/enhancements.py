"""What AI added to the business of `tests.fakes.report`, as a page shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tagging_orchestration.core.enhancement.shown import Citation, ReportEnhancements, Shown, shown
from tagging_orchestration.core.enhancement.subjects import RECOMMENDATIONS
from tests.fakes import report as fake

CITATIONS = {
    "tag:11": Citation("tag:11", "no reply"),
    "content:101": Citation("content:101", "Fourth day without an answer", "I wrote on Monday about a grinder"),
    "row:raw.support_tickets/TCK-0219": Citation(
        "row:raw.support_tickets/TCK-0219", "raw.support_tickets TCK-0219"
    ),
    "metric:avg_response_time": Citation("metric:avg_response_time", "Time to first answer"),
    "context:business_impact.affected_customers": Citation(
        "context:business_impact.affected_customers", "business_impact.affected_customers", "= 16"
    ),
}
ALERT = {
    "summary": "客服回覆時間暴增，顧客等候 412 分鐘",
    "rootCauseAnalysis": ["客服人力不足，案件積壓", "「no reply」標籤暴增為平常的 11.3 倍", "損失約 99999 元"],
    "actionableRecommendations": ["今天加派人手", "先處理等候最久的案件", "公告預計回覆時間"],
    "businessImpact": {"severity": "high", "affectedAreas": ["客服", "留存"], "estimatedCost": ""},
    "timelineEstimate": "三天內",
    "confidence": 0.85,
}
INSIGHT = {
    "deepAnalysis": "Slow answers keep customers from coming back.",
    "opportunities": [],
    "risks": ["More refunds"],
    "actions": ["Answer the oldest tickets first"],
}
SUMMARY = {
    "overallHealth": "critical",
    "headline": "客服積壓是今天唯一的急事",
    "keyFindings": ["回覆時間為平常的八倍"],
    "priorityActions": ["加派客服"],
    "period": "2026-10-31",
}


def made(
    subject_type: str,
    subject_id: str,
    document: dict[str, Any],
    *,
    confidence: float = 0.85,
    evidence: tuple[tuple[int, str], ...] = (),
    flags: tuple[str, ...] = (),
    locale: str = "zh-TW",
) -> Shown:
    """One enhancement as the page shows it."""
    titles = [item.title.of("zh-Hant" if locale == "zh-TW" else "en") for item in fake.facts().recommendations]
    return shown(
        id="e0000000-0000-0000-0000-000000000001",
        subject_type=subject_type,
        subject_id=subject_id,
        document=document,
        evidence=[{"claim_index": index, "ref": ref} for index, ref in evidence],
        flags=flags,
        confidence=confidence,
        degraded=False,
        citations=CITATIONS,
        present_order=titles,
        threshold=0.7,
        provider="local",
        model="phi4-mini",
        prompt=f"{subject_type}_prompt",
        version="1.0",
        made_at=datetime(2026, 11, 1, 1, 0, tzinfo=UTC),
        locale=locale,
    )


def alert(id: str = "alert-1", **how: Any) -> Shown:
    """An alert's analysis with cited claims and a number that is in no data."""
    how = {
        "evidence": (
            (0, "row:raw.support_tickets/TCK-0219"),
            (1, "tag:11"),
            (1, "content:101"),
            (2, "context:business_impact.affected_customers"),
            (3, "metric:avg_response_time"),
        ),
        "flags": ("unsupported_number: 99999",),
    } | how
    return made("alert", id, ALERT, **how)


def enhancements(**changes: Any) -> ReportEnhancements:
    """Everything AI can add: an alert, an insight (unsure), another order, both summaries."""
    facts = fake.facts()
    ordered = [
        {
            "title": item.title.zh,
            "newPriority": place,
            "feasibility": "high",
            "resources": "兩人",
            "timeline": "一週",
            "reason": "成本最低",
        }
        for place, item in enumerate(reversed(facts.recommendations), 1)
    ]
    return ReportEnhancements(
        **{
            "alerts": {"alert-1": alert()},
            "insights": {
                facts.insights[0].id: made("insight", facts.insights[0].id, INSIGHT, confidence=0.5, locale="en")
            },
            "recommendations": made("recommendation", RECOMMENDATIONS, {"ordered": ordered}),
            "summaries": {
                "daily": made("summary", f"daily:{fake.AS_OF}", SUMMARY),
                "weekly": made("summary", f"weekly:{fake.AS_OF}", SUMMARY),
            },
        }
        | changes
    )
