"""The line to a process of ours: frames go out without waiting for it, and come back whole.

A socket pair. It takes more at once than a pipe does, and is read in large pieces: a turn of the reactor costs more
than what is read in it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from msgserver.formats.frames import FrameCutter

_READ = 256 * 1024


@implementer(IReadWriteDescriptor)
class Link:
    """Our end of a socket pair whose other end a process has.

    Args:
        reactor: watches the socket.
        name: whose it is, in the log.
        start: starts the process, given the descriptor of its end, which is closed here afterwards.
        heard: called with the frames that were completed by what came together, maybe none, without their lengths.
        ended: called once, when no more comes; with what is wrong if the other side lost its mind, else with None.

    Raises:
        OSError: there are no descriptors left, or ``start`` raised it; whatever is raised, nothing is left open.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        start: Callable[[int], object],
        heard: Callable[[list[bytes]], None],
        ended: Callable[[ValueError | None], None],
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._heard = heard
        self._ended = ended
        self._frames = FrameCutter()
        self._piece = memoryview(bytearray(_READ))  # made once: one anew for each piece is mapped and unmapped
        self._unsent = bytearray()
        self._finishing = False
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        try:
            start(theirs.fileno())
        except BaseException:
            self._line.close()
            raise
        finally:
            theirs.close()
        reactor.addReader(self)

    @property
    def open(self) -> bool:
        """Whether the end has not come yet."""
        return self._line.fileno() >= 0

    def write(self, frame: bytes) -> None:
        """Send at once what the socket takes; the rest when it takes more. After the end it goes nowhere."""
        if self._unsent:
            self._unsent += frame
            return
        sent = self._send(frame)
        if sent < len(frame):
            self._unsent += memoryview(frame)[sent:]
            self._reactor.addWriter(self)

    def finish(self) -> None:
        """Tell the other side, after what is unsent, that no more is sent; it is heard all the same."""
        self._finishing = True
        if self.open and not self._unsent:
            self._line.shutdown(socket.SHUT_WR)

    def drain(self) -> None:
        """Hear what has come already, to its end: the process is known to be gone."""
        while self._hear():
            pass
        self._close(None)

    # --- what the reactor asks ----------

    def fileno(self) -> int:
        """Our end of it; -1 after the end."""
        return self._line.fileno()

    def logPrefix(self) -> str:
        """Its name in the log."""
        return self._name

    def doRead(self) -> None:
        """Hear one piece."""
        self._hear()

    def doWrite(self) -> None:
        """Send what waits."""
        del self._unsent[: self._send(self._unsent)]
        if not self._unsent:
            self._reactor.removeWriter(self)
            if self._finishing:
                self.finish()

    def connectionLost(self, reason: Any) -> None:  # noqa: ARG002 - the interface's
        """The reactor has lost the socket."""
        self._close(None)

    def _send(self, content: bytes | bytearray) -> int:
        try:
            return self._line.send(content)
        except BlockingIOError:
            return 0
        except OSError:  # its end is heard
            return len(content)

    def _hear(self) -> bool:
        """Take one piece; whether there was any."""
        try:
            size = self._line.recv_into(self._piece)
        except BlockingIOError:
            return False
        except OSError:  # it ended without having read all
            size = 0
        if not size:
            self._close(None)
            return False
        try:
            frames = self._frames.feed(self._piece[:size])
        except ValueError as wrong:
            self._close(wrong)
            return False
        self._heard(frames)
        return True

    def _close(self, wrong: ValueError | None) -> None:
        if not self.open:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._line.close()
        self._unsent.clear()
        self._ended(wrong)
