"""Alerts about the AI: which figures make one, and how it lives from look to look."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from tagging_orchestration.core.business.alerts import Phase, Resolution, Severity
from tagging_orchestration.core.business.contracts import validate_business_context
from tagging_orchestration.core.enhancement import watch
from tagging_orchestration.core.enhancement.subjects import ABOUT_AI
from tagging_orchestration.core.enhancement.watch import (
    AiFigures,
    DailyUse,
    Finding,
    Judgement,
    Limits,
    ProviderFigures,
    WatchRules,
    judge,
)
from tagging_orchestration.core.enhancement.watch_life import (
    WatchedAlert,
    advance,
    business_context,
    fingerprint,
)

RULES = WatchRules()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOOK = timedelta(minutes=15)
LIMITS = {
    limits.metric_name: limits
    for limits in (
        Limits(watch.SUCCESS_RATE, "lt", 0.9, 0.7),
        Limits(watch.RESPONSE_TIME, "gt", 20_000, 40_000),
        Limits(watch.DAILY_COST, "gt", 0.8, 0.95),
        Limits(watch.DAILY_TOKENS, "gt", 0.8, 0.95),
        Limits(watch.PROVIDER_AVAILABILITY, "lt", 0.95, 0.5),
        Limits(watch.ANSWER_QUALITY, "lt", 0.9, 0.7),
    )
}
WELL = ProviderFigures(
    "local", "Ollama", "healthy", calls=40, successes=40, p95_response_ms=3_000, answers=40, valid_answers=40,
    probes=20, good_probes=20,
)  # fmt: skip
OTHER = replace(WELL, name="openai", display_name="OpenAI")


def found(
    *providers: ProviderFigures, cost: DailyUse = DailyUse(), tokens: DailyUse = DailyUse()
) -> list[Finding]:
    return list(judge(AiFigures(providers, cost, tokens), LIMITS, RULES).findings)


# ---------------------------------------------------------------------------------------------------- figures


def test_an_ai_that_does_well_is_no_news():
    assert judge(AiFigures((WELL, OTHER), DailyUse(1, 5), DailyUse(100, 200_000)), LIMITS, RULES) == Judgement()


@pytest.mark.parametrize(
    ("changes", "metric", "subtype", "severity", "value", "limit"),
    [
        ({"successes": 35}, watch.SUCCESS_RATE, "ai_performance", "warning", 35 / 40, 0.9),
        ({"successes": 20, "main_error": "timeout"}, watch.SUCCESS_RATE, "ai_performance", "critical", 0.5, 0.7),
        ({"p95_response_ms": 20_001}, watch.RESPONSE_TIME, "ai_performance", "warning", 20_001, 20_000),
        ({"valid_answers": 10}, watch.ANSWER_QUALITY, "ai_quality", "critical", 0.25, 0.7),
        ({"good_probes": 15}, watch.PROVIDER_AVAILABILITY, "ai_availability", "warning", 0.75, 0.95),
    ],
)
def test_a_figure_beyond_its_limit_is_found(changes, metric, subtype, severity, value, limit):
    (finding,) = found(replace(WELL, **changes), OTHER)
    assert (finding.metric_name, finding.alert_subtype, finding.severity) == (metric, subtype, severity)
    assert (finding.current_value, finding.threshold_value) == (pytest.approx(value), limit)
    assert (finding.dimension, finding.dimension_label) == ("provider:local", "Ollama")
    assert finding.alert_subtype.startswith(ABOUT_AI)
    assert finding.priority == {"warning": "medium", "critical": "high"}[severity]


@pytest.mark.parametrize("changes", [{"successes": 36}, {"p95_response_ms": 20_000}, {"good_probes": 19}])
def test_at_its_limit_a_figure_is_fine(changes):
    assert found(replace(WELL, **changes)) == []


def test_every_text_is_in_both_languages_and_complete():
    findings = found(
        replace(WELL, successes=5, main_error="timeout", p95_response_ms=50_000, valid_answers=1),
        replace(OTHER, health_status="unhealthy", health_detail="connection refused", consecutive_failures=4),
        replace(OTHER, name="claude", good_probes=1),
        replace(OTHER, name="hybrid", health_status="degraded", health_detail="it has no model phi4-mini"),
        cost=DailyUse(4.9, 5, (0.1, 0.1, 0.1)),
        tokens=DailyUse(199_000, 200_000, (1000, 1000, 1000)),
    )
    assert len({finding.key for finding in findings}) == len(findings) == 10
    for finding in findings:
        for locale in ("en", "zh-Hant"):
            texts = finding.texts[locale]
            assert set(texts) == {"title", "message"}
            for text in texts.values():
                assert text
                assert not re.search(r"[{}]|None|nan", text), text
                assert bool(re.search(r"[一-鿿]", text)) == (locale == "zh-Hant"), text
            assert len(texts["title"]) <= 200
    messages = {finding.metric_name: finding.texts["en"]["message"] for finding in findings}
    assert "5 of 40" in messages[watch.SUCCESS_RATE]
    assert "timeout" in messages[watch.SUCCESS_RATE]


def test_few_calls_say_nothing():
    judgement = judge(AiFigures((replace(WELL, calls=9, successes=0, answers=9, valid_answers=0),)), LIMITS, RULES)
    assert judgement.findings == ()
    assert judgement.unknown == {
        (metric, "provider:local") for metric in (watch.SUCCESS_RATE, watch.RESPONSE_TIME, watch.ANSWER_QUALITY)
    }
    fresh = judge(AiFigures((ProviderFigures("local", "Ollama"),)), LIMITS, RULES)
    assert (watch.PROVIDER_AVAILABILITY, "provider:local") in fresh.unknown
    assert not fresh.findings


@pytest.mark.parametrize(
    "away", [{"health_status": "unhealthy", "health_detail": "connection refused"}, {"consecutive_failures": 3}]
)
def test_a_provider_that_is_away_is_critical_when_nobody_else_can_answer(away):
    down = replace(WELL, **away)
    (alone,) = found(down)
    assert (alone.alert_subtype, alone.severity) == ("ai_availability", Severity.CRITICAL)
    (helped,) = found(down, OTHER)
    assert helped.severity is Severity.WARNING
    assert "Other providers answer" in helped.texts["en"]["message"]
    assert [finding.severity for finding in found(down, replace(OTHER, **away))] == ["critical", "critical"]
    assert found(replace(WELL, consecutive_failures=2)) == []


def test_a_server_without_its_model_is_a_warning():
    (finding,) = found(replace(WELL, health_status="degraded", health_detail="it has no model phi4-mini."))
    assert (finding.alert_subtype, finding.severity) == ("ai_availability", Severity.WARNING)
    assert "it has no model phi4-mini." in finding.texts["zh-Hant"]["message"].replace("。", ".")


def test_what_is_switched_off_in_the_thresholds_is_not_judged():
    bad = replace(WELL, successes=1, valid_answers=1, p95_response_ms=90_000, health_status="unhealthy")
    figures = AiFigures((bad,), DailyUse(5, 5, (1, 1, 1)), DailyUse(9, 9, (1, 1, 1)))
    assert judge(figures, {}, RULES).findings == ()
    only = judge(figures, {watch.DAILY_COST: LIMITS[watch.DAILY_COST]}, RULES).findings
    assert {finding.metric_name for finding in only} == {watch.DAILY_COST}


@pytest.mark.parametrize(
    ("used", "severity"),
    [(4.0, None), (4.01, "warning"), (4.75, "warning"), (4.76, "critical"), (5.5, "critical")],
)
def test_use_near_the_limit_is_found_as_a_share_of_it(used, severity):
    findings = found(WELL, cost=DailyUse(used, 5))
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    if severity:
        assert findings[0].current_value == pytest.approx(used / 5)
        assert (findings[0].dimension, findings[0].alert_type) == ("all", "threshold_breach")


def test_a_limit_of_nothing_is_never_nearly_used():
    assert found(WELL, cost=DailyUse(0, 0), tokens=DailyUse(0, 0)) == []


@pytest.mark.parametrize(
    ("use", "is_news"),
    [
        (DailyUse(31_000, 200_000, (10_000, 10_000, 10_000)), True),
        (DailyUse(30_000, 200_000, (10_000, 10_000, 10_000)), False),
        # two days are no week
        (DailyUse(100_000, 200_000, (10_000, 10_000)), False),
        # three times nearly nothing is nothing
        (DailyUse(3_100, 200_000, (1_000, 1_000, 1_000)), False),
    ],
)
def test_unusual_use_is_measured_by_the_past_week(use, is_news):
    findings = found(WELL, tokens=use)
    assert [(finding.alert_type, finding.severity) for finding in findings] == (
        [("anomaly_detection", "warning")] if is_news else []
    )


# ------------------------------------------------------------------------------------------------------- life


def finding(metric: str = watch.SUCCESS_RATE, dimension: str = "provider:local") -> Finding:
    texts = {locale: {"title": "t", "message": "m"} for locale in ("en", "zh-Hant")}
    return Finding(
        "threshold_breach",
        "ai_performance",
        metric,
        dimension,
        "Ollama",
        "down",
        Severity.WARNING,
        0.5,
        0.9,
        texts,
    )


BAD, FINE = Judgement((finding(),)), Judgement()
UNKNOWN = Judgement((), frozenset({(watch.SUCCESS_RATE, "provider:local")}))


def lived(*looks: Judgement | tuple[Judgement, timedelta]) -> list[WatchedAlert]:
    """All alerts after these looks, each a quarter of an hour (or what is said) after the one before."""
    alerts: dict[object, WatchedAlert] = {}
    now = NOON
    for look in looks:
        judgement, step = look if isinstance(look, tuple) else (look, LOOK)
        now += step
        latest = {alert.key: alert for alert in sorted(alerts.values(), key=lambda alert: alert.detected_at)}
        for alert in advance("default", judgement, list(latest.values()), now, RULES):
            alerts[alert.id] = alert
        assert sum(alert.is_open for alert in alerts.values()) <= 1
    return sorted(alerts.values(), key=lambda alert: alert.detected_at)


def test_an_alert_is_new_then_active_then_resolved_after_two_quiet_looks():
    (alert,) = lived(BAD)
    assert (alert.phase, alert.occurrences, alert.finding) == (Phase.NEW, 1, BAD.findings[0])
    (alert,) = lived(BAD, BAD)
    assert (alert.phase, alert.occurrences) == (Phase.ACTIVE, 2)
    (alert,) = lived(BAD, BAD, FINE)
    assert (alert.phase, alert.quiet_looks, alert.resolved_at) == (Phase.ACTIVE, 1, None)
    (alert,) = lived(BAD, BAD, FINE, FINE)
    assert (alert.phase, alert.resolution) == (Phase.RESOLVED, Resolution.RECOVERED)
    assert alert.resolved_at == NOON + 4 * LOOK
    assert lived(BAD, BAD, FINE, FINE, FINE) == [alert]


def test_one_quiet_look_between_does_not_resolve():
    (alert,) = lived(BAD, FINE, BAD, FINE)
    assert (alert.phase, alert.quiet_looks, alert.occurrences) == (Phase.ACTIVE, 1, 2)


def test_what_comes_back_soon_is_the_same_alert_later_it_is_another():
    (alert,) = lived(BAD, FINE, FINE, BAD)
    assert (alert.phase, alert.occurrences, alert.resolution, alert.resolved_at) == (Phase.ACTIVE, 2, None, None)
    first, second = lived(BAD, FINE, FINE, (BAD, timedelta(hours=24)))
    assert (first.phase, second.phase) == (Phase.RESOLVED, Phase.NEW)
    assert first.id != second.id


def test_without_figures_an_alert_waits_and_then_expires():
    (alert,) = lived(BAD, UNKNOWN, UNKNOWN, UNKNOWN)
    assert (alert.phase, alert.quiet_looks) == (Phase.NEW, 0)
    (alert,) = lived(BAD, UNKNOWN, (UNKNOWN, timedelta(hours=24)))
    assert alert.phase is Phase.EXPIRED
    first, second = lived(BAD, (BAD, timedelta(hours=25)))
    assert (first.phase, second.phase) == (Phase.EXPIRED, Phase.NEW)


def test_what_a_person_closed_stays_closed_for_as_long_as_it_lasts():
    (alert,) = lived(BAD)
    closed = replace(alert, phase=Phase.RESOLVED, resolution=Resolution.CLOSED, resolved_at=NOON, finding=None)
    now = NOON + 2 * LOOK
    (still,) = advance("default", BAD, [closed], now, RULES)
    assert (still.id, still.phase, still.resolution) == (closed.id, Phase.RESOLVED, Resolution.CLOSED)
    assert still.last_seen_at == now
    assert still.finding is None
    (quiet,) = advance("default", FINE, [still], now, RULES)
    (over,) = advance("default", FINE, [quiet], now, RULES)
    assert advance("default", FINE, [over], now, RULES) == []
    (again,) = advance("default", BAD, [over], now, RULES)
    assert (again.phase, again.id != closed.id) == (Phase.NEW, True)


def test_alerts_of_other_keys_go_their_own_ways():
    both = Judgement((finding(), finding(dimension="provider:openai")))
    alerts = advance("default", both, [], NOON, RULES)
    assert len({alert.id for alert in alerts}) == 2
    changed = advance("default", BAD, alerts, NOON + LOOK, RULES)
    assert {alert.key[2]: alert.phase for alert in changed} == {
        "provider:local": Phase.ACTIVE,
        "provider:openai": Phase.NEW,
    }


def test_fingerprints_differ_by_organisation_and_key():
    key = BAD.findings[0].key
    assert len({fingerprint("a", key), fingerprint("b", key), fingerprint("a", (*key[:2], "all"))}) == 3


def test_the_frozen_context_keeps_to_its_schema():
    context = business_context(finding(), NOON, date(2026, 3, 1), is_open=True, currency="TWD")
    assert validate_business_context(context) == []
    assert (context["day_of_week"], context["contextual_factors"]["day_of_week"]) == (0, "sunday")
    assert context["triggering_metrics"]["current_value"] == 0.5
