"""The facts of the executive health report, read from the relations of dbt (here made by hand) and the alerts."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.report import Grounds, Phrase, Rejection, build_report
from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.storage.report import read_facts
from tests.storage.builders import add_contents, add_tags
from tests.storage.business_relations import AS_OF, add_alert, open_business, orders_until, run


@pytest.fixture
def business(pool: ConnectionPool) -> ConnectionPool:
    """The database of a business."""
    open_business(pool)
    return pool


def test_nothing_is_needed_for_a_report(pool: ConnectionPool):
    facts = read_facts(pool, "default")
    assert (facts.as_of, facts.computed) == (None, False)
    assert facts.business.name == Phrase("Our business", "本公司")
    assert build_report(facts).health.level == "unknown"


def test_facts_without_metrics_say_where_they_end(pool: ConnectionPool):
    with pool.connection() as connection:
        orders_until(connection, AS_OF)
    facts = read_facts(pool, "default")
    assert facts.as_of == AS_OF
    assert not facts.computed
    assert [(source.source, source.last_day, source.days) for source in facts.sources] == [("orders", AS_OF, 7)]


def test_metrics_have_their_last_value_trend_and_days(business: ConnectionPool):
    facts = read_facts(business, "default")
    assert facts.business.name.of("zh-Hant") == "燈籠與葉"
    assert (facts.business.locale, facts.business.currency) == ("zh-Hant", "TWD")
    metrics = {metric.metric_name: metric for metric in facts.metrics}
    revenue, response = metrics["daily_revenue"], metrics["avg_response_time"]
    assert (revenue.value, revenue.day, revenue.trend_7d_pct, revenue.trend_30d_pct) == (100.0, AS_OF, 4.5, -2.0)
    assert (response.value, response.day, response.trend_7d_pct) == (99.0, AS_OF - timedelta(days=1), None)
    assert (response.critical_threshold, response.is_higher_better) == (480.0, False)
    series = facts.series["avg_response_time", "all"]
    assert len(series.values) == 90
    assert (series.values[0], series.values[-2], series.values[-1]) == (11.0, 99.0, None)


def test_open_alerts_come_with_evidence_and_the_texts_it_names(business: ConnectionPool):
    sample, deleted, later = add_contents(business, "沒有人回信", "gone", "written later")
    run(
        business,
        ("UPDATE tagging.contents SET created_at = %s", [f"{AS_OF} 23:00+08"]),
        ("UPDATE tagging.contents SET deleted_at = now() WHERE id = %s", [deleted]),
        (
            "UPDATE tagging.contents SET created_at = %s WHERE id = %s",
            [f"{AS_OF + timedelta(days=1)} 00:00+08", later],
        ),
    )
    evidence = {
        "top_tags": [
            {
                "tag_id": 7,
                "tag": "客服回覆慢",
                "count": 6,
                "baseline": 1,
                "lift": 12.0,
                "q_value": 0.01,
                "sample_ids": [sample, deleted, later],
            }
        ],
        "top_rows": [{"table": "raw.support_tickets", "id": "T-1", "why": "slow", "why_zh": "過慢"}],
        "lineage": [
            {
                "content_id": sample,
                "source": "notes",
                "external_id": "a",
                "table": "raw.support_tickets",
                "id": "T-1",
            }
        ],
    }
    add_alert(business, AS_OF - timedelta(days=3), AS_OF, evidence=evidence)
    facts = read_facts(business, "default")
    (found,) = facts.alerts
    assert found.title == Phrase("Slow answers", "Slow")
    assert found.message == Phrase("Now 500", "現在 500")
    assert found.closed_on is None
    assert found.evidence.tags[0].usual == pytest.approx(0.5)
    assert found.evidence.rows[0].why == Phrase("slow", "過慢")
    assert found.evidence.lineage[0].external_id == "a"
    assert set(facts.samples) == {sample}
    (situation,) = build_report(facts).situations
    assert [quote.excerpt for quote in situation.quotes] == ["沒有人回信"]


def test_corrected_and_long_gone_alerts_are_no_history(business: ConnectionPool):
    add_alert(
        business, AS_OF - timedelta(days=9), AS_OF - timedelta(days=9), state="resolved", resolution="corrected"
    )
    add_alert(business, AS_OF - timedelta(days=400), AS_OF - timedelta(days=399), state="resolved")
    assert read_facts(business, "default").alerts == ()


def test_a_past_day_is_told_as_it_was(business: ConnectionPool):
    """On the day the alert was open, at another value, and its evidence was the first."""
    day, first, last = AS_OF - timedelta(days=20), AS_OF - timedelta(days=22), AS_OF - timedelta(days=18)
    run(
        business,
        (
            """
            INSERT INTO analytics.alert_incidents
                (id, state, severity, title, texts, opened_on, last_seen_on, closed_at, causes)
            VALUES (
                'c0000000-0000-0000-0000-000000000001', 'closed', 'critical', 'Backlog',
                '{"zh-Hant": {"title": "客服積壓"}}', %s, %s, %s, '[{"tag_id": 7, "tag": "客服回覆慢"}]'
            )
            """,
            [first, last, f"{last + timedelta(days=2)} 00:00+08"],
        ),
        (
            """
            INSERT INTO analytics.alerts_threshold
            SELECT
                'default', 'avg_response_time', 'all', %s::date + n, 'threshold_breach', 'warning', 'up', 100 * n,
                480, 'Slow', '慢', 'Value ' || 100 * n, '數值 ' || 100 * n
            FROM generate_series(0, 4) AS n
            """,
            [first],
        ),
        ("INSERT INTO analytics.ltv_trend VALUES ('default', '2026-09-01', 3, 900, 500, NULL)", []),
    )
    add_alert(business, first, last, state="resolved", incident="c0000000-0000-0000-0000-000000000001")

    then = read_facts(business, "default", day)
    assert (then.as_of, then.past) == (day, True)
    (found,) = then.alerts
    assert (found.closed_on, found.last_metric_date) == (None, day)
    assert (found.message, found.severity, found.current_value) == (
        Phrase("Value 200", "數值 200"),
        "warning",
        200.0,
    )
    assert [tag.name for tag in found.evidence.tags] == ["then"]
    assert [(incident.open, incident.last_seen_on, incident.causes) for incident in then.incidents] == [
        (True, day, ("客服回覆慢",))
    ]
    assert then.metrics[-1].value == 80.0
    assert then.cohorts == ()
    assert len(build_report(then).situations) == 1

    now = read_facts(business, "default")
    (over,) = now.alerts
    assert over.closed_on == last + timedelta(days=1)
    assert over.message == Phrase("Now 500", "現在 500")
    assert [incident.open for incident in now.incidents] == [False]
    assert [cohort.value for cohort in now.cohorts] == [900.0]
    assert build_report(now).situations == ()


def test_days_before_and_after_what_is_known(business: ConnectionPool):
    assert read_facts(business, "default", AS_OF + timedelta(days=9)).as_of == AS_OF
    assert not read_facts(business, "default", AS_OF + timedelta(days=9)).past
    with pytest.raises(UnknownName, match="no metric is known on 2024-01-01"):
        read_facts(business, "default", date(2024, 1, 1))


def test_insights_and_recommendations_name_what_they_rest_on(business: ConnectionPool):
    (tag,) = add_tags(business, "客服回覆慢")
    rests_on = Jsonb(
        {
            "alerts": ["a1"],
            "metrics": ["daily_revenue"],
            "tags": [tag.id, 99],
            "rows": [{"table": "raw.orders", "id": "o1", "why": "late", "why_zh": "延遲"}],
        }
    )
    run(
        business,
        (
            """
            INSERT INTO analytics.business_insights VALUES (
                'default', 'i1', 'warning', 'customer_service', 'Answer faster', '加快回覆', 'Because', '因為',
                'high', 0.85, '{Add people, Answer refunds}', '{增加人力}', %s
            )
            """,
            [rests_on],
        ),
        (
            """
            INSERT INTO analytics.strategic_recommendations VALUES (
                'default', 'r1', 'operations', 'Staff up', '補足人力', 'Because', '因為', 'high', 'medium', 85,
                0.9, '2 to 4 weeks', '2–4 週', %s
            )
            """,
            [rests_on],
        ),
    )
    facts = read_facts(business, "default")
    grounds = Grounds(("a1",), ("daily_revenue",), ("客服回覆慢",), ("raw.orders o1",))
    assert facts.insights[0].grounds == facts.recommendations[0].grounds == grounds
    assert facts.insights[0].actions == (Phrase("Add people", "增加人力"), Phrase("Answer refunds", ""))
    assert facts.recommendations[0].timeline == Phrase("2 to 4 weeks", "2–4 週")
    past = read_facts(business, "default", AS_OF - timedelta(days=1))
    assert (past.insights, past.recommendations) == ((), ())


def test_insights_have_the_order_of_the_unified_content(business: ConnectionPool):
    run(
        business,
        (
            """
            INSERT INTO analytics.business_insights
                (organization_id, insight_id, insight_type, category, title, description, impact_level,
                confidence_score)
            VALUES
                ('default', 'd', 'warning', 'general', 'x', 'x', 'low', 0.9),
                ('default', 'c', 'opportunity', 'general', 'x', 'x', 'high', 0.9),
                ('default', 'b', 'warning', 'general', 'x', 'x', 'high', 0.5),
                ('default', 'a', 'warning', 'general', 'x', 'x', 'high', 0.7)
            """,
            [],
        ),
    )
    report = build_report(read_facts(business, "default"))
    assert [insight.id for insight in report.insights] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("rests_on", "rows"),
    [
        ({"products": ["KT-EL08"]}, ("inventory_overview KT-EL08",)),
        ({"cohorts": ["2026-09-01"]}, ("ltv_trend 2026-09-01",)),
        ({"metrics": ["visits"], "method": "ets"}, ("risk_forecast visits (ets)",)),
        ({"tags": None}, ()),
    ],
)
def test_grounds_other_than_alerts_are_rows_of_models(business: ConnectionPool, rests_on: dict, rows: tuple):
    run(
        business,
        (
            """
            INSERT INTO analytics.business_insights
                (organization_id, insight_id, insight_type, category, title, description, impact_level, rests_on)
            VALUES ('default', 'i1', 'opportunity', 'general', 'x', 'x', 'low', %s)
            """,
            [Jsonb(rests_on)],
        ),
    )
    (insight,) = read_facts(business, "default").insights
    assert insight.grounds.rows == rows
    assert insight.title == Phrase("x", "")


def test_forecasts_stock_tags_and_gaps(business: ConnectionPool):
    run(
        business,
        (
            """
            INSERT INTO analytics.risk_forecast (
                metric_name, horizon_days, target_date, forecast, lower, upper, threshold_value, probability,
                level, method
            )
            VALUES
                ('avg_response_time', 7, '2026-11-06', 400, 300, 500, 480, 0.2, '中', 'ets'),
                ('avg_response_time', 30, '2026-11-29', 500, 300, 900, 480, 0.6, '高', 'ets'),
                ('daily_revenue', 7, '2026-10-29', 1, 1, 1, NULL, 0, '低', 'naive')
            """,
            [],
        ),
        (
            """
            INSERT INTO analytics.inventory_overview VALUES
                ('default', 'B', 'Kettle', 46, 56, 23.0, 'ok'), ('default', 'A', '手沖組', 0, 84, 0, 'out')
            """,
            [],
        ),
        (
            """
            INSERT INTO analytics.fct_tag_metrics_daily
            SELECT 'default', '2026-10-30'::date - n, t.id, t.name, CASE WHEN n < t.days THEN 1 ELSE 0 END, 4
            FROM (VALUES (1, '退款', 28), (2, 'gone', 0), (3, 'old', 112)) AS t (id, name, days),
                generate_series(0, 119) AS n
            """,
            [],
        ),
        (
            """
            INSERT INTO analytics.anomaly_scores (
                metric_name, metric_date, score, threshold, is_anomaly, kind, direction, detector_version
            )
            VALUES ('daily_revenue', '2026-10-12', 9, 3, true, 'missing', 'none', '1'),
                ('daily_revenue', '2026-07-12', 9, 3, true, 'missing', 'none', '1')
            """,
            [],
        ),
    )
    facts = read_facts(business, "default")
    assert [(forecast.horizon_days, forecast.level) for forecast in facts.forecasts] == [(30, "高")]
    assert [(item.product_id, item.sold_per_day, item.status) for item in facts.stock] == [
        ("A", 3.0, "out"),
        ("B", 2.0, "ok"),
    ]
    tags = {tag.name: tag for tag in facts.tags}
    assert set(tags) == {"退款", "old"}
    assert (tags["退款"].recent, tags["退款"].before, tags["退款"].weekly) == (28, 0, (0,) * 12 + (7,) * 4)
    assert (tags["old"].recent, tags["old"].before) == (28, 84)
    assert (facts.contents_recent, facts.contents_before) == (28 * 4, 84 * 4)
    assert [(gap.label.zh, gap.day) for gap in facts.missing_days] == [("每日營收", date(2026, 10, 12))]


def test_loads_tell_what_they_refused(business: ConnectionPool):
    with business.connection() as connection:
        for status, rejected in (("done", 5), ("done", 2)):
            row = connection.execute(
                """
                INSERT INTO tagging.source_loads (source, location, status, rows_read)
                VALUES ('business.orders', 'orders.csv', %s, 40)
                RETURNING id
                """,
                [status],
            ).fetchone()
            assert row is not None
            for number in range(rejected):
                connection.execute(
                    """
                    INSERT INTO tagging.rejected_rows
                        (load_id, source, location, row_number, column_name, code, message)
                    VALUES (%s, 'business.orders', 'orders.csv', %s, 'total_amount', 'bad_value', 'negative')
                    """,
                    [row[0], number],
                )
        connection.execute(
            """
            INSERT INTO tagging.source_loads (source, location, status, error)
            VALUES
                ('business.reviews', 'reviews.csv', 'failed', 'no such file'),
                ('sample', 'x', 'failed', 'not ours')
            """
        )
    sources = {source.source: source for source in read_facts(business, "default").sources}
    assert set(sources) == {"orders", "reviews"}
    assert sources["orders"].rejected == (Rejection("total_amount", "bad_value", 2),)
    assert (sources["orders"].rows, sources["orders"].last_day) == (40, AS_OF)
    assert (sources["reviews"].status, sources["reviews"].error) == ("failed", "no such file")
