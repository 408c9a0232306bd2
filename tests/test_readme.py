"""What the README says to type exists and works. `.ci/run` runs its two commands themselves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fenced(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL))


def test_the_two_commands_lead():
    first = fenced("sh").splitlines()[:2]
    assert [line.split("#")[0].strip() for line in first] == ["make run", "make test"]
    assert "make --no-print-directory run" in (ROOT / ".ci/run").read_text()
    assert "make --no-print-directory test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)", README))))
def test_make_targets_exist(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def commands_named() -> set[str]:
    """Every `tagging word [word]` in the README's code spans and blocks, alternatives taken apart."""
    spans = re.findall(r"`([^`\n]+)`", README) + fenced("sh").splitlines()
    found = set()
    for span in spans:
        match = re.match(r"(?:\.venv/bin/)?tagging ([a-z][a-z-]*)(?: ([a-z|]+))?", span.replace("\\|", "|"))
        if match:
            found |= {f"{match[1]} {second}" for second in (match[2] or "").split("|")}
    return found


@pytest.mark.parametrize("words", sorted(commands_named()))
def test_commands_exist(words):
    name, _, second = words.partition(" ")
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"tagging {name}"
    if isinstance(command, click.Group) and second:
        assert second in command.commands, f"tagging {words}"


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`tagging [a-z-]+[^`]*?(--[a-z-]+)", README))))
def test_options_exist(option):
    names = {name for command in walk(main) for param in command.params for name in param.opts}
    assert option in names | {"--help"}


def walk(command: click.Command):
    yield command
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from walk(child)


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), f"README links to {target}"


@pytest.mark.parametrize("statement", re.findall(r"`(SELECT [^`]+)`", README))
def test_sql_runs(statement, pool: ConnectionPool):
    with pool.connection() as connection:
        connection.execute(statement.encode())
