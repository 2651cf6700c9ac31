"""A phone with SMSSync: calls the resource in memory."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from msgserver.config import Secret
from msgserver.message import Address
from msgserver.protocols.smssync import Settings, make_connector
from tests.contract.adapters import sent
from tests.fakes import FakeHub


class Wire:
    moods = ("refuses",)  # it never pushes

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.clock = Clock()
        self.connector = make_connector("phone", Settings(secret=Secret("s3cret")), self.hub, self.clock)
        self.treq: Any = StubTreq(self.connector.resource)
        self.codes: dict[int, list[int]] = {}

    async def start(self) -> None:
        self.connector.startService()

    async def stop(self) -> None:
        self.connector.stopService()

    async def turn(self) -> None:
        self.clock.advance(0)
        self.treq.flush()

    async def bring(self, n: int) -> None:
        form = {"from": "+15551234", "message": f"text {n}", "message_id": str(n), "secret": "s3cret"}
        calling = self.treq.post("http://hub/", data=form)
        calling.addCallbacks(lambda answer: self.codes.setdefault(n, []).append(answer.code), lambda failure: None)
        self.treq.flush()

    def acknowledged(self, n: int) -> bool:
        return any(code < 300 for code in self.codes.get(n, ()))

    def refused(self, n: int) -> bool:
        return any(400 <= code < 500 for code in self.codes.get(n, ()))

    def sending(self, mood: str) -> Deferred[Any]:
        return sent(self.connector, Address("sms", "+15551234"))

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
