"""People, their addresses, groups without circles, and who cannot be reached."""

from __future__ import annotations

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role, Viewer
from msgserver.store import audit, membership, messages, people, subscriptions, tickets
from msgserver.store.edits import Refused
from tests.store.desk import NOW, conversation, message, user
from tests.store.people import contact as put_contact

ANA = Viewer(1, "ana", (Grant(Role.RESPONDER),))


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def make(tx, name, kind=EntityKind.PERSON, *addresses):
    made = people.create_entity(tx, ANA, f"uid-{name}", kind, name, NOW)
    for address in addresses:
        people.add_contact(tx, ANA, made.id, Address.parse(address), NOW)
    return made


def test_entities(tx):
    ana = people.create_entity(tx, ANA, "u-1", EntityKind.PERSON, " Ana\n María ", NOW, "es", "Europe/Madrid", "night")
    assert (ana.name, ana.kind, ana.language, ana.timezone, ana.comments) == (
        "Ana María",
        EntityKind.PERSON,
        "es",
        "Europe/Madrid",
        "night",
    )
    assert people.entity(tx, ANA, ana.id) == people.entity_by_uid(tx, ANA, "u-1") == ana
    changed = people.update_entity(tx, ANA, ana.id, {"name": "Ana M.", "comments": "day", "kind": "group"}, NOW)
    assert (changed.name, changed.comments, changed.kind) == ("Ana M.", "day", EntityKind.PERSON)
    assert people.update_entity(tx, ANA, ana.id, {}, NOW) == changed
    assert people.update_entity(tx, ANA, 99, {"name": "x"}, NOW) is None
    for uid, name in (("u-1", "Again"), ("u-2", "  ")):
        with pytest.raises(Refused):
            people.create_entity(tx, ANA, uid, EntityKind.PERSON, name, NOW)
    with pytest.raises(Refused):
        people.update_entity(tx, ANA, ana.id, {"name": " "}, NOW)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Ana María", "Bo Ana", "Crew", "100%_x"]),
        ("ana", ["Ana María", "Bo Ana"]),
        ("MARIA", ["Ana María"]),
        ("ría", []),
        ("+1555", ["Ana María"]),
        ("example.org", ["Bo Ana"]),
        ("%", []),
        ("100%", ["100%_x"]),
        ("cre", ["Crew"]),
    ],
)
def test_search_by_name_or_address(tx, query, names):
    make(tx, "Ana María", EntityKind.PERSON, "sms:+15551234")
    make(tx, "Bo Ana", EntityKind.PERSON, "mailto:bo@example.org")
    make(tx, "Crew", EntityKind.GROUP)
    make(tx, "100%_x")
    assert sorted(one.name for one in people.entities(tx, ANA, query).items) == sorted(names)


def test_pages_by_name(tx):
    for name in ("b", "a", "c", "a"):
        people.create_entity(tx, ANA, f"{name}{len(people.entities(tx, ANA).items)}", EntityKind.PERSON, name, NOW)
    first = people.entities(tx, ANA, limit=2)
    second = people.entities(tx, ANA, "", None, first.next, 2)
    assert [one.name for one in (*first.items, *second.items)] == ["a", "a", "b", "c"]
    assert second.next == ""
    assert people.entities(tx, ANA, kind=EntityKind.GROUP).items == ()


def test_addresses(tx):
    ana = make(tx, "Ana")
    mail, phone = Address.parse("mailto:Ana@Example.org"), Address.parse("sms:+1 555 1234")
    first = people.add_contact(tx, ANA, ana.id, mail, NOW)
    second = people.add_contact(tx, ANA, ana.id, phone, NOW, True, True)
    assert people.add_contact(tx, ANA, ana.id, mail, NOW) == first
    assert (first.address, first.verified_at, first.preferred) == ("mailto:ana@example.org", None, False)
    assert (second.verified_at, second.preferred) == (NOW, True)
    assert [one.id for one in people.contacts(tx, ANA, ana.id)] == [second.id, first.id]
    assert people.prefer(tx, ANA, first.id, NOW).preferred
    assert not people.contact(tx, ANA, second.id).preferred
    assert people.verify(tx, ANA, first.id, True, NOW + 1).verified_at == NOW + 1
    assert people.remove_contact(tx, ANA, second.id, NOW)
    assert not people.remove_contact(tx, ANA, second.id, NOW)
    assert people.contact(tx, ANA, second.id) is None
    assert people.prefer(tx, ANA, 99, NOW) is people.verify(tx, ANA, 99, True, NOW) is None
    assert people.add_contact(tx, ANA, 99, mail, NOW) is None


def test_whose_addresses(tx):
    ana, bo = make(tx, "Ana", EntityKind.PERSON, "sms:+1"), make(tx, "Bo", EntityKind.PERSON, "sms:+1", "sms:+2")
    found = people.who(tx, [Address("sms", "+1"), "sms:+2", "sms:+3"])
    assert found == {"sms:+1": ana, "sms:+2": bo}
    assert people.who(tx, []) == {}


def test_what_a_new_address_wrote_before_is_theirs(tx):
    number = conversation(tx, address="sms:+5")
    made = message(tx, number, sender="sms:+5")
    ana = make(tx, "Ana", EntityKind.PERSON, "sms:+5")
    assert messages.message(tx, HUB, made).entity_id == ana.id
    assert tickets.ticket(tx, HUB, number).entity_name == "Ana"


def test_removing_somebody_keeps_the_messages(tx):
    ana, crew = make(tx, "Ana", EntityKind.PERSON, "sms:+5"), make(tx, "Crew", EntityKind.GROUP)
    made = message(tx, conversation(tx, entity_id=ana.id), entity_id=ana.id)
    membership.add_member(tx, ANA, crew.id, ana.id, NOW)
    subscriptions.subscribe(tx, ANA, ana.id, "incident", "", NOW)
    login = user(tx, "ana", entity_id=ana.id)
    with pytest.raises(Refused, match="login"):
        people.remove_entity(tx, ANA, ana.id, NOW)
    from msgserver.store import users

    users.set_active(tx, HUB, login.user_id, False, NOW)
    assert people.remove_entity(tx, ANA, ana.id, NOW)
    assert not people.remove_entity(tx, ANA, ana.id, NOW)
    assert messages.message(tx, HUB, made).entity_id is None
    assert membership.members(tx, HUB, crew.id).items == ()


def test_stop(tx):
    assert people.suppress(tx, "sms:+1", "said 'STOP'", NOW)
    assert not people.suppress(tx, "sms:+1", "again", NOW)
    assert people.suppressed(tx, ["sms:+1", "sms:+2"]) == {"sms:+1": "said 'STOP'"}
    assert people.unsuppress(tx, "sms:+1", NOW)
    assert not people.unsuppress(tx, "sms:+1", NOW)


def test_groups_do_not_go_round_in_circles(tx):
    a, b, c = (make(tx, name, EntityKind.GROUP) for name in "abc")
    ana = make(tx, "ana", EntityKind.PERSON, "sms:+1")
    assert membership.add_member(tx, ANA, a.id, b.id, NOW) == []
    membership.add_member(tx, ANA, b.id, c.id, NOW)
    membership.add_member(tx, ANA, c.id, ana.id, NOW)
    membership.add_member(tx, ANA, c.id, ana.id, NOW)
    for group, member in ((a, a), (b, a), (c, a), (ana, a)):
        with pytest.raises(Refused):
            membership.add_member(tx, ANA, group.id, member.id, NOW)
    assert membership.everybody(tx, [a.id]) == {ana.id}
    assert [one.entity for one in membership.members(tx, ANA, b.id).items] == [c]
    assert [one.entity for one in membership.groups_of(tx, ANA, ana.id)] == [c]
    assert membership.add_member(tx, ANA, a.id, 99, NOW) is None
    assert membership.remove_member(tx, ANA, b.id, c.id, NOW)
    assert not membership.remove_member(tx, ANA, b.id, c.id, NOW)
    assert membership.everybody(tx, [a.id]) == set()
    acts = [entry.act for entry in audit.entries(tx, thing=f"entity/{c.id}").items]
    assert acts.count("add member") == 1


def test_whom_nothing_reaches_is_named(tx):
    crew, team = make(tx, "Crew", EntityKind.GROUP), make(tx, "Team", EntityKind.GROUP)
    fine = make(tx, "fine", EntityKind.PERSON, "sms:+1", "mailto:gone@example.org")
    bare, stopped = make(tx, "bare"), make(tx, "stopped", EntityKind.PERSON, "sms:+2")
    bouncing = make(tx, "bouncing")
    put_contact(tx, bouncing.id, "mailto:b@example.org", bouncing_at=NOW, bounce_words="no such user")
    people.suppress(tx, "sms:+2", "STOP", NOW)
    people.suppress(tx, "mailto:gone@example.org", "STOP", NOW)
    warnings = {
        one.name: membership.add_member(tx, ANA, team.id, one.id, NOW) for one in (fine, bare, stopped, bouncing)
    }
    assert {name: [one.why for one in told] for name, told in warnings.items()} == {
        "fine": [],
        "bare": [membership.NO_ADDRESS],
        "stopped": [membership.STOPPED],
        "bouncing": [membership.BOUNCES],
    }
    membership.add_member(tx, ANA, crew.id, team.id, NOW)
    assert [one.entity.name for one in membership.unreachable(tx, ANA, [crew.id, fine.id])] == [
        "bare",
        "bouncing",
        "stopped",
    ]
    listed = membership.groups(tx, ANA).items
    assert [(one.entity.name, one.people, one.unreachable) for one in listed] == [("Crew", 4, 3), ("Team", 4, 3)]
    assert membership.groups(tx, ANA, kind=EntityKind.ORGANISATION).items == ()


def test_members_have_roles_and_come_in_pages(tx):
    crew = make(tx, "Crew", EntityKind.GROUP)
    for name in ("d", "b", "a", "c"):
        made = make(tx, name, EntityKind.PERSON, *(["sms:+1555000"] if name < "c" else []))
        membership.add_member(tx, ANA, crew.id, made.id, NOW, "driver" if name == "a" else "")
    first = membership.members(tx, ANA, crew.id, limit=3)
    rest = membership.members(tx, ANA, crew.id, "", False, first.next, 3)
    told = [(one.entity.name, one.role, one.why) for one in (*first.items, *rest.items)]
    assert told == [
        ("a", "driver", ""),
        ("b", "", ""),
        ("c", "", membership.NO_ADDRESS),
        ("d", "", membership.NO_ADDRESS),
    ]
    assert [one.entity.name for one in membership.members(tx, ANA, crew.id, lost=True).items] == ["c", "d"]
    assert [one.entity.name for one in membership.members(tx, ANA, crew.id, "b").items] == ["b"]
    a = first.items[0].entity.id
    assert membership.roles(tx, ANA, crew.id) == ["driver"]
    assert membership.set_role(tx, ANA, crew.id, a, "  lead  driver ", NOW).role == "lead driver"
    membership.add_member(tx, ANA, crew.id, a, NOW + 1)
    assert membership.member(tx, ANA, crew.id, a).role == "lead driver"
    membership.add_member(tx, ANA, crew.id, a, NOW + 1, "nurse")
    assert [one.role for one in membership.groups_of(tx, ANA, a)] == ["nurse"]
    assert membership.set_role(tx, ANA, crew.id, 99, "x", NOW) is None
    assert membership.member(tx, ANA, crew.id, 99) is None
    acts = [entry.act for entry in audit.entries(tx, thing=f"entity/{crew.id}").items]
    assert (acts.count("add member"), acts.count("change role")) == (4, 2)


def test_a_warning_names_so_many_and_no_more(tx, monkeypatch):
    monkeypatch.setattr(membership, "WARNED", 2)
    crew, team = make(tx, "Crew", EntityKind.GROUP), make(tx, "Team", EntityKind.GROUP)
    for name in "abc":
        membership.add_member(tx, ANA, team.id, make(tx, name).id, NOW)
    assert len(membership.add_member(tx, ANA, crew.id, team.id, NOW)) == 2


def test_what_is_known_of_an_address(tx):
    ana = make(tx, "Ana", EntityKind.PERSON, "sms:+15551234", "mailto:ana@example.org")
    phone, _ = people.contacts(tx, ANA, ana.id)
    assert people.set_stopped(tx, ANA, phone.id, True, "said STOP", NOW).stopped_why == "said STOP"
    assert people.contacts(tx, ANA, ana.id)[0].stopped_at == NOW
    assert people.set_stopped(tx, ANA, phone.id, False, "", NOW).stopped_at is None
    assert people.set_bouncing(tx, ANA, phone.id, "no such number", NOW).bounce_words == "no such number"
    assert people.set_bouncing(tx, ANA, phone.id, "", NOW).bouncing_at is None
    assert people.set_bouncing(tx, ANA, phone.id, "", NOW).bouncing_at is None
    assert people.set_bouncing(tx, ANA, 99, "", NOW) is None
    assert people.prefer(tx, ANA, phone.id, NOW).preferred
    assert not people.prefer(tx, ANA, phone.id, NOW, False).preferred
    acts = [entry.act for entry in audit.entries(tx, thing=f"entity/{ana.id}").items]
    assert acts[:6] == ["prefer address"] * 2 + ["mark address"] * 2 + ["allow address", "stop address"]


@pytest.mark.parametrize("place", [{"timezone": "Mars/Base"}, {"language": "not a language"}])
def test_a_place_there_is_not(tx, place):
    with pytest.raises(Refused, match=r"no time zone|no language"):
        people.create_entity(tx, ANA, "u", EntityKind.PERSON, "Ana", NOW, **place)
    ana = make(tx, "Ana")
    with pytest.raises(Refused, match=r"no time zone|no language"):
        people.update_entity(tx, ANA, ana.id, place, NOW)
