"""A message and the hub's own answers to it, in one transaction, on both databases."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from msgserver.formats.reserved import Choice
from msgserver.records import PlannedTag
from msgserver.store import people, rules
from msgserver.store.answering import Wish, forget_old, obey, record_and_answer
from msgserver.store.schema import answered, audit, msg_log, msg_tag, rule_hit, suppression, ticket_assignee
from tests.store.desk import user
from tests.store.people import connector, entity, plan

NOW = 1_700_000_000.0
STOP = Wish("Relief desk", {"sms": "modem1"}, Choice.STOP, "en", "+1 555")


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "modem1", "sms")
        yield tx


def said(tx) -> list[tuple[str, str]]:
    rows = select(msg_log.c.cause, msg_log.c.body).where(msg_log.c.direction == "out").order_by(msg_log.c.id)
    return [tuple(row) for row in tx.execute(rows)]


def test_stop_start_and_help(tx):
    entity(tx, "Zoé", "sms:+1", language="fr")
    for choice, count in ((Choice.STOP, 1), (Choice.STOP, 1), (Choice.HELP, 1), (Choice.START, 2), (Choice.HELP, 3)):
        wish = msgspec.structs.replace(STOP, choice=choice)
        recorded = record_and_answer(tx, plan(tx, body=choice.value), wish, NOW)
        assert recorded.message_id
        assert len(said(tx)) == count, choice
        held = tx.scalars(select(suppression.c.address)).all()
        assert held == (["sms:+1"] if count == 1 else [])
    assert [cause for cause, _ in said(tx)] == ["opt-out", "opt-out", "help"]
    assert said(tx)[0][1].startswith("Relief desk : vous ne recevrez plus")
    assert "Contact : +1 555" in said(tx)[2][1]
    acts = tx.scalars(select(audit.c.act).where(audit.c.object == "address/sms:+1").order_by(audit.c.id)).all()
    assert acts == ["stop address", "allow address"]


def test_nobody_who_cannot_be_answered_is(tx):
    for sender, changes in (("sms:BANK", {}), ("sms:+1", {"robot": "a list"}), (None, {})):
        record_and_answer(tx, plan(tx, sender, **changes), msgspec.structs.replace(STOP, choice=Choice.HELP), NOW)
    record_and_answer(tx, plan(tx, "sms:+2", replies=((1, "x"),), spam=True), Wish("R", {}), NOW)
    record_and_answer(tx, plan(tx, "sms:+3"), msgspec.structs.replace(STOP, silent=True), NOW)
    assert said(tx) == []
    assert tx.scalars(select(suppression.c.address)).all() == ["sms:+3"]


def test_a_reply_goes_once_a_day(tx):
    wish = Wish("Relief desk", {"sms": "modem1"})
    for at, count in ((NOW, 1), (NOW + 5, 1), (NOW + 86_400, 2)):
        replies = ((1, "Hello {name}: {ticket}"),)
        record_and_answer(tx, plan(tx, sender_name="Ana", replies=replies), wish, at)
        assert len(said(tx)) == count
    assert said(tx)[0] == ("rule/1", "Hello Ana: #1")
    assert forget_old(tx, NOW + 86_400) == 0
    assert forget_old(tx, NOW + 3 * 86_400) == 1
    assert tx.execute(select(answered)).all() == []


def test_what_is_stale_is_neither_recorded_nor_answered(tx):
    assert record_and_answer(tx, plan(tx, rules_version=9), STOP, NOW).stale
    assert said(tx) == []
    assert tx.scalars(select(suppression.c.address)).all() == []


def test_who_takes_it_the_hits_and_tags_that_no_database_holds(tx):
    ana = user(tx, "ana")
    tags = (PlannedTag("incident", "u\x001", why="w\x00"),)
    one = plan(tx, assign=(ana.user_id, 99), matched=(1, 2), decided=("because\x00",), received_at=NOW)
    one = msgspec.structs.replace(one, tags=tags)
    recorded = record_and_answer(tx, one, Wish("R", {}), NOW)
    assert tx.execute(select(ticket_assignee.c.ticket_id, ticket_assignee.c.user_id)).all() == [
        (recorded.ticket_id, ana.user_id)
    ]
    record_and_answer(tx, plan(tx, matched=(2,), received_at=NOW, assign=(ana.user_id,)), Wish("R", {}), NOW)
    assert rules.hits(tx, NOW) == {1: 1, 2: 2}
    assert {tuple(row) for row in tx.execute(select(rule_hit))} == {(1, 19675, 1), (2, 19675, 2)}
    assert tx.execute(select(msg_tag.c.resource, msg_tag.c.record)).all() == [("incident", "u1")]
    assert tx.scalar(select(msg_log.c.decided).where(msg_log.c.id == recorded.message_id)) == '["because"]'


def test_obeying_without_a_message(tx):
    assert obey(tx, plan(tx, body="STOP"), Choice.STOP, NOW)
    assert not obey(tx, plan(tx, body="STOP"), Choice.STOP, NOW)
    assert people.suppressed(tx, ["sms:+1"]) == {"sms:+1": "said 'STOP'"}
    assert obey(tx, plan(tx), Choice.START, NOW)
