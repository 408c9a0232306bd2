"""Prompts in files: `prompts/<locale>/<template_key>.v<version>.md`, YAML front matter and the template."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, StrictInt, StrictStr, ValidationError

from tagging_orchestration.core.enhancement.models import PromptLocale, PromptTemplate
from tagging_orchestration.core.enhancement.prompt_lint import lint_all
from tagging_orchestration.core.enhancement.prompts import content_sha256, newest
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.parameters import Strict
from tagging_orchestration.settings import project_root

FOLDER = "prompts"
CHECKSUMS = "checksums.txt"
LOCK = "tagging prompts lock"
SYSTEM_FOLDER = "system"
LOCALES: tuple[PromptLocale, ...] = get_args(PromptLocale)

_VERSION = r"(?:0|[1-9]\d{0,5})(?:\.(?:0|[1-9]\d{0,5})){0,3}"
_FILE_NAME = re.compile(rf"(?P<key>[a-z][a-z0-9_]*)\.v(?P<version>{_VERSION})\.md")
_CHECKSUM = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?:\./)?(?P<name>\S.*)")
_FRONT_MATTER = re.compile(r"---\n(?P<matter>.*?)^---\n(?P<text>.*)", re.DOTALL | re.MULTILINE)

Name = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=50)]


class FrontMatter(Strict):
    """What stands above a template. `system` names the system message: a file of the folder `system`."""

    key: Name
    name: Annotated[StrictStr, Field(min_length=1, max_length=100)]
    category: Name
    version: Annotated[StrictStr, Field(pattern=rf"^{_VERSION}$", max_length=20)]
    description: Annotated[StrictStr, Field(min_length=1)]
    system: Annotated[StrictStr, Field(pattern=rf"^[a-z][a-z0-9_]*\.v{_VERSION}$")]
    ab_group: Annotated[StrictStr, Field(pattern=r"^[A-Z]$")] = "A"
    weight: Annotated[StrictInt, Field(ge=0, le=100)] = 100
    max_tokens: Annotated[StrictInt, Field(gt=0, le=4096)]
    temperature: Annotated[float, Field(ge=0, le=2, multiple_of=0.01)]
    required_variables: list[Name]
    optional_variables: list[Name] = Field(default=[])
    output_schema: Annotated[StrictStr, Field(max_length=100)] | None = None


def prompt_folder() -> Path:
    """The folder `prompts` of the project, or of the clone where the project has none."""
    own = project_root() / FOLDER
    return own if own.is_dir() else Path(__file__).resolve().parents[2] / FOLDER


def load_prompt_files(folder: Path | None = None) -> list[PromptTemplate]:
    """All prompts of a folder (default: `prompt_folder()`), by key, locale and version.

    Raises ConfigurationError naming the file, the line or field, and what to do.
    """
    folder = folder or prompt_folder()
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder}: there is no folder of prompts; make one, or run in the project's folder"
        )
    found = [_read(file, locale) for locale in LOCALES for file in sorted((folder / locale).glob("*.md"))]
    if not found:
        raise ConfigurationError(
            f"{folder}: no prompts; they are {' and '.join(f'{n}/<key>.v<version>.md' for n in LOCALES)}"
        )
    return found


def lint_prompt_files(folder: Path | None = None) -> list[str]:
    """The faults of the prompts that are in use, and of files that changed after they were locked; none is good.

    Raises ConfigurationError for files that cannot be read as prompts.
    """
    folder = folder or prompt_folder()
    faults = lint_all(newest(load_prompt_files(folder)))
    return [*(f"{name}: {fault}" for name, found in faults.items() for fault in found), *checksum_faults(folder)]


def checksum_faults(folder: Path | None = None) -> list[str]:
    """Files that are not what `checksums.txt` says: changed, gone, or not listed yet."""
    folder = folder or prompt_folder()
    locked, present = _locked(folder), _checksums(folder)
    return [
        *_broken_locks(locked, present),
        *(f"{name}: not locked yet: {LOCK}" for name in present.keys() - locked),
    ]


def lock_prompt_files(folder: Path | None = None) -> list[str]:
    """Add the new files to `checksums.txt`; their names. From then on only a new version may hold another text.

    Raises ConfigurationError, and writes nothing, when a locked file changed or is gone.
    """
    folder = folder or prompt_folder()
    locked, present = _locked(folder), _checksums(folder)
    if broken := _broken_locks(locked, present):
        raise ConfigurationError("\n  ".join([f"{folder / CHECKSUMS} stays as it is:", *broken]))
    if new := sorted(present.keys() - locked):
        lines = [f"{digest}  {name}\n" for name, digest in sorted(present.items())]
        (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    return new


def _broken_locks(locked: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: "
        + (
            "changed; restore it, and write the change as a new version in a file of its own"
            if name in present
            else "gone; restore it, stored answers are rendered from it (to stop its use, deactivate it)"
        )
        for name, digest in sorted(locked.items())
        if present.get(name) != digest
    ]


def _locked(folder: Path) -> dict[str, str]:
    file = folder / CHECKSUMS
    locked = {}
    for number, line in enumerate(_text(file).splitlines() if file.is_file() else (), 1):
        parts = _CHECKSUM.fullmatch(line)
        if not parts:
            raise ConfigurationError(f"{file}, line {number}: write `<sha256>  <file>`, as sha256sum does")
        locked[parts["name"]] = parts["digest"]
    return locked


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every prompt and system message, by its path in the folder."""
    files = [file for locale in LOCALES for file in (folder / locale).glob("**/*.md")]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _read(file: Path, locale: PromptLocale) -> PromptTemplate:
    named = _FILE_NAME.fullmatch(file.name)
    if not named:
        raise ConfigurationError(
            f"{file}: call it <template_key>.v<version>.md, such as alert_enhancement.v1.1.md"
        )
    parts = _FRONT_MATTER.fullmatch(_text(file))
    if not parts or not parts["text"].strip():
        raise ConfigurationError(
            f"{file}, line 1: begin with a line ---, then the fields as YAML, another line ---, then the prompt"
        )
    matter = _front_matter(file, parts["matter"])
    for field, stated in (("key", matter.key), ("version", matter.version)):
        if stated != named[field]:
            raise ConfigurationError(
                f"{file}: {field} is {stated!r}, but the file's name says {named[field]!r}: make them agree"
            )
    text = parts["text"].strip()
    system = _text(file.parent / SYSTEM_FOLDER / f"{matter.system}.md", asked_by=file).strip()
    return PromptTemplate(
        template_key=matter.key,
        locale=locale,
        version=matter.version,
        template_name=matter.name,
        category=matter.category,
        prompt_template=text,
        system_message=system,
        required_variables=tuple(matter.required_variables),
        optional_variables=tuple(matter.optional_variables),
        max_tokens=matter.max_tokens,
        temperature=matter.temperature,
        output_schema=matter.output_schema,
        content_sha256=content_sha256(
            text,
            system,
            matter.required_variables,
            matter.optional_variables,
            matter.max_tokens,
            matter.temperature,
            matter.output_schema,
        ),
        ab_group=matter.ab_group,
        weight=matter.weight,
        description=matter.description,
    )


def _text(file: Path, asked_by: Path | None = None) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{asked_by}, field system: there is no file {file}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{file}: not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from None
    if "\0" in text:
        raise ConfigurationError(f"{file}: holds a NUL character; remove it")
    return text


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a field stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _front_matter(file: Path, text: str) -> FrontMatter:
    try:
        loader = _OnceLoader(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The first line of the file is the one above the fields.
        where = f"{file}, line {mark.line + 2}" if mark else str(file)
        raise ConfigurationError(f"{where}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{file}, line 2: write the fields as `name: value`")
    try:
        return FrontMatter.model_validate(data)
    except ValidationError as error:
        lines = {key.value: key.start_mark.line + 2 for key, _ in node.value}
        faults = [
            f"  line {lines.get(str(fault['loc'][0]), 1)}, {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            + (" (write versions in quotes)" if fault["loc"][0] == "version" else "")
            for fault in error.errors()
        ]
        raise ConfigurationError(f"{file}: wrong fields\n" + "\n".join(faults)) from None
