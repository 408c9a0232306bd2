"""Tag texts that are in no database: the pipeline's tagger, with all it needs drawn from the texts at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from tagging_orchestration.core.engine import Models
from tagging_orchestration.core.errors import TooFewLabels
from tagging_orchestration.core.models import (
    Assignment,
    Content,
    GeneratedTags,
    Neighbour,
    NewTag,
    Origin,
    Tag,
    TaggerInput,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.tagging.adaptation import MINIMUM_TEXTS, Choices, adapt
from tagging_orchestration.core.tagging.classifier.bases import TagProfile
from tagging_orchestration.core.tagging.classifier.model import Example, TagClassifier
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText
from tagging_orchestration.core.tagging.classifier.training import train_classifier
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.counting import count_corpus
from tagging_orchestration.core.tagging.ranking import RankerWeights
from tagging_orchestration.core.tagging.selection import select
from tagging_orchestration.core.tagging.tagger import Tagger
from tagging_orchestration.core.vocabulary.admission import with_tags
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser

ORGANIZATION = "default"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Labelled texts are judged as if unseen: beside the tags and neighbours of the other folds.
_FOLDS = 4
_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Text:
    """One text, with the tags people gave it where they did."""

    id: str | int
    title: str
    body: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownTag:
    """A tag of the vocabulary to use: other spellings lead to it, the description is read by the models."""

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class _Vectors:
    """Unit rows of texts by model, with the number of the text each row belongs to."""

    model_of: Sequence[str]
    rows: Mapping[str, np.ndarray]
    row_of: Sequence[int]

    def of(self, number: int) -> np.ndarray:
        """The vector of a text."""
        return self.rows[self.model_of[number]][self.row_of[number]]

    def numbers(self, model: str) -> list[int]:
        """The texts of a model, in the order of its rows."""
        return [number for number, other in enumerate(self.model_of) if other == model]


class CorpusTagger:
    """The tagger of the pipeline over a vocabulary, corpus statistics and models made from given texts.

    `learn` takes people's tags on labelled texts as vocabulary and as neighbours' votes; `fit` also trains from
    them a classifier and, unless `closed`, the ranker's weights. `closed`: only the vocabulary is proposed from.
    """

    def __init__(self, models: Models, normaliser: Normaliser, parameters: TaggerSettings | None = None) -> None:
        self._models = models
        self._normaliser = normaliser
        self._parameters = parameters or TaggerSettings()
        self._labelled: list[Text] = []
        self._vectors = _Vectors([], {}, [])
        self._tags: dict[str, Tag] = {}
        self._aliases: dict[str, int] = {}
        self._tag_vectors: dict[str, TagVectors] = {}
        self._classifier: TagClassifier | None = None
        self._weights = models.ranker

    def fit(
        self, labelled: Sequence[Text], vocabulary: Iterable[KnownTag] = (), *, closed: bool = False
    ) -> CorpusTagger:
        """Learn from people's tags. Either may be empty; with neither, tags come from the texts alone."""
        self._parameters = self._parameters.model_copy(update={"closed_vocabulary": closed})
        self.learn(labelled, vocabulary)
        if self._labelled:
            self._classifier = self._train_classifier()
            if not closed:
                self._weights = self.adapted()
        return self

    def learn(self, labelled: Sequence[Text], vocabulary: Iterable[KnownTag] = ()) -> CorpusTagger:
        """Take over people's tags without training anything."""
        self._labelled = list(labelled)
        self._learn_vocabulary(vocabulary)
        self._vectors = self._encode(self._labelled)
        return self

    def adapted(self) -> RankerWeights:
        """The ranker's weights moved towards people's choices on the learned texts, each judged as if unseen.

        The weights themselves where there are fewer than `adaptation.MINIMUM_TEXTS` of them.
        """
        if len(self._labelled) < MINIMUM_TEXTS:
            return self._models.ranker
        choices = [choice for fold in range(_FOLDS) for choice in self._choices(fold)]
        return adapt(self._models.ranker, choices)

    def tag(self, texts: Sequence[Text], weights: RankerWeights | None = None) -> list[list[Assignment]]:
        """What each text would be assigned, best first; new tags stand as if admitted, with id 0.

        `weights` stand for the ranker's own, to compare rankers over the same vocabulary.
        """
        weights = weights or self._weights
        tagger = self._tagger(self._corpus(texts), self._tags.values(), weights, self._classifier)
        vectors = self._encode(texts)
        vocabulary = self._vocabulary(self._tags.values())
        carried = [self._forms(text) for text in self._labelled]
        assigned: list[list[Assignment]] = []
        for start in range(0, len(texts), _ROWS_AT_ONCE):
            numbers = range(start, min(start + _ROWS_AT_ONCE, len(texts)))
            inputs = [
                self._input(number, texts[number], vectors, self._neighbours(vectors, number, carried))
                for number in numbers
            ]
            assigned += [self._assignments(generated, vocabulary) for generated in tagger.tag(inputs)]
        return assigned

    # ------------------------------------------------------------------------------------------ learning

    def _learn_vocabulary(self, vocabulary: Iterable[KnownTag]) -> None:
        uses: Counter[str] = Counter(form for text in self._labelled for form in self._forms(text))
        names = {self._form(tag): tag for text in self._labelled for tag in reversed(text.tags)}
        known = {self._form(tag.name): tag for tag in vocabulary}
        for number, form in enumerate(sorted({*names, *known} - {""}), start=1):
            tag = known.get(form, KnownTag(names.get(form, form)))
            self._tags[form] = Tag(
                number,
                ORGANIZATION,
                tag.name,
                form,
                description=tag.description,
                origin=Origin.HUMAN,
                usage_count=uses[form],
            )
        for tag in known.values():
            for alias in tag.aliases:
                form = self._form(alias)
                if form and form not in self._tags:
                    self._aliases.setdefault(form, self._tags[self._form(tag.name)].id)
        self._tag_vectors = self._encode_tags()

    def _train_classifier(self) -> TagClassifier | None:
        examples = [self._example(number, text) for number, text in enumerate(self._labelled)]
        rows = {
            model: {int(i): v for i, v in zip(t.tag_ids, t.matrix, strict=True)}
            for model, t in self._tag_vectors.items()
        }
        aliases: dict[int, list[str]] = {}
        for form, tag_id in self._aliases.items():
            aliases.setdefault(tag_id, []).append(form)
        uses = Counter(form for text in self._labelled for form in self._forms(text))
        # Of a tag that one text has little can be learned; a closed vocabulary is judged whole, by its names.
        known = [tag for form, tag in self._tags.items() if self._parameters.closed_vocabulary or uses[form] > 1]
        profiles = [
            TagProfile(
                str(tag.id),
                (tag.name, *aliases.get(tag.id, ())),
                {model: vectors[tag.id] for model, vectors in rows.items() if tag.id in vectors},
            )
            for tag in known
        ]
        labels = [[str(self._tags[form].id) for form in self._forms(text)] for text in self._labelled]
        try:
            return train_classifier(examples, labels, profiles, self._models.language)
        except TooFewLabels:
            return None

    def _choices(self, fold: int) -> list[Choices]:
        """People's choices on the texts of one fold, beside the tags and neighbours of the others."""
        mine = [number for number in range(len(self._labelled)) if number % _FOLDS == fold]
        carried = [
            () if number % _FOLDS == fold else self._forms(text) for number, text in enumerate(self._labelled)
        ]
        uses = Counter(form for forms in carried for form in forms)
        tags = [replace(tag, usage_count=uses[form]) for form, tag in self._tags.items() if uses[form]]
        inputs = [
            self._input(
                number, self._labelled[number], self._vectors, self._neighbours(self._vectors, number, carried)
            )
            for number in mine
        ]
        weighed = self._tagger(self._corpus([]), tags, self._weights).weigh(inputs)
        choices = []
        for number, (text, entries) in zip(mine, weighed, strict=True):
            wanted = set(self._forms(self._labelled[number]))
            features = [entry.features for entry in entries]
            chosen = [entry.candidate.normal_form in wanted for entry in entries]
            choices.append(Choices(text.conversational, features, chosen))
        return choices

    # ------------------------------------------------------------------------------------------- tagging

    def _tagger(
        self,
        corpus: CorpusStatistics,
        tags: Iterable[Tag],
        weights: RankerWeights,
        classifier: TagClassifier | None = None,
    ) -> Tagger:
        return Tagger(
            parameters=self._parameters,
            language=self._models.language,
            normaliser=self._normaliser,
            vocabulary=self._vocabulary(tags),
            rules=self._models.rules,
            corpus=corpus,
            weights=weights,
            classifier=classifier,
            encode_phrases=self._models.embedder.encode_phrases,
        )

    def _vocabulary(self, tags: Iterable[Tag]) -> Vocabulary:
        return Vocabulary(ORGANIZATION, tags, self._aliases, self._tag_vectors)

    def _assignments(self, generated: GeneratedTags, vocabulary: Vocabulary) -> list[Assignment]:
        new = [
            NewTag(ORGANIZATION, proposal.name, proposal.normal_form, proposal.origin, "")
            for proposal in generated.proposals
            if proposal.tag_id is None and vocabulary.lookup(proposal.normal_form) is None
        ]
        chosen = select(generated, with_tags(vocabulary, new) if new else vocabulary, self._parameters)
        return [replace(assignment, tag_id=max(assignment.tag_id, 0)) for assignment in chosen]

    def _corpus(self, texts: Sequence[Text]) -> CorpusStatistics:
        """Statistics of these texts and the labelled ones; labels have no part in them."""
        everything = {(text.title, text.body): None for text in (*self._labelled, *texts)}
        sample = list(everything)[: self._parameters.corpus_sample]
        return count_corpus(
            ((f"{title}\n{body}", None) for title, body in sample),
            language=self._models.language,
            normaliser=self._normaliser,
        )

    def _neighbours(
        self, vectors: _Vectors, number: int, carried: Sequence[tuple[str, ...]]
    ) -> tuple[Neighbour, ...]:
        """The most similar labelled texts that carry tags."""
        model = vectors.model_of[number]
        if model not in self._vectors.rows:
            return ()
        similarities = self._vectors.rows[model] @ vectors.of(number)
        labelled = self._vectors.numbers(model)
        nearest: list[Neighbour] = []
        for row in np.argsort(-similarities, kind="stable"):
            other = labelled[row]
            if carried[other]:
                forms = carried[other]
                tags = tuple((self._tags[form].id, 1.0, Origin.HUMAN) for form in forms)
                nearest.append(Neighbour(other, float(min(1.0, similarities[row])), tags))
            if len(nearest) == self._parameters.neighbours:
                break
        return tuple(nearest)

    def _input(self, number: int, text: Text, vectors: _Vectors, neighbours: tuple[Neighbour, ...]) -> TaggerInput:
        return TaggerInput(_content(number, text), vectors.of(number), vectors.model_of[number], neighbours)

    def _example(self, number: int, text: Text) -> Example:
        return Example(
            ClassifierText(text.title, text.body), self._vectors.of(number), self._vectors.model_of[number]
        )

    def _encode(self, texts: Sequence[Text]) -> _Vectors:
        embedder = self._models.embedder
        whole = [_content(number, text).text for number, text in enumerate(texts)]
        model_of = [embedder.model_for(text) for text in whole]
        row_of = [0] * len(texts)
        rows: dict[str, np.ndarray] = {}
        for model in sorted(set(model_of)):
            numbers = [number for number, other in enumerate(model_of) if other == model]
            rows[model] = embedder.encode(model, [whole[number] for number in numbers])
            for row, number in enumerate(numbers):
                row_of[number] = row
        return _Vectors(model_of, rows, row_of)

    def _encode_tags(self) -> dict[str, TagVectors]:
        embedder = self._models.embedder
        by_model: dict[str, list[Tag]] = {}
        for tag in self._tags.values():
            by_model.setdefault(embedder.model_for(tag.name), []).append(tag)
        return {
            model: TagVectors(
                np.array([tag.id for tag in tags]), embedder.encode(model, [tag.embedded_text for tag in tags])
            )
            for model, tags in by_model.items()
        }

    def _forms(self, text: Text) -> tuple[str, ...]:
        return tuple(dict.fromkeys(form for form in map(self._form, text.tags) if form))

    def _form(self, name: str) -> str:
        return self._normaliser.normal_form(name)


def _content(number: int, text: Text) -> Content:
    return Content(
        id=number,
        organization_id=ORGANIZATION,
        source="file",
        external_id=str(text.id),
        title=text.title,
        body=text.body,
        language=None,
        given_tags=(),
        created_at=_EPOCH,
        text_hash="",
        input_hash="",
    )
