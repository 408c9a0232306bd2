"""An alert as prompts are rendered from it, what may be cited of it, and good answers in both languages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tagging_orchestration.core.enhancement.answers import parse_answer
from tagging_orchestration.core.enhancement.models import AnswerRejected, EvidenceItem, ParsedAnswer

ALERT = "alert:550e8400-e29b-41d4-a716-446655440000"
EVIDENCE = (
    EvidenceItem("metric:avg_response_time", "平均回應時間"),
    EvidenceItem("tag:12", "標籤「客服等待」：41 篇，頻率為平常的 3.4 倍"),
    EvidenceItem("content:812", "ticket, 2025-08-06: 電話一直打不進去"),
    EvidenceItem("row:raw.orders/8841", "延遲最久的訂單"),
    EvidenceItem(ALERT, "客服回應效率需改善"),
    EvidenceItem("context:trend_analysis.efficiency_trend_pct", "trend_analysis.efficiency_trend_pct = -3.1"),
    EvidenceItem("context:business_indicators.pending_orders", "business_indicators.pending_orders = 23"),
)
VARIABLES: Mapping[str, Any] = {
    "alert_details": (
        "標題: 客服回應效率需改善\n說明: 平均回應時間 125.5 分鐘，高於門檻 120 分鐘\n起始日: 2025-08-05"
    ),
    "current_value": 125.5,
    "threshold_value": 120.0,
    "severity": "warning",
    "metric_name": "平均回應時間",
    "timestamp": "2025-08-07T10:30:00Z",
    "business_context": {
        "snapshot_timestamp": "2025-08-07T10:30:00Z",
        "triggering_metrics": {"primary_metric": "avg_response_time", "breach_severity": "warning"},
        "business_indicators": {
            "active_customers": 1250,
            "high_value_customers": 180,
            "daily_revenue": 145000,
            "order_completion_rate": 0.87,
            "pending_orders": 23,
        },
        "trend_analysis": {
            "customer_trend_pct": 15.2,
            "revenue_trend_pct": 8.3,
            "efficiency_trend_pct": -3.1,
            "trend_period": "7_days",
        },
        "contextual_factors": {"recent_events": ["marketing_campaign_launch", "system_maintenance"]},
        "related_alerts": [{"metric": "order_completion_rate", "severity": "info", "detected_hours_ago": 8}],
        "business_impact": {
            "affected_customers": 320,
            "revenue_impact": {"amount": 12000, "currency": "TWD", "per": "day", "text": "NT$12,000/day"},
        },
    },
}
ZH: dict[str, Any] = {
    "summary": "客服平均回應時間 125.5 分鐘，超過門檻 120 分鐘。",
    "rootCauseAnalysis": [
        "行銷活動帶來客戶成長 15.2%，客服人力沒有跟上",
        "待處理訂單累積到 23 筆，詢問量增加",
        "系統維護期間工單無法即時分派",
    ],
    "actionableRecommendations": [
        "尖峰時段增派 2 名客服",
        "24 小時內檢查工單分派規則",
        "兩週內導入常見問題自動回覆",
    ],
    "businessImpact": {
        "severity": "medium",
        "affectedAreas": ["客服", "營運"],
        "estimatedCost": "每日約 NT$12,000",
    },
    "timelineEstimate": "2-4 週",
    "confidence": 0.82,
    "evidence": [
        {"claim_index": 0, "ref": "tag:12"},
        {"claim_index": 1, "ref": "context:business_indicators.pending_orders"},
        {"claim_index": 2, "ref": "content:812"},
        {"claim_index": 3, "ref": "metric:avg_response_time"},
        {"claim_index": 4, "ref": ALERT},
        {"claim_index": 5, "ref": "tag:12"},
    ],
}
EN: dict[str, Any] = {
    **ZH,
    "summary": "Average response time is 125.5 minutes, above the limit of 120.",
    "rootCauseAnalysis": [
        "A marketing campaign brought 15.2% more customers while staffing stayed the same",
        "23 orders are pending, so more customers ask about them",
        "System maintenance delayed the routing of tickets",
    ],
    "actionableRecommendations": [
        "Add 2 agents at peak hours",
        "Review the routing of tickets within 24 hours",
        "Introduce automatic replies to common questions within 2 weeks",
    ],
    "businessImpact": {
        "severity": "medium",
        "affectedAreas": ["customer service"],
        "estimatedCost": "about NT$12,000 a day",
    },
    "timelineEstimate": "2 to 4 weeks",
}


def written(document: Any) -> str:
    """The document as a model writes it."""
    return json.dumps(document, ensure_ascii=False)


def parsed(
    reply: Any,
    finish: str = "stop",
    *,
    schema_name: str | None = "alert_enhancement.v1",
    evidence: tuple[EvidenceItem, ...] = EVIDENCE,
    variables: Mapping[str, Any] = VARIABLES,
    locale: str = "zh-TW",
    expected: Mapping[str, Any] | None = None,
) -> ParsedAnswer:
    """The answer in a reply, or in a document written as one."""
    return parse_answer(
        reply if isinstance(reply, str) else written(reply),
        finish,
        schema_name=schema_name,
        evidence=evidence,
        variables=variables,
        locale=locale,
        expected=expected or {},
    )


def refusal(reply: Any, finish: str = "stop", **how: Any) -> tuple[str, tuple[str, ...]]:
    """Why a reply is refused: the kind, and what the model is told."""
    try:
        answer = parsed(reply, finish, **how)
    except AnswerRejected as error:
        return error.subtype.value, error.faults
    raise AssertionError(f"accepted: {answer}")
