"""Experiments: what a candidate configuration would do, beside what the present one does. Pure comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tagging_orchestration.core.tagging.calibration import expected_calibration_error

DIFFERENCES = 30


@dataclass(frozen=True, slots=True)
class Gold:
    """What people said of one content, by normal form. `complete`: they gave its tags, so all others are wrong."""

    wanted: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    complete: bool = False

    def judge(self, form: str) -> bool | None:
        """Whether people want the tag; None where nobody knows."""
        if form in self.wanted:
            return True
        return False if self.complete or form in self.rejected else None


@dataclass(frozen=True, slots=True)
class Judged:
    """One proposal of one side: its confidence, and whether it would be assigned."""

    name: str
    confidence: float
    assigned: bool


@dataclass(frozen=True, slots=True)
class Side:
    """What one configuration proposes, by content and normal form, and what that cost.

    `seconds` is CPU time per 1,000 contents; `events` are the changes of assignments that publishing would write.
    `tokens` and `usd` are what a language model took for all of them, `unheard` contents it gave no answer about.
    """

    proposals: Mapping[int, Mapping[str, Judged]]
    seconds: float
    events: int
    tokens: int = 0
    usd: float = 0.0
    unheard: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """How one side does against people's word; None where nobody judged anything of it."""

    precision: float | None
    recall: float | None
    f1: float | None
    calibration_error: float | None
    tags_per_content: float
    seconds_per_1000: float
    events: int
    tokens_per_1000: float = 0.0
    usd_per_1000: float = 0.0
    unheard: int = 0


@dataclass(frozen=True, slots=True)
class TellingDifference:
    """A tag that one side would assign and the other not. `wanted` is what people say, None where nobody did."""

    content_id: int
    name: str
    current: float
    candidate: float
    assigned_by: str
    wanted: bool | None


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """A candidate beside the present configuration. `agreement` is the mean overlap of their tags, in [0, 1]."""

    contents: int
    judged_contents: int
    current: Score
    candidate: Score
    agreement: float
    differences: tuple[TellingDifference, ...]


def compare_sides(current: Side, candidate: Side, gold: Mapping[int, Gold]) -> ExperimentReport:
    """Judge both sides; contents that only one side has raise KeyError.

    Precision, recall and F1 count pairs of content and tag over all contents (micro). A pair that nobody judged
    counts for neither side. The most telling differences come first: those people judged, then the largest.
    """
    contents = sorted(current.proposals)
    overlaps = []
    differences = []
    for content_id in contents:
        before, after = current.proposals[content_id], candidate.proposals[content_id]
        first = {form for form, item in before.items() if item.assigned}
        second = {form for form, item in after.items() if item.assigned}
        overlaps.append(len(first & second) / len(first | second) if first | second else 1.0)
        said = gold.get(content_id, Gold())
        for form in sorted(first ^ second):
            known = (after if form in second else before)[form]
            differences.append(
                TellingDifference(
                    content_id,
                    known.name,
                    before[form].confidence if form in before else 0.0,
                    after[form].confidence if form in after else 0.0,
                    "candidate" if form in second else "current",
                    said.judge(form),
                )
            )
    differences.sort(
        key=lambda item: (
            item.wanted is None,
            -abs(item.candidate - item.current),
            item.content_id,
            item.name,
        )
    )
    return ExperimentReport(
        contents=len(contents),
        judged_contents=sum(1 for said in gold.values() if said.wanted or said.rejected),
        current=_score(current, gold),
        candidate=_score(candidate, gold),
        agreement=sum(overlaps) / len(overlaps) if overlaps else 1.0,
        differences=tuple(differences[:DIFFERENCES]),
    )


def _score(side: Side, gold: Mapping[int, Gold]) -> Score:
    right = wrong = wanted = assigned = 0
    confidences: list[float] = []
    outcomes: list[bool] = []
    for content_id, proposals in side.proposals.items():
        said = gold.get(content_id, Gold())
        wanted += len(said.wanted)
        for form, item in proposals.items():
            assigned += item.assigned
            verdict = said.judge(form)
            if verdict is None:
                continue
            confidences.append(item.confidence)
            outcomes.append(verdict)
            right += item.assigned and verdict
            wrong += item.assigned and not verdict
    precision = right / (right + wrong) if right + wrong else None
    recall = right / wanted if wanted else None
    return Score(
        precision,
        recall,
        _f1(precision, recall),
        expected_calibration_error(confidences, outcomes) if outcomes else None,
        assigned / len(side.proposals) if side.proposals else 0.0,
        side.seconds,
        side.events,
        1000 * side.tokens / len(side.proposals) if side.proposals else 0.0,
        round(1000 * side.usd / len(side.proposals), 6) if side.proposals else 0.0,
        side.unheard,
    )


def _f1(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
