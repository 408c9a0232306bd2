"""Questions in the order of what their answers are worth."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.feedback.review import Doubt, rank_doubts, reach, uncertainty


def doubt(content: int, form: str, confidence: float, **more) -> Doubt:
    return Doubt(content, form, None, form, True, confidence, 0.2, **more)


def test_uncertainty_is_largest_at_the_threshold_and_falls_alike_on_both_sides() -> None:
    assert uncertainty(0.2, 0.2) == pytest.approx(1.0)
    assert uncertainty(0.5, 0.2) == pytest.approx(uncertainty(1 / 17, 0.2))
    assert uncertainty(0.3, 0.2) > uncertainty(0.6, 0.2) > uncertainty(1.0, 0.2) > 0


def test_reach_grows_with_use_and_likeness_and_falls_with_answers() -> None:
    plain = doubt(1, "釉", 0.2, contents=10)
    assert reach(doubt(1, "釉", 0.2, contents=100)) > reach(plain)
    assert reach(doubt(1, "釉", 0.2, contents=10, similarity=0.8)) > reach(plain)
    assert reach(doubt(1, "釉", 0.2, contents=10, judged=3)) == pytest.approx(reach(plain) / 2)
    assert reach(plain, asked=3) == pytest.approx(reach(plain) / 2)


def test_the_most_valuable_question_comes_first() -> None:
    sure, open_one, used = doubt(1, "sure", 0.99), doubt(2, "open", 0.2), doubt(3, "used", 0.2, contents=50)
    ranked = rank_doubts([sure, open_one, used], 10)
    assert [item.doubt for item in ranked] == [used, open_one, sure]
    values = [item.value for item in ranked]
    assert values == sorted(values, reverse=True)


def test_no_tag_crowds_out_the_others() -> None:
    many = [doubt(content, "咖啡", 0.2, contents=9) for content in range(6)]
    other = doubt(9, "tea", 0.2, contents=4)
    order = [item.doubt.normal_form for item in rank_doubts([*many, other], 7)]
    assert order.index("tea") < 4
    assert order == [item.doubt.normal_form for item in rank_doubts([other, *many[::-1]], 7)]
    assert len(rank_doubts(many, 2)) == 2
    assert rank_doubts([], 5) == []
