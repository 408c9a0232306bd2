"""A candidate configuration judged beside the present one."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.experiments import DIFFERENCES, Gold, Judged, Side, compare_sides


def side(assigned: dict[int, dict[str, float]], near: dict[int, dict[str, float]] | None = None, **more) -> Side:
    proposals = {
        content: {form: Judged(form, confidence, True) for form, confidence in tags.items()}
        | {form: Judged(form, confidence, False) for form, confidence in (near or {}).get(content, {}).items()}
        for content, tags in assigned.items()
    }
    return Side(proposals, more.get("seconds", 1.0), more.get("events", 0))


def test_precision_recall_and_f1_count_what_people_judged() -> None:
    gold = {
        1: Gold(frozenset({"釉", "kiln"}), complete=True),
        2: Gold(frozenset({"tea"}), frozenset({"coffee"})),
    }
    current = side({1: {"釉": 0.9, "mug": 0.4}, 2: {"coffee": 0.5, "unjudged": 0.7}, 3: {"x": 0.5}})
    candidate = side({1: {"釉": 0.9, "kiln": 0.6}, 2: {"tea": 0.5, "unjudged": 0.7}, 3: {"x": 0.5}})
    report = compare_sides(current, candidate, gold)
    assert (report.contents, report.judged_contents) == (3, 2)
    assert report.current.precision == pytest.approx(1 / 3)
    assert report.current.recall == pytest.approx(1 / 3)
    assert (report.candidate.precision, report.candidate.recall, report.candidate.f1) == (1.0, 1.0, 1.0)
    assert report.agreement == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)
    assert report.current.tags_per_content == pytest.approx(5 / 3)


def test_calibration_is_judged_on_all_proposals() -> None:
    gold = {1: Gold(frozenset({"a"}), complete=True)}
    report = compare_sides(side({1: {"a": 1.0}}, {1: {"b": 0.0}}), side({1: {"a": 0.5}}, {1: {"b": 0.5}}), gold)
    assert report.current.calibration_error == pytest.approx(0.0)
    assert report.candidate.calibration_error == pytest.approx(0.0)
    half = compare_sides(side({1: {"a": 0.6}}), side({1: {"a": 0.6}}), gold)
    assert half.current.calibration_error == pytest.approx(0.4)


def test_without_gold_only_agreement_is_known() -> None:
    report = compare_sides(side({1: {"a": 0.5}}), side({1: {"b": 0.5}}), {})
    assert (report.candidate.f1, report.candidate.calibration_error, report.agreement) == (None, None, 0.0)
    assert [(item.name, item.assigned_by, item.wanted) for item in report.differences] == [
        ("a", "current", None),
        ("b", "candidate", None),
    ]


def test_the_most_telling_differences_come_first() -> None:
    many = {number: {"x": 0.2 + number / 1000} for number in range(50)}
    gold = {7: Gold(frozenset(), frozenset({"x"}))}
    report = compare_sides(side(many), side({number: {} for number in many}), gold)
    assert len(report.differences) == DIFFERENCES
    first, second, *_ = report.differences
    assert (first.content_id, first.wanted) == (7, False)
    assert (second.content_id, second.current, second.candidate) == (49, pytest.approx(0.249), 0.0)
