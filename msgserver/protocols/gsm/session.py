"""One session with one modem: set it up, and watch its health; its inbox and its sending are beside."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger

from msgserver.connector import IHub
from msgserver.message import Envelope
from msgserver.protocols.gsm.allowance import Allowance
from msgserver.protocols.gsm.credit import Credit
from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.inbox import Inbox
from msgserver.protocols.gsm.indications import settings_to_try
from msgserver.protocols.gsm.pin import enter_pin
from msgserver.protocols.gsm.sending import Sending
from msgserver.protocols.gsm.settings import Settings
from msgserver.protocols.gsm.trouble import NotUsable, StartedAnew
from msgserver.protocols.gsm.verdicts import words

# Registered for all, or for texts only (TS 27.007 section 7.2).
_REGISTERED = {1: "home network", 5: "roaming", 6: "home network, texts only", 7: "roaming, texts only"}
_UNREGISTERED = {
    0: "not registered",
    2: "searching for a network",
    3: "the network denied registration",
    4: "no coverage known",
}
_WAKING = (2.0, 4.0, 10.0)  # seconds for its first answer
_SETTLES = 0.3  # seconds
_SIM_READY = 20  # seconds that a SIM may take after its PIN
_STILL_STARTING = {14, 100, 515}  # CME: busy, unknown, "please wait"


class Session:
    """What happens on one open line.

    Args:
        line: the dialogue.
        settings: the connector's table.
        hub: the house.
        clock: for all times.
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
        self.full = ""  # why nothing more can arrive
        self.kept = ""  # why what arrived lies in the modem still
        self.allowance = Allowance(settings.daily_cap, hub, clock)
        self._settings = settings
        self._hub = hub
        self._clock = clock
        self._health = health
        self._sim_away = False
        self._indication = ""  # as AT+CNMI was set; "" where nothing is indicated
        self._credit = Credit(line, clock)
        self._sending = Sending(line, settings, hub, clock, self.allowance.spend)
        self._inbox = Inbox(line, hub, self._sending, clock, self._keeps)

    def _keeps(self, why: str) -> None:
        self.kept = why

    def unasked(self, line: str, pdu: str) -> None:
        """What the modem says by itself."""
        if line.startswith("+CUSD"):
            self._credit.heard(line)
        else:
            self._inbox.unasked(line, pdu)

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
        await enter_pin(self.line, self._hub, self.imei, self._settings.pin.reveal() if self._settings.pin else "")
        self.imsi = self._inbox.imsi = self._sending.imsi = await self._sim()
        await self._sending.load()
        await self.allowance.load(self.imsi)
        if self._settings.service_centre:
            await self.line.command(f'AT+CSCA="{self._settings.service_centre}"')
        try:
            await self.line.command("AT+CMGF=0")
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:
            raise NotUsable("the modem has no PDU mode: it cannot carry all scripts", for_good=True) from failure
        await self._choose_store()
        await self._try("AT+COPS=3,0", within=20)  # operators by name
        self._inbox.names_callers = await self._does("AT+CLIP=1")
        await self._ask_to_be_told()
        await self.check()

    async def _wake(self) -> None:
        for within in _WAKING:
            try:
                await self.line.command("AT", within)
                await self._settle()
                return
            except LineSilent:
                if within == _WAKING[-1]:
                    raise
                self.line.escape()  # it may wait for the rest of a PDU
                await self._settle()
            except LineLost:
                raise
            except LineFailed:
                continue

    async def _settle(self) -> None:
        """Let pass what it still says to earlier commands: an answer too many puts all that follow out of step."""
        await deferLater(self._clock, _SETTLES, lambda: None)

    async def _try(self, command: str, within: float = 5.0) -> list[str]:
        """A command that not every modem knows."""
        try:
            return await self.line.command(command, within)
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:
            self.log.debug("{command}: {failure}", command=command, failure=str(failure))
            return []

    async def _does(self, command: str, within: float = 5.0) -> bool:
        try:
            await self.line.command(command, within)
        except (LineSilent, LineLost):
            raise
        except LineFailed:
            return False
        return True

    async def _number(self, command: str) -> str:
        found = re.search(r"\d{10,17}", " ".join(await self._try(command)))
        return found.group() if found else ""

    async def _sim(self) -> str:
        """The SIM's number, as soon as it is ready: it names what arrives, so it must be the same each time."""
        for _ in range(_SIM_READY):
            try:
                answer = await self.line.command("AT+CIMI")
            except (LineSilent, LineLost):
                raise
            except LineFailed as failure:
                if failure.code is None:
                    return ""  # a modem that does not tell it, ever
                if failure.code not in _STILL_STARTING:
                    raise NotUsable(words(failure)) from failure
                await deferLater(self._clock, 1.0, lambda: None)
                continue
            found = re.search(r"\d{10,17}", " ".join(answer))
            return found.group() if found else ""
        raise NotUsable("the SIM does not become ready")

    async def _choose_store(self) -> None:
        """The configured memory, or where the modem has no such, one that it has."""
        for store in dict.fromkeys((self._settings.storage, "SM", "ME", "MT")):
            if await self._does(f'AT+CPMS="{store}","{store}","{store}"', within=20):
                self._inbox.store = store
                return

    async def _ask_to_be_told(self) -> None:
        # Phase 2+: what is handed over directly must be acknowledged. Where the modem cannot, texts are stored first.
        acknowledged = await self._does("AT+CSMS=1")
        direct = self._settings.delivery == "direct" and acknowledged
        offer = " ".join(await self._try("AT+CNMI=?"))
        for values in settings_to_try(offer, direct):
            if await self._does(f"AT+CNMI={values}"):
                self._indication = values
                return
        self._indication = ""  # then the store is looked through at each check

    # --- health ----------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Ask how it is, and look through the store; the watchdog's question too.

        Raises:
            StartedAnew: it must be set up again.
            LineSilent: it hangs.
        """
        await self._ask_sim()
        await self._sending.in_pdu_mode()
        await self._ask_network()
        if not self._sim_away:
            if self._indication:  # a modem that saw no acknowledgement tells nothing more (TS 27.005 section 3.4.1)
                await self._try(f"AT+CNMI={self._indication}")
            await self._inbox.tell_late()
            await self._read_store()
        await self._ask_rest()

    async def _ask_sim(self) -> None:
        """Whether the SIM is there, and the one that was there."""
        try:
            answer = " ".join(await self.line.command("AT+CPIN?", within=10))
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:
            self._sim_away = failure.kind == "CME"
            self.trouble = words(failure) if self._sim_away else ""
            return
        if "READY" not in answer or self._sim_away:
            raise StartedAnew("the SIM card is back" if self._sim_away else "the SIM card is locked again")

    async def _ask_network(self) -> None:
        state = await self._registration("CREG")
        if state not in _REGISTERED and (other := await self._registration("CEREG")) in _REGISTERED:
            state = other  # on LTE only
        self.network = _REGISTERED.get(state, "registered" if state < 0 else "")
        if not self._sim_away:
            self.trouble = "" if self.network else _UNREGISTERED.get(state, "not registered")
        gauges: dict[str, float | str] = {"network": self.network or self.trouble, "imei": self.imei}
        operator = re.search(r'\+COPS: ?\d+,\d+,"([^"]*)"', " ".join(await self._try("AT+COPS?", within=10)))
        if operator:
            gauges["operator"] = operator.group(1)
        self._health(gauges)

    async def _registration(self, command: str) -> int:
        found = re.search(rf"\+{command}: ?\d+,(\d+)", " ".join(await self._try(f"AT+{command}?")))
        return int(found.group(1)) if found else -1

    async def _read_store(self) -> None:
        try:
            await self._inbox.read_all()
        except (LineSilent, LineLost):
            raise
        except LineFailed as failure:
            self.kept = f"the texts on the SIM card cannot be listed: {words(failure)}"

    async def _ask_rest(self) -> None:
        gauges: dict[str, float | str] = {}
        signal = re.search(r"\+CSQ: ?(\d+)", " ".join(await self._try("AT+CSQ")))
        if signal and int(signal.group(1)) <= 31:
            gauges["signal_dbm"] = -113 + 2 * int(signal.group(1))
        battery = re.search(r"\+CBC: ?\d+, ?(\d+)", " ".join(await self._try("AT+CBC")))
        if battery:
            gauges["battery_percent"] = int(battery.group(1))
        storage = re.search(r'\+CPMS: ?"\w+", ?(\d+), ?(\d+)', " ".join(await self._try("AT+CPMS?")))
        if storage:
            used, size = int(storage.group(1)), int(storage.group(2))
            gauges["sim_used"], gauges["sim_size"] = used, size
            self.full = f"the SIM card is full ({used} of {size}): no text can arrive" if used >= size > 0 else ""
        self._health(gauges)

    async def ask_credit(self) -> str:
        """What the operator's code tells.

        Raises:
            LineFailed: refused, or no answer.
        """
        return await self._credit.ask(self._settings.credit_code, self._settings.credit_pattern)

    async def send(self, envelope: Envelope) -> tuple[str, ...]:
        """See Sending."""
        return await self._sending.send(envelope)
