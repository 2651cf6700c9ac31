"""One session with one modem: set it up, read its texts, send, and watch its health.

Reading: a text lies on the SIM until the house has committed it, then ``AT+CMGD`` deletes it; a crash in between reads
it again, and the same PDU has the same wire_id. Direct delivery (``+CMT``) is acknowledged with ``AT+CNMA`` likewise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.logger import Logger

from msgserver.connector import IHub
from msgserver.formats.pdu import Deliver, StatusReport, decode_pdu, encode_submit, submits
from msgserver.formats.pdu_fields import MalformedPdu
from msgserver.formats.sms import choose
from msgserver.message import Envelope, Report, ReportState
from msgserver.protocols.gsm.arrivals import missed_call, text_arrival, unreadable
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineSilent
from msgserver.protocols.gsm.settings import Settings
from msgserver.protocols.gsm.verdicts import words

_REGISTERED = {1: "home network", 5: "roaming"}
_UNREGISTERED = {
    0: "not registered",
    2: "searching for a network",
    3: "the network denied registration",
    4: "no coverage known",
}


class NotUsable(Exception):
    """The modem is there but cannot be used, in words; ``for_good``: only a person can mend it."""

    def __init__(self, why: str, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


class Session:
    """What happens on one open line.

    Args:
        line: the dialogue.
        settings: the connector's table.
        hub: the house.
        clock: for the time of calls.
        health: called with gauges whenever something of the modem's health is known.
    """

    log = Logger()

    def __init__(
        self,
        line: Dialogue,
        settings: Settings,
        hub: IHub,
        clock: Any,
        health: Callable[[dict[str, float | str]], None],
    ) -> None:
        self.line = line
        self.imei = ""
        self.imsi = ""
        self.network = ""  # empty: not registered
        self.trouble = ""  # why it cannot send just now
        self._settings = settings
        self._hub = hub
        self._clock = clock
        self._health = health
        self._reading = DeferredLock()
        self._credit: Deferred[str] | None = None
        self._last_call = ("", 0.0)

    # --- setting up ------------------------------------------------------------------------------------------

    async def set_up(self) -> None:
        """Bring the modem to PDU mode with its PIN entered, and read what waits on the SIM.

        Raises:
            NotUsable: in words for the status page.
            LineFailed: the modem does not answer as one.
        """
        await self._wake()
        await self._try("ATE0")
        await self._try("AT+CMEE=1")
        self.imei = await self._number("AT+CGSN")
        if self._settings.imei and self.imei != self._settings.imei:
            raise NotUsable(f"this is the modem {self.imei or 'without IMEI'}, not {self._settings.imei}")
        await self._enter_pin()
        self.imsi = await self._number("AT+CIMI")
        if self._settings.service_centre:
            await self.line.command(f'AT+CSCA="{self._settings.service_centre}"')
        try:
            await self.line.command("AT+CMGF=0")
        except LineFailed as failure:
            raise NotUsable("the modem has no PDU mode: it cannot carry all scripts", for_good=True) from failure
        store = self._settings.storage
        await self._try(f'AT+CPMS="{store}","{store}","{store}"', within=20)
        await self._try("AT+CLIP=1")
        await self._try("AT+CSMS=1")
        # Stored delivery announces a place; direct delivery brings the PDU. Some modems know neither: then we look.
        await self._try("AT+CNMI=2,2,0,1,0" if self._settings.delivery == "direct" else "AT+CNMI=2,1,0,1,0")
        await self.check()
        await self.read_all()

    async def _wake(self) -> None:
        for attempt in range(3):
            try:
                await self.line.command("AT", within=2.0)
                return
            except LineSilent:
                if attempt == 2:
                    raise
            except LineFailed:
                continue

    async def _try(self, command: str, within: float = 5.0) -> list[str]:
        """A command that not every modem knows."""
        try:
            return await self.line.command(command, within)
        except LineSilent:
            raise
        except LineFailed as failure:
            self.log.debug("{command}: {failure}", command=command, failure=str(failure))
            return []

    async def _number(self, command: str) -> str:
        found = re.search(r"\d{10,17}", " ".join(await self._try(command)))
        return found.group() if found else ""

    async def _enter_pin(self) -> None:
        try:
            answer = " ".join(await self.line.command("AT+CPIN?", within=10))
        except LineSilent:
            raise
        except LineFailed as failure:
            raise NotUsable(words(failure)) from failure
        if "READY" in answer:
            return
        if "SIM PIN" not in answer or "PIN2" in answer:
            raise NotUsable(
                f"the SIM is locked ({answer.removeprefix('+CPIN: ')}): unlock it in a phone", for_good=True
            )
        pin = self._settings.pin.reveal() if self._settings.pin else ""
        if not re.fullmatch(r"\d{4,8}", pin):
            raise NotUsable("the SIM wants its PIN: set pin to its 4 to 8 digits", for_good=True)
        # A SIM locks after three wrong tries: a PIN that was refused once is never tried again.
        refused = await self._hub.recall("pin refused")
        mark = hashlib.sha256(f"{self.imei} {pin}".encode()).digest()
        if refused == mark:
            raise NotUsable("the SIM refused this PIN; it is not tried again: set the right one", for_good=True)
        try:
            await self.line.command(f'AT+CPIN="{pin}"', within=20)
        except LineSilent:
            raise
        except LineFailed as failure:
            await self._hub.remember("pin refused", mark)
            raise NotUsable(
                f"the SIM refused the PIN: {words(failure)}; it is not tried again", for_good=True
            ) from failure

    # --- health ----------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Ask for registration, operator, signal, battery and room on the SIM; the watchdog's question too."""
        registration = re.search(r"\+CREG: ?\d+,(\d+)", " ".join(await self._try("AT+CREG?")))
        state = int(registration.group(1)) if registration else -1
        self.network = _REGISTERED.get(state, "registered" if state < 0 else "")
        self.trouble = "" if self.network else _UNREGISTERED.get(state, "not registered")
        gauges: dict[str, float | str] = {"network": self.network or self.trouble, "imei": self.imei}
        operator = re.search(r'\+COPS: ?\d+,\d+,"([^"]*)"', " ".join(await self._try("AT+COPS?")))
        if operator:
            gauges["operator"] = operator.group(1)
        signal = re.search(r"\+CSQ: ?(\d+)", " ".join(await self._try("AT+CSQ")))
        if signal and int(signal.group(1)) <= 31:
            gauges["signal_dbm"] = -113 + 2 * int(signal.group(1))
        battery = re.search(r"\+CBC: ?\d+, ?(\d+)", " ".join(await self._try("AT+CBC")))
        if battery:
            gauges["battery_percent"] = int(battery.group(1))
        storage = re.search(r'\+CPMS: ?"\w+", ?(\d+), ?(\d+)', " ".join(await self._try("AT+CPMS?")))
        if storage:
            gauges["sim_used"], gauges["sim_size"] = int(storage.group(1)), int(storage.group(2))
        self._health(gauges)

    async def ask_credit(self, within: float = 30.0) -> str:
        """Run the operator's USSD code; what the pattern finds in the answer, or the answer.

        Raises:
            LineFailed: refused, or no answer.
        """
        answered: Deferred[str] = Deferred()
        self._credit = answered
        late = self._clock.callLater(within, _give_up, answered)
        try:
            await self.line.command(f'AT+CUSD=1,"{self._settings.credit_code}",15', within=15)
            said = await answered
        finally:
            self._credit = None
            if late.active():
                late.cancel()
        found = re.search(self._settings.credit_pattern, said)
        return (found.group(1) if found.groups() else found.group()) if found else said[:80]

    # --- what arrives ----------------------------------------------------------------------------------------

    def unasked(self, line: str, pdu: str) -> None:
        """What the modem says by itself; each is dealt with in its own time and never raises into the line."""
        name = line.partition(":")[0]
        if name == "+CMTI":
            place = re.search(r",\s*(\d+)", line)
            self._later(self.read_all() if place is None else self._read_one(int(place.group(1))))
        elif name == "+CMT" and pdu:
            self._later(self._direct(pdu))
        elif name == "+CDS" and pdu:
            self._later(self._reported(pdu))
        elif name == "+CDSI":
            self._later(self.read_all())
        elif name == "+CLIP":
            self._later(self._called(line))
        elif name == "+CUSD" and self._credit is not None and not self._credit.called:
            said = re.search(r'"(.*)"', line, re.DOTALL)
            self._credit.callback(_ussd(said.group(1) if said else line))

    def _later(self, coroutine: Any) -> None:
        def failed(failure: Any) -> None:
            # The text is still on the SIM (or the network repeats it): the next look finds it.
            self.log.warn("modem {imei}: {failure}", imei=self.imei, failure=failure.getErrorMessage())

        ensureDeferred(coroutine).addErrback(failed)

    async def read_all(self) -> None:
        """Read every text on the SIM, oldest place first; one that fails does not stop the rest."""
        await self._reading.acquire()
        try:
            lines = await self.line.command("AT+CMGL=4", within=30)
            found = [
                (int(head.group(1)), pdu)
                for line, pdu in pairwise(lines)
                if (head := re.match(r"\+CMGL: ?(\d+),", line)) and re.fullmatch(r"[0-9A-Fa-f]+", pdu)
            ]
            for place, pdu in found:
                await self._take(pdu)
                await self.line.command(f"AT+CMGD={place}", within=15)
        finally:
            self._reading.release()

    async def _read_one(self, place: int) -> None:
        await self._reading.acquire()
        try:
            lines = await self.line.command(f"AT+CMGR={place}", within=15)
            pdu = next((line for line in lines if re.fullmatch(r"[0-9A-Fa-f]{10,}", line)), "")
            if pdu:  # else it was read by a listing meanwhile
                await self._take(pdu)
                await self.line.command(f"AT+CMGD={place}", within=15)
        except LineFailed as failure:
            if failure.code != 321:
                raise
        finally:
            self._reading.release()

    async def _direct(self, pdu: str) -> None:
        await self._take(pdu)
        await self._try("AT+CNMA")

    async def _reported(self, pdu: str) -> None:
        await self._take(pdu)
        await self._try("AT+CNMA")

    async def _take(self, pdu: str) -> None:
        """Hand one PDU to the house; returned means committed."""
        try:
            value = decode_pdu(pdu)
        except MalformedPdu as error:
            await self._hub.accept(unreadable(self.imsi, pdu, str(error)))
            return
        if isinstance(value, StatusReport):
            await self._hub.report(
                Report(
                    state=ReportState(value.state),
                    wire_id=sent_name(self.imsi, value.reference, value.recipient),
                    words=value.words,
                    at=value.discharged_at,
                )
            )
        elif isinstance(value, Deliver):
            await self._hub.accept(text_arrival(self.imsi, pdu, value))

    async def _called(self, line: str) -> None:
        number = re.search(r'\+CLIP: ?"([^"]*)"', line)
        if number is None:
            return
        now = self._clock.seconds()
        caller, at = self._last_call
        self._last_call = (number.group(1), now)
        if caller == number.group(1) and now - at < 30:  # a phone rings more than once
            return
        await self._hub.accept(missed_call(self.imsi, number.group(1), now))

    # --- what is sent ----------------------------------------------------------------------------------------

    async def send(self, envelope: Envelope) -> tuple[str, ...]:
        """Send every part; the wire ids, one a part. Parts that went out in an earlier attempt are not repeated.

        Raises:
            LineFailed: see ``verdicts``.
        """
        alphabet = choose(envelope.text, self._settings.languages)
        reference = int.from_bytes(hashlib.sha256(envelope.ref.encode()).digest()[:2], "big")
        parts = submits(
            envelope.to.value,
            envelope.text,
            reference,
            alphabet=alphabet,
            reference_bits=self._settings.reference_bits,
            message_class=0 if self._settings.flash_urgent and envelope.priority >= 3 else None,
            validity=self._settings.validity or None,
            report_wanted=self._settings.receipts and envelope.want_receipt,
        )
        key = f"parts of {envelope.ref}"
        done = (
            ((await self._hub.recall(key)) or b"").decode().split() if envelope.attempt > 1 and len(parts) > 1 else []
        )
        if len(parts) > 1:
            await self._try("AT+CMMS=1")
        try:
            for part in parts[len(done) :]:
                pdu, length = encode_submit(part)
                answer = await self.line.submit(length, pdu, within=self._settings.answer_within)
                done.append(sent_name(self.imsi, answer, envelope.to.value))
        except LineFailed:
            if done:
                await self._hub.remember(key, " ".join(done).encode())
            raise
        return tuple(done)


def sent_name(imsi: str, reference: int, recipient: str) -> str:
    """The wire id of a sent part: the network names it by reference and recipient only, the newest is meant."""
    return f"{imsi}:{reference}:{recipient.removeprefix('+')}"


def _give_up(answered: Deferred[str]) -> None:
    if not answered.called:
        answered.errback(LineSilent("no USSD answer"))


def _ussd(said: str) -> str:
    """USSD answers come as text, or as UCS-2 in hex."""
    if len(said) >= 8 and re.fullmatch(r"([0-9A-Fa-f]{4})+", said):
        try:
            return bytes.fromhex(said).decode("utf-16-be")
        except UnicodeDecodeError:
            return said
    return said
