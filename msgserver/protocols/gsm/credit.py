"""The credit left, by the operator's USSD code (3GPP TS 27.007 section 7.15).

-> AT+CUSD=1,"*100#",15    <- OK
<- +CUSD: 0,"Your balance is 12.50",15     (or UCS-2, or packed septets, in hexadecimal)
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from msgserver.formats.pdu_fields import pack, unpack
from msgserver.formats.sms import GSM7, decode, encode
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent

_STATES = {
    2: "the network ended the dialogue",
    3: "another one answered",
    4: "the network does not know this code",
    5: "the network did not answer in time",
}
_TOLD = re.compile(r'\+CUSD: ?(\d)(?:, ?"(.*)"(?:, ?(\d+))?)?', re.DOTALL)


class Credit:
    """Asks, and hears the answer among what the modem says unasked."""

    def __init__(self, line: Dialogue, clock: Any) -> None:
        self._line = line
        self._clock = clock
        self._answered: Deferred[str] | None = None
        self._menu = False  # the network waits for a choice

    async def ask(self, code: str, pattern: str, within: float = 30.0) -> str:
        """Run the code; what the pattern finds in the answer, or the answer's beginning.

        Raises:
            LineFailed: refused, or no answer.
        """
        answered = self._answered = Deferred()
        late = self._clock.callLater(within, self._give_up, answered)
        try:
            await self._dial(code)
            said = await answered
        finally:
            self._answered = None
            if late.active():
                late.cancel()
            menu, self._menu = self._menu, False
        if menu:
            await self._end()
        found = re.search(pattern, said)
        return (found.group(1) if found.groups() else found.group()) if found else said[:80]

    async def _dial(self, code: str) -> None:
        try:
            await self._line.command(f'AT+CUSD=1,"{code}",15', within=15)
        except (LineSilent, LineLost):
            raise
        except LineFailed:  # some want it as the network carries it
            await self._line.command(f'AT+CUSD=1,"{pack(encode(code, GSM7)).hex().upper()}",15', within=15)

    async def _end(self) -> None:
        """End a dialogue in which nobody will choose anything."""
        try:
            await self._line.command("AT+CUSD=2")
        except (LineSilent, LineLost):
            raise
        except LineFailed:
            return

    def heard(self, line: str) -> None:
        """A ``+CUSD`` came."""
        waiting, found = self._answered, _TOLD.match(line)
        if waiting is None or waiting.called or found is None:
            return
        state, said = int(found.group(1)), found.group(2)
        if said:
            self._menu = state == 1
            waiting.callback(readable(said, int(found.group(3) or 15)))
        else:
            waiting.errback(LineFailed(_STATES.get(state, "an empty answer")))

    def _give_up(self, answered: Deferred[str]) -> None:
        if not answered.called:
            answered.errback(LineFailed("no USSD answer"))


def readable(said: str, scheme: int = 15) -> str:
    """USSD answers come as text, as UCS-2 in hexadecimal, or as packed septets in hexadecimal."""
    if len(said) < 8 or len(said) % 2 or not re.fullmatch(r"[0-9A-Fa-f]+", said):
        return said
    octets = bytes.fromhex(said)
    if len(octets) % 2 == 0 and (scheme & 0x0C == 0x08 or octets[::2].count(0) * 4 > len(octets)):
        return octets.decode("utf-16-be", "replace")
    septets = decode(unpack(octets, len(octets) * 8 // 7), GSM7).rstrip("\r@")
    return said if said.isdigit() or not septets.isascii() else septets


def amount(said: str) -> float | None:
    """The figure in what was found, as a number."""
    found = re.search(r"-?\d+(?:[.,]\d+)?", said)
    return float(found.group().replace(",", ".")) if found else None
