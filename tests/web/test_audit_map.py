"""Every change leaves a line in the audit, or it is said here where else it stands: each writing route, done for real.

A route that is new fails until it is listed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from msgserver.formats.wording import Wording
from msgserver.message import Address
from msgserver.records import EntityKind, ResourceType, Role, Rule
from msgserver.store import (
    blobs,
    imports,
    logins,
    membership,
    people,
    resource_types,
    resources,
    rules,
    saved,
    subscriptions,
    templates,
    tickets,
    users,
)
from msgserver.store.importing import Report
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, PASSWORD, Web
from tests.web.test_rights import ROWS

pytestmark = pytest.mark.slow

LOOKS = "changes nothing"
MESSAGE = "the message names its author, and its deliveries their history"
READ = "one's own read marks"
SESSION = "sessions and attempts are kept in tables of their own"
STATION = "the delivery's history names who passed it on"
ELSEWHERE = {
    "POST /setup": "needs a hub without users; test_login has it",
    "POST /login": SESSION,
    "POST /logout": SESSION,
    "POST /me/leave": SESSION,
    "POST /unsubscribe/{token:word}": "signed, without a user; test_unsubscribe has it",
    "POST /tickets/{ticket}/read": READ,
    "POST /tickets/{ticket}/unread": READ,
    "PUT /api/v1/messages/{message}/read": READ,
    "DELETE /api/v1/messages/{message}/read": READ,
    "POST /messages/count": LOOKS,
    "POST /messages/preview": LOOKS,
    "POST /rules/test": LOOKS,
    "POST /api/v1/rules/test": LOOKS,
    "POST /api/v1/subscriptions/preview": LOOKS,
    "POST /api/v1/templates/{template}/preview": LOOKS,
    "POST /people/import": LOOKS,
    "POST /tickets/{ticket}/answer": MESSAGE,
    "POST /messages/new": MESSAGE,
    "POST /templates/{template}/send": MESSAGE,
    "POST /api/v1/messages": MESSAGE,
    "POST /api/v1/messages/{message}/reply": MESSAGE,
    "POST /subscriptions/{subscription}/ask": "the question is a message in the log",
} | {name: STATION for name in ROWS if not name.startswith("GET ") and ("/stations/" in name or "/queue/" in name)}
ELSEWHERE["POST /stations/{name:word}/heard"] = ELSEWHERE["POST /api/v1/connectors/{name:word}/heard"] = (
    "what was heard is an arrival that names who wrote it down"
)

HOLE = re.compile(r"\{(\w+)(?::\w+)?\}")
_numbers = itertools.count(1)
Fields = dict[str, Any]


class Site:
    """A desk with an administrator; makes what a request is about."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.browser = web.signed_in("root", role=Role.ADMINISTRATOR)
        found = web.store.now(users.find_user, "root")
        assert found is not None
        self.root = web.store.now(users.viewer, found[0].id)
        self.key = web.token(self.root)

    def now(self, unit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.web.store.now(unit, *args, **kwargs)

    def message(self, state: str = "pending", waits_for: str = "") -> dict[str, int]:
        """A message on a ticket, tagged, with a delivery in some state."""
        n = next(_numbers)
        ticket = self.now(conversation, address=f"mailto:a{n}@a.example")
        made = self.now(message, ticket, tags=("tag/flood",), sender=f"mailto:a{n}@a.example", connector="mail")
        query = (
            "insert into msg_delivery_status (message_id, ticket_id, address, connector, state, waits_for, created_at,"
            f" changed_at) values ({made}, {ticket}, 'mailto:b@b.example', 'mail', '{state}', '{waits_for}', 1, 1)"
            " returning id"
        )
        delivery = self.now(lambda tx: tx.exec_driver_sql(query).scalar_one())
        tag = self.now(lambda tx: tx.exec_driver_sql(f"select id from msg_tag where message_id = {made}").scalar_one())
        return {"message": made, "ticket": ticket, "delivery": delivery, "tag": tag}

    def person(self, kind: EntityKind = EntityKind.PERSON) -> dict[str, int]:
        n = next(_numbers)
        made = self.now(people.create_entity, self.root, f"e{n}", kind, f"Somebody {n}", NOW)
        contact = self.now(people.add_contact, self.root, made.id, Address.parse(f"mailto:p{n}@p.example"), NOW)
        return {"entity": made.id, "contact": contact.id}

    def group(self) -> dict[str, int]:
        """A group with a member."""
        group, member = self.person(EntityKind.GROUP)["entity"], self.person()["entity"]
        self.now(membership.add_member, self.root, group, member, NOW)
        return {"group": group, "member": member}

    def record(self) -> dict[str, Any]:
        made = self.now(resources.create_record, self.root, f"r{next(_numbers)}", "incident", {"name": "Dam"}, NOW)
        return {"type": "incident", "uid": made.uid}

    def type(self) -> dict[str, Any]:
        name = f"kind{next(_numbers)}"
        self.now(resource_types.put_type, self.root, ResourceType(name=name, label=name), NOW)
        return {"type": name, "name": name}

    def template(self, name: str = "") -> dict[str, int]:
        made = self.now(templates.save, self.root, name or f"t{next(_numbers)}", Wording("", "x", ""), NOW, 0)
        return {"template": made.id}

    def rule(self) -> dict[str, int]:
        """A rule with two wordings, below another."""
        for name in ("above", "below"):
            rule = Rule(id=0, name=name, position=0, words=(name,), resource="tag", record="x")
            made = self.now(rules.create_rule, self.root, rule, NOW)
        self.now(rules.update_rule, self.root, msgspec.structs.replace(made, words=("else",)), NOW)
        return {"rule": made.id}

    def subscription(self) -> dict[str, int]:
        made = self.now(subscriptions.subscribe, self.root, self.person()["entity"], "tag", "flood", NOW)
        return {"subscription": made.id}

    def view(self) -> dict[str, int]:
        return {"view": self.now(saved.save_view, self.root, f"v{next(_numbers)}", "flood", NOW).id}

    def user(self, active: bool = True) -> dict[str, int]:
        made = self.web.user(f"user{next(_numbers)}", role=Role.READER)
        if not active:
            self.now(users.set_active, self.root, made.user_id, False, NOW)
        return {"user": made.user_id}

    def token(self) -> dict[str, int]:
        key = f"key {next(_numbers)}"
        self.now(logins.create_token, self.root, self.root.user_id, "x", key, NOW)
        return {"token": self.now(lambda tx: tx.exec_driver_sql("select max(id) from auth_token").scalar_one())}

    def lines(self) -> int:
        """How many lines the audit has by this user."""
        query = f"select count(*) from audit where user_id = {self.root.user_id}"
        return int(self.now(lambda tx: tx.exec_driver_sql(query).scalar_one()))

    def send(self, name: str, ids: dict[str, Any], fields: Fields) -> Any:
        row = ROWS[name]
        path = HOLE.sub(lambda hole: str(ids[hole[1]]), row.pattern)
        if not row.api:
            csrf = self.browser.get("/me").text.split('name="csrf" value="')[1].split('"')[0]
            return self.browser.post(path, csrf=csrf, **{key: str(value) for key, value in fields.items()})
        body = b"" if row.takes is None else fields["file"] if row.takes is bytes else msgspec.json.encode(fields)
        kind = "text/csv" if row.takes is bytes else "application/json"
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": kind}
        if row.matches and row.method == "PUT":
            headers["If-Match"] = self.web.browser().send("GET", path, b"", headers).header("etag")
        return self.web.browser().send(row.method, path, body, headers)

    def upload(self) -> dict[str, int]:
        """A table that was looked at, to be imported."""
        blob = self.now(lambda tx: blobs.put(blobs.folder(tx), TABLE))
        work = imports.Work(blob=blob, file="crew.csv", user_id=self.root.user_id, region="")
        return {"upload": self.now(imports.keep, work, Report(rows=1, new=1), NOW)}


TABLE = b"name,mail\nAna,ana@a.example\n"
WORDED = {"name": "worded", "words": ["water"], "resource": "tag", "record": "water"}
Made = tuple[dict[str, Any], Fields]


def failed(site: Site) -> Made:
    return site.message("failed"), {}


def open_(site: Site) -> Made:
    return site.message(), {}


def asked(site: Site) -> Made:
    return site.message("held", "person"), {}


def of(maker: Callable[[Site], dict[str, Any]], **fields: Any) -> Callable[[Site], Made]:
    return lambda site: (maker(site), fields)


def nothing(**fields: Any) -> Callable[[Site], Made]:
    return lambda _site: ({}, fields)


def taken(site: Site) -> Made:
    made = site.message()
    site.now(tickets.assign, site.root, made["ticket"], [site.root.user_id], NOW)
    return made, {}


def done(site: Site) -> Made:
    made = site.message()
    site.now(tickets.set_actioned, site.root, made["ticket"], True, NOW)
    return made, {}


def two_tickets(site: Site) -> Made:
    made = site.message()
    return made, {"do": "merge", "into": site.message()["ticket"]}


def merged(site: Site) -> Made:
    return site.message(), {"into": site.message()["ticket"]}


def moved(site: Site) -> Made:
    made, fields = split(site)
    return made, fields | {"into": site.message()["ticket"]}


def split(site: Site) -> Made:
    made = site.message()
    site.now(message, made["ticket"], sender="mailto:z@z.example", connector="mail")
    return made, {"messages": [made["message"]]}


def to_somebody(site: Site) -> Made:
    return site.message(), {"entity": site.person()["entity"]}


def twins(site: Site) -> Made:
    return site.person(), {"duplicate": site.person()["entity"]}


def member(name: str) -> Callable[[Site], Made]:
    return lambda site: (site.group(), {name: site.person()["entity"]})


def subscriber(site: Site) -> Made:
    return {}, {"entity": site.person()["entity"], "tag": "flood"}


def subscriber_of(site: Site) -> Made:
    return {}, {"entity": site.person()["entity"], "resource": "tag", "record": "flood"}


def order(site: Site) -> Made:
    site.rule()
    first, *rest = [rule.id for rule in site.now(rules.rules)]
    return {}, {"rules": [*rest, first]}


MAIL = of(lambda _site: {"name": "mail"})
WRITES: dict[str, Callable[[Site], Made]] = {
    "POST /tickets/{ticket}/notes": of(Site.message, text="call them"),
    "POST /tickets/{ticket}/take": open_,
    "POST /tickets/{ticket}/drop": taken,
    "POST /tickets/{ticket}/assign": lambda site: (site.message(), {"user": site.root.user_id}),
    "POST /tickets/{ticket}/priority": of(Site.message, priority="3"),
    "POST /tickets/{ticket}/done": open_,
    "POST /tickets/{ticket}/reopen": done,
    "POST /tickets/{ticket}/tags": of(Site.message, tag="water"),
    "POST /tickets/{ticket}/regroup": two_tickets,
    "POST /messages/{message}/route": to_somebody,
    "POST /messages/{message}/tags": of(Site.message, type="tag", words="water"),
    "POST /messages/{message}/tags/{tag}/remove": open_,
    "POST /deliveries/{delivery}/retry": failed,
    "POST /deliveries/{delivery}/cancel": open_,
    "POST /channels/{name:word}/pause": MAIL,
    "POST /channels/{name:word}/resume": MAIL,
    "POST /people": nothing(name="Mina", addresses="", kind="person"),
    "POST /people/import/{upload}": of(Site.upload),
    "POST /people/{entity}": of(Site.person, name="Renamed"),
    "POST /people/{entity}/contacts": of(Site.person, address="+15550009999"),
    "POST /people/{entity}/contacts/{contact}": of(Site.person, act="verify"),
    "POST /people/{entity}/merge": twins,
    "POST /people/{entity}/remove": of(Site.person),
    "POST /groups": nothing(name="Crew"),
    "POST /groups/{group}/members": member("member"),
    "POST /groups/{group}/members/{member}": of(Site.group, role="driver"),
    "POST /resources/{type:word}": lambda site: ({"type": "incident"}, {"name": "Flood"}),
    "POST /resources/{type:word}/{uid:word}": of(Site.record, name="Renamed"),
    "POST /resources/{type:word}/{uid:word}/remove": of(Site.record),
    "POST /types": nothing(label="Shelter"),
    "POST /types/{type:word}": of(Site.type, label="Renamed"),
    "POST /types/{type:word}/remove": of(Site.type),
    "POST /templates": nothing(name="hello", text="Hello"),
    "POST /templates/{template}": of(Site.template, name="renamed", text="Good day"),
    "POST /templates/{template}/remove": of(Site.template),
    "POST /rules": nothing(words="flood", tag="flood"),
    "POST /rules/{rule}": of(Site.rule, words="water", tag="water"),
    "POST /rules/{rule}/move": of(Site.rule, by="up"),
    "POST /rules/{rule}/switch": of(Site.rule, to="off"),
    "POST /rules/{rule}/remove": of(Site.rule),
    "POST /rules/{rule}/undo": of(Site.rule),
    "POST /rules/{rule}/restore": of(Site.rule, version=1),
    "POST /subscriptions": subscriber,
    "POST /subscriptions/{subscription}": of(Site.subscription, digest="daily"),
    "POST /subscriptions/{subscription}/remove": of(Site.subscription),
    "POST /copies/{message}/send": asked,
    "POST /copies/{message}/cancel": asked,
    "POST /searches": nothing(name="Floods", query="flood"),
    "POST /searches/{view}": of(Site.view, name="Renamed", query="water"),
    "POST /searches/{view}/remove": of(Site.view),
    "POST /users": nothing(name="newcomer", password="a long enough pass phrase", role="reader"),
    "POST /users/{user}/role": of(Site.user, role="responder"),
    "POST /users/{user}/grants": of(Site.user, role="responder", resource="", record=""),
    "POST /users/{user}/revoke": of(Site.user, role="reader", resource="", record=""),
    "POST /users/{user}/person": lambda site: (site.user(), {"entity": site.person()["entity"]}),
    "POST /users/{user}/off": of(Site.user),
    "POST /users/{user}/on": lambda site: (site.user(active=False), {}),
    "POST /me/password": nothing(old=PASSWORD, password=f"{PASSWORD} 2", again=f"{PASSWORD} 2"),
    "POST /me/tokens": nothing(name="mine"),
    "POST /me/feeds": nothing(name="reader"),
    "POST /me/tokens/{token}/revoke": of(Site.token),
    "POST /api/v1/messages/{message}/tags": of(Site.message, tag="water"),
    "DELETE /api/v1/tags/{tag}": open_,
    "PATCH /api/v1/tickets/{ticket}": of(Site.message, priority="urgent"),
    "POST /api/v1/tickets/{ticket}/merge": merged,
    "POST /api/v1/tickets/{ticket}/split": split,
    "POST /api/v1/tickets/{ticket}/move": moved,
    "POST /api/v1/tickets/{ticket}/notes": of(Site.message, text="call them"),
    "POST /api/v1/deliveries/{delivery}/retry": failed,
    "POST /api/v1/deliveries/{delivery}/cancel": open_,
    "POST /api/v1/entities": nothing(name="Mina"),
    "PATCH /api/v1/entities/{entity}": of(Site.person, name="Renamed"),
    "DELETE /api/v1/entities/{entity}": of(Site.person),
    "POST /api/v1/entities/{entity}/contacts": of(Site.person, address="sms:+15550008888"),
    "POST /api/v1/entities/import": nothing(file=TABLE.replace(b"na", b"no")),
    "POST /api/v1/entities/{entity}/merge": twins,
    "POST /api/v1/groups/{group}/members": member("entity"),
    "PATCH /api/v1/groups/{group}/members/{member}": of(Site.group, role="driver"),
    "DELETE /api/v1/groups/{group}/members/{member}": of(Site.group),
    "PATCH /api/v1/contacts/{contact}": of(Site.person, stopped=True),
    "DELETE /api/v1/contacts/{contact}": of(Site.person),
    "POST /api/v1/messages/{message}/route": to_somebody,
    "PUT /api/v1/resources/{name:word}": of(Site.type, label="Renamed"),
    "DELETE /api/v1/resources/{name:word}": of(Site.type),
    "POST /api/v1/records": nothing(resource="incident", name="Flood"),
    "PATCH /api/v1/records/{uid:word}": of(Site.record, name="Renamed"),
    "DELETE /api/v1/records/{uid:word}": of(Site.record),
    "POST /api/v1/subscriptions": subscriber_of,
    "PATCH /api/v1/subscriptions/{subscription}": of(Site.subscription, digest="daily"),
    "DELETE /api/v1/subscriptions/{subscription}": of(Site.subscription),
    "POST /api/v1/copies/{message}/send": asked,
    "POST /api/v1/copies/{message}/cancel": asked,
    "POST /api/v1/searches": nothing(name="Floods too", query="flood"),
    "PUT /api/v1/searches/{view}": of(Site.view, name="Renamed too", query="water"),
    "DELETE /api/v1/searches/{view}": of(Site.view),
    "POST /api/v1/rules": nothing(**WORDED),
    "PUT /api/v1/rules/order": order,
    "PUT /api/v1/rules/{rule}": of(Site.rule, **WORDED),
    "DELETE /api/v1/rules/{rule}": of(Site.rule),
    "POST /api/v1/rules/{rule}/undo": of(Site.rule),
    "POST /api/v1/rules/{rule}/restore": of(Site.rule, version=1),
    "POST /api/v1/templates": nothing(name="hello too", text="Hello"),
    "PUT /api/v1/templates/{template}": lambda site: (site.template("kept"), {"name": "kept", "text": "Good day"}),
    "DELETE /api/v1/templates/{template}": of(Site.template),
    "PATCH /api/v1/connectors/{name:word}": lambda _site: ({"name": "mail"}, {"paused": True}),
    "POST /api/v1/users": nothing(name="program"),
    "PATCH /api/v1/users/{user}": of(Site.user, active=False),
    "POST /api/v1/tokens": nothing(name="mine"),
    "DELETE /api/v1/tokens/{token}": of(Site.token),
}


def test_every_writing_route_is_listed_once() -> None:
    writing = {name for name in ROWS if not name.startswith("GET ")}
    assert writing - set(WRITES) - set(ELSEWHERE) == set()
    assert set(WRITES) & set(ELSEWHERE) == (set(WRITES) | set(ELSEWHERE)) - writing == set()


def test_every_change_leaves_a_line_with_who_made_it(web: Web) -> None:
    site, silent = Site(web), []
    for name, made in WRITES.items():
        ids, fields = made(site)
        before = site.lines()
        answer = site.send(name, ids, fields)
        assert answer.status < 400, f"{name}: {answer.status} {answer.text[-1500:]}"
        if site.lines() == before:
            silent.append(name)
    assert silent == []


def test_what_is_said_to_change_nothing_leaves_no_line(web: Web) -> None:
    site = Site(web)
    fields = {"try_text": "x", "text": "x", "to": "mailto:a@a.example", "values": {}, **subscriber_of(site)[1]}
    for name, why in ELSEWHERE.items():
        if why is LOOKS and name != "POST /people/import":
            ids = site.template()
            before = site.lines()
            taken = ROWS[name].takes
            wanted = fields if taken is None else {k: v for k, v in fields.items() if k in taken.__struct_fields__}
            answer = site.send(name, ids, wanted)
            assert answer.status < 400, f"{name}: {answer.status} {answer.text[-1500:]}"
            assert site.lines() == before, name
