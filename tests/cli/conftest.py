"""A project of its own for the commands under test: folder, state, and fresh databases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tagging_orchestration.cli import main
from tagging_orchestration.postgres.dagster_home import STORAGE_URL
from tagging_orchestration.settings import get_settings

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
def project(folder: Path, database_url: str, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a migrated database and one for Dagster."""
    monkeypatch.setenv("TAGGING_DATABASE_URL", database_url)
    monkeypatch.setenv("TAGGING_DAGSTER_DATABASE_URL", empty_database_url)
    get_settings.cache_clear()
    return folder


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
