"""A station in the web and for programs, over a real queue."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import msgspec
import pytest

from msgserver.connector import TemporaryFailure
from msgserver.message import Address
from msgserver.protocols import manual
from msgserver.records import HUB, Draft, Priority, Role
from msgserver.routing.conversation import Tokens
from msgserver.routing.pull import PullLane
from msgserver.routing.render import envelope_of
from msgserver.store import connectors, deliveries
from msgserver.store.writing import write_draft
from msgserver.web.ask import Refusal
from msgserver.web.station import time_heard
from tests.fakes import FakeHub
from tests.web.conftest import NOW, Browser, Web


class Hub(FakeHub):
    """Takes and settles through a real lane; keeps what is heard."""

    lane: PullLane
    store: Any

    async def take(self, limit: int, only: Any = ()) -> Any:
        return await self.lane.take(limit, only)

    async def settle(self, envelope: Any, outcome: Any) -> None:
        await self.lane.settle(envelope, outcome)

    async def report(self, report: Any) -> None:
        from msgserver.records import DeliveryState, ReportRow

        row = ReportRow(
            connector="radio", state=DeliveryState(report.state.value), ref=report.ref, words=report.words, at=NOW
        )
        self.store.now(deliveries.report, [row])


class Desk:
    def __init__(self, web: Web, **changes: Any) -> None:
        self.web, self.hub = web, Hub()
        table = {"schemes": ["radio", "runner"], "nets": ["VHF 3"], **changes}
        self.station = manual.make_connector("radio", manual.Settings(**table), self.hub, web.clock)
        signer = Tokens(b"k" * 32)
        store = web.store

        class Batching:
            write = staticmethod(store.write)

            @staticmethod
            async def batch(unit: Any, item: Any) -> Any:
                return store.now(unit, [item])[0]

        self.hub.store = store
        self.hub.lane = PullLane(
            self.station,
            Batching(),  # type: ignore[arg-type]
            web.bus,
            "n1",
            lambda claimed, connector: envelope_of(claimed, connector.limits, signer, "Relief desk"),
            lambda: 0.5,
            web.clock,
        )
        self.hub.lane.startService()
        self.station.startService()
        web.house.connectors["radio"] = self.station
        store.now(connectors.put_status, "radio", "manual", "n1", True, "worked by hand", NOW, ["radio", "runner"])

    def write(self, to: str, text: str, priority: Priority = Priority.NORMAL) -> int:
        draft = Draft(uid=str(uuid.uuid4()), to=(Address.parse(to),), text=text, priority=priority)
        self.web.store.now(write_draft, HUB, draft, {"radio": "radio", "runner": "radio"}, NOW)
        return int(self.rows("SELECT max(id) FROM msg_delivery_status")[0][0])

    def rows(self, sql: str) -> list[Any]:
        return self.web.store.now(lambda tx: [tuple(row) for row in tx.exec_driver_sql(sql)])

    def state(self, number: int) -> tuple[str, str]:
        return self.rows(f"SELECT state, reason FROM msg_delivery_status WHERE id = {number}")[0]

    def stop(self) -> None:
        self.station.stopService()
        self.hub.lane.stopService()


@pytest.fixture
def desk(web: Web):
    made = Desk(web)
    yield made
    made.stop()


def press(browser: Browser, act: str, number: int, **fields: str) -> Any:
    token = browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]
    return browser.post(f"/stations/radio/{act}", csrf=token, delivery=str(number), **fields)


def test_the_queue_stands_in_the_order_in_which_it_is_to_be_read_out(web: Web, desk: Desk) -> None:
    first = desk.write("radio:Bravo 2", "Water comes at noon.")
    urgent = desk.write("radio:alpha", "Leave the bridge now.", Priority.URGENT)
    browser = web.signed_in("ana")
    page = browser.get("/stations/radio").text
    assert page.index("Leave the bridge now.") < page.index("Water comes at noon.")
    assert "Urgent" in page
    assert "bravo-2" in page
    answer = press(browser, "take", urgent)
    assert answer.status == 303
    assert answer.header("location") == f"/stations/radio?said=taken-text#d{urgent}"
    page = browser.get("/stations/radio").text
    assert "ana has it since" in page
    assert page.index("Being passed on") < page.index("To be passed on")
    assert desk.state(urgent)[0] == "claimed"
    assert desk.state(first)[0] == "pending"
    assert press(browser, "delivered", urgent, by="Alpha").status == 303
    assert desk.state(urgent) == ("delivered", "read back by Alpha (said ana)")
    page = browser.get("/stations/radio").text
    assert "read back by Alpha (said ana)" in page
    ticket = desk.rows(f"SELECT ticket_id FROM msg_delivery_status WHERE id = {urgent}")[0][0]
    assert "delivered: read back by Alpha" in browser.get(f"/tickets/{ticket}?view=all").text


def test_one_text_is_taken_by_one_person(web: Web, desk: Desk) -> None:
    number = desk.write("radio:alpha", "Hello")
    ana, ben = web.signed_in("ana"), web.signed_in("ben")
    assert press(ana, "take", number).status == 303
    assert press(ana, "take", number).status == 303
    answer = press(ben, "take", number)
    assert answer.status == 409
    assert "ana has it" in answer.text
    assert press(ben, "back", number).status == 303
    assert desk.state(number) == ("pending", "put back into the queue by ben")
    assert desk.rows(f"SELECT attempt FROM msg_delivery_status WHERE id = {number}") == [(0,)]
    assert press(ben, "take", number).status == 303


def test_what_cannot_be_delivered_needs_a_reason_and_can_be_queued_again(web: Web, desk: Desk) -> None:
    number = desk.write("runner:Shelter 3", "Hello")
    browser = web.signed_in("ana")
    assert press(browser, "failed", number, why="no answer").status == 409  # nobody has taken it
    assert press(browser, "take", number).status == 303
    answer = press(browser, "failed", number, why=" ")
    assert answer.status == 422
    assert "Say why" in answer.text
    assert press(browser, "failed", number, why="the road is flooded").status == 303
    assert desk.state(number) == ("failed", "the road is flooded (said ana)")
    page = browser.get("/stations/radio").text
    assert "the road is flooded" in page
    assert f'action="/deliveries/{number}/retry"' in page
    assert press(browser, "delivered", number, by="x").status == 409
    assert desk.state(number)[0] == "failed"


def test_what_nobody_spoke_of_is_shown_and_told_later(web: Web, desk: Desk) -> None:
    number = desk.write("radio:alpha", "Hello")
    browser = web.signed_in("ana")
    press(browser, "take", number)
    web.clock.advance(7201)
    assert desk.state(number)[0] == "unknown"
    page = browser.get("/stations/radio").text
    assert "Nobody said what became of it" in page
    assert press(browser, "back", number).status == 409
    assert press(browser, "delivered", number, by="Alpha").status == 303
    assert desk.state(number)[0] == "delivered"


def test_what_expired_is_shown(web: Web, desk: Desk) -> None:
    number = desk.write("radio:alpha", "Hello")
    web.store.now(
        lambda tx: tx.exec_driver_sql(f"UPDATE msg_delivery_status SET expires = {NOW - 5} WHERE id={number}")
    )
    web.store.now(deliveries.expire, NOW)
    page = web.signed_in("ana").get("/stations/radio").text
    assert "Nothing to pass on" in page
    assert "expired" in page


def test_another_connectors_delivery_is_not_touched(web: Web, desk: Desk) -> None:
    web.store.now(
        write_draft, HUB, Draft(uid="x", to=(Address("sms", "+15551234"),), text="Hi"), {"sms": "modem1"}, NOW
    )
    number = desk.rows("SELECT max(id) FROM msg_delivery_status")[0][0]
    browser = web.signed_in("ana")
    for act in ("take", "delivered", "back"):
        assert press(browser, act, number).status == 404
    assert desk.state(number)[0] == "pending"
    assert browser.get("/stations/modem1").status == 404


def test_what_was_heard_is_logged_once(web: Web, desk: Desk) -> None:
    browser = web.signed_in("ana")
    form = {"from": "Bravo 2", "text": "Forty people on the roof", "net": "VHF 3", "at": "", "scheme": "radio"}
    once = "7d4b3f60-0000-4000-8000-000000000000"
    for _ in range(2):
        answer = browser.submit("/stations/radio", "/stations/radio/heard", **form, once=once)
        assert answer.status == 303, answer.text
    (arrival,) = desk.hub.arrivals
    assert (arrival.sender, arrival.text, arrival.sent_at) == (Address("radio", "bravo-2"), form["text"], NOW)
    assert arrival.facts == {"heard by": "ana", "net": "VHF 3"}
    for wrong, words in (({"from": ""}, "who said it"), ({"at": "25:99"}, "is no time"), ({"from": "a\x07"}, "logged")):
        answer = browser.submit("/stations/radio", "/stations/radio/heard", **{**form, **wrong})
        assert answer.status == 422
        assert words in answer.text
        assert form["text"] in answer.text
    assert len(desk.hub.arrivals) == 1
    desk.hub.failures.append(TemporaryFailure("The disk is full."))
    answer = browser.submit("/stations/radio", "/stations/radio/heard", **form)
    assert answer.status == 503
    assert "The disk is full" in answer.text


def test_a_reader_may_not_work_it_and_the_channels_page_leads_there(web: Web, desk: Desk) -> None:
    reader = web.signed_in("rita", role=Role.READER)
    assert reader.get("/stations/radio").status == 403
    assert "/stations/radio" not in reader.get("/channels").text
    operator = web.signed_in("otto", role=Role.OPERATOR)
    assert 'href="/stations/radio"' in operator.get("/channels").text
    assert operator.get("/stations/radio").status == 200


def test_programs_work_it_too(web: Web, desk: Desk) -> None:
    token = web.token(web.user("ana"))
    browser = web.browser()
    bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: Any = None, **more: str) -> Any:
        content = msgspec.json.encode(body) if body is not None else b""
        return browser.send(method, f"/api/v1/connectors/radio/{path}", content, {**bearer, **more})

    number = desk.write("radio:alpha", "Hello")
    (item,) = ask("GET", "queue").json["items"]
    assert (item["delivery"], item["state"], item["address"], item["taken_by"]) == (
        number,
        "pending",
        "radio:alpha",
        "",
    )
    taken = ask("POST", f"queue/{number}/take").json
    assert (taken["state"], taken["taken_by"]) == ("claimed", "ana")
    assert "Hello" in taken["text"]
    assert ask("POST", f"queue/{number}/failed", {"why": ""}).status == 422
    assert ask("POST", f"queue/{number}/back").json["state"] == "pending"
    assert ask("POST", f"queue/{number}/delivered", {}).status == 409
    ask("POST", f"queue/{number}/take")
    assert ask("POST", f"queue/{number}/delivered", {"by": "Alpha"}).json["state"] == "delivered"
    assert ask("POST", "queue/999/take").status == 404
    for _ in range(2):
        heard = ask("POST", "heard", {"from": "Bravo 2", "text": "Hi", "at": NOW - 60}, **{"Idempotency-Key": "k1"})
        assert heard.status == 204
    (arrival,) = desk.hub.arrivals
    assert arrival.sent_at == NOW - 60
    assert ask("POST", "heard", {"from": "Bravo 2", "text": "Hi", "at": NOW + 3600}).status == 422
    assert ask("POST", "heard", {"from": "", "text": "Hi"}).status == 422


def test_a_time_is_the_last_time_it_was_so() -> None:
    now = datetime.datetime(2026, 11, 24, 14, 5).astimezone().timestamp()
    assert time_heard("", now) == now
    assert time_heard("14:00", now) == now - 300
    assert time_heard("1400", now) == now - 300
    assert time_heard("14:06", now) == now  # a clock that runs a minute ahead
    assert time_heard("23:05", now) == now - 15 * 3600
    assert time_heard("2026-11-24 13:05", now) == now - 3600
    for words in ("soon", "24:00", "9:7", "2026-11-25 10:00", "9999-99-99"):
        with pytest.raises(Refusal):
            time_heard(words, now)
