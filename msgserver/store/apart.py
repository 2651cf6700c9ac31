"""Group commit in a process of its own: the reactor keeps the interpreter to itself, and a second processor its use.

It ends with the hub: when the hub dies, after the commit it was at; and the file's lock is held until both are gone.
Should it die first, nobody knows what of its last group was committed: the waiters are told so, and the hub has to
stop, as it would have died with a thread of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from msgserver.link import Link
from msgserver.store import errands
from msgserver.store.failures import Busy, StoreError
from msgserver.store.groups import GroupWriter, Waiting
from msgserver.store.turns import halves


class ProcessWriter(GroupWriter):
    """See the module.

    Args:
        settings: what the process is told first.
        keeps: a descriptor that it keeps open (the database file's lock), or None.
        lost: called with words when it ended by itself.
    """

    def __init__(
        self, settings: errands.Settings, reactor: Any, keeps: int | None, lost: Callable[[str], None]
    ) -> None:
        super().__init__(reactor)
        self._settings = settings
        self._keeps = keeps
        self._lost = lost
        self._given: dict[int, Sequence[Waiting]] = {}
        self._number = 0

    def start(self) -> None:
        """Start the process; what is submitted meanwhile waits for it.

        Raises:
            StoreError: it cannot be started.
        """
        try:
            self._link = Link(self._reactor, "store", self._spawn, self._heard, self._gone)
        except OSError as error:
            raise StoreError(f"the process that writes cannot be started ({error}); nothing was changed") from error
        self._link.write(errands.written(self._settings))

    def _spawn(self, descriptor: int) -> None:
        command = [sys.executable, "-P", "-m", "msgserver.store.writer", str(descriptor)]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        kept = (descriptor,) if self._keeps is None else (descriptor, self._keeps)
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, pass_fds=kept
        )

    def _give(self, jobs: list[Waiting]) -> None:
        if not self._link.open:
            self._refuse(
                jobs, StoreError("the store's writer has ended: nothing was written; the hub has to start anew")
            )
            return
        arrivals = [job for job in jobs if errands.waited_for([job])]
        others = [job for job in jobs if not errands.waited_for([job])] if len(arrivals) < len(jobs) else []
        for group in (*halves(arrivals), others):
            if group:
                self._give_together(group)

    def _give_together(self, jobs: Sequence[Waiting]) -> None:
        try:
            frame = errands.errand(self._number, jobs)
        except Exception as error:
            if len(jobs) == 1:
                self._refuse(jobs, error)
            else:  # find the one that cannot travel
                for job in jobs:
                    self._give_together([job])
            return
        self._given[self._number] = jobs
        self._number += 1
        self._link.write(frame)

    def _refuse(self, jobs: Sequence[Waiting], error: BaseException) -> None:
        for job in jobs:
            job.error = error
        self._answer(jobs)

    def _finish(self) -> None:
        if self._link.open:
            self._link.finish()
        else:
            self._ended()

    # --- what the process says ----------

    def _heard(self, frames: list[bytes]) -> None:
        for frame in frames:
            said = errands.read(frame)
            if isinstance(said, str):
                self.log.error("{words}", words=said)
                continue
            for number, outcomes in said:
                self._settle(self._given.pop(number), outcomes)

    def _settle(self, jobs: Sequence[Waiting], outcomes: Sequence[tuple[Any, BaseException | None]]) -> None:
        if len(outcomes) < len(jobs):  # it could not be read there, and one says why
            outcomes = [*outcomes] * len(jobs)
        for job, (said, error) in zip(jobs, outcomes, strict=True):
            job.error = error
            if error is None:
                job.result = errands.result(job, said)
            for way in getattr(error, "__notes__", ()):
                self.log.error("{unit} failed: {way}", unit=job.unit.__name__, way=way)
        self._answer(jobs)

    def _gone(self, wrong: ValueError | None) -> None:
        if wrong is not None:
            self.log.error("the process that writes to the database sent {wrong}", wrong=str(wrong))
        code = self._process.wait()  # its end of the socket is closed by its own end alone
        closing = self._closing
        given, self._given = self._given, {}
        if given or code or not closing:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self._lost(f"the process that writes to the database {how}; what was acknowledged is stored")
        for jobs in given.values():
            self._refuse(jobs, Busy("the store's writer ended: it is not known whether this was written; try again"))
        if closing:
            self._ended()
