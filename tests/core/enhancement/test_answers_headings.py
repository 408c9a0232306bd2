"""Answers that are text under headings."""

from __future__ import annotations

import pytest

from tests.core.enhancement.answer_samples import parsed, refusal

CAUSES = ["客服人力不足", "待處理訂單過多", "系統維護延誤分派"]
ACTIONS = ["增派尖峰時段客服", "檢查工單分派規則", "導入常見問題自動回覆"]

MARKDOWN = """## 摘要
客服平均回應時間超過門檻。

## 根本原因分析
1. 客服人力不足 [tag:12]
2. 待處理訂單過多（證據：content:812）
3. 系統維護延誤分派 [metric:avg_response_time]

## 具體改善行動
- 增派尖峰時段客服 [tag:12]
- 檢查工單分派規則 [content:812]
- 導入常見問題自動回覆 [tag:12]

## 預估解決時程
兩週內

## 信心度
85%
"""
NUMBERED = """1. 簡要問題摘要：客服平均回應時間超過門檻。
2. 根本原因分析：
   - 客服人力不足 [tag:12]
   - 待處理訂單過多 [content:812]
   - 系統維護延誤分派 [tag:12]
3. 具體改善行動：
   - 建議：增派尖峰時段客服 [tag:12]
   - 檢查工單分派規則 [tag:12]
   - 導入常見問題自動回覆 [tag:12]
4. 預估解決時程：兩週內
信心：0.85"""
BOLD = """好的，以下是分析：

**總結**：客服平均回應時間超過門檻。

**根因**
• 客服人力不足
  - 證據：tag:12
• 待處理訂單過多
  - 證據：content:812
• 系統維護延誤分派
  - 證據：tag:12

**建議措施**
① 增派尖峰時段客服【tag:12】
② 檢查工單分派規則【tag:12】
③ 導入常見問題自動回覆【tag:12】

**時程**：兩週內
**嚴重程度**：高
**受影響領域**：客服、營運"""
BRACKETED = """【摘要】客服平均回應時間超過門檻。
【原因】
一、客服人力不足（tag:12）
二、待處理訂單過多（tag:12）
三、系統維護延誤分派（tag:12）
【建議】
（1）增派尖峰時段客服（tag:12）
（2）檢查工單分派規則（tag:12）
（3）導入常見問題自動回覆（tag:12）
【時程】兩週內"""
SIMPLIFIED = """总结：客服平均回應時間超過門檻。
原因：
- 客服人力不足 [tag:12]
- 待處理訂單過多 [tag:12]
- 系統維護延誤分派 [tag:12]
建议：
- 增派尖峰時段客服 [tag:12]
- 檢查工單分派規則 [tag:12]
- 導入常見問題自動回覆 [tag:12]
时程：兩週內"""
YAML = """summary: 客服平均回應時間超過門檻。
rootCauseAnalysis:
  - 客服人力不足 [tag:12]
  - 待處理訂單過多 [tag:12]
  - 系統維護延誤分派 [tag:12]
actionableRecommendations:
  - 增派尖峰時段客服 [tag:12]
  - 檢查工單分派規則 [tag:12]
  - 導入常見問題自動回覆 [tag:12]
timelineEstimate: 兩週內
confidence: 0.8"""
SECTION = """摘要: 客服平均回應時間超過門檻。

根因:
1. 客服人力不足
2. 待處理訂單過多
3. 系統維護延誤分派

建議:
1. 增派尖峰時段客服
2. 檢查工單分派規則
3. 導入常見問題自動回覆

時程: 兩週內

證據:
0: tag:12
1: content:812
2: tag:12
3: tag:12
4: metric:avg_response_time
5: tag:12"""


@pytest.mark.parametrize(
    "reply", [MARKDOWN, NUMBERED, BOLD, BRACKETED, SIMPLIFIED, YAML, SECTION, f"<think>想一下</think>\n{MARKDOWN}"]
)
def test_an_alert_in_chinese(reply):
    answer = parsed(reply)
    document = answer.document
    assert document["summary"] == "客服平均回應時間超過門檻。"
    assert document["rootCauseAnalysis"] == CAUSES
    assert [text.removeprefix("建議：") for text in document["actionableRecommendations"]] == ACTIONS
    assert document["timelineEstimate"].startswith("兩週內")
    assert (answer.level, answer.degraded, answer.confidence) == ("headings", True, 0.5)
    assert len(answer.evidence) == 6
    assert answer.evidence_valid


def test_what_text_says_of_the_impact_is_kept_else_the_alerts_own_severity():
    assert parsed(BOLD).document["businessImpact"] == {
        "severity": "high",
        "affectedAreas": ["客服", "營運"],
        "estimatedCost": "",
    }
    assert parsed(MARKDOWN).document["businessImpact"]["severity"] == "medium"
    assert (
        parsed(MARKDOWN, variables={"severity": "critical"}).document["businessImpact"]["severity"] == "critical"
    )
    assert refusal(MARKDOWN, variables={})[0] == "schema_mismatch"


ENGLISH = """# Analysis

**Summary:** Average response time is above its limit.

### Root Cause Analysis
1. **Staffing**: too few agents at peak hours [tag:12]
2. Pending orders cause more questions (content:812)
3. Maintenance delayed the routing of tickets [tag:12]

### Recommended Actions
* Add agents at peak hours [tag:12]
* Review the routing rules [tag:12]
* Introduce automatic replies
  to common questions [tag:12]

### Timeline
Two weeks

Confidence: 40%"""
ENGLISH_NUMBERED = """1. Brief summary: Average response time is above its limit.

2. Root causes:
- Staffing: too few agents at peak hours [tag:12]
- Pending orders cause more questions [tag:12]
- Maintenance delayed the routing of tickets [tag:12]

3. Recommendations:
- Add agents at peak hours [tag:12]
- Review the routing rules [tag:12]
- Introduce automatic replies to common questions [tag:12]

4. Estimated timeline: Two weeks
5. Confidence score: 0.4"""


@pytest.mark.parametrize("reply", [ENGLISH, ENGLISH_NUMBERED])
def test_an_alert_in_english(reply):
    answer = parsed(reply, locale="en")
    assert answer.document["summary"] == "Average response time is above its limit."
    assert answer.document["rootCauseAnalysis"] == [
        "Staffing: too few agents at peak hours",
        "Pending orders cause more questions",
        "Maintenance delayed the routing of tickets",
    ]
    assert answer.document["actionableRecommendations"][2] == "Introduce automatic replies to common questions"
    assert answer.document["timelineEstimate"] == "Two weeks"
    assert answer.confidence == 0.4


INSIGHT = """### 深度分析解說
客戶成長帶動營收，但客服負荷也上升。

### 潛在商業機會
- 加深會員經營 [tag:12]

### 風險警示
- 等待過久造成流失 [content:812]

### 具體行動建議
1. 擴編客服 [tag:12]
2. 推出會員方案 [tag:12]
"""


def test_an_insight():
    answer = parsed(INSIGHT, schema_name="insight_deepening.v1")
    assert answer.document["deepAnalysis"] == "客戶成長帶動營收，但客服負荷也上升。"
    assert answer.document["risks"] == ["等待過久造成流失"]
    assert answer.document["actions"] == ["擴編客服", "推出會員方案"]
    assert answer.confidence == 0.5


SUMMARY = """**Overall health:** watch
**Headline:** Response times exceed their limit while customers grow

**Key findings**
- Response time is above its limit [metric:avg_response_time]
- Customers grow [tag:12]

**Priority actions**
1. Add agents at peak hours [tag:12]

**Period:** 7 August 2025"""


def test_a_summary():
    answer = parsed(SUMMARY, schema_name="executive_summary.v1", locale="en")
    assert answer.document["overallHealth"] == "watch"
    assert answer.document["keyFindings"] == ["Response time is above its limit", "Customers grow"]
    assert answer.document["period"] == "7 August 2025"


ORDER = """調整後的優先級排序：

1. **優化訂單流程**
   - 可行性：高
   - 資源：兩名工程師
   - 時程：三週
   - 理由：待處理訂單過多
   - 證據：tag:12
2. **增加客服人力**：回應時間超過門檻 [metric:avg_response_time]
   - 可行性：中等
   - 資源需求：五名客服
   - 執行時程：兩週

信心：70%"""


def test_recommendations():
    answer = parsed(
        ORDER,
        schema_name="recommendation_optimization.v1",
        expected={"titles": ["增加客服人力", "優化訂單流程"]},
    )
    first, second = answer.document["ordered"]
    assert (first["title"], first["newPriority"], first["feasibility"]) == ("優化訂單流程", 1, "high")
    assert first["reason"] == "待處理訂單過多"
    assert (second["title"], second["feasibility"], second["timeline"]) == ("增加客服人力", "medium", "兩週")
    assert second["reason"] == "回應時間超過門檻"
    assert answer.confidence == 0.5


@pytest.mark.parametrize(
    ("reply", "subtype"),
    [
        (
            MARKDOWN.replace("tag:", "tag:9").replace("content:", "content:9").replace("metric:", "metric:x"),
            "unsupported",
        ),
        (MARKDOWN.replace("- 檢查工單分派規則 [content:812]\n", ""), "schema_mismatch"),
        (MARKDOWN.split("## 根本")[0], "invalid_json"),
        (MARKDOWN.replace("## 摘要\n客服平均回應時間超過門檻。", ""), "schema_mismatch"),
        ("根因很多，建議很多，摘要就是這樣。", "invalid_json"),
        ("The root cause is unclear and recommendations vary.", "invalid_json"),
        (MARKDOWN.replace("兩週內", "見 https://evil.example"), "content_filtered"),
    ],
)
def test_what_text_lacks_is_not_made_up(reply, subtype):
    assert refusal(reply)[0] == subtype
