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
from tests.formats.test_arc import RECORD as SEAL_RECORD
from tests.formats.test_arc import sealed
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


# -- handed on by somebody whom the operator named

LIST_KEY = {(f"a1._domainkey.{name}", "TXT"): (SEAL_RECORD,) for name in ("lists.example", "forward.example")}
FROM_LIST = MAIL.replace(b"Subject: road", b"Subject: [floods] road")


async def handed_on(raw: bytes, records=None, sealers: tuple[str, ...] = ("lists.example",), **facts: str) -> Trust:
    dns = Dns()
    dns.records.update({**POLICY, **SPF, **(LIST_KEY if records is None else records)})
    examiner = Examiner(Workers(), dns, {}, Clock(), sealers=sealers)
    one = arrival(raw, **{"peer": "9.9.9.9", "sender": "floods-bounces@lists.example", **facts})
    (reading,) = await examiner.read_mails([Journalled(1, "mail", 0.0, one)])
    return reading.trust


@async_test
async def test_what_a_named_list_found_before_it_changed_the_mail_is_believed():
    trust = await handed_on(sealed(FROM_LIST))
    assert trust.believed == "example.org vouches for it: lists.example has checked it before handing it on"
    assert not trust.doubt
    assert trust.checks.endswith("dmarc=fail (p=reject) header.from=example.org; arc=pass header.d=lists.example")
    assert (await handed_on(sealed(FROM_LIST, found="spf=pass smtp.mailfrom=ana@example.org"))).believed
    assert (await handed_on(sealed(FROM_LIST, found="dkim=pass header.d=example.org"))).believed
    assert (await handed_on(sealed(FROM_LIST), peer="")).believed  # out of a mailbox


@async_test
async def test_a_seal_says_no_more_than_its_maker_found():
    for said in (
        "dmarc=fail header.from=example.org",
        "dmarc=pass header.from=evil.example",
        "dkim=pass header.d=x.example",
    ):
        trust = await handed_on(sealed(FROM_LIST, found=said))
        assert trust.doubt
        assert not trust.believed
        assert trust.checks.endswith("arc=pass header.d=lists.example")


@async_test
async def test_strangers_seals_and_broken_ones_change_nothing():
    plain = await handed_on(FROM_LIST)
    assert plain.doubt
    assert await handed_on(sealed(FROM_LIST), sealers=()) == plain
    assert await handed_on(sealed(FROM_LIST, "forward.example")) == plain
    broken = await handed_on(sealed(FROM_LIST).replace(b"closed", b"opened"))
    assert (broken.doubt, broken.believed) == (plain.doubt, "")
    assert (
        broken.checks
        == f"{plain.checks}; arc=fail (Most recent ARC-Message-Signature did not validate) header.d=lists.example"
    )


@async_test
async def test_of_several_links_those_behind_a_stranger_count_for_nothing():
    by_list = sealed(FROM_LIST)
    raw = sealed(
        by_list.replace(b"It is", b"FW: it is"), "forward.example", "arc=pass; dmarc=fail header.from=example.org"
    )
    both = await handed_on(raw, sealers=("lists.example", "forward.example"))
    assert both.believed == "example.org vouches for it: lists.example has checked it before handing it on"
    for sealers in (("forward.example",), ("lists.example",)):
        assert not (await handed_on(raw, sealers=sealers)).believed
    # a stranger writes that he found it good, and a host that is believed seals what it got from him
    lie = sealed(sealed(FROM_LIST, "forward.example"), "lists.example", "arc=pass; dmarc=fail header.from=example.org")
    assert not (await handed_on(lie)).believed


@async_test
async def test_without_an_answer_about_the_seals_key_nothing_is_decided():
    class HalfDeaf(Dns):
        async def ask(self, name, kind):
            if "_domainkey" in name:
                raise OSError("no answer")
            return await super().ask(name, kind)

    dns = HalfDeaf()
    dns.records.update({**POLICY, **SPF})
    examiner = Examiner(Workers(), dns, {}, Clock(), sealers=("lists.example",))
    (reading,) = await examiner.read_mails([Journalled(1, "mail", 0.0, arrival(sealed(FROM_LIST), peer="9.9.9.9"))])
    assert not reading.trust.believed


# -- what the border takes for spam

BORDER = "mx.provider.example"
GENUINE = f"Authentication-Results: {BORDER}; dmarc=pass header.from=example.org\r\n".encode()
TAKEN = b"Received: from mx.example.org by mx.provider.example; Mon, 1 Jun 2026 10:00:00 +0000\r\n"
STATUS = b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=12.3 required=5.0 tests=FOO\r\n"


@async_test
async def test_the_border_s_word_on_spam_is_a_doubt():
    for raw in (
        STATUS + GENUINE + TAKEN + MAIL,
        GENUINE + STATUS + TAKEN + MAIL,
        TAKEN + STATUS + TAKEN + GENUINE + MAIL,
    ):
        trust = await verdict(arrival(raw), POLICY, border=BORDER)
        assert trust.doubt == "mx.provider.example takes this mail for spam (score 12.3)"
        assert trust.believed
    trust = await verdict(arrival(b"X-Spam-Flag: YES\r\n" + GENUINE + TAKEN + MAIL), POLICY, border=BORDER)
    assert trust.doubt == "mx.provider.example takes this mail for spam (marked so)"


@async_test
async def test_a_stranger_s_word_on_spam_counts_for_nothing():
    for raw in (GENUINE + TAKEN + STATUS + MAIL, GENUINE + TAKEN + said("mx.other.example; spf=none") + STATUS + MAIL):
        assert not (await verdict(arrival(raw), POLICY, border=BORDER)).doubt
    assert not (await verdict(arrival(STATUS + TAKEN + MAIL), {**POLICY, **SPF}, border=BORDER)).doubt
    assert not (await verdict(arrival(STATUS + GENUINE + TAKEN + MAIL), {**POLICY, **SPF})).doubt
    clean = STATUS.replace(b"YES", b"NO").replace(b"Yes", b"No") + GENUINE + TAKEN + MAIL
    assert not (await verdict(arrival(clean), POLICY, border=BORDER)).doubt
    inside = GENUINE + TAKEN + MAIL + STATUS
    assert not (await verdict(arrival(inside), POLICY, border=BORDER)).doubt


@async_test
async def test_the_rule_for_doubt_puts_it_into_the_spam_view_and_stop_is_obeyed_all_the_same(way_in: WayIn):
    way_in.borders["mail"] = BORDER
    await way_in.store.write(
        rules.create_rule, HUB, Rule(id=0, name="forged", position=0, doubted=True, spam=True), 1.0
    )
    await way_in.router.accept("mail", arrival(STATUS + GENUINE + TAKEN + MAIL, "spam"))
    await way_in.router.accept(
        "mail", arrival(STATUS + GENUINE + TAKEN + MAIL.replace(b"It is closed.", b"STOP"), "stop")
    )
    await way_in.read()
    assert [bool(spam) for (spam,) in await way_in.rows("SELECT spam FROM msg_log WHERE direction = 'in'")][:1] == [
        True
    ]
    assert await way_in.rows("SELECT address FROM suppression") == [("mailto:ana@example.org",)]
