"""The rules of the quality gates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagging_orchestration.core.models import (
    Assignment,
    Decision,
    Evidence,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.quality import (
    confidence_histogram,
    decision_faults,
    population_stability_index,
    proposal_faults,
    share,
)

EVIDENCE = (Evidence(Method.KEYPHRASE, 0.5, {"text": "手沖壺"}),)
PROPOSAL = Proposal("手沖壺", "手冲壶", 0.8, Method.KEYPHRASE, Origin.MACHINE, EVIDENCE)
ASSIGNMENT = Assignment(1, "gooseneck kettle", 0.8, 0.8, Method.KEYPHRASE, Origin.MACHINE, EVIDENCE)


def generated(*proposals: Proposal) -> GeneratedTags:
    return GeneratedTags(1, "default", "hash", "zh-Hant", proposals)


def decision(*assignments: Assignment) -> Decision:
    return Decision(1, "default", "hash", assignments)


def test_sound_rows_have_no_faults():
    assert proposal_faults(generated(PROPOSAL)) == []
    assert decision_faults(decision(ASSIGNMENT), TaggerSettings()) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"confidence": 1.2}, "outside 0..1"),
        ({"confidence": float("nan")}, "outside 0..1"),
        ({"name": "  "}, "without a name"),
        ({"evidence": ()}, "without evidence"),
    ],
)
def test_each_fault_of_a_proposal_is_named(change, fault):
    assert fault in "; ".join(proposal_faults(generated(replace(PROPOSAL, **change))))


def test_a_tag_proposed_twice_is_a_fault():
    assert proposal_faults(generated(PROPOSAL, PROPOSAL)) == ["the same tag is proposed twice"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"confidence": -0.1}, "outside 0..1"),
        ({"weight": float("inf")}, "negative or not a number"),
        ({"evidence": ()}, "without evidence"),
    ],
)
def test_each_fault_of_an_assignment_is_named(change, fault):
    assert fault in "; ".join(decision_faults(decision(replace(ASSIGNMENT, **change)), TaggerSettings()))


def test_people_may_give_more_tags_than_machines():
    parameters = TaggerSettings(min_tags=0, max_tags=1)
    given = [replace(ASSIGNMENT, tag_id=number, method=Method.GIVEN) for number in range(5)]
    machine = [replace(ASSIGNMENT, tag_id=number) for number in (10, 11)]
    assert decision_faults(decision(*given, machine[0]), parameters) == []
    assert "at most 1" in decision_faults(decision(*machine), parameters)[0]


def test_drift_is_zero_for_equal_and_large_for_opposite_histograms():
    assert population_stability_index([10, 20, 70], [100, 200, 700]) == pytest.approx(0.0, abs=1e-2)
    assert population_stability_index([90, 5, 5], [5, 5, 90]) > 1
    assert population_stability_index([], []) == 0.0
    with pytest.raises(ValueError, match="cannot be compared"):
        population_stability_index([1], [1, 2])


def test_histogram_counts_every_confidence_once():
    counts = confidence_histogram([0.0, 0.05, 0.95, 1.0])
    assert (counts[0], counts[-1], sum(counts)) == (2, 2, 4)


def test_share_of_nothing_is_zero():
    assert share(1, 0) == 0.0
