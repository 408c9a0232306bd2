"""The ladder from exact JSON to text under headings, and what is put right or refused on the way."""

from __future__ import annotations

import json

import pytest

from tagging_orchestration.core.enhancement.answers import parse_answer, repair_prompt
from tests.core.enhancement.answer_samples import ALERT, EN, EVIDENCE, VARIABLES, ZH, parsed, refusal, written

INDENTED = json.dumps(ZH, ensure_ascii=False, indent=2)


@pytest.mark.parametrize(("document", "locale"), [(ZH, "zh-TW"), (EN, "en")])
def test_a_good_answer_passes_as_it_is(document, locale):
    answer = parsed(document, locale=locale)
    assert answer.document == document
    assert (answer.level, answer.confidence, answer.degraded, answer.flags) == ("exact", 0.82, False, ())
    assert answer.evidence == tuple(document["evidence"])
    assert answer.evidence_valid


@pytest.mark.parametrize(
    ("reply", "level"),
    [
        (INDENTED, "exact"),
        (f"\n  {written(ZH)}\n", "exact"),
        (f"\ufeff{written(ZH)}", "fenced"),
        (f"```json\n{INDENTED}\n```", "fenced"),
        (f"```\n{written(ZH)}\n```", "fenced"),
        (f"以下是分析結果：\n```JSON\n{INDENTED}\n```\n希望對您有幫助！", "fenced"),
        (f"Sure! Here is the JSON you asked for:\n\n{written(ZH)}\n\nLet me know.", "fenced"),
        (f'{{"{written(ZH)}', "fenced"),
        (f"{{{written(ZH)}", "fenced"),
        (f"{{\n{written(ZH)}\n}}", "fenced"),
        (f"<think>\nThe metric is high {{maybe}}.\n</think>\n\n{written(ZH)}", "fenced"),
        (f"數值偏高，所以…</think>{written(ZH)}", "fenced"),
        (f'<thinking>{{"summary": "draft"}}</thinking>```json\n{written(ZH)}\n```', "fenced"),
        (f"<think>\n\n</think>\n\n```json\n{INDENTED}\n```<|im_end|>", "fenced"),
        (f"<|channel|>final<|message|>{written(ZH)}", "fenced"),
        (json.dumps(written(ZH)), "exact"),
        (written([ZH]), "exact"),
        (written({"answer": ZH}), "exact"),
        (written({"alert_enhancement": {"result": ZH}}), "exact"),
        (written(ZH)[:-1] + ",}", "repaired"),
        (written(ZH).replace('"', "'"), "repaired"),
        (written(ZH).replace('"summary"', "summary"), "repaired"),
        (INDENTED.replace('"confidence": 0.82,', '"confidence": 0.82, // sure'), "repaired"),
        (INDENTED.replace("客服人力沒有跟上", '客服"人力"沒有跟上'), "repaired"),
        (INDENTED.replace("客服人力沒有跟上", "客服人力\n沒有跟上"), "repaired"),
        (f"```json\n{INDENTED.replace('],', ']')}\n```", "repaired"),
        (written(ZH)[1:], "repaired"),
    ],
)
def test_the_same_answer_is_read_out_of_its_wrapping(reply, level):
    answer = parsed(reply)
    assert answer.level == level
    assert answer.document["actionableRecommendations"] == ZH["actionableRecommendations"]
    assert answer.document["evidence"] == ZH["evidence"]
    assert answer.degraded == (level == "repaired")
    assert ("degraded" in answer.flags) == answer.degraded


def test_an_answer_may_end_just_where_the_tokens_end():
    assert parsed(written(ZH), "length").level == "exact"
    assert parsed(f"```json\n{written(ZH)}\n   ", "length").level == "fenced"


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_cut_answer_is_never_mended(finish):
    whole = written(ZH)
    fenced = f"```json\n{INDENTED}"
    doubled = f'{{"{whole}'
    for reply in (whole, fenced, doubled):
        # At every place, from the first value on: what is missing is not made up.
        for end in range(reply.index("summary") + 12, len(reply.rstrip("`\n")), 7):
            assert refusal(reply[:end], finish)[0] == "truncated", reply[:end][-40:]


@pytest.mark.parametrize(
    ("reply", "finish", "subtype"),
    [
        ("", "stop", "invalid_json"),
        ("   \n", "stop", "invalid_json"),
        ("", "length", "truncated"),
        ("<think>The user wants an analysis of", "length", "truncated"),
        ("<think>thought</think>", "stop", "invalid_json"),
        ("<think>thought</think>", "length", "truncated"),
        ("## 摘要\n客服回應時間超標\n## 根因\n- 人力不", "length", "truncated"),
        ("I'm sorry, I cannot help with that.", "stop", "invalid_json"),
        ("抱歉，我無法分析這些資料。", "stop", "invalid_json"),
        ("null", "stop", "invalid_json"),
        ("42", "stop", "invalid_json"),
        ("[]", "stop", "invalid_json"),
        ("{}", "stop", "invalid_json"),
        ('{"error": "overloaded"}', "stop", "invalid_json"),
        ("[" * 100_000, "stop", "invalid_json"),
        ('{"summary":' * 5_000 + "1" + "}" * 5_000, "stop", "invalid_json"),
        ("a" * 2_000_000, "stop", "invalid_json"),
        ("<think>" * 100_000, "stop", "invalid_json"),
        (written({**ZH, "summary": "長" * 80_000}), "stop", "invalid_json"),
        ("<html><body>502 Bad Gateway</body></html>", "stop", "invalid_json"),
    ],
)
def test_no_answer_at_all(reply, finish, subtype):
    assert refusal(reply, finish)[0] == subtype


@pytest.mark.parametrize(
    "reply",
    [
        written(ZH).replace('"confidence": 0.82', '"confidence": 0.82, "confidence": 0.1'),
        written(ZH).replace('"confidence": 0.82', '"confidence": NaN'),
        written(ZH).replace('"confidence": 0.82', '"confidence": Infinity'),
        written(ZH).replace('"confidence": 0.82', '"confidence": 1e999'),
        written(ZH).replace('"confidence": 0.82', f'"confidence": {"9" * 5000}'),
        written(ZH).replace('"confidence": 0.82', '"confidence": 0.82, "confidence": 0.1')[:-1] + ",}",
        f"{written(ZH)}\n{written({**ZH, 'confidence': 0.1})}",
    ],
    ids=["twice", "nan", "infinity", "overflow", "digits", "twice_mended", "two_answers"],
)
def test_what_could_silently_mean_something_else_is_refused(reply):
    assert refusal(reply)[0] == "invalid_json"


def test_the_same_answer_twice_is_one_answer():
    assert parsed(f"{written(ZH)}\n{written(ZH)}").document == ZH


@pytest.mark.parametrize(
    ("changed", "result", "flag"),
    [
        ({"confidence": 85}, {"confidence": 0.85}, "rescaled: confidence"),
        ({"confidence": "85%"}, {"confidence": 0.85}, "rescaled: confidence"),
        ({"confidence": "0.85"}, {"confidence": 0.85}, "rescaled: confidence"),
        ({"confidence": "8.5/10"}, {"confidence": 0.85}, "rescaled: confidence"),
        ({"confidence": "高"}, {"confidence": 0.8}, "rescaled: confidence"),
        ({"confidence": "medium"}, {"confidence": 0.6}, "rescaled: confidence"),
        ({"confidence": 1}, {"confidence": 1.0}, None),
        ({"confidence": 0.8249}, {"confidence": 0.82}, None),
        ({"note": "x"}, {}, "dropped: note"),
        (
            {"rootCauseAnalysis": "1. 人力不足\n2. 訂單累積\n3. 系統維護"},
            {"rootCauseAnalysis": ["人力不足", "訂單累積", "系統維護"]},
            "split: rootCauseAnalysis",
        ),
        (
            {"rootCauseAnalysis": "人力不足；訂單累積；系統維護"},
            {"rootCauseAnalysis": ["人力不足", "訂單累積", "系統維護"]},
            "split: rootCauseAnalysis",
        ),
        (
            {"rootCauseAnalysis": "1. 人力不足 2. 訂單累積 3. 系統維護"},
            {"rootCauseAnalysis": ["人力不足", "訂單累積", "系統維護"]},
            "split: rootCauseAnalysis",
        ),
        (
            {"rootCauseAnalysis": ["1. **人力不足**", "- 訂單累積", "（3）系統維護"]},
            {"rootCauseAnalysis": ["人力不足", "訂單累積", "系統維護"]},
            None,
        ),
        (
            {"rootCauseAnalysis": [{"cause": "人力不足"}, {"cause": "訂單累積"}, {"cause": "系統維護"}]},
            {"rootCauseAnalysis": ["人力不足", "訂單累積", "系統維護"]},
            "flattened: rootCauseAnalysis",
        ),
        (
            {
                "rootCauseAnalysis": ["甲因", "乙因", "丙因", "丁因", "戊因", "己因"],
                "actionableRecommendations": list("甲乙丙"),
            },
            {"rootCauseAnalysis": ["甲因", "乙因", "丙因", "丁因", "戊因"]},
            "too_many: rootCauseAnalysis",
        ),
        (
            {"businessImpact": {**ZH["businessImpact"], "severity": "High"}},
            "high",
            "reworded: businessImpact.severity",
        ),
        (
            {"businessImpact": {**ZH["businessImpact"], "severity": "中等"}},
            "medium",
            "reworded: businessImpact.severity",
        ),
        (
            {"businessImpact": {**ZH["businessImpact"], "severity": "严重"}},
            "critical",
            "reworded: businessImpact.severity",
        ),
        (
            {"businessImpact": {**ZH["businessImpact"], "severity": "高 (high)"}},
            "high",
            "reworded: businessImpact.severity",
        ),
        (
            {"businessImpact": {"severity": "low", "affectedAreas": "客服、營運", "estimatedCost": None}},
            {"businessImpact": {"severity": "low", "affectedAreas": ["客服", "營運"], "estimatedCost": ""}},
            "split: businessImpact.affectedAreas",
        ),
        (
            {"businessImpact": {"severity": "low", "affectedAreas": ["客服"], "estimatedCost": 12000}},
            {"businessImpact": {"severity": "low", "affectedAreas": ["客服"], "estimatedCost": "12000"}},
            "retyped: businessImpact.estimatedCost",
        ),
        (
            {"summary": "客服平均回應時間已經連續數日超過門檻。" + "行銷活動帶來大量新客戶，" * 10},
            {"summary": "客服平均回應時間已經連續數日超過門檻。"},
            "shortened: summary",
        ),
    ],
)
def test_safe_changes_are_made_and_flagged(changed, result, flag):
    document = {**ZH, **changed}
    if "rootCauseAnalysis" in changed and isinstance(changed["rootCauseAnalysis"], list):
        claims = len(document["rootCauseAnalysis"]) + len(document["actionableRecommendations"])
        document["evidence"] = [{"claim_index": index, "ref": "tag:12"} for index in range(claims)]
    answer = parsed(document)
    if isinstance(result, str):
        assert answer.document["businessImpact"]["severity"] == result
    else:
        assert {name: answer.document[name] for name in result} == result
    assert (flag is None) or flag in answer.flags
    assert flag is not None or not answer.flags


@pytest.mark.parametrize(
    ("locale", "text", "limit"),
    [
        ("zh-TW", "平均回應時間持續上升，" * 12, 50),
        ("zh-TW", "平" * 120, 50),
        ("en", "Response times keep rising because of the campaign " * 8, 200),
        ("en", "x" * 500, 200),
    ],
)
def test_a_long_summary_ends_at_a_clause_or_word(locale, text, limit):
    document = {**(ZH if locale == "zh-TW" else EN), "summary": text}
    answer = parsed(document, locale=locale)
    short = answer.document["summary"]
    assert limit // 3 < len(short) <= limit
    assert short.endswith("…")
    assert text.startswith(short[:-1])
    assert " " not in text or text[len(short) - 1] == " "
    assert "shortened: summary" in answer.flags


def test_keys_may_be_spelled_otherwise():
    document = {
        "Summary": ZH["summary"],
        "root_cause_analysis": ZH["rootCauseAnalysis"],
        "具體建議": None,
        "建議": ZH["actionableRecommendations"],
        "business_impact": {"Severity": "low", "affected_areas": ["客服"], "estimated cost": "未知"},
        "時程": "兩週",
        "信心度": "80%",
        "Evidence": ZH["evidence"],
    }
    answer = parsed(document)
    assert answer.document["actionableRecommendations"] == ZH["actionableRecommendations"]
    assert answer.document["businessImpact"] == {
        "severity": "low",
        "affectedAreas": ["客服"],
        "estimatedCost": "未知",
    }
    assert answer.confidence == 0.8
    assert {"renamed: root_cause_analysis", "renamed: 建議", "dropped: 具體建議"} <= set(answer.flags)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"summary": None}, "summary"),
        ({"summary": ""}, "summary"),
        ({"summary": "..."}, "summary"),
        ({"summary": "string"}, "summary"),
        ({"summary": "<summary>"}, "summary"),
        ({"summary": True}, "summary"),
        ({"summary": {"text": "x"}}, "summary"),
        ({"confidence": None}, "confidence"),
        ({"confidence": 7}, "confidence"),
        ({"confidence": -0.2}, "confidence"),
        ({"confidence": 850}, "confidence"),
        ({"confidence": "-85%"}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"confidence": "很難說"}, "confidence"),
        ({"confidence": [0.8]}, "confidence"),
        ({"rootCauseAnalysis": "人力不足"}, "rootCauseAnalysis"),
        ({"rootCauseAnalysis": {"a": "b"}}, "rootCauseAnalysis"),
        ({"rootCauseAnalysis": [1, 2, 3]}, "rootCauseAnalysis"),
        ({"rootCauseAnalysis": ["人力不足", "人力不足", "人力不足"]}, "rootCauseAnalysis"),
        ({"rootCauseAnalysis": ["人力不足", "", "無"]}, "rootCauseAnalysis"),
        ({"rootCauseAnalysis": [["人力不足"], ["x"], ["y"]]}, "rootCauseAnalysis"),
        ({"actionableRecommendations": ["增派人力", "調整排班"]}, "actionableRecommendations"),
        ({"actionableRecommendations": []}, "actionableRecommendations"),
        ({"businessImpact": "medium"}, "businessImpact"),
        ({"businessImpact": {"severity": "medium"}}, "businessImpact.affectedAreas"),
        ({"businessImpact": {**ZH["businessImpact"], "severity": "extreme-ish"}}, "businessImpact.severity"),
        ({"businessImpact": {**ZH["businessImpact"], "severity": 3}}, "businessImpact.severity"),
        ({"timelineEstimate": None}, "timelineEstimate"),
    ],
)
@pytest.mark.parametrize("locale", ["zh-TW", "en"])
def test_what_cannot_be_put_right_is_told_to_the_model(changed, field, locale):
    base = ZH if locale == "zh-TW" else EN
    subtype, faults = refusal({**base, **changed}, locale=locale)
    assert subtype == "schema_mismatch"
    assert any(field in fault for fault in faults)
    asked = repair_prompt(faults, locale)
    assert field in asked
    assert ("JSON 物件" in asked) == (locale == "zh-TW")


def test_keys_may_be_the_words_of_headings():
    answer = parsed(
        {
            "問題摘要": ZH["summary"],
            "根因分析": ZH["rootCauseAnalysis"],
            "改善建議": ZH["actionableRecommendations"],
            "業務影響": {"嚴重程度": "高", "影響範圍": ["客服"], "預估損失": "不明"},
            "預估解決時程": "兩週",
            "信心": 0.8,
            "證據": ZH["evidence"],
        }
    )
    assert answer.document["businessImpact"]["severity"] == "high"
    assert answer.document["rootCauseAnalysis"] == ZH["rootCauseAnalysis"]
    assert len(answer.evidence) == 6


def test_the_example_of_the_prompt_is_no_answer():
    copied = {**ZH, "rootCauseAnalysis": ["原因一", "原因二", "原因三"]}
    assert refusal(copied)[0] == "schema_mismatch"
    assert refusal({**ZH, "summary": "一句話摘要"})[0] == "schema_mismatch"


def test_every_key_is_needed():
    for name in ZH:
        subtype, _ = refusal({key: value for key, value in ZH.items() if key != name})
        assert subtype == ("unsupported" if name == "evidence" else "schema_mismatch")


def test_a_repair_prompt_is_short_whatever_the_faults():
    asked = repair_prompt(["x" * 5000, "two\nlines"] * 50, "en")
    assert len(asked) < 4_000
    assert repair_prompt((), "zh-TW")


def test_characters_nobody_sees_are_taken_out():
    document = {**ZH, "summary": "回應\u0000時間\u202e超過\u200b門檻\ud800。"}
    answer = parsed(json.dumps(document))
    assert answer.document["summary"] == "回應時間超過門檻。"
    json.dumps(answer.document, ensure_ascii=False).encode()


def test_refusals_do_not_repeat_the_answer():
    with pytest.raises(Exception, match="form") as caught:
        parsed({**ZH, "confidence": "secret words", "rootCauseAnalysis": "secret words"})
    assert "secret" not in str(caught.value)


def test_an_unknown_schema_is_a_mistake_of_the_caller():
    for name in ("nothing.v1", "../models", "alert_enhancement.v2"):
        with pytest.raises(FileNotFoundError):
            parsed(ZH, schema_name=name)


# ------------------------------------------------------------------------------------------------ other forms

TITLES = ["增加客服人力", "優化訂單流程", "Launch a loyalty programme"]
ORDER = {
    "ordered": [
        {
            "title": title,
            "newPriority": rank,
            "feasibility": "high",
            "resources": "2 人",
            "timeline": "3 週",
            "reason": "回應時間超過門檻",
        }
        for rank, title in enumerate(["優化訂單流程", "增加客服人力", "Launch a loyalty programme"], start=1)
    ],
    "confidence": 0.7,
    "evidence": [{"claim_index": index, "ref": "tag:12"} for index in range(3)],
}


def ordered(document, **how):
    return parsed(document, schema_name="recommendation_optimization.v1", expected={"titles": TITLES}, **how)


def changed_items(*changes):
    return {
        **ORDER,
        "ordered": [{**item, **change} for item, change in zip(ORDER["ordered"], changes, strict=True)],
    }


def test_recommendations_keep_their_titles():
    answer = ordered(changed_items({"title": "1. 優化訂單流程。"}, {}, {"title": "launch a Loyalty Programme"}))
    assert [item["title"] for item in answer.document["ordered"]] == [TITLES[1], TITLES[0], TITLES[2]]
    assert "reworded: ordered.title" in answer.flags


@pytest.mark.parametrize(
    ("ranks", "titles"),
    [
        ((2, 1, 3), [TITLES[0], TITLES[1], TITLES[2]]),
        ((90, 80, 10), [TITLES[1], TITLES[0], TITLES[2]]),
        ((1, 1, 1), [TITLES[1], TITLES[0], TITLES[2]]),
        (("P1", "P2", "P3"), [TITLES[1], TITLES[0], TITLES[2]]),
        ((0, 1, 2), [TITLES[1], TITLES[0], TITLES[2]]),
    ],
)
def test_ranks_are_counted_from_one(ranks, titles):
    document = changed_items(*({"newPriority": rank} for rank in ranks))
    document["evidence"][2] = {"claim_index": 2, "ref": ALERT}
    answer = ordered(document)
    assert [item["title"] for item in answer.document["ordered"]] == titles
    assert [item["newPriority"] for item in answer.document["ordered"]] == [1, 2, 3]
    loyal = titles.index(TITLES[2])
    assert {"claim_index": loyal, "ref": ALERT} in answer.document["evidence"]
    document["evidence"][2] = {"claim_index": 2, "ref": "tag:12"}


@pytest.mark.parametrize(
    "changes",
    [
        ({"title": "完全不同的建議"}, {}, {}),
        ({}, {"title": "優化訂單流程"}, {}),
        ({"feasibility": "maybe"}, {}, {}),
        ({"reason": None}, {}, {}),
    ],
)
def test_recommendations_are_a_permutation(changes):
    with pytest.raises(Exception, match="form"):
        ordered(changed_items(*changes))


def test_no_recommendation_is_left_out_or_uncited():
    missing = {**ORDER, "ordered": ORDER["ordered"][:2]}
    kind, faults = refusal(missing, schema_name="recommendation_optimization.v1", expected={"titles": TITLES})
    assert kind == "schema_mismatch"
    assert any(TITLES[2] in fault for fault in faults)
    uncited = {**ORDER, "evidence": ORDER["evidence"][:2]}
    kind, _ = refusal(uncited, schema_name="recommendation_optimization.v1", expected={"titles": TITLES})
    assert kind == "unsupported"


def cited(claims: int, **fields):
    return {**fields, "confidence": 0.75, "evidence": [{"claim_index": n, "ref": "tag:12"} for n in range(claims)]}


OTHERS = {
    "insight_deepening.v1": cited(
        3,
        deepAnalysis="客戶成長帶動營收。",
        opportunities=["加深會員經營"],
        risks=["客服負荷升高"],
        actions=["擴編客服"],
    ),
    "executive_summary.v1": cited(
        2,
        overallHealth="需關注",
        headline="回應時間超標",
        keyFindings=["回應時間超過門檻"],
        priorityActions=["增派客服"],
        period="2025-08-07",
    ),
    "trend_analysis.v1": cited(
        2,
        direction="上升",
        analysis="回應時間上升。",
        keyChanges=["回應時間上升"],
        outlook="可能續升",
        actions=["增派客服"],
    ),
    "risk_forecasting.v1": cited(
        3,
        riskLevel="very high",
        riskFactors=["人力不足"],
        impact={"timing": "兩週內", "extent": "客服"},
        mitigationStrategies=["增派客服"],
        monitoringIndicators=["回應時間"],
    ),
    "customer_churn_analysis.v1": cited(
        2,
        riskLevel="高",
        analysis="等待過久。",
        churnDrivers=["等待過久"],
        retentionActions=["主動聯繫"],
        timelineEstimate="兩週",
    ),
    "business_intelligence.v1": cited(
        4,
        marketPosition={"strengths": ["客戶成長"], "weaknesses": [], "opportunities": [], "threats": []},
        successFactors=["回應速度"],
        strategicRecommendations=["擴編客服"],
        risks=["人力不足"],
        roiForecast="無法推估",
    ),
    "customer_segmentation.v1": cited(
        2,
        segments=[
            {
                "segment": name,
                "characteristics": "常購買",
                "marketingStrategy": "會員優惠",
                "retentionAdvice": "專屬客服",
            }
            for name in ("high value", "新客")
        ],
    ),
    "custom_analysis.v1": cited(
        2, dataInsight="營收成長。", keyFindings=["營收成長"], actions=["擴編客服"], risks=[]
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_form_is_read(name):
    answer = parsed(OTHERS[name], schema_name=name)
    assert answer.level == "exact"
    assert answer.evidence_valid
    assert len(answer.document["evidence"]) >= 2


def test_levels_and_groups_are_kept_in_one_spelling():
    assert parsed(OTHERS["risk_forecasting.v1"], schema_name="risk_forecasting.v1").document["riskLevel"] == "極高"
    segments = parsed(OTHERS["customer_segmentation.v1"], schema_name="customer_segmentation.v1").document[
        "segments"
    ]
    assert [segment["segment"] for segment in segments] == ["高價值", "新客戶"]
    assert (
        parsed(OTHERS["executive_summary.v1"], schema_name="executive_summary.v1").document["overallHealth"]
        == "watch"
    )


def test_a_group_of_customers_is_named_once():
    document = json.loads(json.dumps(OTHERS["customer_segmentation.v1"]))
    document["segments"][1]["segment"] = "高價值客戶"
    assert refusal(document, schema_name="customer_segmentation.v1")[0] == "schema_mismatch"


def test_an_insight_may_have_no_risks_but_not_neither_risks_nor_opportunities():
    document = {**OTHERS["insight_deepening.v1"], "risks": []}
    document["evidence"] = [{"claim_index": n, "ref": "tag:12"} for n in range(2)]
    assert parsed(document, schema_name="insight_deepening.v1").document["risks"] == []
    assert refusal({**document, "opportunities": []}, schema_name="insight_deepening.v1")[0] == "unsupported"


def test_text_without_a_form():
    answer = parsed(
        "## 重點\n回應時間 125.5 分鐘 [metric:avg_response_time]，影響 999 人 [tag:77]。", schema_name=None
    )
    assert answer.document == {"text": "重點\n回應時間 125.5 分鐘，影響 999 人。"}
    assert (answer.confidence, answer.degraded) == (0.5, True)
    assert {"unsupported_number: 999", "unknown_reference: tag:77"} <= set(answer.flags)
    assert answer.evidence == ({"claim_index": 0, "ref": "metric:avg_response_time"},)
    assert refusal("見 https://evil.example/x", schema_name=None)[0] == "content_filtered"
    assert refusal("回應時間", "length", schema_name=None)[0] == "truncated"


def test_what_is_given_is_not_changed():
    before = json.dumps([dict(VARIABLES), [item.ref for item in EVIDENCE]], sort_keys=True)
    document = json.loads(written(ZH))
    parse_answer(
        written(document),
        "stop",
        schema_name="alert_enhancement.v1",
        evidence=EVIDENCE,
        variables=VARIABLES,
        locale="en",
    )
    assert json.dumps([dict(VARIABLES), [item.ref for item in EVIDENCE]], sort_keys=True) == before
