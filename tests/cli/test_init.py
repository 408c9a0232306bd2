"""`tagging init` writes configuration that explains itself and is valid."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tagging_orchestration.settings import get_settings
from tests.cli.conftest import Tagging


def test_init_writes_the_shipped_files_into_a_new_folder(
    tagging: Tagging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAGGING_HOME")
    result = tagging("init", "mine/deep", "--files-only")
    assert result.exit_code == 0, result.stderr
    written = tmp_path / "mine" / "deep"
    assert {path.name for path in written.iterdir()} == {"tagging.yaml", "rules.yaml"}
    text = (written / "tagging.yaml").read_text(encoding="utf-8")
    assert "## Where contents come from" in text
    (source,) = yaml.safe_load(text)["sources"]
    assert Path(source["path"]).is_file(), "the sample is found from any folder"
    get_settings.cache_clear()
    settings = get_settings()
    assert settings.home == written / ".tagging"
    assert settings.sources[0].path == Path(source["path"])
    get_settings.cache_clear()


def test_init_leaves_what_is_there(tagging: Tagging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tagging.yaml").write_text("sources: []\n")
    for _ in range(2):
        assert tagging("init", "--files-only").exit_code == 0
    assert (tmp_path / "tagging.yaml").read_text() == "sources: []\n"
    assert (tmp_path / "rules.yaml").is_file()
    get_settings.cache_clear()


def test_init_prepares_the_database_and_dagsters_home(
    tagging: Tagging, folder: Path, empty_database_url, monkeypatch
):
    monkeypatch.setenv("TAGGING_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("TAGGING_DAGSTER_DATABASE_URL", empty_database_url)
    get_settings.cache_clear()
    result = tagging("init")
    assert result.exit_code == 0, result.stderr
    assert (folder / "state" / "dagster" / "dagster.yaml").is_file()
    assert "ready" in result.stderr
