"""The code location loads in a fresh interpreter, without a database, and stays lean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "pandas", "sentence_transformers", "sklearn", "dagster_dbt", "matplotlib", "jieba")


def test_the_code_location_loads_lean_in_a_fresh_interpreter(tmp_path: Path):
    program = (
        "import sys\n"
        "from tagging_orchestration.definitions.tagging import defs\n"
        "import dagster as dg\n"
        "dg.Definitions.validate_loadable(defs)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = {**os.environ, "TAGGING_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "home").exists(), "loading definitions must not start a server or write files"
