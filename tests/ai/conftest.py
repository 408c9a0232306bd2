"""A business that can be enhanced, and a server that answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.service import EnhancementService
from tagging_orchestration.dev_llm.server import DevLlm
from tagging_orchestration.settings import Settings
from tests.ai import business


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


@pytest.fixture
def shop(pool: ConnectionPool) -> tuple[int, int]:
    """A business with open alerts; ids of the tag and content behind them."""
    return business.add_business(pool)


@pytest.fixture
def enhanced(
    pool: ConnectionPool, settings: Settings, server: DevLlm, shop: tuple[int, int]
) -> Iterator[EnhancementService]:
    """The service, with AI on."""
    chosen = business.ai_settings(settings, server.base_url)
    business.prepare_ai(pool, chosen)
    with business.service(pool, chosen) as service:
        yield service
