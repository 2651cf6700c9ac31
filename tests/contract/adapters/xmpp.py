"""A chat server in memory; the acknowledgement is the XEP-0184 receipt."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from msgserver.message import Address
from tests.contract.adapters import sent
from tests.protocols.xmpp.fake_server import Server, sent_id


class Wire:
    moods = ("takes", "busy", "refuses", "silent")

    def __init__(self) -> None:
        self.server = Server()
        self.hub = self.server.hub
        self.clock = self.server.reactor
        self.connector = self.server.chat
        self.heard = ""
        self.brought: set[int] = set()

    async def start(self) -> None:
        self.server.log_in()

    async def stop(self) -> None:
        stopping = self.connector.stopService()
        self.clock.advance(0)
        self.server.lose(ConnectionLost())
        for _ in range(20):
            self.clock.advance(1)
        await stopping

    async def turn(self) -> None:
        for _ in range(3):
            self.clock.advance(0)
        if self.server.transport.disconnected:
            self.server.lose(ConnectionLost())
        self.heard += self.server.said()

    async def bring(self, n: int) -> None:
        self.server.message(f"text {n}", stanza_id=f"q-{n:08}")
        await self.turn()
        if n in self.brought:  # what the house did not take, the connector hands in again by itself, a little later
            self.clock.advance(2)
            await self.turn()
        self.brought.add(n)

    def acknowledged(self, n: int) -> bool:
        return f"<received xmlns='urn:xmpp:receipts' id='q-{n:08}'/>" in self.heard

    def refused(self, n: int) -> bool:
        return "type='cancel'" in self.heard

    def sending(self, mood: str) -> Deferred[Any]:
        if self.server.protocol is None:
            return sent(self.connector, Address("xmpp", "ana@xmpp.test"))
        self.server.said()
        sending = sent(self.connector, Address("xmpp", "ana@xmpp.test"))
        self.clock.advance(0)
        if mood == "takes":
            self.server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>")
        elif mood in ("busy", "refuses"):
            kind, condition = ("wait", "resource-constraint") if mood == "busy" else ("cancel", "item-not-found")
            self.server.say(
                f"<message type='error' id='{sent_id(self.server)}' from='ana@xmpp.test'><error type='{kind}'>"
                f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
            )
        return sending

    def left(self) -> list[Any]:
        return self.clock.getDelayedCalls()
