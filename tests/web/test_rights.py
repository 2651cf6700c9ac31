"""Who may do what, for every route there is (THREATS T21): a route that is not listed here fails."""

from __future__ import annotations

import pytest

from msgserver.records import HUB, EntityKind, Grant, Role
from msgserver.store import people, saved, subscriptions, users
from msgserver.web.api.map import API
from msgserver.web.ask import Answer
from msgserver.web.routes import Row
from msgserver.web.site import PAGES
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Browser, Web

R, D, A, O = Role.READER, Role.RESPONDER, Role.ALERT_SENDER, Role.OPERATOR  # noqa: E741
EVERY = {R, D, A, O, Role.ADMINISTRATOR}
DESK = {D, Role.ADMINISTRATOR}
OPERATORS = {O, Role.ADMINISTRATOR}
PEOPLE = {D, A, Role.ADMINISTRATOR}
RELAY = {D, O, Role.ADMINISTRATOR}
RAW = {D, O, Role.ADMINISTRATOR}
STRANGERS = {*EVERY, None}

# Everything below a path, unless a longer one says otherwise.
WHO: dict[str, set[Role] | set[Role | None]] = {
    "GET /healthz": STRANGERS,
    "GET /readyz": STRANGERS,
    "GET /metrics": STRANGERS,  # asks for itself: this machine, or an operator's token
    "GET /static/{name:word}": STRANGERS,
    "GET /setup": STRANGERS,
    "POST /setup": STRANGERS,
    "GET /login": STRANGERS,
    "POST /login": STRANGERS,
    "POST /logout": EVERY,
    "GET /unsubscribe/{token:word}": STRANGERS,
    "POST /unsubscribe/{token:word}": STRANGERS,
    "GET /files/{token:word}": STRANGERS,
    "GET /events": EVERY,
    "GET /": EVERY,
    "GET /log": EVERY,
    "GET /tickets/{ticket}": EVERY,
    "GET /tickets/{ticket}/thread": EVERY,
    "POST /tickets/{ticket}/answer": DESK,
    "POST /tickets/{ticket}/notes": DESK,
    "POST /tickets/{ticket}/take": DESK,
    "POST /tickets/{ticket}/drop": DESK,
    "POST /tickets/{ticket}/assign": DESK,
    "POST /tickets/{ticket}/priority": DESK,
    "POST /tickets/{ticket}/done": DESK,
    "POST /tickets/{ticket}/reopen": DESK,
    "POST /tickets/{ticket}/read": EVERY,
    "POST /tickets/{ticket}/unread": EVERY,
    "POST /tickets/{ticket}/tags": DESK,
    "GET /tickets/{ticket}/regroup": DESK,
    "POST /tickets/{ticket}/regroup": DESK,
    "GET /messages/new": PEOPLE,
    "POST /messages/new": PEOPLE,
    "POST /messages/count": EVERY,
    "POST /messages/preview": EVERY,
    "GET /messages/{message}/original": RAW,
    "GET /messages/{message}/html": EVERY,
    "GET /messages/{message}/route": DESK,
    "POST /messages/{message}/route": DESK,
    "POST /messages/{message}/tags": DESK,
    "POST /messages/{message}/tags/{tag}/remove": DESK,
    "GET /attachments/{attachment}": EVERY,
    "GET /trace/{message}": EVERY,
    "POST /deliveries/{delivery}/retry": {D, O, Role.ADMINISTRATOR},
    "POST /deliveries/{delivery}/cancel": {D, O, Role.ADMINISTRATOR},
    "GET /channels": EVERY,
    "POST /channels/{name:word}/pause": OPERATORS,
    "POST /channels/{name:word}/resume": OPERATORS,
    "GET /stations/{name:word}": RELAY,
    "POST /stations/{name:word}/take": RELAY,
    "POST /stations/{name:word}/delivered": RELAY,
    "POST /stations/{name:word}/failed": RELAY,
    "POST /stations/{name:word}/back": RELAY,
    "POST /stations/{name:word}/heard": RELAY,
    "GET /people": EVERY,
    "POST /people": PEOPLE,
    "GET /people/likely-duplicates": PEOPLE,
    "GET /people/import": PEOPLE,
    "POST /people/import": PEOPLE,
    "GET /people/import/{upload}": PEOPLE,
    "POST /people/import/{upload}": PEOPLE,
    "GET /people/export": PEOPLE,
    "GET /people/{entity}": EVERY,
    "POST /people/{entity}": PEOPLE,
    "POST /people/{entity}/contacts": PEOPLE,
    "GET /people/find": EVERY,
    "GET /records/find": EVERY,
    "GET /records/new": DESK,
    "GET /resources": EVERY,
    "GET /resources/{type:word}": EVERY,
    "POST /resources/{type:word}": DESK,
    "GET /resources/{type:word}/{uid:word}": EVERY,
    "POST /resources/{type:word}/{uid:word}": DESK,
    "GET /resources/{type:word}/{uid:word}/edit": DESK,
    "POST /resources/{type:word}/{uid:word}/remove": DESK,
    "GET /feeds/log/{form:word}": EVERY,
    "GET /feeds/searches/{view}/{form:word}": EVERY,
    "GET /feeds/records/{type:word}/{form:word}": EVERY,
    "GET /feeds/records/{type:word}/{uid:word}/{form:word}": EVERY,
    "POST /me/feeds": EVERY,
    "GET /types/new": {Role.ADMINISTRATOR},
    "POST /types": {Role.ADMINISTRATOR},
    "GET /types/{type:word}": {Role.ADMINISTRATOR},
    "POST /types/{type:word}": {Role.ADMINISTRATOR},
    "POST /types/{type:word}/remove": {Role.ADMINISTRATOR},
    "POST /people/{entity}/contacts/{contact}": PEOPLE,
    "GET /people/{entity}/merge": PEOPLE,
    "POST /people/{entity}/merge": PEOPLE,
    "POST /people/{entity}/remove": PEOPLE,
    "GET /groups": EVERY,
    "POST /groups": PEOPLE,
    "GET /groups/{group}": EVERY,
    "POST /groups/{group}/members": PEOPLE,
    "POST /groups/{group}/members/{member}": PEOPLE,
    "GET /templates": EVERY,
    "POST /templates": OPERATORS,
    "GET /templates/{template}": EVERY,
    "POST /templates/{template}": OPERATORS,
    "POST /templates/{template}/remove": OPERATORS,
    "POST /templates/{template}/send": PEOPLE,
    "GET /rules": OPERATORS,
    "POST /rules": OPERATORS,
    "GET /rules/new": OPERATORS,
    "POST /rules/test": OPERATORS,
    "GET /rules/{rule}": OPERATORS,
    "POST /rules/{rule}": OPERATORS,
    "POST /rules/{rule}/move": OPERATORS,
    "POST /rules/{rule}/switch": OPERATORS,
    "POST /rules/{rule}/remove": OPERATORS,
    "POST /rules/{rule}/undo": OPERATORS,
    "POST /rules/{rule}/restore": OPERATORS,
    "GET /subscriptions": EVERY,
    "POST /subscriptions": {A, Role.ADMINISTRATOR},  # of others; of oneself everybody
    "GET /subscriptions/{subscription}": EVERY,
    "POST /subscriptions/{subscription}": {A, Role.ADMINISTRATOR},
    "POST /subscriptions/{subscription}/ask": {A, Role.ADMINISTRATOR},
    "GET /copies": OPERATORS,
    "POST /copies/{message}/send": OPERATORS,
    "POST /copies/{message}/cancel": OPERATORS,
    "GET /audit": OPERATORS,
    "GET /searches": EVERY,
    "POST /searches": EVERY,  # of one's own; for everybody: see below
    "POST /searches/{view}": {A, O, Role.ADMINISTRATOR},  # one that is everybody's
    "POST /searches/{view}/remove": {A, O, Role.ADMINISTRATOR},
    "POST /subscriptions/{subscription}/remove": {A, Role.ADMINISTRATOR},
    "GET /users": {Role.ADMINISTRATOR},
    "POST /users": {Role.ADMINISTRATOR},
    "GET /users/{user}": {Role.ADMINISTRATOR},
    "POST /users/{user}/grants": {Role.ADMINISTRATOR},
    "POST /users/{user}/revoke": {Role.ADMINISTRATOR},
    "POST /users/{user}/person": {Role.ADMINISTRATOR},
    "POST /users/{user}/role": {Role.ADMINISTRATOR},
    "POST /users/{user}/off": {Role.ADMINISTRATOR},
    "POST /users/{user}/on": {Role.ADMINISTRATOR},
    "GET /me": EVERY,
    "POST /me/password": EVERY,
    "POST /me/leave": EVERY,
    "POST /me/tokens": EVERY,
    "POST /me/tokens/{token}/revoke": EVERY,
    "GET /api/v1/openapi.json": STRANGERS,
    "GET /api/v1/messages": EVERY,
    "POST /api/v1/messages": PEOPLE,
    "GET /api/v1/messages/{message}": EVERY,
    "POST /api/v1/messages/{message}/reply": DESK,
    "PUT /api/v1/messages/{message}/read": EVERY,
    "DELETE /api/v1/messages/{message}/read": EVERY,
    "GET /api/v1/messages/{message}/tags": EVERY,
    "POST /api/v1/messages/{message}/tags": DESK,
    "GET /api/v1/messages/{message}/deliveries": EVERY,
    "GET /api/v1/messages/{message}/original": RAW,
    "GET /api/v1/attachments/{attachment}": EVERY,
    "DELETE /api/v1/tags/{tag}": DESK,
    "GET /api/v1/tickets": EVERY,
    "GET /api/v1/tickets/{ticket}": EVERY,
    "PATCH /api/v1/tickets/{ticket}": DESK,
    "POST /api/v1/tickets/{ticket}/merge": DESK,
    "POST /api/v1/tickets/{ticket}/split": DESK,
    "POST /api/v1/tickets/{ticket}/move": DESK,
    "GET /api/v1/tickets/{ticket}/messages": EVERY,
    "GET /api/v1/tickets/{ticket}/notes": DESK,
    "POST /api/v1/tickets/{ticket}/notes": DESK,
    "GET /api/v1/deliveries": EVERY,
    "GET /api/v1/deliveries/{delivery}": EVERY,
    "POST /api/v1/deliveries/{delivery}/retry": {D, O, Role.ADMINISTRATOR},
    "POST /api/v1/deliveries/{delivery}/cancel": {D, O, Role.ADMINISTRATOR},
    "GET /api/v1/entities": EVERY,
    "POST /api/v1/entities": PEOPLE,
    "GET /api/v1/entities/{entity}": EVERY,
    "PATCH /api/v1/entities/{entity}": PEOPLE,
    "DELETE /api/v1/entities/{entity}": PEOPLE,
    "GET /api/v1/entities/{entity}/contacts": EVERY,
    "POST /api/v1/entities/{entity}/contacts": PEOPLE,
    "GET /api/v1/entities/{entity}/groups": EVERY,
    "POST /api/v1/entities/import": PEOPLE,
    "GET /api/v1/entities/export": PEOPLE,
    "GET /api/v1/entities/likely-duplicates": PEOPLE,
    "POST /api/v1/entities/{entity}/merge": PEOPLE,
    "GET /api/v1/groups": EVERY,
    "GET /api/v1/groups/{group}": EVERY,
    "GET /api/v1/groups/{group}/unreachable": EVERY,
    "GET /api/v1/groups/{group}/members": EVERY,
    "POST /api/v1/groups/{group}/members": PEOPLE,
    "GET /api/v1/groups/{group}/members/{member}": EVERY,
    "PATCH /api/v1/groups/{group}/members/{member}": PEOPLE,
    "DELETE /api/v1/groups/{group}/members/{member}": PEOPLE,
    "GET /api/v1/contacts/{contact}": EVERY,
    "PATCH /api/v1/contacts/{contact}": PEOPLE,
    "DELETE /api/v1/contacts/{contact}": PEOPLE,
    "GET /api/v1/messages/{message}/record": DESK,
    "POST /api/v1/messages/{message}/route": DESK,
    "GET /api/v1/resources": EVERY,
    "GET /api/v1/resources/{name:word}": EVERY,
    "PUT /api/v1/resources/{name:word}": {Role.ADMINISTRATOR},
    "DELETE /api/v1/resources/{name:word}": {Role.ADMINISTRATOR},
    "GET /api/v1/records": EVERY,
    "POST /api/v1/records": DESK,
    "GET /api/v1/completions": EVERY,
    "GET /api/v1/records/{uid:word}": EVERY,
    "PATCH /api/v1/records/{uid:word}": DESK,
    "DELETE /api/v1/records/{uid:word}": DESK,
    "GET /api/v1/records/{uid:word}/history": EVERY,
    "GET /api/v1/records/{uid:word}/messages": EVERY,
    "GET /api/v1/subscriptions": EVERY,
    "POST /api/v1/subscriptions": {A, Role.ADMINISTRATOR},
    "GET /api/v1/subscriptions/{subscription}": EVERY,
    "POST /api/v1/subscriptions/preview": {A, Role.ADMINISTRATOR},
    "PATCH /api/v1/subscriptions/{subscription}": {A, Role.ADMINISTRATOR},
    "GET /api/v1/copies": OPERATORS,
    "POST /api/v1/copies/{message}/send": OPERATORS,
    "POST /api/v1/copies/{message}/cancel": OPERATORS,
    "GET /api/v1/searches": EVERY,
    "POST /api/v1/searches": EVERY,
    "PUT /api/v1/searches/{view}": {A, O, Role.ADMINISTRATOR},
    "DELETE /api/v1/searches/{view}": {A, O, Role.ADMINISTRATOR},
    "GET /api/v1/audit": OPERATORS,
    "DELETE /api/v1/subscriptions/{subscription}": {A, Role.ADMINISTRATOR},
    "GET /api/v1/templates": EVERY,
    "POST /api/v1/templates": OPERATORS,
    "GET /api/v1/templates/{template}": EVERY,
    "PUT /api/v1/templates/{template}": OPERATORS,
    "DELETE /api/v1/templates/{template}": OPERATORS,
    "POST /api/v1/templates/{template}/preview": EVERY,
    "GET /api/v1/rules": OPERATORS,
    "POST /api/v1/rules": OPERATORS,
    "POST /api/v1/rules/test": OPERATORS,
    "PUT /api/v1/rules/order": OPERATORS,
    "GET /api/v1/rules/removed": OPERATORS,
    "GET /api/v1/rules/{rule}": OPERATORS,
    "GET /api/v1/rules/{rule}/versions": OPERATORS,
    "POST /api/v1/rules/{rule}/undo": OPERATORS,
    "POST /api/v1/rules/{rule}/restore": OPERATORS,
    "GET /api/v1/parsers": OPERATORS,
    "PUT /api/v1/rules/{rule}": OPERATORS,
    "DELETE /api/v1/rules/{rule}": OPERATORS,
    "GET /api/v1/connectors": EVERY,
    "GET /api/v1/connectors/{name:word}": EVERY,
    "PATCH /api/v1/connectors/{name:word}": OPERATORS,
    "GET /api/v1/connectors/{name:word}/queue": RELAY,
    "POST /api/v1/connectors/{name:word}/queue/{delivery}/take": RELAY,
    "POST /api/v1/connectors/{name:word}/queue/{delivery}/delivered": RELAY,
    "POST /api/v1/connectors/{name:word}/queue/{delivery}/failed": RELAY,
    "POST /api/v1/connectors/{name:word}/queue/{delivery}/back": RELAY,
    "POST /api/v1/connectors/{name:word}/heard": RELAY,
    "GET /api/v1/users": {Role.ADMINISTRATOR},
    "POST /api/v1/users": {Role.ADMINISTRATOR},
    "GET /api/v1/users/{user}": {Role.ADMINISTRATOR},
    "PATCH /api/v1/users/{user}": {Role.ADMINISTRATOR},
    "GET /api/v1/users/me": EVERY,
    "GET /api/v1/tokens": EVERY,
    "POST /api/v1/tokens": EVERY,
    "DELETE /api/v1/tokens/{token}": EVERY,
}

ROWS = {f"{row.method} {row.pattern}": row for row in (*PAGES, *API)}
BODIES = {
    "POST /api/v1/subscriptions": b'{"entity": 1, "resource": "tag"}',
    "POST /api/v1/subscriptions/preview": b'{"entity": 1, "resource": "tag"}',
    "PUT /api/v1/searches/{view}": b'{"name": "x", "query": "y"}',
}


LAST = {"DELETE /api/v1/entities/{entity}", "POST /people/{entity}/remove"}  # they end what the others work with


def test_every_route_is_listed_and_nothing_else() -> None:
    assert set(ROWS) - set(WHO) == set()
    assert set(WHO) - set(ROWS) == set()


def go(browser: Browser, row: Row, token: str | None) -> Answer:
    path = "/".join("1" if "{" in part and "name" not in part else part for part in row.pattern.split("/"))
    path = path.replace("{name:word}", "mail")
    if row.api:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = BODIES.get(f"{row.method} {row.pattern}", b"{}") if row.takes is not None else b""
        return browser.send(row.method, path, body, {**headers, "Content-Type": "application/json"})
    if row.method == "GET":
        if path == "/events":
            _channel, transport = browser.send("GET", path, raw=True)
            return Answer(status=int(transport.value().split()[1]))
        return browser.get(path)
    page = browser.get("/").text
    token = page.split('name="csrf" value="')[1].split('"')[0] if 'name="csrf"' in page else ""
    return browser.post(path, csrf=token, priority="1")


@pytest.mark.parametrize("role", list(Role))
def test_each_role_at_each_route(web: Web, role: Role) -> None:
    """Refused with 403 exactly where the table says so; what is let in may still find nothing there (404, 422)."""
    browser = web.signed_in(role.value.replace(" ", "-"), role=role)
    viewer = web.store.now(users.viewer, 1)
    assert viewer is not None
    token = web.token(viewer)
    ticket_id = web.store.now(conversation, address="mailto:a@b.example")
    message_id = web.store.now(message, ticket_id, sender="mailto:a@b.example", connector="mail")
    web.store.now(_delivery, ticket_id, message_id)
    root = web.user("root", role=Role.ADMINISTRATOR)
    web.store.now(people.create_entity, root, "uid", EntityKind.PERSON, "Mina", NOW)
    web.store.now(subscriptions.subscribe, root, 1, "tag", "flood", NOW)
    web.store.now(saved.save_view, root, "Floods", "flood", NOW, True)
    for name, row in sorted(ROWS.items(), key=lambda item: (item[0] == "POST /logout", item[0] in LAST)):
        if name in ("GET /setup", "POST /setup", "POST /login"):
            continue
        if name in ("DELETE /api/v1/tokens/{token}", "POST /me/tokens/{token}/revoke", "POST /users/{user}/off"):
            continue  # they would end what this test works with; they have tests of their own
        answer = go(browser, row, token)
        assert (answer.status != 403) is (role in WHO[name]), f"{role} {name}: {answer.status}"
        assert answer.status < 500, f"{role} {name}: {answer.status}"


def _delivery(tx: object, ticket_id: int, message_id: int) -> None:
    tx.exec_driver_sql(  # type: ignore[attr-defined]
        "insert into msg_delivery_status (id, message_id, ticket_id, address, connector, state, created_at, changed_at)"
        f" values (1, {message_id}, {ticket_id}, 'mailto:c@d.example', 'mail', 'pending', 1, 1)"
    )


def test_a_stranger_is_led_to_the_sign_in_page_or_told_401(web: Web) -> None:
    stranger = web.browser()
    for name, row in ROWS.items():
        if None in WHO[name]:
            continue
        answer = go(stranger, row, None)
        expected = {401} if row.api or row.feed or row.pattern == "/events" else {303}
        assert answer.status in expected, f"{name}: {answer.status}"


def test_what_lies_outside_a_scope_is_not_there(web: Web) -> None:
    """A responder for one site sees nothing of another: not a row, not a count, not a page, not a byte."""
    web.user("root", role=Role.ADMINISTRATOR)
    browser = web.signed_in("scoped", Grant(Role.RESPONDER, "site", "north"))
    mine = web.store.now(conversation, subject="Mine", address="sms:+1")
    web.store.now(message, mine, tags=("site/north",), subject="Mine", body="my words")
    other = web.store.now(conversation, subject="Secret", address="sms:+2")
    hidden = web.store.now(message, other, tags=("site/south",), subject="Secret", body="hidden words", sender="sms:+2")
    web.store.now(_delivery, other, hidden)
    web.store.now(
        lambda tx: tx.exec_driver_sql(
            f"insert into msg_attachment (id, message_id, size, sha256, content) values (1, {hidden}, 1, 'x', x'00')"
        )
    )
    inbox = browser.get("/?view=all").text
    assert "my words" in inbox
    for path in ("/?view=all", "/?view=all&q=hidden", "/log", "/log?q=hidden", "/?view=all&part=rows", "/people"):
        page = browser.get(path)
        assert page.status == 200
        assert "ecret" not in page.text.replace("hidden words</bdi>", "")
        assert "hidden words" not in page.text
    assert 'data-held="1"' in browser.get("/?view=todo").text
    for path in (
        f"/tickets/{other}", f"/tickets/{other}/thread", f"/messages/{hidden}/original", "/attachments/1",
    ):  # fmt: skip
        assert browser.get(path).status == 404, path
    for act in ("take", "read", "unread", "done", "notes", "answer", "tags", "priority", "assign"):
        token = browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]
        fields = {"text": "x", "tag": "x", "priority": "3", "once": "7d4b3f60-0000-4000-8000-000000000000"}
        answer = browser.post(f"/tickets/{other}/{act}", csrf=token, **fields)
        assert answer.status in (404, 422), f"{act}: {answer.status}"
    for act in ("retry", "cancel"):
        token = browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]
        assert browser.post(f"/deliveries/1/{act}", csrf=token).status == 404
    row = web.store.now(lambda tx: tx.exec_driver_sql(f"select version, priority from ticket where id={other}").one())
    assert tuple(row) == (1, 1)


def test_the_api_shows_a_scope_the_same(web: Web) -> None:
    viewer = web.user("scoped", Grant(Role.RESPONDER, "site", "north"))
    token = web.token(viewer)
    other = web.store.now(conversation, subject="Secret")
    hidden = web.store.now(message, other, tags=("site/south",), body="hidden words")
    web.store.now(_delivery, other, hidden)
    browser = web.browser()
    bearer = {"Authorization": f"Bearer {token}"}
    for path in ("messages", "messages?q=hidden", "tickets?view=all", "deliveries", "entities"):
        assert browser.send("GET", f"/api/v1/{path}", headers=bearer).json["items"] == []
    for path in (f"messages/{hidden}", f"tickets/{other}", f"tickets/{other}/messages", f"messages/{hidden}/tags",
                 f"messages/{hidden}/deliveries", f"tickets/{other}/notes", "deliveries/1"):  # fmt: skip
        assert browser.send("GET", f"/api/v1/{path}", headers=bearer).status == 404, path
    assert browser.send("PUT", f"/api/v1/messages/{hidden}/read", headers=bearer).status == 404


def test_the_hub_itself_is_nobody_who_signs_in(web: Web) -> None:
    assert HUB.user_id == 0
    assert web.browser().get("/").status == 303
