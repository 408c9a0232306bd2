"""Runs of the project's Dagster jobs inside a command, recorded in the same instance the UI shows."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tagging_orchestration.commands.run_display import RunDisplay, step_facts

if TYPE_CHECKING:
    import dagster as dg

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
TRIGGER = {"tagging/trigger": "command"}


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What one run of a job did. `facts` holds each asset's own figures; `problems` say why the run failed."""

    job: str
    run_id: str
    success: bool
    seconds: float
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """What a quality gate said last. `passed` is None when it never ran."""

    name: str
    asset: str
    passed: bool | None
    blocking: bool
    warning: bool
    said: str
    judged_at: datetime | None = None

    @property
    def failed(self) -> bool:
        """Whether the gate says more than a warning."""
        return self.passed is False and not self.warning


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as Dagster remembers it."""

    run_id: str
    job: str
    status: str
    started_at: datetime | None
    seconds: float | None


def use_dagster_home() -> None:
    """Prepare Dagster's home where needed and put its environment in place for this process."""
    from tagging_orchestration.dagster_home import environment

    os.environ.update(environment())


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of this project."""
    use_dagster_home()
    import dagster as dg

    # Said by Dagster of parts of itself that the definitions use; a test of theirs would notice a change.
    for announcement in (dg.BetaWarning, dg.PreviewWarning):
        warnings.simplefilter("ignore", announcement)
    with dg.DagsterInstance.get() as instance:
        yield instance


class JobRunner:
    """Executes jobs of the code locations in this process and tells a display how they go."""

    def __init__(self, instance: dg.DagsterInstance, display: RunDisplay, *, verbose: bool = False) -> None:
        self._instance = instance
        self._display = display
        self._verbose = verbose
        if not verbose:
            warnings.simplefilter("ignore")
            logging.getLogger("dagster").setLevel(logging.CRITICAL)

    def run_job(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        partitions: tuple[str, str] | None = None,
        location: str = "tagging",
    ) -> JobOutcome:
        """Run one job of a code location to its end. `partitions` are the first and the last key of a range, run
        as one.

        A failed run is an outcome, not an exception.
        """
        import dagster as dg

        from tagging_orchestration.defs.progress import DISPLAY

        defs = import_module(f"tagging_orchestration.definitions.{location}").defs

        run_id = str(uuid4())
        tags = dict(TRIGGER)
        if partitions:
            tags |= {RANGE_START: partitions[0], RANGE_END: partitions[1]}
        console = {"log_level": "INFO" if self._verbose else "CRITICAL"}
        listener = _Listener(self._display)
        self._instance.add_event_listener(run_id, listener)
        shown = DISPLAY.set(self._display.progress)
        started = time.monotonic()
        try:
            result = defs.resolve_job_def(name).execute_in_process(
                run_config={**(config or {}), "loggers": {"console": {"config": console}}},
                instance=self._instance,
                run_id=run_id,
                tags=tags,
                raise_on_error=False,
            )
        except dg.DagsterExecutionInterruptedError:
            # Between two steps Dagster lets an interrupt through, as an exception of its own.
            raise KeyboardInterrupt from None
        finally:
            DISPLAY.reset(shown)
            self._display.gates_finished()
        return JobOutcome(
            job=name,
            run_id=run_id,
            success=result.success,
            seconds=time.monotonic() - started,
            facts=listener.facts,
            problems=() if result.success else tuple(listener.problems) or ("the run failed without saying why",),
        )


class _Listener:
    """Follows one run's events: tells the display, and keeps figures and reasons."""

    def __init__(self, display: RunDisplay) -> None:
        self._display = display
        self.facts: dict[str, Mapping[str, Any]] = {}
        self.problems: list[str] = []
        self._assets: set[str] = set()
        self._materialised: dict[str, set[dg.AssetKey | None]] = {}

    def __call__(self, entry: dg.EventLogEntry) -> None:
        import dagster as dg

        event = entry.dagster_event
        if event is None:
            return
        kind, step = event.event_type, event.step_key or ""
        if kind == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            self._assets.add(step)
        elif kind in (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED) and step in self._assets:
            self._display.step_started(step)
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            metadata = event.step_materialization_data.materialization.metadata
            facts = {name: value.value for name, value in metadata.items()}
            # Each partition of a range tells of the asset again, with the figures of the whole run.
            assets = self._materialised.setdefault(step, set())
            if event.asset_key in assets:
                return
            assets.add(event.asset_key)
            if step in self.facts:
                facts = _together(self.facts[step], facts, len(assets))
            self.facts[step] = facts
            self._display.step_facts(step, step_facts(facts))
        elif kind == dg.DagsterEventType.STEP_SUCCESS and step in self._assets:
            self._display.step_finished(step)
        elif kind == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            self._display.step_retried(step, _reason(event.step_retry_data.error))
        elif kind == dg.DagsterEventType.STEP_FAILURE:
            # The step of a blocking gate fails with a text of Dagster's; what the gate said is known already.
            if step in self._assets or not self.problems:
                self._display.step_failed(step)
                said = event.step_failure_data.user_failure_data
                reason = (said and said.description) or _reason(event.step_failure_data.error)
                self.problems.append(f"{step}: {reason}")
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            judged = event.asset_check_evaluation_data
            warning = judged.severity == dg.AssetCheckSeverity.WARN
            self._display.gate_judged(passed=judged.passed, warning=warning)
            if not judged.passed and judged.blocking:
                self.problems.append(f"gate {judged.check_name}: {judged.description}")
        elif kind == dg.DagsterEventType.RUN_FAILURE and not self.problems:
            self.problems.append(_reason(event.job_failure_data.error) or event.message or "")


def _together(before: Mapping[str, Any], now: Mapping[str, Any], assets: int) -> Mapping[str, Any]:
    """Figures of a step with several assets: how many they are, and the sums of their counts."""
    counts = {
        name: value + before.get(name, 0)
        for name, value in now.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    return {"assets": assets} | {name: value for name, value in before.items() if name != "assets"} | counts


def _reason(error: Any) -> str:
    """The innermost cause of a serialised error, in one line, without its traceback."""
    if error is None:
        return ""
    while error.cause is not None:
        error = error.cause
    return " ".join(str(error.message).split())


def latest_gates(instance: dg.DagsterInstance) -> list[Gate]:
    """What each quality gate said last, in the order they are declared. Those of the business are left out where
    they never ran, and dbt's own tests always: they fail the run that they belong to. A gate of the AI only ever
    warns here: it must not fail the base."""
    from tagging_orchestration.defs.business.checks import ALL_CHECKS as OF_THE_BUSINESS
    from tagging_orchestration.defs.checks import ALL_CHECKS
    from tagging_orchestration.defs.enhancements.checks import ALL_CHECKS as OF_THE_AI

    gates = [_latest(instance, spec) for check in ALL_CHECKS for spec in check.check_specs]
    business = [_latest(instance, spec) for check in OF_THE_BUSINESS for spec in check.check_specs]
    ai = [replace(_latest(instance, spec), warning=True) for check in OF_THE_AI for spec in check.check_specs]
    return gates + [gate for gate in business + ai if gate.passed is not None]


def _latest(instance: dg.DagsterInstance, spec: dg.AssetCheckSpec) -> Gate:
    import dagster as dg

    record = instance.get_latest_asset_check_evaluation_record(spec.key)
    event = record.event.dagster_event if record and record.event else None
    judged = (
        event.asset_check_evaluation_data
        if event and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        else None
    )
    return Gate(
        name=spec.name,
        asset=spec.asset_key.to_user_string(),
        passed=judged.passed if judged else None,
        blocking=spec.blocking,
        warning=bool(judged and judged.severity == dg.AssetCheckSeverity.WARN),
        said=(judged and judged.description) or spec.description or "",
        judged_at=datetime.fromtimestamp(record.create_timestamp, UTC) if judged and record else None,
    )


def last_runs(instance: dg.DagsterInstance, limit: int) -> list[PastRun]:
    """The latest runs, newest first."""
    runs = []
    for record in instance.get_run_records(limit=limit):
        ended = record.end_time or (None if record.start_time is None else time.time())
        runs.append(
            PastRun(
                run_id=record.dagster_run.run_id,
                job=record.dagster_run.job_name,
                status=record.dagster_run.status.value.lower(),
                started_at=datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None,
                seconds=round(ended - record.start_time, 1) if ended and record.start_time else None,
            )
        )
    return runs


def problems_of(outcomes: Sequence[JobOutcome]) -> list[str]:
    """Why runs failed, one line each."""
    return [problem for outcome in outcomes for problem in outcome.problems]
