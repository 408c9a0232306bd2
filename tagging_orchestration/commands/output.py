"""What commands print: tables for people, JSON for programs. Data goes to stdout, messages to stderr."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDEST = 100
WIDE_COLUMN = 24


def console(*, stderr: bool = False) -> Console:
    """A console on stdout (or stderr), at most `WIDEST` columns wide; plain text where it is no terminal."""
    from rich.console import Console

    columns = shutil.get_terminal_size((WIDEST, 24)).columns
    return Console(stderr=stderr, width=max(40, min(columns, WIDEST)), highlight=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Print renderables on stdout."""
    screen = console()
    for part in parts:
        screen.print(part)


def note(message: str) -> None:
    """Print a message for people on stderr, so that stdout holds data only."""
    click.echo(message, err=True)


def table(title: str | None, *columns: str, right: Sequence[str] = (), wide: Sequence[str] = ()) -> Table:
    """An empty table. Columns named in `right` hold numbers, those in `wide` take what room there is."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
        expand=bool(wide),
    )
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in right,
            overflow="fold",
            ratio=1 if column in wide else None,
            min_width=WIDE_COLUMN if column in wide else None,
        )
    return made


def plain(value: Any) -> str:
    """One cell's text, safe from being read as markup."""
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(" ".join(str(value).split()))


def moment(value: datetime | None) -> str:
    """A time as people read it, in UTC, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value else ""


def shorten(text: str, width: int) -> str:
    """The text on one line, cut to `width` columns of a terminal; Chinese characters take two."""
    from rich.cells import cell_len, set_cell_size

    line = " ".join(text.split())
    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{value:.1%}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def jsonable(value: Any) -> Any:
    """Domain rows as JSON-ready values: dataclasses as objects, times as ISO 8601, other types as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Sequence | set | frozenset):
        return [jsonable(item) for item in value]
    # A number of numpy as a plain one.
    as_plain = getattr(value, "item", None)
    return as_plain() if as_plain else str(value)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    click.echo(json.dumps(jsonable(value), ensure_ascii=False, indent=2))
