"""The AI's use as small charts, for places that show pictures and no page. Each draws into an empty figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tagging_orchestration.core.enhancement.figures import BudgetShare, ErrorCount, UsagePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2f6f78", "#b5654a", "#7a6da8", "#c2a13b", "#5b7083", "#8a9a5b")
HIGH, MEDIUM, LOW, BAD = "#3f7d4f", "#c2a13b", "#9aa0a6", "#9f1d2d"
NOBODY = "no provider"
SCOPES = {"day": "tokens today", "cost": "USD today", "hour": "requests this hour", "minute": "this minute"}
HOUR = timedelta(hours=1)
ERRORS_SHOWN = 10


def draw_use(figure: Figure, points: Sequence[UsagePoint], width: timedelta = HOUR) -> None:
    """Cost and tokens by provider, stacked, a bar of `width` each hour or day."""
    above, below = figure.subplots(2, 1, sharex=True)
    _stack(above, points, lambda point: point.cost_usd, width, "Cost, USD")
    _stack(below, points, lambda point: point.tokens, width, "Tokens")
    if points:
        above.legend(fontsize=7, frameon=False)
    figure.autofmt_xdate()


def draw_response_times(figure: Figure, points: Sequence[UsagePoint]) -> None:
    """Median (line) and 95th percentile (dots) of the response time by provider, in seconds."""
    axes = figure.add_subplot()
    for name, colour in _coloured(points):
        of = [point for point in points if point.provider == name and point.p95_response_ms is not None]
        if of:
            at: Any = [point.at for point in of]
            axes.plot(at, [(p.p50_response_ms or 0) / 1000 for p in of], color=colour, linewidth=1, label=name)
            axes.plot(at, [(p.p95_response_ms or 0) / 1000 for p in of], "o", color=colour, markersize=3)
    _finish(axes, "Response time, seconds: median and 95th percentile", legend=axes.has_data())
    figure.autofmt_xdate()


def draw_rates(figure: Figure, points: Sequence[UsagePoint]) -> None:
    """Share of calls that succeeded, and of questions answered from the cache, of all providers together."""
    axes = figure.add_subplot()
    moments = sorted({point.at for point in points})
    for label, colour, of, among in (
        ("calls that succeeded", HIGH, "successes", "calls"),
        ("answered from the cache", COLOURS[0], "cached", "requests"),
    ):
        known = [(at, _sum(points, at, of) / total) for at in moments if (total := _sum(points, at, among))]
        if known:
            at_known: Any = [at for at, _ in known]
            axes.plot(at_known, [share for _, share in known], "o-", color=colour, label=label)
    axes.set_ylim(-0.02, 1.02)
    _finish(axes, "Success and cache hit rate", legend=axes.has_data())
    figure.autofmt_xdate()


def draw_confidence(figure: Figure, points: Sequence[UsagePoint], width: timedelta = HOUR) -> None:
    """Answers of high, medium and low confidence, stacked."""
    axes = figure.add_subplot()
    moments: Any = sorted({point.at for point in points})
    wide: Any = 0.9 * width
    bottom = [0.0] * len(moments)
    for label, colour, of in (
        ("high (0.8 and more)", HIGH, "high_confidence"),
        ("medium", MEDIUM, "medium_confidence"),
        ("low (below 0.6)", LOW, "low_confidence"),
    ):
        values = [_sum(points, at, of) for at in moments]
        axes.bar(moments, values, width=wide, bottom=bottom, color=colour, align="edge", label=label)
        bottom = [under + value for under, value in zip(bottom, values, strict=True)]
    _finish(axes, "Answers by confidence", legend=bool(moments))
    figure.autofmt_xdate()


def draw_budgets(figure: Figure, budgets: Sequence[BudgetShare]) -> None:
    """What is used (full) and reserved (light) of each limit."""
    axes = figure.add_subplot()
    names = [f"{SCOPES[b.scope]}\n{b.used:,.4g} of {b.limit:,.4g}" for b in budgets]
    places = range(len(budgets))
    used = [b.used / b.limit if b.limit else 1.0 for b in budgets]
    reserved = [b.reserved / b.limit if b.limit else 0.0 for b in budgets]
    axes.barh(places, used, color=[BAD if b.share >= 1 else COLOURS[0] for b in budgets])
    axes.barh(places, reserved, left=used, color=COLOURS[0], alpha=0.35)
    axes.axvline(1, color=BAD, linewidth=1)
    axes.set_yticks(places, names)
    axes.set_xlim(0, max([1.05, *(use + held for use, held in zip(used, reserved, strict=True))]))
    _finish(axes, "Share of each limit that is used")


def draw_errors(figure: Figure, errors: Sequence[ErrorCount]) -> None:
    """The most frequent errors, by type and subtype."""
    axes = figure.add_subplot()
    shown = list(reversed(errors[:ERRORS_SHOWN]))
    names = [" · ".join(part for part in (e.error_type, e.error_subtype) if part) for e in shown]
    axes.barh(names, [error.count for error in shown], color=BAD)
    _finish(axes, "Errors by type" if shown else "No errors")


def _stack(
    axes: Axes, points: Sequence[UsagePoint], value: Callable[[UsagePoint], float], width: timedelta, title: str
) -> None:
    bottom: dict[datetime, float] = {}
    for name, colour in _coloured(points):
        of = [point for point in points if point.provider == name]
        under = [bottom.get(point.at, 0.0) for point in of]
        values = [value(point) for point in of]
        at: Any = [point.at for point in of]
        wide: Any = 0.9 * width
        axes.bar(at, values, width=wide, bottom=under, color=colour, align="edge", label=name or NOBODY)
        bottom |= {point.at: base + more for point, base, more in zip(of, under, values, strict=True)}
    _finish(axes, title)


def _coloured(points: Sequence[UsagePoint]) -> list[tuple[str, str]]:
    """Each provider with a colour of its own, the same in every chart of these points."""
    names = sorted({point.provider for point in points})
    return [(name, COLOURS[place % len(COLOURS)]) for place, name in enumerate(names)]


def _sum(points: Sequence[UsagePoint], at: datetime, figure: str) -> float:
    return sum(getattr(point, figure) for point in points if point.at == at)


def _finish(axes: Axes, title: str, *, legend: bool = False) -> None:
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(fontsize=7, frameon=False)
