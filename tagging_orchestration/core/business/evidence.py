"""Why an alert: the tags that contents of its days carry more often than contents before, with significance.

A tag is evidence when its share of the contents in the alert's window is higher than chance allows, given its
share in the weeks before. Fisher's exact test is safe for the small counts of a single day; Benjamini and
Hochberg's correction keeps a hundred tags from producing five by luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

BASELINE_DAYS = 56
LONGEST_WINDOW_DAYS = 28
# Complaints and praise go on after the day itself.
DAYS_AFTER = 2
MIN_CONTENTS = 2
SIGNIFICANT = 0.1
# A tag whose share did not even grow by a half explains nothing, however sure it is.
MIN_LIFT = 1.5
# Two tags on nearly the same contents of the window say the same thing.
SAME_CONTENTS = 0.8
MOST_TAGS = 8
MOST_SAMPLES = 5

# Days before its detection that a move of this kind began: what a detector sees in one day, in some, in a week.
_DAYS_BEFORE = {"shift": 2, "drift": 6, "trend_7d": 6, "trend_30d": 29, "volatility": 29}


@dataclass(frozen=True, slots=True)
class Window:
    """Business days whose contents are compared, both ends included; the baseline ends the day before."""

    first: date
    last: date
    baseline_first: date

    @property
    def baseline_last(self) -> date:
        """The last day of the baseline."""
        return self.first - timedelta(days=1)

    def widened(self, as_of: date) -> Window:
        """The window with some days more on both sides, for days that hold too few contents."""
        first = self.first - timedelta(days=3)
        last = min(as_of, self.last + timedelta(days=4))
        return Window(first, last, min(self.baseline_first, first - timedelta(days=BASELINE_DAYS)))


@dataclass(frozen=True, slots=True)
class ContentCount:
    """How many contents were looked at: in the window, in the segment's own baseline, and in the baseline outside
    the segment."""

    window: int
    baseline: int
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class TagCount:
    """Contents that carry a tag, counted as in `ContentCount`. `contents` are those of the window, the ones that
    carry it most surely first."""

    tag_id: int
    tag: str
    parent_id: int | None
    baseline: int
    contents: tuple[int, ...]
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class TagEvidence:
    """A tag that explains an alert: `count` contents of the window carry it, `baseline` of the weeks before;
    `lift` is how many times its share grew, `p_value` how likely chance alone does that, `q_value` the same
    corrected for having looked at many tags."""

    tag_id: int
    tag: str
    count: int
    baseline: int
    lift: float
    p_value: float
    q_value: float
    sample_ids: tuple[int, ...] = ()

    @property
    def is_significant(self) -> bool:
        """Whether one may say that the tag belongs to the alert."""
        return self.q_value <= SIGNIFICANT and self.lift >= MIN_LIFT


@dataclass(frozen=True, slots=True)
class RowEvidence:
    """A row of `raw` that moved the metric, and why it is named."""

    table: str
    id: str
    why: str
    why_zh: str


@dataclass(frozen=True, slots=True)
class LineageLink:
    """The way from a content to one row of `raw`."""

    content_id: int
    source: str
    external_id: str
    table: str
    id: str


@dataclass(frozen=True, slots=True)
class AlertEvidence:
    """All that explains one alert. `segment` is the dimension whose contents were looked at."""

    window: Window
    dimension: str
    label: str
    tags: tuple[TagEvidence, ...] = ()
    rows: tuple[RowEvidence, ...] = ()
    lineage: tuple[LineageLink, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The evidence as the JSON kept in `dashboard_alerts.evidence_refs`."""
        return {
            "top_tags": [
                {
                    "tag_id": tag.tag_id,
                    "tag": tag.tag,
                    "count": tag.count,
                    "baseline": tag.baseline,
                    "lift": round(tag.lift, 2),
                    "p_value": float(f"{tag.p_value:.3g}"),
                    "q_value": float(f"{tag.q_value:.3g}"),
                    "sample_ids": list(tag.sample_ids),
                }
                for tag in self.tags
            ],
            "top_rows": [
                {"table": row.table, "id": row.id, "why": row.why, "why_zh": row.why_zh} for row in self.rows
            ],
            "lineage": [
                {
                    "content_id": link.content_id,
                    "source": link.source,
                    "external_id": link.external_id,
                    "table": link.table,
                    "id": link.id,
                }
                for link in self.lineage
            ],
            "window": {
                "from": self.window.first.isoformat(),
                "to": self.window.last.isoformat(),
                "baseline_from": self.window.baseline_first.isoformat(),
                "baseline_to": self.window.baseline_last.isoformat(),
            },
            "segment": {"dimension": self.dimension, "label": self.label},
        }


def window_of(alert_subtype: str, opened_on: date, last_seen_on: date, as_of: date) -> Window:
    """The days whose contents may explain an alert: from where such a move begins (a shift is seen after some
    days, a trend after weeks) to two days after it was last seen, but never after `as_of`; at most four weeks."""
    first = opened_on - timedelta(days=_DAYS_BEFORE.get(alert_subtype, 0))
    last = min(as_of, last_seen_on + timedelta(days=DAYS_AFTER), first + timedelta(days=LONGEST_WINDOW_DAYS - 1))
    return Window(first, max(first, last), first - timedelta(days=BASELINE_DAYS))


def top_tags(
    counts: Sequence[TagCount], total: ContentCount, own_tag: int | None = None
) -> tuple[TagEvidence, ...]:
    """The tags that the window has more of, best first, at most eight.

    A segment's few contents are judged against all contents of the baseline, but what the segment always was
    about must have risen in it too. Tags without any sign of a rise are left out; of tags on the same contents
    the surest stays, and of equally sure ones the narrower. `own_tag` is the tag an alert is about: it comes
    first whatever its counts.
    """
    from scipy.stats import false_discovery_control, hypergeom

    judged = [count for count in counts if len(count.contents) >= MIN_CONTENTS or count.tag_id == own_tag]
    baseline = total.baseline + total.elsewhere
    if not judged or not baseline:
        return ()
    inside = np.array([len(count.contents) for count in judged])
    own = np.array([count.baseline for count in judged])
    before = own + np.array([count.elsewhere for count in judged])
    # Fisher's test, one-sided: so many of the tag's contents in the window, if they were spread at random.
    p_values = hypergeom.sf(inside - 1, total.window + baseline, inside + before, total.window)
    p_values = np.clip(p_values, 0.0, 1.0)
    q_values = false_discovery_control(p_values)
    share = (inside + 0.5) / (total.window + 1)
    lifts = share / ((before + 0.5) / (baseline + 1))
    own_lifts = share / ((own + 0.5) / (total.baseline + 1)) if total.baseline else lifts
    parents = {count.parent_id for count in judged}
    order = sorted(
        range(len(judged)),
        key=lambda i: (
            judged[i].tag_id != own_tag,
            round(float(np.log10(max(p_values[i], 1e-300))), 6),
            judged[i].tag_id in parents,
            -lifts[i],
            judged[i].tag_id,
        ),
    )
    chosen: list[int] = []
    for i in order:
        rises = min(lifts[i], own_lifts[i]) >= MIN_LIFT and p_values[i] <= SIGNIFICANT
        if judged[i].tag_id == own_tag or (
            rises and not any(_alike(judged[i].contents, judged[j].contents) for j in chosen)
        ):
            chosen.append(i)
    chosen = chosen[:MOST_TAGS]
    tags_of = Counter(content for i in chosen for content in judged[i].contents)
    return tuple(
        TagEvidence(
            judged[i].tag_id,
            judged[i].tag,
            int(inside[i]),
            int(before[i]),
            float(lifts[i]),
            float(p_values[i]),
            float(q_values[i]),
            # The most typical contents carry the most of what explains the alert.
            tuple(sorted(judged[i].contents, key=lambda content: -tags_of[content])[:MOST_SAMPLES]),
        )
        for i in chosen
    )


def _alike(first: Sequence[int], second: Sequence[int]) -> bool:
    one, other = set(first), set(second)
    return len(one & other) >= SAME_CONTENTS * len(one | other)
