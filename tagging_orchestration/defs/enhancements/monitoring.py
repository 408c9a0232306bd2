"""How the AI does: use, cost and scores with plots, hourly figures by dbt, and alerts about the AI itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from tagging_orchestration.defs.business.dbt import MANIFEST, TRANSLATOR, build_beside
from tagging_orchestration.defs.enhancements.providers import prompt_templates, provider_health
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import new_figure, plot, table
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

SHOWN_DAYS = 7


@dbt_assets(
    manifest=MANIFEST,
    select="tag:ai",
    name="ai_metrics",
    dagster_dbt_translator=TRANSLATOR,
    retry_policy=TRANSIENT_RETRIES,
)
def ai_metrics(context: dg.AssetExecutionContext, dbt: DbtCliResource, tagging: Tagging) -> Iterator[Any]:
    """The log of calls as hourly figures."""
    yield from build_beside(context, dbt, tagging)


@dg.asset(
    deps=[provider_health, "ai_metrics_hourly"],
    group_name="ai",
    kinds={"postgres", "matplotlib"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="What the AI cost and how it answered in the last seven days: tokens, dollars, response times, "
    "success, cache hits, confidence, errors, and what is left of each limit.",
)
@retry_only_transient()
def ai_usage(tagging: Tagging) -> dg.MaterializeResult:
    """Figures and plots from the log of calls."""
    from tagging_orchestration.clients.report import ai_plots
    from tagging_orchestration.storage import ai_figures

    project = tagging.project
    organization, now = project.settings.organization_id, datetime.now(UTC)
    since = now - timedelta(days=SHOWN_DAYS)
    points = ai_figures.usage_series(project.pool, organization, since=since)
    budgets = ai_figures.budget_use(project.pool, project.settings.ai, now)
    errors = ai_figures.error_counts(project.pool, organization, since=since)
    metrics = ai_figures.enhancement_metrics(project.pool, organization)
    totals = ai_figures.usage_totals(project.pool, organization, since=since, by="model")
    return dg.MaterializeResult(
        metadata={
            "last_24_hours": metrics.document(),
            "models": table(
                ["model", "calls", "success", "p95 ms", "tokens", "USD", "USD a success"],
                [
                    [
                        row.name,
                        row.calls,
                        _share(row.success_rate),
                        round(row.p95_response_ms or 0),
                        row.tokens,
                        row.cost_usd,
                        row.cost_per_success_usd or 0.0,
                    ]
                    for row in totals
                ],
            ),
            "budgets": _drawn(ai_plots.draw_budgets, budgets),
            "cost_and_tokens": _drawn(ai_plots.draw_use, points, height=4.2),
            "response_times": _drawn(ai_plots.draw_response_times, points),
            "success_and_cache": _drawn(ai_plots.draw_rates, points),
            "confidence": _drawn(ai_plots.draw_confidence, points),
            "errors": _drawn(ai_plots.draw_errors, errors),
        }
    )


@dg.asset(
    deps=[prompt_templates, "ai_metrics_hourly"],
    group_name="ai",
    kinds={"postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Who may answer what, by score: performance 40 %, cost 30 %, quality 30 %; as stated, and as the "
    "last seven days measured it.",
)
@retry_only_transient()
def provider_scores(tagging: Tagging) -> dg.MaterializeResult:
    """Stated and effective scores of every config."""
    from tagging_orchestration.storage.ai_providers import list_configs

    configs = list_configs(tagging.project.pool)
    return dg.MaterializeResult(
        metadata={
            "configs": len(configs),
            "measured": sum(row.effective_score != row.overall_score for row in configs),
            "scores": table(
                ["template", "provider", "model", "may answer", "stated", "effective", "calls in 7 days"],
                [
                    [
                        row.template_key,
                        row.provider_name,
                        row.model or "",
                        "yes" if row.is_active else "no",
                        row.overall_score,
                        row.effective_score,
                        row.calls_7d,
                    ]
                    for row in configs
                ],
            ),
        }
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _drawn(draw, figures, height: float = 3.2) -> dg.MarkdownMetadataValue:
    figure = new_figure(height=height)
    draw(figure, figures)
    return plot(figure)


@dg.asset(
    deps=[provider_health, ai_usage],
    group_name="ai",
    kinds={"python", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Alerts about the AI itself (slow, failing, dear, away, uncited), among the other alerts. No AI "
    "is asked about them, and nothing but this asset writes them.",
)
@retry_only_transient()
def ai_service_alerts(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Judge the figures and advance the alerts about them."""
    from tagging_orchestration.ai.watch import watch_ai

    project = tagging.project
    done = watch_ai(project.pool, project.settings, tagging.context(context, "watch over the AI"))
    return dg.MaterializeResult(
        metadata={
            "judged": done.judged,
            "new": done.new,
            "seen_again": done.seen,
            "resolved": done.resolved,
            "expired": done.expired,
            "findings": table(
                ["severity", "of", "alert", "message"],
                [
                    [row.severity, row.dimension_label, row.texts["en"]["title"], row.texts["en"]["message"]]
                    for row in done.findings
                ],
            ),
        }
    )
