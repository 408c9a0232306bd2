"""`tagging dev-llm` as a program: it serves, says that its answers are canned, and ends when it is told to."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from click.testing import CliRunner

from tagging_orchestration.cli import main
from tagging_orchestration.dev_llm.server import DevLlm


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tagging_orchestration.cli", "dev-llm", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def address_in(line: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    return found[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(number):
    with serving("--log", "--model", "mistral:7b") as (process, line):
        assert "Canned answers (no language model)" in line
        body = {"model": "mistral:7b", "messages": [{"role": "user", "content": "my secret"}], "stream": False}
        said = httpx.post(f"{address_in(line)}/api/chat", json=body, trust_env=False).json()
        assert said["message"]["content"].startswith("[canned] ")
        process.send_signal(number)
        rest = process.communicate(timeout=10)[0]
        assert process.returncode == 0
        assert "POST /api/chat  mistral:7b  generation 1" in rest
        assert "secret" not in rest


def test_a_fault_by_name():
    with serving("--fault", "rate_limited") as (_, line):
        assert "rate_limited" in line
        body = {"model": "phi4-mini", "messages": [{"role": "user", "content": "?"}]}
        assert httpx.post(f"{address_in(line)}/api/chat", json=body, trust_env=False).status_code == 429


def test_a_fault_nobody_knows():
    done = CliRunner().invoke(main, ["dev-llm", "--fault", "earthquake"])
    assert done.exit_code == 2
    assert "mid_stream_error" in done.output


def test_a_model_name_that_is_none():
    assert CliRunner().invoke(main, ["dev-llm", "--model", "a b"]).exit_code == 2


def test_a_taken_port_is_told_plainly():
    with DevLlm() as server:
        done = CliRunner().invoke(main, ["dev-llm", "--port", str(server.port)])
    assert done.exit_code == 1
    assert f"port {server.port} is taken" in done.output
    assert "Traceback" not in done.output


def test_the_faults_are_listed():
    lines = CliRunner().invoke(main, ["dev-llm", "--faults"]).output.splitlines()
    assert len(lines) == 33
    assert lines[10].startswith("11  mid_stream_error")
