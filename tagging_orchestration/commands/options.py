"""Options, parameter types and helpers that the commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from tagging_orchestration.core.errors import UnknownName

Function = TypeVar("Function", bound=Callable[..., Any])

CONTENT_HELP = "CONTENT is an id, or source:external_id."
TAG_HELP = "TAG is a name, an alias or an id."
DATE_HELP = "A date is in UTC and means the whole day, month or year (2026, 2026-03, 2026-03-31)."
SMALLEST_STEP = timedelta(microseconds=1)


class Moment(click.ParamType):
    """A date, month, year or ISO 8601 time, as an aware datetime; without a time zone it is UTC.

    `last` picks the last instant of a date instead of the first, so that the named day, month or year is included.
    """

    name = "date"

    def __init__(self, *, last: bool = False) -> None:
        self.last = last

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse `value`; click reports a usage error when it is no date."""
        if isinstance(value, datetime):
            return value
        try:
            first, after = _span(value.strip())
        except ValueError:
            self.fail(
                f"{value!r} is no date: write 2026-03-31, 2026-03, 2026 or 2026-03-31T18:30:00+08:00", param, ctx
            )
        return after - SMALLEST_STEP if self.last and after > first else first


def _span(text: str) -> tuple[datetime, datetime]:
    """First instant of what `text` names and the one after it; both alike for a time. Raises ValueError."""
    if re.fullmatch(r"\d{4}", text):
        first = datetime(int(text), 1, 1, tzinfo=UTC)
        return first, first.replace(year=first.year + 1)
    if re.fullmatch(r"\d{4}-\d{2}", text):
        first = datetime(int(text[:4]), int(text[5:]), 1, tzinfo=UTC)
        return first, (first + timedelta(days=31)).replace(day=1)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    day = re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d{8}", text)
    return moment, moment + timedelta(days=1) if day else moment


def json_option(command: Function) -> Function:
    """`--json`: data as JSON on stdout, nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")(command)


def as_of_option(command: Function) -> Function:
    """`--as-of`: look at a past state."""
    return click.option(
        "--as-of",
        type=Moment(last=True),
        metavar="DATE",
        help=f"As things stood then. {DATE_HELP}",
    )(command)


def limit_option(default: int, what: str) -> Callable[[Function], Function]:
    """`--limit`: at most so many rows."""
    return click.option(
        "--limit", type=click.IntRange(min=1), default=default, show_default=True, help=f"At most so many {what}."
    )


def verbose_option(command: Function) -> Function:
    """`--verbose` on a command, the same as `tagging --verbose` before it."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.find_root().meta["verbose"] = True

    return click.option(
        "--verbose", is_flag=True, expose_value=False, callback=remember, help="Logs and tracebacks on stderr."
    )(command)


def is_verbose() -> bool:
    """Whether this command line asked for logs and tracebacks."""
    context = click.get_current_context(silent=True)
    return bool(context and context.find_root().meta.get("verbose"))


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" with the names most like `wrong`, or nothing when none is alike."""
    from rapidfuzz import fuzz, process

    found = process.extract(
        wrong, list(known), scorer=fuzz.WRatio, processor=str.casefold, limit=3, score_cutoff=70
    )
    return f"; did you mean {' or '.join(name for name, _, _ in found)}?" if found else ""


def one_of(name: str, known: Iterable[str], what: str) -> str:
    """`name` if it is known. Raises UnknownName with the nearest names otherwise."""
    known = list(known)
    if name in known:
        return name
    raise UnknownName(f"no {what} named {name}{did_you_mean(name, known) or '; there are: ' + ', '.join(known)}")
