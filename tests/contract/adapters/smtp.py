"""A mail client that speaks SMTP into a session, and a smarthost with moods, both in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from msgserver.message import Address
from msgserver.protocols.smtp import Settings, make_connector
from msgserver.protocols.smtp.relay import Relay
from msgserver.protocols.smtp.way import smarthost
from tests.contract.adapters import sent
from tests.fakes import FakeHub
from tests.protocols.smtp.scripted import Road
from tests.protocols.smtp.talk import START
from tests.protocols.smtp.talk import Wire as Line

TABLE = {
    "listen": "tcp:2525:interface=127.0.0.1",
    "domains": ["hub.example"],
    "relay": "tcp:127.0.0.1:25",
    "relay_tls": "none",
}
MOODS: dict[str, dict[str, Any]] = {
    "takes": {},
    "busy": {"RCPT": lambda host: host.write("451 4.3.0 try again later")},
    "refuses": {"RCPT": lambda host: host.write("550 5.1.1 no such person")},
    "silent": {"DOT": lambda host: None},
}


class Wire:
    moods = tuple(MOODS)

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.clock = MemoryReactorClock()
        settings = Settings(**TABLE)
        self.connector = make_connector("mail", settings, self.hub, self.clock)
        self.road = Road(self.clock)  # type: ignore[arg-type]
        way = smarthost(settings, settings)
        self.connector._relay._main = Relay("mail", way, self.clock, self.hub.changed, endpoint=self.road)  # type: ignore[union-attr]
        self.answers: dict[int, list[bytes]] = {}
        self.lines: list[tuple[int, Any, Any]] = []

    async def start(self) -> None:
        self.connector.privilegedStartService()
        self.connector.startService()
        self.road.run()

    async def stop(self) -> None:
        stopping = self.connector.stopService()
        for _ in range(40):
            self.road.run(1.0)
            await self.turn()
            for _, session, line in self.lines:
                if line.disconnecting or line.aborted:
                    line.disconnecting = line.aborted = False
                    session.connectionLost(None)
        await stopping

    async def turn(self) -> None:
        self.clock.advance(0)
        self.road.run()
        for n, _, line in self.lines:
            said = line.value()
            line.clear()
            self.answers.setdefault(n, []).extend(one for one in said.split(b"\r\n") if one)

    async def bring(self, n: int) -> None:
        gate = self.clock.tcpServers[0][1]
        line = Line()
        session = gate.buildProtocol(IPv4Address("TCP", "192.0.2.7", 4000 + len(self.lines)))
        session.makeConnection(line)
        session.dataReceived(START)
        line.clear()
        session.dataReceived(f"Subject: {n}\r\nMessage-ID: <{n}@there.example>\r\n\r\ntext {n}\r\n.\r\n".encode())
        self.lines.append((n, session, line))
        await self.turn()

    def acknowledged(self, n: int) -> bool:
        return any(answer.startswith(b"250") for answer in self.answers.get(n, ()))

    def refused(self, n: int) -> bool:
        return any(answer.startswith(b"5") for answer in self.answers.get(n, ()))

    def sending(self, mood: str) -> Deferred[Any]:
        self.road.moods.update(MOODS[mood])
        for host in self.road.hosts:
            host.moods.update(MOODS[mood])
        sending = sent(self.connector, Address("mailto", "ana@there.example"))
        self.road.run()
        return sending

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
