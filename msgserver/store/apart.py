"""Group commit in a process of its own: the reactor keeps the interpreter to itself, and a second processor its use.

It ends with the hub: when the hub dies, after the commit it was at; and the file's lock is held until both are gone.
Should it die first, nobody knows what of its last group was committed: the waiters are told so, and the hub has to
stop, as it would have died with a thread of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from msgserver.formats.frames import FrameCutter
from msgserver.store import errands
from msgserver.store.failures import Busy, StoreError
from msgserver.store.groups import GroupWriter, Waiting

_READ = 256 * 1024


@implementer(IReadWriteDescriptor)
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
        self._frames = FrameCutter()
        self._unsent = bytearray()
        self._given: dict[int, Sequence[Waiting]] = {}
        self._number = 0

    def start(self) -> None:
        """Start the process; what is submitted meanwhile waits for it.

        Raises:
            StoreError: it cannot be started.
        """
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        command = [sys.executable, "-P", "-m", "msgserver.store.writer", str(theirs.fileno())]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        kept = (theirs.fileno(),) if self._keeps is None else (theirs.fileno(), self._keeps)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, pass_fds=kept
            )
        except OSError as error:
            self._line.close()
            raise StoreError(f"the process that writes cannot be started ({error}); nothing was changed") from error
        finally:
            theirs.close()
        self._write(errands.written(self._settings))
        self._reactor.addReader(self)

    def _give(self, jobs: list[Waiting]) -> None:
        if self._line.fileno() < 0:
            self._refuse(
                jobs, StoreError("the store's writer has ended: nothing was written; the hub has to start anew")
            )
            return
        urgent = [job for job in jobs if errands.waited_for([job])]
        if urgent and len(urgent) < len(jobs):
            self._give(urgent)
            self._give([job for job in jobs if not errands.waited_for([job])])
            return
        try:
            frame = errands.errand(self._number, jobs)
        except Exception as error:
            if len(jobs) == 1:
                self._refuse(jobs, error)
            else:  # find the one that cannot travel
                for job in jobs:
                    self._give([job])
            return
        self._given[self._number] = jobs
        self._number += 1
        self._write(frame)

    def _refuse(self, jobs: Sequence[Waiting], error: BaseException) -> None:
        for job in jobs:
            job.error = error
        self._answer(jobs)

    def _finish(self) -> None:
        if self._line.fileno() < 0:
            self._ended()
        elif not self._unsent:
            self._line.shutdown(socket.SHUT_WR)

    # --- the socket ----------

    def fileno(self) -> int:
        """The hub's end of it."""
        return self._line.fileno()

    def logPrefix(self) -> str:
        """Its name in the log."""
        return "store"

    def _write(self, frame: bytes) -> None:
        """Send at once what the socket takes; the rest when it takes more."""
        if self._unsent:
            self._unsent += frame
            return
        sent = self._send(frame)
        if sent < len(frame):
            self._unsent += memoryview(frame)[sent:]
            self._reactor.addWriter(self)

    def doWrite(self) -> None:
        """Send what waits."""
        del self._unsent[: self._send(self._unsent)]
        if not self._unsent:
            self._reactor.removeWriter(self)
            if self._closing:
                self._finish()

    def _send(self, content: bytes | bytearray) -> int:
        try:
            return self._line.send(content)
        except BlockingIOError:
            return 0
        except OSError:  # its end is heard by doRead
            return len(content)

    def doRead(self) -> None:
        """Take answers."""
        try:
            got = self._line.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:
            self._gone()
            return
        for frame in self._frames.feed(got):
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

    def connectionLost(self, reason: Any) -> None:  # noqa: ARG002 - the interface's
        """The reactor has lost the socket."""
        self._gone()

    def _gone(self) -> None:
        if self._line.fileno() < 0:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._line.close()
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
