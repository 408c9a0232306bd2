"""A project of its own for the commands under test: folder, state, and fresh databases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest
from click.testing import CliRunner, Result
from psycopg import Connection
from psycopg_pool import ConnectionPool

from tagging_orchestration.cli import main
from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.core.models import Method, NewTag, Origin, Tag
from tagging_orchestration.core.vocabulary.normalise import Normaliser
from tagging_orchestration.dagster_home import STORAGE_URL
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import get_settings
from tagging_orchestration.storage.connection import create_pool
from tagging_orchestration.storage.vocabulary import PostgresVocabularyStore
from tests.conftest import fresh_database
from tests.storage.builders import MACHINE, assignment, publish

Tagging = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: an empty project folder whose state lies inside it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "tagging.yaml").write_text("sources: []\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("TAGGING_HOME", str(project / "state"))
    # Commands put these in place for Dagster; known to monkeypatch, they are taken away again.
    for name in ("DAGSTER_HOME", STORAGE_URL, "DO_NOT_TRACK"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    get_settings.cache_clear()
    yield project
    get_settings.cache_clear()


@pytest.fixture
def project(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a migrated database."""
    monkeypatch.setenv("TAGGING_DATABASE_URL", database_url)
    get_settings.cache_clear()
    return folder


@pytest.fixture
def dagster_project(project: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a database for Dagster."""
    monkeypatch.setenv("TAGGING_DAGSTER_DATABASE_URL", empty_database_url)
    get_settings.cache_clear()
    return project


@dataclass(frozen=True)
class Shop:
    """What the database of a test holds: content ids by external id, tags by name."""

    pool: ConnectionPool
    contents: dict[str, int]
    tags: dict[str, Tag]


@pytest.fixture(scope="module")
def shared_shop(postgres_server: EmbeddedServer, template_database: str) -> Iterator[tuple[str, Shop]]:
    """URL of a database with a shop, which the tests of a module share, and the shop."""
    for url in fresh_database(postgres_server, template_database):
        with create_pool(url) as pool:
            yield url, open_shop(pool)


@pytest.fixture
def shop(folder: Path, shared_shop: tuple[str, Shop], monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A project with a shop for reading."""
    url, shop = shared_shop
    monkeypatch.setenv("TAGGING_DATABASE_URL", url)
    get_settings.cache_clear()
    return shop


@pytest.fixture
def own_shop(project: Path, pool: ConnectionPool) -> Shop:
    """A project with a shop of its own, to be changed."""
    return open_shop(pool)


def open_shop(pool: ConnectionPool) -> Shop:
    """Four contents in two languages, tagged by machine and people; the fourth is pending."""
    texts = {
        "kettle-1": ("Gooseneck kettle", "A kettle for a slow pour over.", "2026-01-10"),
        "kettle-2": ("手沖壺", "細口壺的水流很穩，適合手沖咖啡。", "2026-02-10"),
        "ticket:7": ("", "The grinder arrived too late.", "2026-03-10"),
        "new": ("Not tagged yet", "Nobody looked at this.", "2026-03-20"),
    }
    with pool.connection() as connection:
        contents = {
            external_id: returned_id(
                connection,
                "INSERT INTO tagging.contents (source, external_id, title, body, created_at)"
                " VALUES ('sample', %s, %s, %s, %s::timestamptz) RETURNING id",
                [external_id, title, body, created],
            )
            for external_id, (title, body, created) in texts.items()
        }
    names = ("kettle", "pour over", "手沖咖啡", "late delivery", "unused")
    normaliser = Normaliser(LibraryLanguageTools())
    new = [NewTag("default", name, normaliser.normal_form(name)) for name in names]
    tags: dict[str, Tag] = dict(zip(names, PostgresVocabularyStore(pool).create_tags(new, MACHINE), strict=True))
    given = assignment(tags["kettle"], 1.0, Method.GIVEN, Origin.HUMAN)
    publish(
        pool,
        {
            contents["kettle-1"]: [given, assignment(tags["pour over"], 0.8)],
            contents["kettle-2"]: [assignment(tags["手沖咖啡"], 0.9), assignment(tags["kettle"], 0.4)],
            contents["ticket:7"]: [assignment(tags["late delivery"], 0.7, Method.RULE)],
        },
    )
    return Shop(pool, contents, tags)


def returned_id(connection: Connection, query: LiteralString, parameters: list[Any]) -> int:
    """Run an INSERT ... RETURNING id."""
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def tagging() -> Tagging:
    """Runs `tagging ...` in this process; stdout and stderr apart."""

    def run(*arguments: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=input)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def data(result: Result) -> Any:
    """What a command printed with --json. Messages belong on stderr, so all of stdout is JSON."""
    return json.loads(result.stdout)
