"""Answers to copies, and YES."""

from __future__ import annotations

import pytest
import pytest_twisted

from msgserver.message import Address, Arrival
from msgserver.records import HUB, EntityKind, Grant, Role, Rule
from msgserver.routing.replies import agrees
from msgserver.store import connectors, people, rules, subscriptions, users
from tests.routing.conftest import ANA, SIGNER, WayIn

async_test = pytest_twisted.ensureDeferred
BO = Address("sms", "+15559999")
BO_MAIL = Address("mailto", "bo@example.org")


def text(n: int, words: str, sender: Address = ANA) -> Arrival:
    return Arrival(wire_id=f"w{n}", sender=sender, text=words)


def mail(n: int, words: str, to: str = "hub@hub.example", facts: dict[str, str] | None = None) -> Arrival:
    raw = f"From: Bo <bo@example.org>\r\nTo: {to}\r\nSubject: Re: x\r\nMessage-ID: <m{n}@x>\r\n\r\n{words}\r\n"
    return Arrival(
        wire_id=f"m{n}", sender=BO_MAIL, recipients=(Address("mailto", to),), media_type="message/rfc822",
        raw=raw.encode(), facts=facts or {},
    )  # fmt: skip


async def people_and_a_copy(way_in: WayIn, *grants: Grant, verified: bool = True, login: bool = True) -> None:
    """Bo has a copy of what Ana wrote; ticket 1."""

    def prepare(tx):
        for name, schemes in (("modem1", ["sms"]), ("mail", ["mailto"])):
            connectors.put_status(tx, name, "x", "n", True, "", 1.0, schemes)
        bo = people.create_entity(tx, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
        for address in (BO, BO_MAIL):
            people.add_contact(tx, HUB, bo.id, address, 1.0, verified, address == BO)
        subscriptions.subscribe(tx, HUB, bo.id, "incident", "", 1.0)
        subscriptions.subscribe(tx, HUB, bo.id, "incident", "", 1.0, "mailto")
        if login:
            users.create_user(tx, HUB, "bo", "", grants or (Grant(Role.RESPONDER),), 1.0, entity_id=bo.id)
        rules.create_rule(
            tx, HUB, Rule(id=0, name="water", position=0, words=("water",), resource="incident", record="flood"), 1.0
        )

    await way_in.store.write(prepare)
    await way_in.router.accept("modem1", text(1, "we need water"))
    await way_in.read()
    assert len(await way_in.rows("SELECT id FROM msg_delivery_status")) == 2


async def log(way_in: WayIn):
    return await way_in.rows(
        "SELECT direction, ticket_id, number, body, author_id IS NOT NULL FROM msg_log ORDER BY id"
    )


@async_test
async def test_a_colleague_answers_the_one_who_asked(way_in: WayIn):
    await people_and_a_copy(way_in)
    await way_in.router.accept("modem1", text(2, "#1 it is coming", BO))
    await way_in.read()
    assert (await log(way_in))[1] == ("out", 1, 2, "it is coming", True)
    [(address, state)] = await way_in.rows("SELECT address, state FROM msg_delivery_status WHERE message_id = 2")
    assert (address, state) == (str(ANA), "pending")
    assert await way_in.rows("SELECT outcome, outcome_id FROM msg_raw WHERE id = 2") == [("message", 2)]
    assert await way_in.rows("SELECT raw_id FROM msg_log WHERE id = 2") == [(2,)]


@async_test
async def test_by_mail_it_takes_a_proof_of_who_wrote_it(way_in: WayIn):
    await people_and_a_copy(way_in)
    await way_in.router.accept("mail", mail(2, "forged", f"hub+{SIGNER.sign(1)}@hub.example"))
    asker_s, bo_s = SIGNER.sign(1, "mailto:ana@example.net"), SIGNER.sign(1, str(BO_MAIL))
    await way_in.router.accept("mail", mail(3, "by the secret of another", f"hub+{asker_s}@hub.example"))
    await way_in.router.accept("mail", mail(4, "by his own secret", f"hub+{bo_s}@hub.example"))
    await way_in.read()
    kinds = {row[3].strip(): row[:2] for row in await log(way_in)}
    assert kinds["forged"] == kinds["by the secret of another"] == ("in", 1)
    assert kinds["by his own secret"] == ("out", 1)


POLICY = {("_dmarc.example.org", "TXT"): (b"v=DMARC1; p=reject",)}
SPF = {("example.org", "TXT"): (b"v=spf1 ip4:1.2.3.4 -all",)}
GOOD, BAD = ({"peer": peer, "helo": "mx.example.org"} for peer in ("1.2.3.4", "6.6.6.6"))


@async_test
async def test_whom_his_domain_vouches_for_need_not_prove_it_again(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    await people_and_a_copy(way_in)
    to = f"hub+{SIGNER.sign(1)}@hub.example"  # the address that everybody on the ticket knows
    await way_in.router.accept("mail", mail(2, "it is coming", to, GOOD))
    await way_in.read()
    assert (await log(way_in))[1] == ("out", 1, 2, "it is coming", True)


@async_test
async def test_who_is_disowned_has_no_rights_whatever_he_knows(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    await people_and_a_copy(way_in)
    await way_in.router.accept("mail", mail(2, "give it away", f"hub+{SIGNER.sign(1, str(BO_MAIL))}@hub.example", BAD))
    await way_in.read()
    assert (await log(way_in))[1][:4] == ("in", 1, 2, "give it away")
    assert await way_in.rows("SELECT id FROM msg_delivery_status WHERE message_id = 2") == []
    [(doubt,)] = await way_in.rows("SELECT doubt FROM msg_log WHERE id = 2")
    assert "may be forged" in doubt


@async_test
async def test_yes_by_mail_takes_the_same_proof(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    await people_and_a_copy(way_in, verified=False, login=False)
    await way_in.run("UPDATE pe_subscription SET asked_at = :now", now=4e9)
    others = f"hub+{SIGNER.sign(1, 'mailto:eve@example.net')}@hub.example"
    await way_in.router.accept("mail", mail(2, "YES", others))
    await way_in.router.accept("mail", mail(3, "YES", f"hub+{SIGNER.sign(1, str(BO_MAIL))}@hub.example", BAD))
    await way_in.read()
    assert None not in [asked for (asked,) in await way_in.rows("SELECT asked_at FROM pe_subscription")]
    await way_in.router.accept("mail", mail(4, "YES", facts=GOOD))
    await way_in.read()
    assert {asked for (asked,) in await way_in.rows("SELECT asked_at FROM pe_subscription")} == {None}


@pytest.mark.parametrize(
    ("grants", "verified", "login"),
    [
        ((Grant(Role.READER),), True, True),
        ((Grant(Role.READER), Grant(Role.RESPONDER, "incident", "fire")), True, True),
        ((Grant(Role.RESPONDER),), False, True),
        ((), True, False),
    ],
)
@async_test
async def test_from_anybody_else_it_is_a_message_on_the_ticket_that_is_copied_to_nobody(
    way_in: WayIn, grants, verified, login
):
    await people_and_a_copy(way_in, *grants, verified=verified, login=login)
    await way_in.router.accept("modem1", text(2, "#1 water is there", BO))
    await way_in.read()
    assert (await log(way_in))[1] == ("in", 1, 2, "#1 water is there", False)
    assert await way_in.rows("SELECT id FROM msg_delivery_status WHERE message_id = 2") == []
    [(tag,)] = await way_in.rows("SELECT record FROM msg_tag WHERE message_id = 2")
    assert tag == "flood"


@async_test
async def test_the_one_who_asked_answers_nobody_but_goes_on_asking(way_in: WayIn):
    await people_and_a_copy(way_in)
    await way_in.router.accept("modem1", text(2, "#1 more water"))
    await way_in.read()
    assert (await log(way_in))[1][:3] == ("in", 1, 2)
    assert len(await way_in.rows("SELECT id FROM msg_delivery_status WHERE message_id = 2")) == 2


@async_test
async def test_yes_agrees_to_what_was_asked(way_in: WayIn):
    await people_and_a_copy(way_in, verified=False, login=False)
    root = (await way_in.store.write(users.create_user, HUB, "root", "", (Grant(Role.ADMINISTRATOR),), 1.0)).id
    chief = await way_in.store.read(users.viewer, root)
    made = await way_in.store.write(subscriptions.subscribe, chief, 1, "tag", "boats", 1e9)
    assert made.asked_at is not None
    await way_in.run("UPDATE pe_subscription SET asked_at = :now WHERE asked_at IS NOT NULL", now=4e9)
    assert await way_in.desk.ask_consent(chief, made.id)
    [(body, cause)] = await way_in.rows("SELECT body, cause FROM msg_log WHERE direction = 'out'")
    assert cause == "consent"
    assert body.startswith("Test desk: root wants to send you messages about boats. Reply YES")
    assert len(body) <= 160
    await way_in.router.accept("modem1", text(2, "Yes!", BO))
    await way_in.read()
    assert await way_in.rows("SELECT asked_at FROM pe_subscription WHERE record = 'boats'") == [(None,)]


@pytest.mark.parametrize("word", ["YES", "yes.", " Ja! ", "sí", "نعم", "oui\n"])
def test_yes_in_many_words(word):
    assert agrees(word)


@pytest.mark.parametrize("word", ["", "yes please send", "yesterday", "no", "y" * 99])
def test_what_is_no_yes(word):
    assert not agrees(word)
