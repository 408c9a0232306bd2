"""The key metrics as small charts, for places that show pictures and no page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tagging_orchestration.clients.report.formats import Formats
from tagging_orchestration.core.business.report import HealthReport, Locale, MetricCard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
LINE, ALERT = "#2f6f78", "#9f1d2d"


def draw_key_metrics(figure: Figure, report: HealthReport, locale: Locale) -> None:
    """Draw the last 90 days of each key metric into an empty figure; stretches with alerts are shaded."""
    cards = [card for card in report.key_metrics if card.series]
    if not cards:
        return
    grid = figure.subplots(-(-len(cards) // COLUMNS), COLUMNS, squeeze=False, sharex=True)
    for axes, card in zip(grid.flat, cards, strict=False):
        _draw(axes, card, Formats(locale, report.business), locale)
    for axes in grid.flat[len(cards) :]:
        axes.set_axis_off()


def _draw(axes: Axes, card: MetricCard, formats: Formats, locale: Locale) -> None:
    series = card.series
    if series is None:
        return
    count = len(series.values)
    known = [float("nan") if value is None else value for value in series.values]
    axes.plot(range(count), known, color=LINE, linewidth=1)
    for place in card.alert_days:
        axes.axvspan(place - 0.5, place + 0.5, color=ALERT, alpha=0.15, linewidth=0)
    ticks = [0, count // 2, count - 1]
    axes.set_xticks(ticks, [f"{series.first + timedelta(days=place):%m-%d}" for place in ticks])
    axes.set_title(
        f"{card.metric.label.of(locale)}  {formats.value(card.metric.value, card.metric.unit)}", fontsize=8
    )
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
