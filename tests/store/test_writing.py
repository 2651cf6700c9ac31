from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import text

from msgserver.message import Address, Attachment
from msgserver.records import HUB, Draft, Grant, Priority, Role, Viewer
from msgserver.store import deliveries
from msgserver.store.edits import Refused, Stale
from msgserver.store.recording import record
from msgserver.store.schema import auth_user
from msgserver.store.writing import write_draft
from tests.store.people import NOW, connector, contact, entity, member, plan

LANES = {"sms": "modem2", "mailto": "mail"}


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "mail", "mailto")
        connector(tx, "modem1", "sms")
        connector(tx, "modem2", "sms")
        connector(tx, "mail-in")
        yield tx


@pytest.fixture
def ana(tx):
    [number] = tx.execute(
        auth_user.insert().values(name="ana", entity_id=entity(tx, "Ana A."), created_at=0).returning(auth_user.c.id)
    ).one()
    return Viewer(number, "ana", (Grant(Role.RESPONDER),))


def draft(n=1, **values):
    return Draft(uid=f"11111111-0000-4000-8000-{n:012}", **({"text": "an answer"} | values))


def rows(tx, sql):
    return [tuple(row) for row in tx.exec_driver_sql(sql)]


def sent(tx):
    return rows(tx, "SELECT address, connector, state FROM msg_delivery_status ORDER BY address")


def test_an_answer_goes_back_the_way_the_question_came(tx, ana):
    [asked] = record(
        tx, [plan(tx, "sms:+1", connector="modem1", subject="Flood", tags=("incident/a",), wire_message_id="w1")]
    )
    done = write_draft(tx, ana, draft(ticket_id=asked.ticket_id, expected_version=1), LANES, NOW + 5)
    assert (done.ticket_id, done.number, done.deliveries, done.new_ticket) == (asked.ticket_id, 2, 1, False)
    assert sent(tx) == [("sms:+1", "modem1", "pending")]
    assert rows(
        tx, "SELECT direction, author_id, subject, body, in_reply_to, recipients FROM msg_log WHERE number = 2"
    ) == [("out", ana.user_id, "Flood", "an answer", "w1", '["sms:+1"]')]
    assert rows(tx, f"SELECT resource, record FROM msg_tag WHERE message_id = {done.message_id}") == [("incident", "a")]
    assert rows(tx, "SELECT messages, version, snippet, last_at FROM ticket") == [(2, 2, "an answer", NOW + 5)]
    [claimed] = deliveries.claim(tx, "modem1", "n", 5, NOW + 6)
    assert (claimed.author, claimed.copy, claimed.body) == ("Ana A.", False, "an answer")
    assert claimed.message_uid == draft().uid


def test_writing_twice_is_writing_once(tx, ana):
    first = write_draft(tx, ana, draft(to=(Address("sms", "+1"),)), LANES, NOW)
    again = write_draft(tx, ana, draft(to=(Address("sms", "+1"),)), LANES, NOW)
    assert (again.message_id, again.ticket_id, again.number) == (first.message_id, first.ticket_id, 1)
    assert rows(tx, "SELECT count(*) FROM msg_log") == [(1,)]


def test_a_stale_answer_is_refused(tx, ana):
    [asked] = record(tx, [plan(tx)])
    with pytest.raises(Stale) as refusal:
        write_draft(tx, ana, draft(ticket_id=asked.ticket_id, expected_version=7), LANES, NOW)
    assert refusal.value.current == 1


def test_where_the_question_came_by_a_receiver_only_the_schemes_lane_answers(tx, ana):
    [asked] = record(tx, [plan(tx, "mailto:bo@x.org", connector="mail-in")])
    write_draft(tx, ana, draft(ticket_id=asked.ticket_id, connector="mail-in"), LANES, NOW)
    assert sent(tx) == [("mailto:bo@x.org", "mail", "pending")]


def test_the_drafts_own_connector_and_receivers_come_first(tx, ana):
    [asked] = record(tx, [plan(tx, "sms:+1")])
    to = (Address("sms", "+1"), Address("sms", "+2"), Address("loop", "x"))
    write_draft(tx, ana, draft(ticket_id=asked.ticket_id, connector="modem2", to=to), LANES, NOW)
    assert sent(tx) == [("loop:x", "", "held"), ("sms:+1", "modem2", "pending"), ("sms:+2", "modem2", "pending")]


def test_a_new_message_opens_a_ticket_that_is_done_until_it_is_answered(tx, ana):
    bo = entity(tx, "Bo", "sms:+5")
    to = (Address("sms", "+5"),)
    done = write_draft(tx, ana, draft(to=to, subject="Hello", priority=Priority.HIGH), LANES, NOW)
    assert done.new_ticket
    assert rows(tx, "SELECT entity_id, address, subject, actioned_at, actioned_by, priority, messages FROM ticket") == [
        (bo, "sms:+5", "Hello", NOW, ana.user_id, 2, 1)
    ]
    [answer] = record(tx, [plan(tx, "sms:+5")])
    assert (answer.ticket_id, answer.reopened, answer.number) == (done.ticket_id, True, 2)


def test_people_and_groups_are_written_to_at_all_their_addresses(tx, ana):
    bo, cy = entity(tx, "Bo", "sms:+5", "mailto:bo@x.org"), entity(tx, "Cy", "sms:+6")
    contact(tx, cy, "mailto:cy@x.org", bouncing_at=1.0, bounce_words="full")
    team = entity(tx, "Team", kind="group")
    member(tx, team, bo, cy)
    tx.execute(text("INSERT INTO suppression (address, why, at) VALUES ('sms:+6', 'STOP', 1)"))
    done = write_draft(tx, ana, draft(entities=(team, bo), to=(Address("sms", "+5"),)), LANES, NOW)
    assert done.deliveries == 4
    assert sent(tx) == [
        ("mailto:bo@x.org", "mail", "pending"),
        ("mailto:cy@x.org", "mail", "failed"),
        ("sms:+5", "modem2", "pending"),
        ("sms:+6", "modem2", "suppressed"),
    ]


def test_an_automatic_answer_goes_out_in_spite_of_stop_and_leaves_the_ticket_alone(tx):
    [asked] = record(tx, [plan(tx, "sms:+1", hints={})])
    tx.execute(text("INSERT INTO suppression (address, why, at) VALUES ('sms:+1', 'STOP', 1)"))
    notice = draft(
        to=(Address("sms", "+1"),), ticket_id=asked.ticket_id, answers=asked.message_id, automatic=True, cause="opt-out"
    )
    write_draft(tx, HUB, notice, LANES, NOW + 9)
    assert rows(tx, "SELECT messages, version, last_at FROM ticket") == [(2, 1, NOW)]
    [claimed] = deliveries.claim(tx, "modem1", "n", 5, NOW + 9)
    assert (claimed.author, claimed.automatic) == ("", True)
    write_draft(tx, HUB, msgspec.structs.replace(notice, uid="x", cause="greeting"), LANES, NOW + 9)
    assert [row[2] for row in sent(tx)] == ["claimed", "suppressed"]


def test_attachments_travel_and_words_are_found(tx, ana, database):
    attachments = (Attachment("a.png", "image/png", b"\0png"),)
    write_draft(tx, ana, draft(to=(Address("sms", "+1"),), text="Wasser steigt", attachments=attachments), LANES, NOW)
    [claimed] = deliveries.claim(tx, "modem2", "n", 5, NOW)
    assert claimed.attachments == attachments
    if database.dialect == "sqlite":
        assert len(rows(tx, "SELECT rowid FROM msg_search WHERE msg_search MATCH 'wasser'")) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"text": "  "}, "nothing is written"),
        ({"ticket_id": 99}, "there is no ticket 99"),
        ({"answers": 99}, "not there any more"),
        ({}, "nobody to send to"),
        ({"entities": (1,)}, "no address"),
    ],
)
def test_refusals_say_why(tx, ana, values, words):
    with pytest.raises(Refused, match=words):
        write_draft(tx, ana, draft(**values), LANES, NOW)


def test_a_ticket_out_of_sight_is_not_there(tx):
    [asked] = record(tx, [plan(tx, tags=("incident/a",))])
    scoped = Viewer(5, "bo", (Grant(Role.RESPONDER, "incident", "b"),))
    with pytest.raises(Refused, match="there is no ticket"):
        write_draft(tx, scoped, draft(ticket_id=asked.ticket_id), LANES, NOW)
