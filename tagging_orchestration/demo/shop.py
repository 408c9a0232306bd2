"""Lantern & Leaf: one simulated year of a small shop's facts, with planted incidents. Same seed, same year.

Background and incidents draw from random streams of their own, so that moving an incident leaves the rest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal

import numpy as np

from tagging_orchestration.core.business.facts import (
    CalendarDay,
    Customer,
    Order,
    OrderItem,
    Product,
    Review,
    StockLevel,
    SupportTicket,
    Visits,
)
from tagging_orchestration.demo.catalogue import (
    ARTICLES,
    DAYS,
    FIRST_DAY,
    MONTHS,
    SEASONS,
    WEEKDAYS,
    calendar_days,
)
from tagging_orchestration.demo.contents import SampleContent, dated_contents
from tagging_orchestration.demo.incidents import (
    DEFAULT_SEED,
    TIMEZONE,
    Kind,
    PlantedIncident,
    planted_incidents,
)

# Part of the fingerprint of a load: raise it when the same seed gives other facts.
VERSION = 1
CURRENCY = "TWD"
CONTENT_SOURCE = "sample"

HOUR, DAY = 3_600, 86_400
OPENING = datetime.combine(FIRST_DAY, time.min, TIMEZONE)
END = DAYS * DAY

ORDERS_A_DAY = 38
GROWTH = 0.15
FIRST_ORDER, FIRST_CUSTOMER = 19_300, 1_001
# When people shop, by hour of the day.
HOURS = np.array([2, 1, 1, 0.5, 0.5, 1, 2, 4, 6, 7, 8, 8, 8, 7, 6, 6, 6, 6, 7, 8, 10, 11, 9, 5])
REGIONS = ("Taipei", "New Taipei", "Taoyuan", "Taichung", "Tainan", "Kaohsiung", "Hualien", "overseas")
REGION_SHARES = (0.24, 0.2, 0.11, 0.14, 0.08, 0.12, 0.05, 0.06)
SEGMENTS = ("new", "returning", "gift_buyer", "subscriber", "wholesale")
ORDER_CHANNELS = ("web", "app", "marketplace")
TICKET_CHANNELS = ("phone", "line", "chat", "email")
SKUS = [article.sku for article in ARTICLES]
SUBSCRIPTIONS = [index for index, article in enumerate(ARTICLES) if not article.stocked]
# Shares of 1 to 5 stars, ordinarily, after a late delivery, and of the happiest customers.
STARS = (0.02, 0.03, 0.09, 0.28, 0.58)
LATE_STARS = (0.22, 0.25, 0.25, 0.18, 0.10)
HAPPY_STARS = (0.0, 0.01, 0.02, 0.17, 0.80)


@dataclass(frozen=True, slots=True)
class Shop:
    """A year of facts, one tuple a table of `raw`, and the truth about it: what was planted, and the contents
    dated so that they tell the same story."""

    seed: int
    customers: tuple[Customer, ...]
    products: tuple[Product, ...]
    orders: tuple[Order, ...]
    order_items: tuple[OrderItem, ...]
    support_tickets: tuple[SupportTicket, ...]
    reviews: tuple[Review, ...]
    inventory: tuple[StockLevel, ...]
    sessions: tuple[Visits, ...]
    calendar: tuple[CalendarDay, ...]
    contents: tuple[SampleContent, ...]
    incidents: tuple[PlantedIncident, ...]


@dataclass(frozen=True, slots=True)
class _Baskets:
    """Orders as they are placed: `placed` in seconds since the opening, ascending; lines name their order."""

    placed: np.ndarray
    forced: np.ndarray
    line_order: np.ndarray
    line_product: np.ndarray
    line_quantity: np.ndarray
    line_price: np.ndarray


def simulate(seed: int = DEFAULT_SEED, incidents: Sequence[PlantedIncident] | None = None) -> Shop:
    """The shop's year. `incidents` None stands for those of the seed (`planted_incidents`).

    What has not happened by the end of the year is not known: its times are None and its orders are on their way.
    """
    planted = planted_incidents(seed) if incidents is None else tuple(incidents)
    return _Simulation(seed, planted).run()


class _Simulation:
    """One run; each method makes the facts of one or two tables from those made before."""

    def __init__(self, seed: int, incidents: tuple[PlantedIncident, ...]) -> None:
        self.seed = seed
        self.incidents = {incident.kind: incident for incident in incidents}
        self.contents = dated_contents(seed, incidents)
        self.day_factor, self.price_factor = self._seasons()
        noise = self._rng("demand").normal(0, 0.06, DAYS)
        self.demand = ORDERS_A_DAY * self.day_factor * np.exp(noise)

    def run(self) -> Shop:
        """All facts."""
        baskets = self._baskets()
        orders, items = self._orders(baskets)
        customers = self._customers(orders)
        return Shop(
            seed=self.seed,
            customers=tuple(customers),
            products=tuple(
                Product(article.sku, article.name, article.category, Decimal(article.price), CURRENCY)
                for article in ARTICLES
            ),
            orders=tuple(orders),
            order_items=tuple(items),
            support_tickets=tuple(self._tickets(orders)),
            reviews=tuple(self._reviews(orders, items)),
            inventory=tuple(self._inventory(baskets)),
            sessions=tuple(self._sessions(baskets)),
            calendar=tuple(calendar_days()),
            contents=self.contents,
            incidents=tuple(self.incidents.values()),
        )

    def _rng(self, part: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *part.encode()])

    def _window(self, kind: Kind) -> tuple[float, float]:
        """From when to when, in seconds since the opening; an empty piece of time if it does not happen."""
        incident = self.incidents.get(kind)
        if incident is None:
            return (np.inf, np.inf)
        return (_seconds(incident.start), _seconds(incident.end))

    def _seasons(self) -> tuple[np.ndarray, np.ndarray]:
        days = [FIRST_DAY + timedelta(days=number) for number in range(DAYS)]
        factor = np.array([WEEKDAYS[day.weekday()] * MONTHS[day.month] for day in days])
        factor *= 1 + GROWTH * (np.arange(DAYS) / DAYS - 0.5)
        price = np.ones(DAYS)
        for season in SEASONS:
            inside = slice((season.first - FIRST_DAY).days, (season.last - FIRST_DAY).days + 1)
            factor[inside] *= season.factor
            price[inside] = season.price
        return factor, price

    # ------------------------------------------------------------------------------------------- orders

    def _baskets(self) -> _Baskets:
        rng = self._rng("baskets")
        placed = _moments(rng, rng.poisson(self.demand))
        forced = np.full(len(placed), -1)
        for kind, product, times in (
            ("price_error", "GR-HG48", self._bargain_hunters()),
            ("viral_praise", "DR-PO02", self._viewers()),
        ):
            if kind in self.incidents:
                placed = np.concatenate([placed, times])
                forced = np.concatenate([forced, np.full(len(times), SKUS.index(product))])
        by_time = np.argsort(placed, kind="stable")
        placed, forced = placed[by_time], forced[by_time]

        lines = np.where(forced >= 0, 1, 1 + rng.geometric(0.62, len(placed)) - 1)
        line_order = np.repeat(np.arange(len(placed)), lines)
        day = (placed[line_order] // DAY).astype(int)
        chances = np.cumsum(self._assortment(), axis=1)
        product = (rng.random(len(day))[:, None] > chances[day]).sum(axis=1)
        product = np.where(forced[line_order] >= 0, forced[line_order], product)
        quantity = 1 + (rng.random(len(day)) < 0.14) + (rng.random(len(day)) < 0.04) * rng.integers(1, 5, len(day))
        price = np.array([article.price for article in ARTICLES], float)[product] * self.price_factor[day]
        from_, to = self._window("price_error")
        bargain = (product == SKUS.index("GR-HG48")) & (placed[line_order] >= from_) & (placed[line_order] < to)
        price[bargain] /= 10
        quantity = np.where(bargain, rng.choice([1, 2, 3, 5], len(day), p=[0.55, 0.25, 0.1, 0.1]), quantity)
        return _Baskets(placed, forced, line_order, product, quantity, price)

    def _assortment(self) -> np.ndarray:
        """Chance of each product in a line of each day, shape (days, products)."""
        days = np.arange(DAYS)
        chance = np.zeros((DAYS, len(ARTICLES)))
        for column, article in enumerate(ARTICLES):
            since = (article.since - FIRST_DAY).days
            for incident in self.incidents.values():
                if incident.product == article.sku:
                    since = max(0, min(since, (incident.start.date() - FIRST_DAY).days - 60))
            on_sale = (days >= since) & (days <= (article.until - FIRST_DAY).days)
            chance[:, column] = article.demand * on_sale
        # The faulty batch went out during a promotion of that kettle.
        from_, _ = self._window("faulty_batch")
        if np.isfinite(from_):
            start = int(from_ // DAY)
            chance[max(start - 7, 0) : start + 11, SKUS.index("KT-EL08")] *= 1.6
        return chance / chance.sum(axis=1, keepdims=True)

    def _bargain_hunters(self) -> np.ndarray:
        """Orders of those who saw the wrong price, more of them as word spreads."""
        from_, to = self._window("price_error")
        if not np.isfinite(from_):
            return np.empty(0)
        return np.sort(from_ + (to - from_) * np.sqrt(self._rng("bargain").random(170)))

    def _viewers(self) -> np.ndarray:
        """Orders of those who saw the video: many at once, then fewer for weeks."""
        from_, to = self._window("viral_praise")
        if not np.isfinite(from_):
            return np.empty(0)
        rng = self._rng("viewers")
        days = int((to - from_) // DAY)
        daily = np.concatenate([95 * np.exp(-np.arange(days) / 9), 9 * np.exp(-np.arange(42) / 14)])
        times = from_ + _moments(rng, rng.poisson(daily))
        return times[times < END]

    def _orders(self, baskets: _Baskets) -> tuple[list[Order], list[OrderItem]]:
        rng = self._rng("orders")
        count, placed = len(baskets.placed), baskets.placed
        amount = np.bincount(baskets.line_order, baskets.line_quantity * baskets.line_price, count)
        bought = np.zeros((count, len(SKUS)), bool)
        bought[baskets.line_order, baskets.line_product] = True
        buyer = self._buyers(bought)
        home = _choose(self._rng("regions"), REGION_SHARES, buyer.max() + 1)
        overseas = REGIONS.index("overseas")

        failed = rng.random(count) < 0.025
        from_, to = self._window("payment_outage")
        failed |= (placed >= from_) & (placed < to) & (rng.random(count) < 0.85)

        approved = placed + rng.exponential(90, count)
        shipped = approved + rng.uniform(0.3, 1.1, count) * DAY
        # The warehouse rests on Sundays; the first day of the year is a Saturday.
        shipped += np.where((shipped // DAY).astype(int) % 7 == 1, DAY, 0)
        transit = rng.uniform(0.8, 2.2, count) * DAY + (home[buyer] == overseas) * rng.uniform(1, 2.5, count) * DAY
        slow = rng.random(count) < 0.035
        transit += slow * rng.uniform(3, 7, count) * DAY
        promised = (placed // DAY + 6 + 2 * (home[buyer] == overseas)) * DAY - 1
        from_, to = self._window("late_deliveries")
        stuck = (placed >= from_ - 4 * DAY) & (placed < to - 3 * DAY) & (rng.random(count) < 0.75)
        transit += stuck * rng.gamma(6, 0.9 * DAY, count)
        # Nothing could be sent before the second lot came.
        from_, to = self._window("viral_praise")
        waits = bought[:, SKUS.index("DR-PO02")] & (placed >= from_ + 1.5 * DAY) & (placed < to - 2 * DAY)
        second_lot = to - 2 * DAY if np.isfinite(to) else 0.0
        shipped = np.where(waits, np.maximum(shipped, second_lot + rng.uniform(0, 3, count) * DAY), shipped)
        promised = np.where(waits, np.maximum(promised, second_lot + 6 * DAY), promised)
        delivered = shipped + transit

        cancelled = rng.random(count) < 0.02
        cancelled |= stuck & (rng.random(count) < 0.12)
        from_, to = self._window("price_error")
        bargain = (baskets.forced == SKUS.index("GR-HG48")) & (placed >= from_) & (placed < to)
        kept = np.flatnonzero(bargain)[:19]
        cancelled |= bargain
        cancelled[kept] = False
        returned = rng.random(count) < 0.03
        from_, _ = self._window("faulty_batch")
        faulty = bought[:, SKUS.index("KT-EL08")] & (placed >= from_ - 7 * DAY) & (placed < from_ + 11 * DAY)
        returned |= faulty & (rng.random(count) < 0.6)
        sent_back = delivered + rng.uniform(2, 8, count) * DAY
        channel = _choose(rng, (0.62, 0.26, 0.12), count)

        orders = []
        for n in range(count):
            ready = shipped[n] <= END and not (failed[n] or cancelled[n])
            arrived = ready and delivered[n] <= END
            if failed[n]:
                status, payment = "cancelled", "failed"
            elif cancelled[n]:
                status, payment = "cancelled", "refunded"
            elif arrived and returned[n] and sent_back[n] <= END:
                status, payment = "returned", "refunded"
            else:
                status = "delivered" if arrived else "shipped" if ready else "processing"
                payment = "paid"
            orders.append(
                Order(
                    order_id=f"LL-{FIRST_ORDER + n}",
                    ordered_at=_instant(placed[n]),
                    status=status,
                    total_amount=_money(amount[n]),
                    currency=CURRENCY,
                    customer_id=f"C-{FIRST_CUSTOMER + buyer[n]}",
                    payment_status=payment,
                    approved_at=None if failed[n] else _instant(approved[n]),
                    shipped_at=_instant(shipped[n]) if ready else None,
                    delivered_at=_instant(delivered[n]) if arrived else None,
                    promised_at=_instant(promised[n]),
                    channel=ORDER_CHANNELS[channel[n]],
                )
            )
        self.buyer, self.home, self.bought, self.faulty = buyer, home, bought, faulty
        return orders, _lines(orders, baskets)

    def _buyers(self, bought: np.ndarray) -> np.ndarray:
        """Who places each order: newcomers, and people who come back, more often the more they have bought."""
        rng = self._rng("buyers")
        subscribes = bought[:, SUBSCRIPTIONS].any(axis=1)
        again = rng.random(len(bought)) < np.where(subscribes, 0.8, 0.42)
        pick = rng.random(len(bought))
        buyers = np.zeros(len(bought), int)
        newest = -1
        for n in range(len(bought)):
            if again[n] and n:
                # An earlier order chosen at random is likelier that of somebody who orders often; people stay
                # for about half a year.
                buyers[n] = buyers[int(n - 1 - pick[n] * min(n - 1, 7_000))]
            else:
                newest += 1
                buyers[n] = newest
        return buyers

    def _customers(self, orders: Sequence[Order]) -> list[Customer]:
        times = np.bincount(self.buyer)
        units = np.bincount(self.buyer, [float(order.total_amount) for order in orders]) / times
        subscribes = np.zeros(len(times), bool)
        subscribes[self.buyer[self.bought[:, SUBSCRIPTIONS].any(axis=1)]] = True
        gifts = np.zeros(len(times), bool)
        boxes = [index for index, article in enumerate(ARTICLES) if article.category == "gift boxes"]
        gifts[self.buyer[self.bought[:, boxes].any(axis=1)]] = True
        segment = np.select(
            [units > 8_000, subscribes & (times > 2), gifts & (times < 3), times > 1], [4, 3, 2, 1], 0
        )
        first = np.full(len(times), len(orders))
        np.minimum.at(first, self.buyer, np.arange(len(orders)))
        return [
            Customer(
                customer_id=f"C-{FIRST_CUSTOMER + n}",
                created_at=orders[first[n]].ordered_at,
                segment=SEGMENTS[segment[n]],
                region=REGIONS[self.home[n]],
            )
            for n in range(len(times))
        ]

    # ---------------------------------------------------------------------------------- what people say

    def _tickets(self, orders: Sequence[Order]) -> list[SupportTicket]:
        """Tickets with a text, which are contents, and those by telephone and chat without one."""
        rng = self._rng("tickets")
        office = np.array([1.25, 1.2, 1.1, 1.05, 1.0, 0.65, 0.7])
        weekday = (np.arange(DAYS) + FIRST_DAY.weekday()) % 7
        daily = 5.5 * office[weekday] * np.sqrt(self.day_factor)
        times = [_moments(rng, rng.poisson(daily), desk=True)]
        about = [np.full(len(times[0]), -1)]
        for kind, a_day in (
            ("late_deliveries", 7.0),
            ("payment_outage", 24.0),
            ("faulty_batch", 2.2),
            ("price_error", 36.0),
            ("viral_praise", 4.0),
            ("support_backlog", 4.5),
        ):
            incident = self.incidents.get(kind)
            if incident is not None:
                days = (incident.end - timedelta(microseconds=1)).date() - incident.start.date()
                first = (incident.start.date() - FIRST_DAY).days * DAY
                extra = first + _moments(rng, rng.poisson(np.full(days.days + 1, a_day)), desk=True)
                extra = extra[(extra >= _seconds(incident.start)) & (extra < END)]
                times.append(extra)
                about.append(np.full(len(extra), SKUS.index(incident.product) if incident.product else -1))
        asked, product = np.concatenate(times), np.concatenate(about)
        by_time = np.argsort(asked, kind="stable")
        asked, product = asked[by_time], product[by_time]
        customer = rng.integers(
            0, np.minimum(np.searchsorted([*map(_order_time, orders)], asked) + 1, len(orders))
        )
        channel = _choose(rng, (0.45, 0.25, 0.2, 0.1), len(asked))

        texts = [content for content in self.contents if content.kind == "ticket"]
        moments = np.concatenate([asked, [_seconds(content.created_at) for content in texts]])
        answered, resolved = self._answers(rng, moments)
        tickets = [
            SupportTicket(
                ticket_id=f"CALL-{n + 1:05}",
                created_at=_instant(asked[n]),
                first_response_at=_by_the_end(answered[n]),
                resolved_at=_by_the_end(resolved[n]),
                customer_id=orders[customer[n]].customer_id,
                product_id=SKUS[product[n]] if product[n] >= 0 else None,
                channel=TICKET_CHANNELS[channel[n]],
                status=_ticket_status(answered[n], resolved[n]),
            )
            for n in range(len(asked))
        ]
        for n, content in enumerate(texts, start=len(asked)):
            tickets.append(
                SupportTicket(
                    ticket_id=content.id,
                    created_at=content.created_at,
                    first_response_at=_by_the_end(answered[n]),
                    resolved_at=_by_the_end(resolved[n]),
                    product_id=content.product,
                    channel=content.channel,
                    status=_ticket_status(answered[n], resolved[n]),
                    content_source=CONTENT_SOURCE,
                    content_external_id=content.id,
                )
            )
        return sorted(tickets, key=lambda ticket: (ticket.created_at, ticket.ticket_id))

    def _answers(self, rng: np.random.Generator, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """When each ticket is first answered and when it is resolved."""
        minutes = np.exp(rng.normal(np.log(42), 0.5, len(asked)))
        from_, to = self._window("payment_outage")
        minutes = np.where((asked >= from_) & (asked < to), minutes * 1.6, minutes)
        from_, to = self._window("support_backlog")
        behind = (asked >= from_) & (asked < to)
        grown = np.clip((asked - from_) / DAY, 0, 4) if np.isfinite(from_) else 0.0
        minutes = np.where(behind, minutes * (8 + 3 * grown), minutes)
        answered = asked + 60 * minutes
        return answered, answered + np.exp(rng.normal(np.log(9 * HOUR), 0.8, len(asked)))

    def _reviews(self, orders: Sequence[Order], items: Sequence[OrderItem]) -> list[Review]:
        """Reviews with a text, which are contents, and mere stars."""
        rng = self._rng("reviews")
        first_line = {item.order_id: item.product_id for item in reversed(items)}
        count = len(orders)
        writes, stars, wait = rng.random(count), rng.random(count), rng.uniform(0.5, 6, count)
        viral_from, viral_to = self._window("viral_praise")
        error_from, error_to = self._window("price_error")
        reviews = []
        for n, order in enumerate(orders):
            chance, shares, moment, product = 0.09, STARS, order.delivered_at, first_line[order.order_id]
            placed = _seconds(order.ordered_at)
            if order.delivered_at is None:
                if not (order.status == "cancelled" and error_from <= placed < error_to and self._is_bargain(n)):
                    continue
                chance, shares, moment = 0.05, LATE_STARS, order.ordered_at
            elif self.faulty[n]:
                chance, shares, product = 0.45, LATE_STARS[:2], "KT-EL08"
                shares = (0.6, 0.4, 0.0, 0.0, 0.0)
            elif order.promised_at is not None and order.delivered_at > order.promised_at:
                chance, shares = 0.2, LATE_STARS
            elif self.bought[n, SKUS.index("DR-PO02")] and viral_from <= placed < viral_to:
                chance, shares, product = 0.12, HAPPY_STARS, "DR-PO02"
            if moment is None or writes[n] >= chance:
                continue
            written = moment + timedelta(days=float(wait[n]))
            if _seconds(written) >= END:
                continue
            reviews.append(
                Review(
                    review_id=f"STARS-{n + 1:05}",
                    created_at=written.replace(microsecond=0),
                    rating=Decimal(1 + int(np.searchsorted(np.cumsum(shares)[:4], stars[n]))),
                    customer_id=order.customer_id,
                    order_id=order.order_id,
                    product_id=product,
                )
            )
        reviews += [
            Review(
                review_id=content.id,
                created_at=content.created_at,
                rating=Decimal(content.rating),
                product_id=content.product,
                content_source=CONTENT_SOURCE,
                content_external_id=content.id,
            )
            for content in self.contents
            if content.rating is not None
        ]
        return sorted(reviews, key=lambda review: (review.created_at, review.review_id))

    def _is_bargain(self, order: int) -> bool:
        return bool(self.bought[order, SKUS.index("GR-HG48")])

    # --------------------------------------------------------------------------------- stock and visits

    def _inventory(self, baskets: _Baskets) -> list[StockLevel]:
        """Stock at the end of each day; a product is ordered anew in time, but for the video's."""
        sold = np.zeros((len(ARTICLES), DAYS), int)
        np.add.at(
            sold,
            (baskets.line_product, (baskets.placed[baskets.line_order] // DAY).astype(int)),
            baskets.line_quantity,
        )
        viral_from, viral_to = self._window("viral_praise")
        error_from, _ = self._window("price_error")
        levels = []
        for row, article in enumerate(ARTICLES):
            if not article.stocked:
                continue
            demand = sold[row].copy()
            if article.sku == "GR-HG48" and np.isfinite(error_from):
                # Nearly all orders of that morning were cancelled.
                demand[int(error_from // DAY)] = 19
            usual = max(3, int(np.ceil(np.median(demand[demand > 0]))))
            reorder_point, lot = 21 * usual, 45 * usual
            on_hand, arrivals = lot, np.zeros(DAYS + 10, int)
            for day in range(DAYS):
                on_hand += int(arrivals[day])
                viral = article.sku == "DR-PO02" and viral_from <= day * DAY < viral_to
                on_hand = max(0, on_hand - int(demand[day]))
                if not viral and on_hand < reorder_point and not arrivals[day + 1 : day + 8].any():
                    arrivals[day + 7] = lot + int(demand[max(day - 6, 0) : day + 1].sum())
                if viral and day * DAY >= viral_to - 3 * DAY:
                    arrivals[day + 1] = lot * 3 if not arrivals[day - 1 : day + 1].any() else 0
                levels.append(StockLevel(article.sku, FIRST_DAY + timedelta(days=day), on_hand, reorder_point))
        return levels

    def _sessions(self, baskets: _Baskets) -> list[Visits]:
        """Visits and checkouts by hour and channel, and how fast the shop's programs answer."""
        rng = self._rng("sessions")
        hours = np.arange(DAYS * 24)
        share = HOURS / HOURS.sum()
        visits = np.repeat(self.demand * np.exp(rng.normal(0, 0.04, DAYS)), 24) * np.tile(share, DAYS) / 0.024
        placed = np.bincount((baskets.placed // HOUR).astype(int), minlength=DAYS * 24).astype(float)
        viewers = np.bincount((self._viewers() // HOUR).astype(int), minlength=DAYS * 24)
        bargains = np.bincount((self._bargain_hunters() // HOUR).astype(int), minlength=DAYS * 24)
        visits = visits + 55 * viewers + 9 * bargains
        response = 180 * np.exp(rng.normal(0, 0.08, DAYS * 24)) * (1 + 0.25 * np.tile(share / share.max(), DAYS))
        checkouts = 1.55 * placed
        from_, to = self._window("payment_outage")
        outage = ((hours + 1) * HOUR > from_) & (hours * HOUR < to)
        checkouts = np.where(outage, 3.2 * placed, checkouts)
        response = np.where(outage, response * 6, response)
        rows = []
        for channel, part in (("web", 0.7), ("app", 0.3)):
            seen = rng.poisson(visits * part)
            tried = np.minimum(rng.poisson(checkouts * part), seen)
            mean = response * (1.0 if channel == "web" else 0.85)
            rows += [
                Visits(
                    started_at=_instant(hour * HOUR),
                    visits=int(seen[hour]),
                    channel=channel,
                    checkouts=int(tried[hour]),
                    api_requests=int(seen[hour]) * 14,
                    api_response_ms=Decimal(f"{mean[hour]:.3f}"),
                )
                for hour in range(DAYS * 24)
            ]
        return rows


def _lines(orders: Sequence[Order], baskets: _Baskets) -> list[OrderItem]:
    place = np.arange(len(baskets.line_order)) - np.searchsorted(baskets.line_order, baskets.line_order)
    return [
        OrderItem(
            order_id=orders[order].order_id,
            line_number=int(number) + 1,
            product_id=SKUS[product],
            quantity=int(quantity),
            unit_price=_money(price),
        )
        for order, number, product, quantity, price in zip(
            baskets.line_order, place, baskets.line_product, baskets.line_quantity, baskets.line_price, strict=True
        )
    ]


def _moments(rng: np.random.Generator, daily: np.ndarray, *, desk: bool = False) -> np.ndarray:
    """So many instants on each day, ascending, in seconds; at the hours of the desk (8 to 22), or of shopping."""
    day = np.repeat(np.arange(len(daily)), daily)
    weights = np.where((np.arange(24) >= 8) & (np.arange(24) < 22), HOURS, 0) if desk else HOURS
    hour = rng.choice(24, len(day), p=weights / weights.sum())
    return np.sort(day * DAY + hour * HOUR + rng.integers(0, HOUR, len(day)))


def _choose(rng: np.random.Generator, shares: Sequence[float], count: int) -> np.ndarray:
    return rng.choice(len(shares), count, p=np.array(shares) / sum(shares))


def _instant(seconds: float) -> datetime:
    return OPENING + timedelta(seconds=int(seconds))


def _by_the_end(seconds: float) -> datetime | None:
    return _instant(seconds) if seconds < END else None


def _seconds(moment: datetime) -> float:
    return (moment - OPENING).total_seconds()


def _order_time(order: Order) -> float:
    return _seconds(order.ordered_at)


def _money(amount: float) -> Decimal:
    return Decimal(f"{amount:.0f}")


def _ticket_status(answered: float, resolved: float) -> str:
    return "open" if answered >= END else "answered" if resolved >= END else "resolved"
