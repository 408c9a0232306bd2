"""A trained classifier in the tagger: its probability is the confidence, its thresholds decide."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tagging_orchestration.core.models import (
    Decision,
    GeneratedTags,
    Method,
    Proposal,
    Tag,
    TaggerInput,
    TagStatus,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.quality import decision_faults, proposal_faults
from tagging_orchestration.core.tagging.classifier.model import TagClassifier
from tagging_orchestration.core.tagging.classifier.training import train_classifier
from tagging_orchestration.core.tagging.explanation import CLASSIFIER, explain
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.selection import CLASSIFIER_THRESHOLD, select
from tagging_orchestration.core.tagging.tagger import Tagger
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tests.core.tagging.builders import (
    LANGUAGE,
    NORMALISER,
    PEOPLE,
    WEIGHTS,
    count,
    make_content,
    make_tag,
    make_vocabulary,
)
from tests.core.tagging.classifier.builders import CHINESE_TOPICS, TOPICS, corpus, profiles

NAMES = [*TOPICS, *CHINESE_TOPICS, "pottery wheel"]
TAGS = [make_tag(number, name, origin=PEOPLE) for number, name in enumerate(NAMES, start=1)]
IDS = {tag.name: tag.id for tag in TAGS}
GLAZING = make_content("kiln glaze cone and a matte bisque")


@pytest.fixture(scope="module")
def classifier() -> TagClassifier:
    english, labels = corpus(80)
    chinese, more = corpus(60, CHINESE_TOPICS)
    keyed = [{str(IDS[name]) for name in wanted} for wanted in [*labels, *more]]
    tags = [replace(profile, key=str(IDS[profile.key])) for profile in profiles(*NAMES)]
    return train_classifier([*english, *chinese], keyed, tags, LANGUAGE)


def tagger(classifier: TagClassifier | None, vocabulary: Vocabulary | None = None, **parameters: Any) -> Tagger:
    return Tagger(
        parameters=TaggerSettings(**parameters),
        language=LANGUAGE,
        normaliser=NORMALISER,
        vocabulary=vocabulary or make_vocabulary(*TAGS),
        rules=RuleSet(),
        corpus=count("kiln glaze", "parcel"),
        weights=WEIGHTS,
        classifier=classifier,
    )


def by_name(generated: GeneratedTags) -> dict[str, Proposal]:
    return {proposal.name: proposal for proposal in generated.proposals}


def test_proposes_tags_whose_names_are_not_in_the_text(classifier: TagClassifier) -> None:
    (generated,) = tagger(classifier).tag([TaggerInput(GLAZING)])
    best = generated.proposals[0]
    assert (best.name, best.method) == ("glazing", Method.CLASSIFIER)
    assert best.confidence > 0.5
    (evidence,) = [item for item in best.evidence if item.method is Method.CLASSIFIER]
    assert evidence.detail["version"] == classifier.version
    assert evidence.detail["scores"]["words"] > 0
    assert proposal_faults(generated) == []
    assert "glazing" not in by_name(tagger(None).tag([TaggerInput(GLAZING)])[0])


def test_chinese_too(classifier: TagClassifier) -> None:
    (generated,) = tagger(classifier).tag([TaggerInput(make_content("燒製陶器的釉和窯"))])
    assert generated.proposals[0].name == "陶藝"


def test_the_confidence_is_explained_by_kind_of_evidence(classifier: TagClassifier) -> None:
    best = tagger(classifier).tag([TaggerInput(GLAZING)])[0].proposals[0]
    told = explain(best, WEIGHTS)
    log_odds = told.base + sum(item.effect for item in told.contributions)
    assert best.confidence == pytest.approx(1 / (1 + math.exp(-log_odds)), abs=1e-3)
    assert told.contributions[0].meaning
    assert {item.feature for item in told.contributions} >= {"classifier_words", "classifier_examples"}


def test_a_tag_with_few_examples_stays_with_the_ranker(classifier: TagClassifier) -> None:
    content = make_content("my pottery wheel wobbles", "A pottery wheel")
    proposal = by_name(tagger(classifier).tag([TaggerInput(content)])[0])["pottery wheel"]
    assert CLASSIFIER not in proposal.features
    assert proposal.method is Method.VOCABULARY
    closed = by_name(tagger(classifier, closed_vocabulary=True).tag([TaggerInput(content)])[0])["pottery wheel"]
    assert CLASSIFIER in closed.features


def test_a_closed_vocabulary_proposes_no_new_tags_but_keeps_given_ones(classifier: TagClassifier) -> None:
    content = replace(GLAZING, given_tags=("studio",))
    (generated,) = tagger(classifier, closed_vocabulary=True).tag([TaggerInput(content)])
    assert {p.name for p in generated.proposals if p.tag_id is None} == {"studio"}
    assert any(p.tag_id is None for p in tagger(classifier).tag([TaggerInput(GLAZING)])[0].proposals)


def test_merged_tags_are_followed_and_blocked_ones_left_out(classifier: TagClassifier) -> None:
    merged = [
        replace(tag, status=TagStatus.MERGED, merged_into_id=99) if tag.name == "glazing" else tag for tag in TAGS
    ]
    vocabulary = make_vocabulary(*merged, make_tag(99, "glazes"))
    assert tagger(classifier, vocabulary).tag([TaggerInput(GLAZING)])[0].proposals[0].name == "glazes"
    blocked = [replace(tag, status=TagStatus.BLOCKED) if tag.name == "glazing" else tag for tag in TAGS]
    assert "glazing" not in by_name(tagger(classifier, make_vocabulary(*blocked)).tag([TaggerInput(GLAZING)])[0])


def judged(tag: Tag, confidence: float, threshold: float | None) -> Proposal:
    features = {} if threshold is None else {CLASSIFIER_THRESHOLD: threshold}
    return Proposal(tag.name, tag.normal_form, confidence, Method.CLASSIFIER, tag.origin, (), tag.id, features)


def chosen(proposals: list[Proposal], **parameters: Any) -> set[str]:
    generated = GeneratedTags(1, "default", "i", "en", tuple(replace(p, origin="machine") for p in proposals))
    return {a.name for a in select(generated, make_vocabulary(*TAGS), TaggerSettings(**parameters))}


def test_thresholds_of_the_classifier_stand_for_min_confidence() -> None:
    first, second, third, *_ = TAGS
    proposals = [judged(first, 0.9, 0.3), judged(second, 0.25, 0.3), judged(third, 0.6, None)]
    assert chosen(proposals, min_tags=0, min_confidence=0.1) == {first.name, third.name}


def test_with_a_closed_vocabulary_thresholds_alone_decide() -> None:
    proposals = [judged(tag, 0.5, 0.4) for tag in TAGS[:5]] + [judged(TAGS[5], 0.39, 0.4)]
    assert chosen(proposals, min_tags=2, max_tags=3, closed_vocabulary=True) == {tag.name for tag in TAGS[:5]}
    assert chosen(proposals[-1:], min_tags=2, closed_vocabulary=True) == set()
    assert len(chosen(proposals, min_tags=2, max_tags=3)) == 3


def test_many_tags_are_no_fault_of_a_closed_vocabulary() -> None:
    generated = GeneratedTags(
        1, "default", "i", "en", tuple(replace(judged(tag, 0.9, 0.4), origin="machine") for tag in TAGS[:5])
    )
    closed = TaggerSettings(closed_vocabulary=True, max_tags=3)
    decision = Decision(1, "default", "i", select(generated, make_vocabulary(*TAGS), closed))
    told = [fault for fault in decision_faults(decision, closed) if "machine tags" in fault]
    assert told == []
    assert any("machine tags" in fault for fault in decision_faults(decision, TaggerSettings(max_tags=3)))
