"""Rules over the API: all they can say, their order, versions, and the test that says what would happen and why."""

from __future__ import annotations

from typing import Any

import pytest

from msgserver.records import HUB, EntityKind, Role
from msgserver.store import people, resources
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Answered, Web

FULL = {
    "name": "all", "words": ["tent"], "stem": "english", "prefix": "need", "hashtags": ["camp"], "sender": "+93*",
    "connector": "sms:", "pattern": "[0-9]+ tents", "holds": ["position", "phone"], "from_time": "08:30",
    "until_time": "24:00", "days": [0, 6], "find": "prefix", "doubted": False, "resource": "location", "record": "",
    "entity": 1, "priority": "high", "actionable": True, "verified": True, "assign": [1], "reply": "thanks",
    "spam": False, "stop": True, "active": True, "position": 1,
}  # fmt: skip
FLOOD = {"name": "flood", "words": ["water"], "resource": "tag", "record": "flood"}


class Program:
    def __init__(self, web: Web) -> None:
        self.browser, self.token = web.browser(), web.token(web.user("prog", role=Role.OPERATOR))

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        import msgspec

        sent = {"Authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        raw = b"" if body is None else msgspec.json.encode(body)
        answer: Answered = self.browser.send(method, f"/api/v1{path}", raw, sent)
        return answer


@pytest.fixture
def api(web: Web) -> Program:
    return Program(web)


def test_all_that_a_rule_can_say_goes_in_and_out(web: Web, api: Program) -> None:
    web.store.now(people.create_entity, HUB, "u", EntityKind.GROUP, "Camp", NOW)
    made = api("POST", "/rules", FULL)
    assert made.status == 201, made.text
    assert made.json == FULL | {"id": 1, "hits": 0, "conflicts": []}
    assert api("GET", "/rules").json["items"] == [made.json]
    web.store.now(lambda tx: tx.exec_driver_sql(f"insert into rule_hit values (1, {int(NOW // 86400)}, 3)") and None)
    assert api("GET", "/rules/1").json["hits"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": "(a"}, {"from_time": "25:00"}, {"days": [7]}, {"find": "anywhere"}, {"stem": "klingon"},
        {"assign": [99]}, {"holds": ["gold"]}, {"unheard": 1}, {"words": []},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(api: Program, wrong: dict[str, Any]) -> None:
    answer = api("POST", "/rules", FLOOD | wrong)
    assert answer.status == 422
    assert answer.json["title"]
    assert api("GET", "/rules").json["items"] == []


def test_order_versions_undo_and_what_was_removed(api: Program) -> None:
    for name in "abc":
        assert api("POST", "/rules", FLOOD | {"name": name}).status == 201
    order = api("PUT", "/rules/order", {"rules": [3, 1]}).json["items"]
    assert [one["name"] for one in order] == ["c", "a", "b"]
    assert api("PUT", "/rules/1", FLOOD | {"name": "a", "words": ["fire"], "position": 2}).json["words"] == ["fire"]
    assert [(one["version"], one["rule"]["words"]) for one in api("GET", "/rules/1/versions").json["items"]] == [
        (2, ["fire"]), (1, ["water"]),
    ]  # fmt: skip
    assert api("POST", "/rules/1/undo").json["words"] == ["water"]
    assert api("POST", "/rules/1/restore", {"version": 2}).json["words"] == ["fire"]
    assert api("POST", "/rules/1/restore", {"version": 77}).status == 422
    assert api("POST", "/rules/2/undo").status == 422
    assert api("POST", "/rules/99/undo").status == 404
    assert api("GET", "/rules/99/versions").status == 404
    assert api("DELETE", "/rules/1").status == 204
    assert [one["rule"]["id"] for one in api("GET", "/rules/removed").json["items"]] == [1]
    assert api("POST", "/rules/1/undo").json["words"] == ["fire"]


def test_reserved_words_are_warned_of(api: Program) -> None:
    made = api("POST", "/rules", FLOOD | {"words": ["Stop", "END", "stop sign", "help", "ayuda", "water"]}).json
    assert len(made["conflicts"]) == 5
    assert 'whoever writes "Stop" wants no more messages' in made["conflicts"][0]
    assert "up to three words" in made["conflicts"][2]
    assert "answer to HELP" in made["conflicts"][3]
    assert api("POST", "/rules", FLOOD | {"words": [], "prefix": "cancel"}).json["conflicts"]


def test_a_test_says_what_would_happen_and_why_and_nothing_happens(web: Web, api: Program) -> None:
    web.store.now(resources.create_record, HUB, "u-12", "location", {"name": "Riverside School", "code": "site12"}, NOW)
    rule = FLOOD | {"priority": "high", "reply": "Thank you", "assign": [1], "verified": True, "sender": "sms:*"}
    assert api("POST", "/rules", rule).status == 201
    asked = {
        "text": "Water at @site12, 34.5281, 69.1723, call +93 70 123 4567 #boats", "sender": "+15551234",
        "connector": "modem1",
    }  # fmt: skip
    said = api("POST", "/rules/test", asked)
    assert said.status == 200, said.text
    told = said.json
    assert [(tag["resource"], tag["record"], tag["confidence"]) for tag in told["tags"]] == [
        ("tag", "flood", 1.0), ("location", "u-12", 1.0), ("tag", "boats", 1.0),
    ]  # fmt: skip
    why = 'rule "flood": word "water", sender sms:*'
    assert told["matches"] == [{"rule": 1, "name": "flood", "why": why}]
    assert (told["priority"], told["assign"], told["verified"]) == ("high", [1], 'rule "flood"')
    assert told["replies"] == [{"rule": 1, "text": "Thank you"}]
    assert (told["positions"][0]["latitude"], told["phones"]) == (34.5281, ["+93701234567"])
    assert (told["reserved"], told["answer"], told["skipped"]) == ("", "", [])
    for table in ("msg_log", "rule_hit", "msg_tag"):
        assert web.store.now(lambda tx, t=table: tx.exec_driver_sql(f"select count(*) from {t}").scalar()) == 0


def test_a_test_of_reserved_words_and_of_a_rule_that_is_not_saved(api: Program) -> None:
    api("POST", "/rules", FLOOD)
    told = api("POST", "/rules/test", {"text": "STOP"}).json
    assert (told["reserved"], told["matches"]) == ("stop", [])
    assert "Reply START" in told["answer"]
    told = api("POST", "/rules/test", {"text": "stop the water please"}).json
    assert (told["reserved"], told["actionable"]) == ("", True)
    assert [tag["record"] for tag in told["tags"]] == ["flood", "opt-out?"]
    other = FLOOD | {"record": "changed"}
    told = api("POST", "/rules/test", {"text": "water", "rule": other, "instead_of": 1}).json
    assert [tag["record"] for tag in told["tags"]] == ["changed"]
    told = api("POST", "/rules/test", {"text": "water", "rule": other}).json
    assert [tag["record"] for tag in told["tags"]] == ["flood", "changed"]
    assert api("POST", "/rules/test", {"text": "water", "rule": FLOOD | {"pattern": "("}}).status == 422
    assert api("POST", "/rules/test", {"text": "water", "sender": "nobody"}).status == 422
    assert api("GET", "/parsers").json["items"] == []


def test_a_tag_says_how_sure_it_is_and_who_gave_it(web: Web, api: Program) -> None:
    ticket_id = web.store.now(conversation)
    web.store.now(message, ticket_id, tags=("tag/flood",))
    web.store.now(lambda tx: tx.exec_driver_sql("update msg_tag set confidence = 0.5, rule_id = 7") and None)
    token = web.token(web.user("reader", role=Role.READER))
    api.token = token
    (tag,) = api("GET", "/messages/1/tags").json["items"]
    assert (tag["confidence"], tag["rule"], tag["user"]) == (0.5, 7, None)
