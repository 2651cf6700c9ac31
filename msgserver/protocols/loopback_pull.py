"""A pull connector without a wire, to copy: the far side asks for what there is to send when it has time.

    [connector.radio]
    type = "loopback_pull"

So work a phone that polls the hub over HTTP and an operator at a radio: ``ask`` is what their request would call,
``done`` what they say afterwards. The house never calls ``send``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, Mode, PermanentFailure, SendFailure, Status
from msgserver.message import Accepted, Address, Arrival, Envelope, Receipt


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of a pull loopback."""

    patience: float = 300.0  # seconds in which what was taken must be settled; after that it is unknown


@implementer(IConnector)
class PullLoopback(Service):
    """Hands out envelopes to ``pull:`` addresses when it is asked."""

    schemes = ("pull",)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name: str = name
        self.limits = Limits(mode=Mode.PULL, deadline=settings.patience, text_length=1000)
        self.status = Status(able=False, words="not started", since=reactor.seconds())
        self._hub = hub
        self._reactor = reactor

    def startService(self) -> None:
        """From now on it may be asked."""
        super().startService()  # type: ignore[no-untyped-call]
        self._become(True, "waits to be asked")

    def stopService(self) -> None:
        """From now on nothing is handed out."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._become(False, "stopped")

    def _become(self, able: bool, words: str) -> None:
        self.status = Status(able=able, words=words, since=self._reactor.seconds())
        self._hub.changed()

    async def send(self, envelope: Envelope) -> Receipt:  # noqa: ARG002 - the seam asks for it
        """Never called by the house.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure(f"{self.name} is asked for its messages, nothing is sent by it")

    async def ask(self, limit: int = 10) -> Sequence[Envelope]:
        """The far side asks: what there is, claimed for it.

        Raises:
            TemporaryFailure: ask again later.
        """
        return await self._hub.take(limit) if self.running else []

    async def done(self, envelope: Envelope, outcome: Receipt | SendFailure) -> None:
        """The far side says how one ended.

        Raises:
            TemporaryFailure: say it again later.
        """
        await self._hub.settle(envelope, outcome)

    async def receive(self, wire_id: str, sender: Address, text: str) -> Accepted:
        """The far side brings a message; returned means that it may forget it.

        Raises:
            TemporaryFailure: it must keep it and bring it again.
        """
        here = Address.of("pull", self.name)
        return await self._hub.accept(Arrival(wire_id=wire_id, sender=sender, recipients=(here,), text=text))


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> PullLoopback:
    """A pull loopback, not yet started."""
    return PullLoopback(name, settings, hub, reactor)
