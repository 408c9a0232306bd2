"""Dates as people and programs write them, to instants in UTC."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tagging_orchestration.core.errors import SourceError

FIRST_YEAR, LAST_YEAR = 1000, 2999

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DAY_OR_MONTH_FIRST = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{2}|\d{4})\b")
_DOTTED = re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}\b")
_EAST_ASIAN = str.maketrans({"年": "-", "月": "-", "日": " ", "時": ":", "时": ":", "分": ":", "秒": " "})
# Smallest magnitude of an epoch number in seconds, milliseconds, microseconds and nanoseconds (all from 1973 on).
_EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0))


class DateReader:
    """Reads the dates of one source.

    Understood are ISO 8601, epoch seconds to nanoseconds, YYYYMMDD, RFC 2822, dates with English month names,
    年月日, and numbers with slashes when their order is certain; or only `date_format` (strptime) when given.
    Times without an offset are in `timezone_name`. Raises SourceError for an unknown time zone.
    """

    def __init__(self, date_format: str | None = None, timezone_name: str = "UTC") -> None:
        self.date_format = date_format
        self.day_first: bool | None = None
        try:
            self.timezone: tzinfo = ZoneInfo(timezone_name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SourceError(
                f"unknown time zone {timezone_name!r}: use a name like Asia/Taipei or Europe/Berlin"
            ) from None

    def learn(self, values: Iterable[Any]) -> None:
        """Find out from samples whether 03/04/2024 has the day or the month first.

        One value that can only be read one way decides; contradictory or silent samples leave it open.
        """
        firsts, seconds = False, False
        for value in values:
            if isinstance(value, str) and (match := _DAY_OR_MONTH_FIRST.match(value.strip())):
                firsts |= int(match[1]) > 12
                seconds |= int(match[3]) > 12
        if firsts != seconds:
            self.day_first = firsts

    def read(self, value: Any) -> datetime | None:
        """The instant in UTC; None for a missing value. Raises ValueError saying what is wrong."""
        if value is None or value == "":
            return None
        if isinstance(value, bool):
            raise ValueError(f"{value} is not a date")
        if isinstance(value, datetime):
            return self._instant(value)
        if isinstance(value, date):
            return self._instant(datetime.combine(value, time.min))
        if isinstance(value, int | float):
            return None if math.isnan(value) else self._instant(_from_number(value))
        if not isinstance(value, str):
            raise ValueError(f"a {type(value).__name__} is not a date")
        text = value.strip()
        return self._instant(self._from_text(text)) if text else None

    def _from_text(self, text: str) -> datetime:
        if self.date_format is not None:
            try:
                return datetime.strptime(text, self.date_format)  # noqa: DTZ007 (made aware by _instant)
            except ValueError:
                raise ValueError(f"{text[:60]!r} is not of the form {self.date_format!r} (date_format)") from None
        if _NUMBER.fullmatch(text):
            return _from_number(float(text) if "." in text else int(text))
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return self._from_words(text)

    def _from_words(self, text: str) -> datetime:
        from dateutil import parser

        text = text.translate(_EAST_ASIAN).strip(" :-")
        match = _DAY_OR_MONTH_FIRST.match(text)
        if match and (len(match[4]) == 2 or (self.day_first is None and _is_ambiguous(match))):
            raise ValueError(
                f"{text[:60]!r} can be read in more than one way: set date_format, like '%d/%m/%Y' or '%m/%d/%Y'"
            )
        day_first = self.day_first if match else bool(_DOTTED.match(text))
        try:
            # What the text leaves out is taken from the default: two defaults show whether it did.
            readings = [
                parser.parse(text, default=datetime(year, month, day), dayfirst=day_first, tzinfos=_offset)  # noqa: DTZ001
                for year, month, day in ((2001, 1, 1), (2002, 2, 2))
            ]
        except (ValueError, OverflowError, TypeError):
            readings = []
        if len(set(readings)) != 1:
            raise ValueError(
                f"{text[:60]!r} is not a date: use ISO 8601 (2024-01-31T09:30:00Z) or set date_format"
            )
        return readings[0]

    def _instant(self, moment: datetime) -> datetime:
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValueError(f"the year {moment.year} is outside {FIRST_YEAR} to {LAST_YEAR}")
        return (moment if moment.tzinfo else moment.replace(tzinfo=self.timezone)).astimezone(UTC)


def _from_number(number: float) -> datetime:
    if isinstance(number, int) and 1000_01_01 <= number <= 2999_12_31:
        try:
            return datetime(number // 10_000, number // 100 % 100, number % 100)  # noqa: DTZ001
        except ValueError:
            raise ValueError(f"{number} is not a date (YYYYMMDD)") from None
    for smallest, factor in _EPOCH_UNITS:
        if smallest <= abs(number) < 1e20:
            # Whole microseconds: a float of seconds would not keep them.
            return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(number / factor * 1_000_000))
    raise ValueError(f"the number {number} is not a date: neither YYYYMMDD nor seconds since 1970")


def _is_ambiguous(match: re.Match[str]) -> bool:
    first, second = int(match[1]), int(match[3])
    return first <= 12 and second <= 12 and first != second


def _offset(name: str | None, seconds: int | None) -> tzinfo | None:
    if seconds is not None:
        return timezone(timedelta(seconds=seconds))
    if name is None:
        return None
    if name.upper() in {"UTC", "GMT", "Z"}:
        return UTC
    raise ValueError(f"the time zone {name} has no agreed offset")
