"""`tagging doctor`: looks at everything the project stands on, and says what to do about what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagging_orchestration.commands.options import json_option, verbose_option
from tagging_orchestration.core.errors import TaggingError

if TYPE_CHECKING:
    from tagging_orchestration.settings import Settings
    from tagging_orchestration.wiring import Project

DISTRIBUTION = "tagging-orchestration"
OLDEST_PYTHON, TOO_NEW_PYTHON = (3, 11), (3, 14)
SYSTEMS = ("Linux", "Darwin")
GIB = 1024**3
DISK_WANTED, DISK_NEEDED = 5 * GIB, 1 * GIB
MEMORY_WANTED = 3 * GIB
SHOWN = 5
PROBE = "A kettle with a thin spout pours slowly. 細口壺的水流很穩。"


class State(StrEnum):
    """How a finding stands."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, and what to do when it is not ok."""

    name: str
    state: State
    said: str
    advice: str = ""


@click.command
@click.option("--deep", is_flag=True, help="Load the model and encode a text with it.")
@click.option("--fix", is_flag=True, help="End ghost runs: started, says Dagster, but their process is gone.")
@json_option
@verbose_option
@click.pass_context
def doctor(context: click.Context, deep: bool, fix: bool, as_json: bool) -> None:
    """Check machine, packages, database, model and Dagster.

    Says what to do about what is wrong. Exit code 1 when something is.
    """
    from tagging_orchestration.commands.output import print_json
    from tagging_orchestration.settings import get_settings

    settings = get_settings()
    findings = []
    for finding in examine(settings, deep=deep, fix=fix):
        findings.append(finding)
        if not as_json:
            _show(finding)
    wrong = sum(finding.state == State.WRONG for finding in findings)
    if as_json:
        print_json({"ok": not wrong, "findings": findings})
    else:
        click.echo(f"\n{wrong} of {len(findings)} are wrong" if wrong else "\nall is well")
    context.exit(1 if wrong else 0)


def examine(settings: Settings, *, deep: bool, fix: bool) -> Iterator[Finding]:
    """All findings, in order. What needs the database is left out when the database cannot be reached, what the AI
    needs while that is off."""
    from tagging_orchestration.commands.ai_doctor import ai_looks
    from tagging_orchestration.wiring import Project

    yield python()
    yield machine()
    yield from memory()
    yield disk(settings.home)
    yield packages()
    yield _attempt("model", lambda: model(settings, deep=deep))
    yield _attempt("rules", lambda: rules(settings))
    yield sources(settings)
    with Project(settings) as project:
        reached = _attempt("database", lambda: database(project), "tagging db status shows the embedded server")
        yield reached
        if reached.state == State.WRONG:
            return
        yield _attempt("migrations", lambda: migrations(settings), "tagging init")
        yield _attempt("capture and history", lambda: guards(project))
        yield _attempt("ledger", lambda: ledger(project))
        yield _attempt("indexes", lambda: indexes(project))
        yield _attempt("failed contents", lambda: failed_contents(project))
        yield _attempt("dagster", lambda: dagster(project, fix=fix), "tagging init writes Dagster's home again")
        try:
            looks = list(ai_looks(project))
        except Exception as error:
            # The base that works needs no AI, so that this is no more than a warning.
            said, advice = _told(error)
            yield Finding("ai", State.WARNING, said, advice or "docs/ai-operations.md")
        else:
            for name, look in looks:
                yield _attempt(name, look)


def _attempt(name: str, look: Callable[[], Finding], advice: str = "") -> Finding:
    try:
        return look()
    except Exception as error:
        said, what_to_do = _told(error)
        return Finding(name, State.WRONG, said, advice or what_to_do)


def _told(error: Exception) -> tuple[str, str]:
    """What an error says, and what to do about one that was not foreseen."""
    if isinstance(error, TaggingError):
        return str(error), ""
    return f"{type(error).__name__}: {error}", "tagging doctor --verbose"


# ------------------------------------------------------------------------------------------------- machine


def python() -> Finding:
    """Whether this Python is one the project is made for."""
    here = sys.version_info[:2]
    good = OLDEST_PYTHON <= here < TOO_NEW_PYTHON
    wanted = f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} to {TOO_NEW_PYTHON[0]}.{TOO_NEW_PYTHON[1] - 1}"
    return Finding(
        "python",
        State.OK if good else State.WRONG,
        f"{platform.python_version()} in {sys.prefix}",
        "" if good else f"make the virtual environment with Python {wanted}",
    )


def machine() -> Finding:
    """Whether the operating system is one the embedded Postgres is packaged for."""
    good = platform.system() in SYSTEMS
    return Finding(
        "machine",
        State.OK if good else State.WRONG,
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "" if good else "use Linux or macOS; on Windows, the Windows Subsystem for Linux",
    )


def memory() -> Iterator[Finding]:
    """Memory for the model, Postgres and Dagster together."""
    import psutil

    free = psutil.virtual_memory().available
    good = free >= MEMORY_WANTED
    yield Finding(
        "memory",
        State.OK if good else State.WARNING,
        f"{free / GIB:.1f} GiB available",
        "" if good else f"close other programs: a run takes up to {MEMORY_WANTED / GIB:.0f} GiB",
    )


def disk(home: Path) -> Finding:
    """Free space where the state lives."""
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    state = State.OK if free >= DISK_WANTED else State.WARNING if free >= DISK_NEEDED else State.WRONG
    return Finding(
        "disk",
        state,
        f"{free / GIB:.1f} GiB free for {home}",
        "" if state == State.OK else "free some space, or set TAGGING_HOME to a larger disk",
    )


def packages() -> Finding:
    """Whether the installed packages are in the ranges this project is made for."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires(DISTRIBUTION) or []]
    wanted = [requirement for requirement in wanted if not requirement.marker or requirement.marker.evaluate()]
    wrong = []
    for requirement in wanted:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, needed: {requirement.specifier}")
    return Finding(
        "packages",
        State.WRONG if wrong else State.OK,
        "; ".join(wrong) or f"all {len(wanted)} are in their ranges, dagster {version('dagster')} among them",
        "pip install -e . in the project's virtual environment" if wrong else "",
    )


def model(settings: Settings, *, deep: bool) -> Finding:
    """Whether the embedding model's files are there; with `deep`, whether it encodes."""
    from tagging_orchestration.clients.embedder import RoutedEmbedder
    from tagging_orchestration.clients.language import LibraryLanguageTools

    embedder = RoutedEmbedder(settings.embedding, fold=LibraryLanguageTools().to_simplified)
    said = embedder.fingerprint
    if deep:
        used = embedder.model_for(PROBE)
        vector = embedder.encode(used, [PROBE])[0]
        said += f"; {used} encoded a text into {len(vector)} numbers"
    return Finding("model", State.OK, said)


def rules(settings: Settings) -> Finding:
    """Whether the rules file can be read."""
    from tagging_orchestration.clients.rules_file import load_rules

    found = load_rules(settings.rules_file)
    said = f"{len(found.rules)} rules, {len(found.allow)} allowed and {len(found.block)} blocked names"
    return Finding("rules", State.OK, said if settings.rules_file.is_file() else "no rules.yaml: none are needed")


def sources(settings: Settings) -> Finding:
    """Whether the files of the declared sources are there."""
    missing = [source for source in settings.sources if source.path and not source.path.exists()]
    return Finding(
        "sources",
        State.WARNING if missing else State.OK,
        "; ".join(f"{source.name}: {source.path} is missing" for source in missing)
        or ", ".join(source.name for source in settings.sources)
        or "none declared: tagging run --input reads a file or folder",
        "put the file there, or take the source out of tagging.yaml" if missing else "",
    )


# ------------------------------------------------------------------------------------------------ database


def database(project: Project) -> Finding:
    """Whether the database answers, and with which versions. (Too old ones are refused when connecting.)"""
    from tagging_orchestration.storage.health import server_facts

    with project.pool.connection() as connection:
        facts = server_facts(connection)
    return Finding(
        "database",
        State.OK,
        f"Postgres {facts.postgres}, pgvector {facts.pgvector}, {facts.bytes / 1e6:,.0f} MB in {facts.database}",
    )


def migrations(settings: Settings) -> Finding:
    """Whether the schema is the one this code knows."""
    from tagging_orchestration.storage.connection import database_url
    from tagging_orchestration.storage.migrate import current, head

    at, newest = current(database_url(settings)), head()
    return Finding(
        "migrations",
        State.OK if at == newest else State.WRONG,
        f"schema {at}" if at == newest else f"schema {at}, this code needs {newest}",
        "" if at == newest else "tagging init",
    )


def guards(project: Project) -> Finding:
    """Whether the triggers that see every change and keep history are in force."""
    from tagging_orchestration.storage.health import silent_triggers

    silent = silent_triggers(project.pool)
    return Finding(
        "capture and history",
        State.WRONG if silent else State.OK,
        f"disabled or dropped: {', '.join(silent)}" if silent else "all triggers are in force",
        "tagging db psql: ALTER TABLE tagging.<table> ENABLE TRIGGER <trigger>; if dropped, restore a backup"
        if silent
        else "",
    )


def ledger(project: Project) -> Finding:
    """Whether every content has its ledger row."""
    from tagging_orchestration.storage.quality import contents_without_ledger

    missing = contents_without_ledger(project.pool)
    return Finding(
        "ledger",
        State.WRONG if missing else State.OK,
        f"contents nobody tracks: {', '.join(map(str, missing))}" if missing else "every content is tracked",
        "enable the triggers of tagging.contents, then delete these rows and load them again" if missing else "",
    )


def indexes(project: Project) -> Finding:
    """Whether an index is unusable."""
    from tagging_orchestration.storage.health import invalid_indexes

    invalid = invalid_indexes(project.pool)
    return Finding(
        "indexes",
        State.WRONG if invalid else State.OK,
        f"invalid: {', '.join(invalid)}" if invalid else "all are valid",
        "; ".join(f"REINDEX INDEX CONCURRENTLY {name}" for name in invalid),
    )


def failed_contents(project: Project) -> Finding:
    """Contents whose tagging was given up."""
    failed = project.stores.contents.failed(SHOWN)
    examples = "; ".join(f"{row.source}:{row.external_id}: {row.error}" for row in failed)
    return Finding(
        "failed contents",
        State.WARNING if failed else State.OK,
        examples or "none",
        "mend the cause, then: tagging retry" if failed else "",
    )


def dagster(project: Project, *, fix: bool) -> Finding:
    """Whether Dagster's home and storage work, and no run only seems to be running."""
    from tagging_orchestration.commands.dagster_runs import dagster_instance
    from tagging_orchestration.defs.ghosts import find_ghost_runs, free_places_of_ghosts

    with dagster_instance() as instance:
        home = os.environ["DAGSTER_HOME"]
        ghosts = find_ghost_runs(instance, project.pool)
        if fix:
            free_places_of_ghosts(instance, project.pool)
            for ghost in ghosts:
                instance.report_run_failed(ghost, "The run's process is gone (ended by tagging doctor --fix).")
    names = ", ".join(f"{ghost.job_name} {ghost.run_id[:8]}" for ghost in ghosts)
    if ghosts and not fix:
        return Finding("dagster", State.WRONG, f"ghost runs: {names}", "tagging doctor --fix")
    return Finding("dagster", State.OK, f"ended ghost runs: {names}" if ghosts else f"home {home}")


def _show(finding: Finding) -> None:
    from rich.markup import escape
    from rich.table import Table

    from tagging_orchestration.commands.output import show

    mark = {State.OK: "[green]✓[/]", State.WARNING: "[yellow]![/]", State.WRONG: "[red]✗[/]"}[finding.state]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=20)
    grid.add_column()
    grid.add_row(mark, finding.name, escape(finding.said))
    if finding.advice:
        grid.add_row("", "", f"[bold]→ {escape(finding.advice)}[/]")
    show(grid)
