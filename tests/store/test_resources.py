"""Resource types with fields, and their records: checked, indexed, with a history."""

from __future__ import annotations

import pytest

from msgserver.records import HUB, Field, ResourceType
from msgserver.store import resource_types, resources
from msgserver.store.edits import Refused
from tests.store.desk import message, user
from tests.store.people import NOW

SHELTER = ResourceType(
    name="shelter",
    label="Shelter",
    fields=(
        Field(name="beds", label="Beds", kind="number", required=True),
        Field(name="water", label="Water", kind="choice", choices=("tank", "tap")),
    ),
)


@pytest.fixture
def tx(database):
    with database() as tx:
        resource_types.put_type(tx, HUB, SHELTER, NOW)
        yield tx


def made(tx, uid, name, resource="shelter", **content):
    content.setdefault("fields", {"beds": "4"} if resource == "shelter" else {})
    return resources.create_record(tx, HUB, uid, resource, {"name": name} | content, NOW)


def test_fields_are_checked_and_kept_in_one_form(tx):
    assert made(tx, "s-1", "School", fields={"beds": " 40,5 ", "water": "tap"}).fields == {
        "beds": "40.5",
        "water": "tap",
    }
    changed = resources.update_record(tx, HUB, "s-1", {"fields": {"water": ""}}, NOW)
    assert changed.fields == {"beds": "40.5"}
    for wrong in ({"beds": ""}, {"water": "well"}, {"colour": "red"}):
        with pytest.raises(Refused):
            resources.update_record(tx, HUB, "s-1", {"fields": wrong}, NOW)
    with pytest.raises(Refused, match="Beds: must be filled in"):
        resources.create_record(tx, HUB, "s-2", "shelter", {"name": "x"}, NOW)


def test_a_field_that_went_keeps_its_value_in_the_records(tx):
    made(tx, "s-1", "School", fields={"beds": "4", "water": "tap"})
    resource_types.put_type(tx, HUB, ResourceType(name="shelter", label="Shelter", fields=SHELTER.fields[:1]), NOW)
    assert resources.update_record(tx, HUB, "s-1", {"fields": {"beds": "5"}}, NOW).fields == {
        "beds": "5",
        "water": "tap",
    }


@pytest.mark.parametrize(
    "content",
    [
        {"url": "javascript:alert(1)"},
        {"url": "//elsewhere"},
        {"latitude": 91.0},
        {"longitude": -181.0},
        {"code": "x" * 41},
        {"parent_id": 99},
    ],
)
def test_what_cannot_be_is_refused(tx, content):
    with pytest.raises(Refused):
        made(tx, "i-1", "Flood", "incident", **content)


def test_codes_are_unique_within_a_type_whatever_their_case(tx):
    made(tx, "i-1", "Flood", "incident", code="Site-12")
    with pytest.raises(Refused, match="that of Flood"):
        made(tx, "i-2", "Fire", "incident", code="SITE-12")
    made(tx, "p-1", "Dam", "project", code="site-12")
    assert resources.update_record(tx, HUB, "i-1", {"code": "SITE-12"}, NOW).code == "SITE-12"


def test_a_record_never_belongs_to_itself(tx):
    top = made(tx, "l-1", "Province", "location")
    below = made(tx, "l-2", "District", "location", parent_id=top.id)
    for parent in (top.id, below.id):
        with pytest.raises(Refused, match="belong to itself"):
            resources.update_record(tx, HUB, "l-1", {"parent_id": parent}, NOW)
    assert [one.uid for one in resources.records(tx, HUB, parent_id=top.id).items] == ["l-2"]


@pytest.mark.parametrize("code", ["STOP", "stop", "Start", "HELP", "стоп", "aide"])
def test_a_word_that_is_always_obeyed_is_no_code(tx, code):
    with pytest.raises(Refused, match=f"{code} is no code: whoever texts it asks for"):
        made(tx, "i-1", "Flood", "incident", code=code)
    with pytest.raises(Refused):
        resources.update_record(tx, HUB, made(tx, "i-1", "Flood", "incident").uid, {"code": f"{code}!"}, NOW)
    assert made(tx, "i-2", "Flood", "incident", code=f"X{code}").code == f"X{code}"


def test_found_by_name_alias_and_code_in_this_order(tx):
    made(tx, "1", "Mill", "location", code="OLD", aliases=("Old mill",))
    made(tx, "2", "Old bridge", "location")
    made(tx, "3", "The old dam", "location")
    made(tx, "4", "Old well", "project")

    def typed(words, resource="location"):
        return [one.uid for one in resources.complete(tx, HUB, words, resource)]

    assert typed("old") == ["1", "2", "3"]
    assert typed("old dam") == ["3"]
    assert typed("mill old") == ["1"]
    assert typed("old", "") == ["1", "2", "4", "3"]
    resources.update_record(tx, HUB, "1", {"aliases": (), "code": ""}, NOW)
    assert typed("old") == ["2", "3"]
    assert typed("--") == []


def test_history_tells_who_changed_what(tx):
    ana = user(tx, "ana")
    made(tx, "i-1", "Flood", "incident")
    resources.update_record(tx, ana, "i-1", {"status": "open", "name": "Flood"}, NOW)
    newest, oldest = resources.history(tx, HUB, "i-1").items
    assert (newest.user, newest.detail) == ("ana", {"changes": {"status": ["", "open"]}})
    assert (oldest.act, oldest.detail) == ("create record", {"name": "Flood"})
    assert resources.history(tx, HUB, "none") is None
    assert resources.statuses(tx, "incident") == ["open"]


def test_last_activity(tx):
    for uid in ("i-1", "i-2"):
        made(tx, uid, uid, "incident")
    message(tx, tags=("incident/i-1",), received_at=5.0)
    message(tx, tags=("incident/i-1",), received_at=7.0)
    assert resources.last_activity(tx, HUB, "incident", ["i-1", "i-2"]) == {"i-1": 7.0}
