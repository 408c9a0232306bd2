"""Files of a business to typed facts: columns told or guessed, and every kind of bad row with its reason."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tagging_orchestration.clients.business_sources.reader import BusinessReader
from tagging_orchestration.core.business.facts import FactRow, Order, Review
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.core.models import RejectedRow, RejectionCode
from tagging_orchestration.settings import BusinessSettings, BusinessSource, Settings

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BUSINESS = BusinessSettings(timezone="Asia/Taipei", currency="TWD")
ORDERS = "order_id,ordered_at,status,total_amount\n"


def reader(
    folder: Path, text: str, table: str = "orders", name: str = "rows.csv", **options: Any
) -> BusinessReader:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return BusinessReader(BusinessSource(table=table, path=path, **options), BUSINESS, NOW)  # type: ignore[arg-type]


def facts(source: BusinessReader) -> list[Any]:
    rows = list(source.rows())
    assert all(isinstance(row, FactRow) for row in rows), rows
    return [row.fact for row in rows if isinstance(row, FactRow)]


def refusal(source: BusinessReader) -> RejectedRow:
    (row,) = source.rows()
    assert isinstance(row, RejectedRow)
    return row


def test_our_own_names_need_no_mapping(tmp_path: Path):
    (order,) = facts(reader(tmp_path, ORDERS + "A1,2026-03-10 09:30,delivered,1680\n"))
    assert order == Order("A1", datetime(2026, 3, 10, 1, 30, tzinfo=UTC), "delivered", Decimal(1680), "TWD")


def test_common_names_are_guessed_in_english_and_chinese(tmp_path: Path):
    source = reader(
        tmp_path,
        "Order No,Customer,Order Date,Order Status,Grand Total,Delivery Date,Currency Code\n"
        'A1,C9,2026-03-10,Completed,"1,680.50",2026-03-12,usd\n',
    )
    (english,) = facts(source)
    assert ("ordered_at", "Order Date") in source.guesses
    assert english.order_id == "A1"
    assert english.customer_id == "C9"
    assert english.status == "delivered"
    assert english.total_amount == Decimal("1680.50")
    assert english.currency == "USD"
    assert english.delivered_at == datetime(2026, 3, 11, 16, tzinfo=UTC)
    (chinese,) = facts(
        reader(tmp_path, "訂單編號,訂單日期,訂單狀態,總金額,付款狀態\n甲-1,2026年3月10日,已取消,1680,付款失敗\n")
    )
    assert chinese == Order(
        "甲-1", datetime(2026, 3, 9, 16, tzinfo=UTC), "cancelled", Decimal(1680), "TWD", payment_status="failed"
    )


def test_columns_values_and_constants_are_taken_as_told(tmp_path: Path):
    source = reader(
        tmp_path,
        "nr;wann;zustand;summe\n7;31.03.2026 18:00;raus;12\n8;01.04.2026 08:00;X-9;5\n",
        columns={"order_id": "nr", "ordered_at": "wann", "status": "zustand", "total_amount": "summe"},
        values={"status": {"raus": "shipped", "X*": "cancelled"}},
        constants={"channel": "shop", "currency": "EUR"},
        timezone="Europe/Berlin",
        date_format="%d.%m.%Y %H:%M",
    )
    first, second = facts(source)
    assert first.ordered_at == datetime(2026, 3, 31, 16, tzinfo=UTC)
    assert (first.status, second.status) == ("shipped", "cancelled")
    assert (first.channel, first.currency) == ("shop", "EUR")
    assert not source.guesses


@pytest.mark.parametrize(
    ("row", "column", "code", "said"),
    [
        ("A1,2026-03-10,delivered,-5", "total_amount", RejectionCode.BAD_VALUE, "greater than or equal to 0"),
        ("A1,2027-03-10,created,5", "ordered_at", RejectionCode.BAD_VALUE, "in the future"),
        ("A1,1899-12-30,created,5", "ordered_at", RejectionCode.BAD_VALUE, "before 1980"),
        ("A1,yesterday,created,5", "ordered_at", RejectionCode.BAD_DATE, "is not a date"),
        ("A1,03/04/2026,created,5", "ordered_at", RejectionCode.BAD_DATE, "more than one way"),
        ("A1,2026-02-30,created,5", "ordered_at", RejectionCode.BAD_DATE, "2026-02-30"),
        ("A1,,created,5", "ordered_at", RejectionCode.BAD_VALUE, "is missing"),
        ("A1,2026-03-10,lost in space,5", "status", RejectionCode.BAD_VALUE, "lost in space"),
        (",2026-03-10,created,5", "order_id", RejectionCode.MISSING_ID, "is missing"),
        ("A1,2026-03-10,created,viel", "total_amount", RejectionCode.BAD_VALUE, "viel"),
        ("A1,2026-03-10,created,NaN", "total_amount", RejectionCode.BAD_VALUE, "NaN"),
        ("A1,2026-03-10,created", None, RejectionCode.MALFORMED, "3 fields where the header has 4"),
    ],
)
def test_a_bad_order_is_refused_with_its_reason(
    tmp_path: Path, row: str, column: str | None, code: RejectionCode, said: str
):
    rejected = refusal(reader(tmp_path, ORDERS + row + "\n"))
    assert (rejected.column, rejected.code, rejected.row_number) == (column, code, 2)
    assert said in rejected.message
    assert "rows.csv, row 2" in rejected.message


def test_a_delivery_before_its_order_and_an_unknown_currency_are_refused(tmp_path: Path):
    header = "order_id,ordered_at,delivered_at,status,total_amount,currency\n"
    early = refusal(reader(tmp_path, header + "A1,2026-03-10,2026-03-09,delivered,5,TWD\n"))
    assert (early.column, early.external_id) == ("delivered_at", "A1")
    assert "is before ordered_at" in early.message
    unknown = refusal(reader(tmp_path, header + "A1,2026-03-10,,created,5,NTD\n"))
    assert unknown.column == "currency"
    assert "'NTD' is no currency of ISO 4217" in unknown.message


@pytest.mark.parametrize(
    ("table", "text", "column"),
    [
        ("reviews", "review_id,created_at,rating\nR1,2026-03-10,6\n", "rating"),
        ("reviews", "review_id,created_at,rating\nR1,2026-03-10,0\n", "rating"),
        ("order_items", "order_id,product_id,quantity,unit_price\nA1,P1,0,5\n", "quantity"),
        ("order_items", "order_id,product_id,quantity,unit_price\nA1,P1,1.5,5\n", "quantity"),
        ("order_items", "order_id,product_id,quantity,unit_price\nA1,P1,1,-5\n", "unit_price"),
        ("inventory", "product_id,day,on_hand\nP1,2026-03-10,-1\n", "on_hand"),
        ("inventory", "product_id,day,on_hand\nP1,2030-03-10,1\n", "day"),
        ("support_tickets", "ticket_id,created_at,resolved_at\nT1,2026-03-10,2026-03-01\n", "resolved_at"),
        ("calendar", "day,event_type,name\n2026-03-10,party,壺節\n", "event_type"),
    ],
)
def test_bad_rows_of_other_tables(tmp_path: Path, table: str, text: str, column: str):
    assert refusal(reader(tmp_path, text, table)).column == column


def test_plans_may_lie_in_the_future(tmp_path: Path):
    text = "order_id,ordered_at,status,total_amount,promised_at\nA1,2026-10-31,shipped,5,2026-12-01\n"
    (order,) = facts(reader(tmp_path, text))
    assert order.promised_at == datetime(2026, 11, 30, 16, tzinfo=UTC)
    (day,) = facts(reader(tmp_path, "date,type,name,名稱\n2027-02-06,假日,New Year,春節\n", "calendar"))
    assert (day.day, day.event_type, day.name_zh) == (date(2027, 2, 6), "holiday", "春節")


def test_lines_become_orders_items_and_customers(tmp_path: Path):
    text = (
        "invoice,sku,qty,price,when,who\n"
        "1,A,2,10,2026-03-10 08:00,7\n1,B,1,5.5,2026-03-10 08:00,7\nC2,A,-2,10,2026-03-11 09:00,7\n"
        "3,,1,0,2026-03-12 09:00,\n"
    )
    orders = reader(
        tmp_path,
        text,
        where="price > 0",
        group_by=["invoice"],
        columns={"order_id": "invoice", "customer_id": "who", "ordered_at": "when", "status": "invoice"},
        computed={"total_amount": "abs(sum(qty * price))"},
        values={"status": {"C*": "returned", "*": "delivered"}},
    )
    bought, back = facts(orders)
    assert (bought.order_id, bought.total_amount, bought.status) == ("1", Decimal("25.5"), "delivered")
    assert (back.order_id, back.total_amount, back.status) == ("C2", Decimal(20), "returned")
    assert orders.left_out == 1
    items = facts(
        reader(
            tmp_path,
            text,
            "order_items",
            where="price > 0",
            columns={"order_id": "invoice"},
            computed={"quantity": "abs(qty)"},
        )
    )
    assert [(item.order_id, item.line_number, item.quantity) for item in items] == [
        ("1", 1, 2),
        ("1", 2, 1),
        ("C2", 1, 2),
    ]
    (customer,) = facts(
        reader(
            tmp_path,
            text,
            "customers",
            where="not missing(who)",
            group_by=["who"],
            columns={"customer_id": "who"},
            computed={"created_at": "min(when)"},
        )
    )
    assert (customer.customer_id, customer.created_at) == ("7", datetime(2026, 3, 10, tzinfo=UTC))


def test_a_second_file_is_joined(tmp_path: Path):
    payments = tmp_path / "payments.jsonl"
    payments.write_text('{"nr": 1, "paid": 10}\n{"nr": 1, "paid": 2.5}\n', encoding="utf-8")
    source = reader(
        tmp_path,
        "order_id,ordered_at,status\n1,2026-03-10,created\n2,2026-03-10,created\n",
        join=[{"path": payments, "by": "order_id", "match": "nr", "columns": {"all": "sum(paid)"}}],
        columns={"total_amount": "all"},
    )
    first, second = source.rows()
    assert isinstance(first, FactRow)
    assert isinstance(first.fact, Order)
    assert first.fact.total_amount == Decimal("12.5")
    assert isinstance(second, RejectedRow)
    assert second.column == "total_amount"


def test_reviews_name_their_texts(tmp_path: Path):
    text = '{"id": "R1", "date": "2026-03-10T08:00:00+08:00", "stars": 4}\n'
    (review,) = facts(reader(tmp_path, text, "reviews", "rows.jsonl", content_source="shop_reviews"))
    assert review == Review(
        "R1",
        datetime(2026, 3, 10, tzinfo=UTC),
        Decimal(4),
        content_source="shop_reviews",
        content_external_id="R1",
    )


def test_parquet_with_missing_values(tmp_path: Path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "lines.parquet"
    columns = {"product_id": ["P1", "P2"], "name": ["壺", "Kettle"], "list_price": [19.9, float("nan")]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    source = BusinessReader(BusinessSource(table="products", path=path), BUSINESS, NOW)
    first, second = facts(source)
    assert (first.name, first.list_price) == ("壺", Decimal("19.9"))
    assert second.list_price is None


def test_a_column_that_is_not_there_stops_the_whole_source(tmp_path: Path):
    with pytest.raises(SourceError, match=r"no column 'totl_amount'.*Did you mean 'total_amount'"):
        list(reader(tmp_path, ORDERS + "1,2,3,4\n", columns={"total_amount": "totl_amount"}).rows())
    with pytest.raises(SourceError, match="nothing is known to hold ordered_at, status"):
        list(reader(tmp_path, "order_id,total\n1,2\n").rows())
    with pytest.raises(SourceError, match=r"no column 'nummer'.*group_by"):
        list(reader(tmp_path, ORDERS + "1,2026-01-01,created,4\n", group_by=["nummer"]).rows())


def test_the_fingerprint_follows_file_join_and_mapping(tmp_path: Path):
    text = ORDERS + "A1,2026-03-10,created,5\n"
    first = reader(tmp_path, text).fingerprint()
    assert reader(tmp_path, text).fingerprint() == first
    assert reader(tmp_path, text, constants={"channel": "web"}).fingerprint() != first
    assert reader(tmp_path, text + "A2,2026-03-10,created,5\n").fingerprint() != first
    (tmp_path / "more.csv").write_text("order_id,x\nA1,1\n", encoding="utf-8")
    join = [{"path": tmp_path / "more.csv", "by": "order_id", "columns": {"x": "sum(x)"}}]
    joined = reader(tmp_path, text, join=join).fingerprint()
    (tmp_path / "more.csv").write_text("order_id,x\nA1,2\n", encoding="utf-8")
    assert reader(tmp_path, text, join=join).fingerprint() != joined


def test_settings_refuse_columns_that_do_not_exist(tmp_path: Path):
    with pytest.raises(ValidationError, match=r"raw\.orders has no column price; it has .*total_amount"):
        BusinessSource(table="orders", path=tmp_path / "x.csv", columns={"price": "p"})
    with pytest.raises(ValidationError, match="must not mix"):
        BusinessSettings(demo=True, sources=[BusinessSource(table="orders", path=tmp_path / "x.csv")])


def test_paths_of_sources_and_joins_start_at_the_project(settings: Settings, tmp_path: Path):
    joined = {"path": "b.csv", "by": "id", "columns": {"x": "sum(x)"}}
    again = Settings(business={"sources": [{"table": "orders", "path": "a.csv", "join": [joined]}]})  # type: ignore[arg-type]
    (source,) = again.business.sources
    assert source.path == tmp_path / "a.csv"
    assert source.join[0].path == tmp_path / "b.csv"
