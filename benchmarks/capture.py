"""What change capture costs writers: commits a second with and without the capture triggers.

    python benchmarks/capture.py [--clients 1 8 32] [--seconds 1] [--rounds 12] [--major 18] [--json]

Every client commits one INSERT or UPDATE of one content after the other, by prepared statements over libpq, on a
server of its own that is removed afterwards (fsync on, Postgres' defaults). The modes of one line are interleaved
within each round, because a machine's speed drifts; a ratio is the median of the rounds' ratios.

Modes: `off` capture triggers disabled (the generated hash columns stay); `on` enabled, nobody listens; `worker` a
live worker follows the protocol: it sleeps, is notified, works 50 ms, sleeps again; `notified` the worst case, a
worker that is always asleep, so that every commit notifies.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg
from psycopg import pq, sql

from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.storage import migrate

TRIGGERS = ("contents_capture_insert", "contents_capture_update", "contents_capture_delete")
MODES = ("off", "on", "worker", "notified")
CONTENTS = 20_000
WORK_SECONDS = 0.05
BODY = "The parcel was late again and nobody at the hotline could say where it is. 包裹又遲到了。 " * 6

STATEMENTS = {
    "insert": b"INSERT INTO tagging.contents (source, external_id, title, body) "
    b"VALUES ('bench', gen_random_uuid()::text, 'Late parcel', $1)",
    "update": b"UPDATE tagging.contents SET body = $1 WHERE id = $2::bigint",
}


class Client(threading.Thread):
    """One writer. libpq waits without Python's lock, so that threads do for clients."""

    def __init__(self, url: str, workload: str, number: int, start: threading.Barrier, until: list[float]) -> None:
        super().__init__()
        self.workload, self.barrier, self.until = workload, start, until
        self.random = random.Random(number)
        self.commits = 0
        self.connection = pq.PGconn.connect(url.encode())
        self._check(self.connection.prepare(b"write", STATEMENTS[workload]))

    def run(self) -> None:
        self.barrier.wait()
        while time.perf_counter() < self.until[0]:
            values = [f"{BODY}{self.random.random()}".encode()]
            if self.workload == "update":
                values.append(str(self.random.randint(1, CONTENTS)).encode())
            self._check(self.connection.exec_prepared(b"write", values))
            self.commits += 1

    @staticmethod
    def _check(result: Any) -> None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise RuntimeError(result.error_message.decode())


def commit(url: str, workload: str, clients: int, seconds: float) -> tuple[float, float]:
    """Commits a second of so many clients together, and microseconds of server CPU a commit."""
    until = [0.0]
    barrier = threading.Barrier(clients + 1)
    writers = [Client(url, workload, number, barrier, until) for number in range(clients)]
    until[0] = float("inf")
    for writer in writers:
        writer.start()
    barrier.wait()
    begun = time.perf_counter()
    until[0] = begun + seconds
    for writer in writers:
        writer.join()
    rate = sum(writer.commits for writer in writers) / (time.perf_counter() - begun)
    spent = [psutil.Process(writer.connection.backend_pid).cpu_times() for writer in writers]
    for writer in writers:
        writer.connection.finish()
    cpu = sum(times.user + times.system for times in spent) / sum(writer.commits for writer in writers)
    return rate, cpu * 1e6


@contextmanager
def mode(admin: psycopg.Connection, url: str, name: str) -> Iterator[None]:
    """The database in one mode."""
    verb = "DISABLE" if name == "off" else "ENABLE"
    for trigger in TRIGGERS:
        query = sql.SQL("ALTER TABLE tagging.contents {} TRIGGER {}")
        admin.execute(query.format(sql.SQL(verb), sql.Identifier(trigger)))
    if name not in ("worker", "notified"):
        yield
        return
    done = threading.Event()
    worker = threading.Thread(target=listen, args=(url, name == "worker", done))
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def listen(url: str, follows_protocol: bool, done: threading.Event) -> None:
    """A worker that is told of changes; with `follows_protocol` it works when woken, else it stays asleep."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN tagging_contents")
        while not done.is_set():
            asleep = connection.execute("SELECT tagging.fall_asleep()").fetchone() == (True,)
            woken = list(connection.notifies(timeout=0.2 if asleep else 0.01, stop_after=1))
            if asleep and follows_protocol:
                connection.execute("SELECT tagging.stay_awake()")
            if woken and follows_protocol:
                time.sleep(WORK_SECONDS)


def measure(url: str, clients: int, workload: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Rates and ratios of one line."""
    rates: dict[str, list[float]] = {name: [] for name in MODES}
    cpu: dict[str, list[float]] = {name: [] for name in MODES}
    with psycopg.connect(url, autocommit=True) as admin:
        for number in range(rounds):
            # Every mode has every place in a round as often as the others.
            for name in (*MODES[number % len(MODES) :], *MODES[: number % len(MODES)]):
                with mode(admin, url, name):
                    rate, spent = commit(url, workload, clients, seconds)
                rates[name].append(rate)
                cpu[name].append(spent)
    ratios = {
        name: round(median(rate / base for rate, base in zip(rates[name], rates["off"], strict=True)), 3)
        for name in MODES[1:]
    }
    return {
        "workload": workload,
        "clients": clients,
        "commits_per_second": {name: round(median(values)) for name, values in rates.items()},
        "server_cpu_microseconds": {name: round(median(values)) for name, values in cpu.items()},
        "ratio": ratios,
    }


def main() -> None:
    """Run the benchmark and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--major", type=int, default=18)
    parser.add_argument("--workloads", choices=STATEMENTS, nargs="+", default=list(STATEMENTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the embedded server's user must reach its data
        server = EmbeddedServer(Path(folder), options.major)
        server.start()
        try:
            url = server.url()
            migrate.upgrade(url)
            with psycopg.connect(url) as connection:
                connection.execute(
                    "INSERT INTO tagging.contents (source, external_id, title, body) "
                    "SELECT 'seed', n::text, 'Late parcel', %s || n FROM generate_series(1, %s) AS n",
                    [BODY, CONTENTS],
                )
            lines = [
                measure(url, clients, workload, options.seconds, options.rounds)
                for workload in options.workloads
                for clients in options.clients
            ]
        finally:
            server.stop()
    if options.json:
        print(json.dumps({"postgres": options.major, "lines": lines}, indent=2))
        return
    print(
        "workload  clients  "
        + "  ".join(f"{name:>9}" for name in MODES)
        + "   ratios on / worker / notified   CPU us"
    )
    for line in lines:
        rates = "  ".join(f"{line['commits_per_second'][name]:>9,}" for name in MODES)
        ratios = " / ".join(f"{ratio:.2f}" for ratio in line["ratio"].values())
        spent = " / ".join(str(value) for value in line["server_cpu_microseconds"].values())
        print(f"{line['workload']:<8}  {line['clients']:>7}  {rates}   {ratios}   {spent}")


if __name__ == "__main__":
    main()
