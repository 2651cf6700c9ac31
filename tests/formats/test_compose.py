"""What is composed reads back as exactly what was meant, and nothing a stranger wrote becomes a header."""

from __future__ import annotations

import email
import email.policy
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgserver.formats.compose import compose_mail
from msgserver.formats.mailwords import one_line
from msgserver.message import Address, Attachment, Envelope, Mailing, Thread

ANA = Address("mailto", "ana@example.org")


def envelope(**changes) -> Envelope:
    return Envelope(**{"ref": "d1", "attempt": 1, "sender": "Relief desk", "to": ANA, "text": "hello", **changes})


def composed(**changes) -> bytes:
    return compose_mail(envelope(**changes), "desk@hub.example", "hub.example", 1_700_000_000.0, "seed")


def read(mail: bytes):
    return email.message_from_bytes(mail, policy=email.policy.compat32)


def header(message, name: str) -> str:
    return str(make_header(decode_header(message[name].replace("\r\n", ""))))


def text_of(part) -> str:
    return part.get_payload(decode=True).decode(part.get_content_charset("us-ascii")).replace("\r\n", "\n")


def test_a_short_plain_text_is_plain():
    assert composed(subject="Water at camp 3", text="Two wells.\nBring pumps.") == (
        b"Message-ID: <d1@hub.example>\r\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 -0000\r\n"
        b"From: Relief desk <desk@hub.example>\r\n"
        b"To: ana@example.org\r\n"
        b"Subject: Water at camp 3\r\n"
        b"X-Msgserver-Loop: hub.example\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Two wells.\r\nBring pumps.\r\n"
    )


def test_an_answer_is_threaded_and_carries_its_ticket_in_reply_to():
    thread = Thread(message_id="m2@hub.example", in_reply_to="q@x", references=("a@x", "q@x"), token="42.k7f3")
    message = read(composed(thread=thread))
    assert message["Message-ID"] == "<m2@hub.example>"
    assert message["In-Reply-To"] == "<q@x>"
    assert message["References"].split() == ["<a@x>", "<q@x>"]
    assert parseaddr(message["Reply-To"]) == ("Relief desk", "desk+42.k7f3@hub.example")
    assert parseaddr(message["From"]) == ("Relief desk", "desk@hub.example")


def test_what_the_hub_wrote_itself_says_so():
    assert read(composed(automatic=True))["Auto-Submitted"] == "auto-generated"
    assert read(composed(automatic=True, thread=Thread(in_reply_to="q@x")))["Auto-Submitted"] == "auto-replied"
    assert read(composed())["Auto-Submitted"] is None
    chosen = read(composed(automatic=True, headers=(("Auto-Submitted", "auto-notified"),)))
    assert chosen.get_all("Auto-Submitted") == ["auto-notified"]


def test_html_inline_parts_and_files_each_find_their_place():
    picture = Attachment("p.png", "image/png", b"\x89PNG", content_id="pic@x", inline=True)
    report = Attachment("Lagebericht für Köln – 2024 und noch viel länger.pdf", "application/pdf", bytes(range(256)))
    message = read(composed(html='<b>hi</b><img src="cid:pic@x">', attachments=(picture, report)))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    parts = list(message.walk())
    assert parts[5]["Content-ID"] == "<pic@x>"
    assert parts[6].get_payload(decode=True) == bytes(range(256))
    assert parts[6].get_filename() == report.name
    assert not message.defects


@pytest.mark.parametrize("media_type", ["message/rfc822", "multipart/mixed", "text/x\r\nBcc: evil@x", "", "x"])
def test_an_impossible_media_type_becomes_bytes(media_type):
    message = read(composed(attachments=(Attachment("a", media_type, b"abc"),)))
    assert message.get_payload(1).get_content_type() == "application/octet-stream"
    assert message.get_payload(1).get_payload(decode=True) == b"abc"


# T7: header injection
POISON = [
    "a\r\nBcc: evil@x",
    "a\nBcc: evil@x",
    "a\rBcc: evil@x",
    "a\u2028Bcc: evil@x",
    "a\x85Bcc: evil@x",
    "a\x0bBcc: evil@x",
    "=?utf-8?q?a=0d=0aBcc:_evil@x?=",
    "a\x00b",
    "a%0d%0aBcc: evil@x",
    "a\r\n\r\nbody",
]


@pytest.mark.parametrize("poison", POISON)
def test_no_header_is_injected(poison):
    mail = composed(
        subject=poison,
        sender=poison,
        to_name=poison,
        thread=Thread(message_id=poison, in_reply_to=poison, references=(poison,)),
        headers=(("List-Id", poison),),
        attachments=(Attachment(poison, poison, b"x", content_id=poison),),
    )
    message = read(mail)
    names = [
        "Message-ID",
        "Date",
        "From",
        "To",
        "Subject",
        "X-Msgserver-Loop",
        "List-Id",
        "MIME-Version",
        "Content-Type",
    ]
    assert message.keys() == names
    assert message["Message-ID"] == "<d1@hub.example>"
    assert set(message.get_payload(1).keys()) == {
        "Content-Type",
        "Content-Transfer-Encoding",
        "Content-Disposition",
    }
    assert header(message, "Subject") == one_line(poison)


@pytest.mark.parametrize(
    "name", ["", "Bcc", "To", "a b", "a:b", "A\r\nBcc", "Content-Type", "MIME-Version", "Ä", "X" * 80, "subject"]
)
def test_a_header_that_others_may_not_write_is_refused(name):
    with pytest.raises(ValueError, match="not a header"):
        composed(headers=((name, "x"),))


def test_a_token_that_no_address_can_carry_is_refused():
    with pytest.raises(ValueError, match="token"):
        composed(thread=Thread(token="a b>"))


@pytest.mark.parametrize("address", ["a@b\r\nBcc: c@d", "a@b>,<c@d", "a@b,c@d", "a@b\u2028c"])
def test_an_address_that_says_more_is_refused(address):
    with pytest.raises(ValueError, match="no address"):
        composed(to=Address("mailto", address))


def test_a_domain_beyond_ascii_goes_as_the_dns_writes_it():
    mail = composed(to=Address("mailto", "ana@köln.example"))
    assert b"To: ana@xn--kln-sna.example\r\n" in mail
    assert "To: jürgen@xn--kln-sna.example\r\n".encode() in composed(to=Address("mailto", "jürgen@köln.example"))


def test_long_references_keep_the_first_and_the_newest():
    ids = tuple(f"{n}@x" for n in range(100))
    got = read(composed(thread=Thread(in_reply_to="99@x", references=ids)))["References"].split()
    assert got[0] == "<0@x>"
    assert got[-1] == "<99@x>"
    assert len(got) == 20


def test_list_headers_keep_their_urls_whole():
    url = "<https://hub.example/unsubscribe/" + "k" * 200 + ">"
    assert read(composed(headers=(("List-Unsubscribe", url),)))["List-Unsubscribe"] == url


def test_a_boundary_in_the_text_is_not_used():
    first = read(composed(html="<p>x</p>")).get_boundary()
    second = read(composed(html="<p>x</p>", text=f"--{first}--"))
    assert second.get_boundary() != first
    assert len(second.get_payload()) == 2


words = st.text(max_size=300)


@settings(deadline=None)
@given(words, words, words)
def test_lists_bring_no_header_of_their_own(name, label, link):
    """T7: whatever a subscription is called."""
    mailing = Mailing(name=name, label=label, token="u7.5.abcdefghijklmnop", link=link)
    mail = composed(mailing=mailing, copy=True, automatic=True)
    message = read(mail)
    assert message.keys()[5:] == [
        "Auto-Submitted", "X-Auto-Response-Suppress", "List-Id", "Precedence", "List-Unsubscribe",
        *(["List-Unsubscribe-Post"] if link.startswith("https:") and "<https:" in message["List-Unsubscribe"] else []),
        "X-Msgserver-Loop", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert "<mailto:desk+u7.5.abcdefghijklmnop@hub.example?subject=unsubscribe>" in message["List-Unsubscribe"]
    assert message["List-Id"].endswith(".hub.example>")
    assert mail.isascii()


def test_a_copy_by_subscription_can_be_left_with_one_click():
    mailing = Mailing(
        name="Flood 12", label="incident.0b-7", token="u7.5.abcdefghijklmnop", link="https://hub.example/u"
    )
    message = read(composed(mailing=mailing, copy=True, automatic=True, thread=Thread(in_reply_to="q@x")))
    assert message["List-Id"] == "Flood 12\r\n <incident.0b-7.hub.example>"
    assert message["List-Unsubscribe"].split() == [
        "<https://hub.example/u>,",
        "<mailto:desk+u7.5.abcdefghijklmnop@hub.example?subject=unsubscribe>",
    ]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"  # no answer to anybody
    bare = Mailing(name="", label="..", token="u7.5.abcdefghijklmnop", link="http://hub.example/u")
    plain = read(composed(mailing=bare))
    assert plain["List-Unsubscribe-Post"] is None  # RFC 8058 section 3: https only
    assert plain["List-Id"] == "<copies.hub.example>"


@settings(deadline=None)
@given(words, words, words, st.text(max_size=2000), st.one_of(st.just(""), st.text(max_size=500)), words)
def test_everything_reads_back(subject, sender, to_name, text, html, file):
    attachments = (Attachment(file, "application/x-y", b"\x00\xff" * 50),) if file else ()
    mail = composed(subject=subject, sender=sender, to_name=to_name, text=text, html=html, attachments=attachments)
    head = mail.partition(b"\r\n\r\n")[0]
    assert mail.isascii()
    assert all(len(line) <= 998 for line in mail.split(b"\r\n"))
    assert all(len(line) <= 78 for line in head.split(b"\r\n"))
    assert mail.count(b"\r\n") == mail.count(b"\n") == mail.count(b"\r")
    message = read(mail)
    expected = ["Message-ID", "Date", "From", "To", "Subject", "X-Msgserver-Loop", "MIME-Version", "Content-Type"]
    if not message.is_multipart():
        expected.append("Content-Transfer-Encoding")
    assert message.keys() == expected
    flat = one_line(subject)
    assert header(message, "Subject").strip() == flat.strip()
    name, address = parseaddr(message["To"])
    assert address == "ana@example.org"
    wanted = one_line(to_name).strip()[:200].strip()
    assert str(make_header(decode_header(name.replace("\r\n", "")))) == wanted
    plain = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    meant = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    assert text_of(plain).removesuffix("\n") == meant.removesuffix("\n")
    if file and one_line(file).strip():
        assert list(message.walk())[-1].get_filename() == one_line(file).strip()


def test_long_lines_are_broken_softly_and_a_long_text_takes_no_time():
    text = ("x" * 998 + "\n") * 2000 + "y" * 5000
    message = read(composed(text=text))
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert text_of(message).removesuffix("\n") == text
    assert read(composed(text="x" * 998))["Content-Transfer-Encoding"] == "7bit"
