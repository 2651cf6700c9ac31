"""Kept counts: whatever is done, they are what counting again gives, and what the lists show."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import select, update

from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.store import counting, fsck, messages, resources, tickets
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
    return {tuple(row) for row in tx.execute(rows.where(counter.c.name.in_(counting.KEPT), counter.c.value != 0))}


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
        of_type = counting.of_types(tx, viewer, ["incident", "project"])
        every = [
            len(messages.log(tx, viewer, f"resource:incident is:{f}", limit=200).items) for f in ("unread", "read")
        ]
        assert of_type == ({"incident": tuple(every)} if any(every) else {})
        search = "water resource:incident/r-1"
        assert counting.of_search(tx, viewer, search) == tuple(
            len(messages.log(tx, viewer, f"{search} is:{flag}", limit=200).items) for flag in ("unread", "read")
        )
    assert list(counting.differences(tx)) == []
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
    assert kept(tx) == {("total", "incident/r-1", 0, 1), ("type total", "incident", 0, 1)}


def test_the_check_of_the_store_counts_again(tx):
    ana = user(tx, "ana")
    messages.mark_read(tx, ana, [arrive(tx, conversation(tx), "r-1", "r-2")], NOW)
    assert fsck.check(tx, NOW) == []
    tx.execute(update(counter).where(counter.c.name.in_(["read", "type total"])).values(value=9))
    said = [line for line in fsck.check(tx, NOW) if line.startswith("I8")]
    assert len(said) == 3
    assert "I8: 9 messages are kept as the type total of incident, counting gives 1" in said


def test_of_a_type_somebody_counts_what_they_may_see(tx):
    user(tx, "ana")
    arrive(tx, conversation(tx), "r-1", "r-2")
    arrive(tx, conversation(tx), "r-2")
    for grants, count in (
        ((Grant(Role.READER, "incident", "r-1"),), {"incident": (1, 0)}),
        ((Grant(Role.READER, "incident"),), {"incident": (2, 0)}),
        ((Grant(Role.READER, "project"),), {}),
    ):
        assert counting.of_types(tx, Viewer(1, "ana", grants), ["incident"]) == count


def test_what_a_search_finds_is_counted_so_far_and_no_further(tx, monkeypatch):
    ana = user(tx, "ana")
    monkeypatch.setattr(counting, "MOST_FOUND", 3)
    thread = conversation(tx)
    for _ in range(5):
        arrive(tx, thread, "r-1")
    assert counting.of_search(tx, ana, "water") == (3, 0)
    assert counting.of_search(tx, ana, "") == (0, 0)


def test_versions_go_up(tx):
    counting.bump(tx, "rules")
    counting.bump(tx, "rules")
    assert tx.scalar(select(counter.c.value).where(counter.c.name == "rules")) == 2
    counting.add(tx, "rules", {})
