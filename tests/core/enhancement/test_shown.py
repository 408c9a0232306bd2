"""How an answer becomes what a page shows."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.enhancement.envelopes import EnhanceReport, Envelope
from tagging_orchestration.core.enhancement.forms import FORMS
from tagging_orchestration.core.enhancement.models import Answer, ErrorSubtype, ErrorType
from tagging_orchestration.core.enhancement.shown import CLAIM_LISTS
from tagging_orchestration.core.enhancement.switches import UserSettings
from tests.fakes import enhancements as fake

SCHEMAS = {
    "alert": "alert_enhancement.v1",
    "insight": "insight_deepening.v1",
    "recommendation": "recommendation_optimization.v1",
    "summary": "executive_summary.v1",
}


@pytest.mark.parametrize("subject_type", sorted(CLAIM_LISTS))
def test_claims_are_counted_as_the_answers_count_them(subject_type: str):
    assert tuple(name for name, _ in CLAIM_LISTS[subject_type]) == FORMS[SCHEMAS[subject_type]].claim_paths


def test_each_claim_has_its_own_evidence():
    shown = fake.alert()
    causes, actions = shown.parts
    assert [[citation.ref for citation in claim.citations] for claim in causes.claims] == [
        ["row:raw.support_tickets/TCK-0219"],
        ["tag:11", "content:101"],
        ["context:business_impact.affected_customers"],
    ]
    assert [citation.ref for citation in actions.claims[0].citations] == ["metric:avg_response_time"]
    assert actions.claims[1].citations == ()


def test_numbers_that_are_in_no_data_are_marked_where_they_stand():
    causes, actions = fake.alert().parts
    assert [claim.doubtful for claim in causes.claims] == [(), (), ("99999",)]
    assert all(claim.doubtful == () for claim in actions.claims)
    # A part of another number is another number.
    assert fake.alert(flags=("unsupported_number: 999",)).parts[0].claims[2].doubtful == ()
    assert fake.alert(flags=("unsupported_number: 11",)).parts[0].claims[1].doubtful == ()


def test_evidence_that_leads_nowhere_is_not_shown():
    shown = fake.alert(evidence=((0, "tag:404"), (0, "tag:11")))
    assert [citation.ref for citation in shown.parts[0].claims[0].citations] == ["tag:11"]


def test_what_the_model_is_unsure_of_is_hidden_below_the_threshold():
    assert fake.alert(confidence=0.69).is_hidden
    assert not fake.alert(confidence=0.7).is_hidden


def test_another_order_says_where_things_were():
    recommendations = fake.enhancements().recommendations
    assert recommendations is not None
    places = [(item.place, item.was) for item in recommendations.order]
    assert sorted(place for place, _ in places) == list(range(1, len(places) + 1))
    assert sorted(was for _, was in places if was) == list(range(1, len(places) + 1))


def test_settings_are_on_where_nobody_said_otherwise():
    settings = UserSettings.from_document({"alerts": False, "executiveSummary": "no", "else": 1})
    assert (settings.alerts, settings.executive_summary, settings.enabled) == (False, True, True)
    assert UserSettings.from_document(settings.document()) == settings
    assert not settings.wants("alerts")
    assert settings.wants("insights")
    assert not UserSettings(enabled=False).wants("insights")
    assert set(settings.document()) == {
        "enabled",
        "alerts",
        "insights",
        "recommendations",
        "executiveSummary",
        "autoEnhance",
    }


def failed(subtype: ErrorSubtype, type: ErrorType = ErrorType.GENERAL_ERROR) -> Envelope:
    return Envelope("alert", "1", "error", Answer("error", error_type=type, error_subtype=subtype, tokens_total=5))


def test_a_run_counts_what_came_of_it():
    good = Answer("success", cache_status="miss", tokens_total=100, cost_usd=0.01)
    report = EnhanceReport.of(
        [
            Envelope("alert", "1", "success", good),
            Envelope("alert", "2", "success", Answer("success", cache_status="stale")),
            failed(ErrorSubtype.INVALID_JSON),
            failed(ErrorSubtype.INVALID_JSON),
            failed(ErrorSubtype.UNAVAILABLE),
            Envelope("alert", "6", "disabled"),
        ],
        skipped=3,
    )
    assert (report.enhanced, report.from_cache, report.skipped, report.total) == (1, 1, 4, 5)
    assert report.failed == {"invalid_json": 2, "unavailable": 1}
    assert (report.tokens, report.cost_usd, report.status) == (115, 0.01, "success")
    assert EnhanceReport.of([failed(ErrorSubtype.UNAVAILABLE)]).status == "error"
    assert EnhanceReport.of([]).status == "success"


@pytest.mark.parametrize(
    ("envelope", "notice"),
    [
        (failed(ErrorSubtype.UNAVAILABLE), ""),
        (failed(ErrorSubtype.DEADLINE, ErrorType.TIMEOUT), "AI 分析回應較慢，請稍後重試"),
        (failed(ErrorSubtype.SCHEMA_MISMATCH), "AI 分析暫時無法使用"),
        (Envelope("alert", "1", "disabled", reason="off"), ""),
        (Envelope("alert", "1", "success", Answer("success")), ""),
    ],
)
def test_people_are_told_softly_or_not_at_all(envelope: Envelope, notice: str):
    assert envelope.notice("zh-Hant") == notice
    assert "aiAnalysis" not in envelope.to_json()
