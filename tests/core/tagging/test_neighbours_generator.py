"""Neighbours vote with their tags, by similarity; people's votes count more than machines'."""

from __future__ import annotations

from tagging_orchestration.core.models import Method, Neighbour, Origin, Proposal, TagStatus
from tests.core.tagging.builders import PEOPLE, make_content, make_tag, make_tagger, make_vocabulary, tag_one

VOCABULARY = make_vocabulary(
    make_tag(1, "refund", origin=PEOPLE),
    make_tag(2, "退款", origin=Origin.MACHINE),
    make_tag(3, "old", status=TagStatus.MERGED, merged_into_id=1),
    make_tag(4, "blocked", status=TagStatus.BLOCKED),
)
TAGGER = make_tagger(VOCABULARY)
BODY = make_content("The parcel came late.")


def neighbour(number: int, similarity: float, *tags: tuple[int, Origin]) -> Neighbour:
    return Neighbour(number, similarity, tuple((tag_id, 0.8, origin) for tag_id, origin in tags))


def proposals(*neighbours: Neighbour) -> dict[int | None, Proposal]:
    return {p.tag_id: p for p in tag_one(TAGGER, BODY, neighbours=neighbours).proposals if p.tag_id}


def test_a_neighbours_tag_is_proposed_with_the_neighbours_as_evidence() -> None:
    found = proposals(neighbour(11, 0.9, (1, PEOPLE)), neighbour(12, 0.6, (1, PEOPLE)), neighbour(13, 0.3))
    evidence = found[1].evidence[0]
    assert found[1].method is Method.NEIGHBOUR
    assert [item["content_id"] for item in evidence.detail["neighbours"]] == [11, 12]
    assert (evidence.detail["voters"], evidence.detail["asked"]) == (2, 3)
    assert evidence.score == round((0.81 + 0.36) / (0.81 + 0.36 + 0.09), 4)


def test_more_and_nearer_votes_raise_the_confidence() -> None:
    one = proposals(neighbour(11, 0.9, (1, PEOPLE)), neighbour(12, 0.8), neighbour(13, 0.8))
    all_three = proposals(*(neighbour(number, 0.9, (1, PEOPLE)) for number in (11, 12, 13)))
    assert all_three[1].confidence > one[1].confidence


def test_peoples_votes_count_more_than_machines() -> None:
    both = proposals(*(neighbour(number, 0.9, (1, PEOPLE), (2, Origin.MACHINE)) for number in (11, 12)))
    assert both[1].confidence > both[2].confidence


def test_votes_follow_merges_once_and_skip_blocked_tags() -> None:
    found = proposals(neighbour(11, 0.9, (3, PEOPLE), (1, PEOPLE), (4, PEOPLE)))
    assert set(found) == {1}
    assert found[1].features["votes_people"] == 1.0


def test_dissimilar_neighbours_have_no_vote() -> None:
    assert proposals(neighbour(11, 0.0, (1, PEOPLE)), neighbour(12, -0.5, (1, PEOPLE))) == {}
