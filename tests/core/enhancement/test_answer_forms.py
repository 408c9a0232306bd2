"""The forms of answers: schemas such as grammars and providers accept, and what is known beside them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tagging_orchestration.core.enhancement.faults import _TEXTS, fault_text
from tagging_orchestration.core.enhancement.forms import FORMS, form_of, output_schema
from tagging_orchestration.core.enhancement.shaping import Fault

FOLDER = resources.files("tagging_orchestration.core.enhancement").joinpath("schemas")
NAMES = sorted(path.name.removesuffix(".json") for path in FOLDER.iterdir())
# What llama.cpp turns into a grammar, and what OpenAI and Anthropic take.
KEYWORDS = {"type", "properties", "required", "enum", "items", "minItems", "maxItems", "anyOf", "const"}


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from parts(inner)
    if "items" in schema:
        yield from parts(schema["items"])


def at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    for name in path.split("."):
        schema = schema.get("items", schema)["properties"][name]
    return schema


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_uses_only_what_providers_take(name):
    schema = output_schema(name)
    Draft202012Validator.check_schema(schema)
    for part in parts(schema):
        assert set(part) <= KEYWORDS | {"additionalProperties"}
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])


@pytest.mark.parametrize("name", FORMS)
def test_a_model_writes_its_confidence_after_the_analysis_and_its_evidence_last(name):
    assert list(output_schema(name)["properties"])[-2:] == ["confidence", "evidence"]


@pytest.mark.parametrize("name", FORMS)
def test_what_is_known_beside_a_schema_fits_it(name):
    schema, form = output_schema(name), FORMS[name]
    assert form.claim_paths
    for path in form.claim_paths:
        assert at(schema, path)["type"] == "array"
    for path in [*form.limits, *form.may_be_empty, *form.plans, *form.labels, *filter(None, [form.distinct])]:
        at(schema, path)
    assert set(form.labels) >= set(schema["properties"])


def test_a_schema_is_the_callers_own_copy():
    output_schema("alert_enhancement.v1")["properties"].clear()
    assert output_schema("alert_enhancement.v1")["properties"]
    assert form_of("tag_generation.v1").claims == ()


def test_every_fault_has_its_words_in_both_languages():
    for kind in _TEXTS:
        english, chinese = (fault_text(Fault(kind, "field", "1<3"), locale) for locale in ("en", "zh-TW"))
        assert english.isascii()
        assert not chinese.isascii()
        assert "{path}" not in english + chinese
