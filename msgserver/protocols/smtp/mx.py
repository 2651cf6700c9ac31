"""Which hosts take the mail of a domain: its MX records, best first, with their addresses (RFC 5321 section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError, DNSNameError, DomainError, ResolverError

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.wire.reach import is_public

MOST_HOSTS = 8  # of one domain that are tried for one mail
_MOST_ADDRESSES = 4  # of one host
_WITHIN = (2, 5, 10)  # seconds a name server has, try by try
_SHORTEST, _LONGEST = 30.0, 1800.0  # seconds that hosts are remembered, whatever their records say
_NOTHING = 300.0  # seconds that it is remembered that a name has none
_MOST_KNOWN = 10_000  # domains


class Host(msgspec.Struct, frozen=True):
    """One host that takes a domain's mail."""

    name: str
    addresses: tuple[str, ...]


class Hosts:
    """Finds them.

    Args:
        resolver: a twisted.names resolver.
        own_name: ours; a host of that name would be ourselves.
        private: whether addresses of private networks are allowed.
        ipv6: whether IPv6 addresses are asked for.
        chance: random numbers from 0 to 1, for hosts of equal preference.
    """

    def __init__(self, resolver: Any, own_name: str, private: bool, ipv6: bool, chance: Callable[[], float]) -> None:
        self._resolver = resolver
        self._own_name = own_name.lower()
        self._private = private
        self._ipv6 = ipv6
        self._chance = chance
        self._known: dict[str, tuple[tuple[Host, ...], float]] = {}

    async def of(self, domain: str, now: float) -> tuple[Host, ...]:
        """The hosts of a domain, best first; at least one. ``now`` in seconds, for what was found before.

        Raises:
            PermanentFailure: there is no such domain, or it takes no mail.
            TemporaryFailure: the name server does not say.
        """
        known = self._known.get(domain)
        if known is not None and now < known[1]:
            return known[0]
        found, ttl = await self._find(domain)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[domain] = (found, now + max(ttl, _SHORTEST))
        return found

    async def _find(self, domain: str) -> tuple[tuple[Host, ...], float]:
        names, ttl = await self._names(domain)
        found: list[Host] = []
        trouble: TemporaryFailure | None = None
        for name in names[:MOST_HOSTS]:
            try:
                addresses, kept = await self._addresses(name)
            except TemporaryFailure as failure:
                trouble = failure
                continue
            if addresses:
                found.append(Host(name, tuple(addresses)))
                ttl = min(ttl, kept)
        if found:
            return tuple(found), ttl
        if trouble is not None:
            raise trouble
        if names == [domain]:
            raise PermanentFailure(f"{domain} takes no mail: it has neither MX nor address records", bad_address=True)
        raise TemporaryFailure(f"none of the mail hosts of {domain} has an address", alone=True)

    async def _names(self, domain: str) -> tuple[list[str], float]:
        records, ttl = await self._ask(domain, self._resolver.lookupMailExchange, dns.MX)
        if not records:
            return [domain], ttl  # RFC 5321 section 5.1: the domain is its own host
        pairs = sorted((record.preference, self._chance(), str(record.name).rstrip(".").lower()) for record in records)
        if any(not name for _, _, name in pairs):
            if len(pairs) == 1:
                raise PermanentFailure(f"{domain} says that it takes no mail (null MX)", bad_address=True)
            pairs = [pair for pair in pairs if pair[2]]
        own = [preference for preference, _, name in pairs if name == self._own_name]
        if own:
            pairs = [pair for pair in pairs if pair[0] < own[0]]
            if not pairs:
                raise PermanentFailure(f"mail for {domain} would come back to this hub: its MX record names it")
        return list(dict.fromkeys(name for _, _, name in pairs)), ttl

    async def _addresses(self, host: str) -> tuple[list[str], float]:
        """The addresses that may be connected to, IPv4 first, and for how many seconds they hold."""
        found: list[str] = []
        ttl = _LONGEST
        trouble: TemporaryFailure | None = None
        lookups = [(self._resolver.lookupAddress, dns.A)]
        if self._ipv6:
            lookups.append((self._resolver.lookupIPV6Address, dns.AAAA))
        for lookup, kind in lookups:
            try:
                records, kept = await self._ask(host, lookup, kind, strict=False)
            except TemporaryFailure as failure:
                trouble = failure
                continue
            ttl = min(ttl, kept)
            found += [str(ip_address(record.address)) for record in records]  # both kinds hold the packed address
        if not found and trouble is not None:
            raise trouble
        allowed = [address for address in found if self._private or is_public(address)]
        if found and not allowed:
            raise TemporaryFailure(f"{host} is {found[0]}, in a private network (private = true allows it)", alone=True)
        return allowed[:_MOST_ADDRESSES], ttl

    async def _ask(self, name: str, lookup: Any, kind: int, strict: bool = True) -> tuple[Sequence[Any], float]:
        """The records of one kind, () where the name has none, and for how many seconds they hold.

        Raises:
            PermanentFailure: with ``strict``, there is no such name.
            TemporaryFailure: nobody knows just now.
        """
        asking: Deferred[Any] = lookup(name, timeout=_WITHIN)
        try:
            answers, _, _ = await asking
        except (DNSNameError, AuthoritativeDomainError) as error:
            if strict:
                raise PermanentFailure(f"there is no domain {name}", bad_address=True) from error
            return (), _NOTHING
        except (DomainError, ResolverError, defer.TimeoutError, OSError) as error:
            raise TemporaryFailure(
                f"the name server does not know {name} just now ({type(error).__name__})", alone=True
            ) from error
        right = [answer for answer in answers if answer.type == kind]
        return [answer.payload for answer in right], float(min((answer.ttl for answer in right), default=_NOTHING))
