"""`tagging db ...` and `tagging reset`: the database and the state folder. Nothing here needs Dagster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import json_option, verbose_option
from tagging_orchestration.commands.output import note, print_json

if TYPE_CHECKING:
    from tagging_orchestration.postgres.server import EmbeddedServer
    from tagging_orchestration.settings import Settings

STOPPED = 4


@click.group
def db() -> None:
    """Start, stop, look into, back up and restore the database."""


@db.command
@json_option
@verbose_option
def start(as_json: bool) -> None:
    """Start the embedded Postgres, or reach the one that TAGGING_DATABASE_URL names. Other commands do this
    by themselves."""
    from tagging_orchestration.storage.connection import connect, database_url

    connect(database_url()).close()
    _show(_status(), as_json)


@db.command
@verbose_option
def stop() -> None:
    """Stop the embedded Postgres. Its sessions are disconnected; committed work is safe."""
    from tagging_orchestration.storage.connection import embedded_server

    note("stopped" if embedded_server().stop() else "the embedded Postgres was not running")


@db.command
@json_option
@verbose_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Which database is used, where, and whether it runs. Exit code 4 when it does not."""
    state = _status()
    _show(state, as_json)
    context.exit(0 if state["running"] else STOPPED)


@db.command
@click.option("--dagster", is_flag=True, help="Dagster's own database.")
@click.option("--superuser", is_flag=True, help="As the embedded server's superuser.")
@json_option
@verbose_option
def url(dagster: bool, superuser: bool, as_json: bool) -> None:
    """Print the database's URL, password included; the embedded server is started when needed."""
    found = _url(dagster, superuser)
    if as_json:
        print_json({"url": found})
    else:
        click.echo(found)


@db.command(context_settings={"ignore_unknown_options": True})
@click.option("--dagster", is_flag=True, help="Dagster's own database.")
@click.option("--superuser", is_flag=True, help="As the embedded server's superuser.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(dagster: bool, superuser: bool, arguments: tuple[str, ...]) -> None:
    """Open psql on the database. ARGUMENTS are psql's own: tagging db psql -c 'SELECT count(*) FROM contents'."""
    from psycopg.conninfo import make_conninfo

    from tagging_orchestration.postgres.binaries import NEWEST, program_folder
    from tagging_orchestration.storage.connection import SESSION_OPTIONS, url_parts

    parts = dict(url_parts(_url(dagster, superuser)))
    environment = dict(os.environ)
    if "password" in parts:
        environment["PGPASSWORD"] = parts.pop("password")
    if not dagster:
        environment.setdefault("PGOPTIONS", SESSION_OPTIONS)
    # The packaged psql was built where terminal descriptions lie elsewhere than on Debian.
    environment.setdefault("TERMINFO_DIRS", "/etc/terminfo:/lib/terminfo:/usr/share/terminfo")
    program = str(program_folder(NEWEST) / "psql")
    os.execve(program, ["psql", f"--dbname={make_conninfo(**parts)}", *arguments], environment)  # noqa: S606


@db.command
@click.argument("target", required=False, type=click.Path(path_type=Path))
@json_option
@verbose_option
def backup(target: Path | None, as_json: bool) -> None:
    """Write a backup of both databases into the new folder TARGET (default: tagging-backup-TIME here).

    Work may go on meanwhile.
    """
    from tagging_orchestration.storage.backup import back_up, default_target

    target = target or default_target()
    manifest = back_up(_urls(), target, note)
    if as_json:
        print_json({"folder": target.resolve(), "manifest": manifest})
    else:
        size = sum(database.bytes for database in manifest.databases) / 1e6
        made = f"{size:.1f} MB, schema {manifest.schema_version}, Postgres {manifest.postgres_major}"
        click.echo(f"{target} ({made})")


@db.command
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@verbose_option
def restore(source: Path, yes: bool) -> None:
    """Replace both databases by the backup in the folder SOURCE, after asking.

    The present databases are replaced only when the whole backup has been restored beside them. Sessions are
    disconnected then: stop `tagging ui` and other work before.
    """
    from tagging_orchestration.storage.backup import read_manifest
    from tagging_orchestration.storage.backup import restore as restore_backup
    from tagging_orchestration.storage.connection import masked

    manifest = read_manifest(source)
    urls = _urls()
    if not yes:
        present = " and ".join(masked(url) for url in urls.values())
        click.confirm(f"Replace {present} by the backup of {manifest.created_at}?", abort=True, err=True)
    restore_backup(source, urls, note)
    note(f"restored the backup of {manifest.created_at}")


@click.command
@click.option("--yes", is_flag=True, help="Do not ask.")
@verbose_option
def reset(yes: bool) -> None:
    """Stop the embedded Postgres and delete TAGGING_HOME: database, Dagster's runs, models, logs.

    A database that TAGGING_DATABASE_URL names is not touched.
    """
    import shutil

    from tagging_orchestration.settings import get_settings
    from tagging_orchestration.storage.connection import embedded_server

    settings = get_settings()
    home = settings.home.resolve()
    if not home.exists():
        note(f"nothing to reset: {home} does not exist")
        return
    _check_home(home)
    if not yes:
        inside = ", ".join(sorted(path.name for path in home.iterdir()))
        click.confirm(f"Delete {home} with all that is in it ({inside})?", abort=True, err=True)
    embedded_server(settings).remove()
    shutil.rmtree(home)
    note(f"deleted {home}")
    if settings.database_url is not None:
        note("the database that TAGGING_DATABASE_URL names was not touched")


def _check_home(home: Path) -> None:
    """Raise ConfigurationError where TAGGING_HOME seems to be somebody's folder of other things."""
    from tagging_orchestration.core.errors import ConfigurationError
    from tagging_orchestration.settings import project_root

    kept = {Path.home(), Path.cwd(), project_root()}
    ours = (home / "postgres").is_dir() or (home / "dagster").is_dir()
    if any(folder.resolve().is_relative_to(home) for folder in kept) or not ours:
        raise ConfigurationError(
            f"TAGGING_HOME is {home}, which does not look like a folder that this project made: delete it by hand "
            "if that is what you want"
        )


def _url(dagster: bool, superuser: bool) -> str:
    from tagging_orchestration.storage.connection import dagster_database_url, database_url

    if not superuser:
        return dagster_database_url() if dagster else database_url()
    from tagging_orchestration.postgres.server import DAGSTER_DATABASE, TAGGING_DATABASE

    server = _embedded_in_use()
    server.start()
    return server.url(DAGSTER_DATABASE if dagster else TAGGING_DATABASE, superuser=True)


def _embedded_in_use() -> EmbeddedServer:
    from tagging_orchestration.core.errors import ConfigurationError
    from tagging_orchestration.settings import get_settings
    from tagging_orchestration.storage.connection import embedded_server

    if get_settings().database_url is not None:
        raise ConfigurationError("--superuser is for the embedded Postgres, but TAGGING_DATABASE_URL is set")
    return embedded_server()


def _urls() -> dict[str, str]:
    return {"tagging": _url(dagster=False, superuser=False), "dagster": _url(dagster=True, superuser=False)}


def _status() -> dict[str, Any]:
    """What `status` prints; starts nothing."""
    from dataclasses import asdict

    from tagging_orchestration.settings import get_settings
    from tagging_orchestration.storage.connection import embedded_server

    settings = get_settings()
    if settings.database_url is not None:
        return _external_status(settings)
    server = embedded_server(settings)
    found = asdict(server.status())
    state: dict[str, Any] = {"kind": "embedded"} | found
    return state | (_contents(server.url()) if state["running"] else {})


def _external_status(settings: Settings) -> dict[str, Any]:
    from tagging_orchestration.core.errors import DatabaseUnavailable
    from tagging_orchestration.storage.connection import database_url

    try:
        return {"kind": "external", "running": True} | _contents(database_url(settings))
    except DatabaseUnavailable as error:
        return {"kind": "external", "running": False, "notes": (str(error),)}


def _contents(url: str) -> dict[str, Any]:
    from tagging_orchestration.storage import migrate
    from tagging_orchestration.storage.connection import connect, masked
    from tagging_orchestration.storage.health import server_facts

    with connect(url) as connection:
        facts = server_facts(connection)
    return {
        "url": masked(url),
        "postgres": facts.postgres,
        "pgvector": facts.pgvector,
        "schema": migrate.current(url),
        "newest_schema": migrate.head(),
        "bytes": facts.bytes,
    }


def _show(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    click.echo(f"{state['kind']} Postgres, {'running' if state['running'] else 'not running'}")
    for name, value in state.items():
        if name not in ("kind", "running", "notes") and value is not None:
            click.echo(f"  {name.replace('_', ' '):<14}{value}")
    for text in state.get("notes", ()):
        click.echo(f"  note: {text}")
