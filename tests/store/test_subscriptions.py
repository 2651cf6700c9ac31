"""Subscribing: saved searches, what a subscription would have sent, and who is asked first."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.records import HUB, Grant, Role
from msgserver.store import consent, fsck, messages, people, preview, saved, subscriptions, users
from msgserver.store.edits import Refused
from msgserver.store.recording import record
from tests.store.desk import conversation, message, user
from tests.store.people import NOW, connector, contact, entity, member, plan

ADMINISTRATOR = Grant(Role.ADMINISTRATOR)


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "mail", "mailto")
        connector(tx, "modem", "sms")
        yield tx


@pytest.fixture
def chief(tx):
    return user(tx, "chief", ADMINISTRATOR)


def states(tx):
    rows = tx.execute(text("SELECT address, state, reason FROM msg_delivery_status ORDER BY id"))
    return [tuple(row) for row in rows]


def verified(tx, name, address):
    number = entity(tx, name)
    contact(tx, number, address, verified_at=1.0)
    return number


# --- saved searches ----------


def test_a_saved_search_becomes_a_tag_and_sends_copies(tx, chief):
    ana = verified(tx, "ana", "mailto:ana@x.org")
    view = saved.save_view(tx, chief, "Bridges", "bridge -from:bo channel:sms", NOW, True)
    made = subscriptions.subscribe(tx, chief, ana, "search", str(view.id), NOW - 1)
    assert made.record == str(view.id)
    found = [
        record(tx, [plan(tx, sender, body=body, search=body, sender_name=name)])[0]
        for sender, name, body in (
            ("sms:+99", "Cy", "the bridge is down"),
            ("mailto:cy@x.org", "Cy", "the bridge is down"),
            ("sms:+99", "Cy", "the road is closed"),
        )
    ]
    assert [row[:2] for row in states(tx)] == [("mailto:ana@x.org", "pending")]
    tags = messages.tags(tx, chief, [one.message_id for one in found])
    [tag] = tags[found[0].message_id]
    assert (tag.resource, tag.name, tag.why) == ("search", "Bridges", "saved search “Bridges”")
    assert list(tags) == [found[0].message_id]
    why = tx.scalar(text("SELECT why FROM msg_delivery_status"))
    assert why == "you subscribed to Bridges"
    assert all(line.startswith("I1: the bytes") for line in fsck.check(tx, NOW))


def test_a_search_sees_the_tags_and_the_ticket_of_the_message(tx, chief):
    ana = verified(tx, "ana", "mailto:ana@x.org")
    view = saved.save_view(tx, chief, "Urgent floods", "resource:incident/flood priority:urgent is:todo", NOW, True)
    subscriptions.subscribe(tx, chief, ana, "search", str(view.id), NOW)
    record(tx, [plan(tx, "sms:+1", tags=("incident/flood",), priority=3), plan(tx, "sms:+2", tags=("incident/flood",))])
    assert len(states(tx)) == 1


def test_what_a_search_finds_stays_on_the_heap_of_what_nobody_filed(tx, chief):
    ana = verified(tx, "ana", "mailto:ana@x.org")
    view = saved.save_view(tx, chief, "All", "is:incoming", NOW, True)
    subscriptions.subscribe(tx, chief, ana, "search", str(view.id), NOW)
    [one] = record(tx, [plan(tx, "sms:+1")])
    scoped = user(tx, "cy", Grant(Role.RESPONDER, "incident", "fire"))
    assert messages.message(tx, scoped, one.message_id) is not None


@pytest.mark.parametrize("query", ["is:unread", "flood -is:read", "assignee:me OR x", "status:failed", "id:42", " () "])
def test_what_cannot_be_asked_while_routing_is_refused(tx, chief, query):
    ana = verified(tx, "ana", "mailto:ana@x.org")
    view = saved.save_view(tx, chief, "x", query or "x", NOW, True) if query.strip() else None
    assert view is not None
    with pytest.raises(Refused):
        subscriptions.subscribe(tx, chief, ana, "search", str(view.id), NOW)


def test_ones_own_search_nobody_subscribes_to_and_a_subscribed_one_stays(tx, chief):
    ana = verified(tx, "ana", "mailto:ana@x.org")
    own = saved.save_view(tx, chief, "mine", "flood", NOW)
    ours = saved.save_view(tx, chief, "ours", "flood", NOW, True)
    for record_word in (str(own.id), "99", "x", ""):
        with pytest.raises(Refused):
            subscriptions.subscribe(tx, chief, ana, "search", record_word, NOW)
    made = subscriptions.subscribe(tx, chief, ana, "search", str(ours.id), NOW)
    with pytest.raises(Refused):
        saved.remove_view(tx, chief, ours.id, NOW)
    with pytest.raises(Refused):
        saved.change_view(tx, chief, ours.id, "ours", "is:unread", NOW)
    assert saved.change_view(tx, chief, ours.id, "ours", "fire", NOW)
    subscriptions.unsubscribe(tx, chief, made.id, NOW)
    assert saved.remove_view(tx, chief, ours.id, NOW)


# --- changing ----------


def test_digest_and_quiet_hours_are_changed(tx, chief):
    ana = verified(tx, "ana", "mailto:ana@x.org")
    made = subscriptions.subscribe(tx, chief, ana, "incident", "", NOW)
    changed = subscriptions.change(tx, chief, made.id, "daily", 1320, 360, NOW)
    assert (changed.digest, changed.quiet_from, changed.quiet_until) == ("daily", 1320, 360)
    for values in (("weekly", None, None), ("", 5, None), ("", 0, 1440)):
        with pytest.raises(Refused):
            subscriptions.change(tx, chief, made.id, *values, NOW)
    stranger = user(tx, "cy", Grant(Role.READER, "project"))
    assert subscriptions.change(tx, stranger, made.id, "", None, None, NOW) is None


# --- preview ----------


def test_what_it_would_have_sent_last_week(tx, chief):
    team = entity(tx, "team", kind="group")
    ana, bo, cy = verified(tx, "ana", "mailto:ana@x.org"), verified(tx, "bo", "sms:+2"), entity(tx, "cy")
    member(tx, team, ana, bo, cy)
    day = 86400.0
    thread = conversation(tx)
    for age in (8.5, 6.9, 6.8, 3.0, 0.1):
        message(tx, thread, tags=("incident/flood",), received_at=NOW - age * day)
    message(tx, thread, tags=("incident/flood",), received_at=NOW, entity_id=ana)
    message(tx, thread, tags=("incident/flood",), received_at=NOW, spam=True)
    message(tx, thread, tags=("incident/fire",), received_at=NOW)

    def of(who, record="flood", channel="", digest=""):
        found = preview.preview(tx, chief, who, "incident", record, NOW, channel, digest)
        return found.messages, found.people, found.reached, found.sends

    assert of(ana) == (4, 1, 1, 4)
    assert of(bo) == (5, 1, 1, 5)
    assert of(bo, record="") == (6, 1, 1, 6)
    assert of(team) == (5, 3, 2, 10)
    assert of(team, channel="sms") == (5, 3, 1, 5)
    assert of(cy) == (5, 1, 0, 0)
    assert of(ana, digest="daily")[3] == 3
    people.suppress(tx, "mailto:ana@x.org", "STOP", NOW)
    assert of(team) == (5, 3, 1, 5)
    view = saved.save_view(tx, chief, "fire", "resource:incident/fire", NOW, True)
    assert preview.preview(tx, chief, bo, "search", str(view.id), NOW, "", "").messages == 1
    with pytest.raises(Refused):
        preview.preview(tx, chief, bo, "search", "77", NOW, "", "")
    assert preview.preview(tx, user(tx, "di", Grant(Role.READER, "project")), bo, "incident", "", NOW, "", "") is None


# --- consent ----------


def test_somebody_elses_unproven_address_is_asked_first(tx, chief):
    ana = entity(tx, "ana", "sms:+1")
    made = subscriptions.subscribe(tx, chief, ana, "incident", "", NOW)
    assert made.asked_at == NOW
    record(tx, [plan(tx, "sms:+9", tags=("incident/flood",))])
    assert states(tx) == [("sms:+1", "cancelled", "they have not said yet that they want this")]
    assert consent.question(tx, made.id, NOW) == consent.Question("sms:+1", "ana")
    assert consent.agreed(tx, "sms:+2", NOW) == []
    assert consent.agreed(tx, "sms:+1", NOW + 5) == [("incident", "")]
    assert consent.agreed(tx, "sms:+1", NOW + 6) == []
    assert people.contacts(tx, HUB, ana)[0].verified_at == NOW + 5
    assert subscriptions.subscription(tx, chief, made.id).asked_at is None
    record(tx, [plan(tx, "sms:+9", tags=("incident/flood",))])
    assert states(tx)[-1][1] == "pending"
    assert consent.question(tx, made.id, NOW) is None


def test_oneself_a_verified_address_and_a_group_are_not_asked(tx, chief):
    ana = entity(tx, "ana", "sms:+1")
    users.set_entity(tx, HUB, chief.user_id, ana, NOW)
    me = users.viewer(tx, chief.user_id)
    group = entity(tx, "team", kind="group")
    for who in (ana, verified(tx, "bo", "sms:+2"), group):
        assert subscriptions.subscribe(tx, me, who, "incident", "", NOW).asked_at is None


def test_verifying_an_address_by_hand_is_enough(tx, chief):
    ana = entity(tx, "ana", "sms:+1")
    subscriptions.subscribe(tx, chief, ana, "incident", "", NOW)
    people.verify(tx, chief, people.contacts(tx, HUB, ana)[0].id, True, NOW)
    record(tx, [plan(tx, "sms:+9", tags=("incident/flood",))])
    assert states(tx)[0][1] == "pending"


def test_at_most_three_questions_a_day_whoever_asks_and_none_after_stop(tx, chief):
    ana = entity(tx, "ana", "sms:+1")
    asked = 0
    for n in range(100):
        made = subscriptions.subscribe(tx, chief, ana, "tag", f"word{n}", NOW + n)
        asked += consent.question(tx, made.id, NOW + n) is not None
    assert asked == 3
    assert consent.question(tx, made.id, NOW + 25 * 3600) is not None
    people.suppress(tx, "sms:+1", "STOP", NOW)
    assert consent.question(tx, made.id, NOW + 60 * 3600) is None


def test_a_question_is_open_for_a_week(tx, chief):
    ana = entity(tx, "ana", "sms:+1")
    subscriptions.subscribe(tx, chief, ana, "incident", "", NOW)
    assert consent.agreed(tx, "sms:+1", NOW + consent.OPEN + 1) == []
