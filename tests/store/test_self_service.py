"""SUBSCRIBE and the like, on both databases; the whole way: tests/routing/test_self_service."""

from __future__ import annotations

import pytest

from msgserver.formats.asking import Asked, Verb
from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role
from msgserver.store import people, resources, self_service, subscriptions, users
from tests.store.people import NOW, plan


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


UID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


def ask(tx, verb, what="", believed=True, opened=("incident",), sender="sms:+1"):
    one = plan(tx, sender, body="x", sender_name="Ana")
    return self_service.obey(tx, one, Asked(verb, what), UID, "Desk", opened, believed, NOW)


def test_a_record_a_type_and_what_one_has(tx):
    resources.create_record(tx, HUB, "u1", "incident", {"name": "Flood", "code": "F1"}, NOW)
    assert ask(tx, Verb.SUBS).words == "Desk: you have no subscriptions."
    assert ask(tx, Verb.SUBSCRIBE, "f1").words.startswith("Desk: you get messages about Flood.")
    assert ask(tx, Verb.SUBSCRIBE, "INCIDENT").words.startswith("Desk: you get messages about Incident.")
    assert ask(tx, Verb.SUBSCRIBE, "incident").words.startswith("Desk: you get messages about Incident.")
    assert ask(tx, Verb.SUBS).words == "Desk: you get Flood, Incident. STOP ends all."
    assert ask(tx, Verb.UNSUBSCRIBE, "incident").words == "Desk: no more messages about Incident."
    assert ask(tx, Verb.UNSUBSCRIBE, "incident").words == "Desk: you get Flood. STOP ends all."
    [ana] = people.who(tx, [Address("sms", "+1")]).values()
    assert (ana.name, ana.uid) == ("Ana", UID)


def test_rights_of_a_colleague_count_over_a_proven_address_alone(tx):
    resources.create_record(tx, HUB, "u1", "incident", {"name": "Flood", "code": "F1"}, NOW)
    bo = people.create_entity(tx, HUB, "bo", EntityKind.PERSON, "Bo", NOW)
    users.create_user(tx, HUB, "bo", "x", (Grant(Role.READER, "incident"),), NOW, entity_id=bo.id)
    people.add_contact(tx, HUB, bo.id, Address("sms", "+1"), NOW)
    assert ask(tx, Verb.SUBSCRIBE, "F1", opened=()) is None
    people.add_contact(tx, HUB, bo.id, Address("sms", "+2"), NOW, verified=True)
    assert ask(tx, Verb.SUBSCRIBE, "F1", opened=(), believed=False, sender="sms:+2") is None
    assert "about Flood" in ask(tx, Verb.SUBSCRIBE, "F1", opened=(), sender="sms:+2").words
    assert "about Incident" in ask(tx, Verb.SUBSCRIBE, "incident", opened=(), sender="sms:+2").words


def test_what_somebody_has_is_not_taken_nor_asked_again_in_his_name(tx):
    resources.create_record(tx, HUB, "u1", "incident", {"name": "Flood", "code": "F1"}, NOW)
    first = ask(tx, Verb.SUBSCRIBE, "F1", believed=False, sender="mailto:a@b.org")
    assert first.cause == "consent"
    assert first.words == "Desk: you asked for messages about Flood. Reply YES to get them."
    assert ask(tx, Verb.SUBSCRIBE, "F1", sender="mailto:a@b.org").words.startswith("Desk: you get")
    assert ask(tx, Verb.SUBSCRIBE, "F1", believed=False, sender="mailto:a@b.org") is None
    assert ask(tx, Verb.UNSUBSCRIBE, "F1", believed=False, sender="mailto:a@b.org") is None
    assert ask(tx, Verb.SUBS, sender="mailto:a@b.org").words == "Desk: you get Flood. STOP ends all."


def test_who_asks_again_keeps_his_digest_and_quiet_hours_whoever_writes_it(tx):
    resources.create_record(tx, HUB, "u1", "incident", {"name": "Flood", "code": "F1"}, NOW)
    ask(tx, Verb.SUBSCRIBE, "F1", sender="mailto:a@b.org")
    [owner] = people.who(tx, [Address("mailto", "a@b.org")]).values()
    subscriptions.subscribe(tx, HUB, owner.id, "incident", "u1", NOW, "mailto", "daily", 1320, 360)
    for believed in (False, True):
        ask(tx, Verb.SUBSCRIBE, "F1", believed=believed, sender="mailto:a@b.org")
        [mine] = subscriptions.subscriptions(tx, HUB, owner.id).items
        assert (mine.digest, mine.quiet_from, mine.quiet_until) == ("daily", 1320, 360)
