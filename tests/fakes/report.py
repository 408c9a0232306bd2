"""Facts of a business for tests of the report: a shop with open incidents, in English and 繁體中文."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import sin

from tagging_orchestration.core.business.report import (
    Alert,
    Business,
    Cohort,
    Evidence,
    EvidenceRow,
    EvidenceTag,
    Forecast,
    Grounds,
    Incident,
    Insight,
    Lineage,
    Metric,
    MissingDay,
    Phrase,
    Recommendation,
    Rejection,
    ReportFacts,
    SampleText,
    Series,
    SourceState,
    Stock,
    TagCounts,
)

AS_OF = date(2026, 10, 31)
BUSINESS = Business("default", Phrase("Lantern & Leaf", "燈籠與葉"), "Asia/Taipei", "TWD", "en")
GENERATED_AT = datetime(2026, 11, 1, 1, 5, tzinfo=UTC)
NAMES = {
    "daily_revenue": ("Daily revenue", "每日營收", "money", True),
    "daily_orders": ("Orders a day", "每日訂單數", "orders", True),
    "average_order_value": ("Average order", "平均客單價", "money", True),
    "active_customers": ("Active customers", "活躍顧客數", "orders", True),
    "conversion_rate": ("Conversion rate", "轉換率", "share", True),
    "late_delivery_rate": ("Late deliveries", "延遲出貨率", "share", False),
    "payment_failure_rate": ("Failed payments", "付款失敗率", "share", False),
    "avg_response_time": ("Time to first answer", "平均回應時間", "minutes", False),
    "customer_satisfaction_rate": ("Satisfied customers", "顧客滿意度", "share", True),
    "ticket_volume": ("Tickets", "客服單量", "orders", None),
    "visits": ("Visits", "造訪數", "orders", True),
}
LEVELS = {
    "daily_revenue": 96_400.0,
    "daily_orders": 44.0,
    "average_order_value": 2190.9,
    "active_customers": 912.0,
    "conversion_rate": 0.0312,
    "late_delivery_rate": 0.041,
    "payment_failure_rate": 0.018,
    "avg_response_time": 74.2,
    "customer_satisfaction_rate": 0.861,
    "ticket_volume": 14.0,
    "visits": 1410.0,
}
LABELS = {name: Phrase(said[0], said[1]) for name, said in NAMES.items()}


def series(level: float, growth: float = 0.0) -> Series:
    """90 days around a level with a weekly wave; the last six days are `growth` higher."""
    values = [level * (1 + 0.08 * sin(day * 0.9) + 0.05 * sin(day * 2.3)) for day in range(84)]
    values += [level * (1 + growth * (0.5 + day / 10)) for day in range(6)]
    return Series(AS_OF - timedelta(days=89), tuple(values))


def metric(name: str, trend: float = 1.5, value: float | None = None) -> Metric:
    """A metric of the whole business."""
    _, _, unit, better = NAMES[name]
    known = LEVELS[name] if value is None else value
    return Metric(
        name, "all", LABELS[name], "operations", unit, known, AS_OF, better, None, None, trend, trend / 2
    )


def alert(
    number: int,
    metric_name: str = "avg_response_time",
    *,
    severity: str = "critical",
    incident: str | None = "incident-1",
    days_ago: int = 5,
    evidence: Evidence | None = None,
    closed_on: date | None = None,
    title: Phrase = Phrase("Time to first answer is far too long", "平均回應時間過長"),
    message: Phrase = Phrase(
        "It takes 412 minutes until a customer gets an answer; the limit is 120.",
        "顧客平均等候 412 分鐘才得到回覆，門檻為 120 分鐘。",
    ),
) -> Alert:
    """One alert on a metric of the whole business."""
    return Alert(
        id=f"alert-{number}",
        incident_id=incident,
        metric_name=metric_name,
        dimension="all",
        alert_type="threshold_breach",
        alert_subtype="static",
        severity=severity,  # pyright: ignore[reportArgumentType]
        priority="high",
        direction="up",
        title=title,
        message=message,
        current_value=412.0,
        threshold_value=120.0,
        metric_date=AS_OF - timedelta(days=days_ago),
        last_metric_date=closed_on or AS_OF,
        closed_on=closed_on,
        evidence=evidence or Evidence(),
    )


BACKLOG = Evidence(
    tags=(
        EvidenceTag(11, "no reply", 9, 11.3, 0.0004, (101, 102)),
        EvidenceTag(12, "客服回覆慢", 6, 15.0, 0.0011, (103,)),
        EvidenceTag(13, "refund", 5, 2.4, 0.061, (102,)),
    ),
    rows=(
        EvidenceRow(
            "raw.support_tickets", "TCK-0219", Phrase("first answer after 1,312 minutes", "1,312 分鐘後才首次回覆")
        ),
        EvidenceRow("raw.support_tickets", "TCK-0224", Phrase("no answer yet", "至今尚未回覆")),
    ),
    lineage=(Lineage(101, "sample", "TCK-0219", "raw.support_tickets", "TCK-0219"),),
)
SAMPLES = {
    101: SampleText(
        101,
        "sample",
        "TCK-0219",
        "ticket",
        "Fourth day without an answer",
        "I wrote on Monday about a grinder that arrived with a bent axle, and nobody has answered. "
        "Please call 02-2345-6789 or write to mei.lin@mail.example, I would rather not ask my bank.",
        AS_OF - timedelta(days=2),
    ),
    102: SampleText(
        102,
        "sample",
        "TCK-0224",
        "ticket",
        "Still waiting for my refund",
        "Two messages, no reply. The refund was promised last week.",
        AS_OF - timedelta(days=1),
    ),
    103: SampleText(
        103,
        "sample",
        "TCK-0226",
        "ticket",
        "請問有人在嗎",
        "寄了三封信都沒有人回，訂單 20261026 到現在還是處理中，電話也一直忙線。想取消也找不到人處理，真的很無奈。",
        AS_OF,
    ),
}


def facts() -> ReportFacts:
    """The last day of October 2026: a support backlog is open, five older incidents are over."""
    past = [
        (
            "incident-2",
            "critical",
            "Payments fail",
            "付款大量失敗",
            date(2026, 3, 10),
            2,
            ("payment failed", "信用卡"),
        ),
        (
            "incident-3",
            "warning",
            "Deliveries are late",
            "出貨延遲",
            date(2025, 12, 7),
            16,
            ("delivery delay", "物流"),
        ),
        (
            "incident-4",
            "warning",
            "Returns of the electric kettle",
            "電熱水壺退貨增加",
            date(2026, 6, 9),
            15,
            ("漏水",),
        ),
        ("incident-5", "critical", "A price far off its list price", "售價嚴重偏離定價", date(2026, 8, 12), 1, ()),
        (
            "incident-6",
            "info",
            "Demand for the pour over set",
            "手沖組熱賣",
            date(2026, 9, 6),
            14,
            ("video", "影片"),
        ),
    ]
    incidents = [
        Incident(id, severity, Phrase(en, zh), day, day + timedelta(days=length - 1), False, causes)  # pyright: ignore[reportArgumentType]
        for id, severity, en, zh, day, length, causes in past
    ]
    incidents.append(
        Incident(
            "incident-1",
            "critical",
            Phrase("Support does not keep up: answers take hours", "客服應接不暇：回覆需等候數小時"),
            AS_OF - timedelta(days=5),
            AS_OF,
            True,
            ("no reply", "客服回覆慢"),
        )
    )
    return ReportFacts(
        business=BUSINESS,
        generated_at=GENERATED_AT,
        as_of=AS_OF,
        computed=True,
        labels=LABELS,
        metrics=tuple(
            metric(name, 212.0, 412.0) if name == "avg_response_time" else metric(name, -3.1 + number)
            for number, name in enumerate(NAMES)
        ),
        series={
            (name, "all"): series(LEVELS[name], 4.0 if name == "avg_response_time" else 0.05) for name in NAMES
        },
        alerts=(
            alert(1, evidence=BACKLOG),
            alert(
                2,
                "ticket_volume",
                severity="warning",
                days_ago=3,
                title=Phrase("Many more tickets than usual", "客服單量異常增加"),
                message=Phrase(
                    "31 tickets came in; 14 are usual on such a day.", "收到 31 張客服單，平常這天約 14 張。"
                ),
            ),
            alert(
                3,
                "visits",
                severity="info",
                incident=None,
                days_ago=0,
                title=Phrase("More visits than usual", "造訪數高於平常"),
                message=Phrase("1,940 visits; 1,410 are usual.", "造訪 1,940 次，平常約 1,410 次。"),
            ),
            alert(
                4,
                "payment_failure_rate",
                incident="incident-2",
                days_ago=235,
                closed_on=date(2026, 3, 12),
                message=Phrase("46% of payments failed; the limit is 10%.", "有 46% 的付款失敗，門檻為 10%。"),
            ),
        ),
        incidents=tuple(incidents),
        samples=SAMPLES,
        insights=(
            Insight(
                "insight-1",
                "warning",
                "customer_service",
                Phrase("Support needs to answer faster", "客服回應效率需改善"),
                Phrase(
                    "The first answer takes 412 minutes, 3.4 times the limit; people write of “no reply”.",
                    "平均回應時間 412 分鐘，為門檻的 3.4 倍；顧客提到「客服回覆慢」。",
                ),
                "high",
                0.85,
                (
                    Phrase("Add people to the queue", "增加人力配置"),
                    Phrase("Answer refunds first", "優先處理退款"),
                ),
                Grounds(("alert-1", "alert-2"), ("avg_response_time",), ("no reply", "客服回覆慢"), ()),
            ),
        ),
        recommendations=(
            Recommendation(
                "recommendation-1",
                "customer_service",
                Phrase("Staff the support desk for the holiday season", "為年底旺季補足客服人力"),
                Phrase(
                    "Tickets grow before December, and answers already lag.",
                    "旺季前客服單持續增加，回覆速度已落後。",
                ),
                "high",
                "medium",
                85,
                0.9,
                Phrase("2 to 4 weeks", "2–4 週"),
                Grounds(("alert-1",), ("avg_response_time", "ticket_volume"), (), ()),
            ),
        ),
        forecasts=tuple(
            Forecast(
                name,
                "all",
                LABELS[name],
                NAMES[name][2],
                7,
                AS_OF + timedelta(days=7),
                value,
                value * 0.8,
                value * 1.2,
                limit,
                probability,
                level,
                "ets",
            )
            for name, value, limit, probability, level in (
                ("avg_response_time", 362.0, 120.0, 0.97, "極高"),
                ("late_delivery_rate", 0.046, 0.15, 0.03, "低"),
            )
        ),
        cohorts=tuple(
            Cohort(date(2026, month, 1), 60 + month * 3, 5200.0 - month * 330, 1900.0 + month * 21, 1.2)
            for month in range(1, 11)
        ),
        stock=(
            Stock("DR-PO02", "Pour over set / 手沖組", 0, 3.2, 0.0, "out"),
            Stock("KT-EL08", "Electric kettle / 電熱水壺", 46, 1.9, 24.2, "ok"),
        ),
        tags=(
            TagCounts(11, "no reply", 9, 2, (0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 3, 6)),
            TagCounts(12, "客服回覆慢", 6, 1, (0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 5)),
            TagCounts(14, "iced coffee", 0, 21, (4, 3, 4, 2, 3, 2, 2, 1, 0, 0, 0, 0)),
            TagCounts(15, "shipping", 4, 12, (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
        ),
        contents_recent=30,
        contents_before=88,
        sources=(
            SourceState(
                "orders",
                "done",
                AS_OF,
                90,
                14_800,
                (Rejection("total_amount", "bad_value", 2), Rejection("ordered_at", "bad_date", 1)),
            ),
            SourceState("sessions", "done", AS_OF - timedelta(days=4), 86, 412),
            SourceState("reviews", "", AS_OF - timedelta(days=4), 20),
        ),
        missing_days=(MissingDay(LABELS["visits"], date(2026, 10, 4)),),
    )


def quiet() -> ReportFacts:
    """The same business on a day without alerts."""
    return replace(facts(), alerts=(), incidents=(), insights=(), recommendations=(), forecasts=())
