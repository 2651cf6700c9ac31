"""The two ways in which the store says no to an edit; the rooms above put them into a person's words."""

from __future__ import annotations

from typing import Any


class Stale(Exception):
    """Somebody else changed it since it was read; nothing was written. ``current`` is how it is now."""

    def __init__(self, current: Any, words: str = "Somebody changed this since you opened it; nothing was saved."):
        super().__init__(words)
        self.current = current

    def __reduce__(self) -> tuple[type[Stale], tuple[int, str]]:
        """As it travels between processes."""
        return Stale, (self.current, str(self))


class Refused(Exception):
    """It cannot be done as asked; nothing was written. Says why and what to do, for people."""
