"""A Dagster instance and a project over a fresh database, for tests of the Dagster shell."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from tagging_orchestration.settings import Settings
from tagging_orchestration.wiring import Project


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An ephemeral instance with real run records."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def project(settings: Settings) -> Iterator[Project]:
    """The project over this test's own database."""
    with Project(settings) as project:
        yield project
