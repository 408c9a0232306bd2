"""Sparklines: as shapes of an SVG, and as Unicode blocks for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

WIDTH, HEIGHT, MARGIN = 240, 56, 5
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Shapes inside a box of WIDTH x HEIGHT: a line through the known values (a gap where one is missing), one
    through the means of seven days with the area under it, bands (x, width) over runs of alert days, a mark (x, y)
    where each begins, and the last value."""

    line: str
    mean: str
    area: str
    bands: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, float], ...]
    last: tuple[float, float] | None


def sparkline(values: Sequence[float | None], alert_days: Sequence[int] = ()) -> Sparkline:
    """The shapes of a series; `alert_days` are indices into it."""
    known = [value for value in values if value is not None]
    if not known:
        return Sparkline("", "", "", (), (), None)
    low, high = min(known), max(known)
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)

    def x(place: int) -> float:
        return round(MARGIN + place * step, 1)

    def y(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN), 1)

    def path(numbers: Sequence[float | None], closed: bool = False) -> str:
        drawn = []
        for run in _runs([place for place, value in enumerate(numbers) if value is not None]):
            points = [(x(place), y(value)) for place in run if (value := numbers[place]) is not None]
            told = "L".join(f"{across} {down}" for across, down in points)
            if closed:
                drawn.append(f"M{points[0][0]} {HEIGHT}L{told}L{points[-1][0]} {HEIGHT}Z")
            else:
                # A value between two gaps is a dot: a line of length zero with a round cap.
                drawn.append(f"M{told}" + (f"L{told}" if len(points) == 1 else ""))
        return "".join(drawn)

    means = [
        None if value is None else _mean([v for v in values[max(0, place - 6) : place + 1] if v is not None])
        for place, value in enumerate(values)
    ]
    runs = _runs(alert_days)
    starts = [(run[0], values[run[0]]) for run in runs]
    final = max(place for place, value in enumerate(values) if value is not None)
    return Sparkline(
        line=path(values),
        mean=path(means),
        area=path(means, closed=True),
        bands=tuple((round(x(run[0]) - step / 2, 1), round(len(run) * step, 1)) for run in runs),
        marks=tuple((x(place), y(low if value is None else value)) for place, value in starts),
        last=(x(final), y(values[final] or 0.0)),
    )


def blocks(values: Sequence[float | None], width: int = 30) -> str:
    """The series as Unicode blocks: the mean of each of `width` pieces, a space where nothing is known."""
    size = len(values) / min(width, len(values)) if values else 1
    pieces = [values[round(n * size) : round((n + 1) * size)] for n in range(min(width, len(values)))]
    means = [_mean([value for value in piece if value is not None]) for piece in pieces]
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(
        " " if mean is None else BLOCKS[int((mean - low) / span * (len(BLOCKS) - 1) + 0.5)] if span else BLOCKS[3]
        for mean in means
    )


def months(first: date, last: date) -> list[tuple[float, date]]:
    """The months that begin between two days, each with its place (0..1) between them."""
    starts = (first + timedelta(days=number) for number in range((last - first).days + 1))
    span = (last - first).days + 1
    return [((day - first).days / span, day) for day in starts if day.day == 1]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _runs(places: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as runs without a gap."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs
