"""Prompts in files: `prompts/<locale>/<template_key>.v<version>.md`, YAML front matter and the template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, StrictInt, StrictStr, ValidationError

from tagging_orchestration.core.enhancement.models import PromptLocale, PromptTemplate
from tagging_orchestration.core.enhancement.prompts import content_sha256
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.parameters import Strict
from tagging_orchestration.settings import project_root

FOLDER = "prompts"
CHECKSUMS = "checksums.txt"
SYSTEM_FOLDER = "system"
LOCALES: tuple[PromptLocale, ...] = get_args(PromptLocale)

_VERSION = r"(?:0|[1-9]\d{0,5})(?:\.(?:0|[1-9]\d{0,5})){0,3}"
_FILE_NAME = re.compile(rf"(?P<key>[a-z][a-z0-9_]*)\.v(?P<version>{_VERSION})\.md")
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
        data = yaml.load(text, _OnceLoader)  # noqa: S506 (a safe loader)
        lines = _field_lines(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The first line of the file is the one above the fields.
        where = f"{file}, line {mark.line + 2}" if mark else str(file)
        raise ConfigurationError(f"{where}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{file}, line 2: write the fields as `name: value`")
    try:
        return FrontMatter.model_validate(data)
    except ValidationError as error:
        faults = [
            f"  line {lines.get(str(fault['loc'][0]), 1)}, {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            + (" (write versions in quotes)" if fault["loc"][0] == "version" else "")
            for fault in error.errors()
        ]
        raise ConfigurationError(f"{file}: wrong fields\n" + "\n".join(faults)) from None


def _field_lines(text: str) -> dict[str, int]:
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: key.start_mark.line + 2 for key, _ in node.value}
