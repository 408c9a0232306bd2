"""A notifier that keeps what it was given, and fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable

from tagging_orchestration.core.business.notices import Notice


class FakeNotifier:
    """`errors` are raised one after the other, None lets a notice through; afterwards all come through.
    `during` is called while a notice is under way."""

    def __init__(self, *errors: BaseException | None, during: Callable[[], None] | None = None) -> None:
        self._errors = list(errors)
        self._during = during
        self.delivered: list[tuple[str, Notice]] = []

    def deliver(self, channel: str, notice: Notice) -> None:
        """Keep the notice, or raise the next error."""
        if self._during:
            self._during()
        error = self._errors.pop(0) if self._errors else None
        if error is not None:
            raise error
        self.delivered.append((channel, notice))
