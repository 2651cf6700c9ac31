"""A shared allowance of bytes, so that many strangers together cannot fill the memory."""

from __future__ import annotations


class ByteBudget:
    """How many bytes may be held at once by all that share it."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, count: int) -> bool:
        """Take ``count`` bytes; False, and nothing taken, where they are no longer there."""
        if self.taken + count > self.limit:
            return False
        self.taken += count
        return True

    def give(self, count: int) -> None:
        """Give back what was taken."""
        self.taken -= count
