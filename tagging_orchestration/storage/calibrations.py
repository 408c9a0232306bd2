"""Calibrations: fitted from people's answers, judged on held-out ones, kept as trained models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.models import JudgedProposal, ModelKind, ModelStatus, NewModel
from tagging_orchestration.core.tagging.calibration import (
    Calibration,
    compare,
    fit_calibration,
    is_held_out,
    judgement_fingerprint,
)
from tagging_orchestration.storage.connection import transaction
from tagging_orchestration.storage.feedback import (
    PostgresFeedbackStore,
    judged_proposals,
    staged_proposals,
)
from tagging_orchestration.storage.trained_models import PostgresTrainedModelStore


@dataclass(frozen=True, slots=True)
class Refit:
    """What a refit did. `calibration` is what was fitted, `metrics` how it does on held-out answers.

    `is_new` is False when nobody answered since the last refit: nothing was fitted then.
    """

    organization_id: str
    answers: int
    is_new: bool
    promoted: bool
    calibration: Calibration
    metrics: Mapping[str, Any]
    judged: tuple[JudgedProposal, ...] = ()


def refit_calibration(pool: ConnectionPool, organization_id: str, actor: str, generosity: float = 0.0) -> Refit:
    """Fit the answers that are not held out, and promote the result if it is no worse on those that are.

    Answers that were fitted before cost a look-up.
    """
    models = PostgresTrainedModelStore(pool)
    judged = judged_proposals(pool, organization_id)
    version = judgement_fingerprint(judged)
    known = models.find(organization_id, ModelKind.CALIBRATION, version)
    if known is not None:
        calibration = Calibration.from_bytes(models.payload(known.id))
        active = known.status is ModelStatus.ACTIVE
        return Refit(organization_id, len(judged), False, active, calibration, known.metrics, tuple(judged))
    train = [row for row in judged if not is_held_out(row.content_id)]
    candidate = fit_calibration(train, staged_proposals(pool, organization_id), version, generosity=generosity)
    present = PostgresFeedbackStore(pool).calibrations().get(organization_id, Calibration())
    metrics = compare(candidate, present, judged)
    if not train:
        return Refit(organization_id, len(judged), False, False, candidate, metrics, tuple(judged))
    numbers = {"answers": len(train), "tags": len(candidate.tags)}
    model = models.add(
        NewModel(organization_id, ModelKind.CALIBRATION, version, candidate.to_bytes(), numbers, metrics)
    )
    if metrics["no_worse"]:
        models.promote(model.id, actor)
    return Refit(organization_id, len(judged), True, metrics["no_worse"], candidate, metrics, tuple(judged))


def judged_organizations(pool: ConnectionPool) -> list[str]:
    """Organisations with people's corrections."""
    with transaction(pool) as connection:
        rows = connection.execute("SELECT DISTINCT organization_id FROM tagging.tag_feedback ORDER BY 1")
        return [organization_id for (organization_id,) in rows]
