"""The connector and a real Kannel: out, in, receipts."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Site

from msgserver.config import Secret
from msgserver.connector import NotConnected
from msgserver.message import Address, Envelope, Receipt
from msgserver.protocols.http import Settings, make_connector
from tests.fakes import FakeHub

pytestmark = pytest.mark.peer

SECRET = "kannel-may-call-us"
ARRIVALS = f"/in/kannel/{SECRET}?from=%p&to=%P&text=%b&charset=%C&coding=%c&udh=%u&id=%I&time=%T&smsc=%i"


async def until(holds, seconds=90.0):
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        await deferLater(reactor, 0.05, lambda: None)
    pytest.fail("it did not become so in time")


class Desk:
    """A hub that Kannel can reach, and the Kannel."""

    def __init__(self, start):
        self.hub = FakeHub()
        root, mount = Resource(), Resource()
        root.putChild(b"in", mount)
        self.port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        here = f"http://127.0.0.1:{self.port.getHost().port}"
        self.kannel = start(here + ARRIVALS)
        settings = Settings(
            profile="kannel",
            url=self.kannel.url,
            user=self.kannel.user,
            password=Secret(self.kannel.password),
            sender="12345",
            callback=f"{here}/in/kannel",
            callback_secret=Secret(SECRET),
            allow_private=True,
        )
        self.connector = make_connector("kannel", settings, self.hub, reactor)
        mount.putChild(b"kannel", self.connector.resource)
        self.connector.startService()

    async def send(self, text, ref):
        envelope = Envelope(ref=ref, attempt=1, sender="Desk", to=Address("sms", "+15551234"), text=text)
        while True:
            try:
                return await self.connector.send(envelope)
            except NotConnected:
                await deferLater(reactor, 0.2, lambda: None)

    async def close(self):
        await self.connector.stopService()
        await self.port.stopListening()


@pytest_twisted.ensureDeferred
async def test_texts_go_out_and_come_in_and_receipts_follow(kannel):
    desk = Desk(kannel)
    try:
        network = desk.kannel.network("+15551234 13013 text 1+1 & 50% of it, é")
        await until(lambda: desk.hub.arrivals)
        (first,) = desk.hub.arrivals
        assert first.sender == Address("sms", "+15551234")
        assert first.text == "1+1 & 50% of it, é"
        assert first.recipients == (Address("sms", "13013"),)
        assert first.wire_id
        assert first.sent_at
        assert abs(first.sent_at - reactor.seconds()) < 3600

        receipt = await desk.send("Water at the school & the bridge: 50% left", "d1.aaa")
        assert isinstance(receipt, Receipt)
        assert not receipt.final
        await desk.send("Вода 😀", "d2.bbb")
        await until(lambda: {r.ref for r in desk.hub.reports if r.state == "delivered"} == {"d1.aaa", "d2.bbb"})
        states = [str(report.state) for report in desk.hub.reports if report.ref == "d1.aaa"]
        assert set(states) <= {"sent", "delivered"}  # Kannel asks for both at once, each over a line of its own
        for text in (
            "12345 +15551234 text Water at the school & the bridge: 50% left",
            "12345 +15551234 ucs-2 %04%12%04%3E%044%040%00+%D8%3D%DE%00",
        ):
            await until(lambda text=text: text in network.log.read_text())
    finally:
        await desk.close()


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_said_on_the_status(kannel):
    desk = Desk(kannel)
    try:
        desk.connector.account = desk.connector.account.__class__(
            "kannel",
            Settings(
                profile="kannel",
                url=desk.kannel.url,
                user="hub",
                password=Secret("wrong"),
                allow_private=True,
            ),
            desk.connector.account.options,
            desk.kannel.url,
        )
        with pytest.raises(NotConnected, match="check user and password"):
            await desk.connector.send(
                Envelope(ref="d1.a", attempt=1, sender="Desk", to=Address("sms", "+15551234"), text="x")
            )
        assert not desk.connector.status.able
        assert "check user and password" in desk.connector.status.words
    finally:
        await desk.close()
