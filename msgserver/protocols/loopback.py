"""A connector without a wire, to try things with and to copy: what is sent is kept, or comes back as an arrival.

    [connector.loop]
    type = "loopback"
    echo = false            # whether what is sent to loop:NAME comes back as a message from loop:NAME

This file is the whole of a push connector; the two public names are ``Settings`` and ``make_connector``. A real one
would do in ``startService`` what connects it, say in ``status`` whether it is, and put the envelope on its wire in
``send``. ``receive`` shows the one rule for what comes in: acknowledge the wire after ``accept`` returned, not before.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, NotConnected, PermanentFailure, Status, TemporaryFailure
from msgserver.message import Accepted, Address, Arrival, Envelope, Receipt

KEPT = 1_000  # envelopes, for whoever wants to look


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of a loopback."""

    echo: bool = False  # what is sent comes back as a message from the one it was sent to


@implementer(IConnector)
class Loopback(Service):
    """Sends to ``loop:`` addresses, that is, nowhere."""

    log = Logger()
    schemes = ("loop",)
    limits = Limits(html=True, attachments=True, concurrency=100, deadline=10.0)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name: str = name
        self.sent: deque[Envelope] = deque(maxlen=KEPT)
        self.status = Status(able=False, words="not started", since=reactor.seconds())
        self._settings = settings
        self._hub = hub
        self._reactor = reactor
        self._echoes: set[Deferred[Any]] = set()

    def startService(self) -> None:
        """Connected at once: there is nothing to connect to."""
        super().startService()  # type: ignore[no-untyped-call]
        self._become(Status(able=True, words="connected", since=self._reactor.seconds()))

    def stopService(self) -> None:
        """Leave nothing behind."""
        super().stopService()  # type: ignore[no-untyped-call]
        for echo in list(self._echoes):
            echo.cancel()
        self._become(Status(able=False, words="stopped", since=self._reactor.seconds()))

    def _become(self, status: Status) -> None:
        self.status = status
        self._hub.changed()

    async def send(self, envelope: Envelope) -> Receipt:
        """Keep it; with ``echo`` it comes back.

        Raises:
            NotConnected: it is stopped.
            PermanentFailure: the address is not ours.
        """
        if not self.running:
            raise NotConnected("the loopback is stopped")
        if envelope.to.scheme not in self.schemes:
            raise PermanentFailure(f"{envelope.to} is no address of a loopback", bad_address=True)
        self.sent.append(envelope)
        if self._settings.echo:
            echo = Deferred.fromCoroutine(self._echo(envelope))
            self._echoes.add(echo)
            echo.addBoth(lambda _: self._echoes.discard(echo))
        # wire_ids: the far side's names for what it took; final: it will not report any more.
        return Receipt(wire_ids=(f"{envelope.ref}.{envelope.attempt}",), final=True, words="looped")

    async def _echo(self, envelope: Envelope) -> None:
        try:
            await self.receive(f"echo of {envelope.ref}", envelope.to, envelope.text)
        except TemporaryFailure as failure:
            self.log.warn("{name}: an echo was not taken: {why}", name=self.name, why=str(failure))

    async def receive(self, wire_id: str, sender: Address, text: str) -> Accepted:
        """What the wire would bring: a message of ``sender``. Returned means that it may be acknowledged.

        Raises:
            TemporaryFailure: it was not taken; the far side keeps it and tries again.
        """
        arrival = Arrival(
            wire_id=wire_id,
            sender=sender,
            recipients=(Address.of("loop", self.name),),
            sent_at=self._reactor.seconds(),
            text=text,
        )
        return await self._hub.accept(arrival)


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> Loopback:
    """A loopback, not yet started."""
    return Loopback(name, settings, hub, reactor)
