"""The JSON documents of the business, each with its JSON Schema (draft 2020-12, folder `schemas`).

A validator gives the faults of a document as text, none when it keeps to its contract. Documents are what
`json.loads` gives. A schema that changes what readers must know gets a new version beside the old one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

BUSINESS_CONTEXT = "business_context.v1"
EVIDENCE = "evidence.v1"
INSIGHT = "insight.v1"
RECOMMENDATION = "recommendation.v1"
UNIFIED_CONTENT = "unified_content.v1"


@lru_cache
def schema(name: str) -> dict[str, Any]:
    """A JSON Schema by its name, such as BUSINESS_CONTEXT. Raises FileNotFoundError for any other name."""
    source = resources.files("tagging_orchestration.core.business").joinpath("schemas", f"{name}.json")
    return json.loads(source.read_text(encoding="utf-8"))


def validate_business_context(document: Mapping[str, Any]) -> list[str]:
    """Faults of a `business_context`, of the model or frozen in an alert."""
    return _faults(BUSINESS_CONTEXT, document)


def validate_evidence(document: Mapping[str, Any]) -> list[str]:
    """Faults of the evidence of an alert (`evidence_refs`)."""
    return _faults(EVIDENCE, document)


def validate_insight(document: Mapping[str, Any]) -> list[str]:
    """Faults of a row of `business_insights` in one language."""
    return _faults(INSIGHT, document)


def validate_recommendation(document: Mapping[str, Any]) -> list[str]:
    """Faults of a row of `strategic_recommendations` in one language."""
    return _faults(RECOMMENDATION, document)


def validate_unified_content(document: Mapping[str, Any]) -> list[str]:
    """Faults of what `get_unified_dashboard_content()` returns."""
    return _faults(UNIFIED_CONTENT, document)


def _faults(name: str, document: Mapping[str, Any]) -> list[str]:
    errors = _validator(name).iter_errors(document)
    return sorted(f"{error.json_path}: {error.message}" for error in errors)


@lru_cache
def _validator(name: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema(name))
