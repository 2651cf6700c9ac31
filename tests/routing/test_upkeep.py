from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from msgserver.routing.bus import Bus
from msgserver.routing.upkeep import DAY, FIRST, Upkeep
from msgserver.store import blobs
from msgserver.store.door import Busy


class Door:
    """Remembers what was asked of it."""

    def __init__(self, gone=()):
        self.asked, self.gone, self.busy = [], list(gone), False

    async def write(self, unit, *args):
        if self.busy:
            raise Busy("too much waits")
        self.asked.append(unit.__name__)
        return self.gone if unit.__name__ == "retire" else 0

    async def read(self, query, *args):
        self.asked.append(query.__name__)
        return 1


def running(door):
    clock, bus = Clock(), Bus()
    rung = []
    bus.listen(lambda topic, names: rung.append((topic, *names)), "connector", "delivery")
    one = Upkeep(door, bus, "node", ["mail"], clock)
    ensureDeferred(one.start())
    return one, clock, rung


def test_connectors_that_are_gone_are_let_go_of_at_once_and_the_rest_waits_a_little():
    door = Door(gone=["old"])
    one, clock, rung = running(door)
    assert door.asked == ["retire"]
    clock.advance(1)
    assert rung == [("connector", "old"), ("delivery", "*")]
    clock.advance(FIRST)
    assert door.asked[1:4] == ["retire", "forget_old", "forget_expired"]
    assert door.asked.count("sweep") == len(blobs.FOLDERS) == 256
    one.stop()
    assert clock.getDelayedCalls() == []


def test_what_the_store_refuses_is_done_on_the_next_day():
    door = Door()
    one, clock, _ = running(door)
    door.busy = True
    clock.advance(FIRST)
    door.busy = False
    door.asked.clear()
    clock.advance(DAY - 1)
    assert door.asked == []
    clock.advance(1)
    assert "sweep" in door.asked
    one.stop()
    assert clock.getDelayedCalls() == []


def test_stopped_before_its_first_round_it_begins_none():
    door = Door()
    one, clock, _ = running(door)
    one.stop()
    clock.advance(2 * DAY)
    assert door.asked == ["retire"]
