"""Which machines a URL may lead to: a name is resolved once, every address is checked, and only a checked one is used.

So neither a strange spelling (``0x7f000001``, ``[::ffff:10.0.0.1]``) nor a name server that answers differently the
second time leads into the network the hub stands in.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IHandshakeListener,
    IHostnameResolver,
    IOpenSSLClientConnectionCreator,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from msgserver.wire.tls import client_context

CONNECT_WITHIN = 10.0  # seconds for one address
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


class NotReachable(Exception):
    """No connection came about, so nothing was sent; the message says why."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, also where an IPv6 address wraps an IPv4 one.

    Raises:
        ValueError: it is no IP address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in _NAT64:
            inner.append(IPv4Address(int(found) & 0xFFFFFFFF))
        if any(each is not None and not _open(each) for each in inner):
            return False
        if found.ipv4_mapped is not None or found in _NAT64:
            return True
    return _open(found)


def _open(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


@implementer(IAgentEndpointFactory)
class Reach:
    """Makes the endpoints of an agent.

    Args:
        allow_private: addresses of private networks and of this machine are allowed.
        authorities: a PEM file of whom to trust; empty: whom the system trusts.
    """

    def __init__(self, reactor: Any, allow_private: bool = False, authorities: str = "") -> None:
        self.reactor = reactor
        self._allow_private = allow_private
        self._authorities = authorities
        self._contexts: dict[str, IOpenSSLClientConnectionCreator] = {}

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where a URL leads; nothing is looked up before a connection is needed."""
        return self.endpoint(uri.host.decode("ascii"), uri.port, uri.scheme == b"https")

    def endpoint(self, host: str, port: int, tls: bool) -> IStreamClientEndpoint:
        """The same, for who has taken the URL apart."""
        return _Endpoint(self, host, port, tls)

    def context(self, host: str) -> IOpenSSLClientConnectionCreator:
        """The TLS that insists on a certificate for ``host``."""
        if host not in self._contexts:
            self._contexts[host] = client_context(host, self._authorities)
        return self._contexts[host]

    async def addresses(self, host: str, port: int) -> list[str]:
        """The IP addresses of a host that may be connected to.

        Raises:
            NotReachable: there is none.
        """
        try:
            found = [str(ip_address(host))]
        except ValueError:
            found = await _resolve(self.reactor.nameResolver, host, port)
        if not found:
            raise NotReachable(f"the name {host} has no address: is it spelled right, does the name server answer?")
        allowed = [each for each in found if self._allow_private or is_public(each)]
        if not allowed:
            raise NotReachable(
                f"{host} is {found[0]}, an address of a private network: set allow_private = true if it is meant"
            )
        return allowed


@implementer(IResolutionReceiver)
class _Answers:
    def __init__(self) -> None:
        self.found: list[str] = []
        self.complete: Deferred[None] = Deferred()

    def resolutionBegan(self, resolution: Any) -> None:
        pass

    def addressResolved(self, address: Any) -> None:
        self.found.append(address.host)

    def resolutionComplete(self) -> None:
        if not self.complete.called:
            self.complete.callback(None)


async def _resolve(resolver: IHostnameResolver, host: str, port: int) -> list[str]:
    answers = _Answers()
    resolver.resolveHostName(answers, host, port)
    await answers.complete
    return list(dict.fromkeys(answers.found))


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """Connects to the first checked address that answers; with TLS, done only when the handshake is."""

    def __init__(self, reach: Reach, host: str, port: int, tls: bool) -> None:
        self._reach = reach
        self._host = host
        self._port = port
        self._tls = tls

    def __repr__(self) -> str:
        return f"{self._host}:{self._port}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """A connected protocol; fails with NotReachable where none came about."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        trouble = "no address"
        for address in await self._reach.addresses(self._host, self._port):
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = kind(self._reach.reactor, address, self._port, timeout=CONNECT_WITHIN)
            try:
                return await self._join(endpoint, factory)
            except ConnectError as error:
                trouble = str(error).rstrip(".")
        raise NotReachable(f"no connection to {self!r}: {trouble}")

    async def _join(self, endpoint: IStreamClientEndpoint, factory: IProtocolFactory) -> Any:
        if not self._tls:
            joined: Any = await endpoint.connect(factory)
            joined.transport.setTcpNoDelay(True)
            return joined
        shaken: Deferred[Any] = Deferred()
        outer = TLSMemoryBIOFactory(
            self._reach.context(self._host), True, _Shaking(factory, shaken), self._reach.reactor
        )
        line: Any = await endpoint.connect(outer)
        line.transport.setTcpNoDelay(True)
        try:
            return await shaken
        except Exception as error:
            line.transport.abortConnection()
            raise NotReachable(f"no TLS with {self!r}: {_tls_words(error)}") from error


def _tls_words(error: BaseException) -> str:
    """What OpenSSL says, without its numbers."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    said = [str(reason[-1]) for reason in reasons if isinstance(reason, tuple) and reason]
    return ", ".join(said) or str(error).rstrip(".") or type(error).__name__


class _Shaking(Factory):
    """Builds the real protocol only when the handshake is done: what fails before has sent nothing."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, shaken: Deferred[Any]) -> None:
        self.inner = inner
        self.shaken = shaken

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Handshake(self, addr)


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    def __init__(self, factory: _Shaking, addr: Any) -> None:
        self._makes = factory
        self._addr = addr

    def handshakeCompleted(self) -> None:
        line: Any = self.transport
        real: Any = self._makes.inner.buildProtocol(self._addr)
        line.wrappedProtocol = real
        real.makeConnection(line)
        self._makes.shaken.callback(real)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._makes.shaken.called:
            self._makes.shaken.errback(reason)
