"""The tagging engine: embed, generate, admit and publish what is pending, batch by batch, over ports.

One engine serves the Dagster assets, the live worker and `tagging try`, so all give the same result. Every batch
is committed by the store it is handed to; no transaction is open while a model works.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tagging_orchestration.core.errors import TaggingError, TransientError
from tagging_orchestration.core.fingerprints import version_hash
from tagging_orchestration.core.models import (
    Assignment,
    ChangeContext,
    Content,
    Decision,
    EmbeddingRow,
    Failure,
    GeneratedTags,
    LlmProposals,
    ModelKind,
    NewTag,
    PublishReport,
    Scope,
    Tag,
    TaggerInput,
)
from tagging_orchestration.core.parameters import TaggerSettings
from tagging_orchestration.core.ports import (
    AssignmentStore,
    ContentStore,
    CorpusStore,
    Embedder,
    EmbeddingStore,
    FeedbackStore,
    GeneratedStore,
    LanguageTools,
    LlmProposalStore,
    Progress,
    TaggerVersionStore,
    TrainedModelStore,
    VocabularyStore,
)
from tagging_orchestration.core.quality import decision_faults, proposal_faults
from tagging_orchestration.core.tagging.calibration import IDENTITY
from tagging_orchestration.core.tagging.classifier.model import TagClassifier
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.tagging.counting import count_corpus
from tagging_orchestration.core.tagging.ranking import RankerWeights
from tagging_orchestration.core.tagging.rules import RuleSet
from tagging_orchestration.core.tagging.selection import select
from tagging_orchestration.core.tagging.tagger import TAGGER_CODE_VERSION, Tagger
from tagging_orchestration.core.vocabulary.admission import admit, unknown_forms, with_tags
from tagging_orchestration.core.vocabulary.index import Vocabulary
from tagging_orchestration.core.vocabulary.normalise import Normaliser

VECTOR_BATCH = 2048


def silent(done: int, total: int) -> None:
    """A progress callback that tells nobody."""


@dataclass(frozen=True, slots=True)
class Stores:
    """All stores the engine works on; `llm_proposals` only where a language model's word counts."""

    contents: ContentStore
    embeddings: EmbeddingStore
    vocabulary: VocabularyStore
    generated: GeneratedStore
    assignments: AssignmentStore
    corpus: CorpusStore
    versions: TaggerVersionStore
    feedback: FeedbackStore
    trained_models: TrainedModelStore
    llm_proposals: LlmProposalStore | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """Everything that judges text: models, language knowledge, rules and the ranker's weights."""

    embedder: Embedder
    language: LanguageTools
    rules: RuleSet
    ranker: RankerWeights


@dataclass(slots=True)
class EmbedReport:
    """What `embed` did: texts looked at, encoded now, found in the store; per model."""

    contents: int = 0
    encoded: int = 0
    reused: int = 0
    by_model: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class GenerateReport:
    """What `generate` did. `samples` holds a few results for people to look at."""

    contents: int = 0
    reused: int = 0
    proposals: int = 0
    failed: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    samples: list[GeneratedTags] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Tags for a text that is not stored: what would be assigned now, and everything that was proposed."""

    generated: GeneratedTags
    assignments: tuple[Assignment, ...]


class TaggingEngine:
    """Runs the tagger over pending contents. Holds no state but caches that can be rebuilt."""

    def __init__(
        self,
        stores: Stores,
        models: Models,
        parameters: TaggerSettings,
        *,
        fold_chinese_script: bool = True,
        batch_size: int = 512,
    ) -> None:
        self.stores = stores
        self.models = models
        self.parameters = parameters
        self.batch_size = batch_size
        self.normaliser = Normaliser(models.language, fold_chinese_script)
        self._version_ids: dict[str, int] = {}
        self._classifiers: dict[str, TagClassifier] = {}
        self._rankers: dict[str, RankerWeights] = {}

    # ------------------------------------------------------------------------------------------ versions

    def version_components(self) -> Mapping[str, Any]:
        """What makes an assignment: the parts of the tagger version."""
        components = {
            "code": TAGGER_CODE_VERSION,
            "embedding": self.models.embedder.fingerprint,
            "ranker": self.models.ranker.version,
            "rules": self.models.rules.fingerprint,
            "parameters": self.parameters.model_dump(mode="json"),
        }
        calibrations = self.stores.feedback.calibrations()
        if calibrations:
            components["calibration"] = {name: item.version for name, item in calibrations.items()}
            components["threshold"] = {name: self.threshold(name) for name in calibrations}
        classifiers = self.stores.trained_models.active_versions(ModelKind.CLASSIFIER)
        if classifiers:
            components["classifier"] = dict(classifiers)
        rankers = self.stores.trained_models.active_versions(ModelKind.RANKER)
        if rankers:
            components["adapted_ranker"] = dict(rankers)
        return components

    @property
    def version_id(self) -> int:
        """Id of the present tagger version, registered at first sight."""
        components = self.version_components()
        known = version_hash(components)
        if known not in self._version_ids:
            self._version_ids[known] = self.stores.versions.ensure(components)
        return self._version_ids[known]

    def threshold(self, organization_id: str) -> float:
        """The confidence from which on a machine's tag is assigned: as set, else as people's answers ask for."""
        calibration = self.stores.feedback.calibrations().get(organization_id, IDENTITY)
        if calibration.threshold is None or "min_confidence" in self.parameters.model_fields_set:
            return self.parameters.min_confidence
        return calibration.threshold

    def selection_parameters(self, organization_id: str) -> TaggerSettings:
        """The tagger's parameters with the threshold of this organisation."""
        return self.parameters.model_copy(update={"min_confidence": self.threshold(organization_id)})

    # --------------------------------------------------------------------------------------------- steps

    def embed(self, scope: Scope, progress: Progress = silent) -> EmbedReport:
        """Store the missing vectors of pending contents. Texts already embedded cost a look-up."""
        report = EmbedReport()
        ids = self.stores.contents.pending_ids(scope, self.version_id)
        for batch in self._batches(ids, progress):
            for model, contents in self._by_model(batch).items():
                for organization_id, group in _by_organization(contents).items():
                    self._embed_group(organization_id, model, group, report)
            report.contents += len(batch)
        if report.encoded:
            for model in report.by_model:
                self.stores.embeddings.ensure_index(model, self.models.embedder.dimension(model))
        return report

    def generate(self, scope: Scope, progress: Progress = silent) -> GenerateReport:
        """Propose tags for pending contents and stage them, ranked, with evidence.

        Proposals staged before from the same input and tagger version are kept. A content whose text breaks the
        tagger becomes a dead letter with its reason; the others go on.
        """
        report = GenerateReport()
        ids = self.stores.contents.pending_ids(scope, self.version_id)
        fresh = self.stores.generated.fresh_ids(ids, self.version_id) if ids else set()
        report.reused = len(fresh)
        taggers: dict[str, Tagger] = {}
        for batch in self._batches([content_id for content_id in ids if content_id not in fresh], progress):
            for organization_id, contents in _by_organization(batch).items():
                if organization_id not in taggers:
                    taggers[organization_id] = self.tagger(organization_id)
                inputs = self._with_llm(self._inputs(organization_id, contents))
                generated, failures = self._tag_batch(taggers[organization_id], inputs)
                self.stores.generated.save(generated, self.version_id)
                if failures:
                    self.stores.contents.mark_failed(failures, self.version_id)
                _count(report, generated, failures)
        return report

    def admit(self, scope: Scope, context: ChangeContext) -> list[Tag]:
        """Create the tags that staged proposals of pending contents need and the corpus supports."""
        created: list[Tag] = []
        ids = self.stores.contents.pending_ids(scope, self.version_id)
        staged: dict[str, list[GeneratedTags]] = defaultdict(list)
        for start in range(0, len(ids), self.batch_size):
            for generated in self.stores.generated.load(ids[start : start + self.batch_size]):
                staged[generated.organization_id].append(generated)
        for organization_id, generated_tags in staged.items():
            vocabulary = self.stores.vocabulary.load(organization_id)
            new_tags = self._admissible(organization_id, generated_tags, vocabulary)
            if new_tags:
                created += self.stores.vocabulary.create_tags(new_tags, context)
        return created

    def embed_tags(self, organization_id: str) -> int:
        """Store the missing vectors of tag names, each under the model that can judge it."""
        embedder = self.models.embedder
        stored = 0
        model_of_name: dict[str, list[Tag]] = defaultdict(list)
        seen: set[str] = set()
        for model in self._tag_models(organization_id):
            for tag in self.stores.vocabulary.tags_without_vector(organization_id, model):
                if embedder.model_for(tag.name) == model and tag.normal_form not in seen:
                    seen.add(tag.normal_form)
                    model_of_name[model].append(tag)
        for model, tags in model_of_name.items():
            for start in range(0, len(tags), VECTOR_BATCH):
                chunk = tags[start : start + VECTOR_BATCH]
                vectors = embedder.encode(model, [tag.embedded_text for tag in chunk])
                self.stores.vocabulary.save_tag_vectors(
                    model, {tag.id: vector for tag, vector in zip(chunk, vectors, strict=True)}
                )
                stored += len(chunk)
        return stored

    def publish(self, scope: Scope, context: ChangeContext, progress: Progress = silent) -> PublishReport:
        """Assign the staged proposals of pending contents through the present vocabulary.

        A content without fresh staged proposals keeps what it has and stays pending. Rows that break a blocking
        rule are not published; they become dead letters.
        """
        total = PublishReport()
        ids = self.stores.contents.pending_ids(scope, self.version_id)
        fresh = self.stores.generated.fresh_ids(ids, self.version_id) if ids else set()
        ready = [content_id for content_id in ids if content_id in fresh]
        known: dict[str, tuple[Vocabulary, TaggerSettings]] = {}
        for start in range(0, len(ready), self.batch_size):
            decisions, failures = [], []
            batch = ready[start : start + self.batch_size]
            verdicts = self.stores.feedback.verdicts(batch)
            for generated in self.stores.generated.load(batch):
                name = generated.organization_id
                if name not in known:
                    known[name] = self.stores.vocabulary.load(name), self.selection_parameters(name)
                vocabulary, parameters = known[name]
                decision = _decide(generated, vocabulary, parameters, verdicts.get(generated.content_id, {}))
                faults = decision_faults(decision, self.parameters)
                if faults:
                    failures.append(_faulty(generated, faults))
                else:
                    decisions.append(decision)
            total += self.stores.assignments.publish(decisions, self.version_id, context)
            if failures:
                self.stores.contents.mark_failed(failures, self.version_id)
            progress(min(start + self.batch_size, len(ready)), len(ready))
        return total

    def suggest(self, content: Content, llm: LlmProposals | None = None) -> Suggestion:
        """Tags for a content that need not be stored (id 0): nothing is written. `llm` is what a language model
        proposes for it.

        Proposals that are not in the vocabulary yet stand as they would after admission, with tag id 0.
        """
        return self.suggest_all([content], {content.id: llm} if llm else {})[0]

    def suggest_all(
        self, contents: Sequence[Content], llm: Mapping[int, LlmProposals] | None = None
    ) -> list[Suggestion]:
        """The same for several contents with different ids, in order; without `llm`, what is stored counts."""
        found: dict[int, Suggestion] = {}
        for organization_id, group in _by_organization(contents).items():
            inputs = self._inputs_with_vectors(organization_id, group)
            generated = self.tagger(organization_id).tag(self._with_llm(inputs, llm))
            vocabulary = self.stores.vocabulary.load(organization_id)
            extended = with_tags(vocabulary, self._admissible(organization_id, generated, vocabulary))
            parameters = self.selection_parameters(organization_id)
            for row in generated:
                assignments = tuple(
                    replace(assignment, tag_id=max(assignment.tag_id, 0))
                    for assignment in select(row, extended, parameters)
                )
                found[row.content_id] = Suggestion(row, assignments)
        return [found[content.id] for content in contents]

    # ----------------------------------------------------------------------------------------- ingredients

    def inputs(self, contents: Sequence[Content]) -> list[TaggerInput]:
        """What the tagger knows of contents before it looks at their words, in their order: vectors, encoded where
        none is stored, and neighbours. Nothing is written."""
        found = {
            item.content.id: item
            for organization_id, group in _by_organization(contents).items()
            for item in self._inputs_with_vectors(organization_id, group)
        }
        return [found[content.id] for content in contents]

    def tagger(self, organization_id: str) -> Tagger:
        """The tagger over this organisation's present vocabulary and corpus statistics."""
        return Tagger(
            parameters=self.parameters,
            language=self.models.language,
            normaliser=self.normaliser,
            vocabulary=self.stores.vocabulary.load(organization_id),
            rules=self.models.rules,
            corpus=self.corpus(organization_id),
            weights=self.ranker(organization_id),
            calibration=self.stores.feedback.calibrations().get(organization_id, IDENTITY),
            classifier=self.classifier(organization_id),
            encode_phrases=self.models.embedder.encode_phrases,
        )

    def classifier(self, organization_id: str) -> TagClassifier | None:
        """The organisation's active classifier, None while there is none; read again only after a promotion.

        Raises ConfigurationError when the stored one is of another version of this project.
        """
        version = self.stores.trained_models.active_versions(ModelKind.CLASSIFIER).get(organization_id)
        if version is None:
            return None
        known = self._classifiers.get(organization_id)
        if known is None or known.version != version:
            model = self.stores.trained_models.active(organization_id, ModelKind.CLASSIFIER)
            if model is None:
                return None
            payload = self.stores.trained_models.payload(model.id)
            known = self._classifiers[organization_id] = TagClassifier.from_bytes(payload, self.models.language)
        return known

    def ranker(self, organization_id: str) -> RankerWeights:
        """The weights adapted to the organisation's tags where they are in use, else the configured ones.

        Raises ConfigurationError when the stored ones are of another version of this project.
        """
        version = self.stores.trained_models.active_versions(ModelKind.RANKER).get(organization_id)
        if version is None:
            return self.models.ranker
        known = self._rankers.get(version)
        if known is None:
            model = self.stores.trained_models.active(organization_id, ModelKind.RANKER)
            if model is None:
                return self.models.ranker
            data = json.loads(self.stores.trained_models.payload(model.id))
            known = self._rankers[version] = RankerWeights.from_mapping(data, f"trained model {model.id}")
        return known

    def corpus(self, organization_id: str) -> CorpusStatistics:
        """Stored corpus statistics, drawn anew when the corpus outgrew them."""
        known = self.stores.corpus.load(organization_id)
        size = self.stores.contents.size(organization_id)
        if known is not None and not known.outgrown_by(size):
            return known
        sample = self.stores.contents.sample_texts(organization_id, self.parameters.corpus_sample)
        counted = count_corpus(sample, language=self.models.language, normaliser=self.normaliser)
        statistics = replace(counted, corpus_size=size)
        self.stores.corpus.save(organization_id, statistics)
        return statistics

    # --------------------------------------------------------------------------------------------- inside

    def _admissible(
        self, organization_id: str, generated: Sequence[GeneratedTags], vocabulary: Vocabulary
    ) -> list[NewTag]:
        proposed = self.stores.generated.support(organization_id, unknown_forms(generated, vocabulary))
        parameters = self.selection_parameters(organization_id)
        return admit(generated, vocabulary, self.corpus(organization_id), parameters, proposed)

    def _batches(self, ids: Sequence[int], progress: Progress) -> Iterator[list[Content]]:
        for start in range(0, len(ids), self.batch_size):
            yield self.stores.contents.load(ids[start : start + self.batch_size])
            progress(min(start + self.batch_size, len(ids)), len(ids))

    def _by_model(self, contents: Sequence[Content]) -> dict[str, list[Content]]:
        groups: dict[str, list[Content]] = defaultdict(list)
        for content in contents:
            groups[self.models.embedder.model_for(content.text)].append(content)
        return groups

    def _embed_group(
        self, organization_id: str, model: str, contents: Sequence[Content], report: EmbedReport
    ) -> None:
        texts = {content.text_hash: content.text for content in contents}
        existing = self.stores.embeddings.existing(organization_id, model, list(texts))
        missing = {text_hash: text for text_hash, text in texts.items() if text_hash not in existing}
        report.reused += len(contents) - len(missing)
        if not missing:
            return
        vectors = self.models.embedder.encode(model, list(missing.values()))
        rows = [
            EmbeddingRow(organization_id, text_hash, model, vector)
            for text_hash, vector in zip(missing, vectors, strict=True)
        ]
        self.stores.embeddings.save(rows)
        report.encoded += len(rows)
        report.by_model[model] += len(rows)

    def _inputs(self, organization_id: str, contents: Sequence[Content]) -> list[TaggerInput]:
        inputs = []
        for model, group in self._by_model(contents).items():
            hashes = [content.text_hash for content in group]
            vectors = self.stores.embeddings.vectors(organization_id, model, hashes)
            queries = [
                (content.id, vectors[content.text_hash]) for content in group if content.text_hash in vectors
            ]
            neighbours = self.stores.embeddings.neighbours(
                organization_id, model, queries, self.parameters.neighbours
            )
            inputs += [
                TaggerInput(content, vectors.get(content.text_hash), model, neighbours.get(content.id, ()))
                for content in group
            ]
        return inputs

    def _inputs_with_vectors(self, organization_id: str, contents: Sequence[Content]) -> list[TaggerInput]:
        """Inputs whose vectors are encoded where none is stored; nothing is written."""
        inputs = []
        for model, group in self._by_model(contents).items():
            texts = {content.text_hash: content.text for content in group}
            vectors = dict(self.stores.embeddings.vectors(organization_id, model, list(texts)))
            missing = [text_hash for text_hash in texts if text_hash not in vectors]
            if missing:
                encoded = self.models.embedder.encode(model, [texts[text_hash] for text_hash in missing])
                vectors |= dict(zip(missing, encoded, strict=True))
            queries = [(content.id, vectors[content.text_hash]) for content in group]
            neighbours = self.stores.embeddings.neighbours(
                organization_id, model, queries, self.parameters.neighbours
            )
            inputs += [
                TaggerInput(content, vectors[content.text_hash], model, neighbours.get(content.id, ()))
                for content in group
            ]
        return inputs

    def _with_llm(
        self, inputs: Sequence[TaggerInput], llm: Mapping[int, LlmProposals] | None = None
    ) -> list[TaggerInput]:
        """The inputs with what a language model proposed for them."""
        if llm is None:
            store = self.stores.llm_proposals
            llm = store.load([item.content for item in inputs]) if store else {}
        return [replace(item, llm=llm.get(item.content.id)) for item in inputs] if llm else list(inputs)

    def _tag_batch(
        self, tagger: Tagger, inputs: Sequence[TaggerInput]
    ) -> tuple[list[GeneratedTags], list[Failure]]:
        try:
            generated = tagger.tag(inputs)
        except TransientError:
            raise
        except Exception as error:
            if len(inputs) == 1:
                return [], [_failure(inputs[0].content, error)]
            results = [self._tag_batch(tagger, [item]) for item in inputs]
            return (
                [row for rows, _ in results for row in rows],
                [failure for _, failures in results for failure in failures],
            )
        good, failures = [], []
        for row in generated:
            faults = proposal_faults(row)
            if faults:
                failures.append(_faulty(row, faults))
            else:
                good.append(row)
        return good, failures

    def _tag_models(self, organization_id: str) -> list[str]:
        vocabulary = self.stores.vocabulary.load(organization_id)
        return sorted({self.models.embedder.model_for(tag.name) for tag in vocabulary.active()})


def _decide(
    generated: GeneratedTags, vocabulary: Vocabulary, parameters: TaggerSettings, verdicts: Mapping[int, bool]
) -> Decision:
    """The assignments one content shall have, from its proposals, the vocabulary and what people said."""
    chosen = select(generated, vocabulary, parameters, verdicts)
    return Decision(generated.content_id, generated.organization_id, generated.input_hash, chosen)


def _by_organization(contents: Sequence[Content]) -> dict[str, list[Content]]:
    groups: dict[str, list[Content]] = defaultdict(list)
    for content in contents:
        groups[content.organization_id].append(content)
    return groups


def _failure(content: Content, error: Exception) -> Failure:
    kind = "" if isinstance(error, TaggingError) else f"{type(error).__name__}: "
    return Failure(content.id, f"{kind}{error}", permanent=True, input_hash=content.input_hash)


def _faulty(generated: GeneratedTags, faults: Sequence[str]) -> Failure:
    return Failure(generated.content_id, "; ".join(faults), permanent=True, input_hash=generated.input_hash)


SAMPLES = 5


def _count(report: GenerateReport, generated: Sequence[GeneratedTags], failures: Sequence[Failure]) -> None:
    report.contents += len(generated)
    report.failed += len(failures)
    for row in generated:
        report.languages[row.language] += 1
        report.proposals += len(row.proposals)
        report.methods.update(str(proposal.method) for proposal in row.proposals)
    report.samples += generated[: SAMPLES - len(report.samples)]
