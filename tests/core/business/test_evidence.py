"""Which tags explain an alert."""

from __future__ import annotations

from datetime import timedelta
from math import comb

import pytest

from tagging_orchestration.core.business.evidence import (
    BASELINE_DAYS,
    AlertEvidence,
    ContentCount,
    LineageLink,
    RowEvidence,
    TagCount,
    Window,
    top_tags,
    window_of,
)
from tests.core.business.builders import day


def count(
    tag_id: int, tag: str, contents: tuple[int, ...], baseline: int = 0, parent: int | None = None
) -> TagCount:
    return TagCount(tag_id, tag, parent, baseline, contents)


def test_the_tag_that_rose_is_on_top_and_the_one_that_is_everywhere_is_not_named():
    counts = [
        count(1, "kettle", (1, 2, 3), baseline=60),
        count(2, "付款失敗", (1, 2, 3, 4, 5), baseline=1),
        count(3, "credit card", (2, 5), baseline=4),
    ]
    tags = top_tags(counts, ContentCount(6, 120))
    assert [tag.tag for tag in tags] == ["付款失敗", "credit card"]
    assert (tags[0].count, tags[0].baseline, tags[0].is_significant) == (5, 1, True)
    assert tags[0].lift == pytest.approx((5.5 / 7) / (1.5 / 121))


def test_significance_is_fishers_exact_test_corrected_for_many_tags():
    (tag,) = top_tags([count(1, "video", (1, 2), baseline=0)], ContentCount(3, 7))
    # Two of two carriers among three of ten contents.
    assert tag.p_value == pytest.approx(comb(3, 2) / comb(10, 2))
    assert tag.q_value == tag.p_value
    many = [count(1, "video", (1, 2, 4, 5)), *(count(n, f"tag {n}", (3, n), baseline=40) for n in range(10, 30))]
    tags = top_tags(many, ContentCount(30, 70))
    assert tags[0].q_value == pytest.approx(tags[0].p_value * 21, rel=0.01)


def test_a_segment_is_judged_against_everything_but_must_have_changed_itself():
    def of_product(tag_id: int, tag: str, inside: int, baseline: int, elsewhere: int) -> TagCount:
        return TagCount(tag_id, tag, None, baseline, tuple(range(inside)), elsewhere)

    total = ContentCount(6, 3, 150)
    tags = top_tags([of_product(1, "電熱壺", 6, 3, 2), of_product(2, "lid leak", 5, 0, 1)], total)
    assert [(tag.tag, tag.baseline, tag.is_significant) for tag in tags] == [("lid leak", 1, True)]


def test_small_counts_are_no_evidence():
    assert top_tags([count(1, "video", (1,))], ContentCount(1, 100)) == ()
    assert top_tags([count(1, "video", (1, 2))], ContentCount(2, 0)) == ()
    assert not any(
        tag.is_significant for tag in top_tags([count(1, "video", (1, 2), baseline=2)], ContentCount(4, 8))
    )


def test_of_tags_on_the_same_contents_the_narrower_stays():
    counts = [
        count(1, "recall", (1, 2, 3)),
        count(2, "recall H26-05", (1, 2, 3), parent=1),
        count(3, "漏水", (4, 5, 6)),
    ]
    assert [tag.tag for tag in top_tags(counts, ContentCount(6, 50))] == ["recall H26-05", "漏水"]


def test_an_alert_about_a_tag_names_it_first():
    counts = [count(1, "grinder", (1, 2), baseline=30), count(2, "price error", (1, 2, 3, 4))]
    assert [tag.tag for tag in top_tags(counts, ContentCount(5, 60), own_tag=1)] == ["grinder", "price error"]
    assert [tag.tag for tag in top_tags([count(1, "標錯價", (9,))], ContentCount(1, 60), own_tag=1)] == ["標錯價"]


def test_samples_are_the_contents_that_say_most():
    counts = [count(1, "late delivery", (1, 2, 3, 4)), count(2, "tracking number", (3, 9, 8))]
    first, second = top_tags(counts, ContentCount(8, 80))
    assert first.sample_ids == (3, 1, 2, 4)
    assert second.sample_ids == (3, 9, 8)


@pytest.mark.parametrize(
    ("subtype", "opened", "seen", "first", "last"),
    [
        ("spike", 10, 10, 10, 12),
        ("drop", 10, 14, 10, 16),
        ("shift", 10, 12, 8, 14),
        ("drift", 10, 12, 4, 14),
        ("trend_7d", 10, 12, 4, 14),
        ("static", 10, 60, 10, 37),
        ("spike", 20, 20, 20, 20),
    ],
)
def test_windows_begin_where_such_a_move_begins(subtype: str, opened: int, seen: int, first: int, last: int):
    as_of = 20 if opened == 20 else 100
    window = window_of(subtype, day(opened), day(seen), day(as_of))
    assert (window.first, window.last) == (day(first), day(last))
    assert window.baseline_last == window.first - timedelta(days=1)
    assert (window.first - window.baseline_first).days == BASELINE_DAYS


def test_a_wider_window_ends_before_the_future():
    wide = Window(day(10), day(12), day(1)).widened(day(14))
    assert (wide.first, wide.last) == (day(7), day(14))


def test_the_document_has_what_is_needed_to_check_it():
    tags = top_tags([count(2, "付款失敗", (1, 2, 3))], ContentCount(4, 40))
    evidence = AlertEvidence(
        Window(day(10), day(12), day(1)),
        "product:KT-EL08",
        "電熱壺",
        tags,
        (RowEvidence("raw.orders", "o1", "failed", "失敗"),),
        (LineageLink(1, "sample", "TKT-1", "raw.support_tickets", "T1"),),
    )
    document = evidence.document()
    assert document["top_tags"][0]["sample_ids"] == [1, 2, 3]
    assert document["top_rows"] == [{"table": "raw.orders", "id": "o1", "why": "failed", "why_zh": "失敗"}]
    assert document["lineage"][0]["id"] == "T1"
    assert document["window"] == {
        "from": "2026-03-10",
        "to": "2026-03-12",
        "baseline_from": "2026-03-01",
        "baseline_to": "2026-03-09",
    }
    assert document["segment"] == {"dimension": "product:KT-EL08", "label": "電熱壺"}
