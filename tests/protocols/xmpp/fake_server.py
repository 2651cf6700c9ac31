"""A server in memory: what the connector wrote, and what it shall hear; time stands still until told."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from msgserver.message import Receipt
from msgserver.protocols.xmpp import Settings
from msgserver.protocols.xmpp.connector import XMPPConnector
from msgserver.settings import Secret
from tests.fakes import FakeHub
from tests.protocols.xmpp.conftest import envelope

HEADER = (
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "from='xmpp.test' id='s1' version='1.0'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SM = "urn:xmpp:sm:3"


class Transport(StringTransport):
    """Remembers that reading was paused, and how it ended."""

    reading = True

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True


class Server:
    """A connector on a clock, and the far side of its line."""

    def __init__(self, host: str = "127.0.0.1", **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.hub = FakeHub()
        words = {"connect": f"tcp:{host}:5222", "tls": "optional", **settings}
        table = Settings(jid="hub@xmpp.test", password=Secret("chat-password"), **words)
        self.host = host
        self.chat = XMPPConnector("chat", table, self.hub, self.reactor, random=lambda: 0.5)
        self.transport = Transport()
        self.protocol: Any = None
        self._read = 0

    @property
    def attempts(self) -> int:
        """How often the connector has tried to connect."""
        return len(self.reactor.tcpClients)

    def refuse(self) -> None:
        """Refuse the attempt under way."""
        factory, connector = self.reactor.tcpClients[-1][2], self.reactor.connectors[-1]
        factory.clientConnectionFailed(connector, Failure(error.ConnectionRefusedError()))

    def connect(self) -> None:
        """Take the attempt under way."""
        self.transport = Transport(peerAddress=IPv4Address("TCP", self.host, 5222))
        self._read = 0
        self.protocol = self.reactor.tcpClients[-1][2].buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)

    def said(self) -> str:
        """What the connector wrote since last asked."""
        written = self.transport.value()[self._read :]
        self._read += len(written)
        return written.decode()

    def say(self, xml: str) -> None:
        """Let the connector hear something."""
        self.protocol.dataReceived(xml.encode())

    def features(self, *inside: str) -> None:
        """Open the stream and offer something."""
        self.say(f"{HEADER}<stream:features>{''.join(inside)}</stream:features>")

    def log_in(self, *, managed: bool = True) -> None:
        """Start where need be, and go through the whole login."""
        if not self.chat.running:
            self.chat.startService()
        self.connect()
        self.features(f"<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>")
        found = re.search(r"<auth[^>]*>([^<]*)<", self.said())
        assert found is not None
        assert b64decode(found[1]) == b"\0hub\0chat-password"
        self.say(f"<success xmlns='{SASL}'/>")
        self.features("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>", f"<sm xmlns='{SM}'/>" if managed else "")
        bind = re.search(r"<iq[^>]* id='([^']*)'", self.said())
        assert bind is not None
        self.say(
            f"<iq type='result' id='{bind[1]}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            "<jid>hub@xmpp.test/hub</jid></bind></iq>"
        )
        if managed:
            assert "<enable xmlns='urn:xmpp:sm:3'/>" in self.said()
            self.say(f"<enabled xmlns='{SM}'/>")
        assert "<presence/>" in self.said()
        assert self.chat.status.able

    def lose(self, reason: Exception | None = None) -> None:
        """The line is gone."""
        self.protocol.connectionLost(Failure(reason or error.ConnectionDone()))

    def message(self, body: str = "help", sender: str = "ana@xmpp.test/phone", stanza_id: str = "q-00000001") -> None:
        """Somebody says something and wants a receipt."""
        self.say(
            f"<message from='{sender}' to='hub@xmpp.test' type='chat' id='{stanza_id}'><body>{body}</body>"
            "<request xmlns='urn:xmpp:receipts'/></message>"
        )


def outcome(deferred: Deferred[Any]) -> Any:
    """What it fired with, result or exception; None where it has not."""
    found: list[Any] = []
    deferred.addBoth(lambda result: found.append(getattr(result, "value", result)))
    return found[0] if found else None


def sending(server: Server, **words: Any) -> Deferred[Receipt]:
    return Deferred.fromCoroutine(server.chat.send(envelope(**words)))


def stop(server: Server) -> None:
    stopped = server.chat.stopService()
    if server.transport.disconnecting:
        server.lose()
    server.reactor.advance(0)
    assert outcome(stopped) is None
    assert stopped.called
    assert server.reactor.getDelayedCalls() == []


def ping_id(server: Server) -> str:
    found = re.search(r"<iq[^>]* id='([^']*)'[^>]*><ping ", server.said())
    assert found is not None
    return found[1]


def sent_id(server: Server) -> str:
    found = re.search(r"<message[^>]* id='([^']*)'", server.said())
    assert found is not None
    return found[1]
