"""A gateway and the whole house around it: texts and receipts end where they should, in whatever order they come."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from treq.testing import StubTreq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from msgserver.message import Address
from msgserver.records import HUB, Draft
from tests.emulators.gateways import Gateway
from tests.test_service import Houses, rows, until

async_test = pytest_twisted.ensureDeferred
SECRET = "s3cret-word-of-ours"
TABLE = """
[connector.gateway]
type = "http"
profile = "generic"
url = "{url}"
sender = "+15550100"
allow_private = true
callback = "https://hub.example/in/gateway"
callback_secret = {{ file = "{secret}" }}
[connector.gateway.options]
success = '"ok": true'
id = '"id": "([^"]+)"'
"""


class Place:
    """A house with one gateway."""

    def __init__(self, houses: Houses) -> None:
        self.gateway = Gateway("generic", reactor)
        self._houses = houses
        (houses.state / "secret").write_text(SECRET)

    async def open(self) -> None:
        secret = self._houses.state / "secret"
        self.hub = await self._houses.start(TABLE.format(url=self.gateway.url, secret=secret))
        self.treq: Any = StubTreq(self.hub.connectors["gateway"].resource)

    async def call(self, path: str, query: str) -> int:
        """What the gateway's call is answered with."""
        codes: list[int] = []
        asking = self.treq.get(f"http://hub/{SECRET}/{path}?{query}")
        asking.addCallback(lambda answer: codes.append(answer.code))
        for _ in range(6000):
            self.treq.flush()
            if codes:
                return codes[0]
            await deferLater(reactor, 0.01, lambda: None)
        raise AssertionError("it was not answered")

    async def write(self) -> None:
        draft = Draft(
            uid="00000000-0000-4000-8000-000000000001", to=(Address("sms", "+15551234"),), text="Is there water?"
        )
        await self.hub.desk.write(HUB, draft)
        await until(lambda: self.gateway.asked)

    async def state(self) -> str:
        ((state,),) = await rows(self.hub, "SELECT state FROM msg_delivery_status")
        return str(state)

    async def becomes(self, state: str) -> None:
        await until(lambda: rows(self.hub, f"SELECT 1 FROM msg_delivery_status WHERE state = '{state}'"))


@pytest_twisted.async_yield_fixture
async def place(tmp_path):
    houses = Houses(tmp_path)
    made = Place(houses)
    await made.open()
    yield made
    await houses.stop()
    await made.gateway.stop()


@async_test
async def test_a_receipt_that_comes_before_the_sends_own_answer_counts(place: Place):
    place.gateway.mood = "silent"
    await place.write()
    assert await place.call("delivered", "id=g100") == 200
    assert await place.state() == "claimed"
    place.gateway.mood = "takes"
    place.gateway.answer_late()
    await place.becomes("delivered")


@async_test
async def test_a_receipt_for_our_own_reference_counts_at_once_and_the_answer_moves_nothing_back(place: Place):
    place.gateway.mood = "silent"
    await place.write()
    ref = place.gateway.asked[0].fields["id"]
    assert await place.call("delivered", f"ref={ref}") == 200
    assert await place.state() == "delivered"
    place.gateway.mood = "takes"
    place.gateway.answer_late()
    await until(lambda: rows(place.hub, "SELECT 1 FROM msg_delivery_part WHERE wire_id = 'g100'"))
    assert await place.state() == "delivered"


@pytest.mark.parametrize(
    ("order", "end"),
    [
        (("sent", "delivered"), "delivered"),
        (("delivered", "sent", "delivered", "failed"), "delivered"),
        (("failed", "sent", "delivered"), "failed"),
        (("expired", "expired"), "expired"),
    ],
)
@async_test
async def test_receipts_in_any_order_and_twice_never_move_a_text_back(place: Place, order: tuple[str, ...], end: str):
    await place.write()
    await place.becomes("sent")
    for state in order:
        assert await place.call(state, "id=g100") == 200
    assert await place.state() == end


@async_test
async def test_a_receipt_settles_what_had_no_answer(place: Place):
    place.gateway.mood = "resets"
    await place.write()
    await place.becomes("unknown")
    ref = place.gateway.asked[0].fields["id"]
    assert await place.call("delivered", f"ref={ref}") == 200
    assert await place.state() == "delivered"
    assert len(place.gateway.asked) == 1


@async_test
async def test_a_receipt_for_nothing_of_ours_is_taken_and_does_nothing(place: Place):
    assert await place.call("delivered", "id=never") == 200
    assert await place.call("delivered", "ref=d7.000000000007") == 200
    assert await rows(place.hub, "SELECT 1 FROM msg_delivery_status") == []


@async_test
async def test_a_text_is_committed_when_its_call_is_answered_and_taken_once(place: Place):
    calls = [Deferred.fromCoroutine(place.call("", "id=m1&from=15551234&text=None+since+noon")) for _ in range(3)]
    assert [await each for each in calls] == [200] * 3
    assert await rows(place.hub, "SELECT count(*) FROM msg_raw") == [(1,)]
    await until(lambda: rows(place.hub, "SELECT 1 FROM msg_log"))
    assert await place.call("", "id=m1&from=15551234&text=None+since+noon") == 200
    await deferLater(reactor, 0.1, lambda: None)
    assert await rows(place.hub, "SELECT sender, body FROM msg_log") == [("sms:+15551234", "None since noon")]
