"""A phone that is a gateway and asks us: both sides name every message, so that any of it may be said twice.

The protocol of medic-gateway, an Android application: one address, which the phone calls every minute or so.

    [connector.phone]
    type = "phonegate"
    user = "phone"
    password = { file = "var/phone.password" }

    -> GET  /in/phone                      is this the right place? {"medic-gateway": true}
    -> POST /in/phone                      HTTP Basic
       {"messages": [{"id", "from", "content", "sms_sent", "sms_received"}],      texts that arrived on the phone
        "updates": [{"id", "status": "PENDING"|"SENT"|"DELIVERED"|"FAILED"|"UNSENT", "reason"}]}
    <- 200 {"messages": [{"id", "to", "content"}]}                                texts for the phone to send
    <- 401, 503 Retry-After                the phone keeps what it has and says it again

A text is handed out at every call until the phone speaks of it: an answer that got lost costs nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from msgserver.connector import IHTTPConnector, IHub, Limits, Mode, PermanentFailure, Status
from msgserver.message import Address, Arrival, Envelope, Receipt, Report, ReportState
from msgserver.settings import Secret
from msgserver.wire.calling import Calling
from msgserver.wire.handing import Handing
from msgserver.wire.webhook import Call, Refused, Reply, Webhook

_FORGOTTEN = 6 * 3600.0  # seconds after which a text that the phone never spoke of is unknown
_STATES = {
    "PENDING": ReportState.SENT,  # to the phone's network; SENT is to the recipient's
    "SENT": ReportState.SENT,
    "DELIVERED": ReportState.DELIVERED,
    "FAILED": ReportState.FAILED,
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phone that calls us."""

    user: str = "phone"  # with which the phone logs in
    password: Secret  # of the user
    number: str = ""  # the phone's own, "+15550100"
    batch: int = 20  # texts handed out at once
    silent_after: float = 600.0  # seconds without a call after which the status says so


class Incoming(msgspec.Struct):
    """A text that arrived on the phone; times are milliseconds since 1970."""

    id: str
    sender: str = msgspec.field(name="from")
    content: str = ""
    sms_sent: float | None = None


class Update(msgspec.Struct):
    """What became of a text that the phone was given."""

    id: str
    status: str
    reason: str | None = None


class Body(msgspec.Struct):
    """What the phone says."""

    messages: list[Incoming] | None = None
    updates: list[Update] | None = None


@implementer(IHTTPConnector)
class PhoneGate(Service):
    """Takes the phone's calls, hands out what there is."""

    schemes = ("sms",)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name: str = name
        self.limits = Limits(mode=Mode.PULL, deadline=_FORGOTTEN, repeat_unknown=True, concurrency=settings.batch)
        self.resource = Webhook(name, ("GET", "POST"), self._take)
        self._settings = settings
        self._hub = hub
        self._calling = Calling(settings.silent_after, hub.changed, reactor)
        self._handing = Handing(name, hub, settings.batch, reactor)

    @property
    def status(self) -> Status:
        """Whether the phone calls."""
        return self._calling.status

    def startService(self) -> None:
        """From now on the phone is answered."""
        super().startService()  # type: ignore[no-untyped-call]
        self.resource.open = True
        self._calling.start()

    def stopService(self) -> None:
        """From now on the phone is told to come again."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.resource.open = False
        self.resource.let_go()
        self._handing.forget()
        self._calling.stop()

    async def send(self, envelope: Envelope) -> Receipt:  # noqa: ARG002 - the seam asks for it
        """Never called by the house.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure(f"{self.name} asks for its messages, nothing is sent to it")

    # The phone calls

    async def _take(self, call: Call) -> Reply:
        if not self._knows(call.headers.get("authorization", "")):
            raise Refused(401, "the phone's user or password is wrong")
        if call.method == "GET":
            return _said({"medic-gateway": True})
        try:
            body = msgspec.json.decode(call.body or b"{}", type=Body)
        except (msgspec.DecodeError, RecursionError):
            raise Refused(400, "the body must be JSON with messages and updates") from None
        self._calling.heard()
        for incoming in body.messages or ():
            await self._hub.accept(self._arrival(incoming))
        for update in body.updates or ():
            await self._learn(update)
        return _said({"messages": [_outgoing(envelope) for envelope in await self._handing.give()]})

    def _knows(self, given: str) -> bool:
        kind, _, word = given.partition(" ")
        try:
            pair = base64.b64decode(word, validate=True) if kind.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            pair = b""
        ours = f"{self._settings.user}:{self._settings.password.reveal()}".encode()
        return hmac.compare_digest(pair, ours)

    def _arrival(self, incoming: Incoming) -> Arrival:
        try:
            sender = Address.of("sms", incoming.sender)
        except ValueError:
            sender = None
        number = self._settings.number
        return Arrival(
            wire_id=incoming.id,
            sender=sender,
            recipients=(Address.of("sms", number),) if number else (),
            sent_at=incoming.sms_sent / 1000.0 if incoming.sms_sent else None,
            text=incoming.content.replace("\x00", "").replace("\r\n", "\n"),
            media_type="application/json",
            raw=msgspec.json.encode(incoming),
        )

    async def _learn(self, update: Update) -> None:
        """The phone speaks of a text: it has it, so it is no longer handed out."""
        words = update.reason[:200] if update.reason else f"the phone says {update.status[:20]}"
        failed = update.status == "FAILED"
        taken = PermanentFailure(words) if failed else Receipt((update.id,), words=words)
        await self._handing.spoken_of(update.id, taken)
        state = _STATES.get(update.status)
        if state is not None:
            await self._hub.report(Report(state=state, wire_id=update.id, ref=update.id, words=words))


def _outgoing(envelope: Envelope) -> dict[str, str]:
    return {"id": envelope.ref, "to": envelope.to.value, "content": envelope.text}


def _said(words: dict[str, Any]) -> Reply:
    return Reply(body=msgspec.json.encode(words), media_type="application/json")


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> PhoneGate:
    """A phone that calls, not yet answered."""
    return PhoneGate(name, settings, hub, reactor)
