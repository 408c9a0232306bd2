"""Claims and what they cite: references resolve or go, and so do claims that are left without any."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.enhancement.citations import References, references_inside
from tagging_orchestration.core.enhancement.models import EvidenceItem
from tests.core.enhancement.answer_samples import ALERT, EVIDENCE, ZH, parsed, refusal

REFERENCES = References(EVIDENCE)


@pytest.mark.parametrize(
    ("as_written", "meant"),
    [
        ("metric:avg_response_time", ["metric:avg_response_time"]),
        (" Metric: avg_response_time. ", ["metric:avg_response_time"]),
        ("[metric:avg_response_time]", ["metric:avg_response_time"]),
        ("`tag:12`", ["tag:12"]),
        ("TAG：１２", ["tag:12"]),
        ("<tag:12>", ["tag:12"]),
        ("ref: tag:12", ["tag:12"]),
        ("證據：tag:12", ["tag:12"]),
        ("metric:avg_response_time — 平均回應時間", ["metric:avg_response_time"]),
        ("metric:avg_response_time (平均回應時間)", ["metric:avg_response_time"]),
        ("metric:avg_response_time: 125.5", ["metric:avg_response_time"]),
        ("avg_response_time", ["metric:avg_response_time"]),
        ("平均回應時間", ["metric:avg_response_time"]),
        ("context:business_indicators.pending_orders = 23", ["context:business_indicators.pending_orders"]),
        ("business_context.business_indicators.pending_orders", ["context:business_indicators.pending_orders"]),
        ("business_indicators.pending_orders", ["context:business_indicators.pending_orders"]),
        ("context:business_indicators", ["context:business_indicators.pending_orders"]),
        ("raw.orders/8841", ["row:raw.orders/8841"]),
        (ALERT.upper(), [ALERT]),
        (ALERT.removeprefix("alert:"), [ALERT]),
        ("tag:12, content:812", ["tag:12", "content:812"]),
        ("tag:12；content:812、metric:avg_response_time", ["tag:12", "content:812", "metric:avg_response_time"]),
        ("[tag:12] and [content:812]", ["tag:12", "content:812"]),
        ("tag:12 — 標籤「客服等待」：41 篇，頻率為平常的 3.4 倍", ["tag:12"]),
    ],
)
def test_a_reference_is_known_however_it_is_spelled(as_written, meant):
    assert REFERENCES.resolve(as_written) == (meant, [])


@pytest.mark.parametrize(
    "as_written",
    [
        "tag:1",
        "tag:123",
        "12",
        "812",
        "tag:",
        "metric:avg_response",
        "metric:avg_response_time_p95",
        "metric:avg_response_time-weekly",
        "alert:550e8400",
        "context:business",
        "context:trend",
        "content:12",
        "evidence 3",
        "see above",
        "",
        "。",
    ],
)
def test_another_reference_is_not_taken_for_a_known_one(as_written):
    known, unknown = REFERENCES.resolve(as_written)
    assert known == []
    assert unknown == [as_written]


def test_what_could_mean_two_things_means_none():
    references = References(
        [
            EvidenceItem("tag:7", "等待"),
            EvidenceItem("tag:9", "等待"),
            EvidenceItem("metric:等待", "x"),
            EvidenceItem("context:a.x", "1"),
            EvidenceItem("context:a.y", "2"),
        ]
    )
    assert references.resolve("等待") == ([], ["等待"])
    assert references.resolve("context:a") == ([], ["context:a"])
    assert references.resolve("metric:等待") == (["metric:等待"], [])


def test_of_a_list_the_unknown_are_told():
    assert REFERENCES.resolve("tag:12, tag:77") == (["tag:12"], ["tag:77"])


def cite(*pairs, **changed):
    return {**ZH, "evidence": [{"claim_index": claim, "ref": ref} for claim, ref in pairs], **changed}


def test_unknown_references_go_and_claims_without_any_go_with_them():
    answer = parsed(
        cite((0, "tag:12"), (0, "tag:99"), (1, "metric:made_up"), (2, "content:812"), (5, "tag:12"), (8, "tag:12"))
    )
    assert answer.document["rootCauseAnalysis"] == [ZH["rootCauseAnalysis"][0], ZH["rootCauseAnalysis"][2]]
    assert answer.document["actionableRecommendations"] == [ZH["actionableRecommendations"][2]]
    # Numbers follow the claims that are left.
    assert answer.document["evidence"] == [
        {"claim_index": 0, "ref": "tag:12"},
        {"claim_index": 1, "ref": "content:812"},
        {"claim_index": 2, "ref": "tag:12"},
    ]
    assert set(answer.flags) == {
        "unknown_reference: tag:99",
        "unknown_reference: metric:made_up",
        "unknown_claim: 8",
        "claim_without_evidence: 1",
        "claim_without_evidence: 3",
        "claim_without_evidence: 4",
    }
    assert not answer.evidence_valid


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        ((0, "tag:99"), (3, "metric:nothing")),
        ((0, "tag:12"), (1, "tag:12"), (2, "tag:12")),
        ((3, "tag:12"), (4, "tag:12"), (5, "tag:12")),
        ((-1, "tag:12"), (7, "tag:12")),
    ],
)
def test_each_list_needs_a_claim_that_rests_on_something(pairs):
    subtype, faults = refusal(cite(*pairs))
    assert subtype == "unsupported"
    assert faults


def test_nothing_is_shown_where_nothing_could_be_cited():
    assert refusal(ZH, evidence=())[0] == "unsupported"


@pytest.mark.parametrize(
    "evidence",
    [
        [{"claim_index": n, "ref": ["tag:12"]} for n in range(6)],
        [{"claim": n, "reference": "tag:12"} for n in range(6)],
        [{"claimIndex": str(n), "refs": "tag:12"} for n in range(6)],
        [{"claim_index": float(n), "ref": "tag:12"} for n in range(6)],
        [{"claim_index": list(range(6)), "ref": "tag:12"}],
        [{"claim_index": "0, 1, 2, 3, 4, 5", "ref": "tag:12"}],
        {str(n): "tag:12" for n in range(6)},
        {str(n): ["tag:12"] for n in range(6)},
        {"claim_index": list(range(6)), "ref": "tag:12"},
        [f"{n}: tag:12" for n in range(6)],
        "\n".join(f"- {n}: tag:12" for n in range(6)),
        [{"claim_index": n + 1, "ref": "tag:12"} for n in range(6)],
        [{"claim_index": n, "ref": "tag:12"} for n in range(6)] * 3,
        [{"claim_index": n, "ref": "tag:12", "note": "x"} for n in range(6)],
    ],
)
def test_evidence_is_read_in_the_shapes_that_models_give_it(evidence):
    answer = parsed({**ZH, "evidence": evidence})
    assert answer.document["evidence"] == [{"claim_index": n, "ref": "tag:12"} for n in range(6)]
    assert answer.evidence_valid


@pytest.mark.parametrize(
    "evidence", [None, 3, "none", [None, 1, [[]]], [{}], {"a": {"b": 1}}, [{"claim_index": True, "ref": 1}]]
)
def test_evidence_of_another_shape_is_none(evidence):
    assert refusal({**ZH, "evidence": evidence})[0] == "unsupported"


def test_references_may_stand_in_the_claims():
    document = {
        **ZH,
        "rootCauseAnalysis": [
            "人力不足 [tag:12]",
            "訂單累積（證據：content:812、tag:12）。",
            {"cause": "系統維護", "evidence": ["tag:12"]},
        ],
        "actionableRecommendations": [
            "增派人力 (metric:avg_response_time)",
            "調整排班【tag:12】",
            "自動回覆 [tag:1]",
        ],
        "evidence": [],
    }
    answer = parsed(document)
    assert answer.document["rootCauseAnalysis"] == ["人力不足", "訂單累積。", "系統維護"]
    assert answer.document["actionableRecommendations"] == ["增派人力", "調整排班"]
    assert {"unknown_reference: tag:1", "claim_without_evidence: 5"} <= set(answer.flags)
    assert [pair["claim_index"] for pair in answer.evidence] == [0, 1, 1, 2, 3, 4]


def test_numbers_of_claims_are_the_models_own():
    """Items that are dropped or beyond the most keep their numbers, so that later references stay right."""
    document = {**ZH, "rootCauseAnalysis": ["人力不足", "", "人力不足", "訂單累積", "系統維護"]}
    document["evidence"] = [
        {"claim_index": n, "ref": "content:812" if n in (3, 5) else "tag:12"} for n in range(8)
    ]
    answer = parsed(document)
    assert answer.document["rootCauseAnalysis"] == ["人力不足", "訂單累積", "系統維護"]
    assert [pair["claim_index"] for pair in answer.evidence if pair["ref"] == "content:812"] == [1, 3]


def test_only_brackets_with_references_are_taken_out():
    assert references_inside("尖峰（10–12 點）需要人力 [tag:12] (見表)") == (
        "尖峰（10–12 點）需要人力 (見表)",
        ["tag:12"],
    )
    assert references_inside("回應 [a] 過慢") == ("回應 [a] 過慢", [])


def test_references_outside_claims_are_taken_out_and_told():
    answer = parsed({**ZH, "summary": "回應時間超過門檻 [tag:12]。"})
    assert answer.document["summary"] == "回應時間超過門檻。"
    assert "reference_outside_claims: summary" in answer.flags
