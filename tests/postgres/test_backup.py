"""Backups hold everything, and a restore replaces all or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tagging_orchestration.core.errors import ConfigurationError, DatabaseUnavailable
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.storage import migrate
from tagging_orchestration.storage.backup import (
    FORMAT,
    MANIFEST,
    DumpedDatabase,
    Manifest,
    back_up,
    read_manifest,
    restore,
)
from tagging_orchestration.storage.connection import connect, with_database

TEXTS = [(str(number), f"Invoice {number}, 退款 {number}\x7f\t\\N") for number in range(200)]


def silent(_: str) -> None:
    pass


@pytest.fixture
def urls(database_url: str, empty_database_url: str) -> dict[str, str]:
    """A `tagging` database with contents and a `dagster` database with a table."""
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO contents (source, external_id, body) VALUES ('bills', %s, %s)", TEXTS)
    with connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE public.runs AS SELECT n AS id FROM generate_series(1, 30) n")
    return {"tagging": database_url, "dagster": empty_database_url}


@pytest.fixture
def saved(urls: dict[str, str], tmp_path: Path) -> Path:
    """A backup of `urls`, after which both databases were changed."""
    back_up(urls, tmp_path / "saved", silent)
    with connect(urls["tagging"]) as connection:
        connection.execute("DELETE FROM contents WHERE external_id <> '7'")
    with connect(urls["dagster"]) as connection:
        connection.execute("DROP TABLE public.runs")
    return tmp_path / "saved"


@pytest.fixture
def role(postgres_server: EmbeddedServer, urls: dict[str, str]) -> Iterator[str]:
    """A role that the `tagging` database's privileges name."""
    name = f"tag_viewer_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as server:
        server.execute(f"CREATE ROLE {name} NOLOGIN".encode())
        with connect(urls["tagging"]) as connection:
            connection.execute(f"GRANT SELECT ON contents TO {name}".encode())
        yield name
        with connect(urls["tagging"]) as connection:
            connection.execute(f"REVOKE ALL ON contents FROM {name}".encode())
        server.execute(f"DROP ROLE {name}".encode())


def contents(url: str) -> list[tuple]:
    with connect(url) as connection:
        return connection.execute(
            "SELECT external_id, body FROM tagging.contents ORDER BY external_id::int"
        ).fetchall()


def siblings(urls: dict[str, str]) -> set[str]:
    """The databases and whatever was named after them."""
    names = [url.rpartition("/")[2] for url in urls.values()]
    with connect(urls["tagging"]) as connection:
        found = [row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()]
    return {name for name in found if name.startswith(tuple(names))}


def test_round_trip(role: str, urls: dict[str, str], tmp_path: Path) -> None:
    name = urls["tagging"].rpartition("/")[2]
    with connect(urls["tagging"]) as connection:
        connection.execute(f"ALTER DATABASE {name} SET search_path = tagging, public".encode())
        connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '7s'".encode())
    manifest = back_up(urls, tmp_path / "saved", silent)
    assert manifest == read_manifest(tmp_path / "saved")
    assert manifest.roles == (role,)
    assert manifest.schema_version == migrate.head()
    assert (tmp_path / "saved").stat().st_mode & 0o077 == 0
    with connect(urls["tagging"]) as connection:
        connection.execute("DELETE FROM contents WHERE external_id <> '7'")
    with connect(urls["dagster"]) as connection:
        connection.execute("DROP TABLE public.runs")

    restore(tmp_path / "saved", urls, silent)

    assert contents(urls["tagging"]) == TEXTS
    with connect(urls["dagster"]) as connection:
        assert connection.execute("SELECT sum(id) FROM public.runs").fetchone() == (465,)
    with psycopg.connect(urls["tagging"]) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("tagging, public",)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)
        allowed = connection.execute("SELECT has_table_privilege(%s, 'contents', 'SELECT')", [role]).fetchone()
        assert allowed == (True,)
        connection.execute("INSERT INTO contents (source, external_id, body) VALUES ('bills', '200', '新')")
    assert migrate.upgrade(urls["tagging"]) is False
    assert siblings(urls) == {url.rpartition("/")[2] for url in urls.values()}


def test_sessions_are_disconnected_and_can_come_back(saved: Path, urls: dict[str, str]) -> None:
    with psycopg.connect(urls["tagging"]) as session:
        session.execute("SELECT count(*) FROM tagging.contents")
        restore(saved, urls, silent)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert len(contents(urls["tagging"])) == len(TEXTS)


def test_a_restore_that_fails_changes_nothing(saved: Path, urls: dict[str, str]) -> None:
    """The second dump is broken, so that the first one is already in its scratch database."""
    broken = b"not a dump"
    (saved / "dagster.dump").write_bytes(broken)

    def break_dump(raw: dict) -> None:
        raw["databases"][1] |= {"bytes": len(broken), "sha256": hashlib.sha256(broken).hexdigest()}

    change_manifest(saved, break_dump)
    with pytest.raises(DatabaseUnavailable, match="pg_restore failed"):
        restore(saved, urls, silent)
    assert [external_id for external_id, _ in contents(urls["tagging"])] == ["7"]
    assert siblings(urls) == {url.rpartition("/")[2] for url in urls.values()}


def test_a_backup_that_fails_leaves_nothing(urls: dict[str, str], tmp_path: Path) -> None:
    missing = urls | {"dagster": with_database(urls["dagster"], "nothing_here")}
    with pytest.raises(DatabaseUnavailable, match="nothing_here"):
        back_up(missing, tmp_path / "saved", silent)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(urls: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists: name a new folder"):
        back_up(urls, tmp_path, silent)


def change_manifest(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / MANIFEST
    raw = json.loads(path.read_text(encoding="utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), encoding="utf-8")


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A backup that a reader of its manifest cannot tell from a real one."""
    folder = tmp_path / "made_up"
    folder.mkdir()
    dumps = []
    for role in ("tagging", "dagster"):
        dump = f"dump of {role} 備份".encode()
        (folder / f"{role}.dump").write_bytes(dump)
        digest = hashlib.sha256(dump).hexdigest()
        dumps.append(DumpedDatabase(role, f"{role}.dump", len(dump), digest))
    manifest = Manifest(FORMAT, "2026-01-31T12:00:00+00:00", 18, migrate.head(), (), tuple(dumps))
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    assert read_manifest(folder) == manifest
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), "is no backup"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "cannot be read"),
        (lambda folder: change_manifest(folder, lambda raw: raw.update(format=2)), "format 2, newer than this"),
        (lambda folder: change_manifest(folder, lambda raw: raw.update(schema_version="9999")), "version 9999"),
        (lambda folder: (folder / "tagging.dump").unlink(), r"tagging\.dump is missing or was changed"),
        (lambda folder: flip_a_byte(folder / "dagster.dump"), r"dagster\.dump is missing or was changed"),
    ],
    ids=["no manifest", "empty manifest", "list", "format", "schema", "missing dump", "changed dump"],
)
def test_backups_that_cannot_be_trusted_are_refused(
    spoil: Callable[[Path], object], message: str, made_up: Path
) -> None:
    spoil(made_up)
    with pytest.raises(ConfigurationError, match=message):
        read_manifest(made_up)


def test_a_backup_of_a_newer_postgres_is_refused(saved: Path, urls: dict[str, str]) -> None:
    change_manifest(saved, lambda raw: raw.update(postgres_major=99))
    with pytest.raises(ConfigurationError, match="into a server that is not older"):
        restore(saved, urls, silent)
    assert [external_id for external_id, _ in contents(urls["tagging"])] == ["7"]


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_backup_moves_up_a_major_and_brings_its_roles(
    new_server: Callable[..., EmbeddedServer], tmp_path: Path
) -> None:
    """Postgres 16 to a fresh Postgres 18, the way to a newer embedded server."""
    old, new = new_server(major=16), new_server(major=18)
    old.start()
    new.start()
    old_urls = {"tagging": old.url("tagging"), "dagster": old.url("dagster")}
    new_urls = {"tagging": new.url("tagging"), "dagster": new.url("dagster")}
    migrate.upgrade(old_urls["tagging"])
    with connect(old_urls["tagging"]) as connection:
        connection.execute("INSERT INTO contents (source, external_id, body) VALUES ('s', '1', '永久')")
        connection.execute("CREATE ROLE tag_editor NOLOGIN")
        connection.execute("GRANT SELECT ON contents TO tag_editor")
    back_up(old_urls, tmp_path / "saved", silent)
    restore(tmp_path / "saved", new_urls, silent)
    assert contents(new_urls["tagging"]) == [("1", "永久")]
    with connect(new_urls["tagging"]) as connection:
        allowed = connection.execute("SELECT has_table_privilege('tag_editor', 'contents', 'SELECT')").fetchone()
        assert allowed == (True,)
    restore(tmp_path / "saved", old_urls, silent)
    assert contents(old_urls["tagging"]) == [("1", "永久")]
