"""What moved a confidence, what would have changed a decision, and why a tag was not chosen."""

from __future__ import annotations

import pytest

from tagging_orchestration.core.models import Proposal, TagStatus
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.calibration import Calibration
from tagging_orchestration.core.tagging.explanation import (
    BASE,
    CALIBRATION,
    RULE,
    effects,
    explain,
    what_if,
    why_not,
)
from tagging_orchestration.core.tagging.ranking import log_odds
from tagging_orchestration.core.tagging.rules import Rule, RuleSet
from tests.core.tagging.builders import (
    WEIGHTS,
    make_content,
    make_tag,
    make_tagger,
    make_vocabulary,
    tag_one,
)

TEXT = "The kiln fired the glaze. 陶藝 glaze on mugs, from the kiln."


def proposals(**more) -> tuple[Proposal, ...]:
    vocabulary = make_vocabulary(make_tag(1, "glaze"), make_tag(2, "陶藝"))
    return tag_one(make_tagger(vocabulary, **more), make_content(TEXT, "Kiln")).proposals


def test_effects_add_up_to_the_confidence() -> None:
    for proposal in proposals():
        assert 1e-6 < proposal.confidence < 1 - 1e-6
        assert sum(proposal.effects.values()) == pytest.approx(log_odds(proposal.confidence), abs=0.01)
        assert "vocabulary" in proposal.effects or proposal.tag_id is None


def test_effects_of_a_rule_add_up_too() -> None:
    rule = Rule(id="r", tag="glaze", any=("glaze",), confidence=0.95)
    vocabulary = make_vocabulary(make_tag(1, "glaze"))
    tagger = make_tagger(vocabulary, RuleSet(rules=(rule,)))
    (found,) = [item for item in tag_one(tagger, make_content(TEXT)).proposals if item.name == "glaze"]
    assert found.confidence == 0.95
    assert found.effects[RULE] > 0
    assert sum(found.effects.values()) == pytest.approx(log_odds(0.95), abs=0.01)


def test_calibration_is_one_of_the_effects() -> None:
    from tests.core.tagging import builders

    calibration = Calibration("v", bias=-1.0, tags={"陶藝": -0.5})
    plain = {item.normal_form: item for item in proposals()}
    tagger = make_tagger(make_vocabulary(make_tag(1, "glaze"), make_tag(2, "陶藝")))
    tagger._calibration = calibration
    for item in builders.tag_one(tagger, make_content(TEXT, "Kiln")).proposals:
        before = plain[item.normal_form]
        expected = -1.5 if item.normal_form == "陶藝" else -1.0
        assert item.effects[CALIBRATION] == pytest.approx(expected)
        assert log_odds(item.confidence) == pytest.approx(log_odds(before.confidence) + expected, abs=0.01)
        told = explain(item, WEIGHTS)
        total = told.base + sum(part.effect for part in told.contributions)
        assert total == pytest.approx(log_odds(item.confidence), abs=0.01)


def test_unknown_features_count_as_wording() -> None:
    found = effects({"in_title": 1.0}, WEIGHTS.blend(0.0))
    assert set(found) == {BASE, "place"}


def proposal(confidence: float, told: dict[str, float]) -> Proposal:
    return Proposal("x", "x", confidence, None, None, (), None, {}, told)  # pyright: ignore[reportArgumentType]


def test_what_would_have_changed_a_decision() -> None:
    told = {BASE: -2.0, "place": 1.5, "neighbours": 1.0, "wording": -0.5}
    chosen = what_if(proposal(0.5, told), 0.3)
    assert [(item.without, item.turns) for item in chosen] == [(("place",), True), (("neighbours",), True)]
    assert chosen[0].confidence == pytest.approx(0.1824, abs=1e-3)
    both = what_if(proposal(0.5, told), 0.1)
    assert [(item.without, item.turns) for item in both] == [
        (("place",), False),
        (("neighbours",), False),
        (("place", "neighbours"), True),
    ]
    refused = what_if(proposal(0.5, told), 0.6)
    assert [(item.without, item.turns) for item in refused] == [(("wording",), True)]
    assert what_if(proposal(1.0, {}), 0.3) == []


def test_why_not() -> None:
    tags = [make_tag(number, name) for number, name in enumerate(("glaze", "陶藝", "kiln", "unheard"), start=1)]
    blocked = make_tag(9, "spam", status=TagStatus.BLOCKED)
    long = make_tag(8, "red glaze")
    vocabulary = make_vocabulary(*tags, blocked, long)
    generated = tag_one(make_tagger(vocabulary), make_content("The red glaze of the kiln. 陶藝 in red glaze."))
    wide = TaggerSettings(max_tags=10, min_tags=1, min_confidence=0.0)

    def reason(tag: int, settings: TaggerSettings = wide, verdicts: dict[int, bool] | None = None) -> str | None:
        found = why_not(generated, tag, vocabulary, settings, verdicts or {})
        return found.reason if found else None

    assert reason(8) is None
    assert reason(9) == "tag is blocked"
    assert reason(4) == "not proposed"
    assert reason(8, verdicts={8: False}) == "rejected"
    assert reason(1) == "part of another tag"
    assert reason(3, TaggerSettings(max_tags=1, min_tags=0, min_confidence=0.0)) == "crowded out"
    assert reason(3, TaggerSettings(min_tags=0, min_confidence=1.0)) == "below the threshold"
    late = why_not(None, 1, vocabulary, wide, {})
    assert late is not None
    assert late.reason == "not tagged yet"
