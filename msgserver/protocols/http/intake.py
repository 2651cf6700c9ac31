"""Who may call, and handing in what a call brings: answered only when all of it is committed."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList

from msgserver.connector import IHub
from msgserver.message import Arrival, Report
from msgserver.protocols.http.account import Account
from msgserver.protocols.http.profile import Profile, is_signed
from msgserver.wire.webhook import Call, Refused, Reply


class Intake:
    """Takes the calls of one gateway."""

    def __init__(self, account: Account, profile: Profile, hub: IHub, reactor: Any) -> None:
        self._account = account
        self._profile = profile
        self._hub = hub
        self._reactor = reactor
        self._signed = is_signed(profile, account.options)
        self._networks = [ipaddress.ip_network(each) for each in account.settings.allow_from]

    async def take(self, call: Call) -> Reply:
        """Check who calls, hand in what they bring, and say so.

        Raises:
            Refused: it is not the gateway, or not its words.
            TemporaryFailure: it cannot be stored now.
        """
        call = self.let_in(call)
        items: list[Arrival | Report] = [self._named(item) for item in self._profile.items(self._account, call)]
        if len(items) == 1:
            await self._hand_in(items[0])
        elif items:
            handing = [Deferred.fromCoroutine(self._hand_in(item)) for item in items]
            ended: list[Any] = await DeferredList(handing, consumeErrors=True)
            for done, result in ended:
                if not done:
                    result.raiseException()  # the whole call is made again, which is harmless
        return self._profile.reply(self._account, call)

    def _named(self, item: Arrival | Report) -> Arrival | Report:
        """Give a name to what the wire gave none: a text told twice is better than one that is lost."""
        if isinstance(item, Arrival) and not item.wire_id:
            return msgspec.structs.replace(item, wire_id=f"n{self._reactor.seconds():.3f}-{secrets.token_hex(6)}")
        return item

    async def _hand_in(self, item: Arrival | Report) -> None:
        if isinstance(item, Arrival):
            await self._hub.accept(item)
        else:
            await self._hub.report(item)

    def let_in(self, call: Call) -> Call:
        """The call without the secret in its path, if its caller is who they should be; signed, secret, or listed.

        Raises:
            Refused: 401 or 403.
        """
        if self._networks and not self._is_listed(call.peer):
            raise Refused(403, "calls from this address are not taken")
        settings, checked = self._account.settings, bool(self._networks)
        bare = call
        if settings.callback_secret is not None:
            bare = _without_secret(call, settings.callback_secret.reveal())
            checked = True
        if self._profile.authentic is not None and self._signed:
            if not self._profile.authentic(self._account, call, self._reactor.seconds()):
                raise Refused(401, "the signature is not the gateway's, or too old")
            checked = True
        if not checked:
            raise Refused(403, "calls are not taken here: set callback_secret or allow_from")
        return bare

    def _is_listed(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)


def _without_secret(call: Call, secret: str) -> Call:
    """The call without the secret, which stands in its path or its query.

    Raises:
        Refused: 403, it is not there.
    """
    given = call.path[0] if call.path else ""
    if hmac.compare_digest(given.encode(), secret.encode()):
        return msgspec.structs.replace(call, path=call.path[1:])
    for name, value in call.asked():
        if name == b"secret" and hmac.compare_digest(value, secret.encode()):
            return call
    raise Refused(403, "the secret in the address is missing or wrong")
