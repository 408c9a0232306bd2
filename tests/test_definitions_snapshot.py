"""What the code location offers, as one snapshot, and what every asset must carry."""

from __future__ import annotations

import dagster as dg
import pytest

from tagging_orchestration.definitions.tagging import defs

PARTITIONED = {"content_embeddings", "generated_tags", "content_tags"}
GROUPS = {
    "raw_content": "contents",
    "content_embeddings": "contents",
    "generated_tags": "tags",
    "merged_vocabulary": "vocabulary",
    "content_tags": "tags",
    "tag_weights": "vocabulary",
    "tag_relationships": "vocabulary",
    "tagging_metrics": "observability",
    "review_queue": "learning",
    "feedback_statistics": "learning",
    "confidence_calibration": "learning",
    "tag_models": "learning",
    "llm_tag_proposals": "ai",
}
BLOCKING = {
    "every_content_is_tracked",
    "embeddings_are_sound",
    "proposals_are_valid",
    "vocabulary_has_no_loops",
    "tags_per_content",
    "feedback_is_respected",
    "calibration_no_worse",
    "tag_models_no_worse",
}
WARNING = {
    "rejected_rows",
    "no_duplicate_tags",
    "coverage",
    "confidence_drift",
    "single_use_tags",
    "new_tags",
    "replay_equals_state",
    "pending_and_failed",
    "weights_are_sound",
}


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_assets_and_groups():
    assert {name: spec.group_name for name, spec in specs().items()} == GROUPS


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_asset_says_what_it_is(name):
    spec = specs()[name]
    assert spec.description
    assert len(spec.description) > 60
    assert spec.owners
    assert spec.kinds
    assert spec.code_version


def test_partitions():
    partitioned = {name for name, spec in specs().items() if spec.partitions_def is not None}
    assert partitioned == PARTITIONED


def test_lineage():
    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs().items()}
    assert upstream == {
        "raw_content": set(),
        "content_embeddings": {"raw_content"},
        "generated_tags": {"content_embeddings"},
        "merged_vocabulary": {"generated_tags"},
        "content_tags": {"generated_tags", "merged_vocabulary"},
        "tag_weights": {"content_tags"},
        "tag_relationships": {"content_tags"},
        "tagging_metrics": {"content_tags"},
        "review_queue": {"content_tags"},
        "feedback_statistics": {"content_tags"},
        "confidence_calibration": {"content_tags"},
        "tag_models": {"content_tags"},
        "llm_tag_proposals": {"content_embeddings", "content_tags"},
    }


def test_checks():
    found = {spec.name: spec.blocking for check in defs.asset_checks or [] for spec in check.check_specs}
    assert {name for name, blocking in found.items() if blocking} == BLOCKING
    assert {name for name, blocking in found.items() if not blocking} == WARNING


def test_jobs_schedules_and_sensors():
    repository = defs.get_repository_def()
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    assert jobs == {
        "load_contents",
        "tag_contents",
        "care_for_vocabulary",
        "refresh_projections",
        "learn_from_feedback",
        "experiment",
        "keep_house",
        "propose_tags",
    }
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "hourly_load",
        "nightly_vocabulary",
        "nightly_projections",
        "nightly_upkeep",
        "weekly_learning",
        "weekly_reconcile",
        "drain_stale_versions",
        "propose_tags_when_due",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {"changed_contents", "automation"}
