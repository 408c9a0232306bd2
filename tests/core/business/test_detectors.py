"""The detectors: what is found, what is left alone, and that no day knows its future."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from tagging_orchestration.core.business.detection import daily, stream, windows
from tagging_orchestration.core.business.detectors import (
    DayJudgement,
    MetricProfile,
    daily_scores,
    judge,
    stream_scores,
)

FIRST = date(2025, 3, 3)
DAYS = 200
WEEK = np.array([1.0, 1.1, 1.0, 1.0, 1.2, 0.6, 0.5])
AMOUNT = MetricProfile()
COUNT = MetricProfile(value_kind="count")
SHARE = MetricProfile(value_kind="share")


def days(number: int) -> list[date]:
    return [FIRST + timedelta(days=place) for place in range(number)]


def revenue(number: int = DAYS, seed: int = 1, noise: float = 0.08) -> np.ndarray:
    """A shop's revenue with a weekly rhythm."""
    random = np.random.default_rng(seed)
    return 1000 * WEEK[np.arange(number) % 7] * np.exp(noise * random.standard_normal(number))


def judged(values, profile: MetricProfile = AMOUNT, holidays=()) -> list[DayJudgement]:
    listed = [None if value is None or math.isnan(value) else float(value) for value in values]
    return judge(days(len(listed)), listed, profile, holidays)


def anomalies(judgements: list[DayJudgement], start: int = 0) -> dict[int, tuple[str, str]]:
    return {
        place: (judgement.kind, judgement.direction)
        for place, judgement in enumerate(judgements)
        if judgement.is_anomaly and place >= start
    }


def known(number: float | None) -> float:
    assert number is not None
    return number


# -------------------------------------------------------------------------------------------- what is found


def test_an_ordinary_year_is_left_alone():
    # 12 metrics over a year at 0.1 false alarms a month: 14 are allowed.
    found = sum(len(anomalies(judged(revenue(365, seed)))) for seed in range(12))
    assert found <= 14


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(2.0, ("spike", "up")), (0.35, ("drop", "down")), (0.0, ("drop", "down"))],
)
def test_one_strange_day_is_one_anomaly(factor, expected):
    values = revenue()
    values[150] *= factor
    assert anomalies(judged(values), 140) == {150: expected}


def test_a_quiet_sunday_is_not_news_but_the_same_value_on_a_friday_is():
    values = revenue(noise=0.04)
    sunday, friday = 153, 158
    assert values[sunday] == pytest.approx(500, rel=0.15)
    values[friday] = values[sunday]
    found = anomalies(judged(values), 140)
    assert found == {friday: ("drop", "down")}
    without_week = judged(values, MetricProfile(seasonality="none"))
    assert not anomalies(without_week, 140)


def test_a_shift_lasts_as_one_excursion_and_ends_when_it_is_the_new_level():
    values = revenue(260)
    values[150:] *= 1.5
    found = anomalies(judged(values), 140)
    first = min(found)
    assert first in (150, 151)
    assert {direction for _, direction in found.values()} == {"up"}
    assert "shift" in {kind for kind, _ in found.values()}
    assert list(found) == list(range(first, first + len(found)))
    assert 5 <= len(found) <= 45


def test_a_slow_drift_is_found_before_it_is_over():
    values = revenue(noise=0.05)
    values[150:] *= np.minimum(1 + np.arange(50) * 0.012, 1.5)
    found = anomalies(judged(values), 140)
    assert found
    assert 152 <= min(found) <= 170
    assert {kind for kind, _ in found.values()} <= {"shift", "drift"}


def test_what_only_two_weeks_together_show_is_a_drift():
    values = revenue(300)
    values[230:] *= 1 + np.arange(70) * 0.008
    found = anomalies(judged(values), 225)
    first = min(found)
    assert 240 <= first <= 260
    assert found[first] == ("drift", "up")
    assert abs(values[first] / revenue(300)[first] - 1) < 3 * 0.08


def test_a_share_that_falls_and_one_that_leaves_zero():
    random = np.random.default_rng(2)
    satisfied = np.clip(0.93 + 0.03 * random.standard_normal(DAYS), 0, 1)
    satisfied[150] = 0.6
    assert anomalies(judged(satisfied, SHARE), 140) == {150: ("drop", "down")}
    failing = np.zeros(DAYS)
    failing[150:153] = [0.3, 0.4, 0.02]
    found = anomalies(judged(failing, SHARE))
    assert found[150] == ("spike", "up")
    assert 153 not in found


def test_a_surge_of_a_rare_tag_is_news_and_a_first_mention_is_not():
    random = np.random.default_rng(3)
    mentions = random.poisson(0.3, DAYS).astype(float)
    assert not anomalies(judged(mentions, COUNT))
    mentions[150] = 6
    assert anomalies(judged(mentions, COUNT)) == {150: ("spike", "up")}
    silent = np.zeros(DAYS)
    silent[[60, 100, 140]] = 1
    silent[120] = 2
    assert not anomalies(judged(silent, COUNT))
    silent[170] = 5
    assert anomalies(judged(silent, COUNT)) == {170: ("spike", "up")}


def test_a_rare_count_that_comes_every_day_for_a_week_is_found():
    mentions = np.zeros(DAYS)
    mentions[::10] = 1
    mentions[150:157] = 2
    found = anomalies(judged(mentions, COUNT))
    assert found
    assert 150 <= min(found) <= 154


def test_an_overdispersed_count_is_given_room():
    random = np.random.default_rng(4)
    bursts = random.negative_binomial(0.5, 0.5 / 2.5, 365).astype(float)
    calm = random.poisson(2, 365).astype(float)
    at = 300
    bursts[at] = calm[at] = 9
    assert judged(bursts, COUNT)[at].score < judged(calm, COUNT)[at].score


def test_a_missing_day_is_found_when_days_never_miss():
    values = revenue().tolist()
    values[150:152] = [None, None]
    found = judged(values)
    assert anomalies(found, 140) == {150: ("missing", "none"), 151: ("missing", "none")}
    assert found[151].score > found[150].score
    assert found[151].value is None
    assert found[151].expected is not None


def test_a_day_that_is_always_missing_is_expected_to_be():
    closed_on_sundays = revenue().tolist()
    closed_on_sundays[6::7] = [None] * len(closed_on_sundays[6::7])
    assert "missing" not in {day.kind for day in judged(closed_on_sundays)}
    closed_on_sundays[147:151] = [None] * 4
    missing = {place for place, (kind, _) in anomalies(judged(closed_on_sundays)).items() if kind == "missing"}
    assert missing == {148, 149, 150}


def test_days_left_out_are_missing_days():
    values = revenue()
    kept = [place for place in range(DAYS) if not 150 <= place < 153]
    found = judge([days(DAYS)[place] for place in kept], values[kept].tolist(), AMOUNT)
    assert len(found) == len(kept)
    with_gap = [None if 150 <= place < 153 else float(value) for place, value in enumerate(values)]
    assert found[-1] == judged(with_gap)[-1]


def test_values_below_zero_are_judged():
    random = np.random.default_rng(5)
    trend = random.normal(0, 5, DAYS)
    trend[150] = -45
    found = judged(trend, MetricProfile(seasonality="none"))
    assert min(anomalies(found, 140)) == 150
    assert (found[150].kind, found[150].direction) == ("drop", "down")
    assert found[150].expected == pytest.approx(0, abs=3)


def test_a_holiday_like_earlier_holidays_is_not_news_and_teaches_ordinary_days_nothing():
    values = revenue(300, noise=0.05)
    holidays = [60, 120, 180, 240]
    values[holidays] *= 0.3
    special = [FIRST + timedelta(days=place) for place in holidays]
    told = judged(values, holidays=special)
    assert 240 not in anomalies(told)
    assert 240 in anomalies(judged(values))
    assert known(told[240].expected) < 0.75 * known(told[233].expected)
    without = values.copy()
    without[holidays] = np.nan
    assert told[245].expected == pytest.approx(judged(without)[245].expected)


# ---------------------------------------------------------------------------------------- what is left alone


def test_a_constant_series_is_no_news_and_a_crumb_neither():
    values = [50.0] * DAYS
    assert not anomalies(judged(values))
    values[150], values[160] = 51.0, 100.0
    assert anomalies(judged(values)) == {160: ("spike", "up")}


def test_too_little_history_is_not_judged():
    values = revenue(28)
    values[27] *= 10
    short = judged(values)
    assert not anomalies(short)
    assert all(judgement.score == 0 for judgement in short)
    assert anomalies(judged(values, MetricProfile(min_history_days=14)))


@pytest.mark.parametrize("profile", [AMOUNT, COUNT, SHARE, MetricProfile(value_kind="duration")])
@pytest.mark.parametrize("values", [[], [None], [None] * 60, [0.0] * 90, [1.0], [None, 3.0] * 40])
def test_odd_series_are_judged_without_complaint(profile, values):
    found = judged(values, profile)
    assert len(found) == len(values)
    assert not anomalies(found)
    assert all(math.isfinite(judgement.score) and math.isfinite(judgement.threshold) for judgement in found)


def test_days_must_ascend_and_have_a_value_each():
    with pytest.raises(ValueError, match="ascend"):
        judge([FIRST, FIRST], [1.0, 2.0], AMOUNT)
    with pytest.raises(ValueError, match="1 days but 2 values"):
        judge([FIRST], [1.0, 2.0], AMOUNT)


# ------------------------------------------------------------------------------------------------- causality


def every_kind() -> list[tuple[MetricProfile, np.ndarray]]:
    random = np.random.default_rng(6)
    amount = revenue(160)
    amount[90] *= 3
    amount[[40, 41, 100]] = np.nan
    share = np.clip(0.9 + 0.05 * random.standard_normal(160), 0, 1)
    falls_below_zero = random.normal(3, 1, 160)
    falls_below_zero[100] = -2
    return [
        (AMOUNT, amount),
        (SHARE, share),
        (COUNT, random.poisson(0.5, 160).astype(float)),
        (COUNT, random.poisson(12, 160).astype(float)),
        (MetricProfile(seasonality="none"), falls_below_zero),
    ]


@pytest.mark.parametrize("case", range(5))
def test_the_future_changes_nothing_that_was_said(case):
    profile, values = every_kind()[case]
    holidays = [FIRST + timedelta(days=place) for place in (70, 130)]
    whole = judged(values, profile, holidays)
    for end in (35, 90, 91, 101, 131, 159):
        assert judged(values[:end], profile, holidays) == whole[:end]


@pytest.mark.parametrize("case", range(5))
@pytest.mark.parametrize("value", [0.0, 0.5, 40.0])
def test_a_day_has_no_say_in_what_is_expected_of_it(case, value):
    profile, values = every_kind()[case]
    before = judged(values, profile)[-1]
    changed = values.copy()
    changed[-1] = value
    after = judged(changed, profile)[-1]
    assert (after.expected, after.lower, after.upper, after.threshold) == (
        before.expected,
        before.lower,
        before.upper,
        before.threshold,
    )


def test_scores_of_outside_scorers_are_those_of_the_pipeline():
    index = pd.date_range(FIRST, periods=DAYS, freq="D")
    amounts = revenue()
    amounts[150] *= 2
    amounts[100] = np.nan
    amount, count, share = (MetricProfile(kind, min_history_days=14) for kind in ("amount", "count", "share"))
    for values, profile in ((amounts, amount), (np.round(amounts), count), (amounts / 2000, share)):
        scores = daily_scores(pd.Series(values, index=index))
        assert scores.index.equals(index)
        expected = judged(values, profile)
        assert scores.tolist() == [0.0 if day.value is None else day.score for day in expected]
        assert scores.idxmax() == index[150]


def test_the_bounds_are_where_a_day_becomes_an_anomaly():
    values = revenue()
    day = judged(values)[150]
    lower, expected, upper = known(day.lower), known(day.expected), known(day.upper)
    assert lower < expected < upper
    for value, is_anomaly in ((upper * 1.02, True), (lower * 0.98, True), (expected, False)):
        values[150] = value
        assert judged(values)[150].is_anomaly is is_anomaly


def test_a_larger_budget_lowers_the_threshold():
    thresholds = [
        judged(revenue(), MetricProfile(false_alarms_per_30_days=budget))[-1].threshold
        for budget in (0.05, 0.2, 1.0)
    ]
    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) == 3


def test_a_wild_metric_gets_a_higher_threshold_than_a_calm_one():
    random = np.random.default_rng(7)
    calm = daily.threshold_of(np.abs(random.normal(0, 1, 400)), 0.01)[-1]
    wild = daily.threshold_of(np.abs(random.standard_t(2, 400)), 0.01)[-1]
    assert wild > calm


# --------------------------------------------------------------------------------------------------- streams


def stream_times(number: int, minutes: int = 5) -> np.ndarray:
    return np.datetime64("2025-03-03T00:00") + np.arange(number) * np.timedelta64(minutes, "m")


def latency(number: int = 3000) -> np.ndarray:
    random = np.random.default_rng(8)
    day = np.arange(number) * 5 / 1440
    return 100 + 20 * np.sin(2 * np.pi * day) + 4 * random.standard_normal(number)


def test_a_stream_tells_an_excursion_once_when_it_begins():
    values = latency()
    values[2000:2030] += 120
    scores = stream_scores(stream_times(len(values)), values)
    assert np.flatnonzero(scores[1950:2090]).tolist() == [pytest.approx(52, abs=3)]


def test_a_stream_that_goes_flat_or_wild_is_strange():
    for change in (lambda part: part * 0 + part[0], lambda part: 100 + 6 * (part - 100)):
        values = latency()
        values[2000:2200] = change(values[2000:2200])
        surprise = stream.stream_surprises(stream_times(len(values)), values)
        assert surprise[2010:2200].max() > 2.5


def test_the_future_of_a_stream_changes_nothing_that_was_said():
    values = latency(900)
    values[500] += 300
    times = stream_times(len(values))
    whole = stream_scores(times, values)
    for end in (60, 288, 501, 700):
        assert stream_scores(times[:end], values[:end]).tolist() == whole[:end].tolist()


@pytest.mark.parametrize("number", [0, 1, 40, 400])
def test_short_constant_and_missing_streams_score_nothing(number):
    times = stream_times(number)
    assert not stream_scores(times, np.full(number, 7.0)).any()
    assert not stream_scores(times, np.full(number, np.nan)).any()


def test_the_unit_of_a_stream_does_not_matter():
    values = latency(1500)
    values[1200:1210] += 150
    times = stream_times(len(values))
    assert np.flatnonzero(stream_scores(times, values)).tolist() == (
        np.flatnonzero(stream_scores(times, values * 60_000)).tolist()
    )


# -------------------------------------------------------------------------------------------------- windows


def test_windows_end_where_they_say():
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    assert windows.before(values, 2)[3].tolist() == pytest.approx([2.0, np.nan], nan_ok=True)
    assert windows.until(values, 2)[4].tolist() == [4.0, 5.0]
    assert windows.delayed(values, 2).tolist() == pytest.approx([np.nan, np.nan, 1.0, 2.0, np.nan], nan_ok=True)
    assert windows.mean(windows.until(values, 3)).tolist() == pytest.approx([1, 1.5, 1.5, 3, 4.5])
    assert windows.quantile(windows.until(values, 4), 0.5, 3)[[2, 3]].tolist() == pytest.approx(
        [np.nan, 2.0], nan_ok=True
    )
    assert windows.trimmed_mean(np.array([[1.0, 2.0, 3.0, 100.0, np.nan]]), 0.25)[0] == pytest.approx(2.5)


def test_detectors_import_without_heavy_libraries():
    program = (
        "import sys, tagging_orchestration.core.business.forecasts\n"
        "print([name for name in ('pandas', 'statsmodels', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
