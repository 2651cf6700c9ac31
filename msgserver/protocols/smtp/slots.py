"""So many at once; of those who wait the most urgent goes first, and among equals whoever came first."""

from __future__ import annotations

import heapq
from itertools import count

from twisted.internet.defer import Deferred


class Slots:
    """A semaphore with an order of its own."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: list[tuple[int, int, Deferred[None]]] = []
        self._numbers = count()

    async def take(self, priority: int = 1) -> None:
        """Wait for a slot; a cancelled wait takes none."""
        if self._free > 0:
            self._free -= 1
            return
        waiting: Deferred[None] = Deferred()
        heapq.heappush(self._waiting, (-priority, next(self._numbers), waiting))
        await waiting

    def give(self) -> None:
        """Let the next one have it."""
        while self._waiting:
            _, _, waiting = heapq.heappop(self._waiting)
            if not waiting.called:
                waiting.callback(None)
                return
        self._free += 1
