"""Messages that people route by hand: to records, whose subscribers hear of it, and to people; and both taken back."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.records import HUB, Grant, Role
from msgserver.store import deliveries, forwarding, messages, people
from msgserver.store.edits import Refused
from tests.store import desk
from tests.store.people import connector, contact, entity, member, subscribe

NOW = desk.NOW + 5 * 86400.0  # long after the message came


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "mail", "mailto")
        connector(tx, "modem1", "sms")
        yield tx


def rows(tx):
    found = text("SELECT address, state, step, why FROM msg_delivery_status ORDER BY id")
    return [tuple(row) for row in tx.execute(found)]


def states(tx):
    return {(address, step): state for address, state, step, _ in rows(tx)}


def routed(tx, actor, message_id, entity_id, now=NOW):
    going = forwarding.way(tx, actor, message_id, entity_id, now)
    made = sum(forwarding.deliver(tx, going, going.to[start : start + 2], now) for start in range(0, len(going.to), 2))
    return forwarding.settle(tx, actor, going, now), made, going.nobody


def test_routed_to_a_group_everybody_in_it_has_a_delivery_that_leaves_now(tx):
    ana = desk.user(tx, "ana")
    group = entity(tx, "Drivers", "mailto:drivers@x.org", kind="group")
    inner = entity(tx, "Night", kind="group")
    bo, cy, di = (entity(tx, name, f"mailto:{name}@x.org") for name in ("bo", "cy", "di"))
    nobody = entity(tx, "nobody")
    contact(tx, cy, "sms:+15", preferred=True)
    member(tx, group, bo, inner, nobody)
    member(tx, inner, cy, di)
    made = desk.message(tx, desk.conversation(tx, priority=3))
    tag, count, without = routed(tx, ana, made, group)
    assert (tag.resource, tag.record, tag.name) == ("entity", "uid of Drivers", "Drivers")
    assert (count, without) == (4, 1)
    assert {address: why for address, _, _, why in rows(tx)} == dict.fromkeys(
        ["mailto:drivers@x.org", "mailto:bo@x.org", "sms:+15", "mailto:di@x.org"], "forwarded to Drivers"
    )
    found = text("SELECT DISTINCT state, priority, next_attempt, expires > :now FROM msg_delivery_status")
    assert [tuple(row) for row in tx.execute(found, {"now": NOW})] == [("pending", 3, NOW, True)]
    assert sorted(one.address for one in deliveries.claim(tx, "mail", "n", 9, NOW)) == [
        "mailto:bo@x.org",
        "mailto:di@x.org",
        "mailto:drivers@x.org",
    ]


def test_again_is_harmless_and_reaches_who_came_since(tx):
    group, bo, cy = (
        entity(tx, "G", kind="group"), entity(tx, "bo", "mailto:bo@x.org"), entity(tx, "cy", "mailto:cy@x.org"),
    )  # fmt: skip
    member(tx, group, bo)
    made = desk.message(tx)
    assert routed(tx, HUB, made, group)[1] == 1
    member(tx, group, cy)
    assert routed(tx, HUB, made, group, NOW + 60)[1] == 1
    [tag] = messages.tags(tx, HUB, [made])[made]
    assert forwarding.untag(tx, HUB, tag.id, NOW + 90) == tag
    assert set(states(tx).values()) == {"cancelled"}


def test_the_sender_gets_nothing_and_who_cannot_be_reached_is_told_apart(tx):
    group = entity(tx, "G", kind="group")
    bo = entity(tx, "bo", "mailto:bo@x.org")
    stopped, bounces, chat = entity(tx, "s", "sms:+2"), entity(tx, "b"), entity(tx, "c", "xmpp:c@x.org")
    contact(tx, bounces, "mailto:b@x.org", bouncing_at=1.0, bounce_words="no such user")
    people.suppress(tx, "sms:+2", "STOP", NOW)
    member(tx, group, bo, stopped, bounces, chat)
    made = desk.message(tx, sender="mailto:bo@x.org", entity_id=bo)
    routed(tx, HUB, made, group)
    assert states(tx) == {("sms:+2", 0): "suppressed", ("mailto:b@x.org", 0): "failed", ("xmpp:c@x.org", 0): "held"}


def test_what_went_out_stays_the_rest_is_taken_back_and_may_go_once_more(tx):
    ana = desk.user(tx, "ana")
    group, bo, cy = (
        entity(tx, "G", kind="group"), entity(tx, "bo", "mailto:bo@x.org"), entity(tx, "cy", "sms:+15"),
    )  # fmt: skip
    member(tx, group, bo, cy)
    made = desk.message(tx)
    tag, _, _ = routed(tx, ana, made, group)
    deliveries.claim(tx, "mail", "n", 1, NOW)
    forwarding.untag(tx, ana, tag.id, NOW + 1)
    assert states(tx) == {("mailto:bo@x.org", 0): "claimed", ("sms:+15", 0): "cancelled"}
    assert messages.tags(tx, ana, [made]) == {}
    _, count, _ = routed(tx, ana, made, group, NOW + 2)
    assert count == 1
    assert states(tx)["sms:+15", 1] == "pending"
    _, count, _ = routed(tx, ana, made, group, NOW + 3)
    assert count == 0


def test_a_tag_by_hand_brings_subscribers_their_copies_and_taking_it_off_takes_them_back(tx):
    bo, cy = entity(tx, "bo", "mailto:bo@x.org"), entity(tx, "cy", "mailto:cy@x.org")
    subscribe(tx, bo, "incident", "i-1")
    subscribe(tx, cy, "incident")
    made = desk.message(tx, tags=("incident/i-2",))
    tag = forwarding.tag(tx, HUB, made, "incident", "i-1", NOW)
    assert states(tx) == {("mailto:bo@x.org", 0): "pending", ("mailto:cy@x.org", 0): "pending"}
    assert tx.scalar(text("SELECT min(expires) FROM msg_delivery_status")) > NOW
    assert forwarding.tag(tx, HUB, made, "incident", "i-1", NOW + 1) == tag
    forwarding.untag(tx, HUB, tag.id, NOW + 2)
    # The other tag still calls for the copy of whoever subscribes to all incidents.
    assert states(tx) == {("mailto:bo@x.org", 0): "cancelled", ("mailto:cy@x.org", 0): "pending"}
    forwarding.tag(tx, HUB, made, "incident", "i-1", NOW + 3)
    assert states(tx)["mailto:bo@x.org", 1] == "pending"


def test_taking_off_what_a_rule_set_leaves_its_copies_alone(tx):
    bo = entity(tx, "bo", "mailto:bo@x.org")
    subscribe(tx, bo, "incident", "i-1")
    made = desk.message(tx)
    tag = forwarding.tag(tx, HUB, made, "incident", "i-1", NOW)
    tx.execute(text("UPDATE msg_tag SET rule_id = 7"))
    forwarding.untag(tx, HUB, tag.id, NOW + 2)
    assert states(tx) == {("mailto:bo@x.org", 0): "pending"}


def test_spam_and_what_went_out_is_copied_to_nobody(tx):
    subscribe(tx, entity(tx, "bo", "mailto:bo@x.org"), "incident", "i-1")
    for values in ({"spam": True}, {"direction": "out"}):
        assert forwarding.tag(tx, HUB, desk.message(tx, **values), "incident", "i-1", NOW).record == "i-1"
    assert rows(tx) == []


def test_only_what_one_may_see(tx):
    scoped = desk.user(tx, "scoped", Grant(Role.RESPONDER, "site", "north"))
    bo = entity(tx, "bo", "mailto:bo@x.org")
    hidden = desk.message(tx, tags=("site/south",))
    mine = desk.message(tx, tags=("site/north",))
    assert forwarding.way(tx, scoped, hidden, bo, NOW) is None
    assert forwarding.way(tx, scoped, mine, bo, NOW) is None  # whom nobody in the scope has heard of
    assert forwarding.tag(tx, scoped, hidden, "site", "north", NOW) is None
    tag = forwarding.tag(tx, HUB, hidden, "tag", "x", NOW)
    assert forwarding.untag(tx, scoped, tag.id, NOW) is None
    with pytest.raises(Refused):
        forwarding.tag(tx, HUB, mine, "entity", "uid of bo", NOW)
