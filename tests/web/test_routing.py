"""Routing a message by hand, on the pages: to records, into a new record, to people; each taken back."""

from __future__ import annotations

import re

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role
from msgserver.store import membership, messages, people, resources, tickets
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Browser, Web
from tests.web.test_records import record


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana")


@pytest.fixture
def asked(web: Web) -> int:
    ticket_id = web.store.now(conversation, subject="Bridge", address="sms:+93701234567")
    made: int = web.store.now(
        message, ticket_id, sender="sms:+93701234567", connector="modem1", subject="Re: Bridge down",
        body="Gone at 34.5553, 69.2075\nCall +93 70 765 4321",
    )  # fmt: skip
    return made


def person(web: Web, name: str, *addresses: str, kind: EntityKind = EntityKind.PERSON) -> int:
    made = web.store.now(people.create_entity, HUB, f"uid-{name}", kind, name, NOW)
    for address in addresses:
        web.store.now(people.add_contact, HUB, made.id, Address.parse(address), NOW)
    return int(made.id)


def tags(web: Web, message_id: int) -> list[tuple[str, str]]:
    found = web.store.now(messages.tags, HUB, [message_id]).get(message_id, [])
    return [(tag.resource, tag.record) for tag in found]


def sent(web: Web, message_id: int) -> dict[str, str]:
    found = web.store.now(messages.deliveries, HUB, [message_id]).items
    return {one.address: one.state.value for one in found}


def done(web: Web, message_id: int) -> bool:
    found = web.store.now(messages.message, HUB, message_id)
    return web.store.now(tickets.ticket, HUB, found.ticket_id).actioned_at is not None


def test_to_a_record_by_code_by_choice_and_to_a_type(web: Web, ana: Browser, asked: int) -> None:
    for uid, name, code in (("i-1", "Flood north", "FN"), ("i-2", "Flood south", "FS")):
        record(web, uid, name, code=code)
    page, to = f"/messages/{asked}/route", f"/messages/{asked}/tags"
    assert page in ana.get("/tickets/1").text
    assert ana.submit(page, to, type="", words="fs").header("location") == f"{page}?said=routed"
    assert tags(web, asked) == [("incident", "i-2")]
    several = ana.submit(page, to, type="incident", words="flood")
    assert re.findall(r'type="radio" name="uid" value="([^"]*)"', several.text) == ["i-1", "i-2"]
    assert 'value="flood"' in several.text
    ana.submit(page, to, type="incident", words="flood", uid="i-1")
    ana.submit(page, to, type="project", words="")
    ana.submit(page, to, type="tag", words="#Boats")
    assert tags(web, asked) == [("incident", "i-2"), ("incident", "i-1"), ("project", ""), ("tag", "boats")]
    assert "No record has such a name" in ana.submit(page, to, type="", words="zzz").text
    assert ana.submit(page, to, type="", words="").status == 422
    thread = ana.get("/tickets/1").text
    assert 'href="/resources/incident/i-1"' in thread
    assert 'href="/resources/tag/boats"' in thread


def test_a_tag_is_taken_back(web: Web, ana: Browser, asked: int) -> None:
    record(web, "i-1", "Flood")
    page = f"/messages/{asked}/route"
    ana.submit(page, f"/messages/{asked}/tags", type="incident", words="flood")
    [tag] = web.store.now(messages.tags, HUB, [asked])[asked]
    other = web.store.now(message)
    token = re.search(r'name="csrf" value="([^"]*)"', ana.get(page).text)
    assert token is not None
    assert ana.post(f"/messages/{other}/tags/{tag.id}/remove", csrf=token[1]).status == 404
    assert tags(web, asked) == [("incident", "i-1")]
    back = ana.submit(page, f"/messages/{asked}/tags/{tag.id}/remove")
    assert back.header("location") == f"{page}?said=untagged"
    assert tags(web, asked) == []


def test_into_a_new_record_filled_in_from_the_message(web: Web, ana: Browser, asked: int) -> None:
    form = ana.get(f"/records/new?type=incident&message={asked}").text
    filled = dict(re.findall(r'<input id="[^"]*" name="([^"]*)" value="([^"]*)"', form))
    assert filled["name"] == "Bridge down"
    assert filled["f-contact"] == "sms:+93701234567"
    assert filled["f-phones"] == "+93707654321"
    assert filled["position"] == "34.5553, 69.2075"
    assert ">Gone at 34.5553, 69.2075\nCall +93 70 765 4321</textarea>" in form
    wrong = ana.submit(f"/records/new?type=incident&message={asked}", "/resources/incident", name="", done="1")
    assert wrong.status == 422
    assert f'name="message" value="{asked}"' in wrong.text
    assert tags(web, asked) == []
    made = ana.submit(
        f"/records/new?type=incident&message={asked}", "/resources/incident",
        **{name: words for name, words in filled.items() if words}, comments="bridge",
    )  # fmt: skip
    uid = made.header("location").rpartition("/")[2].partition("?")[0]
    assert tags(web, asked) == [("incident", uid)]
    kept = web.store.now(resources.record, HUB, uid)
    assert (kept.fields, kept.latitude) == ({"contact": "sms:+93701234567", "phones": "+93707654321"}, 34.5553)
    assert "Gone at" in ana.get(f"/resources/incident/{uid}").text
    assert not done(web, asked)


def test_whether_it_is_done_then_is_asked_and_the_answer_remembered(web: Web, ana: Browser, asked: int) -> None:
    page, to = f"/messages/{asked}/route", f"/messages/{asked}/tags"
    box = 'name="done" value="1" checked'
    assert box not in ana.get(page).text
    ana.submit(page, to, type="tag", words="a")
    assert not done(web, asked)
    ana.submit(page, to, type="tag", words="b", done="1")
    assert done(web, asked)
    assert box in ana.get(page).text
    assert box in ana.get(f"/records/new?type=incident&message={asked}").text
    ben = web.signed_in("ben")
    assert box not in ben.get(page).text
    ana.submit(page, to, type="tag", words="c")
    assert box not in ana.get(page).text


def test_to_a_group_each_gets_a_delivery_and_may_be_taken_back(web: Web, ana: Browser, asked: int) -> None:
    group = person(web, "Drivers", kind=EntityKind.GROUP)
    for name, addresses in (("Bo", ["sms:+15550001"]), ("Cy", ["mailto:cy@x.example"]), ("Di", [])):
        web.store.now(membership.add_member, HUB, group, person(web, name, *addresses), NOW)
    page = f"/messages/{asked}/route"
    found = ana.submit(page, page, to="d")
    assert re.findall(r'name="entity" value="(\d+)"', found.text) == ["4", str(group)]
    assert "no address: cannot be reached" in found.text
    assert ana.get("/people/find?q=cy").json == [{"id": "3", "name": "Cy", "more": "Mail"}]
    sent_on = ana.submit(page, page, to="drivers")
    assert sent_on.header("location") == f"{page}?said=forwarded&made=2&nobody=1"
    assert sent(web, asked) == {"sms:+15550001": "pending", "mailto:cy@x.example": "pending"}
    assert tags(web, asked) == [("entity", "uid-Drivers")]
    shown = ana.get(sent_on.header("location")).text
    assert "2 copies leave." in shown
    assert "1 of them has no address" in shown
    assert "Drivers" in ana.get("/tickets/1").text
    [tag] = web.store.now(messages.tags, HUB, [asked])[asked]
    ana.submit(page, f"/messages/{asked}/tags/{tag.id}/remove")
    assert set(sent(web, asked).values()) == {"cancelled"}
    assert "Nobody of this name" in ana.submit(page, page, to="zz").text


def test_a_reader_routes_nothing_and_a_scope_ends_where_it_ends(web: Web, asked: int) -> None:
    reader = web.signed_in("reader", role=Role.READER)
    assert "/route" not in reader.get("/tickets/1").text
    assert reader.get(f"/messages/{asked}/route").status == 403
    scoped = web.signed_in("scoped", Grant(Role.RESPONDER, "site", "north"))
    hidden = web.store.now(message, web.store.now(conversation), tags=("site/south",))
    assert scoped.get(f"/messages/{hidden}/route").status == 404
    assert scoped.get(f"/records/new?type=incident&message={hidden}").status == 404
    token = re.search(r'name="csrf" value="([^"]*)"', scoped.get("/").text)
    assert token is not None
    assert scoped.post(f"/messages/{hidden}/tags", csrf=token[1], type="tag", words="x").status == 404
    assert scoped.post(f"/messages/{hidden}/route", csrf=token[1], to="x", entity="1").status == 404
    assert tags(web, hidden) == [("site", "south")]
