"""A small business with alerts, an insight and a recommendation, and a service that enhances them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.gateway import LlmGateway
from tagging_orchestration.ai.service import EnhancementService
from tagging_orchestration.ai.sync import sync_ai
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import AiSettings, ProviderSettings, Settings
from tests.fakes.llm import PlainMasker
from tests.storage.builders import add_contents, add_tags
from tests.storage.business_relations import AS_OF, open_business, run

SLOW = UUID("a0000000-0000-0000-0000-000000000001")
STEADY = UUID("a0000000-0000-0000-0000-000000000002")
ABOUT_AI = UUID("a0000000-0000-0000-0000-000000000003")
INSIGHT = "1f" * 16
RECOMMENDATION = "2f" * 16
CONTEXT = {
    "schema_version": 1,
    "snapshot_timestamp": "2026-10-30T16:00:00Z",
    "metric_category": "customer_service",
    "day_of_week": 5,
    "currency": "TWD",
    "triggering_metrics": {
        "primary_metric": "avg_response_time",
        "dimension": "all",
        "current_value": 500,
        "breach_severity": "critical",
    },
    "business_indicators": {"daily_revenue": 145000, "pending_orders": 0},
    "trend_analysis": {"trend_period": "7_days", "trend_7d": 108.03},
    "contextual_factors": {"day_of_week": "friday", "recent_events": []},
    "related_alerts": [],
    "business_impact": {"affected_customers": 16, "operational_impact": "high"},
    "evidence": {},
}


def add_business(pool: ConnectionPool) -> None:
    """Two open alerts (one critical), one about the AI itself, an insight and a recommendation; one tag and one
    content explain them."""
    open_business(pool)
    (tag,) = add_tags(pool, "客服回覆慢")
    (content,) = add_contents(pool, "寄了三封信都沒有人回，請寫信到 mei.lin@mail.example。")
    evidence = {
        "top_tags": [
            {
                "tag_id": tag.id,
                "tag": "客服回覆慢",
                "count": 6,
                "baseline": 1,
                "lift": 12.0,
                "p_value": 0.001,
                "q_value": 0.01,
                "sample_ids": [content],
            }
        ],
        "top_rows": [
            {
                "table": "raw.orders",
                "id": f"o{number}",
                "why": f"late by {number} days",
                "why_zh": f"遲 {number} 天",
            }
            for number in range(4)
        ],
    }
    alert = """
        INSERT INTO analytics.dashboard_alerts (
            id, alert_type, alert_subtype, severity, priority, metric_name, direction, fingerprint, title, message,
            texts, current_value, threshold_value, business_context, evidence_refs, metric_date, last_metric_date,
            state
        )
        VALUES (
            %s, 'threshold_breach', %s, %s, 'high', %s, 'up', %s, 'Slow', 'Now 500', %s, 500, %s, %s, %s, %s, %s,
            'active'
        )
    """
    texts = Jsonb(
        {
            "en": {"title": "Slow answers", "message": "Now 500 minutes"},
            "zh-Hant": {"title": "回覆過慢", "message": "現在 500 分鐘"},
        }
    )
    first = AS_OF - timedelta(days=3)
    facts: list[Any] = [Jsonb(CONTEXT), Jsonb(evidence), first, AS_OF]
    run(
        pool,
        (alert, [SLOW, "static", "critical", "avg_response_time", "f1", texts, 480, *facts]),
        (alert, [STEADY, "drop", "warning", "daily_revenue", "f2", texts, None, *facts]),
        (alert, [ABOUT_AI, "ai_cost", "critical", "avg_response_time", "f3", texts, 480, *facts]),
        ("ALTER TABLE analytics.business_insights ADD business_context jsonb", []),
        ("ALTER TABLE analytics.strategic_recommendations ADD business_context jsonb", []),
        (
            """
            INSERT INTO analytics.business_insights VALUES (
                'default', %s, 'warning', 'customer_service', 'Answers are late', '客服回應效率需改善', 'Too slow',
                '回覆太慢', 'high', 0.9, '{Hire}', '{增加人力}', %s, %s
            )
            """,
            [
                INSIGHT,
                Jsonb({"alerts": [str(SLOW)], "metrics": ["avg_response_time"], "tags": [tag.id]}),
                Jsonb({"metric_name": "avg_response_time", "dimension": "all", "tone": "bad"} | evidence),
            ],
        ),
        (
            """
            INSERT INTO analytics.strategic_recommendations VALUES (
                'default', %s, 'customer_service', 'Answer faster', '加快回覆速度', 'Hire', '增加人力', 'high',
                'low', 85, 0.8, 'a week', '一週', %s, '{}'
            )
            """,
            [RECOMMENDATION, Jsonb({"alerts": [str(SLOW)], "tags": [tag.id]})],
        ),
    )


def ai_settings(settings: Settings, base_url: str, **changes: Any) -> Settings:
    """These settings with AI on, at this server."""
    ai = AiSettings(**{"enabled": True, "providers": {"local": ProviderSettings(base_url=base_url)}} | changes)
    return settings.model_copy(update={"ai": ai})


def prepare_ai(pool: ConnectionPool, settings: Settings) -> None:
    """Providers and prompts in the tables, no limit of requests in the way, answers in time or not at all."""
    sync_ai(pool, settings)
    run(
        pool,
        (
            """
            UPDATE ai.ai_system_config
            SET system_settings = system_settings || %s
            WHERE config_name = 'development'
            """,
            [
                Jsonb(
                    {
                        "enhancement_timeout_ms": 2000,
                        "rate_limiting": {"requests_per_minute": 9999, "burst_limit": 9999},
                    }
                )
            ],
        ),
    )


@contextmanager
def service(pool: ConnectionPool, settings: Settings) -> Iterator[EnhancementService]:
    """The service over a real gateway and a real client."""
    gateway = LlmGateway(pool, settings, masker=PlainMasker(), clients=make_client)
    try:
        yield EnhancementService(pool, settings, gateway)
    finally:
        gateway.close()


def change_alert(pool: ConnectionPool, value: float, day: date = AS_OF) -> None:
    """The critical alert goes on at another value."""
    run(
        pool,
        (
            "UPDATE analytics.dashboard_alerts SET current_value = %s, last_metric_date = %s WHERE id = %s",
            [value, day, SLOW],
        ),
    )


def prompts(server: DevLlm) -> list[str]:
    """What the server was asked, in order."""
    return ["\n".join(message["content"] for message in call.body["messages"]) for call in server.calls]
