"""Feeds and exports over HTTP: who may, what is in them, and what is not sent twice."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest

from msgserver.records import HUB, Grant, Role
from msgserver.store import messages, saved, users
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Answered, Browser, Web
from tests.web.test_records import record

ATOM = "{http://www.w3.org/2005/Atom}"


def key_of(browser: Browser) -> str:
    shown = browser.submit("/me", "/me/feeds", name="my reader").text
    return shown.split("<code>")[1].split("<")[0]


def basic(key: str, name: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}


def titles(answer: Answered) -> list[str]:
    assert answer.status == 200, answer.text
    top = ElementTree.fromstring(answer.body)
    if top.tag == "rss":
        return [item.findtext("title") or "" for item in top.findall("channel/item")]
    return [entry.findtext(f"{ATOM}title") or "" for entry in top.findall(f"{ATOM}entry")]


@pytest.fixture
def flood(web: Web) -> int:
    record(web, "i-1", "Flood", code="FL", fields={"people": "40"}, latitude=34.5, longitude=69.25)
    thread: int = web.store.now(conversation)
    web.store.now(message, thread, tags=("incident/i-1",), subject="Checked", received_at=NOW + 1, verified="ana",
                  verified_at=NOW + 1)  # fmt: skip
    web.store.now(message, thread, tags=("incident/i-1",), subject="Unchecked", received_at=NOW + 2)
    web.store.now(message, thread, tags=("incident/i-1",), subject="Junk", spam=True, received_at=NOW + 3)
    web.store.now(message, thread, subject="Else", received_at=NOW + 4)
    return thread


@pytest.mark.parametrize("form", ["atom", "rss"])
def test_records_types_searches_and_the_log(web: Web, flood: int, form: str) -> None:
    ana = web.signed_in("ana")
    view = web.store.now(saved.save_view, web.store.now(users.viewer, 1), "Mine", "subject:checked", NOW)
    assert titles(ana.get(f"/feeds/records/incident/i-1/{form}")) == ["Unchecked", "Checked", "Incident: Flood"]
    assert titles(ana.get(f"/feeds/records/incident/i-1/{form}?verified=1")) == ["Checked", "Incident: Flood"]
    assert titles(ana.get(f"/feeds/records/incident/{form}")) == ["Unchecked", "Checked", "Incident: Flood"]
    assert titles(ana.get(f"/feeds/log/{form}")) == ["Else", "Unchecked", "Checked"]
    assert titles(ana.get(f"/feeds/log/{form}?verified=1")) == ["Checked"]
    assert titles(ana.get(f"/feeds/log/{form}?q=subject:else")) == ["Else"]
    assert titles(ana.get(f"/feeds/log/{form}?q=a)+OR+(subject:unchecked&verified=1")) == []
    assert titles(ana.get(f"/feeds/searches/{view.id}/{form}")) == ["Checked"]
    answer = ana.get(f"/feeds/records/incident/i-1/{form}")
    assert f"http://desk.example/tickets/{flood}?view=all#m2" in answer.text
    assert answer.header("content-type").startswith(f"application/{form}+xml")
    assert "/feeds/records/incident/i-1/atom" in ana.get("/resources/incident/i-1").text


def test_a_key_is_good_for_feeds_alone_until_it_is_ended(web: Web, flood: int) -> None:
    ana = web.signed_in("ana")
    key, reader = key_of(ana), web.browser()
    place = "/feeds/log/atom"
    assert len(titles(reader.send("GET", place, headers=basic(key)))) == 3
    assert len(titles(reader.send("GET", place, headers={"Authorization": f"Bearer {key}"}))) == 3
    assert reader.send("GET", "/api/v1/messages", headers={"Authorization": f"Bearer {key}"}).status == 401
    assert reader.send("GET", "/", headers=basic(key)).status == 303
    token = web.token(web.store.now(users.viewer, 1))
    assert len(titles(reader.send("GET", place, headers={"Authorization": f"Bearer {token}"}))) == 3
    for wrong in (basic("wrong"), basic(token), basic(""), {"Authorization": "Basic !"}, {"Authorization": "X y"}, {}):
        refused = reader.send("GET", place, headers=wrong)
        assert refused.status == 401, wrong
        assert refused.header("www-authenticate").startswith("Basic")
    assert "my reader" in ana.get("/me").text
    ana.submit("/me", "/me/tokens/1/revoke")
    assert reader.send("GET", place, headers=basic(key)).status == 401


def test_what_has_not_changed_is_not_sent_again(web: Web, flood: int) -> None:
    reader, place = web.signed_in("ana"), "/feeds/records/incident/i-1/atom"
    first = reader.get(place)
    tag, since = first.header("etag"), first.header("last-modified")
    web.clock.advance(3600)
    for headers in ({"If_None_Match": tag}, {"If_None_Match": f'"x", W/{tag}'}, {"If_Modified_Since": since}):
        again = reader.get(place, **headers)
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
    assert reader.get(place, If_None_Match='"other"', If_Modified_Since=since).status == 200
    assert reader.get(place, If_Modified_Since="yesterday").status == 200
    assert reader.send("HEAD", place).header("etag") == tag
    # Taking a tag off changes it, though every message in it is older than what the reader has.
    [untagged] = web.store.now(messages.tags, HUB, [1])[1]
    web.store.now(messages.remove_tag, HUB, untagged.id, NOW)
    for headers in ({"If_None_Match": tag}, {"If_Modified_Since": since}):
        assert titles(reader.get(place, **headers)) == ["Unchecked", "Incident: Flood"]


def test_only_what_the_reader_may_see(web: Web, flood: int) -> None:
    record(web, "i-2", "Mine")
    web.store.now(message, tags=("incident/i-2",), subject="My words", received_at=NOW + 9)
    scoped = web.signed_in("scoped", Grant(Role.READER, "incident", "i-2"))
    reader, key = web.browser(), basic(key_of(scoped))
    for place in ("/feeds/log/atom", "/feeds/records/incident/rss", "/feeds/records/incident/json"):
        text = reader.send("GET", place, headers=key).text
        assert "My words" in text
        assert "hecked" not in text
    for form in ("atom", "rss", "xml", "json"):
        assert reader.send("GET", f"/feeds/records/incident/i-1/{form}", headers=key).status == 404
    view = web.store.now(saved.save_view, HUB, "All", "checked", NOW, True)
    assert titles(reader.send("GET", f"/feeds/searches/{view.id}/atom", headers=key)) == []
    assert web.signed_in("ben").get("/feeds/searches/99/atom").status == 404


def test_a_record_elsewhere_has_feeds_and_nonsense_has_none(web: Web) -> None:
    ana = web.signed_in("ana")
    web.store.now(message, tags=("project/theirs",), subject="Words")
    assert titles(ana.get("/feeds/records/project/theirs/atom")) == ["Words"]
    for place in (
        "/feeds/log/xml", "/feeds/log/pdf", "/feeds/records/project/none/atom", "/feeds/records/nothing/atom",
        "/feeds/records/entity/x/atom", "/feeds/records/project/theirs/pdf", "/feeds/records/project/theirs/xml",
    ):  # fmt: skip
        assert ana.get(place).status == 404, place


def test_export_with_linked_messages(web: Web, flood: int) -> None:
    ana = web.signed_in("ana")
    found = ana.get("/feeds/records/incident/i-1/json").json
    [one] = found["records"]
    assert (one["name"], one["fields"], one["latitude"], one["read"]) == ("Flood", {"people": "40"}, 34.5, 2)
    assert one["href"] == "http://desk.example/resources/incident/i-1"
    assert [m["subject"] for m in one["messages"]] == ["Unchecked", "Checked"]
    assert one["messages"][0]["href"] == f"http://desk.example/tickets/{flood}?view=all#m2"
    assert one["messages"][0]["tags"] == [{"resource": "incident", "record": "i-1", "name": "Flood"}]
    top = ElementTree.fromstring(ana.get("/feeds/records/incident/i-1/xml?verified=1").body)
    assert [m.findtext("subject") for m in top.iterfind("records/record/messages/message")] == ["Checked"]
    assert ana.get("/feeds/records/incident/json").json["records"] == found["records"]
