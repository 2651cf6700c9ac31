"""Opens connections to one host: connect, greet, secure and log in as its way asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from msgserver.protocols.smtp.client import Connection, Gone, Timeouts
from msgserver.protocols.smtp.way import Way
from msgserver.wire.tls import client_context, unverified_client_context

_REASONS = {
    error.ConnectionRefusedError: "refused: nothing listens there",
    error.DNSLookupError: "its name is not known",
    error.NoRouteError: "no way there: is the network up?",
    error.TimeoutError: "no answer",
    defer.TimeoutError: "no answer",
}


class _NoTls(Gone):
    """TLS was offered and did not come about."""


class Opener:
    """One for a host. ``made`` is told of each connection as soon as there is one."""

    _log = Logger()

    def __init__(
        self,
        name: str,
        way: Way,
        reactor: IReactorTime,
        timeouts: Timeouts,
        endpoint: IStreamClientEndpoint | None,
        made: Callable[[Connection], None],
    ) -> None:
        self._name = name
        self._way = way
        self._clock = reactor
        self._timeouts = timeouts
        self._endpoint: IStreamClientEndpoint = endpoint or clientFromString(reactor, way.where)
        self._made = made
        self._context: object | None = None
        if way.tls in ("opportunistic", "required"):
            self._context = unverified_client_context()
        elif way.tls != "none":
            verified = self._context = client_context(way.name, way.ca)
            if way.tls == "tls":
                self._endpoint = wrapClientTLS(verified, self._endpoint)
        self._clear = False  # TLS was offered and is broken there: without it, where that is allowed

    async def open(self) -> Connection:
        """A new connection, ready for the first mail.

        Raises:
            Gone: it cannot be had just now; says why.
        """
        where = self._way.where
        factory = Factory.forProtocol(lambda: Connection(self._clock, self._timeouts))
        factory.noisy = False
        opening: Deferred[Any] = self._endpoint.connect(factory)
        opening.addTimeout(self._timeouts.connect, self._clock)
        try:
            connection: Connection = await opening
        except CancelledError:
            raise
        except Exception as reason:
            raise Gone(f"no connection to {where} ({_why(reason)})") from reason
        self._made(connection)
        try:
            await self._prepare(connection)
        except _NoTls as gone:
            connection.abort(str(gone))
            self._clear = True
            self._log.info("smtp {name}: {where}: without TLS: {why}", name=self._name, where=where, why=str(gone))
            return await self.open()
        except Gone as gone:
            connection.abort(str(gone))
            raise type(gone)(f"{where}: {gone}") from gone
        except BaseException:
            connection.abort("given up")
            raise
        return connection

    async def _prepare(self, connection: Connection) -> None:
        way = self._way
        await connection.greet(way.own_name)
        offered = "STARTTLS" in connection.abilities
        if way.tls in ("starttls", "required"):
            if not offered:
                raise Gone(f"it offers no STARTTLS, and {'relay_tls' if way.lasting else 'tls_for'} asks for it")
            await connection.secure(self._context, way.own_name)
        elif way.tls == "opportunistic" and offered and not self._clear:
            try:
                await connection.secure(self._context, way.own_name)
            except Gone as gone:
                raise _NoTls(str(gone)) from gone
        if way.user and way.password is not None:
            if not connection.secured and not _is_loopback(connection):
                raise Gone("the password is not sent without TLS (relay_tls)")
            await connection.log_in(way.user, way.password.reveal())


def _why(reason: Exception) -> str:
    for kind, words in _REASONS.items():
        if isinstance(reason, kind):
            return words
    return str(reason).rstrip(".") or type(reason).__name__


def _is_loopback(connection: Connection) -> bool:
    host = getattr(connection.transport.getPeer(), "host", None)
    try:
        return host is None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
