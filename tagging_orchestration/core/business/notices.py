"""What is said to people about an incident, and to whom: pure texts, and the port that delivers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol
from uuid import UUID

MOST_MESSAGES = 5
MOST_TAGS = 3
MAX_ATTEMPTS = 5
FIRST_BACK_OFF = timedelta(minutes=1)

_SEVERITIES_ZH = {"info": "資訊", "warning": "警告", "critical": "嚴重"}


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """What a notice is made from. `messages` are those of the alerts, the weightiest first; `tags` are the
    causes as (name, contents, lift)."""

    incident_id: UUID
    severity: str
    title: str
    opened_on: date
    messages: tuple[str, ...]
    tags: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """One message about one incident."""

    incident_id: UUID
    severity: str
    title: str
    body: str


class Notifier(Protocol):
    """Delivers notices."""

    def deliver(self, channel: str, notice: Notice) -> None:
        """Hand a notice to a channel. Raises TransientError when it was surely not delivered and may be later,
        ConfigurationError when it cannot be, and DeliveryUnknown when it may have arrived or not. No message of an
        error holds the channel's address."""
        ...


def compose(facts: NoticeFacts, locale: str) -> Notice:
    """The message in a language: what is out of line, since when, what customers write about, where to look."""
    lines = _chinese(facts) if locale == "zh-Hant" else _english(facts)
    return Notice(facts.incident_id, facts.severity, facts.title, "\n".join(lines))


def back_off(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts: one minute, then four times as long each time."""
    return FIRST_BACK_OFF * 4 ** (attempts - 1)


def _english(facts: NoticeFacts) -> list[str]:
    count = len(facts.messages)
    lines = [f"{facts.severity.capitalize()} since {facts.opened_on}, {count} alert{'s' if count != 1 else ''}:"]
    lines += _messages(facts.messages, "and {} more")
    if facts.tags:
        tags = (
            f"{name} ({contents} content{'s' if contents != 1 else ''}, {lift:.1f} times as often as before)"
            for name, contents, lift in facts.tags[:MOST_TAGS]
        )
        lines += ["", f"What people write about: {', '.join(tags)}"]
    return [*lines, "", f"Look closer: tagging alerts incidents {facts.incident_id}"]


def _chinese(facts: NoticeFacts) -> list[str]:
    severity = _SEVERITIES_ZH[facts.severity]
    lines = [f"自 {facts.opened_on} 起，等級：{severity}，共 {len(facts.messages)} 則警示："]
    lines += _messages(facts.messages, "另有 {} 則")
    if facts.tags:
        tags = (
            f"「{name}」（{contents} 則內容，出現頻率為先前的 {lift:.1f} 倍）"
            for name, contents, lift in facts.tags[:MOST_TAGS]
        )
        lines += ["", f"相關內容提到：{'、'.join(tags)}"]
    return [*lines, "", f"查看詳情：tagging alerts incidents {facts.incident_id}"]


def _messages(messages: Sequence[str], more: str) -> list[str]:
    lines = [f"- {message}" for message in messages[:MOST_MESSAGES]]
    rest = len(messages) - MOST_MESSAGES
    return [*lines, f"- {more.format(rest)}"] if rest > 0 else lines
