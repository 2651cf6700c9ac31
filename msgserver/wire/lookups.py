"""Questions to the DNS that hold nothing up: bounded in time, remembered for a while, given up while it is away."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred

_TRIES = (1, 2)  # seconds that each try waits for an answer
_KEPT = (60.0, 3600.0)  # seconds that an answer is remembered, whatever it says of itself
_KEPT_NOTHING = 300.0  # seconds that "there is no such thing" is
_MOST = 5_000  # answers remembered
_STRIKES = 5  # questions without an answer, one after the other, until the DNS counts as away
_AWAY = 30.0  # seconds for which nothing is asked then
_KINDS = {
    "TXT": "lookupText",
    "A": "lookupAddress",
    "AAAA": "lookupIPV6Address",
    "MX": "lookupMailExchange",
    "PTR": "lookupPointer",
}

Ask = Callable[[str, str], Any]  # name, kind -> Deferred of (answers, authority, additional)


class NoAnswer(Exception):
    """The DNS did not say, now; nothing follows from that."""


class Lookups:
    """Asks, remembers, and knows when to stop asking."""

    def __init__(self, ask: Ask, reactor: Any) -> None:
        self._ask = ask
        self._reactor = reactor
        self._known: OrderedDict[tuple[str, str], tuple[float, tuple[Any, ...]]] = OrderedDict()
        self._strikes = 0
        self._away_until = float("-inf")

    @property
    def away(self) -> bool:
        """Whether the DNS has not answered for so long that it is not asked just now."""
        return bool(self._reactor.seconds() < self._away_until)

    async def ask(self, name: str, kind: str) -> tuple[Any, ...]:
        """The records of a name; () where there are none.

        Returns:
            TXT as bytes, A and AAAA as text, MX as (preference, name), PTR as text.

        Raises:
            NoAnswer: the DNS is away, slow or broken.
        """
        name = name.lower().rstrip(".")
        if not possible(name):
            return ()
        now = self._reactor.seconds()
        known = self._known.get((name, kind))
        if known is not None and known[0] > now:
            return known[1]
        if self.away:
            raise NoAnswer("the DNS has not answered for a while")
        kept, found = await self._fetch(name, kind)
        self._known[name, kind] = (now + kept, found)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return found

    async def _fetch(self, name: str, kind: str) -> tuple[float, tuple[Any, ...]]:
        from twisted.names import error  # noqa: PLC0415 - a hub without mail never asks

        try:
            answers, _authority, _additional = await maybeDeferred(self._ask, name, kind)
        except error.DNSNameError:
            self._strikes = 0
            return _KEPT_NOTHING, ()
        except Exception as failure:
            self._strike()
            if isinstance(failure, CancelledError):  # whoever asked has waited long enough
                raise
            raise NoAnswer(f"{name}: {failure or type(failure).__name__}") from failure
        self._strikes = 0
        return _read(answers, kind)

    def _strike(self) -> None:
        self._strikes += 1
        if self._strikes >= _STRIKES:
            self._strikes = 0
            self._away_until = self._reactor.seconds() + _AWAY


def possible(name: str) -> bool:
    """Whether the DNS can hold a name (RFC 1035 section 2.3.4)."""
    return name.isascii() and 0 < len(name) <= 253 and all(0 < len(label) < 64 for label in name.split("."))


def _read(answers: Sequence[Any], kind: str) -> tuple[float, tuple[Any, ...]]:
    """Seconds to remember, and the values of the records that were asked for."""
    from twisted.names import dns  # noqa: PLC0415 - see above

    wanted = getattr(dns, kind)
    records = [record for record in answers if record.type == wanted]
    if not records:
        return _KEPT_NOTHING, ()
    kept = min(max(_KEPT[0], min(float(record.ttl or 0) for record in records)), _KEPT[1])
    return kept, tuple(_value(record.payload, kind) for record in records[:100])


def _value(record: Any, kind: str) -> Any:
    if kind == "TXT":
        return b"".join(record.data)
    if kind in ("A", "AAAA"):
        return socket.inet_ntop(socket.AF_INET if kind == "A" else socket.AF_INET6, record.address)
    if kind == "MX":
        return int(record.preference), str(record.name)
    return str(record.name)


def system_lookups(reactor: Any, servers: Sequence[str] = ()) -> Lookups:
    """Lookups over the network.

    Args:
        servers: addresses to ask, "192.0.2.1" or "127.0.0.1:5353"; none: those of the system (/etc/resolv.conf).
    """
    resolvers: list[Any] = []

    def ask(name: str, kind: str) -> Deferred[Any]:
        if not resolvers:
            from twisted.names import client  # noqa: PLC0415 - see above

            where = _named(servers) or system_servers()
            resolvers.append(client.Resolver(servers=where, timeout=_TRIES, reactor=reactor))
        answer: Deferred[Any] = getattr(resolvers[0], _KINDS[kind])(name, _TRIES)
        return answer

    return Lookups(ask, reactor)


def _named(servers: Sequence[str]) -> list[tuple[str, int]]:
    out = []
    for server in servers:
        host, colon, port = server.rpartition(":")
        out.append((host, int(port)) if colon and "." in host else (server, 53))
    return out


def system_servers(path: str = "/etc/resolv.conf") -> list[tuple[str, int]]:
    """The servers that the system asks; this machine itself where it names none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            words = [line.split() for line in file]
    except OSError:
        words = []
    return [(line[1], 53) for line in words if line[:1] == ["nameserver"] and len(line) > 1] or [("127.0.0.1", 53)]
