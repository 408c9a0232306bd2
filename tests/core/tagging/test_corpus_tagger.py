"""Texts of a file get what the pipeline would give them: from themselves, or from people's tags on others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tagging_orchestration.core.engine import Models
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.core.tagging.corpus_tagger import CorpusTagger, KnownTag, Text
from tagging_orchestration.core.tagging.rules import RuleSet
from tests.core.tagging.builders import LANGUAGE, NORMALISER, WEIGHTS

TOPICS = ("kiln", "refund", "資料庫", "退貨")


class TopicEmbedder:
    """One axis a topic word, and one for everything else."""

    fingerprint = "topics"

    def model_for(self, text: str) -> str:
        return "topics"

    def dimension(self, model: str) -> int:
        return len(TOPICS) + 1

    def encode(self, model: str, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        rows = np.array([[*(float(topic in text.lower()) for topic in TOPICS), 0.1] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_phrases(self, model: str, phrases: Sequence[str]) -> np.ndarray | None:
        return self.encode(model, phrases)


def corpus_tagger(parameters: TaggerSettings | None = None) -> CorpusTagger:
    models = Models(embedder=TopicEmbedder(), language=LANGUAGE, rules=RuleSet(), ranker=WEIGHTS)
    return CorpusTagger(models, NORMALISER, parameters)


def names(assignments) -> list[str]:
    return [assignment.name for assignment in assignments]


TEXTS = [
    Text("1", "Kiln is cracked", "The kiln cracked in the first firing. A new kiln is on its way."),
    Text("2", "退貨", "杯子壞了，我要退貨。退貨的運費太貴。"),
]
LABELLED = [
    *(Text(f"k{n}", "", f"Our kiln number {n} is too hot for this glaze", ("pottery",)) for n in range(15)),
    *(Text(f"r{n}", "", f"I want a refund for order {n}, it is late", ("billing",)) for n in range(15)),
]


def test_without_labels_tags_come_from_the_texts_in_their_languages() -> None:
    english, chinese = corpus_tagger().tag(TEXTS)
    assert "kiln" in [name.lower() for name in names(english)]
    assert "退貨" in names(chinese)
    assert all(assignment.tag_id == 0 for assignment in (*english, *chinese))


def test_assignments_come_best_first_within_the_bounds() -> None:
    for assignments in corpus_tagger(TaggerSettings(min_tags=1, max_tags=2)).tag(TEXTS):
        confidences = [assignment.confidence for assignment in assignments]
        assert 1 <= len(confidences) <= 2
        assert confidences == sorted(confidences, reverse=True)


def test_labelled_texts_teach_tags_that_are_not_in_the_text() -> None:
    tagger = corpus_tagger().fit(LABELLED)
    [assignments] = tagger.tag([Text("x", "", "Why is the kiln so hot today?")])
    assert "pottery" in names(assignments)
    assert "billing" not in names(assignments)


def test_a_closed_vocabulary_stays_closed() -> None:
    tagger = corpus_tagger().fit(LABELLED, [KnownTag("退貨", ("return of goods",))], closed=True)
    for assignments in tagger.tag([*TEXTS, Text("x", "", "I ask for a refund of the kiln")]):
        assert set(names(assignments)) <= {"pottery", "billing", "退貨"}
    assert names(tagger.tag([Text("x", "", "A return of goods is what I want")])[0]) == ["退貨"]


def test_known_tags_are_preferred_over_new_words_for_the_same() -> None:
    tagger = corpus_tagger().fit([], [KnownTag("Kilns and firing", ("kiln",))])
    assert "Kilns and firing" in names(tagger.tag(TEXTS)[0])


def test_too_few_labels_are_a_vocabulary_without_a_classifier() -> None:
    [assignments] = corpus_tagger().fit(LABELLED[:2]).tag([Text("x", "", "A kiln for pottery")])
    assert "pottery" in names(assignments)


def test_the_same_texts_give_the_same_tags() -> None:
    first, second = (corpus_tagger().fit(LABELLED).tag(TEXTS) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("texts", [[], [Text("1", "", "")]])
def test_nothing_to_read_is_no_error(texts: list[Text]) -> None:
    assert corpus_tagger().tag(texts) == [[] for _ in texts]
