"""`tagging db` and `tagging reset` as people and scripts use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from tagging_orchestration.commands.database import db, reset
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import CONFIG_FILE, get_settings
from tagging_orchestration.storage import migrate


@pytest.fixture(scope="module")
def home(new_server: Callable[..., EmbeddedServer]) -> Path:
    server = new_server()
    server.start()
    with psycopg.connect(server.url(superuser=True), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    return server.home


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder (the working directory) with the embedded server of `home`."""
    (tmp_path / CONFIG_FILE).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAGGING_HOME", str(home))
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def run(*arguments: str, answer: str = "") -> Result:
    group = reset if arguments[0] == "reset" else db
    words = arguments[1:] if arguments[0] == "reset" else arguments
    return CliRunner().invoke(group, words, input=answer, catch_exceptions=False)


def psql(*arguments: str) -> subprocess.CompletedProcess[str]:
    """psql takes the place of its process, so it needs one."""
    call = "from tagging_orchestration.commands.database import db; db()"
    return subprocess.run(
        [sys.executable, "-c", call, "psql", "-X", *arguments], capture_output=True, text=True, check=False
    )


def test_start_status_stop(project: Path, home: Path) -> None:
    assert run("start").output.startswith("embedded Postgres, running\n")
    found = run("status", "--json")
    state = json.loads(found.stdout)
    assert found.exit_code == 0
    assert (state["kind"], state["running"], state["major"], state["pgvector"]) == ("embedded", True, 18, "0.8.5")
    assert state["home"] == str(home)
    password = (home / "postgres" / "password").read_text()
    assert password not in found.output + run("status").output
    assert "stopped" in run("stop").output
    assert "was not running" in run("stop").output
    assert run("status").exit_code == 4
    assert json.loads(run("status", "--json").stdout)["running"] is False


def test_url_starts_the_server_and_says_where(project: Path) -> None:
    run("stop")
    for options, user, database in [
        ([], "tagging", "tagging"),
        (["--dagster"], "tagging", "dagster"),
        (["--superuser"], "postgres", "tagging"),
    ]:
        with psycopg.connect(run("url", *options).stdout.strip()) as connection:
            row = connection.execute("SELECT current_user::text, current_database()::text").fetchone()
            assert row == (user, database)
    assert json.loads(run("url", "--json").stdout)["url"] == run("url").stdout.strip()


def test_psql_gets_its_arguments_and_the_search_path(project: Path) -> None:
    done = psql("-At", "-c", "SELECT current_user, current_setting('search_path'), '繁體'")
    assert done.stdout == "tagging|tagging,analytics,ai,public,extensions|繁體\n"
    assert psql("--superuser", "-Atc", "SELECT usesuper FROM pg_user WHERE usename = current_user").stdout == "t\n"
    failed = psql("-v", "ON_ERROR_STOP=1", "-c", "SELECT 1 / 0")
    assert (failed.returncode, "division by zero" in failed.stderr) == (1, True)


def test_backup_and_restore(project: Path) -> None:
    migrate.upgrade(run("url").stdout.strip())
    psql("-c", "INSERT INTO contents (source, external_id, body) VALUES ('s', '1', '備份')")
    made = json.loads(run("backup", "--json").stdout)
    folder = Path(made["folder"])
    assert folder.parent == project
    assert [database["role"] for database in made["manifest"]["databases"]] == ["tagging", "dagster"]
    assert f"schema {migrate.head()}" in run("backup", "second").stdout
    psql("-c", "DELETE FROM contents")

    refused = run("restore", str(folder), answer="n\n")
    assert (refused.exit_code, "Replace postgresql://tagging@" in refused.output) == (1, True)
    assert psql("-Atc", "SELECT count(*) FROM contents").stdout == "0\n"
    assert run("restore", str(folder), answer="y\n").exit_code == 0
    assert psql("-Atc", "SELECT body FROM contents").stdout == "備份\n"
    assert run("restore", "--yes", "second").exit_code == 0
    with pytest.raises(ConfigurationError, match="is no backup"):
        run("restore", "--yes", str(project))


# ---------------------------------------------------------------------------------- a database of one's own


@pytest.fixture
def external(project: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TAGGING_DATABASE_URL", database_url)
    get_settings.cache_clear()
    return database_url


def test_an_external_database_is_used_and_never_started_or_stopped(external: str) -> None:
    assert run("start").output.startswith("external Postgres, running")
    assert json.loads(run("status", "--json").stdout)["schema"] == migrate.head()
    assert run("url").stdout.strip() == external
    run("stop")
    assert run("status").exit_code == 0
    with pytest.raises(ConfigurationError, match="--superuser is for the embedded Postgres"):
        run("url", "--superuser")


def test_an_unreachable_external_database_is_shown(external: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGGING_DATABASE_URL", f"{external}_gone")
    get_settings.cache_clear()
    found = run("status")
    assert found.exit_code == 4
    assert "external Postgres, not running" in found.output
    assert "_gone" in found.output


# --------------------------------------------------------------------------------------------------- reset


def test_reset_asks_then_deletes_everything(project: Path, home: Path) -> None:
    run("start")
    (home / "models").mkdir()
    refused = run("reset", answer="n\n")
    assert refused.exit_code == 1
    assert f"Delete {home} with all that is in it (models, postgres)?" in refused.output
    assert run("status").exit_code == 0

    assert run("reset", answer="y\n").exit_code == 0
    assert not home.exists()
    assert "nothing to reset" in run("reset").output
    assert json.loads(run("start", "--json").stdout)["schema"] is None
    assert run("reset", "--yes").exit_code == 0
    assert not home.exists()


def test_reset_spares_an_external_database(external: str, home: Path) -> None:
    (home / "dagster").mkdir(parents=True)
    assert "was not touched" in run("reset", "--yes").output
    assert not home.exists()
    with psycopg.connect(external) as connection:
        assert connection.execute("SELECT count(*) FROM tagging.contents").fetchone() == (0,)


@pytest.mark.parametrize("where", [".", "..", "photos"])
def test_reset_does_not_delete_folders_of_other_things(
    where: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "photos").mkdir()
    (project / "photos" / "holiday.jpg").touch()
    monkeypatch.setenv("TAGGING_HOME", os.path.normpath(project / where))
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match="does not look like a folder that this project made"):
        run("reset", "--yes")
    assert (project / "photos" / "holiday.jpg").exists()
