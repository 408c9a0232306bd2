"""The composition root: settings in, stores, models and engine out. Everything heavy is made at first use."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import Settings, get_settings

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.clients.embedder import RoutedEmbedder
    from tagging_orchestration.clients.language import LibraryLanguageTools
    from tagging_orchestration.core.engine import Models, Stores, TaggingEngine
    from tagging_orchestration.core.enhancement.models import Masker
    from tagging_orchestration.core.ports import Embedder
    from tagging_orchestration.core.vocabulary.merge import Matcher
    from tagging_orchestration.core.vocabulary.normalise import Normaliser


def proposes_tags(settings: Settings) -> bool:
    """Whether a language model may be a generator of tags, as far as tagging.yaml says."""
    return settings.ai.tags.enabled and settings.ai.enabled is not False


class Project:
    """One process's access to the project. Use as a context manager, or call `close`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()

    @cached_property
    def pool(self) -> ConnectionPool:
        """Connections to the migrated `tagging` database; the embedded server is started when needed."""
        from tagging_orchestration.storage.connection import create_pool, database_url
        from tagging_orchestration.storage.migrate import upgrade

        url = database_url(self.settings)
        upgrade(url)
        return create_pool(url)

    @cached_property
    def stores(self) -> Stores:
        """All stores over `pool`."""
        from tagging_orchestration.core.engine import Stores
        from tagging_orchestration.storage.assignments import PostgresAssignmentStore
        from tagging_orchestration.storage.contents import PostgresContentStore
        from tagging_orchestration.storage.corpus import PostgresCorpusStore
        from tagging_orchestration.storage.embeddings import PostgresEmbeddingStore
        from tagging_orchestration.storage.feedback import PostgresFeedbackStore
        from tagging_orchestration.storage.generated import PostgresGeneratedStore
        from tagging_orchestration.storage.tag_proposals import PostgresLlmProposalStore
        from tagging_orchestration.storage.trained_models import PostgresTrainedModelStore
        from tagging_orchestration.storage.versions import PostgresTaggerVersionStore
        from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore

        return Stores(
            contents=PostgresContentStore(self.pool, self.settings.runs),
            embeddings=PostgresEmbeddingStore(self.pool),
            vocabulary=PostgresVocabularyStore(self.pool),
            generated=PostgresGeneratedStore(self.pool),
            assignments=PostgresAssignmentStore(self.pool),
            corpus=PostgresCorpusStore(self.pool),
            versions=PostgresTaggerVersionStore(self.pool),
            feedback=PostgresFeedbackStore(self.pool),
            trained_models=PostgresTrainedModelStore(self.pool),
            llm_proposals=PostgresLlmProposalStore(self.pool) if proposes_tags(self.settings) else None,
        )

    @cached_property
    def language(self) -> LibraryLanguageTools:
        """Language knowledge; its libraries are loaded at first use."""
        from tagging_orchestration.clients.language import LibraryLanguageTools

        return LibraryLanguageTools()

    @cached_property
    def normaliser(self) -> Normaliser:
        """Brings tag names to their normal form."""
        from tagging_orchestration.core.vocabulary.normalise import Normaliser

        return Normaliser(self.language, self.settings.vocabulary.fold_chinese_script)

    @cached_property
    def embedder(self) -> RoutedEmbedder:
        """The models that turn texts into vectors; loaded at first use."""
        from tagging_orchestration.clients.embedder import RoutedEmbedder

        return RoutedEmbedder(self.settings.embedding, fold=self.language.to_simplified)

    @cached_property
    def matcher(self) -> Matcher:
        """Judges which tags are one."""
        from tagging_orchestration.clients.pair_model import load_pair_model
        from tagging_orchestration.core.vocabulary.merge import Matcher

        return Matcher(load_pair_model(), self.language)

    @cached_property
    def engine(self) -> TaggingEngine:
        """The one tagging engine."""
        return self._engine(self.stores, self.models, self.settings)

    @cached_property
    def models(self) -> Models:
        """Everything that judges text; none of it needs the database."""
        return self._models(self.embedder, self.settings)

    @cached_property
    def masker(self) -> Masker:
        """Hides personal data before a text leaves the house; its recognisers are loaded at first use."""
        from tagging_orchestration.clients.pii import PresidioMasker

        return PresidioMasker(self.settings.ai.person_names_model)

    def sandbox(self, settings: Settings) -> TaggingEngine:
        """An engine under other settings that reads the project and writes nothing, for experiments."""
        from tagging_orchestration.clients.embedder import RoutedEmbedder
        from tagging_orchestration.storage import experiments

        embedder = self.engine.models.embedder
        if settings.embedding != self.settings.embedding:
            embedder = RoutedEmbedder(settings.embedding, fold=self.language.to_simplified)
        stores = replace(
            self.stores,
            embeddings=experiments.SandboxEmbeddings(self.pool, self.stores.embeddings, embedder),
            vocabulary=experiments.SandboxVocabulary(self.stores.vocabulary, embedder),
            corpus=experiments.SandboxCorpus(self.pool),
            versions=experiments.SandboxVersions(self.pool),
        )
        return self._engine(stores, self._models(embedder, settings), settings)

    def _models(self, embedder: Embedder, settings: Settings) -> Models:
        from tagging_orchestration.clients.ranker import load_ranker_weights
        from tagging_orchestration.clients.rules_file import load_rules
        from tagging_orchestration.core.engine import Models

        return Models(
            embedder=embedder,
            language=self.language,
            rules=load_rules(settings.rules_file),
            ranker=load_ranker_weights(settings.ranker_file),
        )

    def _engine(self, stores: Stores, models: Models, settings: Settings) -> TaggingEngine:
        from tagging_orchestration.core.engine import TaggingEngine

        return TaggingEngine(
            stores,
            models,
            settings.tagger,
            fold_chinese_script=settings.vocabulary.fold_chinese_script,
            batch_size=settings.runs.batch_size,
        )

    def context(self, actor: str, reason: str = "", run_id: str | None = None) -> ChangeContext:
        """A change context with an operation id of its own."""
        return ChangeContext(actor=actor, reason=reason, run_id=run_id, operation_id=uuid4())

    def close(self) -> None:
        """Give the connections back."""
        if "pool" in self.__dict__:
            self.pool.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
