"""The station that people work: what they take and say, and what the house hears of it."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from msgserver.connector import IStation, NotConnected, PermanentFailure, TemporaryFailure
from msgserver.message import Address, Envelope, Heard, Receipt
from msgserver.protocols import manual
from tests.fakes import FakeHub

async_test = pytest_twisted.ensureDeferred


def envelope(n: int) -> Envelope:
    return Envelope(ref=f"d{n}.abc", attempt=1, sender="Desk", to=Address("radio", "bravo-2"), text=f"text {n}")


class Station:
    def __init__(self, **changes: Any) -> None:
        self.hub, self.clock = FakeHub(), Clock()
        self.clock.advance(1_790_000_000.0)
        self.it = manual.make_connector("radio", manual.Settings(**changes), self.hub, self.clock)
        self.it.startService()
        self.hub.outgoing.extend(envelope(n) for n in (1, 2, 3))


def test_it_is_a_station():
    verifyObject(IStation, Station(nets=["VHF 3"]).it)


@async_test
async def test_a_text_is_taken_by_one_person_and_passed_on():
    station = Station()
    taken = await station.it.take("ana", "d2.abc")
    assert taken is not None
    assert taken.text == "text 2"
    assert await station.it.take("ben", "d2.abc") is None
    assert station.it.taken["d2.abc"].who == "ana"
    assert station.it.status.gauges == {"being passed on": 1.0}
    station.clock.advance(60)
    await station.it.delivered("ana", "d2.abc", "Bravo 2")
    ((settled, outcome),) = station.hub.settled
    assert settled is taken
    assert outcome == Receipt(final=True, delivered=True, words="read back by Bravo 2 (said ana)")
    assert not station.it.taken
    assert station.it.status.gauges == {}
    assert station.hub.reports == []
    assert [each.ref for each in station.hub.outgoing] == ["d1.abc", "d3.abc"]


@async_test
async def test_what_cannot_be_passed_on_has_a_reason_and_what_is_put_back_uses_up_nothing():
    station = Station()
    for ref in ("d1.abc", "d2.abc"):
        await station.it.take("ana", ref)
    await station.it.failed("ana", "d1.abc", "no answer for an hour")
    await station.it.put_back("ben", "d2.abc")
    (_, failed), (_, put_back) = station.hub.settled
    assert type(failed) is PermanentFailure
    assert str(failed) == "no answer for an hour (said ana)"
    assert type(put_back) is NotConnected
    assert "by ben" in str(put_back)
    await station.it.put_back("ben", "d2.abc")
    assert len(station.hub.settled) == 2


@async_test
async def test_what_nobody_spoke_of_is_let_go_and_can_still_be_told():
    station = Station(patience=3600.0)
    await station.it.take("ana", "d1.abc")
    station.clock.advance(3599)
    assert station.it.taken
    station.clock.advance(2)
    assert not station.it.taken
    await station.it.delivered("ben", "d1.abc", "")
    await station.it.failed("ben", "d2.abc", "gone")
    assert station.hub.settled == []
    told = [(report.ref, str(report.state), report.words) for report in station.hub.reports]
    assert told == [("d1.abc", "delivered", "passed on (said ben)"), ("d2.abc", "failed", "gone (said ben)")]


@async_test
async def test_what_cannot_be_written_down_stays_in_the_hand(monkeypatch):
    station = Station()
    await station.it.take("ana", "d1.abc")

    async def busy(*_: Any) -> None:
        raise TemporaryFailure("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(station.hub, "settle", busy)
        for saying in (
            station.it.delivered("ana", "d1.abc", "x"),
            station.it.failed("ana", "d1.abc", "x"),
            station.it.put_back("ana", "d1.abc"),
        ):
            with pytest.raises(TemporaryFailure):
                await saying
    assert "d1.abc" in station.it.taken
    await station.it.delivered("ana", "d1.abc", "x")
    assert not station.it.taken


@async_test
async def test_stopped_it_hands_out_nothing():
    station = Station()
    await station.it.take("ana", "d1.abc")
    station.it.stopService()
    assert not station.it.taken
    assert await station.it.take("ana", "d2.abc") is None
    assert station.clock.getDelayedCalls() == []


@async_test
async def test_what_was_heard_arrives_once():
    station = Station(schemes=["radio", "tel", "runner"], nets=["VHF 3"])
    heard = Heard(name="f1", sender="Bravo  2", text="Forty people\r\non the roof", net="VHF 3", at=1_789_999_000.0)
    for _ in range(2):
        await station.it.heard("ana", heard)
    await station.it.heard("ana", Heard(name="f2", sender="+1 555 1234", scheme="tel", text="hello"))
    await station.it.heard("ana", Heard(name="f3", sender="Shelter 3", scheme="runner", to="The Doctor", text="water"))
    await station.it.heard("ana", Heard(name="f4", sender="bravo 2", scheme="smtp", text="again"))
    first, second, third, fourth = station.hub.arrivals
    assert (first.sender, first.sender_name) == (Address("radio", "bravo-2"), "Bravo  2")
    assert first.recipients == (Address("radio", "command-post"),)
    assert (first.text, first.sent_at) == ("Forty people\non the roof", 1_789_999_000.0)
    assert first.facts == {"heard by": "ana", "net": "VHF 3"}
    assert (second.sender, second.sender_name) == (Address("tel", "+15551234"), "")
    assert third.sender == Address("runner", "shelter-3")
    assert third.recipients == (Address("runner", "the-doctor"),)
    assert fourth.sender == first.sender


@async_test
async def test_a_name_that_is_none_is_refused_in_words():
    station = Station()
    for name in ("", "  ", "a\x07b", "x" * 400):
        with pytest.raises(ValueError, match="not an address"):
            await station.it.heard("ana", Heard(name="f", sender=name, text="x"))
    assert station.hub.arrivals == []
