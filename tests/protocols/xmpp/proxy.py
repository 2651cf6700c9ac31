"""A TCP proxy which can fall silent without closing anything, as a dead route does."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, reactor
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer


class _Client(ProxyClient):
    def dataReceived(self, data: bytes) -> None:
        if not self.peer.factory.proxy.silent_in:
            super().dataReceived(data)


class _ClientFactory(ProxyClientFactory):
    noisy = False
    protocol = _Client


class _Server(ProxyServer):
    clientProtocolFactory = _ClientFactory

    def connectionMade(self) -> None:
        self.factory.proxy.lines.append(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if not self.factory.proxy.silent_out:
            super().dataReceived(data)


class Proxy:
    """Forwards 127.0.0.1:port to another port; ``silent_in`` drops what the server says, ``silent_out`` what we say."""

    def __init__(self, to: int) -> None:
        self.silent_in = self.silent_out = False
        self.lines: list[Any] = []
        factory = ProxyFactory("127.0.0.1", to)
        factory.noisy = False
        factory.protocol = _Server
        factory.proxy = self
        self._listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    def cut(self) -> None:
        """Reset every connection."""
        for line in self.lines:
            line.transport.abortConnection()

    async def stop(self) -> None:
        """Close everything."""
        await defer.maybeDeferred(self._listening.stopListening)
        self.cut()
