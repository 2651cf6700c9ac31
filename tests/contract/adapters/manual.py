"""A station's wire is a person: what they are told is what ``heard`` returns."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from msgserver.connector import TemporaryFailure
from msgserver.message import Accepted, Address, Heard
from msgserver.protocols.manual import Settings, make_connector
from tests.contract.adapters import sent
from tests.fakes import FakeHub


class Wire:
    moods = ("refuses",)  # it never pushes

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.clock = Clock()
        self.connector = make_connector("radio", Settings(), self.hub, self.clock)
        self.answers: dict[int, list[Any]] = {}

    async def start(self) -> None:
        self.connector.startService()

    async def stop(self) -> None:
        self.connector.stopService()

    async def turn(self) -> None:
        self.clock.advance(0)

    async def bring(self, n: int) -> None:
        heard = Heard(name=f"form-{n}", sender="Bravo 2", text=f"text {n}")
        logging = Deferred.fromCoroutine(self.connector.heard("ana", heard))
        logging.addBoth(lambda result: self.answers.setdefault(n, []).append(getattr(result, "value", result)))

    def acknowledged(self, n: int) -> bool:
        return any(isinstance(answer, Accepted) for answer in self.answers.get(n, ()))

    def refused(self, n: int) -> bool:
        answers = (answer for answer in self.answers.get(n, ()) if isinstance(answer, Exception))
        return any(not isinstance(answer, (TemporaryFailure, RuntimeError)) for answer in answers)

    def sending(self, mood: str) -> Deferred[Any]:
        return sent(self.connector, Address("radio", "bravo-2"))

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
