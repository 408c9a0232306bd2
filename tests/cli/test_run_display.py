"""What a person sees while a run works."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from tagging_orchestration.commands.run_display import RunDisplay, step_facts

PROGRAM = """
import os, sys, time
from tagging_orchestration.commands.run_display import RunDisplay
with RunDisplay(verbose="--verbose" in sys.argv) as display:
    display.heading("Tagging")
    display.step_started("content_embeddings")
    report = display.progress("Embedding contents")
    for done in (100, 200):
        print("a library speaks")
        os.system("echo a program speaks")
        report(done, 200)
        time.sleep(0.3)
    display.step_facts("content_embeddings", "200 texts encoded")
    display.step_finished("content_embeddings")
    display.step_started("generated_tags")
    display.step_retried("generated_tags", "lost connection")
    display.step_started("generated_tags")
    display.step_failed("generated_tags")
    display.gate_judged(passed=True, warning=False)
    display.gate_judged(passed=False, warning=True)
    display.gates_finished()
print("data")
"""


def test_plain_lines_where_there_is_no_terminal():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "data\n", "only data is on stdout"
    lines = [re.sub(r"\s+", " ", line).strip() for line in done.stderr.splitlines()]
    assert lines[0] == "Tagging"
    assert re.fullmatch(r"✓ content_embeddings 200 texts encoded [\d.]+ s", lines[1])
    assert lines[2].startswith("↻ generated_tags tried again: lost connection")
    assert lines[3].startswith("✗ generated_tags failed")
    assert lines[4] == "! quality gates 1 passed, 1 warned"
    assert all(len(line) <= 100 for line in done.stderr.splitlines())


def test_verbose_lets_libraries_speak():
    done = subprocess.run([sys.executable, "-c", PROGRAM, "--verbose"], capture_output=True, text=True, check=True)
    assert "a library speaks" in done.stdout
    assert "a program speaks" in done.stdout


def test_bars_on_a_terminal():
    reader, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=terminal, stderr=terminal, env=environment, close_fds=True
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(reader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    assert process.wait() == 0
    os.close(reader)
    text = shown.decode()
    assert "Embedding contents" in text
    assert "200/200" in text
    assert "✓" in text
    assert "speaks" not in text
    assert text.rstrip().endswith("data")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"rows_read": 1234, "inserted": 0, "sources": "| table |"}, "1,234 rows read"),
        ({"tags_created": 1, "ok": True, "share": 0.5, "tagger_version": 7}, "1 tag created"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "1 a, 2 b, 3 c, 4 d"),
        ({}, "nothing changed"),
    ],
)
def test_facts_of_a_step(metadata, said):
    assert step_facts(metadata) == said


def test_long_facts_are_cut_to_the_line(capsys: pytest.CaptureFixture[str]):
    with RunDisplay(verbose=True) as display:
        display.step_started("content_tags")
        display.step_facts("content_tags", "很長的說明" * 30)
        display.step_finished("content_tags")
    from rich.cells import cell_len

    (line,) = capsys.readouterr().err.splitlines()
    assert "…" in line
    assert cell_len(line) <= 100
