"""The detectors of the business: what is strange in a daily metric, and in a stream of measurements.

`judge` is what the pipeline asks for every metric; `daily_scores` and `stream_scores` are the same detectors in
the form that outside scorers call. All are causal: nothing that is said of a day rests on that day's future.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from tagging_orchestration.core.business.detection import daily, stream

DETECTOR_VERSION = "2"

ValueKind = Literal["amount", "count", "share", "duration"]
Kind = Literal["none", "spike", "drop", "shift", "drift", "missing"]
Direction = Literal["up", "down", "none"]

# An excursion that was an alarm ends when its surprise is below this part of the threshold.
STILL_STRANGE = 0.7
# The mean of a week and less is news only while the day itself lies this far on the same side.
TODAY_TOO = 0.5
# Means of so many days and more are drifts, of fewer shifts.
DRIFT_DAYS = 14


@dataclass(frozen=True, slots=True)
class MetricProfile:
    """What the detectors must know of a metric: columns of analytics.metric_thresholds."""

    value_kind: ValueKind = "amount"
    seasonality: Literal["none", "weekly"] = "weekly"
    min_history_days: int = 28
    false_alarms_per_30_days: float = 0.1


@dataclass(frozen=True, slots=True)
class DayJudgement:
    """What the detectors made of one day.

    `expected`, `lower` and `upper` are in the metric's unit, None while too little is known; `score` is the
    surprise in standard deviations, an anomaly from `threshold` on and until it calms down.
    """

    day: date
    value: float | None
    expected: float | None
    lower: float | None
    upper: float | None
    score: float
    threshold: float
    is_anomaly: bool
    kind: Kind
    direction: Direction


def judge(
    days: Sequence[date],
    values: Sequence[float | None],
    profile: MetricProfile,
    holidays: Collection[date] = (),
) -> list[DayJudgement]:
    """Judge every day of a metric from the days before it, in the order given.

    `days` ascend; days left out between them are missing days. A value of None or NaN is a missing day. `holidays`
    may name any days. Raises ValueError when days do not ascend or the lengths differ.
    """
    if len(days) != len(values):
        raise ValueError(f"{len(days)} days but {len(values)} values")
    if any(later <= earlier for earlier, later in pairwise(days)):
        raise ValueError("the days do not ascend")
    if not days:
        return []
    places = [(day - days[0]).days for day in days]
    series = np.full(places[-1] + 1, np.nan)
    series[places] = [math.nan if value is None else float(value) for value in values]
    special = set(holidays)
    found = daily.surprises(
        series,
        kind=profile.value_kind,
        weekly=profile.seasonality == "weekly",
        holidays=np.asarray([days[0] + timedelta(days=place) in special for place in range(len(series))]),
        least_history=profile.min_history_days,
        alarms_a_day=profile.false_alarms_per_30_days / 30,
    )
    judgements: list[DayJudgement] = []
    for day, place in zip(days, places, strict=True):
        judgements.append(
            _judgement(day, float(series[place]), found, place, judgements[-1] if judgements else None)
        )
    return judgements


def daily_scores(series: Any) -> Any:
    """Surprise of each day of a daily pandas Series (DatetimeIndex, NaN: a missing day), as one on the same index.

    The profile is read off the first four weeks: shares lie in 0..1, counts are whole numbers. Missing days score
    0: a score is of a value, and whether a day should have one is `judge`'s question.
    """
    known = series.iloc[:28].dropna()
    kind: ValueKind = "amount"
    if len(known) and known.min() >= 0:
        kind = "share" if known.max() <= 1 else "count" if (known % 1 == 0).all() else "amount"
    profile = MetricProfile(value_kind=kind, min_history_days=14)
    judgements = judge([day.date() for day in series.index], series.tolist(), profile)
    scores = [0.0 if judgement.value is None else judgement.score for judgement in judgements]
    return series.__class__(scores, index=series.index)


def stream_scores(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Score of each moment of a stream (datetime64[n], float[n]): its rarity where an excursion begins, else 0.

    2 is one in a hundred, 3 one in a thousand of the moments before it.
    """
    return stream.excursions(stream.stream_surprises(np.asarray(times), np.asarray(values, float)))


def _judgement(
    day: date, value: float, found: daily.Surprises, place: int, before: DayJudgement | None
) -> DayJudgement:
    score, threshold, width = float(found.score[place]), float(found.threshold[place]), int(found.width[place])
    missing = math.isnan(value)
    direction: Direction = "none" if missing or not score else "up" if found.sign[place] > 0 else "down"
    kind: Kind = "none"
    goes_on = before is not None and before.is_anomaly and before.direction == direction
    if 1 < width < DRIFT_DAYS and found.alone[place] * found.sign[place] < TODAY_TOO:
        kind = "none"
    elif score >= threshold:
        if before and goes_on and before.kind in ("shift", "drift"):
            kind = before.kind
        elif missing:
            kind = "missing"
        elif width == 1:
            kind = "spike" if direction == "up" else "drop"
        else:
            kind = "shift" if width < DRIFT_DAYS else "drift"
    elif before and goes_on:
        # A spike lasts as long as the days themselves are strange, not until the week that holds it has passed.
        lasting = abs(float(found.alone[place])) if before.kind in ("spike", "drop") else score
        kind = before.kind if lasting >= STILL_STRANGE * threshold else "none"
    return DayJudgement(
        day=day,
        value=None if missing else value,
        expected=_finite(found.expected[place]),
        lower=_finite(found.lower[place]),
        upper=_finite(found.upper[place]),
        score=score,
        threshold=threshold,
        is_anomaly=kind != "none",
        kind=kind,
        direction=direction if kind != "none" else "none",
    )


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
