"""Made-up values for every variable a prompt may use, to look at prompts and to test them without a business."""

from __future__ import annotations

from typing import Any

from tagging_orchestration.core.enhancement.models import PromptTemplate
from tagging_orchestration.core.enhancement.prompts import DERIVED_VARIABLES, placeholders

_SERIES = [
    {"date": "2026-03-02", "value": 118.0},
    {"date": "2026-03-03", "value": 121.5},
    {"date": "2026-03-04", "value": 125.5},
]
_INDICATORS = {
    "active_customers": 1250,
    "high_value_customers": 180,
    "daily_revenue": 145000,
    "order_completion_rate": 0.87,
    "pending_orders": 23,
}
_TRENDS = {"customer_trend_pct": 15.2, "revenue_trend_pct": 8.3, "efficiency_trend_pct": -3.1}
_CONTEXT = {
    "snapshot_timestamp": "2026-03-04T10:30:00+08:00",
    "triggering_metrics": {
        "primary_metric": "avg_response_time",
        "current_value": 125.5,
        "threshold_value": 120,
        "breach_severity": "warning",
    },
    "business_indicators": _INDICATORS,
    "trend_analysis": {**_TRENDS, "trend_period": "7_days"},
    "related_alerts": [{"metric": "order_completion_rate", "severity": "info", "detected_hours_ago": 2}],
}
_SAME = {
    "current_value": 125.5,
    "threshold_value": 120,
    "business_context": _CONTEXT,
    "trend_data": _SERIES,
    "historical_data": _SERIES,
    "trend_analysis": _TRENDS,
    "metric_category": "customer_service",
    "metric_name": "avg_response_time",
    "severity": "warning",
    "timestamp": "2026-03-04",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "zh-TW": _SAME
    | {
        "alert_details": "客服平均回應時間 125.5 分鐘，超過閾值 120 分鐘，自 2026-03-04 起。",
        "affected_areas": ["客服", "退換貨"],
        "historical_pattern": "過去 90 天曾發生 2 次，皆在促銷首日。",
        "historical_comparison": "較去年同期高 12%。",
        "insights": [
            {
                "title": "回應變慢時重複購買下降",
                "description": "回應超過 2 小時的客戶，回購率低 8%。",
                "impact": "high",
            }
        ],
        "recommendations": ["改善客服回應效率"],
        "current_recommendations": [
            {"title": "改善客服回應效率", "description": "尖峰時段增派人力。", "priority_score": 80},
            {"title": "補足缺貨商品", "description": "向供應商追加訂單。", "priority_score": 65},
        ],
        "resource_constraints": "客服兩人；第一季預算已用八成。",
        "unified_content": {
            "alerts": [{"title": "客服回應效率需改善", "severity": "warning"}],
            "insights": [{"title": "回應變慢時重複購買下降", "impact": "high"}],
            "recommendations": [{"title": "改善客服回應效率", "priority_score": 80}],
            "last_updated": "2026-03-04T10:30:00+08:00",
        },
        "reporting_period": "週報：2026-02-26 – 2026-03-04",
        "key_metrics": _INDICATORS,
        "competitive_context": "主要競爭者上月推出當日到貨。",
        "competitive_data": "主要競爭者上月推出當日到貨。",
        "competitor_analysis": "主要競爭者上月推出當日到貨。",
        "market_context": "家電需求平穩，運費上漲。",
        "external_factors": "三月有連假與促銷。",
        "warning_signals": ["未結客服單連三日增加"],
        "current_metrics": "avg_response_time: 125.5\npending_orders: 23",
        "time_period": "2026-03-02 至 2026-03-04",
        "customer_profile": {"customers": 180, "average_orders": 6.2},
        "customer_data": {"customers": 1250, "average_order_value": 1180},
        "behavior_changes": "近 30 天登入次數減少 25%。",
        "behavior_patterns": "週末下單占四成，多用行動裝置。",
        "risk_indicators": "嚴重程度：medium，狀態：active",
        "transaction_history": [{"month": "2026-02", "orders": 412}],
        "preference_analysis": "偏好快煮壺與節能家電。",
        "core_data": {"revenue": 100000, "orders": 250},
        "analysis_focus": "performance_trends",
        "evidence": [
            "metric:avg_response_time — 客服平均回應時間",
            "tag:17 — 標籤「付款失敗」：9 篇，頻率為平常的 4.2 倍",
        ],
    },
    "en": _SAME
    | {
        "alert_details": "Average response time was 125.5 minutes, over its threshold of 120, since 2026-03-04.",
        "affected_areas": ["support", "returns"],
        "historical_pattern": "Twice in the last 90 days, each time on the first day of a promotion.",
        "historical_comparison": "12% above the same days of last year.",
        "insights": [
            {
                "title": "Slow replies cost repeat orders",
                "description": "Customers who waited over two hours order again 8% less often.",
                "impact": "high",
            }
        ],
        "recommendations": ["Answer customers faster"],
        "current_recommendations": [
            {
                "title": "Answer customers faster",
                "description": "More people at peak hours.",
                "priority_score": 80,
            },
            {"title": "Restock what sold out", "description": "Order more from suppliers.", "priority_score": 65},
        ],
        "resource_constraints": "Two people in support; four fifths of the quarter's budget are spent.",
        "unified_content": {
            "alerts": [{"title": "Support answers too slowly", "severity": "warning"}],
            "insights": [{"title": "Slow replies cost repeat orders", "impact": "high"}],
            "recommendations": [{"title": "Answer customers faster", "priority_score": 80}],
            "last_updated": "2026-03-04T10:30:00+08:00",
        },
        "reporting_period": "week: 2026-02-26 – 2026-03-04",
        "key_metrics": _INDICATORS,
        "competitive_context": "The main competitor began to deliver on the same day last month.",
        "competitive_data": "The main competitor began to deliver on the same day last month.",
        "competitor_analysis": "The main competitor began to deliver on the same day last month.",
        "market_context": "Demand for appliances is even; freight got dearer.",
        "external_factors": "A long weekend and a promotion in March.",
        "warning_signals": ["Open tickets have grown for three days"],
        "current_metrics": "avg_response_time: 125.5\npending_orders: 23",
        "time_period": "2026-03-02 to 2026-03-04",
        "customer_profile": {"customers": 180, "average_orders": 6.2},
        "customer_data": {"customers": 1250, "average_order_value": 1180},
        "behavior_changes": "A quarter fewer visits in the last 30 days.",
        "behavior_patterns": "Four in ten orders come at weekends, most of them from phones.",
        "risk_indicators": "severity: medium, state: active",
        "transaction_history": [{"month": "2026-02", "orders": 412}],
        "preference_analysis": "Kettles and appliances that save energy.",
        "core_data": {"revenue": 100000, "orders": 250},
        "analysis_focus": "performance_trends",
        "evidence": [
            "metric:avg_response_time — average response time",
            'tag:17 — tag "payment failed": 9 texts, 4.2 times as often as usual',
        ],
    },
}
_OTHER = {"zh-TW": "範例文字", "en": "an example text"}


def example_variables(template: PromptTemplate) -> dict[str, Any]:
    """A value for each variable of a template; variables nobody knows get a short text."""
    known = EXAMPLES[template.locale]
    names = {
        *template.required_variables,
        *template.optional_variables,
        *(name for name in placeholders(template.prompt_template) if name in DERIVED_VARIABLES),
    }
    return {name: known.get(name, _OTHER[template.locale]) for name in sorted(names)}
