"""The connector to one account at an SMS gateway; what the gateway's words are, only the profile knows."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from msgserver.connector import (
    IHTTPConnector,
    IHub,
    Limits,
    NotConnected,
    PermanentFailure,
    Status,
    Unknown,
)
from msgserver.formats.sms import measure
from msgserver.message import Envelope, Receipt
from msgserver.protocols.http.account import Account, dialled, plain
from msgserver.protocols.http.batches import Batches
from msgserver.protocols.http.intake import Intake
from msgserver.protocols.http.profile import Profile, load, read_options
from msgserver.protocols.http.settings import Settings
from msgserver.wire.agent import Answer, HttpAgent, NoAnswer, NothingSent, Request
from msgserver.wire.backoff import BackOff
from msgserver.wire.webhook import Webhook
from msgserver.wire.window import SlidingWindow

_AHEAD = 4  # sends for each connection: while one is answered the next ones are claimed and put into words
_SHORT = 33  # characters that fit into one part, whatever they are: 67 UTF-16 units, two a character


@implementer(IHTTPConnector)
class GatewayConnector(Service):
    """Sends through a gateway; takes its calls at ``resource``."""

    schemes = ("sms",)
    _log = Logger()

    def __init__(self, account: Account, profile: Profile, hub: IHub, reactor: Any) -> None:
        settings = account.settings
        self.name: str = account.name
        self.account = account
        self._profile = profile
        self._hub = hub
        self._reactor = reactor
        self._agent = HttpAgent(
            reactor,
            allow_private=settings.allow_private,
            authorities=settings.ca_file,
            connections=settings.connections,
        )
        self._window = SlidingWindow(int(settings.rate), settings.rate_seconds) if settings.rate else None
        self._batches = Batches(account, profile, self._ask, reactor) if profile.batch_request else None
        self._waiting: set[Deferred[Any]] = set()
        self._back_off = BackOff(first=5.0, longest=300.0)
        self._again: IDelayedCall | None = None
        self._credit_timer: IDelayedCall | None = None
        self._gauges: dict[str, float | str] = {}
        turns = max(_AHEAD, -(-profile.BATCH // settings.connections))  # of those that cannot travel together
        self.limits = Limits(
            rate=settings.rate / settings.rate_seconds if settings.rate else None,
            concurrency=max(_AHEAD * settings.connections, profile.BATCH),
            deadline=settings.deadline * turns + 2 * settings.rate_seconds + 15.0,
            repeat_unknown=profile.IDEMPOTENT or getattr(account.options, "repeat_unknown", False),
        )
        self.resource = Webhook(account.name, profile.METHODS, Intake(account, profile, hub, reactor).take)
        self.status = Status(able=False, words="not started", since=reactor.seconds())

    # The service

    def startService(self) -> None:
        """From now on it sends, and its calls are taken."""
        super().startService()  # type: ignore[no-untyped-call]
        self.resource.open = bool(self.account.settings.callback)
        self._tell(True, self._ready())
        if self._profile.credit_request is not None and self.account.settings.credit_every:
            self._credit_timer = self._reactor.callLater(0, self._look_at_credit)

    def stopService(self) -> Deferred[None]:
        """Hang up; what was under way ends as not sent, or as unknown."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.resource.open = False
        self.resource.let_go()
        for timer in (self._again, self._credit_timer):
            if timer is not None and timer.active():
                timer.cancel()
        for waiting in list(self._waiting):
            waiting.cancel()
        if self._batches is not None:
            self._batches.let_go()
        self._tell(False, "stopped")
        return self._agent.close()

    def _ready(self) -> str:
        place = self.account.url.split("/")[2].rpartition("@")[2]
        if not self.account.settings.callback:
            return f"sends through {place}; receives nothing (callback is not set)"
        return f"sends through {place}; waits to be called"

    # Sending

    async def send(self, envelope: Envelope) -> Receipt:
        """Give one text to the gateway.

        Raises:
            NotConnected, TemporaryFailure, PermanentFailure, Unknown: see the seam.
        """
        dialled(envelope.to)
        envelope = self._checked(envelope)
        if not self.running or not self.status.able:
            raise NotConnected(f"{self.name}: {self.status.words}")
        try:
            if self._window is not None:
                await self._wait_for_place(self._window)
            receipt = await self._give(envelope)
        except NotConnected as failure:
            self._trouble(str(failure))
            raise
        self._back_off.reset()
        final = not self.account.wants_receipt(envelope)
        return receipt if receipt.final == final else msgspec.structs.replace(receipt, final=final)

    async def _give(self, envelope: Envelope) -> Receipt:
        if self._batches is not None:
            return await self._batches.give(envelope)
        answer = await self._ask(self._profile.request(self.account, envelope))
        receipt: Receipt = self._profile.receipt(self.account, answer)
        return receipt

    async def _ask(self, request: Request) -> Answer:
        try:
            return await self._agent.ask(request, self.account.settings.deadline)
        except NothingSent as failure:
            raise NotConnected(str(failure)) from failure
        except NoAnswer as failure:
            raise Unknown(str(failure)) from failure

    def _checked(self, envelope: Envelope) -> Envelope:
        """The envelope with text that can travel.

        Raises:
            PermanentFailure: there is none, or it is too long.
        """
        text = plain(envelope.text)
        if not text.strip():
            raise PermanentFailure("there is nothing to send: the text is empty")
        most = self.account.settings.max_parts
        if len(text) > _SHORT * most and (parts := measure(text).parts) > most:
            raise PermanentFailure(f"{parts} parts: this connector sends at most {most} (max_parts)")
        return envelope if text == envelope.text else msgspec.structs.replace(envelope, text=text)

    async def _wait_for_place(self, window: SlidingWindow) -> None:
        """Keep to the account's rate."""
        wait = window.take(self._reactor.seconds())
        if wait <= 0:
            return
        waiting: Deferred[None] = deferLater(self._reactor, wait)
        self._waiting.add(waiting)
        try:
            await waiting
        except CancelledError:
            window.give_back()
            raise NotConnected("stopped before it was sent") from None
        finally:
            self._waiting.discard(waiting)

    # What others see

    def _trouble(self, words: str) -> None:
        """The line or the account is at fault: all messages wait, and it is tried again."""
        if not self.running or (self._again is not None and self._again.active()):
            return
        wait = self._back_off.next()
        self._log.warn("gateway {name}: {words}", name=self.name, words=words)
        self._again = self._reactor.callLater(wait, self._try_again)
        self._tell(False, f"{words}: retry in {wait:.0f} s")

    def _try_again(self) -> None:
        self._tell(True, self._ready())

    def _tell(self, able: bool, words: str) -> None:
        changed = (able, words) != (self.status.able, self.status.words)
        since = self._reactor.seconds() if changed else self.status.since
        self.status = Status(able=able, words=words, since=since, gauges=dict(self._gauges))
        self._hub.changed()

    def _look_at_credit(self) -> None:
        self._credit_timer = self._reactor.callLater(self.account.settings.credit_every, self._look_at_credit)
        Deferred.fromCoroutine(self._ask_credit()).addErrback(
            lambda failure: self._log.failure("the credit of {name} cannot be read", failure, name=self.name)
        )

    async def _ask_credit(self) -> None:
        assert self._profile.credit_request is not None
        assert self._profile.credit is not None
        try:
            question = self._profile.credit_request(self.account)
            answer = await self._agent.ask_once(question, self.account.settings.deadline)
            self._gauges["credit"] = self._profile.credit(self.account, answer)
        except (NothingSent, NoAnswer) as failure:
            self._gauges["credit"] = f"not known: {failure}"
        if self.running:
            self._tell(self.status.able, self.status.words)


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> GatewayConnector:
    """A connector to one account; it calls nobody before it is started."""
    profile = load(settings.profile)
    account = Account(name, settings, read_options(profile, settings.options), settings.url or profile.URL)
    return GatewayConnector(account, profile, hub, reactor)
