"""How pairs become groups."""

from __future__ import annotations

import numpy as np

from tagging_orchestration.core.vocabulary.clusters import AverageLink


def linked(pairs: dict[tuple[int, int], float], size: int, apart: tuple[tuple[int, int], ...] = ()) -> AverageLink:
    first, second = np.array(list(pairs)).T
    return AverageLink(size, first, second, np.array(list(pairs.values())), apart)


def test_groups_join_by_their_mean_likeness() -> None:
    groups = linked({(0, 1): 0.9, (1, 2): 0.8, (3, 4): 0.3}, 6)
    groups.join(0.5)
    # 2 is like 1 only: on average 0.4 like the two.
    assert groups.groups() == [[0, 1], [2], [3], [4], [5]]
    groups.join(0.3)
    assert groups.groups() == [[0, 1, 2], [3, 4], [5]]


def test_the_likest_join_first() -> None:
    groups = linked({(0, 1): 0.6, (1, 2): 0.9}, 3)
    groups.join(0.5)
    assert groups.groups() == [[0], [1, 2]]


def test_what_must_stay_apart_stays_apart_through_others() -> None:
    groups = linked({(0, 1): 0.9, (1, 2): 0.9, (0, 2): 0.9}, 3, apart=((0, 2),))
    groups.join(0.1)
    assert groups.groups() in ([[0, 1], [2]], [[0], [1, 2]])


def test_groups_given_beforehand_stay_whole() -> None:
    groups = linked({(0, 2): 0.9, (1, 2): 0.1}, 3)
    groups.start([[0, 1]])
    groups.join(0.45)
    assert groups.groups() == [[0, 1, 2]]
