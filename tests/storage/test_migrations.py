"""The schema goes up from nothing, once, whoever asks at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.storage import migrate
from tagging_orchestration.storage.connection import connect, url_parts


def test_upgrade_from_nothing_then_nothing_to_do(empty_database_url: str) -> None:
    assert migrate.current(empty_database_url) is None
    assert migrate.upgrade(empty_database_url) is True
    assert migrate.current(empty_database_url) == migrate.head()
    assert migrate.upgrade(empty_database_url) is False
    with connect(empty_database_url) as connection:
        connection.execute("INSERT INTO contents (source, external_id, body) VALUES ('測試', '1', '永久標籤')")
        assert connection.execute("SELECT count(*) FROM tagging.contents").fetchone() == (1,)


def test_starters_that_race_migrate_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        did = list(threads.map(migrate.upgrade, [empty_database_url] * 6))
    assert sorted(did) == [False] * 5 + [True]


def test_a_failing_migration_leaves_nothing(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("versions", "sql"):
        (tmp_path / folder).mkdir()
    (tmp_path / "env.py").write_bytes((migrate.FOLDER / "env.py").read_bytes())
    version = (migrate.FOLDER / "versions" / "0001_core.py").read_text(encoding="utf-8")
    (tmp_path / "versions" / "0001_core.py").write_text(version, encoding="utf-8")
    sql_file = tmp_path / "sql" / "0001_core.sql"
    sql_file.write_text("CREATE TABLE tagging.half (id int); SELECT 1 / 0;", encoding="utf-8")
    monkeypatch.setattr(migrate, "FOLDER", tmp_path)

    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate.upgrade(empty_database_url)
    assert migrate.current(empty_database_url) is None

    sql_file.write_text(
        "CREATE TABLE tagging.half (id int); SELECT '100 %', ':not_a_parameter';", encoding="utf-8"
    )
    assert migrate.upgrade(empty_database_url) is True


def test_a_database_newer_than_the_code_is_refused(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("UPDATE tagging.schema_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="9999, newer than this code's"):
        migrate.upgrade(database_url)


def test_upgrade_creates_a_missing_database(empty_database_url: str) -> None:
    name = empty_database_url.rpartition("/")[2]
    with psycopg.connect(empty_database_url.replace(name, "postgres"), autocommit=True) as administrator:
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert migrate.upgrade(empty_database_url) is True
    assert migrate.current(empty_database_url) == migrate.head()


@pytest.fixture
def bare_database(postgres_server: EmbeddedServer, empty_database_url: str) -> str:
    """Name of a database without pgvector."""
    name = empty_database_url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(name, superuser=True)) as superuser:
        superuser.execute("DROP EXTENSION vector")
    return name


def test_pgvector_goes_where_the_provider_keeps_extensions(
    postgres_server: EmbeddedServer, bare_database: str
) -> None:
    url = postgres_server.url(bare_database, superuser=True)
    with connect(url) as superuser:
        superuser.execute("CREATE SCHEMA extensions")
    migrate.upgrade(url)
    with connect(url) as superuser:
        found = superuser.execute(
            "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
        )
        assert found.fetchone() == ("extensions",)
        assert superuser.execute("SELECT '[1,2]'::vector <-> '[1,4]'").fetchone() == (2.0,)


def test_a_role_that_may_not_enable_pgvector_is_told_who_can(
    postgres_server: EmbeddedServer, bare_database: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{bare_database} .* administrator run CREATE EXTENSION vector"):
        migrate.upgrade(postgres_server.url(bare_database))


def test_versions_are_one_forward_line_of_the_sql_files() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [migrate.head()]
    revisions = [revision.revision for revision in script.walk_revisions()][::-1]
    files = sorted(path.name for path in (migrate.FOLDER / "sql").iterdir())
    assert revisions == [file[:4] for file in files] == [f"{number + 1:04}" for number in range(len(files))]
    assert not any(hasattr(revision.module, "downgrade") for revision in script.walk_revisions())


def test_an_upgraded_database_lets_other_tools_find_the_tables_of_the_ai(empty_database_url: str) -> None:
    name = url_parts(empty_database_url)["dbname"]
    setting = sql.SQL("ALTER DATABASE {} SET search_path = tagging, analytics, public").format(
        sql.Identifier(name)
    )
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(setting)
    migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("tagging, analytics, ai, public",)
