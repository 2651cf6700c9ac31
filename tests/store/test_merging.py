"""Two that are one: found, and made one without losing anything."""

from __future__ import annotations

import msgspec
import pytest

from msgserver.formats.people_csv import Sheet
from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role, Rule, Viewer
from msgserver.store import (
    audit,
    importing,
    membership,
    merging,
    messages,
    people,
    rules,
    subscriptions,
    tickets,
    users,
)
from msgserver.store.edits import Refused
from tests.store.desk import NOW, conversation, message, user

ANA = Viewer(1, "ana", (Grant(Role.RESPONDER),))


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def make(tx, uid, name, *addresses, kind=EntityKind.PERSON, **values):
    made = people.create_entity(tx, ANA, uid, kind, name, NOW, **values)
    for address in addresses:
        people.add_contact(tx, ANA, made.id, Address.parse(address), NOW)
    return made


def test_those_that_may_be_one_are_found(tx):
    ana = make(tx, "1", "Ana Noori", "sms:+15551234")
    same_phone = make(tx, "2", "A. Noori", "sms:+15551234")
    same_name = make(tx, "3", "ana  NOORI", "mailto:ana@example.org")
    turned = make(tx, "4", "Noori, Ana")
    longer = make(tx, "5", "Ana María Noori")
    make(tx, "6", "Ana Noori", kind=EntityKind.GROUP)
    make(tx, "7", "Bo")
    assert [(one.first.id, one.second.id, one.why, one.by) for one in merging.likely(tx, ANA)] == [
        (ana.id, same_phone.id, merging.SAME_ADDRESS, "sms:+15551234"),
        (ana.id, same_name.id, merging.SAME_NAME, "Ana Noori"),
    ]
    assert {one.second.id: one.why for one in merging.alike(tx, ANA, ana.id)} == {
        same_phone.id: merging.SAME_ADDRESS,
        same_name.id: merging.SAME_NAME,
        turned.id: merging.SAME_NAME,
        longer.id: merging.ALIKE,
    }
    assert merging.alike(tx, ANA, 99) == []
    stranger = Viewer(9, "scoped", (Grant(Role.RESPONDER, "site", "north"),))
    assert merging.likely(tx, stranger) == merging.alike(tx, stranger, ana.id) == []


def test_of_two_becomes_one_and_nothing_is_lost(tx):
    keep = make(tx, "1", "Ana", "sms:+15551234", language="fa")
    gone = make(tx, "2", "Ana N.", "sms:+15551234", "mailto:ana@example.org", timezone="Asia/Kabul", comments="nights")
    phone, mail = people.contacts(tx, ANA, gone.id)
    people.verify(tx, ANA, phone.id, True, NOW)
    people.prefer(tx, ANA, mail.id, NOW)
    people.update_entity(tx, ANA, gone.id, {"quiet_from": 1320, "quiet_until": 360}, NOW)
    crew, team = make(tx, "3", "Crew", kind=EntityKind.GROUP), make(tx, "4", "Team", kind=EntityKind.GROUP)
    membership.add_member(tx, ANA, crew.id, keep.id, NOW, "driver")
    membership.add_member(tx, ANA, crew.id, gone.id, NOW, "nurse")
    membership.add_member(tx, ANA, team.id, gone.id, NOW, "lead")
    for one in (keep, gone):
        subscriptions.subscribe(tx, ANA, one.id, "incident", "flood", NOW)
    subscriptions.subscribe(tx, ANA, gone.id, "incident", "", NOW)
    number = conversation(tx, entity_id=gone.id, address="mailto:ana@example.org")
    written = message(tx, number, entity_id=gone.id)
    tx.exec_driver_sql(
        "insert into msg_delivery_status (id, message_id, ticket_id, address, entity_id, pe_contact_id, state,"
        f" created_at, changed_at) values (1, {written}, {number}, 'sms:+15551234', {gone.id}, {phone.id}, 'sent',"
        " 1, 1)"
    )
    rules.create_rule(tx, ANA, Rule(id=0, name="to ana", position=0, words=("ana",), entity_id=gone.id), NOW)
    login = user(tx, "ana", entity_id=gone.id)

    merged = merging.merge(tx, ANA, keep.id, gone.id, NOW + 1)
    assert (merged.name, merged.language, merged.timezone, merged.comments) == ("Ana", "fa", "Asia/Kabul", "nights")
    assert (merged.quiet_from, merged.quiet_until) == (1320, 360)
    assert people.entity(tx, ANA, gone.id) is None
    assert people.entity_by_uid(tx, ANA, "2") == people.merged_into(tx, ANA, gone.id) == merged
    held = {one.address: (one.verified_at, one.preferred) for one in people.contacts(tx, ANA, keep.id)}
    assert held == {"mailto:ana@example.org": (None, True), "sms:+15551234": (NOW, False)}
    groups = [(one.entity.name, one.role) for one in membership.groups_of(tx, ANA, keep.id)]
    assert groups == [("Crew", "driver"), ("Team", "lead")]
    wishes = subscriptions.subscriptions(tx, HUB, keep.id).items
    assert sorted((one.resource, one.record) for one in wishes) == [("incident", ""), ("incident", "flood")]
    assert messages.message(tx, HUB, written).entity_id == keep.id
    assert tickets.ticket(tx, HUB, number).entity_id == keep.id
    [ours] = [one for one in people.contacts(tx, ANA, keep.id) if one.address.startswith("sms:")]
    delivery = messages.delivery(tx, HUB, 1)
    assert (delivery.entity_id, delivery.pe_contact_id) == (keep.id, ours.id)
    assert rules.rules(tx)[0].entity_id == keep.id
    assert users.viewer(tx, login.user_id).entity_id == keep.id
    assert [one.id for one in people.entities(tx, ANA, "ana@example.org").items] == [keep.id]
    [told] = [entry for entry in audit.entries(tx, thing=f"entity/{keep.id}").items if entry.act == "merge"]
    assert told.detail["addresses"] == ["mailto:ana@example.org", "sms:+15551234"]
    assert told.detail["merged"]["name"] == "Ana N."
    assert merging.merge(tx, ANA, keep.id, gone.id, NOW) is None


def test_the_uids_of_those_merged_away_find_the_one_that_stayed(tx):
    first, second, third = (make(tx, name, f"Ana {name}") for name in ("a", "b", "c"))
    merging.merge(tx, ANA, second.id, first.id, NOW)
    merging.merge(tx, ANA, third.id, second.id, NOW)
    assert [people.entity_by_uid(tx, ANA, uid).id for uid in ("a", "b", "c")] == [third.id] * 3
    assert people.merged_into(tx, ANA, first.id) == people.merged_into(tx, ANA, second.id)
    assert people.merged_into(tx, ANA, third.id) is None
    stranger = Viewer(9, "scoped", (Grant(Role.RESPONDER, "site", "north"),))
    assert people.entity_by_uid(tx, stranger, "a") is people.merged_into(tx, stranger, first.id) is None
    with pytest.raises(Refused, match="before"):
        make(tx, "a", "Somebody else")
    [row] = Sheet(b"uid,name,mail\na,Ana b,ana@example.org\n").rows(False, [])
    assert importing.write(tx, ANA, [row], importing.Seen(), "old.csv", NOW).known == 1
    assert [one.address for one in people.contacts(tx, ANA, third.id)] == ["mailto:ana@example.org"]
    assert people.remove_entity(tx, ANA, third.id, NOW)
    assert people.entity_by_uid(tx, ANA, "a") is None


def test_what_was_planned_for_either_is_kept_and_who_left_stays_out(tx):
    keep, gone = make(tx, "1", "Ana", "mailto:a@example.org"), make(tx, "2", "Ana N.", "mailto:n@example.org")
    crew = make(tx, "3", "Crew", kind=EntityKind.GROUP)
    ours, theirs, group = (
        subscriptions.subscribe(tx, HUB, one.id, "tag", "flood", NOW, digest="daily") for one in (keep, gone, crew)
    )
    subscriptions.leave(tx, group.id, gone.id, NOW)
    written = message(tx, conversation(tx, address="mailto:x@example.org"))
    for number, state in ((1, "held"), (2, "pending"), (3, "sent")):
        tx.exec_driver_sql(
            "insert into msg_delivery_status (id, message_id, address, entity_id, subscription_id, state, waits_for,"
            f" created_at, changed_at) values ({number}, {written}, 'mailto:{number}@example.org', {gone.id},"
            f" {theirs.id}, '{state}', 'daily', 1, 1)"
        )
    merging.merge(tx, HUB, keep.id, gone.id, NOW)
    of = tx.exec_driver_sql("select subscription_id from msg_delivery_status order by id").scalars().all()
    assert of == [ours.id, ours.id, theirs.id]
    assert tx.exec_driver_sql("select subscription_id, entity_id from pe_left").all() == [(group.id, keep.id)]


def test_what_cannot_be_one(tx):
    ana, bo = make(tx, "1", "Ana"), make(tx, "2", "Bo")
    crew, team, deep = (make(tx, name, name, kind=EntityKind.GROUP) for name in ("crew", "team", "deep"))
    membership.add_member(tx, ANA, crew.id, team.id, NOW)
    membership.add_member(tx, ANA, team.id, deep.id, NOW)
    for keep, gone in ((ana, ana), (ana, crew), (crew, deep), (deep, crew), (crew, team)):
        with pytest.raises(Refused):
            merging.merge(tx, ANA, keep.id, gone.id, NOW)
    user(tx, "ana", entity_id=ana.id)
    user(tx, "bo", entity_id=bo.id)
    with pytest.raises(Refused, match="login"):
        merging.merge(tx, ANA, ana.id, bo.id, NOW)


def test_two_groups_become_one(tx):
    a, b = make(tx, "a", "North", kind=EntityKind.GROUP), make(tx, "b", "North team", kind=EntityKind.GROUP)
    ana, bo = make(tx, "1", "Ana"), make(tx, "2", "Bo")
    for group, member in ((a, ana), (b, ana), (b, bo)):
        membership.add_member(tx, ANA, group.id, member.id, NOW)
    merging.merge(tx, ANA, a.id, b.id, NOW)
    assert [one.entity.name for one in membership.members(tx, ANA, a.id).items] == ["Ana", "Bo"]
    assert msgspec.structs.asdict(membership.groups(tx, ANA).items[0])["people"] == 2
