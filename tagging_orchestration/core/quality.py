"""The rules of the quality gates, pure: the same rule gates rows before they are published and is shown as an
asset check (spec: tagging, section 8)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from tagging_orchestration.core.models import Decision, GeneratedTags
from tagging_orchestration.core.parameters import TaggerSettings

DRIFT_BINS = 10


def proposal_faults(generated: GeneratedTags) -> list[str]:
    """What is wrong with one content's proposals; empty when they may be stored."""
    faults = []
    for proposal in generated.proposals:
        if not (math.isfinite(proposal.confidence) and 0 <= proposal.confidence <= 1):
            faults.append(f"confidence {proposal.confidence} of {proposal.name!r} is outside 0..1")
        if not proposal.name.strip() or not proposal.normal_form.strip():
            faults.append("a proposal without a name")
        if not proposal.evidence:
            faults.append(f"{proposal.name!r} comes without evidence")
    forms = [proposal.normal_form for proposal in generated.proposals]
    if len(forms) != len(set(forms)):
        faults.append("the same tag is proposed twice")
    return faults


def decision_faults(decision: Decision, parameters: TaggerSettings) -> list[str]:
    """What is wrong with one content's assignments; empty when they may be published.

    People's tags do not count against `max_tags`; with a closed vocabulary each tag has
    its threshold instead. Too few tags is not a fault of a row: coverage judges it.
    """
    faults = []
    machine = [assignment for assignment in decision.assignments if assignment.method not in ("given", "feedback")]
    if not parameters.closed_vocabulary and len(machine) > parameters.max_tags:
        faults.append(f"{len(machine)} machine tags, at most {parameters.max_tags} are allowed")
    ids = [assignment.tag_id for assignment in decision.assignments]
    if len(ids) != len(set(ids)):
        faults.append("the same tag is assigned twice")
    for assignment in decision.assignments:
        if not (math.isfinite(assignment.confidence) and 0 <= assignment.confidence <= 1):
            faults.append(f"confidence {assignment.confidence} of {assignment.name!r} is outside 0..1")
        if not (math.isfinite(assignment.weight) and assignment.weight >= 0):
            faults.append(f"weight {assignment.weight} of {assignment.name!r} is negative or not a number")
        if not assignment.evidence:
            faults.append(f"{assignment.name!r} comes without evidence")
    return faults


def share(part: float, whole: float) -> float:
    """`part / whole`, 0 for an empty whole."""
    return part / whole if whole else 0.0


def population_stability_index(before: Sequence[float], after: Sequence[float]) -> float:
    """Drift between two histograms of counts over the same bins (0 none, above 0.2 commonly called large).

    Bins are smoothed by half a count so that an empty one stays finite. Raises ValueError when the numbers of
    bins differ.
    """
    if len(before) != len(after):
        raise ValueError(f"histograms of {len(before)} and {len(after)} bins cannot be compared")
    if not sum(before) or not sum(after):
        return 0.0
    expected = (np.asarray(before, float) + 0.5) / (sum(before) + 0.5 * len(before))
    actual = (np.asarray(after, float) + 0.5) / (sum(after) + 0.5 * len(after))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def confidence_histogram(values: Iterable[float]) -> list[int]:
    """Counts of confidences in `DRIFT_BINS` equal bins over [0, 1]."""
    counts, _ = np.histogram(list(values), bins=DRIFT_BINS, range=(0.0, 1.0))
    return counts.tolist()
