"""Evidence from the database: tags of the right contents, rows that moved the metric, and the way between."""

from __future__ import annotations

from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.contracts import validate_evidence
from tagging_orchestration.core.business.evidence import AlertEvidence
from tagging_orchestration.storage.alert_evidence import EvidenceRequest, gather_evidence
from tagging_orchestration.storage.alert_rows import QUESTIONS, moving_rows
from tests.core.business.builders import day
from tests.storage.business import add_texts, at, build_relations

ALERT = UUID(int=1)


@pytest.fixture
def business(pool: ConnectionPool) -> ConnectionPool:
    """Eight calm weeks; then, on day 60, an outage in both languages and talk about other things."""
    build_relations(pool)
    with pool.connection() as connection:
        connection.execute(
            """
            INSERT INTO raw.products (product_id, name, category, list_price, currency) VALUES
                ('KT-EL08', '電熱壺', 'kettles', 2000, 'TWD'), ('GR-HG48', 'Hand grinder', 'grinders', 3980, 'TWD')
            """
        )
    add_texts(pool, [(number + 0.5, ["kettle", "手沖"] if number % 2 else ["kettle"]) for number in range(1, 59)])
    add_texts(pool, [(number + 0.4, ["customer service", "grinder"]) for number in range(3, 59, 5)], fact="ticket")
    add_texts(
        pool,
        [(60.4, ["付款失敗", "信用卡"]), (60.5, ["付款失敗"]), (61.1, ["payment failed", "信用卡"])],
        fact="ticket",
    )
    add_texts(pool, [(60.2, ["lid leak", "kettle"]), (60.9, ["lid leak"])], fact="review", product="KT-EL08")
    return pool


def gather(
    pool: ConnectionPool,
    metric: str = "payment_failure_rate",
    *,
    dimension: str = "all",
    opened: int = 60,
    seen: int = 60,
    as_of: int = 70,
    subtype: str = "spike",
    direction: str = "up",
) -> AlertEvidence:
    request = EvidenceRequest(ALERT, metric, dimension, "", direction, subtype, day(opened), day(seen))
    evidence = gather_evidence(pool, "default", [request], day(as_of))[ALERT]
    assert validate_evidence(evidence.document()) == []
    return evidence


def tags(evidence: AlertEvidence) -> list[str]:
    return [tag.tag for tag in evidence.tags]


def test_the_cause_is_on_top_with_its_contents(business: ConnectionPool):
    evidence = gather(business)
    assert set(tags(evidence)[:3]) == {"付款失敗", "信用卡", "lid leak"}
    assert "kettle" not in tags(evidence)
    assert all(tag.is_significant for tag in evidence.tags)
    first = evidence.tags[0]
    assert (first.count, first.baseline) == (2, 0)
    with business.connection() as connection:
        carriers = connection.execute(
            "SELECT array_agg(content_id ORDER BY content_id) FROM tagging.content_tags WHERE tag_id = %s",
            [first.tag_id],
        ).fetchone()
    assert carriers == (sorted(first.sample_ids),)


def test_nothing_of_the_future_is_known(business: ConnectionPool):
    assert gather(business, as_of=60).window.last == day(60)
    (card,) = [tag for tag in gather(business, as_of=61).tags if tag.tag == "信用卡"]
    assert card.count == 2
    assert "信用卡" not in tags(gather(business, as_of=60))


def test_a_product_is_explained_by_what_is_said_about_it(business: ConnectionPool):
    evidence = gather(business, "bad_reviews", dimension="product:KT-EL08")
    assert tags(evidence) == ["lid leak"]
    assert tags(gather(business, "daily_revenue", dimension="category:kettles")) == ["lid leak"]
    assert tags(gather(business, "units_sold", dimension="product:GR-HG48")) == []


def test_products_of_contents_are_found_through_orders_and_their_own_data(business: ConnectionPool):
    about = add_texts(business, [(60.3, ["標錯價"]), (60.4, ["標錯價"]), (60.5, ["標錯價"])], fact="ticket")
    with business.connection() as connection:
        connection.execute(
            """
            INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)
            VALUES ('o1', %s, 'delivered', 398, 'TWD')
            """,
            [at(60.1)],
        )
        connection.execute("INSERT INTO raw.order_items VALUES ('default', 'o1', 1, 'GR-HG48', 1, 398)")
        connection.execute("UPDATE raw.support_tickets SET order_id = 'o1' WHERE ticket_id = %s", [f"T{about[0]}"])
        connection.execute(
            'UPDATE tagging.contents SET metadata = \'{"product_sku": "GR-HG48"}\' WHERE id = %s', [about[1]]
        )
    evidence = gather(business, "units_sold", dimension="product:GR-HG48")
    assert [(tag.tag, tag.count) for tag in evidence.tags] == [("標錯價", 2)]
    links = {(link.content_id, link.table, link.id) for link in evidence.lineage}
    assert links == {
        (about[0], "raw.support_tickets", f"T{about[0]}"),
        (about[0], "raw.orders", "o1"),
        (about[1], "raw.support_tickets", f"T{about[1]}"),
        (about[1], "raw.products", "GR-HG48"),
    }


def test_an_alert_about_a_tag_has_it_on_top(business: ConnectionPool):
    with business.connection() as connection:
        (id,) = connection.execute("SELECT id FROM tagging.tags WHERE name = '信用卡'").fetchone() or (0,)
    evidence = gather(business, "tag_volume", dimension=f"tag:{id}")
    assert tags(evidence)[0] == "信用卡"
    assert "付款失敗" in tags(evidence)


def test_metrics_of_support_are_explained_by_tickets(business: ConnectionPool):
    found = tags(gather(business, "avg_response_time"))
    assert "付款失敗" in found
    assert "lid leak" not in found


def test_days_with_few_contents_borrow_from_their_neighbours(business: ConnectionPool):
    assert "信用卡" in tags(gather(business, opened=62, seen=62))
    assert tags(gather(business, opened=40, seen=40)) == []


def test_a_content_without_facts_stands_for_itself(business: ConnectionPool):
    ids = add_texts(business, [(60.3, ["影片"]), (60.4, ["影片"])])
    evidence = gather(business, "visits")
    assert {(link.content_id, link.table) for link in evidence.lineage} >= {(id, "tagging.contents") for id in ids}


def test_without_contents_there_is_no_evidence(pool: ConnectionPool):
    build_relations(pool)
    assert gather(pool).tags == ()
    assert gather_evidence(pool, "default", [], day(10)) == {}


# ------------------------------------------------------------------------------------------------------- rows


@pytest.fixture
def facts(business: ConnectionPool) -> ConnectionPool:
    """A day of orders, reviews, tickets, stock and visits."""
    with business.connection() as connection:
        for order, moment, status, payment, amount, delivered, promised in [
            ("late", 55.1, "delivered", "paid", 900, 60.5, 57.0),
            ("later", 54.1, "delivered", "paid", 900, 60.5, 56.0),
            ("failed", 60.2, "cancelled", "failed", 5560, None, None),
            ("small", 60.3, "cancelled", "failed", 10, None, None),
            ("big", 60.4, "delivered", "paid", 9000, 61.5, 63.0),
            ("other day", 59.9, "cancelled", "failed", 99999, None, None),
        ]:
            connection.execute(
                "INSERT INTO raw.orders (order_id, ordered_at, status, payment_status, total_amount, currency,"
                " delivered_at, promised_at) VALUES (%s, %s, %s, %s, %s, 'TWD', %s, %s)",
                [
                    order,
                    at(moment),
                    status,
                    payment,
                    amount,
                    delivered and at(delivered),
                    promised and at(promised),
                ],
            )
        connection.execute(
            "INSERT INTO raw.order_items VALUES ('default', 'big', 1, 'GR-HG48', 2, 398),"
            " ('default', 'big', 2, 'KT-EL08', 1, 2000), ('default', 'failed', 1, 'KT-EL08', 7, 1999)"
        )
        connection.execute("INSERT INTO raw.inventory VALUES ('default', 'GR-HG48', %s, 0)", [day(60)])
        connection.execute(
            "INSERT INTO raw.sessions (started_at, channel, visits, checkouts, api_response_ms)"
            " VALUES (%s, 'web', 1200, 30, 2345.6)",
            [at(60.5)],
        )
        connection.execute(
            "INSERT INTO raw.support_tickets (ticket_id, created_at, first_response_at) VALUES ('slow', %s, %s)",
            [at(60.0), at(61.0)],
        )
        connection.execute(
            "INSERT INTO raw.reviews (review_id, created_at, rating) VALUES ('best', %s, 5)", [at(60.5)]
        )
    return business


ROWS = [
    ("payment_failure_rate", "up", "all", ["failed", "small"], "a payment of 5,560 TWD failed"),
    (
        "daily_revenue",
        "down",
        "all",
        ["failed", "small"],
        "an order of 5,560 TWD was lost: not paid, or cancelled",
    ),
    ("daily_revenue", "up", "all", ["big"], "one of the largest orders: 9,000 TWD"),
    ("daily_revenue", "down", "product:KT-EL08", ["failed"], None),
    ("daily_revenue", "down", "category:grinders", [], None),
    ("late_delivery_rate", "up", "all", ["later", "late"], "delivered 4.5 days after the promised time"),
    ("price_deviation", "up", "all", ["big:1", "failed:1"], "sold at 398, the list price is 3,980"),
    ("price_deviation", "up", "product:KT-EL08", ["failed:1"], None),
    ("units_sold", "up", "product:GR-HG48", ["big:1"], "2 units in one order"),
    ("avg_response_time", "up", "all", ["slow"], "no answer for 24 hours"),
    ("customer_satisfaction_rate", "up", "all", ["best"], "rated 5 of 5"),
    ("stockouts", "up", "all", ["GR-HG48:2026-04-29"], "nothing left of GR-HG48 on 2026-04-29"),
    ("visits", "up", "all", None, "1,200 visits, 30 of them went to the checkout"),
    ("api_response_time", "up", "all", None, "2,346 ms a request on average"),
    ("customer_churn_rate", "up", "all", [], None),
    ("payment_failure_rate", "up", "region:north", [], None),
]


def test_the_rows_that_moved_a_metric(facts: ConnectionPool):
    for metric, direction, dimension, ids, why in ROWS:
        with facts.connection() as connection:
            rows = moving_rows(connection, "default", metric, dimension, direction, day(60), day(60))
        if ids is None:
            assert rows, metric
        else:
            assert ([row.id for row in rows][: len(ids)], bool(rows)) == (ids, bool(ids)), metric
        if why:
            assert rows[0].why == why
            assert "{" not in rows[0].why_zh


def test_every_question_can_be_asked(facts: ConnectionPool):
    with facts.connection() as connection:
        for metric in QUESTIONS:
            for direction in ("up", "down"):
                moving_rows(connection, "default", metric, "all", direction, day(50), day(65))
