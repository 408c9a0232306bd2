"""Contents, tags and decisions for tests of the vocabulary and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from psycopg_pool import ConnectionPool

from tagging_orchestration.clients.pair_model import load_pair_model
from tagging_orchestration.core.models import (
    Assignment,
    ChangeContext,
    Decision,
    Evidence,
    Method,
    NewTag,
    Origin,
    PublishReport,
    Tag,
)
from tagging_orchestration.core.vocabulary.merge import Matcher
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.storage.assignments import PostgresAssignmentStore
from tagging_orchestration.storage.versions import PostgresTaggerVersionStore
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tests.fakes.language import FakeLanguageTools

NORMALISER = Normaliser(FakeLanguageTools())
MATCHER = Matcher(load_pair_model(), FakeLanguageTools())
MACHINE = ChangeContext("asset:content_tags", "tagging run", run_id="run-1")
PERSON = ChangeContext("user:mei", "整理詞彙")
ORGANIZATION = "default"


def add_contents(pool: ConnectionPool, *texts: str, source: str = "notes") -> list[int]:
    """Contents with these bodies, by plain SQL; their ids in order."""
    with pool.connection() as connection:
        return [
            row[0]
            for text in texts
            for row in connection.execute(
                """
                INSERT INTO tagging.contents (source, external_id, title, body, created_at)
                VALUES (%s, gen_random_uuid()::text, '', %s, now() - interval '1 day')
                RETURNING id
                """,
                [source, text],
            )
        ]


def add_tags(pool: ConnectionPool, *names: str, origin: Origin = Origin.MACHINE) -> list[Tag]:
    """Active tags with these names."""
    return PostgresVocabularyStore(pool).create_tags(
        [NewTag(ORGANIZATION, name, NORMALISER.normal_form(name), origin) for name in names], MACHINE
    )


def assignment(
    tag: Tag,
    confidence: float = 0.8,
    method: Method = Method.KEYPHRASE,
    origin: Origin = Origin.MACHINE,
    note: str = "",
) -> Assignment:
    """One assignment whose evidence is the tag's name, or the note."""
    evidence = (Evidence(method, confidence, {"text": note or tag.name, "field": "body"}),)
    return Assignment(tag.id, tag.name, confidence, confidence, method, origin, evidence)


def decisions(pool: ConnectionPool, wanted: Mapping[int, Sequence[Assignment]]) -> list[Decision]:
    """What contents shall have, decided on their present input."""
    with pool.connection() as connection:
        hashes = dict(connection.execute("SELECT content_id, input_hash FROM tagging.content_ledger").fetchall())
    return [
        Decision(content_id, ORGANIZATION, hashes[content_id], tuple(assignments))
        for content_id, assignments in wanted.items()
    ]


def version(pool: ConnectionPool, number: int = 1) -> int:
    """Id of a tagger version."""
    return PostgresTaggerVersionStore(pool).ensure({"code": number})


def publish(
    pool: ConnectionPool, wanted: Mapping[int, Sequence[Assignment]], context: ChangeContext = MACHINE
) -> PublishReport:
    """Decide and publish."""
    return PostgresAssignmentStore(pool).publish(decisions(pool, wanted), version(pool), context)


def state(pool: ConnectionPool) -> dict[tuple[int, int], tuple[float, str]]:
    """All assignments as (content, tag) -> (confidence, origin)."""
    with pool.connection() as connection:
        rows = connection.execute("SELECT content_id, tag_id, confidence, origin FROM tagging.content_tags")
        return {(content, tag): (round(confidence, 4), origin) for content, tag, confidence, origin in rows}


def full_state(pool: ConnectionPool) -> dict[str, list[str]]:
    """Every column of assignments, tags and aliases as text, for comparing states exactly."""
    query = sql.SQL("SELECT t::text FROM {} AS t ORDER BY 1")
    with pool.connection() as connection:
        return {
            table: [row[0] for row in connection.execute(query.format(sql.Identifier("tagging", table)))]
            for table in ("content_tags", "tags", "tag_aliases")
        }


def differences(pool: ConnectionPool) -> list[tuple]:
    """Where replay and state differ."""
    with pool.connection() as connection:
        return connection.execute("SELECT * FROM tagging.replay_differences()").fetchall()


def pending(pool: ConnectionPool) -> set[int]:
    """Contents that wait for re-tagging."""
    with pool.connection() as connection:
        return {row[0] for row in connection.execute("SELECT content_id FROM tagging.content_ledger WHERE stale")}


def events(pool: ConnectionPool, after: int = 0) -> list[tuple[str, int | None, int | None]]:
    """(type, tag, content) of all events with a later id, in order."""
    with pool.connection() as connection:
        return connection.execute(
            "SELECT event_type, tag_id, content_id FROM tagging.tag_events WHERE event_id > %s ORDER BY event_id",
            [after],
        ).fetchall()


def last_event(pool: ConnectionPool) -> int:
    """Id of the newest event."""
    with pool.connection() as connection:
        row = connection.execute("SELECT coalesce(max(event_id), 0) FROM tagging.tag_events").fetchone()
    return row[0] if row else 0
