"""A lane against a connector that does as it is told, on a clock of its own."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from msgserver.connector import Limits, Mode, NotConnected, PermanentFailure, Status, TemporaryFailure, Unknown
from msgserver.message import Attachment, Envelope, Receipt
from msgserver.records import Claimed, DeliveryState, Settlement
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens
from msgserver.routing.lane import FINISH, POLL, Lane
from msgserver.routing.outbox import Outbox
from msgserver.routing.outcomes import settlement
from msgserver.routing.pull import PullLane
from msgserver.routing.render import envelope_of
from msgserver.store import deliveries, standing_in
from msgserver.store.door import Busy
from tests.routing.test_render import claimed

SIGNER = Tokens(b"k" * 32)


class Door:
    """The store's door as a lane knows it: claims come out of ``pending``, settlements go into ``settled``."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.pending: deque[tuple[float, Claimed]] = deque()
        self.settled: list[Settlement] = []
        self.claims: list[int] = []
        self.failures: deque[Exception] = deque()
        self.calls: list[str] = []
        self.elsewhere: deque[int] = deque()  # what waits for a connector that cannot send
        self.groups: list[int] = []  # how many were settled at once
        self.poison: set[int] = set()  # deliveries of which nothing can be written
        self.held: Deferred[None] | None = None
        self.most = 1000  # that one claim gives

    def add(self, *ids: int, at: float = 0.0, **changes: object) -> None:
        self.pending.extend((at, claimed(id=n, address=f"loop:{n}", **changes)) for n in ids)

    def _due(self) -> list[tuple[float, Claimed]]:
        return [entry for entry in self.pending if entry[0] <= self.clock.seconds()]

    async def read(self, query: Any, *args: Any) -> Any:
        if query is standing_in.waiting_elsewhere:
            return bool(self.elsewhere)
        assert query is deliveries.due
        return min((at for at, _ in self.pending), default=None)

    async def write(self, unit: Any, *args: Any) -> Any:
        self.calls.append(unit.__name__)
        if self.failures:
            raise self.failures.popleft()
        if unit is deliveries.claim:
            taken = self._due()[: min(args[2], self.most)]
            self.claims.append(args[2])
            for entry in taken:
                self.pending.remove(entry)
            return [one for _, one in taken]
        if unit is standing_in.take_over:
            taken = [self.elsewhere.popleft() for _ in range(min(args[1], len(self.elsewhere)))]
            self.add(*taken)
            return len(taken)
        if unit is deliveries.settle:
            return await self._settle(args[0])
        return 0

    async def batch(self, unit: Any, item: Any) -> Any:
        assert unit is deliveries.settle
        if self.failures:
            raise self.failures.popleft()
        return (await self._settle([item]))[0]

    async def _settle(self, items: list[Settlement]) -> list[bool]:
        if self.held is not None:
            await self.held
        if any(item.delivery_id in self.poison for item in items):
            raise ValueError("this cannot be written")
        self.groups.append(len(items))
        self.settled += items
        return [True] * len(items)


class Told:
    """A connector whose sends wait until the test answers them."""

    name = "told"
    schemes = ("loop",)

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**{"concurrency": 2, "deadline": 30.0, **limits})
        self.status = Status(able=True, words="", since=0.0)
        self.sent: list[Envelope] = []
        self.answers: list[Deferred[Receipt]] = []
        self.outcome: Any = None

    async def send(self, envelope: Envelope) -> Receipt:
        self.sent.append(envelope)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome is not None:
            return self.outcome
        self.answers.append(Deferred())
        return await self.answers[-1]


class House:
    """A started lane with its surroundings."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.door = Door(self.clock)
        self.bus = Bus()
        self.connector = Told(**limits)
        kind = PullLane if limits.get("mode") is Mode.PULL else Lane
        self.lane = kind(
            self.connector,
            self.door,
            self.bus,
            "node",
            lambda one, connector: envelope_of(one, connector.limits, SIGNER, "hub"),
            lambda: 0.5,
            self.clock,
        )

    def start(self) -> House:
        self.lane.startService()
        self.pass_time(0.0)
        return self

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(0)
        whole = int(seconds)
        for _ in range(whole):
            self.clock.advance(1)
        self.clock.advance(seconds - whole)
        for _ in range(5):
            self.clock.advance(0)

    @property
    def states(self) -> list[DeliveryState]:
        return [one.state for one in self.door.settled]


def test_it_claims_no_more_than_it_has_free_slots():
    house = House()
    house.door.add(1, 2, 3)
    house.start()
    assert [one.ref[:3] for one in house.connector.sent] == ["d1.", "d2."]
    assert len(house.door.pending) == 1
    house.connector.answers[0].callback(Receipt(wire_ids=("w1",), words="250 ok"))
    house.pass_time(0)
    assert len(house.connector.sent) == 3
    (one,) = house.door.settled
    assert (one.delivery_id, one.state, one.wire_ids, one.reason) == (1, DeliveryState.SENT, ("w1",), "250 ok")
    assert one.text_hash


def test_the_bell_wakes_it_and_so_does_the_clock():
    house = House().start()
    house.door.add(1)
    house.lane.wake()
    house.pass_time(0)
    assert len(house.connector.sent) == 1
    house.door.add(2)
    house.pass_time(POLL)
    assert len(house.connector.sent) == 2


def test_it_wakes_when_the_next_one_is_due():
    house = House().start()
    house.door.add(1, at=house.clock.seconds() + 2.0)
    house.lane.wake()
    house.pass_time(1.9)
    assert house.connector.sent == []
    house.pass_time(0.1)
    assert len(house.connector.sent) == 1


def test_while_the_connector_is_not_able_nothing_is_claimed():
    house = House()
    house.connector.status = Status(able=False, words="no line", since=0.0)
    house.door.add(1)
    house.start()
    house.pass_time(60)
    assert house.door.claims == []
    house.connector.status = Status(able=True, words="", since=0.0)
    house.lane.changed()
    house.pass_time(0)
    assert len(house.connector.sent) == 1


def test_while_it_is_paused_nothing_is_claimed():
    house = House()
    house.lane.paused = True
    house.door.add(1)
    house.start()
    house.pass_time(60)
    assert house.door.claims == []
    house.lane.paused = False
    house.lane.wake()
    house.pass_time(0)
    assert len(house.connector.sent) == 1


def test_not_connected_uses_no_attempt_and_holds_the_lane_until_it_changed():
    house = House(concurrency=1)
    house.connector.outcome = NotConnected("no line")
    house.door.add(1, 2)
    house.start()
    (one,) = house.door.settled
    assert (one.state, one.uses_attempt, one.next_attempt) == (DeliveryState.PENDING, False, house.clock.seconds())
    house.pass_time(1.5)
    assert len(house.connector.sent) == 1
    house.connector.outcome = Receipt()
    house.lane.changed()
    house.pass_time(0)
    assert len(house.connector.sent) == 2


def test_trouble_again_and_again_slows_the_lane_and_success_ends_that():
    house = House(concurrency=1)
    house.connector.outcome = TemporaryFailure("421 busy")
    house.door.add(*range(100))
    house.start()
    house.pass_time(60)
    assert 5 <= len(house.connector.sent) <= 12
    house.connector.outcome = Receipt()
    house.pass_time(120)
    assert len(house.connector.sent) == 100


def test_past_the_deadline_it_is_unknown():
    house = House(repeat_unknown=True)
    house.door.add(1)
    house.start()
    house.pass_time(30)
    (one,) = house.door.settled
    assert one.state is DeliveryState.UNKNOWN
    assert "no answer within 30 s" in one.reason
    assert one.next_attempt == house.clock.seconds() + 60
    assert house.connector.answers[0].called


def test_a_connector_that_says_better_at_its_deadline_is_believed():
    house = House()

    async def send(envelope: Envelope) -> Receipt:
        try:
            await Deferred()
        except CancelledError:
            raise TemporaryFailure("nothing had gone out") from None
        raise AssertionError

    house.connector.send = send  # type: ignore[method-assign]
    house.door.add(1)
    house.start()
    house.pass_time(30)
    assert house.states == [DeliveryState.PENDING]


def test_a_connector_that_ignores_its_deadline_is_unknown_too_and_its_late_answer_changes_nothing():
    house = House()
    late: Deferred[Receipt] = Deferred()

    async def send(envelope: Envelope) -> Receipt:
        try:
            await Deferred()
        except CancelledError:
            return await late
        raise AssertionError

    house.connector.send = send  # type: ignore[method-assign]
    house.door.add(1)
    house.start()
    house.pass_time(31)
    late.callback(Receipt())
    assert house.states == [DeliveryState.UNKNOWN]


def test_a_mistake_in_a_connector_is_temporary_ten_times():
    house = House()
    house.connector.outcome = ZeroDivisionError("oops")
    house.door.add(1)
    house.door.add(2, attempt=10)
    house.start()
    assert house.states == [DeliveryState.PENDING, DeliveryState.FAILED]
    assert "mistake" in house.door.settled[0].reason


def test_what_cannot_be_put_into_words_harms_no_other():
    house = House()
    house.connector.outcome = Receipt()
    house.door.add(1)
    house.door.pending.append((0.0, claimed(id=2, address="nonsense")))
    house.door.add(3)
    house.start()
    house.pass_time(0)
    assert sorted((one.delivery_id, one.state) for one in house.door.settled) == [
        (1, DeliveryState.SENT), (2, DeliveryState.PENDING), (3, DeliveryState.SENT),
    ]  # fmt: skip


def test_the_rate_is_kept():
    house = House(concurrency=50, rate=2.0)
    house.connector.outcome = Receipt()
    house.door.add(*range(100))
    house.start()
    before = len(house.connector.sent)
    house.pass_time(10)
    assert before <= 2
    assert 18 <= len(house.connector.sent) - before <= 22


def test_a_store_that_is_busy_forgets_no_outcome():
    house = House()
    house.connector.outcome = Receipt()
    house.door.add(1)
    house.door.failures.append(Busy("claim"))
    house.start()
    assert house.connector.sent == []
    house.pass_time(POLL)
    assert house.states == [DeliveryState.SENT]
    house.connector.outcome = None
    house.door.add(2)
    house.pass_time(POLL)
    house.door.failures.append(Busy("settle"))
    house.connector.answers[0].callback(Receipt())
    house.pass_time(1)
    assert house.states == [DeliveryState.SENT] * 2


def test_what_ends_while_the_store_writes_is_settled_together():
    house = House(concurrency=8)
    house.door.add(*range(8))
    house.start()
    writing = house.door.held = Deferred()
    first, *others = house.connector.answers
    first.callback(Receipt())
    house.clock.advance(0)
    for answer in others:
        answer.callback(Receipt())
    assert house.lane.under_way == 8
    house.door.held = None
    writing.callback(None)
    house.pass_time(0)
    assert house.door.groups == [1, 7]
    assert house.lane.under_way == 0


def test_the_next_are_claimed_while_the_last_are_settled_and_a_slow_store_bounds_that():
    house = House(concurrency=2)
    house.connector.outcome = Receipt()
    house.door.held = Deferred()
    house.door.add(*range(10))
    house.start()
    house.pass_time(0)
    assert len(house.connector.sent) == 4
    assert house.lane.under_way == 4
    house.pass_time(POLL)
    assert len(house.connector.sent) == 4
    held, house.door.held = house.door.held, None
    held.callback(None)
    house.pass_time(0)
    assert len(house.connector.sent) == 10
    assert house.lane.under_way == 0
    assert house.states == [DeliveryState.SENT] * 10


def test_what_takes_much_memory_is_not_claimed_in_numbers():
    house = House(concurrency=100)
    house.connector.limits = msgspec.structs.replace(house.connector.limits, attachments=True)
    house.door.add(
        *range(100), attachments=(Attachment("m.pdf", "application/pdf", bytes(4 << 20)),), attachment_ids=(1,)
    )
    house.door.most = 4  # as the store gives of such
    house.start()
    house.pass_time(POLL)
    assert len(house.connector.sent) == 8
    for answer in house.connector.answers[:4]:
        answer.callback(Receipt())
    house.pass_time(0.1)
    assert len(house.connector.sent) == 12
    house.connector.outcome = Receipt()
    for answer in house.connector.answers[4:]:
        answer.callback(Receipt())
    house.pass_time(0.1)
    assert len(house.connector.sent) == 100


def test_an_outcome_that_cannot_be_written_harms_no_other():
    house = House(concurrency=3)
    house.connector.outcome = Receipt()
    house.door.poison.add(2)
    house.door.add(1, 2, 3)
    house.start()
    house.pass_time(0)
    assert [one.delivery_id for one in house.door.settled] == [1, 3]
    assert house.lane.under_way == 0


def test_after_a_hold_it_goes_on_at_full_speed():
    house = House(concurrency=1)
    house.connector.outcome = NotConnected("no line")
    house.door.add(*range(20))
    house.start()
    house.connector.outcome = Receipt()
    house.pass_time(3)
    assert len(house.connector.sent) == 20


def test_stopping_waits_for_what_is_under_way_and_claims_no_more():
    house = House()
    house.door.add(1, 2, 3)
    house.start()
    stopped: list[Any] = []
    house.lane.stopService().addCallback(stopped.append)
    assert stopped == []
    for answer in house.connector.answers:
        answer.callback(Receipt())
    house.pass_time(0)
    assert stopped == [None]
    assert len(house.connector.sent) == 2
    assert house.clock.getDelayedCalls() == []


def test_what_does_not_end_in_ten_seconds_is_cut_off_and_unknown():
    house = House()
    house.door.add(1)
    house.start()
    stopped: list[Any] = []
    house.lane.stopService().addCallback(stopped.append)
    house.pass_time(FINISH)
    assert stopped == [None]
    assert house.states == [DeliveryState.UNKNOWN]
    assert "hub stopped" in house.door.settled[0].reason
    assert house.clock.getDelayedCalls() == []


def test_settling_rings_for_the_message_and_its_ticket():
    house = House()
    heard: list[Any] = []
    house.bus.listen(lambda topic, ids: heard.append((topic, ids)))
    house.connector.outcome = Receipt()
    house.door.add(1, message_id=3, ticket_id=42)
    house.start()
    assert heard == [("message", (3,)), ("ticket", (42,))]


# --- what outcomes mean ----------


@pytest.mark.parametrize(
    ("outcome", "state", "wait"),
    [
        (Receipt(final=True), DeliveryState.SENT, None),
        (TemporaryFailure("later"), DeliveryState.PENDING, 15.0),
        (TemporaryFailure("later", 600.0), DeliveryState.PENDING, 600.0),
        (PermanentFailure("never", bad_address=True), DeliveryState.FAILED, None),
        (Unknown("lost"), DeliveryState.UNKNOWN, None),
        (KeyError("x"), DeliveryState.PENDING, 15.0),
    ],
)
def test_outcomes(outcome, state, wait):
    ended = settlement(claimed(address="sms:+1"), outcome, "", Limits(), 100.0, 0.5)
    assert ended.state is state
    assert ended.next_attempt == (None if wait is None else 100.0 + wait)
    assert ended.bad_address == isinstance(outcome, PermanentFailure)
    assert ended.uses_attempt


def test_a_schedule_that_is_used_up_is_a_failure_in_words():
    ended = settlement(claimed(attempt=99), TemporaryFailure("421 busy"), "", Limits(), 0.0, 0.5)
    assert (ended.state, ended.reason) == (DeliveryState.FAILED, "given up after 99 tries: 421 busy")


# --- pull ----------


def take(house: House, limit: int = 10) -> list[Envelope]:
    taken: list[Any] = []
    Deferred.fromCoroutine(house.lane.take(limit)).addCallback(taken.extend)
    return taken


def test_a_pull_connector_takes_and_settles():
    house = House(mode=Mode.PULL).start()
    house.door.add(1, 2, 3)
    first, second = take(house, 2)
    Deferred.fromCoroutine(house.lane.settle(first, Receipt()))
    Deferred.fromCoroutine(house.lane.settle(first, PermanentFailure("twice")))
    Deferred.fromCoroutine(house.lane.settle(second, TemporaryFailure("later")))
    assert house.states == [DeliveryState.SENT, DeliveryState.PENDING]
    assert len(house.door.pending) == 1
    house.lane.stopService()
    assert house.clock.getDelayedCalls() == []


def test_what_was_taken_and_not_settled_becomes_unknown():
    house = House(mode=Mode.PULL, deadline=300.0).start()
    house.door.add(1)
    take(house)
    house.pass_time(300)
    assert house.states == [DeliveryState.UNKNOWN]
    assert house.lane.under_way == 0


def test_a_paused_pull_lane_hands_out_nothing():
    house = House(mode=Mode.PULL).start()
    house.door.add(1)
    house.lane.paused = True
    assert take(house) == []


# --- the outbox ----------


def test_the_outbox_wakes_the_lane_that_is_rung_for_and_sweeps():
    clock = Clock()
    door, bus, connector = Door(clock), Bus(), Told(repeat_unknown=True)
    connector.outcome = Receipt()
    render = lambda one, connector: envelope_of(one, connector.limits, SIGNER, "hub")  # noqa: E731
    outbox = Outbox(door, bus, "node", render, lambda: 0.5, clock)
    outbox.add(connector)
    outbox.startService()
    clock.advance(0)
    assert {"heartbeat", "expire", "sweep_unknown"} <= set(door.calls)
    door.add(1)
    bus.ring("delivery", ("another",))
    clock.advance(0)
    assert connector.sent == []
    bus.ring("delivery", ("told",))
    clock.advance(0)
    assert len(connector.sent) == 1
    door.add(2)
    bus.ring("delivery", ("*",))
    clock.advance(0)
    assert len(connector.sent) == 2
    outbox.stopService()
    clock.advance(0)
    assert clock.getDelayedCalls() == []


def test_a_lane_with_nothing_to_do_stands_in_with_no_more_than_it_can_send_at_once():
    house = House(stand_in=True)
    house.connector.outcome = Receipt(("w",))
    house.door.elsewhere.extend(range(1, 8))
    house.start().pass_time(POLL)
    assert [one.delivery_id for one in house.door.settled] == [1, 2, 3, 4, 5, 6, 7]
    assert max(house.door.claims) == 2


def test_what_waits_elsewhere_is_looked_for_now_and_then():
    house = House(stand_in=True).start()
    house.door.elsewhere.append(1)
    house.lane.wake()
    house.pass_time(1)
    assert len(house.door.elsewhere) == 1
    house.pass_time(POLL)
    assert not house.door.elsewhere


def test_a_lane_that_does_not_stand_in_or_cannot_send_takes_nothing_over():
    for house in (House(), House(stand_in=True)):
        if house.connector.limits.stand_in:
            house.connector.status = Status(able=False, words="", since=0.0)
        house.door.elsewhere.extend([1, 2])
        house.start().pass_time(3 * POLL)
        assert len(house.door.elsewhere) == 2
