"""What a person wants to see of AI: the document `ai-enhancement-settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tagging_orchestration.core.enhancement.subjects import Kind

_NAMES = {
    "enabled": "enabled",
    "alerts": "alerts",
    "insights": "insights",
    "recommendations": "recommendations",
    "executiveSummary": "executive_summary",
    "autoEnhance": "auto_enhance",
}


@dataclass(frozen=True, slots=True)
class UserSettings:
    """The switch, one toggle for each kind, and whether anything is asked without a person asking."""

    enabled: bool = True
    alerts: bool = True
    insights: bool = True
    recommendations: bool = True
    executive_summary: bool = True
    auto_enhance: bool = True

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> UserSettings:
        """The settings of a stored document; what it does not say, or says in no boolean, is on."""
        known = {
            ours: document[theirs] for theirs, ours in _NAMES.items() if isinstance(document.get(theirs), bool)
        }
        return cls(**known)

    def document(self) -> dict[str, bool]:
        """The settings as the stored document."""
        return {theirs: getattr(self, ours) for theirs, ours in _NAMES.items()}

    def wants(self, kind: Kind | None) -> bool:
        """Whether a kind of enhancement is wanted; without one, AI at all."""
        return self.enabled and (kind is None or getattr(self, kind))
