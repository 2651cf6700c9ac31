"""A client for tests: bytes into a session on a string transport, under a clock that stands still."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from msgserver.protocols.smtp.gate import Gate
from msgserver.protocols.smtp.settings import ServerLimits, Settings
from tests.fakes import FakeHub

EHLO = b"EHLO there.example\r\n"
MAIL = b"MAIL FROM:<ana@there.example>\r\n"
RCPT = b"RCPT TO:<desk@hub.example>\r\n"
DATA = b"DATA\r\n"
START = EHLO + MAIL + RCPT + DATA


class Wire(StringTransport):
    """Remembers that it was aborted, and takes startTLS as a note."""

    aborted = False
    tls = None

    def abortConnection(self):
        self.aborted = True
        super().abortConnection()

    def startTLS(self, context):
        self.tls = context


class Talk:
    """One session with its gate, hub and clock."""

    def __init__(self, hub=None, limits=None, peer="192.0.2.7", tls=None, gate=None, **settings) -> None:
        self.clock = Clock()
        self.hub = hub or FakeHub()
        chosen = Settings(
            **{"listen": "tcp:0", "domains": ["hub.example"], **settings}, limits=ServerLimits(**(limits or {}))
        )
        self.gate = gate or Gate("mail", chosen, self.hub, self.clock, tls)
        if gate is not None:
            self.clock = gate.clock
        self.wire = Wire()
        self.session = self.gate.buildProtocol(IPv4Address("TCP", peer, 4000))
        self.session.makeConnection(self.wire)
        self.greeting = self.said()

    def said(self) -> bytes:
        """What the server wrote since the last look."""
        value = self.wire.value()
        self.wire.clear()
        return value

    def say(self, data: bytes, step: int | None = None) -> bytes:
        """Send bytes, in pieces of ``step`` if given; what was answered."""
        for at in range(0, len(data), step or max(1, len(data))):
            if self.wire.disconnected:
                break
            self.session.dataReceived(data[at : at + (step or len(data))])
        return self.said()

    def codes(self, data: bytes, step: int | None = None) -> list[int]:
        """The codes of the answers to ``data``, one a reply."""
        return codes(self.say(data, step))

    @property
    def closed(self) -> bool:
        """Has the server hung up?"""
        return self.wire.disconnecting or self.wire.disconnected

    @property
    def raws(self) -> list[bytes]:
        """The mails that were stored."""
        return [arrival.raw for arrival in self.hub.arrivals]


def codes(said: bytes) -> list[int]:
    """The codes of replies, one a reply."""
    assert not said or said.endswith(b"\r\n")
    return [int(line[:3]) for line in said.split(b"\r\n")[:-1] if line[3:4] == b" "]
