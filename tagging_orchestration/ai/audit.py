"""An audit of the answers that are shown: their form, and whether every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tagging_orchestration.core.enhancement.answers import output_schema
from tagging_orchestration.core.enhancement.variables import is_stated
from tagging_orchestration.core.errors import TaggingError
from tagging_orchestration.storage.ai_prompts import load_version
from tagging_orchestration.storage.ai_quality import StoredAnswer, shown_answers
from tagging_orchestration.storage.ai_results import resolve_references

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and (answer id, fault) of what is wrong."""

    answers: int
    references: int
    faults: tuple[tuple[str, str], ...]


def audit_answers(pool: ConnectionPool) -> Audit:
    """Look at every answer that may be shown now."""
    answers = list(shown_answers(pool))
    faults: list[tuple[str, str]] = []
    references = 0
    for organization in sorted({answer.organization_id for answer in answers}):
        own = [answer for answer in answers if answer.organization_id == organization]
        cited = [(answer, str(item.get("ref", ""))) for answer in own for item in answer.evidence]
        references += len(cited)
        found = resolve_references(pool, organization, (ref for _, ref in cited))
        for answer, ref in cited:
            # What is no row of the database stands in what the answer was made from.
            there = found[ref].found if ref in found else is_stated(ref, answer.variables)
            if not there:
                faults.append((str(answer.id), f"{ref} leads nowhere"))
        faults += [(str(answer.id), fault) for answer in own for fault in _form_faults(pool, answer)]
    return Audit(len(answers), references, tuple(faults))


def _form_faults(pool: ConnectionPool, answer: StoredAnswer) -> list[str]:
    from jsonschema import Draft202012Validator

    try:
        template = load_version(
            pool, answer.template_key, answer.template_locale, answer.ab_group, answer.template_version
        )
    except TaggingError as error:
        return [str(error)]
    if template.output_schema is None:
        return []
    schema: Mapping[str, Any] = output_schema(template.output_schema)
    # Claims without a reference were taken out of lists, which may be shorter for it.
    errors = Draft202012Validator(schema).iter_errors(answer.result)
    return [f"{error.json_path}: {error.message}" for error in errors if error.validator != "minItems"]
