"""tagging.explain_assignment: why a content has a tag, and what keeps a tag away."""

from __future__ import annotations

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import Tag
from tagging_orchestration.storage.history import Explanation, explain_assignment
from tagging_orchestration.storage.versions import PostgresTaggerVersionStore
from tests.storage.builders import add_contents, add_tags, assignment, publish
from tests.storage.test_feedback import ADD, REJECT, say, stage


@pytest.fixture
def threshold(pool: ConnectionPool) -> float:
    """The threshold of the version that `stage` uses."""
    PostgresTaggerVersionStore(pool).ensure({"code": 1})
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.tagger_versions"
            """ SET components = components || '{"parameters": {"min_confidence": 0.3}}'"""
        )
    return 0.3


def why(pool: ConnectionPool, content: int, tag: Tag) -> Explanation:
    return explain_assignment(pool, content, tag.id)


def test_an_assigned_tag(pool: ConnectionPool, threshold: float) -> None:
    (content,) = add_contents(pool, "陶藝")
    (tag,) = add_tags(pool, "陶藝")
    stage(pool, content, (tag, 0.6))
    publish(pool, {content: [assignment(tag, 0.6)]})
    found = why(pool, content, tag)
    assert (found.reason, found.generators) == ("assigned", ["keyphrase"])
    assert found.threshold == pytest.approx(threshold)
    assert found.effects == {"base": -1.0, "place": 0.5}
    # Without the place only the base is left: sigmoid(-1).
    assert found.without == {"place": pytest.approx(0.2689, abs=1e-4)}


def test_what_keeps_a_tag_away(pool: ConnectionPool, threshold: float) -> None:
    content, waiting, untagged = add_contents(pool, "one", "two", "three")
    names = ("red glaze", "glaze", "kiln", "weak", "unheard", "rejected", "blocked")
    whole, part, crowded, weak, unheard, rejected, blocked = add_tags(pool, *names)
    stage(pool, content, (whole, 0.9), (part, 0.8), (crowded, 0.7), (weak, 0.1), (rejected, 0.5), (blocked, 0.5))
    publish(pool, {content: [assignment(whole, 0.9)]})
    say(pool, REJECT, content, "rejected", reviewer="mei", note="不是")
    with pool.connection() as connection:
        connection.execute("UPDATE tagging.tags SET status = 'blocked' WHERE id = %s", [blocked.id])
    stage(pool, waiting, (crowded, 0.7))
    reasons = {tag.name: why(pool, content, tag).reason for tag in (whole, part, crowded, weak, unheard)}
    assert reasons == {
        "red glaze": "assigned",
        "glaze": "part of red glaze",
        "kiln": "crowded out",
        "weak": "below the threshold",
        "unheard": "not proposed",
    }
    assert why(pool, content, rejected).reason == "rejected by mei"
    assert [(said["kind"], said["note"]) for said in why(pool, content, rejected).feedback] == [("reject", "不是")]
    assert why(pool, content, blocked).reason == "tag is blocked"
    assert why(pool, waiting, crowded).reason == "waits for re-tagging"
    assert why(pool, untagged, crowded).reason == "not tagged yet"
    assert why(pool, 10**9, crowded).reason == "content is gone"


def test_the_classifiers_own_threshold_counts(pool: ConnectionPool, threshold: float) -> None:
    (content,) = add_contents(pool, "one")
    (tag,) = add_tags(pool, "kiln")
    stage(pool, content, (tag, 0.4))
    publish(pool, {content: []})
    assert why(pool, content, tag).reason == "crowded out"
    with pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.generated_tags"
            """ SET proposals = jsonb_set(proposals, '{0,features}', '{"classifier_threshold": 0.5}')"""
        )
    found = why(pool, content, tag)
    assert (found.reason, found.threshold) == ("below the threshold", 0.5)


def test_a_tag_that_a_person_added(pool: ConnectionPool) -> None:
    (content,) = add_contents(pool, "one")
    said = say(pool, ADD, content, "idea")
    assert said.tag_id is not None
    found = explain_assignment(pool, content, said.tag_id)
    assert (found.reason, found.method, found.origin, found.proposal) == ("assigned", "feedback", "human", None)
    assert found.generators == ["feedback"]
