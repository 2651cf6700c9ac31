"""Bounces, from the mail to the delivery, the contact and the page; and robots, which move nothing."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor

from msgserver.message import Address, Arrival
from msgserver.records import HUB, DeliveryState, Draft, EntityKind, Settlement
from msgserver.store import deliveries, people, tickets
from msgserver.web import words
from tests.routing.conftest import WayIn
from tests.routing.test_way_in import BOUNCE, mail

async_test = pytest_twisted.ensureDeferred


async def answered(way_in: WayIn) -> int:
    """Ana, a contact of ours, wrote; our answer left under the id d1.x@hub.example."""
    ana = await way_in.store.write(people.create_entity, HUB, "ana", EntityKind.PERSON, "Ana", 1.0)
    await way_in.store.write(people.add_contact, HUB, ana.id, Address("mailto", "ana@example.org"), 1.0)
    await way_in.router.accept("mail", mail(1))
    await way_in.read()
    await way_in.desk.write(HUB, Draft(uid="11111111-2222", ticket_id=1, text="An answer"))
    (claimed,) = await way_in.store.write(deliveries.claim, "mail", "here", 10, reactor.seconds())
    sent = Settlement(
        delivery_id=claimed.id,
        attempt=claimed.attempt,
        state=DeliveryState.SENT,
        wire_ids=("d1.x@hub.example",),
        at=reactor.seconds(),
    )
    await way_in.store.batch(deliveries.settle, sent)
    return int(claimed.id)


async def bounce(way_in: WayIn, raw: bytes, connector: str = "mail", wire_id: str = "b") -> None:
    await way_in.router.accept(connector, Arrival(wire_id=wire_id, sender=None, media_type="message/rfc822", raw=raw))
    await way_in.read()


async def became(way_in: WayIn) -> tuple[str, str, bool, str]:
    """State and reason of the delivery; whether its contact bounces, and why."""
    ((state, reason),) = await way_in.rows("SELECT state, reason FROM msg_delivery_status")
    ((at, why),) = await way_in.rows("SELECT bouncing_at, bounce_words FROM pe_contact")
    return state, reason, at is not None, why


@pytest.mark.parametrize("connector", ["mail", "mailbox"])  # it may come back into a mailbox that is polled
@async_test
async def test_an_address_that_does_not_exist_marks_its_contact(way_in: WayIn, connector):
    await answered(way_in)
    await bounce(way_in, BOUNCE, connector)
    assert await became(way_in) == ("failed", "550 5.1.1 no such person", True, "550 5.1.1 no such person")
    assert await way_in.rows("SELECT count(*) FROM msg_log WHERE direction = 'in'") == [(1,)]


@pytest.mark.parametrize(
    ("status", "said"), [(b"5.2.2", b"552 5.2.2 mailbox full"), (b"5.7.1", b"550 5.7.1 looks like spam")]
)
@async_test
async def test_what_is_not_the_address_s_fault_leaves_the_contact_alone(way_in: WayIn, status, said):
    await answered(way_in)
    await bounce(way_in, BOUNCE.replace(b"550 5.1.1 no such person", said).replace(b"5.1.1", status))
    state, reason, bouncing, _ = await became(way_in)
    assert (state, reason, bouncing) == ("failed", said.decode(), False)


DELAY = (
    BOUNCE.replace(b"Action: failed", b"Action: delayed")
    .replace(b"Status: 5.1.1", b"Status: 4.4.1")
    .replace(b"550 5.1.1 no such person", b"no answer from the host")
)


@async_test
async def test_a_delay_is_noted_and_decides_nothing(way_in: WayIn):
    number = await answered(way_in)
    await bounce(way_in, DELAY)
    assert await became(way_in) == ("sent", "delayed: 4.4.1 no answer from the host", False, "")
    assert await way_in.rows("SELECT outcome FROM msg_raw WHERE wire_id = 'b'") == [("report",)]
    events = await way_in.rows("SELECT state, words FROM msg_delivery_event WHERE state LIKE 'report%'")
    assert events == [("report delayed", "4.4.1 no answer from the host")]
    (row,) = (await way_in.store.read(messages_deliveries)).items
    assert row.id == number
    assert words.delivery(row, 0.0) == "sent; the far side still tries to deliver it: 4.4.1 no answer from the host"
    await bounce(way_in, BOUNCE.replace(b"Action: failed", b"Action: delivered"), wire_id="c")
    assert (await became(way_in))[:2] == ("delivered", "")
    await bounce(way_in, DELAY + b" ", wire_id="d")  # late: a state never moves backwards
    assert (await became(way_in))[:2] == ("delivered", "")


def messages_deliveries(tx):
    from msgserver.store import messages

    return messages.deliveries(tx, HUB)


@async_test
async def test_relayed_is_sent_not_delivered(way_in: WayIn):
    await answered(way_in)
    await bounce(way_in, BOUNCE.replace(b"Action: failed", b"Action: relayed").replace(b"5.1.1", b"2.0.0"))
    assert (await became(way_in))[0] == "sent"


QMAIL = b"""From: MAILER-DAEMON@there.example
To: hub@hub.example
Subject: failure notice

Hi. This is the qmail-send program at there.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ana@example.org>:
192.0.2.1 does not like recipient.
Remote host said: 550 unknown user
Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

Return-Path: <hub@hub.example>
Message-ID: <d1.x@hub.example>
Subject: Hello

An answer
"""


@async_test
async def test_a_bounce_in_prose_does_the_same(way_in: WayIn):
    await answered(way_in)
    await bounce(way_in, QMAIL)
    state, reason, bouncing, _ = await became(way_in)
    assert (state, bouncing) == ("failed", True)
    assert "550 unknown user" in reason


@async_test
async def test_a_bounce_of_what_we_never_sent_marks_nobody_and_is_shown(way_in: WayIn):
    await answered(way_in)
    await bounce(way_in, BOUNCE.replace(b"<d1.x@hub.example>", b"<forged@hub.example>"))
    assert (await became(way_in))[0] == "sent"
    assert not (await became(way_in))[2]
    assert await way_in.rows("SELECT robot FROM msg_log WHERE connector = 'mail' AND sender LIKE '%daemon%'") == [
        ("bounce",)
    ]


@async_test
async def test_a_bounce_that_names_another_marks_only_whom_we_wrote_to(way_in: WayIn):
    await answered(way_in)
    bo = await way_in.store.write(people.create_entity, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
    await way_in.store.write(people.add_contact, HUB, bo.id, Address("mailto", "bo@example.org"), 1.0)
    await bounce(way_in, BOUNCE.replace(b"ana@example.org", b"bo@example.org"))
    rows = await way_in.rows("SELECT address FROM pe_contact WHERE bouncing_at IS NOT NULL")
    assert ("mailto:bo@example.org",) not in rows


@async_test
async def test_the_next_message_to_a_bouncing_address_is_not_sent(way_in: WayIn):
    await answered(way_in)
    await bounce(way_in, BOUNCE)
    ana = (await way_in.rows("SELECT entity_id FROM pe_contact"))[0][0]
    await way_in.desk.write(HUB, Draft(uid="3333-4444", entities=(ana,), subject="Again", text="x"))
    rows = await way_in.rows("SELECT state, reason FROM msg_delivery_status ORDER BY id")
    assert rows[1] == ("failed", "messages to this address bounce: 550 5.1.1 no such person")


@pytest.mark.parametrize("actioned", [True, False])
@async_test
async def test_out_of_office_neither_opens_nor_closes_a_ticket_and_is_not_answered(way_in: WayIn, actioned):
    await answered(way_in)
    await way_in.store.write(tickets.set_actioned, HUB, 1, actioned, 5.0)
    away = mail(
        2, "I am away.", "Automatic reply: Hello", Auto_Submitted="auto-replied", In_Reply_To="<d1.x@hub.example>"
    )
    await way_in.router.accept("mail", away)
    await way_in.read()
    ((at,),) = await way_in.rows("SELECT actioned_at FROM ticket")
    assert (at is not None) is actioned
    assert await way_in.rows("SELECT ticket_id, robot FROM msg_log WHERE wire_message_id = 'm2@example.org'") == [
        (1, "auto-replied")
    ]
    assert await way_in.rows("SELECT count(*) FROM msg_log WHERE direction = 'out'") == [(1,)]
