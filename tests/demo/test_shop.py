"""The simulated shop: the same year for the same seed, facts that can be true, and incidents that show in them."""

from collections import Counter
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from pydantic import TypeAdapter

from tagging_orchestration.core.business.facts import TABLES, contradictions
from tagging_orchestration.demo.catalogue import ARTICLES, DAYS, FIRST_DAY, LAST_DAY
from tagging_orchestration.demo.contents import sample_documents
from tagging_orchestration.demo.incidents import (
    CALM_DAYS,
    OPENING_DAYS,
    SAMPLE_INCIDENTS,
    TIMEZONE,
    planted_incidents,
)
from tagging_orchestration.demo.shop import END, OPENING, Shop, simulate

AFTER = OPENING + timedelta(seconds=END)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return simulate()


@pytest.fixture(scope="module")
def calm() -> Shop:
    """The same year without any incident."""
    return simulate(incidents=[])


def incident(shop: Shop, kind: str):
    return next(item for item in shop.incidents if item.kind == kind)


def inside(shop: Shop, kind: str, moment: datetime) -> bool:
    planted = incident(shop, kind)
    return planted.start <= moment < planted.end


def test_the_same_seed_gives_the_same_year(shop: Shop):
    assert simulate() == shop
    assert simulate(8).orders != shop.orders


@pytest.mark.parametrize("name", TABLES)
def test_facts_are_what_the_loader_would_take_and_their_keys_differ(shop: Shop, name: str):
    table = TABLES[name]
    facts = getattr(shop, name)
    adapter = TypeAdapter(table.row)
    for fact in facts:
        assert adapter.validate_python(dict(zip(table.columns, astuple(fact), strict=True))) == fact
        assert not list(contradictions(fact, AFTER))
    keys = Counter(tuple(getattr(fact, column) for column in table.key) for fact in facts)
    assert facts
    assert max(keys.values()) == 1


def test_nothing_lies_outside_the_year(shop: Shop):
    moments = [order.ordered_at for order in shop.orders]
    assert moments == sorted(moments)
    for order in shop.orders:
        for moment in (order.ordered_at, order.approved_at, order.shipped_at, order.delivered_at):
            assert moment is None or OPENING <= moment <= AFTER
    for row in (*shop.support_tickets, *shop.reviews):
        assert OPENING <= row.created_at < AFTER
    assert {level.day for level in shop.inventory} == {
        FIRST_DAY + timedelta(days=number) for number in range(DAYS)
    }


def test_references_resolve_and_totals_are_those_of_the_lines(shop: Shop):
    orders = {order.order_id: order for order in shop.orders}
    customers = {customer.customer_id for customer in shop.customers}
    products = {product.product_id for product in shop.products}
    totals: Counter[str] = Counter()
    for item in shop.order_items:
        assert item.product_id in products
        totals[item.order_id] += int(item.quantity * item.unit_price)
    for order in shop.orders:
        assert order.customer_id in customers
        assert order.total_amount == totals[order.order_id]
    for review in shop.reviews:
        assert review.order_id is None or review.order_id in orders
    for row in (*shop.reviews, *shop.support_tickets):
        assert row.product_id is None or row.product_id in products


def test_tickets_and_reviews_of_the_sample_name_their_contents(shop: Shop):
    documents = {document["id"]: document for document in sample_documents()}
    for kind, rows in (("ticket", shop.support_tickets), ("review", shop.reviews)):
        linked = {row.content_external_id: row for row in rows if row.content_external_id}
        assert set(linked) == {key for key, document in documents.items() if document["kind"] == kind}
        for key, row in linked.items():
            assert row.content_source == "sample"
            assert row.created_at == datetime.fromisoformat(documents[key]["created_at"])
            assert row.product_id == documents[key].get("product_sku")
    assert {item.kind for item in shop.contents} == {"ticket", "review", "article", "product"}
    assert all(
        review.rating == Decimal(documents[review.review_id]["rating"])
        for review in shop.reviews
        if review.content_source
    )


def test_every_week_has_its_shape_and_promotions_stand_out(calm: Shop):
    daily = Counter(order.ordered_at.date() for order in calm.orders)
    weekday = [np.mean([n for day, n in daily.items() if day.weekday() == number]) for number in range(7)]
    assert weekday[0] > weekday[5]
    assert daily[date(2025, 11, 11)] > 1.7 * np.median(list(daily.values()))
    assert daily[date(2026, 2, 17)] < 0.75 * np.median(list(daily.values()))
    assert len({event.day for event in calm.calendar}) > 40
    repeat = Counter(order.customer_id for order in calm.orders)
    assert 0.2 < sum(n > 1 for n in repeat.values()) / len(repeat) < 0.6


def late_share(shop: Shop, kind: str) -> float:
    delivered = [
        order
        for order in shop.orders
        if order.delivered_at and inside(shop, kind, order.delivered_at) and order.promised_at
    ]
    return sum(order.delivered_at > order.promised_at for order in delivered) / len(delivered)  # type: ignore[operator]


def test_late_deliveries(shop: Shop, calm: Shop):
    assert late_share(shop, "late_deliveries") > 0.4
    everything = [order for order in calm.orders if order.delivered_at and order.promised_at]
    late = sum(order.delivered_at > order.promised_at for order in everything)  # type: ignore[operator]
    assert late / len(everything) < 0.08


def test_payment_outage(shop: Shop):
    during = [order for order in shop.orders if inside(shop, "payment_outage", order.ordered_at)]
    others = [order for order in shop.orders if not inside(shop, "payment_outage", order.ordered_at)]
    assert sum(order.payment_status == "failed" for order in during) > 0.7 * len(during)
    assert sum(order.payment_status == "failed" for order in others) < 0.05 * len(others)
    slow = [
        float(row.api_response_ms or 0) for row in shop.sessions if inside(shop, "payment_outage", row.started_at)
    ]
    assert min(slow) > 3 * np.median([float(row.api_response_ms or 0) for row in shop.sessions])


def test_faulty_batch(shop: Shop):
    bought = {item.order_id for item in shop.order_items if item.product_id == "KT-EL08"}
    start = incident(shop, "faulty_batch").start
    batch = [
        order
        for order in shop.orders
        if order.order_id in bought and -7 <= (order.ordered_at - start).days < 11 and order.delivered_at
    ]
    assert len(batch) > 30
    assert sum(order.status == "returned" for order in batch) > 0.45 * len(batch)
    bad = [review for review in shop.reviews if review.product_id == "KT-EL08" and review.rating <= 2]
    assert sum(inside(shop, "faulty_batch", review.created_at) for review in bad) > 0.6 * len(bad)


def test_price_error(shop: Shop):
    orders = {order.order_id: order for order in shop.orders}
    cheap = [item for item in shop.order_items if item.product_id == "GR-HG48" and item.unit_price < 1_000]
    assert {item.unit_price for item in cheap} == {Decimal(398)}
    placed = [orders[item.order_id] for item in cheap]
    assert all(inside(shop, "price_error", order.ordered_at) for order in placed)
    assert len(placed) > 120
    assert sum(order.status != "cancelled" for order in placed) < 25


def test_viral_praise(shop: Shop, calm: Shop):
    def units(year: Shop, first: date, last: date) -> int:
        orders = {order.order_id: order.ordered_at.date() for order in year.orders}
        return sum(
            item.quantity
            for item in year.order_items
            if item.product_id == "DR-PO02" and first <= orders[item.order_id] <= last
        )

    planted = incident(shop, "viral_praise")
    window = planted.start.date(), (planted.end - timedelta(days=1)).date()
    assert units(shop, *window) > 8 * units(calm, *window)
    empty = [level.day for level in shop.inventory if level.product_id == "DR-PO02" and level.on_hand == 0]
    assert len(empty) >= 7
    assert all(window[0] <= day <= window[1] for day in empty)
    assert all(level.on_hand > 0 for level in shop.inventory if level.product_id != "DR-PO02")


def test_support_backlog_is_open_when_the_year_ends(shop: Shop):
    def minutes(during: bool) -> float:
        waits = [
            ticket.first_response_at - ticket.created_at
            for ticket in shop.support_tickets
            if ticket.first_response_at and inside(shop, "support_backlog", ticket.created_at) is during
        ]
        return float(np.mean([wait.total_seconds() / 60 for wait in waits]))

    assert incident(shop, "support_backlog").end == AFTER
    assert minutes(True) > 5 * minutes(False)
    assert any(ticket.first_response_at is None and ticket.status == "open" for ticket in shop.support_tickets)


def test_without_incidents_the_year_is_calm(calm: Shop):
    assert not calm.incidents
    assert not any(level.on_hand == 0 for level in calm.inventory)
    assert not any(item.product_id == "GR-HG48" and item.unit_price < 1_000 for item in calm.order_items)
    assert not any(content.incident for content in calm.contents)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_other_seeds_plant_the_same_incidents_elsewhere(seed: int):
    planted = planted_incidents(seed)
    told = {item.kind: item for item in SAMPLE_INCIDENTS}
    assert {item.kind for item in planted} == set(told)
    assert [item.start for item in planted] != [item.start for item in SAMPLE_INCIDENTS]
    previous_end = None
    for item in planted:
        assert item.end - item.start == told[item.kind].end - told[item.kind].start
        assert item.start.time() == told[item.kind].start.time()
        assert (item.start.date() - FIRST_DAY).days >= OPENING_DAYS
        assert item.end <= AFTER
        assert previous_end is None or item.start - previous_end >= timedelta(days=CALM_DAYS - 1)
        previous_end = item.end


@pytest.mark.parametrize("seed", [3, 12])
def test_contents_move_with_their_incident(seed: int):
    shop = simulate(seed)
    about = Counter(content.incident for content in shop.contents)
    assert all(about[item.kind] >= 8 for item in shop.incidents)
    for content in shop.contents:
        assert content.created_at == datetime.fromisoformat(content.document["created_at"])
        assert FIRST_DAY <= content.created_at.astimezone(TIMEZONE).date() <= LAST_DAY
        if content.incident:
            planted = incident(shop, content.incident)
            assert planted.start.date() <= content.created_at.astimezone(TIMEZONE).date()
            assert content.created_at < planted.end + timedelta(days=4)
        assert datetime.fromisoformat(content.document.get("updated_at", "2999-01-01T00:00Z")) > content.created_at
    linked = {row.content_external_id for row in (*shop.support_tickets, *shop.reviews) if row.content_external_id}
    assert linked == {content.id for content in shop.contents if content.kind in ("ticket", "review")}


def test_incidents_of_the_sample_have_their_contents():
    about = Counter(content.incident for content in simulate().contents)
    assert all(about[item.kind] >= 9 for item in SAMPLE_INCIDENTS)
    assert 0.5 < about[None] / sum(about.values()) < 0.75


def test_prices_are_those_of_the_catalogue_or_a_promotion(calm: Shop):
    prices = {article.sku: article.price for article in ARTICLES}
    shares = {round(float(item.unit_price) / prices[item.product_id], 2) for item in calm.order_items}
    assert 1.0 in shares
    assert min(shares) >= 0.88


def test_times_are_of_the_shop(shop: Shop):
    hours = Counter(order.ordered_at.astimezone(TIMEZONE).hour for order in shop.orders)
    assert hours[21] > 5 * hours[4]
    assert datetime(2025, 10, 31, 16, tzinfo=UTC) == OPENING
