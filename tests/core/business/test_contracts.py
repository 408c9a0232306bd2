"""The JSON Schemas of the business: what keeps to them, and what each fault says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tagging_orchestration.core.business import contracts

CONTEXT: dict[str, Any] = {
    "schema_version": 1,
    "snapshot_timestamp": "2026-03-11T16:00:00Z",
    "metric_category": "financial",
    "current_business_hours": False,
    "day_of_week": 3,
    "season_factor": "normal",
    "currency": "TWD",
    "triggering_metrics": {
        "primary_metric": "payment_failure_rate",
        "dimension": "all",
        "current_value": 0.55,
        "threshold_value": 0.25,
        "breach_severity": "critical",
    },
    "business_indicators": {"active_customers": 790, "daily_revenue": 25640},
    "trend_analysis": {"trend_period": "7_days", "trend_7d": 390.8, "trend_direction": "rising"},
    "contextual_factors": {"time_of_day": "end_of_day", "day_of_week": "wednesday", "recent_events": ["春節"]},
    "related_alerts": [{"metric": "daily_revenue", "severity": "warning", "detected_hours_ago": 0}],
    "business_impact": {
        "affected_customers": 22,
        "revenue_impact": {"amount": 39183, "currency": "TWD", "per": "day", "text": "NT$39,183/day"},
        "operational_impact": "high",
    },
    "evidence": {},
}


@pytest.mark.parametrize(
    "name",
    [
        contracts.BUSINESS_CONTEXT,
        contracts.EVIDENCE,
        contracts.INSIGHT,
        contracts.RECOMMENDATION,
        contracts.UNIFIED_CONTENT,
    ],
)
def test_every_schema_is_a_schema(name: str):
    Draft202012Validator.check_schema(contracts.schema(name))


def test_a_full_context_is_valid():
    assert contracts.validate_business_context(CONTEXT) == []


def test_absent_facts_may_be_left_out():
    context = copy.deepcopy(CONTEXT)
    del context["season_factor"], context["business_indicators"]["active_customers"]
    context["business_impact"] = {}
    assert contracts.validate_business_context(context) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("schema_version",), 2, "$.schema_version"),
        (("day_of_week",), 7, "$.day_of_week"),
        (("triggering_metrics", "breach_severity"), "severe", "breach_severity"),
        (("business_indicators", "mood"), 1, "mood"),
        (("business_impact", "revenue_impact", "amount"), 0, "amount"),
        (("related_alerts", 0, "detected_hours_ago"), 30, "detected_hours_ago"),
        (("snapshot_timestamp",), "2026-03-11 16:00", "$.snapshot_timestamp"),
    ],
)
def test_a_fault_names_its_place(path: tuple[Any, ...], value: Any, said: str):
    context = copy.deepcopy(CONTEXT)
    place: Any = context
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (fault,) = contracts.validate_business_context(context)
    assert said in fault


def test_evidence_must_name_rows_and_tags_fully():
    tag = {"tag_id": 7, "tag": "付款失敗", "count": 6, "baseline": 1, "lift": 12, "p_value": 0.001}
    faults = contracts.validate_evidence({"top_tags": [tag]})
    assert [name for name in ("q_value", "sample_ids") if any(name in fault for fault in faults)] == [
        "q_value",
        "sample_ids",
    ]
    assert contracts.validate_evidence({"top_tags": [{**tag, "q_value": 0.01, "sample_ids": [3]}]}) == []
    assert contracts.validate_evidence({"top_rows": [{"table": "orders", "id": "1", "why": "failed"}]})
