"""A smarthost that does as it is told, in memory: each verb may misbehave in its own way."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, connect
from zope.interface import implementer

from msgserver.protocols.smtp.relay import Relay
from msgserver.protocols.smtp.settings import Settings
from msgserver.protocols.smtp.way import smarthost


class Smarthost(Protocol):
    """Answers as a good server does, but for the verbs in ``moods``: verb to what is done instead of answering.

    It reads on only when it has answered, as servers do.
    """

    def __init__(self, moods: dict[str, Callable[[Smarthost], None]], offers: tuple[str, ...]) -> None:
        self.moods = moods
        self.offers = offers
        self.lines: list[str] = []
        self.mails: list[bytes] = []
        self._buffer = b""
        self._in_body = False
        self._silent = False
        self._say: Callable[[bytes], None]

    def connectionMade(self):
        self._say, self.transport.write = self.transport.write, self._said
        self.answer("GREETING", "220 smarthost ESMTP")

    def _said(self, words: bytes) -> None:
        self._silent = False
        self._say(words)

    def write(self, words: str) -> None:
        asked = self._silent
        self.transport.write(words.encode() + b"\r\n")
        if asked and not self._reading:
            self.dataReceived(b"")

    def answer(self, verb: str, words: str) -> None:
        self._silent = True
        self.moods.get(verb, lambda _: self.write(words))(self)

    _reading = False

    def dataReceived(self, data):
        self._buffer += data
        self._reading = True
        self._read()
        self._reading = False

    def _read(self) -> None:
        while not self._silent:
            if self._in_body:
                stuffed, dot, rest = self._buffer.partition(b"\r\n.\r\n")
                if not dot:
                    return
                self._buffer, self._in_body = rest, False
                self.mails.append(stuffed + b"\r\n")
                self.answer("DOT", "250 2.0.0 queued as 7")
            else:
                line, end, rest = self._buffer.partition(b"\r\n")
                if not end:
                    return
                self._buffer = rest
                self.lines.append(line.decode())
                self._command(line.decode())

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == "EHLO":
            lines = ["smarthost", *self.offers]
            hello = "\r\n".join(f"250-{one}" for one in lines[:-1])
            self.answer("EHLO", f"{hello}\r\n250 {lines[-1]}" if hello else f"250 {lines[-1]}")
        elif verb == "AUTH":
            self.answer("AUTH", "235 2.7.0 ok")
        elif verb == "DATA":
            self._in_body = "DATA" not in self.moods
            self.answer("DATA", "354 go ahead")
        elif verb == "QUIT":
            self.answer("QUIT", "221 bye")
        else:
            self.answer(verb, f"250 2.1.0 {verb} ok")


@implementer(IStreamClientEndpoint)
class Road:
    """Leads to as many smarthosts as are asked for, or is closed."""

    def __init__(
        self, clock: Clock, moods=None, offers=("PIPELINING", "SIZE 1000000", "8BITMIME"), peer="127.0.0.1"
    ) -> None:
        self.peer = IPv4Address("TCP", peer, 25)
        self.clock = clock
        self.moods = moods or {}
        self.offers = offers
        self.closed = False
        self.hosts: list[Smarthost] = []
        self.pumps = []

    def connect(self, factory):
        if self.closed:
            return fail(error.ConnectionRefusedError())
        client = factory.buildProtocol(None)
        host = Smarthost(self.moods, self.offers)
        self.hosts.append(host)
        there = FakeTransport(host, isServer=True)
        here = FakeTransport(client, isServer=False, peerAddress=self.peer)
        pump = connect(host, there, client, here)
        self.pumps.append(pump)
        return succeed(client)

    def run(self, seconds: float = 0.0) -> None:
        """Let bytes flow, and time pass."""
        for _ in range(3):
            for pump in self.pumps:
                pump.flush()
            self.clock.advance(0)
        while seconds > 0:
            self.clock.advance(min(10.0, seconds))
            seconds -= 10.0
            for pump in self.pumps:
                pump.flush()

    @property
    def mails(self) -> list[bytes]:
        """What all of them took."""
        return [mail for host in self.hosts for mail in host.mails]


def relay_on(road: Road, **settings) -> Relay:
    """A started relay whose only way is ``road``."""
    chosen = Settings(**{"relay": "tcp:127.0.0.1:25", "relay_tls": "none", "hostname": "hub.example", **settings})
    relay = Relay("mail", smarthost(chosen, chosen), road.clock, lambda: None, endpoint=road)
    relay.start()
    road.run()
    return relay
