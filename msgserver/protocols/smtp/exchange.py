"""Straight to the hosts of each domain: the next host where one cannot be had, connections kept between mails."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from msgserver.connector import NotConnected, TemporaryFailure
from msgserver.protocols.smtp.client import Timeouts
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.mx import Hosts
from msgserver.protocols.smtp.relay import Relay
from msgserver.protocols.smtp.reply import Reply
from msgserver.protocols.smtp.settings import Policy, Settings
from msgserver.protocols.smtp.way import Tls, Way

# A host has less time than a smarthost to which we owe patience: there is another one (RFC 5321 section 4.5.3.2 asks
# for five minutes where it matters, from MAIL on).
TIMEOUTS = Timeouts(connect=30.0, greeting=60.0, hello=60.0)
_TLS: dict[Policy, Tls] = {"none": "none", "may": "opportunistic", "require": "required", "verify": "starttls"}
_TIDY = 256  # sends between looks for hosts that nobody needs any more

Endpoint = Callable[[str, int], IStreamClientEndpoint]


class Exchange:
    """Sends to each domain's own hosts. ``able`` and ``words`` are true at any time."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        reactor: Any,
        resolver: Any = None,
        endpoint: Endpoint | None = None,
        timeouts: Timeouts = TIMEOUTS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._settings = settings
        self._reactor = reactor
        self._resolver = resolver
        self._endpoint = endpoint or self._tcp
        self._timeouts = timeouts
        self._chance = chance
        self._hosts: Hosts | None = None
        self._pools: dict[tuple[str, str, str], Relay] = {}
        self._sends = 0
        self.able = False
        self.words = "not started"
        self.since = reactor.seconds()

    def start(self) -> None:
        """From now on mail is delivered."""
        settings = self._settings
        resolver = self._resolver or _resolver(settings, self._reactor)
        mx = settings.mx
        self._hosts = Hosts(resolver, settings.own_name, mx.private, mx.ipv6, self._chance)
        self.able = True
        self.words = "sends to each domain's own hosts"

    async def stop(self) -> None:
        """Let running transactions end, then hang up everywhere."""
        self.able = False
        self.words = "stopped"
        await DeferredList([ensureDeferred(pool.stop()) for pool in self._pools.values()])

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return sum(pool.open_connections for pool in self._pools.values())

    def send(self, letter: Letter) -> Deferred[Reply]:
        """One transaction with the first host of its domain that takes it, or refuses it for good.

        Fails with:
            NotConnected, TemporaryFailure, PermanentFailure, Unknown: see the seam.
        """
        return Deferred.fromCoroutine(self._send(letter))

    async def _send(self, letter: Letter) -> Reply:
        if self._hosts is None or not self.able:
            raise NotConnected(self.words)
        domain = letter.domain
        policy = self._settings.policy(domain)
        self._tidy()
        trouble = ""
        for host in await self._hosts.of(domain, self._reactor.seconds()):
            for address in host.addresses:
                try:
                    return await self._pool(host.name, address, policy).send(letter)
                except TemporaryFailure as failure:
                    trouble = str(failure)
                if not self.able:
                    raise NotConnected(self.words)
        raise TemporaryFailure(trouble, alone=True)

    def _pool(self, host: str, address: str, policy: Policy) -> Relay:
        pool = self._pools.get((host, address, policy))
        if pool is None:
            settings = self._settings
            way = Way(
                where=f"{host} ({address})",
                tls=_TLS[policy],
                name=host,
                ca=settings.relay_ca,
                own_name=settings.own_name,
                connections=settings.connections,
                keep=settings.keep,
                stop=settings.limits.stop,
                lasting=False,
            )
            endpoint = self._endpoint(address, settings.mx.port)
            pool = Relay(self._name, way, self._reactor, _nobody, self._timeouts, endpoint)
            pool.start()
            self._pools[host, address, policy] = pool
        return pool

    def _tidy(self) -> None:
        self._sends += 1
        if self._sends % _TIDY == 0:
            self._pools = {key: pool for key, pool in self._pools.items() if not pool.forgettable}

    def _tcp(self, address: str, port: int) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        made: IStreamClientEndpoint = kind(self._reactor, address, port, timeout=self._timeouts.connect)
        return made


def _nobody() -> None:
    """A host that comes and goes changes nothing about the connector."""


def _resolver(settings: Settings, reactor: Any) -> Any:
    from twisted.names.client import Resolver  # noqa: PLC0415 - only who delivers by MX loads it

    if settings.mx.nameserver:
        return Resolver(servers=[settings.mx.nameserver_place], reactor=reactor)
    return Resolver(resolv="/etc/resolv.conf", reactor=reactor)
