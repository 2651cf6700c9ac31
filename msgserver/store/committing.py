"""A writer connection, and how a group of units is committed on it. Knows neither Twisted nor where it runs.

Units are re-runnable plain functions ``unit(tx, ...)``. If anything raises, the group is rolled back and each unit
runs alone, so that only the guilty one fails; savepoints are not used.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.engine import Result

from msgserver import failpoint
from msgserver.store.failures import StoreError, disconnected, in_words, repeatable

LARGEST_GROUP = 1000
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

    __slots__ = ("args", "error", "joined", "keywords", "result", "unit")

    def __init__(self, unit: Callable[..., Any], args: tuple[Any, ...], joined: bool, keywords: dict[str, Any]) -> None:
        self.unit = unit
        self.args = args
        self.keywords = keywords
        self.joined = joined
        self.result: Any = None
        self.error: BaseException | None = None


class _AnswerLost(Exception):
    """The commit was begun and its end is not known, or is known and could not be told."""


class Committer:
    """One connection that writes.

    Args:
        engine: gives the connection, and another one where the first is lost.
        hurry: set when the hub stops; then no database is waited for any more.
        complain: takes what an operator should read.
    """

    def __init__(self, engine: Engine, hurry: threading.Event, complain: Callable[[str], None]) -> None:
        self._engine = engine
        self._hurry = hurry
        self._complain = complain
        self._tx: Connection | None = None

    def carry_out(self, jobs: Sequence[Job]) -> None:
        """Run a group and commit it; every job ends with its result or its error."""
        error: BaseException | None = None
        lost = False
        for attempt in range(REPEATS):
            try:
                self._tx = self._tx or self._connect()
                _run(self._tx, jobs)
                return
            except BaseException as raised:
                lost = isinstance(raised, _AnswerLost)
                error = raised.__cause__ if lost else raised
                assert error is not None
                broken = disconnected(error)
                self._put_away(broken)
                if lost or (not (broken and self._pause(attempt)) and not (repeatable(error) and len(jobs) == 1)):
                    break
        assert error is not None
        worded = in_words(error)
        if len(jobs) > 1 and not lost and (repeatable(error) or not isinstance(worded, StoreError)):
            self._each_alone(jobs)
            return
        for job in jobs:
            job.error = worded

    def close(self) -> None:
        """Let the connection go."""
        if self._tx is not None:
            self._tx.close()

    def _each_alone(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.error = None
            self.carry_out([job])

    def _connect(self) -> Connection:
        waited, step = 0.0, 0.1
        while True:
            try:
                return self._engine.connect()
            except Exception as error:
                if not disconnected(error) or waited >= PATIENCE or self._hurry.is_set():
                    raise
            self._hurry.wait(step)
            waited, step = waited + step, min(step * 2, 2.0)

    def _pause(self, attempt: int) -> bool:
        self._hurry.wait(0.05 * (attempt + 1))
        return not self._hurry.is_set()

    def _put_away(self, broken: bool) -> None:
        """Roll back what was begun; a connection that is broken is let go of."""
        tx = self._tx
        if tx is None:
            return
        try:
            if not broken:
                tx.rollback()
                return
            tx.invalidate()
            tx.close()
        except Exception:
            self._complain(f"a broken database connection was put away: {traceback.format_exc()}")
        self._tx = None


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
