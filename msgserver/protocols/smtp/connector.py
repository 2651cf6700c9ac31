"""The mail connector: a server for what arrives, a smarthost for what leaves, one service."""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, PermanentFailure, SendFailure, Status
from msgserver.message import Envelope, Receipt
from msgserver.protocols.smtp.gate import Gate
from msgserver.protocols.smtp.outlets import Outlets
from msgserver.protocols.smtp.pen import Pen
from msgserver.protocols.smtp.settings import Settings
from msgserver.wire.backoff import BackOff
from msgserver.wire.tls import server_context

_DEADLINE = 1800.0  # seconds; the time-outs of RFC 5321 section 4.5.3.2 one after the other


@implementer(IConnector)
class MailConnector(MultiService):
    """Receives where ``listen`` is set, sends where ``relay`` is."""

    _log = Logger()

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any, resolver: Any = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.setName(name)  # type: ignore[no-untyped-call]
        self.name = name
        self._settings = settings
        self._hub = hub
        self._reactor = reactor
        tls = server_context(settings.certificate, settings.key) if settings.certificate else None
        self._gate = Gate(name, settings, hub, reactor, tls)
        self._relay = Outlets(name, settings, reactor, hub.changed, resolver) if settings.relay else None
        self._pen = Pen(settings)
        self.schemes = ("mailto",) if self._relay is not None else ()
        self.limits = Limits(
            html=True,
            attachments=True,
            concurrency=self._relay.together if self._relay is not None else 1,
            deadline=_DEADLINE,
            repeat_unknown=True,
        )
        self._doors: list[_Door] = [_Door(self, endpoint) for endpoint in settings.listens]
        self._since = reactor.seconds()

    # -- the service

    def privilegedStartService(self) -> None:
        """Take the ports while we may (25 needs it)."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for door in self._doors:
            door.open()

    def startService(self) -> None:
        """Listen and look for the smarthost."""
        super().startService()  # type: ignore[no-untyped-call]
        for door in self._doors:
            door.open()
        if self._relay is not None:
            self._relay.start()

    def stopService(self) -> Deferred[None]:
        """Stop listening, let running transactions end within ``limits.stop`` seconds, hang up."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        closing: list[Deferred[Any]] = [door.close() for door in self._doors]
        closing.append(self._gate.drain())
        if self._relay is not None:
            closing.append(Deferred.fromCoroutine(self._relay.stop()))
        await DeferredList(closing)
        await maybeDeferred(super().stopService)

    def door_changed(self) -> None:
        """A port was taken or could not be."""
        self._since = self._reactor.seconds()
        self._hub.changed()

    @property
    def ports(self) -> list[Any]:
        """Where it listens now (twisted addresses)."""
        return [door.port.getHost() for door in self._doors if door.port is not None]

    @property
    def status(self) -> Status:
        """Both directions in words; able to send where the smarthost answers."""
        words = [door.words for door in self._doors]
        gauges: dict[str, float | str] = {"sessions": float(self._gate.count)} if self._doors else {}
        if self._relay is None:
            able = all(door.port is not None for door in self._doors)
            return Status(able=able, words="; ".join(words), since=self._since, gauges=gauges)
        gauges["connections"] = float(self._relay.open_connections)
        words.append(self._relay.words)
        return Status(able=self._relay.able, words="; ".join(words), since=self._relay.since, gauges=gauges)

    # -- sending

    def send(self, envelope: Envelope) -> Deferred[Receipt]:
        """Compose the mail and give it to the smarthost; the same envelope has the same Message-ID.

        Fails with:
            NotConnected, TemporaryFailure, PermanentFailure, Unknown: see the seam.
        """
        if self._relay is None:
            return fail(PermanentFailure("this connector only receives: no relay is configured"))
        try:
            letter, name = self._pen.letter(envelope, self._reactor.seconds())
        except SendFailure as failure:
            return fail(failure)
        sending = self._relay.send(letter, self._pen.sender(envelope).rpartition("@")[2])
        return sending.addCallback(lambda reply: Receipt(wire_ids=(name,), words=reply.words))


class _Door:
    """One listening port, taken again and again until it can be had."""

    _log = Logger()

    def __init__(self, connector: MailConnector, endpoint: str) -> None:
        self._connector = connector
        self._where = endpoint
        self._endpoint = serverFromString(connector._reactor, endpoint)
        self._back_off = BackOff(first=1.0, longest=30.0)
        self._retry: IDelayedCall | None = None
        self._opening: Deferred[IListeningPort] | None = None
        self.port: IListeningPort | None = None
        self.words = "not listening"

    def open(self) -> None:
        """Listen, or say why not and try again."""
        if self.port is None and self._opening is None and self._retry is None:
            self._try()

    def _try(self) -> None:
        self._retry = None
        opening = self._opening = self._endpoint.listen(self._connector._gate)
        opening.addCallbacks(self._opened, self._failed)

    def _opened(self, port: IListeningPort) -> None:
        self._opening = None
        self.port = port
        self._back_off.reset()
        self.words = f"receives on {self._where}"
        self._connector.door_changed()

    def _failed(self, failure: Failure) -> None:
        self._opening = None
        if isinstance(failure.value, CancelledError):
            return
        wait = self._back_off.next()
        self.words = f"cannot listen on {self._where} ({failure.getErrorMessage()}): retry in {wait:.0f} s"
        self._log.warn("smtp {name}: {words}", name=self._connector.name, words=self.words)
        self._retry = self._connector._reactor.callLater(wait, self._try)
        self._connector.door_changed()

    async def _close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._opening is not None:
            self._opening.cancel()
        port, self.port = self.port, None
        self.words = "not listening"
        if port is not None:
            await maybeDeferred(port.stopListening)

    def close(self) -> Deferred[None]:
        """Listen no more."""
        return Deferred.fromCoroutine(self._close())


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> MailConnector:
    """A mail connector; it listens and connects once started.

    Raises:
        OSError, ValueError: certificate or key cannot be read.
    """
    return MailConnector(name, settings, hub, reactor)
