"""Merging, splitting and moving conversations on the page and over the API."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from msgserver.records import HUB, Grant, Role
from msgserver.store import tickets
from tests.store.desk import conversation, message
from tests.web.conftest import Browser, Web

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana")


@pytest.fixture
def two(web: Web) -> tuple[int, list[int], int]:
    """A ticket with three messages, and another one."""
    first = web.store.now(conversation, subject="Water", address="sms:+1")
    ids = [web.store.now(message, first, sender="sms:+1", body=body) for body in ("one", "two", "three")]
    other = web.store.now(conversation, subject="Pumps", address="sms:+2")
    web.store.now(message, other, sender="sms:+2", body="pump")
    return first, ids, other


def bodies(web: Web, ticket_id: int) -> list[str]:
    return [one.body for one in web.store.now(tickets.conversation, HUB, ticket_id)]


def press(browser: Browser, ticket_id: int, *fields: tuple[str, object]):
    page = f"/tickets/{ticket_id}/regroup"
    token = browser.get(page).text.split('name="csrf" value="')[1].split('"')[0]
    return browser.send("POST", page, urlencode([("csrf", token), *fields]).encode(), FORM)


def test_split_on_the_page(web: Web, ana: Browser, two) -> None:
    first, ids, _ = two
    assert f'href="/tickets/{first}/regroup"' in ana.get(f"/tickets/{first}").text
    answer = press(ana, first, ("message", ids[0]), ("message", ids[2]), ("do", "split"))
    assert answer.status == 303
    made = int(answer.header("location").split("/")[2].partition("?")[0])
    assert bodies(web, first) == ["two"]
    assert bodies(web, made) == ["one", "three"]
    assert "of its own" in ana.get(answer.header("location")).text


def test_move_and_merge_on_the_page(web: Web, ana: Browser, two) -> None:
    first, ids, other = two
    assert press(ana, first, ("message", ids[1]), ("into", f"#{other}"), ("do", "move")).status == 303
    assert bodies(web, other) == ["pump", "two"]
    answer = press(ana, first, ("into", other), ("do", "merge"))
    assert answer.header("location").startswith(f"/tickets/{other}?")
    assert bodies(web, other) == ["pump", "two", "one", "three"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([("do", "split")], "choose messages"),
        ([("do", "move"), ("message", "1")], "write the number"),
        ([("do", "merge"), ("into", "x")], "write the number"),
        ([("do", "merge"), ("into", "999")], "no conversation of this number"),
        ([("do", "merge"), ("into", "1")], "one ticket already"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_changes(web: Web, ana: Browser, two, fields, words) -> None:
    first, _, _ = two
    answer = press(ana, first, *fields)
    assert answer.status == 422
    assert words in answer.text
    assert bodies(web, first) == ["one", "two", "three"]


def test_the_api(web: Web, two) -> None:
    first, ids, other = two
    bearer = {"Authorization": f"Bearer {web.token(web.user('bo'))}", "Content-Type": "application/json"}
    api = web.browser()

    def post(path: str, body: str, **headers: str):
        return api.send("POST", f"/api/v1/tickets/{path}", body.encode(), {**bearer, **headers})

    split = post(f"{first}/split", f'{{"messages": [{ids[0]}]}}', **{"Idempotency-Key": "k"})
    assert split.status == 201
    made = split.json["id"]
    assert split.header("location") == f"/api/v1/tickets/{made}"
    assert post(f"{first}/split", f'{{"messages": [{ids[0]}]}}', **{"Idempotency-Key": "k"}).json["id"] == made
    assert bodies(web, made) == ["one"]
    moved = post(f"{first}/move", f'{{"messages": [{ids[1]}], "into": {other}}}')
    assert (moved.status, moved.json["id"]) == (200, other)
    version = api.send("GET", f"/api/v1/tickets/{first}", headers=bearer).header("etag")
    assert post(f"{first}/merge", f'{{"into": {other}}}', **{"If-Match": '"999"'}).status == 412
    merged = post(f"{first}/merge", f'{{"into": {other}}}', **{"If-Match": version})
    assert (merged.status, merged.json["id"]) == (200, other)
    assert bodies(web, other) == ["pump", "two", "three"]
    assert post(f"{other}/merge", '{"into": 999}').status == 404
    assert post(f"{other}/split", '{"messages": []}').status in (400, 422)
    assert post(f"{other}/move", f'{{"messages": [{ids[0]}], "into": {made}}}').status == 422


def test_nobody_regroups_what_he_does_not_see(web: Web, two) -> None:
    _, _, other = two
    viewer = web.user("scoped", Grant(Role.RESPONDER, "site", "north"))
    bearer = {"Authorization": f"Bearer {web.token(viewer)}", "Content-Type": "application/json"}
    hidden = web.store.now(conversation, subject="Secret", address="sms:+9")
    seen = web.store.now(message, hidden, sender="sms:+9", tags=("site/south",), body="hidden")
    for path, body in ((f"{hidden}/merge", f'{{"into": {other}}}'), (f"{hidden}/split", f'{{"messages": [{seen}]}}')):
        answer = web.browser().send("POST", f"/api/v1/tickets/{path}", body.encode(), bearer)
        assert answer.status == 404
    assert bodies(web, hidden) == ["hidden"]
