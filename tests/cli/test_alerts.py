"""Alerts, incidents and metrics on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.business.alerts import notify, refresh_alerts
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.settings import BusinessSettings, NotificationChannel, get_settings
from tests.cli.conftest import Tagging, data
from tests.core.business.builders import day
from tests.fakes.notifier import FakeNotifier
from tests.storage.business import RUN, add_texts, at, build_relations, find_candidate, set_values


@pytest.fixture
def business(project: Path, pool: ConnectionPool) -> ConnectionPool:
    """A business whose payments fail today, as the tickets say; an old incident is over."""
    build_relations(pool)
    for metric in ("daily_revenue", "payment_failure_rate"):
        set_values(pool, metric, [100.0 + number % 7 for number in range(68)] + [20.0, 10.0])
    with pool.connection() as connection:
        connection.execute("INSERT INTO raw.sessions (started_at, visits) VALUES (%s, 1)", [at(70.5)])
        connection.execute(
            """
            INSERT INTO analytics.metrics_current
            SELECT f.organization_id, f.metric_name, f.dimension, f.dimension_label, f.metric_date,
                f.current_value, 100, t.category, t.display_name, t.display_name_zh, t.unit, f.sample_size
            FROM analytics.fct_business_metrics_daily AS f
            JOIN analytics.metric_thresholds AS t ON t.metric_name = f.metric_name
            WHERE f.metric_date = %s
            """,
            [day(70)],
        )
        connection.execute(
            "INSERT INTO analytics.metric_trends"
            " VALUES ('default', 'daily_revenue', 'all', %s, -55, -20, 3, 'falling')",
            [day(70)],
        )
    add_texts(pool, [(number + 0.5, ["kettle"]) for number in range(1, 69)])
    add_texts(pool, [(69.2 + number / 10, ["付款失敗"]) for number in range(5)], fact="ticket")
    find_candidate(pool, "daily_revenue", 20)
    find_candidate(pool, "daily_revenue", 69, 70)
    find_candidate(pool, "payment_failure_rate", 70, direction="up", severity="critical", subtype="static")
    refresh_alerts(pool, get_settings(), RUN)
    return pool


def test_open_alerts_and_old_ones(tagging: Tagging, business: ConnectionPool):
    shown = tagging("alerts", "list").stdout
    assert "Daily revenue is out of line" in shown
    assert "付款失敗" in shown
    chinese = tagging("alerts", "list", "--lang", "zh-Hant").stdout
    assert "每日營收異常" in chinese
    opened = data(tagging("alerts", "list", "--json"))
    assert [alert["metric_name"] for alert in opened] == ["payment_failure_rate", "daily_revenue"]
    assert len(data(tagging("alerts", "list", "--all", "--json"))) == 3
    assert len(data(tagging("alerts", "list", "--since", str(day(60)), "--json"))) == 2


def test_one_alert_says_why(tagging: Tagging, business: ConnectionPool):
    alert = data(tagging("alerts", "list", "--json"))[0]
    shown = tagging("alerts", "show", alert["id"][:8]).stdout
    for said in (
        "Payment failure rate was 10",
        "critical",
        "付款失敗",
        "detected",
        RUN.actor,
        "tagging alerts incidents",
    ):
        assert said in shown
    found = data(tagging("alerts", "show", alert["id"], "--json"))
    assert found["alert"]["evidence_refs"]["top_tags"][0]["tag"] == "付款失敗"
    missing = tagging("alerts", "show", "zzz")
    assert (missing.exit_code, missing.stdout) == (3, "")


def test_incidents_and_the_alerts_of_one(tagging: Tagging, business: ConnectionPool):
    (incident,) = data(tagging("alerts", "incidents", "--json"))
    assert incident["causes"][0]["tag"] == "付款失敗"
    assert len(data(tagging("alerts", "incidents", "--all", "--json"))) == 2
    assert "付款失敗: Payment failure rate" in tagging("alerts", "incidents").stdout
    one = tagging("alerts", "incidents", incident["id"][:8], "--lang", "zh-Hant").stdout
    assert "「付款失敗」：付款失敗率" in one
    assert "每日營收異常" in one
    assert len(data(tagging("alerts", "incidents", incident["id"], "--json"))["alerts"]) == 2
    assert tagging("alerts", "incidents", "zzz").exit_code == 3


def test_looking_after_an_alert(tagging: Tagging, business: ConnectionPool):
    alert = data(tagging("alerts", "list", "--json"))[0]["id"]
    assert "looks after" in tagging("alerts", "ack", alert, "--note", "打電話給銀行").stdout
    assert "noted under" in tagging("alerts", "note", alert, "back at noon").stdout
    assert tagging("alerts", "note", alert, " ").exit_code == 2
    shown = tagging("alerts", "show", alert).stdout
    assert "打電話給銀行" in shown
    assert "back at noon" in shown
    assert "(in hand)" in tagging("alerts", "list").stdout
    assert "closed: " in tagging("alerts", "close", alert, "--note", "done").stdout
    assert "was over already" in tagging("alerts", "close", alert).stdout
    assert [row["metric_name"] for row in data(tagging("alerts", "list", "--json"))] == ["daily_revenue"]


def test_silences(tagging: Tagging, business: ConnectionPool):
    assert "nothing is silent" in tagging("alerts", "silence", "--list").stdout
    alert = data(tagging("alerts", "list", "--json"))[0]["id"]
    assert "維護" in tagging("alerts", "silence", "--alert", alert, "--reason", "維護").stdout
    (silence,) = data(tagging("alerts", "silence", "--list", "--json"))
    tagging("alerts", "silence", "--metric", "daily_revenue", "--hours", "2", "--reason", "sale")
    assert "(silent)" in tagging("alerts", "incidents").stdout
    assert f"silence {silence['id']} is over" in tagging("alerts", "unsilence", str(silence["id"])).stdout
    assert "(silent)" not in tagging("alerts", "incidents").stdout
    refused = tagging("alerts", "silence", "--metric", "daily_revenue")
    assert (refused.exit_code, "say why" in refused.stderr) == (5, True)
    assert tagging("alerts", "unsilence", "99").exit_code == 3
    assert tagging("alerts", "silence", "--metric", "no_such", "--reason", "sale").exit_code == 3
    for hours in ("nan", "99999999999"):
        assert tagging("alerts", "silence", "--metric", "visits", "--hours", hours, "--reason", "x").exit_code == 2


def test_dead_letters_can_be_sent_again(tagging: Tagging, business: ConnectionPool):
    assert "every message was delivered" in tagging("alerts", "dead-letters").stdout
    channels = BusinessSettings(notify=[NotificationChannel(name="pager", url_env="PAGER")])
    settings = get_settings().model_copy(update={"business": channels})
    notify(business, settings, FakeNotifier(ConfigurationError("PAGER is not set")))
    assert "PAGER is not set" in tagging("alerts", "dead-letters").stdout
    (letter,) = data(tagging("alerts", "dead-letters", "--json"))
    assert tagging("alerts", "retry").exit_code == 2
    assert "1 messages will be sent again" in tagging("alerts", "retry", str(letter["id"])).stdout
    assert "0 messages" in tagging("alerts", "retry", "--all").stdout


def test_metrics(tagging: Tagging, business: ConnectionPool):
    shown = tagging("metrics", "list").stdout
    assert "Daily revenue" in shown
    assert "-55%" in shown
    assert "每日營收" in tagging("metrics", "list", "--lang", "zh-Hant").stdout
    assert "no metrics of tag:9" in tagging("metrics", "list", "--dimension", "tag:9").stdout
    days = data(tagging("metrics", "show", "daily_revenue", "--days", "3", "--json"))["days"]
    assert [(row["metric_date"], row["value"]) for row in days][-1] == (str(day(70)), 10.0)
    assert "▁" in tagging("metrics", "show", "daily_revenue").stdout
    wrong = tagging("metrics", "show", "daily_revenu")
    assert (wrong.exit_code, "did you mean daily_revenue" in wrong.stderr) == (3, True)
    assert tagging("metrics", "show", "daily_revenue", "--dimension", "product:x").exit_code == 3


def test_the_metrics_of_a_tag(tagging: Tagging, business: ConnectionPool):
    alert = data(tagging("alerts", "list", "--json"))[0]
    tag = str(alert["evidence_refs"]["top_tags"][0]["tag_id"])
    found = data(tagging("metrics", "of-tag", tag, "--json"))
    assert found["tag"]["name"] == "付款失敗"
    assert {alert["title_zh"] for alert in found["alerts"]} == {"每日營收異常", "付款失敗率異常"}
    shown = tagging("metrics", "of-tag", tag).stdout
    assert "Alerts it explains" in shown
    assert "explains no alert" in tagging("metrics", "of-tag", "kettle").stdout


def test_before_the_first_build_there_are_no_metrics(tagging: Tagging, project: Path):
    result = tagging("metrics", "list")
    assert (result.exit_code, "no metrics were computed yet" in result.stderr) == (5, True)
    assert "nothing is out of line" in tagging("alerts", "list").stdout
    assert "no incident is open" in tagging("alerts", "incidents").stdout
