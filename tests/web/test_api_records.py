"""Resources and records for programs: types, records, their messages, routing; and a scope kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role
from msgserver.store import messages, people, subscriptions, users
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Answered, Web

Call = Callable[..., Answered]


def caller(web: Web, *grants: Grant, name: str = "ana", role: Role = Role.ADMINISTRATOR) -> Call:
    token, browser = web.token(web.user(name, *grants, role=role)), web.browser()

    def call(method: str, path: str, body: Any = None, **headers: str) -> Answered:
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        answer: Answered = browser.send(
            method, f"/api/v1{path}", b"" if body is None else msgspec.json.encode(body), sent
        )
        return answer

    return call


@pytest.fixture
def call(web: Web) -> Call:
    return caller(web)


def test_types(call: Call) -> None:
    names = {one["name"] for one in call("GET", "/resources").json["items"]}
    assert {"incident", "project", "location", "organisation", "request"} <= names
    wish = {"label": "Shelter", "url": "https://x.example/{uid}", "fields": [
        {"name": "beds", "label": "Beds", "kind": "number", "required": True}]}  # fmt: skip
    made = call("PUT", "/resources/shelter", wish)
    assert (made.status, made.json["fields"][0]["kind"], made.json["built_in"]) == (200, "number", False)
    assert call("GET", "/resources/shelter").json == made.json
    assert call("PUT", "/resources/Shelter", wish).status == 422
    refused = call("POST", "/records", {"resource": "shelter", "name": "School", "fields": {"beds": "many"}})
    assert (refused.status, "is not a number" in refused.json["detail"]) == (422, True)
    kept = call("POST", "/records", {"resource": "shelter", "name": "School", "fields": {"beds": "٤٠"}})
    assert kept.json["fields"] == {"beds": "40"}
    assert call("DELETE", "/resources/shelter").status == 422
    assert call("DELETE", f"/records/{kept.json['uid']}").status == 204
    assert call("DELETE", "/resources/shelter").status == 204
    assert call("GET", "/resources/shelter").status == 404


def test_a_record_from_start_to_end(call: Call) -> None:
    new = {"resource": "incident", "uid": "eden-12", "name": "Flood", "code": "FL-12", "aliases": ["deluge"],
           "latitude": 34.5, "longitude": 69.2}  # fmt: skip
    made = call("POST", "/records", new, Idempotency_Key="k1")
    assert (made.status, made.header("location"), made.header("etag")) == (201, "/api/v1/records/eden-12", '"1"')
    assert call("POST", "/records", new, Idempotency_Key="k1").json == made.json
    assert call("POST", "/records", new).status == 422
    below = call("POST", "/records", {"resource": "request", "name": "Tents", "parent": made.json["id"]}).json
    assert [one["uid"] for one in call("GET", f"/records?parent={made.json['id']}").json["items"]] == [below["uid"]]
    for query in ("q=del", "code=FL-12", "resource=incident"):
        assert [one["uid"] for one in call("GET", f"/records?{query}").json["items"]] == ["eden-12"]
    assert [one["name"] for one in call("GET", "/completions?q=fl-12").json["items"]] == ["Flood"]
    changed = call("PATCH", "/records/eden-12", {"status": "open"}, If_Match='"1"')
    assert (changed.json["status"], changed.json["name"], changed.header("etag")) == ("open", "Flood", '"2"')
    assert call("PATCH", "/records/eden-12", {"status": "shut"}, If_Match='"1"').status == 412
    newest = call("GET", "/records/eden-12/history").json["items"][0]
    assert (newest["user"], newest["changes"]) == ("ana", {"status": ["", "open"]})
    assert call("DELETE", "/records/eden-12").status == 204
    assert call("GET", "/records/eden-12").status == 404
    assert call("GET", f"/records/{below['uid']}").json["parent"] is None


def test_the_messages_of_a_record_with_unread_and_read(web: Web, call: Call) -> None:
    call("POST", "/records", {"resource": "incident", "uid": "i-1", "name": "Flood", "code": "FL"})
    made = [web.store.now(message, body=f"n {n}") for n in range(3)]
    for one in made:
        assert call("POST", f"/messages/{one}/tags", {"tag": "incident/fl"}).json["record"] == "i-1"
    call("PUT", f"/messages/{made[0]}/read")
    shown = {
        show: [one["id"] for one in call("GET", f"/records/i-1/messages?show={show}").json["items"]]
        for show in ("all", "unread", "read", "verified")
    }
    assert shown == {"all": made[::-1], "unread": made[:0:-1], "read": made[:1], "verified": []}
    one = call("GET", "/records/i-1").json
    assert (one["unread"], one["read"]) == (2, 1)
    assert call("GET", "/records/i-1/messages?show=odd").status == 422
    call("POST", f"/messages/{made[0]}/tags", {"tag": "project/theirs"})
    assert call("GET", "/records/theirs/messages").status == 404
    assert len(call("GET", "/records/theirs/messages?resource=project").json["items"]) == 1


def test_a_record_filled_in_from_a_message(web: Web, call: Call) -> None:
    made = web.store.now(message, subject="Re: Bridge", body="gone, 34.5553, 69.2075", sender="sms:+93701234567")
    filled = call("GET", f"/messages/{made}/record?resource=incident").json
    assert (filled["name"], filled["latitude"], filled["fields"]) == (
        "Bridge",
        34.5553,
        {"contact": "sms:+93701234567"},
    )
    assert call("GET", f"/messages/{made}/record?resource=none").status == 422
    kept = call("POST", "/records", filled)
    assert kept.status == 201
    [tag] = call("GET", f"/messages/{made}/tags").json["items"]
    assert (tag["record"], tag["name"]) == (kept.json["uid"], "Bridge")
    assert call("POST", "/records", filled | {"message": 99}).status == 404


def test_routed_to_a_person_and_taken_back(web: Web, call: Call) -> None:
    bo = web.store.now(people.create_entity, HUB, "u-bo", EntityKind.PERSON, "Bo", NOW).id
    web.store.now(people.add_contact, HUB, bo, Address.parse("mailto:bo@x.example"), NOW, True)
    made = web.store.now(message, web.store.now(conversation))
    done = call("POST", f"/messages/{made}/route", {"entity": bo})
    assert (done.status, done.json["deliveries"], done.json["nobody"]) == (201, 1, 0)
    assert (done.json["tag"]["resource"], done.json["tag"]["name"]) == ("entity", "Bo")
    [sent] = call("GET", f"/messages/{made}/deliveries").json["items"]
    assert (sent["address"], sent["state"], sent["connector"]) == ("mailto:bo@x.example", "pending", "mail")
    assert call("DELETE", f"/tags/{done.json['tag']['id']}").status == 204
    assert call("GET", f"/messages/{made}/deliveries").json["items"][0]["state"] == "cancelled"
    assert call("POST", f"/messages/{made}/route", {"entity": 99}).status == 404


def test_tagging_brings_a_subscriber_a_copy(web: Web, call: Call) -> None:
    bo = web.store.now(people.create_entity, HUB, "u-bo", EntityKind.PERSON, "Bo", NOW).id
    web.store.now(people.add_contact, HUB, bo, Address.parse("mailto:bo@x.example"), NOW, True)
    web.store.now(subscriptions.subscribe, web.store.now(users.viewer, 1), bo, "incident", "i-1", NOW)
    made = web.store.now(message)
    call("POST", f"/messages/{made}/tags", {"tag": "incident/i-1"})
    [sent] = web.store.now(messages.deliveries, HUB, [made]).items
    assert (sent.address, sent.state.value) == ("mailto:bo@x.example", "pending")
    assert call("POST", f"/messages/{made}/tags", {"tag": "entity/u-bo"}).status == 422


def test_a_scope_is_kept(web: Web, call: Call) -> None:
    for uid in ("i-1", "i-2"):
        call("POST", "/records", {"resource": "incident", "uid": uid, "name": f"Flood {uid}"})
    scoped = caller(web, Grant(Role.RESPONDER, "incident", "i-1"), name="scoped")
    assert [one["uid"] for one in scoped("GET", "/records").json["items"]] == ["i-1"]
    assert [one["uid"] for one in scoped("GET", "/completions?q=flood").json["items"]] == ["i-1"]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/history"), ("GET", "/messages")):
        assert scoped(method, f"/records/i-2{path}", {"name": "x"} if method == "PATCH" else None).status == 404
    assert scoped("PATCH", "/records/i-1", {"name": "Mine"}).status == 200
    assert scoped("POST", "/records", {"resource": "incident", "name": "x"}).status == 403


def test_a_token_for_feeds_alone(call: Call) -> None:
    made = call("POST", "/tokens", {"name": "reader", "scope": "feeds"}).json
    assert made["scope"] == "feeds"
    assert call("POST", "/tokens", {"name": "reader", "scope": "all"}).status == 422
    assert call("GET", "/messages", Authorization=f"Bearer {made['key']}").status == 401
