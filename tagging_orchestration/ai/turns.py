"""Turns at a provider: so many calls at once as it takes, the most urgent first."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_LOOK_SECONDS = 0.2


class Turns:
    """The turns at one provider within this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._numbers = count()

    @contextmanager
    def turn(self, most: int, priority: int, closing: threading.Event) -> Iterator[bool]:
        """Wait for a turn and hold it; lower priorities first, then who came first. `most` may be held at once.
        False without one, when `closing` is set."""
        if not self._enter(most, priority, closing):
            yield False
            return
        try:
            yield True
        finally:
            self._leave(most)

    def _enter(self, most: int, priority: int, closing: threading.Event) -> bool:
        with self._lock:
            if self._running < most and not self._waiting:
                self._running += 1
                return True
            ticket = (priority, next(self._numbers), threading.Event())
            heapq.heappush(self._waiting, ticket)
            self._call_next(most)
        while not ticket[2].wait(_LOOK_SECONDS):
            if closing.is_set():
                with self._lock:
                    if ticket in self._waiting:
                        self._waiting.remove(ticket)
                        heapq.heapify(self._waiting)
                        return False
        return True

    def _leave(self, most: int) -> None:
        with self._lock:
            self._running -= 1
            self._call_next(most)

    def _call_next(self, most: int) -> None:
        while self._waiting and self._running < most:
            self._running += 1
            heapq.heappop(self._waiting)[2].set()
