"""The assets that learn from people, materialised over a real database."""

from __future__ import annotations

import random
from typing import Any

import dagster as dg
import pytest

from tagging_orchestration.core.models import Correction, FeedbackKind, FeedbackSource, ModelKind
from tagging_orchestration.defs.checks import calibration_no_worse, feedback_is_respected
from tagging_orchestration.defs.feedback import confidence_calibration, feedback_statistics, review_queue
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.storage.feedback import give_feedback
from tagging_orchestration.storage.trained_models import PostgresTrainedModelStore
from tagging_orchestration.wiring import Project
from tests.storage.builders import NORMALISER, ORGANIZATION, PERSON, add_contents, add_tags, assignment, publish
from tests.storage.test_feedback import stage


def materialise(instance: dg.DagsterInstance, *assets: Any) -> dg.ExecuteInProcessResult:
    checks = [calibration_no_worse] if confidence_calibration in assets else []
    return dg.materialize(
        [*assets, *checks],
        instance=instance,
        resources={"tagging": Tagging()},
        selection=dg.AssetSelection.assets(*assets),
    )


def result_of(check: dg.AssetChecksDefinition) -> dg.AssetCheckResult:
    result = check(tagging=Tagging())
    assert isinstance(result, dg.AssetCheckResult)
    return result


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {key: getattr(value, "value", None) for key, value in event.metadata.items()}


@pytest.fixture
def answers(project: Project) -> list[int]:
    """150 contents of which people judged a tag each; the machine is far too sure of 食譜."""
    chance = random.Random(3)
    contents = add_contents(project.pool, *(f"text {number}" for number in range(150)))
    recipe, kiln = add_tags(project.pool, "食譜", "kiln")
    corrections = []
    for content in contents:
        tag = chance.choice((recipe, kiln))
        stage(project.pool, content, (tag, 0.8))
        wanted = chance.random() < (0.1 if tag is recipe else 0.9)
        kind = FeedbackKind.ACCEPT if wanted else FeedbackKind.REJECT
        corrections.append(Correction(kind, tag.name, content, tag.id))
    give_feedback(project.pool, ORGANIZATION, corrections, FeedbackSource.REVIEW, NORMALISER, PERSON)
    return contents


def test_calibration_is_promoted_when_it_is_no_worse(
    project: Project, instance: dg.DagsterInstance, answers: list[int]
) -> None:
    before = project.engine.version_id
    told = metadata(materialise(instance, confidence_calibration), "confidence_calibration")
    assert (told["answers"], told["fitted"], told["in_use"]) == (150, True, True)
    (calibration,) = project.stores.feedback.calibrations().values()
    assert calibration.probability(0.8, "keyphrase", NORMALISER.normal_form("食譜")) < 0.3
    assert calibration.probability(0.8, "keyphrase", "kiln") > 0.75
    assert calibration.threshold is not None
    assert project.engine.threshold(ORGANIZATION) == calibration.threshold
    assert project.engine.version_id != before

    again = metadata(materialise(instance, confidence_calibration), "confidence_calibration")
    assert again["fitted"] is False
    models = PostgresTrainedModelStore(project.pool)
    assert len(models.all(ORGANIZATION, ModelKind.CALIBRATION)) == 1
    assert models.rollback(ORGANIZATION, ModelKind.CALIBRATION, "user:mei") is None
    assert project.stores.feedback.calibrations() == {}
    assert project.engine.version_id == before


def test_without_answers_nothing_is_fitted(project: Project, instance: dg.DagsterInstance) -> None:
    result = materialise(instance, confidence_calibration)
    told = metadata(result, "confidence_calibration")
    assert (told["answers"], told["fitted"], told["in_use"]) == (0, False, False)
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())


def test_statistics_say_how_often_the_machine_was_right(
    project: Project, instance: dg.DagsterInstance, answers: list[int]
) -> None:
    told = metadata(materialise(instance, feedback_statistics), "feedback_statistics")
    assert told["judged"] == 150
    assert 0.2 < told["calibration_error"] < 0.6
    assert "keyphrase" in told["generators"]
    assert PERSON.actor in told["reviewers"]
    assert "data:image/png" in told["reliability"]


def test_the_queue_holds_what_nobody_judged(
    project: Project, instance: dg.DagsterInstance, answers: list[int]
) -> None:
    assert metadata(materialise(instance, review_queue), "review_queue")["questions"] == 0
    (content,) = add_contents(project.pool, "new")
    (glaze,) = add_tags(project.pool, "釉")
    stage(project.pool, content, (glaze, 0.12), ("unknown yet", 0.2))
    told = metadata(materialise(instance, review_queue), "review_queue")
    assert (told["questions"], told["about_assigned_tags"]) == (2, 0)
    assert "釉" in told["best"]


def test_a_contradiction_of_people_is_found(project: Project) -> None:
    (content,) = add_contents(project.pool, "text")
    (tag,) = add_tags(project.pool, "tag")
    publish(project.pool, {content: [assignment(tag)]})
    correction = Correction(FeedbackKind.REJECT, "tag", content)
    give_feedback(project.pool, ORGANIZATION, [correction], FeedbackSource.CLI, NORMALISER, PERSON)
    assert result_of(feedback_is_respected).passed
    with project.pool.connection() as connection:
        connection.execute(
            "INSERT INTO tagging.content_tags (content_id, tag_id, confidence, weight, method, origin)"
            " VALUES (%s, %s, 1, 1, 'keyphrase', 'machine')",
            [content, tag.id],
        )
    result = result_of(feedback_is_respected)
    assert not result.passed
    assert "1 assignments contradict people" in str(result.description)
