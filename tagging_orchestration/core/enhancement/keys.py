"""Keys of answers: equal questions to the same model under the same prompt have one key, no others have it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from tagging_orchestration.core.enhancement.models import PromptTemplate

VOLATILE_KEYS = frozenset({"snapshot_timestamp", "detected_hours_ago", "generated_at", "last_updated"})
"""Keys that say when a context was made; two contexts that differ in nothing else are one."""
_VOLATILE_VARIABLES = frozenset({"timestamp"})
# Enough for what a business counts, too few for the noise of a sum in another order.
_DIGITS = 12


def context_hash(variables: Mapping[str, Any]) -> str:
    """SHA-256 of what a prompt is rendered from, without what only says when; 64 hexadecimal digits.

    Texts are compared in NFC, numbers by value (1, 1.0 and 1.0000000000001 are one), keys in any order. Raises
    TypeError for a value JSON does not know.
    """
    kept = {name: value for name, value in variables.items() if name not in _VOLATILE_VARIABLES}
    return _sha256(_canonical(kept))


def cache_key(
    *,
    organization_id: str,
    subject_type: str,
    subject_id: str,
    context_hash: str,
    template: PromptTemplate,
    provider: str,
    model: str,
    params: Mapping[str, Any],
    masker_fingerprint: str,
) -> str:
    """SHA-256 of everything an answer depends on: the subject, its context, the prompt's version, the form of the
    answer, who answers with which parameters, and how personal data was masked."""
    return _sha256(
        {
            "organization": organization_id,
            "subject": [subject_type, subject_id],
            "context": context_hash,
            "template": [
                template.template_key,
                template.locale,
                template.ab_group,
                template.version,
                template.content_sha256,
            ],
            "schema": template.output_schema,
            "provider": [provider, model],
            "params": _canonical(params),
            "masker": masker_fingerprint,
        }
    )


def _sha256(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        short = float(f"{value:.{_DIGITS}g}")
        return int(short) if short.is_integer() else short
    if isinstance(value, Mapping):
        return {
            unicodedata.normalize("NFC", str(key)): _canonical(item)
            for key, item in value.items()
            if key not in VOLATILE_KEYS
        }
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    raise TypeError(f"a context holds plain JSON values, not {type(value).__name__}")
