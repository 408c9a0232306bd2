"""The switch: whether AI is configured and wanted, before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagging_orchestration.core.enhancement.switches import UserSettings
from tagging_orchestration.storage.ai_providers import system_settings
from tagging_orchestration.storage.ai_results import read_user_settings

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.settings import Settings


@dataclass(frozen=True, slots=True)
class Switch:
    """`configured` by tagging.yaml or ai_system_config, `wanted` by people; `unattended`: whether schedules and
    sensors may ask, too."""

    configured: bool
    wanted: UserSettings
    unattended: bool

    @property
    def is_on(self) -> bool:
        """Configured and wanted. Health is judged at each call."""
        return self.configured and self.wanted.enabled


def read_switch(pool: ConnectionPool, settings: Settings) -> Switch:
    """The switch as it stands. tagging.yaml wins where it speaks."""
    system = system_settings(pool, settings.ai.environment)
    wanted = read_user_settings(pool, settings.organization_id)
    stated = settings.ai.enabled
    return Switch(
        configured=system.ai_enabled if stated is None else stated,
        wanted=wanted,
        unattended=system.settings.auto_enhancement_enabled and wanted.auto_enhance,
    )
