"""Clusters of bare names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tagging_orchestration.clients.pair_model import load_pair_model
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.core.vocabulary.listed import ListedTag, cluster_names
from tagging_orchestration.core.vocabulary.merge import Matcher
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tests.fakes.language import FakeLanguageTools

LANGUAGE = FakeLanguageTools()


class FakeEmbedder:
    """One model; every text has a direction of its own."""

    fingerprint = "m/64"

    def model_for(self, text: str) -> str:
        return "m"

    def dimension(self, model: str) -> int:
        return 64

    def encode(self, model: str, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        return np.eye(64, dtype=np.float32)[: len(texts)]

    def encode_phrases(self, model: str, phrases: Sequence[str]) -> np.ndarray | None:
        raise NotImplementedError("merging compares whole names")


def clusters(*rows: ListedTag):
    matcher = Matcher(load_pair_model(), LANGUAGE)
    return cluster_names(rows, FakeEmbedder(), Normaliser(LANGUAGE), VocabularySettings(), matcher)


def test_every_row_is_answered_in_order() -> None:
    names = ("wi-fi", "陶藝", "wifi", "WI-FI", "陶藝", "kettle", "#!")
    placed = clusters(*map(ListedTag, names))
    ids = [place.cluster for place in placed]
    assert ids[0] == ids[2] == ids[3]
    assert ids[1] == ids[4]
    assert len(set(ids)) == 4
    assert [place.automatic for place in placed] == [True, True, True, True, True, False, False]
    assert placed[1].probability == 1
    assert all(0 <= place.probability <= 1 for place in placed)


def test_tags_of_two_domains_are_two() -> None:
    placed = clusters(ListedTag("java", "coffee"), ListedTag("java", "software"), ListedTag("java", "coffee"))
    assert placed[0].cluster == placed[2].cluster != placed[1].cluster
    assert [place.automatic for place in placed] == [True, False, True]


def test_nothing_gives_nothing() -> None:
    assert clusters() == []
