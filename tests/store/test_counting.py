"""Kept counts: whatever is done, they are what counting again gives, and what the lists show."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import select, update

from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.store import counting, messages, resources, tickets
from msgserver.store.schema import auth_user, counter, msg_log
from tests.store.desk import NOW, conversation, message, user
from tests.store.people import entity

RECORDS = ("r-1", "r-2", "r-3")


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def kept(tx):
    rows = select(counter.c.name, counter.c.key, counter.c.user_id, counter.c.value)
    return {tuple(row) for row in tx.execute(rows.where(counter.c.name.in_(["total", "read"]), counter.c.value != 0))}


def listed(tx, viewer, record, flag):
    return len(messages.log(tx, viewer, f"resource:incident/{record} is:{flag}", limit=200).items)


def arrive(tx, ticket_id, *records, **values):
    return message(tx, ticket_id, tags=tuple(f"incident/{record}" for record in records), **values)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_counts_are_as_counted_again(tx, seed):
    chance = random.Random(seed)
    own = entity(tx, "Ana", "sms:+1")
    people = [user(tx, "early", entity_id=own)]
    threads = [conversation(tx) for _ in range(4)]
    made = []

    def arrives():
        records = chance.sample(RECORDS, chance.randrange(3))
        values = {"direction": chance.choice(["in", "in", "in", "out"]), "spam": chance.random() < 0.1}
        values |= chance.choice([{}, {"sender": "sms:+1", "entity_id": own}])
        made.append(arrive(tx, chance.choice(threads), *records, **values))

    def joins():
        if len(people) < 4:
            name = f"late{len(people)}"
            people.append(
                user(tx, name, unread_from=tx.scalar(select(msg_log.c.id).order_by(msg_log.c.id.desc())) or 0)
            )

    def tags():
        messages.add_tag(tx, HUB, chance.choice(made), "incident", chance.choice(RECORDS), NOW)

    def untags():
        found = messages.tags(tx, HUB, made)
        if found:
            messages.remove_tag(tx, HUB, chance.choice(chance.choice(list(found.values()))).id, NOW)

    def reads():
        messages.mark_read(tx, chance.choice(people), chance.sample(made, min(len(made), 3)), NOW)

    def unreads():
        messages.mark_unread(tx, chance.choice(people), chance.sample(made, min(len(made), 3)))

    def reads_ticket():
        messages.mark_ticket_read(tx, chance.choice(people), chance.choice(threads), NOW)

    def spams():
        tickets.set_spam(tx, HUB, chance.choice(threads), chance.random() < 0.5, NOW)

    arrives()
    for _ in range(80):
        chance.choice([arrives, arrives, joins, tags, untags, reads, unreads, reads_ticket, spams])()
    before = kept(tx)
    assert before
    for viewer in people:
        counted = resources.message_counts(tx, viewer, "incident", RECORDS)
        for record in RECORDS:
            shown = (listed(tx, viewer, record, "unread"), listed(tx, viewer, record, "read"))
            assert counted.get(record, (0, 0)) == shown
    counting.recount(tx)
    assert kept(tx) == before


def test_a_newcomer_does_not_start_with_everything_unread(tx):
    for _ in range(3):
        arrive(tx, conversation(tx), "r-1")
    newest = tx.scalar(select(msg_log.c.id).order_by(msg_log.c.id.desc()))
    ana = user(tx, "ana", unread_from=newest)
    assert tx.scalar(select(auth_user.c.unread_from)) == newest
    arrive(tx, conversation(tx), "r-1")
    assert resources.message_counts(tx, ana, "incident", ["r-1"]) == {"r-1": (1, 3)}


def test_records_outside_a_scope_are_not_counted(tx):
    user(tx, "ana")
    arrive(tx, conversation(tx), "r-1", "r-2")
    arrive(tx, conversation(tx), "r-2")
    scoped = Viewer(1, "ana", (Grant(Role.READER, "incident", "r-1"),))
    assert resources.message_counts(tx, scoped, "incident", RECORDS) == {"r-1": (1, 0)}
    assert resources.message_counts(tx, Viewer(1, "ana"), "incident", RECORDS) == {}


def test_counting_again_mends(tx):
    arrive(tx, conversation(tx), "r-1")
    tx.execute(update(counter).values(value=99))
    counting.recount(tx)
    assert kept(tx) == {("total", "incident/r-1", 0, 1)}


def test_versions_go_up(tx):
    counting.bump(tx, "rules")
    counting.bump(tx, "rules")
    assert tx.scalar(select(counter.c.value).where(counter.c.name == "rules")) == 2
    counting.add(tx, "rules", {})
