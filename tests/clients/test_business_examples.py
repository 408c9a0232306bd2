"""The mappings in examples/ on a few rows in the shape of the public files."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tagging_orchestration.clients.business_sources.reader import BusinessReader
from tagging_orchestration.core.business.facts import FactRow
from tagging_orchestration.core.models import RejectedRow
from tagging_orchestration.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

OLIST = {
    "orders.csv.gz": (
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
        "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n"
        "o1,c1,delivered,2017-11-24 10:00:00,2017-11-24 10:05:00,2017-11-27 09:00:00,2017-12-01 18:00:00,"
        "2017-12-15 00:00:00\n"
        "o2,c2,canceled,2017-11-24 11:00:00,,,,2017-12-15 00:00:00\n"
    ),
    "customers.csv.gz": (
        "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state\n"
        "c1,p1,1,sao paulo,SP\nc2,p1,1,sao paulo,SP\n"
    ),
    "order_payments.csv.gz": (
        "order_id,payment_sequential,payment_type,payment_installments,payment_value\n"
        "o1,1,credit_card,1,100.50\no1,2,voucher,1,9.50\no2,1,boleto,1,20\n"
    ),
    "order_items.csv.gz": (
        "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value\n"
        "o1,1,prod-1234567,s,2017-11-28,99.90,10.10\n"
    ),
    "products.csv.gz": "product_id,product_category_name,product_name_lenght\nprod-1234567,beleza_saude,53\n",
    "product_category_name_translation.csv.gz": (
        "product_category_name,product_category_name_english\nbeleza_saude,health_beauty\n"
    ),
    "order_reviews.csv.gz": (
        "review_id,order_id,review_score,review_comment_title,review_comment_message,review_creation_date,"
        "review_answer_timestamp\nr1,o1,5,,muito bom,2017-12-02 00:00:00,2017-12-03 10:00:00\n"
    ),
}
LINES = {
    "invoice_no": ["541431", "C541433", "A1", "541432", "541432"],
    "stock_code": ["23166", "23166", "B", "22", "22"],
    "description": ["JAR", "JAR", "Adjust bad debt", "cup", "lost"],
    "quantity": [74215, -74215, 1, 2, -1],
    "invoice_date": [datetime(2011, 1, 18, 10, minute) for minute in (1, 17, 30, 40, 40)],
    "unit_price": [1.04, 1.04, 11062.06, 3.5, 0.0],
    "customer_id": [12346, 12346, None, None, None],
    "country": ["United Kingdom"] * 5,
}


def facts(settings: Settings, table: str) -> list[Any]:
    """The facts that the settings give for a table."""
    (source,) = [source for source in settings.business.sources if source.table == table]
    rows = list(BusinessReader(source, settings.business, datetime(2026, 1, 1, tzinfo=UTC)).rows())
    assert not [row for row in rows if isinstance(row, RejectedRow)]
    return [row.fact for row in rows if isinstance(row, FactRow)]


def example(name: str) -> Settings:
    return Settings(**yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8")))


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """The project folder of a test, with a folder for data."""
    assert settings.home.is_relative_to(tmp_path)
    return tmp_path / "data"


def test_olist(folder: Path):
    import gzip

    (folder / "olist").mkdir(parents=True)
    for name, text in OLIST.items():
        (folder / "olist" / name).write_bytes(gzip.compress(text.encode()))
    settings = example("olist.yaml")
    first, second = facts(settings, "orders")
    assert (first.customer_id, first.total_amount, first.currency) == ("p1", Decimal(110), "BRL")
    assert (first.status, first.payment_status) == ("delivered", "paid")
    assert first.ordered_at == datetime(2017, 11, 24, 12, tzinfo=UTC)
    assert (second.status, second.payment_status) == ("cancelled", "refunded")
    (customer,) = facts(settings, "customers")
    assert (customer.customer_id, customer.region) == ("p1", "SP")
    (product,) = facts(settings, "products")
    assert (product.name, product.category) == ("health_beauty prod-1", "health_beauty")
    (item,) = facts(settings, "order_items")
    assert (item.quantity, item.unit_price) == (1, Decimal("99.90"))
    (review,) = facts(settings, "reviews")
    assert (review.review_id, review.content_source, review.content_external_id) == (
        "r1-o1",
        "olist_reviews",
        "r1",
    )
    assert (review.product_id, review.rating) == ("prod-1234567", 5)
    assert settings.sources[0].path == folder / "olist" / "order_reviews.csv.gz"


def test_uci(folder: Path):
    import pyarrow
    import pyarrow.parquet

    (folder / "uci").mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table(LINES), folder / "uci" / "online_retail.parquet")
    settings = example("uci.yaml")
    orders = {order.order_id: order for order in facts(settings, "orders")}
    assert set(orders) == {"541431", "C541433", "541432"}
    assert orders["541431"].total_amount == orders["C541433"].total_amount == Decimal("77183.60")
    assert (orders["541431"].status, orders["C541433"].status) == ("delivered", "cancelled")
    assert orders["541432"].total_amount == 7
    assert [(item.order_id, item.quantity) for item in facts(settings, "order_items")] == [
        ("541431", 74215),
        ("C541433", 74215),
        ("541432", 2),
    ]
    (customer,) = facts(settings, "customers")
    assert customer.customer_id == "12346"
    assert {product.product_id: product.name for product in facts(settings, "products")} == {
        "23166": "JAR",
        "22": "cup",
    }
