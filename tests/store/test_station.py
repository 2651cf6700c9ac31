"""The queue of a station, and the claiming of what was chosen from it."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from msgserver.message import Address
from msgserver.records import HUB, DeliveryState, Draft, Grant, Priority, Role, Settlement
from msgserver.store import deliveries, station
from msgserver.store.writing import write_draft
from tests.store.desk import user
from tests.store.people import NOW, connector


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "radio", "radio")
        yield tx


def write(tx, to, words, priority=Priority.NORMAL, at=NOW):
    draft = Draft(uid=str(uuid.uuid4()), to=(Address.parse(to),), text=words, priority=priority)
    write_draft(tx, HUB, draft, {"radio": "radio"}, at)
    return tx.execute(text("SELECT max(id) FROM msg_delivery_status")).scalar_one()


def test_what_waits_stands_in_the_order_in_which_it_is_claimed(tx):
    low = write(tx, "radio:alpha", "a", Priority.LOW)
    old = write(tx, "radio:bravo", "b")
    new = write(tx, "radio:bravo", "c", at=NOW + 1)
    urgent = write(tx, "radio:delta", "d", Priority.URGENT, at=NOW + 2)
    found = station.queue(tx, HUB, "radio", NOW + 5)
    assert [row.id for row in found.waiting] == [urgent, old, new, low]
    assert (found.open, found.ended, found.more) == ((), (), 0)
    assert [one.id for one in deliveries.claim(tx, "radio", "n1", 10, NOW + 5)] == [urgent, old, new, low]


def test_of_what_is_due_only_the_chosen_is_claimed(tx):
    first, second = write(tx, "radio:alpha", "a"), write(tx, "radio:bravo", "b")
    assert deliveries.claim(tx, "radio", "n1", 1, NOW, []) == []
    assert deliveries.claim(tx, "radio", "n1", 1, NOW, [second + 100]) == []
    assert deliveries.claim(tx, "other", "n1", 1, NOW, [second]) == []
    (claimed,) = deliveries.claim(tx, "radio", "n1", 1, NOW, [second])
    assert claimed.id == second
    assert deliveries.claim(tx, "radio", "n1", 1, NOW, [second]) == []
    found = station.queue(tx, HUB, "radio", NOW)
    assert [row.id for row in found.waiting] == [first]
    (held,) = found.open
    assert (held.id, held.state, held.body) == (second, DeliveryState.CLAIMED, "b")
    assert held.ref == f"d{second}.{claimed.message_uid[-12:]}"


def test_what_ended_is_shown_for_a_day(tx):
    number = write(tx, "radio:alpha", "a")
    (claimed,) = deliveries.claim(tx, "radio", "n1", 1, NOW, [number])
    ended = Settlement(
        delivery_id=number, attempt=claimed.attempt, state=DeliveryState.DELIVERED, reason="Alpha", at=NOW
    )
    assert deliveries.settle(tx, [ended]) == [True]
    (row,) = station.queue(tx, HUB, "radio", NOW + 3600).ended
    assert (row.id, row.state, row.reason) == (number, DeliveryState.DELIVERED, "Alpha")
    assert station.queue(tx, HUB, "radio", NOW + station.LOOK_BACK + 1).ended == ()


def test_one_is_found_at_its_own_station_by_who_may_see_it(tx):
    number = write(tx, "radio:alpha", "a")
    row = station.queued(tx, HUB, "radio", number)
    assert row is not None
    assert row.address == "radio:alpha"
    assert station.queued(tx, HUB, "other", number) is None
    scoped = user(tx, "scoped", Grant(Role.RESPONDER, "site", "north"))
    tx.execute(
        text(
            "INSERT INTO msg_tag (message_id, resource, record, created_at) SELECT id, 'site', 'south', 1 FROM msg_log"
        )
    )
    assert station.queued(tx, scoped, "radio", number) is None
    assert station.queue(tx, scoped, "radio", NOW).waiting == ()


def test_a_long_queue_says_how_many_more_there_are(tx, monkeypatch):
    monkeypatch.setattr(station, "MOST", 2)
    for n in range(5):
        write(tx, f"radio:a{n}", "x")
    found = station.queue(tx, HUB, "radio", NOW)
    assert (len(found.waiting), found.more) == (2, 3)
