"""One connection to a host that takes mail: its answers, with a time limit on each, and the opening.

<- 220            -> EHLO hub.example
<- 250-...        -> STARTTLS, EHLO, AUTH, as configured
<- 250            from then on a ``Carrier`` speaks
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPullProducer, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.protocols.smtp.reply import Reply, Step
from msgserver.wire.line import write_now

_LINE = 4096  # bytes of one reply line we are willing to read (RFC 5321 section 4.5.3.1.5: 512)
_LINES = 200  # lines of one reply
_PIECE = 65_536  # bytes of a large body written at once


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait for each answer (RFC 5321 section 4.5.3.2)."""

    connect: float = 30.0
    greeting: float = 300.0
    hello: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    piece: float = 180.0
    dot: float = 600.0

    @property
    def steps(self) -> dict[Step, float]:
        """By what is waited for."""
        return {
            Step.RESET: self.mail,
            Step.MAIL: self.mail,
            Step.RCPT: self.rcpt,
            Step.DATA: self.data,
            Step.DOT: self.dot,
        }


class Gone(Exception):
    """The connection cannot be used any further; in words."""


class LoginRefused(Gone):
    """Name or password is wrong: repeated soon, it only locks the account."""


@implementer(IPullProducer)
class _Pieces:
    """Writes a large body as fast as the far side takes it."""

    def __init__(self, connection: Connection, content: bytes, done: Callable[[], None]) -> None:
        self._connection = connection
        self._content = memoryview(content)
        self._at = 0
        self._done = done

    def resumeProducing(self) -> None:
        """Write the next piece."""
        if self._at >= len(self._content):
            return
        piece = self._content[self._at : self._at + _PIECE]
        self._at += len(piece)
        self._connection.still_writing()
        self._connection.transport.write(bytes(piece))
        if self._at >= len(self._content):
            self._connection.transport.unregisterProducer()
            self._done()

    def stopProducing(self) -> None:
        """The connection is lost; it says so itself."""


class Connection(Protocol):
    """Whoever holds it is the only one to use it.

    Attributes:
        abilities: what the host offers, by EHLO's words.
        on_reply: told of each answer after the opening.
        on_turn: called after the answers that came together.
        on_lost: told once when the connection is of no use any more, and why.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, timeouts: Timeouts) -> None:
        self._clock = clock
        self._timeouts = timeouts
        self._limits = timeouts.steps
        self._buffer = b""
        self._lines: list[str] = []
        self._early: list[Reply] = []
        self._asked = 0  # answers of the opening that the far side owes us
        self._waiting: Deferred[Reply] | None = None
        self._timer: IDelayedCall | None = None
        self._due = 0.0
        self._gone = ""
        self.abilities: dict[str, str] = {}
        self.on_reply: Callable[[Reply], None] | None = None
        self.on_turn: Callable[[], None] | None = None
        self.on_lost: Callable[[str], None] | None = None

    # -- bytes

    def connectionMade(self) -> None:
        """Small packets go at once: the final dot must not wait for an acknowledgement."""
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        self._asked = 1

    @property
    def alive(self) -> bool:
        """Can it still be used?"""
        return not self._gone

    @property
    def secured(self) -> bool:
        """Is TLS on?"""
        return bool(ISSLTransport.providedBy(self.transport))

    def dataReceived(self, data: bytes) -> None:
        """Cut replies out of the bytes, within bounds (RFC 5321 section 4.2.1)."""
        if self._gone:
            return
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > _LINE:
            self.abort("an answer without end")
            return
        for line in lines:
            if not self.alive:
                return
            self._take_line(line.rstrip(b"\r"))
        if self.on_turn is not None:
            self.on_turn()

    def _take_line(self, line: bytes) -> None:
        if len(line) > _LINE or len(self._lines) >= _LINES:
            self.abort("an answer without end")
            return
        code, mark = line[:3], line[3:4]
        if len(code) != 3 or not code.isdigit() or mark not in (b" ", b"-", b"") or not b"200" <= code <= b"599":
            self.abort("an answer that is not SMTP: " + line[:80].decode("utf-8", "backslashreplace"))
            return
        words = line[4:].decode("utf-8", "replace")
        if mark == b"-":
            self._lines.append(words)
            return
        if self._lines:
            reply = Reply(int(code), (*self._lines, words))
            self._lines = []
        else:
            reply = Reply(int(code), (words,))
        if self.on_reply is not None:
            self.on_reply(reply)
        else:
            self._take_early(reply)

    def _take_early(self, reply: Reply) -> None:
        """An answer of the opening."""
        if self._asked <= 0:
            self.abort(f"an answer nobody asked for: {reply.words}")
            return
        self._asked -= 1
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(reply)
        else:
            self._early.append(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever waits."""
        closed = isinstance(reason.value, ConnectionDone | ConnectionLost)
        self._end("the connection was closed" if closed else f"the connection broke: {reason.getErrorMessage()}")

    def _end(self, words: str) -> None:
        first = not self._gone
        self._gone = self._gone or words
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Gone(self._gone))
        if first and self.on_lost is not None:
            self.on_lost(self._gone)

    def abort(self, words: str) -> None:
        """Cut the line."""
        if not self._gone:
            self.transport.abortConnection()
            self._end(words)

    def leave(self) -> None:
        """Say goodbye and hang up."""
        if not self._gone:
            self.transport.write(b"QUIT\r\n")
            self.transport.loseConnection()
            self._end("closed by us")

    # -- waiting

    def _ask(self, words: bytes) -> None:
        if self._gone:
            raise Gone(self._gone)
        self._asked += 1
        self.transport.write(words)

    async def _reply(self, limit: float) -> Reply:
        if self._early:
            return self._early.pop(0)
        if self._gone:
            raise Gone(self._gone)
        self._wait_until(self._clock.seconds() + limit)
        self._waiting = Deferred(lambda _: self._cancelled())
        reply = await self._waiting
        self._due = 0.0
        return reply

    def _cancelled(self) -> None:
        self._waiting = None
        self.abort("given up")

    def _wait_until(self, due: float) -> None:
        """One timer for all waits: it is set anew only when it went off too early."""
        self._due = due
        if self._timer is None:
            self._timer = self._clock.callLater(due - self._clock.seconds(), self._look)
        elif self._timer.getTime() > due:
            self._timer.reset(due - self._clock.seconds())

    def _look(self) -> None:
        self._timer = None
        left = self._due - self._clock.seconds()
        if self._due and left <= 0.0:
            self.abort("no answer in time")
        elif self._due:
            self._timer = self._clock.callLater(left, self._look)

    def expect(self, step: Step | None) -> None:
        """The next answer is to this step, and must come within its time; None: no answer is owed."""
        if step is None:
            self._due = 0.0
        else:
            self._wait_until(self._clock.seconds() + self._limits[step])

    # -- writing

    def write(self, words: bytes) -> None:
        """Say something; what is said after the connection was lost is lost too."""
        if not self._gone:
            write_now(self.transport, words)

    def write_pieces(self, content: bytes, done: Callable[[], None]) -> None:
        """Write something large as fast as it is taken, then call ``done``."""
        if not self._gone:
            self.transport.registerProducer(_Pieces(self, content, done), False)

    def still_writing(self) -> None:
        """A piece is on its way."""
        self._wait_until(self._clock.seconds() + self._timeouts.piece)

    # -- the opening

    async def greet(self, own_name: str) -> None:
        """Read the greeting and introduce ourselves.

        Raises:
            Gone: the far side does not want us, or is no SMTP server.
        """
        reply = await self._reply(self._timeouts.greeting)
        if reply.code != 220:
            raise Gone(f"it greets with {reply.words}")
        await self._hello(own_name)

    async def _hello(self, own_name: str) -> None:
        name = own_name.encode("ascii", "replace")
        self._ask(b"EHLO " + name + b"\r\n")
        reply = await self._reply(self._timeouts.hello)
        self.abilities = {}
        if reply.code == 250:
            for line in reply.lines[1:]:
                word, _, value = line.strip().partition(" ")
                self.abilities[word.upper()] = value
            return
        self._ask(b"HELO " + name + b"\r\n")
        reply = await self._reply(self._timeouts.hello)
        if reply.code != 250:
            raise Gone(f"it does not take our name: {reply.words}")

    async def secure(self, context: object, own_name: str) -> None:
        """STARTTLS; what was said in clear is forgotten (RFC 3207 section 4.2).

        Raises:
            Gone: it was refused, or something was slipped in before TLS.
        """
        self._ask(b"STARTTLS\r\n")
        reply = await self._reply(self._timeouts.hello)
        if reply.code != 220:
            raise Gone(f"STARTTLS was refused: {reply.words}")
        if self._buffer or self._lines or self._early:
            self.abort("bytes in clear after STARTTLS")
            raise Gone(self._gone)
        self.abilities = {}
        self.transport.startTLS(context)
        await self._hello(own_name)

    async def log_in(self, user: str, password: str) -> None:
        """AUTH PLAIN, or LOGIN where only that is offered (RFC 4954).

        Raises:
            Gone: refused, or not offered.
        """
        offered = self.abilities.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            words = base64.b64encode(b"\0".join([b"", user.encode(), password.encode()]))
            self._ask(b"AUTH PLAIN " + words + b"\r\n")
        elif "LOGIN" in offered:
            self._ask(b"AUTH LOGIN\r\n")
            for answer in (user, password):
                reply = await self._reply(self._timeouts.hello)
                if reply.code != 334:
                    raise LoginRefused(f"the login was refused: {reply.words}")
                self._ask(base64.b64encode(answer.encode()) + b"\r\n")
        else:
            raise Gone("it offers no login we know (PLAIN, LOGIN)")
        reply = await self._reply(self._timeouts.hello)
        if reply.code != 235:
            raise LoginRefused(f"the login was refused: {reply.words}")
