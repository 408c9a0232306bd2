"""Which alerts are one incident."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from tagging_orchestration.core.business.alerts import Severity
from tagging_orchestration.core.business.incidents import LONGEST_TITLE, group
from tests.core.business.builders import cause, day, incident_alert

FAILED = cause(1, "payment failed", p_value=1e-6)
FAILED_ZH = cause(2, "付款失敗", p_value=1e-4)


def outage() -> list:
    return [
        incident_alert(1, "payment_failure_rate", 10, 13, severity=Severity.CRITICAL, causes=(FAILED, FAILED_ZH)),
        incident_alert(2, "daily_revenue", 10, 13),
        incident_alert(3, "conversion_rate", 11, 13),
        incident_alert(4, "tag_volume", 11, 14, dimension="tag:2", good_news=None, causes=(FAILED_ZH,)),
        incident_alert(5, "payment_failure_rate", 10, 13, causes=(FAILED,)),
    ]


def test_a_payment_outage_is_one_incident_named_by_its_cause():
    (incident,) = group(outage())
    assert len(incident.alerts) == 5
    assert incident.severity is Severity.CRITICAL
    assert (incident.opened_on, incident.last_seen_on, incident.closed_on) == (day(10), day(14), day(14))
    assert [c.tag for c in incident.causes] == ["payment failed", "付款失敗"]
    assert incident.title_en == ("payment failed: payment failure rate, daily revenue, conversion rate and 1 more")
    assert incident.title_zh == (
        "「payment failed」：payment_failure_rate 指標、daily_revenue 指標、conversion_rate 指標等 4 項"
    )


def test_viral_praise_beside_a_support_backlog_is_two():
    video, waiting = cause(7, "影片"), cause(8, "no reply")
    praise = [
        incident_alert(1, "visits", 10, good_news=True, severity=Severity.INFO, causes=(video,)),
        incident_alert(2, "units_sold", 10, dimension="product:DR-PO02", good_news=True, causes=(video,)),
        incident_alert(3, "stockouts", 12, dimension="product:DR-PO02"),
        incident_alert(4, "daily_orders", 11, good_news=True),
    ]
    backlog = [
        incident_alert(5, "avg_response_time", 10, causes=(waiting, video)),
        incident_alert(6, "ticket_volume", 11),
    ]
    incidents = group(praise + backlog)
    assert sorted(len(incident.alerts) for incident in incidents) == [2, 4]
    assert {frozenset(alert.id.int for alert in incident.alerts) for incident in incidents} == {
        frozenset({1, 2, 3, 4}),
        frozenset({5, 6}),
    }


def test_the_same_alerts_give_the_same_incidents_in_any_order_and_over_time():
    alerts = outage()
    wanted = group(alerts)
    for seed in range(10):
        shuffled = list(alerts)
        random.Random(seed).shuffle(shuffled)
        assert group(shuffled) == wanted
    grown: list = []
    for number in range(1, 6):
        (incident,) = group([*grown, *(a for a in alerts if a.id.int == number)])
        assert incident.id == wanted[0].id
        grown = list(incident.alerts)
    assert group(grown) == wanted


def test_alerts_far_apart_or_without_a_common_cause_are_their_own_incidents():
    apart = [incident_alert(1, "daily_revenue", 10, 12), incident_alert(2, "daily_revenue", 20, 22)]
    assert len(group(apart)) == 2
    strangers = [incident_alert(1, "return_rate", 10), incident_alert(2, "api_response_time", 10)]
    assert len(group(strangers)) == 2
    # Related metrics tell of one cause for some time; the same tag does so as long as it is there.
    slow = [incident_alert(1, "daily_orders", 10, seen=40), incident_alert(2, "daily_revenue", 30)]
    assert len(group(slow)) == 2
    assert len(group([slow[0], replace(slow[1], opened_on=day(20))])) == 1
    assert len(group([replace(alert, causes=(FAILED,)) for alert in slow])) == 1
    chance = cause(1, "kettle", significant=False)
    assert len(group([replace(alert, causes=(chance,)) for alert in slow])) == 2


def test_good_news_and_bad_are_one_only_when_one_tag_leads_both():
    video, other = cause(7, "影片"), cause(8, "no reply")
    good = incident_alert(1, "visits", 10, good_news=True, causes=(video,))
    bad = incident_alert(2, "pending_orders", 11, causes=(video, other))
    assert len(group([good, bad])) == 1
    assert len(group([good, replace(bad, causes=(other, video))])) == 2
    assert len(group([replace(good, last_seen_on=day(20)), replace(bad, opened_on=day(18))])) == 2
    assert len(group([replace(good, causes=()), replace(bad, causes=())])) == 2


def test_products_that_move_at_once_are_two_unless_their_texts_agree():
    alerts = [
        incident_alert(1, "units_sold", 10, dimension="product:a"),
        incident_alert(2, "units_sold", 10, dimension="product:b"),
    ]
    assert len(group(alerts)) == 2
    assert len(group([replace(alert, causes=(FAILED,)) for alert in alerts])) == 1


def test_a_later_alert_joins_the_open_incident_and_the_last_one_closes_it():
    (first,) = group([incident_alert(1, "late_delivery_rate", 10, causes=(cause(3, "late delivery"),))])
    assert first.closed_on is None
    later = incident_alert(2, "bad_reviews", 12, 15, causes=(cause(3, "late delivery"),))
    (both,) = group([*first.alerts, later])
    assert (both.id, both.closed_on, both.title_en.partition(":")[0]) == (first.id, None, "late delivery")
    (over,) = group([replace(alert, ended_on=alert.ended_on or day(17)) for alert in both.alerts])
    assert over.closed_on == day(17)


def test_an_incident_without_a_cause_is_named_by_its_worst_alert():
    (incident,) = group(
        [
            incident_alert(1, "visits", 10),
            incident_alert(2, "daily_revenue", 10, severity=Severity.CRITICAL),
        ]
    )
    assert incident.title_en == "daily_revenue is out of line (and 1 more)"
    assert incident.title_zh == "daily_revenue 異常（另有 1 項）"
    (long,) = group([replace(incident_alert(1, "visits", 10), title_en="x" * 300)])
    assert len(long.title_en) == LONGEST_TITLE


def test_a_long_storm_stays_one_incident():
    alerts = [incident_alert(n, "payment_failure_rate", n, n + 2, causes=(FAILED,)) for n in range(1, 60)]
    (incident,) = group(alerts)
    assert all(one.opened_on <= other.opened_on for one, other in pairwise(incident.alerts))
