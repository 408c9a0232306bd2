"""Classifier generator: known tags that a model trained on people's tags holds probable for the text."""

from __future__ import annotations

from collections.abc import Sequence

from tagging_orchestration.core.models import Evidence, Method, TaggerInput
from tagging_orchestration.core.tagging.candidates.pool import Judgement, Pool
from tagging_orchestration.core.tagging.candidates.vocabulary import VocabularyMatcher
from tagging_orchestration.core.tagging.classifier.model import Example, TagClassifier, TagPrediction
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText
from tagging_orchestration.core.tagging.ranking import log_odds
from tagging_orchestration.core.vocabulary.index import Vocabulary

# With fewer examples the classifier only proposes a tag and the ranker says how sure that is.
ENOUGH_EXAMPLES = 5
# What is said of a tag that is not among the text's best by any base model.
UNLIKELY = 0.0001
# Less probable tags are no candidates; those that another generator proposes are judged all the same.
LEAST_PROBABILITY = 0.02


def predict(classifier: TagClassifier, inputs: Sequence[TaggerInput]) -> list[dict[int, TagPrediction]]:
    """The classifier's predictions for each input, by tag id; all inputs at once cost least."""
    examples = [
        Example(ClassifierText(item.content.title, item.content.body), item.vector, item.model or "")
        for item in inputs
    ]
    return [
        {int(prediction.tag): prediction for prediction in predictions}
        for predictions in classifier.predict(examples, explain=True)
    ]


def propose(
    pool: Pool,
    predictions: dict[int, TagPrediction],
    classifier: TagClassifier,
    vocabulary: Vocabulary,
    matcher: VocabularyMatcher,
    *,
    decides_all: bool,
) -> None:
    """Enter the probable tags, and judge every candidate whose tag the classifier knows well enough.

    Tags are looked up through merges. `decides_all`: judge tags with few examples too.
    """
    for tag_id, prediction in predictions.items():
        tag = vocabulary.current(tag_id)
        if tag is None or (prediction.probability < LEAST_PROBABILITY and tag.normal_form not in pool.by_form):
            continue
        candidate = pool.known(tag)
        matcher.describe(candidate.signals, tag)
        number = classifier.number(str(tag_id))
        examples = int(classifier.counts[number])
        candidate.evidence.append(
            Evidence(
                Method.CLASSIFIER,
                round(prediction.probability, 4),
                {
                    "version": classifier.version,
                    "examples": examples,
                    "scores": {name: round(score, 4) for name, score in prediction.scores.items()},
                },
            )
        )
        if decides_all or examples >= ENOUGH_EXAMPLES:
            threshold = round(float(classifier.thresholds[number]), 6)
            effects = {f"classifier_{kind}": round(effect, 4) for kind, effect in prediction.effects.items()}
            candidate.judgement = Judgement(prediction.probability, threshold, prediction.base, effects)
    for candidate in pool:
        if candidate.tag is None or candidate.judgement is not None or candidate.given:
            continue
        number = classifier.number(str(candidate.tag.id))
        if number is not None and (decides_all or classifier.counts[number] >= ENOUGH_EXAMPLES):
            threshold = round(float(classifier.thresholds[number]), 6)
            candidate.judgement = Judgement(UNLIKELY, threshold, round(log_odds(UNLIKELY), 4), {})
