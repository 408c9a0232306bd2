"""The variables of prompts: what is known, compact, the same for the same facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tagging_orchestration.clients.prompt_files import load_prompt_files
from tagging_orchestration.core.business.report import Locale, Phrase, SampleText, build_report
from tagging_orchestration.core.enhancement.keys import context_hash
from tagging_orchestration.core.enhancement.prompts import render
from tagging_orchestration.core.enhancement.subjects import (
    AlertSubject,
    BusinessFacts,
    CustomSubject,
    EarlierAlert,
    InsightSubject,
    MetricNames,
    Point,
    RecommendationItem,
    RecommendationsSubject,
    RelatedAlert,
    SummarySubject,
)
from tagging_orchestration.core.enhancement.variables import (
    CONTEXT_TOKENS,
    build_prompt_variables,
    citable,
    estimated_tokens,
    evidence_of,
    evidence_of_variables,
    expected_titles,
    is_stated,
    stored_evidence,
    used_variables,
)
from tests.fakes import report as fake

BUSINESS = BusinessFacts("default", "zh-Hant", "Asia/Taipei", "TWD")
METRIC = MetricNames(
    "avg_response_time", Phrase("Response time", "平均回應時間"), "customer_service", "minutes", False
)
TAGS = [
    {
        "tag_id": 7,
        "tag": "客服回覆慢",
        "count": 6,
        "baseline": 1,
        "lift": 12.04,
        "q_value": 0.01,
        "sample_ids": [1, 2],
    },
    {"tag_id": 8, "tag": "refund", "count": 3, "baseline": 1, "lift": 3.0, "q_value": 0.05, "sample_ids": [3]},
]
ROWS = [{"table": "raw.support_tickets", "id": f"T{n}", "why": "slow", "why_zh": "過慢"} for n in range(9)]
SAMPLES = tuple(
    SampleText(
        n, "shop", f"x{n}", "ticket", f"標題{n}", "請寫信到 mei.lin@mail.example " + "沒有人回信" * 80, fake.AS_OF
    )
    for n in (1, 2, 3)
)
CONTEXT = {
    "schema_version": 1,
    "snapshot_timestamp": "2026-10-30T16:00:00Z",
    "day_of_week": 5,
    "current_business_hours": False,
    "triggering_metrics": {"primary_metric": "avg_response_time", "expected_value": 50.5},
    "business_indicators": {"pending_orders": 0, "daily_revenue": 145000.25},
    "contextual_factors": {"recent_events": []},
    "related_alerts": [],
    "evidence": {},
}
ALERT = AlertSubject(
    id="a0000000-0000-0000-0000-000000000001",
    alert_type="threshold_breach",
    alert_subtype="static",
    severity="critical",
    metric=METRIC,
    dimension="all",
    dimension_label="",
    direction="up",
    title=Phrase("Slow answers", "回覆過慢"),
    message=Phrase("Now 500 minutes", "現在 500 分鐘"),
    current_value=500.0,
    threshold_value=480.0,
    metric_date=fake.AS_OF - timedelta(days=3),
    last_metric_date=fake.AS_OF,
    business_context=CONTEXT,
    evidence={"top_tags": TAGS, "top_rows": ROWS},
    samples=SAMPLES,
    trend=tuple(Point(fake.AS_OF - timedelta(days=34 - n), 40.0 + n) for n in range(35)),
    earlier=(EarlierAlert(fake.AS_OF - timedelta(days=90), fake.AS_OF - timedelta(days=89), "warning", "spike"),),
    related=(
        RelatedAlert("b1", replace(METRIC, category="content"), "warning", Phrase("More tickets", "案件增加")),
    ),
)
INSIGHT = InsightSubject(
    "i1",
    "warning",
    "financial",
    Phrase("Revenue falls", "營收下滑"),
    Phrase("By a fifth", "下降兩成"),
    "high",
    0.9,
    (Phrase("Look", "檢視"),),
    {"metric_name": "daily_revenue", "top_tags": TAGS},
    {"alerts": [ALERT.id], "tags": [7], "rows": ROWS[:1]},
    METRIC,
    CONTEXT,
    {7: "客服回覆慢"},
    SAMPLES,
    ALERT.trend,
)
REPORT = build_report(fake.facts())
SAVING = {"potential_cost_saving": "NT$1", "potential_cost_saving_zh": "一元"}
RECOMMENDATIONS = RecommendationsSubject(
    tuple(
        RecommendationItem(
            item.id, item.category, item.title, item.description, item.impact, item.effort, item.priority,
            item.confidence, item.timeline, SAVING, {},
        )
        for item in REPORT.recommendations
    ),
    REPORT,
)  # fmt: skip
SUBJECTS = {
    "alert_enhancement": ALERT,
    "alert_enhancement_critical": ALERT,
    "alert_enhancement_trend": replace(ALERT, alert_type="trend_analysis"),
    "insight_deepening": INSIGHT,
    "insight_deepening_financial": INSIGHT,
    "insight_deepening_high_impact": INSIGHT,
    "recommendation_optimization": RECOMMENDATIONS,
    "executive_summary": SummarySubject("daily", fake.AS_OF, REPORT),
    "executive_summary_enhanced": SummarySubject("weekly", fake.AS_OF, REPORT, ("AI 說了什麼",)),
    **{
        key: CustomSubject(key, REPORT)
        for key in (
            "trend_analysis",
            "risk_forecasting",
            "customer_churn_analysis",
            "customer_segmentation",
            "business_intelligence",
        )
    },
}


# custom_analysis is made from what somebody gives, tag_generation from contents.
TEMPLATES = [template for template in load_prompt_files() if template.template_key in SUBJECTS]


def test_every_subject_has_its_templates_in_both_languages():
    assert len(TEMPLATES) == 2 * len(SUBJECTS)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: f"{template.locale}-{template.template_key}")
def test_every_template_renders_from_what_is_known(template):
    locale: Locale = "zh-Hant" if template.locale == "zh-TW" else "en"
    subject = SUBJECTS[template.template_key]
    variables = used_variables(template, build_prompt_variables(subject, BUSINESS, locale))
    assert set(template.required_variables) <= variables.keys()
    evidence = evidence_of(subject, variables, locale)
    assert evidence
    rendered = render(template, {**variables, "evidence": [f"{e.ref} — {e.label}" for e in citable(evidence)]})
    # With an answer of 600 tokens it fits a context of 8,192, most of them one of 4,096.
    assert estimated_tokens(rendered.prompt) < 6_500
    # What was stored as JSON renders to the same bytes and is the same context.
    stored = json.loads(json.dumps(variables))
    assert render(template, stored).sha256 == render(template, variables).sha256
    assert context_hash(stored) == context_hash(variables)


def test_an_alert_tells_what_explains_it():
    variables = build_prompt_variables(ALERT, BUSINESS, "zh-Hant")
    assert "現在 500 分鐘" in variables["alert_details"]
    assert (variables["current_value"], variables["threshold_value"]) == (500, 480)
    context = variables["business_context"]
    assert context["business_indicators"] == {"pending_orders": 0, "daily_revenue": 145000}
    assert "schema_version" not in context
    assert "contextual_factors" not in context
    assert [tag["ref"] for tag in context["evidence"]["tags"]] == ["tag:7", "tag:8"]
    texts = context["evidence"]["texts_that_people_wrote"]
    # One text of each tag before the second of one; no address in them.
    assert [text["ref"] for text in texts][:2] == ["content:1", "content:3"]
    assert "mei.lin" not in json.dumps(variables, ensure_ascii=False)
    assert variables["affected_areas"] == ["customer_service", "content"]
    assert variables["historical_pattern"]["earlier_alerts_of_12_months"] == 1
    assert len(variables["trend_data"]) == 14
    assert variables["historical_comparison"]["mean_of_last_7_days"] == 71
    assert variables["historical_comparison"]["mean_of_28_days_before"] == 53.5
    assert variables["timestamp"] == "2026-10-30T16:00:00Z"
    assert len(build_prompt_variables(SUBJECTS["alert_enhancement_trend"], BUSINESS, "en")["trend_data"]) == 28


def test_what_is_not_known_is_left_out_and_zero_is_known():
    bare = replace(
        ALERT,
        current_value=0.0,
        threshold_value=None,
        business_context={},
        evidence={},
        samples=(),
        trend=(),
        earlier=(),
    )
    variables = build_prompt_variables(bare, BUSINESS, "en")
    assert variables["current_value"] == 0
    assert variables["threshold_value"] == "no fixed limit"
    for name in ("trend_data", "historical_comparison", "historical_pattern", "time_period"):
        assert name not in variables
    expected = replace(bare, business_context=CONTEXT)
    assert build_prompt_variables(expected, BUSINESS, "zh-Hant")["threshold_value"] == "平常約為 50.5"


def test_only_people_say_what_resources_there_are():
    assert "resource_constraints" not in build_prompt_variables(RECOMMENDATIONS, BUSINESS, "en")
    profile = {"resource_constraints": {"en": "two people", "zh-Hant": "兩個人"}, "competitors": ["Shop B"]}
    written = replace(BUSINESS, profile=profile)
    variables = build_prompt_variables(RECOMMENDATIONS, written, "zh-Hant")
    assert variables["resource_constraints"] == "兩個人"
    assert build_prompt_variables(SUBJECTS["executive_summary"], written, "en")["competitive_context"] == [
        "Shop B"
    ]


@pytest.mark.parametrize("times", [1, 10, 100])
def test_a_long_context_is_made_smaller_in_steps(times: int):
    long = replace(
        ALERT,
        samples=tuple(replace(sample, text=sample.text * times) for sample in SAMPLES),
        evidence={
            "top_tags": [{**TAGS[0], "tag_id": n, "tag": "標籤" * times} for n in range(30)],
            "top_rows": [{**ROWS[0], "id": str(n), "why_zh": "很慢" * times} for n in range(30)],
        },
    )
    context = build_prompt_variables(long, BUSINESS, "zh-Hant")["business_context"]
    assert estimated_tokens(json.dumps(context, ensure_ascii=False)) <= CONTEXT_TOKENS
    assert context["evidence"]["tags"]


def test_evidence_is_what_stands_in_the_variables():
    variables = build_prompt_variables(ALERT, BUSINESS, "zh-Hant")
    refs = [item.ref for item in evidence_of(ALERT, variables, "zh-Hant")]
    assert len(refs) == len(set(refs))
    assert {"tag:7", "content:1", "row:raw.support_tickets/T0", f"alert:{ALERT.id}", "alert:b1"} <= set(refs)
    assert "metric:avg_response_time" in refs
    assert "context:business_indicators.pending_orders" in refs
    assert "context:alert_details.current_value" in refs
    assert not any(ref.startswith("context:evidence") for ref in refs)
    listed = [item.ref for item in citable(evidence_of(ALERT, variables, "zh-Hant"))]
    assert sum(ref.startswith("context:") for ref in listed) == 2


def test_stored_variables_say_what_may_be_cited():
    variables = build_prompt_variables(ALERT, BUSINESS, "en")
    evidence = evidence_of(ALERT, variables, "en")
    variables["evidence"] = [f"{item.ref} — {item.label}" for item in citable(evidence)]
    assert {item.ref for item in evidence} <= {item.ref for item in stored_evidence(variables)}
    assert is_stated("context:business_indicators.daily_revenue", variables)
    assert is_stated("tag:7", variables)
    assert not is_stated("tag:70", variables)
    assert not is_stated("context:business_indicators.profit", variables)
    given = {"core_data": {"orders": 250, "by": [{"day": 1}]}, "evidence": []}
    assert [item.ref for item in evidence_of_variables(given)] == [
        "context:core_data.orders",
        "context:core_data.by.0.day",
    ]
    assert is_stated("context:core_data.by.0.day", given)


def test_titles_are_expected_as_they_are_shown():
    variables = build_prompt_variables(RECOMMENDATIONS, BUSINESS, "zh-Hant")
    assert [item["title"] for item in variables["current_recommendations"]] == expected_titles(
        RECOMMENDATIONS, "zh-Hant"
    )
    assert variables["current_recommendations"][0]["potential_cost_saving"] == "一元"
    assert variables["business_context"]["alerts_summary"]["critical_count"] >= 1


def test_a_summary_tells_the_period_and_what_happened_in_it():
    day = build_prompt_variables(SUBJECTS["executive_summary"], BUSINESS, "zh-Hant")
    week = build_prompt_variables(SUBJECTS["executive_summary_enhanced"], BUSINESS, "zh-Hant")
    assert day["reporting_period"] == "日報: 2026-10-31"
    assert week["reporting_period"] == "週報: 2026-10-25 – 2026-10-31"
    assert week["unified_content"]["ai_highlights"] == ["AI 說了什麼"]
    assert week["unified_content"]["incidents"]
    assert all("mean_of_period" in metric for metric in week["key_metrics"])
    later = SummarySubject("weekly", fake.AS_OF + timedelta(days=2), REPORT)
    assert build_prompt_variables(later, BUSINESS, "en")["reporting_period"] == "week: 2026-10-27 – 2026-10-31"
