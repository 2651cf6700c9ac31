"""One reader process as the pool sees it: what it was given, its clock, and how it ended."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.link import Link
from msgserver.workers.frames import Ready, read_answer
from msgserver.workers.tasks import Batch

_START = 30.0  # seconds to say that it is ready
_GRACE = 0.5  # seconds beyond a task's own, for the way there and back
_LINES = 40  # of stderr that one process may have logged
_LINE = 500


class Reader(ProcessProtocol):
    """A child process that answers batches in order.

    Args:
        reactor: gives time.
        on_answer: called with this reader when a batch was answered in full.
        on_ready: called with this reader when it has started.
        on_end: called with this reader, once, when it is gone, and with how it ended in words ("was killed: ...").
    """

    log = Logger()
    transport: Any

    def __init__(
        self,
        reactor: Any,
        on_answer: Callable[[Reader], None],
        on_ready: Callable[[Reader], None],
        on_end: Callable[[Reader, str], None],
    ) -> None:
        self._reactor = reactor
        self._on_answer = on_answer
        self._on_ready = on_ready
        self._on_end = on_end
        self._clock: IDelayedCall | None = None
        self._lines = 0
        self._finished = False
        self.batches: deque[Batch] = deque()
        self.ready = False
        self.pid = 0
        self.killed_for = ""
        self.last_words = ""

    # -- what the pool asks

    def start(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Start the process; a socket is its stdin and stdout.

        Raises:
            OSError: it cannot be started.
        """

        def spawn(descriptor: int) -> None:
            ends = {0: descriptor, 1: descriptor, 2: "r"}
            self._reactor.spawnProcess(self, command[0], command, env=environment, childFDs=ends)

        self._link = Link(self._reactor, "readers", spawn, self._heard, self._fell_silent)

    def has_room(self, batch: Batch, depth: int) -> bool:
        """Whether a batch can be given now; a suspect travels alone, with nothing before or behind it."""
        if not self.ready or self._finished or self.killed_for:
            return False
        if self.batches and (batch.alone or self.batches[-1].alone):
            return False
        return len(self.batches) < depth

    def give(self, batch: Batch) -> None:
        """Write a batch to the process."""
        self.batches.append(batch)
        if len(batch.tasks) == 1:
            self._link.write(batch.tasks[0].frame)
        else:
            self._link.write(b"".join([task.frame for task in batch.tasks]))
        if len(self.batches) == 1:
            self._wind()

    def finish(self) -> None:
        """End it gently: it leaves when its stdin does."""
        if not self._finished:
            self._finished = True
            self._link.finish()

    def kill(self, why: str) -> None:
        """End it now."""
        self.killed_for = self.killed_for or why
        try:
            self.transport.signalProcess("KILL")
        except (ProcessExitedAlready, OSError):
            return

    # -- what the process says

    def connectionMade(self) -> None:
        """It is spawned; it must say that it is ready."""
        self.pid = self.transport.pid
        self._clock = self._reactor.callLater(_START, self.kill, f"did not start within {_START:.0f} s")

    def _heard(self, frames: list[bytes]) -> None:
        if self.killed_for:
            return
        before = len(self.batches)
        try:
            for frame in frames:
                self._take(frame)
        except (ValueError, IndexError, msgspec.MsgspecError) as failure:
            self._lost_its_mind(failure)
            return
        self._wind()
        if self.ready and len(self.batches) < before:
            self._on_answer(self)

    def _fell_silent(self, wrong: ValueError | None) -> None:
        if wrong is not None:
            self._lost_its_mind(wrong)

    def _lost_its_mind(self, failure: Exception) -> None:
        self.kill(f"answered nonsense ({type(failure).__name__})")

    def _take(self, frame: bytes) -> None:
        said = read_answer(frame)
        if isinstance(said, Ready):
            self.ready = True
            self._wind()
            self._on_ready(self)
            return
        batch = self.batches[0]
        task = batch.tasks.popleft()
        if not batch.tasks:
            self.batches.popleft()
        task.order.settle(task.index, said)

    def _wind(self) -> None:
        """Let the clock run for the task that is at work now, or stop it where there is none."""
        if not self.ready:
            return
        if not self.batches:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None
            return
        seconds = self.batches[0].tasks[0].seconds
        if self._clock is not None and self._clock.active():
            self._clock.reset(seconds + _GRACE)
        else:
            self._clock = self._reactor.callLater(seconds + _GRACE, self._too_long, seconds)

    def _too_long(self, seconds: float) -> None:
        self._clock = None
        self.kill(f"took longer than {seconds:g} s")

    def errReceived(self, data: bytes) -> None:
        """Log what it complains of, within bounds."""
        for line in data.decode("utf-8", "replace").splitlines():
            if line.strip():
                self.last_words = line.strip()[:_LINE]
                self._lines += 1
                if self._lines <= _LINES:
                    self.log.warn("reader process {pid}: {line}", pid=self.pid, line=line[:_LINE])

    def processEnded(self, reason: Failure) -> None:
        """It is gone; what it answered last may not have been taken yet."""
        self._finished = True
        self._link.drain()
        if self._clock is not None and self._clock.active():
            self._clock.cancel()
        self._clock = None
        self._on_end(self, self._how(reason))

    def _how(self, reason: Failure) -> str:
        """How it ended, in words that follow "its reader ..."."""
        if self.killed_for:
            return self.killed_for
        if isinstance(reason.value, ProcessDone):
            return "left without being asked to"
        number = getattr(reason.value, "signal", None)
        if number is None:
            return f"stopped with exit code {getattr(reason.value, 'exitCode', '?')}"
        if number == signal.SIGXCPU:
            self.killed_for = "used more processor time than one message is given"
            return self.killed_for
        return f"was ended by {signal.Signals(number).name}"
