"""The outbox: once for each incident and channel, whatever crashes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.business.alerts import notify, refresh_alerts
from tagging_orchestration.core.errors import (
    ConfigurationError,
    DeliveryUnknown,
    TransientError,
    UnknownName,
)
from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import BusinessSettings, NotificationChannel, Settings
from tagging_orchestration.storage import alerts, notifications
from tests.core.business.builders import day
from tests.fakes.notifier import FakeNotifier
from tests.storage.business import RUN, at, build_relations, find_candidate, set_values

MEI = ChangeContext("user:mei")


class Clock:
    """A clock that people move."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(seconds=5)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def settings(settings: Settings) -> Settings:
    channels = [NotificationChannel(name="mail"), NotificationChannel(name="pager", min_severity="critical")]
    return settings.model_copy(
        update={"business": BusinessSettings(timezone="Asia/Taipei", notify=channels, locale="zh-Hant")}
    )


@pytest.fixture
def business(pool: ConnectionPool, settings: Settings) -> ConnectionPool:
    """Three incidents: one open, one just over, one long ago."""
    build_relations(pool)
    for metric in ("daily_revenue", "late_delivery_rate", "avg_response_time"):
        set_values(pool, metric, [100.0] * 40)
    with pool.connection() as connection:
        connection.execute("INSERT INTO raw.sessions (started_at, visits) VALUES (%s, 1)", [at(40.5)])
    find_candidate(pool, "daily_revenue", 40, severity="critical")
    find_candidate(pool, "late_delivery_rate", 20, severity="critical", direction="up")
    refresh_alerts(pool, settings, RUN)
    return pool


def status(pool: ConnectionPool) -> dict[str, str]:
    with pool.connection() as connection:
        return dict(connection.execute("SELECT channel, status FROM analytics.notifications").fetchall())


def test_each_channel_hears_once_of_each_incident_that_is_news(business: ConnectionPool, settings: Settings):
    notifier = FakeNotifier()
    queued, sent = notify(business, settings, notifier)
    assert (queued.queued, sent.sent) == (2, 2)
    assert sorted(channel for channel, _ in notifier.delivered) == ["mail", "pager"]
    notice = notifier.delivered[0][1]
    assert notice.title == "每日營收異常"
    assert f"自 {day(40)} 起，等級：嚴重" in notice.body
    for _ in range(3):
        refresh_alerts(business, settings, RUN)
        queued, sent = notify(business, settings, notifier)
        assert (queued.queued, sent.sent) == (0, 0)
    assert len(notifier.delivered) == 2


def test_a_channel_hears_only_what_is_severe_enough(business: ConnectionPool, settings: Settings):
    find_candidate(business, "avg_response_time", 40, direction="up", severity="warning")
    refresh_alerts(business, settings, RUN)
    notifier = FakeNotifier()
    notify(business, settings, notifier)
    heard = {(channel, notice.title) for channel, notice in notifier.delivered}
    assert heard == {("mail", "每日營收異常"), ("pager", "每日營收異常"), ("mail", "平均回覆時間異常")}


def test_what_is_acknowledged_or_silenced_is_not_told(business: ConnectionPool, settings: Settings):
    (alert,) = alerts.list_alerts(business, "default", open_only=True)
    silence = alerts.silence(
        business,
        "default",
        fingerprint=alert.fingerprint,
        lasting=timedelta(hours=1),
        reason="盤點",
        actor="user:mei",
    )
    notifier = FakeNotifier()
    assert notify(business, settings, notifier)[0].queued == 0
    alerts.end_silence(business, "default", silence)
    queued = notifications.queue_notifications(business, "default", {"mail": "info"}, 24)
    assert queued.queued == 1
    alerts.acknowledge(business, alert.id, MEI)
    queued, sent = notify(business, settings, notifier)
    assert (queued.withdrawn, sent.sent) == (1, 0)
    assert notifier.delivered == []


def test_a_known_failure_is_tried_again_later_and_given_up_at_last(business: ConnectionPool, settings: Settings):
    clock = Clock()
    down = FakeNotifier(*[TransientError("channel answered 503")] * 20)
    assert notify(business, settings, down, clock)[1].retried == 2
    assert notify(business, settings, down, clock)[1].retried == 0
    clock.now += timedelta(minutes=2)
    assert notify(business, settings, down, clock)[1].retried == 2
    clock.now += timedelta(minutes=2)
    assert notify(business, settings, down, clock)[1].retried == 0
    outcomes = []
    for _ in range(3):
        clock.now += timedelta(days=1)
        outcomes.append(notify(business, settings, down, clock)[1])
    assert [(sent.retried, sent.dead) for sent in outcomes] == [(2, 0), (2, 0), (0, 2)]
    letters = notifications.list_dead_letters(business, "default")
    assert {(letter.channel, letter.attempts) for letter in letters} == {("mail", 5), ("pager", 5)}
    assert letters[0].last_error == "given up after 5 attempts: channel answered 503"
    assert notifications.retry_dead_letters(business, "default", letters[0].id) == 1
    up = FakeNotifier()
    assert notify(business, settings, up, clock)[1].sent == 1
    assert notifications.retry_dead_letters(business, "default") == 1
    with pytest.raises(UnknownName, match="no dead letter 99"):
        notifications.retry_dead_letters(business, "default", 99)


def test_one_channel_that_is_down_stops_no_other(business: ConnectionPool, settings: Settings):
    notifier = FakeNotifier(ConfigurationError("ALERT_HOOK is not set"))
    sent = notify(business, settings, notifier)[1]
    assert (sent.sent, sent.dead) == (1, 1)
    assert sorted(status(business).values()) == ["dead", "sent"]


class PowerCut(BaseException):
    """The process is gone."""


def test_a_crash_between_sending_and_noting_never_sends_twice(business: ConnectionPool, settings: Settings):
    clock = Clock()
    with pytest.raises(PowerCut):
        notify(business, settings, FakeNotifier(PowerCut()), clock)
    assert sorted(status(business).values()) == ["queued", "sending"]
    after = FakeNotifier()
    assert notify(business, settings, after, clock)[1].sent == 1
    assert notifications.count_due(business, "default", clock.now) == 0
    clock.now += timedelta(hours=1)
    assert notifications.count_due(business, "default", clock.now) == 1
    assert notify(business, settings, after, clock)[1].dead == 1
    assert len(after.delivered) == 1
    (letter,) = notifications.list_dead_letters(business, "default")
    assert letter.last_error == notifications.ABANDONED
    notifications.retry_dead_letters(business, "default", letter.id)
    assert notify(business, settings, after, clock)[1].sent == 1


def test_what_may_have_arrived_is_not_sent_again(business: ConnectionPool, settings: Settings):
    notifier = FakeNotifier(DeliveryUnknown("no answer"), DeliveryUnknown("no answer"))
    assert notify(business, settings, notifier)[1].dead == 2
    assert notify(business, settings, notifier)[1].sent == 0


def test_senders_that_work_at_once_share_the_outbox(business: ConnectionPool, settings: Settings):
    other = FakeNotifier()
    first = FakeNotifier(during=lambda: notify(business, settings, other) and None)
    notify(business, settings, first)
    heard = [channel for channel, _ in first.delivered + other.delivered]
    assert sorted(heard) == ["mail", "pager"]
    assert other.delivered
