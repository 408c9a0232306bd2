"""Quality gates of the business. dbt's own tests are checks too; these judge what dbt cannot see."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from tagging_orchestration.defs.business.alerts import anomaly_scores, dashboard_alerts
from tagging_orchestration.defs.business.health import unified_content
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.resources import Tagging

WARN = dg.AssetCheckSeverity.WARN
ERROR = dg.AssetCheckSeverity.ERROR
SHOWN = 20
STALE_DAYS = 2
# A metric may exceed its budget of false alarms by so much before the detectors count as badly calibrated; real
# incidents are among the alarms.
CALIBRATION_FACTOR = 5


@dg.asset_check(
    asset="fct_business_metrics_daily",
    description="Facts arrive: a source that stopped would look like a quiet business.",
)
def facts_are_fresh(tagging: Tagging) -> dg.AssetCheckResult:
    """The last day of each source of facts against the calendar."""
    from tagging_orchestration.storage.business_quality import last_days

    project = tagging.project
    days = last_days(project.pool, project.settings.organization_id)
    stale = [row for row in days if row.days_ago > STALE_DAYS]
    if project.settings.business.demo:
        said = "the simulated shop ends on the last day of its year"
    else:
        said = ", ".join(f"{row.source}: {row.days_ago} days ago" for row in stale) or "all sources are fresh"
    return dg.AssetCheckResult(
        passed=not stale or project.settings.business.demo,
        severity=WARN,
        description=said,
        metadata={
            "last_days": table(
                ["source", "last day", "days ago"], [[r.source, r.last_day, r.days_ago] for r in days]
            )
        },
    )


@dg.asset_check(
    asset="metric_thresholds",
    blocking=True,
    description="Every metric has its row of thresholds: without one it could never be an alert.",
)
def every_metric_has_thresholds(tagging: Tagging) -> dg.AssetCheckResult:
    """Metrics without a row in metric_thresholds."""
    from tagging_orchestration.storage.business_quality import metrics_without_thresholds

    missing = metrics_without_thresholds(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not missing,
        severity=ERROR,
        description=f"add to seeds/metric_thresholds.csv: {', '.join(missing)}"
        if missing
        else "every metric has its thresholds",
        metadata={"missing": missing},
    )


@dg.asset_check(
    asset=anomaly_scores,
    description="Detectors keep near their budget of false alarms; what exceeds it needs another threshold.",
)
def detectors_are_calibrated(tagging: Tagging) -> dg.AssetCheckResult:
    """Alarms per 30 days of each metric against its budget."""
    from tagging_orchestration.storage.business_quality import alarm_rates

    rates = alarm_rates(tagging.project.pool)
    loud = [
        rate for rate in rates if rate.alarms_per_30_days > CALIBRATION_FACTOR * rate.budget and rate.alarms > 2
    ]
    return dg.AssetCheckResult(
        passed=not loud,
        severity=WARN,
        description="more alarms than their budget explains: " + ", ".join(rate.metric_name for rate in loud)
        if loud
        else "all metrics alarm about as rarely as they should",
        metadata={
            "rates": table(
                ["metric", "series", "alarms", "per 30 days", "budget"],
                [
                    [rate.metric_name, rate.series, rate.alarms, f"{rate.alarms_per_30_days:.2f}", rate.budget]
                    for rate in rates
                ],
            )
        },
    )


@dg.asset_check(
    asset=anomaly_scores,
    description="No metric misses days inside its history: a source that stopped is news of its own.",
)
def no_missing_days(tagging: Tagging) -> dg.AssetCheckResult:
    """Days that the detectors found missing, and are missing still."""
    from tagging_orchestration.storage.business_quality import missing_days

    found = missing_days(tagging.project.pool, SHOWN)
    return dg.AssetCheckResult(
        passed=not found,
        severity=WARN,
        description=f"{len(found)} days are missing where the metric always had a value"
        if found
        else "no day is missing",
        metadata={"missing": table(["metric", "of", "day"], found)},
    )


@dg.asset_check(
    asset="business_context",
    blocking=True,
    description="Every row of the context of alerts keeps to its JSON Schema, before any alert freezes it.",
)
def business_contexts_are_valid(tagging: Tagging) -> dg.AssetCheckResult:
    """Each row against the schema."""
    from tagging_orchestration.core.business.contracts import validate_business_context
    from tagging_orchestration.storage.business_quality import business_contexts

    faults, rows = [], 0
    for metric, dimension, day, context in business_contexts(tagging.project.pool):
        rows += 1
        faults += [[metric, dimension, day, fault] for fault in validate_business_context(context)]
    return dg.AssetCheckResult(
        passed=not faults,
        severity=ERROR,
        description=f"{len(faults)} faults in {rows:,} rows" if faults else f"all {rows:,} rows are valid",
        metadata={"rows": rows, "faults": table(["metric", "of", "day", "fault"], faults[:SHOWN])},
    )


@dg.asset_check(
    asset=dashboard_alerts,
    blocking=True,
    description="The frozen context and the evidence of every open or recent alert keep to their JSON Schemas.",
)
def alert_documents_are_valid(tagging: Tagging) -> dg.AssetCheckResult:
    """Each document against its schema."""
    from tagging_orchestration.core.business.contracts import validate_business_context, validate_evidence
    from tagging_orchestration.storage.business_quality import alert_documents

    faults = []
    for alert_id, context, evidence in alert_documents(tagging.project.pool):
        faults += [[str(alert_id), "business_context", fault] for fault in validate_business_context(context)]
        faults += [[str(alert_id), "evidence_refs", fault] for fault in validate_evidence(evidence)]
    return dg.AssetCheckResult(
        passed=not faults,
        severity=ERROR,
        description=f"{len(faults)} faults in documents of alerts" if faults else "all documents are valid",
        metadata={"faults": table(["alert", "document", "fault"], faults[:SHOWN])},
    )


@dg.asset_check(
    asset=dashboard_alerts,
    blocking=True,
    description="Evidence leads somewhere: every tag, content and row that an alert names exists.",
)
def evidence_resolves(tagging: Tagging) -> dg.AssetCheckResult:
    """References of evidence that lead nowhere."""
    from tagging_orchestration.storage.business_quality import broken_evidence

    broken = broken_evidence(tagging.project.pool, SHOWN)
    return dg.AssetCheckResult(
        passed=not broken,
        severity=ERROR,
        description=f"{len(broken)} references lead nowhere" if broken else "all evidence resolves",
        metadata={"broken": table(["alert", "kind", "reference"], broken)},
    )


@dg.asset_check(
    asset="business_insights",
    blocking=True,
    description="Every insight keeps to its JSON Schema, in both languages.",
)
def insights_are_valid(tagging: Tagging) -> dg.AssetCheckResult:
    """Each row against the schema."""
    from tagging_orchestration.core.business.contracts import validate_insight
    from tagging_orchestration.storage.business_quality import insight_documents

    project = tagging.project
    return _told_faults(insight_documents(project.pool, project.settings.organization_id), validate_insight)


@dg.asset_check(
    asset="strategic_recommendations",
    blocking=True,
    description="Every recommendation keeps to its JSON Schema, in both languages.",
)
def recommendations_are_valid(tagging: Tagging) -> dg.AssetCheckResult:
    """Each row against the schema."""
    from tagging_orchestration.core.business.contracts import validate_recommendation
    from tagging_orchestration.storage.business_quality import recommendation_documents

    project = tagging.project
    rows = recommendation_documents(project.pool, project.settings.organization_id)
    return _told_faults(rows, validate_recommendation)


def _told_faults(
    rows: Sequence[tuple[str, Mapping[str, Any]]], validate: Callable[[Mapping[str, Any]], list[str]]
) -> dg.AssetCheckResult:
    """The result of a check of rows, each with its language."""
    faults = [[row.get("title"), locale, fault] for locale, row in rows for fault in validate(row)]
    return dg.AssetCheckResult(
        passed=not faults,
        severity=ERROR,
        description=f"{len(faults)} faults in {len(rows)} rows" if faults else f"all {len(rows)} rows are valid",
        metadata={"rows": len(rows), "faults": table(["title", "language", "fault"], faults[:SHOWN])},
    )


@dg.asset_check(
    asset=unified_content,
    blocking=True,
    description="The unified content keeps to its JSON Schema.",
)
def unified_content_is_valid(tagging: Tagging) -> dg.AssetCheckResult:
    """The JSON that dashboards read against its contract."""
    from tagging_orchestration.core.business.contracts import validate_unified_content
    from tagging_orchestration.storage.unified_content import read_unified_content

    project = tagging.project
    faults = validate_unified_content(read_unified_content(project.pool, project.settings.organization_id))
    return dg.AssetCheckResult(
        passed=not faults,
        severity=ERROR,
        description=f"{len(faults)} faults in the unified content" if faults else "the unified content is valid",
        metadata={"faults": table(["fault"], [[fault] for fault in faults[:SHOWN]])},
    )


@dg.asset_check(
    asset=unified_content,
    blocking=True,
    description="Nothing of the base depends on AI: no dbt model without the tag `ai` reads what AI wrote.",
)
def base_independent_of_ai() -> dg.AssetCheckResult:
    """Walk dbt's manifest: models, snapshots and seeds without the tag `ai` are the base."""
    from tagging_orchestration.defs.business.dbt import MANIFEST

    touching = reading_ai(MANIFEST)
    return dg.AssetCheckResult(
        passed=not touching,
        severity=ERROR,
        description=f"these read what AI wrote: {', '.join(touching)}" if touching else "the base stands alone",
        metadata={"models": touching},
    )


def reading_ai(manifest: Mapping[str, Any]) -> list[str]:
    """Names of the base's nodes in dbt's manifest that read a relation of the schema `ai`, or a node of its tag.
    Data tests belong to the base unless they test a node of the AI; SQL that names a table of the schema counts
    as reading it."""
    named = {**manifest["nodes"], **manifest["sources"]}

    def of_ai(node: Mapping[str, Any]) -> bool:
        tested = named.get(node.get("attached_node") or "", {})
        return node.get("schema") == "ai" or "ai" in {*node.get("tags", []), *tested.get("tags", [])}

    return sorted(
        node["name"]
        for node in manifest["nodes"].values()
        if not of_ai(node)
        and (
            any(of_ai(named[parent]) for parent in node.get("depends_on", {}).get("nodes", []) if parent in named)
            or re.search(r"\bai\.ai_", node.get("raw_code") or "")
        )
    )


ALL_CHECKS = [
    facts_are_fresh,
    every_metric_has_thresholds,
    detectors_are_calibrated,
    no_missing_days,
    business_contexts_are_valid,
    alert_documents_are_valid,
    evidence_resolves,
    insights_are_valid,
    recommendations_are_valid,
    unified_content_is_valid,
    base_independent_of_ai,
]
