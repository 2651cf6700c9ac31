"""The ways out of a mail connector: one for all, and others for what is sent from certain domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.python.failure import Failure

from msgserver.connector import NotConnected, TemporaryFailure
from msgserver.protocols.smtp.exchange import Exchange
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.relay import Relay
from msgserver.protocols.smtp.reply import Reply
from msgserver.protocols.smtp.settings import MX, SenderRelay, Settings, as_dns
from msgserver.protocols.smtp.way import smarthost

_AHEAD = 24  # sends for each connection: while one is answered the next ones are claimed and put into words


class Outlets:
    """Chooses by the domain a letter is sent from. ``able``, ``words`` and ``since`` are those of the way for all."""

    def __init__(
        self, name: str, settings: Settings, reactor: Any, changed: Callable[[], None], resolver: Any = None
    ) -> None:
        self._settings = settings

        def outlet(of: Settings | SenderRelay) -> Relay | Exchange:
            if of.relay == MX:
                return Exchange(name, settings, reactor, resolver)
            return Relay(name, smarthost(settings, of), reactor, changed)

        self._main = outlet(settings)
        self._others = {as_dns(domain).lower(): outlet(of) for domain, of in settings.relays.items()}

    @property
    def _all(self) -> list[Relay | Exchange]:
        return [self._main, *self._others.values()]

    @property
    def together(self) -> int:
        """How many sends may be under way at once."""
        own = sum(_AHEAD * self._settings.connections for outlet in self._all if isinstance(outlet, Relay))
        return own + self._settings.mx.together * any(isinstance(outlet, Exchange) for outlet in self._all)

    @property
    def able(self) -> bool:
        """Can the way for all send now?"""
        return self._main.able

    @property
    def words(self) -> str:
        """How each of them is."""
        others = [f"for {domain}: {outlet.words}" for domain, outlet in self._others.items()]
        return "; ".join([self._main.words, *others])

    @property
    def since(self) -> float:
        """Since when ``able`` is what it is."""
        return self._main.since

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return sum(outlet.open_connections for outlet in self._all)

    def start(self) -> None:
        """Look for the smarthosts."""
        for outlet in self._all:
            outlet.start()

    async def stop(self) -> None:
        """Let running transactions end, hang up."""
        await DeferredList([ensureDeferred(outlet.stop()) for outlet in self._all])

    def send(self, letter: Letter, domain: str) -> Deferred[Reply]:
        """Send a letter from an address of ``domain``.

        Fails with:
            NotConnected, TemporaryFailure, PermanentFailure, Unknown: see the seam.
        """
        outlet = self._others.get(domain.lower()) if self._others else None
        if outlet is None:
            return self._main.send(letter)
        return outlet.send(letter).addErrback(_alone)


def _alone(failure: Failure) -> Failure:
    """What one of them lacks does not concern the others, which are well."""
    if failure.check(NotConnected):
        return Failure(TemporaryFailure(failure.getErrorMessage(), alone=True))
    return failure
