"""How strange each moment of a stream of measurements is, judged from the moments before it.

Streams come every few minutes, without a calendar one could rely on, and their values follow no common
distribution. So nothing is assumed about it: several plain statistics of the last values are each ranked among all
of their own past, and the ranks are put together. "One in a hundred" means the same in every stream.

An excursion is told once, when it begins: whoever was told needs no second alert for the same thing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from math import isnan, log10

import numpy as np
from scipy.signal import lfilter

from tagging_orchestration.core.business.detection.windows import Array

# Widths, in measurements, of the means and the spreads that are compared with the past.
LEVEL_WIDTHS = (6, 12, 36)
SPREAD_WIDTHS = (12, 36, 96)
CALM_WIDTH = 36
CALM_WEIGHT = 3
DAILY_WIDTH = 12
# Weight of the newest value in the level and the scale of differences to the day before.
DAILY_MEMORY = 0.002
# Statistics are ranked from here on.
WARM_UP = 50
# Moments rarer than one in a hundred begin an excursion; what follows within so many measurements belongs to it.
BEGINS_AT = 2.0
EXCURSION = 100


def stream_surprises(times: Array, values: Array) -> Array:
    """Surprise of each moment: minus the decimal logarithm of how rare it is; all moments, whatever came before.

    `times` are ascending datetime64, `values` float; NaN is read as the value before it.
    """
    if len(values) <= WARM_UP:
        return np.zeros(len(values))
    values = _filled(values)
    total = np.zeros(len(values))
    for statistic in _statistics(times, values):
        total += rarity(statistic)
    # A stream gone quiet shows in nothing else: alone it must weigh as much as several that agree.
    total = np.maximum(total, CALM_WEIGHT * rarity(-_log_spread(values, CALM_WIDTH)))
    return rarity(np.where(np.arange(len(values)) < WARM_UP, np.nan, total))


def excursions(surprise: Array) -> Array:
    """The surprises that begin an excursion; 0 elsewhere."""
    result = np.zeros(len(surprise))
    last = -EXCURSION - 1
    for moment in np.flatnonzero(surprise >= BEGINS_AT):
        if moment - last > EXCURSION:
            result[moment] = surprise[moment]
            last = moment
    return result


def rarity(statistic: Array) -> Array:
    """Minus the decimal logarithm of the share of earlier values that were as high, 0 for the first ones and NaN.

    Beyond all earlier values, every ten times their distance from the highest hundredth adds 1.
    """
    past: list[float] = []
    result = np.zeros(len(statistic))
    for moment, value in enumerate(statistic.tolist()):
        if isnan(value):
            continue
        count = len(past)
        if count >= WARM_UP:
            place = bisect_left(past, value)
            result[moment] = -log10((count - place + 0.5) / (count + 1))
            if place == count:
                highest = past[-1]
                reach = highest - past[-max(1, count // 100)] + 1e-3 * abs(highest) + 1e-12
                result[moment] += log10(1 + (value - highest) / reach)
        insort(past, value)
    return result


def _statistics(times: Array, values: Array) -> list[Array]:
    """What is looked at, each the stranger the higher."""
    crumb = _crumb(values)
    steady = values - values[:WARM_UP].mean()
    levels = [np.abs(_against_all(_mean(steady, width), crumb)) for width in LEVEL_WIDTHS]
    spreads = [_log_spread(values, width) for width in SPREAD_WIDTHS]

    step = np.median(np.diff(times[:WARM_UP]).astype("timedelta64[s]").astype(float))
    day = max(1, round(86400 / max(step, 1.0)))
    recent = _mean(steady, DAILY_WIDTH)
    change = np.full(len(values), np.nan)
    if day < len(values):
        change[day:] = np.abs(_against_recent(recent[day:] - recent[:-day], DAILY_MEMORY, crumb))
    return [*levels, *spreads, change]


def _crumb(values: Array) -> float:
    """A difference too small to mean anything."""
    return 1e-6 * float(np.abs(values[:WARM_UP]).mean()) + 1e-12


def _filled(values: Array) -> Array:
    known = ~np.isnan(values)
    latest = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(latest >= 0, values[np.maximum(latest, 0)], 0.0)


def _mean(values: Array, width: int) -> Array:
    """Mean of the last `width` values."""
    total = np.cumsum(np.insert(values, 0, 0.0))
    place = np.arange(1, len(values) + 1)
    count = np.minimum(place, width)
    return (total[place] - total[place - count]) / count


def _log_spread(values: Array, width: int) -> Array:
    """Logarithm of the standard deviation of the last `width` values."""
    steady = values - values[:WARM_UP].mean()
    variance = _mean(steady**2, width) - _mean(steady, width) ** 2
    return np.log(np.sqrt(np.maximum(variance, 0.0)) + _crumb(values))


def _against_all(values: Array, crumb: float) -> Array:
    """Distance from the mean of all earlier values, in their standard deviations."""
    count = np.arange(len(values))
    mean = np.concatenate([[0.0], np.cumsum(values)[:-1]]) / np.maximum(count, 1)
    square = np.concatenate([[0.0], np.cumsum(values**2)[:-1]]) / np.maximum(count, 1)
    return (values - mean) / (np.sqrt(np.maximum(square - mean**2, 0.0)) + crumb)


def _against_recent(values: Array, memory: float, crumb: float) -> Array:
    """Distance from the exponentially weighted mean before each value, in standard deviations weighted alike."""

    def before(series: Array) -> Array:
        smooth = lfilter([memory], [1.0, memory - 1.0], series, zi=[series[0] * (1 - memory)])[0]
        return np.concatenate([[series[0]], smooth[:-1]])

    distance = values - before(values)
    return distance / (np.sqrt(before(distance**2)) + crumb)
