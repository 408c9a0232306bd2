"""What the code location of the business offers, as one snapshot, and what every asset must carry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from tagging_orchestration.business.dbt import ensure_manifest
from tagging_orchestration.core.errors import ConfigurationError

GROUPS = {
    "facts": {
        "raw/calendar",
        "raw/customers",
        "raw/products",
        "raw/orders",
        "raw/order_items",
        "raw/support_tickets",
        "raw/reviews",
        "raw/inventory",
        "raw/sessions",
        "raw/touched_days",
        "analytics/computed_days",
        "analytics/business_profile",
    },
    "metrics": {
        "metric_thresholds",
        "insight_rules",
        "recommendation_rules",
        "calendar",
        "dim_calendar",
        "fct_business_metrics_daily",
        "fct_tag_metrics_daily",
        "metrics_current",
        "metric_trends",
        "ltv_trend",
        "inventory_overview",
    },
    "alerts": {
        "anomaly_scores",
        "alerts_threshold",
        "alerts_trend_anomaly",
        "business_context",
        "dashboard_alerts",
        "risk_forecast",
    },
    "insights": {
        "business_insights",
        "strategic_recommendations",
        "snap_business_context",
        "snap_dashboard_alerts",
    },
    "health": {"unified_content", "executive_health_report"},
    "ai": {
        "prompt_templates",
        "provider_health",
        "alert_enhancements",
        "insight_enhancements",
        "recommendation_enhancements",
        "executive_summary/daily",
        "executive_summary/weekly",
        "enhanced_report",
        "ai_metrics_hourly",
        "ai_usage",
        "provider_scores",
        "ai_service_alerts",
    },
}
CHECKS = {
    "facts_are_fresh": False,
    "every_metric_has_thresholds": True,
    "detectors_are_calibrated": False,
    "no_missing_days": False,
    "business_contexts_are_valid": True,
    "alert_documents_are_valid": True,
    "evidence_resolves": True,
    "insights_are_valid": True,
    "recommendations_are_valid": True,
    "unified_content_is_valid": True,
    "base_independent_of_ai": True,
    "prompts_are_clean": True,
    "budgets_hold": False,
    "enhancements_are_cited": False,
    "answers_expire": False,
    "base_is_untouched": False,
}
BASE_JOBS = {"load_business_facts", "refresh_alerts", "refresh_business", "notify_incidents"}
AI_JOBS = {
    "ai_enhancement_job",
    "enhance_critical_alerts",
    "summarize_day",
    "summarize_week",
    "synchronize_prompts",
    "watch_ai",
    "clean_up_ai",
}
# Assets of the other code location.
ELSEWHERE = {"raw_content", "content_tags", "merged_vocabulary"}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    """The definitions, over a manifest that is there."""
    ensure_manifest()
    from tagging_orchestration.definitions.business import defs

    return defs


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    """Every asset of the location that is its own."""
    found = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    return {name: spec for name, spec in found.items() if name not in ELSEWHERE}


def test_assets_and_groups(specs: dict[str, dg.AssetSpec]):
    groups: dict[str, set[str]] = {}
    for name, spec in specs.items():
        groups.setdefault(spec.group_name or "", set()).add(name)
    between = groups.pop("staging")
    assert all(name.startswith(("stg_", "int_")) for name in between)
    assert groups == GROUPS


def test_every_asset_says_what_it_is(specs: dict[str, dg.AssetSpec]):
    for name, spec in specs.items():
        assert spec.description, name
        assert spec.owners, name
        assert spec.kinds, name
        if "external" not in spec.metadata and name not in GROUPS["facts"]:
            assert spec.code_version, name


def test_the_lineage_leads_from_facts_and_tags_to_the_report(specs: dict[str, dg.AssetSpec]):
    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs.items()}

    def behind(name: str) -> set[str]:
        return upstream.get(name, set()).union(*(behind(parent) for parent in upstream.get(name, set())))

    everything = behind("executive_health_report")
    assert everything >= {
        "raw/orders",
        "raw/support_tickets",
        "content_tags",
        "anomaly_scores",
        "business_context",
    }
    assert not {name for name in everything if "enhancement" in name or name.startswith("ai")}


def test_checks(defs: dg.Definitions):
    ours = {spec.name: spec.blocking for check in defs.asset_checks or [] for spec in check.check_specs}
    assert ours == CHECKS
    of_dbt = {key.name for key in defs.resolve_asset_graph().asset_check_keys} - set(ours)
    for mart in ("metrics_current", "alerts_threshold", "business_context", "business_insights"):
        assert {name for name in of_dbt if name.startswith(f"unique_grain_{mart}_")}, mart


def test_jobs_schedules_and_sensors(defs: dg.Definitions):
    repository = defs.get_repository_def()
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    assert jobs == BASE_JOBS | AI_JOBS
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "hourly_facts",
        "refresh_alerts_when_due",
        "enhance_when_due",
        "daily_executive_summary",
        "weekly_executive_summary",
        "hourly_ai_watch",
        "nightly_ai_clean_up",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "new_critical_alert_sensor",
        "critical_alert_enhancement_sensor",
        "ai_health_sensor",
        "prompt_file_sensor",
    }


def test_nothing_of_the_base_stands_on_ai(defs: dg.Definitions, specs: dict[str, dg.AssetSpec]):
    for name, spec in specs.items():
        if name not in GROUPS["ai"]:
            assert not {dep.asset_key.to_user_string() for dep in spec.deps} & GROUPS["ai"], name
    repository = defs.get_repository_def()
    for job in AI_JOBS - {"clean_up_ai"}:
        selected = repository.get_job(job).asset_layer.selected_asset_keys
        assert {key.to_user_string() for key in selected} <= GROUPS["ai"], job
    for job in BASE_JOBS - {"notify_incidents"}:
        selected = repository.get_job(job).asset_layer.selected_asset_keys
        assert not {key.to_user_string() for key in selected} & GROUPS["ai"], job


def test_steps_that_ask_a_model_share_one_pool(defs: dg.Definitions):
    pools = {
        asset.key.to_user_string(): asset.op.pool
        for asset in defs.assets or []
        if isinstance(asset, dg.AssetsDefinition) and len(asset.keys) == 1
    }
    asking = {name for name in GROUPS["ai"] if name.endswith("_enhancements") or name.startswith("executive_")}
    assert {name for name, pool in pools.items() if pool == "llm"} == asking


def test_the_location_loads_in_a_fresh_interpreter_without_models(tmp_path: Path, defs: dg.Definitions):
    program = (
        "import sys\n"
        "from tagging_orchestration.definitions.business import defs\n"
        "print([name for name in ('torch', 'pandas', 'statsmodels', 'sklearn') if name in sys.modules])"
    )
    environment = {**os.environ, "TAGGING_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "home").exists(), "loading definitions must not start a server or write files"


def test_without_a_manifest_the_location_says_what_to_do(monkeypatch: pytest.MonkeyPatch, defs: dg.Definitions):
    from tagging_orchestration.defs.business import dbt

    monkeypatch.setattr(dbt, "manifest_path", lambda: Path("/nowhere/manifest.json"))
    with pytest.raises(ConfigurationError, match="tagging init"):
        dbt.manifest()
