"""Which rows of `raw` moved a metric: for each metric the question to ask, and how to say the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import Connection, sql

from tagging_orchestration.core.business.evidence import RowEvidence

MOST_ROWS = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """Where facts of an alert's days are: the table's name, the FROM clause, and what makes a row one of them."""

    table: str
    rows: LiteralString
    scope: LiteralString


@dataclass(frozen=True, slots=True)
class RowQuestion:
    """Which facts moved a metric: `figures` are an id and two values for the words, `order` puts the most telling
    first."""

    facts: Facts
    why: str
    why_zh: str
    figures: LiteralString
    order: LiteralString
    condition: LiteralString = "true"

    @property
    def query(self) -> sql.Composed:
        """The whole query; its parameters are those of `moving_rows`."""
        return sql.SQL(
            "SELECT {figures} FROM {rows} WHERE {scope} AND {condition} ORDER BY {order} LIMIT %(rows)s"
        ).format(
            figures=sql.SQL(self.figures),
            rows=sql.SQL(self.facts.rows),
            scope=sql.SQL(self.facts.scope),
            condition=sql.SQL(self.condition),
            order=sql.SQL(self.order),
        )


# Indexes: orders_ordered_at, orders_delivered_at, order_items_product, support_tickets_created_at,
# reviews_created_at, inventory_day, and the primary keys.
ORDERED = Facts(
    "raw.orders",
    "raw.orders AS o",
    """
    o.organization_id = %(organization)s AND o.ordered_at >= %(starts_at)s AND o.ordered_at < %(ends_at)s
    AND (
        %(products)s::text[] IS NULL OR EXISTS (
            SELECT
            FROM raw.order_items AS i
            WHERE
                i.organization_id = o.organization_id AND i.order_id = o.order_id
                AND i.product_id = ANY (%(products)s::text[])
        )
    )
    """,
)
OPEN = Facts(
    "raw.orders",
    "raw.orders AS o",
    "o.organization_id = %(organization)s AND o.ordered_at < %(ends_at)s"
    " AND o.status IN ('created', 'approved', 'processing')",
)
DELIVERED = Facts(
    "raw.orders",
    "raw.orders AS o",
    "o.organization_id = %(organization)s AND o.delivered_at >= %(starts_at)s AND o.delivered_at < %(ends_at)s",
)
LINES = Facts(
    "raw.order_items",
    """
    raw.orders AS o
    JOIN raw.order_items AS l ON l.organization_id = o.organization_id AND l.order_id = o.order_id
    JOIN raw.products AS p ON p.organization_id = l.organization_id AND p.product_id = l.product_id
    """,
    """
    o.organization_id = %(organization)s AND o.ordered_at >= %(starts_at)s AND o.ordered_at < %(ends_at)s
    AND (%(products)s::text[] IS NULL OR l.product_id = ANY (%(products)s::text[]))
    """,
)
TICKETS = Facts(
    "raw.support_tickets",
    "raw.support_tickets AS t",
    """
    t.organization_id = %(organization)s AND t.created_at >= %(starts_at)s AND t.created_at < %(ends_at)s
    AND (%(products)s::text[] IS NULL OR t.product_id = ANY (%(products)s::text[]))
    """,
)
REVIEWS = Facts(
    "raw.reviews",
    "raw.reviews AS r",
    """
    r.organization_id = %(organization)s AND r.created_at >= %(starts_at)s AND r.created_at < %(ends_at)s
    AND (%(products)s::text[] IS NULL OR r.product_id = ANY (%(products)s::text[]))
    """,
)
STOCK = Facts(
    "raw.inventory",
    "raw.inventory AS v",
    """
    v.organization_id = %(organization)s AND v.day BETWEEN %(first_day)s AND %(last_day)s
    AND (%(products)s::text[] IS NULL OR v.product_id = ANY (%(products)s::text[]))
    """,
)
SESSIONS = Facts(
    "raw.sessions",
    "raw.sessions AS s",
    "s.organization_id = %(organization)s AND s.started_at >= %(starts_at)s AND s.started_at < %(ends_at)s",
)

_MONEY: LiteralString = "o.order_id, o.total_amount, o.currency"
_DEAREST: LiteralString = "o.total_amount DESC, o.order_id"

FAILED_PAYMENTS = RowQuestion(
    ORDERED,
    "a payment of {0} {1} failed",
    "一筆 {0} {1} 的付款失敗",
    _MONEY,
    _DEAREST,
    "o.payment_status = 'failed'",
)
LOST_ORDERS = RowQuestion(
    ORDERED,
    "an order of {0} {1} was lost: not paid, or cancelled",
    "流失一筆 {0} {1} 的訂單：未付款或已取消",
    _MONEY,
    _DEAREST,
    "(o.payment_status = 'failed' OR o.status IN ('cancelled', 'unavailable'))",
)
LARGEST_ORDERS = RowQuestion(
    ORDERED,
    "one of the largest orders: {0} {1}",
    "金額最高的訂單之一：{0} {1}",
    _MONEY,
    _DEAREST,
    "o.status NOT IN ('cancelled', 'unavailable') AND o.payment_status IS DISTINCT FROM 'failed'",
)
RETURNED_ORDERS = RowQuestion(
    ORDERED,
    "an order of {0} {1} was returned or refunded",
    "一筆 {0} {1} 的訂單已退貨或退款",
    _MONEY,
    _DEAREST,
    "(o.status = 'returned' OR o.payment_status = 'refunded')",
)
PENDING_ORDERS = RowQuestion(
    OPEN,
    "waiting since {0}",
    "自 {0} 起仍在等待處理",
    "o.order_id, analytics.business_day(o.ordered_at, o.organization_id), NULL",
    "o.ordered_at, o.order_id",
)
LATE_DELIVERIES = RowQuestion(
    DELIVERED,
    "delivered {0} days after the promised time",
    "比承諾時間晚 {0} 天送達",
    "o.order_id, round(extract(epoch FROM o.delivered_at - o.promised_at) / 86400, 1), NULL",
    "o.delivered_at - o.promised_at DESC, o.order_id",
    "o.delivered_at > o.promised_at",
)
SLOW_DELIVERIES = RowQuestion(
    DELIVERED,
    "took {0} days from order to delivery",
    "從下單到送達花了 {0} 天",
    "o.order_id, round(extract(epoch FROM o.delivered_at - o.ordered_at) / 86400, 1), NULL",
    "o.delivered_at - o.ordered_at DESC, o.order_id",
)
ODD_PRICES = RowQuestion(
    LINES,
    "sold at {0}, the list price is {1}",
    "以 {0} 售出，定價為 {1}",
    "l.order_id || ':' || l.line_number, l.unit_price, p.list_price",
    "abs(l.unit_price / p.list_price - 1) DESC, l.order_id, l.line_number",
    "p.list_price > 0 AND l.unit_price <> p.list_price AND coalesce(p.currency, o.currency) = o.currency",
)
LARGEST_LINES = RowQuestion(
    LINES,
    "{0} units in one order",
    "單筆訂單購買 {0} 件",
    "l.order_id || ':' || l.line_number, l.quantity, NULL",
    "l.quantity DESC, l.unit_price DESC, l.order_id, l.line_number",
)
SLOW_ANSWERS = RowQuestion(
    TICKETS,
    "no answer for {0} hours",
    "{0} 小時未獲回覆",
    "t.ticket_id,"
    " round(extract(epoch FROM coalesce(t.first_response_at, %(ends_at)s) - t.created_at) / 3600, 1), NULL",
    "coalesce(t.first_response_at, %(ends_at)s) - t.created_at DESC, t.ticket_id",
)
ALL_TICKETS = RowQuestion(
    TICKETS,
    "one of the tickets of these days",
    "這段期間的客服單之一",
    "t.ticket_id, NULL, NULL",
    "t.content_external_id IS NULL, t.created_at, t.ticket_id",
)
LOW_RATINGS = RowQuestion(
    REVIEWS,
    "rated {0} of 5",
    "評分 {0}（滿分 5）",
    "r.review_id, r.rating, NULL",
    "r.rating, r.content_external_id IS NULL, r.created_at, r.review_id",
)
HIGH_RATINGS = replace(
    LOW_RATINGS, order="r.rating DESC, r.content_external_id IS NULL, r.created_at, r.review_id"
)
SOLD_OUT = RowQuestion(
    STOCK,
    "nothing left of {0} on {1}",
    "{0} 於 {1} 缺貨",
    "v.product_id || ':' || v.day, v.product_id, v.day",
    "v.day, v.product_id",
    "v.on_hand = 0",
)
VISITS = RowQuestion(
    SESSIONS,
    "{0} visits, {1} of them went to the checkout",
    "{0} 次造訪，其中 {1} 次進入結帳",
    "s.started_at::text || '|' || s.channel, s.visits, coalesce(s.checkouts, 0)",
    "s.visits DESC, s.started_at, s.channel",
)
SLOW_REQUESTS = RowQuestion(
    SESSIONS,
    "{0} ms a request on average",
    "平均每次請求 {0} 毫秒",
    "s.started_at::text || '|' || s.channel, round(s.api_response_ms), NULL",
    "s.api_response_ms DESC, s.started_at, s.channel",
    "s.api_response_ms IS NOT NULL",
)

# What to ask by metric, for a rise and for a fall.
QUESTIONS = {
    "daily_revenue": (LARGEST_ORDERS, LOST_ORDERS),
    "daily_orders": (LARGEST_ORDERS, LOST_ORDERS),
    "average_order_value": (LARGEST_ORDERS, LOST_ORDERS),
    "active_customers": (LARGEST_ORDERS, LOST_ORDERS),
    "high_value_customers": (LARGEST_ORDERS, LOST_ORDERS),
    "revenue_trend_pct": (LARGEST_ORDERS, LOST_ORDERS),
    "customer_trend_pct": (LARGEST_ORDERS, LOST_ORDERS),
    "order_completion_rate": (LARGEST_ORDERS, LOST_ORDERS),
    "pending_orders": (PENDING_ORDERS, PENDING_ORDERS),
    "payment_failure_rate": (FAILED_PAYMENTS, FAILED_PAYMENTS),
    "late_delivery_rate": (LATE_DELIVERIES, LATE_DELIVERIES),
    "average_delivery_days": (SLOW_DELIVERIES, SLOW_DELIVERIES),
    "efficiency_trend_pct": (SLOW_DELIVERIES, SLOW_DELIVERIES),
    "return_rate": (RETURNED_ORDERS, RETURNED_ORDERS),
    "price_deviation": (ODD_PRICES, ODD_PRICES),
    "units_sold": (LARGEST_LINES, LARGEST_LINES),
    "avg_response_time": (SLOW_ANSWERS, SLOW_ANSWERS),
    "ticket_volume": (ALL_TICKETS, ALL_TICKETS),
    "customer_satisfaction_rate": (HIGH_RATINGS, LOW_RATINGS),
    "bad_reviews": (LOW_RATINGS, LOW_RATINGS),
    "review_volume": (HIGH_RATINGS, LOW_RATINGS),
    "api_response_time": (SLOW_REQUESTS, SLOW_REQUESTS),
    "conversion_rate": (VISITS, VISITS),
    "visits": (VISITS, VISITS),
    "stockouts": (SOLD_OUT, SOLD_OUT),
}


def moving_rows(
    connection: Connection,
    organization_id: str,
    metric_name: str,
    dimension: str,
    direction: str,
    first_day: date,
    last_day: date,
) -> tuple[RowEvidence, ...]:
    """The rows of these business days that moved the metric most; none for metrics that no single row moves."""
    kind, _, value = dimension.partition(":")
    if metric_name not in QUESTIONS or kind not in ("all", "product", "category"):
        return ()
    rise, fall = QUESTIONS[metric_name]
    question = fall if direction == "down" else rise
    starts_at, ends_at, products = connection.execute(
        """
        SELECT
            %(first_day)s::timestamp AT TIME ZONE b.timezone,
            (%(last_day)s::date + 1)::timestamp AT TIME ZONE b.timezone,
            CASE %(kind)s
                WHEN 'product' THEN ARRAY[%(value)s::text]
                WHEN 'category' THEN ARRAY(
                    SELECT p.product_id
                    FROM raw.products AS p
                    WHERE p.organization_id = %(organization)s AND p.category = %(value)s
                )
            END
        FROM (
            SELECT coalesce(max(timezone), 'UTC') AS timezone
            FROM analytics.business_profile
            WHERE organization_id = %(organization)s
        ) AS b
        """,
        {
            "organization": organization_id,
            "first_day": first_day,
            "last_day": last_day,
            "kind": kind,
            "value": value,
        },
    ).fetchone() or (None, None, None)
    rows = connection.execute(
        question.query,
        {
            "organization": organization_id,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "first_day": first_day,
            "last_day": last_day,
            "products": products,
            "rows": MOST_ROWS,
        },
    )
    return tuple(
        RowEvidence(
            question.facts.table,
            id,
            question.why.format(*map(_said, figures)),
            question.why_zh.format(*map(_said, figures)),
        )
        for id, *figures in rows
    )


def _said(figure: Any) -> str:
    """A figure as people write it: no zeros behind the point, thousands apart."""
    if isinstance(figure, Decimal):
        return f"{figure:,.2f}".rstrip("0").rstrip(".")
    return f"{figure:,}" if isinstance(figure, int) else str(figure)
