"""Who a mail is from: from the arrival to the row in the log and to what its sender may do."""

from __future__ import annotations

import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from msgserver.formats.reading import Trust
from msgserver.message import Address, Arrival
from msgserver.records import HUB, Rule
from msgserver.routing.journalling import Journalled
from msgserver.routing.trust import Examiner
from msgserver.store import rules
from tests.formats.test_signatures import NAME, RECORD, signed
from tests.routing.conftest import Dns, WayIn, Workers

async_test = pytest_twisted.ensureDeferred

MAIL = b"From: Ana <ana@example.org>\r\nTo: hub@hub.example\r\nSubject: road\r\n\r\nIt is closed.\r\n"
POLICY = {("_dmarc.example.org", "TXT"): (b"v=DMARC1; p=reject",)}
KEY = {(NAME, "TXT"): (RECORD,)}
SPF = {("example.org", "TXT"): (b"v=spf1 ip4:1.2.3.4 -all",)}


def arrival(raw: bytes = MAIL, wire_id: str = "m1", sender: str = "ana@example.org", **facts: str) -> Arrival:
    return Arrival(
        wire_id=wire_id,
        sender=Address("mailto", sender) if sender else None,
        recipients=(Address("mailto", "hub@hub.example"),),
        media_type="message/rfc822",
        raw=raw,
        facts={"peer": "1.2.3.4", "helo": "mx.example.org", **facts},
    )


async def verdict(one: Arrival, records=None, border: str = "", checking: bool = True) -> Trust:
    dns = Dns()
    dns.records.update(records or {})
    examiner = Examiner(Workers(), dns if checking else None, {"mail": border}, Clock())
    (reading,) = await examiner.read_mails([Journalled(1, "mail", 0.0, one)])
    return reading.trust


@async_test
async def test_a_signature_of_the_author_s_domain_is_believed():
    trust = await verdict(arrival(signed(MAIL), peer="9.9.9.9"), {**POLICY, **KEY})
    assert trust.believed == "example.org vouches for it: it bears the domain's signature"
    assert trust.checks == (
        "spf=none smtp.mailfrom=example.org; dkim=pass header.d=example.org; "
        "dmarc=pass (p=reject) header.from=example.org"
    )


@async_test
async def test_so_is_a_server_of_the_author_s_domain():
    trust = await verdict(arrival(), {**POLICY, **SPF})
    assert trust.believed == "example.org vouches for it: it came from a server of the domain"


@async_test
async def test_a_forged_sender_is_doubted():
    trust = await verdict(arrival(peer="6.6.6.6", sender="x@evil.example"), {**POLICY, **SPF})
    assert trust.doubt == (
        "the domain example.org does not vouch for this mail, and asks to refuse such mail: the sender may be forged"
    )
    assert not trust.believed


@async_test
async def test_two_senders_are_a_trick_however_well_signed():
    for raw in (
        b"From: chief@example.org\r\n" + signed(MAIL),
        signed(MAIL).replace(b"From: Ana <ana@example.org>", b"From: boss@bank.example, Ana <ana@example.org>"),
    ):
        trust = await verdict(arrival(raw), {**POLICY, **KEY, **SPF})
        assert trust.doubt.startswith("it names several senders")
        assert not trust.believed


@async_test
async def test_without_records_nobody_knows():
    assert await verdict(arrival()) == Trust(
        checks="spf=none smtp.mailfrom=example.org; dmarc=none header.from=example.org"
    )


@async_test
async def test_whoever_logged_in_is_believed_without_asking():
    assert await verdict(arrival(auth="gateway")) == Trust(believed="logged in as gateway")


@async_test
async def test_a_server_next_door_is_not_held_against_a_mail():
    for peer in ("127.0.0.1", "10.1.2.3", "fd00::1", ""):  # the last: out of a mailbox
        assert await verdict(arrival(peer=peer), {**SPF, **POLICY}) == Trust()
        changed = signed(MAIL).replace(b"closed", b"opened")
        trust = await verdict(arrival(changed, peer=peer), {**SPF, **POLICY, **KEY})
        assert trust == Trust(checks="dkim=fail header.d=example.org")
        assert (await verdict(arrival(signed(MAIL), peer=peer), {**SPF, **POLICY, **KEY})).believed


@async_test
async def test_where_nothing_can_be_proven_nothing_is_asked():
    dns = Dns()
    examiner = Examiner(Workers(), dns, {}, Clock())
    await examiner.read_mails([Journalled(1, "mail", 0.0, arrival(peer="127.0.0.1"))])
    assert dns.asked == []


def said(words: str, raw: bytes = MAIL) -> bytes:
    return f"Authentication-Results: {words}\r\n".encode() + raw


@async_test
async def test_only_our_own_border_is_believed():
    raw = said("mx.provider.example; dmarc=pass header.from=example.org")
    trust = await verdict(arrival(raw), POLICY, border="mx.provider.example")
    assert trust.believed == "example.org vouches for it: mx.provider.example has checked it"
    assert not (await verdict(arrival(raw, peer=""), POLICY, border="mx.other.example")).believed
    assert (await verdict(arrival(raw, peer="9.9.9.9"), POLICY)).doubt
    assert (await verdict(arrival(raw), checking=False, border="mx.provider.example")).believed


@async_test
async def test_what_the_border_found_counts_for_our_own_verdict():
    raw = said("mx.provider.example; spf=pass smtp.mailfrom=ana@example.org; dkim=fail header.d=example.org")
    trust = await verdict(arrival(raw, peer=""), POLICY, border="mx.provider.example")
    assert trust.believed
    raw = said("mx.provider.example; spf=fail smtp.mailfrom=ana@example.org; dmarc=fail header.from=example.org")
    assert (await verdict(arrival(raw, peer=""), POLICY, border="mx.provider.example")).doubt
    raw = said("mx.provider.example; dmarc=pass header.from=evil.example")  # another author's pass
    assert (await verdict(arrival(raw, peer=""), POLICY, border="mx.provider.example")).doubt


@async_test
async def test_a_slow_dns_delays_a_mail_for_some_seconds_only_and_decides_nothing():
    clock = Clock()

    class Never:
        def ask(self, name, kind):
            return Deferred()

    examiner = Examiner(Workers(), Never(), {}, clock, within=5.0)
    got = []
    items = [Journalled(n, "mail", 0.0, arrival(signed(MAIL), f"m{n}")) for n in range(64)]
    ensureDeferred(examiner.read_mails(items)).addCallback(got.extend)
    for _ in range(20):
        clock.advance(0.5)
    assert len(got) == 64
    assert {reading.trust for reading in got} == {Trust(checks="not checked in time")}
    assert {reading.subject for reading in got} == {"road"}
    assert clock.getDelayedCalls() == []


@async_test
async def test_a_dns_that_fails_decides_nothing():
    class Broken:
        async def ask(self, name, kind):
            raise OSError("no network")

    examiner = Examiner(Workers(), Broken(), {}, Clock())
    (reading,) = await examiner.read_mails([Journalled(1, "mail", 0.0, arrival(signed(MAIL)))])
    assert (reading.trust.believed, reading.trust.doubt) == ("", "")
    assert "dkim=temperror" in reading.trust.checks
    assert "dmarc=temperror" in reading.trust.checks


# -- through the store


@async_test
async def test_the_verdict_stands_on_the_message(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **KEY, **SPF})
    await way_in.router.accept("mail", arrival(signed(MAIL), "good"))
    await way_in.router.accept("mail", arrival(MAIL, "bad", peer="6.6.6.6"))
    await way_in.read()
    rows = await way_in.rows("SELECT trust <> '', doubt <> '', checks LIKE '%dmarc=%' FROM msg_log ORDER BY raw_id")
    assert [tuple(map(bool, row)) for row in rows] == [(True, False, True), (False, True, True)]


@async_test
async def test_stop_in_a_forged_name_stops_nobody(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    stop = MAIL.replace(b"It is closed.", b"STOP")
    await way_in.router.accept("mail", arrival(stop, "bad", peer="6.6.6.6"))
    await way_in.read()
    assert await way_in.rows("SELECT address FROM suppression") == []
    assert await way_in.rows("SELECT body FROM msg_log WHERE direction = 'in'") == [("STOP",)]
    await way_in.router.accept("mail", arrival(stop, "good"))
    await way_in.read()
    assert await way_in.rows("SELECT address FROM suppression") == [("mailto:ana@example.org",)]


@async_test
async def test_a_forged_sender_gets_into_no_conversation_by_its_number(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    await way_in.router.accept("mail", arrival(wire_id="first"))
    await way_in.read()
    again = MAIL.replace(b"Subject: road", b"Subject: [#1] road")
    await way_in.router.accept("mail", arrival(again, "forged", peer="6.6.6.6"))
    await way_in.read()
    await way_in.router.accept("mail", arrival(again + b"\r\n", "good"))
    await way_in.read()
    assert await way_in.rows("SELECT ticket_id FROM msg_log ORDER BY raw_id") == [(1,), (2,), (1,)]


@async_test
async def test_a_rule_marks_verified_only_whose_sender_is_proven(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    rule = Rule(
        id=0, name="field team", position=0, sender="*@example.org", resource="tag", record="field", verified=True
    )
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    await way_in.router.accept("mail", arrival(wire_id="good"))
    await way_in.router.accept("mail", arrival(MAIL + b"\r\n", "bad", peer="6.6.6.6"))
    await way_in.read()
    rows = await way_in.rows("SELECT verified FROM msg_log ORDER BY raw_id")
    assert rows == [('rule "field team"',), ("",)]


@async_test
async def test_a_rule_puts_doubtful_mail_into_the_spam_view(way_in: WayIn):
    way_in.dns.records.update({**POLICY, **SPF})
    await way_in.store.write(
        rules.create_rule, HUB, Rule(id=0, name="forged", position=0, doubted=True, spam=True), 1.0
    )
    await way_in.router.accept("mail", arrival(wire_id="good"))
    await way_in.router.accept("mail", arrival(MAIL + b"\r\n", "bad", peer="6.6.6.6"))
    await way_in.read()
    rows = await way_in.rows("SELECT m.spam, t.spam FROM msg_log m JOIN ticket t ON t.id = m.ticket_id ORDER BY raw_id")
    assert [tuple(map(bool, row)) for row in rows] == [(False, False), (True, True)]
