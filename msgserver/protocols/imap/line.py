"""One connection to an IMAP server: commands and their answers, bounded in size and time whatever comes.

Twisted's client gives the sending half (tags, the queue of commands, how they end with the connection). Its reading
half keeps every line, believes every literal's size, parses character by character and logs what it does not know,
bodies included; here it is replaced: a response is handed on as it comes, literals stay bytes and are allowed for
by whoever asks for them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.mail.imap4 import Command, IMAP4Client
from twisted.python.failure import Failure

LINES = 100_000  # untagged responses to one command, or to none; far more than a window of a folder needs
_LITERAL = re.compile(rb"\{(\d{1,12})\+?\}$")  # RFC 3501 section 4.3, RFC 7888
_PLAIN = re.compile(rb"\* (OK|NO|BAD|BYE|PREAUTH)\b", re.IGNORECASE)  # these end in prose, which may look like anything
_CODE = re.compile(rb"\w+ \[([A-Za-z-]{1,40})")
_LITTLE = 65_536  # octets of literals that may come with any response
_SLOW = 1000.0  # octets a second that a mail must keep up


class LineLost(Exception):
    """The connection is gone, in words."""


class Refused(Exception):
    """The server said NO or BAD; the words are its own, ``code`` what it put in brackets (RFC 5530), if anything."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(in_words(answer) or answer[:3].decode("ascii", "replace").strip())
        code = _CODE.match(answer)
        self.code = code[1].upper().decode() if code else ""


class Response(msgspec.Struct, frozen=True):
    """One untagged response: its text without ``* ``, each literal left out behind its ``{size}``, and the literals."""

    text: bytes
    literals: tuple[bytes, ...] = ()


class Order(Command):
    """A command under way. ``heard`` gets each untagged response as it comes."""

    def __init__(
        self,
        words: bytes,
        heard: Callable[[Response], None] | None = None,
        go_on: Callable[[bytes], None] | None = None,
        room: int = 0,
    ) -> None:
        super().__init__(words)  # type: ignore[no-untyped-call]
        self.heard = heard
        self.go_on = go_on
        self.room = _LITTLE + room
        self.lines_left = LINES


class Line(IMAP4Client):
    """Speaks to one server, one command at a time. Whoever holds it is the only one to use it."""

    MAX_LENGTH = 65_536
    transport: Any

    def __init__(self, clock: IReactorTime, patience: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._patience = patience  # seconds without a byte, while something is owed
        self._pieces: list[bytes] = []  # of a response that is not complete
        self._literals: list[bytes] = []
        self._chunks: list[bytes] = []  # of the literal under way
        self._missing = 0  # octets of it
        self._order: Order | None = None
        self._timer: IDelayedCall | None = None
        self._due = 0.0
        self._heard_at = 0.0
        self._strays = LINES
        self._idling = False
        self._why = ""
        self.greeted: Deferred[bytes] = Deferred(lambda _: self.break_off("given up"))
        self.ended: Deferred[None] = Deferred()
        self.gone = False
        self.on_end: Callable[[], None] = _nothing
        self.farewell = ""  # what the server said with BYE
        self.news: Callable[[], None] = _nothing  # called when mail has come into the selected folder

    # -- its life

    def connectionMade(self) -> None:
        """Wait for the greeting; keep the way through routers open, and notice when it is not."""
        keep_alive(self.transport)
        self._expect(self._patience)

    def connectionLost(self, reason: Failure = Failure(error.ConnectionDone())) -> None:  # noqa: B008 - as Twisted's
        """Whatever was under way ends with the reason in words."""
        self.gone = True
        self._rest()
        self._chunks, self._literals, self._pieces = [], [], []
        said = f"the server said goodbye: {self.farewell}" if self.farewell else ""
        clean = isinstance(reason.value, error.ConnectionDone)
        words = self._why or said or ("it closed the line" if clean else str(reason.value) or "the line broke")
        lost = LineLost(words)
        lost.__cause__ = None if clean or isinstance(reason.value, error.ConnectionAborted) else reason.value
        super().connectionLost(Failure(lost))  # type: ignore[no-untyped-call]
        if not self.greeted.called:
            self.greeted.errback(lost)
        self.ended.callback(None)
        self.on_end()

    def break_off(self, words: str) -> None:
        """End it at once; ``words`` say why to whoever waits."""
        if not self.gone:
            self.gone = True
            self._why = self._why or words
            self._rest()
            self.clearLineBuffer()  # type: ignore[no-untyped-call]
            self.transport.abortConnection()

    @property
    def unread(self) -> bool:
        """Has more come than was read? After STARTTLS was granted that must not be (RFC 3501 section 6.2.1)."""
        return bool(self._buffer)

    # -- deadlines

    def _expect(self, seconds: float) -> None:
        """The server owes something: in ``seconds`` at the latest, and never ``patience`` seconds without a byte."""
        self._heard_at = self._clock.seconds()
        self._due = self._heard_at + seconds
        self._rest()
        self._timer = self._clock.callLater(min(seconds, self._patience), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        left = min(self._due, self._heard_at + self._patience) - now
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self.break_off(f"no answer within {now - self._heard_at or self._patience:.0f} s")

    def _rest(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- asking

    async def ask(
        self,
        words: bytes,
        heard: Callable[[Response], None] | None = None,
        go_on: Callable[[bytes], None] | None = None,
        room: int = 0,
    ) -> str:
        """Give a command and wait until it is done.

        Args:
            words: the command, without tag and line end.
            heard: called with each untagged response.
            go_on: called with the text of a continuation request; it writes what is asked for.
            room: octets of literals that the answer may bring.

        Returns:
            the server's words behind OK.

        Raises:
            Refused: it said NO or BAD.
            LineLost: the connection ended, or was ended since no answer came or one without end.
        """
        if self.gone:
            raise LineLost(self._why or "the line is closed")
        order = self._order = Order(words, heard, go_on, room)
        self._expect(self._patience + room / _SLOW)
        try:
            answer: bytes = await self.sendCommand(order)  # type: ignore[no-untyped-call]
        finally:
            self._order = None
            if not self.gone:
                self._rest()
        if not answer.startswith(b"OK"):
            raise Refused(answer)
        return in_words(answer)

    async def idle(self, longest: float) -> None:
        """Wait until mail comes, at most ``longest`` seconds (IDLE, RFC 2177).

        Raises:
            Refused, LineLost: as ``ask``.
        """
        begun: Deferred[None] = Deferred()
        rung: Deferred[None] = Deferred()
        outcome: Deferred[None] = Deferred()

        def begin(_: bytes) -> None:
            self._idling = True
            self._rest()  # from now on nothing is owed
            _fire(begun)

        def end(result: object) -> None:
            self._idling = False
            _fire(begun)
            _fire(rung)
            if isinstance(result, Failure):
                outcome.errback(result)
            else:
                outcome.callback(None)

        before, self.news = self.news, partial(_fire, rung)
        asking = Deferred.fromCoroutine(self.ask(b"IDLE", go_on=begin))
        asking.addBoth(end)
        late = None
        try:
            await begun
            if self._idling:
                late = self._clock.callLater(longest, _fire, rung)
                await rung
            if self._idling:
                self._idling = False
                self._expect(self._patience)
                self.sendLine(b"DONE")  # type: ignore[no-untyped-call]
            await outcome
        except CancelledError:
            outcome.addErrback(lambda _: None)
            idling = self._idling
            asking.cancel()
            self._idling = idling  # the server does not know yet
            raise
        finally:
            self.news = before
            if late is not None and late.active():
                late.cancel()

    def goodbye(self) -> None:
        """Log out without waiting for what the server says to it."""
        if not self.gone:
            self.gone = True
            self._why = "we said goodbye"
            self._rest()
            self.sendLine((b"DONE\r\n" if self._idling else b"") + b"BYE LOGOUT")  # type: ignore[no-untyped-call]
            self.transport.loseConnection()

    # -- reading

    def lineReceived(self, line: bytes) -> None:
        """A whole line: the end of a response, or a literal's beginning."""
        if self.gone:
            return
        self._heard_at = self._clock.seconds()
        opened = _LITERAL.search(line)
        if opened is not None and (self._pieces or (line.startswith(b"* ") and not _PLAIN.match(line))):
            self._pieces.append(line)
            self._begin_literal(int(opened[1]))
            return
        if self._pieces:
            self._pieces.append(line)
            line = b"".join(self._pieces)
        literals = tuple(self._literals)
        self._pieces, self._literals = [], []
        self._take(line, literals)

    def _begin_literal(self, size: int) -> None:
        order = self._order
        if order is None or size > order.room or len(self._pieces) > 100:
            self.break_off(f"it sends {size} octets that nobody asked for")
            return
        order.room -= size
        self._missing = size
        if size:
            self.setRawMode()  # type: ignore[no-untyped-call]
        else:
            self._literals.append(b"")

    def rawDataReceived(self, data: bytes) -> None:
        """A piece of a literal."""
        if self.gone:
            return
        self._heard_at = self._clock.seconds()
        piece = data if len(data) <= self._missing else data[: self._missing]
        self._missing -= len(piece)
        self._chunks.append(piece)
        if not self._missing:
            self._literals.append(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
            self._chunks = []
            self.setLineMode(data[len(piece) :])  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002 - as Twisted's
        """No line of ours is that long."""
        self.break_off("it sends a line without end")

    def _take(self, line: bytes, literals: tuple[bytes, ...]) -> None:
        tag, _, rest = line.partition(b" ")
        if self.state is None:
            self._greeting(line)
        elif tag == b"*":
            self._untagged(Response(rest, literals))
        elif tag == b"+":
            if self._order is None or self._order.go_on is None:
                self.break_off("it asks for more where there is no more")
            else:
                self._order.go_on(rest)
        else:
            self._tagged(tag, rest)

    def _greeting(self, line: bytes) -> None:
        word = line[:10].upper()
        if not word.startswith((b"* OK", b"* PREAUTH")):
            self.farewell = in_words(line[2:]) if word.startswith(b"* BYE") else ""
            self.break_off(f"turned away: {self.farewell}" if self.farewell else "what answers there is no IMAP server")
            return
        self.state = "auth" if word.startswith(b"* P") else "unauth"
        self._rest()
        self.greeted.callback(line)

    def _untagged(self, response: Response) -> None:
        order = self._order
        if order is None:
            self._strays -= 1
        else:
            order.lines_left -= 1
        if self._strays < 0 or (order is not None and order.lines_left < 0):
            self.break_off("it sends answers without end")
            return
        words = response.text[:64].upper().split(b" ", 2)
        if words[0] == b"BYE":
            self.farewell = in_words(response.text[4:])
        if len(words) > 1 and words[1] == b"EXISTS":
            self.news()
        if order is not None and order.heard is not None:
            order.heard(response)

    def _tagged(self, tag: bytes, rest: bytes) -> None:
        code, _, said = rest.partition(b" ")
        code = code.upper()
        if self.waiting is None or tag != self.waiting or code not in (b"OK", b"NO", b"BAD"):
            self.break_off("an answer that belongs to no question")
            return
        order = self.tags.pop(tag)
        self.waiting = None
        answered, order.defer = order.defer, None
        if answered is not None:
            answered.callback(code + b" " + said)


def in_words(said: bytes) -> str:
    """What a server said, for people: one printable line, without the code in brackets before it."""
    words = re.sub(rb"^(?:OK|NO|BAD|BYE|PREAUTH)\s+", b"", said[:500], flags=re.IGNORECASE)
    words = re.sub(rb"^\[[^\]]*\]\s*", b"", words)
    text = words.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:300]


def keep_alive(transport: Any) -> None:
    """Probe a silent connection every two minutes, where the transport is a TCP socket (perhaps under TLS)."""
    bare = getattr(transport, "socket", None)
    if isinstance(bare, socket.socket) and bare.family in (socket.AF_INET, socket.AF_INET6):
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):
                bare.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _fire(waiting: Deferred[None]) -> None:
    if not waiting.called:
        waiting.callback(None)


def _nothing() -> None:
    """Nobody wants to know."""
