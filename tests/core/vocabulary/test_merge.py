"""Which tags are taken for one, which for a question, and which for two."""

from __future__ import annotations

import numpy as np
import pytest

from tagging_orchestration.core.models import Origin, Tag, TagStatus
from tagging_orchestration.core.parameters import VocabularySettings
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.merge import CoUsage, MergePlan, find_merges
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.spelling import (
    is_acronym,
    negates,
    numbers_differ,
    spelling_key,
    without_accents,
)
from tests.fakes.language import FakeLanguageTools

SETTINGS = VocabularySettings()
NORMALISER = Normaliser(FakeLanguageTools())


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
def test_likeness_is_a_question(first: str, second: str) -> None:
    found = plan(first, second, same_meaning=True)
    assert found.automatic == ()
    assert len(found.candidates) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("python 2", "python 3"),
        ("iphone", "iphone 7"),
        ("covid", "covid 19"),
        ("stable release", "unstable release"),
        ("profit", "non-profit"),
        ("合法", "非法"),
        ("machine learning", "machine learning model"),
        ("退貨", "退貨流程"),
        ("C++", "C#"),
        (".NET", "net"),
        ("cat", "car"),
        ("中醫", "中文"),
    ],
)
def test_different_things_are_left_alone_whatever_the_model_says(first: str, second: str) -> None:
    found = plan(first, second, same_meaning=first.isascii() and first not in ("cat", "C++", ".NET"))
    assert found == MergePlan()


def test_short_names_need_more_than_meaning() -> None:
    assert plan("us", "usa", same_meaning=True).automatic == ()
    assert plan("ml", "machine learning", same_meaning=True).automatic == ()
    assert is_acronym("ml", "machine learning")


def test_a_model_judges_only_what_it_encoded() -> None:
    given = tags("shipping fee", "shipping cost", "退貨", "運費")
    english = vectors([1.0, 0.0], [1.0, 0.0])
    found = find_merges(Vocabulary("default", given, vectors=english), CoUsage(), set(), SETTINGS)
    assert [(row.source_tag_id, row.target_tag_id) for row in found.candidates] == [(2, 1)]
    apart = vectors([1.0, 0.0]) | {"n": vectors([1.0, 0.0], first_id=2)["m"]}
    assert find_merges(Vocabulary("default", given, vectors=apart), CoUsage(), set(), SETTINGS) == MergePlan()


def test_tags_that_meet_are_less_likely_one() -> None:
    names = ("organisation", "organization")
    apart = plan(*names, usage=CoUsage({1: 20, 2: 20}, {}))
    meeting = plan(*names, usage=CoUsage({1: 20, 2: 20}, {(1, 2): 18}))
    assert len(apart.candidates) == 1
    assert meeting == MergePlan()


def test_use_with_the_same_tags_is_evidence() -> None:
    given = tags("analyzer", "analyser", "a", "b", "c")
    alone = find_merges(Vocabulary("default", given), CoUsage(), set(), SETTINGS)
    together = {(1, 3): 9, (1, 4): 9, (1, 5): 9, (2, 3): 9, (2, 4): 9, (2, 5): 9}
    used = find_merges(
        Vocabulary("default", given), CoUsage(dict.fromkeys(range(1, 6), 20), together), set(), SETTINGS
    )
    assert used.candidates[0].score > alone.candidates[0].score
    assert used.candidates[0].signals["context"] == 1


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
