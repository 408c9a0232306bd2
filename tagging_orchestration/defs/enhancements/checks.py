"""Quality gates of the AI. None of them blocks anything of the base."""

import dagster as dg

from tagging_orchestration.defs.enhancements.enhancements import alert_enhancements
from tagging_orchestration.defs.enhancements.providers import prompt_templates, provider_health
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.resources import Tagging

WARN = dg.AssetCheckSeverity.WARN
ERROR = dg.AssetCheckSeverity.ERROR
SHOWN = 20


@dg.asset_check(
    asset=prompt_templates,
    blocking=True,
    description="Prompts are fit for use: variables declared and used, form of the answer stated, size, both "
    "languages alike, and no text changed without a new version.",
)
def prompts_are_clean() -> dg.AssetCheckResult:
    """Lint the files of `prompts/`."""
    from tagging_orchestration.clients.prompt_files import lint_prompt_files

    faults = lint_prompt_files()
    return dg.AssetCheckResult(
        passed=not faults,
        severity=ERROR,
        description=f"{len(faults)} faults: `tagging prompts test` tells them"
        if faults
        else "all prompts are clean",
        metadata={"faults": table(["fault"], [[fault] for fault in faults[:SHOWN]])},
    )


@dg.asset_check(
    asset=provider_health,
    description="No day's tokens and no day's money exceeded their limit, reservations included.",
)
def budgets_hold(tagging: Tagging) -> dg.AssetCheckResult:
    """Windows beyond their limit."""
    from tagging_orchestration.storage.ai_quality import overdrafts

    found = overdrafts(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not found,
        severity=ERROR,
        description=f"{len(found)} windows beyond their limit (a limit that was lowered since counts)"
        if found
        else "every limit held",
        metadata={
            "windows": table(
                ["limit of", "from", "used", "reserved", "limit"],
                [[row.scope, row.window_start, row.used, row.reserved, row.limit] for row in found[:SHOWN]],
            )
        },
    )


@dg.asset_check(
    asset=alert_enhancements,
    description="What is shown of AI keeps to its form, and every reference of every claim leads somewhere.",
)
def enhancements_are_cited(tagging: Tagging) -> dg.AssetCheckResult:
    """Each shown answer against its schema and the database."""
    from tagging_orchestration.ai.audit import audit_answers

    found = audit_answers(tagging.project.pool)
    return dg.AssetCheckResult(
        passed=not found.faults,
        severity=ERROR,
        description=f"{len(found.faults)} faults in {found.answers} answers"
        if found.faults
        else f"all {found.references} references of {found.answers} answers resolve",
        metadata={
            "answers": found.answers,
            "references": found.references,
            "faults": table(["answer", "fault"], [list(fault) for fault in found.faults[:SHOWN]]),
        },
    )


@dg.asset_check(asset=alert_enhancements, description="No answer is shown for longer than 24 hours.")
def answers_expire(tagging: Tagging) -> dg.AssetCheckResult:
    """Answers whose end is later than a day after their making."""
    from tagging_orchestration.storage.ai_quality import kept_too_long

    found = kept_too_long(tagging.project.pool, SHOWN)
    return dg.AssetCheckResult(
        passed=not found,
        severity=ERROR,
        description=f"{len(found)} answers would be shown for longer than a day"
        if found
        else "all answers expire",
        metadata={"answers": table(["answer", "of", "subject"], [list(row) for row in found])},
    )


@dg.asset_check(
    asset=alert_enhancements,
    description="The base stands without AI: alerts, insights and recommendations are byte for byte the same when "
    "the schema `ai` is out of sight.",
)
def base_is_untouched(tagging: Tagging) -> dg.AssetCheckResult:
    """The unified content of both languages, with and without the schema."""
    from tagging_orchestration.storage.ai_parity import unified_fingerprints

    project = tagging.project
    present, without = unified_fingerprints(project.pool, project.settings.organization_id)
    return dg.AssetCheckResult(
        passed=present == without,
        severity=ERROR,
        description="the base is the same without AI" if present == without else "the base changes without AI",
        metadata={"sha256": present},
    )


ALL_CHECKS = [prompts_are_clean, budgets_hold, enhancements_are_cited, answers_expire, base_is_untouched]
