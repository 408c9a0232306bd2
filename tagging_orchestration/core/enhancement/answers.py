"""What a language model answered, read, checked and cleaned before anybody sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from tagging_orchestration.core.enhancement.models import EvidenceItem, ParsedAnswer, PromptLocale


@lru_cache
def _schema_file(name: str) -> dict[str, Any]:
    source = resources.files("tagging_orchestration.core.enhancement").joinpath("schemas", f"{name}.json")
    return json.loads(source.read_text(encoding="utf-8"))


def output_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of an answer as a provider gets it, such as `alert_enhancement.v1`: a fresh copy of the file
    in `schemas` without its `$schema`, title and description. Raises FileNotFoundError for any other name."""
    return {
        key: value
        for key, value in json.loads(json.dumps(_schema_file(name))).items()
        if key not in {"$schema", "title", "description"}
    }


def parse_answer(
    text: str,
    finish: str,
    *,
    schema_name: str | None,
    evidence: Sequence[EvidenceItem],
    variables: Mapping[str, Any],
    locale: str,
    expected: Mapping[str, Any] = {},
) -> ParsedAnswer:
    """The answer in a reply.

    `variables` are what the prompt was rendered from, `evidence` what may be cited. `expected` may hold `titles`
    (of the recommendations to order) and `system_message` (which an answer must not repeat). Raises AnswerRejected
    and nothing else.
    """
    raise NotImplementedError


def repair_prompt(faults: Sequence[str], locale: PromptLocale | str) -> str:
    """What to ask a model once more after AnswerRejected with these `faults`."""
    raise NotImplementedError
