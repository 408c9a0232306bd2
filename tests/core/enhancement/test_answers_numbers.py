"""Numbers of answers: those of the data in any notation are silent, others are flagged as they are written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tagging_orchestration.core.enhancement.forms import form_of
from tagging_orchestration.core.enhancement.numbers import MOST_FLAGS, KnownNumbers, unsupported_numbers
from tests.core.enhancement.answer_samples import EN, EVIDENCE, VARIABLES, ZH, parsed

KNOWN = KnownNumbers(VARIABLES, *(f"{item.ref} {item.label}" for item in EVIDENCE))
FORM = form_of("alert_enhancement.v1")


def flagged(text: str, path: str = "summary", known: KnownNumbers = KNOWN) -> list[str]:
    return unsupported_numbers({path: text}, FORM, known)


@pytest.mark.parametrize(
    "text",
    [
        # as the data say it, rounded and cut
        "平均回應時間 125.5 分鐘",
        "約 126 分鐘",
        "125 分鐘",
        "125.50 minutes",
        "１２５．５ 分鐘",
        # in other notations
        "每日營收 145,000 元",
        "每日營收 14.5 萬元",
        "營收約 15 萬",
        "NT$145K",
        "0.145 million TWD",
        "14萬5千元",
        "1萬2千元",
        "TWD12000",
        "每日損失 NT$12,000",
        "每日損失新台幣 1.2 萬元",
        "NT$12,000/day",
        "訂單完成率 87%",
        "完成率 0.87",
        "87 percent of orders",
        "完成率約八成七",
        "客戶成長 15.2%",
        "成長約 15%",
        "成長一成五",
        "百分之十五的成長",
        "效率下降 3.1%",
        "-3.1%",
        "下降 3.1 個百分點",
        # counts
        "1,250 名活躍客戶",
        "約 1300 名客戶",
        "1.25k customers",
        "逾 1,200 名客戶",
        "over 1,200 customers",
        "一百八十位高價值客戶",
        "三百二十名客戶",
        "41 篇工單",
        "頻率為平常的 3.4 倍",
        "order 8841",
        # what the value and its threshold give
        "超出門檻 5.5 分鐘",
        "高出約 4.6%",
        "4.6 percent above the limit",
        "達門檻的 105%",
        # days and times
        "2025-08-07",
        "2025/8/5 起",
        "8 月 7 日",
        "8月7日10:30",
        "18:30 時",
        "Aug 7, 2025",
        "on 7 August",
        "從 8/5 開始",
        "2025年8月",
        "in August 2025",
        "FY2025",
        "上午 10 點半",
        "5-7 August",
        "8月5日至7日",
        "過去 7 天",
        "8 hours ago",
        # no statements of fact
        "三個原因",
        "3 項措施",
        "第 12 點",
        "P95 延遲",
        "24/7 客服",
        "7x24 support",
        "24 小時客服",
        "80/20 法則",
        "Q3 業績",
        "top 10 customers",
        "前 10 大客戶",
        "GPT-4o 與 B2B",
        "version 2.14.3",
        "the 21st request",
        "一成不變的流程已完成",
        "十分重要",
        "千萬不要延誤",
        "<PHONE_12> 來電",
    ],
)
def test_what_the_data_hold_is_silent(text):
    assert flagged(text) == []


@pytest.mark.parametrize(
    ("text", "as_written"),
    [
        ("營收下降 42%", "42%"),
        ("revenue fell by 17.4%", "17.4%"),
        ("影響 3,400 名客戶", "3,400"),
        ("about 900 tickets", "900"),
        ("共 66 件", "66"),
        ("損失約 NT$50萬", "NT$50萬"),
        ("$2.5M loss", "$2.5M"),
        ("USD 90,000 at risk", "USD 90,000"),
        ("訂單減少 1.8萬筆", "1.8萬"),
        ("三成客戶流失", "三成"),
        ("損失 3萬5千元", "3萬5千"),
        ("FY2031", "FY2031"),
        ("百分之六十五", "百分之六十五"),
        ("一萬兩千五百筆訂單", "一萬兩千五百筆"),
        ("成長 9.5 倍", "9.5"),
        ("１８％", "18%"),
        ("自 2025-09-01 起", "2025-09-01"),
        ("on September 3", "September 3"),
        ("9 月 12 日的活動", "9 月 12 日"),
        ("自 2019 年以來", "2019"),
        ("at 15:07", "15:07"),
        ("商品 SKU-99812", "SKU-99812"),
        ("127.5 分鐘", "127.5"),
        ("降至 100 分鐘", "100"),
    ],
)
def test_what_they_do_not_hold_is_flagged_as_it_is_written(text, as_written):
    assert flagged(text) == [as_written]


@pytest.mark.parametrize(
    "text",
    [
        "24 小時內完成",
        "2 週內導入",
        "within 10 days",
        "over the next 6 months",
        "每 12 小時檢查一次",
        "10 個工作天",
        "9 月起試行",
    ],
)
def test_deadlines_of_proposals_are_no_facts(text):
    assert flagged(text, "actionableRecommendations") == []


def test_the_same_words_about_the_past_are():
    assert flagged("過去 10 天") == ["10"]
    assert flagged("past 36 hours") == ["36"]


def test_targets_and_amounts_of_proposals_are_told():
    assert flagged("降至 100 分鐘以下", "actionableRecommendations") == ["100"]
    assert flagged("增派 10 名客服", "actionableRecommendations") == ["10"]
    assert flagged("提升 20%", "actionableRecommendations") == ["20%"]
    assert flagged("投入 NT$300,000", "actionableRecommendations") == ["NT$300,000"]


@pytest.mark.parametrize("text", ["30 分鐘", "2-4 週", "約 10 個工作天", "48 hours", "9 月底前", "6–8 weeks"])
def test_a_timeline_is_an_estimate(text):
    assert flagged(text, "timelineEstimate") == []


def test_each_is_told_once_and_not_without_end():
    assert flagged("42% 與 42%，又 42%") == ["42%"]
    assert len(flagged("，".join(f"{number} 件" for number in range(2000, 3000)))) == MOST_FLAGS


def test_an_answer_may_count_its_own_lists():
    known = KnownNumbers({"a": 1})
    document = {"summary": "共 7 項措施，8 個原因", "rootCauseAnalysis": ["甲"] * 7}
    assert unsupported_numbers(document, FORM, known) == ["8"]


def test_data_of_every_kind_are_read():
    known = KnownNumbers(
        {
            "decimal": Decimal("1234.50"),
            "moment": datetime(2025, 3, 9, 8, 15, tzinfo=UTC),
            "day": date(2024, 12, 31),
            "text": "共 1,234 件，約 3.2 萬元，成長 12%",
            "rows": [1] * 9,
            "inner": {"trend_30d": None, "nan": float("nan"), "flag": True},
            "id": "550e8400-e29b-41d4-a716-446655440000",
        }
    )
    for text in ["1,234.5", "1235", "2025-03-09", "2024/12/31", "32,000 元", "0.12", "9 筆", "30 天", "8:15"]:
        assert flagged(text, known=known) == [], text
    for text in ["446655440000", "8400", "77"]:
        assert flagged(text, known=known) == [text]


def test_the_samples_raise_no_alarm_and_their_inventions_do():
    assert parsed(ZH).flags == ()
    assert parsed(EN, locale="en").flags == ()
    answer = parsed({**EN, "summary": "Response time rose 38% to 125.5 minutes and cost NT$480,000."}, locale="en")
    assert answer.flags == ("unsupported_number: 38%", "unsupported_number: NT$480,000")


def test_numbers_of_claims_that_left_are_not_told():
    document = {**ZH, "rootCauseAnalysis": [*ZH["rootCauseAnalysis"][:2], "流失 777 名客戶"]}
    document["evidence"] = [pair for pair in ZH["evidence"] if pair["claim_index"] != 2]
    assert "unsupported_number: 777" not in parsed(document).flags
