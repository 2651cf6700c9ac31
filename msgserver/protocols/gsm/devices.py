"""Finding the modem: of the devices that match, the one that answers as a modem, has our IMEI, and nobody else uses."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from glob import glob
from typing import Any

import serial
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.serialport import SerialPort

from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineSilent
from msgserver.protocols.gsm.settings import Settings
from msgserver.protocols.gsm.trouble import NotUsable


async def open_line(settings: Settings, make: Callable[[], Dialogue], reactor: Any) -> Dialogue:
    """An open line to the modem.

    A USB modem shows several devices, and only one or two of them speak AT: where several match, each is asked.

    Args:
        make: gives a fresh dialogue for each try.

    Raises:
        NotUsable: there is none, in words.
        OSError: the only one cannot be opened.
    """
    device = settings.device
    candidates = [device] if device.startswith("tcp:") else sorted(glob(device))
    if not candidates:
        raise NotUsable(f"no device {device}: is the modem plugged in?")
    troubles: list[str] = []
    for candidate in candidates:
        line = make()
        try:
            await _open(line, candidate, settings, reactor)
            if len(candidates) > 1:
                await _recognise(line, settings.imei)
        except (NotUsable, LineFailed, OSError, serial.SerialException) as trouble:
            line.hang_up()
            if len(candidates) == 1:
                raise
            troubles.append(f"{candidate}: {trouble}")
        except BaseException:  # cancelled: the device must not stay open
            line.hang_up()
            raise
        else:
            return line
    wanted = f"the modem {settings.imei}" if settings.imei else "a modem"
    raise NotUsable(f"none of {len(candidates)} devices is {wanted} ({'; '.join(troubles)})")


async def _open(line: Dialogue, candidate: str, settings: Settings, reactor: Any) -> None:
    if not candidate.startswith("tcp:"):
        port = SerialPort(line, candidate, reactor, baudrate=settings.baud, rtscts=settings.rtscts)
        try:
            # Two programs on one modem read each other's answers.
            fcntl.flock(port.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotUsable(f"{candidate} is in use") from None
        return
    try:
        await connectProtocol(clientFromString(reactor, candidate), line)
    except Exception as failure:  # refused or timed out, in Twisted's own words
        raise NotUsable(f"no answer from {candidate}: {failure}") from failure


async def _recognise(line: Dialogue, imei: str) -> None:
    """Ask whether it is a modem, and ours."""
    try:
        await line.command("AT", within=2.0)
    except LineSilent:
        line.escape()
        await line.command("AT", within=2.0)
    if imei and imei not in (answer := " ".join(await line.command("AT+CGSN"))):
        raise NotUsable(f"this is the modem {answer[:40] or 'without IMEI'}")
