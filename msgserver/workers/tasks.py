"""What waits for a reader: tasks, the batches they travel in, and the order their answers go back in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from twisted.internet.defer import Deferred

from msgserver.workers.frames import Answer


class Order:
    """The answers to one caller's questions; fires ``done`` with all of them, or with the first failure."""

    def __init__(self, count: int) -> None:
        self.done: Deferred[list[Answer]] = Deferred()
        self._answers: list[Answer | None] = [None] * count
        self._left = count

    def settle(self, index: int, said: Answer) -> None:
        """Take one answer; a second one to the same question is ignored."""
        if self._left and self._answers[index] is None:
            self._answers[index] = said
            self._left -= 1
            if not self._left:
                self.done.callback([one for one in self._answers if one is not None])

    def fail(self, failure: Exception) -> None:
        """Tell the caller that there will be no answers."""
        if self._left:
            self._left = 0
            self.done.errback(failure)


class Task:
    """One question, framed, and where its answer goes."""

    __slots__ = ("frame", "index", "order", "seconds", "strikes")

    def __init__(self, frame: bytes, seconds: float, order: Order, index: int) -> None:
        self.frame = frame
        self.seconds = seconds
        self.order = order
        self.index = index
        self.strikes = 0  # readers that died with this task as their only one


class Batch:
    """Tasks that go to a reader together; ``alone``: one that is suspected of killing readers."""

    __slots__ = ("alone", "tasks")

    def __init__(self, tasks: Iterable[Task], alone: bool = False) -> None:
        self.tasks = deque(tasks)
        self.alone = alone
