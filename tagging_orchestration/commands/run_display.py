"""What a person sees while a run works: a line for each finished step, and bars for the running one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any

from tagging_orchestration.commands.output import WIDEST, duration, shorten

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import Task, TaskID

    from tagging_orchestration.core.ports import Progress

PLAIN_EVERY_SECONDS = 5.0
NAME_WIDTH = 23
TIME_WIDTH = 9
FACTS_SHOWN = 4
# Metadata that is a whole number but counts nothing.
NO_COUNTS = frozenset({"tagger_version"})


class RunDisplay:
    """Shows the steps of runs on stderr: live bars on a terminal, plain lines elsewhere.

    Use as a context manager around the runs. While it is open, what libraries print to the process's own stdout
    and stderr is kept from the screen unless `verbose`: Dagster stores it in the run's compute log.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._running: dict[str, tuple[float, TaskID | None]] = {}
        self._facts: dict[str, str] = {}
        self._gates = {"passed": 0, "warned": 0, "failed": 0}

    def __enter__(self) -> RunDisplay:
        self._streams = _silenced_streams() if not self._verbose else nullcontext(sys.stderr)
        self._console = _console(self._streams.__enter__())
        self._bars = _bars(self._console) if self._console.is_terminal and not self._verbose else None
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()
        self._streams.__exit__(None, None, None)

    # ------------------------------------------------------------------------------------------- told by runs

    def heading(self, text: str) -> None:
        """Say what begins now."""
        self._console.print(text, style="bold", markup=False)

    def line(self, text: str, style: str | None = None) -> None:
        """Say something by the way."""
        self._console.print(f"  {text}", style=style, markup=False)

    def progress(self, label: str) -> Progress:
        """A progress callback for one piece of work; the asset steps find it through `defs.progress.DISPLAY`.

        A total of 0 means that nobody knows it.
        """
        return self._bar_progress(self._bars, label) if self._bars else self._plain_progress(label)

    def step_started(self, name: str) -> None:
        """An asset's step begins."""
        task = self._bars.add_task(name, total=None) if self._bars else None
        self._running[name] = (time.monotonic(), task)

    def step_facts(self, name: str, facts: str) -> None:
        """What the step reports of its result."""
        self._facts[name] = facts

    def step_finished(self, name: str) -> None:
        """An asset's step is done."""
        self._close_step(name, "✓", "green")

    def step_retried(self, name: str, reason: str) -> None:
        """An asset's step met a transient error and is tried again."""
        self._facts[name] = f"tried again: {reason}"
        self._close_step(name, "↻", "yellow")

    def step_failed(self, name: str) -> None:
        """An asset's step failed; the caller prints why."""
        self._facts.setdefault(name, "failed")
        self._close_step(name, "✗", "red")

    def gate_judged(self, *, passed: bool, warning: bool) -> None:
        """A quality gate spoke."""
        self._gates["passed" if passed else "warned" if warning else "failed"] += 1

    def gates_finished(self) -> None:
        """The run is over: say how many gates passed, and start counting anew."""
        passed, warned, failed = self._gates.values()
        if passed + warned + failed:
            others = ((warned, "warned"), (failed, "failed"))
            said = [f"{passed} passed", *(f"{count} {what}" for count, what in others if count)]
            mark, style = ("✗", "red") if failed else ("!", "yellow") if warned else ("✓", "green")
            self._step_line(mark, style, "quality gates", ", ".join(said), "")
        self._gates = dict.fromkeys(self._gates, 0)

    # ------------------------------------------------------------------------------------------------ inside

    def _close_step(self, name: str, mark: str, style: str) -> None:
        started, task = self._running.pop(name, (time.monotonic(), None))
        if self._bars and task is not None:
            self._bars.remove_task(task)
        self._step_line(mark, style, name, self._facts.pop(name, ""), duration(time.monotonic() - started))

    def _step_line(self, mark: str, style: str, name: str, facts: str, seconds: str) -> None:
        from rich.text import Text

        room = self._console.width - NAME_WIDTH - TIME_WIDTH - 5
        facts = shorten(facts, room)
        line = Text.assemble("  ", (mark, style), f" {name:<{NAME_WIDTH}} ", facts)
        line.pad_right(max(0, room + NAME_WIDTH + 5 - line.cell_len))
        line.append(f"{seconds:>{TIME_WIDTH}}", style="dim")
        self._console.print(line)

    def _bar_progress(self, bars: Bars, label: str) -> Progress:
        running = [task for _, task in self._running.values() if task is not None]
        task = running[-1] if running else bars.add_task(label, total=None)

        def report(done: int, total: int) -> None:
            bars.update(task, description=label, completed=done, total=total or None)

        return report

    def _plain_progress(self, label: str) -> Progress:
        last = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_EVERY_SECONDS and done != total:
                last = time.monotonic()
                self.line(f"… {label}: {done:,}" + (f" of {total:,} ({done / total:.0%})" if total else ""))

        return report


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    console = Console(file=stream, highlight=False, emoji=False)
    console.width = min(console.width, WIDEST) if console.is_terminal else WIDEST
    return console


def _bars(console: Console) -> Bars:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Count(MofNCompleteColumn):
        """How many are done, of how many where that is known."""

        def render(self, task: Task) -> Text:
            """The column's text."""
            if task.total is not None:
                return super().render(task)
            return Text(f"{int(task.completed):,}" if task.completed else "")

    return Progress(
        TextColumn(" "),
        SpinnerColumn(finished_text="✓"),
        TextColumn(f"{{task.description:<{NAME_WIDTH}}}"),
        BarColumn(bar_width=None),
        Count(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextmanager
def _silenced_streams() -> Iterator[IO[str]]:
    """Point the process's stdout and stderr at nothing; yields the stream that still reaches the person.

    A stream without a descriptor of its own (a test's) is left alone.
    """
    try:
        descriptors = (sys.stdout.fileno(), sys.stderr.fileno())
    except (AttributeError, OSError):
        yield sys.stderr
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in descriptors}
    nothing = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8") as screen:
        try:
            for descriptor in descriptors:
                os.dup2(nothing, descriptor)
            yield screen
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in kept.items():
                os.dup2(copy, descriptor)
                os.close(copy)
            os.close(nothing)


def step_facts(metadata: Mapping[str, Any]) -> str:
    """One line of what an asset's materialisation reports: its first counts, without those that are 0."""
    counts = [
        _counted(value, name)
        for name, value in metadata.items()
        if isinstance(value, int) and not isinstance(value, bool) and value and name not in NO_COUNTS
    ]
    return ", ".join(counts[:FACTS_SHOWN]) or "nothing changed"


def _counted(count: int, name: str) -> str:
    """A count with its name, whose first word is a plural: "2 tags created", "1 tag created"."""
    what, *rest = name.split("_")
    return " ".join([f"{count:,}", what.removesuffix("s") if count == 1 else what, *rest])
