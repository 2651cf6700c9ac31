"""What comes back to the signed addresses that our mail carries: bounces, robots' answers, and who wants to leave."""

from __future__ import annotations

import pytest_twisted
from twisted.internet import reactor

from msgserver.connector import Limits
from msgserver.message import Address, Arrival
from msgserver.records import HUB, DeliveryState, Draft, EntityKind, Rule, Settlement
from msgserver.routing.render import envelope_of, ref_of
from msgserver.store import deliveries, people, rules, subscriptions
from tests.routing.conftest import SIGNER, WayIn
from tests.routing.test_way_in import BOUNCE, mail

async_test = pytest_twisted.ensureDeferred
MAIL = Limits(html=True, attachments=True)


async def answered(way_in: WayIn) -> str:
    """Somebody's question, answered; the ref of the answer's delivery."""
    await way_in.router.accept("mail", mail(1))
    await way_in.read()
    await way_in.desk.write(HUB, Draft(uid="11111111-2222-4333-8444-0123456789ab", ticket_id=1, text="An answer"))
    (claimed,) = await way_in.store.write(deliveries.claim, "mail", "here", 10, reactor.seconds())
    settled = Settlement(
        delivery_id=claimed.id, attempt=claimed.attempt, state=DeliveryState.SENT, wire_ids=("else@x",),
        at=reactor.seconds(),
    )  # fmt: skip
    await way_in.store.batch(deliveries.settle, settled)
    return ref_of(claimed)


@async_test
async def test_a_bounce_without_our_mail_in_it_is_known_by_where_it_came_to(way_in: WayIn):
    ref = await answered(way_in)
    bare = BOUNCE.partition(b"--b\nContent-Type: message/rfc822")[0] + b"--b--\n"
    to = (Address("mailto", f"hub+{ref}@hub.example"),)
    await way_in.router.accept(
        "mail", Arrival(wire_id="b", sender=None, recipients=to, media_type="message/rfc822", raw=bare)
    )
    await way_in.read()
    assert await way_in.rows("SELECT outcome FROM msg_raw WHERE wire_id = 'b'") == [("report",)]
    ((state, reason),) = await way_in.rows("SELECT state, reason FROM msg_delivery_status")
    assert state == "failed"
    assert "no such person" in reason


@async_test
async def test_a_ref_that_was_guessed_names_nothing(way_in: WayIn):
    await answered(way_in)
    bare = BOUNCE.partition(b"--b\nContent-Type: message/rfc822")[0] + b"--b--\n"
    to = (Address("mailto", "hub+d1.ffffffffffff@hub.example"),)
    await way_in.router.accept(
        "mail", Arrival(wire_id="b", sender=None, recipients=to, media_type="message/rfc822", raw=bare)
    )
    await way_in.read()
    assert await way_in.rows("SELECT state FROM msg_delivery_status") == [("sent",)]


@async_test
async def test_a_robots_answer_to_the_return_path_finds_its_ticket(way_in: WayIn):
    ref = await answered(way_in)
    await way_in.router.accept("mail", mail(2, "I am away", "Away", to=f"hub+{ref}@hub.example"))
    await way_in.read()
    assert await way_in.rows("SELECT ticket_id FROM msg_log WHERE wire_message_id = 'm2@example.org'") == [(1,)]


@async_test
async def test_a_copy_can_be_left_by_mail_and_that_is_no_stop(way_in: WayIn):
    rule = Rule(id=0, name="Water", position=0, words=("water",), resource="incident")
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    bo = await way_in.store.write(people.create_entity, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
    await way_in.store.write(people.add_contact, HUB, bo.id, Address("mailto", "bo@example.org"), 1.0)
    await way_in.run(
        "INSERT INTO connector_status (name, schemes, since, seen_at) VALUES ('mail', '[\"mailto\"]', 0, 0)"
    )
    made = await way_in.store.write(subscriptions.subscribe, HUB, bo.id, "incident", "", 1.0)
    await way_in.router.accept("mail", mail(1, "water"))
    await way_in.read()
    (claimed,) = await way_in.store.write(deliveries.claim, "mail", "here", 10, reactor.seconds())
    envelope = envelope_of(claimed, MAIL, SIGNER, "Desk", "https://hub.example")
    assert envelope.mailing is not None
    assert SIGNER.left(envelope.mailing.token) == (made.id, bo.id)
    assert envelope.mailing.link == f"https://hub.example/unsubscribe/{envelope.mailing.token}"
    assert envelope.mailing.name == "incident"
    leaving = mail(2, "", "unsubscribe", to=f"hub+{envelope.mailing.token}@hub.example", From="bo@example.org")
    await way_in.router.accept("mail", leaving)
    await way_in.router.accept("mail", mail(3, "more water"))
    await way_in.read()
    assert await way_in.rows("SELECT count(*) FROM pe_subscription") == [(0,)]
    assert await way_in.rows("SELECT count(*) FROM suppression") == [(0,)]
    assert await way_in.rows("SELECT count(*) FROM msg_delivery_status") == [(1,)]


@async_test
async def test_who_left_a_groups_copies_gets_none_and_the_others_do(way_in: WayIn):
    rule = Rule(id=0, name="Water", position=0, words=("water",), resource="incident")
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    group = await way_in.store.write(people.create_entity, HUB, "g", EntityKind.GROUP, "Medics", 1.0)
    for name in ("bo", "cy"):
        one = await way_in.store.write(people.create_entity, HUB, name, EntityKind.PERSON, name, 1.0)
        await way_in.store.write(people.add_contact, HUB, one.id, Address("mailto", f"{name}@example.org"), 1.0)
        await way_in.run("INSERT INTO pe_membership (group_id, member_id, at) VALUES (:g, :m, 1)", g=group.id, m=one.id)
    made = await way_in.store.write(subscriptions.subscribe, HUB, group.id, "incident", "", 1.0)
    ((bo,),) = await way_in.rows("SELECT id FROM pe_entity WHERE uid = 'bo'")
    await way_in.store.write(subscriptions.leave, made.id, bo, 2.0)
    await way_in.router.accept("mail", mail(1, "water"))
    await way_in.read()
    assert await way_in.rows("SELECT address FROM msg_delivery_status") == [("mailto:cy@example.org",)]


@async_test
async def test_an_answer_knows_at_which_address_it_was_asked(way_in: WayIn):
    await way_in.router.accept("mail", mail(1, to="info+42.x@b.example"))
    await way_in.read()
    await way_in.desk.write(HUB, Draft(uid="11111111-2222-4333-8444-0123456789ab", ticket_id=1, text="An answer"))
    (claimed,) = await way_in.store.write(deliveries.claim, "mail", "here", 10, reactor.seconds())
    envelope = envelope_of(claimed, MAIL, SIGNER, "Desk")
    assert envelope.reached == (Address("mailto", "info+42.x@b.example"),)
