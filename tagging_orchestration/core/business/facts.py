"""The facts of a business: one dataclass a table of `raw`, with what each column may hold.

Amounts are in the currency beside them, times are instants, and None is "not known". The loader validates rows
against these types (pydantic); whoever makes facts in Python, as the demo does, just builds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from pydantic import Field, StringConstraints

from tagging_orchestration.core.business.currencies import CURRENCIES

Identifier = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
Money = Annotated[Decimal, Field(ge=0, lt=10**14)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
OrderStatus = Literal[
    "created", "approved", "processing", "shipped", "delivered", "cancelled", "returned", "unavailable"
]
PaymentStatus = Literal["pending", "paid", "failed", "refunded"]
EventType = Literal["holiday", "promotion", "maintenance", "closed"]

# Clocks differ and time zones are forgotten; what lies further ahead than this has not happened.
FUTURE_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who buys."""

    customer_id: Identifier
    created_at: datetime | None = None
    segment: Text | None = None
    region: Text | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """Something sold; `list_price` is what it costs without any promotion."""

    product_id: Identifier
    name: Text
    category: Text | None = None
    list_price: Money | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One order as it stands. `promised_at` is the delivery promised to the customer; later is late."""

    order_id: Identifier
    ordered_at: datetime
    status: OrderStatus
    total_amount: Money
    currency: str
    customer_id: Identifier | None = None
    payment_status: PaymentStatus | None = None
    approved_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    promised_at: datetime | None = None
    channel: Text | None = None


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One line of an order; `unit_price` is in the order's currency."""

    order_id: Identifier
    line_number: Annotated[int, Field(ge=0, lt=2**31)]
    product_id: Identifier
    quantity: Annotated[int, Field(gt=0, lt=2**31)]
    unit_price: Money


@dataclass(frozen=True, slots=True)
class SupportTicket:
    """Somebody asks for help. `content_source` and `content_external_id` name the content with its text."""

    ticket_id: Identifier
    created_at: datetime
    first_response_at: datetime | None = None
    resolved_at: datetime | None = None
    customer_id: Identifier | None = None
    order_id: Identifier | None = None
    product_id: Identifier | None = None
    channel: Text | None = None
    status: Text | None = None
    content_source: Text | None = None
    content_external_id: Identifier | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A rating of 1 to 5 stars, with or without a text."""

    review_id: Identifier
    created_at: datetime
    rating: Annotated[Decimal, Field(ge=1, le=5)]
    customer_id: Identifier | None = None
    order_id: Identifier | None = None
    product_id: Identifier | None = None
    content_source: Text | None = None
    content_external_id: Identifier | None = None


@dataclass(frozen=True, slots=True)
class StockLevel:
    """Units of a product in the warehouse at the end of a day."""

    product_id: Identifier
    day: date
    on_hand: Count
    reorder_point: Count | None = None


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits of one channel in a piece of time that begins at `started_at`; `api_response_ms` is the mean."""

    started_at: datetime
    visits: Count
    channel: Text = "web"
    checkouts: Count | None = None
    api_requests: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    api_response_ms: Annotated[Decimal, Field(ge=0, lt=10**9)] | None = None


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day that is not like others."""

    day: date
    event_type: EventType
    name: Text
    name_zh: Text | None = None


Fact = Customer | Product | Order | OrderItem | SupportTicket | Review | StockLevel | Visits | CalendarDay


@dataclass(frozen=True, slots=True)
class FactTable:
    """A table of `raw`: what its rows are, what tells them apart, and when they happen."""

    name: str
    row: type[Fact]
    key: tuple[str, ...]
    day: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        return tuple(field.name for field in fields(self.row))

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that every row must fill."""
        return tuple(field.name for field in fields(self.row) if field.default is MISSING)

    @property
    def closed(self) -> frozenset[str]:
        """Columns that hold one of a few words."""
        hints = get_type_hints(self.row)
        return frozenset(
            name for name, hint in hints.items() if Literal in {get_origin(hint), *map(get_origin, get_args(hint))}
        )


# In the order in which they are loaded: what others point to comes first. `day` is the column whose days a living
# business fills without a gap.
TABLES: Mapping[str, FactTable] = {
    table.name: table
    for table in (
        FactTable("customers", Customer, ("customer_id",)),
        FactTable("products", Product, ("product_id",)),
        FactTable("orders", Order, ("order_id",), "ordered_at"),
        FactTable("order_items", OrderItem, ("order_id", "line_number")),
        FactTable("support_tickets", SupportTicket, ("ticket_id",)),
        FactTable("reviews", Review, ("review_id",)),
        FactTable("inventory", StockLevel, ("product_id", "day"), "day"),
        FactTable("sessions", Visits, ("started_at", "channel"), "started_at"),
        FactTable("calendar", CalendarDay, ("day", "event_type", "name")),
    )
}

# Times that follow each other: none may lie before the first one of its row.
_BEGINNINGS = {
    Order: ("ordered_at", ("approved_at", "shipped_at", "delivered_at")),
    SupportTicket: ("created_at", ("first_response_at", "resolved_at")),
}
_PLANS = {"promised_at"}


@dataclass(frozen=True, slots=True)
class FactRow:
    """A fact with its place in a source. Of two rows about one thing the later `updated_at` wins, else the later
    row."""

    row_number: int
    fact: Fact
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A column whose value cannot be true beside the rest of its row, or of the world."""

    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class TableLoad:
    """What one load of one table of `raw` did. `rows_read` is inserted + updated + unchanged + rejected;
    `collapsed` of the unchanged were identical rows of one file, and `left_out` rows were not asked for. `remarks`
    say what a person should know though nothing is wrong with the rows: missing days, currencies, guessed
    columns."""

    table: str
    location: str
    rows_read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    collapsed: int = 0
    left_out: int = 0
    remarks: tuple[str, ...] = ()
    skipped_unchanged_source: bool = False
    load_id: int | None = None


FIRST_YEAR = 1980


def contradictions(fact: Fact, now: datetime) -> Iterator[Contradiction]:
    """What cannot be true of a fact at the instant `now`: a future that has happened already, a time before
    computers kept books (spreadsheets' zero is 1899, Unix's 1970), an end before its beginning, a currency that
    does not exist."""
    limit = now + FUTURE_TOLERANCE
    for column in type(fact).__dataclass_fields__:
        value = getattr(fact, column)
        if isinstance(value, datetime):
            if column not in _PLANS and value > limit:
                yield Contradiction(column, f"{value.isoformat()} is in the future")
            if value.year < FIRST_YEAR:
                yield Contradiction(column, f"{value.isoformat()} is before {FIRST_YEAR}")
        elif isinstance(value, date) and not isinstance(fact, CalendarDay) and value > limit.date():
            yield Contradiction(column, f"{value} is in the future")
    beginning, others = _BEGINNINGS.get(type(fact), ("", ()))
    for column in others:
        moment, first = getattr(fact, column), getattr(fact, beginning)
        if moment is not None and moment < first:
            yield Contradiction(column, f"{moment.isoformat()} is before {beginning} ({first.isoformat()})")
    if isinstance(fact, Order | Product) and fact.currency is not None and fact.currency not in CURRENCIES:
        yield Contradiction("currency", f"{fact.currency!r} is no currency of ISO 4217")
