"""The direction of dependencies, and what importing a layer may drag in."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tagging_orchestration

PACKAGE = Path(tagging_orchestration.__file__).parent
OURS = "tagging_orchestration"

# What each part of the package may import of ours, beside itself.
ALLOWED = {
    "core": set(),
    "settings": {"core"},
    "postgres": {"core", "settings"},
    "dagster_home": {"settings", "storage", "business"},
    "storage": {"core", "settings", "postgres"},
    "clients": {"core", "settings"},
    "wiring": {"core", "settings", "storage", "clients", "postgres"},
    "experiments": {"core", "settings", "storage", "clients", "wiring"},
    "demo": {"core", "settings", "storage", "clients"},
    "business": {"core", "settings", "storage", "clients", "demo"},
    "ai": {"core", "settings", "storage", "clients", "wiring", "experiments", "business"},
    "defs": {
        "core",
        "settings",
        "storage",
        "clients",
        "wiring",
        "experiments",
        "business",
        "ai",
    },
    "dev_llm": {"core"},
    "definitions": {"defs"},
    "commands": {
        "core",
        "settings",
        "storage",
        "clients",
        "wiring",
        "experiments",
        "business",
        "ai",
        "dev_llm",
        "defs",
        "definitions",
        "postgres",
        "dagster_home",
    },
    "cli": {"commands", "core", "postgres", "settings"},
}

CORE_LIBRARIES = {"json_repair", "jsonschema", "numpy", "pydantic", "rapidfuzz", "scipy", "sklearn", "statsmodels"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            if node.module == OURS:
                names |= {f"{OURS}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path):
    part = part_of(path)
    if part == "__init__":
        return
    for name in imports_of(path):
        if name.startswith(f"{OURS}."):
            target = name.split(".")[1]
            assert target == part or target in ALLOWED[part], f"{path} imports {name}"


def test_core_is_pure():
    for path in (PACKAGE / "core").rglob("*.py"):
        for name in imports_of(path):
            root = name.split(".")[0]
            assert root in CORE_LIBRARIES | {OURS} or root in sys.stdlib_module_names, f"{path} imports {name}"
            assert root not in {"os", "pathlib", "socket", "subprocess", "sqlite3", "urllib", "http"}, (
                f"{path} imports {name}: core touches neither files nor network"
            )


def test_package_folders_are_marked_by_empty_init_files():
    for path in PACKAGE.rglob("__init__.py"):
        assert path.read_text() == "", f"{path} is not empty"


def test_sql_lives_in_storage():
    for path in modules():
        if part_of(path) in {"storage", "postgres"}:
            continue
        assert ".execute(" not in path.read_text(), f"{path} runs SQL"


def test_lower_layers_import_without_heavy_libraries():
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in modules()
        if part_of(path) in {"core", "storage", "clients", "settings", "wiring"}
        and path.stem != "__init__"
        and "migrations" not in path.parts
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print([n for n in ('dagster', 'torch', 'pandas', 'sentence_transformers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
