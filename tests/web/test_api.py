"""The API as programs see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from msgserver.records import Role
from msgserver.web.api.map import API
from tests.store.desk import conversation, message
from tests.web.conftest import Answered, Web


class Program:
    def __init__(self, web: Web, role: Role = Role.ADMINISTRATOR, name: str = "prog") -> None:
        self.web = web
        self.viewer = web.user(name, role=role)
        self.token = web.token(self.viewer)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        sent = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        raw = b""
        if body is not None:
            raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        return self.web.browser().send(method, f"/api/v1{path}", raw, sent)


@pytest.fixture
def api(web: Web) -> Program:
    return Program(web)


def arrived(web: Web, **values: Any) -> tuple[int, int]:
    ticket_id = web.store.now(conversation, subject="Insulin", address="mailto:rai@clinic.example", connector="mail")
    values = {"sender": "mailto:rai@clinic.example", "connector": "mail", "subject": "Insulin", **values}
    return ticket_id, web.store.now(message, ticket_id, **values)


def test_a_message_in_full(web: Web, api: Program) -> None:
    ticket_id, message_id = arrived(web, body="Three days left", tags=("site/north",))
    found = api("GET", f"/messages/{message_id}").json
    assert found["text"] == "Three days left"
    assert found["ticket"] == ticket_id
    assert found["number"] == f"{ticket_id}.1"
    assert found["sender"] == "mailto:rai@clinic.example"
    assert [(tag["resource"], tag["record"]) for tag in found["tags"]] == [("site", "north")]
    assert found["unread"] is True


def test_lists_have_items_and_next(web: Web, api: Program) -> None:
    for n in range(5):
        arrived(web, body=f"message {n}")
    first = api("GET", "/messages?limit=3").json
    assert [item["text"] for item in first["items"]] == ["message 4", "message 3", "message 2"]
    second = api("GET", f"/messages?limit=3&after={first['next']}").json
    assert [item["text"] for item in second["items"]] == ["message 1", "message 0"]
    assert second["next"] is None


def test_search(web: Web, api: Program) -> None:
    arrived(web, body="the bridge is gone")
    arrived(web, body="the road is open")
    assert [i["text"] for i in api("GET", "/messages?q=bridge").json["items"]] == ["the bridge is gone"]
    assert len(api("GET", "/tickets?view=all&q=road").json["items"]) == 1


@pytest.mark.parametrize(
    "query", ["%22", "AND", "NEAR(", "a-b", "(", "*", "%27%20OR%201=1", "subject:x", "%25_%25", "%00"]
)
def test_no_search_words_break_it(api: Program, query: str) -> None:
    assert api("GET", f"/messages?q={query}").status == 200


def test_reply_goes_the_way_the_question_came(web: Web, api: Program) -> None:
    ticket_id, message_id = arrived(web)
    made = api("POST", f"/messages/{message_id}/reply", {"text": "We send more."})
    assert made.status == 201
    assert made.json["ticket"] == ticket_id
    assert made.json["direction"] == "out"
    (delivery,) = made.json["deliveries"]
    assert (delivery["address"], delivery["connector"]) == ("mailto:rai@clinic.example", "mail")
    assert api("GET", made.header("location").removeprefix("/api/v1")).json["id"] == made.json["id"]


def test_send_to_several_channels(api: Program) -> None:
    made = api("POST", "/messages", {"to": ["mailto:a@b.example", "sms:+15551234"], "text": "Hello", "subject": "S"})
    assert made.status == 201
    assert {row["connector"] for row in made.json["deliveries"]} == {"mail", "modem1"}


def test_the_same_key_sends_once(web: Web, api: Program) -> None:
    body = {"to": ["mailto:a@b.example"], "text": "Hello"}
    first = api("POST", "/messages", body, Idempotency_Key="k1")
    again = api("POST", "/messages", body, Idempotency_Key="k1")
    assert again.status == first.status == 201
    assert again.json == first.json
    assert again.header("idempotent-replayed") == "true"
    assert api("POST", "/messages", {**body, "text": "Other"}, Idempotency_Key="k1").status == 422
    assert len(api("GET", "/messages").json["items"]) == 1
    other = Program(web, name="other")
    assert other("POST", "/messages", body, Idempotency_Key="k1").json["id"] != first.json["id"]


def test_a_crash_before_the_answer_was_kept_does_not_send_twice(web: Web, api: Program) -> None:
    body = {"to": ["mailto:a@b.example"], "text": "Hello"}
    first = api("POST", "/messages", body, Idempotency_Key="k1")
    web.store.now(lambda tx: tx.exec_driver_sql("delete from idempotency"))
    assert api("POST", "/messages", body, Idempotency_Key="k1").json["id"] == first.json["id"]


def test_if_match_guards_a_ticket(web: Web, api: Program) -> None:
    ticket_id, _ = arrived(web)
    seen = api("GET", f"/tickets/{ticket_id}")
    tag = seen.header("etag")
    done = api("PATCH", f"/tickets/{ticket_id}", {"priority": "urgent", "assignees": [1]}, If_Match=tag)
    assert done.status == 200
    assert done.json["priority"] == "urgent"
    assert done.json["assignees"] == [{"id": 1, "name": "prog"}]
    stale = api("PATCH", f"/tickets/{ticket_id}", {"actioned": True}, If_Match=tag)
    assert stale.status == 412
    assert api("GET", f"/tickets/{ticket_id}").json["actioned"] is False
    assert api("PATCH", f"/tickets/{ticket_id}", {"actioned": True}, If_Match=done.header("etag")).json["actioned"]
    assert api("PATCH", f"/tickets/{ticket_id}", {"actioned": True}, If_Match='"x"').status == 412


def test_a_change_that_is_half_wrong_changes_nothing(web: Web, api: Program) -> None:
    ticket_id, _ = arrived(web)
    answer = api("PATCH", f"/tickets/{ticket_id}", {"priority": "high", "assignees": [999]})
    assert answer.status == 422
    assert api("GET", f"/tickets/{ticket_id}").json["priority"] == "normal"


def test_read_and_unread_are_ones_own(web: Web, api: Program) -> None:
    _, message_id = arrived(web)
    other = Program(web, name="other")
    assert api("PUT", f"/messages/{message_id}/read").status == 204
    assert api("GET", f"/messages/{message_id}").json["unread"] is False
    assert other("GET", f"/messages/{message_id}").json["unread"] in (True, False)
    assert api("DELETE", f"/messages/{message_id}/read").status == 204
    assert api("GET", f"/messages/{message_id}").json["unread"] is True


def test_people_and_subscriptions(api: Program) -> None:
    mina = api("POST", "/entities", {"name": "Mina", "addresses": ["xmpp:mina@chat.example"]}).json
    (contact,) = api("GET", f"/entities/{mina['id']}/contacts").json["items"]
    assert contact["address"] == "xmpp:mina@chat.example"
    assert api("POST", f"/entities/{mina['id']}/contacts", {"address": "+15551234"}).json["address"] == "sms:+15551234"
    made = api(
        "POST", "/subscriptions", {"entity": mina["id"], "resource": "tag", "record": "flood", "channel": "xmpp"}
    )
    assert made.status == 201
    assert [s["record"] for s in api("GET", f"/subscriptions?entity={mina['id']}").json["items"]] == ["flood"]
    assert api("DELETE", f"/subscriptions/{made.json['id']}").status == 204
    assert api("PATCH", f"/entities/{mina['id']}", {"name": "Mina O."}).json["name"] == "Mina O."
    assert api("DELETE", f"/contacts/{contact['id']}").status == 204
    assert api("DELETE", f"/entities/{mina['id']}").status == 204
    assert api("GET", f"/entities/{mina['id']}").status == 404


def test_rules(api: Program) -> None:
    made = api("POST", "/rules", {"name": "flood", "words": ["water"], "resource": "tag", "record": "flood"})
    assert made.status == 201
    path = f"/rules/{made.json['id']}"
    tag = api("GET", path).header("etag")
    new = {"name": "flood", "words": ["water", "flood"], "resource": "tag", "record": "flood", "priority": "high"}
    assert api("PUT", path, new, If_Match=tag).json["priority"] == "high"
    assert api("PUT", path, new, If_Match=tag).status == 412
    assert api("POST", "/rules", {"name": "nothing"}).status == 422
    assert api("DELETE", path).status == 204


def test_a_rules_record_may_be_named_by_its_code(api: Program) -> None:
    record = api("POST", "/records", {"resource": "incident", "name": "Flood", "code": "FL1"}).json
    made = api("POST", "/rules", {"name": "flood", "words": ["water"], "resource": "incident", "record": "fl1"})
    assert (made.status, made.json["record"]) == (201, record["uid"])
    elsewhere = {"name": "flood", "words": ["water"], "resource": "incident", "record": "of another application"}
    changed = api("PUT", f"/rules/{made.json['id']}", elsewhere, If_Match=made.header("etag"))
    assert (changed.status, changed.json["record"]) == (200, "of another application")


def test_tags_notes_connectors_tokens_me(web: Web, api: Program) -> None:
    ticket_id, message_id = arrived(web)
    tag = api("POST", f"/messages/{message_id}/tags", {"tag": "Flood"}).json
    assert (tag["resource"], tag["record"], tag["why"]) == ("tag", "flood", "by hand: prog")
    assert api("DELETE", f"/tags/{tag['id']}").status == 204
    assert api("POST", f"/tickets/{ticket_id}/notes", {"text": "true"}).json["author"] == "prog"
    assert [n["text"] for n in api("GET", f"/tickets/{ticket_id}/notes").json["items"]] == ["true"]
    assert api("PATCH", "/connectors/mail", {"paused": True}).json["paused"] is True
    assert api("GET", "/connectors/nobody").status == 404
    made = api("POST", "/tokens", {"name": "script"}).json
    api.token = made["key"]
    assert api("GET", "/users/me").json["name"] == "prog"
    assert api("DELETE", f"/tokens/{made['id']}").status == 204
    assert api("GET", "/users/me").status == 401


def test_deliveries_can_be_retried_and_cancelled(api: Program) -> None:
    sent = api("POST", "/messages", {"to": ["mailto:a@b.example"], "text": "Hello"}).json
    (row,) = sent["deliveries"]
    assert api("POST", f"/deliveries/{row['id']}/retry").status == 200
    assert api("POST", f"/deliveries/{row['id']}/cancel").json["state"] == "cancelled"
    assert api("POST", f"/deliveries/{row['id']}/cancel").status == 422
    assert [d["id"] for d in api("GET", "/deliveries?state=cancelled").json["items"]] == [row["id"]]
    assert api("GET", "/deliveries?state=nonsense").status == 422


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"to": []}', "application/json", 422),
        (b'{"to": ["nobody"], "text": "x"}', "application/json", 422),
        (b'{"to": ["mailto:a@b.example"], "text": ""}', "application/json", 422),
        (b'{"to": ["mailto:a@b.example"], "text": "x", "txet": "y"}', "application/json", 422),
        (b'{"to": ["mailto:a@b.example"], "text": "x"}', "text/plain", 415),
        (b'{"to": ["mailto:a@b.example"], "text": "x"}', "", 415),
    ],
)
def test_what_is_wrong_is_a_problem(api: Program, body: bytes, kind: str, status: int) -> None:
    answer = api("POST", "/messages", body, Content_Type=kind)
    assert answer.status == status
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["detail"]
    assert api("GET", "/messages").json["items"] == []


def test_a_cookie_is_no_token_and_a_wrong_token_is_none(web: Web) -> None:
    ana = web.signed_in("ana")
    assert ana.get("/api/v1/messages").status == 401
    answer = web.browser().get("/api/v1/messages", Authorization="Bearer wrong")
    assert answer.status == 401
    assert answer.header("www-authenticate").startswith("Bearer ")
    assert answer.json["type"] == "about:blank"


def test_the_description_is_of_what_is_served(web: Web) -> None:
    document = web.browser().get("/api/v1/openapi.json").json
    assert document["openapi"] == "3.1.0"
    served = {(row.method.lower(), re.sub(r":\w+", "", row.pattern)) for row in web.site.rows if row.api}
    told = {(method, "/api/v1" + path) for path, item in document["paths"].items() for method in item}
    assert told == served
    known = document["components"]["schemas"]
    text = msgspec.json.encode(document).decode()
    for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert name in known
    names = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(names) == len(set(names))
    assert all(op["summary"] for item in document["paths"].values() for op in item.values())


def test_the_page_about_the_api_lists_all_of_it() -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text()
    told = re.findall(r"^\| (\w+) \| `([^`]+)` \| (.+) \|$", page, re.M)
    served = [
        (row.method, re.sub(r":\w+", "", row.pattern).removeprefix("/api/v1"), (row.act.__doc__ or "").split("\n")[0])
        for row in API
    ]
    assert told == served


def test_a_token_that_asks_too_often_is_told_to_wait(make_web: Callable[..., Web]) -> None:
    web = make_web(rate=3)
    api = Program(web)
    assert [api("GET", "/users/me").status for _ in range(4)] == [200, 200, 200, 429]
    refused = api("GET", "/users/me")
    assert (refused.json["status"], refused.header("retry-after")) == (429, "20")
    assert Program(web, name="other")("GET", "/users/me").status == 200
    web.clock.advance(21)
    assert [api("GET", "/users/me").status for _ in range(2)] == [200, 429]


def test_a_new_tokens_key_is_kept_nowhere(web: Web, api: Program) -> None:
    made = api("POST", "/tokens", {"name": "radio"}, Idempotency_Key="k1").json
    assert made["key"]
    kept = web.store.now(lambda tx: tx.exec_driver_sql("SELECT count(*) FROM idempotency").scalar_one())
    assert kept == 0


def test_nul_is_refused_and_a_backslash_is_not(api: Program) -> None:
    """PostgreSQL keeps no text with NUL in it: it would break there, so it is refused on every database."""
    refused = api("POST", "/entities", b'{"name": "a\\\\\\u0000b"}')
    assert (refused.status, "NUL" in refused.json["detail"]) == (422, True)
    assert api("POST", "/entities", b'{"name": "a\\\\u0000b"}').json["name"] == "a\\u0000b"


@pytest.mark.parametrize(
    "query",
    [
        "/messages?limit=101", "/messages?limit=0", "/messages?limit=-1", "/messages?limit=9223372036854775808",
        "/messages?limit=x", "/messages?q=" + "x" * 501, "/tickets?view=nowhere", "/tickets?view=todo&view=null",
        "/entities?kind=robot", "/groups?kind=person", "/subscriptions?entity=", "/records?parent=1.5",
    ],
)  # fmt: skip
def test_what_is_asked_is_as_described_or_refused(api: Program, query: str) -> None:
    assert api("GET", query).status == 422


def test_the_same_key_with_another_query_is_another_request(web: Web, api: Program) -> None:
    table, sent = b"name\nAna\n", {"Content_Type": "text/csv", "Idempotency_Key": "k1"}
    assert api("POST", "/entities/import?dry_run=1", table, **sent).json["dry_run"] is True
    assert api("POST", "/entities/import", table, **sent).status == 422
    assert api("POST", "/entities/import?dry_run=1", table, **sent).header("idempotent-replayed") == "true"


def test_what_is_described_tells_every_refusal(web: Web) -> None:
    paths = web.browser().get("/api/v1/openapi.json").json["paths"]
    patch = paths["/tickets/{ticket}"]["patch"]
    assert set(patch["responses"]) == {
        "200", "400", "401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "503",
    }  # fmt: skip
    assert [one["name"] for one in patch["parameters"]] == ["ticket", "Idempotency-Key", "If-Match"]
    assert set(patch["responses"]["200"]["headers"]) == {"ETag", "Idempotent-Replayed"}
    assert "Retry-After" in patch["responses"]["429"]["headers"]
    assert "parameters" not in paths["/tokens"]["post"]  # no repeat of that: nobody keeps the key
    assert set(paths["/entities/export"]["get"]["responses"]["200"]["content"]) == {"text/csv"}
    assert "422" in paths["/resources/{name}"]["delete"]["responses"]
