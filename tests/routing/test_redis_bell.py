"""The bell between processes, with a real Redis."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import deferLater

from msgserver.routing.bus import Bus
from msgserver.routing.redis_bell import LONGEST, MOST, RedisBell, understood
from tests.peers.redis import Redis


def message(sender: str = "b", **rings) -> bytes:
    return msgspec.json.encode({"from": sender, "rings": rings})


def test_only_rings_of_others_are_understood():
    assert understood(message(ticket=[1, 2], delivery=["mail"]), "a") == {"ticket": [1, 2], "delivery": ["mail"]}
    assert understood(message(sender="a", ticket=[1]), "a") is None
    assert understood(message(raw=[1], odd=["x"]), "a") == {}
    assert understood(message(ticket=list(range(MOST + 7))), "a") == {"ticket": list(range(MOST))}


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"\x80\x04K\x01.",
        b"[]",
        b'{"from": "b", "rings": {"ticket": [[1]]}}',
        message(ticket=["x" * LONGEST]),
        None,
        7,
    ],
)
def test_what_is_no_message_rings_nothing(forged):
    assert understood(forged, "a") == {}


@given(st.binary(max_size=200))
def test_understanding_is_total(forged):
    assert understood(forged, "a") in ({}, None)


async def until(holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        await deferLater(reactor, 0.02)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class House:
    """A bus with its bell, and what was heard on it."""

    def __init__(self, url: str) -> None:
        self.bus = Bus()
        self.heard: list[tuple[str, tuple[int | str, ...]]] = []
        self.bell = RedisBell(url, self.bus, reactor)
        self.bus.listen(lambda topic, ids: self.heard.append((topic, ids)), "ticket", "delivery")
        self.bell.startService()

    def has(self, *ids: int) -> bool:
        return any(topic == "ticket" and heard == ids for topic, heard in self.heard)


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_what_rings_in_one_process_is_heard_in_the_other_once(redis: Redis):
    here, there = House(redis.url), House(redis.url)
    elsewhere = House(redis.url.removesuffix("0") + "1")
    try:
        await until(lambda: all(("delivery", ("*",)) in one.heard for one in (here, there, elsewhere)), "connected")
        await until(lambda: here.bell._mouth.size and there.bell._mouth.size, "both can speak")
        for one in (here, there, elsewhere):
            one.heard.clear()
        here.bus.ring("ticket", (1, 2))
        here.bus.ring("ticket", (2, 3))
        await until(lambda: there.has(1, 2, 3), "heard")
        there.bus.ring("ticket", (9,))
        await until(lambda: here.has(9), "answered")
        assert here.heard == [("ticket", (1, 2)), ("ticket", (2, 3)), ("ticket", (9,))]
        assert there.heard == [("ticket", (1, 2, 3)), ("ticket", (9,))]
        assert elsewhere.heard == []
        redis.command("PUBLISH", "msgserver/0", "rubbish")
        redis.command("FLUSHALL")
        here.bus.ring("ticket", (4,))
        await until(lambda: there.has(4), "heard after rubbish")
    finally:
        for one in (here, there, elsewhere):
            await one.bell.stopService()


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_redis_that_goes_away_harms_nobody_and_is_found_again(redis: Redis):
    here, there = House(redis.url), House(redis.url)
    try:
        await until(lambda: all(("delivery", ("*",)) in one.heard for one in (here, there)), "connected")
        redis.stop()
        here.bus.ring("ticket", (1,))
        await until(lambda: not here.bell._mouth.size, "lost")
        for one in (here, there):
            one.heard.clear()
        redis.start()
        # Whoever was deaf meanwhile looks for what it did not hear.
        await until(lambda: all(("delivery", ("*",)) in one.heard for one in (here, there)), "found again", 180)
        await until(lambda: here.bell._mouth.size, "speaks again", 180)
        here.bus.ring("ticket", (2,))
        await until(lambda: there.has(2), "heard")
    finally:
        for one in (here, there):
            await one.bell.stopService()
