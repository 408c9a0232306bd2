"""`tagging report`: the executive health report as a page, and its gist in the terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagging_orchestration.commands.options import json_option, verbose_option
from tagging_orchestration.commands.output import note, plain, print_json, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tagging_orchestration.core.business.report import HealthReport, Locale

HEALTH_STYLES = {"good": "green", "watch": "yellow", "alert": "bold yellow", "critical": "bold red"}
SEVERITY_STYLES = {"critical": "red", "warning": "yellow", "info": "blue"}
SITUATIONS_SHOWN = 8
TAGS_SHOWN = 3


@click.command
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The page; else TAGGING_HOME/reports/."
)
@click.option(
    "--lang",
    type=click.Choice(["en", "zh-Hant", "both"]),
    default="both",
    show_default=True,
    help="Language of the page; both has a switch and opens in the business's own.",
)
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="As things stood at the end of that business day, as in 2026-03-31.",
)
@click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
@click.option("--markdown", is_flag=True, help="Print the report as Markdown and write no page.")
@json_option
@verbose_option
def report(
    out: Path | None, lang: str, as_of: datetime | None, open_it: bool, markdown: bool, as_json: bool
) -> None:
    """The executive health report: alerts and why, insights, recommendations, forecasts; beside them what AI says,
    where it is on.

    Writes one HTML page that needs nothing else, in English and 繁體中文. Prints JSON or Markdown instead where
    asked to. The alerts themselves: tagging alerts.
    """
    from tagging_orchestration.ai.report import report_enhancements
    from tagging_orchestration.business.report import make_report, report_path, write_page
    from tagging_orchestration.clients.report.render import LOCALES, render_html, render_markdown
    from tagging_orchestration.wiring import Project

    if markdown and as_json:
        raise click.UsageError("give one of --markdown and --json")
    with Project() as project:
        made = make_report(project.pool, project.settings, as_of.date() if as_of else None)
        path = out or report_path(project.settings, made.as_of)
        enhancements = None if as_json else report_enhancements(project.pool, project.settings, made)
    locale = made.business.locale if lang == "both" else _locale(lang)
    if as_json:
        print_json(made)
        return
    if markdown:
        click.echo(render_markdown(made, locale, enhancements), nl=False)
        return
    if as_of and made.as_of and as_of.date() > made.as_of:
        note(f"no facts are known after {made.as_of}: the report is of that day")
    write_page(path, render_html(made, locale, LOCALES if lang == "both" else [locale], enhancements))
    show(*gist(made, locale))
    show("", f"  {plain(path.resolve())}")
    if open_it:
        click.launch(path.resolve().as_uri())


def _locale(name: str) -> Locale:
    return "zh-Hant" if name == "zh-Hant" else "en"


def gist(made: HealthReport, locale: Locale) -> list[RenderableType]:
    """The state, the headline and what is open, for the terminal."""
    from rich.text import Text

    from tagging_orchestration.clients.report.render import words

    say = words(locale)
    if made.as_of is None or not made.computed:
        state = "not_computed" if made.as_of else "no_business"
        return [Text(say(state), style="bold"), Text(say(f"{state}_more"))]
    health = made.health
    lines: list[RenderableType] = [
        Text.assemble(
            f"{made.business.name.of(locale)}, {made.as_of}: ",
            (say(f"level_{health.level}"), HEALTH_STYLES.get(health.level, "")),
        ),
        Text(f"{health.headline.of(locale)}. {health.reason.of(locale)}"),
    ]
    for situation in made.situations[:SITUATIONS_SHOWN]:
        tags = ", ".join(tag.name for tag in situation.tags[:TAGS_SHOWN])
        lines.append(
            Text.assemble(
                "  ",
                (say(f"severity_{situation.severity}"), SEVERITY_STYLES[situation.severity]),
                f"  {situation.title.of(locale)}  ",
                (f"{say('since', day=situation.since)}{f'; {tags}' if tags else ''}", "dim"),
            )
        )
    more = len(made.situations) - SITUATIONS_SHOWN
    return [*lines, Text(f"  … + {more}", style="dim")] if more > 0 else lines
