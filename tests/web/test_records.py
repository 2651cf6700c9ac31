"""Resources on the pages: types and records made, found, changed; what there is to read about each."""

from __future__ import annotations

import re

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, ResourceRecord, ResourceType, Role
from msgserver.store import messages, people, resource_types, resources, subscriptions, users
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Browser, Web


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana", role=Role.ADMINISTRATOR)


def record(web: Web, uid: str, name: str, resource: str = "incident", **content: object) -> ResourceRecord:
    made = web.store.now(resources.create_record, HUB, uid, resource, {"name": name, **content}, NOW)
    assert isinstance(made, ResourceRecord)
    return made


def said(page: str) -> str:
    found = re.search(r'role="alert">([^<]*)<', page)
    return found[1] if found else ""


def test_a_type_of_ones_own_with_typed_fields(web: Web, ana: Browser) -> None:
    made = ana.submit(
        "/types/new", "/types", label="Shelter", url="https://other.example/{uid}",
        **{"label-0": "Beds", "kind-0": "number", "required-0": "1", "label-1": "Water", "kind-1": "choice",
           "choices-1": "tank, tap", "label-2": "خالی", "kind-2": "yes/no"},
    )  # fmt: skip
    assert made.header("location") == "/resources/shelter?said=saved"
    kind = web.store.now(resource_types.type_of, HUB, "shelter")
    assert [(f.name, f.kind, f.choices, f.required) for f in kind.fields] == [
        ("beds", "number", (), True),
        ("water", "choice", ("tank", "tap"), False),
        ("field", "yes/no", (), False),
    ]
    page = ana.get("/types/shelter").text
    assert 'value="Beds"' in page
    answer = ana.submit("/types/shelter", "/types/shelter", label="Shelter", **{"label-0": "Beds", "kind-0": "color"})
    assert answer.status == 422
    assert "none of text, number" in said(answer.text)
    assert ana.submit("/types/new", "/types", label="Shelter").status == 422
    assert ana.submit("/types/shelter", "/types/shelter/remove").header("location") == "/resources?said=removed"
    assert ana.get("/resources/shelter").status == 404


def test_a_record_made_changed_and_taken_away_with_its_history(web: Web, ana: Browser) -> None:
    record(web, "p-1", "Province", "location", code="PR")
    made = ana.submit(
        "/records/new?type=location", "/resources/location", name="Kabul", code="KBL", status="open",
        comments="by the <river>", aliases="Kabol\nCabul", position="34°33′19″N 69°12′27″E", parent="pr",
        url="https://maps.example/1",
    )  # fmt: skip
    place = made.header("location").partition("?")[0]
    page = ana.get(place).text
    for words in ("Kabul", "KBL", "by the &lt;river&gt;", "Kabol, Cabul", "34.555278, 69.2075", "Province"):
        assert words in page
    assert "Kabul" in ana.get("/resources/location/p-1").text
    changed = ana.submit(f"{place}/edit", place, name="Kabul city", status="closed", position="", parent="")
    assert changed.header("location") == f"{place}?said=saved"
    page = ana.get(place).text
    assert "open → closed" in page
    assert "ana" in page
    assert "34.555278, 69.2075" not in page.partition("History")[0]
    version = re.search(r'name="version" value="(\d+)"', ana.get(f"{place}/edit").text)
    assert version is not None
    ana.submit(f"{place}/edit", place, name="Kabul 2")
    stale = ana.submit(f"{place}/edit", place, name="mine", version=version[1])
    assert stale.status == 409
    assert 'value="mine"' in stale.text
    assert ana.submit(place, f"{place}/remove").header("location") == "/resources/location?said=removed"
    assert ana.get(place).status == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "x", "position": "by the river"}, "write the position as"),
        ({"name": "x", "parent": "nothing such"}, "found: none"),
        ({"name": "x", "url": "javascript:1"}, "must begin with https"),
        ({"name": "x", "code": "TAKEN"}, "is that of"),
        ({"name": ""}, "give a name"),
    ],
)
def test_what_cannot_be_is_said_and_the_words_are_kept(
    web: Web, ana: Browser, fields: dict[str, str], words: str
) -> None:
    record(web, "i-1", "First", code="taken")
    answer = ana.submit("/records/new?type=incident", "/resources/incident", comments="long words", **fields)
    assert answer.status == 422
    assert words in said(answer.text)
    assert "long words" in answer.text


def test_the_messages_column_leads_to_exactly_those_messages(web: Web, ana: Browser) -> None:
    record(web, "i-1", "Flood", code="FL")
    record(web, "i-2", "Fire")
    thread = web.store.now(conversation)
    made = [
        web.store.now(message, thread, tags=("incident/i-1",), body=f"words {n}", received_at=NOW + n) for n in range(3)
    ]
    web.store.now(message, thread, body="words of others", tags=("incident/i-2",))
    web.store.now(messages.mark_read, web.store.now(users.viewer, 1), made[:1], NOW)
    page = ana.get("/resources/incident").text
    row = next(row for row in page.split("<tr>") if "Flood" in row)
    assert "2 unread, 1 read" in row
    for show, bodies in (("unread", {1, 2}), ("read", {0})):
        [link] = re.findall(rf'href="([^"]*show={show})#messages"', row)
        found = ana.get(link).text
        assert {n for n in range(3) if f"words {n}" in found} == bodies
        assert "words of others" not in found
    whole = ana.get("/resources/incident/i-1").text
    assert all(f"words {n}" in whole for n in range(3))
    assert f"/tickets/{thread}?view=all#m1" in whole
    assert "none yet" not in row
    found = ana.get("/resources/incident?q=fl").text
    assert "Flood" in found
    assert "Fire" not in found


def test_a_record_of_another_application_has_a_page_by_its_messages(web: Web, ana: Browser) -> None:
    assert ana.get("/resources/project/theirs-17").status == 404
    web.store.now(message, tags=("project/theirs-17",), body="about theirs")
    kind = ResourceType(name="project", label="Project", url="https://other.example/p/{uid}")
    web.store.now(resource_types.put_type, HUB, kind, NOW)
    page = ana.get("/resources/project/theirs-17").text
    assert "about theirs" in page
    assert "lives in another application" in page
    assert 'href="https://other.example/p/theirs-17"' in page
    made = ana.submit("/records/new?type=project&uid=theirs-17", "/resources/project", name="Well")
    assert made.header("location").startswith("/resources/project/theirs-17")
    assert "lives in another application" not in ana.get("/resources/project/theirs-17").text


def test_subscribing_from_the_record_comes_back_to_it(web: Web, ana: Browser) -> None:
    record(web, "i-1", "Flood")
    web.store.now(people.create_entity, HUB, "u", EntityKind.PERSON, "Mina", NOW)
    web.store.now(people.add_contact, HUB, 1, Address.parse("mailto:mina@x.example"), NOW, True)
    page = "/resources/incident/i-1"
    done = ana.submit(page, "/subscriptions", entity="1", channel="")
    assert done.header("location") == f"{page}?said=subscribed"
    assert "Mina" in ana.get(page).text.partition("Who hears of it")[2]


def test_a_scope_shows_its_own_records_alone(web: Web) -> None:
    record(web, "i-1", "Mine", code="AA")
    record(web, "i-2", "Secret", code="AB")
    web.store.now(message, tags=("incident/i-2",), body="hidden")
    browser = web.signed_in("scoped", Grant(Role.RESPONDER, "incident", "i-1"))
    page = browser.get("/resources/incident").text
    assert "Mine" in page
    assert "Secret" not in page
    assert browser.get("/records/find?q=a").json == [{"id": "i-1", "name": "Mine", "more": "Incident AA"}]
    assert browser.get("/resources/incident/i-2").status == 404
    assert browser.get("/resources/incident/i-2/edit").status == 404
    token = re.search(r'name="csrf" value="([^"]*)"', browser.get("/").text)
    assert token is not None
    csrf = token[1]
    assert browser.post("/resources/incident/i-2", csrf=csrf, name="x").status == 403
    assert browser.post("/resources/incident/i-2/remove", csrf=csrf).status == 404
    assert browser.post("/resources/incident", csrf=csrf, name="x").status == 403


def test_many_who_hear_of_it_are_shown_page_by_page(web: Web, ana: Browser) -> None:
    record(web, "i-1", "Bridge")
    for n in range(120):
        one = web.store.now(people.create_entity, HUB, f"p-{n}", EntityKind.PERSON, f"Helper {n:03d}", NOW)
        web.store.now(subscriptions.subscribe, HUB, one.id, "incident", "i-1" if n % 2 else "", NOW)
    for place, expected in (("/resources/incident/i-1", 120), ("/resources/incident", 60), ("/subscriptions", 120)):
        page, found = ana.get(place).text, []
        for _ in range(4):
            found += re.findall(r"(Helper [0-9]{3})<", page)
            following = re.search(r'href="([^"]*(?:hearing|after)=[^"]*)"', page)
            if following is None:
                break
            page = ana.get(following[1].replace("&amp;", "&").partition("#")[0]).text
        assert len(found) == len(set(found)) == expected, place
