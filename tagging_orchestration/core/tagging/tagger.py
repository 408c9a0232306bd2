"""The tagger: a text in, ranked and explained tag proposals out. All callers use this."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tagging_orchestration.core.models import (
    Evidence,
    GeneratedTags,
    Method,
    Origin,
    Proposal,
    Tag,
    TaggerInput,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.ports import LanguageTools, PhraseEncoder
from tagging_orchestration.core.tagging.calibration import IDENTITY, Calibration
from tagging_orchestration.core.tagging.candidates import classifier as classifier_tags
from tagging_orchestration.core.tagging.candidates import given, keyphrases, llm, neighbours
from tagging_orchestration.core.tagging.candidates.pool import Candidate, Pool, span_evidence
from tagging_orchestration.core.tagging.candidates.rules import RuleMatcher
from tagging_orchestration.core.tagging.candidates.vocabulary import VocabularyMatcher
from tagging_orchestration.core.tagging.classifier.model import TagClassifier, TagPrediction
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.explanation import (
    BASE,
    CALIBRATION,
    CLASSIFIER,
    CONVERSATIONAL,
    LLM,
    RULE,
    effects,
)
from tagging_orchestration.core.tagging.features import FeatureExtractor, standing
from tagging_orchestration.core.tagging.languages import language_of
from tagging_orchestration.core.tagging.matching import unit_stream
from tagging_orchestration.core.tagging.names import may_name_tag
from tagging_orchestration.core.tagging.ranking import DIGITS, BlendedWeights, RankerWeights, confidence
from tagging_orchestration.core.tagging.ranking import log_odds as log_odds_of
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.scripts import has_han
from tagging_orchestration.core.tagging.selection import CLASSIFIER_THRESHOLD
from tagging_orchestration.core.tagging.text import AnalysedText, TextAnalyser
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser

# Part of the tagger version: raise it with every change that can change a proposal.
TAGGER_CODE_VERSION = "2"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A candidate with its feature values."""

    candidate: Candidate
    features: Mapping[str, float]


class Tagger:
    """Proposes tags under one vocabulary, rule set and corpus. The same input always gives the same proposals."""

    def __init__(
        self,
        *,
        parameters: TaggerSettings,
        language: LanguageTools,
        normaliser: Normaliser,
        vocabulary: Vocabulary,
        rules: RuleSet,
        corpus: CorpusStatistics,
        weights: RankerWeights,
        calibration: Calibration = IDENTITY,
        classifier: TagClassifier | None = None,
        encode_phrases: PhraseEncoder | None = None,
    ) -> None:
        self._parameters = parameters
        self._language = language
        self._normaliser = normaliser
        self._vocabulary = vocabulary
        self._corpus = corpus
        self._weights = weights
        self._calibration = calibration
        self._classifier = classifier
        self._encode_phrases = encode_phrases
        self._analyser = TextAnalyser(language, normaliser)
        self._matcher = VocabularyMatcher(vocabulary, self._analyser)
        self._rules = RuleMatcher(rules, self._analyser, normaliser)
        by_people = sum(tag.usage_count for tag in vocabulary.active() if tag.origin is Origin.HUMAN)
        self._settled = min(1.0, by_people / max(1, corpus.corpus_size))

    def tag(self, inputs: Sequence[TaggerInput]) -> list[GeneratedTags]:
        """Ranked proposals for each input, in order; at most `proposals_kept` each beside people's own tags."""
        predicted = classifier_tags.predict(self._classifier, inputs) if self._classifier else None
        weighed = self._weigh(inputs, predicted)
        return [self._rank(item, text, entries) for item, (text, entries) in zip(inputs, weighed, strict=True)]

    def weigh(self, inputs: Sequence[TaggerInput]) -> list[tuple[AnalysedText, list[Weighed]]]:
        """All candidates of each input with their features, unranked: what the ranker is trained on."""
        return self._weigh(inputs, None)

    def _rank(self, item: TaggerInput, text: AnalysedText, weighed: Sequence[Weighed]) -> GeneratedTags:
        blended = self._weights.blend(text.conversational)
        ranked = []
        for entry in weighed:
            candidate = entry.candidate
            if candidate.judgement is not None:
                # Learned from what people said already, so their answers are not counted twice.
                shift, probability = 0.0, round(candidate.judgement.probability, DIGITS)
                lift, by_llm = llm.lift(log_odds_of(_inside(probability)), candidate, judged=True), False
                if lift:
                    probability = confidence(log_odds_of(_inside(probability)) + lift)
            else:
                log_odds = blended.log_odds(entry.features)
                lift = llm.lift(log_odds, candidate)
                by_llm = llm.carries(log_odds, candidate)
                carrier = Method.LLM if by_llm else _carrier(candidate)
                shift = self._calibration.shift(log_odds + lift, carrier, candidate.normal_form)
                probability = confidence(log_odds + lift + shift)
            by_rule = candidate.rule_confidence > probability
            value = 1.0 if candidate.given else max(probability, candidate.rule_confidence)
            decider = Method.RULE if by_rule else Method.LLM if by_llm else None
            ranked.append((value, entry, decider, {LLM: lift, CALIBRATION: shift}))
        ranked.sort(key=lambda row: (-row[0], row[1].candidate.normal_form))
        proposals: list[Proposal] = []
        forms: set[str] = set()
        machine = 0
        for value, entry, decider, shifts in ranked:
            candidate = entry.candidate
            if machine >= self._parameters.proposals_kept and not candidate.given:
                continue
            told = {} if candidate.given else _effects(entry, blended)
            if told:
                told |= {kind: round(shift, 4) for kind, shift in shifts.items() if shift}
            proposal = self._proposal(text, entry, value, decider, told)
            if proposal is not None and proposal.normal_form not in forms:
                forms.add(proposal.normal_form)
                proposals.append(proposal)
                machine += not candidate.given
        content = item.content
        return GeneratedTags(
            content.id, content.organization_id, content.input_hash, text.language, tuple(proposals)
        )

    def _weigh(
        self, inputs: Sequence[TaggerInput], predicted: Sequence[dict[int, TagPrediction]] | None
    ) -> list[tuple[AnalysedText, list[Weighed]]]:
        similar = self._similar_tags(inputs)
        gathered = [
            self._candidates(item, similar.get(number, []), predicted[number] if predicted else None)
            for number, item in enumerate(inputs)
        ]
        similarities = self._similarities(inputs, gathered)
        weighed = []
        for (text, candidates), near in zip(gathered, similarities, strict=True):
            extractor = FeatureExtractor(text, self._corpus, candidates, self._settled, near)
            weighed.append((text, [Weighed(entry, extractor.vector(entry)) for entry in candidates.values()]))
        return weighed

    def _candidates(
        self,
        item: TaggerInput,
        similar: Sequence[tuple[Tag, float]],
        predicted: dict[int, TagPrediction] | None,
    ) -> tuple[AnalysedText, dict[str, Candidate]]:
        """The text cut up and everything that any generator proposes for it, by normal form."""
        content = item.content
        language = language_of(content.language, content.text, self._language)
        text = self._analyser.analyse(content.title, content.body, language)
        stream = unit_stream(text)
        pool = Pool()
        given.propose(pool, content, self._vocabulary, self._normaliser, self._rules.allowed)
        self._rules.propose(pool, content, text, stream, self._vocabulary)
        self._matcher.propose(pool, text, stream)
        if similar:
            self._matcher.propose_similar(pool, similar, item.model or "")
        neighbours.propose(pool, item.neighbours, self._vocabulary, self._matcher)
        if item.llm is not None:
            llm.propose(
                pool,
                content,
                item.llm,
                self._vocabulary,
                self._matcher,
                self._admits,
                self._parameters.max_tag_words,
            )
        if self._parameters.closed_vocabulary:
            pool.keep_known()
        else:
            keyphrases.propose(pool, text, self._vocabulary, self._parameters.max_tag_words, self._admits)
        if self._classifier is not None and predicted is not None:
            classifier_tags.propose(
                pool,
                predicted,
                self._classifier,
                self._vocabulary,
                self._matcher,
                decides_all=self._parameters.closed_vocabulary,
            )
        return text, {form: found for form, found in pool.by_form.items() if not self._is_blocked(form)}

    def _similarities(
        self, inputs: Sequence[TaggerInput], gathered: Sequence[tuple[AnalysedText, Mapping[str, Candidate]]]
    ) -> list[dict[str, float]]:
        """For each input: how near the phrases found in it are to its vector, by normal form."""
        similarities: list[dict[str, float]] = [{} for _ in inputs]
        by_model: dict[str, list[int]] = defaultdict(list)
        for number, item in enumerate(inputs):
            if item.vector is not None and item.model is not None:
                by_model[item.model].append(number)
        for model, numbers in by_model.items():
            found = [[entry for entry in gathered[number][1].values() if entry.occurrences] for number in numbers]
            names = list(dict.fromkeys(entry.name for entries in found for entry in entries))
            vectors = self._encode_phrases(model, names) if self._encode_phrases and names else None
            if vectors is None:
                continue
            row_of = {name: row for row, name in enumerate(names)}
            for number, entries in zip(numbers, found, strict=True):
                rows = [row_of[entry.name] for entry in entries]
                near = standing(vectors[rows] @ np.asarray(inputs[number].vector, np.float32))
                similarities[number] = {
                    entry.normal_form: float(value) for entry, value in zip(entries, near, strict=True)
                }
        return similarities

    def _proposal(
        self, text: AnalysedText, entry: Weighed, value: float, decider: Method | None, told: Mapping[str, float]
    ) -> Proposal | None:
        """The proposal to store, or None when its name is nothing a machine may call a tag. `decider` is a rule or
        a language model whose word outweighed all others."""
        candidate = entry.candidate
        name, form = candidate.name, candidate.normal_form
        evidence = list(candidate.evidence)
        if candidate.tag is None:
            if not evidence and not may_name_tag(name):
                return None
            name = self._in_tag_language(self._normaliser.display_form(name))
            form = self._normaliser.normal_form(name)
            if not form or self._is_blocked(form) or self._vocabulary.lookup(form) is not None:
                return None
        if candidate.occurrences and not any(item.method is Method.VOCABULARY for item in evidence):
            score = min(1.0, entry.features.get("prominence", 0.0) * entry.features.get("rarity", 0.0))
            evidence.append(span_evidence(Method.KEYPHRASE, score, text, candidate.occurrences))
        features = dict(entry.features)
        by_rule = decider is Method.RULE
        if text.conversational:
            features[CONVERSATIONAL] = text.conversational
        if by_rule:
            features[RULE] = candidate.rule_confidence
        elif candidate.judgement is not None and not candidate.given:
            features[CLASSIFIER] = value
            features[CLASSIFIER_THRESHOLD] = candidate.judgement.threshold
        return Proposal(
            name=name,
            normal_form=form,
            confidence=value,
            method=_method(evidence, decider, candidate.judgement is not None),
            origin=Origin.HUMAN if candidate.given else Origin.MACHINE,
            evidence=tuple(evidence),
            tag_id=candidate.tag.id if candidate.tag else None,
            features=features,
            effects={**told, RULE: _lift(candidate.rule_confidence, told)} if by_rule and told else told,
        )

    def _similar_tags(self, inputs: Sequence[TaggerInput]) -> dict[int, list[tuple[Tag, float]]]:
        """Tags near each input's vector, by the input's number."""
        numbers: dict[str, list[int]] = {}
        for number, item in enumerate(inputs):
            if item.vector is not None and item.model is not None and item.model in self._vocabulary.vectors:
                numbers.setdefault(item.model, []).append(number)
        found: dict[int, list[tuple[Tag, float]]] = {}
        for model, group in numbers.items():
            vectors = np.stack([np.asarray(inputs[number].vector, np.float32) for number in group])
            rows = self._matcher.similar_tags(vectors, model)
            found.update(zip(group, rows, strict=True))
        return found

    def _is_blocked(self, form: str) -> bool:
        return form in self._rules.blocked or self._vocabulary.is_blocked(form)

    def _admits(self, name: str) -> bool:
        """Whether a phrase of a text is in the language people want their tags in."""
        wanted = self._parameters.tag_language
        return wanted == "content" or has_han(name) == wanted.startswith("zh")

    def _in_tag_language(self, name: str) -> str:
        wanted = self._parameters.tag_language
        if wanted == "zh-Hant":
            return self._language.to_traditional(name)
        if wanted == "zh-Hans":
            return self._language.to_simplified(name)
        return name


def _carrier(candidate: Candidate) -> Method:
    """The generator whose record with people counts for a candidate: the one that carries it, rules aside."""
    methods = {item.method for item in candidate.evidence}
    order = (Method.GIVEN, Method.VOCABULARY, Method.NEIGHBOUR, Method.CLASSIFIER)
    alone = Method.LLM if Method.LLM in methods and not candidate.occurrences else Method.KEYPHRASE
    return next((method for method in order if method in methods), alone)


def _lift(rule_confidence: float, told: Mapping[str, float]) -> float:
    """What a rule adds to the log-odds of all other reasons."""
    return round(log_odds_of(min(rule_confidence, 1 - 1e-6)) - sum(told.values()), 4)


def _effects(entry: Weighed, blended: BlendedWeights) -> dict[str, float]:
    """Log-odds by kind of reason: the classifier's where it judged, else the ranker's."""
    judgement = entry.candidate.judgement
    if judgement is None:
        return effects(entry.features, blended)
    return {BASE: judgement.base, **judgement.effects}


def _inside(probability: float) -> float:
    """The probability where log-odds are finite."""
    return min(max(probability, 1e-6), 1 - 1e-6)


def _method(evidence: Sequence[Evidence], decider: Method | None, judged: bool) -> Method:
    """The generator that carries a proposal: people, what decided it (rule, language model, classifier), reuse,
    new words."""
    methods = {item.method for item in evidence}
    order = (
        Method.GIVEN,
        Method.VOCABULARY,
        Method.NEIGHBOUR,
        Method.KEYPHRASE,
        Method.CLASSIFIER,
        Method.LLM,
        Method.RULE,
    )
    if decider is not None and Method.GIVEN not in methods:
        return decider
    if judged and Method.GIVEN not in methods and Method.CLASSIFIER in methods:
        return Method.CLASSIFIER
    return next(method for method in order if method in methods)
