"""Where a daily metric is heading, and how likely it crosses its threshold on the way.

Three ways to forecast compete on the metric's own past: the value of a week ago, the mean of the same weekdays of
the last weeks, and exponential smoothing (ETS, additive, damped). The one with the smallest mean absolute error
over origins of the last weeks wins. Intervals and probabilities are read off the errors it made there, so they
promise no more than was kept before.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

from tagging_orchestration.core.business.detectors import MetricProfile

Level = Literal["極高", "高", "中", "低"]
Method = Literal["seasonal_naive", "weekday_mean", "ets"]
Array = np.ndarray

# The interval holds so much of the winner's past errors. They are few, and of the method that did best on them: on
# real series 90 % of them held 77 % (7 days ahead) and 78 % (30 days) of what came.
ERRORS_HELD = 0.9
LEVELS: tuple[tuple[float, Level], ...] = ((0.7, "極高"), (0.4, "高"), (0.15, "中"), (0.0, "低"))
# Origins of the trial, one every other day, and the days of history that a method sees at least.
ORIGINS = 28
ORIGIN_STEP = 2
LEAST_HISTORY = 28
LONGEST_HISTORY = 182
WEEKS = 4
RISK_DAYS = 7
MISSING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class RiskForecast:
    """A metric `horizon_days` ahead, in its own unit, and the risk on the way there.

    `probability` is the chance that the mean of seven days in a row, up to `target_date`, lies on the wrong side
    of `threshold_value`: 1 when that of the last seven days does already, 0 without a threshold. `lower` and
    `upper` hold about 80 % of what to expect on `target_date`.
    """

    horizon_days: int
    target_date: date
    forecast: float
    lower: float
    upper: float
    threshold_value: float | None
    probability: float
    level: Level
    method: Method


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next days of a series by the best method: `path` (days,) and the errors it made before,
    actual minus forecast, (origins, days); `mean_absolute_errors` of every method that was tried."""

    method: Method
    path: Array
    errors: Array
    mean_absolute_errors: dict[Method, float]


def forecast(
    days: Sequence[date],
    values: Sequence[float | None],
    profile: MetricProfile,
    horizon_days: int,
    threshold: float | None,
    is_higher_better: bool | None,
) -> RiskForecast | None:
    """The metric `horizon_days` after the last day, None when too little is known (four weeks and the horizon).

    The wrong side of the threshold is below it when higher is better, above it when lower is; when neither is, the
    side on which the metric was not in the last week. Raises ValueError for a horizon below 1 or lengths that
    differ.
    """
    if horizon_days < 1:
        raise ValueError(f"the horizon must be at least a day, not {horizon_days}")
    if len(days) != len(values):
        raise ValueError(f"{len(days)} days but {len(values)} values")
    series = _by_day(days, values)
    found = outlook(series, horizon_days, weekly=profile.seasonality == "weekly", least=profile.min_history_days)
    if found is None:
        return None
    low, high = (0.0, 1.0 if profile.value_kind == "share" else math.inf)
    if np.nanmin(series) < 0:
        low = -math.inf
    ends = found.path[-1] + np.quantile(found.errors[:, -1], [(1 - ERRORS_HELD) / 2, (1 + ERRORS_HELD) / 2])
    probability = 0.0
    if threshold is not None:
        falls = is_higher_better
        if falls is None:
            falls = bool(np.nanmean(series[-7:]) >= threshold)
        recent = series[-RISK_DAYS:]
        level = float(np.nanmean(recent)) if not np.isnan(recent).all() else math.nan
        crossed = level < threshold if falls else level > threshold
        probability = 1.0 if crossed else crossing_probability(found, threshold, falls)
    expected, lower, upper = np.clip(
        [found.path[-1], min(ends[0], found.path[-1]), max(ends[1], found.path[-1])], low, high
    )
    return RiskForecast(
        horizon_days=horizon_days,
        target_date=days[-1] + timedelta(days=horizon_days),
        forecast=float(expected),
        lower=float(lower),
        upper=float(upper),
        threshold_value=threshold,
        probability=probability,
        level=level_of(probability),
        method=found.method,
    )


def level_of(probability: float) -> Level:
    """The level of risk: 極高 from 70 %, 高 from 40 %, 中 from 15 %."""
    return next(level for least, level in LEVELS if probability >= least)


def crossing_probability(found: Outlook, threshold: float, falls: bool) -> float:
    """Chance that the mean of any seven days in a row lies below the threshold (`falls`) or above it; of all days
    when they are fewer.

    A single day of few cases lies beyond almost any limit now and then, which is no risk worth telling. Each past
    origin's errors are one way the coming days may turn out. Half an origin is added on either side: what happened
    in none of them is not impossible.
    """
    days = min(RISK_DAYS, len(found.path))
    ways = np.lib.stride_tricks.sliding_window_view(found.path + found.errors, days, axis=1).mean(axis=2)
    wrong = np.less(ways, threshold) if falls else np.greater(ways, threshold)
    crossed = np.asarray(wrong.any(axis=1))
    return round(float((crossed.sum() + 0.5) / (len(crossed) + 1)), 3)


def outlook(series: Array, horizon: int, *, weekly: bool = True, least: int = LEAST_HISTORY) -> Outlook | None:
    """The next `horizon` days of a series of consecutive days (NaN: missing), None when too little is known."""
    known = np.flatnonzero(~np.isnan(series))
    if not len(known):
        return None
    series = series[known[0] :][-LONGEST_HISTORY:]
    latest = len(series) - horizon
    origins = range(latest, max(least, LEAST_HISTORY) - 1, -ORIGIN_STEP)[:ORIGINS][::-1]
    if len(origins) < 2 or np.isnan(series).mean() > MISSING_SHARE:
        return None
    filled = _filled(series, 7 if weekly else 1)
    period = 7 if weekly else 1
    methods: dict[Method, Callable[[Array], Array]] = {
        "seasonal_naive": lambda past: _repeated(past[-period:], horizon),
        "weekday_mean": lambda past: _repeated(past[-WEEKS * 7 :].reshape(-1, period).mean(axis=0), horizon),
    }
    smoothing = _exponential_smoothing(filled[: origins[0]], period, horizon)
    if smoothing:
        methods["ets"] = smoothing
    errors: dict[Method, Array] = {
        name: np.array([series[at : at + horizon] - method(filled[:at]) for at in origins])
        for name, method in methods.items()
    }
    scores: dict[Method, float] = {name: float(np.nanmean(np.abs(error))) for name, error in errors.items()}
    best = min(scores, key=lambda name: scores[name])
    # A day that is missing teaches no error.
    complete = np.where(np.isnan(errors[best]), 0.0, errors[best])
    return Outlook(best, methods[best](filled), complete, scores)


def _exponential_smoothing(history: Array, period: int, horizon: int) -> Callable[[Array], Array] | None:
    """A forecaster whose smoothing weights are learnt from `history` and kept; None for a constant history."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    if np.ptp(history) == 0:
        return None

    def model(past: Array) -> ExponentialSmoothing:
        seasonal = "add" if period > 1 else None
        return ExponentialSmoothing(
            past,
            trend="add",
            damped_trend=True,
            seasonal=seasonal,
            seasonal_periods=period if seasonal else None,
            initialization_method="heuristic",
        )

    with warnings.catch_warnings():
        # An optimum at the edge of its range is fine: the trial decides whether the method is any good.
        warnings.simplefilter("ignore")
        learnt = model(history).fit().params

    def path(past: Array) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = model(past).fit(
                smoothing_level=learnt["smoothing_level"],
                smoothing_trend=learnt["smoothing_trend"],
                smoothing_seasonal=learnt["smoothing_seasonal"] if period > 1 else None,
                damping_trend=learnt["damping_trend"],
                optimized=False,
            )
        return np.asarray(fitted.forecast(horizon))

    return path


def _repeated(season: Array, horizon: int) -> Array:
    return np.tile(season, -(-horizon // len(season)))[:horizon]


def _filled(series: Array, period: int) -> Array:
    """Missing days take the value of the period before, or of the day before."""
    filled = series.copy()
    for day in np.flatnonzero(np.isnan(filled)):
        filled[day] = filled[day - period] if day >= period else filled[day - 1]
    return filled


def _by_day(days: Sequence[date], values: Sequence[float | None]) -> Array:
    if not days:
        return np.empty(0)
    series = np.full((days[-1] - days[0]).days + 1, np.nan)
    for day, value in zip(days, values, strict=True):
        series[(day - days[0]).days] = math.nan if value is None else float(value)
    return series
