"""Which proposals become tags."""

from __future__ import annotations

from collections.abc import Sequence

from tagging_orchestration.core.models import (
    Evidence,
    GeneratedTags,
    Method,
    NewTag,
    Origin,
    Proposal,
    Tag,
    TagStatus,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.vocabulary.admission import admit, unknown_forms
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tests.fakes.language import FakeLanguageTools

NORMALISER = Normaliser(FakeLanguageTools())
NO_FILL = TaggerSettings(min_tags=0, new_tags_per_1000=10_000)
EMPTY = Vocabulary("default")


def proposal(name: str, confidence: float = 0.6, given: bool = False) -> Proposal:
    method, origin = (Method.GIVEN, Origin.HUMAN) if given else (Method.KEYPHRASE, Origin.MACHINE)
    return Proposal(
        name, NORMALISER.normal_form(name), confidence, method, origin, (Evidence(method, confidence),)
    )


def staged(*contents: Sequence[str | Proposal], language: str = "en") -> list[GeneratedTags]:
    return [
        GeneratedTags(
            number,
            "default",
            f"hash {number}",
            language,
            tuple(proposal(item) if isinstance(item, str) else item for item in proposals),
        )
        for number, proposals in enumerate(contents, start=1)
    ]


def names(tags: list[NewTag]) -> list[str]:
    return [tag.name for tag in tags]


def vocabulary(*tags: tuple[str, TagStatus], aliases: dict[str, int] | None = None) -> Vocabulary:
    return Vocabulary(
        "default",
        [
            Tag(number, "default", name, NORMALISER.normal_form(name), status)
            for number, (name, status) in enumerate(tags, start=1)
        ],
        aliases,
    )


def test_shared_proposals_enter_and_single_ones_do_not() -> None:
    contents = staged(["Glaze", "kiln"], ["glazes", "陶土"], ["glaze", "陶土"], ["once"])
    assert [(tag.name, tag.normal_form) for tag in admit(contents, EMPTY, CorpusStatistics(), NO_FILL)] == [
        ("Glaze", "glaze"),
        ("陶土", "陶土"),
    ]


def test_the_most_frequent_spelling_names_the_tag() -> None:
    contents = staged(["machine learning"], ["Machine Learning"], ["Machine Learning"], ["MACHINE-LEARNING"])
    assert names(admit(contents, EMPTY, CorpusStatistics(), NO_FILL)) == ["Machine Learning"]
    shouted = staged(["KILN"], ["kiln"])
    assert names(admit(shouted, EMPTY, CorpusStatistics(), NO_FILL)) == ["kiln"]


def test_given_tags_always_enter_as_peoples() -> None:
    contents = staged(
        [proposal("inventory", 1.0, given=True)], [proposal("weak", 0.1, given=True)], language="zh-Hant"
    )
    new = admit(contents, EMPTY, CorpusStatistics(), TaggerSettings(new_tags_per_1000=1))
    assert [(tag.name, tag.origin, tag.language) for tag in new] == [
        ("inventory", Origin.HUMAN, "zh-Hant"),
        ("weak", Origin.HUMAN, "zh-Hant"),
    ]


def test_what_is_known_is_reused() -> None:
    known = vocabulary(("glaze", TagStatus.ACTIVE), ("old", TagStatus.RETIRED), aliases={"oven": 1})
    contents = staged(["glaze", "oven", "old"], ["glazes", "oven", "old"])
    assert admit(contents, known, CorpusStatistics(), NO_FILL) == []
    assert unknown_forms(staged(["glaze", "oven", "new"]), known) == ["new"]


def test_blocked_wins_over_everybody() -> None:
    known = vocabulary(("click here", TagStatus.BLOCKED))
    contents = staged(
        ["click here", "click-here", "clickhere"], [proposal("Click here", 1.0, given=True), "clickhere"]
    )
    assert admit(contents, known, CorpusStatistics(), TaggerSettings()) == []


def test_people_bring_a_retired_tag_back_and_machines_do_not() -> None:
    known = vocabulary(("kiln", TagStatus.RETIRED))
    assert admit(staged(["kiln"], ["kiln"]), known, CorpusStatistics(), TaggerSettings()) == []
    (tag,) = admit(staged(["kiln"], [proposal("kiln", 1.0, given=True)]), known, CorpusStatistics(), NO_FILL)
    assert (tag.name, tag.origin) == ("kiln", Origin.HUMAN)


def test_weak_proposals_do_not_count() -> None:
    weak = proposal("glaze", 0.29)
    enough = TaggerSettings(min_tags=0, min_confidence=0.3)
    assert admit(staged([weak], [weak]), EMPTY, CorpusStatistics(), enough) == []


def test_a_content_with_too_few_tags_gets_weak_ones() -> None:
    weak = proposal("glaze", 0.29)
    lacking = TaggerSettings(min_tags=1, min_confidence=0.3)
    assert [tag.name for tag in admit(staged([weak], [weak]), EMPTY, CorpusStatistics(), lacking)] == ["glaze"]


def test_proposals_too_far_down_would_not_be_assigned() -> None:
    crowd = [f"better {letter}" for letter in "abcdef"]
    settings = NO_FILL.model_copy(update={"max_tags": 6})
    assert "far down" not in names(
        admit(staged([*crowd, "far down"], [*crowd, "far down"]), EMPTY, CorpusStatistics(), settings)
    )


def test_few_contents_are_supported_by_the_corpus_and_by_earlier_proposals() -> None:
    corpus = CorpusStatistics(1000, 1000, {"kiln": 5})
    contents = staged(["kiln", "陶土", "glaze"])
    settings = NO_FILL
    assert names(admit(contents, EMPTY, corpus, settings)) == ["kiln"]
    assert names(admit(contents, EMPTY, corpus, settings, {"glaze": 9, "陶土": 1})) == ["glaze", "kiln"]
    # Contents that are the whole corpus speak for themselves.
    assert admit(contents, EMPTY, CorpusStatistics(1, 1, {"kiln": 5}), settings) == []


def test_growth_is_bounded_and_the_most_useful_enter() -> None:
    contents = staged(*[["everywhere", f"pair {number // 2}"] for number in range(500)])
    settings = TaggerSettings(min_tags=0, new_tags_per_1000=20)
    new = names(admit(contents, EMPTY, CorpusStatistics(), settings))
    assert len(new) == 110
    assert new[0] == "everywhere"
    # What the vocabulary holds already is part of it, and people's tags are not.
    full = vocabulary(*[(f"old {number}", TagStatus.ACTIVE) for number in range(110)])
    given = [proposal("theirs", 1.0, given=True), "everywhere"]
    assert names(admit(staged(given, *[["everywhere"]] * 499), full, CorpusStatistics(), settings)) == ["theirs"]


def test_contents_with_too_few_tags_get_what_helps_most_of_them() -> None:
    known = vocabulary(("glaze", TagStatus.ACTIVE))
    contents = staged(
        ["glaze", "alpha", "solo one"],
        ["glaze", "solo two"],
        ["glaze", "alpha"],
        [proposal("solo three", 0.2), proposal("solo four", 0.1)],
    )
    settings = TaggerSettings(min_tags=2, new_tag_min_support=5)
    new = admit(contents, known, CorpusStatistics(), settings)
    assert names(new) == ["solo three", "alpha", "solo two", "solo four"]
    assert new[1].reason == "best left for 2 contents with too few tags"
    # Reuse that suffices leaves no room for new tags.
    enough = vocabulary(("glaze", TagStatus.ACTIVE), ("alpha", TagStatus.ACTIVE))
    assert admit(staged(["glaze", "alpha", "solo"]), enough, CorpusStatistics(), settings) == []


def test_no_content_is_left_without_any_tag_for_the_bound() -> None:
    contents = staged(*[[f"solo {number}", f"other {number}"] for number in range(300)])
    settings = TaggerSettings(new_tag_min_support=2, new_tags_per_1000=1)
    new = admit(contents, EMPTY, CorpusStatistics(), settings)
    assert len(new) == 300
    assert {tag.normal_form.split()[1] for tag in new} == {str(number) for number in range(300)}


def test_a_part_of_a_name_does_not_count_as_a_second_tag() -> None:
    contents = staged([proposal("machine learning", 0.5), proposal("machine", 0.45), proposal("kiln", 0.01)])
    new = admit(contents, EMPTY, CorpusStatistics(), TaggerSettings(new_tag_min_support=5))
    assert "kiln" in names(new)


def test_order_of_contents_does_not_matter() -> None:
    contents = staged(["b", "a"], ["a", "c"], ["c", "b"], ["陶土", "d"])
    forwards = admit(contents, EMPTY, CorpusStatistics(), TaggerSettings())
    assert admit(contents[::-1], EMPTY, CorpusStatistics(), TaggerSettings()) == forwards
