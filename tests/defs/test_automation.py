"""The automation condition of the projections, by ticking it."""

from __future__ import annotations

import dagster as dg
import pytest

from tagging_orchestration.defs.automation import after_upstream

PARTITIONS = dg.StaticPartitionsDefinition(["2026-01", "2026-02", "2026-03"])


@pytest.fixture
def definitions() -> dg.Definitions:
    """A partitioned asset with a blocking check that can be made to fail, and a projection of it."""

    @dg.asset(partitions_def=PARTITIONS)
    def upstream() -> None: ...

    @dg.asset_check(asset=upstream, blocking=True)
    def gate() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.asset(deps=[upstream], automation_condition=after_upstream())
    def projection() -> None: ...

    return dg.Definitions(assets=[upstream, projection], asset_checks=[gate])


def report(instance: dg.DagsterInstance, partition: str, passed: bool) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("upstream", partition=partition))
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey("upstream"), check_name="gate", passed=passed)
    )


def requested(definitions, instance, cursor):
    result = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
    return result.total_requested, result.cursor


def test_runs_once_for_each_update_though_most_partitions_never_existed(definitions, instance):
    count, cursor = requested(definitions, instance, None)
    assert count == 0
    report(instance, "2026-02", passed=True)
    count, cursor = requested(definitions, instance, cursor)
    assert count == 1
    count, cursor = requested(definitions, instance, cursor)
    assert count == 0


def test_a_failed_blocking_check_holds_it_back(definitions, instance):
    _, cursor = requested(definitions, instance, None)
    report(instance, "2026-01", passed=False)
    count, cursor = requested(definitions, instance, cursor)
    assert count == 0
    report(instance, "2026-01", passed=True)
    count, _ = requested(definitions, instance, cursor)
    assert count == 1
