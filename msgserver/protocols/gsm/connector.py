"""The connector: finds the modem, keeps a session with it, comes back when it was unplugged or hung."""

from __future__ import annotations

import re
from typing import Any

import serial
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.connector import IConnector, IHub, Limits, NotConnected, PermanentFailure, SendFailure, Status
from msgserver.formats.sms import LANGUAGES, measure
from msgserver.message import Envelope, Receipt
from msgserver.protocols.gsm.credit import amount
from msgserver.protocols.gsm.devices import open_line
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.session import Session
from msgserver.protocols.gsm.settings import Settings
from msgserver.protocols.gsm.trouble import NotUsable, StartedAnew
from msgserver.protocols.gsm.verdicts import MONEY, verdict, words
from msgserver.wire.backoff import BackOff

_DIALLED = re.compile(r"\+?[0-9*#]{3,20}")
_FOR_GOOD = 300.0  # seconds between looks at what only a person can mend


@implementer(IConnector)
class GsmConnector(Service):
    """One modem (or whichever of several matches); one text at a time."""

    log = Logger()
    schemes = ("sms",)

    def __init__(self, name: str, settings: Settings, hub: IHub, reactor: Any) -> None:
        self.name = name
        self.limits = Limits(
            one_process=True,
            text_length=67 * settings.max_parts,
            deadline=settings.answer_within * settings.max_parts + 30,
            stand_in=settings.stand_in,
        )
        self._settings = settings
        self._hub = hub
        self._reactor = reactor
        self._line: Dialogue | None = None
        self._opening: Session | None = None  # being set up
        self._session: Session | None = None
        self._life: Deferred[None] | None = None
        self._asleep: Deferred[None] | None = None  # until the next check; fired when the line is lost
        self._gauges: dict[str, float | str] = {}
        self._credit_asked = 0.0
        self._hung = 0  # times in a row that it fell silent
        self._restart = False
        self._wanted = 1  # parts of the text that met the daily cap
        self.status = Status(able=False, words="not started", since=reactor.seconds())

    def startService(self) -> None:
        """Begin to look for the modem."""
        super().startService()  # type: ignore[no-untyped-call]
        self._life = ensureDeferred(self._live())

    def stopService(self) -> Deferred[None] | None:
        """Hang up; returns once nothing is under way."""
        super().stopService()  # type: ignore[no-untyped-call]
        life, self._life = self._life, None
        if self._line is not None:
            self._line.hang_up()
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
            except CancelledError:
                raise
            except NotUsable as trouble:
                pause = _FOR_GOOD if trouble.for_good else wait.next()
                self._tell(False, str(trouble))
            except StartedAnew as trouble:
                pause = wait.next()
                self._tell(False, f"{trouble}: it is set up again in {pause:.0f} s")
            except LineSilent as trouble:
                pause = wait.next()
                self._it_hangs(trouble, pause)
            except (LineFailed, OSError, serial.SerialException) as trouble:
                pause = wait.next()
                why = words(trouble) if isinstance(trouble, LineFailed) else str(trouble)
                self._tell(False, f"{why}: retry in {pause:.0f} s")
            except Exception as trouble:  # of the house (it cannot remember just now), or a mistake of ours
                pause = wait.next()
                self.log.failure("modem {name}", name=self.name)
                self._tell(False, f"{trouble or type(trouble).__name__}: retry in {pause:.0f} s")
            else:
                pause = wait.next()
                self._tell(False, f"the device is gone: retry in {pause:.0f} s")
            await self._nap(pause)

    async def _keep_session(self, wait: BackOff) -> None:
        """Open the line, set the modem up, and stay until the line is gone."""
        line = self._line = await open_line(self._settings, self._dialogue, self._reactor)
        try:
            session = self._opening
            assert session is not None
            if self._restart:
                await self._restarted(line)
                raise StartedAnew("it was restarted")
            await session.set_up()
            wait.reset()
            self._session = session
            self._tell_of(session)
            while line.open:
                await self._nap(self._settings.check_every)
                if line.open:
                    await session.check()
                    await self._ask_credit(session)
                    self._hung = 0
                    self._tell_of(session)
        finally:
            self._session = self._opening = self._line = None
            self._gauges = {name: value for name, value in self._gauges.items() if name in ("imei", "credit")}
            line.hang_up()

    def _dialogue(self) -> Dialogue:
        """A line that is not open yet, with the session that will live on it."""

        def heard(told: str, pdu: str) -> None:
            session.unasked(told, pdu)

        def lost() -> None:
            if self._line is line and self._asleep is not None and not self._asleep.called:
                self._asleep.callback(None)

        line = Dialogue(self._reactor, heard, lost)
        session = self._opening = Session(line, self._settings, self._hub, self._reactor, self._gauges.update)
        return line

    async def _nap(self, seconds: float) -> None:
        """Wait, at most until the line is lost; cancelling leaves nothing scheduled."""
        asleep: Deferred[None] = Deferred()
        self._asleep = asleep
        late = self._reactor.callLater(seconds, asleep.callback, None)
        try:
            await asleep
        finally:
            self._asleep = None
            if late.active():
                late.cancel()

    def _it_hangs(self, trouble: LineSilent, pause: float) -> None:
        self._hung += 1
        self._restart = bool(self._settings.reset_after) and self._hung % self._settings.reset_after == 0
        what = f"it hung {self._hung} times and is restarted" if self._restart else "retry"
        self._tell(False, f"{trouble}: {what} in {pause:.0f} s")

    async def _restarted(self, line: Dialogue) -> None:
        """Tell a modem to start anew, whether it answers or not."""
        self._restart = False
        line.escape()
        line.blind("AT+CFUN=1,1")
        await self._nap(1.0)

    async def _ask_credit(self, session: Session) -> None:
        now = self._reactor.seconds()
        if not self._settings.credit_code or now - self._credit_asked < self._settings.credit_every:
            return
        self._credit_asked = now
        try:
            self._gauges["credit"] = await session.ask_credit()
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:
            self._gauges["credit"] = f"not known: {words(failure)}"

    # --- what others see ---------------------------------------------------------------------------------------

    def _tell_of(self, session: Session) -> None:
        left = session.allowance.left()
        notes = [note for note in (session.full, session.kept, self._poor()) if note]
        if session.trouble:
            self._tell(False, "; ".join((session.trouble, *notes)))
        elif left is not None and left < self._wanted:
            short = f", {left} left and the next text needs {self._wanted}" if left else ""
            cap = self._settings.daily_cap
            self._tell(False, f"the daily cap of {cap} texts is used up{short}: sends again tomorrow (UTC)")
        else:
            operator = self._gauges.get("operator", "")
            connected = f"connected, {session.network}" + (f" {operator}" if operator else "")
            self._tell(True, "; ".join((connected, *notes)))

    def _poor(self) -> str:
        credit = self._gauges.get("credit")
        left = amount(credit) if isinstance(credit, str) and not credit.startswith("not known") else None
        return f"the credit is {credit}: top it up" if left is not None and left <= self._settings.credit_low else ""

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
        settings = self._settings
        parts = measure(envelope.text, settings.languages, settings.reference_bits).parts
        if parts > settings.max_parts:
            raise PermanentFailure(f"{parts} parts: this connector sends at most {settings.max_parts} (max_parts)")
        if settings.daily_cap and parts > settings.daily_cap:
            raise PermanentFailure(f"{parts} parts: more than the daily cap of {settings.daily_cap}")
        session = self._session
        if session is None or session.trouble:
            raise NotConnected(self.status.words)
        left = session.allowance.left()
        if left is not None and parts > left:
            self._wanted = parts
            self._tell_of(session)
            raise NotConnected(self.status.words)
        self._wanted = 1
        try:
            wire_ids = await session.send(envelope)
        except LineFailed as failure:
            raise self._judged(session, failure) from failure
        self._hung = 0
        if session.allowance.left() == 0:
            self._tell_of(session)
        return Receipt(wire_ids, final=not (settings.receipts and envelope.want_receipt))

    def _judged(self, session: Session, failure: LineFailed) -> SendFailure:
        """What a failed send means for the text, and for the line."""
        judged = verdict(failure)
        if isinstance(failure, LineSilent | LineLost | StartedAnew):  # the modem is opened anew
            self._session = None
            self._hung += isinstance(failure, LineSilent)
            self._tell(False, f"{words(failure)}: opening it anew")
            session.line.hang_up()
        elif isinstance(judged, NotConnected):
            session.trouble = str(judged)
            self._tell_of(session)
        elif failure.code in MONEY:
            self._credit_asked = 0.0  # is it that? asked at the next check
        return judged


def _was_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


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
    try:
        re.compile(settings.credit_pattern)
    except re.error as error:
        raise ValueError(f"credit_pattern: {error}") from None
    if settings.service_centre and not re.fullmatch(r"\+?[0-9]{3,20}", settings.service_centre):
        raise ValueError(f"service_centre: {settings.service_centre!r} is no number")
    return GsmConnector(name, settings, hub, reactor)
