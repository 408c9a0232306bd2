"""What the service asks, keeps and answers; a real gateway, a real client, a server with canned answers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any, LiteralString

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.report import report_enhancements
from tagging_orchestration.ai.service import EnhancementService
from tagging_orchestration.business.report import make_report
from tagging_orchestration.clients.report.render import render_html, render_markdown
from tagging_orchestration.core.enhancement.models import ErrorSubtype
from tagging_orchestration.core.enhancement.subjects import RECOMMENDATIONS
from tagging_orchestration.core.enhancement.switches import UserSettings
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.storage import ai_results
from tagging_orchestration.storage.ai_providers import load_provider
from tests.ai import business
from tests.ai.business import INSIGHT, SLOW, STEADY
from tests.storage.business_relations import AS_OF, run


@pytest.fixture
def database_url(business_url: str) -> str:
    """A database with the business."""
    return business_url


def rows(pool: ConnectionPool, query: LiteralString) -> list[tuple[Any, ...]]:
    with pool.connection() as connection:
        return connection.execute(query).fetchall()


def base(pool: ConnectionPool) -> list[tuple[Any, ...]]:
    """The base's alerts, but for the marks."""
    return rows(
        pool,
        "SELECT to_jsonb(a) - ARRAY['ai_confidence', 'ai_generated_at', 'ai_provider']"
        " FROM analytics.dashboard_alerts AS a ORDER BY a.id",
    )


def test_an_alert_gets_a_summary_with_evidence(enhanced: EnhancementService, pool: ConnectionPool, shop):
    tag, content = shop
    before = base(pool)
    envelope = enhanced.enhance_alert(SLOW)
    document = envelope.to_json()
    assert envelope.status == "success"
    assert document["aiAnalysis"]["summary"]
    assert document["processingTimeMs"] > 0
    assert document["aiAnalysis"]["rootCause"] == document["aiAnalysis"]["rootCauseAnalysis"]
    assert document["aiAnalysis"]["recommendations"] == document["aiAnalysis"]["actionableRecommendations"]
    assert document["alertId"] == str(SLOW)
    metadata = document["metadata"]
    assert (metadata["promptUsed"], metadata["promptVersion"]) == ("alert_enhancement_critical", "1.0")
    assert (metadata["provider"], metadata["cacheStatus"]) == ("local", "miss")
    assert re.fullmatch("[0-9a-f]{64}", metadata["businessContextHash"])
    assert {f"tag:{tag}", f"content:{content}"} <= {item["ref"] for item in metadata["evidence"]}
    found = ai_results.resolve_references(pool, "default", (item["ref"] for item in metadata["evidence"]))
    assert found
    assert all(reference.found for reference in found.values())
    # The base is what it was; that AI looked is a mark, and no event of the alert.
    assert base(pool) == before
    assert rows(pool, "SELECT ai_provider FROM analytics.dashboard_alerts WHERE ai_generated_at IS NOT NULL") == [
        ("local",)
    ]
    assert rows(pool, "SELECT count(*) FROM analytics.alert_events WHERE event_type = 'changed'") == [(0,)]


def test_the_prompt_has_what_explains_the_alert_and_no_address(enhanced: EnhancementService, server: DevLlm):
    enhanced.enhance_alert(SLOW)
    (prompt,) = business.prompts(server)
    assert "回覆過慢" in prompt
    assert "寄了三封信都沒有人回" in prompt
    assert "mei.lin" not in prompt
    assert "客服回覆慢" in prompt
    assert '"pending_orders": 0' in prompt


def test_the_same_context_is_asked_about_once(enhanced: EnhancementService, server: DevLlm):
    first, second = enhanced.enhance_alert(SLOW), enhanced.enhance_alert(SLOW)
    assert len(server.calls) == 1
    assert (first.document, second.to_json()["metadata"]["cacheStatus"]) == (second.document, "hit")


def test_another_context_is_another_call(enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool):
    enhanced.enhance_alert(SLOW)
    business.change_alert(pool, 700)
    enhanced.enhance_alert(SLOW)
    assert len(server.calls) == 2


def test_kinds_of_analysis_choose_their_prompt(enhanced: EnhancementService, pool: ConnectionPool):
    for kind, key in (
        ("trend_analysis", "alert_enhancement_trend"),
        ("anomaly_analysis", "alert_enhancement"),
        ("alert_enhancement", "alert_enhancement_critical"),
    ):
        envelope = enhanced.enhance_alert(SLOW, enhancement_type=kind)
        assert envelope.to_json()["metadata"]["promptUsed"] == key
    with pytest.raises(ConfigurationError, match="no kind of analysis"):
        enhanced.enhance_alert(SLOW, enhancement_type="guess")


def test_an_inactive_variant_falls_back_and_says_so(enhanced: EnhancementService, pool: ConnectionPool):
    run(
        pool,
        (
            "UPDATE ai.ai_prompt_templates SET is_active = false WHERE template_key LIKE '%%_critical'",
            [],
        ),
    )
    envelope = enhanced.enhance_alert(SLOW)
    assert envelope.to_json()["metadata"]["promptUsed"] == "alert_enhancement"
    stored = ai_results.newest_results(pool, "default", "alert")[str(SLOW)]
    assert (stored.template_key, stored.requested_key) == ("alert_enhancement", "alert_enhancement_critical")


def test_an_alert_without_a_limit_is_told_what_is_usual(enhanced: EnhancementService, server: DevLlm):
    assert enhanced.enhance_alert(STEADY).status == "success"
    assert "沒有固定門檻" in business.prompts(server)[0]


def test_alerts_that_do_not_exist_or_tell_of_the_ai(enhanced: EnhancementService, server: DevLlm):
    with pytest.raises(UnknownName):
        enhanced.enhance_alert("b0000000-0000-0000-0000-000000000009")
    assert enhanced.enhance_alert(business.ABOUT_AI).status == "disabled"
    assert server.calls == []
    report = enhanced.enhance_alerts()
    assert (report.enhanced, report.total) == (2, 2)


def test_a_preferred_provider_that_is_off_is_replaced(enhanced: EnhancementService, pool: ConnectionPool):
    envelope = enhanced.enhance_alert(SLOW, preferred_provider_id=load_provider(pool, "claude").id)
    assert envelope.to_json()["metadata"]["provider"] == "local"


# ----------------------------------------------------------------------------------------------------- failures


def test_an_unavailable_server_is_no_error_of_the_base(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    before, report = base(pool), make_report(pool, enhanced.settings)
    page = render_html(report, "zh-Hant")
    server.script(Fault.CONNECTION_REFUSED)
    envelope = enhanced.enhance_alert(SLOW)
    assert envelope.status == "error"
    assert envelope.answer is not None
    assert envelope.answer.error_subtype == ErrorSubtype.UNAVAILABLE
    assert envelope.notice("zh-Hant") == ""
    assert "aiAnalysis" not in envelope.to_json()
    assert base(pool) == before
    assert ai_results.subject_statuses(pool, "default", "alert", [str(SLOW)]) == {str(SLOW): "error"}
    enhancements = report_enhancements(pool, enhanced.settings, report)
    assert render_html(report, "zh-Hant", enhancements=enhancements) == page


def test_a_slow_server_is_loading_and_then_the_base(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    from concurrent.futures import ThreadPoolExecutor

    run(
        pool,
        (
            "UPDATE ai.ai_system_config"
            " SET system_settings = system_settings || '{\"enhancement_timeout_ms\": 1500}'",
            [],
        ),
    )
    with server.hold(), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(enhanced.enhance_alert, SLOW)
        server.wait_for_calls(1)
        assert ai_results.subject_statuses(pool, "default", "alert", [str(SLOW)]) == {str(SLOW): "loading"}
        report = make_report(pool, enhanced.settings)
        enhancements = report_enhancements(pool, enhanced.settings, report)
        assert "AI 正在分析..." in render_html(report, "zh-Hant", enhancements=enhancements)
        envelope = waiting.result()
    assert envelope.status == "error"
    assert envelope.notice("zh-Hant") == "AI 分析回應較慢，請稍後重試"
    report = make_report(pool, enhanced.settings)
    assert report_enhancements(pool, enhanced.settings, report) is None


def test_rubbish_is_not_shown(enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool):
    server.answer("系統偵測到需關注的指標異常")
    envelope = enhanced.enhance_alert(SLOW)
    assert (envelope.status, envelope.notice("en")) == ("error", "AI analysis is not available at present.")
    assert ai_results.newest_results(pool, "default", "alert") == {}


def test_one_failure_leaves_the_others(enhanced: EnhancementService, server: DevLlm):
    server.answer("rubbish", request=1)
    server.answer("rubbish", request=2)
    report = enhanced.enhance_alerts()
    assert (report.enhanced, sum(report.failed.values()), report.status) == (1, 1, "success")


# ---------------------------------------------------------------------------------------------------- switches


@pytest.mark.parametrize("off", ["configuration", "person", "kind"])
def test_nothing_is_asked_or_logged_or_shown_when_disabled(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool, off: str
):
    enhanced.enhance_alert(SLOW)
    report = make_report(pool, enhanced.settings)
    assert report_enhancements(pool, enhanced.settings, report)
    server.reset()
    logged = rows(pool, "SELECT count(*) FROM ai.ai_usage_logs")
    settings = enhanced.settings
    if off == "configuration":
        settings = business.ai_settings(settings, server.base_url, enabled=False)
    else:
        wanted = UserSettings(enabled=False) if off == "person" else UserSettings(alerts=False)
        ai_results.save_user_settings(pool, "default", wanted)
    with business.service(pool, settings) as service:
        assert not service.is_enabled("alerts")
        assert service.enhance_alert(STEADY).status == "disabled"
        assert service.enhance_alerts().status == "disabled"
        assert service.is_enabled("insights") == (off == "kind")
    assert server.calls == []
    assert rows(pool, "SELECT count(*) FROM ai.ai_usage_logs") == logged
    shown = report_enhancements(pool, settings, report)
    page = render_html(report, "zh-Hant", enhancements=shown)
    if off == "kind":
        assert 'id="ai-alerts" name="alerts" aria-label="警示">' in page
    else:
        assert page == render_html(report, "zh-Hant")


def test_health_is_the_third_part_of_the_switch_and_is_never_written(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    assert enhanced.check_health().on
    run(pool, ("UPDATE ai.ai_providers SET health_status = 'unhealthy'", []))
    health = enhanced.check_health()
    assert (health.configured, health.wanted, health.healthy, health.on) == (True, True, False, False)
    assert enhanced.enhance_alert(SLOW).status == "disabled"
    assert server.calls == []
    assert enhanced.is_enabled("alerts")
    assert ai_results.read_user_settings(pool, "default").enabled


def test_without_auto_enhance_only_people_ask(enhanced: EnhancementService, pool: ConnectionPool):
    ai_results.save_user_settings(pool, "default", UserSettings(auto_enhance=False))
    assert enhanced.enhance_alerts().status == "disabled"
    assert enhanced.enhance_alerts(automatic=False).enhanced == 2


def test_settings_that_cannot_be_read_switch_ai_off(enhanced: EnhancementService, pool: ConnectionPool):
    run(pool, ("UPDATE ai.ai_system_config SET system_settings = '{\"unknown\": 1}'", []))
    assert not enhanced.check_health().configured
    assert enhanced.enhance_alert(SLOW).status == "disabled"


# ----------------------------------------------------------------------------------------------- many subjects


def test_pending_is_what_changed(enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool):
    assert (enhanced.pending_alerts(), enhanced.pending_alerts(critical_only=True)) == (2, 1)
    told: list[tuple[int, int]] = []
    report = enhanced.enhance_alerts(lambda done, total: told.append((done, total)))
    assert (report.enhanced, report.skipped, report.failed) == (2, 0, {})
    assert report.tokens > 0
    assert told[-1] == (2, 2)
    assert enhanced.pending_alerts() == 0
    assert enhanced.enhance_alerts().skipped == 2
    assert len(server.calls) == 2
    business.change_alert(pool, 900)
    assert enhanced.pending_alerts() == 1
    # Neither an old answer nor one of an older prompt is current.
    run(pool, ("UPDATE ai.ai_enhancements SET fresh_until = created_at, expires_at = created_at", []))
    assert enhanced.enhance_alerts().enhanced == 2


def test_what_was_asked_in_vain_is_left_to_a_later_run(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    for request in range(1, 5):
        server.answer("rubbish", request=request)
    assert sum(enhanced.enhance_alerts().failed.values()) == 2
    assert enhanced.pending_alerts() == 0
    # Another context is another question; and whoever asks all the same is answered.
    business.change_alert(pool, 900)
    assert enhanced.pending_alerts() == 1
    assert enhanced.enhance_alerts().enhanced == 2


@pytest.mark.parametrize("off", ["person", "automatic", "health"])
def test_nothing_is_pending_where_nothing_may_be_asked(
    enhanced: EnhancementService, pool: ConnectionPool, off: str
):
    if off == "health":
        run(pool, ("UPDATE ai.ai_providers SET health_status = 'unhealthy'", []))
    else:
        wanted = UserSettings(alerts=False) if off == "person" else UserSettings(auto_enhance=False)
        ai_results.save_user_settings(pool, "default", wanted)
    assert enhanced.pending_alerts() == 0


def test_a_stale_answer_is_replaced_before_the_run_ends(
    enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool
):
    for value in (700, 900):
        business.change_alert(pool, value)
        enhanced.enhance_alerts()
    business.change_alert(pool, 700)
    # What was answered first is asked again an hour later: it is in the cache, and not fresh any more.
    run(
        pool,
        (
            "UPDATE ai.ai_enhancements SET created_at = created_at - interval '1 hour',"
            " fresh_until = fresh_until - interval '1 hour', expires_at = expires_at - interval '1 hour'",
            [],
        ),
    )
    assert enhanced.enhance_alerts().from_cache == 1
    assert len(server.calls) == 4
    assert enhanced.enhance_alerts().skipped == 2


def test_critical_ones_come_first_within_the_limit_of_a_run(enhanced: EnhancementService, server: DevLlm):
    report = enhanced.enhance_alerts(limit=1)
    assert (report.enhanced, report.skipped) == (1, 1)
    assert "critical" in business.prompts(server)[0]
    assert enhanced.pending_alerts(critical_only=True) == 0


def test_nothing_older_than_a_day_is_shown(enhanced: EnhancementService, pool: ConnectionPool):
    enhanced.enhance_alert(SLOW)
    run(pool, ("UPDATE ai.ai_enhancements SET created_at = created_at - interval '24 hours'", []))
    assert ai_results.newest_results(pool, "default", "alert") == {}
    assert report_enhancements(pool, enhanced.settings, make_report(pool, enhanced.settings)) is None


def test_end_to_end_with_alerts_insight_recommendation_and_summary(
    enhanced: EnhancementService, pool: ConnectionPool
):
    assert enhanced.enhance_alerts().enhanced == 2
    assert enhanced.deepen_insights().enhanced == 1
    assert enhanced.optimize_all().enhanced == 1
    for period in ("daily", "weekly"):
        assert enhanced.summarise(period, AS_OF).enhanced == 1
        assert enhanced.summarise(period, AS_OF).skipped == 1
    report = make_report(pool, enhanced.settings)
    made = report_enhancements(pool, enhanced.settings, report)
    assert made is not None
    assert set(made.alerts) == {str(SLOW), str(STEADY)}
    assert set(made.insights) == {INSIGHT}
    assert made.recommendations is not None
    assert [item.claim.text for item in made.recommendations.order] == ["加快回覆速度"]
    assert set(made.summaries) == {"daily", "weekly"}
    everything = [*made.alerts.values(), *made.insights.values(), made.recommendations, *made.summaries.values()]
    for one in everything:
        claims = [claim for part in one.parts for claim in part.claims] + [item.claim for item in one.order]
        assert claims
        assert all(claim.citations for claim in claims), one
    page = render_html(report, "zh-Hant", enhancements=made)
    assert page.count("AI 深化分析") >= 6
    assert re.search(r"信心度 <b>\d+%</b>", page)
    assert "執行摘要（週報）" in page
    assert "信心度 75%" in render_markdown(report, "zh-Hant", made)


def test_the_summary_quotes_what_ai_was_sure_of(enhanced: EnhancementService, server: DevLlm):
    enhanced.enhance_alert(SLOW)
    server.reset()
    enhanced.generate_executive_summary("daily", AS_OF)
    (prompt,) = business.prompts(server)
    assert "ai_highlights" in prompt
    assert "回覆過慢" in prompt


def test_the_report_of_any_day_shows_the_summary_of_its_week(enhanced: EnhancementService, pool: ConnectionPool):
    sunday = AS_OF + timedelta(days=6 - AS_OF.weekday())
    assert sunday > AS_OF
    assert enhanced.summarise("weekly", sunday).enhanced == 1
    made = report_enhancements(pool, enhanced.settings, make_report(pool, enhanced.settings))
    assert made is not None
    assert made.summaries["weekly"].subject_id == f"weekly:{sunday}"


def test_a_period_without_facts_is_skipped(enhanced: EnhancementService, server: DevLlm):
    assert enhanced.generate_executive_summary("daily", AS_OF + timedelta(days=1)).status == "error"
    assert enhanced.summarise("daily", AS_OF + timedelta(days=1)).skipped == 1
    assert enhanced.summarise("daily", AS_OF - timedelta(days=900)).skipped == 1
    assert server.calls == []
    # A week that has begun has some.
    assert enhanced.summarise("weekly", AS_OF + timedelta(days=1)).enhanced == 1


def test_recommendations_keep_their_titles(enhanced: EnhancementService, server: DevLlm, pool: ConnectionPool):
    server.answer(json.dumps({"ordered": [], "confidence": 0.9, "evidence": []}))
    assert enhanced.optimize_recommendations().status == "error"
    server.reset()
    envelope = enhanced.optimize_recommendations()
    assert envelope.subject_id == RECOMMENDATIONS
    assert envelope.document is not None
    assert [item["title"] for item in envelope.document["ordered"]] == ["加快回覆速度"]


# ---------------------------------------------------------------------------------------------------- custom


def test_a_custom_template_renders_with_its_own_limits(enhanced: EnhancementService, server: DevLlm):
    envelope = enhanced.analyse(
        "custom_analysis",
        {
            "core_data": {"revenue": 100000, "orders": 250},
            "analysis_focus": "growth_analysis",
            "business_context": {"period": "2025-Q1"},
        },
        "custom-001",
    )
    assert envelope.status == "success"
    (call,) = server.calls
    assert call.body["options"]["num_predict"] == 400
    (prompt,) = business.prompts(server)
    assert '"revenue": 100000' in prompt
    assert "growth_analysis" in prompt
    assert "{{" not in prompt
    assert all(item["ref"].startswith("context:") for item in envelope.to_json()["metadata"]["evidence"])


def test_custom_analyses_read_the_business_where_nothing_is_given(enhanced: EnhancementService):
    for key in ("risk_forecasting", "trend_analysis", "business_intelligence"):
        assert enhanced.analyse(key).status == "success", key


def test_a_variable_nobody_gave_is_named(enhanced: EnhancementService, server: DevLlm):
    envelope = enhanced.analyse("custom_analysis")
    assert envelope.status == "error"
    assert "analysis_focus" in envelope.reason
    assert server.calls == []
    with pytest.raises(UnknownName):
        enhanced.analyse("no_such_template")
