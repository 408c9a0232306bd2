"""What the simulated shop sells, and the days on which its year differs from other days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from tagging_orchestration.core.business.facts import CalendarDay

FIRST_DAY = date(2025, 11, 1)
DAYS = 365
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)


@dataclass(frozen=True, slots=True)
class Article:
    """A product of the shop. `demand` is its share of order lines beside the others'; it sells between the two
    dates; subscriptions have no stock."""

    sku: str
    name: str
    category: str
    price: int
    demand: float
    stocked: bool = True
    since: date = FIRST_DAY
    until: date = LAST_DAY


ARTICLES = (
    Article("KT-GN60", "Heron stovetop gooseneck kettle, 0.6 L", "kettles", 1580, 4),
    Article("KT-EL08", "Heron electric gooseneck kettle, 0.8 L", "kettles", 2880, 5, since=date(2026, 2, 9)),
    Article("GR-HG48", "Cricket hand grinder, 48 mm steel burr", "grinders", 3980, 3),
    Article("DR-PO02", "Lantern pour over set for two", "brewing", 1680, 5),
    Article("CB-10", "Cold brew bottle, 1 litre", "brewing", 780, 5),
    Article("FL-02", "Paper filters, size 02, 100 sheets", "brewing", 180, 9),
    Article("SC-01", "Timer scale", "brewing", 1450, 2.5),
    Article("TP-15", "Glass teapot, 0.5 L", "teaware", 980, 3),
    Article("TS-GW", "Gaiwan", "teaware", 720, 3),
    Article("CF-NM", "Night Market blend, 200 g", "coffee", 420, 16),
    Article("CF-GJ200", "Guji natural, 200 g", "coffee", 520, 10),
    Article("CF-AL150", "Alishan washed coffee, 150 g", "coffee", 680, 5, since=date(2026, 3, 2)),
    Article("TE-AL150", "Alishan oolong, 150 g", "tea", 880, 8),
    Article("TE-DD75", "Dongding oolong, 75 g", "tea", 520, 6),
    Article("TE-OB50", "Oriental Beauty oolong, 50 g", "tea", 960, 3, since=date(2026, 5, 2)),
    Article("TE-RB75", "Ruby black tea, 75 g", "tea", 480, 5),
    Article("GB-WN", "Winter gift box", "gift boxes", 1260, 8, since=date(2025, 11, 17), until=date(2026, 1, 4)),
    Article("GB-SP", "Spring gift box", "gift boxes", 1680, 8, since=date(2026, 1, 19), until=date(2026, 2, 19)),
    Article("GB-EV", "Everyday gift box", "gift boxes", 980, 3, since=date(2026, 3, 4)),
    Article("GB-MN", "Full moon gift box", "gift boxes", 1280, 8, since=date(2026, 8, 5), until=date(2026, 9, 25)),
    Article("SB-CF", "Coffee subscription", "subscriptions", 460, 7, stocked=False),
    Article("SB-TE", "Tea subscription", "subscriptions", 620, 4, stocked=False),
)

# Orders of a weekday (Monday first) and of a month, beside the year's mean.
WEEKDAYS = (1.10, 1.04, 1.02, 1.00, 0.95, 0.90, 0.99)
MONTHS: Mapping[int, float] = {
    1: 0.98, 2: 0.97, 3: 0.99, 4: 0.97, 5: 1.00, 6: 0.98, 7: 0.96, 8: 0.97, 9: 1.02, 10: 1.02, 11: 1.07, 12: 1.10,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Season:
    """Days on which orders are `factor` times as many, and unit prices `price` times the list price."""

    first: date
    last: date
    factor: float
    name: str
    name_zh: str
    event_type: Literal["holiday", "promotion"] = "holiday"
    price: float = 1.0


SEASONS = (
    Season(date(2025, 11, 11), date(2025, 11, 11), 2.4, "Double 11", "雙 11 購物節", "promotion", 0.9),
    Season(date(2025, 11, 28), date(2025, 11, 28), 2.0, "Black Friday", "黑色星期五", "promotion", 0.9),
    Season(date(2025, 12, 12), date(2025, 12, 12), 1.5, "Double 12", "雙 12 購物節", "promotion", 0.95),
    Season(date(2025, 12, 15), date(2025, 12, 21), 1.2, "Christmas shopping", "聖誕採買", "promotion"),
    Season(date(2025, 12, 25), date(2025, 12, 25), 0.8, "Constitution Day", "行憲紀念日"),
    Season(date(2026, 1, 1), date(2026, 1, 1), 0.7, "New Year's Day", "元旦"),
    Season(date(2026, 2, 3), date(2026, 2, 11), 1.3, "Lunar New Year shopping", "年貨採買", "promotion"),
    Season(date(2026, 2, 14), date(2026, 2, 20), 0.5, "Lunar New Year", "農曆春節"),
    Season(date(2026, 2, 28), date(2026, 2, 28), 0.9, "Peace Memorial Day", "和平紀念日"),
    Season(date(2026, 4, 3), date(2026, 4, 6), 0.8, "Tomb Sweeping Day", "清明連假"),
    Season(date(2026, 5, 1), date(2026, 5, 1), 0.9, "Labour Day", "勞動節"),
    Season(date(2026, 5, 4), date(2026, 5, 8), 1.25, "Mother's Day shopping", "母親節採買", "promotion"),
    Season(date(2026, 6, 19), date(2026, 6, 21), 0.85, "Dragon Boat Festival", "端午節"),
    Season(date(2026, 9, 19), date(2026, 9, 23), 1.2, "Mid-Autumn shopping", "中秋採買", "promotion"),
    Season(date(2026, 9, 25), date(2026, 9, 27), 0.7, "Mid-Autumn Festival", "中秋連假"),
    Season(date(2026, 10, 9), date(2026, 10, 11), 0.85, "National Day", "國慶連假"),
)


def calendar_days() -> list[CalendarDay]:
    """The seasons as rows of the calendar, one a day."""
    return [
        CalendarDay(season.first + timedelta(days=number), season.event_type, season.name, season.name_zh)
        for season in SEASONS
        for number in range((season.last - season.first).days + 1)
    ]
