"""Numbers, money and days as people of a language write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from tagging_orchestration.core.business.report import Business, Locale

_CLDR = {"en": "en_GB", "zh-Hant": "zh_Hant_TW"}
# Units of metric_thresholds that are said: (English, 繁體中文). Others count things, which the metric's name says.
_UNITS = {"minutes": ("min", "分鐘"), "hours": ("h", "小時"), "days": ("days", "天"), "ms": ("ms", "毫秒")}


@dataclass(frozen=True, slots=True)
class Formats:
    """How one report writes its values. A missing value is an en dash."""

    locale: Locale
    business: Business

    @property
    def _cldr(self) -> str:
        return _CLDR[self.locale]

    def number(self, value: float | None, digits: int | None = None) -> str:
        """A number with separators; small ones keep `digits` decimals (by default, three figures in all)."""
        from babel.numbers import format_decimal

        if value is None:
            return "–"
        rounded = _rounded(value, _digits(value) if digits is None else digits)
        return format_decimal(rounded, locale=self._cldr, decimal_quantization=False)

    def value(self, value: float | None, unit: str) -> str:
        """A metric's value with its unit: money, a share as per cent, a duration, or a count."""
        if value is None:
            return "–"
        if unit == "money":
            return self.money(value)
        if unit == "share":
            return self.percent(value)
        if unit == "pct":
            return self.percent(value / 100)
        if unit == "ratio":
            return self.times(value)
        said = _UNITS.get(unit)
        return self.number(value) + (f" {said[self.locale == 'zh-Hant']}" if said else "")

    def money(self, value: float | None) -> str:
        """An amount in the currency of the business, without decimals from 100 on."""
        from babel.numbers import format_currency, get_currency_symbol

        if value is None:
            return "–"
        digits = 0 if abs(value) >= 100 or float(value).is_integer() else 2
        pattern = "¤#,##0" + (".00" if digits else "")
        currency = self.business.currency
        said = format_currency(_rounded(value, digits), currency, pattern, locale="en", currency_digits=False)
        # Currencies without a symbol of their own are named by their code, which wants a space.
        symbol = get_currency_symbol(currency, locale="en")
        return said.replace(symbol, f"{symbol} ") if symbol.isalpha() and len(symbol) == 3 else said

    def percent(self, share: float | None) -> str:
        """A share as per cent with at most one decimal."""
        if share is None:
            return "–"
        return f"{self.number(share * 100, 0 if abs(share) >= 1 else 1)}%"

    def rate(self, count: float | None) -> str:
        """How many would be usual, to a tenth; what is less is not nothing."""
        return "< 0.1" if count is not None and 0 < count < 0.05 else self.number(count, 1)

    def change(self, percent: float | None) -> str:
        """A change in per cent with its sign."""
        if percent is None:
            return "–"
        rounded = _rounded(percent, 0 if abs(percent) >= 10 else 1)
        sign = "+" if rounded > 0 else "−" if rounded < 0 else "±"
        return f"{sign}{self.number(abs(float(rounded)), 1)}%"

    def times(self, lift: float | None) -> str:
        """How many times as often."""
        return "–" if lift is None else f"{self.number(lift, 1 if lift < 10 else 0)}×"

    def probability(self, value: float) -> str:
        """A probability as per cent; never a certainty."""
        if value > 0.99:
            return "> 99%"
        return "< 1%" if value < 0.01 else f"{value:.0%}"

    def day(self, value: date | None) -> str:
        """A day in full, with its weekday."""
        from babel.dates import format_date

        if value is None:
            return "–"
        pattern = "y年M月d日 EEEE" if self.locale == "zh-Hant" else "EEEE d MMMM y"
        return format_date(value, pattern, locale=self._cldr)

    def short_day(self, value: date | None) -> str:
        """A day with its year, short."""
        from babel.dates import format_date

        if value is None:
            return "–"
        return format_date(value, "y/M/d" if self.locale == "zh-Hant" else "d MMM y", locale=self._cldr)

    def month(self, value: date) -> str:
        """A month with its year."""
        from babel.dates import format_date

        return format_date(value, "y年M月" if self.locale == "zh-Hant" else "MMM y", locale=self._cldr)

    def month_name(self, value: date) -> str:
        """A month without its year, short."""
        from babel.dates import format_date

        return format_date(value, "LLL", locale=self._cldr)

    def moment(self, value: datetime) -> str:
        """A time in the time zone of the business, to the minute."""
        local = value.astimezone(ZoneInfo(self.business.timezone))
        return f"{self.short_day(local.date())} {local:%H:%M} ({self.business.timezone})"


def _digits(value: float) -> int:
    """Decimals that give about three figures."""
    size = abs(value)
    if size >= 100 or float(value).is_integer():
        return 0
    return 1 if size >= 10 else 2


def _rounded(value: float, digits: int) -> Decimal:
    """Rounded as people do (half up), without trailing zeros."""
    quantum = Decimal(1).scaleb(-digits)
    rounded = Decimal(repr(float(value))).quantize(quantum, ROUND_HALF_UP)
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral_value() else rounded.normalize()
