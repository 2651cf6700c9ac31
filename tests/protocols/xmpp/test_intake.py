"""The waiting room: order, bounds, trying again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from msgserver.connector import TemporaryFailure
from msgserver.protocols.xmpp.intake import AT_ONCE, ROOM, TRIES, Intake, Work
from msgserver.wire.backoff import BackOff


class House:
    """Something to commit to: what fails, what hangs, what was told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.intake = Intake(self.clock, BackOff(1, 30, lambda: 0.5), self._changed)
        self.committed: list[str] = []
        self.refused: list[str] = []
        self.fail: list[Exception] = []
        self.hold: list[Deferred[None]] | None = None

    def _changed(self) -> None:
        self.changes += 1

    def put(self, sender: str, text: str) -> None:
        async def commit() -> None:
            if self.hold is not None:
                self.hold.append(Deferred())
                await self.hold[-1]
            if self.fail:
                raise self.fail.pop(0)

        self.intake.put(Work(sender, commit, lambda: self.committed.append(text), lambda _: self.refused.append(text)))


def test_a_sender_s_words_keep_their_order_and_others_do_not_wait() -> None:
    house = House()
    house.hold = []
    house.put("a", "a1")
    house.put("a", "a2")
    house.put("b", "b1")
    assert len(house.hold) == 2
    house.hold[1].callback(None)
    assert house.committed == ["b1"]
    house.hold[0].callback(None)
    assert len(house.hold) == 3
    house.hold[2].callback(None)
    assert house.committed == ["b1", "a1", "a2"]
    assert house.intake.waiting == 0


def test_so_many_at_once_and_no_more() -> None:
    house = House()
    house.hold = []
    for number in range(AT_ONCE + 10):
        house.put(f"s{number}", str(number))
    assert len(house.hold) == AT_ONCE


def test_a_full_room_tells_the_sender() -> None:
    house = House()
    house.hold = []
    for number in range(ROOM + 3):
        house.put("a", str(number))
    assert house.refused == [str(ROOM), str(ROOM + 1), str(ROOM + 2)]
    assert house.intake.waiting == ROOM
    held, house.hold = house.hold, None
    held[0].callback(None)  # a thousand that end at once are no thousand frames on the stack
    assert house.committed == [str(number) for number in range(ROOM)]


def test_what_cannot_be_stored_now_is_tried_again_ever_more_seldom() -> None:
    house = House()
    house.fail = [TemporaryFailure("full")] * 3
    house.put("a", "a1")
    house.put("b", "b1")
    assert house.intake.failing
    waits = []
    while house.clock.getDelayedCalls():
        (call,) = house.clock.getDelayedCalls()
        waits.append(round(call.getTime() - house.clock.seconds()))
        house.clock.advance(call.getTime() - house.clock.seconds())
    assert waits == [1, 2, 4]
    assert sorted(house.committed) == ["a1", "b1"]
    assert not house.intake.failing


def test_the_wish_of_the_house_is_heard() -> None:
    house = House()
    house.fail = [TemporaryFailure("busy", retry_after=9)]
    house.put("a", "a1")
    house.clock.advance(8.9)
    assert house.committed == []
    house.clock.advance(0.2)
    assert house.committed == ["a1"]


def test_one_that_breaks_the_house_each_time_is_given_back() -> None:
    house = House()
    house.fail = [ZeroDivisionError()] * TRIES
    house.put("a", "poison")
    house.put("a", "next")
    for _ in range(TRIES):
        house.clock.advance(31)
    assert house.refused == ["poison"]
    assert house.committed == ["next"]


def test_stopping_waits_for_what_is_under_way_and_leaves_nothing_scheduled() -> None:
    house = House()
    house.hold = []
    house.put("a", "a1")
    house.put("a", "a2")
    stopped = house.intake.stop()
    assert not stopped.called
    house.hold[0].callback(None)
    assert stopped.called
    assert house.committed == ["a1"]
    assert house.clock.getDelayedCalls() == []
    house.hold = None
    house.intake.resume()
    assert house.committed == ["a1", "a2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_nothing_is_lost_and_nobody_overtakes_himself(words: list[tuple[str, bool]]) -> None:
    house = House()
    for number, (sender, fails) in enumerate(words):
        if fails:
            house.fail.append(TemporaryFailure("later"))
        house.put(sender, f"{sender}{number:02}")
    for _ in range(len(words) + 1):
        house.clock.advance(40)
    assert sorted(house.committed) == sorted(f"{sender}{number:02}" for number, (sender, _) in enumerate(words))
    for sender in "abc":
        mine = [one for one in house.committed if one[0] == sender]
        assert mine == sorted(mine)
