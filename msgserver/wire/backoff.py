"""How long to wait before trying a far side again."""

from __future__ import annotations

from collections.abc import Callable
from random import random


class BackOff:
    """Doubling waits in seconds, with 20 % jitter so that many do not come back at once."""

    def __init__(self, first: float = 1.0, longest: float = 300.0, chance: Callable[[], float] = random) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self.tries = 0

    def next(self) -> float:
        """The wait before the next try."""
        wait: float = min(self._first * 2.0 ** min(self.tries, 30), self._longest)
        self.tries += 1
        return wait * (0.8 + 0.4 * self._chance())

    def reset(self) -> None:
        """It worked: begin anew."""
        self.tries = 0
