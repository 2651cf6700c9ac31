"""The log, tags, attachments, deliveries, and each person's own read marks."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from msgserver.records import HUB, DeliveryState, Direction
from msgserver.store import audit, messages, tickets
from msgserver.store.edits import Refused
from msgserver.store.schema import msg_attachment, msg_delivery_status, resource_record
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


def test_a_message_comes_back_whole(tx, ana):
    number = conversation(tx)
    made = message(
        tx,
        number,
        sender_name="Bo",
        subject="Water",
        body="long " * 300,
        html="<p>",
        recipients=("sms:+1", "mailto:a@b.org"),
        actionable=True,
        trouble='["odd"]',
        sent_at=NOW - 1,
    )
    one = messages.message(tx, ana, made)
    assert (one.id, one.ticket_id, one.number, one.direction) == (made, number, 1, Direction.IN)
    assert (one.recipients, one.trouble, one.actionable, one.sent_at) == (
        ("sms:+1", "mailto:a@b.org"),
        ("odd",),
        True,
        NOW - 1,
    )
    assert (one.body, one.html, one.unread, one.spam) == ("long " * 300, "<p>", True, False)
    assert messages.message_by_uid(tx, ana, one.uid) == one
    assert messages.numbered(tx, ana, number, 1) == one
    assert messages.numbered(tx, ana, number, 2) is None
    [listed] = messages.log(tx, ana).items
    assert (len(listed.body), listed.html) == (messages.GLIMPSE, "")
    assert messages.log(tx, ana, whole=True).items == (one,)


def test_the_log_is_paged_newest_first(tx, ana):
    made = [message(tx) for _ in range(5)]
    first = messages.log(tx, ana, limit=2)
    second = messages.log(tx, ana, "", first.next, 2)
    third = messages.log(tx, ana, "", second.next, 2)
    assert [one.id for page in (first, second, third) for one in page.items] == made[::-1]
    assert third.next == ""


def test_read_marks_are_each_persons_own(tx, ana, ben):
    number = conversation(tx)
    made = [message(tx, number) for _ in range(3)]
    assert messages.mark_read(tx, ana, made[:2], NOW) == 2
    assert messages.mark_read(tx, ana, made[:2], NOW) == 0
    assert [one.unread for one in tickets.conversation(tx, ana, number)] == [False, False, True]
    assert [one.unread for one in tickets.conversation(tx, ben, number)] == [True, True, True]
    assert messages.mark_unread(tx, ana, made) == 2
    assert messages.mark_unread(tx, ana, made) == 0
    assert tickets.ticket(tx, ana, number).unread == 3
    assert messages.mark_ticket_read(tx, ana, number, NOW) == 3
    assert tickets.ticket(tx, ana, number).unread == 0


def test_what_was_there_before_a_user_is_read_until_marked_otherwise(tx):
    number = conversation(tx)
    old, older = message(tx, number), message(tx, number)
    new = message(tx, number)
    ana = user(tx, "ana", unread_from=older)
    assert [one.unread for one in tickets.conversation(tx, ana, number)] == [False, False, True]
    assert messages.mark_unread(tx, ana, [old]) == 1
    assert messages.mark_unread(tx, ana, [old]) == 0
    assert tickets.ticket(tx, ana, number).unread == 2
    assert messages.mark_read(tx, ana, [old, older, new], NOW) == 2
    assert tickets.ticket(tx, ana, number).unread == 0


def test_spam_ones_own_and_what_went_out_is_never_unread(tx):
    number = conversation(tx)
    ana = user(tx, "ana", entity_id=7)
    message(tx, number, spam=True)
    message(tx, number, direction="out")
    message(tx, number, entity_id=7)
    assert tickets.ticket(tx, ana, number).unread == 0
    assert messages.log(tx, ana, "is:unread").items == ()
    assert [one.entity_id for one in messages.log(tx, ana, "is:read").items] == [7]


def test_tags(tx, ana):
    row = {"uid": "r-1", "resource": "incident", "name": "Big Flood", "created_at": NOW, "changed_at": NOW}
    tx.execute(insert(resource_record).values(**row))
    made = message(tx)
    tag = messages.add_tag(tx, ana, made, "incident", "r-1", NOW)
    assert (tag.name, tag.user_id, tag.why, tag.rule_id) == ("Big Flood", ana.user_id, "by hand: ana", None)
    assert messages.add_tag(tx, ana, made, "incident", "r-1", NOW + 5) == tag
    assert messages.add_tag(tx, ana, made, "incident", "", NOW).name == "Incident"
    assert messages.add_tag(tx, ana, made, "tag", "boat", NOW).name == "boat"
    assert messages.add_tag(tx, ana, made, "theirs", "", NOW).name == "theirs"
    assert [one.record for one in messages.tags(tx, ana, [made])[made]] == ["r-1", "", "boat", ""]
    assert messages.remove_tag(tx, ana, tag.id, NOW)
    assert not messages.remove_tag(tx, ana, tag.id, NOW)
    acts = [entry.act for entry in audit.entries(tx, thing=f"message/{made}").items]
    assert acts == ["untag", *["tag"] * 4]
    with pytest.raises(Refused):
        messages.add_tag(tx, ana, made, "", "", NOW)
    assert messages.add_tag(tx, ana, 999, "incident", "", NOW) is None


def test_attachments(tx, ana):
    made = message(tx)
    for name, content, blob in (("a.txt", b"abc", ""), ("big.bin", None, "f" * 64)):
        row = {"message_id": made, "name": name, "size": 3, "sha256": "0", "content": content, "blob": blob}
        tx.execute(insert(msg_attachment).values(**row))
    small, large = messages.attachments(tx, ana, [made])[made]
    assert (small.name, small.size, small.inline) == ("a.txt", 3, False)
    assert messages.attachment_content(tx, ana, small.id) == messages.Content(small, b"abc", "")
    assert messages.attachment_content(tx, ana, large.id) == messages.Content(large, b"", "f" * 64)
    assert messages.attachment_content(tx, ana, 99) is None


def test_deliveries(tx, ana):
    number = conversation(tx)
    made = message(tx, number, direction="out")
    for place, state in enumerate(["pending", "sent", "failed"]):
        row = {"message_id": made, "ticket_id": number, "address": f"sms:+{place}", "state": state, "entity_id": place}
        connector = "modem1" if place else "modem2"
        tx.execute(insert(msg_delivery_status).values(connector=connector, created_at=NOW, changed_at=NOW, **row))

    def addresses(**narrowed):
        return [one.address for one in messages.deliveries(tx, ana, **narrowed).items]

    assert addresses() == addresses(message_ids=[made]) == addresses(ticket_id=number) == ["sms:+2", "sms:+1", "sms:+0"]
    assert addresses(states=[DeliveryState.FAILED, DeliveryState.PENDING]) == ["sms:+2", "sms:+0"]
    assert addresses(connector="modem2") == addresses(address="sms:+0") == addresses(entity_id=0) == ["sms:+0"]
    assert addresses(message_ids=[]) == addresses(alert_id=3) == []
    first = messages.deliveries(tx, ana, limit=2)
    assert [one.address for one in messages.deliveries(tx, ana, cursor_word=first.next).items] == ["sms:+0"]
    assert messages.delivery(tx, ana, first.items[0].id).state is DeliveryState.FAILED


def test_the_hub_itself_has_no_read_marks(tx):
    made = message(tx, conversation(tx))
    assert messages.mark_read(tx, HUB, [made], NOW) == 0
    assert messages.mark_unread(tx, HUB, [made]) == 0
