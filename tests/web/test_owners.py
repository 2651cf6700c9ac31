"""Role x route x owner (THREATS T21), out of the table of routes: what is in one's scope, out of it, one's own,
another's. A route with a new kind of hole in its path fails until it is said whose such things are."""

from __future__ import annotations

import itertools
import re
from typing import Any

import msgspec
import pytest

from msgserver.records import EntityKind, Grant, Role, Viewer
from msgserver.routing.may import Act, may
from msgserver.store import people, resources, saved, subscriptions, users
from msgserver.web.routes import Row
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Browser, Web
from tests.web.test_rights import BODIES, ROWS, WHO

pytestmark = pytest.mark.slow

HERE, THERE = ("incident", "north"), ("incident", "south")
SECRET = "hiddenword"

SCOPED = {"ticket", "message", "delivery", "attachment", "tag"}  # of a message: seen where a tag lies in the scope
PEOPLE = {"entity", "contact", "group", "member"}  # seen where they wrote or subscribe within the scope
OWNED = {"view", "token"}  # one's own (a search may be everybody's)
RECORDS = {"type", "uid"}
EVERYWHERE = {
    "user",
    "rule",
    "name",
    "upload",
    "template",
    "form",
}  # nobody's: it takes a right for everywhere, or everybody may look

HOLE = re.compile(r"\{(\w+)(?::\w+)?\}")
_numbers = itertools.count(1)


def holes(row: Row) -> set[str]:
    return set(HOLE.findall(row.pattern))


def test_of_every_hole_it_is_said_whose_such_things_are() -> None:
    every = set().union(*(holes(row) for row in ROWS.values()))
    assert every - (SCOPED | PEOPLE | OWNED | RECORDS | EVERYWHERE | {"subscription"}) == set()


def words_for(row: Row, ids: dict[str, Any]) -> bytes:
    """A body that can be read, so that what is asked about is looked for."""
    here, there = ids.get("message", 1), ids.get("ticket", 1)
    wanted: dict[str, Any] = {"text": "x", "tag": "x", "entity": 1, "into": there, "messages": [here]}
    names = getattr(row.takes, "__struct_fields__", ())
    return msgspec.json.encode({name: value for name, value in wanted.items() if name in names})


class World:
    """A site with somebody who has a role within one record, and makers of things that are whose they shall be."""

    def __init__(self, web: Web, role: Role) -> None:
        self.web = web
        self.root = web.user("root", role=Role.ADMINISTRATOR)
        for uid in ("north", "south"):
            self.now(resources.create_record, self.root, uid, "incident", {"name": f"{uid} {SECRET}"}, NOW)
        self.entity = self.now(people.create_entity, self.root, "own", EntityKind.PERSON, "Own", NOW).id
        self.browser: Browser = web.signed_in("scoped", Grant(role, *HERE))
        found = self.now(users.find_user, "scoped")
        self.now(users.set_entity, self.root, found[0].id, self.entity, NOW)
        viewer = self.now(users.viewer, found[0].id)
        assert viewer is not None
        self.viewer: Viewer = viewer
        self.token = web.token(viewer)
        self.csrf = self.browser.get("/me").text.split('name="csrf" value="')[1].split('"')[0]

    def now(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        return self.web.store.now(unit, *args, **kwargs)

    def somebody(self) -> int:
        n = next(_numbers)
        return int(self.now(people.create_entity, self.root, f"e{n}", EntityKind.PERSON, f"P{n} {SECRET}", NOW).id)

    def of_message(self, place: tuple[str, str], assigned: bool = False) -> dict[str, int]:
        """A message with all that hangs on it; its ids by the names of holes."""
        number, writer = next(_numbers), self.somebody()
        sender = f"sms:+1{number}"
        ticket = self.now(conversation, address=sender, assignees=(self.viewer,) if assigned else ())
        made = self.now(
            message,
            ticket,
            tags=("/".join(place),),
            sender=sender,
            entity_id=writer,
            body=f"{SECRET} besides",
            subject=SECRET,
        )

        def hang(tx: Any) -> dict[str, int]:
            tx.exec_driver_sql(
                "insert into msg_delivery_status (id, message_id, ticket_id, address, connector, state, created_at,"
                f" changed_at) values ({made}, {made}, {ticket}, 'sms:+1', 'modem1', 'pending', 1, 1)"
            )
            tx.exec_driver_sql(
                "insert into msg_attachment (id, message_id, size, sha256, content)"
                f" values ({made}, {made}, 1, 'x', x'00')"
            )
            tag = tx.exec_driver_sql(f"select id from msg_tag where message_id = {made}").scalar_one()
            tx.exec_driver_sql(
                "insert into pe_contact (id, entity_id, scheme, address, created_at)"
                f" values ({1000 + made}, {writer}, 'sms', '{sender}', 1)"
            )
            return {
                "message": made, "ticket": ticket, "delivery": made, "attachment": made, "tag": tag, "entity": writer,
                "contact": 1000 + made,
            }  # fmt: skip

        return self.now(hang)

    def ask(self, row: Row, ids: dict[str, Any]) -> Any:
        path = HOLE.sub(lambda hole: str(ids.get(hole[1], "rss" if hole[1] == "form" else 1)), row.pattern)
        if row.api:
            body = BODIES.get(f"{row.method} {row.pattern}", words_for(row, ids)) if row.takes is not None else b""
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            return self.web.browser().send(row.method, path, body, headers)
        if row.method == "GET":
            return self.browser.get(path)
        once = "7d4b3f60-0000-4000-8000-000000000000"
        return self.browser.post(path, csrf=self.csrf, text="x", tag="x", priority="1", once=once, name="x", query="x")


# What is in the scope and still not found, because there is nothing of it to act on.
ABSENT = {
    "POST /copies/{message}/send", "POST /copies/{message}/cancel", "POST /api/v1/copies/{message}/send",
    "POST /api/v1/copies/{message}/cancel", "GET /messages/{message}/original",
    "GET /api/v1/messages/{message}/original", "GET /messages/{message}/html", "GET /api/v1/messages/{message}/html",
}  # fmt: skip


def permitted(world: World, name: str, row: Row) -> bool:
    """Whether somebody with this role in a scope may do this to what lies in it."""
    role = world.viewer.grants[0].role
    return role in WHO[name] and (not isinstance(row.who, Act) or may(world.viewer, row.who))


@pytest.mark.parametrize("role", list(Role))
def test_of_messages_only_those_in_the_scope_or_assigned(web: Web, role: Role) -> None:
    world = World(web, role)
    for name, row in ROWS.items():
        if not holes(row) & SCOPED or holes(row) - SCOPED:
            continue
        answer = world.ask(row, world.of_message(THERE))
        assert answer.status in (403, 404), f"{role} {name} out of scope: {answer.status}"
        assert SECRET not in answer.text, f"{role} {name}"
        if not permitted(world, name, row) or name in ABSENT:
            continue
        for owner, ids in (("in scope", world.of_message(HERE)), ("assigned", world.of_message(THERE, True))):
            answer = world.ask(row, ids)
            assert answer.status not in (403, 404), f"{role} {name} {owner}: {answer.status} {answer.text[:300]}"


@pytest.mark.parametrize("role", list(Role))
def test_lists_and_pages_show_nothing_from_out_of_the_scope(web: Web, role: Role) -> None:
    world = World(web, role)
    world.of_message(THERE)
    world.now(subscriptions.subscribe, world.root, world.somebody(), *THERE, NOW)
    world.now(saved.save_view, world.root, f"mine {SECRET}", "x", NOW)
    for name, row in ROWS.items():
        if row.method == "GET" and not holes(row) and row.pattern != "/events":
            page = re.sub(rf"north {SECRET}", "", world.ask(row, {}).text)
            if may(world.viewer, Act.AUDIT):
                continue  # whoever may read the audit sees names there
            assert SECRET not in page, f"{role} {name}"
    for path in ("/?view=all&q=besides", "/log?q=besides", "/people?q=P1"):
        assert SECRET not in world.browser.get(path).text, path


@pytest.mark.parametrize("role", list(Role))
def test_people_are_seen_where_they_wrote_and_changed_by_nobody_with_a_scope(web: Web, role: Role) -> None:
    world = World(web, role)
    for name, row in ROWS.items():
        if not holes(row) & PEOPLE:
            continue
        there = world.of_message(THERE)
        ids = {**there, "group": there["entity"], "member": there["entity"]}
        answer = world.ask(row, ids)
        assert answer.status in (403, 404), f"{role} {name} out of scope: {answer.status}"
        assert SECRET not in answer.text
        here = world.of_message(HERE)
        if row.method == "GET" and row.who is Act.SEE and holes(row) <= {"entity", "contact"}:
            assert world.ask(row, here).status == 200, f"{role} {name} in scope"
        if row.who is Act.PEOPLE:
            assert world.ask(row, here).status == 403, f"{role} {name} in scope"


@pytest.mark.parametrize("role", list(Role))
def test_ones_own_subscriptions_and_those_in_the_scope(web: Web, role: Role) -> None:
    world = World(web, role)
    for name, row in ROWS.items():
        if "subscription" not in holes(row):
            continue
        own = world.now(subscriptions.subscribe, world.viewer, world.entity, *THERE, NOW).id
        others = world.now(subscriptions.subscribe, world.root, world.somebody(), *THERE, NOW).id
        here = world.now(subscriptions.subscribe, world.root, world.somebody(), *HERE, NOW).id
        status = world.ask(row, {"subscription": others}).status
        assert status == 404, f"{role} {name} another's, out of scope: {status}"
        status = world.ask(row, {"subscription": here}).status
        assert status == (200 if row.method == "GET" else 403), f"{role} {name} another's, in scope: {status}"
        status = world.ask(row, {"subscription": own}).status
        assert status < 400, f"{role} {name} one's own: {status}"


@pytest.mark.parametrize("role", list(Role))
def test_searches_and_tokens_are_their_owners(web: Web, role: Role) -> None:
    world = World(web, role)
    for name, row in ROWS.items():
        if not holes(row) & OWNED:
            continue
        other = world.now(saved.save_view, world.root, "x", "x", NOW).id
        web.token(world.root) if name.endswith("revoke") else None
        ids = {"view": other, "token": 999}
        status = world.ask(row, ids).status
        assert status == 404, f"{role} {name} another's: {status}"
        if "view" in holes(row):
            own = world.now(saved.save_view, world.viewer, "x", "x", NOW).id
            assert world.ask(row, {"view": own}).status < 400, f"{role} {name} one's own"


def test_another_persons_token_cannot_be_revoked(web: Web) -> None:
    world = World(web, Role.ADMINISTRATOR)
    web.token(world.root)
    number = world.now(lambda tx: tx.exec_driver_sql("select max(id) from auth_token").scalar_one())
    for name in ("DELETE /api/v1/tokens/{token}", "POST /me/tokens/{token}/revoke"):
        assert world.ask(ROWS[name], {"token": number}).status == 404


@pytest.mark.parametrize("role", list(Role))
def test_records_in_the_scope(web: Web, role: Role) -> None:
    world = World(web, role)
    for name, row in ROWS.items():
        if "uid" not in holes(row) or holes(row) - RECORDS:
            continue
        answer = world.ask(row, {"type": "incident", "uid": "south"})
        assert answer.status in (403, 404), f"{role} {name} out of scope: {answer.status}"
        assert SECRET not in answer.text
        if row.method == "GET" and permitted(world, name, row):
            status = world.ask(row, {"type": "incident", "uid": "north"}).status
            assert status == 200, f"{role} {name} in scope: {status}"


def test_whoever_reads_everything_acts_only_where_they_may(web: Web) -> None:
    """Reader everywhere and responder of one record: sees all, and answers there alone."""
    world = World(web, Role.RESPONDER)
    world.now(
        users.set_grants, world.root, world.viewer.user_id, [Grant(Role.READER), Grant(Role.RESPONDER, *HERE)], NOW
    )
    checked = 0
    for name, row in ROWS.items():
        if not holes(row) & SCOPED or holes(row) - SCOPED or Role.READER in WHO[name]:
            continue
        if row.method == "GET" and not row.api and row.who is not Act.RAW:
            continue  # a form, about what they may read; what it sends is refused
        status = world.ask(row, world.of_message(THERE)).status
        assert status in (403, 404), f"{name} out of scope: {status}"
        if Role.RESPONDER in WHO[name] and name not in ABSENT:
            assert world.ask(row, world.of_message(HERE)).status not in (403, 404), f"{name} in scope"
            checked += 1
    assert checked > 10
