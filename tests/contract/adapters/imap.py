"""A mailbox in memory; a mail is acknowledged when it is marked as read."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from msgserver.message import Address
from tests.contract.adapters import sent
from tests.protocols.imap.scripted import Desk, mail


class Wire:
    moods = ("refuses",)  # it never sends

    def __init__(self) -> None:
        self.desk = Desk()
        self.hub = self.desk.hub
        self.clock = self.desk.clock
        self.connector = self.desk.connector
        self.uids: dict[int, list[int]] = {}

    async def start(self) -> None:
        self.desk.start()

    async def stop(self) -> None:
        stopping = maybeDeferred(self.connector.stopService)
        self.desk.road.run(15.0)
        await stopping

    async def turn(self) -> None:
        self.desk.road.run()

    async def bring(self, n: int) -> None:
        box = self.desk.box
        self.uids.setdefault(n, []).append(box.next_uid)
        box.put(mail(n))
        for host in self.desk.road.hosts:
            if host.idling:
                host.say(f"* {len(box.mails)} EXISTS")
        self.desk.road.run(6.0 if len(self.uids[n]) > 1 else 0.0)  # what was not taken is tried again by itself

    def acknowledged(self, n: int) -> bool:
        return any(uid in self.desk.box.seen for uid in self.uids.get(n, ()))

    def refused(self, n: int) -> bool:
        return False

    def sending(self, mood: str) -> Deferred[Any]:
        return sent(self.connector, Address("mailto", "ana@there.example"))

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
