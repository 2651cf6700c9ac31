"""The connector: keeps a line to the mailbox, collects what is in it, and waits for more."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, PermanentFailure, Status
from msgserver.message import Envelope, Receipt
from msgserver.protocols.imap.collecting import Collector, NotTaken
from msgserver.protocols.imap.line import Line, Refused
from msgserver.protocols.imap.login import log_in
from msgserver.protocols.imap.settings import Settings
from msgserver.protocols.imap.troubles import explain
from msgserver.wire.backoff import BackOff
from msgserver.wire.tls import client_context

FAREWELL = 5.0  # seconds for a commit under way, and for the server to hang up, when we stop
_IDLE = 1500.0  # seconds until IDLE is asked for anew: before the 30 minutes of RFC 2177


@implementer(IConnector)
class MailboxConnector(Service):
    """One account; it only receives."""

    log = Logger()
    schemes: tuple[str, ...] = ()
    limits = Limits(one_process=True)

    def __init__(
        self,
        name: str,
        settings: Settings,
        hub: IHub,
        reactor: Any,
        endpoint: IStreamClientEndpoint | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.status = Status(able=False, words="not started", since=reactor.seconds())
        self._settings = settings
        self._hub = hub
        self._reactor = reactor
        self._endpoint = endpoint or clientFromString(reactor, settings.connect)
        self._context: Any = None
        if settings.tls != "none":
            self._context = client_context(settings.certified_name, settings.ca_file)
        if settings.tls == "tls":
            self._endpoint = wrapClientTLS(self._context, self._endpoint)
        self._soon = BackOff(2.0, 120.0, chance)  # the network, the server
        self._seldom = BackOff(30.0, 600.0, chance)  # what only a person can mend
        self._later = BackOff(5.0, 120.0, chance)  # the hub, a mail that is not handed out
        self._collector = Collector(name, settings, hub, lambda: bool(self.running))
        self._line: Line | None = None
        self._trouble = ""  # why there is no line, while there is none
        self._living: Deferred[None] | None = None
        self._resting = False  # nothing is under way that had better be ended first

    # -- the service

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()  # type: ignore[no-untyped-call]
        self._living = Deferred.fromCoroutine(self._live())
        self._living.addErrback(self._fell_over)

    def stopService(self) -> Deferred[None]:
        """End what is being committed, log out; fires when nothing is left scheduled."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        living, self._living = self._living, None
        if living is not None:
            if self._resting:
                living.cancel()
            patience = self._reactor.callLater(FAREWELL, living.cancel)
            await living
            _call_off(patience)
        line = self._line
        if line is not None and not line.ended.called:
            patience = self._reactor.callLater(FAREWELL, line.transport.abortConnection)
            await line.ended
            _call_off(patience)
        self._line = None
        self._say(False, "stopped")

    def _fell_over(self, reason: Failure) -> None:
        if reason.check(CancelledError) is None:
            self.log.failure("imap {name} fell over", failure=reason, name=self.name)
            self._say(False, "stopped by an error of its own: see the log, then restart the hub")

    # -- its life

    async def _live(self) -> None:
        while self.running:
            try:
                await self._one_session()
                return  # it was stopped
            except CancelledError:
                raise
            except Exception as reason:
                if not self.running:
                    return
                trouble = explain(reason, str(self.name), self._settings.connect)
                if trouble.unknown:
                    self.log.failure("imap {name}: an error of its own", name=self.name)
            seconds = (self._seldom if trouble.settled else self._soon).next()
            self._trouble = trouble.words
            self._say(False, f"{trouble.words}: retry in {seconds:.0f} s")
            await self._nap(seconds)

    async def _one_session(self) -> None:
        """Connect, log in, and collect until the line ends."""
        self._say(False, f"{self._trouble}: trying again" if self._trouble else "connecting")
        line = self._line = await self._open()
        try:
            self._resting = False
            await line.greeted
            abilities = await log_in(line, self._settings, self._context)
            line.news = self._news
            self._trouble = ""
            while self.running:
                await self._round(line, abilities)
        finally:
            line.goodbye()

    async def _open(self) -> Line:
        self._resting = True
        line = Line(self._reactor, self._settings.answer_within)
        await connectProtocol(self._endpoint, line)
        return line

    def _news(self) -> None:
        self._collector.unheard = True

    async def _round(self, line: Line, abilities: frozenset[bytes]) -> None:
        """Look through all folders once, then wait for the next time."""
        self._resting = False
        collector = self._collector
        first, *others = self._settings.folders
        try:
            for folder in (*others, first):  # the first one last: that is where IDLE waits
                if self.running:
                    await collector.collect(line, abilities, folder)
        except NotTaken as later:
            seconds = later.retry_after or self._later.next()
            self._say(True, f"connected, but {later}: retry in {seconds:.0f} s; nothing is marked")
            await self._nap(seconds, line)
            return
        for back_off in (self._soon, self._seldom, self._later):
            back_off.reset()
        idle = self._settings.idle and b"IDLE" in abilities and first not in collector.closed
        self._tell(idle)
        if not self.running or (collector.unheard and first not in collector.closed):
            return
        if not idle:
            await self._nap(self._settings.poll_every, line)
            return
        self._resting = True
        try:
            await line.idle(self._settings.poll_every if others or collector.troubles else _IDLE)
        except Refused as no:
            self.log.warn("imap {name}: no IDLE: {words}", name=self.name, words=str(no))
            await self._nap(self._settings.poll_every, line)

    async def _nap(self, seconds: float, line: Line | None = None) -> None:
        """Wait, at most until the line ends."""
        self._resting = True
        over: Deferred[None] = Deferred()

        def wake() -> None:
            if not over.called:
                over.callback(None)

        late = self._reactor.callLater(seconds, wake)
        if line is not None:
            line.on_end = wake
        try:
            if line is None or not line.ended.called:
                await over
        finally:
            _call_off(late)

    # -- what others see

    def _tell(self, idle: bool) -> None:
        troubles = list(self._collector.troubles.values())
        able = len(self._collector.closed) < len(self._settings.folders)
        words = "connected, waiting (IDLE)" if idle else f"connected, polling every {self._settings.poll_every:.0f} s"
        self._say(able, "; ".join([words, *troubles]))

    def _say(self, able: bool, words: str) -> None:
        gauges = dict(self._collector.gauges)
        before = self.status
        if (able, words) == (before.able, before.words) and gauges == before.gauges:
            return
        same = (able, words) == (before.able, before.words)
        self.status = Status(
            able=able, words=words, since=before.since if same else self._reactor.seconds(), gauges=gauges
        )
        if not same:
            self.log.info("imap {name}: {words}", name=self.name, words=words)
        self._hub.changed()

    async def send(self, envelope: Envelope) -> Receipt:  # noqa: ARG002 - the seam asks for it
        """Never called by the house: there is no address it could send to.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure(f"{self.name} is a mailbox that is read; mail leaves by a connector of type smtp")


def _call_off(call: IDelayedCall) -> None:
    if call.active():
        call.cancel()


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> MailboxConnector:
    """A mailbox that is read, not yet started.

    Raises:
        OSError, ValueError: ``ca_file`` cannot be read.
    """
    return MailboxConnector(name, settings, hub, reactor)
