"""One client's conversation with the server (RFC 5321, 1870, 2034, 2920, 3207, 4954, 6152, 6531).

    <- 220 hub.example ESMTP
    -> EHLO there.example            <- 250-... PIPELINING SIZE 8BITMIME SMTPUTF8 ENHANCEDSTATUSCODES [STARTTLS]
    -> MAIL FROM:<ana@there.example> <- 250
    -> RCPT TO:<desk@hub.example>    <- 250 | 450 | 550
    -> DATA                          <- 354
    -> body CRLF . CRLF              <- 250 once the house has committed it | 451 later | 552 | 550

Commands are answered strictly in order, the answers to one read in one write.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver import failpoint
from msgserver.message import Accepted, Arrival
from msgserver.protocols.smtp import replies
from msgserver.protocols.smtp.body import Body
from msgserver.protocols.smtp.dialogue import Dialogue

if TYPE_CHECKING:
    from msgserver.protocols.smtp.gate import Gate

_LINE = 4096  # bytes; RFC 5321 section 4.5.3.1.4 asks for 512 and what extensions add
_AUTH_LINE = 12_288  # RFC 4954 section 4.3
_AHEAD = 65_536  # bytes taken in while a mail is being stored


class Mode(Enum):
    """What the next bytes are."""

    COMMAND = "command"
    LOGIN = "login"
    BODY = "body"
    STORING = "storing"  # they wait: their turn comes after the answer to the mail before
    CLOSED = "closed"


@implementer(IPushProducer)
class Session(Protocol):
    """One connection. The times in it are kept by its gate, which looks by once a second."""

    _log = Logger()
    transport: Any

    def __init__(self, gate: Gate, peer: str) -> None:
        self.gate = gate
        self.peer = peer
        self.mode = Mode.COMMAND
        self.began = 0.0
        self.heard = True
        self.quiet_since = 0.0
        self.body_since = 0.0
        self.body: Body | None = None
        self._buffer = b""
        self._at = 0
        self._advancing = False
        self._paused = False  # the far side does not read our answers
        self._full = False  # it sends faster than we can take: not read from just now
        self._out: list[bytes] = []
        self._mail = 0  # counts transactions: an answer of the house to an older one is not for the wire
        self._errors = 0
        self._idle_commands = 0
        self._eager = False
        self._dialogue = Dialogue(self, gate, peer)

    # -- the connection

    def connectionMade(self) -> None:
        """Greet; who speaks before is no mail server (RFC 5321 section 4.3.1)."""
        self.gate.entered(self)
        self.began = self.quiet_since = self.gate.clock.seconds()
        self._eager = isinstance(self.transport, Connection)
        if ISSLTransport.providedBy(self.transport):
            self._dialogue.secured()
        self.transport.registerProducer(self, True)
        if self.gate.spoke_first(self.transport):
            self._log.info("smtp {name}: {peer} spoke before the greeting", name=self.gate.name, peer=self.peer)
            self.goodbye(replies.TOO_EARLY)
        else:
            self._out.append(self.gate.greeting)
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Forget a mail that did not end; one being stored is stored."""
        self.mode = Mode.CLOSED
        if self.body is not None:
            self.body.release()
            self.body = None
        self._buffer = b""
        self.gate.left(self)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes in any cut."""
        self.heard = True
        if self.mode is Mode.CLOSED:
            return
        if self._buffer:
            self._buffer = self._buffer[self._at :] + data
        else:
            self._buffer = data
        self._at = 0
        if self.mode is Mode.STORING or self._paused:
            if len(self._buffer) > _AHEAD and not self._full:
                self._full = True
                self.transport.pauseProducing()
        else:
            self._advance()

    def pauseProducing(self) -> None:
        """The far side does not read its answers: do no more for it until it does.

        What it sends is still taken in, within bounds: a TLS handshake needs to read before it can write.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """It reads again."""
        self._paused = False
        self._read_on()
        self._advance()

    def _read_on(self) -> None:
        if self._full and not self._paused and self.mode not in (Mode.STORING, Mode.CLOSED):
            self._full = False
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is going; connectionLost tidies up."""

    def give_up(self, reply: bytes) -> None:
        """End the session from outside: a deadline, a limit, the hub stopping."""
        if self.mode is Mode.CLOSED:
            self.transport.abortConnection()
            return
        self.goodbye(reply)
        self._flush()

    @property
    def is_working(self) -> bool:
        """Is a mail under way?"""
        return self.mode in (Mode.BODY, Mode.STORING)

    def storing_too_long(self) -> None:
        """The house did not store the mail in time: the far side shall come again (a repeat is recognised)."""
        self._mail += 1
        self._answered(replies.BUSY)

    # -- bytes to commands

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._at < len(self._buffer) and not self._paused:
                mode = self.mode
                if mode is Mode.BODY:
                    going_on = self._take_body()
                elif mode is Mode.COMMAND or mode is Mode.LOGIN:
                    going_on = self._take_line()
                else:
                    break
                if not going_on:
                    break
        finally:
            self._advancing = False
        if self._at >= len(self._buffer):
            self._buffer, self._at = b"", 0
        self._flush()

    def _take_line(self) -> bool:
        """Take one line from the buffer; False where it has to wait for more."""
        buffer, at = self._buffer, self._at
        end = buffer.find(b"\n", at)
        longest = _LINE if self.mode is Mode.COMMAND else _AUTH_LINE
        if (end if end >= 0 else len(buffer)) - at > longest:
            self.goodbye(replies.LINE_TOO_LONG)
            return False
        if end < 0:
            return False
        self._at = end + 1
        if end == at or buffer[end - 1] != 13:
            self.wrong(replies.BARE_LF)
            return True
        line = buffer[at : end - 1]
        if self.mode is Mode.LOGIN:
            self._dialogue.login_line(line)
        else:
            self._dialogue.command(line)
        return True

    def _flush(self) -> None:
        out = self._out
        if out:
            self._out = []
            self._write(out[0] if len(out) == 1 else b"".join(out))
        if self.mode is Mode.CLOSED and not self.transport.disconnecting:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _write(self, reply: bytes) -> None:
        """Straight to the socket where nothing waits before it: it saves the reactor two turns a reply."""
        if self._eager:
            sent = self.transport.writeSomeData(reply)
            if sent == len(reply):
                return
            self._eager = False  # the far side reads slowly: from here on the transport keeps the order
            reply = reply[sent:] if isinstance(sent, int) and sent > 0 else reply
        self.transport.write(reply)

    def say(self, reply: bytes) -> None:
        """Answer a command; it leaves with the others of this read."""
        self._out.append(reply)

    def wrong(self, reply: bytes) -> None:
        """Answer what led nowhere; too many of them end the session."""
        self._errors += 1
        if self._errors > self.gate.limits.errors:
            self.goodbye(replies.TOO_MANY_ERRORS)
        else:
            self._out.append(reply)

    def idle(self, reply: bytes) -> None:
        """Answer what is right but brings no mail; endless repetition ends the session."""
        self._idle_commands += 1
        if self._idle_commands > self.gate.limits.idle_commands:
            self.goodbye(replies.TOO_MANY_ERRORS)
        else:
            self._out.append(reply)

    def goodbye(self, reply: bytes) -> None:
        """The last word; the caller flushes."""
        self._out.append(reply)
        self.mode = Mode.CLOSED
        self._buffer, self._at = b"", 0
        if self.body is not None:
            self.body.release()
            self.body = None

    # -- what the dialogue asks

    @property
    def has_more(self) -> bool:
        """Did the far side send on without waiting for the answer?"""
        return self._at < len(self._buffer)

    def tls_words(self) -> str:
        """Protocol and cipher, for the log; known once TLS is up."""
        inner: Any = getattr(self.transport, "protocol", None)
        for transport in (self.transport, inner):
            try:
                handle = transport.getHandle()
                return f"{handle.get_protocol_version_name()} {handle.get_cipher_name()}"
            except AttributeError:
                continue
        return "TLS"

    def expect_body(self) -> None:
        """DATA was granted."""
        self.body = Body(self.gate.limits.size, self.gate.budget)
        self.body_since = self.gate.clock.seconds()
        self.mode = Mode.BODY

    def expect_login(self, more: bool) -> None:
        """The next lines belong to AUTH, or no longer do."""
        self.mode = Mode.LOGIN if more else Mode.COMMAND

    def begin_tls(self) -> None:
        """Switch over; the word to do so goes first, in clear."""
        self._flush()
        self._eager = False
        self._buffer, self._at = b"", 0
        self.transport.startTLS(self.gate.tls)
        self._dialogue.secured()

    # -- the mail

    def _take_body(self) -> bool:
        """Take the rest of the buffer, or what of it belongs to the mail; False where that goes on."""
        body = self.body
        if body is None:
            return False
        piece = self._buffer[self._at :] if self._at else self._buffer
        end = body.feed(piece)
        if end < 0:
            self._at = len(self._buffer)
            if body.runaway:
                self.goodbye(replies.TOO_BIG)
            return False
        self._at += end
        self.body = None
        self.mode = Mode.COMMAND
        self._idle_commands = 0
        arrival = self._dialogue.arrival(body)
        if arrival is not None:
            self._store(arrival)
        else:
            self.gate.mail_done(self)
        return True

    def _store(self, arrival: Arrival) -> None:
        self.mode = Mode.STORING
        self.body_since = self.gate.clock.seconds()
        self._mail += 1
        storing = Deferred.fromCoroutine(self.gate.hub.accept(arrival))
        storing.addCallbacks(
            self._stored, self._not_stored, callbackArgs=(self._mail,), errbackArgs=(self._mail, arrival.wire_id)
        )

    def _stored(self, _accepted: Accepted, mail: int) -> None:
        if mail == self._mail:
            failpoint.reach("R1.before")
            self._answered(replies.STORED)
            failpoint.reach("R1.after")

    def _not_stored(self, failure: Failure, mail: int, wire_id: str) -> None:
        reply = self.gate.cannot_store(failure, self.peer, wire_id)
        if mail == self._mail:
            self._answered(reply)

    def _answered(self, reply: bytes) -> None:
        """The house has spoken; go on with what came meanwhile."""
        if self.mode is not Mode.STORING:
            return
        self.mode = Mode.COMMAND
        self._out.append(reply)
        self.gate.mail_done(self)
        self._read_on()
        if not self._advancing:
            self._advance()
