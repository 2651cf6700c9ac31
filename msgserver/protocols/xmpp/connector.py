"""The bot account as a connector: keeps a line, hands in what people say, sends what the hub says."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet import defer, task
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.xish import domish
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, NotConnected, Status
from msgserver.message import Address, Envelope, Receipt, Report, ReportState
from msgserver.protocols.xmpp import stanzas
from msgserver.protocols.xmpp.intake import Intake, Work
from msgserver.protocols.xmpp.line import Line
from msgserver.protocols.xmpp.manners import answer_presence
from msgserver.protocols.xmpp.places import tls_options
from msgserver.protocols.xmpp.session import Ears, Session
from msgserver.protocols.xmpp.settings import Settings
from msgserver.protocols.xmpp.troubles import Trouble, explain
from msgserver.wire.backoff import BackOff

FAREWELL = 5.0  # seconds that the server has to end the stream when we stop
STEADY = 60.0  # seconds after which a line counts as good, and the back-off begins anew
_HIGH, _LOW = 500, 100  # messages waiting to be committed: stop reading from the line, read again
_REMEMBERED = 10_000  # messages sent whose errors may come from the server instead of the recipient
_LATE = 1_000  # receipts that wait for a line

_log = Logger()


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> XMPPConnector:
    """A chat account, not yet started."""
    return XMPPConnector(name, settings, hub, reactor)


@implementer(IConnector)
class XMPPConnector(Service):
    """One bot account on one server; see the package for its wire."""

    name: str
    schemes = ("xmpp",)
    limits = Limits(text_length=60_000, concurrency=32, deadline=30.0, repeat_unknown=True, one_process=True)

    def __init__(
        self,
        name: str,
        settings: Settings,
        hub: IHub,
        reactor: Any,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.status = Status(able=False, words="not started", since=reactor.seconds())
        self._settings = settings
        self._hub = hub
        self._reactor = reactor
        self._names = stanzas.Names(settings.password.reveal())
        self._tls_options = tls_options(settings)
        self._soon = BackOff(2.0, 120.0, random)  # the network, the server
        self._seldom = BackOff(30.0, 600.0, random)  # what only a person can mend
        self._intake = Intake(reactor, BackOff(1.0, 30.0, random), self._regulate)
        self._session: Session | None = None  # the line, while stanzas may go
        self._half_open: Session | None = None  # the line, from its first packet to its end
        self._living: Deferred[None] | None = None
        self._sent_to: OrderedDict[str, str] = OrderedDict()
        self._late: deque[Any] = deque(maxlen=_LATE)

    # -- the service -------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()  # type: ignore[no-untyped-call]
        self._intake.resume()
        self._living = Deferred.fromCoroutine(self._live())
        self._living.addErrback(self._fell_over)

    def stopService(self) -> Deferred[None]:
        """Finish what is being committed, say goodbye; fires when nothing is left scheduled."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._finish_committing()
        living, self._living = self._living, None
        if self._half_open is not None:
            session = self._half_open
            ended = session.ended()
            abort = self._reactor.callLater(FAREWELL, session.abort)
            session.close()
            await ended
            if abort.active():
                abort.cancel()
        if living is not None:
            living.cancel()
        self._say(False, "stopped")

    async def _finish_committing(self) -> None:
        idle = self._intake.stop()
        deadline = self._reactor.callLater(FAREWELL, idle.cancel)
        with suppress(defer.CancelledError):
            await idle
        if deadline.active():
            deadline.cancel()
        if self._half_open is not None and not self._half_open.managed:
            self._intake.give_back("the hub is being stopped; send it again in a few minutes")
        if self._intake.waiting:
            _log.warn(
                "chat {name} stops; {count} messages are not committed", name=self.name, count=self._intake.waiting
            )

    def _fell_over(self, reason: Failure) -> None:
        if reason.check(defer.CancelledError) is None:
            _log.failure("chat connector {name} fell over", failure=reason, name=self.name)
            self._say(False, "stopped by an error of its own: see the log, then restart the hub")

    async def _live(self) -> None:
        while self.running:
            trouble = await self._one_life()
            if not self.running:
                return
            seconds = (self._seldom if trouble.settled else self._soon).next()
            self._say(False, f"{trouble.words}: retry in {seconds:.0f} s")
            await task.deferLater(self._reactor, seconds)

    async def _one_life(self) -> Trouble:
        """Connect, live until the line ends, and tell why it did."""
        self._say(False, "connecting")
        line = Line(self._settings, self._tls_options, self._ears(), self._reactor, self._now_half_open)
        try:
            session = await line.connect()
            reason = await self._dwell(session)
        except defer.CancelledError:
            raise
        except Exception as failure:
            reason = failure
        finally:
            self._session = self._half_open = None
        return explain(reason, name=self.name, jid=self._settings.jid, where=line.where, logged_in=line.logged_in)

    def _now_half_open(self, session: Session) -> None:
        self._half_open = session

    async def _dwell(self, session: Session) -> BaseException:
        since = self._reactor.seconds()
        self._session = session
        session.send(domish.Element((None, "presence")))
        while self._late:
            session.send(self._late.popleft())
        self._say(True, f"connected as {self._settings.jid}")
        self._regulate()
        reason = await session.ended()
        if self._reactor.seconds() - since > STEADY:
            self._soon.reset()
            self._seldom.reset()
        return reason

    def _say(self, able: bool, words: str) -> None:
        if (able, words) != (self.status.able, self.status.words):
            self.status = Status(able=able, words=words, since=self._reactor.seconds())
            _log.info("chat {name}: {words}", name=self.name, words=words)
            self._hub.changed()

    # -- out ---------------------------------------------------------------------------------------------------

    async def send(self, envelope: Envelope) -> Receipt:
        """Send a chat message; returns once the server has taken it.

        Raises:
            NotConnected: there is no line; nothing was written.
            PermanentFailure: no chat address, too long, or the server sent it back for good.
            TemporaryFailure: the server sent it back for now.
            Unknown: the line broke before the server confirmed; the same envelope may be sent again.
        """
        session = self._session
        if session is None:
            raise NotConnected(self.status.words)
        message = stanzas.write_message(envelope, self._names)
        self._sent_to[message["id"]] = message["to"]
        if len(self._sent_to) > _REMEMBERED:
            self._sent_to.popitem(last=False)
        await session.deliver(message)
        words = f"taken by {self._settings.domain}"
        return Receipt(wire_ids=(message["id"],), final=not envelope.want_receipt, words=words)

    def _reply(self, element: Any) -> None:
        """Send now, or with the next line: what tells the other side how their own message fared."""
        if self._session is not None:
            self._session.send(element)
        else:
            self._late.append(element)

    # -- in ----------------------------------------------------------------------------------------------------

    def _ears(self) -> Ears:
        return Ears(message=self._hear, presence=self._greet, oversized=self._decline)

    def _greet(self, presence: Any) -> None:
        for answer in answer_presence(presence, accept=self._settings.accept_subscriptions):
            self._reply(answer)

    def _decline(self, stanza: Any, words: str) -> None:
        if stanza.name != "presence" and stanza.getAttribute("type") not in {"error", "result", "groupchat"}:
            self._reply(stanzas.write_error(stanza, "policy-violation", "modify", f"not taken: {words}"))

    def _hear(self, message: Any, done: Callable[[], None]) -> None:
        if not self.running and self._half_open is not None and self._half_open.managed:
            return  # never confirmed, so the server keeps it for the next time
        try:
            works = self._works_of(message, done)
        except Exception:
            _log.failure("chat message could not be read")
            works = []
        for work in works:
            self._intake.put(work)
        if not works:
            done()

    def _works_of(self, message: Any, done: Callable[[], None]) -> list[Work]:
        """What there is to commit for a message stanza; the last of it is ``done``."""
        kind = message.getAttribute("type") or "normal"
        sender = stanzas.bare_of(message.getAttribute("from"))
        if kind == "error":
            report, arrival = self._failure_in(message, sender), None
        elif kind not in {"chat", "normal"} or sender in {"", self._settings.jid.lower(), self._settings.domain}:
            return []  # rooms, headlines, the server's own notes, and our own words
        else:
            report, arrival = self._delivery_in(message, sender), self._arrival_work(message, sender, done)
        works = [] if arrival is None else [arrival]
        if report is not None:
            then = done if arrival is None else _nothing
            works.insert(0, Work(sender, lambda: self._hub.report(report), then, lambda _words: then()))
        return works

    def _arrival_work(self, message: Any, sender: str, done: Callable[[], None]) -> Work | None:
        def refuse(condition: str, kind: str, words: str) -> None:
            self._reply(stanzas.write_error(message, condition, kind, words))
            done()

        def committed() -> None:
            receipt = stanzas.write_receipt(message)
            if receipt is not None:
                self._reply(receipt)
            done()

        try:
            arrival = stanzas.read_message(message, self._settings.jid, self._reactor.seconds())
        except ValueError:
            refuse("jid-malformed", "modify", "the hub cannot remember an address of this kind")
            return None
        if arrival is None:
            return None
        return Work(
            sender,
            lambda: self._hub.accept(arrival),
            committed,
            lambda words: refuse("resource-constraint", "wait", words),
        )

    def _delivery_in(self, message: Any, sender: str) -> Report | None:
        received = stanzas.child(message, stanzas.NS_RECEIPTS, "received")
        stanza_id = "" if received is None else received.getAttribute("id") or ""
        ref = self._names.ref_of(stanza_id, sender)
        return None if ref is None else self._report(ReportState.DELIVERED, stanza_id, ref, sender, "")

    def _failure_in(self, message: Any, sender: str) -> Report | None:
        stanza_id = message.getAttribute("id") or ""
        recipient = sender
        if self._names.ref_of(stanza_id, sender) is None:  # a server may answer in its own name
            recipient = self._sent_to.get(stanza_id, "")
            if sender not in {"", self._settings.domain, recipient.partition("@")[2]}:
                return None
        ref = self._names.ref_of(stanza_id, recipient)
        if ref is None or (self._session is not None and self._session.sent_back(message)):
            return None
        return self._report(ReportState.FAILED, stanza_id, ref, recipient, stanzas.read_error(message)[2])

    def _report(self, state: ReportState, stanza_id: str, ref: str, bare: str, words: str) -> Report:
        now = self._reactor.seconds()
        recipient = Address.of("xmpp", bare)
        return Report(state=state, wire_id=stanza_id, ref=ref, recipient=recipient, words=words, at=now)

    def _regulate(self) -> None:
        """Read from the line only as fast as the house commits; while it cannot commit, read on and keep."""
        if self._session is not None:
            waiting = self._intake.waiting
            enough = _LOW if self._session.paused else _HIGH
            self._session.pause(waiting > enough and not self._intake.failing)


def _nothing() -> None:
    """Taken care of elsewhere."""
