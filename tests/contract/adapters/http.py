"""A gateway in memory: it answers requests in its moods, and calls the connector's resource."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport, connect
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from msgserver.config import Secret
from msgserver.message import Address
from msgserver.protocols.http import Settings, make_connector
from tests.contract.adapters import sent
from tests.fakes import FakeHub

SECRET = "word-in-the-address"
MOODS = {
    "takes": (200, b'{"id": "g1"}'),
    "busy": (503, b"later"),
    "refuses": (400, b"no such number"),
    "silent": (0, b""),
}


class Gateway(Resource):
    isLeaf = True
    mood = "takes"

    def render(self, request: Any) -> Any:
        status, body = MOODS[self.mood]
        if not status:
            return NOT_DONE_YET
        request.setResponseCode(status)
        return body


class Wire:
    moods = tuple(MOODS)

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.clock = MemoryReactorClock()
        settings = Settings(
            profile="generic",
            url="http://127.0.0.1:8000/send",
            allow_private=True,
            callback="https://hub.example/in/gateway",
            callback_secret=Secret(SECRET),
            options={"id": '"id": "([^"]+)"'},
        )
        self.connector = make_connector("gateway", settings, self.hub, self.clock)
        self.gateway = Gateway()
        self.site = Site(self.gateway, reactor=self.clock)
        self.pumps: list[Any] = []
        self.treq: Any = StubTreq(self.connector.resource)
        self.codes: dict[int, list[int]] = {}

    async def start(self) -> None:
        self.connector.startService()

    async def stop(self) -> None:
        stopping = self.connector.stopService()
        self.pump()
        await stopping
        self.pump()

    async def turn(self) -> None:
        self.clock.advance(0)
        self.pump()
        self.treq.flush()

    def pump(self) -> None:
        for host, port, factory, *_ in self.clock.tcpClients:
            assert (host, port) == ("127.0.0.1", 8000)
            client, server = factory.buildProtocol(None), self.site.buildProtocol(None)
            client_side, server_side = FakeTransport(client, False), FakeTransport(server, True)
            self.pumps.append(connect(server, server_side, client, client_side))
        self.clock.tcpClients.clear()
        for pump in self.pumps:
            pump.flush()

    async def bring(self, n: int) -> None:
        form = {"from": "+15551234", "text": f"text {n}", "id": str(n)}
        calling = self.treq.post(f"http://hub/{SECRET}", data=form)
        calling.addCallbacks(lambda answer: self.codes.setdefault(n, []).append(answer.code), lambda failure: None)
        self.treq.flush()

    def acknowledged(self, n: int) -> bool:
        return any(code < 300 for code in self.codes.get(n, ()))

    def refused(self, n: int) -> bool:
        return any(400 <= code < 500 for code in self.codes.get(n, ()))

    def sending(self, mood: str) -> Deferred[Any]:
        self.gateway.mood = mood
        sending = sent(self.connector, Address("sms", "+15551234"))
        self.pump()
        return sending

    def left(self) -> list[Any]:
        # The far side's own time-outs are not ours.
        return [call for call in self.clock.getDelayedCalls() if "HTTPChannel" not in repr(call)]
