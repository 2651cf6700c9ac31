"""The bytes after DATA: finds their end across pieces, bounded in memory whatever comes."""

from __future__ import annotations

from enum import Enum

from msgserver.wire.budget import ByteBudget
from msgserver.wire.dots import unstuff

END = b"\r\n.\r\n"


class Verdict(Enum):
    """What is to be said of a body at its end."""

    FINE = "fine"
    TOO_BIG = "too big"
    NO_ROOM = "no room"  # the memory for mails under way is taken by others


class Body:
    """Takes pieces until ``CR LF . CR LF``; nothing else ends it (RFC 5321 section 4.1.1.4).

    A body beyond ``limit`` (bytes, without transparency dots) is read to its end and thrown away; ``runaway`` says
    that not even that is worth going on with.
    """

    __slots__ = ("_budget", "_first", "_held", "_limit", "_more", "_tail", "received", "verdict")

    def __init__(self, limit: int, budget: ByteBudget) -> None:
        self._limit = limit
        self._budget = budget
        self._tail = b"\r\n"  # of the DATA command: a dot may follow at once
        self._first = b""
        self._more: bytearray | None = None
        self._held = 0
        self.received = 0
        self.verdict = Verdict.FINE

    @property
    def runaway(self) -> bool:
        """So far beyond the limit that reading on only costs."""
        return self.received > 2 * self._limit + 1_048_576

    def feed(self, piece: bytes) -> int:
        """Take a piece; where in it the body ended (the index behind the final line), or -1 while it goes on."""
        tail = self._tail
        at = (tail + piece[:4]).find(END)
        if at >= 0:
            end = at + 5 - len(tail)
        else:
            at = piece.find(END)
            end = at + 5 if at >= 0 else -1
        if end >= 0:
            self._keep(piece[:end] if end < len(piece) else piece, last=True)
        else:
            self._tail = piece[-4:] if len(piece) > 3 else (tail + piece)[-4:]
            self._keep(piece, last=False)
        return end

    def _keep(self, piece: bytes, last: bool) -> None:
        self.received += len(piece)
        if self.verdict is not Verdict.FINE:
            return
        # Dots add at most one byte to a line of three; the exact size is known at the end.
        if self.received > self._limit + self._limit // 3 + 16:
            self._throw_away(Verdict.TOO_BIG)
        elif last and not self._held:
            self._first = piece
        elif not self._budget.take(len(piece)):
            self._throw_away(Verdict.NO_ROOM)
        else:
            self._held += len(piece)
            if self._more is None:
                self._more = bytearray(piece)
            else:
                self._more += piece

    def _throw_away(self, verdict: Verdict) -> None:
        self.release()
        self.verdict = verdict

    def release(self) -> None:
        """Let go of what is held."""
        self._budget.give(self._held)
        self._held = 0
        self._first = b""
        self._more = None

    def content(self) -> bytes:
        """The message, dots taken out, once the end was found; empty with ``verdict`` set where it is not taken."""
        held = self._first if self._more is None else bytes(self._more)
        self.release()
        if self.verdict is not Verdict.FINE:
            return b""
        content = unstuff(held[:-3])
        if len(content) > self._limit:
            self.verdict = Verdict.TOO_BIG
            return b""
        return content
