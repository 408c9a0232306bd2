"""Rules demand tags, lists allow and block them, and mistakes in the file are named."""

from __future__ import annotations

from typing import Any

import pytest

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.models import Content, Method
from tagging_orchestration.core.tagging.rules import RuleSet, parse_rules
from tests.core.tagging.builders import (
    PEOPLE,
    make_content,
    make_tag,
    make_tagger,
    make_vocabulary,
    names,
    tag_one,
)


def fires(rule: dict[str, Any], content: Content) -> bool:
    rules = parse_rules({"rules": [{"id": "r", "tag": "late delivery", **rule}]}, "rules.yaml")
    proposals = tag_one(make_tagger(rules=rules), content).proposals
    return any(item.detail.get("rule") == "r" for proposal in proposals for item in proposal.evidence)


TICKET = make_content("Two mugs were broken when the box came.", "My refunds are late", content_type="ticket")
CHINESE = make_content("陶器壞了，我要退貨。", source="shop")


@pytest.mark.parametrize(
    ("rule", "content", "expected"),
    [
        ({"any": ["refund", "money back"]}, TICKET, True),
        ({"any": ["money back"]}, TICKET, False),
        ({"all": ["refund", "mug"]}, TICKET, True),
        ({"all": ["refund", "kiln"]}, TICKET, False),
        ({"any": ["mug"], "none": ["refund"]}, TICKET, False),
        ({"any": ["mug"], "fields": ["title"]}, TICKET, False),
        ({"any": ["mug"], "content_types": ["ticket"]}, TICKET, True),
        ({"any": ["mug"], "content_types": ["review"]}, TICKET, False),
        ({"any": ["退貨"]}, CHINESE, True),
        ({"any": ["退货"]}, CHINESE, True),
        ({"any": ["退貨"], "languages": ["zh"]}, CHINESE, True),
        ({"any": ["退貨"], "languages": ["en"]}, CHINESE, False),
        ({"sources": ["shop"]}, CHINESE, True),
        ({"sources": ["shop"]}, TICKET, False),
        ({"pattern": r"\bbox\b"}, TICKET, True),
        ({"pattern": r"\bbox\b", "fields": ["title"]}, TICKET, False),
        ({"any": ["fun"]}, TICKET, False),
    ],
)
def test_a_rule_holds_when_all_its_conditions_do(rule: dict[str, Any], content: Content, expected: bool) -> None:
    assert fires(rule, content) is expected


def test_a_rule_decides_the_confidence_and_says_which_words_it_saw() -> None:
    rules = parse_rules({"rules": [{"id": "late", "tag": "延遲", "any": ["refund"], "confidence": 0.9}]}, "r")
    proposal = tag_one(make_tagger(rules=rules), TICKET).proposals[0]
    assert (proposal.name, proposal.confidence, proposal.method) == ("延遲", 0.9, Method.RULE)
    detail = proposal.evidence[0].detail
    assert detail == {
        "rule": "late",
        "field": "title",
        "start": 3,
        "end": 10,
        "text": "refunds",
        "words": ["refund"],
    }


def test_a_rule_reuses_the_existing_tag() -> None:
    rules = parse_rules({"rules": [{"id": "late", "tag": "Late-Delivery", "any": ["refund"]}]}, "r")
    tagger = make_tagger(make_vocabulary(make_tag(7, "late delivery", origin=PEOPLE)), rules)
    proposal = tag_one(tagger, TICKET).proposals[0]
    assert (proposal.tag_id, proposal.name) == (7, "late delivery")


def test_blocked_names_win_over_everything() -> None:
    rules = RuleSet(block=("Broken Mug", "退貨", "urgent"))
    rules = rules.model_copy(update={"rules": parse_rules(_urgent(), "r").rules})
    english = make_content("A broken mug, broken mugs.", given_tags=("urgent", "pottery"))
    assert {"broken mug", "broken mugs", "urgent"}.isdisjoint(names(tag_one(make_tagger(rules=rules), english)))
    assert "pottery" in names(tag_one(make_tagger(rules=rules), english))
    assert "退貨" not in names(tag_one(make_tagger(rules=rules), make_content("退货和退貨")))


def test_allowed_names_are_found_whatever_they_look_like() -> None:
    rules = RuleSet(allow=("24/7", "Monday"))
    proposed = names(tag_one(make_tagger(rules=rules), make_content("We answer 24/7, on Monday too.")))
    assert {"24/7", "Monday"} <= set(proposed)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"rules": [{"id": "a", "tag": "x"}]}, ["rule 1 (a)", "no condition"]),
        ({"rules": [{"id": "a", "tag": "x", "any": ["y"], "colour": 1}]}, ["rule 1 (a), colour"]),
        ({"rules": [{"tag": "x", "any": ["y"]}]}, ["rule 1, id", "Field required"]),
        ({"rules": [{"id": "a", "tag": "x", "pattern": "("}]}, ["rule 1 (a)", "no regular expression"]),
        ({"rules": [{"id": "a", "tag": "x", "any": ["y"], "confidence": 2}]}, ["rule 1 (a), confidence"]),
        ({"rules": [{"id": "a", "tag": "x", "any": ["y"]}] * 2}, ["doubled: a"]),
        ({"rules": ["x"]}, ["rule 1"]),
        ({"allow": ["x"], "block": ["x"]}, ["both allowed and blocked: x"]),
        ({"blok": []}, ["blok"]),
        ([], ["top level must be a mapping"]),
    ],
)
def test_mistakes_name_the_file_and_the_rule(data: object, expected: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(data, "team/rules.yaml")
    for part in ["team/rules.yaml", *expected]:
        assert part in str(caught.value)


def test_an_empty_file_is_an_empty_rule_set() -> None:
    assert parse_rules(None, "rules.yaml") == RuleSet()


def test_the_fingerprint_follows_the_rules() -> None:
    one, other = parse_rules(_urgent(), "r"), parse_rules(_urgent(confidence=0.5), "r")
    assert one.fingerprint == parse_rules(_urgent(), "elsewhere").fingerprint
    assert one.fingerprint != other.fingerprint


def _urgent(**more: object) -> dict[str, Any]:
    return {"rules": [{"id": "u", "tag": "urgent", "any": ["broken"], **more}]}
