"""The dbt project as a whole: what every model, seed and metric must have; and how it is called."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from dbt.contracts.graph.manifest import Manifest

from tagging_orchestration.business import dbt as business_dbt
from tagging_orchestration.core.enhancement.watch import CATEGORY, METRICS
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.settings import BusinessSettings, Settings

NAMED_BY_THE_DESIGN = {
    "daily_revenue", "active_customers", "high_value_customers", "order_completion_rate", "pending_orders",
    "avg_response_time", "customer_churn_rate", "customer_satisfaction_rate", "api_response_time",
    "customer_trend_pct", "revenue_trend_pct", "efficiency_trend_pct", "volatility",
}  # fmt: skip
PLACEHOLDERS = {"metric", "label", "value", "reference", "change", "items", "since", "until", "message"}


def seed(name: str) -> list[dict[str, str]]:
    with (business_dbt.project_dir() / "seeds" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def nodes(manifest: Manifest, kind: str) -> list[Any]:
    return [node for node in manifest.nodes.values() if node.resource_type == kind]


def marts(manifest: Manifest) -> list[Any]:
    folders = ("models/marts/", "models/ai/")
    return [node for node in nodes(manifest, "model") if node.original_file_path.startswith(folders)]


def test_every_mart_has_a_contract_a_grain_and_described_columns(manifest: Manifest):
    for mart in marts(manifest):
        assert mart.contract.enforced, mart.name
        assert mart.description.startswith(("One row per", "\nOne row per")), mart.name
        assert set(mart.config.meta["grain"]) <= set(mart.columns), mart.name
        assert all(column.description for column in mart.columns.values()), mart.name
        unique = bool(mart.config.get("unique_key")) or any(
            index.get("unique") for index in mart.config["indexes"]
        )
        tested = any(
            test.test_metadata.name == "unique_grain" and mart.unique_id in test.depends_on.nodes
            for test in nodes(manifest, "test")
            if getattr(test, "test_metadata", None)
        )
        assert unique or tested, mart.name
    assert len(marts(manifest)) == 13


def test_every_node_has_an_owner_a_group_and_a_step(manifest: Manifest):
    for node in [*nodes(manifest, "model"), *nodes(manifest, "seed"), *nodes(manifest, "snapshot")]:
        assert node.config.meta["owner"].startswith("team:"), node.name
        assert node.group in {"staging", "metrics", "alerts", "insights", "ai"}, node.name
        assert len({"metrics", "alerts", "insights", "ai"} & set(node.tags)) == 1, node.name
        assert node.schema in {"analytics", "staging", "seeds", "snapshots", "ai"}, node.name
        assert (node.group == "ai") == (node.schema == "ai") == ("ai" in node.tags), node.name
        assert node.description, node.name


def test_sources_that_move_are_watched_for_freshness(manifest: Manifest):
    watched = {source.name for source in manifest.sources.values() if source.has_freshness}
    assert watched == {
        "customers", "orders", "order_items", "support_tickets", "reviews", "inventory", "sessions",
    }  # fmt: skip


def test_every_metric_has_a_threshold_row_and_a_unit_test():
    thresholds = {row["metric_name"] for row in seed("metric_thresholds")}
    models = business_dbt.project_dir() / "models"
    tested = set(
        re.findall(
            r"metric_name: (\w+)|'(\w+)' AS metric_name|SELECT '(\w+)',",
            "\n".join(path.read_text(encoding="utf-8") for path in models.rglob("_unit_tests.yml")),
        )
    )
    tested_names = {name for names in tested for name in names if name}
    assert thresholds >= NAMED_BY_THE_DESIGN
    # Metrics of the AI are judged by the watch over it (tests/ai/test_watch.py), not computed by dbt.
    assert thresholds == tested_names | set(METRICS)


def test_metrics_of_the_ai_are_a_category_of_their_own():
    assert {row["metric_name"] for row in seed("metric_thresholds") if row["category"] == CATEGORY} == set(METRICS)


def test_thresholds_are_complete_and_ordered():
    for row in seed("metric_thresholds"):
        assert re.search(r"[一-鿿]", row["display_name_zh"]), row
        assert row["description"], row
        warning, critical = row["warning_threshold"], row["critical_threshold"]
        if warning and critical:
            assert (float(critical) > float(warning)) == (row["comparison"] == "gt"), row
        if warning:
            assert row["is_higher_better"] == ("false" if row["comparison"] == "gt" else "true"), row


@pytest.mark.parametrize("name", ["insight_rules", "recommendation_rules"])
def test_rules_speak_both_languages_with_known_placeholders(name: str):
    metrics = {row["metric_name"] for row in seed("metric_thresholds")}
    metrics |= {"customer_ltv", "stock_out", "stock_low", "stock_slow"}
    for row in seed(name):
        for column, text in row.items():
            if column.endswith(("_en", "_zh")):
                assert text, (row["rule_id"], column)
                assert set(re.findall(r"{(\w+)}", text)) <= PLACEHOLDERS, (row["rule_id"], column)
        assert re.search(r"[一-鿿]", row["title_zh"]), row["rule_id"]
        for pattern in row["when_metric"].split("|"):
            assert not pattern or pattern in metrics, (row["rule_id"], pattern)
        assert 0 < float(row["confidence"]) <= 0.9, row["rule_id"]
    assert len({row["rule_id"] for row in seed(name)}) == len(seed(name))


def test_no_secret_stands_in_a_file_of_the_project():
    profiles = (business_dbt.project_dir() / "profiles.yml").read_text()
    assert "env_var('DBT_ENV_SECRET_PASSWORD', '')" in profiles


def test_the_password_reaches_dbt_by_its_secret_variable_only(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAGGING_DATABASE_URL", "postgresql://mei:pa%20ss@db.example:6000/shop?sslmode=require")
    environment = business_dbt.dbt_environment(Settings())
    assert environment["DBT_HOST"] == "db.example"
    assert environment["DBT_PORT"] == "6000"
    assert environment["DBT_SSLMODE"] == "require"
    assert [name for name, value in environment.items() if "pa ss" in value] == ["DBT_ENV_SECRET_PASSWORD"]


def test_the_settings_of_the_business_are_the_variables_of_dbt():
    settings = Settings(business=BusinessSettings(timezone="Asia/Taipei", currency="TWD", locale="zh-Hant"))
    variables = business_dbt.dbt_vars(settings)
    assert variables["business_timezone"] == "Asia/Taipei"
    assert variables["currency"] == "TWD"
    assert variables["locale"] == "zh-Hant"


def test_the_manifest_is_built_when_a_file_is_newer(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "dbt_project"
    (folder / "models").mkdir(parents=True)
    clone = business_dbt.project_dir()
    (folder / "profiles.yml").write_text((clone / "profiles.yml").read_text())
    (folder / "dbt_project.yml").write_text("name: tiny\nprofile: business\nversion: '1.0'\n")
    (folder / "models" / "one.sql").write_text("SELECT 1 AS one")
    assert business_dbt.project_dir() == folder

    manifest = business_dbt.ensure_manifest(settings)
    assert "model.tiny.one" in json.loads(manifest.read_text())["nodes"]
    built = manifest.stat().st_mtime_ns
    assert business_dbt.ensure_manifest(settings).stat().st_mtime_ns == built

    (folder / "models" / "two.sql").write_text("SELECT 2 AS two")
    os.utime(folder / "models" / "two.sql", ns=(built + 10**9, built + 10**9))
    assert "model.tiny.two" in json.loads(business_dbt.ensure_manifest(settings).read_text())["nodes"]

    (folder / "models" / "two.sql").write_text("SELECT {{ nonsense(")
    os.utime(folder / "models" / "two.sql", ns=(built + 10**12, built + 10**12))
    with pytest.raises(ConfigurationError, match="does not parse"):
        business_dbt.ensure_manifest(settings)
