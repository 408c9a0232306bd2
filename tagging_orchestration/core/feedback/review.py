"""Which questions to people are worth most: uncertainty times reach.

A question is about one content and one tag: one that the machine assigned, or one that it nearly did.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# A confidence of exactly 0 or 1 has no log-odds.
_CERTAIN = 1e-4


@dataclass(frozen=True, slots=True)
class Doubt:
    """A tag that the machine assigned to a content, or nearly did, and that nobody judged.

    `threshold` is the confidence that decides, `contents` how many contents carry the tag or are proposed it,
    `judged` how many people judged it for. `similarity` is the mean similarity of the content's nearest contents,
    in [0, 1]; 0 where nothing is known.
    """

    content_id: int
    normal_form: str
    tag_id: int | None
    tag_name: str
    assigned: bool
    confidence: float
    threshold: float
    contents: int = 1
    judged: int = 0
    similarity: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedDoubt:
    """A doubt with what an answer is worth: `value` = `uncertainty` x `reach`."""

    doubt: Doubt
    uncertainty: float
    reach: float

    @property
    def value(self) -> float:
        """Expected value of the answer; only the order means something."""
        return self.uncertainty * self.reach


def uncertainty(confidence: float, threshold: float) -> float:
    """How open the decision is: 1 at the threshold, falling alike on both sides in log-odds to 0."""
    distance = _log_odds(confidence) - _log_odds(threshold)
    half = 1 / (1 + math.exp(-distance))
    return 4 * half * (1 - half)


def reach(doubt: Doubt, asked: int = 0) -> float:
    """How much an answer teaches beyond its own content.

    Grows with the contents the tag concerns (logarithmic) and with the content's likeness to others, and falls
    with the answers there are on the tag already, those of the `asked` questions before this one included.
    """
    return math.log2(1 + max(doubt.contents, 1)) * (1 + doubt.similarity) / math.sqrt(1 + doubt.judged + asked)


def rank_doubts(doubts: Iterable[Doubt], limit: int) -> list[RankedDoubt]:
    """The `limit` questions worth most, in the order they should be asked; deterministic.

    Each question on a tag makes the next one on the same tag worth less, so that no tag crowds out the others.
    """
    queue = []
    for doubt in doubts:
        open_question = uncertainty(doubt.confidence, doubt.threshold)
        queue.append((-open_question * reach(doubt), doubt.content_id, doubt.normal_form, 0, open_question, doubt))
    heapq.heapify(queue)
    asked: Counter[str] = Counter()
    ranked: list[RankedDoubt] = []
    while queue and len(ranked) < limit:
        _, content_id, form, known, open_question, doubt = heapq.heappop(queue)
        if known != asked[form]:
            worth = open_question * reach(doubt, asked[form])
            heapq.heappush(queue, (-worth, content_id, form, asked[form], open_question, doubt))
            continue
        ranked.append(RankedDoubt(doubt, open_question, reach(doubt, known)))
        asked[form] += 1
    return ranked


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _CERTAIN), 1 - _CERTAIN)
    return math.log(bounded / (1 - bounded))
