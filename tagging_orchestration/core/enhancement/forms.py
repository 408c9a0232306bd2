"""The forms of answers: the JSON Schemas of the folder `schemas`, and what those for a model cannot say."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Form:
    """What is known of an answer beside its JSON Schema. Paths are names joined by points, without list positions.

    `claims`: groups of lists whose items need evidence, numbered from 0 through all of them in this order; of each
    group one cited item must remain. `all_claims`: none may be dropped. `limits`: most characters of a text in
    Chinese and in English. `may_be_empty`: what an answer under headings need not have. `plans`: texts that
    propose, so that their deadlines are no statements of fact. `distinct`: a path whose values must differ.
    `labels`: what people call a field, as keys and as headings.
    """

    claims: tuple[tuple[str, ...], ...] = ()
    all_claims: bool = False
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    may_be_empty: frozenset[str] = frozenset()
    plans: frozenset[str] = frozenset()
    distinct: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def claim_paths(self) -> tuple[str, ...]:
        """The lists of claims in the order in which claims are numbered."""
        return tuple(path for group in self.claims for path in group)


USUAL_LIMIT = (600, 1500)
"""Most characters of a text without a limit of its own, in Chinese and in English."""

_SUMMARY = ("總結", "摘要", "概要", "概述", "总结", "结论", "結論", "summary", "overview", "tl;dr", "conclusion")
_CAUSES = ("根因", "根本原因", "原因", "成因", "root cause", "causes", "cause", "why")
_ACTIONS = (
    *("建議", "改善", "行動", "措施", "對策", "建议", "行动", "对策", "recommendations", "recommendation"),
    *("actions", "action", "next steps", "what to do"),
)
_TIMELINE = ("時程", "預估時程", "期程", "时程", "时间表", "timeline", "time estimate", "time frame", "timeframe")
_IMPACT = ("業務影響", "影響", "业务影响", "影响", "business impact", "impact")
_RISKS = ("風險", "警示", "威脅", "风险", "威胁", "risks", "risk", "threats")
_OPPORTUNITIES = ("機會", "商機", "机会", "商机", "opportunities", "opportunity")
_FINDINGS = ("關鍵發現", "發現", "重點", "关键发现", "发现", "重点", "key findings", "findings", "highlights")
_CONFIDENCE = ("信心", "信心度", "信心指數", "置信", "置信度", "confidence", "confidence score")
_EVIDENCE = (
    "證據",
    "依據",
    "佐證",
    "參考",
    "證明",
    "证据",
    "依据",
    "evidence",
    "references",
    "sources",
    "citations",
)
_LEVEL = ("風險等級", "風險程度", "等級", "风险等级", "风险程度", "等级", "risk level", "churn risk")
_EVERYWHERE = {"confidence": _CONFIDENCE, "evidence": _EVIDENCE}

WEAK_LABELS = frozenset({"分析", "評估", "评估", "analysis", "assessment"})
"""Words of headings that decide only where no other does: almost every heading has one."""

FORMS: Mapping[str, Form] = {
    "alert_enhancement.v1": Form(
        claims=(("rootCauseAnalysis",), ("actionableRecommendations",)),
        limits={"summary": (50, 200)},
        may_be_empty=frozenset(
            {"businessImpact", "businessImpact.estimatedCost", "businessImpact.affectedAreas", "timelineEstimate"}
        ),
        plans=frozenset({"actionableRecommendations", "timelineEstimate"}),
        labels={
            "summary": _SUMMARY,
            "rootCauseAnalysis": (*_CAUSES, "分析", "analysis"),
            "actionableRecommendations": _ACTIONS,
            "businessImpact": _IMPACT,
            "businessImpact.severity": ("嚴重程度", "嚴重度", "影響程度", "严重程度", "severity", "impact level"),
            "businessImpact.affectedAreas": ("影響範圍", "影響領域", "受影響", "影响范围", "affected areas"),
            "businessImpact.estimatedCost": ("預估損失", "損失", "预估损失", "estimated cost", "estimated loss"),
            "timelineEstimate": _TIMELINE,
            **_EVERYWHERE,
        },
    ),
    "insight_deepening.v1": Form(
        claims=(("opportunities", "risks"), ("actions",)),
        limits={"deepAnalysis": (800, 2000)},
        plans=frozenset({"actions"}),
        labels={
            "deepAnalysis": ("深度分析", "深入分析", "解說", "解读", "deep analysis", "分析", "analysis"),
            "opportunities": _OPPORTUNITIES,
            "risks": _RISKS,
            "actions": _ACTIONS,
            **_EVERYWHERE,
        },
    ),
    "recommendation_optimization.v1": Form(
        claims=(("ordered",),),
        all_claims=True,
        may_be_empty=frozenset({"ordered.resources", "ordered.timeline"}),
        plans=frozenset({"ordered.resources", "ordered.timeline", "ordered.reason"}),
        labels={
            "ordered": ("優先級", "優先順序", "排序", "优先级", "priorities", "order", "recommendations", "建議"),
            "ordered.title": ("標題", "名稱", "标题", "名称", "title", "name", "recommendation", "建議", "建议"),
            "ordered.newPriority": ("優先級", "優先順序", "优先级", "new priority", "priority", "rank"),
            "ordered.feasibility": ("可行性", "feasibility"),
            "ordered.resources": ("資源", "資源需求", "资源", "资源需求", "resources", "resource needs"),
            "ordered.timeline": (*_TIMELINE, "執行時程", "执行时程"),
            "ordered.reason": ("理由", "原因", "說明", "说明", "reason", "rationale", "why"),
            **_EVERYWHERE,
        },
    ),
    "executive_summary.v1": Form(
        claims=(("keyFindings",), ("priorityActions",)),
        limits={"headline": (60, 200), "period": (60, 100)},
        may_be_empty=frozenset({"period"}),
        plans=frozenset({"priorityActions"}),
        labels={
            "overallHealth": (
                *("整體健康", "健康狀態", "健康狀況", "整體狀況", "健康度", "整体健康", "健康状态", "健康状况"),
                *("overall health", "overall status", "health", "status"),
            ),
            "headline": ("標題", "一句話", "标题", "headline", *_SUMMARY),
            "keyFindings": _FINDINGS,
            "priorityActions": ("優先行動", "优先行动", "priority actions", "priorities", *_ACTIONS),
            "period": ("期間", "報告期間", "週期", "期间", "周期", "period", "reporting period"),
            **_EVERYWHERE,
        },
    ),
    "trend_analysis.v1": Form(
        claims=(("keyChanges",), ("actions",)),
        plans=frozenset({"actions"}),
        labels={
            "direction": ("趨勢方向", "方向", "趋势方向", "direction", "trend direction"),
            "analysis": ("趨勢分析", "趋势分析", "trend analysis", "分析", "analysis"),
            "keyChanges": ("關鍵變化", "變化", "关键变化", "变化", "key changes", "changes"),
            "outlook": ("展望", "預測", "预测", "outlook", "forecast"),
            "actions": _ACTIONS,
            **_EVERYWHERE,
        },
    ),
    "risk_forecasting.v1": Form(
        claims=(("riskFactors",), ("mitigationStrategies",), ("monitoringIndicators",)),
        plans=frozenset({"mitigationStrategies", "monitoringIndicators", "impact.timing"}),
        labels={
            "riskLevel": _LEVEL,
            "riskFactors": ("風險因子", "風險因素", "风险因子", "风险因素", "risk factors", "factors"),
            "impact": _IMPACT,
            "impact.timing": ("影響時間", "時間", "影响时间", "时间", "timing", "when"),
            "impact.extent": ("影響程度", "程度", "影响程度", "extent", "degree"),
            "mitigationStrategies": (
                *("預防", "應對", "策略", "预防", "应对", "mitigation", "prevention", "strategies"),
                *_ACTIONS,
            ),
            "monitoringIndicators": ("監控", "指標", "监控", "指标", "monitoring", "indicators"),
            **_EVERYWHERE,
        },
    ),
    "customer_churn_analysis.v1": Form(
        claims=(("churnDrivers",), ("retentionActions",)),
        plans=frozenset({"retentionActions", "timelineEstimate"}),
        labels={
            "riskLevel": _LEVEL,
            "analysis": ("流失分析", "分析", "analysis"),
            "churnDrivers": ("流失原因", "驅動因素", "驱动因素", "churn drivers", "drivers", *_CAUSES),
            "retentionActions": ("挽留", "留存", "retention actions", "retention", *_ACTIONS),
            "timelineEstimate": _TIMELINE,
            **_EVERYWHERE,
        },
    ),
    "business_intelligence.v1": Form(
        claims=(
            (
                *("marketPosition.strengths", "marketPosition.weaknesses"),
                *("marketPosition.opportunities", "marketPosition.threats"),
            ),
            ("successFactors",),
            ("strategicRecommendations",),
            ("risks",),
        ),
        plans=frozenset({"strategicRecommendations", "roiForecast"}),
        labels={
            "marketPosition": ("市場地位", "市场地位", "market position", "swot"),
            "marketPosition.strengths": ("優勢", "优势", "strengths"),
            "marketPosition.weaknesses": ("劣勢", "弱點", "劣势", "弱点", "weaknesses"),
            "marketPosition.opportunities": _OPPORTUNITIES,
            "marketPosition.threats": ("威脅", "威胁", "threats"),
            "successFactors": ("關鍵成功因子", "成功因素", "关键成功因素", "success factors"),
            "strategicRecommendations": ("戰略建議", "战略建议", "strategic recommendations", *_ACTIONS),
            "risks": ("風險", "风险", "risks", "risk assessment", "risk mitigation"),
            "roiForecast": ("roi", "投資報酬", "效益", "投资回报", "roi forecast"),
            **_EVERYWHERE,
        },
    ),
    "customer_segmentation.v1": Form(
        claims=(("segments",),),
        plans=frozenset({"segments.marketingStrategy", "segments.retentionAdvice"}),
        distinct="segments.segment",
        labels={
            "segments": ("分群", "分群結果", "分群结果", "segments", "groups"),
            "segments.segment": ("群組", "分群", "客群", "segment", "group", "name"),
            "segments.characteristics": ("特徵", "特征", "characteristics", "description"),
            "segments.marketingStrategy": ("行銷策略", "营销策略", "marketing strategy", "strategy"),
            "segments.retentionAdvice": ("留存", "提升建議", "留存建议", "retention", "retention advice"),
            **_EVERYWHERE,
        },
    ),
    "custom_analysis.v1": Form(
        claims=(("keyFindings",), ("actions", "risks")),
        plans=frozenset({"actions"}),
        labels={
            "dataInsight": ("數據洞察", "洞察", "数据洞察", "data insight", "insight", "insights"),
            "keyFindings": _FINDINGS,
            "actions": _ACTIONS,
            "risks": _RISKS,
            **_EVERYWHERE,
        },
    ),
}

# Words for the values of enumerations, by the value they mean. Looked up in what the schema allows, so one table
# serves all forms; a value of the schema itself always means itself.
_WORDS: Mapping[str, str] = {
    "critical": "嚴重 严重 緊急 紧急 危急 危機 危机 極高 极高 severe emergency very_high",
    "high": "高 高度 重大 major significant",
    "medium": "中 中等 中度 普通 moderate mid average warning",
    "low": "低 低度 輕微 轻微 minor minimal info",
    "good": "良好 健康 正常 佳 healthy ok fine stable",
    "watch": "觀察 观察 注意 需關注 需关注 關注 关注 fair monitor",
    "alert": "警戒 警示 警告 warning poor",
    "極高": "极高 非常高 嚴重 严重 very_high critical extreme extremely_high",
    "高": "high 高度 高風險 高风险",
    "中": "medium 中等 中度 moderate 中風險 中风险",
    "低": "low 低度 低風險 低风险",
    "rising": "上升 成長 增長 增长 上漲 up upward increasing growing",
    "falling": "下降 下滑 衰退 下跌 down downward decreasing declining",
    "stable": "穩定 稳定 持平 平穩 flat steady",
    "volatile": "波動 波动 震盪 震荡 fluctuating",
    "高價值": "高价值 高價值客戶 高价值客户 high_value high_value_customers",
    "成長潛力": "成长潜力 成長潛力客戶 growth_potential growth",
    "流失風險": "流失风险 流失風險客戶 churn_risk at_risk",
    "新客戶": "新客户 新客 new_customers new_customer new",
}
# Of a schema that offers a value in both languages, the one that is kept.
_KEPT = {
    **{"very high": "極高", "high": "高", "medium": "中", "low": "低"},
    **{
        "high value": "高價值",
        "growth potential": "成長潛力",
        "churn risk": "流失風險",
        "new customers": "新客戶",
    },
}


@lru_cache
def schema_file(name: str) -> Mapping[str, Any]:
    """A file of the folder `schemas` by its name without `.json`. Raises FileNotFoundError for any other name."""
    if not name.replace("_", "").replace(".", "").isalnum():
        raise FileNotFoundError(f"{name[:100]!r} is not the name of a schema")
    source = resources.files("tagging_orchestration.core.enhancement").joinpath("schemas", f"{name}.json")
    return json.loads(source.read_text(encoding="utf-8"))


def output_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of an answer as a provider gets it, such as `alert_enhancement.v1`: a fresh copy of the file
    in `schemas` without its `$schema`, title and description. Raises FileNotFoundError for any other name."""
    kept = {
        key: value for key, value in schema_file(name).items() if key not in {"$schema", "title", "description"}
    }
    return copy.deepcopy(kept)


def form_of(name: str) -> Form:
    """The form that goes with a schema; a schema without one makes no claims."""
    return FORMS.get(name, Form())


def key_form(name: str) -> str:
    """A key or a word without case, spaces, hyphens and underscores: `root_cause` and `Root Cause` are one."""
    return "".join(character for character in name.casefold() if character not in " _-\u3000\t")


@lru_cache
def enum_words(values: tuple[Any, ...]) -> Mapping[str, Any]:
    """What each word means among these values of an enumeration, by `key_form` of the word."""
    both = "高" in values and "high" in values
    kept = {value: _KEPT.get(value, value) if both or "高價值" in values else value for value in values}
    words = {key_form(str(value)): kept[value] for value in values}
    for value in kept.values():
        for word in _WORDS.get(str(value), "").split():
            words.setdefault(key_form(word), value)
    return words


def texts_of(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document with its path; the evidence is none."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not (path == "" and key == "evidence"):
                yield from texts_of(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts_of(inner, path)
