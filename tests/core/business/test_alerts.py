"""The life of alerts: days in, alerts out, the same however the days come."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from tagging_orchestration.core.business.alerts import (
    AlertState,
    Candidate,
    LifeRules,
    Phase,
    Resolution,
    Severity,
    StoredAlert,
    is_good_news,
    priority,
    reconcile,
    replay,
)
from tests.core.business.builders import candidate, day

RULES = LifeRules()
EVERY_DAY = frozenset(day(number) for number in range(1, 400))


def life(*numbers: int, until: int, known: frozenset[date] = EVERY_DAY, rules: LifeRules = RULES):
    """The alerts of one metric that is out of line on these days."""
    key = ("daily_revenue", "all")
    return replay([candidate(number) for number in numbers], {key: known}, day(until), rules)


def test_an_alert_is_new_then_active_then_resolved():
    assert [alert.phase for alert in life(5, until=5)] == [Phase.NEW]
    (alert,) = life(5, 6, until=6)
    assert (alert.phase, alert.occurrences) == (Phase.ACTIVE, 2)
    (alert,) = life(5, 6, until=7)
    assert (alert.phase, alert.quiet_days) == (Phase.ACTIVE, 1)
    (alert,) = life(5, 6, until=8)
    assert (alert.phase, alert.ended_on) == (Phase.RESOLVED, day(8))
    assert life(5, 6, until=8) == life(5, 6, until=300)


def test_one_quiet_day_does_not_end_an_alert():
    (alert,) = life(5, 7, 9, until=9)
    assert (alert.first.metric_date, alert.occurrences, alert.phase) == (day(5), 3, Phase.ACTIVE)


def test_a_re_fire_keeps_identity_as_long_as_the_alert_is_remembered():
    (alert,) = life(5, 8, until=8)
    assert (alert.first.metric_date, alert.phase, alert.ended_on) == (day(5), Phase.ACTIVE, None)
    first, second = life(5, 9, until=9)
    assert first.phase is Phase.RESOLVED
    assert (second.first.metric_date, second.phase) == (day(9), Phase.NEW)
    assert first.fingerprint == second.fingerprint
    assert first.id != second.id


def test_an_alert_of_which_nothing_is_known_expires():
    (alert,) = life(5, until=6, known=frozenset())
    assert (alert.phase, alert.ended_on) == (Phase.EXPIRED, day(6))
    (alert,) = life(5, until=7, known=frozenset({day(6)}))
    assert (alert.phase, alert.ended_on) == (Phase.EXPIRED, day(7))
    (alert,) = life(5, until=7, known=frozenset(), rules=LifeRules(alert_hours=72))
    assert alert.phase is Phase.NEW
    (alert,) = life(5, 8, until=8, known=frozenset(), rules=LifeRules(alert_hours=72))
    assert alert.occurrences == 2


def test_the_worst_candidate_of_a_day_speaks_for_it():
    mild, bad = candidate(5, subtype="spike", score=9.0), candidate(5, severity=Severity.CRITICAL)
    (alert,) = replay([mild, bad], {}, day(5), RULES)
    assert (alert.last, alert.occurrences) == (bad, 1)


def test_an_alert_remembers_its_worst_day():
    bad, mild = candidate(5, severity=Severity.CRITICAL), candidate(6)
    (alert,) = replay([bad, mild], {}, day(6), RULES)
    assert (alert.last.severity, alert.worst) == (Severity.WARNING, Severity.CRITICAL)


@pytest.mark.parametrize(
    "other",
    [
        candidate(5, "daily_orders"),
        candidate(5, dimension="product:壺"),
        candidate(5, alert_type="threshold_breach"),
        candidate(5, direction="up"),
        replace(candidate(5), organization_id="other"),
    ],
)
def test_what_differs_in_its_fingerprint_is_another_alert(other: Candidate):
    assert len(replay([candidate(5), other], {}, day(5), RULES)) == 2
    assert candidate(6, value=7, subtype="shift").fingerprint == candidate(5).fingerprint


class Table:
    """`dashboard_alerts` in memory, brought up to date as storage does it."""

    def __init__(self) -> None:
        self.rows: dict[UUID, AlertState] = {}
        self.resolution: dict[UUID, Resolution] = {}

    def stored(self) -> list[StoredAlert]:
        return [
            StoredAlert(
                id,
                row.fingerprint,
                row.first.metric_date,
                row.last.metric_date,
                row.phase,
                row.occurrences,
                self.resolution.get(id),
            )
            for id, row in self.rows.items()
        ]

    def refresh(self, candidates: list[Candidate], known: dict, until: int) -> tuple[int, int, int]:
        changes = reconcile(replay(candidates, known, day(until), RULES), self.stored(), day(1))
        changed = sum(self.rows[id] != alert for id, alert in changes.continued)
        for id, alert in (*changes.opened, *changes.continued):
            self.rows[id] = alert
            self.resolution.pop(id, None)
        self.resolution |= dict.fromkeys(changes.corrected, Resolution.CORRECTED)
        return len(changes.opened), changed, len(changes.corrected)


def random_business(seed: int) -> tuple[list[Candidate], dict]:
    """Ninety days of some metrics, in bursts, with days of which nothing is known."""
    dice = random.Random(seed)
    candidates, known = [], {}
    for metric in ("daily_revenue", "visits", "客服量"):
        for dimension in ("all", "product:KT-EL08"):
            strange = set()
            for _ in range(dice.randint(0, 5)):
                start = dice.randint(1, 85)
                strange |= {start + offset for offset in range(dice.randint(1, 9)) if dice.random() < 0.7}
            candidates += [
                candidate(number, metric, dimension=dimension, direction=dice.choice(("up", "down")), value=number)
                for number in strange
            ]
            known[metric, dimension] = frozenset(day(number) for number in range(1, 95) if dice.random() < 0.8)
    return candidates, known


@pytest.mark.parametrize("seed", range(25))
def test_a_season_at_once_ends_where_daily_refreshes_end(seed: int):
    candidates, known = random_business(seed)
    daily, at_once, now_and_then = Table(), Table(), Table()
    dice = random.Random(seed)
    for number in range(1, 95):
        daily.refresh(candidates, known, number)
        if dice.random() < 0.2:
            now_and_then.refresh(candidates, known, number)
    at_once.refresh(candidates, known, 94)
    now_and_then.refresh(candidates, known, 94)
    assert daily.rows == at_once.rows == now_and_then.rows
    assert not daily.resolution
    assert at_once.refresh(candidates, known, 94) == (0, 0, 0)
    open_fingerprints = [row.fingerprint for row in at_once.rows.values() if row.is_open]
    assert len(open_fingerprints) == len(set(open_fingerprints))


def test_corrected_facts_correct_alerts_and_keep_what_still_stands():
    table, known = Table(), {("daily_revenue", "all"): EVERY_DAY}
    numbers = [5, 6, 20, 21, 40]
    table.refresh([candidate(number) for number in numbers], known, 40)
    before = {row.first.metric_date: id for id, row in table.rows.items()}
    # Day 5 was none after all, nor were 20 and 21; day 30 was one.
    assert table.refresh([candidate(number) for number in (6, 30, 40)], known, 41) == (1, 2, 1)
    after = {row.first.metric_date: id for id, row in table.rows.items()}
    assert table.resolution == {before[day(20)]: Resolution.CORRECTED}
    assert after[day(6)] == before[day(5)]
    assert after[day(30)] not in before.values()
    # Right again: the corrected alert comes back under its id.
    table.refresh([candidate(number) for number in numbers], known, 41)
    assert before[day(20)] not in table.resolution
    assert table.rows[before[day(20)]].occurrences == 2


def test_alerts_before_the_first_judged_day_are_forgotten_and_closed_ones_left_alone():
    (alert,) = life(5, 6, until=6)
    row = StoredAlert(alert.id, alert.fingerprint, day(5), day(6), Phase.ACTIVE, 2)
    assert reconcile([], [row], day(5)).corrected == {alert.id}
    too_old = reconcile([], [row], day(10))
    assert (too_old.corrected, too_old.forgotten) == (set(), {alert.id})
    assert reconcile([], [replace(row, phase=Phase.EXPIRED)], day(10)).forgotten == set()
    closed = replace(row, phase=Phase.RESOLVED, resolution=Resolution.CLOSED)
    (longer,) = life(5, 6, 7, until=7)
    changes = reconcile([longer], [closed], day(1))
    assert (changes.opened, changes.continued, changes.corrected) == ((), (), set())


@pytest.mark.parametrize(
    ("direction", "is_higher_better", "good"),
    [("up", True, True), ("down", True, False), ("up", False, False), ("up", None, None), ("none", True, None)],
)
def test_which_news_is_good(direction: str, is_higher_better: bool | None, good: bool | None):
    assert is_good_news(direction, is_higher_better) is good


@pytest.mark.parametrize(
    ("severity", "good", "share", "wanted"),
    [
        (Severity.INFO, None, None, "low"),
        (Severity.INFO, False, 0.2, "medium"),
        (Severity.WARNING, False, 0.01, "medium"),
        (Severity.WARNING, False, 0.5, "high"),
        (Severity.CRITICAL, None, None, "high"),
        (Severity.CRITICAL, False, 0.1, "urgent"),
        (Severity.CRITICAL, True, 0.9, "low"),
    ],
)
def test_priority(severity: Severity, good: bool | None, share: float | None, wanted: str):
    assert priority(severity, good, share) == wanted
