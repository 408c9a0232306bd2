"""Facts into `raw`: whole or not at all, only what differs, and every refused row on record."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.business.load import load_business, sources_changed
from tagging_orchestration.core.business.facts import TableLoad
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.demo.shop import simulate
from tagging_orchestration.settings import BusinessSettings, BusinessSource, Settings

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ORDERS = "order_id,ordered_at,status,total_amount,currency,updated_at\n"
ITEMS = "order_id,line_number,product_id,quantity,unit_price\n"

Load = Callable[..., list[TableLoad]]


@pytest.fixture
def load(pool: ConnectionPool, settings: Settings, tmp_path: Path) -> Load:
    """Writes the files given by table and loads them; `share` is the share of bad rows allowed."""

    def load(share: float = 0.6, **texts: str) -> list[TableLoad]:
        for table, text in texts.items():
            (tmp_path / f"{table}.csv").write_text(text, encoding="utf-8")
        business = BusinessSettings(
            timezone="Asia/Taipei",
            currency="TWD",
            max_rejected_share=share,
            sources=[
                BusinessSource(table=table, path=tmp_path / f"{table}.csv")  # type: ignore[arg-type]
                for table in reversed(texts)
            ],
        )
        return load_business(pool, settings.model_copy(update={"business": business}), run_id="r", now=NOW)

    return load


def query(pool: ConnectionPool, text: str) -> list[tuple[Any, ...]]:
    with pool.connection() as connection:
        return connection.execute(text).fetchall()  # type: ignore[call-overload]


def figures(report: TableLoad) -> tuple[int, ...]:
    return (report.rows_read, report.inserted, report.updated, report.unchanged, report.rejected)


def order(number: int, day: str = "2026-03-10", status: str = "created", rest: str = "5,TWD,") -> str:
    return f"A{number},{day},{status},{rest}\n"


def test_new_changed_and_unchanged_rows(pool: ConnectionPool, load: Load):
    (first,) = load(orders=ORDERS + order(1) + order(2))
    assert figures(first) == (2, 2, 0, 0, 0)
    query(pool, "DELETE FROM raw.touched_days RETURNING day")
    (second,) = load(orders=ORDERS + order(1) + order(2, status="shipped") + order(3, "2026-03-11"))
    assert figures(second) == (3, 1, 1, 1, 0)
    assert query(pool, "SELECT order_id, status FROM raw.orders ORDER BY 1") == [
        ("A1", "created"),
        ("A2", "shipped"),
        ("A3", "created"),
    ]
    days = query(pool, "SELECT day FROM raw.touched_days ORDER BY day")
    assert days == [(date(2026, 3, 10),), (date(2026, 3, 11),)]


def test_an_unchanged_file_is_not_read_again_unless_its_rows_are_gone(pool: ConnectionPool, load: Load):
    text = ORDERS + order(1)
    load(orders=text)
    (again,) = load(orders=text)
    assert again.skipped_unchanged_source
    query(pool, "DELETE FROM raw.orders RETURNING order_id")
    (restored,) = load(orders=text)
    assert restored.inserted == 1


def test_whether_sources_changed(pool: ConnectionPool, settings: Settings, tmp_path: Path):
    path = tmp_path / "orders.csv"
    business = BusinessSettings(sources=[BusinessSource(table="orders", path=path)])
    own = settings.model_copy(update={"business": business})
    assert sources_changed(pool, own)
    path.write_text(ORDERS + order(1), encoding="utf-8")
    assert sources_changed(pool, own)
    load_business(pool, own, run_id="r", now=NOW)
    assert not sources_changed(pool, own)
    path.write_text(ORDERS + order(1) + order(2), encoding="utf-8")
    assert sources_changed(pool, own)


def test_another_description_of_the_business_is_a_change(pool: ConnectionPool, settings: Settings, tmp_path: Path):
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS + order(1), encoding="utf-8")
    sources = [BusinessSource(table="orders", path=path)]
    said = {"resource_constraints": "two people"}
    for business in (
        BusinessSettings(sources=sources),
        BusinessSettings(sources=sources, locale="zh-Hant"),
        BusinessSettings(sources=sources, locale="zh-Hant", profile=said),
    ):
        own = settings.model_copy(update={"business": business})
        assert sources_changed(pool, own)
        load_business(pool, own, run_id="r", now=NOW)
        assert not sources_changed(pool, own)


def test_a_correction_touches_its_days_only(pool: ConnectionPool, load: Load):
    many = "".join(order(number, f"2026-03-{number:02}") for number in range(1, 21))
    load(orders=ORDERS + many)
    query(pool, "DELETE FROM raw.touched_days RETURNING day")
    load(orders=ORDERS + many.replace("A7,2026-03-07,created,5", "A7,2026-03-07,created,50"))
    assert query(pool, "SELECT source, day FROM raw.touched_days") == [("orders", date(2026, 3, 7))]


def test_identical_rows_collapse_and_contradictory_ones_are_reported(pool: ConnectionPool, load: Load):
    (report,) = load(
        orders=ORDERS
        + order(1)
        + order(1)
        + order(2, status="shipped", rest="5,TWD,2026-03-12")
        + order(2, status="created", rest="5,TWD,2026-03-11")
        + order(3, status="created")
        + order(3, status="cancelled")
    )
    assert figures(report) == (6, 3, 0, 1, 2)
    assert report.collapsed == 1
    stored = query(pool, "SELECT order_id, status FROM raw.orders ORDER BY 1")
    assert stored == [("A1", "created"), ("A2", "shipped"), ("A3", "cancelled")]
    rejected = query(
        pool, "SELECT row_number, code, external_id, message FROM tagging.rejected_rows ORDER BY row_number"
    )
    assert [row[:3] for row in rejected] == [(5, "duplicate_id", "A2"), (6, "duplicate_id", "A3")]
    assert "row 4 says something else about 'A2'" in rejected[0][3]


def test_bad_rows_are_recorded_with_their_load(pool: ConnectionPool, load: Load):
    (report,) = load(share=0.7, orders=ORDERS + order(1) + order(2, rest="-5,TWD,") + order(3, "2027-01-01"))
    assert figures(report) == (3, 1, 0, 0, 2)
    rows = query(
        pool,
        """
        SELECT r.source, r.row_number, r.column_name, r.external_id, l.status, l.rejected
        FROM tagging.rejected_rows AS r JOIN tagging.source_loads AS l ON l.id = r.load_id
        ORDER BY r.row_number
        """,
    )
    assert rows == [
        ("business.orders", 3, "total_amount", "A2", "done", 2),
        ("business.orders", 4, "ordered_at", "A3", "done", 2),
    ]


def test_a_load_with_too_many_bad_rows_changes_nothing(pool: ConnectionPool, load: Load):
    load(orders=ORDERS + order(1))
    with pytest.raises(SourceError, match=r"2 of 3 rows for raw\.orders are bad.*Nothing was changed"):
        load(share=0.5, orders=ORDERS + order(1, status="shipped") + order(2, rest="-5,TWD,") + ",,,,,\n")
    assert query(pool, "SELECT order_id, status FROM raw.orders") == [("A1", "created")]
    assert query(pool, "SELECT status, rejected FROM tagging.source_loads ORDER BY id DESC LIMIT 1") == [
        ("failed", 2)
    ]
    assert query(pool, "SELECT count(*) FROM tagging.rejected_rows") == [(2,)]


def test_one_refused_table_does_not_stop_the_others(pool: ConnectionPool, load: Load):
    with pytest.raises(SourceError, match=r"raw\.customers"):
        load(share=0.1, customers="customer_id,region\n,Taipei\n", orders=ORDERS + order(1))
    assert query(pool, "SELECT order_id FROM raw.orders") == [("A1",)]


def test_a_query_of_another_database(
    pool: ConnectionPool, settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHOP_DATABASE_URL", database_url)
    with pool.connection() as connection:
        connection.execute("CREATE TABLE public.bestellungen (nr int, am timestamptz, betrag numeric, stand text)")
        connection.execute(
            "INSERT INTO public.bestellungen VALUES"
            " (1, '2026-03-10 08:00+08', 12.5, 'sent'), (2, '2026-03-11 08:00+08', -1, 'sent'),"
            " (3, '2026-03-12 08:00+08', 3, '已取消')"
        )
    source = BusinessSource(
        table="orders",
        url_env="SHOP_DATABASE_URL",
        query="SELECT nr AS order_id, am AS ordered_at, betrag AS total, stand AS status FROM public.bestellungen",
    )
    business = BusinessSettings(timezone="Asia/Taipei", currency="TWD", max_rejected_share=0.5, sources=[source])
    own = settings.model_copy(update={"business": business})
    (first,) = load_business(pool, own, run_id="r", now=NOW)
    assert figures(first) == (3, 2, 0, 0, 1)
    assert "SHOP_DATABASE_URL" in first.location
    assert query(pool, "SELECT order_id, status, total_amount FROM raw.orders ORDER BY 1") == [
        ("1", "shipped", Decimal("12.5")),
        ("3", "cancelled", Decimal(3)),
    ]
    assert sources_changed(pool, own)


def test_lines_wait_for_orders_and_without_one_are_refused(pool: ConnectionPool, load: Load):
    orders, items = load(orders=ORDERS + order(1), order_items=ITEMS + "A1,1,P,2,5\nA1,2,壺,1,7.125\nA9,1,P,1,5\n")
    assert (orders.table, items.table) == ("orders", "order_items")
    assert figures(items) == (3, 2, 0, 0, 1)
    (message,) = query(pool, "SELECT message FROM tagging.rejected_rows")[0]
    assert "there is no order 'A9'" in message


def test_days_without_rows_and_other_currencies_are_remarked(load: Load):
    days = [date(2026, 3, 2) + timedelta(days=number) for number in range(42)]
    open_days = [day for day in days if day.weekday() != 6 and day not in (date(2026, 3, 18), date(2026, 3, 19))]
    text = "".join(order(number, str(day)) for number, day in enumerate(open_days))
    (report,) = load(orders=ORDERS + text + order(900, "2026-03-03", rest="7,USD,"))
    gap, money = report.remarks
    assert gap == "raw.orders has nothing on 2 days: 2026-03-18 to 2026-03-19"
    assert money == "1 rows of raw.orders are not in TWD: 1 in USD"
    assert report.rejected == 0


def test_the_profile_follows_the_settings(pool: ConnectionPool, load: Load):
    load(orders=ORDERS + order(1))
    profile = "SELECT timezone, currency, open_weekdays, updated_at FROM analytics.business_profile"
    (before,) = query(pool, profile)
    assert before[:3] == ("Asia/Taipei", "TWD", [1, 2, 3, 4, 5])
    load(orders=ORDERS + order(1))
    assert query(pool, profile) == [before]


def test_a_missing_file_is_said(pool: ConnectionPool, settings: Settings, tmp_path: Path):
    business = BusinessSettings(sources=[BusinessSource(table="orders", path=tmp_path / "nowhere.csv")])
    with pytest.raises(SourceError, match=r"nowhere\.csv: there is no such file"):
        load_business(pool, settings.model_copy(update={"business": business}), run_id="r", now=NOW)


def test_the_demo_is_loaded_once_and_leaves_with_its_switch(pool: ConnectionPool, settings: Settings):
    demo = settings.model_copy(update={"business": BusinessSettings(demo=True, timezone="Asia/Taipei")})
    reports = load_business(pool, demo, run_id="r", now=NOW)
    shop = simulate()
    counted = {report.table: report.inserted for report in reports}
    assert counted == {table: len(getattr(shop, table)) for table in counted}
    assert not any(report.rejected for report in reports)
    again = load_business(pool, demo, run_id="r", now=NOW)
    assert all(report.skipped_unchanged_source for report in again)
    assert not sources_changed(pool, demo)
    assert sources_changed(pool, settings)
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)"
            " VALUES ('own', '2026-03-10', 'created', 5, 'TWD')"
        )
    load_business(pool, settings, run_id="r", now=NOW)
    assert not sources_changed(pool, settings)
    assert query(pool, "SELECT order_id FROM raw.orders") == [("own",)]
    for table in counted:
        if table != "orders":
            assert query(pool, f"SELECT count(*) FROM raw.{table}") == [(0,)]
