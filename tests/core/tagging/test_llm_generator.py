"""How much a language model's word weighs, alone and beside other generators."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tagging_orchestration.core.tagging.candidates.llm import AGREEMENT, RELIABILITY, carries, lift
from tagging_orchestration.core.tagging.candidates.pool import Candidate
from tagging_orchestration.core.tagging.ranking import confidence, log_odds


def candidate(stated: float) -> Candidate:
    return Candidate("kettle", "kettle", llm=stated)


@pytest.mark.parametrize("stated", [0.2, 0.5, 0.9, 1.0])
def test_alone_it_counts_for_its_confidence_times_the_prior(stated: float) -> None:
    weak = -6.0
    assert carries(weak, candidate(stated))
    assert confidence(weak + lift(weak, candidate(stated))) == pytest.approx(stated * RELIABILITY, abs=1e-6)


def test_agreement_raises_what_others_found_and_never_lowers_it() -> None:
    found = log_odds(0.7)
    assert not carries(found, candidate(0.5))
    assert lift(found, candidate(0.5)) == pytest.approx(AGREEMENT * 0.5)
    lifts = [lift(other / 10, candidate(0.8)) for other in range(-60, 60)]
    totals = [other / 10 + value for other, value in zip(range(-60, 60), lifts, strict=True)]
    assert min(lifts) > 0
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(totals))


def test_a_trained_classifier_is_agreed_with_and_not_overruled() -> None:
    unlikely = log_odds(0.02)
    assert lift(unlikely, candidate(1.0), judged=True) == pytest.approx(AGREEMENT)
    assert lift(unlikely, candidate(1.0)) > AGREEMENT


def test_without_a_word_of_it_nothing_moves() -> None:
    assert lift(0.3, candidate(0.0)) == 0.0
    assert not carries(0.3, candidate(0.0))
