"""The classifier learns tags from labelled texts in both languages, and judges cold tags by their names."""

from __future__ import annotations

import numpy as np
import pytest

from tagging_orchestration.core.errors import ConfigurationError, TooFewLabels
from tagging_orchestration.core.tagging.classifier.bases import TagProfile
from tagging_orchestration.core.tagging.classifier.model import Example, TagClassifier
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText
from tagging_orchestration.core.tagging.classifier.training import train_classifier, training_fingerprint
from tests.core.tagging.classifier.builders import (
    CHINESE_TOPICS,
    MODEL,
    TOPICS,
    corpus,
    profiles,
    with_vectors,
)
from tests.fakes.language import FakeLanguageTools

LANGUAGE = FakeLanguageTools()


@pytest.fixture(scope="module")
def english() -> TagClassifier:
    examples, labels = corpus(80)
    return train_classifier(examples, labels, profiles(*TOPICS, "pottery wheel"), LANGUAGE)


def applied(classifier: TagClassifier, text: str, title: str = "") -> set[str]:
    (predictions,) = classifier.predict([Example(ClassifierText(title, text))])
    return {prediction.tag for prediction in predictions if prediction.applied}


def test_learns_what_words_speak_for_a_tag(english: TagClassifier) -> None:
    examples, labels = corpus(60, seed=2)
    predicted = english.predict(examples)
    hits = sum(
        wanted == {prediction.tag for prediction in predictions if prediction.applied}
        for wanted, predictions in zip(labels, predicted, strict=True)
    )
    assert hits >= 54


def test_best_first_with_probabilities(english: TagClassifier) -> None:
    (predictions,) = english.predict([Example(ClassifierText("", "kiln firing glaze cone and matte bisque"))])
    assert predictions[0].tag == "glazing"
    values = [prediction.probability for prediction in predictions]
    assert values == sorted(values, reverse=True)
    assert 0.5 < values[0] <= 1


def test_a_tag_without_examples_is_found_by_its_name() -> None:
    examples, labels = corpus(120, named=True)
    classifier = train_classifier(examples, labels, profiles(*TOPICS, "pottery wheel"), LANGUAGE)
    (with_name,) = classifier.predict([Example(ClassifierText("", "my pottery wheel wobbles"))])
    (without,) = classifier.predict([Example(ClassifierText("", "my chair wobbles"))])
    named, unnamed = (
        next((row.probability for row in rows if row.tag == "pottery wheel"), 0.0) for rows in (with_name, without)
    )
    assert named > 3 * unnamed
    assert named > 0.05


def test_learns_chinese_and_reads_both_scripts() -> None:
    examples, labels = corpus(80, CHINESE_TOPICS)
    classifier = train_classifier(examples, labels, profiles(*CHINESE_TOPICS), LANGUAGE)
    assert applied(classifier, "燒製陶器釉窯") == {"陶藝"}
    assert applied(classifier, LANGUAGE.to_simplified("燒製陶器釉窯")) == {"陶藝"}
    assert applied(classifier, "查詢索引資料軟體") == {"資料庫"}


def test_vectors_speak_where_words_say_nothing() -> None:
    keys = sorted(TOPICS)
    plain, labels = corpus(80)
    examples, tags = with_vectors(plain, labels, keys)
    classifier = train_classifier(examples, labels, tags, LANGUAGE)
    vector = tags[keys.index("shipping")].vectors[MODEL]
    (seen,) = classifier.predict([Example(ClassifierText("", "then we the our with"), vector, MODEL)])
    (blind,) = classifier.predict([Example(ClassifierText("", "then we the our with"))])
    (foreign,) = classifier.predict([Example(ClassifierText("", "then we the our with"), vector, "another model")])
    assert seen[0].tag == "shipping"
    assert seen[0].probability > max((p.probability for p in blind if p.tag == "shipping"), default=0.0)
    assert foreign == blind


def test_bytes_give_the_same_predictions(english: TagClassifier) -> None:
    again = TagClassifier.from_bytes(english.to_bytes(), LANGUAGE)
    examples, _ = corpus(20, seed=3)
    assert again.predict(examples, explain=True) == english.predict(examples, explain=True)
    assert again.version == english.version
    assert again.to_bytes() == english.to_bytes()


def test_training_is_deterministic(english: TagClassifier) -> None:
    examples, labels = corpus(80)
    again = train_classifier(examples, labels, profiles(*TOPICS, "pottery wheel"), LANGUAGE)
    assert again.to_bytes() == english.to_bytes()


def test_effects_add_up_to_the_log_odds(english: TagClassifier) -> None:
    (predictions,) = english.predict([Example(ClassifierText("", "late parcel and courier"))], explain=True)
    best = predictions[0]
    log_odds = best.base + sum(best.effects.values())
    assert best.probability == pytest.approx(1 / (1 + np.exp(-log_odds)))
    assert best.scores["words"] > 0
    assert best.effects["words"] > 0


def test_unjudged_tags_are_no_negatives() -> None:
    examples, labels = corpus(80)
    hidden = [wanted - {"refunds"} if number % 4 else wanted for number, wanted in enumerate(labels)]
    unknown = [wanted - left for wanted, left in zip(labels, hidden, strict=True)]
    strict = train_classifier(examples, hidden, profiles(*TOPICS), LANGUAGE)
    lenient = train_classifier(examples, hidden, profiles(*TOPICS), LANGUAGE, unknown=unknown)
    asked = Example(ClassifierText("", "money reimbursed charged card"))
    probability = {
        name: next(p.probability for p in model.predict([asked])[0] if p.tag == "refunds")
        for name, model in (("strict", strict), ("lenient", lenient))
    }
    assert probability["lenient"] > probability["strict"]


def test_too_few_labels_are_refused() -> None:
    examples, labels = corpus(10)
    with pytest.raises(TooFewLabels, match="10 of 10 texts carry a known tag"):
        train_classifier(examples, labels, profiles(*TOPICS), LANGUAGE)
    examples, labels = corpus(30)
    with pytest.raises(TooFewLabels, match="0 of 30"):
        train_classifier(examples, labels, profiles("unused"), LANGUAGE)


def test_fingerprint_changes_with_labels_and_names_but_not_with_order() -> None:
    examples, labels = corpus(30)
    tags = profiles(*TOPICS)
    first = training_fingerprint(examples, labels, tags)
    assert training_fingerprint(examples[::-1], labels[::-1], tags) == first
    assert training_fingerprint(examples, [*labels[:-1], set()], tags) != first
    assert training_fingerprint(examples, labels, [*tags[:-1], TagProfile("shipping", ("運費",), {})]) != first


def test_damaged_bytes_are_named() -> None:
    with pytest.raises(ConfigurationError, match="train it anew or roll back"):
        TagClassifier.from_bytes(b"not a model", LANGUAGE)


def test_no_texts_no_predictions(english: TagClassifier) -> None:
    assert english.predict([]) == []
    (predictions,) = english.predict([Example(ClassifierText("", ""))])
    assert not any(prediction.applied for prediction in predictions)
