"""How often a program may ask: so many times a minute, all at once or spread."""

from __future__ import annotations

import math
from collections import OrderedDict

MINUTE = 60.0
_MOST = 10_000  # tokens remembered; one that was forgotten starts with a full minute


class Rates:
    """For each token (by its id) what is left of its minute; in this process."""

    def __init__(self, a_minute: int) -> None:
        self._most = float(a_minute)
        self._left: OrderedDict[int, tuple[float, float]] = OrderedDict()  # id -> left, as of when

    def wait(self, token_id: int, now: float) -> int:
        """Count a request; 0: it may be done, else whole seconds until another one may."""
        left, at = self._left.pop(token_id, (self._most, now))
        left = min(self._most, left + max(0.0, now - at) * self._most / MINUTE)
        allowed = left >= 1.0
        self._left[token_id] = (left - 1.0 if allowed else left, now)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return 0 if allowed else math.ceil((1.0 - left) * MINUTE / self._most)
