"""Broader tags and splits that are proposed."""

from __future__ import annotations

import numpy as np
import pytest

from tagging_orchestration.core.models import Tag
from tagging_orchestration.core.vocabulary.hierarchy import find_broader
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.split import MIN_CONTENTS, TaggedContents, find_split
from tagging_orchestration.core.vocabulary.usage import CoUsage


def tags(*names: str, **parents: int) -> list[Tag]:
    return [
        Tag(number, "o", name, name, parent_id=parents.get(f"_{number}")) for number, name in enumerate(names, 1)
    ]


def broader(given: list[Tag], usage: CoUsage | None = None, refused: tuple[tuple[int, int], ...] = ()):
    found = find_broader(Vocabulary("o", given), usage or CoUsage(), refused)
    return [(row.tag_id, row.parent_id) for row in found]


def test_the_nearest_name_that_ends_a_name_is_broader() -> None:
    given = tags("insurance", "health insurance", "public health insurance", "health insurance card", "an")
    assert broader(given) == [(2, 1), (3, 2)]
    assert broader(tags("保險", "健康保險", "保險費")) == [(2, 1)]


def test_contents_that_include_contents_prove_more_with_more_of_them() -> None:
    given = tags("coffee", "espresso", "tea")
    usage = CoUsage({1: 200, 2: 40, 3: 60}, {(1, 2): 39, (1, 3): 5})
    (found,) = find_broader(Vocabulary("o", given), usage, ())
    assert (found.tag_id, found.parent_id) == (2, 1)
    assert found.signals == {"included": 39 / 40}
    few = find_broader(Vocabulary("o", given), CoUsage({1: 200, 2: 6}, {(1, 2): 6}), ())
    assert few[0].score < found.score
    # As often used as each other they are related, neither is broader.
    assert broader(given, CoUsage({1: 41, 2: 40}, {(1, 2): 39})) == []


def test_name_and_use_together_are_surer() -> None:
    given = tags("security", "food security")
    (by_name,) = find_broader(Vocabulary("o", given), CoUsage(), ())
    (both,) = find_broader(Vocabulary("o", given), CoUsage({1: 100, 2: 20}, {(1, 2): 20}), ())
    assert both.score > by_name.score


def test_refused_placed_and_circular_ones_are_not_proposed() -> None:
    given = tags("security", "food security")
    assert broader(given, refused=((2, 1),)) == []
    assert broader(tags("security", "food security", _2=1)) == []
    assert broader(tags("security", "food security", _1=2)) == []


def contents(groups: int, share: float = 0.3, each: int = 40, named: bool = True) -> TaggedContents:
    random = np.random.default_rng(0)
    middles = np.eye(16)[:groups].repeat(each, axis=0)
    vectors = middles + 0.15 * random.normal(size=middles.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    others = [[f"part {row // each}", "everywhere"] if named else ["everywhere"] for row in range(len(vectors))]
    return TaggedContents(7, "broad", share, np.arange(len(vectors)) + 100, vectors, others)


@pytest.mark.parametrize("groups", [2, 3])
def test_contents_of_several_kinds_are_split_by_the_tags_that_tell_them_apart(groups: int) -> None:
    found = find_split(contents(groups))
    assert found is not None
    assert {part.name for part in found.parts} == {f"part {number}" for number in range(groups)}
    by_name = {part.name: set(part.content_ids) for part in found.parts}
    assert by_name["part 0"] == set(range(100, 140))
    assert 0 < found.score <= 1


def test_contents_of_one_kind_or_without_names_are_left_whole() -> None:
    assert find_split(contents(1, each=100)) is None
    assert find_split(contents(2, named=False)) is None
    assert find_split(contents(2, share=0.01)) is None
    assert find_split(contents(2, each=MIN_CONTENTS // 2 - 1)) is None
