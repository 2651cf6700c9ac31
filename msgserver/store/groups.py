"""Group commit: one thread a connection takes all that has queued, commits once, then answers all.

Units are re-runnable plain functions ``unit(tx, ...)``. If anything raises, the group is rolled back and each unit
runs alone, so that only the guilty one fails; savepoints are not used. The waiters are answered in the reactor's
thread, with one call a group.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.engine import Result
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from msgserver import failpoint
from msgserver.store.failures import Busy, StoreError, disconnected, in_words, repeatable

log = Logger()

LARGEST_GROUP = 1000
LONGEST_QUEUE = 20_000
REPEATS = 5
PATIENCE = 20.0  # seconds to wait for a database that does not answer, before the waiters are told

F = TypeVar("F", bound=Callable[..., Any])


def place(name: str) -> Callable[[F], F]:
    """Mark a unit as one of the pipeline's commits, C1 to C4, for the fail points around it."""

    def mark(unit: F) -> F:
        unit.commit_place = name  # type: ignore[attr-defined]
        return unit

    return mark


class Job:
    """One unit that waits for its commit; ``joined`` units take a list of items, one from each job."""

    __slots__ = ("args", "error", "joined", "keywords", "result", "unit", "waiting")

    def __init__(self, unit: Callable[..., Any], args: tuple[Any, ...], joined: bool, keywords: dict[str, Any]) -> None:
        self.unit = unit
        self.args = args
        self.keywords = keywords
        self.joined = joined
        self.waiting: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: BaseException | None = None


class _AnswerLost(Exception):
    """The commit was begun and its end is not known, or is known and could not be told."""


class GroupWriter:
    """The writing side of the store: a bounded queue and a thread for each writer connection."""

    def __init__(self, engine: Engine, reactor: Any, writers: int) -> None:
        self._engine = engine
        self._reactor = reactor
        self._queue: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._turn: list[Job] = []  # of this turn of the reactor
        self._pending = 0
        self._closing = False
        self._stopped: Deferred[None] = Deferred()
        self._hurry = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"store-writer-{n}", daemon=True) for n in range(writers)
        ]
        self._alive = writers

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

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
        job = Job(unit, args, joined, keywords)
        self._pending += 1
        self._turn.append(job)
        if len(self._turn) == 1:
            self._reactor.callLater(0, self._hand_over)
        return job.waiting

    def stop(self) -> Deferred[None]:
        """Commit what is queued, then end the threads."""
        if not self._closing:
            self._closing = True
            self._hurry.set()
            self._hand_over()
            for _ in self._threads:
                self._queue.put(None)
        waiting: Deferred[None] = Deferred()
        self._stopped.chainDeferred(waiting)
        return waiting

    # --- in the reactor's thread ----------

    def _hand_over(self) -> None:
        """Give a turn's units to a writer together.

        Waking it for each would have the two threads fight for the interpreter all the while, for smaller groups.
        """
        if self._turn:
            jobs, self._turn = self._turn, []
            self._queue.put(jobs)

    def _answer(self, jobs: Sequence[Job]) -> None:
        self._pending -= len(jobs)
        for job in jobs:
            try:
                if job.error is not None:
                    job.waiting.errback(job.error)
                else:
                    job.waiting.callback(job.result)
            except Exception:
                log.failure("a waiter of the store raised")

    def _ended(self) -> None:
        self._alive -= 1
        if not self._alive:
            self._stopped.callback(None)

    # --- in a writer's thread ----------

    def _work(self) -> None:
        tx: Connection | None = None
        try:
            while (first := self._queue.get()) is not None:
                jobs = self._gather(first)
                tx = self._carry_out(tx, jobs)
                self._reactor.callFromThread(self._answer, jobs)
        finally:
            if tx is not None:
                tx.close()
            self._reactor.callFromThread(self._ended)

    def _gather(self, jobs: list[Job]) -> list[Job]:
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

    def _carry_out(self, tx: Connection | None, jobs: Sequence[Job]) -> Connection | None:
        """Run a group; every job ends with its result or its error. Returns the connection to go on with."""
        error: BaseException | None = None
        lost = False
        for attempt in range(REPEATS):
            try:
                tx = tx or self._connect()
                _run(tx, jobs)
                return tx
            except BaseException as raised:
                lost = isinstance(raised, _AnswerLost)
                error = raised.__cause__ if lost else raised
                assert error is not None
                broken = disconnected(error)
                tx = _put_away(tx, broken)
                if lost or (not (broken and self._pause(attempt)) and not (repeatable(error) and len(jobs) == 1)):
                    break
        assert error is not None
        worded = in_words(error)
        if len(jobs) > 1 and not lost and (repeatable(error) or not isinstance(worded, StoreError)):
            return self._each_alone(tx, jobs)
        for job in jobs:
            job.error = worded
        return tx

    def _each_alone(self, tx: Connection | None, jobs: Sequence[Job]) -> Connection | None:
        for job in jobs:
            job.error = None
            tx = self._carry_out(tx, [job])
        return tx

    def _connect(self) -> Connection:
        waited, step = 0.0, 0.1
        while True:
            try:
                return self._engine.connect()
            except Exception as error:
                if not disconnected(error) or waited >= PATIENCE or self._closing:
                    raise
            self._hurry.wait(step)
            waited, step = waited + step, min(step * 2, 2.0)

    def _pause(self, attempt: int) -> bool:
        self._hurry.wait(0.05 * (attempt + 1))
        return not self._closing


def _run(tx: Connection, jobs: Sequence[Job]) -> None:
    """One transaction: every unit, the commit, the fail points around it."""
    tx.begin()
    done: set[Callable[..., Any]] = set()
    for job in jobs:
        if not job.joined:
            job.result = _plain(job.unit(tx, *job.args, **job.keywords))
        elif job.unit not in done:
            done.add(job.unit)
            _run_joined(tx, job.unit, [mate for mate in jobs if mate.joined and mate.unit is job.unit])
    places = {getattr(job.unit, "commit_place", "") for job in jobs}
    for name in places:
        failpoint.reach(f"{name}.before")
    try:
        tx.commit()
        for name in places:
            failpoint.reach(f"{name}.after")
    except BaseException as error:
        if repeatable(error):
            raise
        raise _AnswerLost from error


def _run_joined(tx: Connection, unit: Callable[..., Any], jobs: Sequence[Job]) -> None:
    results = unit(tx, [job.args[0] for job in jobs])
    for job, result in zip(jobs, results, strict=True):
        job.result = _plain(result)


def _plain(result: Any) -> Any:
    if isinstance(result, (Result, CursorResult)):
        raise TypeError("a unit must return values, not a live result")
    return result


def _put_away(tx: Connection | None, broken: bool) -> Connection | None:
    """Roll back what was begun; a connection that is broken is let go of."""
    if tx is None:
        return None
    try:
        if not broken:
            tx.rollback()
            return tx
        tx.invalidate()
        tx.close()
    except Exception:
        log.failure("a broken database connection was put away")
    return None
