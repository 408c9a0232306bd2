"""`tag_models` materialised over a real database: trained, judged, put to use, and put back."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.model_training import is_held_out
from tagging_orchestration.core.models import (
    Method,
    ModelKind,
    ModelStatus,
    NewModel,
    Origin,
    Scope,
)
from tagging_orchestration.defs.classifier import tag_models, tag_models_no_worse
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.wiring import Project
from tests.core.tagging.classifier.builders import CHINESE_TOPICS, TOPICS, corpus
from tests.storage.builders import ORGANIZATION, PERSON, add_contents, add_tags, assignment, publish

KIND = ModelKind.CLASSIFIER


def materialise(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [tag_models, tag_models_no_worse],
        instance=instance,
        resources={"tagging": Tagging()},
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("tag_models")
    return {key: getattr(value, "value", None) for key, value in event.metadata.items()}


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


@pytest.fixture
def labelled(project: Project) -> list[int]:
    """90 contents in English and Chinese with people's tags; nothing is embedded."""
    tags = {tag.name: tag for tag in add_tags(project.pool, *TOPICS, *CHINESE_TOPICS, origin=Origin.HUMAN)}
    english, labels = corpus(60)
    chinese, more = corpus(30, CHINESE_TOPICS)
    contents = add_contents(project.pool, *(example.text.body for example in [*english, *chinese]))
    publish(
        project.pool,
        {
            content: [assignment(tags[name], origin=Origin.HUMAN) for name in sorted(wanted)]
            for content, wanted in zip(contents, [*labels, *more], strict=True)
        },
        PERSON,
    )
    return contents


def test_a_first_classifier_is_trained_promoted_and_used(
    project: Project, instance: dg.DagsterInstance, labelled: list[int]
) -> None:
    before = project.engine.version_id
    result = materialise(instance)
    told = metadata(result)
    assert (told["trained"], told["promoted"]) == (2, 2)
    assert "| glazing |" in told["tags"]
    assert "陶藝" in told["tags"]
    assert check(result).passed
    assert check(result).blocking

    model = project.stores.trained_models.active(ORGANIZATION, KIND)
    assert model is not None
    assert model.metrics["new"]["micro_f1"] > 0.7
    assert model.trained_on["tags"] == len(TOPICS) + len(CHINESE_TOPICS)
    assert model.activated_by is not None
    assert "tag_models" in model.activated_by
    assert project.engine.version_id != before
    assert project.engine.version_components()["classifier"] == {ORGANIZATION: model.version}

    (pending,) = add_contents(project.pool, "kiln glaze cone and a matte bisque")
    scope = Scope(content_ids=(pending,))
    project.engine.generate(scope)
    (generated,) = project.stores.generated.load([pending])
    assert (generated.proposals[0].name, generated.proposals[0].method) == ("glazing", Method.CLASSIFIER)


def test_the_same_labels_are_not_trained_again(
    project: Project, instance: dg.DagsterInstance, labelled: list[int]
) -> None:
    materialise(instance)
    again = metadata(materialise(instance))
    assert again["trained"] == 0
    assert "the labels are those of the last training" in again["models"]
    assert len(project.stores.trained_models.all(ORGANIZATION, KIND)) == 1

    (extra,) = add_tags(project.pool, "late", origin=Origin.HUMAN)
    publish(project.pool, {labelled[0]: [assignment(extra, origin=Origin.HUMAN)]}, PERSON)
    assert metadata(materialise(instance))["trained"] == 2


def test_rollback_returns_to_the_tagger_without_a_classifier(
    project: Project, instance: dg.DagsterInstance, labelled: list[int]
) -> None:
    before = project.engine.version_id
    materialise(instance)
    assert project.engine.classifier(ORGANIZATION) is not None
    for kind in (KIND, ModelKind.RANKER):
        assert project.stores.trained_models.rollback(ORGANIZATION, kind, "user:mei") is None
    assert project.engine.classifier(ORGANIZATION) is None
    assert project.engine.version_id == before


def test_the_ranker_moves_towards_people_and_back(
    project: Project, instance: dg.DagsterInstance, labelled: list[int]
) -> None:
    shipped = project.engine.models.ranker
    assert project.engine.ranker(ORGANIZATION) == shipped
    materialise(instance)
    model = project.stores.trained_models.active(ORGANIZATION, ModelKind.RANKER)
    assert model is not None
    assert model.metrics["new"]["micro_f1"] > model.metrics["old"]["micro_f1"]
    assert project.engine.ranker(ORGANIZATION).formal != shipped.formal
    assert project.engine.version_components()["adapted_ranker"] == {ORGANIZATION: model.version}
    project.stores.trained_models.rollback(ORGANIZATION, ModelKind.RANKER, "user:mei")
    assert project.engine.ranker(ORGANIZATION) == shipped


def test_a_worse_candidate_is_kept_but_not_used_and_fails_the_check(
    project: Project, instance: dg.DagsterInstance, labelled: list[int]
) -> None:
    materialise(instance)
    models = project.stores.trained_models
    active = models.active(ORGANIZATION, KIND)
    assert active is not None
    # People's later labels contradict what held-out texts say.
    (wrong,) = add_tags(project.pool, "wrong", origin=Origin.HUMAN)
    contents = {row.content_id: row for row in models.labelled_contents(ORGANIZATION)}
    spoiled = [number for number in labelled if not is_held_out(contents[number].text_hash)]
    publish(project.pool, {number: [assignment(wrong, origin=Origin.HUMAN)] for number in spoiled}, PERSON)
    result = materialise(instance)
    assert not check(result).passed
    assert not result.success
    newest, first = models.all(ORGANIZATION, KIND)
    assert (newest.status, first.status) == (ModelStatus.CANDIDATE, ModelStatus.ACTIVE)
    assert "micro F1 -" in newest.metrics["reason"]


def test_too_few_labels_are_told_not_failed(project: Project, instance: dg.DagsterInstance) -> None:
    result = materialise(instance)
    assert result.success
    assert "training needs at least" in metadata(result)["models"]
    assert check(result).passed


def test_a_classifier_of_another_version_stops_tagging_with_a_way_out(project: Project) -> None:
    models = project.stores.trained_models
    model = models.add(NewModel(ORGANIZATION, KIND, "old", b"not of this version", {}, {}))
    models.promote(model.id, "user:mei")
    with pytest.raises(ConfigurationError, match="train it anew or roll back"):
        project.engine.tagger(ORGANIZATION)


def test_a_ranker_of_another_version_is_trained_anew(
    project: Project, instance: dg.DagsterInstance, labelled: list[int]
) -> None:
    models = project.stores.trained_models
    foreign = (
        b'{"version": "old", "formal": {"gone": 1}, "conversational": {},'
        b' "formal_bias": 0, "conversational_bias": 0}'
    )
    model = models.add(NewModel(ORGANIZATION, ModelKind.RANKER, "old", foreign, {}, {}))
    models.promote(model.id, "user:mei")
    with pytest.raises(ConfigurationError, match="unknown features gone"):
        project.engine.tagger(ORGANIZATION)
    assert materialise(instance).success
    assert project.engine.ranker(ORGANIZATION).version != "old"
