"""The dbt project as assets: metrics, then what is out of line, then what to make of it.

Three builds, because Python stands between them: detectors judge metrics, and alerts live between candidates and
insights.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from tagging_orchestration.business.dbt import build_path, dbt_vars, manifest_path, project_dir, rules_hash
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

# Tables that dbt reads and assets of ours write.
SOURCES = {
    "contents": ["raw_content"],
    "content_tags": ["content_tags"],
    "tag_events": ["content_tags"],
    "tags": ["merged_vocabulary"],
    "anomaly_scores": ["anomaly_scores"],
    "risk_forecast": ["risk_forecast"],
    "dashboard_alerts": ["dashboard_alerts"],
    "alert_incidents": ["dashboard_alerts"],
    "metric_thresholds": ["metric_thresholds"],
    "ai_usage_logs": ["alert_enhancements"],
    "ai_enhancements": ["alert_enhancements"],
    "ai_enhancement_votes": ["alert_enhancements"],
}
GROUPS = ("metrics", "alerts", "insights", "ai")


class ProjectTranslator(DagsterDbtTranslator):
    """Names, groups and owners of dbt's resources in Dagster."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """`raw/orders` for a source of facts, for our own tables the asset that writes them, else the name."""
        name = dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(SOURCES.get(name, [dbt_resource_props["source_name"], name]))
        return dg.AssetKey(name)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """`staging` for what lies between facts and results, else the build a resource belongs to by its tags."""
        if {"staging", "intermediate"} & set(dbt_resource_props["fqn"]):
            return "staging"
        tags = dbt_resource_props.get("tags") or []
        return next((group for group in GROUPS if group in tags), "facts")

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """One owner for all, from the settings."""
        return [get_settings().runs.owner]


class BuildConfig(dg.Config):
    """`full_refresh` builds every day anew. `recompute_from` and `recompute_to` (YYYY-MM-DD, both included) do so
    for some days: a backfill."""

    full_refresh: bool = False
    recompute_from: str | None = None
    recompute_to: str | None = None


def manifest() -> dict[str, Any]:
    """What dbt parsed of the project, made ahead. Raises ConfigurationError when it is missing."""
    path = manifest_path()
    if not path.is_file():
        raise ConfigurationError(f"the dbt project is not parsed yet ({path} is missing): run `tagging init`")
    return json.loads(path.read_text(encoding="utf-8"))


def dbt_resource() -> DbtCliResource:
    """dbt on the project's database. The profile reads the environment, which `dbt_environment` fills."""
    return DbtCliResource(
        project_dir=str(project_dir()),
        profiles_dir=str(project_dir()),
        dbt_executable=str(Path(sys.executable).with_name("dbt")),
        global_config_flags=["--no-use-colors"],
    )


MANIFEST = manifest()
TRANSLATOR = ProjectTranslator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))


def build(context: dg.AssetExecutionContext, dbt: DbtCliResource, tagging: Tagging, *more: str) -> Iterator[Any]:
    """A step of the business: one at a time."""
    from tagging_orchestration.storage.business_runs import hold_business_lock

    with retry_only_transient(), hold_business_lock(tagging.project.pool):
        yield from build_beside(context, dbt, tagging, *more)


def build_beside(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, tagging: Tagging, *more: str
) -> Iterator[Any]:
    """`dbt build` of the resources of this step, with their data tests; unit tests belong to the tests. For what
    shares no table with the business, so that neither waits for the other."""
    settings = tagging.project.settings
    arguments = ["build", "--vars", json.dumps(dbt_vars(settings)), *more]
    # dagster-dbt's own choice is a folder a run, and they would pile up.
    target = build_path(settings, context.op.name)
    with retry_only_transient():
        yield from dbt.cli(arguments, context=context, target_path=target).stream()


@dbt_assets(
    manifest=MANIFEST,
    select="tag:metrics",
    name="business_metrics",
    dagster_dbt_translator=TRANSLATOR,
    retry_policy=TRANSIENT_RETRIES,
)
def business_metrics(
    context: dg.AssetExecutionContext, config: BuildConfig, dbt: DbtCliResource, tagging: Tagging
) -> Iterator[Any]:
    """Facts to daily metrics and trends; only the days whose facts or tags changed."""
    from tagging_orchestration.storage.business_runs import start_run, touch_days

    pool, organization = tagging.project.pool, tagging.project.settings.organization_id
    start_run(pool, organization, run_id=context.run_id, rules_hash=rules_hash())
    if config.recompute_from or config.recompute_to:
        first = date.fromisoformat(config.recompute_from or "0001-01-01")
        last = date.fromisoformat(config.recompute_to or "9999-12-31")
        days = touch_days(pool, organization, first, last)
        context.log.info(f"{days} days of sources are computed anew")
    yield from build(context, dbt, tagging, *(["--full-refresh"] if config.full_refresh else []))


@dbt_assets(
    manifest=MANIFEST,
    select="tag:alerts",
    name="alert_candidates",
    dagster_dbt_translator=TRANSLATOR,
    retry_policy=TRANSIENT_RETRIES,
)
def alert_candidates(context: dg.AssetExecutionContext, dbt: DbtCliResource, tagging: Tagging) -> Iterator[Any]:
    """What crosses a threshold, trends or is out of line, day by day, and the context of each such day."""
    yield from build(context, dbt, tagging)


@dbt_assets(
    manifest=MANIFEST,
    select="tag:insights",
    name="insight_models",
    dagster_dbt_translator=TRANSLATOR,
    retry_policy=TRANSIENT_RETRIES,
)
def insight_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, tagging: Tagging) -> Iterator[Any]:
    """Rules over alerts, trends, customers' value and stock; and the snapshots that keep every past state."""
    yield from build(context, dbt, tagging)
