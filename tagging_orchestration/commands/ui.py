"""`tagging ui`: Dagster's webserver and daemon as children of one command."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import click

from tagging_orchestration.commands.options import is_verbose, verbose_option
from tagging_orchestration.commands.output import note
from tagging_orchestration.core.errors import TaggingError

DEFAULT_PORT = 3000
PORTS_TRIED = 50
CODE_LOCATIONS = ("tagging_orchestration.definitions.tagging", "tagging_orchestration.definitions.business")
START_SECONDS = 180.0
STOP_SECONDS = 20.0
LOG_LINES = 15


class UiFailed(TaggingError):
    """The webserver or the daemon cannot be started, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Child:
    """One running program of the UI."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@click.command
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Port of the webserver. Without it, {DEFAULT_PORT} or the next free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--no-daemon", is_flag=True, help="No sensors, schedules and queued runs; only looking.")
@verbose_option
def ui(port: int | None, host: str, no_daemon: bool) -> None:
    """Serve the Dagster UI, with its daemon, until Ctrl-C or TERM.

    The daemon runs sensors, schedules and queued runs: changed contents are tagged while it is up.
    """
    from tagging_orchestration.commands.init import prepare
    from tagging_orchestration.settings import get_settings, project_root

    settings = get_settings()
    with only_one(settings.home / "dagster") as lock:
        port = free_port(host, port)
        address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
        prepare()
        programs = {"webserver": ["dagster-webserver", "--host", host, "--port", str(port)]}
        if not no_daemon:
            programs["daemon"] = ["dagster-daemon", "run"]
        with (
            stop_signals() as stopped,
            children(programs, project_root(), settings.home / "logs", lock) as running,
        ):
            remember(lock, address, running)
            note(f"starting {' and '.join(programs)} …")
            if not wait_until_served(address, running, stopped):
                return
            click.echo(f"Dagster UI: {address}")
            note(f"Ctrl-C stops it. Logs: {settings.home / 'logs'}")
            while not stopped:
                raise_if_ended(running)
                time.sleep(0.3)
            note("stopping …")


@contextmanager
def only_one(dagster_home: Path) -> Iterator[IO[str]]:
    """Hold the lock of this Dagster home's UI; its file says who holds it.

    The children inherit the lock, so it stays held as long as any of them lives, whatever became of the command
    that started them. Raises UiFailed when it is held.
    """
    dagster_home.mkdir(parents=True, exist_ok=True)
    with (dagster_home / "ui.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UiFailed(_running_already(lock)) from None
        yield lock


def _running_already(lock: IO[str]) -> str:
    lock.seek(0)
    try:
        holder = json.loads(lock.read())
    except ValueError:
        return "the UI of this TAGGING_HOME is starting already"
    command, *programs = holder["pids"]
    pids = [command] if _lives(command) else [pid for pid in programs if _lives(pid)]
    return (
        f"the UI of this TAGGING_HOME is running already at {holder['url']}: stop it with Ctrl-C where it was "
        f"started, or: kill {' '.join(map(str, pids))}"
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remember(lock: IO[str], url: str, running: list[Child]) -> None:
    """Write into the held lock's file who holds it: this command first, then its children."""
    lock.seek(0)
    lock.truncate()
    json.dump({"url": url, "pids": [os.getpid(), *(child.process.pid for child in running)]}, lock)
    lock.flush()


def free_port(host: str, wanted: int | None) -> int:
    """`wanted` if nobody listens there; without a wish, the first free port from the default on.

    Raises UiFailed when there is none.
    """
    for port in [wanted] if wanted else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((host, port))
                return port
    taken = f"port {wanted} is" if wanted else f"the {PORTS_TRIED} ports from {DEFAULT_PORT} on are"
    raise UiFailed(f"{taken} taken or forbidden on {host}: name another with --port")


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in the list this yields instead of dying of them.

    A handler also undoes an inherited "ignore SIGINT" (a script's `&`): a program that is started while one is
    set begins with the default action, and Dagster's programs then stop on it.
    """
    received: list[int] = []

    def remember_signal(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def children(programs: Mapping[str, list[str]], folder: Path, logs: Path, lock: IO[str]) -> Iterator[list[Child]]:
    """Start programs of this virtual environment in sessions of their own, and stop them at the end."""
    logs.mkdir(parents=True, exist_ok=True)
    workspace = folder / "workspace.yaml"
    modules = [argument for module in CODE_LOCATIONS for argument in ("--module-name", module)]
    location = ["--workspace", str(workspace)] if workspace.is_file() else modules
    running: list[Child] = []
    try:
        for name, (program, *arguments) in programs.items():
            log = logs / f"{name}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603 (programs of our own environment)
                    [str(Path(sys.executable).with_name(program)), *arguments, *location],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=None if is_verbose() else output,
                    stderr=None if is_verbose() else subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock.fileno()],
                )
            running.append(Child(name, process, log))
        yield running
    finally:
        stop(running)


def stop(running: list[Child]) -> None:
    """Ask the children to stop, and end what is left of their sessions (code servers) when they have."""
    for child in running:
        with suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGINT if child.name == "webserver" else signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for child in running:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            note(f"the {child.name} did not stop within {STOP_SECONDS:.0f} s: killed")
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()


def wait_until_served(url: str, running: list[Child], stopped: list[int]) -> bool:
    """Wait until the webserver answers; False when a stop signal came first.

    Raises UiFailed when a child ends or nothing answers in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while not stopped:
        raise_if_ended(running)
        with (
            suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"{url}/server_info", timeout=2),  # noqa: S310 (our own http URL)
        ):
            return True
        if time.monotonic() > deadline:
            raise UiFailed(f"no answer on {url} within {START_SECONDS:.0f} s{_tail(running[0])}")
        time.sleep(0.2)
    return False


def raise_if_ended(running: list[Child]) -> None:
    """Raise UiFailed with its last words when a child has ended by itself."""
    for child in running:
        code = child.process.poll()
        if code is not None:
            raise UiFailed(f"the {child.name} ended with code {code}{_tail(child)}")


def _tail(child: Child) -> str:
    lines = child.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    return "".join(f"\n  {line}" for line in lines) + f"\n  (log: {child.log})"
