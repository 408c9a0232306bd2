"""`tagging ui` serves, refuses to run twice, and stops cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tagging_orchestration.commands.ui import UiFailed, free_port, only_one
from tests.cli.conftest import Tagging

WORKSPACE = "load_from:\n  - python_file: {path}\n"
DEFINITIONS = "import dagster as dg\n@dg.asset\ndef thing(): ...\ndefs = dg.Definitions(assets=[thing])\n"
PATIENCE = 120.0


@pytest.fixture
def served(dagster_project: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `tagging ui` over a small code location, started as scripts do (SIGINT ignored), and its URL."""
    (dagster_project / "location.py").write_text(DEFINITIONS)
    (dagster_project / "workspace.yaml").write_text(WORKSPACE.format(path=dagster_project / "location.py"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tagging_orchestration.cli", "ui"],
        stdout=subprocess.PIPE,
        stderr=(dagster_project / "stderr.txt").open("w"),
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http" in line, (dagster_project / "stderr.txt").read_text()
    yield process, line.split()[-1]
    if process.poll() is None:
        process.terminate()
        process.wait(PATIENCE)


def test_the_ui_answers_refuses_a_second_and_leaves_nothing_behind(
    served, tagging: Tagging, dagster_project: Path
):
    process, url = served
    query = json.dumps({"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"})
    request = urllib.request.Request(f"{url}/graphql", query.encode(), {"Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request, timeout=PATIENCE))
    assert answer["data"]["repositoriesOrError"]["nodes"] == [{"name": "__repository__"}]

    second = tagging("ui", "--port", str(free_port("127.0.0.1", None)))
    assert second.exit_code == 1
    assert url in second.stderr
    assert f"kill {process.pid}" in second.stderr

    family = psutil.Process(process.pid).children(recursive=True)
    assert {"dagster-webserver", "dagster-daemon"} <= {
        Path(word).name for child in family for word in child.cmdline()
    }
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert not psutil.wait_procs(family, timeout=PATIENCE)[1]


def test_children_of_a_killed_command_are_named(served, tagging: Tagging, dagster_project: Path):
    process, _ = served
    pids = json.loads((dagster_project / "state" / "dagster" / "ui.lock").read_text())["pids"]
    process.kill()
    process.wait(PATIENCE)
    second = tagging("ui")
    assert second.exit_code == 1
    named = [int(pid) for pid in second.stderr.rpartition("kill ")[2].split()]
    assert named == pids[1:]
    orphans = [psutil.Process(pid) for pid in named]
    for orphan in orphans:
        orphan.terminate()
    assert not psutil.wait_procs(orphans, timeout=PATIENCE)[1]
    with only_one(dagster_project / "state" / "dagster"):
        pass


def test_a_taken_port_is_refused_and_otherwise_passed_over(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UiFailed, match=f"port {port} is taken"):
            free_port("127.0.0.1", port)
        monkeypatch.setattr("tagging_orchestration.commands.ui.DEFAULT_PORT", port)
        assert free_port("127.0.0.1", None) > port


def test_a_webserver_that_ends_says_why(dagster_project: Path, tagging: Tagging):
    (dagster_project / "workspace.yaml").write_text("load_from: nonsense\n")
    result = tagging("ui", "--no-daemon")
    assert result.exit_code == 1
    assert "the webserver ended with code" in result.stderr
    assert "webserver.log" in result.stderr
