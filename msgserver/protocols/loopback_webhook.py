"""A webhook connector to copy: the far side calls us over HTTP, mounted by the web at ``/in/<name>``.

    [connector.hook]
    type = "loopback_webhook"
    secret = { file = "var/hook.secret" }

    -> POST /in/hook   X-Signature: sha256=<hex HMAC-SHA256 of the body>
       {"id": "7", "from": "loop:ana", "text": "Hello"}
    <- 200 {"raw": 17}      it is ours; the same id again is answered the same, and not taken twice
    <- 400, 401, 405, 413   it will never be taken like this
    <- 503 Retry-After: n   not now; call again

What is sent by it is kept, as by the loopback.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from msgserver.config import Secret
from msgserver.connector import IHTTPConnector, IHub, Limits, NotConnected, Status, TemporaryFailure
from msgserver.message import Address, Arrival, Envelope, Receipt

LARGEST = 64 * 1024  # bytes of a body


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of a webhook loopback."""

    secret: Secret


class Call(msgspec.Struct, frozen=True):
    """The body of a call."""

    id: str
    sender: str = msgspec.field(name="from")
    text: str = ""


@implementer(IHTTPConnector)
class WebhookLoopback(Service):
    """Takes ``POST`` calls; sends to ``hook:`` addresses, that is, nowhere."""

    schemes = ("hook",)
    limits = Limits(concurrency=4, deadline=10.0, repeat_unknown=True)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name: str = name
        self.sent: deque[Envelope] = deque(maxlen=1_000)
        self.status = Status(able=False, words="not started", since=reactor.seconds())
        self.resource = Hook(name, settings.secret, hub)
        self._hub = hub
        self._reactor = reactor

    def startService(self) -> None:
        """From now on calls are taken."""
        super().startService()  # type: ignore[no-untyped-call]
        self.resource.open = True
        self._become(True, "waits to be called")

    def stopService(self) -> None:
        """From now on calls are told "later"; those under way are let go."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.resource.open = False
        self.resource.let_go()
        self._become(False, "stopped")

    def _become(self, able: bool, words: str) -> None:
        self.status = Status(able=able, words=words, since=self._reactor.seconds())
        self._hub.changed()

    async def send(self, envelope: Envelope) -> Receipt:
        """Keep it.

        Raises:
            NotConnected: it is stopped.
        """
        if not self.running:
            raise NotConnected("the webhook loopback is stopped")
        self.sent.append(envelope)
        return Receipt(wire_ids=(envelope.ref,), final=True, words="kept")


class Hook(Resource):
    """What the far side calls."""

    isLeaf = True
    log = Logger()

    def __init__(self, name: str, secret: Secret, hub: IHub) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.open = False
        self._name = name
        self._secret = secret
        self._hub = hub
        self._under_way: set[Deferred[None]] = set()

    def render_POST(self, request: Request) -> int | bytes:
        """Check the signature over the bytes as they came, then take the message."""
        body = request.content.read(LARGEST + 1) if request.content is not None else b""
        if len(body) > LARGEST:
            return _answer(request, 413, {"error": f"a call may have at most {LARGEST} bytes"})
        signed = hmac.new(self._secret.reveal().encode(), body, hashlib.sha256).hexdigest()
        given = request.getHeader("X-Signature") or ""
        if not hmac.compare_digest(f"sha256={signed}".encode(), str(given).encode()):
            return _answer(request, 401, {"error": "the signature is not ours"})
        try:
            call = msgspec.json.decode(body, type=Call)
            arrival = Arrival(wire_id=call.id, sender=Address.parse(call.sender), text=call.text)
        except (msgspec.DecodeError, ValueError):
            return _answer(request, 400, {"error": "the body must be JSON with id, from (an address) and text"})
        if not self.open:
            return _later(request, 30.0)
        taking = Deferred.fromCoroutine(self._take(request, arrival))
        self._under_way.add(taking)
        taking.addErrback(lambda failure: failure.trap(CancelledError))
        taking.addBoth(lambda _: self._under_way.discard(taking))
        return NOT_DONE_YET

    async def _take(self, request: Request, arrival: Arrival) -> None:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        try:
            accepted = await self._hub.accept(arrival)
        except TemporaryFailure as failure:
            answer = _later(request, failure.retry_after or 30.0)
        except Exception:
            self.log.failure("a call to {name} was not taken", name=self._name)
            answer = _later(request, 60.0)
        else:
            answer = _answer(request, 200, {"raw": accepted.raw_id})
        if not gone:
            request.write(answer)
            request.finish()

    def let_go(self) -> None:
        """Forget the calls under way: they get no answer and are made again."""
        for taking in list(self._under_way):
            taking.cancel()


def _later(request: Request, seconds: float) -> bytes:
    request.setHeader(b"retry-after", str(int(seconds) or 1).encode())
    return _answer(request, 503, {"error": "not now, please call again"})


def _answer(request: Request, code: int, words: dict[str, object]) -> bytes:
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"application/json")
    return msgspec.json.encode(words)


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> WebhookLoopback:
    """A webhook loopback, not yet started."""
    return WebhookLoopback(name, settings, hub, reactor)
