"""What a classifier learns from: which tags, which contents, and when a new one may take over."""

from __future__ import annotations

import numpy as np

from tagging_orchestration.core import model_training
from tagging_orchestration.core.model_training import is_held_out, metrics_of, profiles
from tagging_orchestration.core.models import LabelledContent, TagStatus
from tagging_orchestration.core.tagging.classifier.evaluation import compare, evaluate
from tests.core.tagging.builders import PEOPLE, make_tag, make_vocabulary

WANTED = [{"refund", "退貨"}, {"refund"}, {"mug"}, {"mug"}, {"refund"}, {"mug"}] * 5


def labelled(*labels: int) -> LabelledContent:
    return LabelledContent(1, "", "a mug", "hash", frozenset(labels))


def test_about_a_tenth_is_held_out_and_always_the_same() -> None:
    hashes = [f"text {number}" for number in range(2_000)]
    first = [is_held_out(text) for text in hashes]
    assert first == [is_held_out(text) for text in hashes]
    assert 150 < sum(first) < 250


def test_profiles_hold_tags_with_examples_and_peoples_own() -> None:
    vocabulary = make_vocabulary(
        make_tag(1, "refund"),
        make_tag(2, "mug"),
        make_tag(3, "運費", origin=PEOPLE),
        make_tag(4, "blocked", origin=PEOPLE, status=TagStatus.BLOCKED),
        aliases={"money back": 1},
        vectors={1: (1.0, 0.0), 2: (0.0, 1.0)},
    )
    found = profiles(vocabulary, [labelled(1)])
    assert [(tag.key, tag.names) for tag in found] == [("1", ("refund", "money back")), ("3", ("運費",))]
    assert np.array_equal(found[0].vectors["test"], [1.0, 0.0])
    assert found[1].vectors == {}


def test_profiles_are_bounded_by_use(monkeypatch) -> None:
    monkeypatch.setattr(model_training, "MOST_TAGS", 1)
    vocabulary = make_vocabulary(make_tag(1, "refund"), make_tag(2, "mug"))
    assert [tag.key for tag in profiles(vocabulary, [labelled(1, 2), labelled(2)])] == ["2"]


def test_scores_count_every_label_and_every_tag() -> None:
    predicted = [{"refund"}, {"refund"}, {"mug", "退貨"}, set(), {"refund"}, {"mug"}] * 5
    scores = evaluate(predicted, WANTED)
    assert scores.micro_f1 == round(2 * 5 / (2 * 5 + 1 + 2), 4)
    by_tag = {row.tag: (row.support, row.f1) for row in scores.tags}
    assert by_tag == {"refund": (15, 1.0), "mug": (15, 0.8), "退貨": (5, 0.0)}
    assert scores.macro_f1 == 0.6


def test_a_clearly_worse_candidate_is_refused_and_an_equal_one_is_not() -> None:
    perfect = list(WANTED)
    wrong = [{"mug"}] * len(WANTED)
    refused = compare(wrong, perfect, WANTED)
    assert not refused.no_worse
    assert "micro F1 -" in refused.reason
    assert compare(perfect, perfect, WANTED).no_worse
    assert compare(perfect, wrong, WANTED).no_worse


def test_a_loss_by_chance_is_tolerated() -> None:
    slightly = [set(wanted) for wanted in WANTED]
    slightly[3] = set()
    assert compare(slightly, WANTED, WANTED).no_worse
    for number in (9, 15, 21, 27):
        slightly[number] = set()
    assert not compare(slightly, WANTED, WANTED).no_worse


def test_the_first_classifier_must_get_something_right() -> None:
    assert not compare([set()] * len(WANTED), None, WANTED).no_worse
    assert compare(WANTED, None, WANTED).no_worse
    few = compare(WANTED[:3], None, WANTED[:3])
    assert not few.no_worse
    assert "too few to judge" in few.reason


def test_metrics_name_the_tags() -> None:
    vocabulary = make_vocabulary(make_tag(1, "refund"), make_tag(2, "退貨"))
    wanted = [{"1"}, {"2"}, {"1"}, {"1"}, {"2"}]
    told = metrics_of(compare(wanted, None, wanted), vocabulary)
    assert [row["tag"] for row in told["new"]["tags"]] == ["refund", "退貨"]
    assert told["no_worse"] is True
    assert "old" not in told
