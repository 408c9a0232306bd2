"""The executive health report, from the database to a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from tagging_orchestration.clients.report.render import render_html, render_markdown
from tagging_orchestration.core.business.report import HealthReport, build_report
from tagging_orchestration.storage.report import read_facts

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.settings import Settings


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report, its file, and the same as Markdown in both languages."""

    report: HealthReport
    path: Path
    markdown: str
    markdown_zh: str


def make_report(pool: ConnectionPool, settings: Settings, as_of: date | None = None) -> HealthReport:
    """The report of this project's business, or as things stood at the end of the business day `as_of`.

    Raises UnknownName for a day before the first metric.
    """
    return build_report(read_facts(pool, settings.organization_id, as_of))


def write_report(pool: ConnectionPool, settings: Settings, as_of: date | None = None) -> WrittenReport:
    """Write the report as an HTML page with both languages to `report_path`, over an older one of that day."""
    report = make_report(pool, settings, as_of)
    path = report_path(settings, report.as_of)
    write_page(path, render_html(report, report.business.locale))
    return WrittenReport(
        report=report,
        path=path,
        markdown=render_markdown(report, "en"),
        markdown_zh=render_markdown(report, "zh-Hant"),
    )


def report_path(settings: Settings, as_of: date | None) -> Path:
    """Where the report of a day is kept: TAGGING_HOME/reports/health-<day>.html."""
    return settings.home / "reports" / f"health-{as_of or 'empty'}.html"


def write_page(path: Path, page: str) -> None:
    """Write a file whole or not at all; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
