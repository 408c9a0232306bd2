"""What is known of pairs of names, and which pairs are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from tagging_orchestration.clients.pair_model import load_pair_model
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.models import Tag
from tagging_orchestration.core.vocabulary.index import TagVectors
from tagging_orchestration.core.vocabulary.nearest import nearest
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.core.vocabulary.pair_model import PairModel, probability
from tagging_orchestration.core.vocabulary.pairs import FEATURES, NameTable, candidate_pairs, pair_features
from tagging_orchestration.core.vocabulary.spelling import abbreviates, brackets, english_key
from tests.fakes.language import FakeLanguageTools

LANGUAGE = FakeLanguageTools()
NORMALISER = Normaliser(LANGUAGE)


def table(*names: str, focus: list[int] | None = None) -> NameTable:
    tags = [Tag(number, "o", name, NORMALISER.normal_form(name)) for number, name in enumerate(names)]
    return NameTable(tags, {}, LANGUAGE, focus=focus)


def features(first: str, second: str) -> dict[str, float]:
    row = pair_features(table(first, second), np.array([0]), np.array([1]))[0]
    return dict(zip(FEATURES, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("ml", "machine learning", 1.0),
        ("action rpg", "action role playing game", 1.0),
        ("k8s", "kubernetes", 1.0),
        ("arpg", "action rpg", 0.8),
        ("mgmt", "management", 0.4),
        ("wto", "world trade organization", 1.0),
        ("rust", "ruby on rails", 0.0),
        ("one thing", "another thing", 0.0),
    ],
)
def test_abbreviations(first: str, second: str, said: float) -> None:
    assert abbreviates(first, second) == abbreviates(second, first) == said


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("organisation", "organization"),
        ("labour market", "labor market"),
        ("mba programme", "mba program"),
        ("travelling", "traveling"),
        ("data centre", "data center"),
        ("defence", "defense"),
    ],
)
def test_one_key_for_both_englishes(british: str, american: str) -> None:
    assert english_key(british) == english_key(american)
    assert english_key("four") != english_key("for")


def test_brackets_that_spell_out_an_abbreviation() -> None:
    assert brackets("SaaS (software as a service)") == ("SaaS", "software as a service")
    assert brackets("a (b) c") is None
    assert features("SaaS (software as a service)", "software as a service")["edit"] == 1
    assert features("Mercury (planet)", "planet")["edit"] < 1


def test_numbers_and_unknowns() -> None:
    known = features("python 2", "python 3")
    assert (known["numbers_differ"], known["same_without_numbers"], known["number_added"]) == (1, 1, 0)
    assert np.isnan(known["meaning"])
    assert np.isnan(known["sound"])
    chinese = features("坦尚尼亞", "坦桑尼亞")
    assert chinese["sound"] > 0.9 > chinese["characters_shared"]
    assert (chinese["han"], chinese["first_character"]) == (1, 1)


def test_pairs_found_by_letters_keys_initials_and_wording() -> None:
    names = ("e-commerce", "ecommerce", "ml", "machine learning", "資料庫", "數據庫", "陶藝")
    first, second = candidate_pairs(table(*names))
    assert {(0, 1), (2, 3), (4, 5)} <= set(zip(first.tolist(), second.tolist(), strict=True))
    assert (first < second).all()


def test_a_focus_needs_its_own_pairs_only() -> None:
    names = ("wi-fi", "wifi", "e-mail", "email")
    first, second = candidate_pairs(table(*names, focus=[3]))
    assert (first.tolist(), second.tolist()) == ([2], [3])


def test_cells_find_what_comparing_everything_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    middles = random.normal(size=(40, 16))
    matrix = (middles.repeat(25, axis=0) + 0.1 * random.normal(size=(1000, 16))).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    known = np.ones(len(matrix), dtype=bool)
    exact = nearest(matrix, known, 5)
    monkeypatch.setattr("tagging_orchestration.core.vocabulary.nearest._EXACT_UP_TO", 100)
    cells = nearest(matrix, known, 5)
    assert np.mean(exact.others == cells.others) > 0.95


def test_meaning_is_asked_of_sentence_models_only() -> None:
    tags = [Tag(number, "o", name, name) for number, name in enumerate(("car", "automobile"))]
    vectors = TagVectors(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32))
    for model, said in (("m", 1.0), ("char-ngrams-384", None)):
        names = NameTable(tags, {model: vectors}, LANGUAGE)
        (row,) = pair_features(names, np.array([0]), np.array([1]))
        meaning = row[FEATURES.index("meaning")]
        assert np.isnan(meaning) if said is None else meaning == said


def test_the_shipped_model_prefers_one_thing_to_two() -> None:
    model = load_pair_model()
    names = table("organisation chart", "organization chart", "organic food")
    rows = pair_features(names, np.array([0, 0]), np.array([1, 2]))
    one, two = probability(model.log_odds(rows))
    assert one > 0.5 > two


def test_a_tree_goes_left_right_and_where_the_unknown_goes() -> None:
    model = {
        "version": "t",
        "features": list(FEATURES),
        "base": 0.5,
        "slope": 2.0,
        "offset": 1.0,
        "usage": {},
        "trees": [
            {
                "feature": [0, -1, -1],
                "threshold": [0.5, 0, 0],
                "unknown_left": [1, 0, 0],
                "left": [1, 0, 0],
                "right": [2, 0, 0],
                "value": [0.0, -1.0, 1.0],
            }
        ],
    }
    rows = np.zeros((3, len(FEATURES)), dtype=np.float32)
    rows[:, 0] = 0.5, 0.6, np.nan
    assert PairModel.from_mapping(model, "here").log_odds(rows).tolist() == [0.0, 4.0, 0.0]
    for broken in ({**model, "features": ["x"]}, {"version": "t"}):
        with pytest.raises(ConfigurationError, match="here"):
            PairModel.from_mapping(broken, "here")
