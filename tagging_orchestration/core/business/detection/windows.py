"""Statistics over the days before each day: row t of a result never looks at value t or later ones.

NaN marks a value that is not there (a missing day, a holiday taken out); statistics use the values that are.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray


def before(values: Array, size: int) -> Array:
    """For each day the `size` values before it, oldest first; shape (days, size)."""
    return sliding_window_view(np.concatenate([np.full(size, np.nan), values[:-1]]), size)


def until(values: Array, size: int) -> Array:
    """For each day the `size` values that end with it, oldest first; shape (days, size)."""
    return sliding_window_view(np.concatenate([np.full(size - 1, np.nan), values]), size)


def delayed(values: Array, days: int) -> Array:
    """The same values `days` later."""
    days = min(days, len(values))
    return np.concatenate([np.full(days, np.nan), values[: len(values) - days]])


def mean(windows: Array, at_least: int = 1) -> Array:
    """Mean of each window, NaN with fewer than `at_least` values."""
    count = (~np.isnan(windows)).sum(axis=1)
    return np.where(count >= at_least, np.nansum(windows, axis=1) / np.maximum(count, 1), np.nan)


def trimmed_mean(windows: Array, trim: float, at_least: int = 1) -> Array:
    """Mean of each window without its lowest and highest `trim` share of values."""
    ordered = np.sort(windows, axis=1)
    count = (~np.isnan(windows)).sum(axis=1)
    cut = np.floor(count * trim).astype(int)
    place = np.arange(windows.shape[1])[None, :]
    kept = (place >= cut[:, None]) & (place < (count - cut)[:, None])
    total = np.where(kept, ordered, 0.0).sum(axis=1)
    return np.where(count >= at_least, total / np.maximum(kept.sum(axis=1), 1), np.nan)


def quantile(windows: Array, share: float, at_least: int = 1) -> Array:
    """Quantile of each window, interpolated linearly, NaN with fewer than `at_least` values."""
    ordered = np.sort(windows, axis=1)
    count = (~np.isnan(windows)).sum(axis=1)
    place = np.maximum(count - 1, 0) * share
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(windows))
    value = ordered[rows, low] + (ordered[rows, high] - ordered[rows, low]) * (place - low)
    return np.where(count >= at_least, value, np.nan)
