"""The PIN of a SIM card: entered once, and never again where it was refused or where nobody knows whether it was.

A SIM locks after three wrong tries. What is remembered is written before the PIN goes out, so that neither a crash nor
a modem that hangs in between makes a second try of it::

    -> AT+CPIN?            <- +CPIN: SIM PIN
    -> AT+CPINR="SIM PIN"  <- +CPINR: SIM PIN,3,3     (TS 27.007 section 8.65; few modems know it)
    -> AT+CPIN="1234"      <- OK, or +CME ERROR: 16
"""

from __future__ import annotations

import hashlib
import re

from msgserver.connector import IHub
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.trouble import NotUsable
from msgserver.protocols.gsm.verdicts import words

_KEY = "pin"
_TRIED, _REFUSED = b"tried ", b"refused "
_ALL_TRIES = 3
_LATER = {13, 14, 100, 515}  # CME: failure, busy, unknown, "please wait": the PIN was not looked at


async def enter_pin(line: Dialogue, hub: IHub, imei: str, pin: str) -> None:
    """See to it that the SIM is unlocked.

    Args:
        pin: its digits; empty where the configuration has none.

    Raises:
        NotUsable: it is not, in words.
        LineFailed: the modem does not answer.
    """
    asks = await _asks(line)
    if asks == "READY":
        return
    if asks != "SIM PIN":
        raise NotUsable(f"the SIM is locked ({asks}): unlock it in a phone", for_good=True)
    if not re.fullmatch(r"\d{4,8}", pin):
        raise NotUsable("the SIM wants its PIN: set pin to its 4 to 8 digits", for_good=True)
    mark = hashlib.sha256(f"{await _card(line) or imei} {pin}".encode()).digest()
    left = await _tries_left(line)
    before = await hub.recall(_KEY) or b""
    if before == _REFUSED + mark:
        raise NotUsable("the SIM refused this PIN; it is not tried again: set the right one", for_good=True)
    if before == _TRIED + mark and left != _ALL_TRIES:
        raise NotUsable(
            "the PIN was entered and the answer was lost, so the SIM may have refused it; it is not tried again:"
            " unlock the SIM in a phone, or set another pin",
            for_good=True,
        )
    if left is not None and left < _ALL_TRIES - 1:
        raise NotUsable("the SIM has one try left for its PIN: unlock it in a phone first", for_good=True)
    await hub.remember(_KEY, _TRIED + mark)
    try:
        await line.command(f'AT+CPIN="{pin}"', within=20)
    except (LineSilent, LineLost):
        raise
    except LineFailed as failure:
        if failure.kind == "CME" and failure.code in _LATER:
            await hub.remember(_KEY, b"")
            raise NotUsable(words(failure)) from failure
        await hub.remember(_KEY, _REFUSED + mark)
        raise NotUsable(f"the SIM refused the PIN: {words(failure)}; it is not tried again", for_good=True) from failure
    await hub.remember(_KEY, b"")


async def _asks(line: Dialogue) -> str:
    try:
        answer = " ".join(await line.command("AT+CPIN?", within=10))
    except (LineSilent, LineLost):
        raise
    except LineFailed as failure:
        raise NotUsable(words(failure)) from failure
    found = re.search(r"\+CPIN: ?([A-Z0-9 -]+)", answer)
    if found is None:
        raise LineSilent("the modem answers another question than AT+CPIN?")
    return found.group(1).strip()


async def _card(line: Dialogue) -> str:
    """The SIM card's own number, where the modem tells it: another card in the same modem has another PIN."""
    for command in ("AT+CCID", "AT^ICCID?"):
        try:
            found = re.search(r"\d{18,20}", " ".join(await line.command(command)))
        except (LineSilent, LineLost):
            raise
        except LineFailed:
            continue
        if found:
            return found.group()
    return ""


async def _tries_left(line: Dialogue) -> int | None:
    try:
        answer = " ".join(await line.command('AT+CPINR="SIM PIN"'))
    except (LineSilent, LineLost):
        raise
    except LineFailed:
        return None
    found = re.search(r"SIM PIN, ?(\d+)", answer)
    return int(found.group(1)) if found else None
