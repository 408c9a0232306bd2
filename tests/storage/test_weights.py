"""Projections of use, against the same figures computed by hand."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.weights import TagUsage, tag_factor
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tagging_orchestration.storage.weights import (
    WeightReport,
    recompute_relationships,
    recompute_weights,
    strongest_relationships,
    unsound_weights,
)
from tests.storage.builders import (
    MACHINE,
    ORGANIZATION,
    add_contents,
    add_tags,
    assignment,
    differences,
    events,
    last_event,
    publish,
)

SETTINGS = VocabularySettings()
NOW = datetime.now(UTC)


def weights(pool: ConnectionPool) -> dict[tuple[int, int], float]:
    with pool.connection() as connection:
        rows = connection.execute("SELECT content_id, tag_id, weight FROM tagging.content_tags")
        return {(content, tag): weight for content, tag, weight in rows}


def test_weights_follow_the_formula(pool: ConnectionPool) -> None:
    old, new, newest = add_contents(pool, "old", "new", "新")
    rare, common, unused = add_tags(pool, "rare", "common", "unused")
    with pool.connection() as connection:
        for content, days in ((old, 400), (new, 30), (newest, 10)):
            connection.execute(
                "UPDATE tagging.contents SET created_at = %s WHERE id = %s", [NOW - timedelta(days=days), content]
            )
    publish(
        pool,
        {old: [assignment(rare, 0.9)], new: [assignment(common, 0.5)], newest: [assignment(common, 0.7)]},
    )

    report = recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE)

    reference = NOW - timedelta(days=10)
    rare_factor = tag_factor(TagUsage(rare.id, 1, NOW - timedelta(days=400), 0.9), reference, SETTINGS)
    common_factor = tag_factor(TagUsage(common.id, 2, reference, 0.6), reference, SETTINGS)
    assert rare_factor == pytest.approx(math.exp(-0.005 * 390) * (1 + 0.15 * math.log(2)))
    assert common_factor == pytest.approx(1 + 0.15 * math.log(3))
    assert weights(pool) == pytest.approx(
        {(old, rare.id): 0.9 * rare_factor, (new, common.id): 0.5 * common_factor,
         (newest, common.id): 0.7 * common_factor}
    )  # fmt: skip
    assert report == WeightReport(tags=3, assignments_changed=3)
    tags = PostgresVocabularyStore(pool).load(ORGANIZATION).tags
    assert (tags[common.id].usage_count, tags[common.id].factor) == (2, pytest.approx(common_factor))
    assert (tags[unused.id].usage_count, tags[unused.id].factor) == (0, 1.0)
    assert unsound_weights(pool) == 0
    assert differences(pool) == []


def test_small_moves_write_no_event(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *"abcdefgh")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)] for content in contents[:7]})
    recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE)
    assert recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE).assignments_changed == 0
    publish(pool, {contents[7]: [assignment(tag)]})
    before = last_event(pool)

    # One more use moves the factor by 1 %; only the new assignment, which has not got it yet, is rewritten.
    assert recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE).assignments_changed == 1
    assert events(pool, before) == [("weight_changed", tag.id, contents[7])]


def test_retired_tags_leave_the_projection(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "a")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {content: [assignment(tag)]})
    recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE)
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET status = 'retired'")
    assert recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE) == WeightReport(0, 0)
    with pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM tagging.tag_weights").fetchone() == (0,)


def test_assignments_in_use_are_left_for_the_next_time(pool: ConnectionPool) -> None:
    held, free = add_contents(pool, "a", "b")
    (tag,) = add_tags(pool, "glaze")
    publish(pool, {held: [assignment(tag)], free: [assignment(tag)]})
    with pool.connection() as other:
        other.execute("SELECT FROM tagging.content_tags WHERE content_id = %s FOR UPDATE", [held])
        assert recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE).assignments_changed == 1
    assert recompute_weights(pool, SETTINGS, now=NOW, context=MACHINE).assignments_changed == 1


def relationships(pool: ConnectionPool) -> dict[tuple[int, int], tuple[int, float, float]]:
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT tag_id, related_tag_id, co_occurrences, correlation, npmi FROM tagging.tag_relationships"
        )
        return {(one, other): (count, round(share, 6), round(npmi, 6)) for one, other, count, share, npmi in rows}


def expected(carried: dict[int, set[int]]) -> dict[tuple[int, int], tuple[int, float, float]]:
    uses = Counter(tag for tags in carried.values() for tag in tags)
    pairs = Counter(pair for tags in carried.values() for pair in combinations(sorted(tags), 2))
    contents = sum(1 for tags in carried.values() if tags)
    result = {}
    for (one, other), count in pairs.items():
        together = count / contents
        pmi = math.log(together / (uses[one] / contents * uses[other] / contents))
        npmi = 1.0 if together == 1 else pmi / -math.log(together)
        result[one, other] = (count, round(count / uses[other], 6), round(npmi, 6))
        result[other, one] = (count, round(count / uses[one], 6), round(npmi, 6))
    return result


def test_relationships_full_and_incremental(pool: ConnectionPool) -> None:
    contents = add_contents(pool, *"abcdef")
    tags = add_tags(pool, "glaze", "kiln", "陶土", "mug")
    one, two, three, four = (tag.id for tag in tags)
    by_id = {tag.id: tag for tag in tags}
    carried = dict(
        zip(contents, [{one, two}, {one, two, three}, {one, two}, {three}, {one, three}, {four}], strict=True)
    )
    publish(pool, {content: [assignment(by_id[tag]) for tag in found] for content, found in carried.items()})
    assert recompute_relationships(pool) == 3
    assert relationships(pool) == expected(carried)
    (strongest,) = strongest_relationships(pool, 10)
    assert (strongest.tag, strongest.related, strongest.co_occurrences) == ("glaze", "kiln", 3)

    carried |= {contents[1]: {one, four}, contents[3]: {three, four}, contents[0]: {one, two, four}}
    publish(pool, {content: [assignment(by_id[tag]) for tag in found] for content, found in carried.items()})
    assert recompute_relationships(pool, everything=False) == len(expected(carried)) / 2
    assert relationships(pool) == expected(carried)


def test_tags_on_every_content_belong_together(pool: ConnectionPool) -> None:
    contents = add_contents(pool, "a", "b")
    tags = add_tags(pool, "one", "two")
    publish(pool, {content: [assignment(tag) for tag in tags] for content in contents})
    recompute_relationships(pool)
    assert {npmi for _, _, npmi in relationships(pool).values()} == {1.0}
