"""`tagging dbt`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tagging_orchestration.settings import Settings

COMMAND = "import sys; from tagging_orchestration.cli import main; main(sys.argv[1:])"


def test_dbt_reaches_the_projects_database_and_returns_its_code(settings: Settings, tmp_path: Path):
    def dbt(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", COMMAND, "dbt", *arguments], cwd=tmp_path, capture_output=True, text=True
        )

    done = dbt("debug", "--connection")
    assert done.returncode == 0, done.stdout
    assert "All checks passed" in done.stdout
    assert settings.database_url is not None
    password = settings.database_url.get_secret_value().split(":")[2].partition("@")[0]
    assert password not in done.stdout + done.stderr
    assert dbt("ls", "--select", "no_such_model", "--no-such-option").returncode != 0
