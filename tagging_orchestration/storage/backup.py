"""Logical backup and restore of the project's databases with Postgres' own pg_dump and pg_restore.

A backup is a folder: manifest.json, and one custom-format dump a database. It is complete or absent, and can
be restored into any server of the same or a newer major version.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from tagging_orchestration.core.errors import ConfigurationError, DatabaseUnavailable
from tagging_orchestration.postgres.binaries import FOLDERS, NEWEST, program_folder
from tagging_orchestration.storage import migrate
from tagging_orchestration.storage.connection import connect, ensure_database, masked, url_parts, with_database

FORMAT = 1
MANIFEST = "manifest.json"
RESTORE_JOBS = 2


@dataclass(frozen=True, slots=True)
class DumpedDatabase:
    """One dump of a backup. `role` is what the database is for: "tagging" or "dagster"."""

    role: str
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds and what it needs to be restored."""

    format: int
    created_at: str
    postgres_major: int
    schema_version: str | None
    roles: tuple[str, ...]
    databases: tuple[DumpedDatabase, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A database to be replaced, the scratch one that will replace it, and its name when it has been."""

    name: str
    scratch: str
    old: str


def default_target() -> Path:
    """A folder name in the working directory, outside TAGGING_HOME so that `tagging reset` spares it."""
    return Path.cwd() / f"tagging-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def back_up(urls: Mapping[str, str], target: Path, say: Callable[[str], None]) -> Manifest:
    """Dump the databases `urls` (role → URL) into the new folder `target` while they are in use.

    Each dump is consistent in itself. Raises ConfigurationError when `target` exists, DatabaseUnavailable
    with pg_dump's words when it fails; then `target` does not exist.
    """
    if target.exists():
        raise ConfigurationError(f"{target} exists: name a new folder for the backup")
    with connect(urls["tagging"]) as connection:
        major = connection.info.server_version // 10_000
        schema_version, roles = migrate.current(urls["tagging"]), _roles(connection)
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        dumps = []
        for role, url in urls.items():
            say(f"Dumping {masked(url)}")
            file = partial / f"{role}.dump"
            _run(major, "pg_dump", "--format=custom", "--no-owner", f"--file={file}", url=url)
            dumps.append(DumpedDatabase(role, file.name, file.stat().st_size, _sha256(file)))
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(FORMAT, created_at, major, schema_version, roles, tuple(dumps))
        (partial / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Read and verify a backup: all files there, unchanged, of a format this code knows.

    Raises ConfigurationError that says what is wrong with it.
    """
    try:
        raw = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        if raw["format"] > FORMAT:
            raise ConfigurationError(
                f"{source} has backup format {raw['format']}, newer than this code's {FORMAT}: update the code"
            )
        databases = tuple(DumpedDatabase(**database) for database in raw.pop("databases"))
        manifest = Manifest(**raw | {"roles": tuple(raw["roles"])}, databases=databases)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{source} is no backup: it has no {MANIFEST}. `tagging db backup` makes such a folder"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{source / MANIFEST} cannot be read ({error!r}): take another backup") from None
    if manifest.schema_version is not None and manifest.schema_version > migrate.head():
        raise ConfigurationError(
            f"{source} has schema version {manifest.schema_version}, newer than this code's {migrate.head()}: "
            "update the code"
        )
    for database in manifest.databases:
        file = source / database.file
        if not file.is_file() or file.stat().st_size != database.bytes or _sha256(file) != database.sha256:
            raise ConfigurationError(f"{file} is missing or was changed since the backup: take another backup")
    return manifest


def restore(source: Path, urls: Mapping[str, str], say: Callable[[str], None]) -> Manifest:
    """Put a backup in the place of the databases `urls` (role → URL).

    Each dump goes into a scratch database first; only when all are complete do they take the places of the
    old ones, in one transaction. Sessions are disconnected at that moment. Afterwards the schema is brought
    up to this code's version. Raises as `read_manifest` does, and DatabaseUnavailable with the server's words
    when it fails; then the old databases are untouched.
    """
    manifest = read_manifest(source)
    for url in urls.values():
        ensure_database(url)
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}_{os.getpid()}"
    places = {}
    for dump in manifest.databases:
        name = url_parts(urls[dump.role])["dbname"]
        places[dump] = Place(name, f"{name}_restore_{stamp}", f"{name}_before_{stamp}")
    with connect(with_database(urls["tagging"], "postgres"), autocommit=True) as server:
        major = server.info.server_version // 10_000
        if manifest.postgres_major > major:
            raise ConfigurationError(
                f"{source} is from Postgres {manifest.postgres_major}, the server is Postgres {major}: restore it "
                "into a server that is not older"
            )
        try:
            _create_roles(server, manifest.roles)
            for dump, place in places.items():
                say(f"Restoring {dump.role} ({dump.bytes / 1e6:.1f} MB)")
                server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(place.scratch)))
                _fill(major, source / dump.file, with_database(urls[dump.role], place.scratch))
                _copy_settings(server, place.name, place.scratch)
            say("Taking the place of the present databases")
            _swap(server, list(places.values()))
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"the backup was not restored and nothing was changed: {' '.join(str(error).split())}"
            ) from error
        finally:
            for name in [name for place in places.values() for name in (place.scratch, place.old)]:
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    migrate.upgrade(urls["tagging"])
    return manifest


def _fill(major: int, file: Path, url: str) -> None:
    """Restore a dump, but for its extensions: they are the administrator's, and are there already."""
    with connect(url) as connection:
        migrate.create_extension(connection)
    entries = _run(major, "pg_restore", "--list", str(file)).splitlines()
    kept = [entry for entry in entries if " EXTENSION - " not in entry and " COMMENT - EXTENSION " not in entry]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".list") as listing:
        listing.write("\n".join(kept))
        listing.flush()
        arguments = ("--exit-on-error", "--no-owner", f"--jobs={RESTORE_JOBS}", f"--use-list={listing.name}")
        _run(major, "pg_restore", *arguments, str(file), url=url)


def _swap(server: Connection, places: Sequence[Place]) -> None:
    """Rename all databases in one transaction; a rename needs a database that nobody is connected to."""
    names = [place.name for place in places]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    try:
        for name in names:
            server.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        server.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = ANY(%s)", [names]
        )
        with server.transaction():
            for place in places:
                server.execute(rename.format(sql.Identifier(place.name), sql.Identifier(place.old)))
                server.execute(rename.format(sql.Identifier(place.scratch), sql.Identifier(place.name)))
    finally:
        for name in names:
            server.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def _copy_settings(server: Connection, source: str, target: str) -> None:
    """Give `target` what ALTER DATABASE ... SET said of `source`; a dump does not hold it."""
    rows = server.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting"
        " WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = %s)",
        [source],
    ).fetchall()
    for (setting,) in rows:
        name, _, value = setting.partition("=")
        # A list such as search_path must stay a list, not become one quoted name.
        items = sql.SQL(", ").join(sql.Literal(item.strip().strip('"')) for item in value.split(","))
        server.execute(
            sql.SQL("ALTER DATABASE {} SET {} TO {}").format(sql.Identifier(target), sql.Identifier(name), items)
        )


def _roles(connection: Connection) -> tuple[str, ...]:
    """Roles that the database's privileges and policies name; they belong to the server, not to the dump."""
    rows = connection.execute(
        "SELECT DISTINCT rolname FROM pg_shdepend JOIN pg_roles ON pg_roles.oid = refobjid"
        " WHERE refclassid = 'pg_authid'::regclass AND deptype IN ('a', 'r') AND rolname !~ '^pg_'"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY rolname"
    )
    return tuple(row[0] for row in rows)


def _create_roles(server: Connection, roles: Sequence[str]) -> None:
    for role in roles:
        if server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
            server.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def _client_major(server_major: int) -> int:
    """Whose programs to use: the server's own version, as a newer pg_restore says things an older server does
    not know; else the newest we have."""
    return server_major if server_major in FOLDERS else NEWEST


def _run(major: int, program: str, *arguments: str, url: str | None = None) -> str:
    """Run a packaged client program; its output. The password goes through the environment, unseen by ps."""
    command = [str(program_folder(_client_major(major)) / program), *arguments]
    environment = dict(os.environ)
    if url is not None:
        parts = dict(url_parts(url))
        if "password" in parts:
            environment["PGPASSWORD"] = parts.pop("password")
        command.append(f"--dbname={make_conninfo(**parts)}")
    done = subprocess.run(  # noqa: S603 (packaged programs)
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        where = f" on {masked(url)}" if url else ""
        raise DatabaseUnavailable(f"{program}{where} failed: {' '.join(done.stderr.split())[-2000:]}")
    return done.stdout


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
