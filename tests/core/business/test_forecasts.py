"""Forecasts: the best method wins, intervals and risks are those of its own past errors."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from tagging_orchestration.core.business.detectors import MetricProfile
from tagging_orchestration.core.business.forecasts import (
    Outlook,
    RiskForecast,
    crossing_probability,
    forecast,
    level_of,
    outlook,
)

FIRST = date(2025, 3, 3)
WEEK = np.array([1.0, 1.1, 1.0, 1.0, 1.2, 0.6, 0.5])
PROFILE = MetricProfile()


def days(number: int) -> list[date]:
    return [FIRST + timedelta(days=place) for place in range(number)]


def revenue(number: int = 140, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 1000 * WEEK[np.arange(number) % 7] * np.exp(0.08 * random.standard_normal(number))


def ahead(
    values: np.ndarray,
    horizon: int = 7,
    threshold: float | None = None,
    is_higher_better: bool | None = True,
    profile: MetricProfile = PROFILE,
) -> RiskForecast:
    listed = [None if np.isnan(value) else float(value) for value in values]
    found = forecast(days(len(listed)), listed, profile, horizon, threshold, is_higher_better)
    assert found is not None
    return found


def test_the_weekday_of_the_target_decides():
    values = revenue()
    # 140 days end on a Sunday: three days on is a Wednesday, six days on a Saturday.
    wednesday, saturday = ahead(values, 3), ahead(values, 6)
    assert wednesday.target_date == FIRST + timedelta(days=142)
    assert wednesday.forecast == pytest.approx(1000, rel=0.12)
    assert saturday.forecast == pytest.approx(600, rel=0.12)
    assert saturday.lower < saturday.forecast < saturday.upper


def test_intervals_hold_what_they_promise():
    held = []
    for seed in range(10):
        values = revenue(141, seed)
        found = ahead(values[:134])
        held.append(found.lower <= values[140] <= found.upper)
        assert 0.05 < (found.upper - found.lower) / found.forecast < 0.6
    assert sum(held) >= 6


def test_a_steady_rise_is_smoothed_and_a_changeless_rhythm_is_repeated():
    random = np.random.default_rng(3)
    rising = 100 + 2.0 * np.arange(140) + 10 * np.sin(np.arange(140) * 2 * np.pi / 7) + random.normal(0, 2, 140)
    found = outlook(rising, 7)
    assert found is not None
    assert found.method == "ets"
    assert found.mean_absolute_errors["ets"] < 0.5 * found.mean_absolute_errors["seasonal_naive"]
    assert found.path[-1] > rising[-7:].max()
    noisy = outlook(500 + 50 * np.tile(WEEK, 20) + random.normal(0, 20, 140), 7)
    assert noisy is not None
    assert noisy.mean_absolute_errors["weekday_mean"] < noisy.mean_absolute_errors["seasonal_naive"]


def test_the_winner_made_the_smallest_errors():
    for seed in range(4):
        found = outlook(revenue(seed=seed), 7)
        assert found is not None
        scores = found.mean_absolute_errors
        assert scores[found.method] == min(scores.values())
        assert set(scores) == {"seasonal_naive", "weekday_mean", "ets"}


def test_risk_lies_on_the_wrong_side():
    values = revenue()
    usual = float(np.median(values))
    assert ahead(values, threshold=usual / 5).level == "低"
    assert ahead(values, threshold=usual * 5).level == "極高"
    assert ahead(values, threshold=usual * 5, is_higher_better=False).level == "低"
    assert ahead(values, threshold=usual / 5, is_higher_better=False).level == "極高"


def test_without_a_better_side_the_risk_is_to_leave_the_present_one():
    values = revenue()
    assert ahead(values, threshold=100.0, is_higher_better=None).probability < 0.1
    assert ahead(values, threshold=5000.0, is_higher_better=None).probability < 0.1


def test_without_a_threshold_there_is_no_risk():
    found = ahead(revenue())
    assert (found.threshold_value, found.probability, found.level) == (None, 0.0, "低")


def test_a_longer_way_is_riskier():
    values = revenue() * np.exp(np.cumsum(0.02 * np.random.default_rng(5).standard_normal(140)))
    threshold = 0.85 * float(np.mean(values[-7:]))
    assert ahead(values, 28, threshold).probability > ahead(values, 7, threshold).probability


def test_the_chance_counts_the_errors_that_cross():
    errors = np.array([[0.0, 6.0], [0.0, 0.0], [-6.0, 0.0]])
    found = Outlook("seasonal_naive", np.array([10.0, 10.0]), errors, {})
    assert crossing_probability(found, 12, falls=False) == pytest.approx(1.5 / 4)
    assert crossing_probability(found, 8, falls=True) == pytest.approx(1.5 / 4)
    assert crossing_probability(found, 20, falls=False) == pytest.approx(0.5 / 4)


def test_what_lies_beyond_its_limit_already_is_a_certain_risk():
    waiting = np.concatenate([np.full(100, 45.0) + np.arange(100) % 5, [600.0, 700.0, 800.0, 900.0, 1000.0]])
    found = ahead(waiting, threshold=480.0, is_higher_better=False)
    assert (found.probability, found.level) == (1.0, "極高")


def test_one_odd_day_is_no_risk_but_an_odd_week_is():
    path = np.full(30, 0.9)
    day, week = np.zeros((2, 30)), np.zeros((2, 30))
    day[:, 10] = -0.9
    week[:, 10:17] = -0.3
    assert crossing_probability(Outlook("ets", path, day, {}), 0.7, falls=True) == 0.167
    assert crossing_probability(Outlook("ets", path, week, {}), 0.7, falls=True) == 0.833


@pytest.mark.parametrize(
    ("probability", "level"),
    [(1, "極高"), (0.7, "極高"), (0.69, "高"), (0.4, "高"), (0.15, "中"), (0.149, "低"), (0, "低")],
)
def test_levels(probability, level):
    assert level_of(probability) == level


def test_forecasts_stay_where_the_metric_can_be():
    random = np.random.default_rng(4)
    share = np.clip(0.98 + 0.05 * random.standard_normal(140), 0, 1)
    found = ahead(share, profile=MetricProfile(value_kind="share"))
    assert found.upper <= 1
    rare = ahead(random.poisson(0.4, 140).astype(float), profile=MetricProfile(value_kind="count"))
    assert rare.lower >= 0
    falling = ahead(np.linspace(50, -80, 140) + random.normal(0, 1, 140))
    assert falling.forecast < -80


def test_missing_days_are_bridged_and_teach_no_error():
    values = revenue()
    values[[50, 133, 139]] = np.nan
    found = ahead(values, 3)
    assert found.forecast == pytest.approx(1000, rel=0.15)


def test_a_constant_metric_stays():
    found = ahead(np.full(60, 5.0), threshold=6.0, is_higher_better=False)
    assert (found.forecast, found.lower, found.upper, found.level) == (5.0, 5.0, 5.0, "低")


@pytest.mark.parametrize("values", [[], [None] * 100, [1.0] * 30, [1.0] * 20 + [None] * 60])
def test_too_little_history_is_no_forecast(values):
    assert forecast(days(len(values)), values, PROFILE, 7, 1.0, True) is None


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="at least a day"):
        forecast(days(1), [1.0], PROFILE, 0, None, True)
    with pytest.raises(ValueError, match="2 days but 1 values"):
        forecast(days(2), [1.0], PROFILE, 7, None, True)
