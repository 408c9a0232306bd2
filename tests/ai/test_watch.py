"""The watch over the AI in the database: alerts of their own life, beside those of the business and apart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.watch import WatchReport, watch_ai
from tagging_orchestration.business.alerts import refresh_alerts
from tagging_orchestration.core.business.contracts import (
    validate_business_context,
    validate_evidence,
    validate_unified_content,
)
from tagging_orchestration.core.business.report import build_report
from tagging_orchestration.core.enhancement.models import Probe
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage import alerts as storage
from tagging_orchestration.storage.ai_providers import load_provider, record_probe
from tagging_orchestration.storage.ai_subjects import read_alerts
from tagging_orchestration.storage.alert_refresh import load_known
from tagging_orchestration.storage.business_quality import alert_documents, broken_evidence
from tagging_orchestration.storage.notifications import queue_notifications
from tagging_orchestration.storage.report import read_facts
from tagging_orchestration.storage.unified_content import read_unified_content
from tests.ai.usage import add_call, ai_settings, open_ai, use_budget
from tests.storage.business import RUN, build_relations, find_candidate, set_values
from tests.storage.business_relations import AS_OF, add_alert, open_business

WATCH = ChangeContext("asset:ai_service_alerts", "watch over the AI", run_id="run-ai")
LOOK = timedelta(minutes=15)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def ai(pool: ConnectionPool, settings: Settings) -> Settings:
    """Settings under which AI is on, with providers, limits and no call yet."""
    return open_ai(pool, settings)


def look(pool: ConnectionPool, settings: Settings, at: datetime | None = None) -> WatchReport:
    return watch_ai(pool, settings, WATCH, now=lambda: at or now())


def fail_calls(pool: ConnectionPool, times: int = 10, **columns: Any) -> None:
    for _ in range(times):
        add_call(pool, error_type="timeout", error_subtype="deadline", **columns)


def ai_rows(pool: ConnectionPool, columns: str = "*") -> list[tuple]:
    with pool.connection() as connection:
        return connection.execute(
            f"SELECT {columns} FROM analytics.dashboard_alerts"
            " WHERE starts_with(alert_subtype, 'ai_') ORDER BY metric_name, dimension, detected_at".encode()
        ).fetchall()


# ------------------------------------------------------------------------------------------------------- life


def test_nothing_asked_is_nothing_to_say(pool: ConnectionPool, ai: Settings):
    assert look(pool, ai) == WatchReport(judged=True)
    assert ai_rows(pool) == []


def test_failing_calls_are_an_alert_that_ends_when_calls_succeed(pool: ConnectionPool, ai: Settings):
    start = now() + timedelta(seconds=5)
    fail_calls(pool)
    done = look(pool, ai, start)
    assert (done.new, [finding.metric_name for finding in done.findings]) == (1, ["ai_success_rate"])
    (alert,) = storage.list_alerts(pool, "default", open_only=True)
    assert (alert.alert_subtype, alert.severity, alert.state) == ("ai_performance", "critical", "new")
    assert (alert.current_value, alert.dimension, alert.dimension_label) == (
        0, "provider:local", "Ollama (this machine)",
    )  # fmt: skip
    assert "deadline" in alert.text("message", "en")
    assert alert.text("title", "zh-Hant") == "Ollama (this machine) 的 AI 呼叫經常失敗"
    assert alert.detected_at == start
    assert validate_business_context(alert.business_context) == []

    assert look(pool, ai, start + LOOK).seen == 1
    (alert,) = storage.list_alerts(pool, "default", open_only=True)
    assert (alert.state, alert.occurrences, alert.last_seen_at) == ("active", 2, start + LOOK)
    assert alert.expires_at == start + LOOK + timedelta(hours=24)

    for _ in range(200):
        add_call(pool)
    assert look(pool, ai, start + 2 * LOOK).resolved == 0
    assert look(pool, ai, start + 3 * LOOK).resolved == 1
    (over,) = storage.list_alerts(pool, "default")
    assert (over.id, over.state, over.resolution) == (alert.id, "resolved", "recovered")
    assert over.resolved_at == start + 3 * LOOK
    events = storage.alert_events(pool, alert.id)
    assert [event.event_type for event in events] == ["detected", "seen", "changed", "resolved"]
    assert {(event.actor, event.run_id) for event in events} == {(WATCH.actor, WATCH.run_id)}


def test_looks_that_meet_open_one_alert(pool: ConnectionPool, ai: Settings):
    fail_calls(pool)
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: look(pool, ai), range(4)))
    assert sum(report.new for report in done) == 1
    assert sum(report.seen for report in done) == 3
    assert ai_rows(pool, "occurrences") == [(4,)]


def test_a_provider_that_is_away_slow_or_wrong_is_an_alert_of_its_kind(pool: ConnectionPool, ai: Settings):
    for _ in range(10):
        add_call(pool, response_time_ms=50_000, schema_valid=True, evidence_valid=False)
    record_probe(pool, load_provider(pool, "local").id, Probe("unhealthy", "connection refused"))
    look(pool, ai)
    assert ai_rows(pool, "metric_name, alert_subtype, severity, priority") == [
        ("ai_answer_quality", "ai_quality", "critical", "high"),
        ("ai_availability", "ai_availability", "critical", "high"),
        ("ai_response_time", "ai_performance", "critical", "high"),
    ]
    assert "connection refused" in ai_rows(pool, "message")[1][0]


def test_calls_that_never_left_and_cancelled_ones_say_nothing_of_the_provider(pool: ConnectionPool, ai: Settings):
    for _ in range(10):
        add_call(pool, called=False, status="rejected", error_type="rate_limit", error_subtype="budget")
        add_call(pool, error_type="general_error", error_subtype="cancelled")
        add_call(pool, now() - timedelta(hours=7), error_type="timeout")
        add_call(pool, organization_id="other", error_type="timeout")
    assert look(pool, ai).findings == ()


def test_use_near_its_limit_and_beyond_the_usual_is_an_alert(pool: ConnectionPool, ai: Settings):
    noon = now().replace(hour=12)
    midnight = noon.replace(hour=0, minute=0, second=0, microsecond=0)
    use_budget(pool, "day", 190_001, midnight)
    use_budget(pool, "cost", 4_100_000, midnight)
    for number in range(1, 8):
        use_budget(pool, "day", 10_000, midnight - timedelta(days=number))
    # not the past week
    use_budget(pool, "day", 900_000, midnight - timedelta(days=8))
    look(pool, ai, noon)
    columns = "metric_name, alert_type, severity, current_value::float8, threshold_value::float8"
    assert set(ai_rows(pool, columns)) == {
        ("ai_daily_cost", "threshold_breach", "warning", 0.82, 0.8),
        ("ai_daily_tokens", "threshold_breach", "critical", 0.95, 0.95),
        ("ai_daily_tokens", "anomaly_detection", "warning", 0.95, 0.15),
    }
    messages = " ".join(message for (message,) in ai_rows(pool, "message"))
    assert "190,001 of 200,000 tokens" in messages
    assert "USD 4.10 of USD 5.00" in messages
    assert "19.0 times the usual day" in messages


def test_yesterday_is_over_at_midnight_utc(pool: ConnectionPool, ai: Settings):
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    use_budget(pool, "day", 199_000, midnight - timedelta(days=1))
    assert look(pool, ai, midnight).findings == ()
    assert len(look(pool, ai, midnight - timedelta(seconds=1)).findings) == 1


def test_with_ai_off_nothing_is_judged_and_what_is_open_ends(pool: ConnectionPool, ai: Settings):
    fail_calls(pool)
    look(pool, ai)
    off = ai_settings(ai, enabled=False)
    assert look(pool, off) == WatchReport(judged=False)
    assert look(pool, off).resolved == 1
    fail_calls(pool)
    assert look(pool, off) == WatchReport(judged=False)


def test_before_the_limits_are_published_nothing_is_judged(pool: ConnectionPool, settings: Settings):
    ai = open_ai(pool, settings)
    with pool.connection() as connection:
        connection.execute("DELETE FROM analytics.metric_thresholds")
    fail_calls(pool)
    assert look(pool, ai) == WatchReport(judged=False)


def test_a_person_may_close_acknowledge_and_note_such_an_alert(pool: ConnectionPool, ai: Settings):
    mei = ChangeContext("user:mei", "看過了")
    fail_calls(pool)
    look(pool, ai)
    (alert,) = storage.list_alerts(pool, "default", open_only=True)
    storage.acknowledge(pool, alert.id, mei)
    storage.add_note(pool, alert.id, "重新啟動 Ollama", mei)
    look(pool, ai)
    (alert,) = storage.list_alerts(pool, "default", open_only=True)
    assert (alert.acknowledged_by, "重新啟動" in alert.notes) == ("user:mei", True)
    assert storage.close_alert(pool, alert.id, mei)
    look(pool, ai)
    assert storage.list_alerts(pool, "default", open_only=True) == []


# ------------------------------------------------------------------------------------------ beside the business


@pytest.fixture
def business(pool: ConnectionPool, ai: Settings) -> Settings:
    """A business with an alert of its own, and an AI whose calls fail."""
    build_relations(pool)
    set_values(pool, "daily_revenue", [100.0] * 12)
    find_candidate(pool, "daily_revenue", 12)
    refresh_alerts(pool, ai, RUN)
    fail_calls(pool)
    look(pool, ai)
    return ai


def test_the_refresh_of_the_business_neither_sees_nor_changes_them(pool: ConnectionPool, business: Settings):
    before = ai_rows(pool)
    assert len(before) == 1
    assert [row.metric_name for row in load_known(pool, "default")] == ["daily_revenue"]
    assert replace(refresh_alerts(pool, business, RUN), as_of=None).open == 1
    # The facts go on without an alert of the business, then are gone.
    set_values(pool, "daily_revenue", [100.0] * 20)
    refresh_alerts(pool, business, RUN)
    with pool.connection() as connection:
        connection.execute(
            "TRUNCATE analytics.fct_business_metrics_daily, analytics.alerts_threshold,"
            " analytics.alerts_trend_anomaly"
        )
    refresh_alerts(pool, business, RUN)
    assert ai_rows(pool) == before
    assert ai_rows(pool, "incident_id") == [(None,)]
    incidents = storage.list_incidents(pool, "default")
    assert [incident.metrics for incident in incidents] == [["daily_revenue"]]


def test_the_watch_changes_nothing_of_the_business(pool: ConnectionPool, business: Settings):
    def of_business() -> list[tuple]:
        with pool.connection() as connection:
            return (
                connection.execute(
                    "SELECT * FROM analytics.dashboard_alerts WHERE NOT starts_with(alert_subtype, 'ai_')"
                ).fetchall()
                + connection.execute("SELECT * FROM analytics.alert_incidents").fetchall()
            )

    before = of_business()
    look(pool, business)
    look(pool, ai_settings(business, enabled=False))
    assert of_business() == before


def test_they_are_in_the_list_and_the_unified_content_and_nobody_is_told(pool: ConnectionPool, business: Settings):
    listed = {alert.metric_name for alert in storage.list_alerts(pool, "default", open_only=True)}
    assert listed == {"daily_revenue", "ai_success_rate"}
    content = read_unified_content(pool, "default")
    assert validate_unified_content(content) == []
    (said,) = [alert for alert in content["alerts"] if alert["metric_name"] == "ai_success_rate"]
    assert said["severity"] == "critical"
    assert said["detected_at"].startswith(now().strftime("%Y-%m-%dT"))
    queue_notifications(pool, "default", {"ops": "info"}, 24)
    with pool.connection() as connection:
        told = connection.execute(
            "SELECT count(*) FROM analytics.notifications AS n JOIN analytics.dashboard_alerts AS a"
            " USING (incident_id) WHERE starts_with(a.alert_subtype, 'ai_')"
        ).fetchone()
    assert told == (0,)


def test_their_documents_pass_the_gates_of_all_alerts(pool: ConnectionPool, business: Settings):
    for id, context, evidence in alert_documents(pool):
        if (id,) in ai_rows(pool, "id"):
            assert (validate_business_context(context), validate_evidence(evidence)) == ([], [])
    assert broken_evidence(pool, 10) == []


def test_no_language_model_is_asked_about_them(pool: ConnectionPool, business: Settings):
    assert [subject.alert_type for subject in read_alerts(pool, "default")] == ["anomaly_detection"]


def test_the_report_of_today_shows_them_and_the_health_of_the_business_is_its_own(
    pool: ConnectionPool, settings: Settings
):
    ai = open_ai(pool, settings)
    open_business(pool)
    before = build_report(read_facts(pool, "default"))
    fail_calls(pool)
    look(pool, ai)
    report = build_report(read_facts(pool, "default"))
    (situation,) = report.situations
    assert situation.alerts[0].metric_name == "ai_success_rate"
    assert (situation.severity, situation.days >= 1, situation.is_new) == ("critical", True, True)
    assert report.health == before.health
    assert report.key_metrics == before.key_metrics
    # A past day was judged without them.
    assert build_report(read_facts(pool, "default", AS_OF - timedelta(days=1))).situations == ()
    # What is over is no news, whenever it ended.
    off = ai_settings(ai, enabled=False)
    look(pool, off)
    look(pool, off)
    assert build_report(read_facts(pool, "default")).situations == ()


def test_alerts_of_the_business_still_judge_its_health(pool: ConnectionPool, settings: Settings):
    ai = open_ai(pool, settings)
    open_business(pool)
    add_alert(pool, AS_OF, AS_OF)
    before = build_report(read_facts(pool, "default")).health
    fail_calls(pool)
    look(pool, ai)
    report = build_report(read_facts(pool, "default"))
    assert report.health == before
    assert (before.level, len(report.situations)) == ("alert", 2)
