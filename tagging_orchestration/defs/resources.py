"""The Dagster resource over the project's composition root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from tagging_orchestration.core.models import ChangeContext
from tagging_orchestration.storage.run_locks import hold_run_lock
from tagging_orchestration.wiring import Project


class Tagging(dg.ConfigurableResource):
    """Stores, models and settings for assets, checks, sensors and jobs; opened at first use.

    While a run works it holds an advisory lock in the database, so that a killed run can be told from a slow one.
    """

    _project: Project | None = PrivateAttr(default=None)

    @property
    def project(self) -> Project:
        """The project of this process."""
        if self._project is None:
            self._project = Project()
        return self._project

    def context(self, context: Any, reason: str = "") -> ChangeContext:
        """Change context of an asset or op: its name as actor, its run id on every event."""
        return self.project.context(f"dagster:{context.op.name}", reason, context.run_id)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Tagging]:
        """Hold the run's lock for the time of the run and close the connections after it."""
        try:
            if context.run_id:
                with hold_run_lock(self.project.pool, context.run_id):
                    yield self
            else:
                yield self
        finally:
            if self._project is not None:
                self._project.close()
                self._project = None
