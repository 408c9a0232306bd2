"""From a tag to the metrics that move with it."""

from __future__ import annotations

import numpy as np
import pytest

from tagging_orchestration.core.business.tag_metrics import MIN_DAYS, moves_with

DAYS = 300


def business(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Contents with a tag, and a metric with weekdays and growth that has nothing to do with it."""
    random = np.random.default_rng(seed)
    day = np.arange(DAYS)
    tag = random.poisson(1.0, DAYS).astype(float)
    metric = 100 + 0.2 * day + 15 * np.sin(2 * np.pi * day / 7) + random.normal(0, 5, DAYS)
    return tag, metric


@pytest.mark.parametrize("lag", [-4, 0, 3])
def test_a_metric_that_follows_a_tag_is_found_with_its_lag(lag: int):
    tag, metric = business(1)
    for start in (60, 150, 230):
        tag[start : start + 6] += 8
        metric[start + lag : start + lag + 6] -= 30
    moves = moves_with(list(tag), {("客服滿意度", "all"): list(metric), ("visits", "all"): list(business(2)[1])})
    assert (moves[0].metric_name, moves[0].lag_days) == ("客服滿意度", lag)
    assert moves[0].correlation < -0.6
    assert moves[0].q_value < 0.001
    assert moves[1].q_value > 0.05


def test_weekdays_and_growth_in_common_are_no_common_cause():
    false = 0
    for seed in range(30):
        day = np.arange(DAYS)
        tag = business(seed)[0] + 0.01 * day + 2 * (day % 7 == 1)
        (move,) = moves_with(list(tag), {("visits", "all"): list(business(seed + 100)[1])})
        false += move.q_value < 0.05
    assert false <= 2


def test_unknown_days_and_short_or_constant_metrics():
    tag, metric = business(3)
    holes: list[float | None] = [None if number % 9 == 0 else value for number, value in enumerate(metric)]
    short = [value if number >= DAYS - MIN_DAYS + 20 else None for number, value in enumerate(metric)]
    constant = [5.0] * DAYS
    moves = moves_with(
        list(tag), {("holes", "all"): holes, ("short", "all"): short, ("constant", "all"): constant}
    )
    assert [move.metric_name for move in moves] == ["holes"]
    assert moves_with([0.0] * DAYS, {("visits", "all"): list(metric)}) == ()
    assert moves_with(list(tag), {}) == ()
