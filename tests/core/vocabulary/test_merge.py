"""Which tags are taken for one, which for a question, and which for two."""

from __future__ import annotations

import numpy as np
import pytest

from tagging_orchestration.clients.pair_model import load_pair_model
from tagging_orchestration.core.models import Origin, Tag, TagStatus
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.merge import Matcher, MergePlan
from tagging_orchestration.core.vocabulary.merge import find_merges as find_merges_with
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.spelling import (
    abbreviates,
    negates,
    numbers_differ,
    spelling_key,
    without_accents,
)
from tagging_orchestration.core.vocabulary.usage import CoUsage
from tests.fakes.language import FakeLanguageTools

SETTINGS = VocabularySettings()
NORMALISER = Normaliser(FakeLanguageTools())
MATCHER = Matcher(load_pair_model(), FakeLanguageTools())


def find_merges(
    vocabulary: Vocabulary,
    usage: CoUsage,
    refused: set[tuple[int, int]],
    settings: VocabularySettings,
    focus: list[int] | None = None,
) -> MergePlan:
    return find_merges_with(vocabulary, usage, refused, settings, MATCHER, focus)


def tags(*names: str, **fields: object) -> list[Tag]:
    return [
        Tag(number, "default", name, NORMALISER.normal_form(name), **fields)  # pyright: ignore[reportArgumentType]
        for number, name in enumerate(names, start=1)
    ]


def vectors(*rows: list[float], first_id: int = 1) -> dict[str, TagVectors]:
    matrix = np.array(rows, dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return {"m": TagVectors(np.arange(first_id, first_id + len(rows)), matrix)}


def plan(*names: str, same_meaning: bool = False, usage: CoUsage | None = None) -> MergePlan:
    given = tags(*names)
    meaning = vectors(*[[1.0, 0.0]] * len(given)) if same_meaning else None
    return find_merges(Vocabulary("default", given, vectors=meaning), usage or CoUsage(), set(), SETTINGS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("e-commerce", "ecommerce"),
        ("node.js", "NodeJS"),
        ("health care", "healthcare"),
        ("wi-fi", "wifi"),
        ("AI 3.5 資料庫", "AI3.5资料库"),
    ],
)
def test_same_spelling_is_merged(first: str, second: str) -> None:
    (merge,) = plan(first, second).automatic
    assert {merge.source_tag_id, merge.target_tag_id} == {1, 2}
    assert merge.signals["same_spelling"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("organisation", "organization"),
        ("café", "cafe"),
        ("recieve policy", "receive policy"),
        ("learning machine", "machine learning"),
        ("shipping fee", "shipping cost"),
    ],
)
def test_likeness_is_seen(first: str, second: str) -> None:
    found = plan(first, second, same_meaning=True)
    assert len(found.automatic) + len(found.candidates) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("python 2", "python 3"),
        ("stable release", "unstable release"),
        ("profit", "non-profit"),
        ("合法", "非法"),
        ("top-down design", "bottom-up design"),
        ("進口關稅", "出口關稅"),
        ("C++", "C#"),
        ("cat", "car"),
        ("中醫", "中文"),
    ],
)
def test_different_things_are_left_alone_whatever_the_model_says(first: str, second: str) -> None:
    assert plan(first, second, same_meaning=len(first) > 3) == MergePlan()


@pytest.mark.parametrize(
    ("first", "second"), [("iphone", "iphone 7"), ("covid", "covid 19"), (".NET", "net"), ("us", "usa")]
)
def test_what_may_be_a_narrower_thing_is_a_persons_to_judge(first: str, second: str) -> None:
    assert plan(first, second, same_meaning=True).automatic == ()


@pytest.mark.parametrize(("taiwan", "mainland"), [("資料庫", "數據庫"), ("運費", "郵費")])
def test_words_of_taiwan_and_the_mainland_are_one(taiwan: str, mainland: str) -> None:
    (merge,) = plan(taiwan, mainland).automatic
    assert merge.signals["same_spelling"] == 1


def test_what_sounds_the_same_is_more_likely_one() -> None:
    settings = VocabularySettings(merge_review=0.0, merge_automatic=1.0)

    def score(first: str, second: str) -> float:
        found = find_merges(Vocabulary("default", tags(first, second)), CoUsage(), set(), settings).candidates
        return found[0].score if found else 0.0

    assert score("坦尚尼亞", "坦桑尼亞") > score("坦尚尼亞", "坦誠尼亞")


def test_short_names_need_more_than_meaning() -> None:
    assert plan("us", "usa", same_meaning=True).automatic == ()
    assert plan("ml", "machine learning", same_meaning=True).automatic == ()
    assert abbreviates("ml", "machine learning") == 1


def test_a_model_judges_only_what_it_encoded() -> None:
    given = tags("shipping fee", "shipping cost")
    both = vectors([1.0, 0.0], [1.0, 0.0])
    apart = vectors([1.0, 0.0]) | {"n": vectors([1.0, 0.0], first_id=2)["m"]}
    letters = {"char-ngrams-384": both["m"]}
    for given_vectors, judged in ((both, True), (apart, False), (letters, False)):
        vocabulary = Vocabulary("default", given, vectors=given_vectors)
        found = find_merges(vocabulary, CoUsage(), set(), VocabularySettings(merge_review=0.0))
        (proposal,) = (*found.automatic, *found.candidates)
        assert ("meaning" in proposal.signals) is judged


def score_of(usage: CoUsage) -> float:
    settings = VocabularySettings(merge_review=0.0, merge_automatic=1.0)
    vocabulary = Vocabulary("default", tags("shipping fee", "shipping cost", "a", "b", "c"))
    found = find_merges(vocabulary, usage, set(), settings).candidates
    (score,) = (row.score for row in found if {row.source_tag_id, row.target_tag_id} == {1, 2})
    return score


def test_tags_that_meet_are_less_likely_one() -> None:
    used: dict[int, int] = {1: 20, 2: 20}
    assert score_of(CoUsage(used, {(1, 2): 18})) < score_of(CoUsage(used))
    assert score_of(CoUsage(dict.fromkeys((1, 2), 2), {(1, 2): 2})) == score_of(CoUsage())


def test_use_with_the_same_tags_and_contents_is_evidence() -> None:
    used = dict.fromkeys(range(1, 6), 50)
    same = {(1, 3): 9, (1, 4): 9, (1, 5): 9, (2, 3): 9, (2, 4): 9, (2, 5): 9}
    other = {(1, 3): 9, (1, 4): 9, (2, 5): 9}
    assert score_of(CoUsage(used, same)) > score_of(CoUsage(used, other))
    middle = {tag_id: np.array(vector) for tag_id, vector in ((3, [0.0, 1.0]), (4, [0.0, 0.9]))}
    near = CoUsage(used, centres=middle | {1: np.array([1.0, 0.0]), 2: np.array([1.0, 0.1])})
    far = CoUsage(used, centres=middle | {1: np.array([1.0, 0.0]), 2: np.array([0.0, 1.0])})
    assert score_of(near) > score_of(far)


def test_the_most_valuable_question_comes_first() -> None:
    given = tags("shipping fee", "shipping cost", "late delivery", "late deliveries order")
    settings = VocabularySettings(merge_review=0.0, merge_automatic=1.0)
    for busy in ((1, 2), (3, 4)):
        usage = CoUsage(dict.fromkeys(busy, 4) | {tag.id: 1 for tag in given if tag.id not in busy})
        first = find_merges(Vocabulary("default", given), usage, set(), settings).candidates[0]
        quiet = find_merges(Vocabulary("default", given), CoUsage(), set(), settings)
        by_pair = {frozenset((row.source_tag_id, row.target_tag_id)): row.score for row in quiet.candidates}
        reach = {frozenset(pair): 6 if pair == busy else 3 for pair in ((1, 2), (3, 4))}
        best = max(reach, key=lambda pair: by_pair[pair] * np.log(reach[pair]))
        assert frozenset((first.source_tag_id, first.target_tag_id)) == best


def test_refused_pairs_and_branches_are_left_alone() -> None:
    given = tags("wi-fi", "wifi")
    assert find_merges(Vocabulary("default", given), CoUsage(), {(1, 2)}, SETTINGS) == MergePlan()
    parent, child = given
    branch = [parent, Tag(2, "default", "wifi", "wifi", parent_id=1)]
    assert find_merges(Vocabulary("default", branch), CoUsage(), set(), SETTINGS) == MergePlan()
    assert child.parent_id is None


def test_only_active_tags_are_merged() -> None:
    given = [*tags("wi-fi"), Tag(2, "default", "wifi", "wifi", TagStatus.BLOCKED)]
    assert find_merges(Vocabulary("default", given), CoUsage(), set(), SETTINGS) == MergePlan()


@pytest.mark.parametrize(
    ("better", "uses"),
    [
        ({"pinned": True}, {2: 50}),
        ({"origin": Origin.HUMAN}, {2: 50}),
        ({}, {1: 50, 2: 3}),
        ({"name": "wi-fi"}, {}),
    ],
)
def test_who_stays(better: dict[str, object], uses: dict[int, int]) -> None:
    fields = {"id": 1, "organization_id": "default", "name": "Wi-Fi", "normal_form": "wi fi"} | better
    given = [Tag(**fields), Tag(2, "default", "WIFI", "wifi")]  # pyright: ignore[reportArgumentType]
    for order in (given, given[::-1]):
        (merge,) = find_merges(Vocabulary("default", order), CoUsage(uses), set(), SETTINGS).automatic
        assert (merge.source_tag_id, merge.target_tag_id) == (2, 1)


def test_two_pinned_tags_are_a_persons_to_merge() -> None:
    found = find_merges(Vocabulary("default", tags("wi-fi", "wifi", pinned=True)), CoUsage(), set(), SETTINGS)
    assert (len(found.automatic), len(found.candidates)) == (0, 1)


def test_three_spellings_become_one_tag_and_its_aliases_count() -> None:
    found = find_merges(
        Vocabulary("default", tags("e-commerce", "ecommerce", "online shop"), {"e commerce shop": 3}),
        CoUsage({1: 5, 2: 9}),
        set(),
        SETTINGS,
    )
    assert [(row.source_tag_id, row.target_tag_id) for row in found.automatic] == [(1, 2)]
    by_alias = find_merges(
        Vocabulary("default", tags("cell phone", "mobile"), {"cellphone": 2}), CoUsage(), set(), SETTINGS
    )
    assert len(by_alias.automatic) == 1


def test_a_chain_does_not_merge_its_ends() -> None:
    # "wifi" is spelled like both by an alias, but the two are numbers apart.
    given = tags("wifi 5", "wifi 6", "wifi")
    chained = Vocabulary("default", given, {"wifi5": 3, "wifi6": 3})
    found = find_merges(chained, CoUsage(), set(), SETTINGS)
    assert len(found.automatic) == 1


def test_focus_restricts_the_look() -> None:
    given = Vocabulary("default", tags("wi-fi", "wifi", "e-mail", "email"))
    assert len(find_merges(given, CoUsage(), set(), SETTINGS).automatic) == 2
    (only,) = find_merges(given, CoUsage(), set(), SETTINGS, focus=[3]).automatic
    assert {only.source_tag_id, only.target_tag_id} == {3, 4}
    assert find_merges(given, CoUsage(), set(), SETTINGS, focus=[99]) == MergePlan()
    assert find_merges(Vocabulary("default"), CoUsage(), set(), SETTINGS) == MergePlan()


@pytest.mark.parametrize(
    ("form", "key"),
    [
        ("e commerce", "ecommerce"),
        ("node.js", "nodejs"),
        (".net", ".net"),
        ("python 3.1", "python3.1"),
        ("c++", "c++"),
        ("1 2", "1 2"),
    ],
)
def test_spelling_key(form: str, key: str) -> None:
    assert spelling_key(form) == key


def test_accents_numbers_and_denials() -> None:
    assert without_accents("café crème") == "cafecreme"
    assert without_accents("й") == "й"
    assert without_accents("हिन्दी") == "हिन्दी"
    assert numbers_differ("version 2", "version 3")
    assert not numbers_differ("covid 19", "covid19")
    assert negates("profit", "non profit")
    assert negates("合法", "非法")
    assert not negates("profit", "profits")
