"""Numbers of an answer that its data do not hold.

A number is supported when the data hold it in any notation (1,234.5; 12 % as 0.12; NT$12,000; 1.2萬; 三成), to the
places it is written with. So are dates and times of the data, the length of a list, and what the measured
value, its threshold and what was expected give by one subtraction or division. No statements of fact, and so not
looked at: counts up to five, ordinals, parts of names (P95), deadlines in what is proposed.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

from tagging_orchestration.core.enhancement.forms import Form, texts_of

MOST_FLAGS = 20
_SMALL = 5
_MOST_DATA_CHARACTERS = 400_000

_FULL_WIDTH = str.maketrans("０１２３４５６７８９％．／：－～＄−–—", "0123456789%./:-~$---")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?")
_SCALES = {
    **{"萬": 1e4, "万": 1e4, "億": 1e8, "亿": 1e8, "兆": 1e12, "千": 1e3, "百": 1e2},
    **{"k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "B": 1e9, "bn": 1e9},
    **{"thousand": 1e3, "million": 1e6, "billion": 1e9},
}
_SCALE = re.compile(
    r"\s*(?:(百萬|千萬|百万|千万)|(萬|万|億|亿|兆|千|百(?!分))|((?:k|K|M|mn|B|bn)(?![A-Za-z]))|(thousand|million|billion)\b)"
)
_DOUBLE_SCALES = {"百萬": 1e6, "百万": 1e6, "千萬": 1e7, "千万": 1e7}
_PERCENT = re.compile(
    r"\s*(?:%|個?百分點|个?百分点|(?:percent|per cent|percentage points?|pct|pp)\b)", re.IGNORECASE
)
_NOT_TENTHS = "(?!不變|不变|本|長|长|功|果|為|为|立|員|员|交|效|績|绩|分|熟|都)"
_TENTHS = re.compile(rf"\s*成{_NOT_TENTHS}")
_CURRENCY = re.compile(
    r"(?:NT\$|US\$|HK\$|A\$|\$|€|£|¥|新台幣|新臺幣|台幣|臺幣|(?<![A-Za-z])(?:TWD|NTD|NT|USD|EUR|JPY|CNY|RMB|GBP|HKD))\s*$",
    re.IGNORECASE,
)
_MONEY = re.compile(r"\s*(?:元|圓|塊|dollars?\b|TWD\b|NTD\b|USD\b|EUR\b)", re.IGNORECASE)
_TIMES = re.compile(r"\s*(?:倍|times\b|[xX](?![A-Za-z])|×)")
_UNIT_LETTERS = re.compile(
    r"(?:ms|secs?|s|mins?|hrs?|hr|h|days?|d|wks?|w|mo|pts?|pp|kg|km|cm|mm|GB|MB|KB|TB|px|st|nd|rd|th|x|X)(?![A-Za-z0-9])"
)
_ORDINAL_AFTER = re.compile(r"(?:st|nd|rd|th)\b")
_ORDINAL_BEFORE = re.compile(
    r"(?:第|前|top[\s-]*|no\.?\s*|#|step\s*|phase\s*|stage\s*|level\s*|tier\s*|階段|步驟|版本|version\s*|v)\s*$",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:-|~|至|到|to)\s*")
_ABOUT_BEFORE = re.compile(
    r"(?:約|约|近|逾|超過|超过|高達|高达|達|over|about|around|approximately|approx\.?|roughly|nearly|almost|some"
    r"|more than|~|≈)"
    r"\s*(?:NT\$|US\$|\$|€|£|¥|新台幣|新臺幣)?\s*$",
    re.IGNORECASE,
)
_ABOUT_AFTER = re.compile(r"\s*(?:多|餘|余|左右|上下|\+)")
_DEADLINE = re.compile(
    r"[\s-]*(?:個|个|business|working|工作)?\s*(?:小時|小时|天|日|週|周|星期|禮拜|月|季|年|工作天|工作日|個工作天|"
    r"hours?\b|hrs?\b|h\b|days?\b|weeks?\b|wks?\b|months?\b|quarters?\b|years?\b|d\b|w\b)",
    re.IGNORECASE,
)
_SHORT_TIME = re.compile(r"[\s-]*(?:分鐘|分钟|分|秒|minutes?\b|mins?\b|seconds?\b)", re.IGNORECASE)
_UUID = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{16,}\b", re.I
)
_VERSION = re.compile(r"(?<!\d)\d{1,9}(?:\.\d{1,9}){2,8}")
_PHRASES = re.compile(r"24\s*[/x×]\s*7|7\s*[/x×]\s*24|24\s*小時(?=客服|服務|待命|監控)|80\s*/\s*20", re.IGNORECASE)
# 14萬5千, 1億2000萬: what follows the first scale.
_REMAINDER = re.compile(r"(\d{1,4})([千百萬万])?(?![\d.,%])")

_MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    r"(?P<y1>\d{4})\s*[-/.年]\s*(?P<m1>\d{1,2})\s*[-/.月]\s*(?P<d1>\d{1,2})(?!\d)\s*[日號号]?"
    r"|(?P<y2>\d{4})\s*年\s*(?P<m2>\d{1,2})\s*月|(?P<y6>\d{4})-(?P<m6>0[1-9]|1[0-2])(?![\d-])"
    r"|(?P<m3>\d{1,2})\s*月\s*(?P<d3>\d{1,2})\s*[日號号]"
    rf"|\b(?P<n4>{_MONTH})\.?\s+(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:,?\s+(?P<y4>\d{{4}}))?"
    rf"|(?<!\d)(?P<d5>\d{{1,2}})(?:st|nd|rd|th)?\s+(?P<n5>{_MONTH})\b\.?(?:,?\s+(?P<y5>\d{{4}}))?"
    r"|(?<!\d)(?P<y7>(?:19|20)\d\d)(?=\s*年)|(?<![\d.])(?P<m8>\d{1,2})(?=\s*月(?:份|初|中|底|旬)?(?!內|内))"
    r"|(?<![\d/.])(?P<m9>\d{1,2})/(?P<d9>\d{1,2})(?![\d/%])",
    re.IGNORECASE,
)
_TIME = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::\d{2})?(?:\.\d+)?(?![\d:])")

_CHINESE_DIGITS = {
    character: number
    for number, characters in enumerate(["零〇", "一", "二兩两", "三", "四", "五", "六", "七", "八", "九"])
    for character in characters
}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_SHARE = re.compile("百分之([零〇一二兩两三四五六七八九十百點点]+)")
_CHINESE_TENTHS = re.compile(
    rf"(?<![一二三四五六七八九十])([一二兩两三四五六七八九])成{_NOT_TENTHS}([一二三四五六七八九半](?![一-鿿]))?"
)
_CHINESE_COUNT = re.compile(
    r"(?<![零〇一二兩两三四五六七八九十百千萬万億亿])([一二兩两三四五六七八九十][一二兩两三四五六七八九十百千萬万億亿零〇]{1,16})"
    r"\s*(?:元|圓|筆|笔|件|人|位|名|次|家|間|張|分鐘|分钟|個(?!月)|个(?!月))"
)


@dataclass(frozen=True, slots=True)
class _Token:
    """A number in a text. `step` is one unit of its last written place, `rest` what follows it."""

    written: str
    start: int
    end: int
    value: float
    step: float
    places: int
    percent: bool = False
    times: bool = False
    money: bool = False
    scaled: bool = False
    rest: str = ""
    before: str = ""


class KnownNumbers:
    """The numbers, dates and times of some data."""

    def __init__(self, *data: Any) -> None:
        self._values: set[float] = set()
        self._percents: set[float] = set()
        self._ratios: set[float] = set()
        self._names: list[str] = []
        self._days: set[tuple[int, int, int]] = set()
        self._clock: set[tuple[int, int]] = set()
        self._characters = 0
        for item in data:
            self._add(item)
        self._values |= {float(year) for year, _, _ in self._days}
        self._sorted = sorted(self._values)
        self._sorted_percents = sorted(self._percents)
        self._sorted_ratios = sorted(self._ratios)
        self._months = {month for _, month, _ in self._days}
        self._month_days = {(month, day) for _, month, day in self._days}
        self._day_numbers = {float(day) for _, _, day in self._days}
        self._text = " ".join(self._names)

    # ---------------------------------------------------------------------------------------------- gathering

    def _add(self, value: Any, depth: int = 0) -> None:
        if depth > 40 or value is None or isinstance(value, bool):
            return
        if isinstance(value, (Decimal, Real)):
            number = float(value)
            if math.isfinite(number):
                self._values.add(abs(number))
        elif isinstance(value, datetime):
            self._add_moment(value)
        elif isinstance(value, date):
            self._days.add((value.year, value.month, value.day))
        elif isinstance(value, time):
            self._clock.add((value.hour, value.minute))
        elif isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                self._add(key, depth + 1)
                self._add(inner, depth + 1)
            self._add_derived(value)
        elif isinstance(value, Iterable):
            items = list(value)
            self._values.add(float(len(items)))
            for inner in items:
                self._add(inner, depth + 1)
        elif is_dataclass(value):
            self._add({part.name: getattr(value, part.name) for part in fields(value)}, depth + 1)
        else:
            self._add_text(str(value))

    def _add_moment(self, moment: datetime) -> None:
        days = [moment]
        if moment.tzinfo is not None:
            # Prompts show moments in the time zone of the business.
            days = [moment + timedelta(hours=hours) for hours in (-12, 0, 12) if 1 < moment.year < 9999]
        self._days |= {(day.year, day.month, day.day) for day in days}
        self._clock.add((moment.hour, moment.minute) if moment.tzinfo is None else (-1, moment.minute % 30))

    def _add_text(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > _MOST_DATA_CHARACTERS:
            return
        text = _UUID.sub(" ", text.translate(_FULL_WIDTH))
        for found in re.finditer(
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?", text
        ):
            try:
                self._add_moment(datetime.fromisoformat(found[0].replace(" ", "T", 1)))
            except ValueError:
                continue
        rest, dates, times = _without_dates(text)
        self._days |= {(year or 0, month or 0, day or 0) for year, month, day in dates}
        self._clock |= set(times)
        for token in _tokens(rest):
            self._values.add(token.value)
            if token.percent:
                self._values.add(token.value / 100)
        # Parts of names count too: trend_30d, 7_days, SKU-1234.
        self._values |= {
            float(found[0].replace(",", "")) for found in _NUMBER.finditer(rest) if len(found[0]) < 300
        }
        self._names.append(text)

    def _add_derived(self, data: Mapping[Any, Any]) -> None:
        """What the measured value and what it is compared with give."""
        current = _number(data.get("current_value"))
        for name in ("threshold_value", "expected_value", "reference_value"):
            other = _number(data.get(name))
            if current is None or other is None:
                continue
            self._values.add(abs(current - other))
            if other:
                self._percents |= {abs(current - other) / abs(other) * 100, abs(current / other) * 100}
                self._ratios |= {abs(current / other), abs(current - other) / abs(other)}
            if current:
                self._ratios.add(abs(other / current))

    # ----------------------------------------------------------------------------------------------- checking

    def has(self, token: _Token) -> bool:
        """Whether a number is one of the data's, as far as it is written."""
        value, step, exact = token.value, token.step, token.places >= 2
        if _near(self._sorted, value, step, exact):
            return True
        if token.percent:
            return _near(self._sorted, value / 100, step / 100, exact) or _near(
                self._sorted_percents, value, step, exact
            )
        if token.times and _near(self._sorted_ratios, value, step, exact):
            return True
        if re.match(r"\s*[日號号]", token.rest) and value in self._day_numbers:
            return True
        if re.match(r"\s*[點点時时](?![間间])", token.rest) and any(
            hour in (value, -1) for hour, _ in self._clock
        ):
            return True
        # A share in another notation: 87 for 0.87, or 0.152 for 15.2 %.
        other = value * 100 if value < 1 else value / 100
        return (value < 1 or other < 1) and _near(self._sorted, other, 0, False)

    def has_name(self, name: str, digits: str) -> bool:
        """Whether a code such as SKU-1234 stands in the data, or a year of it after letters (FY2025)."""
        return name.casefold() in self._text.casefold() or int(digits) in {year for year, _, _ in self._days}

    def has_date(self, year: int | None, month: int | None, day: int | None) -> bool:
        """Whether a date, or the part of one that is given, is of the data."""
        if year is not None and month is None:
            return float(year) in self._values
        if day is None:
            return any(month == m and year in (None, y, y or None) for y, m, _ in self._days)
        if year is None:
            return (month, day) in self._month_days
        return any(month == m and day == d and y in (year, 0) for y, m, d in self._days)

    def has_time(self, hour: int, minute: int) -> bool:
        """Whether a time of day is of the data; moments with a time zone stand for any hour."""
        return (hour, minute) in self._clock or (-1, minute % 30) in self._clock


def unsupported_numbers(
    document: Mapping[str, Any], form: Form, known: KnownNumbers, skipped: Iterable[str] = ()
) -> list[str]:
    """The numbers in a document's texts that the data do not hold, as written, in order, each once. Texts at the
    `skipped` paths are not looked at. At most MOST_FLAGS."""
    passed = set(skipped)
    own = {float(len(items)) for items in _lists(document)}
    found: dict[str, None] = {}
    for path, text in texts_of(document):
        if path in passed:
            continue
        for written in _unsupported(text, path, form, known, own):
            found.setdefault(written)
    return list(found)[:MOST_FLAGS]


def _unsupported(text: str, path: str, form: Form, known: KnownNumbers, own: set[float]) -> Iterator[str]:
    plain = _PHRASES.sub(lambda match: " " * len(match[0]), text.translate(_FULL_WIDTH))
    plain = re.sub(r"<[A-Z_]+_\d+>", lambda match: " " * len(match[0]), plain)
    plans = path in form.plans
    is_timeline = path.rpartition(".")[2].startswith("timeline")
    rest = plain
    for match in _DATE.finditer(plain):
        year, month, day = _date_parts(match)
        if not _valid(month, day):
            continue
        if match["m9"] and not known.has_date(None, month, day):
            # 3/5 may be a share as well.
            continue
        if match["m8"] and (plans or is_timeline):
            # A month to come is a plan.
            rest = _blank(rest, match)
            continue
        if not known.has_date(year, month, day) and not plans:
            yield match[0].strip()
        rest = _blank(rest, match)
    for match in _TIME.finditer(rest):
        if not plans and not known.has_time(int(match[1]), int(match[2])):
            yield match[0]
    rest = _TIME.sub(lambda match: " " * len(match[0]), rest)
    for match in re.finditer(r"[A-Za-z][A-Za-z_]*-?\d{3,20}\b", rest):
        letters = match[0].rstrip("0123456789")
        if not _CURRENCY.search(letters) and not known.has_name(match[0], match[0][len(letters) :]):
            yield match[0]
    for token in _tokens(rest):
        if _is_no_fact(token, plans, is_timeline) or (token.value in own and not (token.percent or token.money)):
            continue
        if not known.has(token):
            yield token.written
    for written, value, percent in _chinese(rest):
        token = _Token(written, 0, 0, value, 10 if percent and "成" in written else 1, 1, percent=percent)
        if not known.has(token):
            yield written


def _is_no_fact(token: _Token, plans: bool, is_timeline: bool) -> bool:
    bare = not (token.percent or token.times or token.money or token.scaled)
    whole = token.value == int(token.value)
    if bare and whole and token.value <= _SMALL:
        return True
    ordinal = _ORDINAL_AFTER.match(token.rest) or _ORDINAL_BEFORE.search(token.before)
    if bare and whole and token.value <= 100 and ordinal:
        return True
    if (plans or is_timeline) and not (token.percent or token.money) and _DEADLINE.match(token.rest):
        return True
    return is_timeline and bool(_SHORT_TIME.match(token.rest))


def _tokens(text: str) -> list[_Token]:
    """The numbers of a text without its dates. Parts of names and versions are none."""
    text = _VERSION.sub(lambda match: " " * len(match[0]), text)
    found: list[_Token] = []
    matches = list(_NUMBER.finditer(text))
    done = 0
    for match in matches:
        start, end = match.span()
        if start < done:
            continue
        if len(match[0]) > 25 or (
            re.search(r"[A-Za-z_][A-Za-z_]*-?$", text[max(0, start - 12) : start])
            and not (_CURRENCY.search(text[max(0, start - 6) : start]))
        ):
            continue
        value = float(match[0].replace(",", ""))
        _, _, decimals = match[0].partition(".")
        step = 10.0 ** -len(decimals)
        scale = 1.0
        while scaled := _SCALE.match(text, end):
            unit = scaled[1] or scaled[2] or scaled[3] or scaled[4]
            scale *= _DOUBLE_SCALES.get(unit) or _SCALES[unit]
            end = scaled.end()
        remainder = _REMAINDER.match(text, end) if scale >= 1e4 else None
        if remainder:
            added = float(remainder[1]) * _SCALES.get(remainder[2] or "", 1.0)
            value, step = value + added / scale, _SCALES.get(remainder[2] or "", 1.0) / scale
            end = done = remainder.end()
        percent = _PERCENT.match(text, end)
        tenths = None if percent else _TENTHS.match(text, end)
        if percent:
            end = percent.end()
        elif tenths:
            end, scale, percent = tenths.end(), scale * 10, tenths
        times = _TIMES.match(text, end)
        known_unit = percent or times or _UNIT_LETTERS.match(text, end) or _MONEY.match(text, end)
        if re.match(r"[A-Za-z]", text[end : end + 1]) and scale == 1 and not known_unit:
            continue
        currency = _CURRENCY.search(text[max(0, start - 8) : start])
        money = bool(currency or _MONEY.match(text, end))
        about = _ABOUT_BEFORE.search(text[max(0, start - 24) : start]) or _ABOUT_AFTER.match(text, end)
        digits = match[0].replace(",", "")
        if about and not decimals and value:
            step = 10.0 ** (len(digits) - len(digits.rstrip("0")))
        first = start - (len(currency[0]) if currency else 0)
        found.append(
            _Token(
                written=" ".join(text[first:end].split()),
                start=start,
                end=end,
                value=value * scale,
                step=step * scale,
                places=len(digits.replace(".", "").strip("0")),
                percent=bool(percent),
                times=bool(times),
                money=money,
                scaled=scale != 1 and not percent,
                rest=text[end : end + 24],
                before=text[max(0, start - 12) : start],
            )
        )
    return _with_ranges(text, found)


def _with_ranges(text: str, tokens: list[_Token]) -> list[_Token]:
    """In "10-15%" and "2 to 3 weeks" both bounds are of what follows the second."""
    result: list[_Token] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if following and _RANGE.fullmatch(text, token.end, following.start) and not token.percent:
            scale = 1.0
            if following.scaled and not token.scaled:
                plain = float(_NUMBER.search(text, following.start)[0].replace(",", ""))  # type: ignore[index]
                scale = following.value / plain if plain else 1.0
            token = _Token(
                written=token.written,
                start=token.start,
                end=token.end,
                value=token.value * scale,
                step=token.step * scale,
                places=token.places,
                percent=following.percent,
                times=following.times,
                money=token.money or following.money,
                scaled=token.scaled or following.scaled,
                rest=following.rest,
                before=token.before,
            )
        result.append(token)
    return result


def _near(values: list[float], value: float, step: float, truncated: bool) -> bool:
    """Whether a value of a sorted list rounds to this one, or is cut to it."""
    margin = 1e-9 * max(1.0, value)
    low, high = value - step / 2 - margin, value + (step - 2 * margin if truncated else step / 2) + margin
    place = bisect_left(values, low)
    return place < len(values) and values[place] <= high


def _date_parts(match: re.Match[str]) -> tuple[int | None, int | None, int | None]:
    groups = {name: text for name, text in match.groupdict().items() if text}
    numbers = {name[0]: int(text) for name, text in groups.items() if name[0] in "ymd"}
    named = next((text for name, text in groups.items() if name[0] == "n"), None)
    if named:
        numbers["m"] = _MONTH_NAMES.index(named[:3].lower()) + 1
    return numbers.get("y"), numbers.get("m"), numbers.get("d")


def _valid(month: int | None, day: int | None) -> bool:
    return (month is None or 1 <= month <= 12) and (day is None or 1 <= day <= 31)


def _without_dates(
    text: str,
) -> tuple[str, list[tuple[int | None, int | None, int | None]], list[tuple[int, int]]]:
    rest = text
    dates = []
    for match in _DATE.finditer(text):
        parts = _date_parts(match)
        if not _valid(*parts[1:]) or match["m9"] or match["m8"]:
            # In data a share or a period may be written like a day: it stays a number too.
            if _valid(*parts[1:]):
                dates.append(parts)
            continue
        dates.append(parts)
        rest = _blank(rest, match)
    times = [(int(match[1]), int(match[2])) for match in _TIME.finditer(rest)]
    return _TIME.sub(lambda match: " " * len(match[0]), rest), dates, times


def _blank(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + " " * (match.end() - match.start()) + text[match.end() :]


def _chinese(text: str) -> Iterator[tuple[str, float, bool]]:
    """Shares and counts in Chinese numerals: 百分之十五, 三成五, 一萬兩千元."""
    for match in _CHINESE_SHARE.finditer(text):
        value = _chinese_number(match[1])
        if value is not None:
            yield match[0], value, True
    for match in _CHINESE_TENTHS.finditer(text):
        half = {"半": 5.0}.get(match[2] or "", float(_CHINESE_DIGITS.get(match[2] or "", 0)))
        yield match[0], _CHINESE_DIGITS[match[1]] * 10 + half, True
    for match in _CHINESE_COUNT.finditer(text):
        value = _chinese_number(match[1])
        if value is not None and value > _SMALL:
            yield match[0].strip(), value, False


def _chinese_number(text: str) -> float | None:
    whole, _, decimals = re.sub("点", "點", text).partition("點")
    total = section = digit = 0
    for character in whole:
        if character in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[character]
        elif character in _CHINESE_UNITS:
            section += (digit or 1) * _CHINESE_UNITS[character]
            digit = 0
        else:
            total = (total + section + digit) * int(_SCALES[character])
            section = digit = 0
    if any(character not in _CHINESE_DIGITS for character in decimals):
        return None
    fraction = (
        float("0." + "".join(str(_CHINESE_DIGITS[character]) for character in decimals)) if decimals else 0.0
    )
    return total + section + digit + fraction


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _lists(inner)
    elif isinstance(value, list):
        yield value
        for inner in value:
            yield from _lists(inner)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value.replace(",", ""))
        except ValueError:
            return None
    if isinstance(value, (Real, Decimal)) and math.isfinite(float(value)):
        return float(value)
    return None
