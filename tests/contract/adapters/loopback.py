"""The loopback has no wire: what it would say is what ``receive`` returns."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from msgserver.connector import TemporaryFailure
from msgserver.message import Accepted, Address
from msgserver.protocols.loopback import Settings, make_connector
from tests.contract.adapters import sent
from tests.fakes import FakeHub


class Wire:
    moods = ("takes", "refuses")

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.clock = Clock()
        self.connector = make_connector("loop", Settings(), self.hub, self.clock)
        self.answers: dict[int, list[Any]] = {}

    async def start(self) -> None:
        self.connector.startService()

    async def stop(self) -> None:
        self.connector.stopService()

    async def turn(self) -> None:
        self.clock.advance(0)

    async def bring(self, n: int) -> None:
        taking = Deferred.fromCoroutine(self.connector.receive(str(n), Address("loop", "ana"), f"text {n}"))
        taking.addBoth(lambda result: self.answers.setdefault(n, []).append(getattr(result, "value", result)))

    def acknowledged(self, n: int) -> bool:
        return any(isinstance(answer, Accepted) for answer in self.answers.get(n, ()))

    def refused(self, n: int) -> bool:
        answers = (answer for answer in self.answers.get(n, ()) if isinstance(answer, Exception))
        return any(not isinstance(answer, (TemporaryFailure, RuntimeError)) for answer in answers)

    def sending(self, mood: str) -> Deferred[Any]:
        return sent(self.connector, Address("loop", "ana") if mood == "takes" else Address("sms", "+1"))

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
