"""The learning curve: how good the tagger is after so many corrections by a person.

The person is simulated from gold: asked the questions of the review queue, best first, they accept what people
chose and reject the rest, and where a content lacks a tag that people chose they add it. Everything between is the
project's own: proposals, queue, calibration with its threshold, classifier, selection. Quality is measured on
other contents, which nobody corrected: F1 of the tags that would be assigned (micro), and of the five most
confident ones.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.keyphrases import LANGUAGE, NORMALISER, Labelled, content, f1_at, read_set, stemmed
from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.ranker import load_ranker_weights
from tagging_orchestration.core.errors import TooFewLabels
from tagging_orchestration.core.feedback.review import Doubt, rank_doubts
from tagging_orchestration.core.models import (
    GeneratedTags,
    JudgedProposal,
    Neighbour,
    Origin,
    Proposal,
    Tag,
    TaggerInput,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.calibration import (
    IDENTITY,
    Calibration,
    compare,
    expected_calibration_error,
    fit_calibration,
    is_held_out,
)
from tagging_orchestration.core.tagging.classifier.bases import TagProfile
from tagging_orchestration.core.tagging.classifier.model import Example, TagClassifier
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText
from tagging_orchestration.core.tagging.classifier.training import train_classifier
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.counting import count_corpus
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.selection import select
from tagging_orchestration.core.tagging.tagger import Tagger
from tagging_orchestration.core.vocabulary.admission import admit, with_tags
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.settings import EmbeddingSettings

# Set: (file that is corrected, texts of it, file that is measured on, texts of it). One file for both is halved.
SETS = {
    "se_cooking": ("ml_se_cooking_train", 500, "ml_se_cooking_test", 300),
    "so_titles": ("ml_so_titles_train", 500, "ml_so_titles_test", 300),
    "csl_zhtw": ("kp_csl_zhtw", 200, "kp_csl_zhtw", 200),
}
CHECKPOINTS = (0, 50, 200, 1000)
# After so many corrections the machine learns and proposes anew.
ROUNDS = (0, 50, 100, 200, 500, 1000)
NEIGHBOURS = 10


@dataclass
class State:
    """What people said so far, and what was learned. Contents are numbered as the corrected rows are."""

    corpus: CorpusStatistics
    verdicts: dict[int, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))
    judged: list[JudgedProposal] = field(default_factory=list)
    tags: dict[str, Tag] = field(default_factory=dict)
    calibration: Calibration = IDENTITY
    classifier: TagClassifier | None = None
    corrections: int = 0

    def tag(self, form: str, name: str, origin: Origin) -> Tag:
        """The tag of a normal form, made where there is none; people's word makes it theirs."""
        known = self.tags.get(form)
        if known is None:
            known = Tag(len(self.tags) + 1, "default", name, form, origin=origin)
        elif origin is Origin.HUMAN and known.origin is not Origin.HUMAN:
            known = Tag(known.id, "default", known.name, form, origin=origin)
        self.tags[form] = known
        return known


def measure(data: Path) -> dict[str, object]:
    """Learning curves of all sets: scores by number of corrections."""
    embedder = RoutedEmbedder(EmbeddingSettings(), fold=LANGUAGE.to_simplified)
    return {
        name: learning_curve(data, name, embedder) for name in SETS if (data / f"{SETS[name][0]}.jsonl").exists()
    }


def learning_curve(data: Path, name: str, embedder: RoutedEmbedder) -> dict[str, dict[str, float]]:
    """Scores of one set after each checkpoint's corrections."""
    corrected, measured = _rows(data, name)
    model = embedder.model_for(corrected[0].text)
    vectors = embedder.encode(model, [content(0, row).text for row in (*corrected, *measured)])
    pool_vectors, test_vectors = vectors[: len(corrected)], vectors[len(corrected) :]
    texts = ((f"{row.title}\n{row.text}", None) for row in (*corrected, *measured))
    state = State(count_corpus(texts, language=LANGUAGE, normaliser=NORMALISER))
    curve: dict[str, dict[str, float]] = {}
    generated: list[GeneratedTags] = []
    parameters = TaggerSettings()
    for budget in ROUNDS:
        if budget:
            _correct(state, corrected, generated, parameters, budget)
            _learn(state, corrected, pool_vectors, generated, model, embedder)
        tagger, vocabulary = _tagger(state, corrected, model, embedder)
        carried = _carried(state, len(corrected))
        inputs = _inputs(corrected, pool_vectors, pool_vectors, carried, model, own=True)
        generated = tagger.tag(inputs)
        if budget == 0:
            _admit(state, generated, parameters)
        parameters = _parameters(state)
        if budget in CHECKPOINTS:
            tests = _inputs(measured, test_vectors, pool_vectors, carried, model, own=False)
            found = tagger.tag(tests)
            new = admit([*generated, *found], vocabulary, state.corpus, parameters, {})
            curve[str(budget)] = _score(found, with_tags(vocabulary, new), parameters, measured)
    return curve


def _rows(data: Path, name: str) -> tuple[list[Labelled], list[Labelled]]:
    first, count, second, measured = SETS[name]
    if first != second:
        return read_set(data / f"{first}.jsonl", count), read_set(data / f"{second}.jsonl", measured)
    rows = read_set(data / f"{first}.jsonl", count + measured)
    return rows[0::2], rows[1::2]


def _tagger(
    state: State, rows: Sequence[Labelled], model: str, embedder: RoutedEmbedder
) -> tuple[Tagger, Vocabulary]:
    """The tagger over what is known now. Tag vectors are encoded anew; names are few and short."""
    uses: Counter[str] = Counter(
        form for said in state.verdicts.values() for form, wanted in said.items() if wanted
    )
    tags = [
        Tag(tag.id, "default", tag.name, form, origin=tag.origin, usage_count=uses[form])
        for form, tag in state.tags.items()
    ]
    vectors = None
    judged = [tag for tag in tags if embedder.model_for(tag.name) == model]
    if judged:
        matrix = embedder.encode(model, [tag.name for tag in judged])
        vectors = {model: TagVectors(np.array([tag.id for tag in judged]), matrix)}
    vocabulary = Vocabulary("default", tags, vectors=vectors)
    tagger = Tagger(
        parameters=_parameters(state),
        language=LANGUAGE,
        normaliser=NORMALISER,
        vocabulary=vocabulary,
        rules=RuleSet(),
        corpus=state.corpus,
        weights=load_ranker_weights(),
        calibration=state.calibration,
        classifier=state.classifier,
        encode_phrases=embedder.encode_phrases,
    )
    return tagger, vocabulary


def _parameters(state: State) -> TaggerSettings:
    threshold = state.calibration.threshold
    return TaggerSettings() if threshold is None else TaggerSettings(min_confidence=threshold)


def _carried(state: State, count: int) -> list[tuple[tuple[int, float, Origin], ...]]:
    """What each corrected content carries by people's word."""
    return [
        tuple(
            (state.tags[form].id, 1.0, Origin.HUMAN)
            for form, wanted in state.verdicts.get(number, {}).items()
            if wanted
        )
        for number in range(count)
    ]


def _inputs(
    rows: Sequence[Labelled],
    vectors: np.ndarray,
    around: np.ndarray,
    carried: Sequence[tuple[tuple[int, float, Origin], ...]],
    model: str,
    *,
    own: bool,
) -> list[TaggerInput]:
    """Inputs with the nearest tagged contents; `own`: the rows are those, and none is its own neighbour."""
    tagged = np.array([number for number, tags in enumerate(carried) if tags], int)
    items = []
    for number, row in enumerate(rows):
        neighbours: tuple[Neighbour, ...] = ()
        if len(tagged):
            similarity = around[tagged] @ vectors[number]
            order = np.argsort(-similarity, kind="stable").tolist()
            nearest = [n for n in order if not (own and tagged[n] == number)]
            neighbours = tuple(
                Neighbour(int(tagged[n]), float(similarity[n]), carried[int(tagged[n])])
                for n in nearest[:NEIGHBOURS]
            )
        items.append(TaggerInput(content(number, row), vectors[number], model, neighbours))
    return items


def _admit(state: State, generated: Sequence[GeneratedTags], parameters: TaggerSettings) -> None:
    """The machine's tags that the vocabulary begins with, before anybody said a word."""
    for tag in admit(generated, Vocabulary("default"), state.corpus, parameters, {}):
        state.tag(tag.normal_form, tag.name, Origin.MACHINE)


def _correct(
    state: State,
    rows: Sequence[Labelled],
    generated: Sequence[GeneratedTags],
    parameters: TaggerSettings,
    budget: int,
) -> None:
    """Ask the best questions till the budget is used up."""
    support = Counter(proposal.normal_form for row in generated for proposal in row.proposals)
    answers = Counter(form for said in state.verdicts.values() for form in said)
    proposals: dict[tuple[int, str], Proposal] = {}
    doubts = []
    for row in generated:
        for proposal in row.proposals:
            form = proposal.normal_form
            if form in state.verdicts.get(row.content_id, {}):
                continue
            proposals[row.content_id, form] = proposal
            threshold = proposal.features.get("classifier_threshold", parameters.min_confidence)
            doubts.append(
                Doubt(
                    row.content_id,
                    form,
                    proposal.tag_id,
                    proposal.name,
                    proposal.confidence >= threshold,
                    proposal.confidence,
                    threshold,
                    support[form],
                    answers[form],
                )
            )
    for ranked in rank_doubts(doubts, budget):
        if state.corrections >= budget:
            return
        _answer(state, rows[ranked.doubt.content_id], ranked.doubt, proposals, budget)


def _answer(
    state: State,
    row: Labelled,
    doubt: Doubt,
    proposals: Mapping[tuple[int, str], Proposal],
    budget: int,
) -> None:
    """Answer one question, and add a tag that the content lacks where there is one."""
    said = state.verdicts[doubt.content_id]
    wanted = stemmed(doubt.tag_name) in {stemmed(name) for name in row.gold}
    _note(state, doubt.content_id, doubt.normal_form, doubt.tag_name, wanted, proposals, asked=True)
    have = {stemmed(state.tags[form].name) for form, accepted in said.items() if accepted}
    missing = [name for name in row.gold if stemmed(name) not in have and NORMALISER.normal_form(name)]
    if missing and state.corrections < budget:
        _note(
            state, doubt.content_id, NORMALISER.normal_form(missing[0]), missing[0], True, proposals, asked=False
        )


def _note(
    state: State,
    number: int,
    form: str,
    name: str,
    wanted: bool,
    proposals: Mapping[tuple[int, str], Proposal],
    *,
    asked: bool,
) -> None:
    state.corrections += 1
    state.verdicts[number][form] = wanted
    if wanted:
        state.tag(form, name, Origin.HUMAN)
    proposal = proposals.get((number, form))
    if asked and proposal is not None and "classifier" not in proposal.features:
        state.judged.append(_judged(number, proposal, accepted=wanted))


def _judged(number: int, proposal: Proposal, *, accepted: bool) -> JudgedProposal:
    shift = proposal.effects.get("calibration", 0.0)
    return JudgedProposal(number, proposal.normal_form, proposal.method, proposal.confidence, shift, accepted)


def _learn(
    state: State,
    rows: Sequence[Labelled],
    vectors: np.ndarray,
    generated: Sequence[GeneratedTags],
    model: str,
    embedder: RoutedEmbedder,
) -> None:
    """Calibration, threshold and classifier from what was said; the first two behind the project's own gate."""
    staged = [
        _judged(row.content_id, proposal, accepted=False)
        for row in generated
        for proposal in row.proposals
        if "classifier" not in proposal.features
    ]
    learned = [row for row in state.judged if not is_held_out(row.content_id)]
    candidate = fit_calibration(learned, staged, generosity=TaggerSettings().generosity)
    if compare(candidate, state.calibration, state.judged)["no_worse"]:
        state.calibration = candidate
    numbers = sorted(number for number, said in state.verdicts.items() if any(said.values()))
    known = sorted({form for said in state.verdicts.values() for form, wanted in said.items() if wanted})
    profiles = []
    name_vectors = embedder.encode(model, [state.tags[form].name for form in known]) if known else None
    for place, form in enumerate(known):
        tag = state.tags[form]
        vector = name_vectors[place] if name_vectors is not None else None
        profiles.append(
            TagProfile(str(tag.id), (tag.name,), vectors={model: vector} if vector is not None else {})
        )
    try:
        state.classifier = train_classifier(
            [Example(ClassifierText(rows[n].title, rows[n].text), vectors[n], model) for n in numbers],
            [{str(state.tags[form].id) for form, wanted in state.verdicts[n].items() if wanted} for n in numbers],
            profiles,
            LANGUAGE,
            unknown=[_unjudged(state, generated[n]) for n in numbers],
        )
    except TooFewLabels:
        state.classifier = None


def _unjudged(state: State, generated: GeneratedTags) -> set[str]:
    """Machine's tags of a content that nobody judged: no examples, and none against them."""
    said = state.verdicts[generated.content_id]
    return {
        str(state.tags[proposal.normal_form].id)
        for proposal in generated.proposals[: TaggerSettings().max_tags]
        if proposal.normal_form in state.tags and proposal.normal_form not in said
    }


def _score(
    generated: Sequence[GeneratedTags],
    vocabulary: Vocabulary,
    parameters: TaggerSettings,
    rows: Sequence[Labelled],
) -> dict[str, float]:
    """Micro F1 of the assigned tags, mean F1 of the five most confident ones, calibration of all proposals."""
    right = assigned = wanted = 0
    at_five = []
    confidences: list[float] = []
    outcomes: list[bool] = []
    for found, row in zip(generated, rows, strict=True):
        gold = {stemmed(name) for name in row.gold}
        chosen = {stemmed(item.name) for item in select(found, vocabulary, parameters)}
        right += len(chosen & gold)
        assigned += len(chosen)
        wanted += len(gold)
        at_five.append(f1_at([proposal.name for proposal in found.proposals], row.gold, 5))
        confidences += [proposal.confidence for proposal in found.proposals]
        outcomes += [stemmed(proposal.name) in gold for proposal in found.proposals]
    precision, recall = right / max(assigned, 1), right / max(wanted, 1)
    return {
        "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1@5": round(float(np.mean(at_five)), 4),
        "ece": round(expected_calibration_error(confidences, outcomes), 4),
    }


def main() -> None:
    """Command line: print the curves as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.data), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
