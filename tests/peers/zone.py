"""A name server on loopback with a zone of one's own (twisted.names), for MX, addresses and DKIM keys."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.names import common, dns, server
from twisted.names.error import AuthoritativeDomainError


class Zone(common.ResolverBase):
    """``records``: name to what it has, as twisted.names writes it; ``asked`` counts the questions.

    A name in ``silent`` gets no answer at all, one in ``broken`` a server failure.
    """

    def __init__(self, records: dict[str, list[Any]]) -> None:
        super().__init__()
        self.records = records
        self.asked: list[tuple[str, int]] = []
        self.silent: set[str] = set()
        self.broken: set[str] = set()

    def _lookup(self, name: bytes, cls: int, kind: int, timeout: Any) -> Deferred[Any]:
        word = name.decode().lower().rstrip(".")
        self.asked.append((word, kind))
        if word in self.silent:
            return Deferred()
        if word in self.broken:
            return fail(RuntimeError("broken on purpose"))
        if word not in self.records:
            return fail(AuthoritativeDomainError(word))
        found = [
            dns.RRHeader(word, record.TYPE, dns.IN, record.ttl or 300, record, auth=True)
            for record in self.records[word]
            if kind == record.TYPE or record.TYPE == dns.CNAME
        ]
        return succeed((found, [], []))


def listen_twice(factory: Any, reactor: Any) -> tuple[Any, Any]:
    """Listen on one port of loopback over TCP and UDP."""
    while True:
        tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        port = tcp.getHost().port
        try:
            return tcp, reactor.listenUDP(port, dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
        except CannotListenError:  # somebody has that one over UDP: another, then
            tcp.stopListening()


class NameServer:
    """Serves a zone over UDP and TCP on one port of loopback."""

    def __init__(self, zone: Zone, reactor: Any) -> None:
        factory = server.DNSServerFactory(clients=[zone], verbose=0)
        factory.noisy = False
        self._tcp, self._udp = listen_twice(factory, reactor)
        self.port: int = self._tcp.getHost().port

    @property
    def place(self) -> str:
        """As the configuration writes it."""
        return f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Listen no more."""
        await maybeDeferred(self._udp.stopListening)
        await maybeDeferred(self._tcp.stopListening)
