"""The serial line to a modem: one command at a time, its answer, and what the modem says unasked.

    -> AT+CSQ\\r                  <- \\r\\n+CSQ: 20,0\\r\\n\\r\\nOK\\r\\n
    -> AT+CMGS=<length>\\r        <- \\r\\n>
    -> <PDU in hex>\\x1a          <- \\r\\n+CMGS: 7\\r\\n\\r\\nOK\\r\\n
    <- \\r\\n+CMTI: "SM",3\\r\\n   (unasked)

V.250 section 5, 3GPP TS 27.005 section 4. No text of any user is ever part of a command line: texts travel as hex.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

_FINAL = re.compile(r"OK$|ERROR$|\+CM[ES] ERROR: ?(.*)$|NO CARRIER$|COMMAND NOT SUPPORT$")
_UNASKED = re.compile(r"(\+CMTI|\+CMT|\+CDSI|\+CDS|\+CBM|\+CUSD|\+CLIP|\+CRING):|RING$|\^[A-Z]|NO CARRIER$|\*E[A-Z]+:")
_WITH_PDU = re.compile(r"(\+CMT|\+CDS|\+CBM):")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")
LONGEST_LINE = 4096
LONGEST_ANSWER = 4096  # lines
_LONGEST_TOLD = 20  # lines of one +CUSD
_REFERENCE = re.compile(r"\+CMGS: ?(\d{1,3})(?!\d)")


class LineFailed(Exception):
    """The modem did not answer as a modem does; ``code`` is the number of +CMS/+CME ERROR where it gave one."""

    def __init__(self, words: str, code: int | None = None, kind: str = "") -> None:
        super().__init__(words)
        self.code = code
        self.kind = kind  # "CMS", "CME" or ""


class LineSilent(LineFailed):
    """No answer in time."""


class LineLost(LineFailed):
    """The device went away, or the connection to it."""


class Dialogue(Protocol):
    """One line. ``unasked`` gets what the modem says by itself: the line, and the PDU that belongs to it (or "")."""

    log = Logger()

    def __init__(self, clock: Any, unasked: Callable[[str, str], None], lost: Callable[[], None]) -> None:
        self._clock = clock
        self._unasked = unasked
        self._lost = lost
        self._one_at_a_time = DeferredLock()
        self._held = b""
        self._answer: list[str] = []
        self._sent = ""
        self._waiting: Deferred[list[str]] | None = None
        self._prompted: Deferred[None] | None = None
        self._head = ""  # an unasked line whose PDU comes on the next line
        self._told: list[str] = []  # an unasked line whose quotes close on a later line
        self.open = False

    # --- what is said to the modem -------------------------------------------------------------------------

    async def command(self, line: str, within: float = 5.0) -> list[str]:
        """Send one command; its answer lines without the final OK.

        Args:
            line: the command, "AT..."; never contains anything a user wrote.
            within: seconds until it counts as silent.

        Raises:
            LineFailed: an ERROR, with its number.
            LineSilent: nothing in time.
            LineLost: the line is gone.
        """
        await self._one_at_a_time.acquire()
        try:
            return await self._ask(line, line.encode("ascii") + b"\r", within)
        finally:
            self._one_at_a_time.release()

    async def submit(self, length: int, pdu: str, prompt_within: float = 10.0, within: float = 60.0) -> int:
        """Send one PDU; the message reference the modem gave it.

        Raises:
            LineFailed: refused, before or after the PDU; nothing was sent.
            LineSilent, LineLost: ``kind`` is "sent" where the PDU had gone out already: it may have been sent.
        """
        await self._one_at_a_time.acquire()
        try:
            await self._prompt(f"AT+CMGS={length}", prompt_within)
            try:
                answer = await self._ask("", pdu.encode("ascii") + b"\x1a", within)
            except (LineSilent, LineLost) as failure:
                failure.kind = "sent"
                raise
            found = next(filter(None, map(_REFERENCE.match, answer)), None)
            if found is None:
                raise LineSilent("the modem said OK without +CMGS", kind="sent")
            return int(found.group(1))
        finally:
            self._one_at_a_time.release()

    async def _prompt(self, line: str, within: float) -> None:
        self._prompted = Deferred()
        try:
            asked = self._start(line, line.encode("ascii") + b"\r")
            asked.chainDeferred(_ignoring(self._prompted))
            await self._in_time(self._prompted, within, f"no prompt after {line}")
        except LineSilent:
            self._write(b"\x1b")  # whatever it waits for, not for this PDU
            raise
        finally:
            self._prompted = self._waiting = None

    async def _ask(self, line: str, octets: bytes, within: float) -> list[str]:
        try:
            answer: list[str] = await self._in_time(
                self._start(line, octets), within, f"no answer to {line or 'a PDU'}"
            )
            return answer
        finally:
            self._waiting = None

    def _start(self, line: str, octets: bytes) -> Deferred[list[str]]:
        waiting: Deferred[list[str]] = Deferred()
        if not self.open:
            waiting.errback(Failure(LineLost("the line is closed")))
            return waiting
        self._answer, self._sent, self._waiting = [], line, waiting
        self._write(octets)
        return waiting

    async def _in_time(self, waiting: Deferred[Any], within: float, words: str) -> Any:
        def silent() -> None:
            if not waiting.called:
                waiting.errback(Failure(LineSilent(f"{words} within {within:g} s")))

        late = self._clock.callLater(within, silent)
        try:
            return await waiting
        finally:
            if late.active():
                late.cancel()

    def _write(self, octets: bytes) -> None:
        if self.open and self.transport is not None:
            self.transport.write(octets)

    def escape(self) -> None:
        """End whatever the modem may be waiting for: a PDU that the program before us began (TS 27.005 section 3.5)."""
        self._write(b"\x1b\r")

    def blind(self, line: str) -> None:
        """Write a command to a modem that answers nothing; nobody waits."""
        self._write(line.encode("ascii") + b"\r")

    def hang_up(self) -> None:
        """Close the line."""
        if self.transport is not None:
            self.transport.loseConnection()

    # --- what the modem says ---------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The device is open; over a network, no short line waits for the one before it to be acknowledged."""
        self.open = True
        hurry = getattr(self.transport, "setTcpNoDelay", None)
        if hurry is not None:
            hurry(True)

    def connectionLost(self, reason: object = None) -> None:  # noqa: ARG002
        """Unplugged, or hung up: whoever waits is told."""
        self.open = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(Failure(LineLost("the device is gone")))
        self._lost()

    def dataReceived(self, received: bytes) -> None:
        """Bytes in any portions; lines are bounded, what is beyond is noise."""
        self._held += received
        for line in self._lines():
            if line:
                self._line(line)
        if self._prompted is not None and self._held.strip(b"\x00 ") == b">":
            self._held = b""
            self._prompt_came()

    def _prompt_came(self) -> None:
        if self._prompted is not None and not self._prompted.called:
            self._waiting = None
            self._prompted.callback(None)

    def _lines(self) -> Iterator[str]:
        while (found := re.search(rb"[\r\n]", self._held)) is not None:
            line, self._held = self._held[: found.start()], self._held[found.end() :]
            yield _NOT_PRINTABLE.sub("", line[:LONGEST_LINE].decode("latin-1")).strip()
        if len(self._held) > LONGEST_LINE:
            self._held = b""

    def _line(self, line: str) -> None:
        if line == ">" and self._prompted is not None:  # and something unasked right behind it
            self._prompt_came()
            return
        if self._told or (line.startswith("+CUSD:") and line.count('"') % 2):
            self._told.append(line)
            if (line.count('"') % 2 and len(self._told) > 1) or len(self._told) >= _LONGEST_TOLD:
                told, self._told = "\n".join(self._told), []
                self._unasked(told, "")
            return
        if self._head:
            head, self._head = self._head, ""
            if re.fullmatch(r"[0-9A-Fa-f]+", line):
                self._unasked(head, line)
                return
            self._unasked(head, "")
        if _UNASKED.match(line) and not (line == "NO CARRIER" and self._waiting):
            if _WITH_PDU.match(line):
                self._head = line
            else:
                self._unasked(line, "")
        elif self._waiting is not None and not (self._sent and line.endswith(self._sent)):
            self._answered(line)

    def _answered(self, line: str) -> None:
        final = _FINAL.match(line)
        if final is None:
            if len(self._answer) < LONGEST_ANSWER:
                self._answer.append(line)
            return
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.called:
            return
        if line == "OK":
            waiting.callback(self._answer)
        else:
            number = (final.group(1) or "").strip()
            code = int(number) if number.isdigit() else None
            waiting.errback(Failure(LineFailed(line, code, line[1:4] if code is not None else "")))


def _ignoring(prompted: Deferred[None]) -> Deferred[Any]:
    """A Deferred for the command's own answer: an error instead of a prompt fails the prompt, all else is nothing."""
    bridge: Deferred[Any] = Deferred()

    def failed(failure: Failure) -> None:
        if not prompted.called:
            prompted.errback(failure)

    def answered(_: object) -> None:
        if not prompted.called:
            prompted.errback(Failure(LineFailed("OK where a prompt was expected")))

    bridge.addCallbacks(answered, failed)
    return bridge
