"""Which errors Dagster retries."""

from __future__ import annotations

import dagster as dg
import pytest
from psycopg import OperationalError

from tagging_orchestration.core.errors import ConfigurationError, SourceError, TransientError
from tagging_orchestration.defs.errors import retry_only_transient


def attempts(error: Exception) -> int:
    """How often Dagster calls an op that raises this error, two retries allowed."""
    calls = 0

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    def failing() -> None:
        nonlocal calls
        calls += 1
        with retry_only_transient():
            raise error

    @dg.job
    def job() -> None:
        failing()

    result = job.execute_in_process(raise_on_error=False)
    assert not result.success
    return calls


@pytest.mark.parametrize("error", [ConfigurationError("wrong"), SourceError("no file"), KeyError("bug")])
def test_permanent_errors_are_not_retried(error):
    assert attempts(error) == 1


@pytest.mark.parametrize(
    "error",
    [TransientError("busy"), ConnectionError("reset by peer"), OperationalError("server closed the connection")],
)
def test_transient_errors_are_retried(error):
    assert attempts(error) == 3


def test_the_failure_says_what_the_error_said():
    with pytest.raises(dg.Failure, match=r"no file data\.csv"), retry_only_transient():
        raise SourceError("no file data.csv")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), dg.DagsterExecutionInterruptedError()])
def test_an_interrupted_step_is_not_tried_again(error):
    with pytest.raises(dg.Failure, match="interrupted") as failure, retry_only_transient():
        raise error
    assert failure.value.allow_retries is False
