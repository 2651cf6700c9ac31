"""Which errands are committed together, and in which order. Pure.

Arrivals have a commit of their own, before all else: somebody outside waits for it. Of many that wait only half is
taken. While the others are committed the hub talks with the senders of the first, so that the disk and both sides have
work at the same time; taken all at once, they would wait for each other, and come again all at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from msgserver.store.committing import Job
from msgserver.store.errands import waited_for

FEW = 8  # arrivals; fewer are not worth two commits
FIRST = 2  # commits of arrivals that may go before what came earlier than they

Errand = tuple[int, list[Job]]
Item = TypeVar("Item")


def halves(items: Sequence[Item]) -> list[Sequence[Item]]:
    """What is to be committed apart where nothing else waits."""
    middle = (len(items) + 1) // 2 if len(items) >= FEW else len(items)
    return [half for half in (items[:middle], items[middle:]) if half]


class Turns:
    """What waits for its commit; ``units`` is how much."""

    def __init__(self) -> None:
        self.units = 0
        self._arrivals: deque[Errand] = deque()
        self._others: list[Errand] = []
        self._passed = 0

    def add(self, errand: Errand) -> None:
        """Let an errand wait for its turn."""
        self.units += len(errand[1])
        (self._arrivals if waited_for(errand[1]) else self._others).append(errand)

    def take(self) -> list[Errand]:
        """Those whose turn it is; none where none waits."""
        if self._others and (not self._arrivals or self._passed >= FIRST):
            self._passed = 0
            taken, self._others = self._others, []
        else:
            self._passed += bool(self._others)
            taken = self._half()
        self.units -= sum(len(jobs) for _, jobs in taken)
        return taken

    def _half(self) -> list[Errand]:
        waiting = sum(len(jobs) for _, jobs in self._arrivals)
        wanted = waiting if waiting < FEW else (waiting + 1) // 2
        taken: list[Errand] = []
        while wanted > 0:
            taken.append(self._arrivals.popleft())
            wanted -= len(taken[-1][1])
        return taken
