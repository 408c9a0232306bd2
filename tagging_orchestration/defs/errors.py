"""One retry system: transient errors are retried by Dagster, all others fail at once with their text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg
import psycopg_pool

from tagging_orchestration.core.errors import DatabaseUnavailable, TaggingError, TransientError

TRANSIENT_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

# OperationalError covers lost connections, a server that restarts, lock time-outs and serialisation failures.
TRANSIENT = (
    TransientError,
    DatabaseUnavailable,
    psycopg.OperationalError,
    psycopg_pool.PoolTimeout,
    ConnectionError,
    TimeoutError,
)


@contextmanager
def retry_only_transient() -> Iterator[None]:
    """Let transient errors through to the retry policy; turn all others into failures that nothing repeats."""
    try:
        yield
    except (*TRANSIENT, dg.Failure):
        raise
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as error:
        # Dagster would retry a step that a person interrupted or terminated.
        raise dg.Failure(description="interrupted; what was committed stands", allow_retries=False) from error
    except Exception as error:
        said = str(error) if isinstance(error, TaggingError) else f"{type(error).__name__}: {error}"
        raise dg.Failure(
            description=said, metadata={"error_type": type(error).__name__}, allow_retries=False
        ) from error
