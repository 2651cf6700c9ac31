"""The bytes after DATA: finds their end across pieces, bounded in memory whatever comes.

All that costs time (dots, line ends, the hash) is done piece by piece as they arrive, so that the end of a large
mail holds nobody up.
"""

from __future__ import annotations

import hashlib
from enum import Enum

from msgserver.wire.budget import ByteBudget

END = b"\r\n.\r\n"
_GATHER = 65_536  # bytes of small pieces that are gathered into one


class Verdict(Enum):
    """What is to be said of a body at its end."""

    FINE = "fine"
    TOO_BIG = "too big"
    NO_ROOM = "no room"  # the memory for mails under way is taken by others


class Body:
    """Takes pieces until ``CR LF . CR LF``; nothing else ends it (RFC 5321 section 4.1.1.4).

    A body beyond ``limit`` (bytes, without transparency dots) is read to its end and thrown away; ``runaway`` says
    that not even that is worth going on with. ``sha256`` is the message's.
    """

    __slots__ = (
        "_budget",
        "_chunks",
        "_first",
        "_gathered",
        "_held",
        "_limit",
        "_open",
        "_size",
        "bare",
        "received",
        "sha256",
        "verdict",
    )

    def __init__(self, limit: int, budget: ByteBudget) -> None:
        self._limit = limit
        self._budget = budget
        self._open = b"\r\n"  # may be the beginning of END; at first that of the DATA command: a dot may follow at once
        self._first = True
        self._chunks: list[bytes] = []
        self._gathered = bytearray()
        self._held = 0  # bytes taken from the budget
        self._size = 0
        self.sha256 = hashlib.sha256()
        self.bare = False  # a CR or LF stands alone somewhere
        self.received = 0
        self.verdict = Verdict.FINE

    @property
    def runaway(self) -> bool:
        """So far beyond the limit that reading on only costs."""
        return self.received > 2 * self._limit + 1_048_576

    def feed(self, piece: bytes) -> int:
        """Take a piece; where in it the body ended (the index behind the final line), or -1 while it goes on."""
        before = len(self._open)
        block = self._open + piece
        at = block.find(END)
        if at >= 0:
            self.received += at + 5 - before
            self._take(block[: at + 2], last=True)
            return at + 5 - before
        self.received += len(piece)
        cut = len(block)
        if block[-1] in b"\r\n.":
            cut -= next((n for n in (4, 3, 2, 1) if block.endswith(END[:n])), 0)
        self._open = block[cut:]
        if cut:
            self._take(block[:cut], last=False)
        return -1

    def _take(self, block: bytes, last: bool) -> None:
        """Take a block that cuts no CR LF dot in two: what follows it does not change its meaning."""
        if self.verdict is not Verdict.FINE:
            return
        if b"\r\n." in block:
            block = block.replace(b"\r\n.", b"\r\n")
        if self._first:
            block = block[2:]
            self._first = False
        self._size += len(block)
        if self._size > self._limit:
            self._throw_away(Verdict.TOO_BIG)
            return
        if not (last and not self._held):
            if not self._budget.take(len(block)):
                self._throw_away(Verdict.NO_ROOM)
                return
            self._held += len(block)
        pairs = block.count(b"\r\n")
        self.bare = self.bare or pairs != block.count(b"\n") or pairs != block.count(b"\r")
        self.sha256.update(block)
        self._keep(block)

    def _keep(self, block: bytes) -> None:
        if len(block) < _GATHER // 4 and (self._held or self._gathered):
            self._gathered += block
            if len(self._gathered) < _GATHER:
                return
            block = b""
        if self._gathered:
            self._chunks.append(bytes(self._gathered))
            self._gathered.clear()
        if block:
            self._chunks.append(block)

    def _throw_away(self, verdict: Verdict) -> None:
        self.release()
        self.verdict = verdict

    def release(self) -> None:
        """Let go of what is held."""
        self._budget.give(self._held)
        self._held = 0
        self._chunks = []
        self._gathered.clear()

    def content(self) -> bytes:
        """The message, dots taken out, once the end was found; empty where ``verdict`` is not FINE."""
        chunks = self._chunks
        if self._gathered:
            chunks.append(bytes(self._gathered))
        self.release()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
