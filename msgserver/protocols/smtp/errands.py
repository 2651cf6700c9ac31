"""Letters that wait to be carried: the most urgent first, and among equals whoever came first."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from twisted.internet.defer import Deferred

from msgserver.connector import SendFailure
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.reply import Reply


class Errand:
    """A letter, and who waits for what becomes of it.

    Attributes:
        ended: fires with the host's last answer, or fails as the seam says.
        give_up: called with it when nobody wants it carried any more.
        refused: what was said to its envelope that was no yes.
        losses: how many connections were lost under it.
    """

    __slots__ = ("ended", "give_up", "letter", "losses", "number", "refused")

    def __init__(self, letter: Letter, give_up: Callable[[Errand], None]) -> None:
        self.letter = letter
        self.give_up = give_up
        self.ended: Deferred[Reply] = Deferred(lambda _: self.give_up(self))
        self.refused: SendFailure | None = None
        self.losses = 0
        self.number = -1

    def succeed(self, reply: Reply) -> None:
        """The host has it."""
        if not self.ended.called:
            self.ended.callback(reply)

    def fail(self, failure: Exception) -> None:
        """It has ended otherwise."""
        if not self.ended.called:
            self.ended.errback(failure)


class Errands:
    """A queue of them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Errand]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, errand: Errand) -> None:
        """Add one; one that was here before gets its old place."""
        if errand.number < 0:
            errand.number = next(self._numbers)
        heapq.heappush(self._waiting, (-errand.letter.priority, errand.number, errand))

    def take(self) -> Errand | None:
        """The next one, if any."""
        return heapq.heappop(self._waiting)[2] if self._waiting else None

    def drop(self, errand: Errand) -> None:
        """Nobody waits for it any more."""
        self._waiting = [entry for entry in self._waiting if entry[2] is not errand]
        heapq.heapify(self._waiting)

    def take_all(self) -> list[Errand]:
        """Everything that waits."""
        waiting, self._waiting = self._waiting, []
        return [errand for _, _, errand in sorted(waiting, key=lambda entry: entry[:2])]
