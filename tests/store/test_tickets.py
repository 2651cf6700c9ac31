"""The inbox's views, their order and pages, and the edits on tickets."""

from __future__ import annotations

import pytest

from msgserver.records import Grant, Priority, Role
from msgserver.store import audit, messages, tickets
from msgserver.store.edits import Refused, Stale
from tests.store.desk import NOW, conversation, message, user


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


@pytest.fixture
def ana(tx):
    return user(tx, "ana")


@pytest.fixture
def ben(tx):
    return user(tx, "ben")


def ids(page):
    return [one.id for one in page.items]


def inbox(tx, viewer, view="todo", **options):
    return ids(tickets.inbox(tx, viewer, view, now=NOW + 100, **options))


def test_views(tx, ana, ben):
    nobodys = conversation(tx, last_at=NOW + 1)
    mine = conversation(tx, last_at=NOW + 2, assignees=(ana, ben))
    bens = conversation(tx, last_at=NOW + 3, assignees=(ben,))
    done = conversation(tx, last_at=NOW + 4, actioned_at=NOW, actioned_by=ana.user_id)
    spam = conversation(tx, last_at=NOW + 5, spam=True)
    asleep = conversation(tx, last_at=NOW + 6, snoozed_until=NOW + 1000)
    awake = conversation(tx, last_at=NOW + 7, snoozed_until=NOW + 50)
    conversation(tx, last_at=NOW + 8, merged_into=mine)
    assert inbox(tx, ana) == [nobodys, mine, awake]
    assert inbox(tx, ana, "mine") == [mine]
    assert inbox(tx, ana, "unassigned") == [nobodys, awake]
    assert inbox(tx, ana, "all") == [awake, asleep, done, bens, mine, nobodys]
    assert inbox(tx, ana, "done") == [done]
    assert inbox(tx, ana, "spam") == [spam]
    assert inbox(tx, ana, "nonsense") == inbox(tx, ana)
    assert tickets.counts(tx, ana, now=NOW + 100) == {
        "todo": 3,
        "mine": 1,
        "unassigned": 2,
        "spam": 1,
        "unread": 0,
    }


def test_the_databases_own_clock_wakes_tickets(tx, ana):
    awake = conversation(tx, snoozed_until=NOW)
    conversation(tx, snoozed_until=4e9)
    assert ids(tickets.inbox(tx, ana)) == [awake]


def test_order_is_unread_then_priority_then_age(tx, ana):
    read_old = conversation(tx)
    message(tx, read_old, received_at=NOW)
    read_urgent = conversation(tx, priority=3)
    message(tx, read_urgent, received_at=NOW + 9)
    messages.mark_read(tx, ana, range(1, 100), NOW)
    new_late, new_early, new_high = (conversation(tx, priority=p) for p in (1, 1, 2))
    message(tx, new_late, received_at=NOW + 5)
    message(tx, new_early, received_at=NOW + 4)
    message(tx, new_high, received_at=NOW + 6)
    expected = [new_high, new_early, new_late, read_urgent, read_old]
    assert inbox(tx, ana) == expected
    for limit in (1, 2, 3, 4):
        walked, word = [], ""
        while True:
            page = tickets.inbox(tx, ana, "todo", "", word, limit, now=NOW)
            walked += ids(page)
            word = page.next
            if not word:
                break
        assert walked == expected


@pytest.mark.parametrize("view", ["todo", "all"])
def test_pages_of_equal_times(tx, ana, view):
    made = [conversation(tx) for _ in range(7)]
    first = tickets.inbox(tx, ana, view, limit=3, now=NOW)
    second = tickets.inbox(tx, ana, view, "", first.next, 3, now=NOW)
    third = tickets.inbox(tx, ana, view, "", second.next, 3, now=NOW)
    assert sorted(ids(first) + ids(second) + ids(third)) == made
    assert third.next == ""


@pytest.mark.parametrize("word", ["x", "W10", "bnVsbA", "!!!", "é", "W10x" * 400, "WzEsMiwzXQ"])
def test_a_wrong_cursor_is_the_first_page(tx, ana, word):
    one = conversation(tx)
    assert inbox(tx, ana, cursor_word=word) == [one]
    assert inbox(tx, ana, "all", cursor_word=word) == [one]


def test_a_row_says_everything(tx, ana, ben):
    number = conversation(tx, assignees=(ben,), address="sms:+15550001", connector="modem1", priority=2)
    message(tx, number, tags=("incident/flood", "incident/flood-2"))
    message(tx, number, tags=("incident/flood",), body="again")
    message(tx, number, direction="out", author_id=ben.user_id, body="we come")
    [row] = tickets.inbox(tx, ana, "all").items
    assert (row.unread, row.messages, row.priority, row.snippet) == (2, 3, Priority.HIGH, "we come")
    assert row.assignees == ((ben.user_id, "ben"),)
    assert row.tags == (("incident", "flood", "flood"), ("incident", "flood-2", "flood-2"))
    assert tickets.ticket(tx, ana, number) == row


def test_few_statements_however_many_rows(tx, ana):
    from sqlalchemy import event

    for number in range(40):
        message(tx, conversation(tx, assignees=(ana,)), tags=(f"incident/{number}",))
    sent = []
    event.listen(tx, "before_cursor_execute", lambda *args: sent.append(args[2]))
    assert len(tickets.inbox(tx, ana, limit=40).items) == 40
    assert len(sent) <= 3


def test_query_keeps_tickets_with_an_answering_message(tx, ana):
    flood, fire = conversation(tx), conversation(tx)
    message(tx, flood, body="the bridge is flooded")
    message(tx, flood, body="thanks")
    message(tx, fire, body="smoke")
    assert inbox(tx, ana, query="flooded") == [flood]
    assert inbox(tx, ana, "all", query="flooded OR smoke") == [fire, flood]
    page = tickets.inbox(tx, ana, "todo", "colour:red smoke")
    assert ids(page) == [fire]
    assert page.ignored == ("colour:red",)


def test_conversation_is_the_newest_part_in_order(tx, ana):
    number = conversation(tx)
    made = [message(tx, number, body=f"{n}", html=f"<p>{n}") for n in range(5)]
    assert [m.id for m in tickets.conversation(tx, ana, number)] == made
    assert [m.number for m in tickets.conversation(tx, ana, number, limit=2)] == [4, 5]
    assert [m.html for m in tickets.conversation(tx, ana, number, before=4, limit=2)] == ["<p>1", "<p>2"]


def test_edits_count_the_version_and_are_audited(tx, ana, ben):
    number = conversation(tx)
    steps = [
        tickets.assign(tx, ana, number, [ana.user_id, ben.user_id], NOW, 1),
        tickets.set_priority(tx, ana, number, Priority.URGENT, NOW, 2),
        tickets.set_subject(tx, ana, number, "  New\nwords ", NOW, 3),
        tickets.snooze(tx, ana, number, NOW + 5, NOW, 4),
        tickets.set_actioned(tx, ana, number, True, NOW, 5),
    ]
    assert [one.version for one in steps] == [2, 3, 4, 5, 6]
    last = steps[-1]
    assert last.assignees == ((ana.user_id, "ana"), (ben.user_id, "ben"))
    assert (last.priority, last.subject, last.actioned_at, last.actioned_by, last.snoozed_until) == (
        Priority.URGENT,
        "New words",
        NOW,
        ana.user_id,
        None,
    )
    again = tickets.set_actioned(tx, ana, number, False, NOW)
    assert (again.actioned_at, again.actioned_by) == (None, None)
    assert tickets.assign(tx, ben, number, [ben.user_id], NOW).assignees == ((ben.user_id, "ben"),)
    acts = [entry.act for entry in audit.entries(tx, thing=f"ticket/{number}").items]
    assert acts == ["assign", "to do", "done", "snooze", "subject", "priority", "assign"]


def test_a_stale_edit_writes_nothing(tx, ana):
    number = conversation(tx)
    tickets.set_priority(tx, ana, number, Priority.HIGH, NOW)
    with pytest.raises(Stale) as stale:
        tickets.set_priority(tx, ana, number, Priority.LOW, NOW, 1)
    assert stale.value.current.version == 2
    with pytest.raises(Stale):
        tickets.assign(tx, ana, number, [ana.user_id], NOW, 1)
    now_is = tickets.ticket(tx, ana, number)
    assert (now_is.priority, now_is.assignees, now_is.version) == (Priority.HIGH, (), 2)


def test_assigning_to_nobody_who_exists_is_refused(tx, ana):
    number = conversation(tx)
    with pytest.raises(Refused):
        tickets.assign(tx, ana, number, [ana.user_id, 999], NOW)
    assert tickets.ticket(tx, ana, number).version == 1


def test_spam_takes_its_messages_along(tx, ana):
    number = conversation(tx)
    inbound, outbound = message(tx, number), message(tx, number, direction="out")
    assert tickets.set_spam(tx, ana, number, True, NOW).unread == 0
    assert [messages.message(tx, ana, one).spam for one in (inbound, outbound)] == [True, False]
    assert tickets.set_spam(tx, ana, number, False, NOW).unread == 1


def test_notes(tx, ana, ben):
    number = conversation(tx)
    with pytest.raises(Refused):
        tickets.add_note(tx, ana, number, "  \n", NOW)
    note = tickets.add_note(tx, ana, number, "call back", NOW)
    assert tickets.notes(tx, ben, number) == [note]
    assert (note.author, tickets.ticket(tx, ana, number).version) == ("ana", 1)


def test_what_cannot_be_seen_is_none(tx, ana):
    stranger = user(tx, "stranger", Grant(Role.READER, "project"))
    number = conversation(tx)
    message(tx, number, tags=("incident/flood",))
    assert tickets.ticket(tx, stranger, number) is None
    assert tickets.ticket(tx, stranger, 10**6) is None
    assert tickets.conversation(tx, stranger, number) == []
    assert tickets.notes(tx, stranger, number) == []
    assert tickets.set_actioned(tx, stranger, number, True, NOW) is None
    assert tickets.assign(tx, stranger, number, [], NOW) is None
    assert tickets.add_note(tx, stranger, number, "hello", NOW) is None
    assert inbox(tx, stranger, "all") == []
    assert tickets.counts(tx, stranger)["todo"] == 0


def test_a_scope_shows_nothing_of_messages_outside_it(tx):
    reader = user(tx, "reader", Grant(Role.READER, "incident"))
    number = conversation(tx, subject="secret subject")
    seen = message(tx, number, tags=("incident/flood",), subject="flood", body="water here", received_at=NOW + 1)
    message(tx, number, tags=("project/x",), subject="secret", body="secret words", received_at=NOW + 2)
    [row] = tickets.inbox(tx, reader, "all").items
    assert (row.messages, row.unread, row.last_message_id, row.last_at) == (1, 1, seen, NOW + 1)
    assert (row.subject, row.snippet) == ("flood", "water here")
    assert row.tags == (("incident", "flood", "flood"),)
    assert [m.id for m in tickets.conversation(tx, reader, number)] == [seen]
    assert inbox(tx, reader, "all", query="secret") == []


def test_a_merged_ticket_is_found_as_the_one_it_went_into(tx, ana):
    into = conversation(tx)
    gone = conversation(tx, merged_into=into)
    assert tickets.ticket(tx, ana, gone).id == into
