"""Trained models in people's hands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagging_orchestration.core.models import ModelKind, NewModel, TrainedModel
from tagging_orchestration.storage.connection import create_pool
from tagging_orchestration.storage.trained_models import PostgresTrainedModelStore
from tests.cli.conftest import Tagging, data

SCORES = {"texts": 12, "micro_f1": 0.71, "macro_f1": 0.6, "tags": [{"tag": "退貨", "support": 7, "f1": 0.8}]}
BEFORE = {"texts": 12, "micro_f1": 0.65, "macro_f1": 0.5, "tags": [{"tag": "退貨", "support": 7, "f1": 0.4}]}


@pytest.fixture
def two(project: Path, database_url: str) -> list[TrainedModel]:
    """Two classifiers, the first of them in use, and a ranker of another organisation."""
    with create_pool(database_url) as pool:
        store = PostgresTrainedModelStore(pool)
        first = store.add(_model("v1", {"new": BEFORE, "no_worse": True}))
        second = store.add(_model("v2", {"new": SCORES, "old": BEFORE, "no_worse": True}))
        store.add(NewModel("other", ModelKind.RANKER, "v1", b"{}", {}, {}))
        return [store.promote(first.id, "asset:tag_models"), second]


def _model(version: str, metrics: dict) -> NewModel:
    return NewModel("default", ModelKind.CLASSIFIER, version, b"x" * 1000, {"texts": 110, "tags": 3}, metrics)


def in_use(pool_url: str) -> int | None:
    with create_pool(pool_url) as pool:
        active = PostgresTrainedModelStore(pool).active("default", ModelKind.CLASSIFIER)
    return active.id if active else None


def test_list_shows_own_models_newest_first(tagging: Tagging, two: list[TrainedModel]):
    rows = data(tagging("models", "list", "--json"))
    assert [(row["version"], row["in_use"]) for row in rows] == [("v2", False), ("v1", True)]
    shown = " ".join(tagging("models", "list").stdout.split())
    assert "3 tags, 110 texts" in shown
    assert "micro F1 0.710" in shown
    assert data(tagging("models", "list", "--kind", "ranker", "--json")) == []
    assert "1 more" in tagging("models", "list", "--limit", "1").stderr


def test_show_tells_scores_beside_those_before(tagging: Tagging, two: list[TrainedModel]):
    shown = tagging("models", "show", str(two[1].id)).stdout
    assert "退貨" in shown
    assert "0.80" in shown
    assert "0.40" in shown
    assert data(tagging("models", "show", str(two[1].id), "--json"))["metrics"]["new"]["micro_f1"] == 0.71


def test_promote_and_rollback(tagging: Tagging, two: list[TrainedModel], database_url: str):
    promoted = data(tagging("models", "promote", str(two[1].id), "--json"))
    assert promoted["in_use"]
    assert promoted["activated_by"].startswith("user:")
    assert in_use(database_url) == two[1].id
    back = tagging("models", "rollback")
    assert f"classifier {two[0].id} is in use again" in back.stderr
    assert in_use(database_url) == two[0].id
    assert "no classifier is in use any more" in tagging("models", "rollback").stderr
    assert in_use(database_url) is None
    assert tagging("models", "rollback").exit_code == 3


def test_an_unknown_model_ends_with_3(tagging: Tagging, project: Path):
    for command in ("show", "promote"):
        result = tagging("models", command, "999")
        assert result.exit_code == 3
        assert "tagging models list" in result.stderr


def test_an_empty_list_says_what_would_fill_it(tagging: Tagging, project: Path):
    assert "people's tags" in tagging("models", "list").stdout
