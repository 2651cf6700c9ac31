"""The connector: finds the modem, keeps a session with it, comes back when it was unplugged."""

from __future__ import annotations

import re
from functools import partial
from glob import glob
from typing import Any

import serial
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.serialport import SerialPort
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, NotConnected, PermanentFailure, SendFailure, Status
from msgserver.formats.sms import LANGUAGES, measure
from msgserver.message import Envelope, Receipt
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.session import NotUsable, Session
from msgserver.protocols.gsm.settings import Settings
from msgserver.protocols.gsm.verdicts import verdict, words
from msgserver.wire.backoff import BackOff

_DIALLED = re.compile(r"\+?[0-9*#]{3,20}")
_DAY = 86400.0


@implementer(IConnector)
class GsmConnector(Service):
    """One modem (or whichever of several matches); one text at a time."""

    log = Logger()
    schemes = ("sms",)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name = name
        self.limits = Limits(
            text_length=67 * settings.max_parts, deadline=settings.answer_within * settings.max_parts + 30
        )
        self._settings = settings
        self._hub = hub
        self._reactor = reactor
        self._session: Session | None = None
        self._life: Deferred[None] | None = None
        self._gauges: dict[str, float | str] = {}
        self._credit_asked = 0.0
        self._sent_today: tuple[int, int] | None = None  # day, parts
        self.status = Status(able=False, words="not started", since=reactor.seconds())

    def startService(self) -> None:
        """Begin to look for the modem."""
        super().startService()  # type: ignore[no-untyped-call]
        self._life = ensureDeferred(self._live())

    def stopService(self) -> Deferred[None] | None:
        """Hang up; returns once nothing is under way."""
        super().stopService()  # type: ignore[no-untyped-call]
        life, self._life = self._life, None
        if self._session is not None:
            self._session.line.hang_up()
        if life is not None:
            life.addErrback(_was_cancelled)
            life.addCallback(lambda _: self._tell(False, "stopped"))
            life.cancel()
        return life

    # --- the line ----------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        wait = BackOff(first=2.0, longest=60.0)
        while self.running:
            try:
                await self._keep_session(wait)
            except NotUsable as trouble:
                self._tell(False, str(trouble))
                pause = 300.0 if trouble.for_good else wait.next()
            except (LineFailed, OSError, serial.SerialException) as trouble:
                pause = wait.next()
                why = words(trouble) if isinstance(trouble, LineFailed) else str(trouble)
                self._tell(False, f"{why}: retry in {pause:.0f} s")
            else:
                pause = wait.next()
                self._tell(False, f"the device is gone: retry in {pause:.0f} s")
            await self._nap(pause)

    async def _keep_session(self, wait: BackOff) -> None:
        """Open the line, set the modem up, and stay until the line is gone."""
        gone: Deferred[None] = Deferred()
        line, session = await self._open(gone)
        try:
            await session.set_up()
            wait.reset()
            self._session = session
            self._tell_of(session)
            while line.open:
                await self._nap(self._settings.check_every, gone)
                if line.open:
                    await session.check()
                    await session.read_all()
                    await self._ask_credit(session)
                    self._tell_of(session)
        finally:
            self._session = None
            line.hang_up()

    async def _nap(self, seconds: float, woken_by: Deferred[None] | None = None) -> None:
        """Wait, at most until ``woken_by`` fires; cancelling leaves nothing scheduled."""
        nap: Deferred[None] = Deferred()
        late = self._reactor.callLater(seconds, nap.callback, None)

        def wake(result: None) -> None:
            if not nap.called:
                nap.callback(result)

        if woken_by is not None:
            woken_by.addCallback(wake)
        try:
            await nap
        finally:
            if late.active():
                late.cancel()

    async def _open(self, gone: Deferred[None]) -> tuple[Dialogue, Session]:
        """The first device that is a modem (and the one with our IMEI, where we ask for one)."""
        trouble: Exception = NotUsable(f"no device {self._settings.device}: is the modem plugged in?")
        device = self._settings.device
        candidates = [device] if device.startswith("tcp:") else sorted(glob(device))
        for candidate in candidates:
            heard: list[Session] = []
            line = Dialogue(
                self._reactor,
                partial(_hear, heard),
                partial(_fire, gone),
            )
            heard.append(Session(line, self._settings, self._hub, self._reactor, self._gauges.update))
            try:
                if candidate.startswith("tcp:"):
                    await connectProtocol(clientFromString(self._reactor, candidate), line)
                else:
                    SerialPort(line, candidate, self._reactor, baudrate=self._settings.baud)
            except (OSError, serial.SerialException) as failure:
                trouble = failure
                continue
            except Exception as failure:  # a refused or timed-out connection, in Twisted's own words
                trouble = NotUsable(f"no answer from {candidate}: {failure}")
                continue
            if len(candidates) == 1 or not self._settings.imei:
                return line, heard[0]
            try:
                await line.command("AT", within=2.0)
                answer = " ".join(await line.command("AT+CGSN"))
            except LineFailed as failure:
                trouble = failure
                line.hang_up()
                continue
            if self._settings.imei in answer:
                return line, heard[0]
            line.hang_up()
            trouble = NotUsable(f"none of {', '.join(candidates)} is the modem {self._settings.imei}")
        raise trouble

    async def _ask_credit(self, session: Session) -> None:
        now = self._reactor.seconds()
        if not self._settings.credit_code or now - self._credit_asked < self._settings.credit_every:
            return
        self._credit_asked = now
        try:
            self._gauges["credit"] = await session.ask_credit()
        except LineFailed as failure:
            self._gauges["credit"] = f"not known: {words(failure)}"

    # --- what others see ---------------------------------------------------------------------------------------

    def _tell_of(self, session: Session) -> None:
        if session.trouble:
            self._tell(False, session.trouble)
        elif self._capped():
            self._tell(
                False, f"the daily cap of {self._settings.daily_cap} texts is used up: sends again tomorrow (UTC)"
            )
        else:
            operator = self._gauges.get("operator", "")
            self._tell(True, f"connected, {session.network}" + (f" {operator}" if operator else ""))

    def _tell(self, able: bool, what: str) -> None:
        changed = (able, what) != (self.status.able, self.status.words)
        since = self._reactor.seconds() if changed else self.status.since
        self.status = Status(able=able, words=what, since=since, gauges=dict(self._gauges))
        self._hub.changed()

    # --- sending -----------------------------------------------------------------------------------------------

    async def send(self, envelope: Envelope) -> Receipt:
        """Send one text; all its parts were taken by the network when this returns."""
        if not _DIALLED.fullmatch(envelope.to.value):
            raise PermanentFailure(f"{envelope.to.value[:40]!r} cannot be dialled", bad_address=True)
        parts = measure(envelope.text, self._settings.languages, self._settings.reference_bits).parts
        if parts > self._settings.max_parts:
            raise PermanentFailure(
                f"{parts} parts: this connector sends at most {self._settings.max_parts} (max_parts)"
            )
        session = self._session
        if session is None or session.trouble:
            raise NotConnected(self.status.words)
        await self._count(0)
        if self._capped():
            self._tell_of(session)
            raise NotConnected(self.status.words)
        try:
            wire_ids = await session.send(envelope)
        except LineFailed as failure:
            if isinstance(failure, LineSilent | LineLost):  # a modem that hangs is opened anew
                self._session = None
                self._tell(False, f"{words(failure)}: opening it anew")
                session.line.hang_up()
            raise self._verdict(failure) from failure
        await self._count(len(wire_ids))
        return Receipt(wire_ids, final=not (self._settings.receipts and envelope.want_receipt))

    def _verdict(self, failure: LineFailed) -> SendFailure:
        judged = verdict(failure)
        if isinstance(judged, NotConnected) and self._session is not None:
            self._session.trouble = str(judged)
            self._tell_of(self._session)
        return judged

    def _capped(self) -> bool:
        return bool(self._settings.daily_cap and self._sent_today and self._sent_today[1] >= self._settings.daily_cap)

    async def _count(self, parts: int) -> None:
        """Keep the day's count where a cap asks for one; it survives a restart."""
        if not self._settings.daily_cap:
            return
        today = int(self._reactor.seconds() // _DAY)
        if self._sent_today is None:
            day, _, count = ((await self._hub.recall("sent today")) or b"0 0").decode().partition(" ")
            self._sent_today = (int(day), int(count))
        day_kept, count_kept = self._sent_today
        self._sent_today = (today, (count_kept if day_kept == today else 0) + parts)
        if parts:
            await self._hub.remember("sent today", f"{today} {self._sent_today[1]}".encode())


def _was_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


def _fire(gone: Deferred[None]) -> None:
    if not gone.called:
        gone.callback(None)


def _hear(heard: list[Session], line: str, pdu: str) -> None:
    heard[0].unasked(line, pdu)


def make_connector(name: str, settings: Settings, hub: IHub, reactor: Any) -> GsmConnector:
    """A connector to one modem.

    Raises:
        ValueError: the settings name a language that has no table, or a USSD code that is none.
    """
    for language in settings.languages:
        if language not in LANGUAGES:
            raise ValueError(f"languages: {language!r} has no table; known: {', '.join(sorted(LANGUAGES))}")
    if settings.credit_code and not re.fullmatch(r"[0-9*#]{2,20}", settings.credit_code):
        raise ValueError(f"credit_code: {settings.credit_code!r} is no USSD code")
    if settings.service_centre and not re.fullmatch(r"\+?[0-9]{3,20}", settings.service_centre):
        raise ValueError(f"service_centre: {settings.service_centre!r} is no number")
    return GsmConnector(name, settings, hub, reactor)
