"""Pieces of longer messages in the store: found, overdue, taken once, completed."""

from __future__ import annotations

import msgspec

from msgserver.message import Address, Arrival, Part
from msgserver.records import Plan
from msgserver.routing.journalling import journal_row
from msgserver.store import journal, parts
from msgserver.store.recording import record

ANA = Address("sms", "+1")
GROUP = parts.Group("modem1", "sms:+1", "77", 3)


def arrive(tx, place, text, at=5.0, message_id=None, group=GROUP):
    part = Part(group.reference, place, group.total)
    one = Arrival(wire_id=f"{group.reference}/{place}/{text}", sender=ANA, text=text, part=part)
    [accepted] = journal.journal(tx, [journal_row("modem1", one, at)])
    parts.keep(tx, accepted.raw_id, group, place, message_id, at)
    return accepted.raw_id


def plan(raw_id, body, *words):
    return Plan(
        raw_id=raw_id, uid=f"00000000-0000-4000-8000-{raw_id:012d}", connector="modem1", received_at=5.0, sender=ANA,
        body=body, search=" ".join(words), rules_version=0,
    )  # fmt: skip


def test_pieces_of_one_group_are_found_and_of_no_other(database):
    with database() as tx:
        one, two = arrive(tx, 1, "a"), arrive(tx, 2, "b")
        arrive(tx, 1, "c", group=msgspec.structs.replace(GROUP, reference="78"))
        arrive(tx, 1, "d", group=msgspec.structs.replace(GROUP, total=2))
        assert [(piece.raw.id, piece.place) for piece in parts.find(tx, GROUP, 0.0)] == [(one, 1), (two, 2)]
        assert parts.find(tx, msgspec.structs.replace(GROUP, sender="sms:+2"), 0.0) == []


def test_overdue_is_what_got_no_piece_for_long(database):
    with database() as tx:
        arrive(tx, 1, "a", at=100.0)
        arrive(tx, 2, "b", at=200.0)
        assert parts.overdue(tx, 150.0) == []
        assert parts.overdue(tx, 201.0) == [GROUP]
        parts.settle(tx, [piece.raw.id for piece in parts.find(tx, GROUP, 0.0)], 9, 300.0)
        assert parts.overdue(tx, 999.0) == []
        assert parts.find(tx, GROUP, 250.0) == []  # they are too old to matter


def test_a_piece_belongs_to_one_message_only(database):
    with database() as tx:
        one = arrive(tx, 1, "a")
        assert parts.free(tx, [one])
        assert not parts.belongs(tx, one)
        parts.settle(tx, [one], 9, 6.0)
        assert not parts.free(tx, [one])
        assert parts.belongs(tx, one)
        parts.keep(tx, one, GROUP, 1, None, 7.0)  # read once more
    assert database.rows("SELECT outcome, outcome_id FROM msg_raw") == [("part", 9)]
    assert database.rows("SELECT message_id FROM msg_part") == [(9,)]


def test_what_came_late_is_put_into_the_message_and_found_by_search(database):
    with database() as tx:
        raw_id = arrive(tx, 1, "water ")
        before = plan(raw_id, "water [part 2/2 missing]", "water", "missing")
        [done] = record(tx, [before])
        after = msgspec.structs.replace(before, body="water rises", search="water rises")
        assert parts.complete(tx, done.message_id, before, after) == done.ticket_id
    assert database.rows("SELECT body FROM msg_log") == [("water rises",)]
    assert database.rows("SELECT snippet FROM ticket") == [("water rises",)]
    found = {
        "sqlite": "SELECT count(*) FROM msg_search WHERE msg_search MATCH '{}'",
        "postgresql": "SELECT count(*) FROM msg_log WHERE search @@ '{}'::tsquery",
    }[database.url.partition(":")[0].partition("+")[0]]
    assert [database.value(found.format(word)) for word in ("water", "rises", "missing")] == [1, 1, 0]


def test_a_message_that_is_gone_cannot_be_completed(database):
    with database() as tx:
        assert parts.complete(tx, 4711, plan(1, "a"), plan(1, "b")) is None
