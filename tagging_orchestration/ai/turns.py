"""Turns at a provider: so many calls at once as it takes, the most urgent first."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count


@dataclass(order=True, slots=True)
class _Ticket:
    priority: int
    number: int
    called: threading.Event = field(default_factory=threading.Event, compare=False)
    granted: bool = field(default=False, compare=False)


class Turns:
    """The turns at one provider within this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._running = 0
        self._waiting: list[_Ticket] = []
        self._numbers = count()

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._waiting)

    @contextmanager
    def turn(self, most: int, priority: int) -> Iterator[bool]:
        """Wait for a turn and hold it; lower priorities first, then who came first. `most` may be held at once.
        False, without a turn, when `close` is called."""
        ticket = _Ticket(priority, next(self._numbers))
        with self._lock:
            if not self._closed:
                heapq.heappush(self._waiting, ticket)
                self._call_next(most)
            else:
                ticket.called.set()
        ticket.called.wait()
        if not ticket.granted:
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                self._running -= 1
                self._call_next(most)

    def close(self) -> None:
        """Send everybody away who waits; nobody gets a turn any more."""
        with self._lock:
            self._closed = True
            for ticket in self._waiting:
                ticket.called.set()
            self._waiting.clear()

    def _call_next(self, most: int) -> None:
        while self._waiting and self._running < most:
            self._running += 1
            ticket = heapq.heappop(self._waiting)
            ticket.granted = True
            ticket.called.set()
