"""Evidence in plain words."""

from __future__ import annotations

import pytest

from tagging_orchestration.commands.reasons import why
from tagging_orchestration.core.models import Evidence, Method

TITLE = {"field": "title", "start": 0, "end": 6, "text": "kettle", "count": 1}


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(Method.GIVEN, 1.0, {"written": "Kettles"}), "given by people as “Kettles”"),
        (Evidence(Method.VOCABULARY, 1.0, {**TITLE, "match": "exact"}), "“kettle” in the title"),
        (
            Evidence(Method.VOCABULARY, 1.0, {"field": "body", "text": "手沖", "count": 3, "alias": "手沖"}),
            "“手沖” in the text, three times, another name of it",
        ),
        (Evidence(Method.VOCABULARY, 0.714, {"match": "vector", "model": "m"}), "near in meaning (0.71)"),
        (
            Evidence(Method.KEYPHRASE, 0.4, {**TITLE, "text": "pour\nover", "count": 12}),
            "key phrase “pour over” in the title, 12 times",
        ),
        (
            Evidence(Method.NEIGHBOUR, 0.5, {"neighbours": [], "voters": 3, "asked": 10}),
            "three similar contents carry it",
        ),
        (
            Evidence(Method.NEIGHBOUR, 0.5, {"neighbours": [{"content_id": 1, "similarity": 0.9}]}),
            "one similar content carries it",
        ),
        (
            Evidence(Method.RULE, 0.95, {"rule": "late", **TITLE, "text": "too late"}),
            "rule late: “too late” in the title",
        ),
        (Evidence(Method.RULE, 0.95, {"rule": "by-source"}), "rule by-source"),
        (Evidence(Method.CLASSIFIER, 0.7, {"examples": 40}), "learned from 40 contents that people tagged so"),
        (Evidence(Method.CLASSIFIER, 0.1, {"examples": 1}), "learned from one content that people tagged so"),
        (Evidence(Method.RULE, 1.0, {**TITLE, "list": "allow"}), "on the allow list: “kettle” in the title"),
    ],
)
def test_each_kind_of_evidence_has_its_words(evidence, said):
    assert why([evidence]) == said


def test_people_come_first_and_nothing_is_said_twice():
    evidence = [
        Evidence(Method.NEIGHBOUR, 0.9, {"voters": 2}),
        Evidence(Method.VOCABULARY, 0.8, {"match": "vector"}),
        Evidence(Method.VOCABULARY, 1.0, TITLE),
        Evidence(Method.VOCABULARY, 1.0, TITLE),
        Evidence(Method.GIVEN, 1.0, {}),
    ]
    assert why(evidence) == (
        "given by people; “kettle” in the title; near in meaning (0.80); two similar contents carry it"
    )


def test_every_method_has_a_place_in_the_order():
    for method in Method:
        assert why([Evidence(method, 0.5, TITLE)])
