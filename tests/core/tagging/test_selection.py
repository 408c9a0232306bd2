"""Selection keeps people's tags, resolves through the vocabulary, and stays within its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tagging_orchestration.core.models import (
    Decision,
    Evidence,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
    TagStatus,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.quality import decision_faults
from tagging_orchestration.core.tagging.selection import select
from tests.core.tagging.builders import NORMALISER, PEOPLE, make_tag, make_vocabulary


def proposal(name: str, confidence: float, tag_id: int | None = None, *, given: bool = False) -> Proposal:
    return Proposal(
        name,
        NORMALISER.normal_form(name),
        1.0 if given else confidence,
        Method.GIVEN if given else Method.KEYPHRASE,
        Origin.HUMAN if given else Origin.MACHINE,
        (Evidence(Method.KEYPHRASE, 0.5),),
        tag_id,
    )


def generated(*proposals: Proposal) -> GeneratedTags:
    return GeneratedTags(1, "default", "i", "en", proposals)


WORDS = [f"word{number}" for number in range(30)]
VOCABULARY = make_vocabulary(
    *(make_tag(number, word) for number, word in enumerate(WORDS, start=1)),
    make_tag(101, "machine learning", origin=PEOPLE, factor=2.0),
    make_tag(102, "learning"),
    make_tag(103, "機器學習"),
    make_tag(104, "學習"),
    make_tag(105, "ml", status=TagStatus.MERGED, merged_into_id=101),
    make_tag(106, "spam", status=TagStatus.BLOCKED),
    make_tag(107, "retired", status=TagStatus.RETIRED),
    make_tag(108, "glaze", origin=PEOPLE),
    make_tag(109, "blue glaze", origin=PEOPLE),
    aliases={"deep nets": 101},
)
PARAMETERS = TaggerSettings(min_tags=2, max_tags=4, min_confidence=0.3)


def chosen(*proposals: Proposal, **parameters: float) -> list[str]:
    settings = PARAMETERS.model_copy(update=parameters)
    return [assignment.name for assignment in select(generated(*proposals), VOCABULARY, settings)]


def test_unknown_blocked_and_retired_names_fall_away() -> None:
    assert chosen(
        proposal("nobody knows", 0.9), proposal("spam", 0.9), proposal("retired", 0.9), proposal("word1", 0.5)
    ) == ["word1"]


def test_names_are_resolved_through_merges_and_aliases_once() -> None:
    found = select(
        generated(proposal("deep nets", 0.6), proposal("ml", 0.8, 105), proposal("word1", 0.5)),
        VOCABULARY,
        PARAMETERS,
    )
    assert [(a.tag_id, a.name, a.confidence) for a in found] == [(101, "machine learning", 0.8), (2, "word1", 0.5)]
    assert found[0].weight == 1.6


def test_below_the_threshold_only_the_least_number_is_filled() -> None:
    assert chosen(proposal("word1", 0.2), proposal("word2", 0.1), proposal("word3", 0.05)) == ["word1", "word2"]
    assert chosen(*(proposal(word, 0.9) for word in WORDS[:9])) == WORDS[:4]


def test_people_stand_and_are_not_counted() -> None:
    given_tags = [proposal(word, 1, given=True) for word in WORDS[:6]]
    machine = [proposal(word, 0.9) for word in WORDS[10:20]]
    names = chosen(*given_tags, *machine)
    assert len(names) == 10
    assert set(WORDS[:6]) <= set(names)


def test_a_persons_proposal_wins_over_a_machines_for_the_same_tag() -> None:
    found = select(
        generated(proposal("ml", 0.9, 105), proposal("deep nets", 1, given=True)), VOCABULARY, PARAMETERS
    )
    assert [(a.name, a.origin, a.confidence) for a in found] == [("machine learning", Origin.HUMAN, 1.0)]


def test_a_mere_part_of_a_better_name_is_left_out() -> None:
    assert chosen(proposal("machine learning", 0.9), proposal("learning", 0.8)) == ["machine learning"]
    assert chosen(proposal("機器學習", 0.9), proposal("學習", 0.8)) == ["機器學習"]
    assert chosen(proposal("blue glaze", 0.9), proposal("glaze", 0.8)) == ["blue glaze", "glaze"]


def test_likeness_costs_a_place() -> None:
    proposals = [proposal("glaze", 0.9), proposal("blue glaze", 0.5), proposal("word1", 0.45)]
    assert chosen(*proposals, max_tags=2, diversity=1.0) == ["glaze", "blue glaze"]
    assert chosen(*proposals, max_tags=2, diversity=0.5) == ["glaze", "word1"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*WORDS, "machine learning", "learning", "ml", "spam"]), st.floats(0, 1), st.booleans()
        ),
        max_size=25,
        unique_by=lambda item: item[0],
    ),
    st.integers(0, 3),
    st.integers(3, 6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_selection_keeps_its_promises(rows, least, most, threshold, diversity) -> None:
    settings = TaggerSettings(min_tags=least, max_tags=most, min_confidence=threshold, diversity=diversity)
    proposals = [proposal(name, value, given=people) for name, value, people in rows]
    found = select(generated(*proposals), VOCABULARY, settings)
    assert decision_faults(Decision(1, "default", "i", found), settings) == []
    assert all(VOCABULARY.tags[a.tag_id].status is TagStatus.ACTIVE for a in found)
    machine = [a for a in found if a.origin is Origin.MACHINE]
    assert sum(a.confidence < threshold for a in machine) <= max(0, least)
    people = {VOCABULARY.resolve(p.normal_form) for p in proposals if p.origin is Origin.HUMAN} - {None}
    assert {tag.id for tag in people if tag} == {a.tag_id for a in found if a.origin is Origin.HUMAN}
    assert found == select(generated(*reversed(proposals)), VOCABULARY, settings)


def counted(name: str, confidence: float, count: int) -> Proposal:
    """A proposal whose evidence says how often the text names it."""
    evidence = (Evidence(Method.KEYPHRASE, 0.5, {"count": count}),)
    form = NORMALISER.normal_form(name)
    return Proposal(name, form, confidence, Method.KEYPHRASE, Origin.MACHINE, evidence)


def test_a_list_ends_where_the_next_tag_would_make_it_worse() -> None:
    sure = [proposal("word1", 0.9), proposal("word2", 0.8), proposal("word3", 0.2), proposal("word4", 0.2)]
    bounds = {"min_tags": 0, "max_tags": 10, "min_confidence": 0.0}
    assert chosen(*sure, **bounds, generosity=0.0) == ["word1", "word2"]
    assert len(chosen(*sure, **bounds, generosity=5.0)) == 4
    alike = [proposal(word, 0.2) for word in WORDS[:6]]
    assert len(chosen(*alike, **bounds, generosity=0.0)) == 6


def test_min_tags_fill_up_a_list_that_would_end_sooner() -> None:
    sure = [proposal("word1", 0.9), proposal("word2", 0.1), proposal("word3", 0.1)]
    assert chosen(*sure, min_tags=1, min_confidence=0.0, generosity=0.0) == ["word1"]
    assert len(chosen(*sure, min_tags=3, min_confidence=0.0, generosity=0.0)) == 3


def test_hopeless_proposals_make_no_list() -> None:
    assert chosen(proposal("word1", 0.0), min_tags=0, min_confidence=0.0) == []


def test_a_part_of_a_name_stands_for_itself_when_the_text_says_it_far_more_often() -> None:
    whole = counted("machine learning", 0.9, 1)
    assert chosen(whole, counted("learning", 0.8, 2)) == ["machine learning"]
    assert chosen(whole, counted("learning", 0.8, 3)) == ["machine learning", "learning"]
    chinese = counted("機器學習", 0.9, 1)
    assert chosen(chinese, counted("學習", 0.8, 2)) == ["機器學習"]
    assert chosen(chinese, counted("學習", 0.8, 3)) == ["機器學習", "學習"]
