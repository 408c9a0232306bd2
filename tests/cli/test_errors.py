"""Exit codes and messages of wrong command lines, settings and databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tagging_orchestration.settings import get_settings
from tests.cli.conftest import Tagging


def test_help_lists_the_commands_and_the_exit_codes(tagging: Tagging):
    result = tagging("--help")
    assert result.exit_code == 0
    for word in ("run", "retag", "explain", "vocabulary", "doctor", "db", "reset", "Exit codes", "a setting"):
        assert word in result.stdout


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tagging_orchestration.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "heavy = ('dagster', 'torch', 'pandas', 'numpy', 'sqlalchemy', 'psycopg', 'pydantic', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["statu"], "status"),
        (["run", "--inputs", "x"], "--input"),
        (["run", "--input", "no/such/file.csv"], "no/such/file.csv"),
        (["run", "--from", "soon"], "is no date"),
        (["load", "a"], "does not exist"),
        (["try", "   "], "empty"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(tagging: Tagging, folder: Path, arguments, said):
    result = tagging(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_wrong_settings_end_with_5_and_name_the_key(tagging: Tagging, folder: Path):
    (folder / "tagging.yaml").write_text("tagger: {max_tag: 3}\n")
    get_settings.cache_clear()
    result = tagging("status")
    assert result.exit_code == 5
    assert "tagger.max_tag" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_database_ends_with_4_without_the_password(
    tagging: Tagging, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAGGING_DATABASE_URL", "postgresql://tagging:s3cret@127.0.0.1:1/tagging")
    get_settings.cache_clear()
    result = tagging("status", "--json")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "127.0.0.1" in result.stderr
    assert "s3cret" not in result.stderr
    assert "Traceback" not in result.stderr


def test_verbose_adds_the_traceback(tagging: Tagging, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAGGING_DATABASE_URL", "postgresql://tagging:s3cret@127.0.0.1:1/tagging")
    get_settings.cache_clear()
    for arguments in (["--verbose", "status"], ["status", "--verbose"]):
        result = tagging(*arguments)
        assert result.exit_code == 4
        assert "Traceback" in result.stderr
        assert "s3cret" not in result.stderr


def test_an_unknown_source_ends_with_3_and_offers_the_nearest(tagging: Tagging, folder: Path):
    (folder / "tagging.yaml").write_text("sources: [{name: tickets, path: tickets.csv}]\n")
    get_settings.cache_clear()
    result = tagging("load", "--source", "ticket")
    assert result.exit_code == 3
    assert "did you mean tickets" in result.stderr


def test_a_database_lost_by_dagster_ends_with_4_without_a_traceback(
    tagging: Tagging, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    from dagster_postgres.utils import DagsterPostgresException

    def lose_it() -> None:
        raise DagsterPostgresException("too many retries for DB connection")

    monkeypatch.setattr("tagging_orchestration.dagster_home.environment", lose_it)
    result = tagging("status")
    assert result.exit_code == 4
    assert "run the command again" in result.stderr
    assert "Traceback" not in result.stderr
