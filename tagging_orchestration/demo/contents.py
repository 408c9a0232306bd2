"""The sample contents as the simulator uses them: dated like the incidents they talk about."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import numpy as np

from tagging_orchestration.demo.catalogue import DAYS, LAST_DAY
from tagging_orchestration.demo.incidents import (
    AFTERMATH_DAYS,
    DEFAULT_SEED,
    SAMPLE_INCIDENTS,
    TIMEZONE,
    Kind,
    PlantedIncident,
    shift,
)


@dataclass(frozen=True, slots=True)
class SampleContent:
    """One line of the sample, dated anew; `document` is the line itself, in the sample's format."""

    id: str
    kind: str
    created_at: datetime
    channel: str
    product: str | None
    rating: int | None
    incident: Kind | None
    document: dict[str, Any]


def sample_documents() -> list[dict[str, Any]]:
    """The lines of `sample_contents.jsonl`."""
    sample = files("tagging_orchestration.demo") / "sample_contents.jsonl"
    return [json.loads(line) for line in sample.read_text(encoding="utf-8").splitlines()]


def dated_contents(seed: int, incidents: Sequence[PlantedIncident]) -> tuple[SampleContent, ...]:
    """The contents, oldest first: those of an incident move with it, those of one that does not happen are left
    out, and with another seed than the default all others move round the year, each on its own."""
    planted = {incident.kind for incident in incidents}
    rng = np.random.default_rng([seed, 2])
    contents = []
    for document in sample_documents():
        created = datetime.fromisoformat(document["created_at"])
        kind = incident_of(document)
        turn = int(rng.integers(0, DAYS))
        if kind is not None and kind not in planted:
            continue
        if kind is not None:
            created += shift(incidents, kind)
        elif seed != DEFAULT_SEED and document["kind"] != "product":
            created += timedelta(days=turn)
            if created.astimezone(TIMEZONE).date() > LAST_DAY:
                created -= timedelta(days=DAYS)
        contents.append(_dated(document, created, kind))
    return tuple(sorted(contents, key=lambda content: (content.created_at, content.id)))


def incident_of(document: dict[str, Any]) -> Kind | None:
    """Kind of the incident a line of the sample talks about while it happens; None for all other lines."""
    created = datetime.fromisoformat(document["created_at"])
    text = f"{document['title']}\n{document['text']}"
    for incident in SAMPLE_INCIDENTS:
        told_from = incident.start.replace(hour=0, minute=0)
        told_until = incident.end + timedelta(days=AFTERMATH_DAYS)
        if told_from <= created < told_until and re.search(incident.words, text, re.IGNORECASE):
            return incident.kind
    return None


def _dated(document: dict[str, Any], created: datetime, incident: Kind | None) -> SampleContent:
    moved = created - datetime.fromisoformat(document["created_at"])
    dated = {**document, "created_at": created.isoformat()}
    if "updated_at" in document:
        dated["updated_at"] = (datetime.fromisoformat(document["updated_at"]) + moved).isoformat()
    return SampleContent(
        id=document["id"],
        kind=document["kind"],
        created_at=created,
        channel=document["channel"],
        product=document.get("product_sku"),
        rating=document.get("rating"),
        incident=incident,
        document=dated,
    )
