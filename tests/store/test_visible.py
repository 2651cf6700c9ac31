"""Who sees what: every read against every kind of viewer, held against the rule written out once more in words."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import event, insert, select, update

from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.store import messages, people, resource_types, resources, subscriptions, tickets, visible
from msgserver.store.schema import (
    msg_attachment,
    msg_delivery_status,
    msg_log,
    pe_entity,
    resource_record,
    ticket,
)
from tests.store.desk import NOW, conversation, message, user
from tests.store.people import entity, subscribe

TAGS = ((), ("incident/flood",), ("incident/fire",), ("project/dam",), ("incident/flood", "project/dam"))


def grants_of_all_kinds():
    yield ()
    for role in Role:
        yield (Grant(role),)
        yield (Grant(role, "incident"),)
        yield (Grant(role, "incident", "flood"),)
    yield (Grant(Role.READER, "incident", "fire"), Grant(Role.RESPONDER, "project"))
    yield (Grant(Role.READER, "elsewhere"),)


GRANTS = list(grants_of_all_kinds())


def may_see(grants, tags, assigned):
    if any(not grant.resource for grant in grants):
        return True
    if assigned:
        return True
    if not tags:
        return any(grant.role in (Role.RESPONDER, Role.ADMINISTRATOR) for grant in grants)
    return any(
        grant.resource == resource and grant.record in ("", record)
        for grant in grants
        for resource, record in (tag.split("/") for tag in tags)
    )


class Desk:
    """Messages of all kinds, with everything that hangs on them."""

    def __init__(self, tx):
        self.tx = tx
        helper = user(tx, "helper", Grant(Role.READER, "nothing"))
        self.helper = Viewer(helper.user_id, helper.name)
        self.made = {}
        for tags, assigned in itertools.product(TAGS, (False, True)):
            number = conversation(tx, assignees=(self.helper,) if assigned else ())
            one = message(tx, number, tags=tags)
            tx.execute(insert(msg_attachment).values(message_id=one, size=1, sha256="0", content=b"x"))
            times = {"created_at": NOW, "changed_at": NOW}
            tx.execute(insert(msg_delivery_status).values(message_id=one, ticket_id=number, address="sms:+1", **times))
            tickets.add_note(tx, HUB, number, "a note", NOW)
            self.made[one] = (tags, assigned, number)

    def expected(self, grants):
        return {one for one, (tags, assigned, _) in self.made.items() if may_see(grants, tags, assigned)}


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


@pytest.fixture
def desk(tx):
    return Desk(tx)


def seen_by_each_read(tx, viewer, desk):
    """Every read of messages and of what follows them: what it is called, and the messages it let through."""
    ids = list(desk.made)
    uids = dict(tx.execute(select(msg_log.c.id, msg_log.c.uid)).all())
    ticket_of = {one: number for one, (_, _, number) in desk.made.items()}
    yield "log", {m.id for m in messages.log(tx, viewer, limit=100).items}
    yield "words", {m.id for m in messages.log(tx, viewer, "water", limit=100).items}
    yield "fields", {m.id for m in messages.log(tx, viewer, "is:incoming -fire OR is:todo", limit=100).items}
    yield "message", {one for one in ids if messages.message(tx, viewer, one)}
    yield "uid", {one for one in ids if messages.message_by_uid(tx, viewer, uids[one])}
    yield "number", {one for one in ids if messages.numbered(tx, viewer, ticket_of[one], 1)}
    yield "visible ids", set(messages.visible_ids(tx, viewer, ids))
    yield "attachments", set(messages.attachments(tx, viewer, ids))
    contents = [messages.attachment_content(tx, viewer, n) for n in range(1, len(ids) + 1)]
    yield "contents", {found.attachment.message_id for found in contents if found}
    yield "deliveries", {d.message_id for d in messages.deliveries(tx, viewer, limit=100).items}
    yield "deliveries by message", {d.message_id for d in messages.deliveries(tx, viewer, ids).items}
    found = [messages.delivery(tx, viewer, n) for n in range(1, len(ids) + 1)]
    yield "delivery", {d.message_id for d in found if d}
    by_ticket = {number: one for one, number in ticket_of.items()}
    yield "inbox", {by_ticket[t.id] for t in tickets.inbox(tx, viewer, "all", limit=100).items}
    yield "inbox words", {by_ticket[t.id] for t in tickets.inbox(tx, viewer, "all", "water", limit=100).items}
    yield "ticket", {one for one in ids if tickets.ticket(tx, viewer, ticket_of[one])}
    yield "conversation", {one for one in ids if tickets.conversation(tx, viewer, ticket_of[one])}
    yield "notes", {one for one in ids if tickets.notes(tx, viewer, ticket_of[one])}


@pytest.mark.parametrize("grants", GRANTS, ids=range(len(GRANTS)))
def test_every_read_lets_through_just_what_the_viewer_may_see(desk, grants):
    viewer = Viewer(desk.helper.user_id, "helper", grants)
    expected = desk.expected(grants)
    for name, seen in seen_by_each_read(desk.tx, viewer, desk):
        assert seen == expected, name
    tagged = {one for one in expected if desk.made[one][0]}
    assert set(messages.tags(desk.tx, viewer, list(desk.made))) == tagged
    assert tickets.counts(desk.tx, viewer)["todo"] == len(expected)
    counted = resources.message_counts(desk.tx, viewer, "incident", ["flood"]).get("flood", (0, 0))
    flood = [one for one in expected if "incident/flood" in desk.made[one][0]]
    in_scope = may_see(grants, ("incident/flood",), False)
    assert counted == (len(flood) if in_scope else 0, 0)


@pytest.mark.parametrize("grants", [(), (Grant(Role.READER, "incident", "flood"),)], ids=["none", "flood"])
def test_no_edit_reaches_what_cannot_be_seen(desk, grants):
    tx, viewer = desk.tx, Viewer(desk.helper.user_id, "helper", grants)
    hidden = set(desk.made) - desk.expected(grants)
    before = tx.execute(select(ticket).order_by(ticket.c.id)).all()
    for one in hidden:
        number = desk.made[one][2]
        assert messages.add_tag(tx, viewer, one, "incident", "flood", NOW) is None
        assert tickets.set_actioned(tx, viewer, number, True, NOW) is None
        assert tickets.set_spam(tx, viewer, number, True, NOW) is None
    all_tags = messages.tags(tx, HUB, hidden)
    for tag in itertools.chain.from_iterable(all_tags.values()):
        assert not messages.remove_tag(tx, viewer, tag.id, NOW)
    assert messages.mark_read(tx, viewer, hidden, NOW) == 0
    assert messages.mark_unread(tx, viewer, hidden) == 0
    assert tx.execute(select(ticket).order_by(ticket.c.id)).all() == before
    assert messages.tags(tx, HUB, hidden) == all_tags


def test_for_the_whole_log_the_condition_is_plain_true(tx):
    for role in Role:
        viewer = Viewer(1, "ana", (Grant(Role.READER, "incident"), Grant(role)))
        for condition in (visible.messages(viewer), visible.tickets(viewer), visible.entities(viewer)):
            assert str(condition) == "true"
    sent = []
    event.listen(tx, "before_cursor_execute", lambda *args: sent.append(args[2]))
    messages.log(tx, Viewer(1, "ana", (Grant(Role.READER),)))
    assert "msg_tag" not in sent[0]


def test_entities_with_a_scope(tx):
    me, writer, subscriber, stranger = (entity(tx, name) for name in ("me", "writer", "subscriber", "stranger"))
    message(tx, conversation(tx), tags=("incident/flood",), entity_id=writer)
    message(tx, conversation(tx), tags=("project/dam",), entity_id=stranger)
    subscribe(tx, subscriber, "incident", "flood")
    subscribe(tx, stranger, "incident", "fire")
    viewer = Viewer(1, "ana", (Grant(Role.READER, "incident", "flood"),), me)
    assert {one.id for one in people.entities(tx, viewer).items} == {me, writer, subscriber}
    assert people.entity(tx, viewer, stranger) is None
    assert people.entity_by_uid(tx, viewer, "uid of stranger") is None
    assert people.contacts(tx, viewer, stranger) == []
    assert {one.pr_pe_id for one in subscriptions.subscriptions(tx, viewer).items} == {subscriber}
    everybody = tx.scalar(select(pe_entity.c.id).where(visible.entities(HUB)).order_by(pe_entity.c.id.desc()))
    assert everybody == stranger


def test_records_with_a_scope(tx):
    for uid, resource in (("flood", "incident"), ("fire", "incident"), ("dam", "project")):
        row = {"uid": uid, "resource": resource, "name": uid, "name_folded": uid}
        tx.execute(insert(resource_record).values(created_at=NOW, changed_at=NOW, **row))
    by_type = Viewer(1, "ana", (Grant(Role.READER, "incident"),))
    by_record = Viewer(1, "ana", (Grant(Role.READER, "incident", "fire"),))
    assert [one.uid for one in resources.records(tx, by_type).items] == ["fire", "flood"]
    assert [one.uid for one in resources.complete(tx, by_record, "f")] == ["fire"]
    assert resources.record(tx, by_record, "flood") is None
    assert [one.name for one in resource_types.types(tx, by_record)] == ["incident"]
    assert not visible.sees_type(by_record, "incident")
    assert visible.sees_type(by_type, "incident")


def test_assignment_ends_with_its_row(desk):
    tx = desk.tx
    one, (_, _, number) = next((k, v) for k, v in desk.made.items() if v[1])
    viewer = Viewer(desk.helper.user_id, "helper")
    assert messages.message(tx, viewer, one)
    tx.execute(update(msg_log).where(msg_log.c.id == one).values(ticket_id=None))
    assert messages.message(tx, viewer, one) is None
    assert tickets.ticket(tx, viewer, number) is not None
