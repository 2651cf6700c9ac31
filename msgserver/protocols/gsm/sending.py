"""Sending through a modem: every part once, and what is not known about a part remembered.

Parts that went out in an earlier attempt are not repeated. A part whose ``+CMGS`` was not seen is unknown; a status
report that can only mean that part settles it all the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.logger import Logger

from msgserver.connector import IHub
from msgserver.formats.pdu import StatusReport, encode_submit, submits
from msgserver.formats.sms import choose
from msgserver.message import Envelope
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.settings import Settings
from msgserver.protocols.gsm.trouble import StartedAnew

_KEY = "unfinished"
_MOST = 100  # sends remembered, the newest
_CLOCKS_DIFFER = 300.0  # seconds between the network's clock and ours
_TAIL = 7  # digits of a number that are the same however a network writes it


class _Unfinished(msgspec.Struct):
    """A send of which some parts went out, or may have."""

    done: list[str] = []  # wire ids of the parts that went out
    unconfirmed: str = ""  # the end of the recipient's number, where the last part went out and nobody said so
    reference: int = -1  # that the modem must have given it; -1: not known
    at: float = 0.0


_decode = msgspec.json.Decoder(dict[str, _Unfinished]).decode


class Sending:
    """One session's. ``imsi`` is known after the setting up; ``spend`` is told of every part that (maybe) went out."""

    log = Logger()

    def __init__(
        self, line: Dialogue, settings: Settings, hub: IHub, clock: Any, spend: Callable[[int], Awaitable[None]]
    ) -> None:
        self.imsi = ""
        self._line = line
        self._settings = settings
        self._hub = hub
        self._clock = clock
        self._spend = spend
        self._reference = -1  # that the modem gave last
        self._unfinished: dict[str, _Unfinished] = {}

    async def load(self) -> None:
        """Take up what an earlier session left unfinished."""
        self._unfinished = _decode((await self._hub.recall(_KEY)) or b"{}")

    async def send(self, envelope: Envelope) -> tuple[str, ...]:
        """Send every part that did not go out before; the wire ids of all, one a part.

        Raises:
            LineFailed: see ``verdicts``.
        """
        settings = self._settings
        reference = int.from_bytes(hashlib.sha256(envelope.ref.encode()).digest()[:2], "big")
        parts = submits(
            envelope.to.value,
            envelope.text,
            reference,
            alphabet=choose(envelope.text, settings.languages),
            reference_bits=settings.reference_bits,
            message_class=0 if settings.flash_urgent and envelope.priority >= 3 else None,
            validity=settings.validity or None,
            report_wanted=settings.receipts and envelope.want_receipt,
        )
        known = self._unfinished.get(envelope.ref)
        done = list(known.done) if known is not None and len(parts) > 1 else []
        await self.in_pdu_mode()
        if len(parts) > 1:
            await self._attempt("AT+CMMS=1")  # the channel stays open between the parts
        for part in parts[len(done) :]:
            pdu, length = encode_submit(part)
            try:
                self._reference = await self._line.submit(length, pdu, within=settings.answer_within)
            except LineFailed as failure:
                await self._failed(envelope, failure, done, last=len(done) + 1 == len(parts))
                raise
            done.append(sent_name(self.imsi, self._reference, envelope.to.value))
            await self._count()
        if known is not None:
            await self._keep(envelope.ref, None)
        return tuple(done)

    async def in_pdu_mode(self) -> None:
        """Make sure that the modem did not start anew by itself: in text mode it would send hexadecimal digits.

        Raises:
            StartedAnew: it did.
        """
        if any(re.match(r"\+CMGF: ?1", line) for line in await self._attempt("AT+CMGF?")):
            raise StartedAnew("the modem started anew by itself")

    async def _attempt(self, command: str) -> list[str]:
        try:
            return await self._line.command(command)
        except (LineSilent, LineLost):
            raise
        except LineFailed:
            return []

    async def _failed(self, envelope: Envelope, failure: LineFailed, done: list[str], last: bool) -> None:
        unconfirmed = failure.kind == "sent"
        if unconfirmed:
            await self._count()
        if not done and not unconfirmed:
            return
        kept = _Unfinished(done, at=self._clock.seconds())
        if unconfirmed and last:
            kept.unconfirmed = envelope.to.value[-_TAIL:]
            kept.reference = (self._reference + 1) % 256 if self._reference >= 0 else -1
        await self._keep(envelope.ref, kept)

    async def _count(self) -> None:
        try:
            await self._spend(1)
        except Exception:  # the text went out: that must be told whatever else fails
            self.log.failure("modem of {imsi}: the day's count could not be kept", imsi=self.imsi)

    async def _keep(self, ref: str, what: _Unfinished | None) -> None:
        self._unfinished.pop(ref, None)
        if what is not None:
            self._unfinished[ref] = what
        newest = dict(list(self._unfinished.items())[-_MOST:])
        self._unfinished = newest
        try:
            await self._hub.remember(_KEY, msgspec.json.encode(newest))
        except Exception:
            self.log.failure("modem of {imsi}: unfinished sends could not be kept", imsi=self.imsi)

    # --- reports -----------------------------------------------------------------------------------------------

    def meant_by(self, report: StatusReport) -> str:
        """The send without ``+CMGS`` that a report must mean, by its ref; "" where it means another, or maybe does."""
        for ref, one in self._unfinished.items():
            if not one.unconfirmed or report.recipient[-_TAIL:] != one.unconfirmed:
                continue
            if one.reference not in (-1, report.reference):
                continue
            taken_at = report.sent_at
            if taken_at is not None and -_CLOCKS_DIFFER <= taken_at - one.at <= _CLOCKS_DIFFER:
                return ref
        return ""

    async def confirmed(self, ref: str) -> None:
        """The house took the report: nothing is unknown about that send any more."""
        await self._keep(ref, None)


def sent_name(imsi: str, reference: int, recipient: str) -> str:
    """The wire id of a sent part: the network names it by reference and recipient only, the newest is meant."""
    return f"{imsi}:{reference}:{recipient[-_TAIL:]}"
