"""Alerts in the database: refreshed, replayed, corrected, and what people say about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.business.alerts import AlertRefresh, refresh_alerts
from tagging_orchestration.core.errors import ConfigurationError, UnknownName
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage import alerts as storage
from tests.core.business.builders import day
from tests.storage.business import (
    RUN,
    add_texts,
    at,
    build_relations,
    find_candidate,
    forget_candidates,
    set_value,
    set_values,
)

MEI = ChangeContext("user:mei", "看過了")


@pytest.fixture
def business(pool: ConnectionPool) -> ConnectionPool:
    build_relations(pool)
    for metric in ("daily_revenue", "daily_orders", "payment_failure_rate", "avg_response_time"):
        set_values(pool, metric, [100.0] * 12)
    return pool


def refresh(pool: ConnectionPool, settings: Settings) -> AlertRefresh:
    return refresh_alerts(pool, settings, RUN)


def go_on(pool: ConnectionPool, until: int) -> None:
    """Let the days up to this one be known."""
    with pool.connection() as connection:
        (last,) = connection.execute(
            "SELECT max(metric_date) FROM analytics.fct_business_metrics_daily"
        ).fetchone() or (None,)
        metrics = connection.execute("SELECT DISTINCT metric_name FROM analytics.fct_business_metrics_daily")
        for (metric,) in metrics.fetchall():
            on = last
            while on and on < day(until):
                on += timedelta(days=1)
                set_value(connection, metric, on, 100.0)


def rows(pool: ConnectionPool) -> list[tuple]:
    with pool.connection() as connection:
        return connection.execute(
            "SELECT * FROM analytics.dashboard_alerts ORDER BY metric_name, metric_date"
        ).fetchall()


def test_before_the_first_build_there_is_nothing_to_refresh(pool: ConnectionPool, settings: Settings):
    assert refresh(pool, settings) == AlertRefresh()
    build_relations(pool)
    assert replace(refresh(pool, settings), as_of=None) == AlertRefresh()


def test_alerts_of_facts_that_are_gone_do_not_stay_open(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 12)
    refresh(business, settings)
    forget_candidates(business, "daily_revenue", 12)
    with business.connection() as connection:
        connection.execute("TRUNCATE analytics.fct_business_metrics_daily")
    done = refresh(business, settings)
    assert (done.expired, done.open, done.corrected) == (1, 0, 0)
    assert storage.list_alerts(business, "default", open_only=True) == []
    assert [incident.state for incident in storage.list_incidents(business, "default")] == ["closed"]


def test_an_alert_lives_in_business_days(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 12, severity="critical", affected=300)
    done = refresh(business, settings)
    assert (done.as_of, done.new, done.open, done.incidents_opened) == (day(12), 1, 1, 1)
    (alert,) = storage.list_alerts(business, "default", open_only=True)
    assert (alert.state, alert.priority, alert.title) == ("new", "urgent", "Daily revenue is out of line")
    assert alert.text("title", "zh-Hant") == "每日營收異常"
    assert (alert.detected_at, alert.expires_at) == (at(13), at(14))
    assert (alert.metric_date, alert.last_metric_date) == (day(12), day(12))

    find_candidate(business, "daily_revenue", 13, value=20)
    go_on(business, 13)
    assert refresh(business, settings).seen == 1
    go_on(business, 15)
    done = refresh(business, settings)
    assert (done.resolved, done.open, done.incidents_closed) == (1, 0, 1)
    (again,) = storage.list_alerts(business, "default")
    assert (again.id, again.state, again.resolution, again.occurrences) == (alert.id, "resolved", "recovered", 2)
    assert (again.resolved_at, again.current_value, again.severity) == (at(16), 20, "warning")
    (incident,) = storage.list_incidents(business, "default")
    assert (incident.state, incident.severity) == ("closed", "critical")
    assert [event.event_type for event in storage.alert_events(business, alert.id)] == [
        "detected",
        "seen",
        "resolved",
    ]
    assert {(event.actor, event.run_id) for event in storage.alert_events(business, alert.id)} == {
        (RUN.actor, RUN.run_id)
    }


def test_the_same_twice_writes_nothing(business: ConnectionPool, settings: Settings):
    add_texts(business, [(number + 0.5, ["kettle"]) for number in range(1, 12)])
    find_candidate(business, "daily_revenue", 3, 4, 10, 12)
    find_candidate(business, "payment_failure_rate", 10, 11, direction="up", subtype="static")
    refresh(business, settings)
    before = rows(business)
    with business.connection() as connection:
        events = connection.execute("SELECT count(*) FROM analytics.alert_events").fetchone()
        written = connection.execute(
            "SELECT array_agg(xmin::text ORDER BY id) FROM analytics.dashboard_alerts"
        ).fetchone()
    done = refresh(business, settings)
    assert (done.new, done.seen, done.resolved, done.expired, done.corrected) == (0, 0, 0, 0, 0)
    assert (done.incidents_opened, done.incidents_closed) == (0, 0)
    assert rows(business) == before
    with business.connection() as connection:
        assert connection.execute("SELECT count(*) FROM analytics.alert_events").fetchone() == events
        assert (
            connection.execute(
                "SELECT array_agg(xmin::text ORDER BY id) FROM analytics.dashboard_alerts"
            ).fetchone()
            == written
        )


def test_the_context_is_frozen_at_first_and_holds_the_evidence(business: ConnectionPool, settings: Settings):
    add_texts(business, [(number + 0.5, ["kettle"]) for number in range(1, 11)])
    add_texts(business, [(12.4, ["付款失敗", "信用卡"]), (12.6, ["付款失敗"])])
    find_candidate(business, "payment_failure_rate", 12, direction="up", subtype="static")
    refresh(business, settings)
    (alert,) = storage.list_alerts(business, "default")
    assert alert.business_context["season_factor"] == "normal"
    assert alert.business_context["evidence"] == alert.evidence_refs
    assert alert.evidence_refs["top_tags"][0]["tag"] == "付款失敗"

    add_texts(business, [(13.2, ["payment failed"]), (13.3, ["payment failed"]), (13.4, ["payment failed"])])
    go_on(business, 13)
    with business.connection() as connection:
        connection.execute("UPDATE analytics.business_context SET business_context = '{\"other\": 1}'")
    refresh(business, settings)
    (later,) = storage.list_alerts(business, "default")
    assert later.business_context == alert.business_context
    assert {tag["tag"] for tag in later.evidence_refs["top_tags"]} >= {"付款失敗", "payment failed"}


def test_each_of_two_alerts_of_a_day_freezes_what_triggered_it(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 12, subtype="static", value=10, severity="critical")
    find_candidate(business, "daily_revenue", 12, subtype="drop", value=20)
    with business.connection() as connection:
        connection.execute(
            "UPDATE analytics.business_context SET business_context = business_context"
            ' || \'{"triggering_metrics": {"primary_metric": "daily_revenue", "current_value": 99,'
            ' "expected_value": 1}}\''
        )
    refresh(business, settings)
    frozen = {
        alert.alert_type: alert.business_context["triggering_metrics"]
        for alert in storage.list_alerts(business, "default")
    }
    told = {kind: (context["current_value"], context["breach_severity"]) for kind, context in frozen.items()}
    assert told == {"threshold_breach": (10, "critical"), "anomaly_detection": (20, "warning")}
    assert {context["primary_metric"] for context in frozen.values()} == {"daily_revenue"}
    assert all(context.get("expected_value") != 1 for context in frozen.values())


def test_a_season_at_once_is_what_daily_refreshes_make(
    business: ConnectionPool, settings: Settings, database_url: str
):
    def candidates() -> None:
        find_candidate(business, "daily_revenue", 14, 15, 18, 25)
        find_candidate(business, "daily_orders", 15, 16, subtype="shift")
        find_candidate(business, "payment_failure_rate", 20, 21, 30, direction="up", subtype="static")

    def state() -> list[tuple]:
        with business.connection() as connection:
            return connection.execute(
                """
                SELECT a.id, a.state, a.metric_date, a.last_metric_date, a.occurrences, a.quiet_runs, a.expires_at,
                    a.resolved_at, a.resolution, a.detected_at, a.last_seen_at, a.title,
                    -- The evidence inside is what was known when the alert was written.
                    a.business_context - 'evidence'
                FROM analytics.dashboard_alerts AS a ORDER BY a.id
                """
            ).fetchall()

    candidates()
    for number in range(13, 31):
        go_on(business, number)
        refresh(business, settings)
    daily = state()
    with business.connection() as connection:
        connection.execute("DELETE FROM analytics.dashboard_alerts; DELETE FROM analytics.alert_incidents")
    refresh(business, settings)
    assert state() == daily
    assert {row[1] for row in daily} == {"resolved", "new"}


def test_late_facts_correct_old_alerts_and_open_others(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 4, 5)
    find_candidate(business, "daily_orders", 12)
    refresh(business, settings)
    incidents = storage.list_incidents(business, "default")
    assert len(incidents) == 2
    forget_candidates(business, "daily_revenue", 4, 5)
    find_candidate(business, "daily_revenue", 8)
    done = refresh(business, settings)
    assert (done.new, done.corrected) == (1, 1)
    alerts = storage.list_alerts(business, "default")
    assert [(alert.metric_name, alert.metric_date) for alert in alerts] == [
        ("daily_orders", day(12)),
        ("daily_revenue", day(8)),
    ]
    with business.connection() as connection:
        corrected = connection.execute(
            "SELECT state, resolution, metric_date FROM analytics.dashboard_alerts WHERE resolution = 'corrected'"
        ).fetchall()
        emptied = connection.execute(
            "SELECT count(*) FROM analytics.alert_incidents AS i WHERE i.state = 'open' AND NOT EXISTS"
            " (SELECT FROM analytics.dashboard_alerts AS a WHERE a.incident_id = i.id AND a.is_active)"
        ).fetchone()
    assert corrected == [("resolved", "corrected", day(4))]
    assert emptied == (0,)
    assert len(storage.list_incidents(business, "default")) == 2


def test_a_storm_is_one_incident_named_by_its_cause(business: ConnectionPool, settings: Settings):
    add_texts(business, [(number + 0.5, ["kettle", "手沖"]) for number in range(1, 11)])
    outage = [(11.1 + n / 10, ["付款失敗", "信用卡"]) for n in range(4)]
    add_texts(business, outage, fact="ticket")
    find_candidate(business, "payment_failure_rate", 11, 12, direction="up", subtype="static", severity="critical")
    find_candidate(business, "payment_failure_rate", 11, direction="up", subtype="spike")
    find_candidate(business, "daily_revenue", 11)
    find_candidate(business, "daily_orders", 12)
    done = refresh(business, settings)
    assert (done.new, done.incidents_opened) == (4, 1)
    (incident,) = storage.list_incidents(business, "default")
    assert (incident.state, incident.severity, incident.alerts) == ("open", "critical", 4)
    assert incident.cause_tags[0] in ("付款失敗", "信用卡")
    assert incident.text("zh-Hant").startswith("「付款失敗」：付款失敗率")
    assert incident.title.startswith("付款失敗: Payment failure rate, ")
    assert incident.metrics == ["daily_orders", "daily_revenue", "payment_failure_rate"]
    assert len(storage.list_alerts(business, "default", incident_id=incident.id)) == 4


def test_people_acknowledge_note_and_close(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 12)
    refresh(business, settings)
    (alert,) = storage.list_alerts(business, "default")
    storage.acknowledge(business, alert.id, MEI)
    storage.acknowledge(business, alert.id, ChangeContext("user:jo"))
    storage.add_note(business, alert.id, " 銀行維修中 ", MEI)
    storage.add_note(business, alert.id, "back at noon", ChangeContext("user:jo"))
    find_candidate(business, "daily_revenue", 13)
    go_on(business, 13)
    refresh(business, settings)
    seen = storage.find_alert(business, "default", str(alert.id)[:8])
    assert (seen.acknowledged_by, seen.state, seen.occurrences) == ("user:mei", "active", 2)
    assert [line[11:] for line in seen.notes.splitlines()] == ["user:mei: 銀行維修中", "user:jo: back at noon"]
    assert storage.close_alert(business, alert.id, MEI)
    assert not storage.close_alert(business, alert.id, MEI)
    find_candidate(business, "daily_revenue", 14)
    go_on(business, 14)
    assert refresh(business, settings).new == 0
    closed = storage.find_alert(business, "default", str(alert.id))
    assert (closed.state, closed.resolution) == ("resolved", "closed")
    assert "acknowledged" in {event.event_type for event in storage.alert_events(business, alert.id)}
    # What comes back after an end of its own is another alert.
    find_candidate(business, "daily_revenue", 20)
    go_on(business, 20)
    assert refresh(business, settings).new == 1


def test_alerts_are_found_by_the_beginning_of_their_id(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 12)
    find_candidate(business, "daily_orders", 12)
    refresh(business, settings)
    with pytest.raises(UnknownName, match="there is no alert 'zz'"):
        storage.find_alert(business, "default", "zz")
    with pytest.raises(UnknownName, match="more than one"):
        storage.find_alert(business, "default", "")


def test_silences_last_as_long_as_they_say(business: ConnectionPool, settings: Settings):
    find_candidate(business, "daily_revenue", 12)
    refresh(business, settings)
    assert not storage.list_incidents(business, "default")[0].silenced
    id = storage.silence(
        business,
        "default",
        metric_name="daily_revenue",
        lasting=timedelta(hours=2),
        reason="盤點",
        actor="user:mei",
    )
    (silence,) = storage.list_silences(business, "default")
    assert (silence.id, silence.metric_name, silence.reason) == (id, "daily_revenue", "盤點")
    assert storage.list_incidents(business, "default")[0].silenced
    storage.end_silence(business, "default", id)
    assert storage.list_silences(business, "default") == []
    assert not storage.list_incidents(business, "default")[0].silenced
    with pytest.raises(UnknownName, match="no silence"):
        storage.end_silence(business, "default", id)
    with pytest.raises(ConfigurationError, match="what is to be silent"):
        storage.silence(business, "default", lasting=timedelta(hours=1), reason="x", actor="user:mei")
    with pytest.raises(ConfigurationError, match="say why"):
        storage.silence(
            business, "default", dimension="all", lasting=timedelta(hours=1), reason=" ", actor="user:mei"
        )
