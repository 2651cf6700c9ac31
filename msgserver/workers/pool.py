"""The pool of reader processes: hands them mail in batches, and finds the one that kills its reader."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from msgserver.connector import TemporaryFailure
from msgserver.formats.reading import Reading
from msgserver.workers.frames import Answer, ReadMail, Returned, Unreadable, question
from msgserver.workers.process import Reader
from msgserver.workers.tasks import Batch, Order, Task

_BATCH_MAILS = 64
_BATCH_BYTES = 1024 * 1024
_DEPTH = 2  # batches under way in one reader, so that it never waits for the next
_STARTS = 3  # that fail one after the other before callers are told
_BACKOFF = (0.1, 30.0)
_MEMORY = 256 * 1024 * 1024


class WorkersUnavailable(TemporaryFailure):
    """No reader process can be had just now; what was to be read is as it was, to be given again later."""


class WorkFailed(Exception):
    """A called function failed, took too long or brought its process down; the message says which."""


class WorkerPool(Service):
    """Reader processes, kept warm, each with limits on time and memory, replaced when they die.

    Args:
        reactor: gives processes and time.
        count: processes.
        time_limit: seconds for one mail; its neighbours in a batch do not count.
        memory_limit: bytes a process may take beyond what it has when it starts.
        functions: ``module:function`` names that :meth:`call` may ask for.
    """

    name = "workers"
    log = Logger()

    def __init__(
        self,
        reactor: Any,
        count: int = 1,
        time_limit: float = 10.0,
        memory_limit: int = _MEMORY,
        functions: tuple[str, ...] = (),
    ) -> None:
        self._reactor = reactor
        self._count = count
        self._time_limit = time_limit
        self._arguments = (str(memory_limit), *functions)
        self._functions = frozenset(functions)
        self._queue: deque[Batch] = deque()
        self._readers: list[Reader] = []
        self._failed_starts = 0
        self._trouble = ""
        self._restarts: list[IDelayedCall] = []
        self._stopped: Deferred[None] | None = None
        self._last_call: IDelayedCall | None = None

    # -- what others ask

    async def read_mails(
        self, raws: Sequence[bytes], keys: Sequence[Mapping[str, bytes]] = ()
    ) -> list[Reading | Unreadable]:
        """Read mails, many at once; answers are in the order given.

        ``keys``: for each mail what its signatures are checked with (formats.signatures); left out: they are not.

        A mail that kills its reader or takes too long is Unreadable; the others are read all the same.

        Raises:
            WorkersUnavailable: no process can be started, or the pool stops; none of these was read.
        """
        if not raws:
            return []
        each = keys or ({},) * len(raws)
        questions = [question("", self._time_limit, raw, mine) for raw, mine in zip(raws, each, strict=True)]
        answers = await self._ask(questions, self._time_limit)
        return [said.reading if isinstance(said, ReadMail) else _unreadable(said) for said in answers]

    async def call(self, function: str, payload: bytes, time_limit: float | None = None) -> bytes:
        """Call one of the allowed functions, which takes bytes and gives bytes, in a reader process.

        Raises:
            WorkFailed: it raised, took too long or brought its process down.
            WorkersUnavailable: no process can be started, or the pool stops.
            ValueError: the function is not among those allowed.
        """
        if function not in self._functions:
            raise ValueError(f"{function} is not among the functions this pool was given")
        seconds = self._time_limit if time_limit is None else time_limit
        (said,) = await self._ask([question(function, seconds, payload)], seconds, alone=True)
        if isinstance(said, Returned):
            return said.value
        raise WorkFailed(_unreadable(said).why)

    @property
    def waiting(self) -> int:
        """Mails handed in and not answered yet."""
        under_way = sum(len(batch.tasks) for reader in self._readers for batch in reader.batches)
        return under_way + sum(len(batch.tasks) for batch in self._queue)

    @property
    def trouble(self) -> str:
        """Why no reader can be started, in words; "" while all is well."""
        return self._trouble

    def _ask(self, questions: list[bytes], seconds: float, alone: bool = False) -> Deferred[list[Answer]]:
        order = Order(len(questions))
        if not self.running or self._stopped is not None:
            order.fail(WorkersUnavailable("the readers are not running: it will be read when they are"))
            return order.done
        if self._trouble:
            order.fail(WorkersUnavailable(self._trouble))
            return order.done
        held: list[Task] = []
        size = 0
        for index, frame in enumerate(questions):
            if held and (len(held) >= _BATCH_MAILS or size + len(frame) > _BATCH_BYTES):
                self._queue.append(Batch(held))
                held, size = [], 0
            held.append(Task(frame, seconds, order, index))
            size += len(frame)
        self._queue.append(Batch(held, alone))
        self._hand_out()
        return order.done

    # -- the readers

    def startService(self) -> None:
        """Start the processes."""
        super().startService()  # type: ignore[no-untyped-call]
        self._stopped = None
        for _ in range(self._count):
            self._start_reader()

    def stopService(self) -> Deferred[None]:
        """Let the readers finish what they have, for up to five seconds; what they have not is refused."""
        super().stopService()  # type: ignore[no-untyped-call]
        for restart in self._restarts:
            if restart.active():
                restart.cancel()
        self._restarts.clear()
        self._refuse_queue(WorkersUnavailable("the readers are stopping: it will be read after the next start"))
        if not self._readers:
            return succeed(None)
        self._stopped = Deferred()
        for reader in list(self._readers):
            if not reader.batches:
                reader.finish()
        self._last_call = self._reactor.callLater(5.0, self._kill_all)
        return self._stopped

    def _kill_all(self) -> None:
        self._last_call = None
        for reader in list(self._readers):
            reader.kill("the readers are stopping")

    def _start_reader(self) -> None:
        reader = Reader(self._reactor, on_answer=self._hand_out, on_ready=self._started, on_end=self._ended)
        command = [sys.executable, "-P", "-m", "msgserver.workers.child", *self._arguments]
        self._readers.append(reader)
        try:
            reader.start(command, _environment())
        except OSError as failure:
            reader.last_words = str(failure)
            self._ended(reader, "could not be started")

    def _started(self, reader: Reader) -> None:
        if self._trouble:
            self.log.info("mail is being read again (process {pid})", pid=reader.pid)
        self._failed_starts = 0
        self._trouble = ""
        self._hand_out(reader)

    def _hand_out(self, reader: Reader | None = None) -> None:
        """Give batches to readers with room; to a stopping reader that has finished, its leave."""
        for one in (reader,) if reader is not None else tuple(self._readers):
            while self._queue and one.has_room(self._queue[0], _DEPTH):
                one.give(self._queue.popleft())
            if self._stopped is not None and not one.batches:
                one.finish()

    def _ended(self, reader: Reader, why: str) -> None:
        """A reader is gone: judge what it had, and have another one."""
        if reader in self._readers:
            self._readers.remove(reader)
        if self._stopped is not None or not self.running:
            self._refuse(reader.batches, WorkersUnavailable("the readers are stopping"))
            self._all_gone()
            return
        self._queue.extendleft(reversed(_suspects(reader, why)))
        delay = 0.0
        if not reader.ready:
            self._failed_starts += 1
            delay = min(_BACKOFF[1], _BACKOFF[0] * 2.0**self._failed_starts)
            if self._failed_starts >= _STARTS:
                self._give_up(f"{why}; {reader.last_words}" if reader.last_words else why)
        else:
            self.log.warn("reader process {pid} {why}: a new one is started", pid=reader.pid, why=why)
        self._restarts = [restart for restart in self._restarts if restart.active()]
        self._restarts.append(self._reactor.callLater(delay, self._start_reader))

    def _give_up(self, why: str) -> None:
        """Tell callers that there are no readers; trying goes on."""
        if any(reader.ready for reader in self._readers):
            return
        self._trouble = f"no reader process can be started ({why}): mail is kept and read once one can"
        self.log.critical("{trouble}; tried {times} times", trouble=self._trouble, times=self._failed_starts)
        self._refuse_queue(WorkersUnavailable(self._trouble))

    def _refuse_queue(self, failure: Exception) -> None:
        queued = list(self._queue)
        self._queue.clear()
        self._refuse(queued, failure)

    def _refuse(self, batches: Sequence[Batch], failure: Exception) -> None:
        for batch in batches:
            for task in batch.tasks:
                task.order.fail(failure)

    def _all_gone(self) -> None:
        if self._readers or self._stopped is None:
            return
        if self._last_call is not None:
            self._last_call.cancel()
            self._last_call = None
        done, self._stopped = self._stopped, None
        done.callback(None)


def _suspects(reader: Reader, why: str) -> list[Batch]:
    """What a dead reader leaves to be done: of the batch it was at each alone, but none that ended two when alone."""
    if not reader.batches:
        return []
    first, *others = reader.batches
    left: list[Batch] = []
    for task in first.tasks:
        if first.alone:
            task.strikes += 1
            if task.strikes >= (1 if reader.killed_for else 2):
                task.order.settle(task.index, Unreadable(f"its reader {why}"))
                continue
        left.append(Batch([task], alone=True))
    return left + others


def _unreadable(said: Answer) -> Unreadable:
    return said if isinstance(said, Unreadable) else Unreadable("the reader answered something else")


def _environment() -> dict[str, str]:
    """What a reader needs to find the same modules, and nothing that could be a secret."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path), "PYTHONUTF8": "1"}
