"""What goes wrong, or unusually right, in the shop's year: the truth that alerts are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from tagging_orchestration.demo.catalogue import FIRST_DAY, LAST_DAY

TIMEZONE = ZoneInfo("Asia/Taipei")
DEFAULT_SEED = 7

Kind = Literal[
    "late_deliveries", "payment_outage", "faulty_batch", "price_error", "viral_praise", "support_backlog"
]

# A detector knows nothing of a shop that has just opened; and two incidents at once have no single cause.
OPENING_DAYS = 32
CALM_DAYS = 8
# People still write about an incident some days after its end.
AFTERMATH_DAYS = 3


@dataclass(frozen=True, slots=True)
class PlantedIncident:
    """One incident from `start` to before `end`.

    `metrics` are those it moves, `causes` acceptable names of the tag that explains it, in both languages;
    `words` is a pattern that tells its contents from others of the same days. Facts of `lead_days` before the
    start show it too, though nobody could know then: what is sent back in June was bought in May, and what
    the storm stops was ordered before.
    """

    kind: Kind
    start: datetime
    end: datetime
    metrics: tuple[str, ...]
    causes: tuple[str, ...]
    words: str
    product: str | None = None
    lead_days: int = 0


def _at(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    year = FIRST_DAY.year if month >= FIRST_DAY.month else LAST_DAY.year
    return datetime(year, month, day, hour, minute, tzinfo=TIMEZONE)


# As the sample contents tell it.
SAMPLE_INCIDENTS = (
    PlantedIncident(
        "late_deliveries",
        _at(12, 7),
        _at(12, 23),
        (
            "late_delivery_rate", "average_delivery_days", "ticket_volume", "bad_reviews",
            "customer_satisfaction_rate", "order_completion_rate", "pending_orders",
        ),
        (
            "delivery delay", "late delivery", "delivery", "tracking number", "storm", "carrier", "shipping",
            "depot", "延遲出貨", "物流", "物流編號", "運送", "淹水",
        ),
        r"delivery delay|late|tracking number|storm|depot|soaked|cancelled presents|convenience store pickup"
        r"|延遲|物流|十天|淹水|禮盒來得及|受潮",
        lead_days=4,
    ),
    PlantedIncident(
        "payment_outage",
        _at(3, 10, 9, 10),
        _at(3, 11, 19, 10),
        (
            "payment_failure_rate", "daily_revenue", "api_response_time", "conversion_rate", "ticket_volume",
            "order_completion_rate", "daily_orders",
        ),
        (
            "payment failed", "credit card", "payment", "card", "charged twice", "checkout", "payment provider",
            "付款失敗", "信用卡", "付款", "扣款", "刷卡", "金流",
        ),
        r"payment failed|card|charge|payment|付款|信用卡|扣款|訂閱被暫停",
    ),
    PlantedIncident(
        "faulty_batch",
        _at(6, 1),
        _at(7, 1),
        ("return_rate", "bad_reviews", "customer_satisfaction_rate", "ticket_volume"),
        (
            "lid leak", "leak", "lid", "gasket", "batch", "warranty", "漏水", "壺蓋", "墊圈", "保固", "批號",
        ),
        r"lid|leak|water under|漏水|H26-0|gasket|有問題|換新",
        product="KT-EL08",
        lead_days=7,
    ),
    PlantedIncident(
        "price_error",
        _at(8, 12, 10, 5),
        _at(8, 12, 13, 40),
        (
            "price_deviation", "daily_orders", "average_order_value", "units_sold", "order_completion_rate",
            "conversion_rate", "ticket_volume", "visits", "return_rate",
        ),
        (
            "price error", "price", "refund", "cancelled order", "typo", "標錯價", "退款", "價格",
        ),
        r"398|price error|typo|標錯價|You cancelled",
        product="GR-HG48",
    ),
    PlantedIncident(
        "viral_praise",
        _at(9, 6),
        _at(9, 20),
        (
            "visits", "units_sold", "daily_orders", "daily_revenue", "active_customers", "stockouts",
            "conversion_rate", "review_volume", "ticket_volume", "average_order_value",
        ),
        (
            "video", "viral", "pour over set", "sold out", "pre-order", "out of stock",
            "影片", "手沖組", "缺貨", "預購", "補貨",
        ),
        r"video|viral|pour over set|影片|手沖組|濾杯|dripper|新手也能|From Manila|mind the wait",
        product="DR-PO02",
    ),
    PlantedIncident(
        "support_backlog",
        _at(10, 26),
        _at(10, 31) + timedelta(days=1),
        ("avg_response_time", "ticket_volume", "customer_satisfaction_rate", "bad_reviews"),
        (
            "no reply", "reply", "slow reply", "customer service", "support", "answer", "waiting", "unanswered",
            "沒有回覆", "回覆", "客服", "已讀不回", "等回覆", "客服信箱",
        ),
        r"repl(y|ies)|answer|support queue|backlog|回覆|回信|客服|已讀不回",
    ),
)  # fmt: skip


def planted_incidents(seed: int = DEFAULT_SEED) -> tuple[PlantedIncident, ...]:
    """The six incidents: with the default seed when the sample contents say, with another one on other dates.

    They keep their lengths and times of day, begin after `OPENING_DAYS`, and lie `CALM_DAYS` or more apart.
    """
    if seed == DEFAULT_SEED:
        return SAMPLE_INCIDENTS
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(SAMPLE_INCIDENTS))
    lengths = [_days(SAMPLE_INCIDENTS[index]) for index in order]
    year = (LAST_DAY - FIRST_DAY).days + 1
    spare = year - OPENING_DAYS - sum(lengths) - CALM_DAYS * (len(lengths) - 1) - AFTERMATH_DAYS
    # Random calm before each incident; what is left over follows the last one.
    calms = np.diff(np.sort(rng.integers(0, spare + 1, len(lengths))), prepend=0) + CALM_DAYS
    moved, day = [], OPENING_DAYS - CALM_DAYS
    for index, length, calm in zip(order, lengths, calms, strict=True):
        day += int(calm)
        moved.append(_moved(SAMPLE_INCIDENTS[index], day))
        day += length
    return tuple(sorted(moved, key=lambda incident: incident.start))


def shift(incidents: Sequence[PlantedIncident], kind: Kind) -> timedelta:
    """How much later an incident happens than the sample contents say; zero if it does not happen."""
    told = {incident.kind: incident for incident in SAMPLE_INCIDENTS}[kind]
    return next((item.start - told.start for item in incidents if item.kind == kind), timedelta())


def _days(incident: PlantedIncident) -> int:
    return (incident.end - timedelta(microseconds=1)).date().toordinal() - incident.start.date().toordinal() + 1


def _moved(incident: PlantedIncident, day: int) -> PlantedIncident:
    offset = timedelta(days=day - (incident.start.date() - FIRST_DAY).days)
    return replace(incident, start=incident.start + offset, end=incident.end + offset)
