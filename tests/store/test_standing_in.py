"""What waits for a modem that cannot send goes by another one."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.records import HUB, Priority
from msgserver.store import connectors, standing_in
from msgserver.store.recording import record
from tests.store.people import NOW, entity, plan

SINCE = NOW - 3600.0


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def says(tx, name, able=True, words="connected", kind="gsm", schemes=("sms",), at=NOW):
    connectors.put_status(tx, name, kind, "n1", able, words, at, schemes)


@pytest.fixture
def waiting(tx):
    """``waiting(n)``: n deliveries by modem1, which is down, the last one urgent; modem2 is there."""
    says(tx, "modem1", at=SINCE)
    people = [entity(tx, f"P{n}", f"sms:+100{n}") for n in range(4)]

    def make(count):
        record(tx, [plan(tx, "sms:+1", routes=tuple(people[: count - 1]))])
        record(tx, [plan(tx, "sms:+2", routes=(people[count - 1],), priority=Priority.URGENT)])
        says(tx, "modem1", False, "no device", at=NOW - 60)
        says(tx, "modem1", False, "no device")
        says(tx, "modem2")

    return make


def ways(tx):
    return list(tx.execute(text("SELECT connector FROM msg_delivery_status ORDER BY id")).scalars())


def test_the_most_urgent_is_taken_over_and_no_more_than_asked_for(tx, waiting):
    waiting(3)
    assert standing_in.waiting_elsewhere(tx, "modem2", NOW)
    assert standing_in.take_over(tx, "modem2", 1, NOW) == 1
    assert ways(tx) == ["modem1", "modem1", "modem2"]
    assert standing_in.take_over(tx, "modem2", 9, NOW) == 2
    assert ways(tx) == ["modem2"] * 3
    assert not standing_in.waiting_elsewhere(tx, "modem2", NOW)
    told = tx.execute(text("SELECT DISTINCT words FROM msg_delivery_event")).scalars().all()
    assert told == ["modem2 stands in for modem1: no device"]


def test_a_line_that_blinks_moves_nothing(tx, waiting):
    waiting(1)
    says(tx, "modem1", at=NOW)
    says(tx, "modem1", False, "the device is gone", at=NOW)
    assert not standing_in.waiting_elsewhere(tx, "modem2", NOW + 5)
    assert standing_in.waiting_elsewhere(tx, "modem2", NOW + 11)


def test_a_connector_that_no_process_speaks_of_counts_as_down(tx, waiting):
    waiting(1)
    says(tx, "modem1", at=NOW)
    says(tx, "modem2", at=NOW + 58)
    assert not standing_in.waiting_elsewhere(tx, "modem2", NOW + 55)
    tx.execute(text("UPDATE msg_delivery_status SET next_attempt = :at"), {"at": NOW + 50})  # due lately
    assert not standing_in.waiting_elsewhere(tx, "modem2", NOW + 59)
    assert standing_in.take_over(tx, "modem2", 9, NOW + 61) == 1


def test_a_long_queue_is_shared(tx, waiting):
    waiting(2)
    says(tx, "modem1", at=NOW + 59)
    assert standing_in.take_over(tx, "modem2", 9, NOW + 59) == 0
    assert standing_in.take_over(tx, "modem2", 1, NOW + 61) == 1
    told = tx.execute(text("SELECT words FROM msg_delivery_event")).scalars().all()
    assert told == ["modem2 shares the queue of modem1"]


def test_what_is_paused_is_of_another_type_or_goes_elsewhere_stays(tx, waiting):
    waiting(1)
    says(tx, "gateway", kind="http")
    says(tx, "other", schemes=("mailto",))
    for name in ("gateway", "other", "nobody", "modem1"):
        assert standing_in.take_over(tx, name, 9, NOW) == 0
    connectors.set_paused(tx, HUB, "modem1", True, NOW)
    assert standing_in.take_over(tx, "modem2", 9, NOW) == 0
    connectors.set_paused(tx, HUB, "modem1", False, NOW)
    connectors.set_paused(tx, HUB, "modem2", True, NOW)
    assert standing_in.take_over(tx, "modem2", 9, NOW) == 0
    assert ways(tx) == ["modem1"]


def test_what_is_not_due_waits_where_it_is(tx, waiting):
    waiting(1)
    tx.execute(text("UPDATE msg_delivery_status SET next_attempt = :at"), {"at": NOW + 600})
    assert standing_in.take_over(tx, "modem2", 9, NOW) == 0
