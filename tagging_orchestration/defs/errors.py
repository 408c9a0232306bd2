"""One retry system: transient errors are retried by Dagster, permanent ones fail at once with their text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from tagging_orchestration.core.errors import DatabaseUnavailable, TaggingError, TransientError

TRANSIENT_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


@contextmanager
def permanent_errors_fail() -> Iterator[None]:
    """Turn this project's permanent errors into failures that no retry repeats; let the others through."""
    try:
        yield
    except (TransientError, DatabaseUnavailable):
        raise
    except TaggingError as error:
        raise dg.Failure(
            description=str(error), metadata={"error_type": type(error).__name__}, allow_retries=False
        ) from error
