"""Group commit: what is to be written waits for its turn, goes to a writer together, and is answered together.

The writer is a thread a connection here, or a process of its own (``apart``), which leaves the interpreter to the
reactor. Waiters are answered in the reactor's thread, a group with one call.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from msgserver.store.committing import LARGEST_GROUP, Committer, Job
from msgserver.store.failures import Busy, StoreError

LONGEST_QUEUE = 20_000


class Waiting(Job):
    """A unit, and who waits for it."""

    __slots__ = ("done",)

    def __init__(self, unit: Callable[..., Any], args: tuple[Any, ...], joined: bool, keywords: dict[str, Any]) -> None:
        super().__init__(unit, args, joined, keywords)
        self.done: Deferred[Any] = Deferred()


class GroupWriter:
    """The writing side of the store as the reactor sees it: a bounded queue before whoever commits."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._turn: list[Waiting] = []  # of this turn of the reactor
        self._pending = 0
        self._closing = False
        self._stopped: Deferred[None] = Deferred()

    def start(self) -> None:
        """Begin to write.

        Raises:
            StoreError: it cannot.
        """
        raise NotImplementedError

    def _give(self, jobs: list[Waiting]) -> None:
        """Have these committed, and call ``_answer`` with them afterwards."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Commit what was given, then call ``_ended``."""
        raise NotImplementedError

    @property
    def pending(self) -> int:
        """How many units wait for their commit."""
        return self._pending

    def submit(self, unit: Callable[..., Any], args: tuple[Any, ...], joined: bool, **keywords: Any) -> Deferred[Any]:
        """Queue a unit; the Deferred fires after its commit. Called in the reactor's thread.

        Raises:
            StoreError: the store is closing.
            Busy: too many wait already.
        """
        if self._closing:
            raise StoreError("the store is closing: nothing was written")
        if self._pending >= LONGEST_QUEUE:
            raise Busy("too much is waiting to be written: nothing of this was; try again in a moment")
        job = Waiting(unit, args, joined, keywords)
        self._pending += 1
        self._turn.append(job)
        if len(self._turn) == 1:
            self._reactor.callLater(0, self._hand_over)
        return job.done

    def stop(self) -> Deferred[None]:
        """Commit what is queued, then end."""
        if not self._closing:
            self._closing = True
            self._hand_over()
            self._finish()
        waiting: Deferred[None] = Deferred()
        self._stopped.chainDeferred(waiting)
        return waiting

    def _hand_over(self) -> None:
        """Give a turn's units to the writer together.

        Waking it for each would have the two fight for the processor all the while, for smaller groups.
        """
        if self._turn:
            jobs, self._turn = self._turn, []
            self._give(jobs)

    def _answer(self, jobs: Sequence[Waiting]) -> None:
        self._pending -= len(jobs)
        for job in jobs:
            try:
                if job.error is not None:
                    job.done.errback(job.error)
                else:
                    job.done.callback(job.result)
            except Exception:
                self.log.failure("a waiter of the store raised")

    def _ended(self) -> None:
        self._stopped.callback(None)


class ThreadWriter(GroupWriter):
    """A thread for each connection; each takes all that has queued, commits once, then answers all."""

    def __init__(self, engine: Engine, reactor: Any, writers: int) -> None:
        super().__init__(reactor)
        self._engine = engine
        self._queue: queue.SimpleQueue[list[Waiting] | None] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"store-writer-{n}", daemon=True) for n in range(writers)
        ]
        self._alive = writers

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def _give(self, jobs: list[Waiting]) -> None:
        self._queue.put(jobs)

    def _finish(self) -> None:
        self._hurry.set()
        for _ in self._threads:
            self._queue.put(None)

    def _one_ended(self) -> None:
        self._alive -= 1
        if not self._alive:
            self._ended()

    # --- in a writer's thread ----------

    def _work(self) -> None:
        committer = Committer(self._engine, self._hurry, self._complain)
        try:
            while (first := self._queue.get()) is not None:
                jobs = self._gather(first)
                committer.carry_out(jobs)
                self._reactor.callFromThread(self._answer, jobs)
        finally:
            committer.close()
            self._reactor.callFromThread(self._one_ended)

    def _gather(self, jobs: list[Waiting]) -> list[Waiting]:
        while len(jobs) < LARGEST_GROUP:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:  # the sign to stop: after this group
                self._queue.put(None)
                break
            jobs += more
        return jobs

    def _complain(self, words: str) -> None:
        self.log.error("{words}", words=words)
