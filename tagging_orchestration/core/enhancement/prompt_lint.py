"""What makes a prompt a good one: the checks every prompt of the project passes."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tagging_orchestration.core.enhancement.models import PromptTemplate
from tagging_orchestration.core.enhancement.prompt_examples import example_variables
from tagging_orchestration.core.enhancement.prompts import (
    DATA_LABELS,
    DERIVED_VARIABLES,
    PLACEHOLDER,
    placeholders,
    render,
)
from tagging_orchestration.core.errors import ConfigurationError

SMALLEST, LARGEST = 300, 800
"""Length of a template without its placeholders, in full-width characters (a narrow one counts half)."""
CONTEXT_TOKENS = 4_096
"""The smallest context of the models prompts are written for."""
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)


def lint(template: PromptTemplate) -> list[str]:
    """The faults of a template, none for a good one.

    Looked at: names of variables, declared as used; braces that are no placeholder; rendering with example values;
    length; the form of the answer and an example of it; limits of tokens; the system message.
    """
    return [
        *_variable_faults(template),
        *_text_faults(template),
        *_form_faults(template),
        *_rendering_faults(template),
    ]


def lint_all(templates: Sequence[PromptTemplate]) -> dict[str, list[str]]:
    """The faults of prompts that are used together, by `key locale version`; only of those that have any.

    Beside `lint`: versions that occur twice, keys without group A, and languages that differ in variables, form,
    category or parameters.
    """
    faults = {_name(template): lint(template) for template in templates}
    for name, count in Counter(map(_name, templates)).items():
        if count > 1:
            faults[name].append(f"there are {count} of this version: keep one")
    groups: dict[tuple[str, str], set[str]] = {}
    for template in templates:
        groups.setdefault((template.template_key, template.locale), set()).add(template.ab_group)
    others = {(template.template_key, template.version, template.locale): template for template in templates}
    for template in templates:
        if "A" not in groups[template.template_key, template.locale]:
            faults[_name(template)].append(
                "no version of this key is of group A: that one is what people see first"
            )
        for locale in DATA_LABELS:
            other = others.get((template.template_key, template.version, locale))
            faults[_name(template)] += [] if other is template else _pair_faults(template, other, locale)
    return {name: found for name, found in faults.items() if found}


def example_answer(template: PromptTemplate) -> Mapping[str, Any] | None:
    """The example of an answer that a template shows: its last line that is a JSON object."""
    for line in reversed(template.prompt_template.splitlines()):
        if line.lstrip().startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return None


def _variable_faults(template: PromptTemplate) -> list[str]:
    declared = [*template.required_variables, *template.optional_variables]
    used = placeholders(template.prompt_template)
    rest = PLACEHOLDER.sub("", template.prompt_template)
    return [
        *(f"the variable {name} is declared twice" for name, count in Counter(declared).items() if count > 1),
        *(f"the variable {name} is not in snake_case" for name in declared if not _SNAKE_CASE.fullmatch(name)),
        *(f"the variable {name} is declared but not used" for name in declared if name not in used),
        *(
            f"the placeholder {name} is not declared: add it to required_variables or optional_variables"
            for name in used
            if name not in declared and name not in DERIVED_VARIABLES
        ),
        *(["there are braces that are no placeholder: write {{ name }} in snake_case"] if "{{" in rest else []),
    ]


def _text_faults(template: PromptTemplate) -> list[str]:
    faults = []
    size = _size(PLACEHOLDER.sub("", template.prompt_template))
    if not SMALLEST <= size <= LARGEST:
        faults.append(
            f"it is {size:.0f} characters long: write {SMALLEST} to {LARGEST} (a narrow one counts half)"
        )
    if _FENCE.search(template.prompt_template):
        faults.append("it has fences of its own: values get theirs when the prompt is rendered")
    if DATA_LABELS[template.locale] not in template.system_message:
        faults.append(f"its system message does not explain the label of data, {DATA_LABELS[template.locale]!r}")
    if placeholders(template.system_message):
        faults.append("its system message has placeholders: those are filled in the prompt only")
    if not 1 <= template.max_tokens <= CONTEXT_TOKENS:
        faults.append(f"max_tokens is {template.max_tokens}: give 1 to {CONTEXT_TOKENS}")
    if not 0 <= template.temperature <= 2:
        faults.append(f"temperature is {template.temperature}: give 0 to 2")
    return faults


def _form_faults(template: PromptTemplate) -> list[str]:
    from jsonschema import Draft202012Validator

    from tagging_orchestration.core.enhancement.answers import output_schema

    if template.output_schema is None:
        return ["no output_schema: name the form of the answer"]
    try:
        schema = output_schema(template.output_schema)
    except FileNotFoundError:
        return [f"its output_schema {template.output_schema!r} is not known: see core/enhancement/schemas"]
    example = example_answer(template)
    if example is None:
        return [
            "it shows no example of the answer: write a JSON object on a line of its own (models see no schema)"
        ]
    return [
        f"its example of the answer does not fit {template.output_schema}: "
        f"{'.'.join(map(str, error.absolute_path)) or 'the object'}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(example)
    ]


def _rendering_faults(template: PromptTemplate) -> list[str]:
    variables = example_variables(template)
    try:
        prompt = render(template, variables)
        render(template, {name: variables[name] for name in template.required_variables if name in variables})
    except ConfigurationError as error:
        return [str(error)]
    tokens = rough_tokens(prompt.system) + rough_tokens(prompt.prompt)
    if tokens + template.max_tokens > CONTEXT_TOKENS:
        return [
            f"with example values it takes about {tokens} tokens, and its answer does not fit {CONTEXT_TOKENS}"
        ]
    return []


def _pair_faults(template: PromptTemplate, other: PromptTemplate | None, locale: str) -> list[str]:
    if other is None:
        return [f"there is no version {template.version} in {locale}"]
    same = {
        "required_variables": (set(template.required_variables), set(other.required_variables)),
        "optional_variables": (set(template.optional_variables), set(other.optional_variables)),
        "placeholders": (
            set(placeholders(template.prompt_template)),
            set(placeholders(other.prompt_template)),
        ),
        **{
            field: (getattr(template, field), getattr(other, field))
            for field in ("category", "max_tokens", "temperature", "output_schema", "ab_group", "weight")
        },
    }
    return [f"{field} differs from that in {locale}" for field, (ours, theirs) in same.items() if ours != theirs]


def rough_tokens(text: str) -> int:
    """About how many tokens a text takes: one a wide character, one every three narrow ones."""
    wide = sum(map(_is_wide, text))
    return wide + (len(text) - wide + 2) // 3


def _size(text: str) -> float:
    return sum(1 if _is_wide(character) else 0.5 for character in " ".join(text.split()))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _name(template: PromptTemplate) -> str:
    return f"{template.template_key} {template.locale} {template.version}"
