"""Tickets merged, split, and messages moved between them."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from msgserver.records import HUB, Grant, Priority, Role
from msgserver.store import audit, messages, regroup, tickets
from msgserver.store.edits import Refused, Stale
from msgserver.store.schema import msg_delivery_status, ticket
from tests.store.desk import NOW, conversation, message, user


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


@pytest.fixture
def ana(tx):
    return user(tx, "ana")


def bodies(tx, number):
    return [(one.number, one.body) for one in tickets.conversation(tx, HUB, number)]


def thread(tx, *texts, **values):
    number = conversation(tx, **values)
    return number, [message(tx, number, body=text, received_at=NOW + place) for place, text in enumerate(texts)]


def test_merge(tx, ana):
    bo = user(tx, "bo")
    source, moved = thread(tx, "a", "b", priority=3, assignees=(ana, bo), actioned_at=NOW)
    target, _ = thread(tx, "c", assignees=(bo,))
    older = conversation(tx, merged_into=source)
    row = {"message_id": moved[0], "ticket_id": source, "address": "sms:+1", "created_at": NOW, "changed_at": NOW}
    tx.execute(insert(msg_delivery_status).values(**row))
    tickets.add_note(tx, ana, source, "a note", NOW)
    merged = regroup.merge(tx, ana, source, target, NOW, 1)
    assert bodies(tx, target) == [(1, "c"), (2, "a"), (3, "b")]
    assert (merged.id, merged.messages, merged.last_message_id, merged.snippet) == (target, 3, max(moved) + 1, "c")
    assert (merged.priority, merged.actioned_at, merged.version) == (Priority.URGENT, None, 2)
    assert [name for _, name in merged.assignees] == ["ana", "bo"]
    for number in (source, older):
        assert tickets.ticket(tx, ana, number).id == target
    assert [one.body for one in tickets.notes(tx, ana, target)] == ["a note"]
    assert len(messages.deliveries(tx, ana, ticket_id=target).items) == 1
    assert [one.id for one in tickets.inbox(tx, ana, "all").items] == [target]
    assert [entry.act for entry in audit.entries(tx, thing=f"ticket/{target}").items] == ["merge"]
    with pytest.raises(Refused):
        regroup.merge(tx, ana, source, target, NOW)


def test_two_that_are_done_stay_done(tx, ana):
    source, target = conversation(tx, actioned_at=NOW), conversation(tx, actioned_at=NOW)
    assert regroup.merge(tx, ana, source, target, NOW).actioned_at == NOW


def test_a_stale_merge_moves_nothing(tx, ana):
    source, _ = thread(tx, "a")
    target, _ = thread(tx, "b")
    tickets.set_priority(tx, ana, source, Priority.HIGH, NOW)
    with pytest.raises(Stale):
        regroup.merge(tx, ana, source, target, NOW, 1)
    assert bodies(tx, source) == [(1, "a")]


def test_split(tx, ana):
    source, made = thread(tx, "a", "b", "c", subject="Old", assignees=(ana,), priority=2)
    part = regroup.split(tx, ana, source, made[1:], "new uid", NOW)
    assert bodies(tx, source) == [(1, "a")]
    assert bodies(tx, part.id) == [(1, "b"), (2, "c")]
    assert (part.uid, part.subject, part.address, part.priority) == ("new uid", "b", "sms:+15550001", Priority.HIGH)
    assert (part.messages, part.last_at, part.assignees) == (2, NOW + 2, ((ana.user_id, "ana"),))
    left = tickets.ticket(tx, ana, source)
    assert (left.messages, left.snippet, left.last_at, left.version) == (1, "a", NOW, 2)
    for ids in (made[:1], made[1:], []):
        with pytest.raises(Refused):
            regroup.split(tx, ana, source, ids, "x", NOW)


def test_move(tx, ana):
    source, made = thread(tx, "a", "b")
    target, there = thread(tx, "c", "d")
    assert regroup.move(tx, ana, source, made[:1], target, NOW).messages == 3
    assert bodies(tx, source) == [(2, "b")]
    assert bodies(tx, target) == [(1, "c"), (2, "d"), (3, "a")]
    message(tx, source, body="e", number=1 + tx.scalar(select(ticket.c.messages).where(ticket.c.id == source)))
    assert bodies(tx, source) == [(2, "b"), (3, "e")]
    for ids, into in ((there, target), (made[:1], target), (made[1:], source)):
        with pytest.raises(Refused):
            regroup.move(tx, ana, source, ids, into, NOW)


def test_only_what_is_seen_is_moved(tx, ana):
    reader = user(tx, "reader", Grant(Role.RESPONDER, "incident"))
    number, target = conversation(tx), conversation(tx)
    message(tx, target)
    seen = message(tx, number, tags=("incident/a",))
    hidden = message(tx, number, tags=("project/b",))
    with pytest.raises(Refused):
        regroup.merge(tx, reader, number, target, NOW)
    with pytest.raises(Refused):
        regroup.move(tx, reader, number, [hidden], target, NOW)
    assert regroup.move(tx, reader, number, [seen, hidden], target, NOW).messages == 2
    assert messages.message(tx, HUB, hidden).ticket_id == number
    assert regroup.merge(tx, user(tx, "none", Grant(Role.READER, "x")), number, target, NOW) is None
