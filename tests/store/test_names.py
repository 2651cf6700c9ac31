"""Finding people and records by the beginnings of words, in any script."""

from __future__ import annotations

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind
from msgserver.store import names, people
from msgserver.store.edits import Refused
from tests.store.people import NOW


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def person(tx, name, *addresses, kind=EntityKind.PERSON):
    made = people.create_entity(tx, HUB, f"uid {name}", kind, name, NOW)
    for address in addresses:
        people.add_contact(tx, HUB, made.id, Address.parse(address), NOW)
    return made


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("mar", ["María Qadir", "Ana Marín"]),
        ("qadir mar", ["María Qadir"]),
        ("0701", ["María Qadir"]),
        ("+93 70 123", ["María Qadir"]),
        ("93701", ["María Qadir"]),
        ("ana@ex", ["Ana Marín"]),
        ("example", ["Ana Marín"]),
        ("أحمد", ["احمد كريم"]),
        ("京都", ["東京都"]),
        ("zz", []),
        ("", []),
        ("%", []),
    ],
)
def test_what_is_typed_is_found(tx, typed, found):
    person(tx, "María Qadir", "sms:+93701234567")
    person(tx, "Ana Marín", "mailto:ana@example.org")
    person(tx, "احمد كريم")
    person(tx, "東京都")
    assert [one.name for one in people.complete(tx, HUB, typed)] == found
    if typed.strip():
        assert {one.name for one in people.entities(tx, HUB, typed).items} == set(found)


def test_completion_is_narrowed_by_kind_and_bounded(tx):
    for n in range(15):
        person(tx, f"Crew {n:02}", kind=EntityKind.GROUP)
    person(tx, "Crewman")
    assert [one.name for one in people.complete(tx, HUB, "crew", [EntityKind.PERSON])] == ["Crewman"]
    assert len(people.complete(tx, HUB, "crew", limit=5)) == 5


def test_a_changed_name_and_a_removed_address_are_found_no_more(tx):
    ana = person(tx, "Ana", "mailto:ana@example.org")
    people.update_entity(tx, HUB, ana.id, {"name": "Zoe"}, NOW)
    [contact] = people.contacts(tx, HUB, ana.id)
    people.remove_contact(tx, HUB, contact.id, NOW)
    assert people.complete(tx, HUB, "ana") == []
    assert [one.name for one in people.complete(tx, HUB, "zo")] == ["Zoe"]
    people.remove_entity(tx, HUB, ana.id, NOW)
    assert tx.exec_driver_sql("SELECT count(*) FROM name_word").scalar_one() == 0


def test_words_of_codes():
    assert names.words_of("Old mill", code="Site-12") == ["old", "mill", "site", "12", "site12"]


def test_quiet_hours_and_zones_are_checked_and_the_history_tells(tx):
    ana = person(tx, "Ana")
    changed = people.update_entity(tx, HUB, ana.id, {"quiet_from": 22 * 60, "quiet_until": 6 * 60}, NOW)
    assert (changed.quiet_from, changed.quiet_until) == (1320, 360)
    assert people.update_entity(tx, HUB, ana.id, {"timezone": "Asia/Kabul"}, NOW).timezone == "Asia/Kabul"
    for wrong in ({"quiet_from": None}, {"quiet_from": 1440}, {"timezone": "Mars/Base"}):
        with pytest.raises(Refused):
            people.update_entity(tx, HUB, ana.id, wrong, NOW)
    from msgserver.store import audit

    newest = audit.entries(tx, thing=f"entity/{ana.id}").items[0]
    assert newest.detail == {"changes": {"timezone": ["", "Asia/Kabul"]}}


def test_stop_is_written_down_and_lifted(tx):
    ana = person(tx, "Ana", "sms:+93701234567")
    [contact] = people.contacts(tx, HUB, ana.id)
    people.set_stopped(tx, HUB, contact.id, True, "told us by phone", NOW)
    assert people.suppressed(tx, [contact.address]) == {contact.address: "told us by phone"}
    people.set_stopped(tx, HUB, contact.id, False, "", NOW)
    assert people.suppressed(tx, [contact.address]) == {}
    assert people.set_stopped(tx, HUB, 99, True, "", NOW) is None
