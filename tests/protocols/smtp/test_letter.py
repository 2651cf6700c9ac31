"""What one mail becomes for hosts that offer this or that, signed and sized; and which one goes first."""

from __future__ import annotations

import email

import pytest

from msgserver.connector import PermanentFailure
from msgserver.message import Address, Attachment, Envelope, Mailing, Thread
from msgserver.protocols.smtp.errands import Errand, Errands
from msgserver.protocols.smtp.letter import Letter, xtext
from msgserver.protocols.smtp.pen import Pen
from msgserver.protocols.smtp.settings import DkimKey, Settings
from msgserver.settings import Secret
from tests.formats.test_dkim import KEYS, dns

ANA = Address("mailto", "ana@there.example")
REF = "d17.0123456789ab"


def pen(**changes) -> Pen:
    values = {"relay": "tcp:127.0.0.1:25", "sender": "desk@hub.example", "domains": ["hub.example", "b.example"]}
    return Pen(Settings(**{**values, **changes}))


def envelope(**changes) -> Envelope:
    return Envelope(**{"ref": REF, "attempt": 1, "sender": "Desk", "to": ANA, "text": "hi", **changes})


def ready(abilities=(), settings=None, **changes) -> tuple[bytes, bytes, bytes]:
    offered = dict(one.partition(" ")[::2] for one in abilities)
    return pen(**(settings or {})).letter(envelope(**changes), 1_700_000_000.0)[0].ready(offered)


def test_bounces_come_back_to_the_deliverys_own_address():
    mail, rcpt, _ = ready()
    assert mail == b"MAIL FROM:<desk+d17.0123456789ab@hub.example>\r\n"
    assert rcpt == b"RCPT TO:<ana@there.example>\r\n"
    assert ready(settings={"plus_addresses": False})[0] == b"MAIL FROM:<desk@hub.example>\r\n"
    assert ready(ref="odd ref>")[0] == b"MAIL FROM:<desk@hub.example>\r\n"


def test_an_automatic_answer_wants_no_bounce_but_a_copy_does():
    thread = Thread(in_reply_to="q@x")
    assert ready(automatic=True, thread=thread)[0] == b"MAIL FROM:<>\r\n"
    assert b"<desk+d17" in ready(automatic=True, thread=thread, copy=True)[0]
    assert b"<desk+d17" in ready(automatic=True)[0]


def test_notices_are_asked_for_where_they_are_offered():
    mail, rcpt, _ = ready(["DSN", "SIZE"])
    assert mail.startswith(b"MAIL FROM:<desk+d17.0123456789ab@hub.example> SIZE=")
    assert mail.endswith(b" RET=HDRS ENVID=d17.0123456789ab\r\n")
    assert rcpt == b"RCPT TO:<ana@there.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;ana@there.example\r\n"
    assert b"NOTIFY=SUCCESS,FAILURE,DELAY" in ready(["DSN"], {"dsn": "all"})[1]
    assert b"NOTIFY" not in ready(["DSN"], {"dsn": "none"})[1]
    silent = ready(["DSN"], automatic=True, thread=Thread(in_reply_to="q@x"))
    assert silent[0] == b"MAIL FROM:<>\r\n"
    assert b"NOTIFY" not in silent[1]
    plus = ready(["DSN"], to=Address("mailto", "ana+b=c@there.example"))[1]
    assert plus.endswith(b"ORCPT=rfc822;ana+2Bb+3Dc@there.example\r\n")
    assert xtext(b"a b+\xff=") == b"a+20b+2B+FF+3D"


def test_addresses_beyond_ascii():
    to = Address("mailto", "jürgen@köln.example")
    with pytest.raises(PermanentFailure, match="SMTPUTF8"):
        ready(to=to)
    mail, rcpt, _ = ready(["SMTPUTF8", "DSN"], to=to)
    assert b" SMTPUTF8" in mail
    assert rcpt.startswith("RCPT TO:<jürgen@xn--kln-sna.example>".encode())
    assert b"ORCPT=utf-8;" in rcpt


def test_an_answer_leaves_from_the_domain_that_was_written_to():
    reached = (Address("mailto", "info+42.k7f3@b.example"),)
    mail, _, body = ready(reached=reached)
    assert b"<desk+d17.0123456789ab@b.example>" in mail
    assert b"From: Desk <desk@b.example>" in body
    elsewhere = (Address("mailto", "info@other.example"), Address("sms", "+155"))
    assert b"@hub.example>" in ready(reached=elsewhere)[0]


# -- size


BIG = Attachment("map.pdf", "application/pdf", b"x" * 300_000, link="https://hub.example/files/1.k7f3")
SMALL = Attachment("note.txt", "text/plain", b"y" * 1_000, link="https://hub.example/files/2.k7f3")


@pytest.mark.parametrize("html", ["", "<p>hi</p>"])
@pytest.mark.parametrize(("abilities", "settings"), [(["SIZE 200000"], {}), ([], {"largest": 200_000})])
def test_what_is_too_large_becomes_a_link(abilities, settings, html):
    mail, _, body = ready(abilities, settings, attachments=(SMALL, BIG), html=html)
    message = email.message_from_bytes(body[:-3])
    assert [part.get_filename() for part in message.walk() if part.get_filename()] == ["note.txt"]
    texts = [part.get_payload(decode=True).decode() for part in message.walk() if part.get_content_maintype() == "text"]
    words = [text for text in texts if "https://hub.example/files/1.k7f3" in text]
    assert len(words) == (2 if html else 1)
    assert "map.pdf" in words[0]
    assert "300.0 kB" in words[0]
    if abilities:
        assert b"SIZE=%d" % (len(body) - 3) in mail
        assert len(body) < 200_000
    whole = ready(["SIZE 10000000"], attachments=(SMALL, BIG), html=html)[2]
    assert b"map.pdf" in whole
    assert b"files/1" not in whole


def test_what_cannot_be_made_to_fit_is_refused_in_words():
    bare = Attachment("map.pdf", "application/pdf", b"x" * 300_000)
    with pytest.raises(PermanentFailure, match=r"too large: at most 19\d\.\d kB"):
        ready(["SIZE 200000"], {"dkim": [DkimKey(domain="hub.example", selector="s", key=Secret(KEYS["rsa"]))]},
              attachments=(bare,))  # fmt: skip
    with pytest.raises(PermanentFailure, match="too long"):
        ready(["SIZE 200000"], text="x" * 300_000)


def test_a_letter_is_written_once_for_hosts_of_one_kind():
    written = []

    def write(limit):
        written.append(limit)
        return b"Subject: x\r\n\r\n.dot\r\n"

    letter = Letter(b"a@b", b"c@d", write)
    bodies = {letter.ready({})[2] for _ in range(3)} | {
        letter.ready({"SIZE": "1000"})[2],
        letter.ready({"SIZE": ""})[2],
    }
    assert bodies == {b"Subject: x\r\n\r\n..dot\r\n.\r\n"}
    assert written == [None]
    with pytest.raises(PermanentFailure, match="takes 10"):
        letter.ready({"SIZE": "10"})
    assert b"SIZE" not in letter.ready({"SIZE ": "x"})[0]


# -- signing


def test_every_key_of_the_senders_domain_signs():
    import dkim

    keys = [
        DkimKey(domain="hub.example", selector="s2026", key=Secret(KEYS["rsa"])),
        DkimKey(domain="hub.example", selector="ed", key=Secret(KEYS["ed25519"])),
        DkimKey(domain="b.example", selector="s2026", key=Secret(KEYS["rsa"])),
    ]
    zone = dns(*(key.signer() for key in keys))
    mailing = Mailing(name="Flood 12", label="incident.flood-12", token="u7.abcdefghij", link="https://h.example/u/7")
    body = ready(settings={"dkim": keys}, mailing=mailing, copy=True, automatic=True)[2][:-3]
    message = email.message_from_bytes(body)
    assert len(message.get_all("DKIM-Signature")) == 2
    for index, one in enumerate(message.get_all("DKIM-Signature")):
        assert "list-unsubscribe-post" in one
        assert dkim.DKIM(body).verify(index, dnsfunc=zone)
    body = ready(settings={"dkim": keys}, reached=(Address("mailto", "x@b.example"),))[2][:-3]
    (only,) = email.message_from_bytes(body).get_all("DKIM-Signature")
    assert "d=b.example" in only
    assert dkim.verify(body, dnsfunc=zone)


# -- who goes first


def test_the_most_urgent_goes_first_and_equals_in_their_order():
    errands = Errands()

    def errand(name: str, priority: int) -> Errand:
        return Errand(Letter(b"", name.encode(), lambda limit: b"", priority=priority), errands.drop)

    first = errand("first", 1)
    for one in (first, errand("low", 0), errand("a", 1), errand("urgent", 3), errand("b", 1)):
        errands.put(one)
    gone = errand("gone", 2)
    errands.put(gone)
    gone.ended.addErrback(lambda _: None)
    gone.ended.cancel()
    assert len(errands) == 5
    taken = [errands.take() for _ in range(2)]
    assert [one.letter.rcpt for one in taken] == [b"urgent", b"first"]
    errands.put(first)  # its connection was lost: it is the first again
    assert errands.take() is first
    assert [one.letter.rcpt for one in errands.take_all()] == [b"a", b"b", b"low"]
    assert errands.take() is None
