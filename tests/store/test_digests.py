"""Digests: one message of many, at the receiver's own hour, once."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.formats.zones import last_edge
from msgserver.records import Grant, Role
from msgserver.store import claiming, digests, fsck, messages, people, subscriptions
from msgserver.store.recording import record
from tests.store.desk import user
from tests.store.people import NOW, connector, entity, member, plan, subscribe

UIDS = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(9)]


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "mail", "mailto")
        connector(tx, "modem", "sms")
        yield tx


def states(tx):
    rows = tx.execute(text("SELECT address, state, waits_for, reason FROM msg_delivery_status ORDER BY id"))
    return [tuple(row) for row in rows]


def made(tx):
    rows = tx.execute(text("SELECT recipients, subject, body FROM msg_log WHERE cause = 'digest' ORDER BY id"))
    return [tuple(row) for row in rows]


def test_copies_wait_and_become_one_message(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    subscribe(tx, ana, "incident", digest="hourly")
    for n in range(3):
        record(tx, [plan(tx, "sms:+99", sender_name="Bo", subject=f"Flood {n}", body="the water rises",
                         tags=("incident/flood",), received_at=NOW + n)])  # fmt: skip
    assert {row[1:3] for row in states(tx)} == {("held", "hourly")}
    assert claiming.claim(tx, "mail", "n", 10, NOW + 9) == []
    assert [(one.digest, one.timezone, one.since) for one in digests.waiting(tx)] == [("hourly", "", NOW)]
    assert digests.make(tx, "hourly", "", NOW + 2, "Desk", UIDS, NOW + 5) == 1
    [(recipients, subject, body)] = made(tx)
    assert (recipients, subject) == ('["mailto:ana@x.org"]', "Desk: 2 messages")
    assert "Flood 0" in body
    assert "Flood 2" not in body
    assert "#1 Bo" in body
    assert [row[1] for row in states(tx)] == ["sent", "sent", "held", "pending"]
    assert digests.make(tx, "hourly", "", NOW + 2, "Desk", UIDS, NOW + 6) == 0, "never twice"
    [claimed] = claiming.claim(tx, "mail", "n", 10, NOW + 5)
    assert claimed.body == body
    assert not claimed.copy
    assert digests.make(tx, "hourly", "", NOW + 99, "Desk", UIDS[1:], NOW + 99) == 1
    assert len(made(tx)) == 2
    assert [line for line in fsck.check(tx, NOW + 99) if not line.startswith("I1: the bytes")] == []


def test_what_comes_at_once_is_in_no_digest(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    subscribe(tx, ana, "incident", digest="daily")
    subscribe(tx, ana, "incident", "flood")
    record(tx, [plan(tx, "sms:+99", tags=("incident/flood",))])
    assert [row[:3] for row in states(tx)] == [("mailto:ana@x.org", "pending", "")]


def test_everybody_of_a_group_gets_theirs_at_their_own_hour(tx):
    team = entity(tx, "team", kind="group")
    here = entity(tx, "ana", "sms:+1", timezone="Europe/Berlin")
    there = entity(tx, "bo", "mailto:bo@x.org", timezone="Asia/Kabul")
    member(tx, team, here, there)
    subscribe(tx, team, "incident", digest="daily")
    record(tx, [plan(tx, "sms:+99", subject="Flood", body="the water rises", tags=("incident/flood",))])
    assert {(one.timezone, one.digest) for one in digests.waiting(tx)} == {
        ("Europe/Berlin", "daily"), ("Asia/Kabul", "daily"),
    }  # fmt: skip
    assert digests.make(tx, "daily", "Asia/Kabul", NOW + 9, "Desk", UIDS, NOW + 9) == 1
    [(recipients, _, _)] = made(tx)
    assert "bo@x.org" in recipients
    assert digests.make(tx, "daily", "Europe/Berlin", NOW + 9, "Desk", UIDS[1:], NOW + 9) == 1
    short = made(tx)[1][2]
    assert short == "Desk: 1 message\n#1 99: Flood" or short.startswith("Desk: 1 message\n#1 +99: Flood")


def test_stop_and_an_ended_subscription_win_over_the_digest(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    chief = user(tx, "chief", Grant(Role.ADMINISTRATOR))
    subscribe(tx, ana, "incident", digest="hourly")
    record(tx, [plan(tx, "sms:+99", tags=("incident/flood",))])
    [one] = subscriptions.subscriptions(tx, chief, ana).items
    subscriptions.unsubscribe(tx, chief, one.id, NOW)
    digests.make(tx, "hourly", "", NOW + 9, "Desk", UIDS, NOW + 9)
    assert states(tx)[0][1] == "cancelled"
    subscribe(tx, ana, "incident", digest="hourly")
    record(tx, [plan(tx, "sms:+99", tags=("incident/flood",), received_at=NOW + 10)])
    people.suppress(tx, "mailto:ana@x.org", "STOP", NOW + 11)
    digests.make(tx, "hourly", "", NOW + 99, "Desk", UIDS, NOW + 99)
    assert [row[1] for row in states(tx)] == ["cancelled", "suppressed"]
    assert made(tx) == []


def test_whoever_sees_a_part_of_the_log_sees_no_digest(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    subscribe(tx, ana, "incident", digest="hourly")
    record(tx, [plan(tx, "sms:+99", tags=("incident/flood",), body="secret")])
    digests.make(tx, "hourly", "", NOW + 9, "Desk", UIDS, NOW + 9)
    scoped = user(tx, "cy", Grant(Role.RESPONDER, "incident", "fire"))
    whole = user(tx, "di", Grant(Role.READER))
    assert messages.log(tx, scoped, "is:outgoing").items == ()
    assert len(messages.log(tx, whole, "is:outgoing").items) == 1


def test_a_copy_whose_subscription_was_ended_is_not_sent(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    chief = user(tx, "chief", Grant(Role.ADMINISTRATOR))
    subscribe(tx, ana, "incident")
    record(tx, [plan(tx, "sms:+99", tags=("incident/flood",))])
    [one] = subscriptions.subscriptions(tx, chief, ana).items
    subscriptions.unsubscribe(tx, chief, one.id, NOW)
    assert claiming.claim(tx, "mail", "n", 10, NOW + 9) == []
    assert states(tx)[0][1::2] == ("cancelled", "the subscription was ended before this was sent")


def test_a_copy_that_another_subscription_wants_too_is_sent(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    chief = user(tx, "chief", Grant(Role.ADMINISTRATOR))
    subscribe(tx, ana, "incident")
    subscribe(tx, ana, "incident", "flood")
    record(tx, [plan(tx, "sms:+99", tags=("incident/flood",))])
    first = subscriptions.subscriptions(tx, chief, ana).items[0]
    subscriptions.unsubscribe(tx, chief, first.id, NOW)
    assert len(claiming.claim(tx, "mail", "n", 10, NOW + 9)) == 1


@pytest.mark.parametrize(
    ("zone", "digest", "edge"),
    [
        ("UTC", "hourly", 1_700_000_000 - 1_700_000_000 % 3600),
        ("Asia/Kabul", "hourly", 1_700_000_000 - (1_700_000_000 + 1800) % 3600),
        ("UTC", "daily", 1_699_948_800),  # 2023-11-14 08:00, it is 22:13
        ("Asia/Tokyo", "daily", 1_699_916_400),  # there it is the 15th, 07:13: the 14th, 08:00
        ("nowhere", "daily", 1_699_948_800),
    ],
)
def test_the_last_hour_and_the_last_morning(zone, digest, edge):
    assert last_edge(1_700_000_000.0, digest, zone) == edge
