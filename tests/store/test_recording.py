from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.message import Address, Attachment
from msgserver.records import Priority
from msgserver.store.recording import record
from tests.store.people import NOW, arrivals, connector, contact, entity, member, plan, subscribe


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def rows(tx, sql):
    return [tuple(row) for row in tx.exec_driver_sql(sql)]


def test_a_message_its_ticket_tags_and_index_are_written(tx):
    one = plan(
        tx,
        "sms:+1",
        subject="Water \0rising",
        body="it is  rising\nfast",
        recipients=(Address("sms", "+2"),),
        tags=("incident/flood", "keyword/"),
        priority=Priority.HIGH,
        verified_by="trusted",
        actionable=True,
        search="water it's rising\\",
    )
    [done] = record(tx, [one])
    assert (done.number, done.new_ticket, done.deliveries, done.stale) == (1, True, 0, False)
    assert rows(tx, "SELECT uid, direction, sender, recipients, subject, body, verified, verified_at FROM msg_log") == [
        (one.uid, "in", "sms:+1", '["sms:+2"]', "Water rising", "it is  rising\nfast", "trusted", NOW)
    ]
    assert rows(tx, "SELECT address, subject, priority, messages, snippet, last_at FROM ticket") == [
        ("sms:+1", "Water rising", 2, 1, "it is rising fast", NOW)
    ]
    assert rows(tx, "SELECT resource, record FROM msg_tag ORDER BY resource") == [
        ("incident", "flood"),
        ("keyword", ""),
    ]
    assert rows(tx, "SELECT key, value FROM counter WHERE name = 'total' ORDER BY key") == [
        ("incident/flood", 1),
        ("keyword/", 1),
    ]
    assert rows(tx, f"SELECT state, outcome, outcome_id FROM msg_raw WHERE id = {one.raw_id}") == [
        ("read", "message", done.message_id)
    ]


def test_words_are_found(tx, database):
    done = record(tx, [plan(tx, search="water rising"), plan(tx, search="rising"), plan(tx, search="")])
    if database.dialect == "sqlite":
        found = "SELECT rowid FROM msg_search WHERE msg_search MATCH '\"water rising\"'"
    else:
        found = "SELECT id FROM msg_log WHERE search @@ '''water'' <-> ''rising'''::tsquery"
    assert rows(tx, found) == [(done[0].message_id,)]


def test_two_messages_of_one_sender_in_one_group_are_one_ticket_in_order(tx):
    done = record(tx, [plan(tx, "sms:+1"), plan(tx, "sms:+2"), plan(tx, "sms:+1")])
    assert done[0].ticket_id == done[2].ticket_id != done[1].ticket_id
    assert [one.number for one in done] == [1, 1, 2]
    assert [one.new_ticket for one in done] == [True, True, False]
    [again] = record(tx, [plan(tx, "sms:+1", received_at=NOW + 60, body="later")])
    assert (again.ticket_id, again.number, again.new_ticket) == (done[0].ticket_id, 3, False)
    assert rows(tx, f"SELECT messages, version, snippet, last_at FROM ticket WHERE id = {again.ticket_id}") == [
        (3, 2, "later", NOW + 60)
    ]


def test_the_window_ends(tx):
    hour = 3600.0
    first = plan(tx, "sms:+1")
    late = plan(tx, "sms:+1", received_at=NOW + 73 * hour)
    [a] = record(tx, [first])
    b, c = record(tx, [late, plan(tx, "sms:+1", received_at=NOW + 74 * hour)])
    assert a.ticket_id != b.ticket_id == c.ticket_id
    [never] = record(tx, [plan(tx, "sms:+1", received_at=NOW + 74 * hour, hints={"window": 0.0})])
    assert never.new_ticket


def test_an_entity_keeps_its_conversation_over_all_its_addresses(tx):
    entity(tx, "Ana", "sms:+1", "xmpp:ana@x.org")
    by_sms, by_chat = record(tx, [plan(tx, "sms:+1"), plan(tx, "xmpp:ana@x.org")])
    [later] = record(tx, [plan(tx, "xmpp:ana@x.org")])
    assert by_sms.ticket_id == by_chat.ticket_id == later.ticket_id


def test_token_beats_reference_beats_subject_beats_window(tx):
    a, b, c, d = record(
        tx,
        [
            plan(tx, "sms:+1"),
            plan(tx, "mailto:b@x.org", wire_message_id="m1@x"),
            plan(tx, "sms:+3"),
            plan(tx, "sms:+4"),
        ],
    )
    hints = {"token": a.ticket_id, "references": ("m1@x",), "subject_tag": c.ticket_id}
    assert record(tx, [plan(tx, "sms:+4", hints=hints)])[0].ticket_id == a.ticket_id
    hints["token"] = 999_999
    assert record(tx, [plan(tx, "sms:+4", hints=hints)])[0].ticket_id == b.ticket_id
    hints["references"] = ("nobody@x",)
    assert record(tx, [plan(tx, "sms:+4", hints=hints)])[0].ticket_id == d.ticket_id, "+4 took no part in c"
    assert record(tx, [plan(tx, "sms:+3", hints=hints)])[0].ticket_id == c.ticket_id


def test_a_reference_within_the_group_is_known(tx):
    first = plan(tx, "mailto:a@x.org", wire_message_id="m1@x", hints={"window": 0.0})
    other = plan(tx, "mailto:b@x.org", hints={"window": 0.0, "references": ("m9@x", "m1@x")})
    a, b = record(tx, [first, other])
    assert (b.ticket_id, b.number) == (a.ticket_id, 2)


def test_an_answer_to_what_we_sent_finds_its_ticket(tx):
    entity_id = entity(tx, "Ana", "mailto:ana@x.org")
    connector(tx, "mail", "mailto")
    subscribe(tx, entity_id, "incident")
    [asked] = record(tx, [plan(tx, "sms:+1", tags=("incident/flood",))])
    assert asked.deliveries == 1
    [[delivery, uid]] = rows(tx, "SELECT d.id, m.uid FROM msg_delivery_status d JOIN msg_log m ON m.id = d.message_id")
    piece = uid[-12:]
    for reference in (f"d{delivery}.{piece}", f"d{delivery}.{piece}@hub.example"):
        [answer] = record(tx, [plan(tx, "mailto:ana@x.org", hints={"window": 0.0, "references": (reference,)})])
        assert answer.ticket_id == asked.ticket_id
    wrong = f"d{delivery}.{'f' * 12}@hub.example"
    assert record(tx, [plan(tx, "mailto:ana@x.org", hints={"window": 0.0, "references": (wrong,)})])[0].new_ticket


def test_a_merged_ticket_stands_for_its_survivor(tx):
    a, b = record(tx, [plan(tx, "sms:+1"), plan(tx, "sms:+2")])
    tx.execute(text(f"UPDATE ticket SET merged_into = {b.ticket_id} WHERE id = {a.ticket_id}"))
    one, two = record(
        tx, [plan(tx, "sms:+9", hints={"token": a.ticket_id}), plan(tx, "sms:+8", hints={"token": b.ticket_id})]
    )
    assert (one.ticket_id, two.ticket_id, one.number, two.number) == (b.ticket_id, b.ticket_id, 2, 3)


def test_a_message_opens_an_actioned_ticket_again_but_a_robots_does_not(tx):
    [first] = record(tx, [plan(tx, "sms:+1")])
    tx.execute(text("UPDATE ticket SET actioned_at = 5, actioned_by = 1"))
    [robot] = record(tx, [plan(tx, "sms:+1", robot="Auto-Submitted: auto-replied")])
    assert (robot.ticket_id, robot.reopened) == (first.ticket_id, False)
    again, more = record(tx, [plan(tx, "sms:+1"), plan(tx, "sms:+1")])
    assert (again.reopened, more.reopened) == (True, False)
    assert rows(tx, "SELECT actioned_at, actioned_by FROM ticket") == [(None, None)]


def test_spam_has_its_own_ticket_and_no_copies(tx):
    reader = entity(tx, "Ana", "sms:+7")
    connector(tx, "modem1", "sms")
    subscribe(tx, reader, "incident")
    good, spam = record(
        tx, [plan(tx, tags=("incident/a",)), plan(tx, tags=("incident/a",), spam=True, hints={"token": 1})]
    )
    assert good.ticket_id != spam.ticket_id
    assert (good.deliveries, spam.deliveries) == (1, 0)
    assert record(tx, [plan(tx)])[0].ticket_id == good.ticket_id
    assert rows(tx, "SELECT value FROM counter WHERE name = 'total'") == [(1,)]


def test_stale_rules_write_nothing(tx):
    tx.execute(text("INSERT INTO counter (name, key, user_id, value) VALUES ('rules', '', 0, 3)"))
    stale, good = record(tx, [plan(tx, rules_version=2), plan(tx, rules_version=3)])
    assert (stale.stale, good.stale) == (True, False)
    assert rows(tx, "SELECT count(*) FROM msg_log") == [(1,)]


def test_recording_twice_answers_with_the_first(tx):
    one, two = plan(tx, "sms:+1"), plan(tx, "sms:+2")
    [first] = record(tx, [one])
    again, other = record(tx, [one, two])
    assert (again.message_id, again.ticket_id, again.number) == (first.message_id, first.ticket_id, 1)
    assert other.message_id > first.message_id
    assert rows(tx, "SELECT count(*) FROM msg_log") == [(2,)]


def test_large_attachments_lie_outside(tx, tmp_path):
    small, large = Attachment("a.txt", "text/plain", b"small \0"), Attachment("b", "image/png", b"x" * 300_000)
    record(tx, [plan(tx, attachments=(small, large))])
    [a, b] = rows(tx, "SELECT name, size, content, blob FROM msg_attachment ORDER BY id")
    assert (a[1], bytes(a[2]), a[3]) == (7, b"small \0", "")
    assert (b[1], b[2]) == (300_000, None)
    assert (tmp_path / "blobs" / b[3][:2] / b[3]).read_bytes() == large.content


def copies(tx):
    return {
        row[0]: row[1:] for row in rows(tx, "SELECT address, state, connector, why, reason FROM msg_delivery_status")
    }


def test_subscribers_of_type_record_and_group_get_one_copy_each_and_why(tx):
    connector(tx, "mail", "mailto")
    connector(tx, "modem1", "sms")
    ana = entity(tx, "Ana", "sms:+11", "mailto:ana@x.org")
    bo = entity(tx, "Bo", "mailto:bo@x.org")
    cy = entity(tx, "Cy", "mailto:cy@x.org", "sms:+13")
    contact(tx, cy, "xmpp:cy@x.org", preferred=True)
    team = entity(tx, "Team", kind="group")
    inner = entity(tx, "Inner", kind="group")
    member(tx, team, ana, inner)
    member(tx, inner, bo, team)  # groups may even contain each other
    subscribe(tx, ana, "incident", "flood", channel="mailto")
    subscribe(tx, team, "incident")
    subscribe(tx, cy, "incident", "flood")
    subscribe(tx, bo, "incident", "fire")
    subscribe(tx, bo, "project", digest="daily")
    [done] = record(tx, [plan(tx, "sms:+99", tags=("incident/flood", "project/p"), priority=Priority.URGENT)])
    assert copies(tx) == {
        "mailto:ana@x.org": ("pending", "mail", "you subscribed to incident", ""),
        "sms:+11": ("pending", "modem1", "Team subscribed to incident", ""),
        "mailto:bo@x.org": ("pending", "mail", "Team subscribed to incident", ""),
        "xmpp:cy@x.org": ("held", "", "you subscribed to incident", "no connector sends xmpp:"),
    }
    assert done.deliveries == 4
    assert rows(tx, "SELECT DISTINCT priority, ticket_id, next_attempt FROM msg_delivery_status") == [
        (3, done.ticket_id, NOW)
    ]


def test_stop_bounces_and_the_sender_are_not_copied_to(tx):
    connector(tx, "modem1", "sms")
    sender = entity(tx, "Sender", "sms:+1", "sms:+2")
    stopped = entity(tx, "Stopped", "sms:+3")
    bounced = entity(tx, "Bounced")
    contact(tx, bounced, "sms:+4", bouncing_at=1.0, bounce_words="no such number", preferred=True)
    mended = entity(tx, "Mended", "sms:+6")
    contact(tx, mended, "sms:+5", bouncing_at=1.0, preferred=True)
    for one in (sender, stopped, bounced, mended):
        subscribe(tx, one, "incident")
    tx.execute(text("INSERT INTO suppression (address, why, at) VALUES ('sms:+3', 'STOP', 1)"))
    record(tx, [plan(tx, "sms:+1", tags=("incident/flood",))])
    found = {address: (state, reason) for address, (state, _, _, reason) in copies(tx).items()}
    assert found == {
        "sms:+3": ("suppressed", "this address asked for no more messages"),
        "sms:+4": ("failed", "messages to this address bounce: no such number"),
        "sms:+6": ("pending", ""),
    }


def test_routes_forward_and_the_loop_guard_stops_all(tx):
    connector(tx, "modem1", "sms")
    ana = entity(tx, "Ana", "sms:+3")
    subscribe(tx, ana, "incident")
    forwarded, stopped = record(
        tx, [plan(tx, routes=(ana,)), plan(tx, routes=(ana,), tags=("incident/",), forward=False)]
    )
    assert (forwarded.deliveries, stopped.deliveries) == (1, 0)
    assert copies(tx)["sms:+3"][2] == "forwarded to you"


def test_a_paused_connector_is_the_second_choice(tx):
    connector(tx, "a", "sms", paused=True)
    connector(tx, "b", "sms")
    record(tx, [plan(tx, routes=(entity(tx, "Ana", "sms:+3"),))])
    assert copies(tx)["sms:+3"][1] == "b"


def test_a_sender_of_nothing_gets_a_ticket_of_its_own(tx):
    a, b = record(tx, [plan(tx, None), plan(tx, None)])
    assert a.ticket_id != b.ticket_id
    assert arrivals(tx)
