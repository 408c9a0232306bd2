"""The procedure of docs/operations.md, "Point-in-time recovery", with Postgres' own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable

import psycopg

from tagging_orchestration.postgres.server import EmbeddedServer


def test_the_database_goes_back_to_the_moment_before_a_mistake(new_server: Callable[..., EmbeddedServer]) -> None:
    server = new_server()
    server.start()
    state = server.status()
    archive, base = server.cluster / "wal-archive", server.cluster / "base"

    execute(server, "ALTER SYSTEM SET archive_mode = on")
    execute(server, f"ALTER SYSTEM SET archive_command = 'mkdir -p {archive} && cp %p {archive}/%f'")
    server.stop()
    server.start()
    execute(server, "CREATE TABLE notes (text text)")
    subprocess.run(
        [
            state.programs / "pg_basebackup",
            f"--dbname={server.url(superuser=True)}",
            f"--pgdata={base}",
            "-c",
            "fast",
        ],
        check=True,
    )
    execute(server, "INSERT INTO notes VALUES ('備份之後'), ('after the base backup')")
    moment = execute(server, "SELECT clock_timestamp()::text")
    execute(server, "DELETE FROM notes")
    last_segment = execute(server, "SELECT pg_walfile_name(pg_switch_wal())")
    while execute(server, "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver") < last_segment:
        time.sleep(0.05)

    server.stop()
    state.data.rename(server.cluster / "data.before")
    shutil.copytree(base, state.data, symlinks=True)
    with (state.data / "postgresql.auto.conf").open("a") as file:
        file.write(
            f"restore_command = 'cp {archive}/%f %p'\n"
            f"recovery_target_time = '{moment}'\n"
            "recovery_target_action = promote\n"
        )
    (state.data / "recovery.signal").touch()
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", state.user, state.data], check=True)
    server.start()

    assert execute(server, "SELECT count(*)::text FROM notes") == "2"
    execute(server, "INSERT INTO notes VALUES ('goes on')")


def execute(server: EmbeddedServer, statement: str) -> str:
    with psycopg.connect(server.url(superuser=True), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else ""
