"""From a tag to the metrics that move with it.

Both series are smoothed over a week and freed of their slow trend, then compared at shifts of up to a week either
way. Smoothed days depend on each other, so significance counts the days that are worth as much as independent ones
(Bartlett's formula), corrects for having tried fifteen shifts, and for having tried many metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

MOST_LAG_DAYS = 7
SMOOTH_DAYS = 7
TREND_DAYS = 57
MIN_DAYS = 60
# Lags over which days of a series resemble each other.
MEMORY_DAYS = 28


@dataclass(frozen=True, slots=True)
class MetricMove:
    """A metric that moves with a tag. `correlation` is between -1 and 1; the metric moves `lag_days` after the
    tag, or before it when negative. `days` is how many days were compared."""

    metric_name: str
    dimension: str
    lag_days: int
    correlation: float
    p_value: float
    q_value: float
    days: int


def moves_with(
    tag: Sequence[float], metrics: Mapping[tuple[str, str], Sequence[float | None]]
) -> tuple[MetricMove, ...]:
    """How each metric moves with a tag, the surest first.

    All series hold a value a day over the same days; None is unknown. Metrics with fewer than `MIN_DAYS` days in
    common, or that never change, are left out.
    """
    from scipy.stats import false_discovery_control

    mine = _residual(np.asarray(tag, dtype=float))
    found = []
    for (metric, dimension), values in metrics.items():
        best = _best_lag(mine, _residual(np.array([np.nan if v is None else v for v in values], dtype=float)))
        if best:
            found.append((metric, dimension, *best))
    if not found:
        return ()
    q_values = false_discovery_control([p_value for _, _, _, _, p_value, _ in found])
    moves = [
        MetricMove(metric, dimension, lag, correlation, p_value, float(q_value), days)
        for (metric, dimension, lag, correlation, p_value, days), q_value in zip(found, q_values, strict=True)
    ]
    return tuple(
        sorted(moves, key=lambda move: (move.p_value, -abs(move.correlation), move.metric_name, move.dimension))
    )


def _best_lag(tag: np.ndarray, metric: np.ndarray) -> tuple[int, float, float, int] | None:
    """Lag, correlation, p-value and days of the closest resemblance."""
    best = None
    for lag in sorted(range(-MOST_LAG_DAYS, MOST_LAG_DAYS + 1), key=abs):
        size = len(tag) - abs(lag)
        one, other = (tag[:size], metric[lag:]) if lag >= 0 else (tag[-lag:], metric[:size])
        known = ~np.isnan(one) & ~np.isnan(other)
        if known.sum() < MIN_DAYS or one[known].std() < 1e-12 or other[known].std() < 1e-12:
            continue
        correlation = float(np.corrcoef(one[known], other[known])[0, 1])
        if best is None or abs(correlation) > abs(best[1]) + 1e-9:
            best = (lag, correlation, _p_value(correlation, one[known], other[known]), int(known.sum()))
    return best


def _p_value(correlation: float, one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import t

    shared = 1 + 2 * float(np.sum(_autocorrelation(one) * _autocorrelation(other)))
    worth = max(3.0, len(one) / max(1.0, shared))
    bounded = min(abs(correlation), 1 - 1e-12)
    p_value = 2 * t.sf(bounded * np.sqrt((worth - 2) / (1 - bounded**2)), worth - 2)
    return float(min(1.0, p_value * (2 * MOST_LAG_DAYS + 1)))


def _autocorrelation(series: np.ndarray) -> np.ndarray:
    """Correlation with itself at lags of 1 to `MEMORY_DAYS` days."""
    centred = series - series.mean()
    power = float(centred @ centred)
    return np.array([float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, MEMORY_DAYS + 1)])


def _residual(series: np.ndarray) -> np.ndarray:
    """The series smoothed over a week, which takes weekdays away, without its slow trend; NaN where unknown."""
    smooth = _windowed(series, SMOOTH_DAYS, np.nanmean)
    return smooth - _windowed(smooth, TREND_DAYS, np.nanmedian)


def _windowed(series: np.ndarray, width: int, statistic) -> np.ndarray:
    """A statistic of the known values around each day; NaN where fewer than half are known."""
    padded = np.pad(series, width // 2, constant_values=np.nan)
    windows = sliding_window_view(padded, width)
    enough = (~np.isnan(windows)).sum(axis=1) > width // 2 - 1
    result = np.full(len(series), np.nan)
    if enough.any():
        result[enough] = statistic(windows[enough], axis=1)
    return result
