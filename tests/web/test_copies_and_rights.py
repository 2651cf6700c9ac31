"""Subscriptions, copies that wait, saved searches, rights and the audit: on their pages and over the API."""

from __future__ import annotations

import re

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role
from msgserver.store import audit, merging, people, resources, saved, users
from msgserver.store.recording import record
from tests.store.desk import conversation, message
from tests.store.people import entity, member, plan
from tests.web.conftest import NOW, Browser, Web


@pytest.fixture
def root(web: Web) -> Browser:
    return web.signed_in("root", role=Role.ADMINISTRATOR)


def person(web: Web, name: str, address: str) -> int:
    def make(tx):
        number = entity(tx, name, address)
        tx.exec_driver_sql(f"update pe_contact set verified_at = 1 where entity_id = {number}")
        return number

    return web.store.now(make)


def api(web: Web, name: str, method: str, path: str, body: bytes = b""):
    viewer = web.store.now(users.viewer, web.store.now(users.find_user, name)[0].id)
    if not hasattr(web, "key"):
        web.key = web.token(viewer)  # type: ignore[attr-defined]
    headers = {"Authorization": f"Bearer {web.key}", "Content-Type": "application/json"}  # type: ignore[attr-defined]
    return web.browser().send(method, f"/api/v1{path}", body, headers)


def test_a_subscription_with_digest_and_quiet_hours_is_made_changed_and_ended(web: Web, root: Browser) -> None:
    ana = person(web, "Ana", "mailto:ana@x.org")
    web.store.now(saved.save_view, web.store.now(users.viewer, 1), "Floods", "flood", NOW, True)
    wish = {"entity": str(ana), "digest": "daily", "quiet_from": "22:00", "quiet_until": "06:30"}
    assert root.submit("/subscriptions", "/subscriptions", tag="flood", **wish).status == 303
    assert root.submit("/subscriptions", "/subscriptions", to="type/incident", entity=str(ana)).status == 303
    assert root.submit("/subscriptions", "/subscriptions", to="search/1", entity=str(ana)).status == 303
    page = root.get("/subscriptions").text
    assert "gathered every morning" in page
    assert "not from 22:00 to 06:30" in page
    assert "Floods" in page
    assert 'value="22:00"' in root.get("/subscriptions/1").text
    assert root.submit("/subscriptions/1", "/subscriptions/1", digest="", quiet_from="x").status == 422
    changed = root.submit("/subscriptions/1", "/subscriptions/1", digest="hourly", quiet_from="", quiet_until="")
    assert changed.status == 303
    assert "gathered every hour" in root.get(f"/subscriptions?who={ana}").text
    assert root.submit("/subscriptions", "/subscriptions/1/remove").status == 303
    assert root.get("/subscriptions/1").status == 404


def test_a_record_is_named_by_its_code_or_name(web: Web, root: Browser) -> None:
    ana = person(web, "Ana", "mailto:ana@x.org")
    viewer = web.store.now(users.viewer, 1)
    web.store.now(resources.create_record, viewer, "uid-7", "incident", {"name": "Old Bridge", "code": "B7"}, NOW)
    for words in ("incident/b7", "incident/old bridge", "incident/uid-7"):
        root.submit("/subscriptions", "/subscriptions", tag=words, entity=str(ana))
    rows = web.store.now(lambda tx: tx.exec_driver_sql("select record from pe_subscription").all())
    assert [tuple(row) for row in rows] == [("uid-7",)]
    assert "Old Bridge" in root.get("/subscriptions").text


def test_what_it_would_have_sent_is_said_and_nothing_saved(web: Web, root: Browser) -> None:
    ana = person(web, "Ana", "mailto:ana@x.org")
    ticket = web.store.now(conversation)
    for _ in range(3):
        web.store.now(message, ticket, tags=("tag/flood",), received_at=NOW - 100)
    told = root.submit("/subscriptions", "/subscriptions", tag="flood", entity=str(ana), look="1")
    assert told.status == 200
    assert "It would have sent 3 messages in the last seven days" in told.text
    wish = b'{"entity": %d, "resource": "tag", "record": "flood", "digest": "daily"}' % ana
    found = api(web, "root", "POST", "/subscriptions/preview", wish).json
    assert found == {"days": 7, "messages": 3, "people": 1, "reached": 1, "sends": 1}
    assert api(web, "root", "GET", "/subscriptions").json["items"] == []


def test_somebody_unproven_is_asked(web: Web, root: Browser) -> None:
    ana = web.store.now(lambda tx: entity(tx, "Ana", "sms:+15550001"))
    made = root.submit("/subscriptions", "/subscriptions", tag="flood", entity=str(ana))
    assert made.header("location").endswith("said=asked")
    assert "waits for their YES" in root.get("/subscriptions").text
    for said in ("asked", "asked", "unasked"):
        assert root.submit("/subscriptions", "/subscriptions/1/ask").header("location").endswith(f"said={said}")
    sent = web.store.now(lambda tx: tx.exec_driver_sql("select body from msg_log where cause = 'consent'").all())
    assert len(sent) == 3
    assert api(web, "root", "GET", "/subscriptions/1").json["waits"] is True


def test_copies_that_wait_are_let_go_or_cancelled(web: Web, root: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgserver.store.fanout.MOST_COPIES", 2)

    def arrive(tx):
        group = entity(tx, "all", kind="group")
        member(tx, group, *(entity(tx, f"p{n}", f"sms:+1{n}") for n in range(5)))
        return [record(tx, [plan(tx, f"sms:+9{n}", routes=(group,), body="go up")])[0].message_id for n in range(2)]

    first, second = web.store.now(arrive)
    assert "5 copies" in root.get("/copies").text
    assert api(web, "root", "GET", "/copies").json["items"][0]["channels"] == {"sms": 5}
    assert root.submit("/copies", f"/copies/{first}/send").status == 303
    assert api(web, "root", "POST", f"/copies/{second}/cancel").json == {"copies": 5}
    rows = web.store.now(
        lambda tx: tx.exec_driver_sql("select state, count(*) from msg_delivery_status group by 1").all()
    )
    assert {tuple(row) for row in rows} == {("pending", 5), ("cancelled", 5)}
    assert "Nothing waits" in root.get("/copies").text
    assert api(web, "root", "POST", f"/copies/{first}/send").status == 404
    acts = [entry.act for entry in web.store.now(audit.entries, thing="message/*").items]
    assert acts == ["cancel copies", "send copies"]


def test_rights_are_given_and_taken_within_a_scope(web: Web, root: Browser) -> None:
    web.user("ana", role=Role.READER)
    viewer = web.store.now(users.viewer, 1)
    web.store.now(resources.create_record, viewer, "uid-7", "incident", {"name": "Old Bridge"}, NOW)
    page = "/users/2"
    for scope in ({}, {"resource": "incident"}, {"resource": "incident", "record": "old bridge"}):
        assert root.submit(page, f"{page}/grants", role="responder", **scope).status == 303
    assert root.submit(page, f"{page}/grants", role="responder", resource="incident", record="no such").status == 422
    assert root.submit(page, f"{page}/grants", role="king").status == 422
    assert "Old Bridge" in root.get(page).text
    assert set(web.store.now(users.user, 2).grants) == {
        Grant(Role.READER), Grant(Role.RESPONDER), Grant(Role.RESPONDER, "incident"),
        Grant(Role.RESPONDER, "incident", "uid-7"),
    }  # fmt: skip
    assert root.submit(page, f"{page}/revoke", role="reader", resource="", record="").status == 303
    assert Grant(Role.READER) not in web.store.now(users.user, 2).grants
    kept = root.submit("/users/1", "/users/1/revoke", role="administrator", resource="", record="")
    assert kept.status == 422
    assert "only administrator" in kept.text
    assert "grants" in root.get("/audit?thing=user/2").text
    mina = web.store.now(people.create_entity, viewer, "m", EntityKind.PERSON, "Mina", NOW).id
    crew = web.store.now(people.create_entity, HUB, "crew", EntityKind.GROUP, "Crew", NOW)
    for wrong in ({"person": "Nobody"}, {"person": "Crew"}, {"entity": str(crew.id)}, {"entity": "999"}):
        assert root.submit(page, f"{page}/person", **wrong).status == 422, wrong
    assert root.submit(page, f"{page}/person", entity=str(mina)).status == 303
    assert 'value="Mina"' in root.get(page).text
    assert root.submit(page, f"{page}/person", person="").status == 303
    assert 'value="Mina"' not in root.get(page).text
    assert root.submit(page, f"{page}/person", person="mina").status == 303
    assert web.store.now(users.user, 2).entity_id == mina


def test_rights_over_the_api(web: Web, root: Browser) -> None:
    made = api(web, "root", "POST", "/users", b'{"name": "bo", "grants": [{"role": "reader", "resource": "incident"}]}')
    assert made.status == 201
    number = made.json["id"]
    assert made.json["grants"] == [{"role": "reader", "resource": "incident", "record": ""}]
    assert api(web, "root", "PATCH", f"/users/{number}", b'{"grants": [], "active": false}').json["active"] is False
    assert api(web, "root", "GET", f"/users/{number}").json["grants"] == []
    for body, status in (
        (b'{"grants": [{"role": "king"}]}', 422),
        (b'{"grants": [{"role": "reader", "record": "x"}]}', 422),
        (b'{"entity": 99}', 422),
        (b'{"password": "x"}', 422),
    ):
        assert api(web, "root", "PATCH", f"/users/{number}", body).status == status
    assert api(web, "root", "PATCH", "/users/1", b'{"grants": []}').status == 422, "somebody must be left"
    assert api(web, "root", "PATCH", "/users/99", b"{}").status == 404
    assert api(web, "root", "POST", "/users", b'{"name": "cy", "password": "short"}').status == 422


def test_the_audit_tells_in_words(web: Web, root: Browser) -> None:
    def happen(tx):
        kept, gone = (people.create_entity(tx, HUB, f"u{n}", EntityKind.PERSON, f"Ana {n}", NOW) for n in (1, 2))
        people.add_contact(tx, HUB, gone.id, Address.parse("sms:+15551234"), NOW)
        people.update_entity(tx, HUB, kept.id, {"timezone": "Asia/Kabul"}, NOW)
        merging.merge(tx, HUB, kept.id, gone.id, NOW)

    web.store.now(happen)
    page = root.get("/audit").text
    assert "timezone: – → Asia/Kabul" in page
    assert re.search(r"merged: id [0-9]+; uid u2; kind person; name Ana 2;[^<]*addresses: sms:\+15551234<", page)


def test_the_audit_is_narrowed_and_paged(web: Web, root: Browser) -> None:
    viewer = web.store.now(users.viewer, 1)
    for n in range(5):
        web.store.now(saved.save_view, viewer, f"v{n}", "x", NOW)
    found = api(web, "root", "GET", "/audit?who=1&act=save%20view&limit=2").json
    assert [line["thing"] for line in found["items"]] == ["view/5", "view/4"]
    after = api(web, "root", "GET", f"/audit?act=save%20view&limit=2&after={found['next']}").json
    assert [line["thing"] for line in after["items"]] == ["view/3", "view/2"]
    assert api(web, "root", "GET", "/audit?who=77").json["items"] == []
    assert len(api(web, "root", "GET", "/audit?thing=view/*").json["items"]) == 5
    page = root.get("/audit?act=save+view&who=1").text
    assert page.count("<td>view/") == 5
    assert "<option selected>save view</option>" in page


def test_searches_are_counted_changed_and_shared(web: Web, root: Browser) -> None:
    ticket = web.store.now(conversation)
    for _ in range(2):
        web.store.now(message, ticket, body="the water rises")
    web.store.now(lambda tx: tx.exec_driver_sql("update auth_user set unread_from = 1"))
    assert root.submit("/searches", "/searches", name="Water", query="water", everybody="1").status == 303
    assert re.search(r"<b>1</b></a> \(1\)", root.get("/searches").text)
    [listed] = api(web, "root", "GET", "/searches").json["items"]
    assert (listed["unread"], listed["read"], listed["everybody"]) == (1, 1, True)
    reader = web.signed_in("ana", role=Role.READER)
    assert reader.submit("/searches", "/searches", name="Private", query="x", everybody="1").status == 403
    assert reader.submit("/searches", "/searches", name="Private", query="x").status == 303
    assert "Private" not in root.get("/searches").text
    assert reader.submit("/searches", "/searches/2", name="Private", query="y").status == 303
    assert root.submit("/searches", "/searches/1", name="", query="y").status == 422
    assert root.submit("/searches", "/searches/1/remove").status == 303


def test_everything_of_a_type_is_subscribed_to_from_its_list_by_name_or_address(web: Web, root: Browser) -> None:
    """However many people there are: whom the first page of a list leaves out can be subscribed too."""
    for name, address in (("Ana", "ana@x.org"), ("Rai", "rai@x.org"), ("Rai", "rai@clinic.example")):
        made = web.store.now(people.create_entity, HUB, address, EntityKind.PERSON, name, NOW)
        web.store.now(people.add_contact, HUB, made.id, Address.parse(f"mailto:{address}"), NOW, True)
    page = "/resources/incident"
    assert "Nobody yet." in root.get(page).text
    wish = {"to": "type/incident", "back": page, "digest": "daily"}
    done = root.submit(page, "/subscriptions", who="ana", **wish)
    assert (done.status, done.header("location")) == (303, f"{page}?said=subscribed")
    shown = root.get(page).text
    assert re.search(r"<bdi>Ana</bdi>.*gathered every morning", shown)
    twice = root.submit(page, "/subscriptions", who="rai", **wish)
    assert twice.status == 422
    assert "“rai” may be Rai, Rai. Write the whole name, or an address." in twice.text
    assert 'name="who" value="rai"' in twice.text
    assert root.submit(page, "/subscriptions", who="rai@clinic.example", **wish).status == 303
    assert "nobody is called “Zed”" in root.submit(page, "/subscriptions", who="Zed", **wish).text


def test_who_may_subscribe_only_themselves_is_not_asked_whom(web: Web) -> None:
    reader = web.signed_in("rea", role=Role.READER)
    rea = web.store.now(users.viewer, web.store.now(users.find_user, "rea")[0].id)
    web.store.now(users.set_entity, HUB, rea.user_id, person(web, "Rea", "mailto:rea@x.org"), NOW)
    page = reader.get("/resources/incident").text
    assert 'name="who"' not in page
    assert re.search(r'type="hidden" name="entity" value="\d+"', page)
