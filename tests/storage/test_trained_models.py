"""Trained models: one active a kind, promotion and the way back; labels that people left."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.core.models import (
    Correction,
    FeedbackKind,
    FeedbackSource,
    ModelKind,
    ModelStatus,
    NewModel,
    Origin,
    TrainedModel,
)
from tagging_orchestration.storage.feedback import give_feedback
from tagging_orchestration.storage.trained_models import PostgresTrainedModelStore
from tests.storage.builders import (
    NORMALISER,
    ORGANIZATION,
    PERSON,
    add_contents,
    add_tags,
    assignment,
    publish,
)

CLASSIFIER, RANKER = ModelKind.CLASSIFIER, ModelKind.RANKER


def candidate(
    store: PostgresTrainedModelStore, version: str, kind: ModelKind = CLASSIFIER, organization: str = ORGANIZATION
) -> TrainedModel:
    return store.add(
        NewModel(
            organization, kind, version, version.encode(), {"texts": 12, "tags": 3}, {"new": {"micro_f1": 0.5}}
        )
    )


def test_a_candidate_is_stored_once_a_version(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    first = candidate(store, "v1")
    assert candidate(store, "v1") == first
    assert first.status is ModelStatus.CANDIDATE
    assert (first.trained_on, first.metrics, first.size) == (
        {"texts": 12, "tags": 3},
        {"new": {"micro_f1": 0.5}},
        2,
    )
    assert store.payload(first.id) == b"v1"
    assert store.find(ORGANIZATION, CLASSIFIER, "v1") == first
    assert store.find(ORGANIZATION, RANKER, "v1") is None
    assert store.active(ORGANIZATION, CLASSIFIER) is None


def test_promotion_retires_the_one_before_and_leaves_other_kinds_and_organisations(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    first, second = candidate(store, "v1"), candidate(store, "v2")
    ranker, other = candidate(store, "v1", RANKER), candidate(store, "v1", organization="other")
    for model in (first, ranker, other, second):
        store.promote(model.id, "user:mei")
    active = store.active(ORGANIZATION, CLASSIFIER)
    assert active is not None
    assert (active.id, active.activated_by) == (second.id, "user:mei")
    assert store.get(first.id).status is ModelStatus.RETIRED
    assert store.get(ranker.id).status is ModelStatus.ACTIVE
    assert store.get(other.id).status is ModelStatus.ACTIVE
    assert [model.id for model in store.all(ORGANIZATION, CLASSIFIER)] == [second.id, first.id]
    assert len(store.all(ORGANIZATION)) == 3


def test_promoting_the_active_model_changes_nothing(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    model = store.promote(candidate(store, "v1").id, "user:mei")
    assert store.promote(model.id, "user:ann") == model


def test_rollback_goes_back_step_by_step_to_no_model(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    first, second, third = (candidate(store, version) for version in ("v1", "v2", "v3"))
    for model in (first, second, third):
        store.promote(model.id, "asset")
    back = [store.rollback(ORGANIZATION, CLASSIFIER, "user:mei") for _ in range(3)]
    assert [model.id if model else None for model in back] == [second.id, first.id, None]
    assert store.active(ORGANIZATION, CLASSIFIER) is None
    with pytest.raises(UnknownName, match="nothing to roll back"):
        store.rollback(ORGANIZATION, CLASSIFIER, "user:mei")


def test_a_model_that_was_never_active_is_not_rolled_back_to(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    candidate(store, "refused")
    store.promote(candidate(store, "v1").id, "asset")
    assert store.rollback(ORGANIZATION, CLASSIFIER, "user:mei") is None


def test_the_database_refuses_a_second_active_model(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    store.promote(candidate(store, "v1").id, "asset")
    with pytest.raises(psycopg.errors.UniqueViolation), pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.trained_models SET status = 'active', activated_at = now() WHERE id = %s",
            [candidate(store, "v2").id],
        )


def test_an_unknown_model_is_named(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    for ask in (store.get, store.payload, lambda number: store.promote(number, "user:mei")):
        with pytest.raises(UnknownName, match="no trained model 999"):
            ask(999)


def test_labels_are_peoples_tags_and_unjudged_machine_tags_are_unknown(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    given, judged, machine = add_contents(pool, "退貨很慢", "refund never came", "a mug")
    refund, quality = add_tags(pool, "refund", "品質")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET given_tags = '{refund}' WHERE id = %s", [given])
    wanted = {
        given: [assignment(refund, origin=Origin.HUMAN), assignment(quality)],
        judged: [assignment(refund, origin=Origin.HUMAN), assignment(quality)],
        machine: [assignment(quality)],
    }
    publish(pool, wanted)
    first, second = store.labelled_contents(ORGANIZATION)
    assert (first.content_id, first.text, first.labels, first.unknown) == (
        given,
        "退貨很慢",
        frozenset({refund.id}),
        frozenset(),
    )
    assert (second.labels, second.unknown) == (frozenset({refund.id}), frozenset({quality.id}))
    assert store.labelled_contents("other") == []
    assert store.labelled_organizations() == [ORGANIZATION]


def test_rejections_are_labels_too(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    (content,) = add_contents(pool, "a mug with a kiln in the background")
    kiln, mug = add_tags(pool, "kiln", "mug")
    publish(pool, {content: [assignment(kiln), assignment(mug)]})
    assert store.labelled_contents(ORGANIZATION) == []
    rejection = Correction(FeedbackKind.REJECT, "kiln", content, kiln.id)
    give_feedback(pool, ORGANIZATION, [rejection], FeedbackSource.CLI, NORMALISER, PERSON)
    (row,) = store.labelled_contents(ORGANIZATION)
    assert (row.labels, row.rejected, row.unknown) == (frozenset(), frozenset({kiln.id}), frozenset({mug.id}))


def test_the_fingerprint_of_labels_follows_people_and_not_machines(pool: ConnectionPool) -> None:
    store = PostgresTrainedModelStore(pool)
    content, other = add_contents(pool, "退貨很慢", "a mug")
    refund, mug = add_tags(pool, "refund", "mug")
    empty = store.labels_fingerprint(ORGANIZATION)
    publish(pool, {other: [assignment(mug)]})
    assert store.labels_fingerprint(ORGANIZATION) == empty
    publish(pool, {content: [assignment(refund, origin=Origin.HUMAN)]})
    labelled = store.labels_fingerprint(ORGANIZATION)
    assert labelled != empty
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.contents SET body = '退貨太慢' WHERE id = %s", [content])
    edited = store.labels_fingerprint(ORGANIZATION)
    assert edited != labelled
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET name = 'refunds' WHERE id = %s", [refund.id])
    assert store.labels_fingerprint(ORGANIZATION) != edited
