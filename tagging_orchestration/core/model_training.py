"""Training of an organisation's models from its labels: what to learn from, and whether the result may take over.

Contents are held out by a hash of their text, so that no model is ever judged on what it learned from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tagging_orchestration.core.engine import TaggingEngine
from tagging_orchestration.core.errors import ConfigurationError, TooFewLabels
from tagging_orchestration.core.models import (
    LabelledContent,
    ModelKind,
    ModelStatus,
    NewModel,
    Origin,
    Tag,
    TrainedModel,
)
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.core.tagging.adaptation import MINIMUM_TEXTS
from tagging_orchestration.core.tagging.classifier.bases import TagProfile
from tagging_orchestration.core.tagging.classifier.evaluation import Comparison, Scores, compare
from tagging_orchestration.core.tagging.classifier.model import FORMAT, Example, TagClassifier
from tagging_orchestration.core.tagging.classifier.texts import ClassifierText
from tagging_orchestration.core.tagging.classifier.training import train_classifier
from tagging_orchestration.core.tagging.corpus_tagger import CorpusTagger, Text
from tagging_orchestration.core.tagging.ranking import RankerWeights
from tagging_orchestration.core.tagging.tagger import TAGGER_CODE_VERSION
from tagging_orchestration.core.vocabulary.index import Vocabulary

# One labelled content in so many is held out.
HELD_OUT = 10
TAGS_IN_METRICS = 200
# Training costs texts × tags: at these bounds it takes hours. The newest texts and the most used tags stay.
MOST_TEXTS = 30_000
MOST_TAGS = 2_000
MOST_RANKED = 2_000


@dataclass(frozen=True, slots=True)
class Training:
    """What one training did. `model` is None when there is too little to learn from; `reason` says so in words.

    `is_new` is False when the labels were trained from before: nothing was trained then.
    """

    organization_id: str
    kind: ModelKind
    model: TrainedModel | None
    is_new: bool
    reason: str
    comparison: Comparison | None = None

    @property
    def promoted(self) -> bool:
        """Whether this model is the one in use now."""
        return self.model is not None and self.model.status is ModelStatus.ACTIVE


Trainer = Callable[[TaggingEngine, str, str, Progress], Training]


def train_tag_classifier(engine: TaggingEngine, organization_id: str, actor: str, progress: Progress) -> Training:
    """Train the organisation's classifier from what people tagged; it takes over if it is no worse.

    Labels that were trained from before cost a look-up.
    """
    models = engine.stores.trained_models
    version = _version(models.labels_fingerprint(organization_id), engine.models.embedder.fingerprint)
    known = models.find(organization_id, ModelKind.CLASSIFIER, version)
    if known is not None:
        return Training(organization_id, known.kind, known, False, "the labels are those of the last training")
    vocabulary = engine.stores.vocabulary.load(organization_id)
    labelled = _resolved(models.labelled_contents(organization_id), vocabulary)
    learned = [content for content in labelled if not is_held_out(content.text_hash)][-MOST_TEXTS:]
    held_out = [content for content in labelled if is_held_out(content.text_hash)]
    tags = profiles(vocabulary, learned)
    try:
        classifier = train_classifier(
            _examples(engine, organization_id, learned),
            [{str(tag_id) for tag_id in content.labels} for content in learned],
            tags,
            engine.models.language,
            unknown=[{str(tag_id) for tag_id in content.unknown} for content in learned],
            version=version,
            progress=progress,
        )
    except TooFewLabels as error:
        return Training(organization_id, ModelKind.CLASSIFIER, None, False, str(error))
    comparison = _judge(engine, organization_id, classifier, held_out)
    model = models.add(
        NewModel(
            organization_id,
            ModelKind.CLASSIFIER,
            version,
            classifier.to_bytes(),
            {
                "texts": len(learned),
                "tags": sum(count > 0 for count in classifier.counts.tolist()),
                "labels": int(classifier.counts.sum()),
            },
            metrics_of(comparison, vocabulary),
        )
    )
    if comparison.no_worse:
        model = models.promote(model.id, actor)
    return Training(organization_id, model.kind, model, True, comparison.reason, comparison)


def train_ranker(engine: TaggingEngine, organization_id: str, actor: str, progress: Progress) -> Training:
    """Move the shipped ranker weights towards what people tagged; they take over if they are no worse.

    The newest MOST_RANKED labelled contents teach, since a ranker has few weights. Labels that were trained from
    before cost a look-up.
    """
    models = engine.stores.trained_models
    base = f"{engine.models.ranker.version}:{TAGGER_CODE_VERSION}:{engine.models.embedder.fingerprint}"
    version = _version(models.labels_fingerprint(organization_id), base)
    known = models.find(organization_id, ModelKind.RANKER, version)
    if known is not None:
        return Training(organization_id, known.kind, known, False, "the labels are those of the last training")
    vocabulary = engine.stores.vocabulary.load(organization_id)
    labelled = [
        content for content in _resolved(models.labelled_contents(organization_id), vocabulary) if content.labels
    ]
    learned = [content for content in labelled if not is_held_out(content.text_hash)][-MOST_RANKED:]
    held_out = [content for content in labelled if is_held_out(content.text_hash)][-MOST_RANKED:]
    if len(learned) < MINIMUM_TEXTS:
        reason = f"{len(learned)} contents with people's tags to learn from: at least {MINIMUM_TEXTS} are needed"
        return Training(organization_id, ModelKind.RANKER, None, False, reason)
    texts, asked = ([_as_text(content, vocabulary) for content in part] for part in (learned, held_out))
    progress(0, 2)
    tagger = CorpusTagger(engine.models, engine.normaliser, engine.parameters).learn(texts)
    weights = tagger.adapted()
    progress(1, 2)
    found = [
        [{assignment.name for assignment in assignments} for assignments in tagger.tag(asked, ranker)]
        for ranker in (weights, _present_ranker(engine, organization_id))
    ]
    # Most tags of an open vocabulary are on one held-out text or none: their mean says nothing.
    comparison = compare(found[0], found[1], [set(text.tags) for text in asked], macro=False)
    progress(2, 2)
    model = models.add(
        NewModel(
            organization_id,
            ModelKind.RANKER,
            version,
            json.dumps(weights.to_mapping()).encode(),
            {"texts": len(learned), "labels": sum(len(text.tags) for text in texts)},
            {
                "no_worse": comparison.no_worse,
                "reason": comparison.reason,
                "new": _micro_macro(comparison.new),
                "old": _micro_macro(comparison.old),
            },
        )
    )
    if comparison.no_worse:
        model = models.promote(model.id, actor)
    return Training(organization_id, model.kind, model, True, comparison.reason, comparison)


# Every kind of model that is trained from people's tags, in order.
TRAINERS: tuple[Trainer, ...] = (train_tag_classifier, train_ranker)


def is_held_out(text_hash: str) -> bool:
    """Whether a labelled content is kept for judging, never for learning; the same in every training."""
    return int(hashlib.sha256(text_hash.encode()).hexdigest()[:8], 16) % HELD_OUT == 0


def profiles(vocabulary: Vocabulary, labelled: Sequence[LabelledContent]) -> list[TagProfile]:
    """The tags a classifier shall know: those with examples, and people's own without any, by their names.

    At most MOST_TAGS, those with most examples; the ranker goes on judging the others.
    """
    used = Counter(tag_id for content in labelled for tag_id in content.labels)
    candidates = [tag for tag in vocabulary.active() if tag.id in used or _is_peoples(tag)]
    kept = sorted(candidates, key=lambda tag: (-used[tag.id], tag.id))[:MOST_TAGS]
    aliases: dict[int, list[str]] = defaultdict(list)
    for form in sorted(vocabulary.aliases):
        tag = vocabulary.resolve(form)
        if tag is not None:
            aliases[tag.id].append(form)
    rows = {
        model: {int(tag_id): row for row, tag_id in enumerate(vectors.tag_ids)}
        for model, vectors in vocabulary.vectors.items()
    }
    return [
        TagProfile(
            str(tag.id),
            (tag.name, *aliases[tag.id]),
            {
                model: vocabulary.vectors[model].matrix[known[tag.id]]
                for model, known in rows.items()
                if tag.id in known
            },
        )
        for tag in sorted(kept, key=lambda tag: tag.id)
    ]


def metrics_of(comparison: Comparison, vocabulary: Vocabulary) -> dict[str, Any]:
    """A comparison as stored with the model; tags by name, the most used first."""
    told: dict[str, Any] = {"no_worse": comparison.no_worse, "reason": comparison.reason}
    for name, scores in (("new", comparison.new), ("old", comparison.old)):
        if scores is not None:
            values = asdict(scores)
            ordered = sorted(values["tags"], key=lambda row: (-row["support"], row["tag"]))[:TAGS_IN_METRICS]
            named = ({**row, "tag": _name(row["tag"], vocabulary)} for row in ordered)
            told[name] = {**values, "tags": list(named)}
    return told


def _judge(
    engine: TaggingEngine, organization_id: str, classifier: TagClassifier, held_out: Sequence[LabelledContent]
) -> Comparison:
    """The new classifier beside the active one on the held-out contents; unjudged tags count neither way."""
    examples = _examples(engine, organization_id, held_out)
    try:
        active = engine.classifier(organization_id)
    except ConfigurationError:
        # Of another version of this project: it can judge nothing any more.
        active = None
    return compare(
        _applied(classifier, examples, held_out),
        _applied(active, examples, held_out) if active else None,
        [{str(tag_id) for tag_id in content.labels} for content in held_out],
    )


def _applied(
    classifier: TagClassifier, examples: Sequence[Example], contents: Sequence[LabelledContent]
) -> list[set[str]]:
    predicted = classifier.predict(examples)
    return [
        {row.tag for row in rows if row.applied} - {str(tag_id) for tag_id in content.unknown}
        for rows, content in zip(predicted, contents, strict=True)
    ]


def _examples(engine: TaggingEngine, organization_id: str, contents: Sequence[LabelledContent]) -> list[Example]:
    """The contents with their stored vectors."""
    by_model: dict[str, list[str]] = defaultdict(list)
    models = [engine.models.embedder.model_for(content.text) for content in contents]
    for content, model in zip(contents, models, strict=True):
        by_model[model].append(content.text_hash)
    vectors = {
        model: engine.stores.embeddings.vectors(organization_id, model, hashes)
        for model, hashes in by_model.items()
    }
    return [
        Example(ClassifierText(content.title, content.body), vectors[model].get(content.text_hash), model)
        for content, model in zip(contents, models, strict=True)
    ]


def _resolved(contents: Sequence[LabelledContent], vocabulary: Vocabulary) -> list[LabelledContent]:
    """The contents with labels that are active tags today, merges followed."""
    return [
        LabelledContent(
            content.content_id,
            content.title,
            content.body,
            content.text_hash,
            labels=_current(content.labels, vocabulary),
            unknown=_current(content.unknown, vocabulary) - _current(content.labels, vocabulary),
        )
        for content in contents
    ]


def _current(tag_ids: frozenset[int], vocabulary: Vocabulary) -> frozenset[int]:
    tags = (vocabulary.current(tag_id) for tag_id in tag_ids)
    return frozenset(tag.id for tag in tags if tag is not None)


def _is_peoples(tag: Tag) -> bool:
    return tag.origin is Origin.HUMAN or tag.pinned


def _name(key: str, vocabulary: Vocabulary) -> str:
    tag = vocabulary.tags.get(int(key))
    return tag.name if tag else key


def _as_text(content: LabelledContent, vocabulary: Vocabulary) -> Text:
    """The content as a labelled text, its tags by name."""
    names = (vocabulary.tags[tag_id].name for tag_id in sorted(content.labels))
    return Text(content.content_id, content.title, content.body, tuple(names))


def _present_ranker(engine: TaggingEngine, organization_id: str) -> RankerWeights:
    """The weights in use; the shipped ones where those are of another version of this project."""
    try:
        return engine.ranker(organization_id)
    except ConfigurationError:
        return engine.models.ranker


def _micro_macro(scores: Scores | None) -> dict[str, float]:
    """What `tagging models` shows of a comparison; single tags say little of a ranker."""
    return {"texts": scores.texts, "micro_f1": scores.micro_f1, "macro_f1": scores.macro_f1} if scores else {}


def _version(labels: str, embedding: str) -> str:
    return hashlib.sha256(f"{FORMAT}:{embedding}:{labels}".encode()).hexdigest()[:16]
