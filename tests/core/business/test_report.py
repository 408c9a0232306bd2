"""The executive health report put together from facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from tagging_orchestration.core.business.report import (
    HISTORY_DAYS,
    Evidence,
    EvidenceTag,
    Forecast,
    Incident,
    Phrase,
    ReportFacts,
    SampleText,
    Series,
    SourceState,
    Stock,
    TagCounts,
    build_report,
    excerpt,
    health_level,
)
from tests.fakes import report as fake
from tests.fakes.report import AS_OF, alert

ALONE: Any = {"incident": None}


@pytest.mark.parametrize(
    ("severities", "widest", "risky", "level"),
    [
        ([], 0, False, "good"),
        (["info", "info", "info"], 0, False, "good"),
        ([], 0, True, "watch"),
        (["warning"], 0, False, "watch"),
        (["warning", "warning", "info"], 0, True, "watch"),
        (["warning", "warning", "warning"], 0, False, "alert"),
        (["critical"], 1, False, "alert"),
        (["critical"], 2, False, "critical"),
        (["critical", "critical"], 1, False, "critical"),
    ],
)
def test_health_follows_the_documented_rule(severities, widest, risky, level):
    assert health_level(severities, widest, risky) == level


def test_an_incident_counts_once_however_many_metrics_alert():
    report = build_report(fake.facts())
    assert (report.health.critical, report.health.warning, report.health.info) == (1, 0, 1)
    assert report.health.level == "critical"
    assert report.health.reason.zh == "一件嚴重事件同時影響 2 項指標。"
    assert report.health.headline == report.situations[0].title
    assert [len(situation.alerts) for situation in report.situations] == [2, 1]


def test_a_quiet_day_is_good_and_says_so():
    report = build_report(fake.quiet())
    assert report.health.level == "good"
    assert report.situations == ()
    assert report.health.headline.zh == "營運如常，沒有需要處理的事項"


def test_a_high_risk_ahead_is_named_on_a_quiet_day():
    risk = Forecast(
        "late_delivery_rate",
        "all",
        fake.LABELS["late_delivery_rate"],
        "share",
        7,
        AS_OF,
        value=0.3,
        lower=0.1,
        upper=0.4,
        threshold=0.25,
        probability=0.6,
        level="高",
        method="ets",
    )
    calm = replace(risk, level="中", probability=0.3)
    assert build_report(replace(fake.quiet(), forecasts=(calm,))).health.level == "good"
    report = build_report(replace(fake.quiet(), forecasts=(calm, risk)))
    assert report.health.level == "watch"
    assert report.health.headline.en == "Quiet now; Late deliveries is expected to cross its limit"
    assert [forecast.level for forecast in report.forecasts] == ["高", "中"]
    noisy = replace(risk, value=0.05)
    assert build_report(replace(fake.quiet(), forecasts=(noisy,))).health.level == "good"


@pytest.mark.parametrize(
    "facts", [ReportFacts(fake.BUSINESS, fake.GENERATED_AT), replace(fake.facts(), computed=False)]
)
def test_without_metrics_nothing_is_judged(facts):
    report = build_report(facts)
    assert report.health.level == "unknown"
    assert report.health.critical == 0


def test_closed_alerts_are_history_only():
    closed = alert(9, closed_on=AS_OF - timedelta(days=1))
    report = build_report(replace(fake.facts(), alerts=(closed,)))
    assert report.situations == ()
    assert report.history[0].message == closed.message


def test_worst_and_most_urgent_come_first():
    alerts = (
        alert(1, severity="info", days_ago=0, **ALONE),
        alert(2, severity="warning", days_ago=1, **ALONE),
        replace(alert(3, severity="critical", days_ago=9, **ALONE), priority="medium"),
        replace(alert(4, severity="critical", days_ago=2, **ALONE), priority="urgent"),
    )
    report = build_report(replace(fake.facts(), alerts=alerts))
    assert [situation.id for situation in report.situations] == ["alert-4", "alert-3", "alert-2", "alert-1"]
    assert [situation.is_new for situation in report.situations] == [False, False, True, True]
    assert report.situations[1].days == 10


def test_evidence_of_an_incident_is_that_of_its_alerts_without_doubles():
    def evidence(*tags: EvidenceTag) -> Evidence:
        return Evidence(tags=tags, rows=fake.BACKLOG.rows)

    alerts = (
        alert(
            1, evidence=evidence(EvidenceTag(1, "refund", 3, 2.0, 0.2), EvidenceTag(2, "no reply", 9, 11.0, 0.001))
        ),
        alert(
            2, evidence=evidence(EvidenceTag(2, "no reply", 9, 12.0, 0.0005), EvidenceTag(3, "退款", 4, 3.0, 0.3))
        ),
    )
    (situation,) = build_report(replace(fake.facts(), alerts=alerts)).situations
    assert [(tag.name, tag.lift) for tag in situation.tags] == [("no reply", 12.0), ("refund", 2.0), ("退款", 3.0)]
    assert situation.rows == fake.BACKLOG.rows


def test_quotes_let_every_tag_speak_and_repeat_no_text():
    text = SampleText(1, "sample", "a", "ticket", "Twice sent", "The same words", AS_OF)
    samples = {
        1: text,
        2: replace(text, content_id=2, external_id="b"),
        3: replace(text, content_id=3, text="Another text"),
        4: replace(text, content_id=4, text="第三段文字"),
    }
    tags = (EvidenceTag(1, "x", 2, 2.0, 0.01, (1, 2, 3)), EvidenceTag(2, "y", 2, 2.0, 0.02, (4, 99)))
    facts = replace(fake.facts(), alerts=(alert(1, evidence=Evidence(tags)),), samples=samples)
    (situation,) = build_report(facts).situations
    assert [quote.content_id for quote in situation.quotes] == [1, 4, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Write to mei.lin@mail.example or call +886 2 2345 6789.", "Write to ■■■ or call ■■■."),
        ("身分證 A123456789，卡號 4111 1111 1111 1111", "身分證 ■■■，卡號 ■■■"),
        ("<p>Late&nbsp;again</p>\n\nsecond line", "Late again second line"),
        ("付款失敗，" * 60, "付款失敗，" * 35 + "付款失敗…"),
        ("word " * 60, ("word " * 36).strip() + "…"),
    ],
)
def test_excerpts_are_one_short_line_without_personal_data(text, told):
    assert excerpt(text, 180) == told


def test_key_metrics_first_then_those_that_alert():
    report = build_report(fake.facts())
    names = [card.metric.metric_name for card in report.key_metrics]
    assert names[:2] == ["daily_revenue", "daily_orders"]
    assert names[-2:] == ["ticket_volume", "visits"]
    assert report.other_metrics == ()
    calm = build_report(fake.quiet())
    assert {card.metric.metric_name for card in calm.other_metrics} == {"ticket_volume", "visits"}
    assert not any(card.open_severity for card in calm.key_metrics)


def test_alert_days_are_places_in_the_series():
    facts = replace(
        fake.facts(),
        alerts=(
            alert(1, "visits", days_ago=3, closed_on=AS_OF - timedelta(days=2)),
            alert(2, "visits", days_ago=300, closed_on=AS_OF - timedelta(days=88)),
            replace(alert(3, "visits", days_ago=1), dimension="product:KT-EL08"),
        ),
        series={("visits", "all"): Series(AS_OF - timedelta(days=89), (1.0,) * 90)},
    )
    cards = {card.metric.metric_name: card for card in build_report(facts).key_metrics}
    cards |= {card.metric.metric_name: card for card in build_report(facts).other_metrics}
    assert cards["visits"].alert_days == (0, 1, 86, 87)
    assert cards["visits"].open_severity is None


def test_history_lies_inside_its_year():
    def incident(number: int, first: date, last: date) -> Incident:
        return Incident(f"i{number}", "warning", Phrase("x", "事件"), first, last, False)

    start = AS_OF - timedelta(days=HISTORY_DAYS - 1)
    facts = replace(
        fake.facts(),
        incidents=(
            incident(1, start - timedelta(days=9), start - timedelta(days=1)),
            incident(2, start - timedelta(days=9), start + timedelta(days=1)),
            incident(3, AS_OF, AS_OF),
        ),
    )
    report = build_report(facts)
    assert [past.incident.id for past in report.history] == ["i3", "i2"]
    assert report.history_from == start
    latest, oldest = report.history
    assert (oldest.starts, oldest.length, oldest.days) == (0.0, pytest.approx(2 / HISTORY_DAYS), 11)
    assert latest.starts + latest.length == pytest.approx(1.0)


def test_the_weightiest_incidents_are_major_and_news_never_is():
    def incident(number: int, severity: Any) -> Incident:
        day = AS_OF - timedelta(days=number)
        return Incident(f"i{number}", severity, Phrase("x", "事件"), day, day, False)

    incidents = [incident(number, "warning") for number in range(1, 31)]
    incidents += [incident(40, "critical"), incident(0, "info")]
    alerts = [replace(alert(n, incident="i29", closed_on=AS_OF), metric_name=f"m{n}") for n in range(2)]
    report = build_report(replace(fake.facts(), incidents=tuple(incidents), alerts=tuple(alerts)))
    major = [past.incident.id for past in report.history if past.major]
    assert major == [*(f"i{number}" for number in range(1, 11)), "i29", "i40"]
    assert len(report.history) == 32


def test_tags_move_only_beyond_chance():
    report = build_report(fake.facts())
    assert [tag.name for tag in report.rising] == ["no reply", "客服回覆慢"]
    assert [tag.name for tag in report.falling] == ["iced coffee"]
    assert report.falling[0].expected == pytest.approx(21 * 30 / 88)
    few = replace(fake.facts(), tags=(TagCounts(1, "少", 3, 0), TagCounts(2, "enough", 6, 0)), contents_recent=10)
    assert [tag.name for tag in build_report(few).rising] == ["enough"]
    noise = tuple(TagCounts(number, f"tag {number}", 1 + number % 3, 3, ()) for number in range(200))
    assert build_report(replace(fake.facts(), tags=noise)).rising == ()
    alone = replace(fake.facts(), tags=(TagCounts(1, "new", 9, 0),), contents_before=0)
    assert build_report(alone).rising == ()


def test_quality_notes_name_what_is_wrong():
    notes = build_report(fake.facts()).quality
    assert [note.text.zh for note in notes] == [
        "orders：14800 筆中有 3 筆未採用（total_amount 數值不合理 2 筆、ordered_at 日期無法採用 1 筆）。",
        "sessions 的資料只到 2026-10-27，比本報告早 4 天。",
        "造訪數有 1 天沒有數值：2026-10-04。",
    ]
    failed = SourceState("orders", "failed", AS_OF, 90, 10, (), "too many bad rows")
    first = build_report(replace(fake.facts(), sources=(*fake.facts().sources, failed))).quality[0]
    assert (first.level, first.text.en) == ("problem", "The last load of orders failed: too many bad rows.")
    good = build_report(replace(fake.facts(), sources=(), missing_days=())).quality
    assert [note.level for note in good] == ["good"]


def test_what_runs_out_first_comes_first():
    stock = (
        Stock("slow", "s", 900, 0.0, None, "slow"),
        Stock("ok", "k", 46, 1.9, 24.2, "ok"),
        Stock("low", "l", 2, 3.0, 0.7, "low"),
        Stock("out", "o", 0, 0.0, None, "out"),
    )
    report = build_report(replace(fake.facts(), stock=stock))
    assert [item.product_id for item in report.stock] == ["out", "low", "ok", "slow"]


def test_the_order_of_facts_does_not_matter():
    facts = fake.facts()
    turned = replace(
        facts,
        alerts=facts.alerts[::-1],
        incidents=facts.incidents[::-1],
        tags=facts.tags[::-1],
        stock=facts.stock[::-1],
    )
    assert build_report(turned) == build_report(facts)


def test_a_missing_language_falls_back_on_the_other():
    assert Phrase("", "只有中文").of("en") == "只有中文"
    assert Phrase("English only", "").of("zh-Hant") == "English only"
