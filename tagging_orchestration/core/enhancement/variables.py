"""The variables of prompts, made from facts: the same facts give the same variables, so that answers can be kept.

What is not known is left out, never invented. Local models read four to eight thousand tokens, so documents are
compacted: empty values go, evidence keeps its top, and texts become excerpts until the whole fits.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from statistics import fmean
from typing import Any

from tagging_orchestration.core.business.report import (
    Alert,
    HealthReport,
    Locale,
    MetricCard,
    Phrase,
    SampleText,
    Series,
    excerpt,
)
from tagging_orchestration.core.enhancement.models import EvidenceItem, PromptLocale, PromptTemplate
from tagging_orchestration.core.enhancement.prompts import DERIVED_VARIABLES
from tagging_orchestration.core.enhancement.subjects import (
    AlertSubject,
    BusinessFacts,
    CustomSubject,
    InsightSubject,
    MetricNames,
    Point,
    RecommendationItem,
    RecommendationsSubject,
    SummarySubject,
)

Subject = AlertSubject | InsightSubject | RecommendationsSubject | SummarySubject | CustomSubject

CONTEXT_TOKENS = 1_400
"""About what a business context may take of a prompt; a whole one stays below 3,000 with its answer."""
TREND_DAYS, LONG_TREND_DAYS = 14, 28
MOST_ALERTS, MOST_INSIGHTS, MOST_RECOMMENDATIONS, MOST_METRICS, MOST_HIGHLIGHTS = 10, 8, 10, 14, 5
MOST_EARLIER, MOST_LEAVES = 6, 60

# (tags, rows, samples, characters of a sample): the first that fits is taken.
_SIZES = ((5, 5, 4, 240), (5, 4, 3, 160), (4, 3, 3, 100), (3, 2, 2, 60), (2, 1, 1, 40), (1, 0, 0, 0))
# Said twice in a business context, or of no use to a reader.
_SUPERFLUOUS = frozenset(
    {"schema_version", "current_business_hours", "day_of_week", "season_factor", "evidence", "dimension_label"}
)
_WIDE = re.compile(r"[⺀-￯]")
# Sections of a business profile that a variable quotes, where people wrote them.
_PROFILE = {
    "resource_constraints": ("resource_constraints", "constraints", "resources"),
    "competitive_context": ("competitive_context", "competitors", "market_position"),
    "competitive_data": ("competitive_data", "competitors", "competitive_context"),
    "competitor_analysis": ("competitor_analysis", "competitors", "competitive_context"),
    "market_context": ("market_context", "market", "market_conditions"),
    "external_factors": ("external_factors",),
}
_ABOUT_BUSINESS = ("strategic_goals", "goals", "business_priorities", "priorities", "company_context", "company")


def prompt_locale(locale: Locale) -> PromptLocale:
    """The language of prompts for a business's own language."""
    return "zh-TW" if locale == "zh-Hant" else "en"


def report_locale(locale: PromptLocale) -> Locale:
    """The language of the business that a prompt's language is for."""
    return "zh-Hant" if locale == "zh-TW" else "en"


def build_prompt_variables(subject: Subject, business: BusinessFacts, locale: Locale) -> dict[str, Any]:
    """All variables that are known of a subject, in a language. Values are what JSON knows."""
    match subject:
        case AlertSubject():
            found = _alert_variables(subject, locale)
        case InsightSubject():
            found = _insight_variables(subject, locale)
        case RecommendationsSubject():
            found = _recommendation_variables(subject, business, locale)
        case SummarySubject():
            found = _summary_variables(subject, business, locale)
        case CustomSubject():
            found = _business_variables(subject, business, locale)
    return _without_empty(found)


def used_variables(template: PromptTemplate, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Those a template can use: what it declares, and what of the derived ones stands in its text. An answer then
    depends on nothing that the model did not see."""
    declared = {*template.required_variables, *template.optional_variables}
    derived = {name for name in DERIVED_VARIABLES if re.search(rf"{{{{\s*{name}\s*}}}}", template.prompt_template)}
    return {name: value for name, value in variables.items() if name in declared | derived}


def evidence_of_variables(variables: Mapping[str, Any]) -> tuple[EvidenceItem, ...]:
    """What an answer may cite of variables that somebody gave: each value in them, by its path."""
    leaves = _leaves({name: value for name, value in variables.items() if name not in DERIVED_VARIABLES})
    return tuple(EvidenceItem(f"context:{path}", f"{path} = {value}") for path, value in leaves)[:MOST_LEAVES]


def stored_evidence(variables: Mapping[str, Any]) -> tuple[EvidenceItem, ...]:
    """What an answer made from stored variables may cite: the listed evidence, and the leaves of the context."""
    listed = [str(line).partition(" — ") for line in variables.get("evidence") or ()]
    context = variables.get("business_context")
    leaves = _leaves(context) if isinstance(context, Mapping) else iter(())
    given = evidence_of_variables(variables)
    items = [
        *(EvidenceItem(ref, label) for ref, _, label in listed),
        *(EvidenceItem(f"context:{path}", f"{path} = {value}") for path, value in leaves),
        *given,
    ]
    return tuple({item.ref: item for item in reversed(items)}.values())


def is_stated(ref: str, variables: Mapping[str, Any]) -> bool:
    """Whether a reference that leads to no row of the database stands in what an answer was made from: a leaf of
    the business context (or of what somebody gave), or one of the listed pieces of evidence."""
    kind, _, path = ref.partition(":")
    context = variables.get("business_context")
    if kind == "context" and any(path == known for known, _ in (*_leaves(context or {}), *_leaves(variables))):
        return True
    return any(str(line).startswith(f"{ref} —") for line in variables.get("evidence") or ())


def citable(evidence: Sequence[EvidenceItem]) -> list[EvidenceItem]:
    """The evidence that a prompt lists. Leaves of the business context are cited by their path: two examples say
    how, the rest stands in the context itself."""
    listed = [item for item in evidence if not item.ref.startswith("context:")]
    return listed + [item for item in evidence if item.ref.startswith("context:")][:2]


# -------------------------------------------------------------------------------------------------- evidence


def evidence_of(subject: Subject, variables: Mapping[str, Any], locale: Locale) -> tuple[EvidenceItem, ...]:
    """Everything an answer about a subject may cite, each once: what is in its variables, by reference."""
    match subject:
        case AlertSubject():
            found = [
                *_tag_evidence(subject.evidence.get("top_tags", ()), locale),
                *_sample_evidence(_chosen_samples(subject.samples, subject.evidence, 4)),
                *_row_evidence(subject.evidence.get("top_rows", ()), locale),
                *(EvidenceItem(f"alert:{other.id}", other.title.of(locale)) for other in subject.related),
                EvidenceItem(f"alert:{subject.id}", subject.title.of(locale)),
                _metric_evidence(subject.metric, locale),
            ]
        case InsightSubject():
            found = [
                *_tag_evidence(subject.business_context.get("top_tags", ()), locale),
                *(EvidenceItem(f"tag:{number}", name) for number, name in subject.tags.items()),
                *_sample_evidence(subject.samples[:4]),
                *_row_evidence(subject.rests_on.get("rows", ()), locale),
                EvidenceItem(f"insight:{subject.id}", subject.title.of(locale)),
                *(
                    EvidenceItem(f"alert:{id}", _said(locale, "an alert it rests on", "所依據的警示"))
                    for id in subject.rests_on.get("alerts", ())[:4]
                ),
                *([_metric_evidence(subject.metric, locale)] if subject.metric else []),
            ]
        case RecommendationsSubject():
            found = [
                *(
                    EvidenceItem(f"recommendation:{item.id}", item.title.of(locale))
                    for item in subject.items[:MOST_RECOMMENDATIONS]
                ),
                *(
                    EvidenceItem(f"tag:{number}", name)
                    for item in subject.items[:MOST_RECOMMENDATIONS]
                    for number, name in item.tags.items()
                ),
                *_report_evidence(subject.report, locale),
            ]
        case SummarySubject() | CustomSubject():
            found = _report_evidence(subject.report, locale)
    leaves = [
        EvidenceItem(f"context:{path}", f"{path} = {value}")
        for path, value in _leaves(variables.get("business_context") or {})
    ]
    once: dict[str, EvidenceItem] = {}
    for item in [*found, *leaves[:MOST_LEAVES]]:
        once.setdefault(item.ref, item)
    return tuple(once.values())


def _tag_evidence(tags: Iterable[Mapping[str, Any]], locale: Locale) -> list[EvidenceItem]:
    said = _said(locale, 'tag "{}": {} texts, {} times as often as usual', "標籤「{}」：{} 篇，頻率為平常的 {} 倍")
    return [
        EvidenceItem(f"tag:{tag['tag_id']}", said.format(tag["tag"], tag["count"], _rounded(tag["lift"])))
        for tag in list(tags)[: _SIZES[0][0]]
    ]


def _sample_evidence(samples: Iterable[SampleText]) -> list[EvidenceItem]:
    return [
        EvidenceItem(
            f"content:{sample.content_id}",
            f"{sample.content_type}, {sample.day}: {excerpt(sample.title or sample.text, 60)}",
        )
        for sample in samples
    ]


def _row_evidence(rows: Iterable[Mapping[str, Any]], locale: Locale) -> list[EvidenceItem]:
    return [
        EvidenceItem(
            f"row:{row['table']}/{row['id']}",
            f"{row['table'].partition('.')[2]} {row['id']}: {_why(row, locale)}",
        )
        for row in list(rows)[: _SIZES[0][1]]
    ]


def _metric_evidence(metric: MetricNames, locale: Locale) -> EvidenceItem:
    return EvidenceItem(f"metric:{metric.metric_name}", metric.label.of(locale))


def _report_evidence(report: HealthReport, locale: Locale) -> list[EvidenceItem]:
    alerts = _open_alerts(report)
    tags = {tag.tag_id: tag for situation in report.situations for tag in situation.tags}
    moved = {tag.tag_id: tag.name for tag in (*report.rising, *report.falling)}
    said = _said(locale, 'tag "{}": {} texts', "標籤「{}」：{} 篇")
    return [
        *(EvidenceItem(f"alert:{alert.id}", alert.title.of(locale)) for alert in alerts[:MOST_ALERTS]),
        *(EvidenceItem(f"insight:{item.id}", item.title.of(locale)) for item in report.insights[:MOST_INSIGHTS]),
        *(
            EvidenceItem(f"recommendation:{item.id}", item.title.of(locale))
            for item in report.recommendations[:MOST_RECOMMENDATIONS]
        ),
        *(EvidenceItem(f"tag:{id}", said.format(tag.name, tag.count)) for id, tag in list(tags.items())[:6]),
        *(EvidenceItem(f"tag:{id}", name) for id, name in moved.items()),
        *(
            EvidenceItem(f"content:{quote.content_id}", f"{quote.content_type}, {quote.day}: {quote.title}")
            for situation in report.situations[:3]
            for quote in situation.quotes[:2]
        ),
        *(
            EvidenceItem(f"metric:{card.metric.metric_name}", card.metric.label.of(locale))
            for card in report.key_metrics
        ),
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Paths of the numbers and texts of a document."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            # The evidence in a business context has references of its own.
            if name != "evidence":
                yield from _leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}.{number}")
    elif isinstance(value, str | int | float):
        yield path, value


# ------------------------------------------------------------------------------------------------------ alert


def _alert_variables(subject: AlertSubject, locale: Locale) -> dict[str, Any]:
    context = subject.business_context
    trigger = context.get("triggering_metrics") or {}
    expected = trigger.get("expected_value")
    threshold: float | str | None = subject.threshold_value
    if threshold is None and expected is not None:
        threshold = _said(locale, "usual value {}", "平常約為 {}").format(_rounded(expected))
    details = {
        _said(locale, "title", "標題"): subject.title.of(locale),
        _said(locale, "message", "說明"): subject.message.of(locale),
        _said(locale, "metric", "指標"): f"{subject.metric.label.of(locale)} ({subject.metric.metric_name})",
        _said(locale, "part of the business", "範圍"): subject.dimension_label
        or _said(locale, "the whole business", "全公司"),
        _said(locale, "severity", "嚴重程度"): subject.severity,
        _said(locale, "kind", "類型"): " / ".join(filter(None, (subject.alert_type, subject.alert_subtype))),
        _said(locale, "since", "起始日"): str(subject.metric_date),
        _said(locale, "last seen", "最近一次"): str(subject.last_metric_date),
    }
    merged = {
        "metric_name": subject.metric.metric_name,
        "display_name": subject.metric.label.of(locale),
        "current_value": _rounded(subject.current_value),
        "threshold_value": _rounded(subject.threshold_value),
        "category": subject.metric.category,
    }
    related = [
        {"ref": f"alert:{other.id}", "severity": other.severity, "title": other.title.of(locale)}
        for other in subject.related[:4]
    ]
    areas = [subject.metric.category, *(other.metric.category for other in subject.related)]
    days = LONG_TREND_DAYS if subject.alert_type == "trend_analysis" else TREND_DAYS
    earlier = [
        {
            "from": str(alert.first),
            "to": str(alert.last),
            "severity": alert.severity,
            "kind": alert.alert_subtype,
        }
        for alert in subject.earlier[:MOST_EARLIER]
    ]
    return {
        "alert_details": "\n".join(f"{name}: {text}" for name, text in details.items()),
        "current_value": _said(locale, "not known", "未知")
        if subject.current_value is None
        else _rounded(subject.current_value),
        "threshold_value": _said(locale, "no fixed limit", "沒有固定門檻")
        if threshold is None
        else _rounded(threshold),
        "business_context": _context(
            {**context, "alert_details": merged, "incident_alerts": related},
            subject.evidence,
            subject.samples,
            locale,
        ),
        "trend_data": _trend(subject.trend[-days:]),
        "time_period": _span(subject.trend[-days:]),
        "historical_comparison": _comparison(subject.trend),
        "historical_pattern": {"earlier_alerts_of_12_months": len(subject.earlier), "latest": earlier}
        if earlier
        else None,
        "affected_areas": list(dict.fromkeys(areas)),
        "metric_category": subject.metric.category,
        "severity": subject.severity,
        "metric_name": subject.metric.label.of(locale),
        "timestamp": context.get("snapshot_timestamp") or str(subject.last_metric_date),
    }


# ---------------------------------------------------------------------------------------------------- insight


def _insight_variables(subject: InsightSubject, locale: Locale) -> dict[str, Any]:
    own = {name: value for name, value in subject.business_context.items() if name != "top_tags"}
    evidence = {
        "top_tags": subject.business_context.get("top_tags", ()),
        "top_rows": subject.rests_on.get("rows", ()),
    }
    situation = {
        name: subject.situation.get(name)
        for name in ("business_indicators", "trend_analysis", "contextual_factors", "business_impact")
    }
    return {
        "insights": [
            {
                "ref": f"insight:{subject.id}",
                "title": subject.title.of(locale),
                "description": subject.description.of(locale),
                "type": subject.insight_type,
                "category": subject.category,
                "impact": subject.impact,
                "confidence": subject.confidence,
                "actions": [action.of(locale) for action in subject.actions],
            }
        ],
        "business_context": _context({**own, **situation}, evidence, subject.samples, locale),
        "trend_data": _trend(subject.trend[-LONG_TREND_DAYS:]),
        "time_period": _span(subject.trend[-LONG_TREND_DAYS:]),
        "historical_comparison": _comparison(subject.trend),
        "metric_category": subject.category,
        "metric_name": subject.metric.label.of(locale) if subject.metric else None,
        "severity": {"high": "warning"}.get(subject.impact, "info"),
        "timestamp": subject.situation.get("snapshot_timestamp"),
    }


# -------------------------------------------------------------------------------- recommendations and summary


def _recommendation_variables(
    subject: RecommendationsSubject, business: BusinessFacts, locale: Locale
) -> dict[str, Any]:
    items = subject.items[:MOST_RECOMMENDATIONS]
    return {
        "current_recommendations": [_recommendation(item, locale) for item in items],
        "recommendations": [item.title.of(locale) for item in items],
        "business_context": _fitted(
            lambda size: {
                **aggregated_context(subject.report),
                "key_metrics": _key_metrics(subject.report.key_metrics, locale)[: size[0] * 2],
                "open_alerts": [_open_alert(alert, locale) for alert in _open_alerts(subject.report)[: size[0]]],
                "about_the_business": _quoted(business.profile, _ABOUT_BUSINESS, locale),
            }
        ),
        "timestamp": _timestamp(subject.report),
        **_profile_variables(business, locale),
    }


def expected_titles(subject: RecommendationsSubject, locale: Locale) -> list[str]:
    """The titles that an answer must give another order, and nothing else."""
    return [item.title.of(locale) for item in subject.items[:MOST_RECOMMENDATIONS]]


def _recommendation(item: RecommendationItem, locale: Locale) -> dict[str, Any]:
    return _without_empty(
        {
            "ref": f"recommendation:{item.id}",
            "title": item.title.of(locale),
            "description": item.description.of(locale),
            "impact": item.impact,
            "effort": item.effort,
            "priority_score": item.priority,
            "confidence": item.confidence,
            "timeline": item.timeline.of(locale),
            "potential_cost_saving": item.business_context.get(
                "potential_cost_saving_zh" if locale == "zh-Hant" else "potential_cost_saving"
            ),
        }
    )


def _summary_variables(subject: SummarySubject, business: BusinessFacts, locale: Locale) -> dict[str, Any]:
    days = 7 if subject.period == "weekly" else 1
    first = subject.day - timedelta(days=days - 1)
    last = min(subject.day, subject.report.as_of or subject.day)
    content = _fitted(
        lambda size: {
            **unified_content(subject.report, locale, size[0] * 2),
            "incidents": [
                {
                    "title": past.incident.title.of(locale),
                    "severity": past.incident.severity,
                    "from": str(past.incident.opened_on),
                    "to": str(past.incident.last_seen_on),
                    "tags": list(past.incident.causes[:3]),
                }
                for past in subject.report.history
                if past.incident.last_seen_on >= first
            ][: size[0]],
            "overall_health": subject.report.health.level,
            "what_people_write": _voices(subject.report, size),
            "ai_highlights": list(subject.highlights[:MOST_HIGHLIGHTS]),
        }
    )
    named = _said(locale, *{"weekly": ("week", "週報"), "daily": ("day", "日報")}[subject.period])
    span = str(last) if days == 1 else f"{first} – {last}"
    return {
        "unified_content": content,
        "reporting_period": f"{named}: {span}",
        "key_metrics": _key_metrics(subject.report.key_metrics, locale, days),
        "timestamp": _timestamp(subject.report),
        "severity": {"critical": "critical", "alert": "warning"}.get(subject.report.health.level, "info"),
        **_profile_variables(business, locale),
    }


def unified_content(report: HealthReport, locale: Locale, most: int = MOST_ALERTS) -> dict[str, Any]:
    """The three sections of the dashboard as they stood on the day of a report, short and with references."""
    return _without_empty(
        {
            "alerts": [_open_alert(alert, locale) for alert in _open_alerts(report)[:most]],
            "insights": [
                {
                    "ref": f"insight:{item.id}",
                    "type": item.insight_type,
                    "title": item.title.of(locale),
                    "description": item.description.of(locale),
                    "impact": item.impact,
                }
                for item in report.insights[: min(most, MOST_INSIGHTS)]
            ],
            "recommendations": [
                {
                    "ref": f"recommendation:{item.id}",
                    "title": item.title.of(locale),
                    "impact": item.impact,
                    "effort": item.effort,
                    "priority_score": item.priority,
                    "timeline": item.timeline.of(locale),
                }
                for item in report.recommendations[: min(most, MOST_RECOMMENDATIONS)]
            ],
            "last_updated": _timestamp(report),
        }
    )


def aggregated_context(report: HealthReport) -> dict[str, Any]:
    """The state of the business in numbers: its alerts, insights and recommendations counted."""
    alerts = _open_alerts(report)
    metrics = Counter(alert.metric_name for alert in alerts)
    return {
        "alerts_summary": {
            "critical_count": sum(alert.severity == "critical" for alert in alerts),
            "warning_count": sum(alert.severity == "warning" for alert in alerts),
            "most_frequent_metrics": [name for name, _ in metrics.most_common(3)],
        },
        "insights_overview": {
            "high_impact_count": sum(item.impact == "high" for item in report.insights),
            "categories": sorted({item.category for item in report.insights}),
        },
        "recommendations_status": {
            "total_count": len(report.recommendations),
            "priority_distribution": dict(
                Counter(
                    "high" if item.priority >= 80 else "medium" if item.priority >= 50 else "low"
                    for item in report.recommendations
                )
            ),
        },
        "snapshot_timestamp": _timestamp(report),
    }


# --------------------------------------------------------------------------------------------- whole business


def _business_variables(subject: CustomSubject, business: BusinessFacts, locale: Locale) -> dict[str, Any]:
    """The variables of the templates that look at the whole business, as far as the business has such facts."""
    report = subject.report
    cards = {card.metric.metric_name: card for card in (*report.key_metrics, *report.other_metrics)}
    chosen = cards.get(subject.metric_name or "") or next(iter(report.key_metrics), None)
    points = _points(chosen.series) if chosen and chosen.series else []
    customers = [
        card
        for card in cards.values()
        if card.metric.category.startswith("customer") or "customer" in card.metric.metric_name
    ]
    cohorts = [
        _without_empty(
            {
                "first_bought": f"{cohort.month:%Y-%m}",
                "customers": cohort.customers,
                "value_so_far": _rounded(cohort.value),
                "first_30_days": _rounded(cohort.first_30_days),
                "change_pct": _rounded(cohort.change_pct),
            }
        )
        for cohort in report.cohorts[-6:]
    ]
    trends = {
        card.metric.metric_name: _without_empty(
            {
                "change_7d_pct": _rounded(card.metric.trend_7d_pct),
                "change_30d_pct": _rounded(card.metric.trend_30d_pct),
            }
        )
        for card in report.key_metrics
    }
    orders = [
        card for name in ("daily_orders", "average_order_value") if (card := cards.get(name)) and card.series
    ]
    weak = [
        alert
        for alert in _open_alerts(report)
        if cards.get(alert.metric_name) in customers or alert.severity != "info"
    ]
    return {
        "business_context": {
            **aggregated_context(report),
            "about_the_business": _quoted(business.profile, _ABOUT_BUSINESS, locale),
        },
        "core_data": _key_metrics(report.key_metrics, locale),
        "key_metrics": _key_metrics(report.key_metrics, locale),
        "current_metrics": [
            f"{card.metric.label.of(locale)}: {_rounded(card.metric.value)}" for card in report.key_metrics
        ],
        "trend_analysis": trends,
        "historical_data": {
            card.metric.metric_name: _trend(_points(card.series)[-TREND_DAYS:])
            for card in ([chosen] if subject.metric_name and chosen else report.key_metrics[:3])
            if card.series
        },
        "trend_data": _trend(points[-LONG_TREND_DAYS:]),
        "time_period": _span(points[-LONG_TREND_DAYS:]),
        "metric_category": chosen.metric.category if chosen else None,
        "historical_comparison": _comparison(points),
        "metric_name": chosen.metric.label.of(locale) if chosen else None,
        "warning_signals": [_open_alert(alert, locale) for alert in _open_alerts(report)[:5]]
        + [
            {
                "metric": forecast.label.of(locale),
                "within_days": forecast.horizon_days,
                "probability_of_crossing_its_limit": round(forecast.probability, 3),
                "risk": forecast.level,
            }
            for forecast in report.forecasts[:4]
        ],
        "customer_profile": _key_metrics(customers, locale),
        "customer_data": _without_empty({"metrics": _key_metrics(customers, locale), "cohorts": cohorts}),
        "behavior_changes": {card.metric.metric_name: trends.get(card.metric.metric_name) for card in customers},
        "behavior_patterns": {
            card.metric.metric_name: _comparison(_points(card.series)) for card in customers if card.series
        },
        "risk_indicators": [_open_alert(alert, locale) for alert in weak[:5]],
        "transaction_history": {
            card.metric.metric_name: _trend(_points(card.series)[-TREND_DAYS:]) for card in orders if card.series
        },
        "preference_analysis": [
            {"ref": f"tag:{tag.tag_id}", "tag": tag.name, "texts": tag.recent, "usual": _rounded(tag.expected)}
            for tag in (*report.rising, *report.falling)
        ],
        "timestamp": _timestamp(report),
        **_profile_variables(business, locale),
    }


# ----------------------------------------------------------------------------------------------- parts of them


def _context(
    document: Mapping[str, Any], evidence: Mapping[str, Any], samples: Sequence[SampleText], locale: Locale
) -> dict[str, Any]:
    """A business context without what is empty or said twice, with the top of the evidence, as long as fits."""
    kept = {name: value for name, value in document.items() if name not in _SUPERFLUOUS}
    kept |= {"related_alerts": list(document.get("related_alerts") or ())[:5]}
    return _fitted(lambda size: {**kept, "evidence": _evidence_document(evidence, samples, locale, size)})


def _evidence_document(
    evidence: Mapping[str, Any], samples: Sequence[SampleText], locale: Locale, size: tuple[int, int, int, int]
) -> dict[str, Any]:
    tags, rows, texts, characters = size
    return {
        "tags": [
            {
                "ref": f"tag:{tag['tag_id']}",
                "tag": tag["tag"],
                "texts": tag["count"],
                "times_as_often": _rounded(tag["lift"]),
            }
            for tag in list(evidence.get("top_tags") or ())[:tags]
        ],
        "rows": [
            {"ref": f"row:{row['table']}/{row['id']}", "why": _why(row, locale)}
            for row in list(evidence.get("top_rows") or ())[:rows]
        ],
        "texts_that_people_wrote": [
            {
                "ref": f"content:{sample.content_id}",
                "type": sample.content_type,
                "date": str(sample.day),
                "text": excerpt(f"{sample.title} {sample.text}".strip(), characters),
            }
            for sample in _chosen_samples(samples, evidence, texts)
        ],
    }


def _chosen_samples(samples: Sequence[SampleText], evidence: Mapping[str, Any], most: int) -> list[SampleText]:
    """Samples of the tags in turn, so that one tag does not speak for all; those of no tag after them."""
    known = {sample.content_id: sample for sample in samples}
    columns = [list(tag.get("sample_ids") or ()) for tag in evidence.get("top_tags") or ()]
    turns = [
        column[place]
        for place in range(max(map(len, columns), default=0))
        for column in columns
        if place < len(column)
    ]
    chosen = dict.fromkeys([*(id for id in turns if id in known), *known])
    return [known[id] for id in chosen][:most]


def _open_alerts(report: HealthReport) -> list[Alert]:
    """Open alerts, those of the worst situations first."""
    return [alert for situation in report.situations for alert in situation.alerts]


def _open_alert(alert: Alert, locale: Locale) -> dict[str, Any]:
    return {
        "ref": f"alert:{alert.id}",
        "severity": alert.severity,
        "title": alert.title.of(locale),
        "message": alert.message.of(locale),
        "metric": alert.metric_name,
        "since": str(alert.metric_date),
    }


def _voices(report: HealthReport, size: tuple[int, int, int, int]) -> list[dict[str, Any]]:
    _, _, texts, characters = size
    return [
        {"ref": f"content:{quote.content_id}", "text": excerpt(quote.excerpt, characters)}
        for situation in report.situations[:3]
        for quote in situation.quotes[:2]
    ][:texts]


def _key_metrics(cards: Sequence[MetricCard], locale: Locale, days: int = 1) -> list[dict[str, Any]]:
    made = []
    for card in cards[:MOST_METRICS]:
        last = [point.value for point in _points(card.series)[-days:]] if card.series else []
        made.append(
            _without_empty(
                {
                    "ref": f"metric:{card.metric.metric_name}",
                    "metric": card.metric.label.of(locale),
                    "value": _rounded(card.metric.value),
                    "mean_of_period": _rounded(fmean(last)) if days > 1 and last else None,
                    "change_7d_pct": _rounded(card.metric.trend_7d_pct),
                    "change_30d_pct": _rounded(card.metric.trend_30d_pct),
                    "unit": card.metric.unit,
                    "alert_open": card.open_severity,
                }
            )
        )
    return made


def _points(series: Series | None) -> list[Point]:
    if series is None:
        return []
    days = (series.first + timedelta(days=number) for number in range(len(series.values)))
    return [Point(day, value) for day, value in zip(days, series.values, strict=True) if value is not None]


def _trend(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [{"date": str(point.day), "value": _rounded(point.value)} for point in points]


def _span(points: Sequence[Point]) -> str | None:
    return f"{points[0].day} – {points[-1].day}" if points else None


def _comparison(points: Sequence[Point]) -> dict[str, Any] | None:
    """The last seven days against the four weeks before; nothing without two weeks to compare with."""
    recent, before = points[-7:], points[-35:-7]
    if len(before) < 14:
        return None
    now, then = fmean(p.value for p in recent), fmean(p.value for p in before)
    return _without_empty(
        {
            "mean_of_last_7_days": _rounded(now),
            "mean_of_28_days_before": _rounded(then),
            "change_pct": _rounded(100 * (now - then) / abs(then)) if then else None,
            "lowest_of_28_days_before": _rounded(min(p.value for p in before)),
            "highest_of_28_days_before": _rounded(max(p.value for p in before)),
        }
    )


def _profile_variables(business: BusinessFacts, locale: Locale) -> dict[str, Any]:
    return {name: _quoted(business.profile, keys, locale) for name, keys in _PROFILE.items()}


def _quoted(profile: Mapping[str, Any], keys: Iterable[str], locale: Locale) -> Any:
    """What people wrote under the first of these keys, in a language where they wrote it in several."""
    for key in keys:
        if value := profile.get(key):
            return _in_language(value, locale)
    return None


def _in_language(value: Any, locale: Locale) -> Any:
    if isinstance(value, Mapping) and value.keys() & {"en", "zh-Hant"}:
        return value.get(locale) or next(iter(value.values()))
    if isinstance(value, Mapping):
        return {name: _in_language(item, locale) for name, item in value.items()}
    return [_in_language(item, locale) for item in value] if isinstance(value, list) else value


def _timestamp(report: HealthReport) -> str | None:
    """The day that is told of, not the moment of telling: that would make every prompt another one."""
    day: date | None = report.as_of
    return day.isoformat() if day else None


def _why(row: Mapping[str, Any], locale: Locale) -> str:
    return Phrase(str(row.get("why", "")), str(row.get("why_zh", ""))).of(locale)


def _said(locale: Locale, english: str, chinese: str) -> str:
    return chinese if locale == "zh-Hant" else english


def _rounded(value: Any) -> Any:
    """A number with at most five figures that matter, whole where it is whole; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if float(value).is_integer():
        return int(value)
    short = float(f"{value:.5g}") if abs(value) < 100_000 else round(float(value))
    return int(short) if float(short).is_integer() else short


def _fitted(make: Callable[[tuple[int, int, int, int]], dict[str, Any]]) -> dict[str, Any]:
    """The largest document that fits, made smaller step by step; the smallest where none does."""
    made: dict[str, Any] = {}
    for size in _SIZES:
        made = _without_empty(make(size))
        if estimated_tokens(json.dumps(made, ensure_ascii=False)) <= CONTEXT_TOKENS:
            break
    return made


def estimated_tokens(text: str) -> int:
    """About how many tokens a text takes: one a Chinese character, one for three others."""
    wide = len(_WIDE.findall(text))
    return wide + (len(text) - wide + 2) // 3


def _without_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without what is None, "", {} or [], at any depth, and its numbers short; 0 and False stay."""
    kept = {name: _tidy(value) for name, value in document.items()}
    return {name: value for name, value in kept.items() if value not in (None, "", {}, [])}


def _tidy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _without_empty(value)
    if isinstance(value, list | tuple):
        return [item for item in map(_tidy, value) if item not in (None, "", {}, [])]
    return _rounded(value)
