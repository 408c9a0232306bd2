"""What AI adds to alerts, insights, recommendations and periods, beside what the base says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tagging_orchestration.core.enhancement.envelopes import Envelope, EnhanceReport, ServiceHealth
from tagging_orchestration.core.enhancement.subjects import Kind, Period

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.ai.gateway import LlmGateway
    from tagging_orchestration.settings import Settings

Progress = Callable[[int, int], None]


class EnhancementService:
    """Enhances what the base made and stores what came of it; changes no base row but the marks on alerts."""

    def __init__(self, pool: ConnectionPool, settings: Settings, gateway: LlmGateway) -> None:
        self.pool = pool
        self.settings = settings
        self.gateway = gateway

    def is_enabled(self, kind: Kind | None = None) -> bool:
        """Whether this kind is switched on: in the configuration, and by people. Health is another matter."""
        raise NotImplementedError

    def check_health(self) -> ServiceHealth:
        """Whether AI is configured, wanted and healthy, by the last look at each provider."""
        raise NotImplementedError

    def enhance_alert(
        self,
        alert_id: UUID | str,
        *,
        enhancement_type: str = "alert_enhancement",
        preferred_provider_id: UUID | None = None,
        run_id: str | None = None,
    ) -> Envelope:
        """An alert's analysis. Raises UnknownName for an alert that does not exist."""
        raise NotImplementedError

    def deepen_insight(self, insight_id: str, *, run_id: str | None = None) -> Envelope:
        """An insight's analysis. Raises UnknownName for an insight that does not exist."""
        raise NotImplementedError

    def optimize_recommendations(self, *, run_id: str | None = None) -> Envelope:
        """Another order of the present recommendations, with reasons."""
        raise NotImplementedError

    def generate_executive_summary(self, period: Period, day: date, *, run_id: str | None = None) -> Envelope:
        """The summary of a day, or of the seven days that end with it."""
        raise NotImplementedError

    def analyse(
        self,
        template_key: str,
        variables: Mapping[str, Any] | None = None,
        subject_id: str | None = None,
        *,
        preferred_provider_id: UUID | None = None,
    ) -> Envelope:
        """An analysis by any template; its variables are read from the business where none are given."""
        raise NotImplementedError

    def pending_alerts(self, critical_only: bool = False) -> int:
        """Open alerts without an unexpired analysis of what is known of them now."""
        raise NotImplementedError

    def enhance_alerts(
        self,
        progress: Progress | None = None,
        limit: int | None = None,
        only_critical: bool = False,
        run_id: str | None = None,
    ) -> EnhanceReport:
        """Enhance the pending alerts, critical ones first, at most `limit` (settings: `ai.alerts_per_run`)."""
        raise NotImplementedError

    def deepen_insights(self, progress: Progress | None = None, run_id: str | None = None) -> EnhanceReport:
        """Enhance the pending insights."""
        raise NotImplementedError

    def optimize_all(self, progress: Progress | None = None, run_id: str | None = None) -> EnhanceReport:
        """Weigh the recommendations, where that is pending."""
        raise NotImplementedError

    def summarise(
        self, period: Period, day: date, progress: Progress | None = None, run_id: str | None = None
    ) -> EnhanceReport:
        """Summarise a period, where that is pending."""
        raise NotImplementedError
