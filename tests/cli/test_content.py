"""Content to tags, tags to contents, why, and when; on the screen and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tagging_orchestration.core.models import EmbeddingRow
from tagging_orchestration.storage.embeddings import PostgresEmbeddingStore
from tests.cli.conftest import Shop, Tagging, data
from tests.storage.builders import assignment, publish

YESTERDAY_OF_ALL = "2026-01-01"


def test_tags_of_a_content_by_id_and_by_name(tagging: Tagging, shop: Shop):
    by_id = data(tagging("tags", str(shop.contents["kettle-1"]), "--json"))
    by_name = data(tagging("tags", "sample:kettle-1", "--json"))
    assert by_id == by_name
    assert by_name["content"]["external_id"] == "kettle-1"
    assert [(tag["name"], tag["confidence"], tag["origin"]) for tag in by_name["tags"]] == [
        ("kettle", 1.0, "human"),
        ("pour over", pytest.approx(0.8), "machine"),
    ]


def test_an_external_id_may_hold_colons(tagging: Tagging, shop: Shop):
    assert data(tagging("tags", "sample:ticket:7", "--json"))["content"]["id"] == shop.contents["ticket:7"]


def test_tags_are_shown_with_their_reasons(tagging: Tagging, shop: Shop):
    result = tagging("tags", "sample:kettle-2")
    assert result.exit_code == 0
    assert "手沖壺" in result.stdout
    assert "key phrase “手沖咖啡” in the text" in result.stdout


def test_tags_as_of_a_time_before_there_were_any(tagging: Tagging, shop: Shop):
    assert data(tagging("tags", "sample:kettle-1", "--as-of", YESTERDAY_OF_ALL, "--json"))["tags"] == []


def test_tags_as_of_today_include_today(tagging: Tagging, shop: Shop):
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert len(data(tagging("tags", "sample:kettle-1", "--as-of", today, "--json"))["tags"]) == 2


@pytest.mark.parametrize("name", ["sample:nothing", "999999", "kettle-9"])
def test_an_unknown_content_ends_with_3(tagging: Tagging, shop: Shop, name: str):
    result = tagging("tags", name, "--json")
    assert result.exit_code == 3
    assert name in result.stderr
    assert "source:external_id" in result.stderr
    assert result.stdout == ""


def test_an_unknown_tag_ends_with_3_and_offers_the_nearest(tagging: Tagging, shop: Shop):
    result = tagging("find", "pour ovr")
    assert result.exit_code == 3
    assert "did you mean 'pour over'" in result.stderr


def found(result) -> set[str]:
    return {row["external_id"] for row in data(result)["contents"]}


def test_contents_of_a_tag_by_name_case_and_id(tagging: Tagging, shop: Shop):
    for name in ("kettle", "Kettle", str(shop.tags["kettle"].id)):
        assert found(tagging("find", name, "--json")) == {"kettle-1", "kettle-2"}
    assert found(tagging("find", "手沖咖啡", "--json")) == {"kettle-2"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--since", "2026-02"], {"kettle-2"}),
        (["--until", "2026-01-10"], {"kettle-1"}),
        (["--until", "2026-01-09"], set()),
        (["--min-confidence", "0.5"], {"kettle-1"}),
        (["--source", "sample"], {"kettle-1", "kettle-2"}),
        (["--source", "other"], set()),
        (["--limit", "1"], {"kettle-1"}),
        (["--as-of", YESTERDAY_OF_ALL], set()),
    ],
)
def test_filters_of_find(tagging: Tagging, shop: Shop, filters, expected):
    assert found(tagging("find", "kettle", *filters, "--json")) == expected


def test_find_takes_the_children_along(tagging: Tagging, own_shop: Shop):
    with own_shop.pool.connection() as connection:
        connection.execute(
            "UPDATE tagging.tags SET parent_id = %s WHERE id = %s",
            [own_shop.tags["unused"].id, own_shop.tags["late delivery"].id],
        )
    assert found(tagging("find", "unused", "--json")) == set()
    assert found(tagging("find", "unused", "--children", "--json")) == {"ticket:7"}


def test_find_shows_titles_and_dates(tagging: Tagging, shop: Shop):
    result = tagging("find", "kettle")
    assert "Gooseneck kettle" in result.stdout
    assert "2026-01-10" in result.stdout
    assert "2 contents" in result.stdout


def test_explain_says_who_why_and_since_when(tagging: Tagging, shop: Shop):
    explained = data(tagging("explain", "sample:kettle-1", "kettle", "--json"))
    assert explained["why"]["method"] == "given"
    assert [event["event_type"] for event in explained["why"]["events"]] == ["associated"]
    shown = tagging("explain", "sample:kettle-1", "kettle").stdout
    assert "by people" in shown
    assert "associated" in shown


def test_explain_a_tag_that_the_content_does_not_have(tagging: Tagging, shop: Shop):
    result = tagging("explain", "sample:kettle-1", "unused")
    assert result.exit_code == 0
    assert "does not have the tag unused" in result.stdout


def test_history_of_a_content_and_of_a_tag(tagging: Tagging, own_shop: Shop):
    publish(own_shop.pool, {own_shop.contents["kettle-2"]: [assignment(own_shop.tags["手沖咖啡"], 0.5)]})
    events = data(tagging("history", "sample:kettle-2", "--json"))["events"]
    assert [(event["event_type"], event["name"]) for event in events][-2:] == [
        ("dissociated", "kettle"),
        ("associated", "手沖咖啡"),
    ] or {event["event_type"] for event in events[-2:]} == {"dissociated", "associated"}
    by_tag = data(tagging("history", "手沖咖啡", "--json"))
    assert by_tag["tag"]["name"] == "手沖咖啡"
    assert by_tag["events"][0]["event_type"] == "created"
    shown = tagging("history", "sample:kettle-2").stdout
    assert "0.90 → 0.50" in shown


def test_history_ends_with_as_of(tagging: Tagging, shop: Shop):
    assert data(tagging("history", "kettle", "--as-of", YESTERDAY_OF_ALL, "--json"))["events"] == []


def test_history_of_neither_names_both(tagging: Tagging, shop: Shop):
    result = tagging("history", "kettel")
    assert result.exit_code == 3
    assert "no content" in result.stderr
    assert "did you mean 'kettle'" in result.stderr


def test_an_id_means_the_content_unless_told_otherwise(tagging: Tagging, shop: Shop):
    both = next(str(tag.id) for tag in shop.tags.values() if tag.id in shop.contents.values())
    assert "content" in data(tagging("history", both, "--json"))
    assert "tag" in data(tagging("history", both, "--tag", "--json"))


def test_similar_contents(tagging: Tagging, own_shop: Shop):
    store = PostgresEmbeddingStore(own_shop.pool)
    vectors = {"kettle-1": [1.0, 0.0], "kettle-2": [0.8, 0.6], "ticket:7": [0.0, 1.0]}
    with own_shop.pool.connection() as connection:
        hashes = dict(connection.execute("SELECT external_id, text_hash FROM tagging.contents").fetchall())
    store.save([EmbeddingRow("default", hashes[name], "m", unit(vector)) for name, vector in vectors.items()])
    rows = data(tagging("similar", "sample:kettle-1", "--json"))["similar"]
    assert [(row["external_id"], round(row["similarity"], 2)) for row in rows] == [
        ("kettle-2", 0.8),
        ("ticket:7", 0.0),
    ]
    assert "手沖壺" in tagging("similar", "sample:kettle-1", "--limit", "1").stdout
    assert "computes its embedding" in tagging("similar", "sample:new").stdout


def unit(vector):
    import numpy as np

    return np.array(vector, dtype=np.float32)
