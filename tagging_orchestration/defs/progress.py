"""Progress of long steps: lines in the run's log, and a bar where a terminal asked for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar

import dagster as dg

from tagging_orchestration.core.ports import Progress

LOG_EVERY_SECONDS = 10.0

# Set by the CLI around an in-process run; everywhere else progress goes to the log only.
DISPLAY: ContextVar[Callable[[str], Progress] | None] = ContextVar("progress_display", default=None)


def step_progress(context: dg.AssetExecutionContext, label: str) -> Progress:
    """A progress callback for one step of an asset."""
    display = DISPLAY.get()
    shown = display(label) if display else None
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if shown:
            shown(done, total)
        if time.monotonic() - last >= LOG_EVERY_SECONDS or done == total:
            last = time.monotonic()
            context.log.info(f"{label}: {done:,}" + (f" of {total:,}" if total else ""))

    return report
