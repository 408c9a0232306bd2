"""The Dagster resource over the project's composition root."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.settings import get_settings
from tagging_orchestration.storage.run_locks import hold_run_lock
from tagging_orchestration.wiring import Project

_shared: Project | None = None


def shared_project() -> Project:
    """The project of this process: a sensor that ticks every few seconds must not connect anew each time."""
    global _shared
    settings = get_settings()
    if _shared is None or _shared.settings is not settings:
        if _shared is not None:
            _shared.close()
        _shared = Project(settings)
    return _shared


class Tagging(dg.ConfigurableResource):
    """Stores, models and settings for assets, checks, sensors and jobs; opened at first use.

    While a run works it holds an advisory lock in the database, so that a killed run can be told from a slow one.
    """

    @property
    def project(self) -> Project:
        """The project of this process."""
        return shared_project()

    def context(self, context: Any, reason: str = "") -> ChangeContext:
        """Change context of an asset or op: its name as actor, its run id on every event."""
        return self.project.context(f"dagster:{context.op.name}", reason, context.run_id)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Tagging"]:
        """Hold the run's lock for the time of the run."""
        if context.run_id:
            with hold_run_lock(self.project.pool, context.run_id):
                yield self
        else:
            yield self
