"""The emulated modem in memory; a text is acknowledged when it was deleted from the SIM."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from msgserver.formats.pdu import Deliver, encode_deliver
from msgserver.formats.sms import Alphabet, split
from msgserver.message import Address
from msgserver.protocols.gsm import Settings, make_connector
from tests.contract.adapters import sent
from tests.emulators.modem import Modem, ModemWire
from tests.fakes import FakeHub

MOODS = {"takes": set(), "busy": {"cms_38"}, "refuses": {"cms_28"}, "silent": {"hang_after_prompt"}}


class Wire:
    moods = tuple(MOODS)

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.clock = MemoryReactorClock()
        self.modem = Modem(now=lambda: self.clock.seconds() + 1_800_000_000)
        self.connector = make_connector("modem1", Settings(device="tcp:127.0.0.1:2000"), self.hub, self.clock)
        self.texts: dict[int, str] = {}
        self.lines: list[tuple[Any, Any, StringTransport, StringTransport]] = []

    async def start(self) -> None:
        self.connector.startService()
        await self.turn()
        assert self.connector.status.able, self.connector.status

    async def stop(self) -> None:
        stopping = self.connector.stopService()
        await self.turn()
        await stopping

    async def turn(self) -> None:
        for _ in range(40):
            self._answer_calls()
            self._carry()
            self.clock.advance(0.02)

    def _answer_calls(self) -> None:
        for _, _, factory, *_ in self.clock.tcpClients[len(self.lines) :]:
            ours, to_modem, to_us = factory.buildProtocol(None), StringTransport(), StringTransport()
            modem = ModemWire(self.modem, self.clock.callLater)
            self.lines.append((ours, modem, to_modem, to_us))
            modem.makeConnection(to_us)
            ours.makeConnection(to_modem)

    def _carry(self) -> None:
        for ours, modem, to_modem, to_us in self.lines:
            for _ in range(40):
                out, back = to_modem.value(), to_us.value()
                to_modem.clear()
                to_us.clear()
                if out:
                    modem.dataReceived(out)
                if back and not to_modem.disconnected:
                    ours.dataReceived(back)
                if not out and not back:
                    break
            if to_modem.disconnecting and not to_modem.disconnected:
                to_modem.disconnected = True
                ours.connectionLost(Failure(ConnectionDone()))

    async def bring(self, n: int) -> None:
        if n not in self.texts or self.acknowledged(n):
            part = split(f"text {n}")[0]
            deliver = Deliver(sender="+15551234", sent_at=1_700_000_000.0, service_centre="+46700000000")
            self.texts[n], length = encode_deliver(deliver, Alphabet(), part.units)
            self.modem.receive_pdu(self.texts[n], length)
        else:  # it is still on the SIM: the connector looks there by itself
            for _ in range(30):
                self.clock.advance(30)
                await self.turn()
        await self.turn()

    def acknowledged(self, n: int) -> bool:
        return self.texts.get(n) not in [pdu for _, pdu in self.modem.slots.values()] and n in self.texts

    def refused(self, n: int) -> bool:
        return False

    def sending(self, mood: str) -> Deferred[Any]:
        self.modem.quirks = set(MOODS[mood])
        return sent(self.connector, Address("sms", "+15551234"))

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
