"""What came in and is not committed yet: in order for each sender, a bounded number at a time, tried again later.

XMPP repeats nothing, so what the house cannot take just now waits here. Only when the waiting room is full does the
next sender hear that it was not taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from msgserver.connector import TemporaryFailure
from msgserver.wire.backoff import BackOff

ROOM = 1_000  # waiting at most
AT_ONCE = 32  # being committed at most
TRIES = 5  # of something that fails for a reason nobody foresaw

_log = Logger()


class Work(msgspec.Struct, frozen=True, eq=False):
    """One thing to commit: ``commit`` is tried until it returns; then ``done``, or ``refused(words)`` instead."""

    sender: str
    commit: Callable[[], Awaitable[object]]
    done: Callable[[], None]
    refused: Callable[[str], None]


class Intake:
    """The waiting room in front of ``hub.accept``; ``changed`` is called when it fills, empties or begins to fail."""

    def __init__(self, clock: IReactorTime, backoff: BackOff, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._backoff = backoff
        self._changed = changed
        self._queues: dict[str, deque[Work]] = {}  # by sender; a sender with an empty queue is not in it
        self._ready: deque[str] = deque()  # senders of whom nothing is being committed
        self._active = 0
        self._waiting = 0
        self._tries: dict[int, int] = {}
        self._pause: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []
        self._stopped = False
        self._pumping = False

    @property
    def waiting(self) -> int:
        """How much is not committed yet, that being tried included."""
        return self._waiting

    @property
    def failing(self) -> bool:
        """Is it waiting because the house could not take the last one?"""
        return self._pause is not None

    def put(self, work: Work) -> None:
        """Take on one piece of work; refuse it at once where the room is full."""
        if self._stopped or self._waiting >= ROOM:
            work.refused("too many messages are waiting; send it again in a few minutes")
            return
        self._waiting += 1
        queue = self._queues.get(work.sender)
        if queue is None:
            self._queues[work.sender] = deque([work])
            self._ready.append(work.sender)
        else:
            queue.append(work)
        self._pump()
        self._changed()

    def stop(self) -> Deferred[None]:
        """Begin nothing more; fires when what is being committed has ended."""
        self._stopped = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        ended: Deferred[None] = Deferred()
        self._idle.append(ended)
        self._tell_idle()
        return ended

    def give_back(self, words: str) -> None:
        """After ``stop``: refuse all that is left."""
        queues, self._queues = self._queues, {}
        self._ready.clear()
        self._tries.clear()
        self._waiting = 0
        for queue in queues.values():
            for work in queue:
                work.refused(words)

    def resume(self) -> None:
        """After ``stop``: go on with what is left."""
        self._stopped = False
        self._pump()

    def _pump(self) -> None:
        if self._pumping:  # a commit that ends at once comes back here; the loop below goes on by itself
            return
        self._pumping = True
        while self._ready and self._active < AT_ONCE and self._pause is None and not self._stopped:
            sender = self._ready.popleft()
            self._active += 1
            Deferred.fromCoroutine(self._commit(sender, self._queues[sender][0]))
        self._pumping = False

    async def _commit(self, sender: str, work: Work) -> None:
        try:
            await work.commit()
        except TemporaryFailure as failure:
            _log.warn("chat message waits: {words}", words=str(failure))
            self._put_back(sender, failure.retry_after)
        except Exception:
            tries = self._tries.get(id(work), 0) + 1
            _log.failure("chat message could not be taken, try {tries}", tries=tries)
            if tries < TRIES:
                self._tries[id(work)] = tries
                self._put_back(sender, None)
            else:
                self._finish(sender, lambda: work.refused("the hub could not take this message"))
        else:
            self._backoff.reset()
            self._finish(sender, work.done)

    def _put_back(self, sender: str, retry_after: float | None) -> None:
        self._active -= 1
        self._ready.appendleft(sender)
        if self._pause is None and not self._stopped:
            seconds = max(retry_after or 0.0, self._backoff.next())
            self._pause = self._clock.callLater(seconds, self._unpause)
        self._changed()
        self._tell_idle()

    def _unpause(self) -> None:
        self._pause = None
        self._pump()

    def _finish(self, sender: str, tell: Callable[[], Any]) -> None:
        self._active -= 1
        self._waiting -= 1
        queue = self._queues[sender]
        self._tries.pop(id(queue.popleft()), None)
        if queue:
            self._ready.append(sender)
        else:
            del self._queues[sender]
        try:
            tell()
        except Exception:
            _log.failure("after a chat message was committed")
        self._tell_idle()
        self._pump()
        self._changed()

    def _tell_idle(self) -> None:
        if self._stopped and not self._active:
            waiting, self._idle = self._idle, []
            for one in waiting:
                one.callback(None)
