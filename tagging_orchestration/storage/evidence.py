"""Evidence and proposals as the JSON that `content_tags` and `generated_tags` hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tagging_orchestration.core.models import Evidence, Method, Origin, Proposal


def evidence_json(evidence: Sequence[Evidence]) -> str:
    """JSON array of {"method", "score", "detail"}."""
    return _dumps([_evidence_row(item) for item in evidence])


def evidence_from(rows: Sequence[Mapping[str, Any]]) -> tuple[Evidence, ...]:
    """Inverse of `evidence_json`, from parsed JSON."""
    return tuple(Evidence(Method(row["method"]), row["score"], row["detail"]) for row in rows)


def proposals_json(proposals: Sequence[Proposal]) -> str:
    """JSON array with one object a proposal, in order, its keys those of `Proposal`."""
    return _dumps(
        [
            {
                "name": proposal.name,
                "normal_form": proposal.normal_form,
                "confidence": proposal.confidence,
                "method": proposal.method,
                "origin": proposal.origin,
                "evidence": [_evidence_row(item) for item in proposal.evidence],
                "tag_id": proposal.tag_id,
                "features": dict(proposal.features),
                "effects": dict(proposal.effects),
            }
            for proposal in proposals
        ]
    )


def proposals_from(rows: Sequence[Mapping[str, Any]]) -> tuple[Proposal, ...]:
    """Inverse of `proposals_json`, from parsed JSON."""
    return tuple(
        Proposal(
            name=row["name"],
            normal_form=row["normal_form"],
            confidence=row["confidence"],
            method=Method(row["method"]),
            origin=Origin(row["origin"]),
            evidence=evidence_from(row["evidence"]),
            tag_id=row["tag_id"],
            features=row["features"],
            effects=row.get("effects", {}),
        )
        for row in rows
    )


def _evidence_row(evidence: Evidence) -> dict[str, Any]:
    return {"method": evidence.method, "score": evidence.score, "detail": dict(evidence.detail)}


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Numbers of numpy as plain ones; json knows only Python's own."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be stored as evidence: use JSON types")
