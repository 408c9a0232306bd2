"""Changing values in tagging.yaml while all comments and other values stay as people wrote them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tagging_orchestration.core.errors import ConfigurationError

_SECTION = re.compile(r"(?:# )?([A-Za-z_]+):")


def change_settings(path: Path, values: Mapping[str, Any]) -> None:
    """Write values into the settings file, making it where there is none.

    Raises ConfigurationError, and changes nothing, when the file is written in a way that cannot be edited safely.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(with_settings(text, values), encoding="utf-8")


def with_settings(text: str, values: Mapping[str, Any]) -> str:
    """The YAML text with these values; a mapping changes the named keys of its section only.

    A setting that is switched off (`# key: value`) is switched on in its place. Raises ConfigurationError when the
    result would not hold exactly what was asked for.
    """
    lines = text.splitlines()
    for name, value in values.items():
        lines = (
            _with_section(lines, name, value) if isinstance(value, Mapping) else _with_value(lines, name, value)
        )
    changed = "\n".join(lines) + "\n"
    if _parsed(changed) != _merged(_parsed(text), values):
        raise ConfigurationError(
            "tagging.yaml is written in a way that cannot be changed safely; write this into it yourself:\n"
            + yaml.safe_dump(_plain(values), allow_unicode=True, sort_keys=False)
        )
    return changed


def _with_value(lines: list[str], name: str, value: Any) -> list[str]:
    line = f"{name}: {_dumped(value)}"
    place = _find(lines, rf"{name}:") or _find(lines, rf"# {name}:")
    if place is None:
        return [*lines, line]
    return [*lines[: place[0]], line, *lines[place[0] + 1 :]]


def _with_section(lines: list[str], name: str, values: Mapping[str, Any]) -> list[str]:
    place = _find(lines, rf"{name}:\s*(?:#.*)?$") or _find(lines, rf"# {name}:\s*$")
    if place is None and _find(lines, rf"{name}:"):
        # Written in braces: a second section of the name would hide this one.
        return lines
    if place is None:
        return [*lines, f"{name}:", *(f"  {key}: {_dumped(value)}" for key, value in values.items())]
    start = place[0]
    end = next((number for number in range(start + 1, len(lines)) if _SECTION.match(lines[number])), len(lines))
    block = lines[start + 1 : end]
    missing = []
    for key, value in values.items():
        line = f"  {key}: {_dumped(value)}"
        known = _find(block, rf"  {key}:") or _find(block, rf"#   {key}:")
        if known is None:
            missing.append(line)
        else:
            block[known[0]] = line
    return [*lines[:start], f"{name}:", *missing, *block, *lines[end:]]


def _find(lines: list[str], pattern: str) -> tuple[int] | None:
    """The first line that begins like this, in a tuple so that line 0 is no absence."""
    return next(((number,) for number, line in enumerate(lines) if re.match(pattern, line)), None)


def _parsed(text: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        return {"": None}
    return data if isinstance(data, dict) else {"": data}


def _merged(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(data)
    for name, value in _plain(values).items():
        merged[name] = {**(merged.get(name) or {}), **value} if isinstance(value, Mapping) else value
    return merged


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(value) if isinstance(value, Mapping) else str(value) if isinstance(value, Path) else value
        for name, value in values.items()
    }


def _dumped(value: Any) -> str:
    plain = str(value) if isinstance(value, Path) else value
    return yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True).removesuffix("\n...\n").strip()
