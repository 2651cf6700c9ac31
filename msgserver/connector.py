"""The seam: what a connector offers the house, what the house offers a connector, and the three failures.

A connector is one module ``msgserver.protocols.<type>`` with exactly two public names::

    class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True): ...
    def make_connector(name: str, settings: Settings, hub: IHub, reactor) -> IConnector: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from enum import StrEnum

import msgspec
from twisted.application.service import IService
from zope.interface import Attribute, Interface

from msgserver.message import Accepted, Arrival, Envelope, Heard, Receipt, Report


class SendFailure(Exception):
    """A send that did not end in a receipt; the message is the far side's words, for people to read."""


class TemporaryFailure(SendFailure):
    """Not now; nothing was taken by the far side. ``retry_after`` (seconds) is its wish, where it named one.

    ``alone``: it concerns this recipient alone; the connector itself is well, and the next send may succeed.
    """

    def __init__(self, words: str, retry_after: float | None = None, alone: bool = False) -> None:
        super().__init__(words)
        self.retry_after = retry_after
        self.alone = alone


class NotConnected(TemporaryFailure):
    """The connector has no line just now: uses up no attempt."""


class PermanentFailure(SendFailure):
    """Never: refused for good. Not repeated.

    ``bad_address``: the address itself is the cause, so that its contact is marked as bouncing.
    """

    def __init__(self, words: str, bad_address: bool = False) -> None:
        super().__init__(words)
        self.bad_address = bad_address


class Unknown(SendFailure):
    """The bytes went out and no answer came (RFC 1047): it may or may not have arrived."""


class Mode(StrEnum):
    """Who moves first when something is to be sent."""

    PUSH = "push"  # the house calls send()
    PULL = "pull"  # the far side asks, the connector calls hub.take()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector can carry and how fast."""

    text_length: int | None = None  # characters; None: no limit worth naming
    html: bool = False
    attachments: bool = False
    rate: float | None = None  # sends a second; None: as fast as it goes
    concurrency: int = 1  # sends under way at once
    batch: int = 1  # reserved to connectors whose wire takes several at once
    deadline: float = 60.0  # seconds until the lane gives up on a send: Unknown
    mode: Mode = Mode.PUSH
    one_process: bool = False  # its account or device can be in use once only: of several processes one runs it
    stand_in: bool = False  # it carries what waits for another connector of its type that cannot
    repeat_unknown: bool = False  # an unknown send is harmless to repeat (same Message-ID, stanza id, reference)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Can it send now, in words; ``since`` is when that became so."""

    able: bool
    words: str  # "connected", "no answer from 127.0.0.1:5222: retry in 20 s"
    since: float
    gauges: dict[str, float | str] = {}


class Taken(msgspec.Struct, frozen=True):
    """A text in somebody's hands at a station."""

    envelope: Envelope
    who: str
    since: float


class IHub(Interface):
    """What the house offers a connector; each connector gets its own, which knows the connector's name."""

    async def accept(arrival: Arrival) -> Accepted:
        """Take responsibility: returned means committed, so the wire may be acknowledged.

        Raises TemporaryFailure where it cannot be stored now (disk full, busy): the wire must be told "later".
        """

    async def report(report: Report) -> None:
        """Tell what became of something sent. Returned means committed. An unknown id is kept for 24 h."""

    async def recall(key: str) -> bytes | None:
        """Read back the connector's own small durable state."""

    async def remember(key: str, value: bytes) -> None:
        """Keep a small durable state (a cursor, "the PIN was refused")."""

    async def take(limit: int, only: Sequence[str] = ()) -> Sequence[Envelope]:
        """Claim up to ``limit`` envelopes (pull connectors), the most urgent first; ``only`` those of these refs."""

    async def settle(envelope: Envelope, outcome: Receipt | SendFailure) -> None:
        """Say how a taken envelope ended (pull connectors)."""

    def changed() -> None:
        """Say that ``status`` is another one now; the lane wakes and the page shows it."""


class IConnector(IService):
    """What a connector offers the house. It joins nothing and remembers nothing itself."""

    name: str = Attribute("its table's name in the configuration")
    schemes: tuple[str, ...] = Attribute("address schemes it can send to, e.g. ('sms',)")
    limits: Limits = Attribute("what it can carry and how fast")
    status: Status = Attribute("can it send now, and if not why not, since when")

    def send(envelope: Envelope) -> Awaitable[Receipt]:
        """Put one envelope on the wire; raises TemporaryFailure, PermanentFailure or Unknown.

        A coroutine (``async def send``) will do; where each microsecond counts, a Deferred costs less.
        """


class IHTTPConnector(IConnector):
    """A connector whose far side calls us over HTTP."""

    resource: object = Attribute("a twisted.web IResource, mounted at /in/<name>")


class IStation(IConnector):
    """A pull connector whose wire is a person: the web and the API show its queue and its log to whoever works it.

    ``who`` is the name of the colleague who acts; ``ref`` the envelope's. All raise TemporaryFailure where nothing
    could be written down.
    """

    nets: Sequence[str] = Attribute("names of channels, nets or lines, offered where something heard is logged")
    taken: Mapping[str, Taken] = Attribute("what is in somebody's hands now, by ref")

    async def take(who: str, ref: str) -> Envelope | None:
        """Take a text out of the queue to pass it on; None: it is not there any more."""

    async def delivered(who: str, ref: str, read_back_by: str) -> None:
        """It was passed on; also of one that is unknown by now."""

    async def failed(who: str, ref: str, why: str) -> None:
        """It will not be passed on; also of one that is unknown by now."""

    async def put_back(who: str, ref: str) -> None:
        """Back into the queue, for somebody else; of what is taken no more, nothing."""

    async def heard(who: str, heard: Heard) -> Accepted:
        """Log what was heard; raises ValueError where a name in it cannot be an address."""
