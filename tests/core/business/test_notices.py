"""What people are told of an incident."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from tagging_orchestration.core.business.notices import NoticeFacts, back_off, compose

FACTS = NoticeFacts(
    UUID(int=7),
    "critical",
    "付款失敗: Payment failure rate",
    date(2026, 3, 10),
    tuple(f"message {number}" for number in range(7)),
    (("付款失敗", 4, 12.34), ("payment failed", 1, 3.0)),
)


def test_in_english():
    notice = compose(FACTS, "en")
    assert (notice.title, notice.severity, notice.incident_id) == (FACTS.title, "critical", UUID(int=7))
    assert notice.body.splitlines() == [
        "Critical since 2026-03-10, 7 alerts:",
        *(f"- message {number}" for number in range(5)),
        "- and 2 more",
        "",
        "What people write about: 付款失敗 (4 contents, 12.3 times as often as before), "
        "payment failed (1 content, 3.0 times as often as before)",
        "",
        f"Look closer: tagging alerts incidents {UUID(int=7)}",
    ]


def test_in_chinese():
    lines = compose(replace(FACTS, messages=("每日營收為 10",)), "zh-Hant").body.splitlines()
    assert lines[:2] == ["自 2026-03-10 起，等級：嚴重，共 1 則警示：", "- 每日營收為 10"]
    assert lines[3].startswith(
        "相關內容提到：「付款失敗」（4 則內容，出現頻率為先前的 12.3 倍）、「payment failed」"
    )


def test_without_tags_nothing_is_said_about_them():
    assert "write about" not in compose(replace(FACTS, tags=()), "en").body


def test_waits_grow():
    assert [back_off(attempts) for attempts in (1, 2, 3)] == [timedelta(minutes=minutes) for minutes in (1, 4, 16)]
