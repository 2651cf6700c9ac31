"""People, groups and merges for programs."""

from __future__ import annotations

import pytest

from msgserver.records import Grant, Role
from tests.store.desk import conversation, message
from tests.web.conftest import Web
from tests.web.test_api import Program


def pour(web: Web, token: str, path: str) -> tuple[int, bytes]:
    """A streamed answer: its status and its body, out of chunks (RFC 9112 section 7.1)."""
    _channel, transport = web.browser().send("GET", path, headers={"Authorization": f"Bearer {token}"}, raw=True)
    head, _, rest = transport.value().partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        body, rest = body + rest[:count], rest[count + 2 :]
        if not count:
            return int(head.split()[1]), body
    raise AssertionError("it broke off")


@pytest.fixture
def api(web: Web) -> Program:
    return Program(web)


def person(api: Program, name: str, *addresses: str, kind: str = "person") -> int:
    made = api("POST", "/entities", {"name": name, "kind": kind, "addresses": list(addresses)})
    assert made.status == 201, made.text
    number: int = made.json["id"]
    return number


def test_adding_somebody_nothing_reaches_warns_and_adds(api: Program) -> None:
    crew = person(api, "Crew", kind="group")
    reached, bare = person(api, "Ana", "+15551234567"), person(api, "Bo")
    made = api("POST", f"/groups/{crew}/members", {"entity": reached, "role": "driver"})
    assert (made.status, made.json["warnings"], made.json["role"]) == (201, [], "driver")
    assert made.header("location") == f"/api/v1/groups/{crew}/members/{reached}"
    warned = api("POST", f"/groups/{crew}/members", {"entity": bare})
    assert warned.status == 201
    assert warned.json["warnings"] == ["Nothing reaches Bo: no phone number, e-mail or chat address."]
    assert warned.json["unreachable"] == "no phone number, e-mail or chat address"
    group = api("GET", f"/groups/{crew}").json
    assert (group["people"], group["unreachable"]) == (2, 1)
    assert [one["name"] for one in api("GET", f"/groups/{crew}/members").json["items"]] == ["Ana", "Bo"]
    assert [one["name"] for one in api("GET", f"/groups/{crew}/members?q=an").json["items"]] == ["Ana"]
    assert [one["entity"] for one in api("GET", f"/groups/{crew}/unreachable").json["items"]] == [bare]
    assert [one["name"] for one in api("GET", "/groups?q=cre").json["items"]] == ["Crew"]
    assert [one["name"] for one in api("GET", f"/entities/{bare}/groups").json["items"]] == ["Crew"]
    assert api("PATCH", f"/groups/{crew}/members/{bare}", {"role": "cook"}).json["role"] == "cook"
    assert api("GET", f"/groups/{crew}/members/{bare}").json["role"] == "cook"
    assert api("DELETE", f"/groups/{crew}/members/{bare}").status == 204
    assert api("DELETE", f"/groups/{crew}/members/{bare}").status == 404
    assert api("GET", f"/groups/{crew}/members/{bare}").status == 404
    assert api("PATCH", f"/groups/{crew}/members/{bare}", {"role": "cook"}).status == 404


def test_a_group_is_never_inside_itself_and_a_person_is_no_group(api: Program) -> None:
    crew, team = person(api, "Crew", kind="group"), person(api, "Team", kind="organisation")
    ana = person(api, "Ana")
    assert api("POST", f"/groups/{crew}/members", {"entity": team}).status == 201
    for group, member, status in ((team, crew, 422), (crew, crew, 422), (ana, crew, 422), (crew, 99, 404)):
        assert api("POST", f"/groups/{group}/members", {"entity": member}).status == status
    for path in (f"/groups/{ana}", f"/groups/{ana}/members", f"/groups/{ana}/unreachable", "/groups/99"):
        assert api("GET", path).status == 404, path
    assert [one["name"] for one in api("GET", "/groups?kind=organisation").json["items"]] == ["Team"]
    assert api("GET", "/groups?kind=person").status == 422


def test_what_is_known_of_an_address_can_be_changed(api: Program) -> None:
    ana = person(api, "Ana", "+15551234567", "ana@example.org")
    phone, mail = api("GET", f"/entities/{ana}/contacts").json["items"]
    assert (phone["stopped"], phone["bouncing"], phone["verified"], phone["preferred"]) == (False, "", False, False)
    path = f"/contacts/{mail['id']}"
    changed = api("PATCH", path, {"verified": True, "preferred": True, "stopped": True}).json
    assert (changed["verified"], changed["preferred"], changed["stopped"]) == (True, True, True)
    assert changed["stopped_why"] == "said by prog"
    assert api("PATCH", path, {"bouncing": "box full"}).json["bouncing"] == "box full"
    assert api("PATCH", path, {"bouncing": "", "stopped": False}).json["stopped"] is False
    assert api("GET", path).json["preferred"] is True
    assert api("PATCH", path, {"preferred": False}).json["preferred"] is False
    assert api("PATCH", "/contacts/99", {"preferred": True}).status == 404


def test_quiet_hours_language_and_zone(api: Program) -> None:
    ana = person(api, "Ana")
    wish = {"quiet_from": "22:00", "quiet_until": "06:30", "language": "fa", "timezone": "Asia/Kabul"}
    changed = api("PATCH", f"/entities/{ana}", wish).json
    assert {key: changed[key] for key in wish} == wish
    assert api("PATCH", f"/entities/{ana}", {"quiet_from": "", "quiet_until": ""}).json["quiet_from"] == ""
    for wrong in ({"quiet_from": "25:00"}, {"quiet_from": "22:00"}, {"timezone": "Mars/Base"}, {"language": "no such"}):
        assert api("PATCH", f"/entities/{ana}", wrong).status == 422, wrong


def test_two_that_are_one(api: Program) -> None:
    ana, again = person(api, "Ana Noori", "+15551234567"), person(api, "A. Noori", "+15551234567", "ana@example.org")
    uid = api("GET", f"/entities/{again}").json["uid"]
    [pair] = api("GET", "/entities/likely-duplicates").json["items"]
    assert (pair["first"]["id"], pair["second"]["id"], pair["why"]) == (ana, again, "the same address")
    merged = api("POST", f"/entities/{ana}/merge", {"duplicate": again})
    assert (merged.status, merged.json["id"]) == (200, ana)
    addresses = {one["address"] for one in api("GET", f"/entities/{ana}/contacts").json["items"]}
    assert addresses == {"sms:+15551234567", "mailto:ana@example.org"}
    for path in (f"/entities?uid={uid}", f"/entities?uid={merged.json['uid']}"):
        assert [one["id"] for one in api("GET", path).json["items"]] == [ana]
    assert api("GET", "/entities?uid=nobody").json["items"] == []
    assert api("GET", f"/entities/{again}").json["id"] == ana
    assert api("PATCH", f"/entities/{again}", {"name": "Bo"}).status == 404
    assert api("POST", f"/entities/{ana}/merge", {"duplicate": again}).status == 404
    assert api("POST", f"/entities/{ana}/merge", {"duplicate": ana}).status == 422


def test_outside_a_scope_there_is_nobody(web: Web, api: Program) -> None:
    crew, ana = person(api, "Crew", kind="group"), person(api, "Ana", "+15551234567")
    api("POST", f"/groups/{crew}/members", {"entity": ana})
    contact = api("GET", f"/entities/{ana}/contacts").json["items"][0]["id"]
    scoped = web.browser()
    bearer = {"Authorization": f"Bearer {web.token(web.user('scoped', Grant(Role.RESPONDER, 'site', 'north')))}"}
    for path in (f"entities/{ana}", f"entities/{ana}/groups", f"groups/{crew}", f"groups/{crew}/members",
                 f"groups/{crew}/unreachable", f"groups/{crew}/members/{ana}", f"contacts/{contact}"):  # fmt: skip
        assert scoped.send("GET", f"/api/v1/{path}", headers=bearer).status == 404, path
    assert scoped.send("GET", "/api/v1/groups", headers=bearer).json["items"] == []
    web.store.now(message, web.store.now(conversation), tags=("site/north",), entity_id=ana, sender="sms:+15551234567")
    assert scoped.send("GET", f"/api/v1/entities/{ana}", headers=bearer).status == 200
    assert scoped.send("GET", f"/api/v1/entities/{ana}/groups", headers=bearer).json["items"] == []


TABLE = b"name,phone,mail,groups\nMina,0701234567,mina@example.org,Water|driver\nBo,12x,,\n,+93701111111,,\n"


def test_a_table_in_dry_then_wet(web: Web, api: Program) -> None:
    csv = {"Content_Type": "text/csv"}
    looked = api("POST", "/entities/import?dry_run=1&region=AF", TABLE, **csv)
    assert looked.status == 200
    told = {key: looked.json[key] for key in ("dry_run", "rows", "new", "known", "left_out", "new_groups")}
    assert told == {"dry_run": True, "rows": 3, "new": 2, "known": 0, "left_out": 1, "new_groups": ["Water"]}
    assert [(p["line"], p["column"], p["left_out"]) for p in looked.json["problems"]] == [
        (3, "phone", False), (4, "name", True),
    ]  # fmt: skip
    assert api("GET", "/entities").json["items"] == []
    done = api("POST", "/entities/import?region=AF&file=crew.csv", TABLE, Idempotency_Key="k", **csv)
    assert (done.json["new"], done.json["dry_run"]) == (2, False)
    assert api("POST", "/entities/import?region=AF&file=crew.csv", TABLE, Idempotency_Key="k", **csv).json == done.json
    assert api("POST", "/entities/import?region=AF", TABLE, **csv).json["known"] == 2
    [water] = api("GET", "/groups").json["items"]
    assert (water["name"], water["people"]) == ("Water", 1)
    for path, body, kind, status in (
        ("?region=XX", TABLE, "text/csv", 422), ("", b"a,b\n1,2\n", "text/csv", 422), ("", b"", "text/csv", 422),
        ("", TABLE, "application/json", 415),
    ):  # fmt: skip
        assert api("POST", f"/entities/import{path}", body, Content_Type=kind).status == status


def test_a_table_out_is_poured_and_safe(web: Web, api: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgserver.store.exporting.PAGE", 2)
    for n in range(5):
        person(api, f"=EVIL({n})", f"+1555123456{n}")
    status, body = pour(web, api.token, "/api/v1/entities/export")
    lines = body.decode("utf-8-sig").splitlines()
    assert (status, len(lines)) == (200, 6)
    assert all("\"'=EVIL(" in line and "\"'+1555123456" in line for line in lines[1:])


def test_a_table_too_large_is_refused_before_it_is_read(web: Web, api: Program) -> None:
    channel, transport = web.browser().send(
        "POST", "/api/v1/entities/import", b"",
        {"Authorization": f"Bearer {api.token}", "Content-Type": "text/csv", "content-length": str(17 << 20)}, raw=True,
    )  # fmt: skip
    assert b" 413 " in transport.value()[:20] or b" 400 " in transport.value()[:20]
    assert channel is not None
