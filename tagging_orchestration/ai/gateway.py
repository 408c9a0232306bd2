"""The one way to a language model: cache, single flight, choice, limits, breaker and log are in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.choice import ProviderRow
from tagging_orchestration.core.enhancement.models import Answer, Ask, LlmClient, Masker
from tagging_orchestration.settings import Settings


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


class LlmGateway:
    """Asks whichever provider is best and keeps to every limit. Safe for use by several threads and processes."""

    def __init__(
        self,
        pool: ConnectionPool,
        settings: Settings,
        *,
        masker: Masker,
        clients: Callable[[ProviderRow], LlmClient],
        now: Callable[[], datetime] = utc_now,
    ) -> None: ...

    def ask(self, ask: Ask) -> Answer:
        """The answer, from the cache or a provider. Failures are answers too; raises DatabaseUnavailable."""
        raise NotImplementedError

    def ask_many(self, asks: Sequence[Ask], progress: Callable[[int, int], None] | None = None) -> list[Answer]:
        """The answers in the order of the questions; critical ones are asked first, then warnings.
        `progress(done, total)` after each."""
        raise NotImplementedError

    def refresh_stale(self) -> int:
        """Wait for the refreshes of stale answers that run in the background; how many were waited for."""
        raise NotImplementedError

    def close(self) -> None:
        """Cancel running calls and give connections back."""
