from __future__ import annotations

import hashlib

import pytest

from msgserver.message import Attachment
from msgserver.records import HUB, DeliveryState, Settlement
from msgserver.store import deliveries, messages, tickets
from msgserver.store.fsck import check
from msgserver.store.recording import record
from tests.store.people import NOW, connector, entity, plan, subscribe


@pytest.fixture
def whole(database):
    """A store with one of everything, and nothing wrong."""
    with database() as tx:
        connector(tx, "modem1", "sms")
        subscribe(tx, entity(tx, "Ana", "sms:+7"), "incident")
        large = Attachment("b", "x/y", b"x" * 300_000)
        record(tx, [plan(tx, "sms:+1", tags=("incident/a",), attachments=(large,)), plan(tx, "sms:+1")])
        [one] = deliveries.claim(tx, "modem1", "n", 5, NOW)
        deliveries.settle(
            tx,
            [Settlement(delivery_id=one.id, attempt=1, state=DeliveryState.DELIVERED, wire_ids=("w",), at=NOW)],
        )
        tx.exec_driver_sql(f"UPDATE msg_raw SET sha256 = '{hashed(b'raw')}'")
    with database() as tx:
        assert check(tx, NOW + 5) == []
    return database


def hashed(content):

    return hashlib.sha256(content).hexdigest()


DAMAGES = {
    "became nothing": "UPDATE msg_raw SET outcome = '' WHERE id = 1",
    "should be message 77": "UPDATE msg_raw SET outcome_id = 77 WHERE id = 1",
    "says it came as arrival": "UPDATE msg_log SET raw_id = 99 WHERE id = 2",
    "neither read nor set aside": "UPDATE msg_raw SET state = 'received' WHERE id = 1",
    "without a reason": "UPDATE msg_raw SET state = 'unreadable' WHERE id = 1",
    "the bytes of arrival 1": "UPDATE msg_raw SET sha256 = 'no' WHERE id = 1",
    "Ana subscribed to incident a": (
        "DELETE FROM msg_delivery_part; DELETE FROM msg_delivery_event; DELETE FROM msg_delivery_status"
    ),
    "had ended as delivered": (
        "INSERT INTO msg_delivery_event (delivery_id, at, attempt, state) VALUES (1, 9, 1, 'pending')"
    ),
    "stands as sent": "UPDATE msg_delivery_status SET state = 'sent'",
    "nobody takes it up": "UPDATE msg_delivery_status SET state = 'claimed', next_attempt = 5",
    "will never be tried": "UPDATE msg_delivery_status SET state = 'pending', next_attempt = NULL",
    "was sent in attempt 1 and again in attempt 2": (
        "INSERT INTO msg_delivery_part (delivery_id, part, connector, wire_id, attempt, at)"
        " VALUES (1, 1, 'modem1', 'x', 2, 9)"
    ),
    "2 messages with the number 1": "UPDATE msg_log SET number = 1",
    "which is not there": "UPDATE msg_log SET ticket_id = 55 WHERE id = 2",
    "5 messages are kept as the total of incident/a, counting gives 1": "UPDATE counter SET value = 5",
    "0 messages are kept as the total of incident/a, counting gives 1": "DELETE FROM counter",
}


@pytest.mark.parametrize("words", DAMAGES)
def test_each_damage_is_found(whole, words):
    with whole() as tx:
        for statement in DAMAGES[words].split("; "):
            tx.exec_driver_sql(statement)
        found = check(tx, NOW + 3600)
    assert any(words in sentence for sentence in found), found


def test_lost_and_left_files_are_found(whole, tmp_path):
    [path] = (tmp_path / "blobs").glob("??/*")
    stray = path.parent / ("0" * 64)
    path.rename(stray)
    with whole() as tx:
        found = check(tx, stray.stat().st_mtime + 25 * 3600)
    assert any(f"the file {path.name} of attachment 1 is missing" in one for one in found)
    assert any(f"{stray.name} belongs to nothing" in one for one in found)


def test_many_of_a_kind_are_counted(whole):
    with whole() as tx:
        record(tx, [plan(tx, f"sms:+{n}") for n in range(100, 130)])
        found = check(tx, NOW + 5)
    assert len(found) == 21
    assert found[-1] == "I1: and 10 more of this kind"


def test_tags_by_hand_and_spam_keep_the_counts(whole):
    with whole() as tx:
        [[first]] = tx.exec_driver_sql("SELECT min(id) FROM msg_log")
        messages.add_tag(tx, HUB, first, "project", "p", NOW)
        tag = messages.add_tag(tx, HUB, first, "project", "q", NOW)
        messages.remove_tag(tx, HUB, tag.id, NOW)
        assert check(tx, NOW + 5) == []
        for spam in (True, True, False):
            tickets.set_spam(tx, HUB, 1, spam, NOW)
            assert check(tx, NOW + 5) == []
        rows = tx.exec_driver_sql("SELECT key, value FROM counter WHERE name = 'total' ORDER BY key").all()
    assert [tuple(row) for row in rows] == [("incident/a", 1), ("project/p", 1), ("project/q", 0)]
