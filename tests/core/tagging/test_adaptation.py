"""The ranker follows people's choices, no further than they go."""

from __future__ import annotations

from tagging_orchestration.core.tagging.adaptation import MINIMUM_TEXTS, Choices, adapt
from tagging_orchestration.core.tagging.features import FEATURES
from tests.core.tagging.builders import WEIGHTS


def texts(number: int, *, phrases: bool, style: float = 0.0) -> list[Choices]:
    """Texts whose people take the phrase, or the word, of two otherwise equal candidates."""
    word, phrase = {"size_1": 1.0, "prominence": 0.5}, {"size_2": 1.0, "prominence": 0.5}
    return [Choices(style, (word, phrase), (not phrases, phrases)) for _ in range(number)]


def lead_of_phrases(weights, style: float = 0.0) -> float:
    blended = weights.blend(style)
    return blended.log_odds({"size_2": 1.0, "prominence": 0.5}) - blended.log_odds(
        {"size_1": 1.0, "prominence": 0.5}
    )


def test_few_texts_change_nothing() -> None:
    assert adapt(WEIGHTS, texts(MINIMUM_TEXTS - 1, phrases=True)) is WEIGHTS


def test_weights_move_to_what_people_take_and_more_so_with_more_texts() -> None:
    few, many = (adapt(WEIGHTS, texts(number, phrases=True)) for number in (MINIMUM_TEXTS, 200))
    assert lead_of_phrases(WEIGHTS) < lead_of_phrases(few) < lead_of_phrases(many)
    assert lead_of_phrases(adapt(WEIGHTS, texts(200, phrases=False))) < lead_of_phrases(WEIGHTS)


def test_formal_texts_do_not_teach_the_conversational_weights() -> None:
    adapted = adapt(WEIGHTS, texts(100, phrases=True))
    assert adapted.conversational == WEIGHTS.conversational
    assert adapted.formal != WEIGHTS.formal


def test_features_keep_the_side_they_state() -> None:
    # People here take what does not stand in the title, which must not make the title count against a tag.
    contrary = [Choices(0.0, ({"in_title": 1.0}, {"spread": 0.1}), (False, True)) for _ in range(300)]
    adapted = adapt(WEIGHTS, contrary)
    for feature in FEATURES:
        for column in (adapted.formal, adapted.conversational):
            assert column.get(feature.name, 0.0) * feature.sign >= 0


def test_the_same_choices_give_the_same_version() -> None:
    first, second = (adapt(WEIGHTS, texts(50, phrases=True)) for _ in range(2))
    assert first == second
    assert first.version != WEIGHTS.version
