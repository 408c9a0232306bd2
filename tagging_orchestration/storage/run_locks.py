"""Advisory locks that show which runs are alive: the database drops a session's locks when its process dies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg_pool import ConnectionPool


def _key(run_id: str) -> int:
    digest = hashlib.sha256(f"dagster-run:{run_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextmanager
def hold_run_lock(pool: ConnectionPool, run_id: str) -> Iterator[None]:
    """Hold a shared lock for this run, on a connection of its own; many processes may hold it."""
    with pool.connection() as connection:
        connection.autocommit = True
        connection.execute("SELECT pg_advisory_lock_shared(%s)", [_key(run_id)])
        try:
            yield
        finally:
            if not connection.closed and not connection.broken:
                connection.execute("SELECT pg_advisory_unlock_shared(%s)", [_key(run_id)])
                connection.autocommit = False


def run_is_held(pool: ConnectionPool, run_id: str) -> bool:
    """Whether any live process holds this run's lock."""
    with pool.connection() as connection:
        (free,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_key(run_id)]).fetchone() or (False,)
    return not free
