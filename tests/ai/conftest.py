"""A business that can be enhanced, and a server that answers. Both are made once and copied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.service import EnhancementService
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import Settings, get_settings
from tagging_orchestration.storage.connection import create_pool
from tests.ai import business
from tests.conftest import fresh_database


@pytest.fixture(scope="session")
def running_server() -> Iterator[DevLlm]:
    """One server for all tests of this folder."""
    with DevLlm(0) as server:
        yield server


@pytest.fixture
def server(running_server: DevLlm) -> DevLlm:
    """The server without scripts and memories."""
    running_server.reset()
    return running_server


@pytest.fixture(scope="session")
def business_template(
    postgres_server: EmbeddedServer, template_database: str, running_server: DevLlm
) -> Iterator[str]:
    """Name of a database with the business, prompts and providers."""
    for url in fresh_database(postgres_server, template_database):
        settings = business.ai_settings(get_settings(), running_server.base_url)
        get_settings.cache_clear()
        with create_pool(url) as pool:
            business.add_business(pool)
            business.prepare_ai(pool, settings)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def business_url(postgres_server: EmbeddedServer, business_template: str) -> Iterator[str]:
    """URL of a fresh database with the business; a module takes it for its `database_url`."""
    yield from fresh_database(postgres_server, business_template)


@pytest.fixture
def shop(pool: ConnectionPool) -> tuple[int, int]:
    """Ids of the tag and the content behind the alerts."""
    with pool.connection() as connection:
        (tag,) = connection.execute("SELECT id FROM tagging.tags").fetchone() or (0,)
        (content,) = connection.execute("SELECT id FROM tagging.contents").fetchone() or (0,)
    return tag, content


@pytest.fixture
def enhanced(pool: ConnectionPool, settings: Settings, server: DevLlm) -> Iterator[EnhancementService]:
    """The service, with AI on."""
    with business.service(pool, business.ai_settings(settings, server.base_url)) as service:
        yield service
