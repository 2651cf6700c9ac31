"""What arrives at a modem: texts, reports and calls, each handed to the house before the modem may forget it.

A text lies in the store until the house has committed it, then ``AT+CMGD`` deletes it; a crash in between reads it
again, and the same PDU has the same wire_id. Direct delivery (``+CMT``) is acknowledged with ``AT+CNMA`` likewise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

from twisted.internet.defer import DeferredLock, ensureDeferred
from twisted.logger import Logger

from msgserver.connector import IHub, SendFailure
from msgserver.formats.pdu import Deliver, StatusReport, decode_pdu
from msgserver.formats.pdu_fields import MalformedPdu
from msgserver.message import Report, ReportState
from msgserver.protocols.gsm.arrivals import missed_call, text_arrival, unreadable
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.sending import Sending, sent_name

_RECEIVED = (0, 1)  # unread, read; what else lies in the store somebody wrote there to be sent
_NOTHING_THERE = 321
_RINGS = 30.0  # seconds in which a phone rings again for the same call


class Inbox:
    """One session's. ``imsi`` and ``store`` (the memory texts are kept in) are known after the setting up.

    Args:
        line: the dialogue.
        hub: the house.
        sending: knows which send a report may mean.
        clock: for the time of calls.
        kept: called with words while the house cannot take what lies in the store; with "" when it could again.
    """

    log = Logger()

    def __init__(self, line: Dialogue, hub: IHub, sending: Sending, clock: Any, kept: Callable[[str], None]) -> None:
        self.imsi = ""
        self.store = "SM"
        self.names_callers = True  # else RING is all that is known of a call
        self._line = line
        self._hub = hub
        self._sending = sending
        self._clock = clock
        self._kept = kept
        self._reading = DeferredLock()
        self._untold: list[str] = []  # reports that the house could not take yet
        self._last_call = ("", 0.0)

    # --- what the modem says by itself -----------------------------------------------------------------------

    def unasked(self, line: str, pdu: str) -> None:
        """Take it up in its own time; nothing is ever raised into the line."""
        name = line.partition(":")[0]
        if name in ("+CMTI", "+CDSI"):
            place = re.search(r'"(\w+)",\s*(\d+)', line)
            whole = place is None or (self.store == "MT" and place.group(1) != "SR")
            self._later(self.read_all() if whole or place is None else self._read_one(*place.groups()))
        elif name == "+CMT" and pdu:
            self._later(self._direct(pdu))
        elif name == "+CDS" and pdu:
            self._later(self._reported(pdu))
        elif name == "+CLIP":
            number = re.search(r'\+CLIP: ?"([^"]*)"', line)
            self._later(self._called(number.group(1) if number else ""))
        elif line == "RING" and not self.names_callers:
            self._later(self._called(""))

    def _later(self, coroutine: Coroutine[Any, Any, None]) -> None:
        def failed(failure: Any) -> None:
            # The text is still in the store (or the network repeats it): the next look finds it.
            self.log.warn("modem of {imsi}: {failure}", imsi=self.imsi, failure=failure.getErrorMessage())

        ensureDeferred(coroutine).addErrback(failed)

    # --- the store -------------------------------------------------------------------------------------------

    async def read_all(self) -> None:
        """Read every text in the store, lowest place first; one that fails does not stop the rest.

        Raises:
            LineFailed: the modem does not list them.
        """
        await self._reading.acquire()
        try:
            lines = await self._line.command("AT+CMGL=4", within=30)
            found = [
                (int(head.group(1)), pdu)
                for line, pdu in pairwise(lines)
                if (head := re.match(r"\+CMGL: ?(\d+), ?(\d+),", line))
                and int(head.group(2)) in _RECEIVED
                and re.fullmatch(r"[0-9A-Fa-f]+", pdu)
            ]
            for n, (place, pdu) in enumerate(found):
                if not await self._moved(place, pdu, len(found) - n):
                    return
            self._kept("")
        finally:
            self._reading.release()

    async def _read_one(self, memory: str, place: str) -> None:
        await self._reading.acquire()
        elsewhere = memory != self.store
        try:
            if elsewhere:
                await self._line.command(f'AT+CPMS="{memory}"', within=20)
            lines = await self._line.command(f"AT+CMGR={place}", within=15)
            pdu = next((line for line in lines if re.fullmatch(r"[0-9A-Fa-f]{10,}", line)), "")
            if pdu and await self._moved(int(place), pdu, 1):  # else it was read by a listing meanwhile
                self._kept("")
        except LineFailed as failure:
            if failure.code != _NOTHING_THERE:
                raise
        finally:
            try:
                if elsewhere:
                    await self._line.command(f'AT+CPMS="{self.store}"', within=20)
            finally:
                self._reading.release()

    async def _moved(self, place: int, pdu: str, waiting: int) -> bool:
        """Move one text from the store to the house; False where the house takes none just now."""
        try:
            await self._take(pdu)
        except SendFailure as failure:
            texts = "1 text waits" if waiting == 1 else f"{waiting} texts wait"
            self._kept(f"{texts} on the SIM card: {failure}")
            self.log.warn("modem of {imsi}: place {place} stays: {why}", imsi=self.imsi, place=place, why=str(failure))
            return False
        except Exception:  # a mistake of ours about this one: it stays, the next are read
            self.log.failure("modem of {imsi}: place {place} stays", imsi=self.imsi, place=place)
            return True
        try:
            await self._line.command(f"AT+CMGD={place}", within=15)
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:  # it is read once more, and known again
            self.log.warn("modem of {imsi}: {place} not deleted: {why}", imsi=self.imsi, place=place, why=str(failure))
        return True

    # --- as they come ----------------------------------------------------------------------------------------

    async def _direct(self, pdu: str) -> None:
        try:
            await self._take(pdu)
        except SendFailure as failure:
            self._kept(f"a text was given back to the network, which brings it again: {failure}")
            await self._attempt("AT+CNMA=2")
            raise
        self._kept("")
        await self._attempt("AT+CNMA")

    async def _reported(self, pdu: str) -> None:
        try:
            await self._take(pdu)
        except SendFailure:
            self._untold.append(pdu)  # no network brings a report twice
        await self._attempt("AT+CNMA")

    async def tell_late(self) -> None:
        """Hand in the reports that the house could not take when they came."""
        while self._untold:
            try:
                await self._take(self._untold[0])
            except SendFailure:
                return
            del self._untold[0]

    async def _attempt(self, command: str) -> None:
        try:
            await self._line.command(command)
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:
            self.log.debug("{command}: {failure}", command=command, failure=str(failure))

    async def _take(self, pdu: str) -> None:
        """Hand one PDU to the house; returned means committed."""
        try:
            value = decode_pdu(pdu)
        except MalformedPdu as error:
            await self._hub.accept(unreadable(self.imsi, pdu, str(error)))
            return
        if isinstance(value, StatusReport):
            ref = self._sending.meant_by(value)
            await self._hub.report(
                Report(
                    state=ReportState(value.state),
                    wire_id="" if ref else sent_name(self.imsi, value.reference, value.recipient),
                    ref=ref,
                    words=value.words,
                    at=value.discharged_at,
                )
            )
            if ref:
                await self._sending.confirmed(ref)
        elif isinstance(value, Deliver):
            await self._hub.accept(text_arrival(self.imsi, pdu, value))

    async def _called(self, number: str) -> None:
        now = self._clock.seconds()
        caller, at = self._last_call
        self._last_call = (number, now)
        if caller == number and now - at < _RINGS:
            return
        await self._hub.accept(missed_call(self.imsi, number, now))
