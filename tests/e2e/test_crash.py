"""kill -9 in the middle: nothing is lost, nothing is doubled, and the replay equals the state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import LiteralString

import pytest
from psycopg_pool import ConnectionPool

from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.storage.connection import create_pool
from tagging_orchestration.storage.quality import replay_differences
from tests.conftest import fresh_database

CONTENTS = 240
THEMES = ["退款", "付款失敗", "延遲出貨", "手沖壺", "磨豆機", "會員點數", "保固維修", "禮盒包裝"]


@pytest.fixture(scope="module")
def urls(postgres_server: EmbeddedServer, template_database: str) -> Iterator[tuple[str, str]]:
    """A fresh database for the contents and one for Dagster."""
    for url in fresh_database(postgres_server, template_database):
        for dagster_url in fresh_database(postgres_server, "template1"):
            yield url, dagster_url


@pytest.fixture(scope="module")
def run(urls: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], subprocess.Popen]:
    """Starts `tagging run` on many short Chinese texts (no neural model to load), in small batches."""
    folder = tmp_path_factory.mktemp("crash")
    rows = [
        {
            "id": str(number),
            "text": f"{THEMES[number % 8]}的問題：第 {number} 張訂單想詢問{THEMES[number % 5]}，請儘快回覆。",
            "created_at": f"2026-{1 + number % 6:02}-10",
        }
        for number in range(CONTENTS)
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "tagging.yaml").write_text("sources: [{name: texts, path: texts.jsonl}]\nruns: {batch_size: 8}\n")
    environment = {
        **os.environ,
        "TAGGING_HOME": str(folder / "state"),
        "TAGGING_DATABASE_URL": urls[0],
        "TAGGING_DAGSTER_DATABASE_URL": urls[1],
    }

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "tagging_orchestration.cli", "run"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture(scope="module")
def pool(urls: tuple[str, str]) -> Iterator[ConnectionPool]:
    """Connections of the tests' own to the contents."""
    with create_pool(urls[0]) as pool:
        yield pool


def count(pool: ConnectionPool, query: LiteralString) -> int:
    with pool.connection() as connection:
        (number,) = connection.execute(query).fetchone() or (0,)
    return number


def kill_once(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """Kill the process and its children with SIGKILL at the moment `reached` says so."""
    until = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, f"the run ended before it could be killed:\n{process.communicate()[0]}"
        assert time.monotonic() < until, "the moment to kill never came"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


STAGED = "SELECT count(*) FROM tagging.generated_tags"
TAGGED = "SELECT count(*) FROM tagging.content_ledger WHERE tagged_at IS NOT NULL"
EMBEDDED = "SELECT count(*) FROM tagging.content_embeddings"
ASSOCIATED = "SELECT count(*) FROM tagging.tag_events WHERE event_type = 'associated'"
ASSIGNED = "SELECT count(*) FROM tagging.content_tags"


def test_a_killed_run_is_taken_up_where_it_stopped(run, pool: ConnectionPool):
    kill_once(run(), lambda: count(pool, STAGED) > 0)
    staged, embedded = count(pool, STAGED), count(pool, EMBEDDED)
    assert staged > 0
    assert embedded == CONTENTS
    assert replay_differences(pool) == []

    kill_once(run(), lambda: count(pool, TAGGED) > 0)
    tagged = count(pool, TAGGED)
    assert tagged > 0
    assert tagged % 8 == 0, "batches are committed whole"
    assert replay_differences(pool) == []

    last = run()
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0, output
    assert count(pool, TAGGED) == CONTENTS
    assert count(pool, EMBEDDED) == CONTENTS
    assert count(pool, ASSIGNED) == count(pool, ASSOCIATED) > 0, "each assignment was written once"
    assert replay_differences(pool) == []
    assert count(pool, "SELECT count(*) FROM tagging.content_ledger WHERE stale") == 0


def test_what_the_first_runs_staged_was_not_generated_again(pool: ConnectionPool):
    moments = count(pool, "SELECT count(DISTINCT date_trunc('second', generated_at)) FROM tagging.generated_tags")
    assert moments > 1, "proposals of the killed run and of the next one stand side by side"
