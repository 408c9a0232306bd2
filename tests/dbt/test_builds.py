"""What dbt computes, against the same worked out in Python from the raw rows."""

from __future__ import annotations

import statistics
from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import psycopg
import pytest

from tagging_orchestration.core.business import contracts
from tagging_orchestration.storage import business_quality
from tagging_orchestration.storage.connection import create_pool
from tests.dbt.builders import DAYS, FIRST, LAST, OUTAGE, POT, PRICE_ERROR, Order
from tests.dbt.conftest import Business

ALL_DAYS = [FIRST + timedelta(days=number) for number in range(DAYS)]


def series(shop: Business, metric: str, dimension: str = "all") -> dict[date, float | None]:
    rows = shop.rows(
        "SELECT metric_date, current_value FROM analytics.fct_business_metrics_daily"
        " WHERE metric_name = %s AND dimension = %s ORDER BY 1",
        metric,
        dimension,
    )
    return {day: None if value is None else float(value) for day, value in rows}


def sales(shop: Business) -> list[Order]:
    return [order for order in shop.orders if order.is_sale]


def bought_between(shop: Business, first: date, last: date) -> set[str]:
    return {order.customer for order in sales(shop) if first <= order.day <= last}


# ------------------------------------------------------------------------------------------------ metrics


def test_revenue_is_the_sum_of_the_days_sales(built: Business):
    expected: dict[date, float] = dict.fromkeys(ALL_DAYS, 0.0)
    for order in sales(built):
        if order.currency == "TWD":
            expected[order.day] += order.amount
    assert series(built, "daily_revenue") == expected


def test_orders_payments_and_other_currencies_are_counted_by_the_business_day(built: Business):
    orders, failed, foreign = defaultdict(int), defaultdict(int), defaultdict(int)
    for order in built.orders:
        orders[order.day] += 1
        failed[order.day] += order.payment == "failed"
        foreign[order.day] += order.currency != "TWD"
    assert series(built, "daily_orders") == {day: orders[day] for day in ALL_DAYS}
    assert series(built, "foreign_currency_orders") == {day: foreign[day] for day in ALL_DAYS}
    assert series(built, "payment_failure_rate") == {
        day: pytest.approx(failed[day] / orders[day], abs=1e-4) for day in ALL_DAYS
    }


def test_deliveries_are_counted_on_the_day_they_arrive(built: Business):
    taken = defaultdict(list)
    late, judged = defaultdict(int), defaultdict(int)
    for order in sales(built):
        promised = order.day + timedelta(days=3)
        arrived = order.delivered_at.astimezone(order.at.tzinfo).date() if order.delivered_at else None
        if order.delivered_at and arrived:
            taken[arrived].append((order.delivered_at - order.at).total_seconds() / 86400)
        day = min(arrived or date.max, promised + timedelta(days=1))
        judged[day] += 1
        late[day] += arrived is None or arrived > promised
    found = series(built, "average_delivery_days")
    assert found == {day: pytest.approx(statistics.fmean(taken[day]), abs=1e-4) for day in found}
    found = series(built, "late_delivery_rate")
    assert found == {day: pytest.approx(late[day] / judged[day], abs=1e-4) for day in found}


def test_customers_are_active_for_thirty_days(built: Business):
    found = series(built, "active_customers")
    assert list(found) == ALL_DAYS[29:]
    assert found == {day: len(bought_between(built, day - timedelta(days=29), day)) for day in found}


def test_churn_is_of_the_customers_of_the_quarter_before(built: Business):
    found = series(built, "customer_churn_rate")
    assert list(found) == ALL_DAYS[179:]
    for day, value in found.items():
        base = bought_between(built, day - timedelta(days=179), day - timedelta(days=90))
        stayed = bought_between(built, day - timedelta(days=89), day)
        assert value == pytest.approx(len(base - stayed) / len(base), abs=1e-4)


def test_high_value_customers_reach_the_bar_of_the_month(built: Business):
    found = series(built, "high_value_customers")
    assert list(found) == ALL_DAYS[120:]

    def spent(first: date, last: date) -> dict[str, int]:
        total: dict[str, int] = defaultdict(int)
        for order in sales(built):
            if order.currency == "TWD" and first <= order.day <= last:
                total[order.customer] += order.amount
        return total

    for day in list(found)[::9]:
        month = day.replace(day=1)
        bar = np.percentile(list(spent(month - timedelta(days=90), month - timedelta(days=1)).values()), 90)
        assert found[day] == sum(value >= bar for value in spent(day - timedelta(days=89), day).values())


def test_pending_orders_have_neither_arrived_nor_failed(built: Business):
    found = series(built, "pending_orders")
    assert found == {
        day: sum(
            order.is_sale
            and order.day <= day <= order.day + timedelta(days=30)
            and (order.delivered_at is None or order.delivered_at.astimezone(order.at.tzinfo).date() > day)
            for order in built.orders
        )
        for day in found
    }


def test_completion_is_of_the_orders_settled_in_seven_days(built: Business):
    settled, completed = defaultdict(int), defaultdict(int)
    for order in built.orders:
        arrived = order.delivered_at.astimezone(order.at.tzinfo).date() if order.delivered_at else None
        day = min(arrived or date.max, order.day + timedelta(days=30)) if order.is_sale else order.day
        settled[day] += 1
        completed[day] += order.is_sale and arrived == day
    found = series(built, "order_completion_rate")
    assert list(found) == ALL_DAYS[36:]
    for day, value in found.items():
        week = [day - timedelta(days=number) for number in range(7)]
        assert value == pytest.approx(sum(completed[d] for d in week) / sum(settled[d] for d in week), abs=1e-4)


def test_a_wrong_price_stands_out(built: Business):
    found = series(built, "price_deviation", f"product:{POT}")
    assert found[PRICE_ERROR] in (0.9, None)
    assert max(value or 0 for value in series(built, "price_deviation").values()) <= 0.9
    assert {value for day, value in found.items() if day != PRICE_ERROR} <= {0.0, None}


def test_tags_are_metrics(built: Business):
    ((tag,),) = built.rows("SELECT 'tag:' || id FROM tagging.tags")
    volume = series(built, "tag_volume", tag)
    assert volume == {day: 8 if day == OUTAGE else int(day.day == 1) for day in ALL_DAYS}
    assert series(built, "tag_share", tag)[OUTAGE] == 1
    before = [OUTAGE - timedelta(days=number) for number in range(1, 57)]
    usual = sum(day.day == 1 for day in before) / len(before)
    assert series(built, "tag_lift", tag)[OUTAGE] == pytest.approx(1 / usual, rel=1e-3)


def test_every_series_has_every_day_to_the_last(built: Business):
    gaps = built.rows(
        """
        SELECT metric_name, dimension FROM analytics.fct_business_metrics_daily
        GROUP BY metric_name, dimension
        HAVING max(metric_date) <> %s OR count(*) <> max(metric_date) - min(metric_date) + 1
        """,
        LAST,
    )
    assert gaps == []
    assert built.rows("SELECT analytics.as_of_day()") == [(LAST,)]


def test_trends_compare_weeks_and_months(built: Business):
    revenue = list(series(built, "daily_revenue").values())

    def change(days: int) -> float:
        now, before = np.mean(revenue[-days:]), np.mean(revenue[-2 * days : -days])  # type: ignore[arg-type]
        return float(100 * (now - before) / before)

    ((week, month),) = built.rows(
        "SELECT trend_7d_pct, trend_30d_pct FROM analytics.calculate_metric_trends('daily_revenue')"
    )
    assert float(week) == pytest.approx(change(7), abs=1e-3)
    assert float(month) == pytest.approx(change(30), abs=1e-3)
    assert series(built, "revenue_trend_pct")[LAST] == pytest.approx(float(week), abs=1e-4)


# ------------------------------------------------------------------------------------- late facts, and again


def state(shop: Business) -> dict[tuple[str, str, date], tuple[object, object]]:
    rows = shop.rows(
        "SELECT metric_name, dimension, metric_date, current_value, computed_at"
        " FROM analytics.fct_business_metrics_daily"
    )
    return {(metric, dimension, day): (value, at) for metric, dimension, day, value, at in rows}


def test_a_late_fact_computes_its_days_and_no_others(changeable: Business):
    before = state(changeable)
    order = next(order for order in changeable.orders if order.day == date(2024, 5, 20) and order.is_sale)
    changeable.rows(
        "UPDATE raw.orders SET status = 'returned', payment_status = 'refunded' WHERE order_id = %s", order.id
    )
    changeable.build("metrics")
    after = state(changeable)
    assert after.keys() == before.keys()

    arrived = order.delivered_at.astimezone(order.at.tzinfo).date() if order.delivered_at else None
    computed = {key for key in after if after[key][1] != before[key][1]}
    daily = {"daily_revenue", "return_rate", "payment_failure_rate", "average_delivery_days", "units_sold"}
    assert {day for metric, _, day in computed if metric in daily} == {order.day, arrived}
    assert {day for metric, _, day in computed if metric == "active_customers"} <= set(ALL_DAYS) - {
        day for day in ALL_DAYS if day < order.day or day > order.day + timedelta(days=40)
    }
    assert {metric for metric, _, _ in computed} & {"ticket_volume", "visits", "tag_volume", "stockouts"} == set()

    values = {key for key in after if after[key][0] != before[key][0]}
    assert ("return_rate", "all", order.day) in values
    assert ("order_completion_rate", "all", arrived) in values
    assert {day for _, _, day in values if day not in (order.day, arrived)} <= {
        day for day in ALL_DAYS if arrived and arrived < day <= arrived + timedelta(days=20)
    }

    changeable.dbt("build", "--select", "tag:metrics", "--full-refresh")
    assert {key: value for key, (value, _) in state(changeable).items()} == {
        key: value for key, (value, _) in after.items()
    }


def test_nothing_new_computes_nothing_and_a_tag_only_its_days(changeable: Business):
    before = state(changeable)
    changeable.build("metrics")
    assert state(changeable) == before
    changeable.rows(
        "DELETE FROM tagging.content_tags WHERE content_id ="
        " (SELECT id FROM tagging.contents WHERE external_id = '2024-07-01-1')"
    )
    changeable.build("metrics")
    after = state(changeable)
    computed = {key for key in after if after[key][1] != before[key][1]}
    assert {metric for metric, _, _ in computed} <= {"tag_volume", "tag_share", "tag_lift"}
    assert {day for metric, _, day in computed if metric == "tag_volume"} == {date(2024, 7, 1)}


def test_facts_that_are_taken_away_leave_nothing_behind(changeable: Business):
    changeable.rows("DELETE FROM raw.orders WHERE ordered_at < '2024-06-01 00:00+08'")
    changeable.rows("DELETE FROM raw.sessions; DELETE FROM raw.support_tickets WHERE created_at > '2024-07-20'")
    changeable.rows("DELETE FROM raw.order_items WHERE product_id = '壺'; DELETE FROM raw.inventory")
    changeable.build("metrics")
    incremental = {key: value for key, (value, _) in state(changeable).items()}
    assert min(day for metric, _, day in incremental if metric == "daily_revenue") == date(2024, 6, 1)
    assert {metric for metric, _, _ in incremental} & {"visits", "conversion_rate", "stockouts"} == set()
    assert (f"product:{POT}",) not in {(dimension,) for _, dimension, _ in incremental}
    changeable.dbt("build", "--select", "tag:metrics", "--full-refresh")
    assert {key: value for key, (value, _) in state(changeable).items()} == incremental


# -------------------------------------------------------------------------- businesses that lack something


def test_a_business_without_facts_builds_and_says_nothing(empty: Business):
    empty.build("metrics", "alerts", "insights")
    assert empty.rows("SELECT analytics.as_of_day()") == [(None,)]
    assert empty.rows("SELECT count(*) FROM analytics.fct_business_metrics_daily") == [(0,)]
    ((content,),) = empty.rows("SELECT analytics.get_unified_dashboard_content()")
    assert contracts.validate_unified_content(content) == []
    assert content["alerts"] == content["insights"] == content["recommendations"] == []

    empty.rows(
        "INSERT INTO raw.orders (order_id, ordered_at, status, total_amount, currency)"
        " SELECT n::text, '2024-01-01 04:00+00'::timestamptz + n * interval '1 day', 'shipped', 100, 'TWD'"
        " FROM generate_series(0, 9) AS n"
    )
    empty.build("metrics")
    known = {metric for (metric,) in empty.rows("SELECT metric_name FROM analytics.metrics_current")}
    assert known == {
        "daily_revenue",
        "daily_orders",
        "average_order_value",
        "return_rate",
        "foreign_currency_orders",
    }


# ------------------------------------------------------------------------------------------------- alerts


def test_a_value_beyond_its_limit_is_a_candidate_in_both_languages(built: Business):
    ((severity, value, limit, title_en, title_zh, message_en, message_zh),) = built.rows(
        "SELECT severity, current_value, threshold_value, title_en, title_zh, message_en, message_zh"
        " FROM analytics.alerts_threshold WHERE metric_name = 'payment_failure_rate'"
    )
    day = [order for order in built.orders if order.day == OUTAGE]
    share = sum(order.payment == "failed" for order in day) / len(day)
    assert (severity, float(value), float(limit)) == ("critical", pytest.approx(share, abs=1e-4), 0.25)
    assert title_en == "Payment failure rate above the limit"
    assert title_zh == "付款失敗率超過上限"
    assert message_en == (
        "Payment failure rate: 80.0% on 2024-06-12, 55.0 points above the critical limit of 25.0%."
    )
    assert message_zh == "2024-06-12 付款失敗率 80.0%，高於嚴重門檻 25.0%，相差 55.0 個百分點。"


def test_a_share_of_few_cases_is_no_candidate(changeable: Business):
    changeable.rows("UPDATE raw.orders SET payment_status = 'failed' WHERE order_id = '2024-07-20-0'")
    changeable.build("metrics")
    changeable.dbt("build", "--select", "alerts_threshold")
    day = date(2024, 7, 20)
    assert (series(changeable, "payment_failure_rate")[day] or 0) > 0.1
    assert (
        changeable.rows(
            "SELECT FROM analytics.alerts_threshold"
            " WHERE metric_date = %s AND metric_name = 'payment_failure_rate'",
            day,
        )
        == []
    )


def test_what_detectors_find_is_bad_good_or_news(built: Business):
    found = {
        row[0]: row[1:]
        for row in built.rows(
            "SELECT metric_name, severity, alert_subtype, direction, title_zh, message_en"
            " FROM analytics.alerts_trend_anomaly WHERE alert_type = 'anomaly_detection'"
        )
    }
    revenue = series(built, "daily_revenue")[OUTAGE]
    assert found["daily_revenue"][:4] == ("critical", "drop", "down", "每日營收異常偏低")
    assert f"NT${revenue:,.0f} on 2024-06-12, where about NT$2,400 is usual" in found["daily_revenue"][4]
    assert found["daily_orders"][0] == "info"
    # 200 visits a day are usual, so none is news; two answered tickets are not, so none is no wonder.
    assert found["visits"][:4] == ("warning", "missing", "none", "造訪次數缺少資料")
    assert "avg_response_time" not in found
    assert found["tag_volume"][:4] == ("info", "spike", "up", "「付款失敗」標籤內容數異常偏高")


def test_the_context_of_an_alert_holds_what_was_known_that_day(built: Business):
    documents = built.rows(
        "SELECT metric_name, metric_date, dimension, business_context FROM analytics.business_context"
    )
    assert [fault for *_, document in documents for fault in contracts.validate_business_context(document)] == []
    (context,) = [
        document for metric, day, _, document in documents if (metric, day) == ("payment_failure_rate", OUTAGE)
    ]
    assert context["snapshot_timestamp"] == "2024-06-12T16:00:00Z"
    assert context["day_of_week"] == 3
    assert context["contextual_factors"]["day_of_week"] == "wednesday"
    assert context["contextual_factors"]["recent_events"] == ["Dragon Boat Festival"]
    assert context["triggering_metrics"]["breach_severity"] == "critical"
    assert context["business_indicators"]["daily_revenue"] == series(built, "daily_revenue")[OUTAGE]
    assert {alert["metric"] for alert in context["related_alerts"]} == {
        "api_response_time", "daily_orders", "daily_revenue", "order_completion_rate", "tag_volume",
        "visits",
    }  # fmt: skip
    assert context["business_impact"]["affected_customers"] == 24
    value = context["business_impact"]["revenue_impact"]
    orders = [v for day, v in series(built, "average_order_value").items() if day <= OUTAGE][-28:]
    assert value["amount"] == pytest.approx(24 * np.mean([v for v in orders if v is not None]), abs=1)
    assert value["text"] == f"NT${value['amount']:,}/day"
    # Churn was not known yet, and nothing stands in its place.
    assert "customer_churn_rate" not in str(context)
    assert [metric for metric, day, dimension, _ in documents if day == LAST and dimension == "all"]


# ---------------------------------------------------------------------------------- insights and functions


def test_insights_name_the_alert_and_the_tags_they_rest_on(built: Business):
    ((title, description, actions, rests_on),) = built.rows(
        "SELECT title_zh, description_zh, action_items_zh, rests_on FROM analytics.business_insights"
        " WHERE rule_id = 'payments_fail'"
    )
    assert title == "付款失敗造成訂單流失"
    assert description.startswith("2024-06-12 付款失敗率 80.0%")
    assert description.endswith("這段期間的內容特別常提到「付款失敗」。")
    assert "在結帳頁提供備用付款方式" in actions
    assert rests_on["alerts"] == ["00000000-0000-0000-0000-000000000001"]
    assert rests_on["metrics"] == ["payment_failure_rate"]
    assert rests_on["tags"] == [tag for (tag,) in built.rows("SELECT id FROM tagging.tags")]
    assert [row[0] for row in built.rows("SELECT rule_id FROM analytics.business_insights")].count(
        "stock_runs_out"
    )


def test_every_insight_and_recommendation_keeps_to_its_schema(built: Business):
    with create_pool(built.url) as pool:
        insights = business_quality.insight_documents(pool, "default")
        advice = business_quality.recommendation_documents(pool, "default")
    assert len(insights) >= 4
    assert len(advice) >= 4
    assert {locale for locale, _ in insights + advice} == {"en", "zh-Hant"}
    assert [fault for _, row in insights for fault in contracts.validate_insight(row)] == []
    assert [fault for _, row in advice for fault in contracts.validate_recommendation(row)] == []
    texts = built.rows(
        "SELECT title || description || title_zh || description_zh FROM analytics.business_insights UNION ALL"
        " SELECT title || description || title_zh || description_zh FROM analytics.strategic_recommendations"
    )
    assert [text for (text,) in texts if "{" in text] == []


def test_the_unified_content_speaks_both_languages(built: Business):
    ((english, chinese, default),) = built.rows(
        "SELECT analytics.get_unified_dashboard_content('en'), analytics.get_unified_dashboard_content('zh-Hant'),"
        " analytics.get_unified_dashboard_content() - 'last_updated'"
    )
    assert contracts.validate_unified_content(english) == []
    assert contracts.validate_unified_content(chinese) == []
    assert default == {name: part for name, part in chinese.items() if name != "last_updated"}
    assert english["alerts"][0]["title"] == "Payment failure rate above the limit"
    assert chinese["alerts"][0]["action"] == "檢視付款失敗率詳情"
    assert chinese["recommendations"][0]["title"] == "建立備援付款管道"
    assert chinese["recommendations"][0]["timeline"] == "2-6 週"
    saving = chinese["recommendations"][0]["business_context"]
    assert saving["source_alert_id"] == "00000000-0000-0000-0000-000000000001"
    assert saving["potential_cost_saving"].startswith("NT$")
    assert saving["potential_cost_saving"].endswith("/日")
    assert {insight["category"] for insight in chinese["insights"]} >= {"財務", "營運"}


def test_functions_answer_by_the_names_of_the_design(built: Business):
    metrics = dict(built.rows("SELECT metric_name, current_value FROM analytics.get_current_business_metrics()"))
    assert metrics["stockouts"] == 1
    rows = built.rows("SELECT metric_name, business_context FROM analytics.calculate_business_metrics()")
    assert {name for name, _ in rows} == set(metrics)
    assert all(document["triggering_metrics"]["primary_metric"] == name for name, document in rows)
    ((trend, period),) = built.rows(
        "SELECT revenue_trend_pct, trend_period FROM analytics.calculate_trend_metrics()"
    )
    assert (float(trend), period) == (series(built, "revenue_trend_pct")[LAST], "7_days")
    assert {row[3] for row in built.rows("SELECT * FROM analytics.check_and_generate_alerts(%s)", OUTAGE)} == {
        "api_response_time", "order_completion_rate", "payment_failure_rate",
    }  # fmt: skip
    found = built.rows("SELECT metric_name FROM analytics.check_trend_and_anomaly_alerts(%s)", OUTAGE)
    assert {metric for (metric,) in found} >= {"daily_orders", "daily_revenue", "tag_volume"}
    assert len(built.rows("SELECT * FROM analytics.get_ltv_trend_analysis()")) == 7
    assert built.rows("SELECT product_id, status FROM analytics.get_inventory_overview() LIMIT 1") == [
        (POT, "out")
    ]
    assert built.rows("SELECT analytics.get_metric_category('avg_response_time')") == [("customer_service",)]
    assert built.rows("SELECT analytics.get_metric_category('unheard_of')") == [("general",)]
    assert built.rows("SELECT analytics.get_seasonal_factor('2024-06-10')") == [("holiday",)]
    assert built.rows("SELECT analytics.is_business_hours('2024-06-11 01:00+00')") == [(True,)]
    assert built.rows("SELECT analytics.is_business_hours('2024-06-10 01:00+00')") == [(False,)]
    assert built.rows("SELECT analytics.is_business_hours('2024-06-11 10:00+00')") == [(False,)]
    assert built.rows("SELECT analytics.get_operational_impact_level('payment_failure_rate')") == [("high",)]
    assert built.rows("SELECT analytics.estimate_affected_customers('payment_failure_rate', 0.5, 40)") == [(20,)]
    ((cost,),) = built.rows("SELECT analytics.estimate_revenue_impact('payment_failure_rate', 0.5)")
    assert cost > 0
    assert built.rows("SELECT analytics.estimate_revenue_impact('visits', 1)") == [(None,)]
    # Less than a coin is no impact.
    assert built.rows("SELECT analytics.estimate_revenue_impact('daily_revenue', 0, 1, 0.04, 10)") == [(None,)]


def test_ltv_is_revenue_by_cohort(built: Business):
    first: dict[str, date] = {}
    for order in sales(built):
        if order.currency == "TWD":
            first[order.customer] = min(first.get(order.customer, date.max), order.day)
    march = {customer for customer, day in first.items() if (day.year, day.month) == (2024, 3)}
    spent = sum(order.amount for order in sales(built) if order.customer in march and order.currency == "TWD")
    ((customers, ltv),) = built.rows(
        "SELECT customers, ltv FROM analytics.ltv_trend WHERE cohort_month = '2024-03-01'"
    )
    assert (customers, float(ltv)) == (len(march), pytest.approx(spent / len(march), abs=1e-3))


def test_any_past_context_can_be_read_again(changeable: Business):
    query = (
        "SELECT business_context #>> '{business_indicators,daily_revenue}', dbt_valid_to IS NULL"
        " FROM snapshots.snap_business_context WHERE metric_name = 'payment_failure_rate' AND metric_date = %s"
        " ORDER BY dbt_valid_from"
    )
    old = changeable.rows(query, OUTAGE)
    assert [current for _, current in old] == [True]
    changeable.rows("UPDATE raw.orders SET total_amount = total_amount + 1000 WHERE order_id = %s", f"{OUTAGE}-0")
    changeable.build("metrics", "alerts", "insights")
    versions = changeable.rows(query, OUTAGE)
    assert [current for _, current in versions] == [False, True]
    assert versions[0][0] == old[0][0]
    assert float(versions[1][0]) == float(versions[0][0]) + 1000
    assert changeable.rows("SELECT count(*) FROM snapshots.snap_dashboard_alerts") == [(1,)]


def test_people_may_change_thresholds(changeable: Business):
    changeable.rows("UPDATE analytics.metric_thresholds SET critical_threshold = 0.99, enabled = false")
    changeable.dbt("seed", "--select", "metric_thresholds")
    assert changeable.rows(
        "SELECT critical_threshold, enabled FROM analytics.metric_thresholds"
        " WHERE metric_name = 'payment_failure_rate'"
    ) == [(pytest.approx(0.25), True)]


def test_every_unit_test_of_a_metric_passes(built: Business):
    built.dbt("test", "--select", "test_type:unit")


def test_functions_wait_for_the_first_build(empty: Business):
    notices: list[str] = []
    with psycopg.connect(empty.url) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        for call in (
            "calculate_business_metrics()",
            "get_current_business_metrics()",
            "check_and_generate_alerts()",
            "check_trend_and_anomaly_alerts()",
            "calculate_trend_metrics()",
            "calculate_metric_trends('daily_revenue')",
            "generate_business_insights()",
            "generate_strategic_recommendations('zh-Hant')",
            "get_ltv_trend_analysis()",
            "get_inventory_overview()",
            "calculate_risk_forecast()",
        ):
            assert connection.execute(f"SELECT * FROM analytics.{call}".encode()).fetchall() == []
    assert "analytics.metrics_current is not built yet" in notices
    ((content, refresh),) = empty.rows(
        "SELECT analytics.get_unified_dashboard_content(), analytics.refresh_all_alerts_and_insights()"
    )
    assert contracts.validate_unified_content(content) == []
    assert refresh["counts"] == {}
