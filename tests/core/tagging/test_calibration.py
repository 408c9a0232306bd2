"""Confidences corrected by people's answers."""

from __future__ import annotations

import math
import random

import pytest

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.models import JudgedProposal, Method
from tagging_orchestration.core.tagging.calibration import (
    IDENTITY,
    LEAST_HELD_OUT,
    Calibration,
    best_threshold,
    compare,
    expected_calibration_error,
    fit_calibration,
    is_held_out,
    judgement_fingerprint,
)


def judged(content: int, confidence: float, accepted: bool, form: str = "", **more) -> JudgedProposal:
    method = more.pop("method", Method.KEYPHRASE)
    return JudgedProposal(content, form or f"tag {content}", method, confidence, more.pop("shift", 0.0), accepted)


def overconfident(count: int, seed: int = 1) -> list[JudgedProposal]:
    """Answers of people who find the machine's log-odds too large by 1.5."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        confidence = chance.uniform(0.05, 0.95)
        truth = 1 / (1 + math.exp(-(math.log(confidence / (1 - confidence)) - 1.5)))
        rows.append(judged(number, confidence, chance.random() < truth))
    return rows


def test_without_answers_nothing_changes() -> None:
    assert fit_calibration([]) is IDENTITY
    assert IDENTITY.probability(0.3, "keyphrase", "x") == pytest.approx(0.3)


def test_one_answer_changes_little_and_many_agreeing_ones_much() -> None:
    one = fit_calibration([judged(1, 0.5, False, "食譜")])
    many = fit_calibration([judged(number, 0.5, False, "食譜") for number in range(20)])
    assert 0.3 < one.probability(0.5, "keyphrase", "食譜") < 0.5
    assert many.probability(0.5, "keyphrase", "食譜") < 0.12
    # A tag that people keep rejecting sinks more than the others do.
    assert many.probability(0.5, "keyphrase", "食譜") < many.probability(0.5, "keyphrase", "other")
    assert many.probability(0.5, "neighbour", "other") > many.probability(0.5, "keyphrase", "other")


def test_calibration_mends_overconfidence() -> None:
    train, test = overconfident(400, 1), overconfident(400, 2)
    calibration = fit_calibration(train)
    outcomes = [row.accepted for row in test]
    before = expected_calibration_error([row.confidence for row in test], outcomes)
    corrected = [calibration.probability(row.confidence, "keyphrase", "new") for row in test]
    after = expected_calibration_error(corrected, outcomes)
    assert before > 0.2
    assert after < 0.08
    assert calibration == fit_calibration(train)


def test_a_shift_already_applied_is_taken_out_first() -> None:
    plain = fit_calibration([judged(n, 0.5, n % 3 == 0) for n in range(30)])
    odds = math.exp(1.0)
    shifted = fit_calibration([judged(n, odds / (1 + odds), n % 3 == 0, shift=1.0) for n in range(30)])
    assert shifted.bias == pytest.approx(plain.bias, abs=1e-3)
    assert shifted.slope == pytest.approx(plain.slope, abs=1e-3)


def test_threshold_maximises_expected_f1() -> None:
    assert best_threshold([0.9] * 10 + [0.01] * 100) == pytest.approx(0.45, abs=0.02)
    assert best_threshold([]) == 0.02
    assert fit_calibration(overconfident(30), overconfident(30)).threshold is None
    learned = fit_calibration(overconfident(100), overconfident(100)).threshold
    assert learned is not None
    assert 0.02 <= learned <= 0.6


def test_a_candidate_must_do_no_worse_on_held_out_answers() -> None:
    rows = overconfident(400)
    train = [row for row in rows if not is_held_out(row.content_id)]
    assert 0.7 < len(train) / len(rows) < 0.9
    good = compare(fit_calibration(train), IDENTITY, rows)
    assert good["no_worse"]
    assert good["log_loss"] < good["log_loss_before"]
    assert good["ece"] < good["ece_before"]
    worse = compare(Calibration(bias=4.0), fit_calibration(train), rows)
    assert not worse["no_worse"]
    few = compare(fit_calibration(train), IDENTITY, rows[: LEAST_HELD_OUT // 2])
    assert few == {"held_out": few["held_out"], "no_worse": False}


def test_bytes_round_trip_and_nothing_else_is_taken() -> None:
    calibration = fit_calibration([judged(1, 0.4, True, "陶藝")], version="v1")
    assert Calibration.from_bytes(calibration.to_bytes()) == calibration
    for wrong in (b"", b"[]", b'{"other": 1}'):
        with pytest.raises(ConfigurationError, match="not a calibration"):
            Calibration.from_bytes(wrong)


def test_the_fingerprint_changes_with_every_answer() -> None:
    rows = overconfident(5)
    assert judgement_fingerprint(rows) == judgement_fingerprint(list(rows))
    assert judgement_fingerprint(rows) != judgement_fingerprint(rows[:-1])
