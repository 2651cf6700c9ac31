from __future__ import annotations

import hashlib

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from msgserver.message import Address, Arrival
from msgserver.records import HUB, JournalRow, Outcome
from msgserver.store import journal
from msgserver.store.schema import connector_state, msg_raw, msg_raw_bytes


def row(wire_id: str, raw: bytes = b"raw \0\xff bytes", **changes) -> JournalRow:
    envelope = msgspec.json.encode(
        Arrival(wire_id=wire_id, sender=Address("sms", "+1"), text="hi \0 there \u00e9", part=changes.pop("part", None))
    )
    return JournalRow(
        connector=changes.pop("connector", "modem1"),
        wire_id=wire_id,
        envelope=envelope,
        raw=raw,
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        received_at=1000.5,
        **changes,
    )


def test_what_is_journalled_is_read_back_word_for_word(database):
    with database() as tx:
        accepted = journal.journal(tx, [row("a"), row("b", b"")])
    assert [one.duplicate for one in accepted] == [False, False]
    with database() as tx:
        first, second = journal.unread(tx, 0, 10)
        assert journal.backlog(tx) == 2
        assert journal.raw(tx, HUB, accepted[0].raw_id) == first
        assert journal.unread(tx, first.id, 10) == [second]
    assert (first.id, first.wire_id, first.raw, first.received_at) == (
        accepted[0].raw_id,
        "a",
        b"raw \0\xff bytes",
        1000.5,
    )
    assert msgspec.json.decode(first.envelope, type=Arrival).text == "hi \0 there \u00e9"


def test_the_same_wire_id_is_one_row_within_a_group_and_across(database):
    with database() as tx:
        a, again, other = journal.journal(tx, [row("a"), row("a"), row("a", connector="modem2")])
    assert not a.duplicate
    assert (again.raw_id, again.duplicate) == (a.raw_id, True)
    assert not other.duplicate
    with database() as tx:
        fresh, late = journal.journal(tx, [row("z"), row("a")])
    assert (late.raw_id, late.duplicate) == (a.raw_id, True)
    assert fresh.raw_id > other.raw_id
    assert database.value("SELECT count(*) FROM msg_raw") == 3


def test_in_whatever_groups_repeats_come_each_is_taken_once(database):
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.nested_given, HealthCheck.too_slow])
    @given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=40), min_size=1, max_size=6))
    def taken_once(groups):
        known: dict[int, int] = {}
        with database() as tx:
            tx.execute(msg_raw_bytes.delete())
            tx.execute(msg_raw.delete())
            for group in groups:
                for name, one in zip(group, journal.journal(tx, [row(f"{n}", b"%d" % n) for n in group]), strict=True):
                    assert one.duplicate == (name in known)
                    assert known.setdefault(name, one.raw_id) == one.raw_id
            assert {one.id: one.raw for one in journal.unread(tx, 0, 100)} == {
                raw_id: b"%d" % name for name, raw_id in known.items()
            }

    taken_once()


def test_the_cursor_commits_with_its_arrival_and_the_last_one_holds(database):
    with database() as tx:
        journal.journal(tx, [row("a", cursor=("uid", b"1")), row("b", cursor=("uid", b"2\xff"))])
    with database() as tx:
        journal.journal(tx, [row("c", cursor=("uid", b"3\x00"))])
        assert tx.execute(select(connector_state.c.value)).scalars().all() == [b"3\x00"]


def test_ids_are_never_given_twice(database):
    with database() as tx:
        taken = [journal.journal(tx, [row(f"{n}")])[0].raw_id for n in range(3)]
        tx.execute(msg_raw.delete())
    with database() as tx:
        assert journal.journal(tx, [row("x")])[0].raw_id > max(taken)


def test_what_cannot_be_read_is_set_aside_once(database):
    with database() as tx:
        [one, two] = journal.journal(tx, [row("a"), row("b")])
        journal.mark(tx, two.raw_id, Outcome.FORM, 7, 5.0)
        journal.mark_unreadable(tx, [(one.raw_id, "no such charset", 9.0), (two.raw_id, "too late", 9.0)])
        assert journal.unread(tx, 0, 10) == []
    assert database.rows("SELECT state, reason, outcome, outcome_id FROM msg_raw ORDER BY id") == [
        ("unreadable", "no such charset", "", None),
        ("read", "", "form", 7),
    ]
