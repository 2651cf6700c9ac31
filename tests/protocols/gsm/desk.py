"""A connector and its emulated modem on loopback."""

import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater

from msgserver.message import Address, Envelope
from msgserver.protocols.gsm import Settings, make_connector
from tests.emulators.modem import Modem, ModemFactory
from tests.fakes import FakeHub


async def until(holds, seconds=60.0):
    for _ in range(int(seconds / 0.01)):
        if holds():
            return
        await deferLater(reactor, 0.01, lambda: None)
    pytest.fail("it did not become so in time")


class Desk:
    """A connector and its modem on loopback."""

    def __init__(self, modem=None, hub=None, **settings):
        self.modem = modem or Modem(now=reactor.seconds)
        self.hub = hub or FakeHub()
        self.port = reactor.listenTCP(0, ModemFactory(self.modem, reactor.callLater), interface="127.0.0.1")
        settings.setdefault("device", f"tcp:127.0.0.1:{self.port.getHost().port}")
        self.connector = make_connector("modem1", Settings(**settings), self.hub, reactor)
        self.connector.startService()

    async def able(self):
        await until(lambda: self.connector.status.able)
        return self

    async def send(self, text, to="+15551234", **fields):
        fields = {"ref": "d1.abc", "attempt": 1, "sender": "Desk", **fields}
        return await self.connector.send(Envelope(to=Address.of("sms", to), text=text, **fields))

    async def close(self):
        await self.connector.stopService()
        await self.port.stopListening()
        await deferLater(reactor, 0.05, lambda: None)


def modem(**fields):
    return Modem(now=reactor.seconds, **fields)
