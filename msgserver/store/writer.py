"""The writer process: takes errands from a socket, commits what has come together, answers; until the socket ends.

Started by the store as ``python -m msgserver.store.writer DESCRIPTOR``. It ends when the hub does, whichever way that
ended, after the commit it was at. It listens to no signal of the terminal or of a service manager: the hub that was
told to stop still has things to write.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections import deque
from pathlib import Path

from sqlalchemy import make_url

from msgserver.formats.frames import FrameCutter
from msgserver.store.committing import LARGEST_GROUP, Committer
from msgserver.store.connecting import engine
from msgserver.store.errands import Settings, answer, read, read_errand, written
from msgserver.store.turns import Errand, Turns

_READ = 256 * 1024


class Errands:
    """The socket, shared by the threads: one takes, others commit or answer meanwhile."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._frames = FrameCutter()
        self._piece = memoryview(bytearray(_READ))  # made once: one anew for each read is mapped and unmapped
        self._came: deque[bytes] = deque()
        self._turns = Turns()
        self._taking = threading.Lock()
        self._answering = threading.Lock()
        self.ended = threading.Event()

    def first(self) -> bytes | None:
        """The next frame; None: there is none, the hub is gone."""
        while not self._came and not self.ended.is_set():
            self._hear(0)
        return self._came.popleft() if self._came else None

    def take(self) -> list[Errand]:
        """The errands that are committed next, at least one; none: it is over."""
        with self._taking:
            frame = self._next() if self._turns.units else self.first()
            while frame is not None:
                self._turns.add(read_errand(frame))
                frame = self._next() if self._turns.units < LARGEST_GROUP else None
            return self._turns.take()

    def _next(self) -> bytes | None:
        """A frame that has come by now."""
        if not self._came and not self.ended.is_set():
            with contextlib.suppress(BlockingIOError):
                self._hear(socket.MSG_DONTWAIT)
        return self._came.popleft() if self._came else None

    def _hear(self, flags: int) -> None:
        try:
            size = self._line.recv_into(self._piece, 0, flags)
        except ConnectionError:
            size = 0
        if size:
            self._came.extend(self._frames.feed(self._piece[:size]))
        else:
            self.ended.set()

    def say(self, frame: bytes) -> None:
        """Send a frame; a hub that is gone need not be told."""
        with self._answering, contextlib.suppress(OSError):
            self._line.sendall(frame)


def work(errands: Errands, committer: Committer) -> None:
    """Take, commit and answer until the errands end."""
    while taken := errands.take():
        committer.carry_out([job for _, jobs in taken for job in jobs])
        errands.say(answer(taken))
    committer.close()


def main(descriptor: int) -> None:
    """Run as a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    errands = Errands(socket.socket(fileno=descriptor))
    frame = errands.first()
    if frame is None:
        return
    settings: Settings = read(frame)
    database = engine(make_url(settings.url), Path(settings.state_dir), size=settings.writers, writing=True)
    database.update_execution_options(most_copies=settings.most_copies)

    def one() -> None:
        work(errands, Committer(database, errands.ended, lambda words: errands.say(written(words))))

    threads = [threading.Thread(target=one, name=f"writer-{n}") for n in range(1, settings.writers)]
    for thread in threads:
        thread.start()
    one()
    for thread in threads:
        thread.join()
    database.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)
