"""The sandbox of experiments: schema `tagging_sandbox`, and stores that read the project and write nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.errors import UnknownName
from tagging_orchestration.core.experiments import ExperimentReport, Gold, Side
from tagging_orchestration.core.models import (
    ChangeContext,
    EmbeddingHealth,
    EmbeddingRow,
    Neighbour,
    NewTag,
    Origin,
    Tag,
)
from tagging_orchestration.core.ports import Embedder, EmbeddingStore, VocabularyStore
from tagging_orchestration.core.tagging.corpus import CorpusStatistics
from tagging_orchestration.core.vocabulary.index import TagVectors, Vocabulary
from tagging_orchestration.storage.assignments import CONFIDENCE_STEP
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.corpus import PostgresCorpusStore
from tagging_orchestration.storage.versions import PostgresTaggerVersionStore

# Under a model that nothing is stored of: contents and tags that are encoded for the sandbox.
ENCODED_CONTENTS = 1_000
ENCODED_TAGS = 2_000
# Share of a sample that is drawn from contents people judged, where there are enough.
JUDGED_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Experiment:
    """A kept experiment. `report` is an `ExperimentReport` as JSON; `overrides` are settings of the candidate."""

    id: int
    name: str
    overrides: dict[str, Any]
    contents: int
    report: dict[str, Any]
    actor: str
    created_at: datetime
    adopted_at: datetime | None
    adopted_by: str | None


def sample_contents(pool: ConnectionPool, organization_id: str, limit: int) -> list[int]:
    """Ids of live contents, drawn reproducibly; most of them judged by people, where there are enough."""
    query = """
        WITH judged AS (
            SELECT ct.content_id
            FROM tagging.content_tags AS ct
            WHERE ct.organization_id = %(organization)s AND ct.origin = 'human'
            UNION
            SELECT v.content_id FROM tagging.feedback_verdicts AS v WHERE v.organization_id = %(organization)s
        ),
        drawn AS (
            SELECT
                c.id, j.content_id IS NOT NULL AS judged,
                row_number() OVER (
                    PARTITION BY j.content_id IS NOT NULL ORDER BY encode(sha256(c.id::text::bytea), 'hex')
                ) AS place
            FROM tagging.contents AS c
            LEFT JOIN judged AS j ON j.content_id = c.id
            WHERE c.organization_id = %(organization)s AND c.deleted_at IS NULL
        )
        SELECT id
        FROM drawn
        ORDER BY NOT (judged AND place <= %(judged)s), judged, place
        LIMIT %(limit)s
    """
    parameters = {"organization": organization_id, "limit": limit, "judged": round(limit * JUDGED_SHARE)}
    with transaction(pool) as connection:
        return sorted(content_id for (content_id,) in connection.execute(query, parameters))


def load_gold(pool: ConnectionPool, content_ids: Sequence[int]) -> dict[int, Gold]:
    """What people said of these contents; contents they said nothing of are left out."""
    query = """
        SELECT
            said.content_id,
            array_agg(DISTINCT t.normal_form) FILTER (WHERE said.wanted),
            array_agg(DISTINCT t.normal_form) FILTER (WHERE NOT said.wanted),
            bool_or(said.given)
        FROM (
            SELECT ct.content_id, ct.tag_id, true AS wanted, ct.method = 'given' AS given
            FROM tagging.content_tags AS ct
            WHERE ct.content_id = ANY (%(ids)s::bigint[]) AND ct.origin = 'human'
            UNION ALL
            SELECT v.content_id, v.tag_id, v.accepted, false
            FROM tagging.feedback_verdicts AS v
            WHERE v.content_id = ANY (%(ids)s::bigint[])
        ) AS said
        JOIN tagging.tags AS t ON t.id = said.tag_id
        GROUP BY said.content_id
    """
    with transaction(pool) as connection:
        rows = connection.execute(query, {"ids": list(content_ids)}).fetchall()
    return {
        content_id: Gold(frozenset(wanted or ()), frozenset(rejected or ()), given)
        for content_id, wanted, rejected, given in rows
    }


def events_to_write(pool: ConnectionPool, decided: Mapping[int, Mapping[int, float]]) -> int:
    """Assignments that publishing would add, change or take away; `decided` is confidence by content and tag id.

    People's own are never touched. A negative id is a tag to be made.
    """
    query = "SELECT content_id, tag_id, confidence, origin FROM tagging.content_tags WHERE content_id = ANY (%s)"
    present: dict[int, dict[int, tuple[float, str]]] = {content_id: {} for content_id in decided}
    with transaction(pool) as connection:
        for content_id, tag_id, confidence, origin in connection.execute(query, [list(decided)]):
            present[content_id][tag_id] = confidence, origin
    events = 0
    for content_id, tags in decided.items():
        standing = present[content_id]
        machine = {tag_id for tag_id, (_, origin) in standing.items() if origin == Origin.MACHINE}
        events += len(machine - tags.keys()) + sum(1 for tag_id in tags if tag_id not in standing)
        events += sum(abs(standing[t][0] - tags[t]) >= CONFIDENCE_STEP for t in machine & tags.keys())
    return events


# -------------------------------------------------------------------------------------- stores of the sandbox


class SandboxEmbeddings:
    """`EmbeddingStore` that reads the project's vectors and encodes what is missing in memory.

    Under a model that nothing is stored of, neighbours are sought among the newest tagged contents.
    """

    def __init__(self, pool: ConnectionPool, store: EmbeddingStore, embedder: Embedder) -> None:
        self._pool = pool
        self._store = store
        self._embedder = embedder
        self._around: dict[tuple[str, str], tuple[list[int], np.ndarray, list[Neighbour]]] = {}

    def existing(self, organization_id: str, model: str, text_hashes: Sequence[str]) -> set[str]:
        """Texts whose vectors the project has."""
        return self._store.existing(organization_id, model, text_hashes)

    def save(self, rows: Sequence[EmbeddingRow]) -> int:
        """Nothing is kept."""
        return 0

    def vectors(self, organization_id: str, model: str, text_hashes: Sequence[str]) -> dict[str, np.ndarray]:
        """The project's vectors."""
        return self._store.vectors(organization_id, model, text_hashes)

    def neighbours(
        self, organization_id: str, model: str, queries: Sequence[tuple[int, np.ndarray]], limit: int
    ) -> dict[int, tuple[Neighbour, ...]]:
        """For each (content_id, vector): its nearest tagged contents, itself excluded, best first."""
        if any(health.model == model for health in self._store.health()):
            return self._store.neighbours(organization_id, model, queries, limit)
        ids, matrix, tagged = self._encoded(organization_id, model)
        found = {}
        for content_id, vector in queries:
            similarities = matrix @ vector if ids else np.zeros(0)
            best = [n for n in np.argsort(-similarities, kind="stable") if ids[n] != content_id][:limit]
            found[content_id] = tuple(Neighbour(ids[n], float(similarities[n]), tagged[n].tags) for n in best)
        return found

    def ensure_index(self, model: str, dimension: int) -> None:
        """Nothing is built."""

    def health(self) -> list[EmbeddingHealth]:
        """Soundness of the project's vectors."""
        return self._store.health()

    def _encoded(self, organization_id: str, model: str) -> tuple[list[int], np.ndarray, list[Neighbour]]:
        key = organization_id, model
        if key not in self._around:
            query = """
                SELECT
                    c.id, c.title, c.body,
                    array_agg((ct.tag_id, ct.confidence, ct.origin)::text ORDER BY ct.tag_id)
                FROM (
                    SELECT ct.content_id
                    FROM tagging.content_tags AS ct
                    WHERE ct.organization_id = %s
                    GROUP BY ct.content_id
                    ORDER BY ct.content_id DESC
                    LIMIT %s
                ) AS newest
                JOIN tagging.contents AS c ON c.id = newest.content_id
                JOIN tagging.content_tags AS ct ON ct.content_id = c.id
                GROUP BY c.id
                ORDER BY c.id
            """
            with transaction(self._pool) as connection:
                rows = connection.execute(query, [organization_id, ENCODED_CONTENTS]).fetchall()
            texts = [f"{title}\n{body}".strip() for _, title, body, _ in rows]
            mine = [number for number, text in enumerate(texts) if self._embedder.model_for(text) == model]
            matrix = (
                self._embedder.encode(model, [texts[n] for n in mine]) if mine else np.zeros((0, 1), np.float32)
            )
            around = [Neighbour(rows[n][0], 1.0, tuple(map(_carried, rows[n][3]))) for n in mine]
            self._around[key] = [rows[n][0] for n in mine], matrix, around
        return self._around[key]


class SandboxVocabulary:
    """`VocabularyStore` that reads the project's vocabulary, with vectors of the most used tags' names in memory
    where the candidate's model has none stored."""

    def __init__(self, store: VocabularyStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._known: dict[str, Vocabulary] = {}

    def load(self, organization_id: str) -> Vocabulary:
        """The vocabulary as it stands, with all vectors the candidate needs."""
        if organization_id not in self._known:
            present = self._store.load(organization_id)
            vectors = dict(present.vectors)
            used = sorted(present.active(), key=lambda tag: (-tag.usage_count, tag.id))[:ENCODED_TAGS]
            groups: dict[str, list[Tag]] = {}
            for tag in used:
                model = self._embedder.model_for(tag.name)
                if model not in present.vectors:
                    groups.setdefault(model, []).append(tag)
            for model, tags in groups.items():
                names = [f"{tag.name}: {tag.description}" if tag.description else tag.name for tag in tags]
                matrix = self._embedder.encode(model, names)
                vectors[model] = TagVectors(np.array([tag.id for tag in tags], np.int64), matrix)
            self._known[organization_id] = Vocabulary(
                organization_id, present.tags.values(), present.aliases, vectors
            )
        return self._known[organization_id]

    def create_tags(self, tags: Sequence[NewTag], context: ChangeContext) -> list[Tag]:
        """Refused: an experiment makes no tags."""
        raise NotImplementedError("an experiment makes no tags")

    def tags_without_vector(self, organization_id: str, model: str) -> list[Tag]:
        """As the project has it."""
        return self._store.tags_without_vector(organization_id, model)

    def save_tag_vectors(self, model: str, vectors: Mapping[int, np.ndarray]) -> None:
        """Nothing is kept."""


class SandboxCorpus(PostgresCorpusStore):
    """`CorpusStore` that keeps freshly counted statistics to itself."""

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__(pool)
        self._counted: dict[str, CorpusStatistics] = {}

    def load(self, organization_id: str) -> CorpusStatistics | None:
        """The statistics counted here, else the project's."""
        return self._counted.get(organization_id) or super().load(organization_id)

    def save(self, organization_id: str, statistics: CorpusStatistics) -> None:
        """Kept in memory."""
        self._counted[organization_id] = statistics


class SandboxVersions(PostgresTaggerVersionStore):
    """`TaggerVersionStore` that registers nothing: an experiment makes no assignment."""

    def ensure(self, components: Mapping[str, Any]) -> int:
        """No version has the id 0."""
        return 0


# ------------------------------------------------------------------------------------------------ kept reports


def save_experiment(
    pool: ConnectionPool,
    organization_id: str,
    name: str,
    overrides: Mapping[str, Any],
    report: ExperimentReport,
    sides: Mapping[str, Side],
    context: ChangeContext,
) -> Experiment:
    """Keep a report and both sides' proposals in the sandbox."""
    with transaction(pool, context) as connection:
        (experiment_id,) = connection.execute(
            """
            INSERT INTO tagging_sandbox.experiments
                (organization_id, name, overrides, contents, report, actor, run_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            RETURNING id
            """,
            [
                organization_id,
                name,
                Jsonb(dict(overrides)),
                report.contents,
                Jsonb(asdict(report)),
                context.actor,
                context.run_id,
            ],
        ).fetchone() or (0,)
        rows = [
            (side, content_id, form, item.name, item.confidence, item.assigned)
            for side, found in sides.items()
            for content_id, proposals in found.proposals.items()
            for form, item in proposals.items()
        ]
        connection.execute(
            """
            INSERT INTO tagging_sandbox.experiment_tags
                (experiment_id, organization_id, side, content_id, normal_form, name, confidence, assigned)
            SELECT %s, %s, p.*
            FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::real[], %s::boolean[]) AS p
            """,
            [experiment_id, organization_id, *map(list, zip(*rows, strict=True) if rows else [()] * 6)],
        )
    return get_experiment(pool, organization_id, experiment_id)


def list_experiments(pool: ConnectionPool, organization_id: str, limit: int | None = None) -> list[Experiment]:
    """Experiments, newest first."""
    query = _EXPERIMENT + "WHERE organization_id = %s ORDER BY id DESC LIMIT %s"
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Experiment)) as cursor:
        return cursor.execute(query, [organization_id, limit]).fetchall()


def get_experiment(pool: ConnectionPool, organization_id: str, experiment_id: int) -> Experiment:
    """One experiment. Raises UnknownName when there is none with this id."""
    query = _EXPERIMENT + "WHERE organization_id = %s AND id = %s"
    with transaction(pool) as connection, connection.cursor(row_factory=class_row(Experiment)) as cursor:
        found = cursor.execute(query, [organization_id, experiment_id]).fetchone()
    if found is None:
        raise UnknownName(f"there is no experiment {experiment_id}: tagging experiment list shows what there is")
    return found


def mark_adopted(pool: ConnectionPool, experiment_id: int, context: ChangeContext) -> None:
    """Note that an experiment's settings were taken over."""
    with transaction(pool, context) as connection:
        connection.execute(
            "UPDATE tagging_sandbox.experiments SET adopted_at = now(), adopted_by = %s WHERE id = %s",
            [context.actor, experiment_id],
        )


_EXPERIMENT = """
    SELECT id, name, overrides, contents, report, actor, created_at, adopted_at, adopted_by
    FROM tagging_sandbox.experiments
"""


def _carried(row: str) -> tuple[int, float, Origin]:
    tag_id, confidence, origin = row.strip("()").split(",")
    return int(tag_id), float(confidence), Origin(origin)
