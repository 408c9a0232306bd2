"""The embedded server starts, stops and comes back, whatever happened to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tagging_orchestration.core.errors import DatabaseUnavailable
from tagging_orchestration.postgres import binaries
from tagging_orchestration.postgres import server as server_module
from tagging_orchestration.postgres.server import EmbeddedServer
from tests.postgres.conftest import NO_WAITING

NewServer = Callable[..., EmbeddedServer]
START = (
    "import sys; from pathlib import Path; from tagging_orchestration.postgres.server import EmbeddedServer;"
    "server = EmbeddedServer(Path(sys.argv[1])); server.start(); print(server.status().pid)"
)


@pytest.fixture(scope="module")
def home(new_server: NewServer) -> Path:
    return new_server().home


@pytest.fixture
def server(home: Path) -> EmbeddedServer:
    """A running server that the test may stop or kill."""
    server = EmbeddedServer(home, extra_settings=NO_WAITING)
    server.start()
    return server


@pytest.fixture
def stopped(server: EmbeddedServer) -> EmbeddedServer:
    server.stop()
    return server


def start_elsewhere(home: Path) -> subprocess.Popen[str]:
    """A process that starts the server, prints the postmaster's pid and ends."""
    return subprocess.Popen([sys.executable, "-c", START, str(home)], stdout=subprocess.PIPE, text=True)


def pid_of(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def kill(server: EmbeddedServer) -> None:
    process = psutil.Process(pid_of(server))
    process.kill()
    while running(process):
        time.sleep(0.01)


def ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


# ------------------------------------------------------------------------------------------- a new cluster


def test_a_new_cluster_has_an_ordinary_role_two_databases_and_pgvector(server: EmbeddedServer) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        role = connection.execute(
            "SELECT rolname, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert role == ("tagging", False, True)
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,4]'").fetchone() == (2.0,)
        assert connection.execute("SELECT lower('ÉCOLE 標籤'), '標籤' < '永久'").fetchone() == ("école 標籤", True)
        settings = "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name = ANY(%s)"
        names = ["data_checksums", "jit", "listen_addresses", "server_encoding", "TimeZone"]
        assert connection.execute(settings, [names]).fetchone() == ("UTC on off 127.0.0.1 UTF8",)
    with psycopg.connect(server.url("dagster")) as connection:
        connection.execute("CREATE TABLE own (id int)")


def test_nobody_gets_in_without_the_password(server: EmbeddedServer) -> None:
    password_file = server.home / "postgres" / "password"
    assert password_file.stat().st_mode & 0o777 == 0o600
    assert server.data.stat().st_mode & 0o077 == 0
    state = server.status()
    for host in ("127.0.0.1", str(state.socket)):
        address = {"host": host, "port": state.port, "user": "tagging", "dbname": "tagging"}
        with psycopg.connect(**address, password=password_file.read_text()) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("tagging",)
        for wrong in ("", "guess"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(**address, password=wrong)


def test_the_other_packaged_major_works_and_a_cluster_keeps_its_major(new_server: NewServer) -> None:
    old = new_server(major=16)
    old.start()
    assert str(ask(old, "SHOW server_version")).startswith("16.")
    old.stop()
    again = EmbeddedServer(old.home, 18)
    again.start()
    assert again.status().major == 16
    assert again.program("psql").parent == binaries.program_folder(16)


def test_a_cluster_is_complete_or_absent(new_server: NewServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if killed in the middle of initdb, then between the first start and the roles."""
    server = new_server()
    half_made = server.home / "postgres" / "cluster" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedServer, "_create_roles_and_databases", killed)
        with pytest.raises(KeyboardInterrupt):
            server.start()
    assert server.status().running
    server.start()
    assert ask(server, "SELECT current_user") == "tagging"


def killed(_: EmbeddedServer) -> None:
    raise KeyboardInterrupt


# --------------------------------------------------------------------------------------------- start, stop


def test_starting_twice_is_one_server(server: EmbeddedServer) -> None:
    first = pid_of(server)
    server.start()
    EmbeddedServer(server.home).start()
    assert pid_of(server) == first


def test_the_server_outlives_the_command_that_started_it(stopped: EmbeddedServer) -> None:
    starter = start_elsewhere(stopped.home)
    pid = int(starter.communicate()[0])
    assert starter.returncode == 0
    assert pid_of(stopped) == pid
    assert os.getsid(pid) == pid
    assert ask(stopped, "SELECT 1") == 1


def test_concurrent_starters_share_one_server(stopped: EmbeddedServer) -> None:
    starters = [start_elsewhere(stopped.home) for _ in range(4)]
    pids = {int(starter.communicate()[0]) for starter in starters}
    assert pids == {pid_of(stopped)}


def test_stop_ends_every_process_and_can_be_repeated(server: EmbeddedServer) -> None:
    processes = [psutil.Process(pid_of(server)), *psutil.Process(pid_of(server)).children()]
    assert len(processes) > 1
    assert server.stop() is True
    psutil.wait_procs(processes, timeout=10)
    assert not [process for process in processes if running(process)]
    assert server.stop() is False
    assert not server.status().running
    with pytest.raises(DatabaseUnavailable, match="tagging db start"):
        server.url()


def running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_status_of_nothing_makes_nothing(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "home")
    assert not server.status().running
    assert server.stop() is False
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- crashes


def test_killed_the_server_comes_back_with_every_committed_row(server: EmbeddedServer) -> None:
    port = server.status().port
    with psycopg.connect(server.url(), autocommit=True) as writer:
        writer.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        writer.execute("INSERT INTO kept SELECT '永久 ' || n FROM generate_series(1, 1000) n")
    open_transaction = psycopg.connect(server.url())
    open_transaction.execute("INSERT INTO kept VALUES ('not committed')")
    kill(server)
    server.start()
    assert ask(server, "SELECT count(*) || min(text) FROM kept") == "1000永久 1"
    assert server.status().port == port
    with pytest.raises(psycopg.OperationalError):
        open_transaction.commit()


def test_killed_in_a_long_query_its_backends_go_too(server: EmbeddedServer) -> None:
    busy = psycopg.connect(server.url(), autocommit=True)
    backend = psutil.Process(busy.info.backend_pid)
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
    busy.pgconn.flush()
    kill(server)
    server.start()
    busy.close()
    assert not running(backend)
    assert ask(server, "SELECT 1") == 1


@pytest.fixture
def zombie() -> Iterator[int]:
    child = subprocess.Popen(["true"])
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    yield child.pid
    child.wait()


def test_a_zombie_is_not_a_live_server(stopped: EmbeddedServer, zombie: int) -> None:
    assert_stale_pid_is_seen_through(stopped, zombie)


def test_a_pid_that_now_is_another_program_is_not_a_live_server(stopped: EmbeddedServer) -> None:
    assert_stale_pid_is_seen_through(stopped, os.getpid())


def test_a_pid_that_is_gone_is_not_a_live_server(stopped: EmbeddedServer) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert_stale_pid_is_seen_through(stopped, child.pid)


def assert_stale_pid_is_seen_through(server: EmbeddedServer, pid: int) -> None:
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text(
        f"{pid}\n{server.data}\n1700000000\n5432\n{server.status().socket}\n127.0.0.1\n1 1\nready\n"
    )
    assert not server.status().running
    server.start()
    assert pid_of(server) != pid
    assert ask(server, "SELECT 1") == 1


# --------------------------------------------------------------------------------------------------- ports


def test_a_port_taken_while_the_server_was_down_is_left_alone(stopped: EmbeddedServer) -> None:
    stopped.start()
    port = stopped.status().port
    stopped.stop()
    with socket.create_server(("127.0.0.1", port or 0)):
        stopped.start()
        assert stopped.status().port != port
        assert ask(stopped, "SELECT 1") == 1


def test_a_port_taken_between_choice_and_use_is_not_the_end(
    stopped: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = server_module._free_port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        choices = iter([taken.getsockname()[1]])
        monkeypatch.setattr(server_module, "_free_port", lambda port: next(choices, None) or free_port(None))
        stopped.start()
        assert stopped.status().port != taken.getsockname()[1]
        assert ask(stopped, "SELECT 1") == 1


# -------------------------------------------------------------------------------------------------- places


def test_a_home_with_a_long_strange_name_works(new_server: NewServer) -> None:
    server = new_server(" it's 標籤 " + "x" * 80)
    server.start()
    sockets = server.status().socket
    assert len(os.fsencode(sockets / ".s.PGSQL.65535.lock")) <= 103
    assert sockets.stat().st_mode & 0o777 == 0o700
    address = {"host": str(sockets), "port": server.status().port, "user": "tagging", "dbname": "tagging"}
    password = (server.home / "postgres" / "password").read_text()
    with psycopg.connect(**address, password=password) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.remove()
    assert not sockets.exists()


def test_folders_closed_to_the_servers_user_stay_closed(
    new_server: NewServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone and a virtual environment in a private folder; for root that is another user's server."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = binaries.packaged_folder()
    for folder in (package, package.with_name(f"{package.name}.libs")):
        (private / folder.name).symlink_to(folder)
    monkeypatch.setattr(binaries, "packaged_folder", lambda: private / package.name)
    server = new_server(parent=private)
    server.start()
    assert ask(server, "SELECT '[1]'::vector::text") == "[1]"
    assert private.stat().st_mode & 0o777 == 0o700
    state = server.status()
    by_root = os.geteuid() == 0
    assert [note for note in state.notes if "cannot enter" in note] == (list(state.notes[1:]) if by_root else [])
    assert len(state.notes) == (2 if by_root else 0)
    server.remove()
    assert not server.cluster.exists()
    assert not state.data.exists()


def test_copied_programs_run_and_old_copies_go(tmp_path: Path) -> None:
    (tmp_path / "copies" / "0.1-18").mkdir(parents=True)
    programs = binaries.copy_programs(18, tmp_path / "copies")
    said = subprocess.run([programs / "pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("pg_dump (PostgreSQL) 18")
    assert binaries.copy_programs(18, tmp_path / "copies") == programs
    assert len(list((tmp_path / "copies").iterdir())) == 1


# -------------------------------------------------------------------------------------------------- errors


def test_a_failed_start_shows_what_postgres_said(new_server: NewServer) -> None:
    server = new_server(shared_buffers="plenty")
    with pytest.raises(DatabaseUnavailable, match='invalid value for parameter "shared_buffers": "plenty"'):
        server.start()


def test_a_home_that_the_shell_would_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="set TAGGING_HOME to another folder"):
        EmbeddedServer(tmp_path / "$(touch owned)").start()
    assert list(tmp_path.iterdir()) == []


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match=r"Not a directory.*set TAGGING_HOME"):
        EmbeddedServer(tmp_path / "file" / "home").start()


def test_a_major_that_is_not_packaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="Postgres 15 is not in the installed package"):
        EmbeddedServer(tmp_path / "home", 15).start()
    assert not (tmp_path / "home" / "postgres" / "cluster").is_symlink()
