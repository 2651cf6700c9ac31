"""Large audiences: written slice by slice, each address once; and copies that wait for a person."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.records import HUB, Grant, Role
from msgserver.store import asking, claiming, fanout, fsck, spreading, sweeping
from msgserver.store.edits import Refused
from msgserver.store.recording import record
from tests.store.desk import user
from tests.store.people import NOW, connector, entity, member, plan, subscribe


@pytest.fixture
def tx(database, monkeypatch):
    monkeypatch.setattr(fanout, "SLICE", 10)
    monkeypatch.setattr(spreading, "SLICE", 7)
    with database() as tx:
        connector(tx, "modem", "sms")
        yield tx


def crowd(tx, count, kind="group", name="crowd"):
    number = entity(tx, name, kind=kind)
    member(tx, number, *(entity(tx, f"{name} {n}", f"sms:+{n}") for n in range(count)))
    return number


def spread(tx, most=10_000, cut=None):
    """What the service does."""
    work = spreading.take(tx, "node", NOW + 1)
    if work is None:
        return None
    audience = spreading.audience(tx, work)
    for ways in audience.slices[:cut]:
        spreading.write_slice(tx, work, ways, audience.people > most, fanout.lanes(tx))
    if cut is None:
        spreading.finish(tx, work, NOW)
    return audience


def whole(tx):
    """Whether nothing is amiss but the bytes of arrivals, which these tests make up."""
    return all(line.startswith("I1: the bytes") for line in fsck.check(tx, NOW))


def states(tx):
    rows = tx.execute(text("SELECT state, count(*) FROM msg_delivery_status GROUP BY state"))
    return {row[0]: row[1] for row in rows}


def test_few_are_written_at_once_and_many_in_slices(tx):
    small, large = crowd(tx, 9, name="few"), crowd(tx, 40)
    [few] = record(tx, [plan(tx, "sms:+999", routes=(small,))])
    assert (few.deliveries, spreading.waiting(tx)) == (9, False)
    [many] = record(tx, [plan(tx, "sms:+999", routes=(large,))])
    assert many.deliveries > 0
    assert states(tx) == {"pending": 9}
    assert whole(tx)
    audience = spread(tx)
    assert audience.people == 40
    assert max(len(one) for one in audience.slices) <= 7
    assert len(audience.slices) >= 6
    assert states(tx) == {"pending": 49}
    assert spread(tx) is None


def test_it_is_what_one_statement_would_have_written(tx, monkeypatch):
    inner, outer = crowd(tx, 20, name="inner"), entity(tx, "outer", kind="organisation")
    loner = entity(tx, "loner", "sms:+900")
    member(tx, outer, inner, loner)
    subscribe(tx, outer, "incident")
    subscribe(tx, loner, "incident", digest="daily")
    subscribe(tx, loner, "incident", "flood", channel="sms")
    subscribe(tx, inner, "incident", creator_id=user(tx, "clerk", Grant(Role.RESPONDER)).user_id)
    tx.execute(text("INSERT INTO suppression (address, why, at) VALUES ('sms:+3', 'STOP', 1)"))
    query = text(
        "SELECT address, state, waits_for, reason, connector, entity_id, subscription_id, why, expires, priority"
        " FROM msg_delivery_status WHERE message_id = :m ORDER BY address"
    )
    [sliced] = record(tx, [plan(tx, "sms:+7", tags=("incident/flood",))])
    spread(tx)
    monkeypatch.setattr(fanout, "SLICE", 1000)
    [whole] = record(tx, [plan(tx, "sms:+7", tags=("incident/flood",))])
    one, other = ([tuple(row) for row in tx.execute(query, {"m": m.message_id})] for m in (sliced, whole))
    assert len(one) == 20
    assert one == other


def test_cut_short_it_is_begun_anew_and_nobody_gets_it_twice(tx):
    record(tx, [plan(tx, "sms:+999", routes=(crowd(tx, 40),))])
    spread(tx, cut=3)
    before = sum(states(tx).values())
    assert 0 < before < 40
    assert spreading.take(tx, "other", NOW + 2) is None, "whoever has it has a minute"
    assert spreading.take(tx, "other", NOW + 1 + spreading.LEASE) is not None
    tx.execute(text("UPDATE job SET words = 'node'"))
    spread(tx)
    assert states(tx) == {"pending": 40}


def test_more_copies_than_the_limit_wait_for_a_person(tx, monkeypatch):
    monkeypatch.setattr(fanout, "MOST_COPIES", 5)
    chief = user(tx, "chief", Grant(Role.ADMINISTRATOR))
    [small] = record(tx, [plan(tx, "sms:+999", routes=(crowd(tx, 8, name="few"),))])
    [large] = record(tx, [plan(tx, "sms:+999", routes=(crowd(tx, 30),), body="to all")])
    with pytest.raises(Refused):
        asking.decide(tx, chief, large.message_id, True, NOW)
    spread(tx, most=5)
    assert states(tx) == {"held": 38}
    assert claiming.claim(tx, "modem", "n", 100, NOW + 1) == []
    waiting = asking.asking(tx, chief)
    assert [(one.message_id, one.copies, one.channels) for one in waiting] == [
        (large.message_id, 30, (("sms", 30),)), (small.message_id, 8, (("sms", 8),)),
    ]  # fmt: skip
    assert asking.decide(tx, chief, large.message_id, True, NOW) == 30
    assert asking.decide(tx, chief, large.message_id, True, NOW) == 0
    assert asking.decide(tx, chief, small.message_id, False, NOW) == 8
    assert states(tx) == {"pending": 30, "cancelled": 8}
    assert asking.asking(tx, chief) == []
    assert len(claiming.claim(tx, "modem", "n", 100, NOW + 1)) == 30
    assert whole(tx)


def test_what_waits_is_not_let_go_by_a_connector_that_comes(tx, monkeypatch):
    monkeypatch.setattr(fanout, "MOST_COPIES", 5)
    group = crowd(tx, 8)
    record(tx, [plan(tx, "sms:+999", routes=(group,))])

    sweeping.release(tx, NOW)
    assert states(tx) == {"held": 8}
    assert asking.asking(tx, HUB)[0].copies == 8


def test_outside_a_scope_nobody_is_asked(tx, monkeypatch):
    monkeypatch.setattr(fanout, "MOST_COPIES", 5)
    group = crowd(tx, 8)
    record(tx, [plan(tx, "sms:+999", routes=(group,), tags=("incident/flood",))])
    assert asking.asking(tx, user(tx, "cy", Grant(Role.OPERATOR, "incident", "fire"))) == []
    assert len(asking.asking(tx, user(tx, "di", Grant(Role.OPERATOR, "incident", "flood")))) == 1
