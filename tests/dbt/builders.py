"""A small tea shop in Taipei whose every number can be worked out again by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from psycopg import Connection

TAIPEI = ZoneInfo("Asia/Taipei")
FIRST, DAYS = date(2024, 1, 1), 210
LAST = FIRST + timedelta(days=DAYS - 1)
OUTAGE = date(2024, 6, 12)
PRICE_ERROR = date(2024, 5, 8)
TEA, POT = "tea", "壺"


@dataclass(frozen=True, slots=True)
class Order:
    """An order of one line."""

    id: str
    customer: str
    at: datetime
    status: str
    payment: str
    currency: str
    product: str
    quantity: int
    price: int
    delivered_at: datetime | None

    @property
    def day(self) -> date:
        return self.at.astimezone(TAIPEI).date()

    @property
    def amount(self) -> int:
        return self.quantity * self.price

    @property
    def is_sale(self) -> bool:
        return self.status not in ("cancelled", "unavailable") and self.payment != "failed"


def orders() -> Iterator[Order]:
    """Four to six orders a day; on the day of the outage 30, of which most payments fail."""
    chance = random.Random(7)
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        outage = day == OUTAGE
        for place in range(30 if outage else 4 + number % 3):
            at = datetime(day.year, day.month, day.day, 0, 30, tzinfo=TAIPEI) + timedelta(minutes=45 * place)
            product = chance.choice([TEA, TEA, POT])
            failed = outage and place % 5 != 0
            cancelled = not failed and chance.random() < 0.04
            delivered = at + timedelta(days=chance.randint(1, 4))
            arrived = delivered.date() <= LAST
            yield Order(
                id=f"{day}-{place}",
                # The circle of customers changes slowly, so that some of them leave.
                customer=f"c{chance.randint(number // 3, number // 3 + 60)}",
                at=at,
                status="cancelled"
                if cancelled
                else "created"
                if failed
                else "delivered"
                if arrived
                else "shipped",
                payment="failed" if failed else "paid",
                currency="USD" if place == 3 and number % 50 == 0 else "TWD",
                product=product,
                quantity=chance.randint(1, 3),
                price=(90 if day == PRICE_ERROR else 900) if product == POT else 250,
                delivered_at=delivered if arrived and not failed and not cancelled else None,
            )


def load_shop(connection: Connection) -> list[Order]:
    """Fill `raw` and the contents, and return the orders."""
    rows = list(orders())
    connection.execute(
        "INSERT INTO analytics.business_profile (timezone, currency, locale, opens_at, closes_at)"
        " VALUES ('Asia/Taipei', 'TWD', 'zh-Hant', '09:00', '18:00')"
    )
    connection.execute(
        "INSERT INTO raw.products (product_id, name, category, list_price, currency)"
        " VALUES ('tea', 'Oolong', '茶葉', 250, 'TWD'), ('壺', '手沖壺', '器具', 900, 'TWD')"
    )
    with connection.cursor().copy(
        "COPY raw.orders (order_id, customer_id, ordered_at, status, payment_status, total_amount, currency,"
        " delivered_at, promised_at) FROM STDIN"
    ) as copy:
        for o in rows:
            promised = o.at + timedelta(days=3)
            copy.write_row(
                (o.id, o.customer, o.at, o.status, o.payment, o.amount, o.currency, o.delivered_at, promised)
            )
    with connection.cursor().copy(
        "COPY raw.order_items (order_id, line_number, product_id, quantity, unit_price) FROM STDIN"
    ) as copy:
        for o in rows:
            copy.write_row((o.id, 1, o.product, o.quantity, o.price))
    connection.execute(
        """
        INSERT INTO raw.support_tickets (ticket_id, created_at, first_response_at)
        SELECT d::date || '-' || n, d + make_interval(hours => 9 + n), d + make_interval(hours => 10 + 2 * n)
        FROM generate_series('2024-01-01 00:00+08'::timestamptz, '2024-07-28 00:00+08', '1 day') AS d,
            generate_series(0, 1) AS n
        """
    )
    connection.execute(
        """
        INSERT INTO raw.sessions (started_at, visits, api_requests, api_response_ms)
        SELECT d, 200, 1000, CASE WHEN d::date = '2024-06-12' THEN 3500 ELSE 120 END
        FROM generate_series('2024-01-01 12:00+08'::timestamptz, '2024-07-28 12:00+08', '1 day') AS d
        """
    )
    connection.execute(
        """
        INSERT INTO raw.inventory (product_id, day, on_hand, reorder_point)
        SELECT p, d::date, CASE WHEN p = '壺' AND d >= '2024-07-27' THEN 0 ELSE 40 END, 10
        FROM generate_series('2024-01-01'::date, '2024-07-28', '1 day') AS d, unnest(ARRAY['tea', '壺']) AS p
        """
    )
    connection.execute(
        "INSERT INTO raw.calendar (day, event_type, name, name_zh)"
        " VALUES ('2024-06-10', 'holiday', 'Dragon Boat Festival', '端午節')"
    )
    connection.execute(
        """
        WITH texts AS (
            INSERT INTO tagging.contents (source, external_id, title, created_at)
            SELECT 'sample', d::date || '-' || n, '付款', d
            FROM generate_series('2024-01-01 12:00+08'::timestamptz, '2024-07-28 12:00+08', '1 day') AS d,
                generate_series(1, CASE WHEN d::date = '2024-06-12' THEN 8 ELSE 1 END) AS n
            RETURNING id, created_at
        ), tag AS (
            INSERT INTO tagging.tags (name, normal_form) VALUES ('付款失敗', '付款失敗') RETURNING id
        )
        INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)
        SELECT texts.id, tag.id, 0.9, 0.9, 'keyphrase', 'machine'
        FROM texts, tag
        WHERE texts.created_at::date = '2024-06-12' OR extract(day FROM texts.created_at) = 1
        """
    )
    return rows
