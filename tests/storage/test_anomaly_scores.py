"""Which days wait for the detectors, and what is kept of their verdicts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.business.alerts import ScoreRefresh, score_pending
from tagging_orchestration.core.business.detectors import DayJudgement, MetricProfile
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.anomaly_scores import scores_by_month, strangest_days
from tests.core.business.builders import day
from tests.storage.business import build_relations, set_value, set_values


class FakeJudge:
    """Takes every value above 1000 for a spike, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, MetricProfile, frozenset[date]]] = []

    def __call__(
        self,
        days: Sequence[date],
        values: Sequence[float | None],
        profile: MetricProfile,
        holidays: Collection[date],
    ) -> list[DayJudgement]:
        self.asked.append((len(days), profile, frozenset(holidays)))
        return [
            DayJudgement(on, value, 100.123456, 90.0, 110.0, float(spike) * 9, 3.0, spike,
                         "spike" if spike else "none", "up" if spike else "none")
            for on, value in zip(days, values, strict=True)
            for spike in [value is not None and value > 1000]
        ]  # fmt: skip


@pytest.fixture
def business(pool: ConnectionPool) -> ConnectionPool:
    build_relations(pool)
    set_values(pool, "daily_revenue", [100.00004, 5000.0, None, 120.0])
    set_values(pool, "units_sold", [1.0] * 4, "product:壺", "電熱壺")
    return pool


def test_only_what_changed_is_judged_again_with_all_days_after_it(business: ConnectionPool, settings: Settings):
    judge = FakeJudge()
    assert score_pending(business, settings, judge=judge) == ScoreRefresh(2, 8, 1, 0)
    assert score_pending(business, settings, judge=judge) == ScoreRefresh()
    with business.connection() as connection:
        set_value(connection, "daily_revenue", day(3), 2000.0)
        set_value(connection, "units_sold", day(5), 1.0, "product:壺")
    assert score_pending(business, settings, judge=judge) == ScoreRefresh(2, 3, 1, 0)
    assert [length for length, _, _ in judge.asked] == [4, 4, 4, 5]
    assert score_pending(business, settings, judge=judge, detector_version="other") == ScoreRefresh(2, 9, 2, 0)


def test_the_profile_and_the_calendar_reach_the_detector(business: ConnectionPool, settings: Settings):
    with business.connection() as connection:
        connection.execute(
            "INSERT INTO analytics.dim_calendar VALUES ('default', %s, true, false), ('default', %s, false, true),"
            " ('default', %s, false, false)",
            [day(1), day(2), day(3)],
        )
    judge = FakeJudge()
    score_pending(business, settings, judge=judge)
    assert [profile.value_kind for _, profile, _ in judge.asked] == ["amount", "count"]
    assert judge.asked[0][1].min_history_days == 14
    assert judge.asked[0][2] == {day(1), day(2)}
    assert score_pending(business, settings, judge=judge) == ScoreRefresh()
    with business.connection() as connection:
        connection.execute(
            "UPDATE metric_thresholds SET false_alarms_per_30_days = 1 WHERE metric_name = 'daily_revenue'"
        )
    assert score_pending(business, settings, judge=judge).series == 1
    with business.connection() as connection:
        connection.execute("INSERT INTO analytics.dim_calendar VALUES ('default', %s, true, false)", [day(4)])
    assert score_pending(business, settings, judge=judge).series == 2


def test_scores_of_what_is_judged_no_more_are_forgotten(business: ConnectionPool, settings: Settings):
    score_pending(business, settings, judge=FakeJudge())
    with business.connection() as connection:
        connection.execute(
            "UPDATE analytics.metric_thresholds SET detect = false WHERE metric_name = 'units_sold'"
        )
        connection.execute(
            "DELETE FROM analytics.fct_business_metrics_daily WHERE metric_date = %s AND metric_name = %s",
            [day(2), "daily_revenue"],
        )
    assert score_pending(business, settings, judge=FakeJudge()) == ScoreRefresh(dropped=5)


def test_the_strangest_days(business: ConnectionPool, settings: Settings):
    score_pending(business, settings, judge=FakeJudge())
    (strange,) = strangest_days(business, "default", 5)
    assert (strange.metric_name, strange.metric_date, strange.kind) == ("daily_revenue", day(2), "spike")
    assert (strange.value, strange.expected, strange.score) == (5000.0, 100.1235, 9.0)
    assert scores_by_month(business, "default") == [(date(2026, 3, 1), 1)]


def test_the_real_detectors_find_a_collapse(business: ConnectionPool, settings: Settings):
    set_values(business, "visits", [1000.0 + number % 7 * 10 for number in range(60)] + [20.0])
    done = score_pending(business, settings)
    assert done.days_scored == 4 + 4 + 61
    strange = strangest_days(business, "default", 1)
    assert [(row.metric_name, row.metric_date, row.direction) for row in strange] == [("visits", day(61), "down")]
