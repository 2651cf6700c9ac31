"""What is read out of mail as people and programs write it."""

from __future__ import annotations

from base64 import b64encode

import pytest

from msgserver.formats.mime import read_mail
from msgserver.formats.reading import ReadingLimits
from msgserver.message import Address


def test_a_plain_mail():
    reading = read_mail(
        b"From: Ana Mar\xc3\xada <Ana@Example.org>\r\nTo: Desk <desk@hub.example>, bo@x.org\r\n"
        b"Cc: =?utf-8?q?J=C3=B6rg?= <j@x.org>\r\n"
        b"Subject: =?iso-8859-1?q?Caf=E9?= is\r\n open\r\nMessage-ID: <1@x.org>\r\nIn-Reply-To: <0@x.org>\r\n"
        b"References: <a@x.org>\r\n <0@x.org>\r\nDate: Mon, 3 Nov 2025 11:00:00 +0100\r\n"
        b"Content-Language: pt-BR, en\r\n"
        b"Received: a\r\nReceived: b\r\nX-Msgserver-Loop: hub.example\r\nReply-To: <r@x.org>\r\n\r\n"
        b"Ol\xc3\xa1\r\nbom dia\r\n"
    )
    assert reading.subject == "Café is open"
    assert reading.text == "Olá\nbom dia"
    assert (reading.sender_name, reading.sender) == ("Ana María", Address("mailto", "ana@example.org"))
    assert reading.to == (("Desk", Address("mailto", "desk@hub.example")), ("", Address("mailto", "bo@x.org")))
    assert reading.cc == (("Jörg", Address("mailto", "j@x.org")),)
    assert reading.reply_to == (("", Address("mailto", "r@x.org")),)
    assert (reading.message_id, reading.in_reply_to) == ("1@x.org", "0@x.org")
    assert reading.references == ("a@x.org", "0@x.org")
    assert reading.date == 1762164000.0
    assert reading.hops == 2
    assert reading.loop_tokens == ("hub.example",)
    assert reading.languages == ("pt-BR", "en")
    assert (reading.robot, reading.bounce, reading.trouble, reading.complete) == ("", None, (), True)


def test_nothing_at_all():
    assert read_mail(b"").text == ""
    assert read_mail(b"\r\n\r\n").trouble == ()


def part(kind: str, body: bytes, *more: str) -> bytes:
    return b"\r\n".join([f"Content-Type: {kind}".encode(), *(line.encode() for line in more), b"", body])


def many(kind: str, *parts: bytes, boundary: str = "=_b") -> bytes:
    whole = b"".join(b"--" + boundary.encode() + b"\r\n" + one + b"\r\n" for one in parts)
    return part(f'multipart/{kind}; boundary="{boundary}"', whole + b"--" + boundary.encode() + b"--\r\n")


def test_alternatives_are_one_text_and_one_html():
    reading = read_mail(
        many("alternative", part("text/plain", b"Hello"), part("text/html", b"<p>Hello <b>you</b></p>"))
    )
    assert (reading.text, reading.html) == ("Hello", "<p>Hello <b>you</b></p>")
    assert reading.attachments == ()


def test_html_alone_becomes_text():
    reading = read_mail(part("text/html; charset=utf-8", "<p>Olá</p><p>bom&nbsp;dia</p>".encode()))
    assert reading.text == "Olá\n\nbom dia"


def test_an_empty_plain_part_does_not_hide_the_html():
    assert read_mail(many("alternative", part("text/plain", b" "), part("text/html", b"<p>Hello</p>"))).text == "Hello"


def test_files_and_words_in_one_mail():
    reading = read_mail(
        many(
            "mixed",
            part("text/plain", b"See this."),
            part("text/csv; name=list.csv", b"a,b", "Content-Disposition: attachment"),
            part("text/plain", b"The list's footer."),
            part("text/plain", b"notes", "Content-Disposition: attachment; filename=notes.txt"),
        )
    )
    assert reading.text == "See this.\n\nThe list's footer."
    assert [(file.name, file.content) for file in reading.attachments] == [
        ("list.csv", b"a,b"),
        ("notes.txt", b"notes"),
    ]


def test_pictures_stay_with_their_html():
    picture = part("image/png", b64encode(b"\x89PNG"), "Content-Transfer-Encoding: base64", "Content-ID: <p1@x>")
    html = part("text/html", b'<p><img src="cid:p1@x"><img src="http://evil.example/t.gif"></p>')
    related = many("related", html, picture, boundary="inner")
    reading = read_mail(many("alternative", part("text/plain", b"picture"), related))
    assert 'src="cid:p1@x"' in reading.html
    assert 'data-blocked-src="http://evil.example/t.gif"' in reading.html
    assert ' src="http' not in reading.html
    (file,) = reading.attachments
    assert (file.content_id, file.inline, file.content) == ("p1@x", True, b"\x89PNG")


def test_signed_and_encrypted_are_shown_as_such():
    signed = read_mail(many("signed", part("text/plain", b"I agree."), part("application/pgp-signature", b"--sig--")))
    assert (signed.text, signed.seal, signed.attachments[0].name) == ("I agree.", "signed", "signature.asc")
    sealed = read_mail(
        many("encrypted", part("application/pgp-encrypted", b"Version: 1"), part("application/octet-stream", b"x"))
    )
    assert (sealed.text, sealed.seal, len(sealed.attachments)) == ("", "encrypted", 2)
    assert "encrypted" in sealed.trouble[-1]
    smime = read_mail(part("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", b"x"))
    assert (smime.seal, smime.attachments[0].name) == ("encrypted", "smime.p7m")
    assert read_mail(b"\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n-----END PGP MESSAGE-----").seal == "encrypted"


def test_a_forwarded_message_is_a_file_and_its_words_are_read():
    inner = b"From: Bo <bo@x.org>\r\nSubject: Water\r\nDate: Mon, 3 Nov 2025 10:00:00 +0000\r\n\r\nWe need water."
    reading = read_mail(many("mixed", part("text/plain", b"FYI"), part("message/rfc822", inner)))
    assert reading.text.startswith("FYI\n\n---------- Forwarded message")
    assert "From: Bo <bo@x.org>\n" in reading.text
    assert reading.text.endswith("We need water.")
    assert reading.text[reading.quoted_from :].startswith("---------- Forwarded")
    assert (reading.attachments[0].name, reading.attachments[0].content) == ("Water.eml", inner)
    alone = read_mail(part("message/rfc822", inner))
    assert alone.quoted_from is None
    assert "We need water." in alone.text


def test_flowed_text_is_put_back_together():
    flowed = b"This is one \r\nparagraph.\r\n> quoted \r\n> words\r\n-- \r\nAna"
    reading = read_mail(part("text/plain; format=flowed", flowed))
    assert reading.text == "This is one paragraph.\n> quoted words\n-- \nAna"
    delsp = read_mail(part("text/plain; format=flowed; delsp=yes", "日本 \r\n語".encode()))
    assert delsp.text == "日本語"


def test_outlook_files_are_named():
    reading = read_mail(many("mixed", part("text/plain", b"x"), part("application/ms-tnef", b"\x78\x9f")))
    assert reading.attachments[0].name == "winmail.dat"
    assert "Outlook" in reading.trouble[0]


@pytest.mark.parametrize(
    "how",
    [
        "Content-Transfer-Encoding: base64\r\n\r\n" + b64encode("Olá".encode()).decode(),
        "Content-Transfer-Encoding: BASE64\r\n\r\n" + b64encode("Olá".encode()).decode().rstrip("="),
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nOl=C3=A1",
        "Content-Transfer-Encoding: 8bit\r\n\r\nOlá",
        "Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\n$3VS#H0``\n`\nend\n",
    ],
)
def test_transfer_encodings(how):
    reading = read_mail(b"Content-Type: text/plain; charset=utf-8\r\n" + how.encode())
    assert reading.text == "Olá"


def test_the_boundary_that_is_missing_or_wrong_is_found():
    body = b"--xyz99\r\nContent-Type: text/plain\r\n\r\nHello\r\n--xyz99--\r\n"
    for kind in (b"multipart/mixed", b"multipart/mixed; boundary=other"):
        reading = read_mail(b"Content-Type: " + kind + b"\r\n\r\n" + body)
        assert reading.text == "Hello"
        assert "the boundary between the parts was guessed" in reading.trouble


def test_limits_are_kept_and_told():
    limits = ReadingLimits(parts=3, depth=2, text_length=50, header_bytes=200)
    parts = read_mail(many("mixed", *[part("application/x", b"x") for _ in range(5)]), limits)
    assert (len(parts.attachments), parts.complete) == (3, False)
    deep = part("text/plain", b"x")
    for level in range(4):
        deep = many("mixed", deep, boundary=f"b{level}")
    assert not read_mail(deep, limits).complete
    assert len(read_mail(b"\r\n" + b"word " * 100, limits).text) <= 50
    assert read_mail(b"A: " + b"x" * 300 + b"\r\nSubject: late\r\n\r\nbody", limits).text == "body"


@pytest.mark.parametrize("ends", [b"\r\n", b"\n", b"\r"])
def test_any_line_ends(ends):
    reading = read_mail(ends.join([b"Subject: a", b" b", b"From: x@y.z", b"", b"one", b"two"]))
    assert (reading.subject, reading.text) == ("a b", "one\ntwo")
    assert reading.sender == Address("mailto", "x@y.z")


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\temp\\\\a.doc", "a.doc"),
        ("con.txt", "_con.txt"),
        ("a.pdf\u202egpj.exe", "a.pdfgpj.exe"),
        ("=?utf-8?q?r=C3=A9sum=C3=A9.pdf?=", "résumé.pdf"),
        ("x" * 4096 + ".pdf", "x" * 116 + ".pdf"),
        ("..", "attachment-1.bin"),
        ("a\tb:c.txt", "a b_c.txt"),
    ],
)
def test_names_of_files_are_safe(given, safe):
    raw = f'Content-Type: application/x\r\nContent-Disposition: attachment; filename="{given}"\r\n\r\nx'.encode()
    assert read_mail(raw).attachments[0].name == safe


def test_names_in_pieces():
    raw = part("application/x; name*0*=utf-8''r%C3%A9; name*1=sum; name*2*=%C3%A9.pdf", b"x")
    assert read_mail(raw).attachments[0].name == "résumé.pdf"


def test_what_is_said_to_be_base64_and_is_not_is_read_as_it_stands():
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    reading = read_mail(head + b"The road to the bridge is closed, we come by boat.\r\n")
    assert reading.text == "The road to the bridge is closed, we come by boat."
    assert reading.trouble == ("the text was said to be base64 and is not",)
    assert read_mail(head + b"VGhl IHJvYWQg\r\naXMgb3Blbg==\r\n").text == "The road is open"


def test_utf_7_beside_a_signature_that_is_none_is_read_line_by_line():
    raw = b"Content-Type: text/plain; charset=utf-7\r\n\r\n+AD4 quoted\r\n=iQIz+QkBCg/q+7mxvUNBN+oO4ReQA\r\nbye\r\n"
    assert read_mail(raw).text.startswith("> quoted\n=iQIz")
    assert read_mail(raw).text.endswith("bye")


def test_text_of_an_unknown_kind_is_shown_and_what_is_for_programs_is_a_file():
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    raw += b"--b\r\nContent-Type: text/x-notes\r\n\r\nThe water falls.\r\n"
    raw += b"--b\r\nContent-Type: text/csv\r\n\r\na,b\r\n--b--\r\n"
    reading = read_mail(raw)
    assert reading.text == "The water falls."
    assert [file.media_type for file in reading.attachments] == ["text/csv"]
