"""Servers of their own for tests that stop, kill or break one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tagging_orchestration.core.errors import DatabaseUnavailable
from tagging_orchestration.postgres.server import EmbeddedServer

# kill -9 loses no written file, whether it was forced to the disk or not; only a power cut does.
NO_WAITING = {"fsync": "off"}


@pytest.fixture(scope="module")
def new_server(_test_homes: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Make a server with a home of its own; removed with it after the module's tests."""
    made: list[EmbeddedServer] = []

    def new(name: str = "", *, parent: Path = _test_homes, major: int = 18, **settings: str) -> EmbeddedServer:
        made.append(EmbeddedServer(parent / f"{uuid4().hex[:8]}{name}", major, NO_WAITING | settings))
        return made[-1]

    yield new
    for server in made:
        with suppress(DatabaseUnavailable):
            server.remove()
        shutil.rmtree(server.home, ignore_errors=True)
