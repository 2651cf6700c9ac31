"""A radio, a telephone or runners, worked by a person: what is to be said waits in a queue, what was heard is logged.

    [connector.radio]
    type = "manual"
    schemes = ["radio"]
    station = "Command post"
    nets = ["VHF 3", "HF 5.3 MHz"]

Its wire is whoever sits at it. They work it in the web, at ``/stations/radio``, or by the API; both call the methods of
:class:`msgserver.connector.IStation` below and nothing else:

    <- take      one text out of the queue, the most urgent first in sight: it is theirs to pass on
    -> delivered, read back by ...  |  could not be delivered, because ...  |  back to the queue
    -> heard     from whom, to whom, on which net, when, what was said

Addresses are ``radio:bravo-2``, ``tel:+15551234``, ``runner:shelter-3``. A text that was taken and of which nothing was
said for ``patience`` seconds is unknown, as is what was taken when the hub ended: a person says what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from msgserver.connector import (
    IHub,
    IStation,
    Limits,
    Mode,
    NotConnected,
    PermanentFailure,
    Status,
    Taken,
)
from msgserver.message import Accepted, Address, Arrival, Envelope, Heard, Receipt, Report, ReportState

_Patience = Annotated[float, msgspec.Meta(ge=60)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A station that people work."""

    # Whom it reaches, by which kinds of address.
    schemes: Annotated[list[Literal["radio", "tel", "runner"]], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["radio"]
    )
    station: str = "Command post"  # what others call it
    nets: list[str] = []  # the channels, nets or lines it has, offered where something heard is logged
    patience: _Patience = 7200.0  # seconds in which whoever took a text must say what became of it


@implementer(IStation)
class Station(Service):
    """Hands texts to people, and takes from them what they heard."""

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name: str = name
        self.schemes: tuple[str, ...] = tuple(dict.fromkeys(settings.schemes))
        self.nets: tuple[str, ...] = tuple(settings.nets)
        self.limits = Limits(mode=Mode.PULL, deadline=settings.patience)
        self.status = Status(able=False, words="not started", since=reactor.seconds())
        self._here = settings.station
        self._hub = hub
        self._reactor = reactor
        self._taken: dict[str, Taken] = {}

    def startService(self) -> None:
        """From now on it may be worked."""
        super().startService()  # type: ignore[no-untyped-call]
        self._tell(True, "worked by hand")

    def stopService(self) -> None:
        """From now on nothing is handed out; what is in somebody's hands is unknown to the house."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._taken.clear()
        self._tell(False, "stopped")

    async def send(self, envelope: Envelope) -> Receipt:  # noqa: ARG002 - the seam asks for it
        """Never called by the house.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure(f"{self.name} is worked by hand, nothing is sent by it")

    # What is to be said

    @property
    def taken(self) -> Mapping[str, Taken]:
        """What is in somebody's hands, by its ref."""
        late = self._reactor.seconds() - self.limits.deadline  # by then the house calls it unknown
        return {ref: one for ref, one in self._taken.items() if one.since > late}

    async def take(self, who: str, ref: str) -> Envelope | None:
        """Somebody takes a text to pass it on; None: it is not there (any more), another was faster.

        Raises:
            TemporaryFailure: take it again later.
        """
        if not self.running:
            return None
        self._taken = dict(self.taken)
        for envelope in await self._hub.take(1, (ref,)):
            self._taken[envelope.ref] = Taken(envelope, who, self._reactor.seconds())
            self._say_how_many()
            return envelope
        return None

    async def delivered(self, who: str, ref: str, read_back_by: str) -> None:
        """It was passed on, and read back.

        Raises:
            TemporaryFailure: it cannot be written down now; say it again.
        """
        words = f"read back by {read_back_by} (said {who})" if read_back_by else f"passed on (said {who})"
        await self._ended(ref, Receipt(final=True, delivered=True, words=words), ReportState.DELIVERED, words)

    async def failed(self, who: str, ref: str, why: str) -> None:
        """It could not be passed on, and will not be.

        Raises:
            TemporaryFailure: it cannot be written down now; say it again.
        """
        words = f"{why} (said {who})"
        await self._ended(ref, PermanentFailure(words), ReportState.FAILED, words)

    async def put_back(self, who: str, ref: str) -> None:
        """Somebody else shall pass it on; it uses up no attempt.

        Raises:
            TemporaryFailure: it cannot be written down now; say it again.
        """
        one = self.taken.get(ref)
        if one is not None:
            await self._hub.settle(one.envelope, NotConnected(f"put back into the queue by {who}"))
            self._let_go(ref)

    async def _ended(self, ref: str, outcome: Receipt | PermanentFailure, state: ReportState, words: str) -> None:
        """Settle what was taken; of what is taken no more (unknown), report it."""
        one = self.taken.get(ref)
        if one is None:
            await self._hub.report(Report(state=state, ref=ref, words=words))
            return
        await self._hub.settle(one.envelope, outcome)
        self._let_go(ref)

    def _let_go(self, ref: str) -> None:
        self._taken.pop(ref, None)
        self._say_how_many()

    # What was heard

    async def heard(self, who: str, heard: Heard) -> Accepted:
        """Somebody logs what they heard; returned means that it is written down.

        Raises:
            ValueError: whoever said it, or to whom, cannot be an address; says why.
            TemporaryFailure: it was not written down; say it again.
        """
        scheme = heard.scheme if heard.scheme in self.schemes else self.schemes[0]
        sender = Address.of(scheme, heard.sender)
        to = Address.of(scheme if scheme != "tel" else "radio", heard.to or self._here)
        facts = {"heard by": who, "net": heard.net}
        return await self._hub.accept(
            Arrival(
                wire_id=heard.name,
                sender=sender,
                sender_name=heard.sender.strip() if scheme != "tel" else "",
                recipients=(to,),
                sent_at=heard.at,
                text=heard.text.replace("\x00", "").replace("\r\n", "\n"),
                facts={name: words for name, words in facts.items() if words},
            )
        )

    # What others see

    def _say_how_many(self) -> None:
        held = len(self.taken)
        self._tell(self.status.able, "worked by hand", {"being passed on": float(held)} if held else {})

    def _tell(self, able: bool, words: str, gauges: dict[str, float | str] | None = None) -> None:
        since = self._reactor.seconds() if able != self.status.able else self.status.since
        self.status = Status(able=able, words=words, since=since, gauges=gauges or {})
        self._hub.changed()


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> Station:
    """A station, not yet worked."""
    return Station(name, settings, hub, reactor)
