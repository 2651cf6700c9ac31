"""SMSSync: an Android phone that brings its texts and asks for what there is to send.

    [connector.phone]
    type = "smssync"
    secret = { file = "var/phone.secret" }

In the application: the sync URL is this connector's address, the secret is the same, "Task checking" is on, and so is
"Message results" unless ``confirms = false``.

    -> POST /in/phone               from, message, message_id, sent_to, sent_timestamp, secret      a text arrived
    <- {"payload": {"success": true, "error": null}}
    -> GET  /in/phone?task=send&secret=                                                             what to send?
    <- {"payload": {"task": "send", "secret": ..., "messages": [{"to", "message", "uuid"}]}}
    -> POST /in/phone?task=sent&secret=    {"queued_messages": [uuid]}                              the phone has them
    <- {"message_uuids": [uuid]}
    -> GET  /in/phone?task=result&secret=                                                           of which to tell?
    <- {"message_uuids": [uuid]}
    -> POST /in/phone?task=result&secret=  {"message_result": [{"uuid", "sent_result_code", ...}]}  what became of them
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from msgserver.connector import IHTTPConnector, IHub, Limits, Mode, PermanentFailure, Status
from msgserver.message import Address, Arrival, Envelope, Receipt, Report, ReportState
from msgserver.settings import Secret
from msgserver.wire.calling import Calling
from msgserver.wire.handing import Handing
from msgserver.wire.webhook import Call, Fields, Refused, Reply, Webhook

_FORGOTTEN = 6 * 3600.0  # seconds after which a text that the phone never spoke of is unknown
_ASKED_OF = 200  # texts of which the results are asked for


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phone with SMSSync."""

    secret: Secret  # the same word in the application's settings
    number: str = ""  # the phone's own, "+15550100"; default: what the phone says
    confirms: bool = True  # "Message results" is on in the phone: nothing is lost where an answer is
    batch: int = 20  # texts handed out at once
    silent_after: float = 600.0  # seconds without a call after which the status says so


class Result(msgspec.Struct):
    """What became of a text; 0 is well, more is Android's number for what went wrong."""

    uuid: str
    sent_result_code: int = -1
    sent_result_message: str | None = None
    delivered_result_code: int = -1
    delivered_result_message: str | None = None


class Told(msgspec.Struct):
    """The body of the phone's two reports."""

    queued_messages: list[str] | None = None
    message_result: list[Result] | None = None


@implementer(IHTTPConnector)
class SmsSync(Service):
    """Takes the phone's calls, hands out what there is."""

    schemes = ("sms",)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name: str = name
        self.limits = Limits(
            mode=Mode.PULL, deadline=_FORGOTTEN, repeat_unknown=settings.confirms, concurrency=settings.batch
        )
        self.resource = Webhook(name, ("GET", "POST"), self._take)
        self._settings = settings
        self._hub = hub
        self._calling = Calling(settings.silent_after, hub.changed, reactor)
        self._handing = Handing(name, hub, settings.batch, reactor)
        self._open: OrderedDict[str, None] = OrderedDict()  # sent by the phone, results not yet known

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
        fields = call.fields()
        if not hmac.compare_digest(fields.raw("secret"), self._settings.secret.reveal().encode()):
            raise Refused(403, "the secret is not ours")
        self._calling.heard()
        task = fields.text("task")
        if call.method == "GET":
            return await self._give() if task == "send" else _said({"message_uuids": list(self._open)})
        if task == "sent":
            return await self._queued(_told(call).queued_messages or [])
        if task == "result":
            return await self._learn(_told(call, fields).message_result or [])
        await self._hub.accept(self._arrival(fields))
        return _said({"payload": {"success": True, "error": None}})

    async def _give(self) -> Reply:
        envelopes = await self._handing.give() if self._settings.confirms else await self._give_away()
        messages = [{"to": one.to.value, "message": one.text, "uuid": one.ref} for one in envelopes]
        secret = self._settings.secret.reveal()
        return _said({"payload": {"task": "send", "secret": secret, "messages": messages}})

    async def _give_away(self) -> Sequence[Envelope]:
        """For phones that do not confirm: handed once, and taken for sent."""
        envelopes = await self._hub.take(self._settings.batch)
        for envelope in envelopes:
            words = "handed to the phone, which does not confirm"
            await self._hub.settle(envelope, Receipt((envelope.ref,), final=True, words=words))
        return envelopes

    async def _queued(self, uuids: list[str]) -> Reply:
        """The phone has these; only when it hears so from us does it send them."""
        for uuid in uuids[:1000]:
            await self._handing.spoken_of(uuid, Receipt((uuid,), words="the phone has it"))
            self._open[uuid] = None
        while len(self._open) > _ASKED_OF:
            self._open.popitem(last=False)
        return _said({"message_uuids": uuids})

    async def _learn(self, results: list[Result]) -> Reply:
        for result in results:
            state, words = _state(result)
            if state is not None:
                await self._hub.report(Report(state=state, wire_id=result.uuid, ref=result.uuid, words=words))
            if state in (ReportState.DELIVERED, ReportState.FAILED):
                self._open.pop(result.uuid, None)
        return _said({"message_uuids": [result.uuid for result in results]})

    def _arrival(self, fields: Fields) -> Arrival:
        if not fields.text("from"):
            raise Refused(400, "a text needs from, message and message_id")
        when = fields.text("sent_timestamp")
        here = _address(self._settings.number or fields.text("sent_to"))
        text = fields.text("message").replace("\x00", "").replace("\r\n", "\n")
        name = fields.text("message_id")
        if not name:  # old applications: what tells two texts apart is when they were sent
            words = f"{fields.text('from')}\x00{when}\x00{text}"
            name = hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:40]
        return Arrival(
            wire_id=name,
            sender=_address(fields.text("from")),
            recipients=(here,) if here is not None else (),
            sent_at=_time(when),
            text=text,
            facts={"device": fields.text("device_id")} if "device_id" in fields else {},
        )


def _address(number: str) -> Address | None:
    try:
        return Address.of("sms", number)
    except ValueError:
        return None


def _time(written: str) -> float | None:
    """Milliseconds since 1970, or as old applications write it, ``11-22-26 14:05``."""
    if written.isascii() and written.isdigit() and len(written) < 16:
        return float(written) / 1000.0
    try:
        return datetime.strptime(written, "%m-%d-%y %H:%M").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _state(result: Result) -> tuple[ReportState | None, str]:
    said = (result.delivered_result_message or "").strip()
    if result.delivered_result_code == 0 and said and "not" not in said.lower():
        return ReportState.DELIVERED, said[:200]
    words = (result.sent_result_message or "").strip()[:200]
    if result.sent_result_code > 0:
        return ReportState.FAILED, words or f"the phone could not send it ({result.sent_result_code})"
    return (ReportState.SENT, words) if result.sent_result_code == 0 else (None, words)


def _told(call: Call, fields: Fields | None = None) -> Told:
    """The body, which is JSON, or a form with JSON in one field.

    Raises:
        Refused: it is neither.
    """
    try:
        if fields is not None and "message_result" in fields:
            return Told(message_result=msgspec.json.decode(fields.raw("message_result"), type=list[Result]))
        return msgspec.json.decode(call.body or b"{}", type=Told)
    except (msgspec.DecodeError, RecursionError):
        raise Refused(400, "the body must be JSON with queued_messages or message_result") from None


def _said(words: dict[str, Any]) -> Reply:
    return Reply(body=msgspec.json.encode(words), media_type="application/json")


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> SmsSync:
    """A phone with SMSSync, not yet answered."""
    return SmsSync(name, settings, hub, reactor)
