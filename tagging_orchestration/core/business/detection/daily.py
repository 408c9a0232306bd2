"""How strange each day of a daily series is, judged from the days before it.

A value is compared at several widths: today alone (one-day spikes and drops), and the mean of the last few days
against the level before them (shifts, slow drifts). Each difference is divided by how large such differences have
usually been, so that every width, and every series, speaks in the same unit: the surprise, which for well-behaved
noise is a standard deviation. The surprise of a day is the largest over the widths.

Amounts, counts and durations are compared on the square-root scale, where a fall to a quarter is as visible as a
rise to double and noise grows less with the level; shares as they are. Small counts get the exact tail of a
negative binomial distribution instead, because 5 after many zeros is news and 1 is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tagging_orchestration.core.business.detection import windows
from tagging_orchestration.core.business.detection.windows import Array

WIDTHS = (1, 2, 4, 7, 14)
LEVEL_DAYS = 28
REFERENCE_DAYS = 56
SCALE_DAYS = 56
LONG_SCALE_DAYS = 180
WEEKS = 12
# A day counts for at most this many scales in the mean of several days: one spike is not a shift.
CLIP = 4.0

SMALL_COUNT = 10.0
SMALLEST_SURGE = 3.0
# Noise a series has at least: in shares, and as a part of the usual size of amounts.
LEAST_SHARE_NOISE = 0.02
LEAST_AMOUNT_NOISE = 0.05

# Where the surprises of ordinary days lie: their 90 % quantile and how much each factor e of rarity adds.
USUAL_QUANTILE = 0.9
USUAL_SURPRISE = 2.25
USUAL_GROWTH = 0.6
# So many days of a series' own surprises weigh as much as what is usual.
PRIOR_DAYS = 60
MEMORY_DAYS = 365


@dataclass(frozen=True, slots=True)
class Surprises:
    """What the detector makes of each day; all arrays have one entry a day.

    `expected`, `lower` and `upper` are in the unit of the values and belong to the day alone; `score` and
    `threshold` are surprises; `width` is the number of days whose mean is strangest (0 on a missing day), `sign`
    which way it lies. `alone` is the surprise of the day's own value, with its sign.
    """

    expected: Array
    lower: Array
    upper: Array
    score: Array
    threshold: Array
    width: Array
    sign: Array
    alone: Array


def surprises(
    values: Array,
    *,
    kind: str,
    weekly: bool,
    holidays: Array,
    least_history: int,
    alarms_a_day: float,
) -> Surprises:
    """Judge every day of a series of consecutive days; NaN is a missing day.

    `kind` is amount, count, share or duration; `holidays` says which days are unlike others: nothing is learnt
    from them but how holidays differ. Days before the `least_history`-th value score 0.
    """
    roots = kind != "share"
    result = _compare(values, kind, roots, weekly, holidays, least_history, alarms_a_day)
    negative = values < 0
    if roots and negative.any():
        # Roots are for values that were never negative: from the day after the first, differences are plain.
        plain = _compare(values, "amount", False, weekly, holidays, least_history, alarms_a_day)
        later = np.concatenate([[False], np.maximum.accumulate(negative)[:-1]])
        result = Surprises(
            *(np.where(later, getattr(plain, name), getattr(result, name)) for name in Surprises.__slots__)
        )
    return result


def _compare(
    values: Array,
    kind: str,
    roots: bool,
    weekly: bool,
    holidays: Array,
    least_history: int,
    alarms_a_day: float,
) -> Surprises:
    scaled = np.sign(values) * np.sqrt(np.abs(values)) if roots else values
    learnt = np.where(holidays, np.nan, scaled)
    season = weekday_effect(learnt) if weekly else np.zeros(len(values))
    level = windows.trimmed_mean(windows.before(learnt - season, LEVEL_DAYS), 0.1, LEVEL_DAYS // 4)
    least_noise = _least_noise(values, kind, roots, level)

    difference = learnt - season - level
    noise = np.maximum(usual_size(difference), least_noise)
    shift, spread = _holiday_effect(scaled - season - level, holidays, noise)
    today_noise = np.where(holidays, np.hypot(noise, spread), noise)
    middle = level + season + np.where(holidays, shift, 0.0)
    z = [(scaled - middle) / today_noise]

    calm = level + np.clip(difference / noise, -CLIP, CLIP) * noise
    reference = windows.trimmed_mean(windows.before(calm, REFERENCE_DAYS), 0.2, REFERENCE_DAYS // 3)
    for width in WIDTHS[1:]:
        gap = windows.mean(windows.until(calm, width), width // 2 + 1) - windows.delayed(reference, width - 1)
        # What several days are usual to differ by cannot be less than independent days would.
        z.append(gap / np.maximum(usual_size(gap), noise / np.sqrt(width) / 2))
    table = np.stack(z)

    small = np.zeros(len(values), bool)
    mean, dispersion = count_model(np.where(holidays, np.nan, values))
    if kind == "count":
        small = mean < SMALL_COUNT
        most = stats.nbinom.isf(stats.norm.sf(CLIP), *_negative_binomial(mean, dispersion, 1))
        counts = [values, *[np.minimum(values, most)] * (len(WIDTHS) - 1)]
        table[:, small] = np.stack(
            [
                _count_surprise(count, mean, dispersion, width)[small]
                for count, width in zip(counts, WIDTHS, strict=True)
            ]
        )

    seen = np.concatenate([[0], np.cumsum(~np.isnan(values))[:-1]])
    judged = (seen >= least_history) & ~np.isnan(values)
    strongest = np.nan_to_num(np.abs(table), nan=-1.0, posinf=-1.0)
    strongest[:, ~judged] = 0.0
    best = strongest.argmax(axis=0)
    score = np.maximum(strongest.max(axis=0), 0.0)
    sign = np.where(score > 0, np.sign(table[best, np.arange(len(values))]), 0.0)
    width = np.where(judged, np.asarray(WIDTHS)[best], 0)

    threshold = threshold_of(np.where(judged & ~holidays, score, np.nan), alarms_a_day)
    absent = missing_surprise(values, weekly)
    missing = np.isnan(values) & (seen >= least_history)
    score = np.where(missing, absent, score)
    threshold = np.where(missing, stats.norm.isf(alarms_a_day), threshold)

    expected, lower, upper = (
        _unscaled(middle + side * threshold * today_noise, kind, roots) for side in (0.0, -1.0, 1.0)
    )
    if small.any():
        size, chance = _negative_binomial(mean, dispersion, 1)
        tail = stats.norm.sf(threshold)
        expected = np.where(small, mean, expected)
        lower = np.where(small, stats.nbinom.ppf(tail, size, chance), lower)
        upper = np.where(
            small, np.maximum(stats.nbinom.isf(tail, size, chance), np.ceil(mean + SMALLEST_SURGE) - 1), upper
        )
    return Surprises(expected, lower, upper, score, threshold, width, sign, np.nan_to_num(table[0]))


def weekday_effect(values: Array) -> Array:
    """By how much the weekday of each day differs from other days, from the same weekdays of the last weeks.

    Drawn towards none while few such weekdays are known; none before the third.
    """
    level = windows.quantile(windows.before(values, LEVEL_DAYS), 0.5, LEVEL_DAYS // 2)
    recent = windows.before(values - level, WEEKS * 7)
    same = recent[:, ::-1][:, 6::7]
    count = (~np.isnan(same)).sum(axis=1)
    effect = windows.quantile(same, 0.5, 3) - windows.quantile(recent, 0.5, 14)
    return np.nan_to_num(effect * count / (count + 1))


def usual_size(differences: Array) -> Array:
    """The scale of a difference before each day, as the standard deviation of normal noise with its usual size.

    From the 80 % quantile of the sizes: it knows heavier tails than the median does, and a fifth of the days may
    be incidents before it grows. Half of it is the recent noise, half that of half a year, which is the steadier
    estimate. The root of the mean square bounds it from below where zeros are many.
    """
    sizes = np.abs(differences)
    recent = windows.before(sizes, SCALE_DAYS)
    long = windows.before(sizes, LONG_SCALE_DAYS)
    typical = np.sqrt(windows.quantile(recent, 0.8, 14) * windows.quantile(long, 0.8, 14)) / stats.norm.isf(0.1)
    return np.maximum(typical, 0.6 * np.sqrt(windows.mean(recent**2, 14)))


def threshold_of(score: Array, alarms_a_day: float) -> Array:
    """The surprise of each day above which so many alarms a day are to be expected, from earlier days only.

    The tail of earlier surprises is taken as exponential beyond their 90 % quantile; with little history the tail
    is the one usual among series. Medians keep real incidents of the past from raising it.
    """
    past = windows.before(score, MEMORY_DAYS)
    start = windows.quantile(past, USUAL_QUANTILE, 14)
    growth = windows.quantile(np.where(past > start[:, None], past - start[:, None], np.nan), 0.5, 3) / np.log(2)
    growth = np.clip(growth, USUAL_GROWTH / 2, USUAL_GROWTH * 2)
    known = (~np.isnan(past)).sum(axis=1)
    weight = known / (known + PRIOR_DAYS)
    start = np.where(np.isnan(start), USUAL_SURPRISE, weight * start + (1 - weight) * USUAL_SURPRISE)
    growth = np.where(np.isnan(growth), USUAL_GROWTH, weight * growth + (1 - weight) * USUAL_GROWTH)
    return start + growth * max(np.log((1 - USUAL_QUANTILE) / alarms_a_day), 0.0)


def missing_surprise(values: Array, weekly: bool) -> Array:
    """The surprise of each missing day: how seldom such a day was missing before, run after run."""
    absent = np.isnan(values).astype(float)
    result = np.zeros(len(values))
    if not absent.any():
        return result
    step = 7 if weekly else 1
    run = 0.0
    for day in np.flatnonzero(absent):
        earlier = absent[day - step :: -step] if day >= step else absent[:0]
        alike = absent[:day] if not absent[:day].any() else earlier
        if day == 0 or not absent[day - 1]:
            run = 0.0
        run += np.log((alike.sum() + 0.1) / (len(alike) + 0.2))
        result[day] = stats.norm.isf(max(np.exp(run), 1e-12))
    return np.maximum(result, 0.0)


def count_model(values: Array) -> tuple[Array, Array]:
    """Mean and dispersion (variance / mean, at least 1) of counts before each day.

    Half an event more than was seen: what never happened is rare, not impossible.
    """
    past = windows.before(values, SCALE_DAYS)
    known = np.maximum((~np.isnan(past)).sum(axis=1), 1)
    mean = (np.nansum(past, axis=1) + 0.5) / known
    chi = np.nansum((past - mean[:, None]) ** 2, axis=1) / mean
    return mean, np.maximum((chi + 14) / (known + 14), 1.0 + 1e-6)


def _negative_binomial(mean: Array, dispersion: Array, days: int) -> tuple[Array, Array]:
    """Size and success chance of the distribution of the sum of `days` counts."""
    return days * mean / (dispersion - 1), 1 / dispersion


def _count_surprise(values: Array, mean: Array, dispersion: Array, width: int) -> Array:
    """The surprise of the sum of the last `width` counts, as a standard deviation of normal noise."""
    recent = windows.until(values, width)
    known = np.where((~np.isnan(recent)).sum(axis=1) == width, 1.0, np.nan)
    total = np.nansum(recent, axis=1) * known
    before_them = np.maximum(windows.delayed(mean, width - 1), 1e-9)
    size, chance = _negative_binomial(before_them, windows.delayed(dispersion, width - 1), width)
    half = stats.nbinom.pmf(total, size, chance) / 2
    above = stats.norm.isf(np.clip(stats.nbinom.sf(total, size, chance) + half, 1e-30, 0.5))
    below = stats.norm.isf(np.clip(stats.nbinom.cdf(total, size, chance) - half, 1e-30, 0.5))
    surge = np.where(total - width * before_them >= SMALLEST_SURGE, above, np.minimum(above, 1.0))
    return np.where(total > width * before_them, surge, -below)


def _least_noise(values: Array, kind: str, roots: bool, level: Array) -> Array:
    """The smallest scale of each day, lest every crumb be news in a constant series; NaN with nothing to go by."""
    if kind == "share":
        return np.full(len(values), LEAST_SHARE_NOISE)
    sizes = np.where(values == 0, np.nan, np.abs(values))
    typical = windows.mean(windows.before(sizes, SCALE_DAYS))
    usual = np.maximum(np.abs(level), np.sqrt(typical)) if roots else typical
    # d sqrt(x) = dx / (2 sqrt(x))
    floor = LEAST_AMOUNT_NOISE * usual / (2 if roots else 1)
    return np.maximum(floor, 0.5) if kind == "count" and roots else floor


def _holiday_effect(residual: Array, holidays: Array, noise: Array) -> tuple[Array, Array]:
    """How earlier holidays differed: the shift to expect on a holiday, and the spread that widens its band."""
    shift = np.zeros(len(residual))
    spread = np.zeros(len(residual))
    known: list[float] = []
    for day in np.flatnonzero(holidays):
        usual = noise[day] if np.isfinite(noise[day]) else 0.0
        recent = np.asarray(known[-8:])
        shift[day] = recent.sum() / (len(recent) + 1)
        spread[day] = np.sqrt((np.square(recent - shift[day]).sum() + 4 * usual**2) / (len(recent) + 1))
        if np.isfinite(residual[day]):
            known.append(float(residual[day]))
    return shift, spread


def _unscaled(scaled: Array, kind: str, roots: bool) -> Array:
    if roots:
        return np.square(np.maximum(scaled, 0.0))
    return np.clip(scaled, 0.0, 1.0) if kind == "share" else scaled
