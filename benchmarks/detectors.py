"""How well the detectors find what is known to be strange, and how far off forecasts are.

    python benchmarks/detectors.py --eval FOLDER --data FOLDER [--parts nab incidents calibration forecasts]

`--eval` holds the scorers (nab.py, bizbench.py, anomscore.py, biz_metrics.py), `--data` the folders nab/ and
business/ that they read. The scorers are used as they are, for our detectors and for the baselines in one run.
Prints one JSON document:

- nab: NAB's standard score with the best threshold (`dev`); each category scored with the threshold that is best
  on the others (`left_out`); random halves, threshold from one, score on the other.
- incidents: recall of incidents injected into real daily series at 0.5 and 1 false alarms a series and 30 days,
  as the scorer draws them; with more of them at other places; with incidents of 80 % of the size; and with the
  threshold of one shop applied to the other.
- calibration: alarms a month of `judge` on the untouched series, for three budgets.
- forecasts: mean absolute error of the method that is chosen, divided by that of repeating last week.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tagging_orchestration.core.business.detectors import (
    MetricProfile,
    ValueKind,
    daily_scores,
    judge,
    stream_scores,
)
from tagging_orchestration.core.business.forecasts import ERRORS_HELD, outlook

Scored = list[tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]]
OURS = "tagging_orchestration.core.business.detectors:daily_scores"
BASELINES = ("combo", "z_dow8")
BUDGETS = (0.5, 1.0)
HALVES = 8
MORE = 14


def ewma(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The baseline: distance from a moving level in moving deviations, one alert an excursion."""
    level, variance = values[0], 0.0
    scores = np.zeros(len(values))
    quiet = 0
    for place, value in enumerate(values):
        distance = abs(value - level) / (variance**0.5 + 1e-9) if place > 50 else 0.0
        if distance > 4 and place > quiet:
            scores[place] = distance
        if distance > 4:
            quiet = place + 150
        variance += 0.01 * (min(value - level, 1e150) ** 2 - variance)
        level += 0.05 * (value - level)
    return scores


# ------------------------------------------------------------------------------------------------------ NAB


def nab(detector: Callable[[np.ndarray, np.ndarray], np.ndarray], folder: Path) -> dict[str, Any]:
    """Scores of one detector of streams."""
    scorer, anomscore = importlib.import_module("nab"), importlib.import_module("anomscore")
    names = list(json.loads((folder / "windows.json").read_text()))
    begun = time.process_time()
    scored: Scored = [(times, detector(times, values), spans) for times, values, spans in scorer.load(folder)]
    spent = time.process_time() - begun
    threshold, dev = anomscore.nab_best(scored)

    # The artificial series without anomalies have no score of their own: they count with those that have some.
    groups = ["artificial" if name.startswith("artificial") else name.split("/")[0] for name in names]
    gained = windows = 0.0
    for group in sorted(set(groups)):
        rest = [series for series, own in zip(scored, groups, strict=True) if own != group]
        held = [series for series, own in zip(scored, groups, strict=True) if own == group]
        count = sum(len(spans) for *_, spans in held)
        gained += anomscore.nab_at(held, anomscore.nab_best(rest)[0]) / 100 * count
        windows += count
    random = np.random.default_rng(0)
    halves = []
    for _ in range(HALVES):
        order = random.permutation(len(scored))
        one, other = order[: len(order) // 2], order[len(order) // 2 :]
        best, seen = anomscore.nab_best([scored[place] for place in one])
        halves.append((seen, anomscore.nab_at([scored[place] for place in other], best)))
    events = anomscore.event_stats(scored, threshold)
    return {
        "dev": round(dev, 1),
        "left_out": round(100 * gained / windows, 1),
        "halves_seen": round(float(np.mean([seen for seen, _ in halves])), 1),
        "halves_unseen": round(float(np.mean([unseen for _, unseen in halves])), 1),
        "threshold": round(float(threshold), 3),
        "windows": events["windows"],
        "caught": events["caught"],
        "false_alarms_per_30_days": round(events["fa_per_30d"], 2),
        "cpu_seconds": round(spent, 1),
    }


def remember_weights(anomscore: Any) -> None:
    """Let the scorer weigh the moments of a series once: the weights do not depend on the scores."""
    weigh = anomscore._nab_points
    # The times are kept with their weights, so that no other series can get their id.
    weighed: dict[int, tuple[np.ndarray, Any]] = {}

    def weights(times: np.ndarray, scores: np.ndarray, spans: list, profile: str) -> Any:
        if id(times) not in weighed:
            weighed[id(times)] = (times, weigh(times, scores, spans, profile))
        return weighed[id(times)][1]

    anomscore._nab_points = weights


# ------------------------------------------------------------------------------------------------ incidents


def threshold_at(alarms: Callable[[float], float], budget: float) -> float:
    """The lowest threshold whose false alarms stay within the budget."""
    low, high = 0.0, 200.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if alarms(middle) <= budget else (middle, high)
    return high


def recall(events: list[tuple[str, str, float]], threshold: float) -> dict[str, float]:
    """Share found of all incidents and of each kind."""
    kinds = {"all": events} | {kind: [event for event in events if event[1] == kind] for _, kind, _ in events}
    return {kind: round(float(np.mean([event[2] >= threshold for event in of])), 3) for kind, of in kinds.items()}


def incidents(scorer: Any, name: str, drawn: int = 6) -> dict[str, Any]:
    """Recall at each budget."""
    events, alarms, _ = scorer.run(name, drawn)
    return {str(budget): recall(events, threshold_at(alarms, budget)) for budget in BUDGETS}


def across_shops(scorer: Any, name: str) -> dict[str, Any]:
    """The threshold of one shop at one false alarm, applied to the other."""
    result = {}
    runs = {}
    for shop in ("olist", "uci"):
        with only(scorer, shop):
            runs[shop] = scorer.run(name, MORE)
    for own, other in (("olist", "uci"), ("uci", "olist")):
        threshold = threshold_at(runs[own][1], 1.0)
        result[f"{own} to {other}"] = {
            "recall": recall(runs[other][0], threshold)["all"],
            "false_alarms": round(runs[other][1](threshold), 2),
        }
    return result


@contextmanager
def only(scorer: Any, shop: str) -> Iterator[None]:
    """The scorer with the series of one shop."""
    every = scorer.S
    scorer.S = {name: series for name, series in every.items() if name.startswith(shop)}
    try:
        yield
    finally:
        scorer.S = every


@contextmanager
def weaker(scorer: Any, part: float) -> Iterator[None]:
    """The scorer with incidents of a part of their size."""
    inject = scorer.inject

    def smaller(series: Any, *arguments: Any) -> Any:
        return series + part * (inject(series, *arguments) - series)

    scorer.inject = smaller
    try:
        yield
    finally:
        scorer.inject = inject


def untouched(scorer: Any) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Each daily series, and which of its days the scorer takes for ordinary."""
    for name in scorer.S:
        series, part = scorer.split(name)
        for first, last in scorer.REAL[name.split(".")[0]]:
            part = part & ~((series.index >= first) & (series.index <= last))
        yield name, series, part & (np.arange(len(series)) >= 70)


def calibration(scorer: Any) -> dict[str, Any]:
    """Alarms a month that `judge` raises on ordinary days."""
    result = {}
    for budget in (0.1, *BUDGETS):
        rates = {}
        for name, series, ordinary in untouched(scorer):
            kind: ValueKind = "share" if series.max() <= 1 else "amount"
            days = [day.date() for day in series.index]
            found = judge(days, series.tolist(), MetricProfile(kind, false_alarms_per_30_days=budget))
            begun = [
                day.is_anomaly and day.kind != "missing" and not before.is_anomaly
                for before, day in zip([found[0], *found], found, strict=False)
            ]
            rates[name] = round(30 * float(np.sum(ordinary & begun)) / float(ordinary.sum()), 2)
        result[str(budget)] = {"mean": round(float(np.mean(list(rates.values()))), 3), **rates}
    return result


# ------------------------------------------------------------------------------------------------ forecasts


def forecasts(scorer: Any) -> dict[str, Any]:
    """Error of the chosen method over that of repeating last week, over origins four weeks apart."""
    result = {}
    for horizon in (7, 30):
        ratios, coverage, chosen = {}, [], {}
        for name, series, _ in untouched(scorer):
            values = series.to_numpy(float)
            ours, naive = [], []
            for at in range(120, len(values) - horizon, 28):
                found = outlook(values[:at], horizon)
                if found is None or np.isnan(values[at - 7 : at]).any():
                    continue
                actual = values[at : at + horizon]
                ours.append(np.abs(actual - found.path))
                naive.append(np.abs(actual - np.tile(values[at - 7 : at], 5)[:horizon]))
                chosen[found.method] = chosen.get(found.method, 0) + 1
                low, high = found.path[-1] + np.quantile(
                    found.errors[:, -1], [(1 - ERRORS_HELD) / 2, (1 + ERRORS_HELD) / 2]
                )
                coverage.append(low <= actual[-1] <= high)
            if ours:
                ratios[name] = round(float(np.nanmean(ours) / np.nanmean(naive)), 3)
        result[f"{horizon} days"] = {
            "error_over_naive": round(float(np.mean(list(ratios.values()))), 3),
            "interval_holds": round(float(np.mean(coverage)), 3),
            "chosen": chosen,
            **ratios,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--eval", type=Path, required=True, help="folder of the scorers")
    parser.add_argument("--data", type=Path, required=True, help="folder holding nab/ and business/")
    choices = ("nab", "incidents", "calibration", "forecasts")
    parser.add_argument("--parts", nargs="+", choices=choices, default=list(choices))
    arguments = parser.parse_args()
    os.environ |= {
        "NAB_DATA": str(arguments.data / "nab"),
        "ALERT_DATA": str(arguments.data / "business"),
    }
    sys.path.insert(0, str(arguments.eval.resolve()))
    result: dict[str, Any] = {}
    if "nab" in arguments.parts:
        remember_weights(importlib.import_module("anomscore"))
        result["nab"] = {
            name: nab(detector, arguments.data / "nab")
            for name, detector in (("stream_scores", stream_scores), ("ewma", ewma))
        }
    if len(set(arguments.parts) - {"nab"}):
        scorer = importlib.import_module("bizbench")
        scorer.DET[OURS] = daily_scores
        if "incidents" in arguments.parts:
            result["incidents"] = {name: {"as_drawn": incidents(scorer, name)} for name in (OURS, *BASELINES)}
            ours = result["incidents"][OURS]
            ours["more_places"] = incidents(scorer, OURS, MORE)
            ours["across_shops"] = across_shops(scorer, OURS)
            with weaker(scorer, 0.8):
                ours["smaller"] = incidents(scorer, OURS, MORE)
        if "calibration" in arguments.parts:
            result["calibration"] = calibration(scorer)
        if "forecasts" in arguments.parts:
            result["forecasts"] = forecasts(scorer)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
