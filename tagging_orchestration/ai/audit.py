"""An audit of the answers that are shown: their form, and whether every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tagging_orchestration.core.enhancement.answers import output_schema
from tagging_orchestration.core.errors import TaggingError
from tagging_orchestration.storage.ai_prompts import load_version
from tagging_orchestration.storage.ai_quality import StoredAnswer, missing_references, missing_rows, shown_answers

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

IN_DATABASE = ("tag", "content", "alert", "metric")


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and (answer id, fault) of what is wrong."""

    answers: int
    references: int
    faults: tuple[tuple[str, str], ...]


def audit_answers(pool: ConnectionPool) -> Audit:
    """Look at every answer that may be shown now."""
    answers = list(shown_answers(pool))
    cited = [(answer, str(item.get("ref", ""))) for answer in answers for item in answer.evidence]
    references = sorted({reference for _, reference in cited})
    gone = missing_references(pool, [ref for ref in references if ref.split(":")[0] in IN_DATABASE])
    gone |= missing_rows(pool, [ref for ref in references if ref.startswith("row:")])
    faults = [
        (str(answer.id), f"{ref} leads nowhere") for answer, ref in cited if _leads_nowhere(answer, ref, gone)
    ]
    for answer in answers:
        faults += [(str(answer.id), fault) for fault in _form_faults(pool, answer)]
    return Audit(len(answers), len(cited), tuple(faults))


def _leads_nowhere(answer: StoredAnswer, reference: str, gone: set[str]) -> bool:
    """Rows are looked up; what else can be cited stands in what the answer was made from."""
    if reference.split(":")[0] in {*IN_DATABASE, "row"}:
        return reference in gone
    return reference not in str(answer.variables.get("evidence", ""))


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
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(answer.result)
    ]
