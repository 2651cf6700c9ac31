"""What makes copies beside the way in: large audiences slice by slice, and digests by the clock."""

from __future__ import annotations

import itertools

import pytest_twisted
from sqlalchemy import text
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from msgserver.routing.bus import Bus
from msgserver.routing.digest import Digests
from msgserver.routing.spreading import Spreader
from msgserver.store import fanout, spreading
from msgserver.store.recording import record
from tests.store.people import NOW, connector, entity, member, plan, subscribe


def crowd(tx, count):
    connector(tx, "modem", "sms")
    group = entity(tx, "crowd", kind="group")
    member(tx, group, *(entity(tx, f"p{n}", f"sms:+{n}") for n in range(count)))
    return group


def states(tx):
    rows = tx.execute(text("SELECT state, waits_for, count(*) FROM msg_delivery_status GROUP BY state, waits_for"))
    return sorted(tuple(row) for row in rows)


def record_one(tx, **values):
    return record(tx, [plan(tx, "sms:+999", **values)])


async def until(condition):
    for _ in range(6000):
        if await condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it did not come")


@pytest_twisted.ensureDeferred
async def test_a_large_audience_is_written_when_the_bell_rings(store, monkeypatch):
    monkeypatch.setattr(fanout, "SLICE", 10)
    monkeypatch.setattr(spreading, "SLICE", 7)
    bus, rung = Bus(), []
    bus.listen(lambda _topic, names: rung.append(names), "delivery")
    group = await store.write(crowd, 30)
    spreader = Spreader(store, bus, "node", 100, reactor)
    spreader.start()
    await store.write(record_one, routes=(group,))
    bus.ring("delivery", ("*",))

    async def done():
        return not await store.read(spreading.waiting)

    await until(done)
    await spreader.stop()
    assert await store.read(states) == [("pending", "", 30)]
    assert ("modem",) in rung


@pytest_twisted.ensureDeferred
async def test_what_was_left_when_the_hub_ended_is_written_at_the_start_and_held_where_it_is_too_much(
    store, monkeypatch
):
    monkeypatch.setattr(fanout, "SLICE", 10)
    await store.write(lambda tx: record_one(tx, routes=(crowd(tx, 30),)))
    spreader = Spreader(store, Bus(), "node", 29, reactor)
    spreader.start()

    async def done():
        return not await store.read(spreading.waiting)

    await until(done)
    await spreader.stop()
    assert await store.read(states) == [("held", "person", 30)]


@pytest_twisted.ensureDeferred
async def test_digests_are_made_when_their_hour_comes_and_after_a_sleep(store):
    def prepare(tx):
        connector(tx, "modem", "sms")
        for n in range(3):
            subscribe(tx, entity(tx, f"p{n}", f"sms:+{n}"), "incident", digest="daily" if n else "hourly")
        record_one(tx, tags=("incident/flood",))

    await store.write(prepare)  # at 1970-01-12 13:46:40
    clock = Clock()
    clock.advance(NOW)
    numbers = itertools.count(1)
    rung = []
    bus = Bus()
    bus.listen(lambda _topic, names: rung.append(names), "delivery")

    def make():
        return Digests(store, bus, "Desk", lambda: f"0000-{next(numbers)}", clock)

    digests = make()
    digests.start()
    await digests.stop()
    assert await store.read(states) == [("held", "daily", 2), ("held", "hourly", 1)]
    digests = make()
    digests.start()

    async def looked():
        return clock.getDelayedCalls()

    await until(looked)
    clock.advance(15 * 60)  # over the full hour

    async def hourly():
        return ("held", "daily", 2) in (found := await store.read(states)) and ("pending", "", 1) in found

    await until(hourly)
    await digests.stop()
    assert rung
    clock.advance(3 * 24 * 3600)
    digests = make()
    digests.start()

    async def daily():
        return await store.read(states) == [("pending", "", 3), ("sent", "", 3)]

    await until(daily)
    await digests.stop()
    assert clock.getDelayedCalls() == []
