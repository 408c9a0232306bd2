"""The job `experiment`, run over a real database."""

from __future__ import annotations

import dagster as dg

from tagging_orchestration.defs.jobs import experiment
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.storage.experiments import list_experiments
from tagging_orchestration.wiring import Project
from tests.storage.builders import ORGANIZATION, add_contents


def test_the_job_keeps_a_report(project: Project, instance: dg.DagsterInstance) -> None:
    add_contents(project.pool, "A kettle for a slow pour over. The kettle is red.", "細口壺適合手沖咖啡。")
    config = {"name": "fewer", "overrides": {"tagger": {"min_tags": 1, "max_tags": 2}}, "sample": 10}
    result = experiment.execute_in_process(
        instance=instance,
        resources={"tagging": Tagging()},
        run_config={"ops": {"compare_configurations": {"config": config}}},
    )
    (kept,) = list_experiments(project.pool, ORGANIZATION)
    assert result.output_for_node("compare_configurations") == kept.id
    assert (kept.name, kept.overrides, kept.contents) == ("fewer", {"tagger": {"min_tags": 1, "max_tags": 2}}, 2)
    assert kept.actor == "dagster:compare_configurations"


def test_wrong_settings_are_not_tried_again(project: Project, instance: dg.DagsterInstance) -> None:
    config = {"name": "wrong", "overrides": {"tagger": {"max_tags": 0}}}
    result = experiment.execute_in_process(
        instance=instance,
        resources={"tagging": Tagging()},
        run_config={"ops": {"compare_configurations": {"config": config}}},
        raise_on_error=False,
    )
    assert not result.success
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert list_experiments(project.pool, ORGANIZATION) == []
