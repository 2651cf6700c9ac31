from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import text

from msgserver.message import Attachment
from msgserver.records import HUB, DeliveryState, Priority, ReportRow, Settlement
from msgserver.store import connectors, deliveries
from msgserver.store.claiming import quiet_until
from msgserver.store.edits import Refused
from msgserver.store.recording import record
from tests.store.people import NOW, connector, entity, plan

HOUR = 3600.0


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


@pytest.fixture
def copies(tx):
    """Make deliveries: ``copies(n)`` gives n pending ones by modem1; returns their ids."""
    connector(tx, "modem1", "sms")
    connector(tx, "mail", "mailto")
    people = [entity(tx, f"P{n}", f"sms:+100{n}") for n in range(4)]

    def make(count=1, **values):
        record(tx, [plan(tx, "sms:+1", routes=tuple(people[:count]), **values)])
        rows = tx.execute(text("SELECT id FROM msg_delivery_status ORDER BY id DESC LIMIT :n"), {"n": count})
        return sorted(rows.scalars())

    return make


def claim(tx, limit=10, now=NOW, connector="modem1", node="n1"):
    return deliveries.claim(tx, connector, node, limit, now)


def settled(claimed, state, at=NOW + 1, **values):
    return Settlement(delivery_id=claimed.id, attempt=claimed.attempt, state=DeliveryState(state), at=at, **values)


def told(state, at=NOW + 2, **values):
    return ReportRow(connector=values.pop("connector", "modem1"), state=DeliveryState(state), at=at, **values)


def states(tx, column="state"):
    return list(tx.execute(text(f"SELECT {column} FROM msg_delivery_status ORDER BY id")).scalars())


def events(tx):
    return list(tx.execute(text("SELECT state FROM msg_delivery_event ORDER BY id")).scalars())


def test_the_copies_of_a_message_share_its_words_whichever_comes_first(tx, copies):
    first = copies(3, subject="Flood", body="water", html="<b>x</b>")
    copies(2, subject="Wind", body="storm")
    suppressed = tx.execute(text("SELECT address FROM msg_delivery_status WHERE id = :id"), {"id": first[0]}).scalar()
    tx.execute(text("INSERT INTO suppression (address, at) VALUES (:a, 1.0)"), {"a": suppressed})
    tx.execute(
        text("UPDATE msg_delivery_status SET next_attempt = :at WHERE id = :id"), {"at": NOW - 1, "id": first[2]}
    )
    claims = claim(tx)
    words = [(one.id, one.subject, one.body, one.html) for one in claims if one.id in first]
    assert words == [(first[2], "Flood", "water", "<b>x</b>"), (first[1], "Flood", "water", "<b>x</b>")]
    assert claims[0].body is claims[1].body
    assert [one.body for one in claims if one.id not in first] == ["storm"]


def test_a_claim_takes_fewer_of_what_is_large_and_one_in_any_case(tx, copies):
    copies(4, attachments=(Attachment("a.pdf", "application/pdf", bytes(6_000_000)),))
    copies(1, attachments=(Attachment("b.pdf", "application/pdf", bytes(20_000_000)),))
    assert [len(claim(tx)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_claim_carries_all_that_rendering_needs(tx, copies):
    tx.execute(text("UPDATE pe_entity SET name = 'Ana' WHERE name = 'P0'"))
    first = record(tx, [plan(tx, "sms:+1", wire_message_id="w1@x")])[0]
    copies(
        1,
        subject="Flood",
        body='water \u00e9 "quoted"',
        html="<b>x</b>",
        sender_name="Bo",
        attachments=(Attachment("a.bin", "image/png", b"\0\xff", "c1", True), Attachment("b", "x/y", b"z" * 300_000)),
        priority=Priority.HIGH,
    )
    [one] = claim(tx)
    assert (one.attempt, one.address, one.to_name, one.connector, one.priority) == (1, "sms:+1000", "Ana", "modem1", 2)
    assert (one.copy, one.why, one.ticket_id, one.number) == (True, "forwarded to you", first.ticket_id, 2)
    assert (one.subject, one.body, one.html) == ("Flood", 'water \u00e9 "quoted"', "<b>x</b>")
    assert (one.sender, one.sender_name, one.source, one.author) == ("sms:+1", "Bo", "modem1", "")
    assert one.attachments[0] == Attachment("a.bin", "image/png", b"\0\xff", "c1", True)
    assert one.attachments[1].content == b"z" * 300_000
    assert one.received_at == NOW
    assert states(tx) == ["claimed"]
    assert states(tx, "node") == ["n1"]
    assert states(tx, "next_attempt")[0] > NOW


def test_mail_carries_its_conversation_with_the_answered_last(tx, copies):
    ana = entity(tx, "Ana", "mailto:ana@x.org")
    hints = {"window": 72 * HOUR}
    record(tx, [plan(tx, wire_message_id="w1@x", hints=hints), plan(tx, wire_message_id="w2@x", hints=hints)])
    record(tx, [plan(tx, wire_message_id="w3@x", hints=hints, routes=(ana,))])
    [third] = claim(tx, connector="mail")
    assert third.references == ("w1@x", "w2@x")
    deliveries.settle(tx, [settled(third, "sent", wire_ids=("d1@hub",))])
    record(tx, [plan(tx, wire_message_id="w4@x", in_reply_to="w1@x", hints=hints, routes=(ana,))])
    [fourth] = claim(tx, connector="mail")
    assert fourth.references == ("w2@x", "w3@x", "d1@hub", "w1@x") or fourth.references == (
        "w2@x",
        "d1@hub",
        "w3@x",
        "w1@x",
    )


def test_claims_are_limited_urgent_first_and_never_given_twice(tx, copies):
    normal, urgent = copies(2), copies(2, priority=Priority.URGENT)
    first, second, third = claim(tx, 3), claim(tx, 3), claim(tx, 3)
    assert [one.id for one in first] == [*urgent, normal[0]]
    assert [one.id for one in second] == [normal[1]]
    assert third == []


def test_what_is_not_due_paused_expired_or_stopped_is_not_claimed(tx, copies):
    a, b, _stopped, d = copies(4)
    tx.execute(text(f"UPDATE msg_delivery_status SET next_attempt = {NOW + 10} WHERE id = {a}"))
    tx.execute(text(f"UPDATE msg_delivery_status SET expires = {NOW - 1} WHERE id = {b}"))
    tx.execute(text("INSERT INTO suppression (address, why, at) VALUES ('sms:+1002', 'STOP', 1)"))
    assert deliveries.due(tx, "modem1", NOW) == NOW
    assert [one.id for one in claim(tx)] == [d]
    assert states(tx) == ["pending", "expired", "suppressed", "claimed"]
    assert deliveries.due(tx, "modem1", NOW) == NOW + 10
    tx.execute(text("UPDATE connector_status SET paused = true WHERE name = 'modem1'"))
    assert claim(tx, now=NOW + 11) == []
    tx.execute(text("UPDATE connector_status SET paused = false WHERE name = 'modem1'"))
    assert [one.id for one in claim(tx, now=NOW + 11)] == [a]
    assert deliveries.due(tx, "modem1", NOW) is None


def test_quiet_hours_wait_but_not_for_what_is_urgent(tx, copies):
    tx.execute(text("UPDATE pe_entity SET quiet_from = 22 * 60, quiet_until = 7 * 60, timezone = 'Europe/Paris'"))
    [normal], [urgent] = copies(1), copies(1, priority=Priority.URGENT)
    night = 1_767_225_600.0  # 2026-01-01 01:00 in Paris
    morning = night + 6 * HOUR
    tx.execute(text("UPDATE msg_delivery_status SET expires = NULL"))
    assert [one.id for one in claim(tx, now=night)] == [urgent]
    assert states(tx) == ["pending", "claimed"]
    assert states(tx, "not_before")[0] == morning
    assert claim(tx, now=morning - 1) == []
    assert [one.id for one in claim(tx, now=morning)] == [normal]


@pytest.mark.parametrize(
    ("hour", "start", "end", "expected"),
    [
        (12, 13 * 60, 14 * 60, None),
        (13, 13 * 60, 14 * 60, 14),
        (14, 13 * 60, 14 * 60, None),
        (23, 22 * 60, 6 * 60, 30),
        (5, 22 * 60, 6 * 60, 6),
        (6, 22 * 60, 6 * 60, None),
        (5, 300, 300, None),
    ],
)
def test_quiet_until(hour, start, end, expected):
    midnight = 1_767_225_600.0
    assert quiet_until(midnight + hour * HOUR, start, end, "no/such") == (
        None if expected is None else midnight + expected * HOUR
    )


def test_a_settlement_counts_only_for_its_own_attempt(tx, copies):
    copies(1)
    [one] = claim(tx)
    assert deliveries.settle(tx, [settled(one, "pending", next_attempt=NOW + 5, reason="busy")]) == [True]
    [two] = claim(tx, now=NOW + 5)
    assert two.attempt == 2
    assert deliveries.settle(tx, [settled(one, "delivered"), settled(two, "sent"), settled(two, "failed")]) == [
        False,
        True,
        False,
    ]
    assert states(tx) == ["sent"]
    assert events(tx) == ["pending", "sent"]


def test_not_connected_uses_up_no_attempt(tx, copies):
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "pending", next_attempt=NOW, uses_attempt=False)])
    [again] = claim(tx)
    assert again.attempt == 1


def test_a_late_settlement_never_moves_a_state_back(tx, copies):
    copies(1)
    [one] = claim(tx)
    ref = f"d{one.id}.{one.message_uid[-12:]}"
    assert deliveries.report(tx, [told("delivered", ref=ref)]) == [True]
    assert deliveries.settle(tx, [settled(one, "unknown", wire_ids=("5",))]) == [True]
    assert states(tx) == ["delivered"]
    assert deliveries.report(tx, [told("failed", wire_id="5")]) == [True]
    assert states(tx) == ["delivered"]


@pytest.mark.parametrize("order", list(permutations(["1", "2", "3"])))
def test_a_long_text_is_delivered_when_all_its_parts_are(tx, copies, order):
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "sent", wire_ids=("1", "2", "3"))])
    for wire_id in order[:2]:
        assert deliveries.report(tx, [told("delivered", wire_id=wire_id)]) == [True]
        assert states(tx) == ["sent"]
    deliveries.report(tx, [told("delivered", wire_id=order[2]), told("delivered", wire_id=order[2])])
    assert states(tx) == ["delivered"]


def test_one_failed_part_fails_the_text(tx, copies):
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "sent", wire_ids=("1", "2"))])
    deliveries.report(tx, [told("delivered", wire_id="1"), told("failed", wire_id="2", words="no credit")])
    assert states(tx) == ["failed"]
    assert states(tx, "reason") == ["no credit"]


def test_a_report_that_runs_ahead_waits_for_its_settlement(tx, copies):
    copies(1)
    [one] = claim(tx)
    assert deliveries.report(tx, [told("delivered", wire_id="w9"), told("delivered", wire_id="other")]) == [False] * 2
    deliveries.settle(tx, [settled(one, "sent", wire_ids=("w9",))])
    assert states(tx) == ["delivered"]
    assert tx.execute(text("SELECT wire_id FROM report_waiting")).scalars().all() == ["other"]
    deliveries.expire(tx, NOW + 25 * HOUR)
    assert tx.execute(text("SELECT count(*) FROM report_waiting")).scalar_one() == 0


def test_a_report_of_another_connector_is_not_ours_but_mail_is_known_by_its_message_id(tx, copies):
    entity(tx, "Ana", "mailto:ana@x.org")
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "sent", wire_ids=("7",))])
    assert deliveries.report(tx, [told("delivered", wire_id="7", connector="modem2")]) == [False]
    tx.execute(text("UPDATE msg_delivery_part SET wire_id = 'd7@hub', connector = 'mail-out'"))
    assert deliveries.report(tx, [told("failed", wire_id="d7@hub", connector="mail-in")]) == [True]
    assert states(tx) == ["failed"]


def test_a_report_on_several_recipients_means_the_one_it_names(tx, copies):
    copies(2)
    one, two = claim(tx)
    deliveries.settle(tx, [settled(one, "sent", wire_ids=("m",)), settled(two, "sent", wire_ids=("m",))])
    assert deliveries.report(tx, [told("failed", wire_id="m", recipient=one.address)]) == [True]
    assert deliveries.report(tx, [told("failed", wire_id="m", recipient="sms:+77")]) == [False]
    assert states(tx) == ["failed", "sent"]


def test_an_old_attempts_failure_does_not_fail_the_new_one_but_its_success_counts(tx, copies):
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "unknown", wire_ids=("a",), next_attempt=NOW + 9)])
    assert deliveries.sweep_unknown(tx, ["modem1"], NOW + 8) == 0
    assert deliveries.sweep_unknown(tx, ["modem1"], NOW + 9) == 1
    [two] = claim(tx, now=NOW + 9)
    assert two.attempt == 2
    deliveries.report(tx, [told("failed", wire_id="a")])
    assert states(tx) == ["claimed"]
    deliveries.report(tx, [told("delivered", wire_id="a")])
    assert states(tx) == ["claimed"], "the part failed, which is final"
    deliveries.settle(tx, [settled(two, "sent", wire_ids=("b",))])
    deliveries.report(tx, [told("delivered", wire_id="b")])
    assert states(tx) == ["delivered"]


def test_a_dead_nodes_claims_become_unknown_never_pending(tx, copies):
    copies(2)
    [mine] = claim(tx, 1, node="n1")
    [other] = claim(tx, 1, node="n2")
    assert deliveries.heartbeat(tx, "n1", NOW + 59) == 0, "n2 may just have started"
    assert deliveries.heartbeat(tx, "n1", NOW + 61) == 1, "n2 never said that it lives"
    assert states(tx) == ["claimed", "unknown"]
    assert deliveries.settle(tx, [settled(other, "sent")]) == [True], "it lived, and knows"
    assert deliveries.abandon(tx, "n1", NOW + 62) == 1
    assert states(tx) == ["unknown", "sent"]
    assert deliveries.sweep_unknown(tx, ["mail"], NOW + 63) == 0
    assert claim(tx) == []
    assert events(tx) == ["unknown", "sent", "unknown"]
    assert mine.id != other.id


def test_a_bad_address_is_remembered(tx, copies):
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "failed", bad_address=True, reason="550 no such user")])
    row = tx.execute(text("SELECT bouncing_at, bounce_words FROM pe_contact WHERE address = 'sms:+1000'")).one()
    assert tuple(row) == (NOW + 1, "550 no such user")


def test_what_waits_too_long_expires_and_what_was_held_goes_on(tx, copies):
    connector(tx, "chat", "x")
    ana = entity(tx, "Ana", "xmpp:ana@x.org")
    record(tx, [plan(tx, routes=(ana,))])
    assert states(tx) == ["held"]
    assert deliveries.expire(tx, NOW + 1) == 0
    connector(tx, "jabber", "xmpp")
    assert deliveries.expire(tx, NOW + 2) == 1
    assert states(tx, "connector") == ["jabber"]
    assert deliveries.expire(tx, NOW + 49 * HOUR) == 1
    assert states(tx) == ["expired"]


def test_people_retry_and_cancel(tx, copies):
    copies(1)
    actor = HUB
    [one] = claim(tx)
    with pytest.raises(Refused, match="being sent just now"):
        deliveries.cancel(tx, actor, one.id, NOW)
    with pytest.raises(Refused, match="claimed already"):
        deliveries.retry(tx, actor, one.id, NOW)
    deliveries.settle(tx, [settled(one, "failed")])
    again = deliveries.retry(tx, actor, one.id, NOW + 5)
    assert again != one.id
    assert states(tx) == ["failed", "pending"]
    assert states(tx, "step") == [0, 1]
    deliveries.cancel(tx, actor, again, NOW + 6)
    assert states(tx) == ["failed", "cancelled"]
    with pytest.raises(Refused, match="there is no delivery"):
        deliveries.retry(tx, actor, 999, NOW)
    assert tx.execute(text("SELECT act FROM audit ORDER BY id")).scalars().all() == [
        "delivery.retry",
        "delivery.cancel",
    ]


def test_an_attachment_that_is_lost_fails_its_message_alone(tx, copies, tmp_path):
    copies(1, attachments=(Attachment("b", "x/y", b"z" * 300_000),))
    [other] = copies(1)
    for path in (tmp_path / "blobs").glob("??/*"):
        path.unlink()
    assert [one.id for one in claim(tx)] == [other]
    assert states(tx) == ["failed", "claimed"]
    assert "fsck" in states(tx, "reason")[0]
    assert events(tx)[-1] == "failed"


def test_an_unknown_one_without_a_time_waits_for_a_person(tx, copies):
    copies(1)
    [one] = claim(tx)
    deliveries.settle(tx, [settled(one, "unknown")])
    assert deliveries.sweep_unknown(tx, ["modem1"], NOW + 9 * HOUR) == 0
    assert deliveries.retry(tx, HUB, one.id, NOW + 9 * HOUR) == one.id
    assert states(tx) == ["pending"]


def test_by_hand_it_goes_by_a_connector_that_is_there(tx, copies):
    [held] = copies(1)
    tx.execute(text("UPDATE msg_delivery_status SET state = 'held', connector = ''"))
    tx.execute(text("UPDATE connector_status SET schemes = '[]' WHERE name = 'modem1'"))
    with pytest.raises(Refused, match="no connector sends sms"):
        deliveries.retry(tx, HUB, held, NOW)
    assert states(tx) == ["held"]
    connector(tx, "modem2", "sms")
    deliveries.retry(tx, HUB, held, NOW)
    assert (states(tx), states(tx, "connector")) == (["pending"], ["modem2"])
    tx.execute(text("UPDATE msg_delivery_status SET state = 'failed', connector = 'modem1'"))
    deliveries.retry(tx, HUB, held, NOW)
    assert states(tx, "connector") == ["modem1", "modem2"]


def test_what_waits_for_a_connector_that_is_gone_is_handed_over_or_held(tx, copies):
    copies(2)
    ana = entity(tx, "Ana", "mailto:ana@x.org")
    record(tx, [plan(tx, "sms:+2", routes=(ana,))])
    claim(tx, 1)
    connector(tx, "modem2", "sms")
    tx.execute(text("UPDATE connector_status SET node = 'n1', seen_at = :now"), {"now": NOW})
    tx.execute(text("UPDATE connector_status SET node = 'n2' WHERE name = 'mail'"))
    assert connectors.retire(tx, "n1", ["modem2"], NOW) == ["modem1"]  # mail may live on another node
    assert states(tx) == ["claimed", "pending", "pending"]
    assert states(tx, "connector") == ["modem1", "modem2", "mail"]
    assert connectors.retire(tx, "n1", ["modem2"], NOW + 25 * HOUR) == ["mail"]
    assert (states(tx)[2], states(tx, "connector")[2]) == ("held", "")
    assert "mail is no longer configured" in states(tx, "reason")[2]
    assert events(tx)[-1] == "held"
    assert connectors.retire(tx, "n1", ["modem2"], NOW + 26 * HOUR) == []
    connectors.put_status(tx, "post", "smtp", "n1", True, "", NOW, ["mailto"])
    assert deliveries.expire(tx, NOW + 1) == 1
    assert (states(tx)[2], states(tx, "connector")[2]) == ("pending", "post")
