"""`tagging metrics`: the figures of the business, and the tags that move with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tagging_orchestration.commands.alerts import SHORT_ID, STYLES, lang_option
from tagging_orchestration.commands.content import find_tag
from tagging_orchestration.commands.options import json_option, one_of, verbose_option
from tagging_orchestration.commands.output import plain, print_json, show, table

if TYPE_CHECKING:
    from tagging_orchestration.storage.metrics import MetricNow

LIST_DAYS = 28
LIST_BLOCKS = 14
SIGNIFICANT = 0.05


@click.group
def metrics() -> None:
    """Figures of the business by day, and the tags that move with them."""


@metrics.command("list")
@click.option("--dimension", default="all", show_default=True, help="A part of the business, as in tag:7.")
@lang_option
@json_option
@verbose_option
def list_metrics(dimension: str, lang: str | None, as_json: bool) -> None:
    """Each metric on its latest day, beside the same weekday a week before, with its trends."""
    from tagging_orchestration.clients.report.charts import blocks
    from tagging_orchestration.storage import metrics as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        lang = lang or project.settings.business.locale
        found = storage.list_metrics(project.pool, project.settings.organization_id, lang, dimension)
    if as_json:
        print_json(found)
        return
    right = ["value", "week before", "7 days", "30 days"]
    view = table(None, "metric", "day", *right, f"last {LIST_DAYS} days", right=right)
    for metric in found:
        view.add_row(
            plain(_name(metric, lang)),
            str(metric.metric_date),
            plain(metric.said),
            plain(metric.said_before),
            _percent(metric.trend_7d_pct),
            _percent(metric.trend_30d_pct),
            blocks(metric.recent[-LIST_DAYS:], LIST_BLOCKS),
        )
    show(view if found else f"  there are no metrics of {plain(dimension)}")


@metrics.command("show")
@click.argument("metric")
@click.option(
    "--dimension", default="all", show_default=True, help="A part of the business, as in product:KT-EL08."
)
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, help="So many last days.")
@lang_option
@json_option
@verbose_option
def show_metric(metric: str, dimension: str, days: int, lang: str | None, as_json: bool) -> None:
    """The last days of METRIC, what was expected, and which days are out of line."""
    from tagging_orchestration.clients.report.charts import blocks
    from tagging_orchestration.storage import metrics as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        lang = lang or project.settings.business.locale
        organization = project.settings.organization_id
        known = storage.list_metrics(project.pool, organization, lang, None)
        one_of(metric, dict.fromkeys(row.metric_name for row in known), "metric")
        of_metric = {row.dimension: row for row in known if row.metric_name == metric}
        now = of_metric[one_of(dimension, of_metric, f"dimension of {metric}")]
        found = storage.metric_days(project.pool, organization, metric, dimension, lang, days)
    if as_json:
        print_json({"metric": now, "days": found})
        return
    show(
        f"[bold]{plain(_name(now, lang))}[/] {plain(now.said)} on {now.metric_date}",
        f"  {blocks(now.recent, len(now.recent))}",
    )
    view = table(None, "day", "value", "expected", "from", "", right=["value", "expected", "from"])
    for day in found:
        view.add_row(
            str(day.metric_date),
            plain(day.said) or "none",
            plain(day.expected),
            plain(day.sample_size),
            plain(day.kind),
        )
    show("", view, "", "  How it is computed, and how to compute a day anew: docs/business.md")


@metrics.command("of-tag")
@click.argument("tag")
@lang_option
@json_option
@verbose_option
def of_tag(tag: str, lang: str | None, as_json: bool) -> None:
    """The metrics that move with TAG, and the alerts it explains. TAG is a name, an alias or an id."""
    from tagging_orchestration.storage import metrics as storage
    from tagging_orchestration.wiring import Project

    with Project() as project:
        lang = lang or project.settings.business.locale
        organization = project.settings.organization_id
        found = find_tag(project, tag)
        result = storage.metrics_of_tag(project.pool, organization, found.id)
        names = {
            row.metric_name: _name(row, lang) for row in storage.list_metrics(project.pool, organization, lang)
        }
    if as_json:
        print_json({"tag": found, "moves": result.moves, "alerts": result.alerts})
        return
    moving = [move for move in result.moves if move.q_value <= SIGNIFICANT]
    right = ["correlation", "by chance"]
    view = table(f"Moves with {plain(found.name)}", "metric", "when", *right, right=right)
    for move in moving:
        view.add_row(
            plain(names.get(move.metric_name, move.metric_name)),
            _when(move.lag_days),
            f"{move.correlation:+.2f}",
            f"{move.q_value:.2g}",
        )
    show(view if moving else f"  no metric moves with {plain(found.name)} beyond chance")
    view = table(
        "Alerts it explains", "id", "from", "to", "alert", "contents", "times", right=["contents", "times"]
    )
    for alert in result.alerts:
        title = alert.title_zh if lang == "zh-Hant" else alert.title
        view.add_row(
            alert.id[:SHORT_ID],
            str(alert.metric_date),
            str(alert.last_metric_date),
            f"[{STYLES[alert.severity]}]{plain(title)}[/]",
            plain(alert.count),
            f"{alert.lift:.1f}",
        )
    show("", view if result.alerts else "  it explains no alert")


def _name(metric: MetricNow, lang: str) -> str:
    name = metric.display_name_zh if lang == "zh-Hant" else metric.display_name
    return f"{name} ({metric.dimension_label})" if metric.dimension_label else name


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.0f}%"


def _when(lag_days: int) -> str:
    days = f"{abs(lag_days)} day{'s' if abs(lag_days) != 1 else ''}"
    return f"{days} after it" if lag_days > 0 else f"{days} before it" if lag_days < 0 else "the same days"
