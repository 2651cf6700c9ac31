"""Counting stanzas both ways, so that both sides know what the other has taken (XEP-0198).

Without XEP-0198 at the server, the same book is kept for our own messages and a ping stands for ``<r/>``: a server
handles one client's stanzas in order (RFC 6120 section 10.1), so its answer says that all before it are handled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

_WRAP = 2**32  # XEP-0198 section 5: h counts modulo 2^32


class Incoming:
    """How many stanzas, counted from the first and without a gap, are taken care of."""

    def __init__(self) -> None:
        self._arrived = 0
        self._contiguous = 0
        self._done: set[int] = set()

    @property
    def h(self) -> int:
        """What ``<a h='...'/>`` says."""
        return self._contiguous % _WRAP

    def arrived(self) -> int:
        """One more came in; its number."""
        self._arrived += 1
        return self._arrived

    def done(self, number: int) -> None:
        """The stanza of this number is taken care of; saying so twice is harmless."""
        if number > self._contiguous:
            self._done.add(number)
        while self._contiguous + 1 in self._done:
            self._contiguous += 1
            self._done.remove(self._contiguous)


class Outgoing:
    """What has been written to the line and is not yet confirmed.

    ``ask`` puts the question on the wire. At most one question is under way; what is written meanwhile is covered
    by the next. ``given_up`` is called when a question has had no answer for ``patience`` seconds; where it says
    False, the question goes on waiting.
    """

    def __init__(
        self, clock: IReactorTime, ask: Callable[[], None], given_up: Callable[[], bool], patience: float
    ) -> None:
        self._clock = clock
        self._ask = ask
        self._given_up = given_up
        self._patience = patience
        self._sent = 0
        self._confirmed = 0
        self._waiting: deque[tuple[int, Deferred[None]]] = deque()
        self._question: IDelayedCall | None = None  # about to ask, or waiting for the answer
        self._covered = 0

    @property
    def unconfirmed(self) -> int:
        """How many messages somebody waits for."""
        return len(self._waiting)

    @property
    def covered(self) -> int:
        """How many stanzas had been written when the question under way was put."""
        return self._covered

    def sent(self) -> None:
        """One more stanza went out."""
        self._sent += 1

    def confirmation(self) -> Deferred[None]:
        """Fires when the stanza sent last is confirmed; fails when the line is lost before."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((self._sent, waiting))
        self._wonder()
        return waiting

    def confirmed(self, h: int) -> None:
        """The far side says that it has handled ``h`` stanzas, modulo 2^32.

        Raises:
            ValueError: it counts more than we have sent.
        """
        total = self._confirmed + (h - self._confirmed) % _WRAP
        if total > self._sent:
            raise ValueError(f"{h} stanzas confirmed of {self._sent} sent")
        self._confirmed = total
        self._stop_asking()
        while self._waiting and self._waiting[0][0] <= total:
            _, waiting = self._waiting.popleft()
            if not waiting.called:
                waiting.callback(None)
        if self._waiting:
            self._wonder()

    def lost(self, reason: Exception) -> None:
        """The line is gone: everybody who waits hears the reason."""
        self._stop_asking()
        waiting, self._waiting = self._waiting, deque()
        for _, one in waiting:
            if not one.called:
                one.errback(reason)

    def _wonder(self) -> None:
        if self._question is None:  # asked at the end of this turn: one question for a burst
            self._question = self._clock.callLater(0, self._put)

    def _put(self) -> None:
        self._covered = self._sent
        self._question = self._clock.callLater(self._patience, self._no_answer)
        self._ask()

    def _no_answer(self) -> None:
        self._question = None
        if not self._given_up():
            self._question = self._clock.callLater(self._patience, self._no_answer)

    def _stop_asking(self) -> None:
        question, self._question = self._question, None
        if question is not None and question.active():
            question.cancel()
