"""Where the dbt project of the business is, what it needs to know, and its manifest.

The connection goes through environment variables and never through a file; the password through a variable that
dbt itself keeps out of its logs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.settings import Settings, get_settings, project_root

FOLDER = "dbt_project"
PROJECT_FILES = ("*.sql", "*.yml", "*.csv")


def project_dir() -> Path:
    """Folder of the dbt project: that of the present project folder, else the clone's.

    Raises ConfigurationError where there is none.
    """
    for root in (project_root(), Path(__file__).resolve().parents[2]):
        if (root / FOLDER / "dbt_project.yml").is_file():
            return root / FOLDER
    raise ConfigurationError(f"{project_root()} has no {FOLDER}/dbt_project.yml: work in a clone of the project")


def target_path(settings: Settings | None = None) -> Path:
    """Where dbt writes: `target` of the project, or TAGGING_HOME/dbt where the project cannot be written."""
    if os.access(project_dir(), os.W_OK):
        return project_dir() / "target"
    return (settings or get_settings()).home / "dbt" / "target"


def dbt_vars(settings: Settings) -> dict[str, str]:
    """The variables of the business, for `dbt --vars`; all others have defaults in dbt_project.yml."""
    return {
        "organization_id": settings.organization_id,
        "business_timezone": settings.business.timezone,
        "currency": settings.business.currency,
        "locale": settings.business.locale,
    }


def dbt_environment(settings: Settings) -> dict[str, str]:
    """The variables that dbt must see beside the present ones; the embedded server is started when it is the
    database. Raises DatabaseUnavailable and ConfigurationError as `database_url` does."""
    from tagging_orchestration.storage.connection import database_url, url_parts

    parts = url_parts(database_url(settings))
    return _offline_environment(settings) | {
        "DBT_HOST": parts.get("host", "127.0.0.1"),
        "DBT_PORT": parts.get("port", "5432"),
        "DBT_USER": parts.get("user", ""),
        "DBT_ENV_SECRET_PASSWORD": parts.get("password", ""),
        "DBT_DATABASE": parts.get("dbname", ""),
        "DBT_SSLMODE": parts.get("sslmode", "prefer"),
    }


def build_path(settings: Settings, step: str) -> Path:
    """Where a step of the pipeline lets dbt write: a folder for each, so that neither other projects' databases
    nor other steps disturb what dbt remembers there."""
    return settings.home / "dbt" / step


def manifest_path(settings: Settings | None = None) -> Path:
    """The manifest that `ensure_manifest` keeps; it may not be there yet."""
    return target_path(settings) / "manifest.json"


def ensure_manifest(settings: Settings | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """The manifest, built when it is missing or older than a file of the project; needs no database.

    With the `environment` of the builds to come (`dbt_environment`), their first need not parse again. Raises
    ConfigurationError with what dbt says when the project does not parse.
    """
    settings = settings or get_settings()
    manifest = manifest_path(settings)
    if _is_current(manifest):
        return manifest
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with (manifest.parent / "manifest.lock").open("w") as lock:
        # Several processes may start at once: one parses, the others wait for what it writes.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(manifest):
            _parse(settings, environment or _offline_environment(settings))
            manifest.touch()
    return manifest


def _is_current(manifest: Path) -> bool:
    return manifest.is_file() and manifest.stat().st_mtime >= _newest_change()


def _parse(settings: Settings, environment: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 (our own arguments)
        [*dbt_command(), "parse", "--vars", json.dumps(dbt_vars(settings))],
        cwd=project_dir(),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ConfigurationError(f"the dbt project at {project_dir()} does not parse:\n{done.stdout[-2000:]}")


def dbt_command() -> list[str]:
    """How dbt is called, whether or not its script is on the PATH."""
    return [sys.executable, "-c", "from dbt.cli.main import cli; cli()"]


def _offline_environment(settings: Settings) -> dict[str, str]:
    return {
        "DBT_PROJECT_DIR": str(project_dir()),
        "DBT_PROFILES_DIR": str(project_dir()),
        "DBT_TARGET_PATH": str(target_path(settings)),
        "DBT_LOG_PATH": str(target_path(settings).parent / "logs"),
        # Unit tests are for those who change models: `make test` runs them, a build does not.
        "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
        # A test runs with the last of the models it looks at, not with the first.
        "DBT_INDIRECT_SELECTION": "buildable",
        "DO_NOT_TRACK": "1",
    }


def rules_hash() -> str:
    """Fingerprint of all that people edit: models, thresholds, rules, calendar, the business of tagging.yaml."""
    digest = hashlib.sha256(json.dumps(dbt_vars(get_settings()), sort_keys=True).encode())
    for path in sorted(_project_files()):
        digest.update(path.relative_to(project_dir()).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _newest_change() -> float:
    return max(path.stat().st_mtime for path in _project_files())


def _project_files() -> Iterator[Path]:
    outside = {project_dir() / "target", project_dir() / "logs"}
    for pattern in PROJECT_FILES:
        yield from (path for path in project_dir().rglob(pattern) if not outside & set(path.parents))
