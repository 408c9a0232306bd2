"""Metadata that reads well in the Dagster UI: tables and plots as Markdown, bounded in size."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from tagging_orchestration.core.models import GeneratedTags

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_LIMIT = 120


def cell(value: Any) -> str:
    """One table cell: no line breaks, no bars, bounded length."""
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= CELL_LIMIT else text[: CELL_LIMIT - 1] + "…"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table; "(none)" when there are no rows."""
    if not rows:
        return dg.MetadataValue.md("(none)")
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def samples_table(samples: Sequence[GeneratedTags], top: int = 6) -> dg.MarkdownMetadataValue:
    """A few contents with their best proposals and where each comes from."""
    return table(
        ["content", "language", "proposals"],
        [
            [
                sample.content_id,
                sample.language,
                ", ".join(f"{p.name} ({p.confidence:.2f}, {p.method})" for p in sample.proposals[:top]),
            ]
            for sample in samples
        ],
    )


def new_figure(width: float = 7.0, height: float = 3.2) -> Figure:
    """An empty figure outside pyplot's global state, with a font that has Chinese characters where one is."""
    import matplotlib as mpl
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    wanted = ("Noto Sans CJK TC", "Noto Sans CJK JP", "PingFang TC", "Microsoft JhengHei", "Arial Unicode MS")
    installed = {font.name for font in font_manager.fontManager.ttflist}
    mpl.rcParams["font.family"] = [*(name for name in wanted if name in installed), "DejaVu Sans"]
    return Figure(figsize=(width, height), layout="constrained")


def plot(figure: Figure) -> dg.MarkdownMetadataValue:
    """A figure as an image inside Markdown, small enough for the event log."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")
