"""How often something may be done: a sliding window, without a clock of its own."""

from __future__ import annotations

from collections import deque


class SlidingWindow:
    """At most ``count`` times in any ``seconds``, however the seconds are laid."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._times: deque[float] = deque()

    def take(self, now: float) -> float:
        """Take the next place; returns how many seconds to wait until it is due (0: now)."""
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        full = len(self._times) >= self._count
        due = max(now, self._times[-self._count] + self._seconds) if full else now
        self._times.append(max(due, self._times[-1]) if self._times else due)
        return self._times[-1] - now

    def give_back(self) -> None:
        """The newest place was not used."""
        if self._times:
            self._times.pop()
